"""The client that measures HTTP, against a server that answers in halves."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.benchmarks.harness import http_client
from tests.benchmarks.harness.http_client import Connection, closed_loop, one_by_one, open_loop, request

ANSWER = b"HTTP/1.1 %d OK\r\nContent-Length: 5\r\n\r\nhello"


def serve(sock: socket.socket, statuses: list[int]) -> None:
    with contextlib.suppress(OSError), sock:
        turn = 0
        while sock.recv(1 << 16):
            answer = ANSWER % statuses[turn % len(statuses)]
            turn += 1
            for half in (answer[:20], answer[20:]):
                sock.sendall(half)


@pytest.fixture
def statuses() -> list[int]:
    return [200]


@pytest.fixture
def address(statuses: list[int]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=serve, args=(sock, statuses), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_every_request_asked_for_is_timed(address: str) -> None:
    took = one_by_one(address, request("/a", b"x"), 50)
    assert len(took) == 50
    assert min(took) > 0


@pytest.mark.parametrize("statuses", [[200, 429]])
def test_a_load_tells_answers_apart_by_their_status(address: str) -> None:
    load = closed_loop(address, request("/a"), 2, 0.1)
    taken, refused = len(load.took[200]), len(load.took[429])
    assert taken > 5
    assert abs(taken - refused) <= 4


def test_an_open_loop_keeps_its_rate_and_counts_what_it_could_not_send(address: str) -> None:
    load = open_loop(address, request("/a"), 1, 0.2, 100.0)
    assert 10 <= len(load.took[200]) + load.late <= 21
    flood = open_loop(address, request("/a"), 1, 0.2, 1e6)
    assert flood.late > 1000


@pytest.mark.parametrize("statuses", [[404]])
def test_an_answer_that_is_none_is_no_sample(address: str) -> None:
    with pytest.raises(AssertionError, match="404"):
        one_by_one(address, request("/a"), 1)


def test_a_server_that_hangs_up_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(f"127.0.0.1:{listener.getsockname()[1]}")
        listener.accept()[0].close()
        with connection.sock, pytest.raises(ConnectionError):
            connection.receive()


def test_a_load_leaves_no_request_without_its_answer(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_now = 0

    class Counted(Connection):
        def send(self, asked: bytes, began: int) -> None:
            nonlocal open_now
            open_now += 1
            super().send(asked, began)

        def receive(self) -> int:
            nonlocal open_now
            status = super().receive()
            open_now -= bool(status)
            return status

    monkeypatch.setattr(http_client, "Connection", Counted)
    closed_loop(address, request("/a"), 8, 0.1)
    assert open_now == 0
