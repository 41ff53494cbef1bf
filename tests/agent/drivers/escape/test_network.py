"""The escape list, network: a function that was not given one reaches nothing, however it asks.

What it is refused is really served on this machine's side, and answers there. *The cloud's metadata address* is
served by nobody here, so that one is told by its reason: there is no way to it, as to what is served. *Neighbour
containers* and *ARP spoofing* take an interface or a packet socket, and there is neither. A function whose manifest
asks for `bridge` reaches what the engine's bridge reaches, other such functions and the machine's addresses among it:
README says so.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from tests.agent.drivers.contract import Rig
from tests.agent.drivers.escape.attempts import function, natively

pytestmark = [pytest.mark.slow, pytest.mark.docker]

METADATA = "169.254.169.254"


@pytest.fixture
def served() -> Iterator[list[tuple[str, int]]]:
    """Addresses of this machine where TCP and UDP are answered."""
    hosts = [
        found.address
        for name, addresses in psutil.net_if_addrs().items()
        for found in addresses
        if found.family == socket.AF_INET and psutil.net_if_stats()[name].isup
    ]
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("0.0.0.0", 0), backlog=64))
        port = listener.getsockname()[1]
        asked = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        asked.bind(("0.0.0.0", port))
        for host in hosts:
            assert natively(f"return socket.create_connection(({host!r}, {port}), 5).fileno() > 0") is True
        yield [(host, port) for host in hosts]


async def test_nothing_that_this_machine_serves_is_reached(rig: Rig, served: list[tuple[str, int]]) -> None:
    one = await function(rig)
    assert served
    for host, port in served:
        said = await one.is_refused(f"return socket.create_connection(({host!r}, {port}), 5).fileno()")
        # Its own loopback is there, and empty; to all else there is no way.
        assert ("[Errno 111]" in said) == host.startswith("127."), said
        assert ("[Errno 101]" in said) != host.startswith("127."), said


async def test_there_is_no_way_to_the_clouds_metadata_nor_out(rig: Rig) -> None:
    one = await function(rig)
    for address in ((METADATA, 80), ("1.1.1.1", 53), ("172.17.0.1", 2375), ("fd00::1", 80)):
        assert "[Errno 101]" in await one.is_refused(f"return socket.create_connection({address}, 5).fileno()")


async def test_no_question_of_names_gets_out(rig: Rig, served: list[tuple[str, int]]) -> None:
    one = await function(rig)
    for host, port in [*served, ("127.0.0.11", 53), (METADATA, 53), ("8.8.8.8", 53)]:
        if not host.startswith("127."):
            send = f"return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'secret', ({host!r}, {port}))"
            assert "[Errno 101]" in await one.is_refused(send)
    got = await one.deed("return socket.getaddrinfo('secret.tunnel.example', 80)")
    assert got["error"] == "gaierror"


async def test_there_is_no_interface_but_its_own_loopback_and_none_can_be_made(rig: Rig) -> None:
    one = await function(rig)
    assert await one.deed("return [name for _, name in socket.if_nameindex()]") == ["lo"]
    await one.is_refused("return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno()")
    await one.is_refused("return socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58).fileno()")
    await one.is_refused("return socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno()")
    await one.is_refused("return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).setsockopt(1, 36, 1) or 'marked'")
    await one.is_refused("return os.open('/dev/net/tun', os.O_RDWR)")
    await one.is_refused(
        "import fcntl, struct\n"
        "sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "return fcntl.ioctl(sock, 0x8914, struct.pack('16sH22x', b'lo', 0)) and 'set down'"
    )
    assert natively("return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).fileno() > 0") is True


async def test_neighbours_do_not_meet_on_any_wire(rig: Rig) -> None:
    one, other = await function(rig, "w1"), await function(rig, "w2")
    port = await other.deed(
        "sock = socket.create_server(('0.0.0.0', 0))\nsys.modules['sys'].kept = sock\nreturn sock.getsockname()[1]"
    )
    reach = f"return socket.create_connection(('127.0.0.1', {port}), 5).fileno() > 0"
    assert await other.deed(reach) is True
    await one.is_refused(reach)


async def test_the_hypervisor_and_the_kernels_other_sockets_are_out_of_reach(rig: Rig) -> None:
    one = await function(rig)  # a socket to the hypervisor belongs to no network namespace: it must not be had at all
    for family, kind in (
        (40, socket.SOCK_STREAM),
        (38, socket.SOCK_SEQPACKET),
        (29, socket.SOCK_RAW),
    ):  # vsock, alg, can
        assert "[Errno 1]" in await one.is_refused(f"return socket.socket({family}, {int(kind)}, 0).fileno()")
    for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
        assert await one.deed(f"return socket.socket({int(family)}, socket.SOCK_STREAM).fileno() > 0") is True
