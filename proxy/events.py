"""What the proxy's core is told and what it asks for: past tense in, imperative out.

Plain records; `proxy.shell` makes the events from sockets and carries the commands out in order.
"""

from __future__ import annotations

import msgspec

from mee6.lane.messages import AnyMessage


class _Record(msgspec.Struct, frozen=True, gc=False):
    """The shape of all: immutable, compared by value, cheap to make."""


class AgentSaid(_Record, frozen=True, gc=False):
    """A message came from the agent."""

    message: AnyMessage


class AgentClosed(_Record, frozen=True, gc=False):
    """The lane to the agent has ended."""


class RuntimeSaid(_Record, frozen=True, gc=False):
    """A message came from a runtime."""

    runtime: int
    message: AnyMessage


class RuntimeClosed(_Record, frozen=True, gc=False):
    """A runtime's lane has ended, or was broken by it."""

    runtime: int


class RuntimeDeaf(_Record, frozen=True, gc=False):
    """A runtime has left more unread, and for longer, than is borne; its lane is closed."""

    runtime: int


class RuntimeSpawned(_Record, frozen=True, gc=False):
    """The process of a runtime runs."""

    runtime: int
    pid: int


class RuntimeNotSpawned(_Record, frozen=True, gc=False):
    """A runtime could not be started."""

    runtime: int
    message: str


class RuntimeExited(_Record, frozen=True, gc=False):
    """The process of a runtime has ended; status as `os.waitstatus_to_exitcode`: < 0 is a signal."""

    runtime: int
    status: int


class Ticked(_Record, frozen=True, gc=False):
    """Time has passed."""


Event = (
    AgentSaid
    | AgentClosed
    | RuntimeSaid
    | RuntimeClosed
    | RuntimeDeaf
    | RuntimeSpawned
    | RuntimeNotSpawned
    | RuntimeExited
    | Ticked
)


class Connect(_Record, frozen=True, gc=False):
    """Connect to the agent and say who this is."""


class SendAgent(_Record, frozen=True, gc=False):
    """Send to the agent."""

    message: AnyMessage


class SendRuntime(_Record, frozen=True, gc=False):
    """Send to a runtime."""

    runtime: int
    message: AnyMessage


class Spawn(_Record, frozen=True, gc=False):
    """Start a runtime of this language; it is called by this number from now on."""

    runtime: int
    language: str


class Kill(_Record, frozen=True, gc=False):
    """End a runtime's process at once and forget its lane."""

    runtime: int


class Release(_Record, frozen=True, gc=False):
    """Forget a runtime and its lane without touching the process."""

    runtime: int


class Pin(_Record, frozen=True, gc=False):
    """Put these runtimes on one core, the one that the first of them is on; and the proxy too, or away from there."""

    runtimes: list[int]
    proxy: bool


class Unpin(_Record, frozen=True, gc=False):
    """Give these runtimes and the proxy all cores again, with whatever they have started."""

    runtimes: list[int]


class Exit(_Record, frozen=True, gc=False):
    """Leave; what was sent goes out first."""

    reason: str


Command = Connect | SendAgent | SendRuntime | Spawn | Kill | Release | Pin | Unpin | Exit
