"""Plans for workflows: how long they will take, and which steps should share a process or a worker. All of it pure."""
