"""A docker driver of its own for each attempt, and a look at what it leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agent.drivers.contract import Rig
from tests.agent.drivers.engines import need_engine
from tests.agent.drivers.test_docker import left_behind, opened


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    need_engine()
    rig = await opened(tmp_path)
    yield rig
    await rig.close()
    assert left_behind(tmp_path) == []
