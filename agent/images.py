"""The images of workers: made from a base image and what is installed here, listed, removed.

An image holds the proxy, the SDK and the languages' runtimes, with their bytecode; never a function. A base is any
image with Python 3.11 or later (and Node.js, for nodejs), from a registry or a user's own; or `bootstrap`, which is
made on this machine of Debian packages, for where no registry is reached. Everything here blocks: call it from a
thread. Progress is told as (stage, detail); the stages are `base`, `check`, `context`, `build`, in this order.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import re
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mee6.errors import Conflict, Exhausted, InvalidInput, Mee6Error, NotFound
from mee6.version import VERSION

if TYPE_CHECKING:
    from docker import APIClient

BOOTSTRAP: Final = "bootstrap"
BOOTSTRAP_IMAGE: Final = "mee6/base-bootstrap"
DEFAULT_BASES: Final[Mapping[str, str]] = {"python": "python:3.12-slim", "nodejs": "node:20-bookworm"}
"""Runtime -> base; the second one brings a Python along."""
LABEL_VERSION: Final = "mee6.version"
LABEL_BUILD: Final = "mee6.build"
LABEL_RUNTIME: Final = "mee6.runtime"
LABEL_BASE: Final = "mee6.base"
LABEL_PYTHON: Final = "mee6.python"
LABEL_NODE: Final = "mee6.node"
LABEL_NODE_PATH: Final = "mee6.node-path"
INSIDE: Final = "/opt/mee6"
"""Where the packages are in an image."""

Say = Callable[[str, str], None]

_LOCAL: Final = "unix:///var/run/docker.sock"
_CONNECT_TIMEOUT_S: Final = 5.0
_TIMEOUT_S: Final = 300.0
"""For one answer of the engine, which says nothing while it imports or commits a layer."""
_BOOTSTRAP_TIMEOUT_S: Final = 900.0
_PROBE_TIMEOUT_S: Final = 30
_LAST_LINES: Final = 12
_LEFT_OUT: Final = frozenset({"__pycache__", "api", "client.py", "script.py", "README.md", "Dockerfile"})
_PACKAGES: Final = ("mee6", "proxy", "runtimes")
_MSGSPEC: Final = "msgspec"
_START: Final = f"""import sys
sys.path.insert(0, {INSIDE!r})
from proxy.container import main
main()
"""
# One line of JSON about the base; it has to run on any Python 3.
_PROBE: Final = """
import json, platform, shutil, subprocess, sys
node = shutil.which("node") or ""
version = subprocess.check_output([node, "--version"]).decode().strip().lstrip("v") if node else ""
print(json.dumps({"python": list(sys.version_info[:3]), "libc": platform.libc_ver()[0], "machine": platform.machine(),
                  "node": version, "node_path": node}))
"""
_BOOTSTRAP_PACKAGES: Final = "python3,nodejs,dash,coreutils,libc-bin,base-files"
# Extracted packages have not run their maintainer scripts: what those would have made is made here.
_BOOTSTRAP_HOOK: Final = """set -e; cd "$1"; ln -sf dash usr/bin/sh
rm -rf usr/share/doc usr/share/man usr/share/locale var/lib/apt var/cache/apt
mkdir -p tmp root etc/ssl/certs; chmod 1777 tmp
printf 'root:x:0:0:root:/root:/bin/sh\\nnobody:x:65534:65534::/:/bin/sh\\n' > etc/passwd
printf 'root:x:0:\\nnogroup:x:65534:\\n' > etc/group
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/; fi
/sbin/ldconfig -r .
"""


@dataclass(frozen=True, slots=True)
class RuntimeImage:
    """One image of workers."""

    name: str
    runtime: str
    version: str
    """Of mee6, whose proxy and SDK are in it."""
    base: str
    python: str
    node: str
    """Versions; empty without it."""
    node_path: str
    size_bytes: int
    created_s: float
    """Wall clock."""
    image_id: str
    is_current: bool
    """It holds what is installed here; another one has to be built again."""


def image_name(runtime: str) -> str:
    """What the image of a runtime's workers is called."""
    return f"mee6/runtime-{runtime}"


def _say_nothing(_stage: str, _detail: str) -> None:
    """For a caller that wants no news."""


