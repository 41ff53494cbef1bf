"""Who executes, as the node sees it: something that takes lane messages, over whatever wire.

`agent.lanes` makes peers of Unix-socket connections, `agent.services.invokee` of gRPC streams; the node
cannot tell them apart. The wire calls `attach` with the peer's `Hello`, then `received` for every message,
then `detach` once, when it is gone. All on the event loop; none of them blocks.
"""

from __future__ import annotations

from typing import Protocol

from mee6.lane.messages import AnyMessage, Hello, Welcome


class Peer(Protocol):
    """One proxy or runtime."""

    def send(self, *messages: AnyMessage) -> None:
        """Queues messages; never waits. After the peer is gone it does nothing."""
        ...

    def close(self) -> None:
        """Ends the connection after what was queued has gone out."""
        ...


class PeerHost(Protocol):
    """What the node offers to the wires."""

    def attach(self, peer: Peer, hello: Hello, pid: int | None) -> Welcome:
        """Takes in a peer.

        Args:
            pid: the peer's process as the kernel vouches for it; None where the wire cannot know.

        Raises:
            NotAllowed: the token is unknown, used, or not that process's.
        """
        ...

    def received(self, peer: Peer, message: AnyMessage) -> None:
        """Handles what a peer sent.

        Raises:
            ProtocolError: it had no business sending that; the wire closes the peer.
        """
        ...

    def detach(self, peer: Peer, reason: str) -> None:
        """Takes note that a peer is gone.

        Args:
            reason: why the wire cut it off; empty where the peer ended it.
        """
        ...
