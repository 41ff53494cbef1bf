"""The model of more cores, and that the prototypes carry calls."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.benchmarks.cores import REST, Cost
from tests.benchmarks.harness.http_client import one_by_one, request
from tests.benchmarks.harness.shards import shard
from tests.support.agents import write_function


@pytest.mark.parametrize(
    ("cores", "computes_us", "a_second"),
    [(2, 0, 10_000), (4, 0, 10_000), (64, 0, 10_000), (2, 1800, 1000), (20, 1800, 10_000)],
)
def test_a_ceiling_is_that_of_the_one_process_or_of_all_cores(cores: int, computes_us: float, a_second: float) -> None:
    assert Cost(core=100, front=50, worker=50).ceiling(cores, computes_us) == pytest.approx(a_second)


def test_where_functions_compute_enough_both_bounds_are_the_same() -> None:
    cost = Cost(core=100, front=50, worker=50)
    assert cost.ceiling(16, cost.enough_us(16)) == pytest.approx(1e6 / cost.core)
    assert cost.ceiling(16, cost.enough_us(16) * 1.1) < 1e6 / cost.core
    assert Cost(core=1, front=70, worker=40).enough_us(4) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("role", "told"), [("", ()), ("door", ()), ("relay", ("2",))])
async def test_a_prototype_carries_calls(role: str, told: tuple[str, ...], tmp_path: Path) -> None:
    folder = write_function(tmp_path, "rest", REST)
    at = str(tmp_path / "core")
    asked = request("/function/rest", b"0")
    async with shard("core", str(folder), at) as core:
        if not role:
            assert len(await asyncio.to_thread(one_by_one, core.address, asked, 3)) == 3
            return
        async with shard(role, at, *told) as front:
            assert len(await asyncio.to_thread(one_by_one, front.address, asked, 3)) == 3
