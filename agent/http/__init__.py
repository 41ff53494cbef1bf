"""The agent's HTTP front door: functions as URLs, health, metrics and their description. Thin over `NodeApi`."""
