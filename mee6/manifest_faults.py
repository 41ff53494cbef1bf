"""What is wrong with a manifest, said for whoever wrote it: line, key, what stands there, what may, and a way out.

Only read when `mee6.manifest` has refused one: what may stand in a key is asked of the same types that refused it.
"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

Path = tuple[str, ...]
"""Keys from the outermost to the one that is meant; empty = the whole."""

_SHOWN: Final = 60
"""Characters of a value that is not what it should be."""
_LOCATED_CHARACTERS: Final = 64 << 10
"""In a longer text no line is looked for: an agent, too, reads manifests, and this takes a second for a million."""
_HINTS: Final[Mapping[Path, str]] = {
    ("name",): '"name": "greet"',
    ("runtime",): '"runtime": "python"',
    ("dependencies",): '"dependencies": {"other": {"outflow": "no"}}',
    ("dependencies", "*"): '"other": {} or "other": {"outflow": "always"}',
    ("dependencies", "*", "outflow"): '"outflow": "always"',
    ("maxParallelism",): '"maxParallelism": 4',
    ("timeoutS",): '"timeoutS": 60, in seconds',
    ("network",): '"network": "bridge"',
    ("limits",): '"limits": {"memoryMib": 256}',
    ("limits", "memoryMib"): '"memoryMib": 256',
    ("limits", "cpus"): '"cpus": 0.5',
    ("limits", "pids"): '"pids": 64',
    ("limits", "openFiles"): '"openFiles": 256',
    ("limits", "scratchMib"): '"scratchMib": 64',
    ("http",): '"http": {"methods": ["POST"]}',
    ("http", "methods"): '"methods": ["GET", "POST"]',
    ("http", "cors"): '"cors": ["https://app.example.org"]',
    ("http", "body"): '"body": "stream"',
    ("lookAhead",): '"lookAhead": false',
    ("env",): '"env": {"KEY": "value"}',
    ("env", "*"): '"KEY": "value"; a number too is written in quotes',
    ("concurrency",): '"concurrency": 100',
    ("description",): '"description": "What it does."',
    ("steps",): '"steps": {"clean": {"function": "echo", "input": "$args"}}',
    ("steps", "*"): '"clean": {"function": "echo", "input": "$args"}',
    ("steps", "*", "function"): '"function": "echo"',
    ("steps", "*", "after"): '"after": ["clean"]',
    ("steps", "*", "concurrency"): '"concurrency": 4',
    ("steps", "*", "switch"): '"switch": [{"if": "$args.size", "above": 10, "then": "big"}]',
    ("steps", "*", "switch", "*"): '{"if": "$args.size", "above": 10, "then": "big"}',
    ("steps", "*", "switch", "*", "then"): '"then": "big"',
    ("steps", "*", "switch", "*", "above"): '"above": 10',
    ("steps", "*", "switch", "*", "below"): '"below": 10',
    ("steps", "*", "switch", "*", "in"): '"in": ["red", "green"]',
    ("steps", "*", "else"): '"else": "small"',
    ("steps", "*", "timeoutS"): '"timeoutS": 5, in seconds',
    ("steps", "*", "retry"): '"retry": {"attempts": 3, "backoffS": 0.1}',
    ("steps", "*", "retry", "attempts"): '"attempts": 3',
    ("steps", "*", "retry", "on"): '"on": ["timed_out"]',
    ("steps", "*", "catch"): '"catch": {"value": null}',
    ("steps", "*", "catch", "on"): '"on": ["timed_out"]',
}


@dataclass(frozen=True, slots=True)
class ManifestFault:
    """One thing that is wrong."""

    path: Path
    said: str


def syntax(text: str) -> str:
    """Where and why the text is not JSON; empty when it is."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f", line {error.lineno}, column {error.colno}: not valid JSON: {_cause(text, error)}"
    except RecursionError:
        return ": not valid JSON: nested too deeply"
    return ""


def faults(value: Any, of: type[msgspec.Struct], path: Path = ()) -> Iterator[ManifestFault]:
    """All that keeps a JSON value from being one of `of`, outer things first."""
    if not isinstance(value, dict):
        yield ManifestFault(path, f"{_place(path)} is {_shown(value)}, but must be an object: {{...}}{_as_in(path)}")
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(of)}
    for key in value:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1, 0.6) or _of_other_case(key, fields)
            meant = f"; did you mean {near[0]!r}?" if near else ";"
            yield ManifestFault((*path, key), f"no key {key!r}{_within(path)}{meant} there are: {', '.join(fields)}")
    for name, field in fields.items():
        if name in value:
            yield from _field_faults(value[name], field.type, (*path, name))
        elif field.required:
            yield ManifestFault(path, f"{name!r} is missing{_within(path)}; add {_hint((*path, name))}")


