"""`--driver auto`: Docker where it can serve now, else processes; and why, in one line for people.

Asks the engine and changes nothing. Never chosen in silence: who starts an agent is told what isolation it gets.
"""

from __future__ import annotations

import os
from typing import Final

from mee6.errors import Mee6Error
from runtimes.catalog import RUNTIMES

AUTO: Final = "auto"
_ENGINE_S: Final = 5.0
"""A hung engine is one that does not answer."""


def choose() -> tuple[str, str]:
    """The driver to use, and the reason. Blocks, for some seconds at most."""
    if os.geteuid() != 0:
        return "process", "the docker driver needs root"
    try:
        from agent.images import list_images

        ready = {image.runtime for image in list_images(_ENGINE_S) if image.is_current}
    except ImportError:
        return "process", "the library for Docker is not installed"
    except Mee6Error as error:
        return "process", error.message
    missing = [name for name in RUNTIMES if name not in ready]
    if missing:
        return "process", f"no image of this mee6 for {', '.join(missing)}; make it with: mee6 image build all"
    return "docker", f"an engine answers and has the images of {', '.join(RUNTIMES)}"
