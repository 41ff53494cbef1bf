"""Who is on the lanes: the one-time tokens that are out, and the peers that came with them.

A peer is who its token says, once, and the process it comes from must belong to that worker. What follows from it
is the shell's business.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from agent.core import events as ev
from agent.peers import Peer
from agent.seats import Seat
from mee6.errors import NotAllowed
from mee6.lane.messages import Hello

Connected = ev.WorkerConnected | ev.RuntimeConnected


class Presence:
    """Tokens and peers of all workers.

    Args:
        owns: whether a process belongs to a worker; see `Driver.owns`.
    """

    def __init__(self, owns: Callable[[str, int], bool]) -> None:
        self._owns = owns
        self._tokens: dict[str, Seat] = {}
        self._peers: dict[Peer, Seat] = {}
        self.seat_of: Callable[[Peer], Seat | None] = self._peers.get
        """Where a peer sits; None for one whose worker has been ended. Asked for every message."""

    def expect(self, seat: Seat) -> str:
        """Makes the token of what is to connect to a worker's seat next."""
        seat.token = secrets.token_hex(16)
        self._tokens[seat.token] = seat
        return seat.token

    def attach(self, peer: Peer, hello: Hello, pid: int | None) -> tuple[Seat, Connected]:
        """Gives a peer the seat that its token is for; says what that is to the core.

        Raises:
            NotAllowed: the token is none, or another worker's.
        """
        seat = self._tokens.get(hello.token)
        if seat is None:
            raise NotAllowed("this token is not known, or has been used")
        if pid is not None and not self._owns(seat.worker, pid):
            raise NotAllowed(f"process {pid} does not belong to worker {seat.worker}")
        del self._tokens[hello.token]
        seat.token = ""
        self._peers[peer] = seat
        seat.has_store = hello.store
        if seat.proxy is not None:
            seat.runtime, seat.runtime_pid, seat.takes_many = peer, hello.pid, hello.many
            return seat, ev.RuntimeConnected(seat.worker)
        if hello.role == "proxy":
            seat.proxy, seat.proxy_pid = peer, hello.pid
            return seat, ev.WorkerConnected(seat.worker)
        seat.runtime, seat.runtime_pid, seat.is_direct = peer, hello.pid, True
        seat.takes_many = hello.many
        return seat, ev.WorkerConnected(seat.worker, direct=True)

    def leave(self, peer: Peer) -> Seat | None:
        """Takes note that a peer is gone; where it sat."""
        return self._peers.pop(peer, None)

    def take_back(self, seat: Seat) -> None:
        """Undoes a handover: its token is worth nothing any more, and the runtime's own lane ends."""
        self._tokens.pop(seat.token, None)
        seat.token = ""
        if seat.runtime is not None:
            self._peers.pop(seat.runtime, None)
            seat.runtime.close()
            seat.runtime = None

    def end(self, seat: Seat) -> None:
        """Sees all of a worker's peers off."""
        self._tokens.pop(seat.token, None)
        for peer in (seat.proxy, seat.runtime):
            if peer is not None:
                self._peers.pop(peer, None)
                peer.close()
