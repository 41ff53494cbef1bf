"""How much a worker may store where it stores things in memory, whichever driver made it."""

from __future__ import annotations

_BYTES_A_FILE = 13
"""As a power of two."""
_FEW_FILES = 1024


def tmpfs_options(size_bytes: int, mode: int = 0o1777) -> str:
    """Of so many bytes, and of one file for every 8 KiB of them.

    A file without content takes none of the bytes, and a kilobyte of the kernel's memory.
    """
    return f"mode={mode:o},size={size_bytes},nr_inodes={max(size_bytes >> _BYTES_A_FILE, _FEW_FILES)}"
