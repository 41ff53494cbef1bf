"""Zeep, the daemon of a node: owns its functions, workers, invocations and storage."""
