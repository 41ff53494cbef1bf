"""What makes workers: the contract in `base`, and one driver a module or folder."""
