"""The version of this distribution, for every process, without asking the package database."""

from typing import Final

VERSION: Final = "0.1.0"
