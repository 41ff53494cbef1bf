"""Generated from the protos beside it by `make protos`."""
