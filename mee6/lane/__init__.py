"""The local wire between agent, proxy and runtime: messages, framing, endpoints."""
