"""Plans for declared workflows: how long they will take, and how far their fan-outs should spread. All of it pure."""
