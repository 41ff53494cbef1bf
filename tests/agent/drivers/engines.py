"""Whether there is an engine to test with, and the images that workers need; never what is not a test's own."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent import images
from mee6.errors import Mee6Error

REQUIRE = "MEE6_REQUIRE_DOCKER"
"""Set, it turns a skip for want of an engine into a failure."""


@cache
def why_not(runtime: str = "python") -> str:
    """What is missing for tests with containers, in one line; makes the runtime's image where it is outdated."""
    if os.geteuid() != 0:
        return "the docker driver needs root"
    try:
        with images.connect() as api:
            found = images.find_image(api, runtime)
        if found is None or not found.is_current:
            images.build(runtime, os.environ.get("MEE6_TEST_BASE", images.BOOTSTRAP))
    except Mee6Error as error:
        return error.message
    return ""


def need_engine(runtime: str = "python") -> None:
    """Skips the test, or fails it where an engine is required."""
    reason = why_not(runtime)
    if reason and os.environ.get(REQUIRE):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def containers(api: Any, agent_id: str) -> list[dict[str, Any]]:
    """All containers of an agent, whatever their state."""
    return list(api.containers(all=True, filters={"label": f"mee6.agent={agent_id}"}))


def mounts_below(base: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {base}/" in line]
