"""Where a process finds its control groups, from the kernel's own words."""

from __future__ import annotations

from pathlib import Path

from agent.drivers.process.cgroups import Hierarchy, hierarchies

UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "31 23 0:27 / /sys/fs/cgroup/cpu rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
    "32 23 0:28 / /sys/fs/cgroup/memory rw shared:11 - cgroup cgroup rw,memory\n"
    "33 23 0:29 / /sys/fs/cgroup/unified rw shared:12 - cgroup2 cgroup2 rw\n"
    "34 23 0:30 / /tmp rw - tmpfs tmpfs rw\n"
)


def test_one_tree_of_version_2_is_found() -> None:
    found = hierarchies(UNIFIED, "0::/user.slice/a.scope\n")
    assert [(tree.version, tree.own) for tree in found] == [(2, Path("/sys/fs/cgroup/user.slice/a.scope"))]


def test_both_versions_at_once_are_found_each_with_its_own_place() -> None:
    found = hierarchies(HYBRID, "5:memory:/limited/by\n4:cpu,cpuacct:/\n0::/\n")
    assert found == [
        Hierarchy(1, Path("/sys/fs/cgroup/cpu"), frozenset({"cpu", "cpuacct"})),
        Hierarchy(1, Path("/sys/fs/cgroup/memory/limited/by"), frozenset({"memory"})),
        Hierarchy(2, Path("/sys/fs/cgroup/unified"), frozenset({""})),
    ]


def test_a_container_finds_its_group_below_the_part_that_is_mounted() -> None:
    mounted = "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup cgroup ro,memory\n"
    assert [tree.own for tree in hierarchies(mounted, "1:memory:/docker/abc/x\n")] == [Path("/sys/fs/cgroup/x")]


def test_a_part_that_this_process_is_not_in_is_left_alone() -> None:
    mounted = "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup cgroup ro,memory\n"
    assert hierarchies(mounted, "1:memory:/elsewhere\n") == []
