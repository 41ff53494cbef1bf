"""The base of an image: brought here where it is not, and asked what it has.

A base is asked by its own Python, as the user and with the path that a worker will have, so that what is found
is what a worker finds. Nothing of it is trusted: the container that asks has no network and no rights.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agent.images.connection import brief
from agent.images.progress import Say
from mee6.errors import Conflict, Exhausted, InvalidInput, Mee6Error, NotFound

if TYPE_CHECKING:
    from docker import APIClient

DEFAULT_BASES: Final[Mapping[str, str]] = {"python": "python:3.12-slim", "nodejs": "node:20-bookworm"}
"""Runtime -> base; the second one brings a Python along."""
WORKER_USER: Final = "65534:65534"
"""Whom workers run as."""
MIN_PYTHON: Final = (3, 11)
SILENCE_S: Final = 60.0
"""How long an engine that pulls may say nothing: it tells of no step while a registry does not answer."""
_PROBE_TIMEOUT_S: Final = 30
_WAY_OUT: Final = "name one that `docker images` lists, or have one made of Debian packages here: --base bootstrap"
# One line of JSON about the base; it has to run on any Python 3.
_PROBE: Final = """
import json, os, platform, shutil, subprocess, sys, sysconfig
node, version = shutil.which("node") or "", ""
if node:
    try:
        version = subprocess.check_output([node, "--version"], stderr=subprocess.STDOUT).decode().strip().lstrip("v")
    except (OSError, ValueError, subprocess.SubprocessError):
        pass  # one that does not run is told as none
roots = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
own = [path for path in sys.path if path and os.path.isdir(path)
       and (not path.startswith(roots) or "site-packages" in path or "dist-packages" in path)]
print(json.dumps({"python": list(sys.version_info[:3]), "libc": platform.libc_ver()[0], "machine": platform.machine(),
                  "node": version, "node_path": node, "path": own}))
"""


@dataclass(frozen=True, slots=True)
class Base:
    """What a base image has."""

    name: str
    python: tuple[int, ...]
    libc: str
    """`glibc`, or empty for another one."""
    machine: str
    node: str
    """Its version; empty without it."""
    node_path: str
    path: tuple[str, ...]
    """Where its Python finds packages beyond the standard library."""

    @property
    def python_version(self) -> str:
        """As people write it."""
        return ".".join(str(part) for part in self.python)


# Bringing it here


def provide(api: APIClient, name: str, say: Say) -> None:
    """Sees to it that the engine has the base image, from a registry where it has not.

    Raises:
        InvalidInput: that is no image's name.
        NotFound: its registry does not have it, or refuses.
        Conflict: its registry is out of reach.
    """
    from docker.errors import APIError, ImageNotFound

    try:
        api.inspect_image(name)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        say("base", f"pulling {name}", 0.0)
        _pull(api, name, say)
    except APIError as error:
        raise _refused(name, brief(error)) if error.status_code == 400 else error from error
    else:
        say("base", name, 1.0)


def _pull(api: APIClient, name: str, say: Say) -> None:
    layers = _Layers()
    for line in _pull_lines(api, name):
        if "error" in line:
            raise _refused(name, str(line["error"]))
        layers.hear(line)
        say("base", f"pulling {name}  {layers}".rstrip(), layers.part)


class _Layers:
    """How much of an image's layers has come."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._came: dict[str, int] = {}
        self._done: set[str] = set()

    def hear(self, line: Mapping[str, Any]) -> None:
        layer, status = str(line.get("id", "")), str(line.get("status", ""))
        told = line.get("progressDetail") or {}
        if status == "Pulling fs layer":
            self._came.setdefault(layer, 0)
        elif status == "Downloading" and told.get("total"):
            self._sizes[layer], self._came[layer] = int(told["total"]), int(told["current"])
        elif status in {"Download complete", "Pull complete", "Already exists"}:
            self._came[layer] = self._sizes.get(layer, 0)
            if status != "Download complete":
                self._done.add(layer)

    @property
    def part(self) -> float:
        """0..1: half for bringing the bytes, half for unpacking them."""
        if not self._came:
            return 0.0
        brought = sum(self._came.values()) / max(1, sum(self._sizes.values()))
        return min(1.0, (brought + len(self._done) / len(self._came)) / 2)

    def __str__(self) -> str:
        total, came = (sum(sizes.values()) / (1 << 20) for sizes in (self._sizes, self._came))
        layers = f"{len(self._done)} of {len(self._came)} layers" if self._came else ""
        return f"{came:.1f} of {total:.1f} MiB, {layers}" if total else layers


