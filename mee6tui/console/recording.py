"""A recording: what agents sent, one item a line, in a file that can be attached to a report and played again.

The first line says what the file is. It is only ever appended to, so that one that was cut short can be read up to
its last whole line. A line: when (seconds since the first), whose, and the snapshot or the batch. Everything is
written as it was sent, names, log lines and errors of functions included.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Final, Self

import msgspec

from mee6 import records
from mee6.errors import InvalidInput
from mee6.records import Batch, Event, Snapshot
from mee6tui.console.source import Item

FORMAT: Final = "mee6-recording"
VERSION: Final = 1
LIMIT_BYTES: Final = 256 << 20
_HEADER_BYTES: Final = 4096
"""More than any header takes: what has no line end is no recording."""
"""Where a recording ends that nobody ends: an hour or more of a busy agent."""
_KINDS: Final[dict[str, type[records.What]]] = {
    "worker": records.Worker,
    "invocation": records.Invocation,
    "step": records.Step,
    "log": records.Log,
    "handover": records.Handover,
    "function": records.FunctionChange,
    "node": records.Node,
    "figures": records.Figures,
}
_AT = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
_NS = Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]
_NAMES: Final = {record: name for name, record in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Recorded:
    """An item, whose it is, and when it came."""

    at_s: float
    """Seconds since the first."""
    source: str
    item: Item


class Recorder:
    """Writes a recording; `note` is what `ConsoleApp.listeners` calls. What goes wrong ends it and nothing else.

    Args:
        limit_bytes: the file does not grow beyond it.

    Raises:
        InvalidInput: the file is there already, or cannot be written.
    """

    def __init__(self, path: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self.stopped = ""
        """Why nothing more is written; empty while it is."""
        self._began: float | None = None
        try:
            # For its owner alone: it holds what functions wrote.
            self._file: IO[bytes] = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except FileExistsError as error:
            raise InvalidInput(f"{path} is there already; give a name that is free") from error
        except OSError as error:
            raise InvalidInput(f"cannot write {path}: {error.strerror}") from error
        self._write({"format": FORMAT, "version": VERSION})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):
            self._file.close()

    def note(self, source: str, item: Item, at: float) -> None:
        """Appends an item."""
        if self.stopped:
            return
        self._began = at if self._began is None else self._began
        line: dict[str, Any] = {"at_s": round(at - self._began, 6), "source": source}
        if isinstance(item, Snapshot):
            line["snapshot"] = item
        else:
            events = [
                {"at_ns": event.at_ns, "kind": _NAMES[type(event.what)], "what": event.what} for event in item.events
            ]
            line["batch"] = {"seq": item.seq, "events": events}
        self._write(line)

    def _write(self, line: Any) -> None:
        text = msgspec.json.encode(line) + b"\n"
        if self.bytes + len(text) > self.limit_bytes:
            self.stopped = f"it has reached its limit of {self.limit_bytes >> 20} MiB"
            return
        try:
            self._file.write(text)
            self._file.flush()  # what is written outlives the console, however that ends
        except OSError as error:
            self.stopped = error.strerror or str(error)
        else:
            self.bytes += len(text)


def read(path: Path) -> Iterator[Recorded]:
    """What a recording holds, up to its last whole line; fields that this version does not know are passed over.

    Raises:
        InvalidInput: it cannot be read, or is no recording that this version understands.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
    with file:
        _check_header(path, file.readline(_HEADER_BYTES))
        for number, line in enumerate(file, 2):
            if not line.endswith(b"\n"):
                return
            try:
                yield _decoded(msgspec.json.decode(line))
            except (msgspec.MsgspecError, KeyError, TypeError, RecursionError) as error:
                raise InvalidInput(f"{path}, line {number} is broken: {error}") from error


def _check_header(path: Path, line: bytes) -> None:
    try:
        header = msgspec.json.decode(line)
        form, version = header["format"], header["version"]
    except (msgspec.MsgspecError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput(f"{path} is no recording; make one with: mee6 console --record FILE") from error
    if form != FORMAT or version != VERSION:
        raise InvalidInput(f"{path} is {form!r} of version {version}; this mee6 reads {FORMAT!r} of version {VERSION}")


def _decoded(line: Any) -> Recorded:
    item: Item
    if "snapshot" in line:
        item = msgspec.convert(line["snapshot"], Snapshot)
    else:
        events = tuple(
            Event(msgspec.convert(event["at_ns"], _NS), msgspec.convert(event["what"], _KINDS[event["kind"]]))
            for event in line["batch"]["events"]
            if event["kind"] in _KINDS
        )
        item = Batch(msgspec.convert(line["batch"]["seq"], int), events)
    return Recorded(msgspec.convert(line["at_s"], _AT), msgspec.convert(line["source"], str), item)
