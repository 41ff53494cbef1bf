"""`activity.json` (or `activity.yaml`): what a function says about itself.

The file's name, `name`, `runtime`, `dependencies`, `outflow` and `maxParallelism` are those of the first
Mee6aaS (its `pkg/activity`), so that its functions still work; unknown keys are refused, since most are
misspellings of known ones.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from mee6.declared.graph import Declaration, Step
from mee6.errors import InvalidManifest

FILE_NAME: Final = "activity.json"
YAML_NAMES: Final = ("activity.yaml", "activity.yml")
"""What it may be called where it is written in YAML; a bundle holds it as JSON."""
MAX_TIMEOUT_S: Final = 7 * 86400
"""A week: longer is a mistake."""
MAX_BYTES: Final = 1 << 20
"""Of the file."""
NAME_RULE: Final = "1 to 63 letters, digits, '-', '_' or '.', starting with a letter or digit"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_OUTFLOW: Final = re.compile(r"no|always|optional:[0-9]{1,4}")
_ENV: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RUNTIME: Final = re.compile(r"(?:mee6aas/runtime-|mee6/runtime-)?([a-z][a-z0-9_-]*)(?::latest)?")

STEPS_OUTFLOW: Final = "optional:0"
"""Of all functions of declared steps: the steps themselves say where each runs."""

Network = Literal["none", "bridge"]
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""Of HTTP, that a function may answer; OPTIONS is answered for it."""
_ORIGIN: Final = re.compile(r"\*|https?://[A-Za-z0-9.\-\[\]:]{1,255}")


class Dependency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a function relates to one it may call."""

    outflow: str = ""
    """`no` or empty: in this worker. `always`: in another. `optional:n`: of the calls of group n that run
    in parallel, one stays in this worker."""


class FunctionLimits(msgspec.Struct, frozen=True, cache_hash=True, forbid_unknown_fields=True, rename="camel"):
    """What a worker of the function may use, where that is less than the agent gives; None means as the agent says."""

    memory_mib: Annotated[int, msgspec.Meta(ge=32)] | None = None
    cpus: Annotated[float, msgspec.Meta(ge=0.01, le=1024)] | None = None
    """Cores."""
    pids: Annotated[int, msgspec.Meta(ge=16)] | None = None
    """Processes and threads, of which mee6 itself takes some five."""
    open_files: Annotated[int, msgspec.Meta(ge=64)] | None = None
    """Of one process."""
    scratch_mib: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Of `/act` and `/tmp` each."""

    def __str__(self) -> str:
        names = zip(self.__struct_encode_fields__, self.__struct_fields__, strict=True)
        given = ((name, getattr(self, attribute)) for name, attribute in names)
        return " ".join(f"{name}={value:g}" for name, value in given if value is not None)


NO_LIMITS: Final = FunctionLimits()