def line_of(text: str, path: Path) -> int:
    """The line, from 1, in which the last key of `path` stands; 0 where that cannot be told."""
    if not path or len(text) > _LOCATED_CHARACTERS:
        return 0
    import yaml  # of which JSON is a part

    try:
        # Tabs are spaces to JSON, and within its strings there are none.
        node: Any = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
        line = 0
        for key in path:
            if isinstance(node, yaml.SequenceNode):
                node = node.value[int(key)]
                line = node.start_mark.line + 1
                continue
            # The last of equal keys is the one that counts.
            mark, node = [(one.start_mark.line + 1, below) for one, below in node.value if one.value == key][-1]
            line = mark
    except (yaml.YAMLError, RecursionError, IndexError, TypeError, ValueError, AttributeError):
        return 0
    return line


def _field_faults(value: Any, kind: Any, path: Path) -> Iterator[ManifestFault]:
    if (struct := _struct(kind)) is not None:
        if value is not None or struct is kind:
            yield from faults(value, struct, path)
        return
    if typing.get_origin(kind) is list and isinstance(value, list) and _struct(typing.get_args(kind)[0]) is not None:
        for n, item in enumerate(value):
            yield from _field_faults(item, typing.get_args(kind)[0], (*path, str(n)))
        return
    if typing.get_origin(kind) is dict and isinstance(value, dict):
        inner = typing.get_args(kind)[1]
        for key, item in value.items():
            yield from _field_faults(item, inner, (*path, key))
        return
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        allowed = " or ".join(_allowed(kind))
        yield ManifestFault(path, f"{_place(path)} is {_shown(value)}, but must be {allowed}{_as_in(path)}")


def _struct(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a type, or what else than null a type is, asks for."""
    kinds = [one for one in typing.get_args(kind) if one is not types.NoneType] if _is_union(kind) else [kind]
    return kinds[0] if len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], msgspec.Struct) else None


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _allowed(kind: Any, meta: Sequence[Any] = ()) -> list[str]:
    """The kinds of value that a type stands for, in words."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _allowed(args[0], args[1:])
    if _is_union(kind):
        return [word for one in args if one is not types.NoneType for word in _allowed(one)]
    if origin is typing.Literal:
        return [json.dumps(one) for one in args]
    if origin is dict:
        return ["an object: {...}"]
    if origin is list:
        return ["a list of text"]
    words = {int: "a whole number", float: "a number", str: 'text: "..."'}
    bounds = [bound for one in meta if isinstance(one, msgspec.Meta) for bound in _bounds(one)]
    return [" ".join([words.get(kind, str(kind)), " and ".join(bounds)]).rstrip()]


def _bounds(meta: msgspec.Meta) -> Iterator[str]:
    for word, bound in (("from", meta.ge), ("over", meta.gt), ("up to", meta.le), ("below", meta.lt)):
        if bound is not None:
            yield f"{word} {bound}"


def _place(path: Path) -> str:
    return ".".join(path) if path else "the manifest"


def _within(path: Path) -> str:
    return f" in {_place(path)}" if path else ""


def _as_in(path: Path) -> str:
    hint = _hint(path)
    return f", as in {hint}" if hint else ""


def _hint(path: Path) -> str:
    """As it could be; of keys and places that people choose, `*` stands for any."""
    for pattern, hint in _HINTS.items():
        if len(pattern) == len(path) and all(one in ("*", key) for one, key in zip(pattern, path, strict=True)):
            return hint
    return ""


def _of_other_case(key: str, known: Mapping[str, Any]) -> list[str]:
    plain = re.sub("[^a-z]", "", key.lower())
    return [name for name in known if len(plain) > 2 and name.lower().startswith(plain[: len(name)])]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    kinds = ((bool, "", ""), (str, "the text ", ""), (int, "the number ", ""), (float, "the number ", ""),
             (list, "the list ", ""), (dict, "the object ", ""))  # fmt: skip
    return next((f"{before}{text}{after}" for kind, before, after in kinds if isinstance(value, kind)), text)


def _cause(text: str, error: json.JSONDecodeError) -> str:
    rest, before = text[error.pos :].lstrip(), text[: error.pos].rstrip()
    if not text.strip():
        return 'the file is empty; it begins like {"name": "greet", "runtime": "python"}'
    if rest.startswith(("//", "/*", "#")):
        return "JSON has no comments; take it out"
    if rest.startswith("'"):
        return "text stands in double quotes, not single ones"
    if (before.endswith(",") and rest[:1] in {"}", "]"}) or (rest[:1] == "," and rest[1:].lstrip()[:1] in {"}", "]"}):
        return "a comma too many before the bracket"
    if not rest:
        return "it ends too early; a bracket or quote is still open"
    if error.msg == "Extra data":
        return "something stands after its last bracket"
    return error.msg[0].lower() + error.msg[1:]
