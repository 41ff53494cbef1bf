"""The escape list, host files and kernel: each is tried from a function in a container, seen to run, and refused.

What has no test of its own, and why: *raw disk read* needs a device node, which can neither be made nor found
(`mknod`). *kexec*, *load a module*, *swapon* and their like are asked with arguments that could do nothing, so
that a hole would be seen and not used. *Setuid binaries and file capabilities* are met by `no_new_privs`, which
`test_flags` asserts through the engine; here a capability is put on a file and a set-user-id bit set, to no effect.
*Masked-path and console symlink races* (CVE-2025-31133, -52565, -52881) and *WORKDIR /proc/self/fd/N*
(CVE-2024-21626) are races of whoever starts a container with options of its own: a function chooses neither
image, working folder, mounts nor console, and none of them is its to write; what is left of them to try, leaked
descriptors and the masked paths themselves, is tried. *Bundles* with links, devices, `..`, case clashes and
bombs never reach a worker: `tests/mee6/test_bundle.py`.
"""

from __future__ import annotations

import os
import platform
import stat
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.docker.driver import DockerDriver
from proxy.syscalls import REFUSED as FILTERED
from tests.agent.drivers.contract import Rig
from tests.agent.drivers.escape.attempts import LIMITS, SYSCALL, Function, function, natively, number_of

pytestmark = [pytest.mark.slow, pytest.mark.docker]


async def test_it_runs_as_nobody_without_any_capability(rig: Rig) -> None:
    got = await (await function(rig)).deed(
        """
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return [os.getuid(), status["CapEff"].strip(), status["CapBnd"].strip(), status["NoNewPrivs"].strip(),
                status["Seccomp"].strip()]
        """
    )
    assert got == [65534, "0" * 16, "0" * 16, "1", "2"]


async def test_the_machines_files_are_not_there(rig: Rig, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o644)
    one = await function(rig)
    for path in (
        str(secret),
        "/act/rsc/../../../../.." + str(secret),
        f"/proc/1/root{secret}",
        f"/proc/self/cwd/../..{secret}",
    ):
        await one.is_refused(f"return Path({path!r}).read_text()")
    assert natively(f"return Path({str(secret)!r}).read_text()") == "s"
    for path in ("/etc/shadow", "/../../etc/shadow", "/proc/1/root/etc/shadow", "/proc/self/root/etc/shadow"):
        await one.is_refused(f"return Path({path!r}).read_text()")
    await one.is_refused("return os.listdir('/proc/1/root')")
    theirs = await one.deed("found = os.stat('/etc/passwd'); return [found.st_dev, found.st_ino]")
    assert theirs != natively("found = os.stat('/etc/passwd'); return [found.st_dev, found.st_ino]"), "the image's own"
    pids = await one.deed("return sorted(p.name for p in Path('/proc').iterdir() if p.name.isdigit())")
    assert len(pids) < 10, "processes of others are seen"
    assert str(os.getpid()) not in pids


KNOBS = {
    "/proc/sys/kernel/core_pattern": "|/tmp/x",
    "/proc/sys/kernel/modprobe": "/tmp/x",
    "/proc/sys/vm/overcommit_memory": "1",
    "/proc/sys/kernel/hostname": "mine",
    "/proc/sysrq-trigger": "h",
    "/sys/kernel/uevent_helper": "/tmp/x",
    "/sys/fs/cgroup/memory/release_agent": "/tmp/x",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "-1",
    "/sys/fs/cgroup/memory.max": "max",
    "/sys/power/state": "",
    "/proc/1/oom_score_adj": "-1000",
    "/proc/self/attr/current": "unconfined",
}


@pytest.mark.parametrize("path", KNOBS)
async def test_the_kernels_knobs_cannot_be_turned(rig: Rig, path: str) -> None:
    one = await function(rig)
    await one.is_refused(f"return Path({path!r}).write_text({KNOBS[path]!r})")


