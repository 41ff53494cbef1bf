"""The console: one or several agents, live, in a terminal. `app.ConsoleApp` wires it; see `mee6tui/README.md`."""
