"""Kyle, the first processes of a worker: init starts and reaps, the proxy serves until it hands over."""