async def test_the_kernels_secrets_are_masked(rig: Rig) -> None:
    one = await function(rig)
    got = await one.deed(
        """
        found = {}
        for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/kmsg", "/dev/kmem",
                     "/dev/mem", "/dev/kmsg", "/sys/firmware"):
            try:
                found[path] = len(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(64))
            except OSError as error:
                found[path] = error.strerror
        return found
        """
    )
    assert len(got) == 9
    assert {path: size for path, size in got.items() if isinstance(size, int) and size} == {}
    assert natively("return len(open('/proc/timer_list', 'rb').read(64)) if os.path.exists('/proc/timer_list') else 1")


async def test_a_core_that_is_dumped_leaves_no_file_and_reaches_no_program(rig: Rig) -> None:
    got = await (await function(rig)).deed(
        """
        import resource
        pid = os.fork()
        if pid == 0:
            os.chdir("/act/flow")
            os.abort()
        status = os.waitpid(pid, 0)[1]
        return [os.WTERMSIG(status), os.WCOREDUMP(status), resource.getrlimit(resource.RLIMIT_CORE),
                os.listdir("/act/flow")]
        """
    )
    assert got == [6, False, [0, 0], []]


async def test_the_root_and_its_own_code_cannot_be_written(rig: Rig) -> None:
    one = await function(rig)
    bundle = rig.bundle("sha-1", "one")
    rig.driver.bind("w1", {"first": bundle}, "w1")
    await one.is_refused("return Path('/opt/mee6/x').write_text('x')")
    await one.is_refused("return Path('/x').write_text('x')")
    await one.is_refused("return Path('/act/rsc/first/main.py').write_text('x')")
    await one.is_refused("return os.chmod('/act/rsc/first/main.py', 0o777) or 'done'")
    await one.is_refused("return os.rename('/act/rsc', '/act/mine') or 'done'")
    await one.is_refused("return os.symlink('/etc', '/act/rsc/second') or 'done'")
    await one.is_refused("return os.rmdir('/act/flow') or 'done'")
    assert (bundle / "main.py").read_text() == "one"


async def test_the_program_that_it_runs_in_cannot_be_overwritten(rig: Rig) -> None:
    one = await function(rig)  # as in CVE-2019-5736, of the runtime's program and of what runs as pid 1
    await one.is_refused("return os.write(os.open('/proc/self/exe', os.O_WRONLY), b'x')")
    await one.is_refused("return os.write(os.open(os.readlink('/proc/self/exe'), os.O_WRONLY | os.O_TRUNC), b'x')")
    await one.is_refused("return os.open('/proc/1/exe', os.O_RDONLY)")


async def test_no_descriptor_is_left_open_to_what_is_outside(rig: Rig) -> None:
    one = await function(rig)  # as in CVE-2024-21626
    got = await one.deed(
        """
        found = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                found[name] = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                continue  # the listing's own
        return found
        """
    )
    kinds = {
        target.partition(":")[0] for name, target in got.items() if int(name) > 2 and not target.startswith("/proc/")
    }
    assert kinds == {"socket"}, got
    assert await one.deed("return os.getcwd()") == "/act"
    await one.is_refused("return os.chdir('/proc/self/fd/7/../../../..') or os.getcwd()")


async def test_there_is_no_engine_to_talk_to(rig: Rig) -> None:
    one = await function(rig)
    for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"):
        await one.is_refused(f"return socket.socket(socket.AF_UNIX).connect({path!r}) or 'connected'")
    found = await one.deed(
        """
        import stat
        found = [[], []]
        for base, folders, files in os.walk("/", onerror=lambda error: found[1].append(error.filename)):
            folders[:] = [name for name in folders if os.path.join(base, name) not in ("/proc", "/sys", "/usr")]
            found[0] += [os.path.join(base, name) for name in files
                         if stat.S_ISSOCK(os.lstat(os.path.join(base, name)).st_mode)]
        return found
        """
    )
    assert found[0] == []
    assert "/mee6/lane" in found[1], "the agent's sockets for workers are there, in a folder that cannot be listed"
    await one.is_refused("return Path('/mee6/lane/agent.sock').unlink() or 'done'")
    await one.is_refused("return Path('/mee6/lane/mine.sock').touch() or 'done'")


