"""At the desk: the command line and the console, two faces over `mee6.client`."""
