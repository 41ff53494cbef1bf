"""Pages, one file each, and dialogs."""
