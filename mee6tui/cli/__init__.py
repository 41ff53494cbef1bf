"""The command line: typer commands over `mee6.client`."""
