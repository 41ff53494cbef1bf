"""What a function prints, as `Log` frames of its invocation.

`sys.stdout` and `sys.stderr` are ordinary text streams over a sink that makes frames of what is flushed to it:
at each new line while that is seldom, in blocks when it comes thick. Over `Limits.log_bytes` output is counted
and dropped, by streams that do not care about lines, so that a function that prints a gigabyte pays for little
more than its own formatting. Order is kept across both streams.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from codecs import getincrementaldecoder
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

from mee6.lane.blocking import BlockingLane
from mee6.lane.messages import Log, Stream

_BLOCK_BYTES: Final = 16 << 10
_PROMPT_FLUSHES: Final = 64
"""Lines that go out at once, per invocation; afterwards one each `_PAUSE_NS`, or a block at a time."""
_PAUSE_NS: Final = 20_000_000
_STRAGGLER_S: Final = 0.05
"""How long output may stay behind when a function goes quiet in the middle of a block."""
_decoder: Final = getincrementaldecoder("utf-8")


class Output:
    """Both streams of one process."""

    def __init__(self, lane: BlockingLane, limit: int) -> None:
        self.lane = lane
        self.limit = limit
        self.preface: Callable[[], None] = lambda: None
        """Sends what has to go before output."""
        self._lock = threading.RLock()
        self._pending: list[Log] = []
        self._pending_bytes = 0
        self._invocation = ""
        self._carried = 0
        self._dropped = 0
        self._prompt = _PROMPT_FLUSHES
        self._sent_ns = 0
        self._timer: threading.Timer | None = None
        self._sinks = (_Sink(self, "out", 1), _Sink(self, "err", 2))
        self._streams = tuple(_text_stream(sink, line_buffering=True) for sink in self._sinks)
        self._wide = tuple(_text_stream(sink, line_buffering=False) for sink in self._sinks)
        """What stands in `sys` once the limit is reached."""
        self._touched = False
        self._widened = False

    def install(self) -> None:
        """Puts the streams in the place of the process's own; a child of the function gets plain ones back."""
        sys.stdout, sys.stderr = self._streams
        sys.__stdout__, sys.__stderr__ = self._streams  # type: ignore[misc] # it is what a fresh process would have
        os.register_at_fork(after_in_child=_plain_streams)

    def begin(self, invocation: str) -> None:
        """From now on output belongs to `invocation`."""
        self._invocation = invocation
        if self._touched:
            self._touched = False
            self._prompt = _PROMPT_FLUSHES
            self._dropped = 0
            self._carried = 0
            self._swap(self._wide, self._streams)

    def end(self) -> list[Log]:
        """What has not been sent yet, to go out before the invocation's report."""
        for stream in self._streams + self._wide if self._widened else self._streams:
            try:
                stream.flush()
            except ValueError:  # the function closed it
                continue
        if not self._touched:
            return []
        with self._lock:
            logs = self._take()
            if self._dropped:
                logs.append(Log(self._invocation, "err", "", monotonic_ns(), self._dropped))
                self._dropped = 0
        return logs

    def write(self, stream: Stream, text: str, size: int) -> None:
        """Takes flushed text of `size` bytes."""
        with self._lock:
            self._touched = True
            room = self.limit - self._carried
            if size > room:
                self._overflow(size - max(room, 0))
                if room <= 0:
                    return
                text = text.encode()[:room].decode(errors="ignore")
            self._carried += size
            now = monotonic_ns()
            pending = self._pending
            if pending and pending[-1].stream == stream:
                last = pending[-1]
                pending[-1] = Log(last.invocation, stream, last.text + text, last.at_ns)
            else:
                pending.append(Log(self._invocation, stream, text, now))
            self._pending_bytes += size
            if self._prompt > 0:
                self._prompt -= 1
            elif self._pending_bytes < _BLOCK_BYTES and now - self._sent_ns < _PAUSE_NS:
                self._send_later()
                return
            self._send(now)

    def flush(self) -> None:
        """Sends what is pending."""
        with self._lock:
            self._timer = None
            if self._pending:
                self._send(monotonic_ns())

    def _send(self, now: int) -> None:
        self._sent_ns = now
        try:
            self.preface()
            self.lane.send(*self._take())
        except OSError:
            return  # the lane has ended, and with it this process soon

    def _take(self) -> list[Log]:
        logs, self._pending, self._pending_bytes = self._pending, [], 0
        return logs

    def _overflow(self, size: int) -> None:
        if not self._dropped:
            self._widened = True
            self._swap(self._streams, self._wide)
        self._dropped += size

    def _swap(self, old: tuple[io.TextIOWrapper, ...], new: tuple[io.TextIOWrapper, ...]) -> None:
        """Puts other streams in place, where the function has not put its own."""
        if sys.stdout is old[0]:
            sys.stdout = new[0]
        if sys.stderr is old[1]:
            sys.stderr = new[1]

    def _send_later(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(_STRAGGLER_S, self.flush)
            self._timer.daemon = True
            self._timer.start()


class _Sink(io.RawIOBase):
    """The end of a stream: bytes in, text to the `Output`."""

    def __init__(self, output: Output, stream: Stream, fd: int) -> None:
        self._output = output
        self._stream: Stream = stream
        self._fd = fd
        self._decoder = _decoder("replace")

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The raw descriptor, for programs that the function starts; what they write goes past the SDK."""
        return self._fd

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override] # all that BufferedWriter passes
        """Takes all of it."""
        size = len(data)
        output = self._output
        if output._dropped:  # noqa: SLF001 - the other half of this module
            output._dropped += size  # noqa: SLF001
            return size
        text = self._decoder.decode(data)
        if text:
            output.write(self._stream, text, size)
        return size


def _text_stream(sink: io.RawIOBase, *, line_buffering: bool) -> io.TextIOWrapper:
    buffered = io.BufferedWriter(sink, _BLOCK_BYTES)
    return io.TextIOWrapper(buffered, encoding="utf-8", errors="backslashreplace", line_buffering=line_buffering)


def _plain_streams() -> None:
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - lives as long as the child
    sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115 - likewise