def connect(timeout_s: float = _TIMEOUT_S) -> APIClient:
    """A client of the engine that `DOCKER_HOST` names, or of the local one.

    Raises:
        Conflict: none answers.
    """
    from docker import APIClient
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env
    from requests.exceptions import RequestException

    try:
        settings: dict[str, Any] = {**kwargs_from_env(), "timeout": int(timeout_s)}
        _try_socket(settings.get("base_url", _LOCAL))
        # Asked by hand: where the SDK's own way to find the version fails, nobody closes its client.
        with contextlib.closing(APIClient(**settings)) as asking:
            version = asking.version(api_version=False)["ApiVersion"]
        return APIClient(**settings, version=version)
    except (DockerException, RequestException, OSError) as error:
        raise Conflict(
            f"no Docker Engine answers ({_brief(error)}); start one (systemctl start docker), "
            "or use the process driver: mee6 agent serve --driver process"
        ) from error


def _try_socket(url: str) -> None:
    """Raises OSError where nobody listens; the SDK would not close its own socket then."""
    scheme, _, path = url.partition("://")
    if scheme in {"unix", "http+unix"}:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(_CONNECT_TIMEOUT_S)
            sock.connect("/" + path.lstrip("/"))


def build(runtime: str, base: str = "", say: Say = _say_nothing) -> RuntimeImage:
    """Makes the image of a runtime's workers, in the place of an earlier one.

    Args:
        base: an image's name, `bootstrap`, or empty for the runtime's default.
        say: told of progress, as (stage, detail).

    Raises:
        InvalidInput: no such runtime, or the base lacks what it needs.
        NotFound: the base is not here and cannot be had.
        Conflict: no engine; or a tool is missing.
        Mee6Error: a step failed; `traceback` is what it said last.
    """
    if runtime not in DEFAULT_BASES:
        raise InvalidInput(f"runtime {runtime!r} has no image; known are: {', '.join(DEFAULT_BASES)}")
    wanted = base or DEFAULT_BASES[runtime]
    with connect() as api, _translated():
        if wanted == BOOTSTRAP:
            _bootstrap(api, say)
            wanted = BOOTSTRAP_IMAGE
        else:
            _have(api, wanted, say)
        say("check", wanted)
        facts = _probe(api, wanted, runtime)
        say("context", f"mee6 {VERSION}")
        labels = {
            LABEL_VERSION: VERSION,
            LABEL_BUILD: build_id(),
            LABEL_RUNTIME: runtime,
            LABEL_BASE: base or wanted,
            LABEL_PYTHON: ".".join(str(part) for part in facts["python"]),
            LABEL_NODE: facts["node"],
            LABEL_NODE_PATH: facts["node_path"],
        }
        old = find_image(api, runtime)
        _run_build(api, runtime, wanted, labels, _context(runtime, facts), say)
        made = find_image(api, runtime)
        if old is not None and made is not None and old.image_id != made.image_id:
            _forget(api, old.image_id)
    if made is None:
        raise Mee6Error(f"the engine says that it built {image_name(runtime)}, but does not have it")
    return made


def list_images(timeout_s: float = _TIMEOUT_S) -> list[RuntimeImage]:
    """The images of workers that the engine has, by name.

    Args:
        timeout_s: for each answer of the engine.

    Raises:
        Conflict: no engine answers.
    """
    with connect(timeout_s) as api, _translated():
        found = [find_image(api, runtime) for runtime in DEFAULT_BASES]
        return [image for image in found if image is not None]


def remove(runtime: str) -> None:
    """Removes the image of a runtime's workers, or with `bootstrap` the base made here.

    Raises:
        NotFound: there is none.
        Conflict: a container uses it; or no engine answers.
    """
    from docker.errors import APIError, ImageNotFound

    name = BOOTSTRAP_IMAGE if runtime == BOOTSTRAP else image_name(runtime)
    with connect() as api:
        try:
            api.remove_image(name)
        except ImageNotFound as error:
            raise NotFound(f"there is no image {name}; see: mee6 image ls") from error
        except APIError as error:
            if error.status_code == 409:
                raise Conflict(f"image {name} is in use: {error.explanation}; stop the agent first") from error
            raise Mee6Error(f"image {name} could not be removed: {_brief(error)}") from error


def find_image(api: APIClient, runtime: str) -> RuntimeImage | None:
    """The image of a runtime's workers; None when there is none."""
    from docker.errors import ImageNotFound

    name = image_name(runtime)
    try:
        facts = api.inspect_image(name)  # type: ignore[no-untyped-call]
        labels = facts["Config"].get("Labels") or {}
    except ImageNotFound:
        return None
    return RuntimeImage(
        name=name,
        runtime=runtime,
        version=labels.get(LABEL_VERSION, ""),
        base=labels.get(LABEL_BASE, ""),
        python=labels.get(LABEL_PYTHON, ""),
        node=labels.get(LABEL_NODE, ""),
        node_path=labels.get(LABEL_NODE_PATH, ""),
        size_bytes=int(facts["Size"]),
        created_s=_seconds(facts["Created"]),
        image_id=facts["Id"],
        is_current=labels.get(LABEL_BUILD) == build_id(),
    )


