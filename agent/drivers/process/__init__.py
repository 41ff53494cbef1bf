"""Workers as process trees on this machine, set apart as far as the machine allows."""
