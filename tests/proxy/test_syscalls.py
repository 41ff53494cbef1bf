"""The filter of system calls, run by a small interpreter of its instructions: no kernel, no confinement."""

from __future__ import annotations

import struct

import pytest

from proxy import syscalls

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def verdict(machine: str, number: int, argument: int = 0, architecture: int | None = None) -> int:
    """What the kernel would be told to do with a call."""
    code = syscalls.program(machine)
    assert code is not None
    data = struct.pack("=IIQQ", number, architecture or MACHINES[machine][1], 0, argument)
    at, accumulator = 0, 0
    while True:
        what, if_so, if_not, value = struct.unpack_from("=HBBI", code, 8 * at)
        at += 1
        match what:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x06:
                return int(value)
            case 0x15:
                at += if_so if accumulator == value else if_not
            case 0x35:
                at += if_so if accumulator >= value else if_not
            case 0x45:
                at += if_so if accumulator & value else if_not
            case _:
                raise AssertionError(f"unknown instruction {what:#x}")


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_listed_is_refused_and_all_else_is_let_through(machine: str) -> None:
    place = MACHINES[machine][0]
    listed = {numbers[place] for numbers in syscalls.REFUSED.values()}
    asked_for = {(56, 220)[place], (41, 198)[place], 435}
    for number in set(range(600)) - asked_for:
        assert verdict(machine, number) == (EPERM if number in listed else ALLOW), number


@pytest.mark.parametrize("machine", MACHINES)
def test_a_clone_may_make_processes_and_threads_but_no_namespace(machine: str) -> None:
    clone = (56, 220)[MACHINES[machine][0]]
    assert verdict(machine, clone, 17) == ALLOW
    assert verdict(machine, clone, 0x3D0F00) == ALLOW, "a thread, as libraries ask for it"
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, clone, flag | 17) == EPERM
    assert verdict(machine, 435) == ENOSYS, "so that libraries fall back on clone"


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_are_local_or_of_the_internet(machine: str) -> None:
    socket = (41, 198)[MACHINES[machine][0]]
    allowed = [family for family in range(64) if verdict(machine, socket, family) == ALLOW]
    assert allowed == [1, 2, 10, 16]
    assert {verdict(machine, socket, family) for family in range(64)} == {ALLOW, EPERM}


def test_other_tables_of_numbers_are_no_way_round() -> None:
    assert verdict("x86_64", 0, architecture=0x40000003) == EPERM, "32-bit programs"
    assert verdict("x86_64", 0x40000000 + 165) == EPERM, "x32"


def test_a_machine_that_is_not_known_has_no_filter() -> None:
    assert syscalls.program("riscv64") is None


def test_without_no_new_privs_nothing_is_filtered() -> None:
    assert syscalls.forbid() is False
