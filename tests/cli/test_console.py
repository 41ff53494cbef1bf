"""Opening the console from the command line: where it is refused, and what it loads."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Self

import pytest

from tests.cli.conftest import Run


def test_without_a_terminal_it_names_what_works_there(mee6: Run) -> None:
    result = mee6("console")
    assert (result.stdout, result.exit_code) == ("", 2)
    assert "the console needs a terminal; use `mee6 top`" in result.stderr
    assert "`mee6 watch`" in result.stderr


def test_an_agent_is_named_in_one_way(mee6: Run) -> None:
    result = mee6("console", "--context", "edge", "--address", "h:1")
    assert result.exit_code == 2
    assert "give --address or --context, not both" in result.stderr


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, *command: str, term: str = "xterm-256color", controlling: bool = True) -> None:
        self.master, slave = pty.openpty()
        environment = {**os.environ, "TERM": term, "LINES": "24", "COLUMNS": "80"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mee6tui.cli.main", *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
            preexec_fn=_own_terminal if controlling else None,  # noqa: PLW1509 - it is told when its terminal goes; one call, no lock
        )
        os.close(slave)
        self.seen = b""

    def until(self, wanted: bytes, limit_s: float = 60.0) -> None:
        deadline = time.monotonic() + limit_s
        while wanted not in self.seen:
            assert time.monotonic() < deadline, self.seen[-2000:]
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:  # its last reader has gone
                    assert wanted in self.seen, self.seen[-2000:]

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def code(self) -> int:
        return self.process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.master >= 0:
            os.close(self.master)


def test_a_terminal_that_cannot_be_drawn_on_is_told_so(config: Path) -> None:
    with Terminal("console", term="dumb") as terminal:
        terminal.until(b"cannot be drawn on this terminal (TERM=dumb)")
        assert terminal.code() == 2


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_and_the_terminal_is_given_back(config: Path, number: int, code: int, tmp_path: Path) -> None:
    with Terminal("console", "--address", f"unix:{tmp_path}/none.sock") as terminal:
        terminal.until(b"reconnecting")
        terminal.process.send_signal(number)
        terminal.until(b"\x1b[?1049l")
        assert terminal.code() == code


@pytest.mark.slow
def test_mee6_alone_on_a_terminal_is_the_console(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEE6_ADDRESS", f"unix:{tmp_path}/none.sock")
    with Terminal() as terminal:
        terminal.until(b"reconnecting")
        os.write(terminal.master, b"q")
        terminal.until(b"\x1b[?1049l")
        assert terminal.code() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_though_nobody_reads_its_terminal(
    config: Path, number: int, code: int, tmp_path: Path
) -> None:
    with Terminal("console", "--address", f"unix:{tmp_path}/none.sock") as terminal:
        terminal.until(b"reconnecting")
        for width in range(80, 280):  # each is painted whole, until no more can be written
            fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
            time.sleep(0.005)
        terminal.process.send_signal(number)
        assert terminal.code() == code


@pytest.mark.slow
def test_it_ends_with_its_terminal(config: Path, tmp_path: Path) -> None:
    with Terminal("console", "--address", f"unix:{tmp_path}/none.sock") as terminal:
        terminal.until(b"reconnecting")
        terminal.hang_up()
        assert terminal.code() == 129


@pytest.mark.slow
def test_it_ends_with_its_terminal_though_no_signal_tells_of_it(config: Path, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/none.sock"
    with Terminal("console", "--address", address, controlling=False) as terminal:
        terminal.until(b"reconnecting")
        terminal.hang_up()
        assert terminal.code() == 129


@pytest.mark.slow
def test_an_agent_on_its_socket_is_shown_by_the_name_of_its_folder(config: Path, tmp_path: Path) -> None:
    with Terminal("console", "--address", f"unix:{tmp_path}/demo/agent.sock") as terminal:
        terminal.until(b"mdemo\x1b[0m")
