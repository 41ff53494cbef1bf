"""The machine and the state of the sources that a result belongs to."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from agent import images
from mee6.errors import Mee6Error

_ROOT: Final = Path(__file__).parents[3]
_PACKAGES: Final = ("msgspec", "grpcio", "protobuf", "uvloop")


def machine() -> dict[str, Any]:
    """What does not change while the benchmarks run."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": sorted(os.sched_getaffinity(0)),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not readable",
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "node": _said("node", "--version") or "missing",
        "docker": _engine() or "missing",
        "packages": {name: _version(name) for name in _PACKAGES},
        "commit": _said("git", "rev-parse", "--short=12", "HEAD"),
        "changed_files": len(_said("git", "status", "--porcelain").splitlines()),
    }


def load() -> tuple[float, float, float]:
    """The load averages over 1, 5 and 15 minutes."""
    return os.getloadavg()


def _engine() -> str:
    try:
        with images.connect() as api:
            return str(api.version()["Version"])
    except Mee6Error:
        return ""


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
