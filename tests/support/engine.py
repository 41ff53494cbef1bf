"""A Docker Engine of a test's own, to be killed, stopped and hung; it shares nothing with any other one.

`PrivateEngine` runs `dockerd` with its own data, runtime folder and socket, without bridge and firewall rules, so that
a machine's network stays as it is. `Tap` stands between a driver and an engine, counts what is asked, and may hold
answers back or refuse in the engine's name.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import psutil
from docker import APIClient

from agent import images

START_S: Final = 30.0
END_S: Final = 30.0


def why_not() -> str:
    """What is missing for an engine of one's own, in one line."""
    missing = [name for name in ("dockerd", "containerd") if shutil.which(name) is None]
    return f"{missing[0]} is not installed" if missing else ""


def save_image(name: str, to: Path) -> Path:
    """Writes an image of the engine that `DOCKER_HOST` names into a file."""
    with images.connect() as api, to.open("wb") as file:
        for chunk in api.get_image(name):
            file.write(chunk)
    return to


class PrivateEngine:
    """One engine.

    Args:
        base: its folder; kept between lives of it, removed by `close`.
        data: where images and containers are; a folder in `base` by default.
    """

    def __init__(self, base: Path, data: Path | None = None) -> None:
        self.base = base
        self.data = data or base / "data"
        self.socket = base / "engine.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._helpers: list[psutil.Process] = []

    @property
    def url(self) -> str:
        """For `DOCKER_HOST`."""
        return f"unix://{self.socket}"

    @property
    def is_running(self) -> bool:
        """Whether its process is there, hung or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Starts it, and returns once it answers."""
        self.base.mkdir(parents=True, exist_ok=True)
        for stale in (self.base / "pid", self.base / "exec" / "containerd" / "containerd.pid"):
            stale.unlink(missing_ok=True)
        # In a network of its own: an engine without a bridge removes docker0, which would be another engine's.
        command = ["unshare", "--net", "dockerd", "--data-root", str(self.data), "--exec-root", str(self.base / "exec")]
        command += ["--pidfile", str(self.base / "pid"), "--host", self.url, "--bridge", "none", "--iptables=false"]
        with (self.base / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if not self.is_running or time.monotonic() > deadline:
                said = (self.base / "log").read_text(errors="replace")
                raise AssertionError(f"the engine did not start: {said[-2000:]}")
            time.sleep(0.05)
        self._helpers = psutil.Process(self._process.pid).children(recursive=True)
        return self

    def _answers(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(START_S)
            sock.connect(str(self.socket))
            sock.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            return b" 200 " in sock.recv(4096)
        return False

    def client(self, timeout_s: int = 60) -> APIClient:
        """A client of it."""
        return APIClient(base_url=self.url, version="1.41", timeout=timeout_s)

    def load(self, archive: Path) -> None:
        """Loads an image from a file."""
        with self.client() as api, archive.open("rb") as file:
            api.load_image(file)  # type: ignore[no-untyped-call]

    def containers(self, **filters: Any) -> list[dict[str, Any]]:
        """All containers, whatever their state."""
        with self.client() as api:
            return list(api.containers(all=True, filters=filters))

    def kill(self) -> None:
        """kill -9, of its containerd too; what runs in containers lives on."""
        assert self._process is not None
        self.resume()
        self._process.kill()
        self._process.wait()
        self._end_helpers()

    def stop(self) -> None:
        """Has it end, with all of its containers."""
        if self._process is None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._end_helpers()

    def hang(self) -> None:
        """SIGSTOP: connections are taken by the kernel, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undoes `hang`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends it and removes all that it made: processes of containers, mounts, files."""
        self.stop()
        for process in self.shims():
            with suppress(psutil.Error):
                for child in process.children(recursive=True):
                    child.kill()
                process.kill()
        for place in sorted(_mounts_below(self.base), reverse=True):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)

    def _end_helpers(self) -> None:
        for helper in self._helpers:  # containerd; shims are not its children for long, and stay
            with suppress(psutil.Error):
                if helper.name() == "containerd":
                    helper.kill()
                    helper.wait(END_S)

    def shims(self) -> list[psutil.Process]:
        """The process beside each container that runs; it holds the control groups, too."""
        mark = str(self.base)
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if "containerd-shim" in process.name() and any(mark in part for part in process.cmdline()):
                    found.append(process)
        return found


@contextmanager
def private_engine(data_bytes: int = 0) -> Iterator[PrivateEngine]:
    """An engine that runs, in a folder of its own with a short path, since sockets live in it.

    Args:
        data_bytes: the size of its disk; 0 = the machine's.
    """
    base = Path(tempfile.mkdtemp(prefix="m6g"))
    data = base / "data"
    data.mkdir()
    if data_bytes:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={data_bytes}", "tmpfs", str(data)], check=True)
    engine = PrivateEngine(base, data)
    try:
        yield engine.start()
    finally:
        engine.close()


def _mounts_below(base: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [place for line in lines if (place := line.split()[4]).startswith(f"{base}/")]


class Tap:
    """A socket in front of an engine's.

    Args:
        path: where it listens.
        engine: the engine's own socket.
        verdict: looks at each request, as `POST /containers/create`; says a status to refuse it with, or 0. It may
            wait.
    """

    def __init__(self, path: Path, engine: Path, verdict: Callable[[str], int] = lambda _: 0) -> None:
        self.path = path
        self._engine = engine
        self.verdict = verdict
        self._listener = socket.socket(socket.AF_UNIX)
        self._lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        """Request -> how many came."""
        self.under_way: Counter[str] = Counter()
        """Request -> how many wait for their answer now."""
        self.most: Counter[str] = Counter()
        """Request -> how many waited at once at most."""
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    @property
    def url(self) -> str:
        """For `DOCKER_HOST`."""
        return f"unix://{self.path}"

    def __enter__(self) -> Self:
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._spawn(self._accept)
        return self

    def __exit__(self, *_error: object) -> None:
        for sock in (self._listener, *self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(END_S)

    def _spawn(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine:
            self._sockets += [client, engine]
            current = [""]
            try:
                engine.connect(str(self._engine))
                self._spawn(self._answers, engine, client, current)
                while data := client.recv(1 << 16):
                    if name := _request(data):
                        self._begun(name)
                        current[0] = name
                        if status := self.verdict(name):
                            self._ended(current)
                            client.sendall(_refusal(status))
                            continue
                    engine.sendall(data)
            except OSError:
                pass
            finally:
                self._ended(current)
                with suppress(OSError):
                    engine.shutdown(socket.SHUT_RDWR)

    def _answers(self, engine: socket.socket, client: socket.socket, current: list[str]) -> None:
        with suppress(OSError):
            while data := engine.recv(1 << 16):
                self._ended(current)
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _begun(self, name: str) -> None:
        with self._lock:
            self.asked[name] += 1
            self.under_way[name] += 1
            self.most[name] = max(self.most[name], self.under_way[name])

    def _ended(self, current: list[str]) -> None:
        with self._lock:
            if current[0]:
                self.under_way[current[0]] -= 1
            current[0] = ""


def _request(data: bytes) -> str:
    """The request that begins here, without versions and ids; empty where none does."""
    words = data.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/"):
        return ""
    parts = [part for part in words[1].decode().partition("?")[0].split("/") if part]
    kept = [part for part in parts if not part.startswith("v1.") and not (len(part) == 64 and part.isalnum())]
    return f"{words[0].decode()} /{'/'.join(kept)}"


def _refusal(status: int) -> bytes:
    body = b'{"message": "refused by a test"}'
    head = f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