def _pull_lines(api: APIClient, name: str) -> Iterator[dict[str, Any]]:
    """What the engine says while it pulls; it stops pulling when this is closed.

    The SDK's own `pull` waits without end for an engine that waits for a registry.
    """
    from docker import auth, utils
    from requests.exceptions import RequestException

    repository, tag = utils.parse_repository_tag(name)
    registry, _ = auth.resolve_repository_name(repository)
    header = auth.get_config_header(api, registry)
    try:
        with api.post(
            f"{api.base_url}/v{api.api_version}/images/create",
            params={"fromImage": repository, "tag": tag or "latest"},
            headers={"X-Registry-Auth": header} if header else {},
            stream=True,
            timeout=SILENCE_S,
        ) as answer:
            if answer.status_code >= 400:
                yield {"error": answer.json().get("message", answer.reason)}
                return
            for line in answer.iter_lines():
                if line:
                    yield json.loads(line)
    except RequestException as error:
        raise Conflict(
            f"base image {name!r} is not here, and pulling it was given up: nothing was heard for "
            f"{SILENCE_S:g} s; {_WAY_OUT}"
        ) from error


def _refused(name: str, why: str) -> Mee6Error:
    """An engine's reason, as ours."""
    why = " ".join(why.split())[:300]
    if "no space left" in why:
        return Exhausted(f"the disk of the engine is full: {why}")
    if "invalid reference format" in why:
        return InvalidInput(f"{name!r} is no image's name ({why}); it looks like python:3.12-slim")
    if any(word in why for word in ("not found", "unknown", "denied", "unauthorized")) and "no such host" not in why:
        return NotFound(f"there is no base image {name!r}, here or in its registry: {why}; {_WAY_OUT}")
    return Conflict(f"base image {name!r} is not here, and its registry is out of reach: {why}; {_WAY_OUT}")


# Asking it


def probe(api: APIClient, name: str, runtime: str) -> Base:
    """What the base has, said by itself.

    Raises:
        InvalidInput: it lacks what a worker of the runtime needs.
    """
    _check_volumes(api, name)
    facts = _ask(api, name, runtime)
    base = Base(
        name=name,
        python=tuple(facts["python"]),
        libc=facts["libc"],
        machine=facts["machine"],
        node=facts["node"],
        node_path=facts["node_path"],
        path=tuple(facts["path"]),
    )
    if base.python < MIN_PYTHON:
        raise InvalidInput(f"base image {name!r} has Python {base.python_version}; the proxy needs 3.11 or later")
    if runtime == "nodejs" and not base.node_path:
        raise InvalidInput(f"base image {name!r} has no node on its PATH, which the runtime nodejs needs")
    if runtime == "nodejs" and not base.node:
        raise InvalidInput(f"base image {name!r} has {base.node_path}, but it cannot be run")
    return base


def _check_volumes(api: APIClient, name: str) -> None:
    volumes = api.inspect_image(name)["Config"].get("Volumes")  # type: ignore[no-untyped-call]
    if volumes:
        raise InvalidInput(
            f"base image {name!r} declares volumes ({', '.join(sorted(volumes))}), through which a function could "
            "fill the engine's disk; make it without VOLUME"
        )


def _ask(api: APIClient, name: str, runtime: str) -> dict[str, Any]:
    from docker.errors import APIError

    host = api.create_host_config(
        network_mode="none", cap_drop=["ALL"], security_opt=["no-new-privileges"], read_only=True
    )
    made = api.create_container(
        name,
        ["-s", "-c", _PROBE],
        entrypoint=["python3"],
        host_config=host,
        labels={"mee6.probe": runtime},
        user=WORKER_USER,
        working_dir="/",
    )
    try:
        api.start(made)
        status = api.wait(made, timeout=_PROBE_TIMEOUT_S)["StatusCode"]
        said = api.logs(made, stdout=True, stderr=True).decode("utf-8", "replace").strip()
    except APIError as error:
        why = brief(error)
        if "python3" not in why:
            raise
        if "permission denied" in why:
            raise InvalidInput(
                f"base image {name!r} has a python3 that only its owner may run; workers run as {WORKER_USER}"
            ) from error
        raise InvalidInput(
            f"base image {name!r} has no python3 on its PATH, which the proxy needs: Python 3.11 or later"
        ) from error
    finally:
        with contextlib.suppress(APIError):
            api.remove_container(made, v=True, force=True)
    last = said.splitlines()[-1] if said else ""
    if status:
        raise InvalidInput(f"base image {name!r} cannot run Python: {last or f'it ended with status {status}'}")
    try:
        facts: dict[str, Any] = json.loads(last)
    except ValueError as error:
        raise InvalidInput(f"base image {name!r} has a python3 that is no Python 3: it said {last[:80]!r}") from error
    return facts
