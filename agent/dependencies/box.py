"""The sandbox in which packages are resolved: the first process of a run of pip or npm.

Started by `agent.dependencies.resolver` with an isolated interpreter, it sees the machine's files read-only, none of
the agent's state, nobody's home, its own /tmp and processes, and may write only in its work folder. The network is the
machine's, since the index is out there. Where the machine has no namespaces it says so with `NOT_HERE`, or, told
not to try, only gives up what a child can: then nothing that a package brings along may be run.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from agent.drivers.process import namespaces as ns
from agent.drivers.process import sandbox

WORK: Final = "/mee6/work"
"""The work folder as seen from inside an isolated box."""
NOT_HERE: Final = 97
"""Exit code: this machine does not allow the box's namespaces."""
NOT_FOUND: Final = 98
"""Exit code: the program could not be started."""
HIDDEN: Final = sandbox.HIDDEN | {"root", "home"}


class Order(msgspec.Struct, frozen=True):
    """What to run, as JSON on the command line."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    """As seen from inside."""
    work: str
    """The work folder; holds `tmp` and an empty `root`."""
    state_dir: str
    needed: list[str]
    """Files and folders to show although they are in hidden parts of the machine."""
    isolated: bool
    file_bytes: int
    """The largest file it may write."""
    data_bytes: int = 0
    """Memory of each process, where no cgroup limits them together; 0 = no such limit."""


def main(text: str) -> NoReturn:
    """Runs the order once a line has come on standard input, and exits as its program did."""
    ns.die_with_parent()
    order = msgspec.json.decode(text, type=Order)
    sys.stdin.readline()  # its limits are in place
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_bytes, order.file_bytes))
    if order.data_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (order.data_bytes, order.data_bytes))
    os.umask(0o022)
    if not order.isolated:
        ns.forbid_new_privileges()
        _become(order)
    extra = ns.CLONE_NEWNS | ns.CLONE_NEWPID | ns.CLONE_NEWIPC | ns.CLONE_NEWUTS
    try:
        if os.geteuid() == 0:
            ns.unshare(extra)
        else:
            ns.enter_user_namespace(extra)
    except OSError as error:
        _refuse(NOT_HERE, error)
    first = os.fork()
    if first:
        os._exit(_exit_code(os.waitpid(first, 0)[1]))
    ns.die_with_parent()
    try:
        _enter(order)
    except OSError as error:
        _refuse(NOT_HERE, error)
    tool = os.fork()
    if tool == 0:
        _become(order)
    while True:  # the first process of a pid namespace reaps all others; when it ends, so do they
        pid, status = os.wait()
        if pid == tool:
            os._exit(_exit_code(status))


def _enter(order: Order) -> None:
    ns.make_private()
    work, temporary = ns.clone_mount(order.work), ns.clone_mount(f"{order.work}/tmp")  # noqa: S108  its own
    root = f"{order.work}/root"
    needed = sandbox.hidden_ones(order.needed, HIDDEN)
    sandbox.show_machine(root, Path(order.state_dir), needed, HIDDEN)
    for folder in (WORK, sandbox.TMP, "/proc", "/sys"):
        Path(root + folder).mkdir(parents=True, exist_ok=True)
    ns.attach(work, root + WORK)
    below_tmp = [(path, ns.clone_mount(root + path)) for path in needed if Path(path).is_relative_to(sandbox.TMP)]
    ns.attach(temporary, root + sandbox.TMP)
    for path, fd in below_tmp:
        sandbox.place(root + path, is_folder=Path(path).is_dir())
        ns.attach(fd, root + path)
    ns.mount("proc", f"{root}/proc", "proc", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
    ns.set_read_only(f"{root}/proc")
    shared = f"{root}/dev/shm"  # noqa: S108  its own
    ns.mount("tmpfs", shared, "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, "mode=1777,size=64m")
    ns.set_read_only(root)
    ns.change_root(root)
    ns.set_hostname("mee6-box")
    ns.drop_privileges()


def _become(order: Order) -> NoReturn:
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(order.cwd)
        os.execvpe(order.argv[0], order.argv, order.env)  # noqa: S606  no shell is the point
    except OSError as error:
        _refuse(NOT_FOUND, error)


def _refuse(code: int, error: OSError) -> NoReturn:
    sys.stdout.write(f"{error}\n")
    sys.stdout.flush()
    os._exit(code)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
