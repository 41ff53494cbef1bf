"""`Client` for scripts without an event loop: `with SyncClient() as client: client.invoke("echo", "foo")`.

The client has an event loop of its own that runs only while a method waits. Ctrl-C during a call calls the
invocation off before `KeyboardInterrupt` goes on. One thread at a time; in async code use `Client`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from mee6.client import Client, Line, Progress
from mee6.records import Added, Batch, Description, Function, LogLine, Node, Outcome, Snapshot, Trace, Worker

T = TypeVar("T")


class SyncClient:
    """As `mee6.client.Client`, blocking; the methods are described there."""

    def __init__(self, address: str | None = None, *, user: str | None = None, context: str | None = None) -> None:
        self._client = Client(address, user=user, context=context)
        self._runner = asyncio.Runner()
        self._closed = False
        self.address = self._client.address
        self.user = self._client.user

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection. Idempotent."""
        if self._closed:
            return
        try:
            self._run(self._client.close())
        finally:
            self._closed = True
            self._runner.close()

    def invoke(self, name: str, arg: Any = None, *, user: str | None = None, timeout: float | None = None) -> Any:
        """As `Client.invoke`."""
        return self._run(self._client.invoke(name, arg, user=user, timeout=timeout))

    def invoke_raw(
        self, name: str, data: bytes, content_type: str, *, user: str | None = None, timeout: float | None = None
    ) -> Outcome:
        """As `Client.invoke_raw`."""
        return self._run(self._client.invoke_raw(name, data, content_type, user=user, timeout=timeout))

    def submit(self, name: str, arg: Any = None, *, user: str | None = None, timeout: float | None = None) -> str:
        """As `Client.submit`."""
        return self._run(self._client.submit(name, arg, user=user, timeout=timeout))

    def submit_raw(
        self, name: str, data: bytes, content_type: str, *, user: str | None = None, timeout: float | None = None
    ) -> str:
        """As `Client.submit_raw`."""
        return self._run(self._client.submit_raw(name, data, content_type, user=user, timeout=timeout))

    def result(self, invocation: str, *, wait: float = 0.0) -> Any:
        """As `Client.result`."""
        return self._run(self._client.result(invocation, wait=wait))

    def result_raw(self, invocation: str, *, wait: float = 0.0) -> Outcome:
        """As `Client.result_raw`."""
        return self._run(self._client.result_raw(invocation, wait=wait))

    def cancel(self, invocation: str) -> None:
        """As `Client.cancel`."""
        self._run(self._client.cancel(invocation))

    def add(
        self,
        folder: str | Path,
        *,
        name: str = "",
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        on_progress: Progress | None = None,
        on_line: Line | None = None,
    ) -> Added:
        """As `Client.add`."""
        return self._run(
            self._client.add(
                folder, name=name, user=user, env=env, check=check, on_progress=on_progress, on_line=on_line
            )
        )

    def list(self, *, user: str | None = None) -> tuple[Function, ...]:
        """As `Client.list`."""
        return self._run(self._client.list(user=user))

    def describe(self, name: str, *, user: str | None = None, show_env: bool = False) -> Description:
        """As `Client.describe`."""
        return self._run(self._client.describe(name, user=user, show_env=show_env))

    def remove(self, name: str, *, user: str | None = None) -> None:
        """As `Client.remove`."""
        self._run(self._client.remove(name, user=user))

    def trace(self, invocation: str = "", *, user: str | None = None, usual: bool = False) -> Trace:
        """As `Client.trace`."""
        return self._run(self._client.trace(invocation, user=user, usual=usual))

    def nodes(self) -> tuple[Node, ...]:
        """As `Client.nodes`."""
        return self._run(self._client.nodes())

    def workers(self) -> tuple[Worker, ...]:
        """As `Client.workers`."""
        return self._run(self._client.workers())

    def evict(self, worker: str, *, force: bool = False) -> None:
        """As `Client.evict`."""
        self._run(self._client.evict(worker, force=force))

    def pause(self, worker: str) -> Worker:
        """As `Client.pause`."""
        return self._run(self._client.pause(worker))

    def resume(self, worker: str) -> Worker:
        """As `Client.resume`."""
        return self._run(self._client.resume(worker))

    def drain(self) -> Node:
        """As `Client.drain`."""
        return self._run(self._client.drain())

    def undrain(self) -> Node:
        """As `Client.undrain`."""
        return self._run(self._client.undrain())

    def watch(
        self,
        *,
        kinds: Iterable[str] = (),
        functions: Iterable[str] = (),
        workers: Iterable[str] = (),
        snapshot: bool = True,
    ) -> Iterator[Snapshot | Batch]:
        """As `Client.watch`."""
        return self._iterate(
            lambda: self._client.watch(kinds=kinds, functions=functions, workers=workers, snapshot=snapshot)
        )

    def logs(
        self,
        function: str = "",
        *,
        invocation: str = "",
        follow: bool = False,
        tail: int = 0,
        since_s: float = 0.0,
        user: str | None = None,
    ) -> Iterator[LogLine]:
        """As `Client.logs`."""
        return self._iterate(
            lambda: self._client.logs(
                function, invocation=invocation, follow=follow, tail=tail, since_s=since_s, user=user
            )
        )

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise RuntimeError("the client is closed")
        return self._runner.run(work)

    def _iterate(self, start: Callable[[], AsyncGenerator[T, None]]) -> Iterator[T]:
        source = start()
        try:
            while found := self._run(_next(source)):
                yield found[0]
        finally:
            if not self._closed:
                self._run(source.aclose())


async def _next(source: AsyncGenerator[T, None]) -> tuple[T, ...]:
    try:
        return (await anext(source),)
    except StopAsyncIteration:
        return ()
