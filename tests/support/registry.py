"""A registry of images on a loopback port: a real one, and one in front of it that holds a layer back."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.error import HTTPError

PROGRAM: Final = "docker-registry"
_UP_S: Final = 20.0
_CONFIG: Final = """
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {folder}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def why_no_registry() -> str:
    """What is missing, in one line; empty when nothing is."""
    return "" if shutil.which(PROGRAM) else f"{PROGRAM} is not installed; run: apt-get install -y {PROGRAM}"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """A registry that keeps its images in `folder`, as `localhost:PORT`."""
    port = free_port()
    config = folder / "config.yml"
    config.write_text(_CONFIG.format(folder=folder / "images", port=port))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(config)], stdout=log, stderr=log, cwd=folder)
        try:
            _wait(port, process, folder / "log")
            yield f"localhost:{port}"
        finally:
            process.terminate()
            process.wait(_UP_S)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _UP_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/").close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "the registry does not answer"
            time.sleep(0.05)
        else:
            return


@dataclass
class Held:
    """A registry that sends the beginning of a layer, and no more."""

    name: str
    """As `localhost:PORT`."""
    asked: threading.Event = field(default_factory=threading.Event)
    """A layer has been asked for."""
    go_on: threading.Event = field(default_factory=threading.Event)
    """Set, it sends a little more: an engine looks only then whether anybody still wants the layer."""
    left: threading.Event = field(default_factory=threading.Event)
    """Who asked for it has gone."""


@contextmanager
def holding(behind: str, larger_than: int) -> Iterator[Held]:
    """Passes on what the registry `behind` says, but for layers larger than so many bytes."""
    server = _Holding(behind, larger_than)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield server.held
    finally:
        server.held.go_on.set()
        server.shutdown()
        serving.join()
        server.server_close()


class _Holding(ThreadingHTTPServer):
    def __init__(self, behind: str, larger_than: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.larger_than = larger_than
        self.held = Held(f"localhost:{self.server_port}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Holding

    def do_HEAD(self) -> None:
        self._pass("HEAD")

    def do_GET(self) -> None:
        self._pass("GET")

    def _pass(self, method: str) -> None:
        headers = {"Accept": ", ".join(self.headers.get_all("Accept") or ["*/*"])}
        asking = urllib.request.Request(f"http://{self.server.behind}{self.path}", method=method, headers=headers)
        try:
            answer = urllib.request.urlopen(asking)
        except HTTPError as error:
            answer = error  # it is an answer too
        with answer:
            body = answer.read()
            self.send_response(answer.status)
            for name in ("Content-Type", "Docker-Content-Digest", "Docker-Distribution-Api-Version"):
                if value := answer.headers.get(name):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.headers.get("Content-Length", str(len(body))))
            self.end_headers()
        if "/blobs/" in self.path and len(body) > self.server.larger_than:
            self._hold(body)
        else:
            self.wfile.write(body)

    def _hold(self, body: bytes) -> None:
        held, some = self.server.held, self.server.larger_than
        self.close_connection = True
        self.wfile.write(body[: some // 2])
        held.asked.set()
        held.go_on.wait(60)
        self.connection.settimeout(60)
        try:
            self.wfile.write(body[some // 2 : some])
            gone = not self.connection.recv(1)
        except ConnectionError:
            gone = True
        except TimeoutError:
            gone = False
        if gone:
            held.left.set()

    def log_message(self, *_said: object) -> None:
        """Says nothing."""
