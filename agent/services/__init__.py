"""The agent's gRPC face: thin services over `agent.services.api.NodeApi`, and the server that holds them."""
