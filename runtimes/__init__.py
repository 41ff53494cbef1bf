"""The languages that mee6 can run: one folder each, and the catalogue of them."""
