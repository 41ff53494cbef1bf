"""pip and npm: what to run for what is wanted, and what their words mean.

Pure but for looking at what the machine has. The machine's own settings for its indexes hold for both tools; no
message of ours names an index's host.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.dependencies.wanted import Wanted
from mee6.errors import DependencyFailed, Exhausted, Mee6Error

OUT: Final = "out"
"""The folder below the work folder that becomes the result."""
TAIL_LINES: Final = 30

_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
                   "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")  # fmt: skip
_URL: Final = re.compile(r"[a-z+]+://[^\s'\"<>)]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a tool in the box."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    config: Mapping[str, Path]
    """The tool's settings on this machine: path below its home -> file."""


def home_config(language: str) -> dict[str, Path]:
    """The tool's settings in the agent's home, by their paths below it."""
    names = (".config/pip/pip.conf", ".pip/pip.conf") if language == "python" else (".npmrc",)
    return {name: Path.home() / name for name in names if os.access(Path.home() / name, os.R_OK)}


def version(language: str) -> str:
    """The version of the machine's own language that packages are made for.

    Raises:
        DependencyFailed: its tool is not there.
    """
    if language == "python":
        return f"{sys.version_info[0]}.{sys.version_info[1]}"
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        raise DependencyFailed(
            "the function depends on packages, and npm is not on the agent's PATH; install npm there"
        )
    said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    return said.strip().lstrip("v").split(".")[0]


def key(wanted: Wanted, language_version: str) -> str:
    """The name of the result: of language, its version, the platform, and what is wanted."""
    kind = hashlib.sha256(f"{sysconfig.get_platform()} {platform.libc_ver()}".encode()).hexdigest()[:8]
    return f"{wanted.language}-{language_version}-{kind}-{wanted.digest}"


def install(wanted: Wanted, language_version: str, work: str, *, sealed: bool) -> Run:
    """The run that resolves and installs; npm's runs no script yet.

    Args:
        work: the work folder as seen from inside.
        sealed: a real sandbox is around it; else nothing that a package brings may run.

    Raises:
        DependencyFailed: the tool is not there.
    """
    env = _environment(work, ("PIP_",) if wanted.language == "python" else ("NPM_CONFIG_",))
    config = home_config(wanted.language)
    if wanted.language == "nodejs":
        return Run((*_npm(), "ci" if wanted.locked else "install", "--ignore-scripts", *_NPM_OPTIONS), env, config)
    if importlib.util.find_spec("pip") is None:
        raise DependencyFailed(
            "the function depends on packages, and the agent's Python has no pip; mend it with: python -m ensurepip"
        )
    own = language_version == version("python")
    argv = [
        sys.executable, "-I", "-u", "-m", "pip", "install", "--target", f"{work}/{OUT}", "--requirement",
        "requirements.txt", "--prefer-binary", "--no-input", "--no-cache-dir", "--disable-pip-version-check",
        "--no-warn-script-location", "--progress-bar", "off", "--retries", "2",
    ]  # fmt: skip
    if not own:  # for the Python of an image: its wheels, since they can only be built by itself
        argv += ["--python-version", language_version, "--implementation", "cp", "--no-compile"]
    if not own or not sealed:
        argv += ["--only-binary", ":all:"]
    return Run(tuple(argv), env | {"PIP_ROOT_USER_ACTION": "ignore"}, config)


def build(work: str) -> Run:
    """The run in which npm's packages run their install scripts: without the settings that may hold a password."""
    return Run((*_npm(), "rebuild", "--foreground-scripts", *_NPM_OPTIONS), _environment(work, ()), {})


_NPM_OPTIONS: Final = ("--omit=dev", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=http",
                       "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--progress=false")  # fmt: skip


def needed_paths() -> list[str]:
    """Folders and files of this machine that the tools need, wherever they are."""
    paths = {sys.prefix, sys.base_prefix, sys.base_exec_prefix, str(Path(sys.executable).resolve())}
    for program in (shutil.which("node"), shutil.which("npm")):
        if program is not None:
            real = Path(program).resolve()
            paths |= {program, str(real), *([str(real.parents[1])] if real.suffix == ".js" else [])}
    names = Path("/etc/resolv.conf")
    if names.is_symlink():
        paths.add(str(names.resolve().parent))
    for name, value in os.environ.items():
        if name.upper().startswith(("PIP_", "NPM_CONFIG_")) or name.upper() in _PROXIES:
            paths |= _paths(value)
    for config in (Path("/etc/pip.conf"), *home_config("python").values(), *home_config("nodejs").values()):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            paths |= _paths(config.read_text("utf-8").replace("=", " "))
    return sorted(path for path in paths if Path(path).is_absolute() and Path(path) != Path("/"))


