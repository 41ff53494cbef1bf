"""A manifest written in YAML, as the JSON that it stands for.

Only read where there is such a file. What YAML adds to JSON and a manifest has no use for is refused (anchors, tags,
several documents, keys that are not text), and plain words are read as YAML 1.2 does: `on`, `no` and `yes` are text.
They are not to PyYAML by itself, and must be here, where manifests say `outflow: no` and `on: [timed_out]`.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import yaml

MAX_BYTES: Final = 128 << 10
"""Of the file: its reader takes a second for some 200 KiB."""
_TAGS: Final = (
    ("null", r"null|~|", "nN~"),
    ("bool", r"true|false", "tf"),
    ("int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", "-0123456789"),
)
"""What a plain word may be other than text, the first that holds: regular expression, what it begins with."""


class NotYaml(ValueError):
    """Where and why a text is none, to stand after the file's name."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way


for _name, _pattern, _first in _TAGS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$"), [*_first, ""])


def as_json(text: str) -> str:
    """The same as JSON.

    Raises:
        NotYaml: it is not YAML, or more than JSON can say.
    """
    if len(text) > MAX_BYTES:
        raise NotYaml(f" has {len(text)} characters, over the limit of {MAX_BYTES} for YAML; it holds no data")
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise NotYaml(f"{_at(event.start_mark)}: a manifest has no anchors (&) and aliases (*); write it out")
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            raise NotYaml(": the file is empty; it begins like name: greet")
        return json.dumps(_value(node), indent=2, ensure_ascii=False) + "\n"
    except yaml.MarkedYAMLError as error:
        why = ", ".join(said for said in (error.context, error.problem) if said)
        raise NotYaml(f"{_at(error.problem_mark or error.context_mark)}: not valid YAML: {why}") from error
    except (yaml.YAMLError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
        raise NotYaml(f": not valid YAML: {why}") from error


def _value(node: yaml.Node) -> Any:
    tag = node.tag.rpartition(":")[2]
    if isinstance(node, yaml.MappingNode) and tag == "map":
        found: dict[str, Any] = {}
        for key, below in node.value:
            if key.tag.rpartition(":")[2] != "str":
                raise NotYaml(f"{_at(key.start_mark)}: a key is text; write it in quotes")
            if key.value in found:
                raise NotYaml(f"{_at(key.start_mark)}: {key.value!r} stands here twice")
            found[key.value] = _value(below)
        return found
    if isinstance(node, yaml.SequenceNode) and tag == "seq":
        return [_value(one) for one in node.value]
    match tag:
        case "str":
            return node.value
        case "int":
            return int(node.value)
        case "float":
            return float(node.value)
        case "bool":
            return node.value == "true"
        case "null":
            return None
        case _:
            raise NotYaml(f"{_at(node.start_mark)}: a manifest has no tags (!{tag}); write the value alone")


def _at(mark: Any) -> str:
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
