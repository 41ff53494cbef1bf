"""What the invocations of a process print that runs several at once, each as `Log` frames of its own.

`sys.stdout` and `sys.stderr` ask a context variable who writes: each invocation's task has its own, and so has what it
starts with `asyncio.create_task` or `asyncio.to_thread`. Text of anybody else goes to the process's own descriptors and
so to the worker's log. Whole lines go out at once while that is seldom, else a few times in a second.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from contextvars import ContextVar
from time import monotonic_ns
from typing import Final

from mee6.lane.blocking import BlockingLane
from mee6.lane.messages import Log, Stream

_PAUSE_S: Final = 0.02
_BLOCK_CHARACTERS: Final = 16 << 10
"""Of a line that has not ended."""


class Writer:
    """What one invocation has written."""

    __slots__ = ("carried", "dropped", "id", "is_over", "lines", "logs")

    def __init__(self, number: str) -> None:
        self.id = number
        self.is_over = False
        self.carried = 0
        self.dropped = 0
        self.lines: dict[Stream, str] = {}
        """Beginnings of lines."""
        self.logs: list[Log] = []
        """What has not been sent."""


WRITER: Final[ContextVar[Writer | None]] = ContextVar("mee6_writer", default=None)


class Attributed:
    """Both streams of one process.

    Args:
        limit: bytes carried of one invocation; more are counted and dropped.
    """

    def __init__(self, lane: BlockingLane, limit: int) -> None:
        self.lane = lane
        self.limit = limit
        self._lock = threading.RLock()  # a finalizer that prints may run while it is held
        self._waiting: set[Writer] = set()
        """Those with something to be sent."""
        self._sent_ns = 0
        self._timer: threading.Timer | None = None

    def install(self) -> None:
        """Puts the streams in the place of the process's own."""
        sys.stdout, sys.stderr = _Text(self, "out", 1), _Text(self, "err", 2)
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc, assignment] # as a fresh process

    def end(self, writer: Writer) -> list[Log]:
        """What an invocation has written and was not sent, to go before its report."""
        if not writer.lines and not writer.logs and not writer.dropped:
            writer.is_over = True
            return []
        with self._lock:
            writer.is_over = True
            for stream, text in writer.lines.items():
                writer.logs.append(Log(writer.id, stream, text, monotonic_ns()))
            if writer.dropped:
                writer.logs.append(Log(writer.id, "err", "", monotonic_ns(), writer.dropped))
            self._waiting.discard(writer)
            return writer.logs

    def write(self, stream: Stream, fd: int, text: str) -> None:
        """Takes text of whoever runs."""
        writer = WRITER.get()
        if writer is None or writer.is_over:
            os.write(fd, text.encode(errors="backslashreplace"))
            return
        with self._lock:
            size = len(text.encode(errors="backslashreplace"))
            room = self.limit - writer.carried
            if size > room:
                writer.dropped += size - max(room, 0)
                text = text.encode(errors="backslashreplace")[: max(room, 0)].decode(errors="ignore")
            writer.carried += min(size, max(room, 0))
            text = writer.lines.pop(stream, "") + text
            end = len(text) if len(text) > _BLOCK_CHARACTERS else text.rfind("\n") + 1
            if end < len(text):
                writer.lines[stream] = text[end:]
            if end:
                self._gather(writer, Log(writer.id, stream, text[:end], monotonic_ns()))

    def _gather(self, writer: Writer, log: Log) -> None:
        if writer.logs and writer.logs[-1].stream == log.stream:
            last = writer.logs[-1]
            log = Log(log.invocation, log.stream, writer.logs.pop().text + log.text, last.at_ns)
        writer.logs.append(log)
        self._waiting.add(writer)
        if log.at_ns - self._sent_ns > _PAUSE_S * 1e9 or len(log.text) > _BLOCK_CHARACTERS:
            self._send()
        elif self._timer is None:
            # A thread's, since a function that never yields lets no timer of the event loop run.
            self._timer = threading.Timer(_PAUSE_S, self._send)
            self._timer.daemon = True
            self._timer.start()

    def _send(self) -> None:
        with self._lock:
            self._timer = None
            self._sent_ns = monotonic_ns()
            logs = [log for writer in self._waiting for log in writer.logs]
            for writer in self._waiting:
                writer.logs = []
            self._waiting.clear()
            try:
                self.lane.send(*logs)
            except OSError:
                return  # the lane has ended, and with it this process soon


class _Text(io.TextIOBase):
    """One of the two streams."""

    def __init__(self, output: Attributed, stream: Stream, fd: int) -> None:
        self._output = output
        self._stream: Stream = stream
        self._fd = fd
        self.buffer = _Bytes(self)

    @property
    def encoding(self) -> str:  # type: ignore[override] # a plain attribute in io, for whoever asks
        """UTF-8."""
        return "utf-8"

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The raw descriptor, for programs that the function starts; what they write goes past the SDK."""
        return self._fd

    def write(self, text: str) -> int:
        """Takes all of it."""
        self._output.write(self._stream, self._fd, text)
        return len(text)


class _Bytes(io.RawIOBase):
    """What stands below a text stream, for those who write bytes."""

    def __init__(self, above: _Text) -> None:
        self._above = above

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """As above."""
        return self._above.fileno()

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override] # all that people pass
        """Takes all of it."""
        self._above.write(bytes(data).decode(errors="replace"))
        return len(data)