HARMLESS: dict[str, tuple[object, ...]] = {
    "delete_module": (0, 0),
    "bpf": (9999, 0, 0),
    "kexec_load": (0, 0, 0, 0xFFFF),
    "keyctl": (9999,),
    "reboot": (1, 2, 3, 0),
    "userfaultfd": (0xFFFF,),
    "fanotify_init": (0xFFFFFFFF, 0),
    "syslog": (2, 0, -1),
    "setns": (-1, 0),
    "pidfd_getfd": (-1, 0, 0),
    "unshare": (1,),
    "kcmp": (0, 0, 0, 0, 0),
    "process_vm_readv": (0, 0, 99999, 0, 0, 0),
    "process_vm_writev": (0, 0, 99999, 0, 0, 0),
    "io_uring_enter": (-1, 0, 0, 0, 0, 0),
    "io_uring_register": (-1, 0, 0, 0),
}
"""Arguments with which a call that is let through fails otherwise; for all not named, null pointers."""

OTHERS = {
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "name_to_handle_at": (303, 264),
    "sethostname": (170, 161),
}
"""Refused for want of a capability, or by the engine's profile."""
OTHERS_HARMLESS: dict[str, tuple[object, ...]] = {
    "settimeofday": (8, 0),
    "sethostname": (8, 5),
    "quotactl": (0x800002 << 8, 0, 0, 0),
}


@pytest.mark.parametrize("name", sorted({**FILTERED, **OTHERS}))
async def test_calls_that_open_the_kernel_are_refused_before_it_looks_at_them(rig: Rig, name: str) -> None:
    args = ", ".join(map(str, {**HARMLESS, **OTHERS_HARMLESS}.get(name, (0, 0, 0, 0, 0))))
    attempt = f"{SYSCALL}\nreturn syscall({number_of({**FILTERED, **OTHERS}[name])}, {args})"
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("its number is not known for this machine")
    # Null would end the accounting of the whole machine, outside.
    unconfined: Any = {"text": "[Errno 14]"} if name == "acct" else natively(attempt)
    said = await (await function(rig)).is_refused(attempt)
    assert said.startswith("[Errno 1]"), said
    met = unconfined["text"] if isinstance(unconfined, dict) else "it was done"
    assert not met.startswith("[Errno 1]"), "the tests themselves are confined, and show nothing of the sandbox"


async def test_the_filter_of_ours_holds_without_the_engines(rig: Rig) -> None:
    # Docker 20.10's own profile lets io_uring through: without the filter this would say EFAULT.
    attempt = f"{SYSCALL}\nreturn syscall({number_of(FILTERED['io_uring_setup'])}, 1, 0)"
    talk = await rig.start("w1", LIMITS)
    assert (await Function(talk, await talk.spawn()).is_refused(attempt)).startswith("[Errno 1]")
    in_proxy = await talk.eval("open('/proc/self/status').read()")
    in_function = await Function(talk, 0).deed("return open('/proc/self/status').read()")
    filters = [int(text.split("Seccomp_filters:")[1].split()[0]) for text in (in_proxy, in_function)]
    assert filters[1] == filters[0] + 1


