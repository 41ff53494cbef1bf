"""`mee6 demo`, as a person runs it: a process of its own, a real agent, the samples."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-P", "-m", "mee6tui.cli.main", "demo"]


@pytest.fixture
def env(tmp_path: Path, config: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path)}


def test_the_demo_runs_the_samples_draws_them_and_leaves_nothing(env: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(COMMAND, env=env, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nfoo\n" in done.stdout
    assert "\nping to ponger...pong from ponger: ponged\n" in done.stdout
    assert '"words":24887' in done.stdout
    assert "  clean " in done.stdout
    assert not list(tmp_path.glob("mee6-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_either(env: dict[str, str], tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(COMMAND, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("mee6 agent listens on"):
                break
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "")
    assert not list(tmp_path.glob("mee6-*"))
