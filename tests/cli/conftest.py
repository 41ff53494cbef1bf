from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mee6tui.cli.main import app
from tests.support.fake_agent import FakeAgent

Run = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file of the test's own; nothing of the machine's environment counts."""
    for name in ("ADDRESS", "USER", "CONTEXT", "OUTPUT", "LISTEN", "HTTP_LISTEN", "DEBUG"):
        monkeypatch.delenv(f"MEE6_{name}", raising=False)
    path = tmp_path / "config.toml"
    monkeypatch.setenv("MEE6_CONFIG", str(path))
    monkeypatch.setenv("MEE6_STATE_DIR", str(tmp_path / "state"))
    return path


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    with FakeAgent(tmp_path) as agent:
        agent.know()
        yield agent


@pytest.fixture
def mee6(config: Path) -> Run:
    """Runs a command line; the result has stdout, stderr and exit code apart."""
    runner = CliRunner()

    def run(*args: str, stdin: str | bytes | None = None) -> Result:
        return runner.invoke(app, list(args), input=stdin)

    return run


@pytest.fixture
def on(mee6: Run, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> Run:
    """As `mee6`, with an agent that answers."""
    monkeypatch.setenv("MEE6_ADDRESS", agent.address)
    return mee6