async def test_it_can_neither_mount_nor_make_namespaces_nor_devices(rig: Rig) -> None:
    one = await function(rig)
    check = "; n = ctypes.get_errno()\nif result == 0: return 'done'\nraise OSError(n, os.strerror(n))"
    libc = "libc = ctypes.CDLL(None, use_errno=True)\n"
    for source, kind, flags in (
        ("tmpfs", "tmpfs", 0),
        ("proc", "proc", 0),
        ("overlay", "overlay", 0),
        ("/act", "", 4096),
    ):
        await one.is_refused(
            libc + f"result = libc.mount({source.encode()!r}, b'/tmp', {kind.encode()!r}, {flags}, None)" + check
        )
    await one.is_refused(libc + "result = libc.umount2(b'/act/flow', 2)" + check)
    for flag in (0x00020000, 0x10000000, 0x20000000, 0x40000000, 0x02000000, 0x04000000, 0x08000000):
        await one.is_refused(libc + f"result = libc.unshare({flag})" + check)
        clone = f"{SYSCALL}\npid = syscall({number_of((56, 220))}, {flag} | 17, 0, 0, 0, 0)"
        await one.is_refused(clone + "\nif pid == 0: os._exit(0)\nreturn pid")
    await one.is_refused(libc + "result = libc.setns(os.open('/proc/1/ns/mnt', os.O_RDONLY), 0)" + check)
    for mode, device in ((stat.S_IFBLK, (254, 0)), (stat.S_IFCHR, (1, 2)), (stat.S_IFCHR, (1, 1))):
        await one.is_refused(f"return os.mknod('/tmp/node', {mode} | 0o666, os.makedev{device}) or 'made'")
    assert await one.deed("return os.mkfifo('/tmp/pipe') or 'made'") == "made", "it is the device that is refused"
    await one.is_refused("return os.chroot('/tmp') or 'done'")


async def test_a_program_that_would_raise_it_does_not(rig: Rig) -> None:
    one = await function(rig)
    got = await one.deed(
        """
        import shutil
        shutil.copy("/bin/cat", "/act/flow/cat")
        os.chmod("/act/flow/cat", 0o6755)
        asked = ["/act/flow/cat", "/proc/self/status"]
        status = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        return [line.split()[1:] for line in status.splitlines() if line.startswith(("Uid", "CapEff"))]
        """
    )
    assert got == [["65534"] * 4, ["0" * 16]]
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    await one.is_refused(f"return os.setxattr('/act/flow/cat', 'security.capability', {capability!r}) or 'done'")
    for wish in ("os.setuid(0)", "os.setgid(0)", "os.setgroups([0])", "os.nice(-5)", "os.chown('/act/flow/cat', 0, 0)"):
        await one.is_refused(f"return {wish} or 'done'")
    found = await one.deed(
        "return [e for e in subprocess.run(['find', '/usr', '/bin', '-perm', '/6000', '-user', '0', '-type', 'f'],"
        " capture_output=True, text=True).stdout.split()]"
    )
    for program in found:  # what the image has of them runs as nobody too
        assert await one.deed(f"return os.access({program!r}, os.R_OK) or 'closed'")


async def test_the_proxy_and_the_first_process_can_be_neither_traced_nor_read(rig: Rig) -> None:
    talk = await rig.start("w1", LIMITS)
    one = Function(talk, await talk.spawn())
    for pid in (1, int(await talk.eval("os.getpid()"))):
        await one.is_refused(f"return Path('/proc/{pid}/environ').read_bytes().decode()")
        await one.is_refused(f"return open('/proc/{pid}/mem', 'rb').fileno()")
        await one.is_refused(f"return os.listdir('/proc/{pid}/fd')")
        await one.is_refused(f"{SYSCALL}\nreturn syscall({number_of((101, 117))}, 16, {pid}, 0, 0)")
    own = f"{SYSCALL}\nreturn syscall({number_of((101, 117))}, 0, 0, 0, 0)"
    assert await one.deed(own) == 0, "the same call works on what is its own"


async def test_what_is_swapped_for_a_link_leads_the_agent_nowhere(rig: Rig, tmp_path: Path) -> None:
    assert isinstance(rig.driver, DockerDriver)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "kept").write_text("kept")
    one = await function(rig)
    assert (
        await one.deed(f"os.symlink({str(precious)!r}, '/act/flow/link'); os.makedirs('/act/flow/a/b'); return 1") == 1
    )
    await one.is_refused(f"os.rmdir('/act/flow'); return os.symlink({str(precious)!r}, '/act/flow') or 'done'")
    await one.is_refused("return os.rename('/act/.trash', '/act/mine') or 'done'")
    rig.driver.clear_flow("w1")
    assert await one.deed("return os.listdir('/act/flow')") == []
    assert (precious / "kept").read_text() == "kept"
