"""The gRPC side of the contract: stubs by version, errors on the wire, records from messages."""