@cache
def build_id() -> str:
    """Names what an image made here would hold: the version, and a digest of the packages' files."""
    digest = hashlib.sha256()
    for name, path in _files():
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(_START.encode())
    return f"{VERSION}-{digest.hexdigest()[:12]}"


# The base


def _have(api: APIClient, base: str, say: Say) -> None:
    """Sees to it that the engine has the base image."""
    from docker.errors import APIError, ImageNotFound

    say("base", base)
    try:
        api.inspect_image(base)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        pass
    else:
        return
    name, _, tag = base.rpartition(":") if ":" in base.rpartition("/")[2] else (base, "", "latest")
    try:
        for line in api.pull(name, tag=tag or "latest", stream=True, decode=True):
            if "error" in line:
                raise NotFound(_not_found(base, str(line["error"])))
            say("base", " ".join(str(line[key]) for key in ("id", "status", "progress") if line.get(key)))
    except APIError as error:
        raise NotFound(_not_found(base, _brief(error))) from error


def _not_found(base: str, why: str) -> str:
    return (
        f"base image {base!r} is not here and could not be pulled: {why}; name one that `docker images` lists, "
        "or have one made of Debian packages: --base bootstrap"
    )


def _bootstrap(api: APIClient, say: Say) -> None:
    """Makes the base of Debian packages, unless it is there."""
    from docker.errors import ImageNotFound

    say("base", BOOTSTRAP_IMAGE)
    try:
        api.inspect_image(BOOTSTRAP_IMAGE)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        pass
    else:
        return
    with tempfile.TemporaryDirectory(prefix="mee6-base-") as folder:
        archive = Path(folder, "base.tar")
        _debootstrap(archive, say)
        say("base", f"importing {archive.stat().st_size >> 20} MiB")
        changes = [
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            f"LABEL {LABEL_BASE}={BOOTSTRAP}",
        ]
        answer = api.import_image_from_file(str(archive), repository=BOOTSTRAP_IMAGE, tag="latest", changes=changes)
        if '"error"' in answer:
            raise Mee6Error(f"the engine did not take the base image: {answer.strip()}")


def _debootstrap(archive: Path, say: Say) -> None:
    suite, mirror = _debian()
    command = ["mmdebstrap", "--variant=extract", f"--include={_BOOTSTRAP_PACKAGES}"]
    command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale")]
    command += [f"--extract-hook={_BOOTSTRAP_HOOK}", suite, str(archive), *([mirror] if mirror else [])]
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError as error:
        raise Conflict(
            "mmdebstrap is not installed, and makes the bootstrap base; run: apt-get install -y mmdebstrap"
        ) from error
    with process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                last.append(line.rstrip())
                if line.startswith("I: "):
                    say("base", line[3:].partition(":")[0].strip())
            code = process.wait(_BOOTSTRAP_TIMEOUT_S)
        except BaseException:
            process.terminate()
            raise
    if code:
        raise Mee6Error(f"mmdebstrap failed with status {code}", traceback="\n".join(last))


