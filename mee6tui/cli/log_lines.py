"""What functions wrote, as lines for people and as records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from mee6.errors import InvalidInput
from mee6.records import asdict
from mee6.visible import visible
from mee6tui.cli import output, units

if TYPE_CHECKING:
    from mee6.records import LogLine

_DIM: Final = "\x1b[2m"
_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"


def lines(line: LogLine, *, prefix: bool, times: bool, color: bool) -> Iterator[str]:
    """The lines of text in a piece of output.

    Args:
        prefix: each begins with function, invocation, worker and stream.
        times: each begins with its time.
        color: what was written to `err` is red, and what stands before it dim.
    """
    log = line.log
    words = [moment(line)] if times else []
    words += [log.function, log.invocation, log.worker, log.stream] if prefix else []
    before = "".join(f"{word} " for word in words if word)
    for text in log.text.split("\n")[: -1 if log.text.endswith("\n") or not log.text else None]:
        shown = visible(text.removesuffix("\r"))
        if color:
            shown = f"{_RED}{shown}{_PLAIN}" if log.stream == "err" else shown
            yield (f"{_DIM}{before}{_PLAIN}" if before else "") + shown
        else:
            yield before + shown


def write_record(form: str, line: LogLine) -> None:
    """A piece of output as a line of JSON, or as a document of YAML."""
    row = {"at_ns": line.at_ns, "time": moment(line), **asdict(line.log)}
    if form == "yaml":
        output.write("---")
    output.show_one("jsonl" if form == "json" else form, row, list)


def moment(line: LogLine) -> str:
    """When it was written, UTC; empty where the agent does not tell."""
    if not line.wall_ns:
        return ""
    return datetime.fromtimestamp(line.wall_ns / 1e9, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def seconds_since(text: str, now_s: float) -> float:
    """How long ago that was, of a duration or a time.

    Args:
        now_s: since 1970, UTC.

    Raises:
        InvalidInput: it is neither, or has not come yet.
    """
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        try:
            return units.seconds(text)
        except InvalidInput:
            raise InvalidInput(
                f"--since {text!r} is neither a duration, as in 90s, 5m or 2h, nor a time, as in 2026-01-31T08:00:00Z"
            ) from None
    ago = now_s - then.timestamp()
    if ago < 0:
        raise InvalidInput(f"--since {text!r} has not come yet; give an earlier time, or a duration, as in 5m")
    return ago
