from __future__ import annotations

import os

import pytest

from agent import meter
from agent.drivers.base import Usage
from agent.meter import Meter, Reading, used
from agent.seats import Used

SECOND = 1_000_000_000


def test_a_workers_cores_are_what_it_took_since_the_measurement_before() -> None:
    first = used(Usage(10, SECOND, 2), Used(), 100 * SECOND)
    assert (first.cpu, first.processes, first.memory_bytes) == (0.0, 2, 10)
    second = used(Usage(10, 4 * SECOND, 2), first, 102 * SECOND)
    assert second.cpu == 1.5


def test_a_count_that_went_back_is_no_use_of_a_core() -> None:
    before = used(Usage(10, 5 * SECOND, 2), Used(), 100 * SECOND)
    assert used(Usage(0, 0, 0), before, 101 * SECOND).cpu == 0.0


def test_the_first_reading_is_only_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100 * SECOND
    monkeypatch.setattr("agent.meter.time.monotonic_ns", lambda: clock)
    times = iter([(10.0, 100.0), (20.0, 200.0), (45.0, 250.0), (50.0, 300.0)])
    monkeypatch.setattr(meter, "_machine_times", lambda: next(times))
    one = Meter()
    clock += 60 * SECOND
    assert one.read() == Reading(), "a minute's mean says nothing of now"
    one.late(0.003)
    one.late(0.001)
    clock += SECOND
    reading = one.read()
    assert (reading.cpu_percent, reading.loop_lag_ms, reading.cores) == (50.0, 3.0, os.cpu_count())
    assert reading.memory_total_bytes > reading.memory_available_bytes > 0
    one.forget()
    assert one.reading == Reading()