def _debian() -> tuple[str, str]:
    """Suite and mirror of this machine's own packages, where it is a Debian; else a suite, and no mirror."""
    try:
        release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(), re.MULTILINE))
    except OSError:
        release = {}
    if release.get("ID") != "debian":
        return "bookworm", ""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(file.read_text() for file in files if file.is_file())
    mirror = re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?) *(https?://\S+/debian)/?(?:\s|$)", text, re.MULTILINE)
    return release.get("VERSION_CODENAME") or "bookworm", mirror.group(1) if mirror else ""


def _probe(api: APIClient, base: str, runtime: str) -> dict[str, Any]:
    """What the base has, said by itself."""
    from docker.errors import APIError

    host = api.create_host_config(network_mode="none")
    made = api.create_container(
        base, ["-c", _PROBE], entrypoint=["python3"], host_config=host, labels={"mee6.probe": runtime}, user="0:0"
    )
    try:
        api.start(made)
        status = api.wait(made, timeout=_PROBE_TIMEOUT_S)["StatusCode"]
        said = api.logs(made, stdout=True, stderr=True).decode("utf-8", "replace").strip()
    except APIError as error:
        if "python3" not in str(error.explanation):
            raise
        raise InvalidInput(
            f"base image {base!r} has no python3, which the proxy needs: Python 3.11 or later"
        ) from error
    finally:
        api.remove_container(made, force=True)
    if status:
        raise InvalidInput(f"base image {base!r} cannot run Python: {said.splitlines()[-1] if said else status}")
    facts: dict[str, Any] = json.loads(said.splitlines()[-1])
    version = ".".join(str(part) for part in facts["python"])
    if tuple(facts["python"]) < (3, 11):
        raise InvalidInput(f"base image {base!r} has Python {version}; the proxy needs 3.11 or later")
    if runtime == "nodejs" and not facts["node"]:
        raise InvalidInput(f"base image {base!r} has no node on its PATH, which the runtime nodejs needs")
    return facts


# The context and the build


def _files() -> Iterator[tuple[str, Path]]:
    """Our packages' files, as (name in the image, path here), in a fixed order."""
    for package in _PACKAGES:
        folder = _folder(package)
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not _LEFT_OUT.intersection(inside.parts) and path.suffix != ".pyc":
                yield f"{package}/{inside}", path


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _context(runtime: str, facts: Mapping[str, Any]) -> bytes:
    """The build context, as a tar."""
    dockerfile = (_folder("runtimes") / runtime / "Dockerfile").read_bytes()
    with tempfile.TemporaryDirectory(prefix="mee6-context-") as scratch, io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            _put(tar, "Dockerfile", dockerfile)
            _put(tar, "mee6/start.py", _START.encode())
            for name, path in _files():
                _put(tar, f"mee6/{name}", path.read_bytes())
            msgspec = _msgspec_for(facts, Path(scratch))
            for path in sorted(msgspec.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    _put(tar, f"mee6/{_MSGSPEC}/{path.relative_to(msgspec)}", path.read_bytes())
        return buffer.getvalue()


def _put(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    # No times and no owners: the engine's cache goes by what is in the context.
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(data))


def _msgspec_for(facts: Mapping[str, Any], scratch: Path) -> Path:
    """The folder of a msgspec that the base's Python can load: our own one, or a wheel for it."""
    major, minor = facts["python"][:2]
    is_glibc = facts["libc"] == "glibc"
    if (major, minor) == sys.version_info[:2] and is_glibc:
        return _folder(_MSGSPEC)
    from importlib.metadata import version

    platform = ("manylinux2014_" if is_glibc else "musllinux_1_2_") + facts["machine"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += [f"--python-version={major}.{minor}", f"--platform={platform}", f"--dest={scratch}"]
    done = subprocess.run(
        [*command, f"{_MSGSPEC}=={version(_MSGSPEC)}"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    wheel = next(scratch.glob("*.whl"), None)
    if done.returncode or wheel is None:
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise Mee6Error(
            f"no msgspec could be had for the base's Python {major}.{minor} ({platform}): {said}; "
            f"a base with this agent's Python {sys.version_info[0]}.{sys.version_info[1]} needs none"
        )
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch / "wheel")  # noqa: S202  a wheel whose digest pip has checked
    return scratch / "wheel" / _MSGSPEC


def _run_build(api: APIClient, runtime: str, base: str, labels: dict[str, str], context: bytes, say: Say) -> None:
    last: deque[str] = deque(maxlen=_LAST_LINES)
    lines = api.build(
        fileobj=io.BytesIO(context),
        custom_context=True,
        tag=image_name(runtime),
        buildargs={"BASE": base},
        labels=labels,
        network_mode="none",
        rm=True,
        forcerm=True,
        decode=True,
    )
    for line in lines:
        if "error" in line:
            said = "\n".join([*last, str(line["error"])])
            if "no space left" in said:
                raise Exhausted(f"the disk of the engine is full: {line['error']}")
            raise Mee6Error(f"building {image_name(runtime)} failed: {line['error']}", traceback=said)
        text = str(line.get("stream", "")).rstrip()
        last.extend(text.splitlines())
        if text.startswith("Step "):
            say("build", text)


def _forget(api: APIClient, image_id: str) -> None:
    """Removes an image that has no name any more; one that containers still use stays until they are gone."""
    from docker.errors import APIError

    try:
        if not api.inspect_image(image_id).get("RepoTags"):  # type: ignore[no-untyped-call]
            api.remove_image(image_id)
    except APIError:
        return


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", text)).timestamp()


class _translated:  # noqa: N801  used as a word: with _translated()
    """Turns the engine's errors into ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        from docker.errors import DockerException
        from requests.exceptions import RequestException

        if isinstance(error, DockerException):
            if "no space left" in str(error):
                raise Exhausted(f"the disk of the engine is full: {_brief(error)}") from error
            raise Mee6Error(f"the engine refused: {_brief(error)}") from error
        if isinstance(error, RequestException):
            raise Conflict(f"the engine does not answer: {_brief(error)}") from error


def _brief(error: BaseException) -> str:
    """An engine's error in one line."""
    text = str(getattr(error, "explanation", "") or error)
    return " ".join(text.split())[:300]
