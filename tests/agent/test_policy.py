"""From what people ask for and what a driver can do to what the scheduler is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import policy
from agent.config import AgentConfig
from agent.core.settings import PausePolicy
from agent.drivers.base import Capabilities, PoolKey
from mee6.errors import InvalidInput

RUNTIMES = ("python", "nodejs")


def able(pause: str, **more: float) -> Capabilities:
    return Capabilities("d", "namespaces", pause, "cgroup2", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pause", "chosen"),
    [
        ("cgroup2", PausePolicy.ALWAYS),
        ("cgroup1", PausePolicy.ALWAYS),
        ("signals", PausePolicy.ALWAYS),
        ("api", PausePolicy.AFTER_USE),
        ("none", PausePolicy.NEVER),
    ],
)
def test_the_pause_policy_goes_by_what_pausing_costs(pause: str, chosen: PausePolicy) -> None:
    assert policy.pause_policy("", able(pause)) is chosen


def test_a_policy_that_was_asked_for_is_taken_where_there_is_something_to_pause_with() -> None:
    assert policy.pause_policy("always", able("api")) is PausePolicy.ALWAYS
    assert policy.pause_policy("always", able("none")) is PausePolicy.NEVER
    with pytest.raises(InvalidInput, match="always, after-use, never"):
        policy.pause_policy("sometimes", able("api"))


def test_the_driver_says_how_fast_workers_are_begun(tmp_path: Path) -> None:
    told = policy.settings(AgentConfig(tmp_path), able("api", starts_at_once=2, starts_per_s=5.0), {"python"})
    assert (told.parallel_starts, told.start_interval) == (2, 200_000_000)
    assert set(told.prewarm) == {PoolKey("python")}
    assert policy.settings(AgentConfig(tmp_path), able("signals"), {"python"}).start_interval == 0


def test_changes_leave_alone_what_they_do_not_name(tmp_path: Path) -> None:
    before = AgentConfig(tmp_path, prewarm={"python": 2, "nodejs": 1}, ceiling={"nodejs": 4})
    after = policy.changed(
        before, policy.Changes(pause="never", prewarm={"python": 3}, ceiling={"python": 8}), RUNTIMES
    )
    assert (after.pause, after.prewarm, after.ceiling) == (
        "never", {"python": 3, "nodejs": 1}, {"nodejs": 4, "python": 8},
    )  # fmt: skip
    assert after.linger_s == before.linger_s
    assert policy.changed(after, policy.Changes(ceiling={"python": 0}), RUNTIMES).ceiling == {"nodejs": 4}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (policy.Changes(pause="sometimes"), "no pause policy 'sometimes'"),
        (policy.Changes(prewarm={"cobol": 1}), "no runtime 'cobol'"),
        (policy.Changes(ceiling={"python": 1}), "less than the 2 to keep ready"),
        (policy.Changes(linger_s=-1.0), "cannot be negative"),
        (policy.Changes(order="alphabet"), "no order 'alphabet'; use one of: arrival, deadline"),
    ],
)
def test_a_change_that_cannot_be_is_refused(tmp_path: Path, changes: policy.Changes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        policy.changed(AgentConfig(tmp_path), changes, RUNTIMES)
