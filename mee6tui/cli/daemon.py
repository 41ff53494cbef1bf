"""An agent as a process of this machine: started on its own, found by its state folder, stopped.

The agent holds `STATE/agent.lock` for its life and writes `STATE/agent.json` once it serves. The lock, not
the file's pid, says whether one runs: a pid may be another process's by now.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mee6.errors import AgentUnreachable, InvalidInput, Mee6Error, TimedOut, by_code

LOG: Final = "agent.log"
_START_S: Final = 30.0
_POLL_S: Final = 0.02
_KILL_S: Final = 5.0
"""After `stop --now`, how long until the process is ended without its help."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a serving agent says of itself."""

    pid: int
    listen: str
    socket: str
    version: str

    @property
    def address(self) -> str:
        """The address for clients on this machine."""
        return f"unix:{self.socket}" if self.socket else self.listen


def running(state: Path) -> bool:
    """Whether an agent holds the state folder."""
    try:
        with (state / "agent.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        raise Mee6Error(f"cannot look into {state}: {error.strerror}") from error
    return False


def facts(state: Path) -> Facts | None:
    """Where the agent of the state folder listens; None while it does not."""
    try:
        said = json.loads((state / "agent.json").read_text())
        return Facts(int(said["pid"]), str(said["listen"]), str(said.get("socket", "")), str(said.get("version", "")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def serving(state: Path) -> Facts:
    """The agent of the state folder.

    Raises:
        AgentUnreachable: none runs there.
    """
    found = facts(state) if running(state) else None
    if found is None:
        raise AgentUnreachable(f"no agent runs on {state}; start one with: mee6 agent serve --detach")
    return found


def start(state: Path, options: list[str], answers: Callable[[Facts], bool]) -> Facts:
    """Starts `mee6 agent serve` in a session of its own and waits until it answers.

    Args:
        options: of `mee6 agent serve`.
        answers: whether the agent answers where it says it listens.

    Raises:
        Mee6Error: it ended at once; the message is its own. The class is told by its exit code.
        InvalidInput: the state folder cannot be made.
        TimedOut: it did not answer in time; it has been stopped again.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"cannot use the state folder {state}: {error.strerror}; see --state-dir") from error
    log = state / LOG
    seen = log.stat().st_size if log.exists() else 0
    pid = _spawn([*options, "--state-dir", str(state)], log)
    try:
        return _started(pid, state, seen, answers)
    except BaseException:
        _end(pid)
        raise


def stop(state: Path, *, now: bool, patience_s: float, on_wait: Callable[[], None] = lambda: None) -> int:
    """Asks the agent of the state folder to stop and waits until it has.

    Args:
        now: does not wait for what runs.
        on_wait: called again and again meanwhile.

    Returns:
        The pid it had.

    Raises:
        AgentUnreachable: none runs there.
        TimedOut: it has not stopped in time, or cannot, since it is frozen.
    """
    pid = serving(state).pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    began = time.monotonic()
    asked_again = killed = False
    while running(state):
        waited = time.monotonic() - began
        with contextlib.suppress(ProcessLookupError):
            if now and not asked_again and waited > 0.1:
                asked_again = True
                os.kill(pid, signal.SIGTERM)  # the second means at once
            if now and not killed and waited > _KILL_S:
                killed = True
                os.kill(pid, signal.SIGKILL)
        if waited > patience_s + _KILL_S:
            raise TimedOut(f"the agent (pid {pid}) has not stopped within {waited:.0f} s; use: mee6 agent stop --now")
        if not now and _is_frozen(pid):
            raise TimedOut(
                f"the agent (pid {pid}) is frozen and will stop only once it goes on; wake it with: kill -CONT {pid}, "
                "or end it with: mee6 agent stop --now"
            )
        on_wait()
        time.sleep(_POLL_S)
    _reap(pid)
    return pid


def _started(pid: int, state: Path, seen: int, answers: Callable[[Facts], bool]) -> Facts:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            raise _ended(os.waitstatus_to_exitcode(status), state / LOG, seen)
        found = facts(state)
        if found is not None and found.pid == pid and answers(found):
            return found
        time.sleep(_POLL_S)
    raise TimedOut(f"the agent did not answer within {_START_S:.0f} s; see its log: {state / LOG}")


def _spawn(options: list[str], log: Path) -> int:
    # -P: a folder `agent` where the user stands must not be taken for ours.
    argv = [sys.executable, "-P", "-m", "mee6tui.cli.main", "agent", "serve", *options]
    files = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(sys.executable, argv, os.environ, file_actions=files, setsid=True)


def _ended(code: int, log: Path, seen: int) -> Mee6Error:
    with log.open("rb") as file:
        file.seek(seen)
        said = file.read().decode("utf-8", "replace").strip().splitlines()
    last = said[-1].removeprefix("mee6: ") if said else f"it ended with code {code} and said nothing"
    kind = next((cls for cls in map(by_code, _CODES) if cls.exit == code), Mee6Error)
    return kind(f"the agent did not start: {last} (log: {log})")


_CODES: Final = ("conflict", "invalid_input", "exhausted", "not_allowed")


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + _KILL_S
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(_POLL_S)


def _is_frozen(pid: int) -> bool:
    """Whether somebody has stopped the process with SIGSTOP."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"T", "t"}
    except (OSError, IndexError):
        return False


def _reap(pid: int) -> None:
    """Takes note of the end of an agent that this very process started."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