class Http(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How a function is reached over HTTP."""

    methods: list[str] = []
    """Empty: all of `METHODS`."""
    cors: list[str] = []
    """Origins whose pages may call it from a browser, as `https://app.example.org`; `*` for all."""
    body: Literal["whole", "stream"] = "whole"
    """`whole`: the body is the argument. `stream`: the function is called at once and reads the body as it comes."""


BY_HTTP: Final = Http()


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A function's manifest, checked."""

    name: str
    runtime: str = ""
    """The language: `python`, `nodejs`. The long forms of the first Mee6aaS are shortened to it. Of a declared
    workflow, in whose workers its steps run: `python` where it does not say."""
    dependencies: dict[str, Dependency] = {}
    """The functions it may call. Not empty: the function is a workflow."""
    max_parallelism: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    """Calls of one invocation that run in other workers at once; 0 means the agent's default."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_TIMEOUT_S)] | None = None
    """Seconds an invocation may take from its acceptance; None means the agent's default."""
    network: Network = "none"
    """`none`: no network. `bridge`: may reach out."""
    limits: FunctionLimits = NO_LIMITS
    """Of its workers. A workflow's steps run within those of its first function, where they run in its worker."""
    env: dict[str, str] = {}
    http: Http = BY_HTTP
    look_ahead: bool = True
    """Whether its code may be loaded before it is called, and though it may not be."""
    description: str = ""
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    """Invocations that one worker's runtime takes at once; more than one needs an async function, whose calls, if it
    makes any, all run in other workers."""
    steps: dict[str, Step] = {}
    """Of a declared workflow, which has no code of its own; `dependencies` are then the steps' functions."""
    output: Any = msgspec.UNSET
    """What a declared workflow returns; without it, what its last step gives."""

    @property
    def declaration(self) -> Declaration | None:
        """Its steps; None for a function with code."""
        return Declaration(self.steps, self.output) if self.steps else None

    @property
    def is_workflow(self) -> bool:
        """Whether it calls other functions."""
        return bool(self.dependencies)

    @property
    def leaves(self) -> list[str]:
        """The dependencies whose calls may run in other workers."""
        return [name for name, dependency in self.dependencies.items() if dependency.outflow not in ("", "no")]

    @property
    def outflows(self) -> dict[str, str]:
        """Dependency -> `no`, `always` or `optional:n`."""
        return {name: dependency.outflow or "no" for name, dependency in self.dependencies.items()}


def is_name(text: str) -> bool:
    """Whether `text` may name a function or a user; such a name is also a safe file name."""
    return bool(_NAME.fullmatch(text)) and ".." not in text


def is_variable(text: str) -> bool:
    """Whether `text` may name a variable of a function's environment."""
    return _ENV.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Written:
    """A manifest as it stands in its file."""

    file: str
    """The file's name."""
    raw: bytes
    json: bytes
    """The same in JSON, where it is not."""


def parse(text: str | bytes) -> Manifest:
    """The manifest that `text`, JSON, holds.

    Raises:
        InvalidManifest: one line that names the file, its line and key, what stands there and what may.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text.removeprefix(codecs.BOM_UTF8)
    return parsed(Written(FILE_NAME, raw, raw))


def parsed(written: Written) -> Manifest:
    """`parse`, of what was read from a file."""
    size = len(written.raw)
    if size > MAX_BYTES:
        raise InvalidManifest(f"{written.file} has {size} bytes, over the limit of {MAX_BYTES}; it holds no data")
    try:
        manifest = msgspec.json.decode(written.json, type=Manifest)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:  # also where it is JSON, but no manifest
        raise InvalidManifest(_explained(written, str(error))) from error
    return _checked(manifest, written)


def path_in(folder: Path) -> Path | None:
    """The file in `folder` that its manifest stands in.

    Raises:
        InvalidManifest: there are several.
    """
    found = [folder / name for name in (FILE_NAME, *YAML_NAMES) if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise InvalidManifest(f"{folder} has {names}; keep one of them")
    return found[0] if found else None


def folders_below(folder: Path) -> list[Path]:
    """The folders in `folder`, and in those below, that hold a manifest; in their order, hidden ones left out."""
    found = {path.parent for name in (FILE_NAME, *YAML_NAMES) for path in folder.rglob(name)}
    hidden = ("node_modules", "__pycache__")
    return sorted(
        one
        for one in found
        if not any(part.startswith(".") or part in hidden for part in one.relative_to(folder).parts)
    )


def read(folder: Path) -> Manifest:
    """The manifest of the function in `folder`.

    Raises:
        InvalidManifest: as `parse`; or there is no such file, or are several.
    """
    return parsed(written_in(folder))


def written_in(folder: Path) -> Written:
    """The manifest of the function in `folder`, as it stands there.

    Raises:
        InvalidManifest: there is none, there are several, it cannot be read or is not YAML.
    """
    path = path_in(folder) or folder / FILE_NAME
    try:
        raw = path.read_bytes().removeprefix(codecs.BOM_UTF8)
        return Written(path.name, raw, raw if path.name == FILE_NAME else _as_json(path.name, raw))
    except FileNotFoundError as error:
        below = sorted({path.parent.name for name in (FILE_NAME, *YAML_NAMES) for path in folder.glob(f"*/{name}")})
        if below:
            shown = ", ".join(below[:4]) + (", ..." if len(below) > 4 else "")
            raise InvalidManifest(f"no {FILE_NAME} in {folder}, but in its folders {shown}; give these") from error
        raise InvalidManifest(f"no {FILE_NAME} in {folder}; make one with: mee6 init NAME") from error
    except OSError as error:
        raise InvalidManifest(f"cannot read {path}: {error.strerror}") from error


def _as_json(file: str, raw: bytes) -> bytes:
    from mee6 import manifest_yaml

    try:
        return manifest_yaml.as_json(raw.decode()).encode("utf-8", "surrogatepass")
    except manifest_yaml.NotYaml as error:
        raise InvalidManifest(f"{file}{error}") from error
    except UnicodeDecodeError as error:
        raise InvalidManifest(_not_text(file, raw, error)) from error


def _checked(manifest: Manifest, written: Written) -> Manifest:
    def demand(holds: bool, complaint: str, *path: str) -> None:
        if not holds:
            raise InvalidManifest(_located(written, path, complaint))

    demand(is_name(manifest.name), f"name {manifest.name!r} is not allowed: {NAME_RULE}", "name")
    manifest = _derived(manifest, demand)
    if not manifest.runtime and "steps" in json.loads(written.json):
        demand(False, 'steps is empty; name one, as in "clean": {"function": "echo"}', "steps")
    demand(
        bool(manifest.runtime),
        '\'runtime\' is missing; add "runtime": "python", or, of a workflow without code, "steps": {...}',
    )
    runtime = _RUNTIME.fullmatch(manifest.runtime)
    demand(
        runtime is not None,
        f"runtime {manifest.runtime!r} is not a runtime's name, as in 'python' or 'nodejs'",
        "runtime",
    )
    for name, dependency in manifest.dependencies.items():
        demand(is_name(name), f"dependency {name!r} is not allowed: {NAME_RULE}", "dependencies", name)
        demand(
            dependency.outflow == "" or _OUTFLOW.fullmatch(dependency.outflow) is not None,
            f"dependency {name!r} has outflow {dependency.outflow!r}; use 'no', 'always' or 'optional:<number>'",
            *("dependencies", name, "outflow"),
        )
        demand(
            manifest.concurrency == 1 or dependency.outflow == "always",
            f"concurrency is {manifest.concurrency}, but {name!r} may run in its caller's worker, which runs one at "
            f"a time; give {name!r} the outflow 'always', or leave concurrency out",
            "concurrency",
        )
    for method in manifest.http.methods:
        demand(method in METHODS, f"http.methods has {method!r}; use of {', '.join(METHODS)}", "http", "methods")
    for origin in manifest.http.cors:
        good = _ORIGIN.fullmatch(origin) is not None
        demand(good, f"http.cors has {origin!r}; use '*' or https://host[:port]", "http", "cors")
    for key in manifest.env:
        demand(is_variable(key), f"env {key!r} is not a variable's name: letters, digits and '_'", "env", key)
    assert runtime is not None
    return msgspec.structs.replace(manifest, runtime=runtime.group(1))


def _derived(manifest: Manifest, demand: Callable[..., None]) -> Manifest:
    """A declared workflow's manifest with what follows from its steps; any other as it is."""
    declaration = manifest.declaration
    if declaration is None:
        demand(manifest.output is msgspec.UNSET, "output is of a workflow with 'steps', and there are none", "output")
        return manifest
    from mee6.declared.checking import faults

    derived = {name: Dependency(STEPS_OUTFLOW) for name in declaration.functions}
    same = all(manifest.dependencies.get(name) == one for name, one in derived.items())
    demand(
        not manifest.dependencies or (same and len(derived) == len(manifest.dependencies)),
        "dependencies are derived from 'steps'; take them out",
        "dependencies",
    )
    demand(manifest.concurrency == 1, "concurrency is of a function with code; a step has its own", "concurrency")
    demand(manifest.http.body == "whole", "http.body of a declared workflow can only be 'whole'", "http", "body")
    for path, complaint in faults(declaration, manifest.name):
        demand(False, complaint, *path)
    runtime = manifest.runtime or "python"
    return msgspec.structs.replace(manifest, dependencies=derived, runtime=runtime)


def _not_text(file: str, raw: bytes, error: UnicodeDecodeError) -> str:
    line = raw.count(b"\n", 0, error.start) + 1
    return f"{file}, line {line}: not UTF-8 text; save it as UTF-8"


def _explained(written: Written, said: str) -> str:
    """What to say of a manifest that was refused with the words `said`."""
    from mee6 import manifest_faults

    try:
        text = written.json.decode()
    except UnicodeDecodeError as error:
        return _not_text(written.file, written.raw, error)
    if where := manifest_faults.syntax(text):
        return f"{written.file}{where}"
    try:
        found = list(manifest_faults.faults(json.loads(text), Manifest))
    except RecursionError:
        found = []
    if not found:
        return f"{written.file}: {said}"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return _located(written, found[0].path, found[0].said + more)


def _located(written: Written, path: tuple[str, ...], complaint: str) -> str:
    from mee6.manifest_faults import line_of

    line = line_of(written.raw.decode(), path)
    return f"{written.file}{f', line {line}' if line else ''}: {complaint}"