def _paths(text: str) -> set[str]:
    """Places of this machine that a setting names: folders of wheels, certificates."""
    return {word.removeprefix("file://") for word in text.split() if word.startswith(("/", "file:///"))}


def _environment(work: str, prefixes: Iterable[str]) -> dict[str, str]:
    node = shutil.which("node")
    path = [*([str(Path(node).parent)] if node else []), "/usr/local/bin", "/usr/bin", "/bin"]
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _PROXIES or name.upper().startswith(tuple(prefixes))
    }
    own = {"PATH": ":".join(path), "HOME": f"{work}/home", "LANG": "C.UTF-8", "NPM_CONFIG_CACHE": f"{work}/home/.npm"}
    return passed | own


def _npm() -> tuple[str, ...]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise DependencyFailed(
            "the function depends on packages, and npm is not on the agent's PATH; install npm there"
        )
    real = Path(npm).resolve()
    return (node, str(real)) if real.suffix == ".js" else (npm,)


# Their words


def progress(line: str) -> str:
    """What a tool's line says to somebody who waits; empty for what says nothing."""
    line = line.strip()
    if fetched := re.match(r"npm http (?:fetch|cache) (?:GET \d+ )?(\S+)", line):
        return f"fetched {_last(fetched.group(1))}"
    if line.startswith(("npm ", "Looking in ", "WARNING", "ERROR", "[notice]", "Requirement already")) or not line:
        return ""
    return _URL.sub(lambda found: _last(found.group()), line)[:200]


def _last(url: str) -> str:
    return url.rstrip("/").rpartition("/")[2].replace("%2f", "/").split("#")[0] or "a file"


_SETTINGS: Final = "look at the settings of pip and npm there"
_BUILD: Final = (
    r"subprocess-exited-with-error|Failed building wheel for \S+|metadata-generation-failed|ELIFECYCLE|"
    r"npm (?:error|ERR!) command (?:failed|sh)"
)
_UNREACHED: Final = (
    r"NewConnectionError|NameResolutionError|name resolution|ConnectTimeout|ReadTimeout|Max retries exceeded|"
    r"ProxyError|SSLError|SSLCertVerification|"
    r"code (?:ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|\w*CERT\w*)"
)
_FAILURES: Final[Sequence[tuple[str, str]]] = (
    (r"THESE PACKAGES DO NOT MATCH THE HASHES|EINTEGRITY", "a package is not what its hash says: {detail}"),
    (
        r"In --require-hashes mode, all requirements must",
        "with hashes, every package and all that it needs must have one",
    ),
    (_BUILD, "a package could not be built; what it said stands above"),
    (
        r"code EUSAGE",
        "package-lock.json does not fit package.json; write it again with: npm install --package-lock-only",
    ),
    (_UNREACHED, f"the package index is out of the agent's reach; look at its network, or {_SETTINGS}"),
    (r"code E40[13]|HTTP error 40[13]|40[13] Client Error", f"the package index refuses the agent; {_SETTINGS}"),
    (r"No matching distribution found for (?P<what>.+)", "no package fits {what!r}; look at its name and version"),
    (r"No matching version found for (?P<what>\S+?)\.?(?:\s|$)", "no package fits {what!r}; look at its version"),
    (r"(?:error|ERR!) 404\s+'?(?P<what>[^'\s]+)'? (?:is not|could not)", "no package fits {what!r}; look at its name"),
    (r"code E404", "a package does not exist; look at the names"),
    (r"ResolutionImpossible|conflicting dependencies|ERESOLVE", "its packages contradict each other; loosen a version"),
    (r"Invalid requirement: (?P<what>.+)", "{what} is no requirement; write NAME==VERSION"),
)
"""What a tool says -> what it means; the first that is found."""


def failure(language: str, lines: Sequence[str]) -> Mee6Error:
    """What went wrong, of what a tool said; that comes along as the traceback, without addresses."""
    said = "\n".join(lines)
    tail = "\n".join(_URL.sub("(address)", line.rstrip()) for line in lines)
    if "No space left on device" in said or "ENOSPC" in said:
        return Exhausted("no room left on the agent's disk for the function's packages", traceback=tail)
    for pattern, message in _FAILURES:
        if found := re.search(pattern, said):
            what = found.groupdict().get("what") or ""
            detail = " ".join(_URL.sub("(address)", said[found.end() : found.end() + 160]).split())
            return DependencyFailed(message.format(what=what.strip(), detail=detail), traceback=tail)
    tool = "pip" if language == "python" else "npm"
    return DependencyFailed(
        f"{tool} could not install the function's packages; what it said stands above", traceback=tail
    )
