"""How far the making of an image is, told to whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

STAGES: Final = ("base", "check", "context", "build")
"""What is gone through, in this order."""

Say = Callable[[str, str, float], None]
"""Takes a stage, what is being done in it, and how much of the stage is done, 0..1."""


def say_nothing(_stage: str, _detail: str, _part: float) -> None:
    """For a caller that wants no news."""
