"""Writes `runtimes/nodejs/messages.js` from `mee6.lane.messages`, so that the lane's words are said once.

Run as `python -m mee6.lane.schema --write` after a change of the messages; without `--write` it prints.
A development tool: nothing imports it. For every message it makes an encoder (an object with camelCase
properties to the array that travels) and a decoder (back, by index, with the defaults of fields that an older
peer did not send). It knows just the types that the messages use, and refuses any other.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from pathlib import Path
from typing import Final

import msgspec
from msgspec import inspect as types

from mee6.lane import messages

TARGET: Final = Path(__file__).parents[2] / "runtimes" / "nodejs" / "messages.js"
_RESERVED: Final = frozenset({"function"})
"""Field names that JavaScript takes as a property but not as a variable."""

_HEAD: Final = """\
// Generated from mee6/lane/messages.py by `python -m mee6.lane.schema --write`; do not edit.

"use strict";

/** Integers over 32 bits travel as BigInt: a JavaScript number would be sent as a float, which is no integer there. */
const int = (value) => (value > 0xffffffff ? BigInt(value) : value);

/** The object with `each` applied to its values. */
const mapValues = (object, each) => {
  const result = {};
  for (const key of Object.keys(object)) result[key] = each(object[key]);
  return result;
};
"""


def render() -> str:
    """The text of `messages.js`."""
    structs = [_info(value) for value in vars(messages).values() if _is_struct(value)]
    travelling = [info for info in structs if info.tag is not None]
    parts = [_HEAD]
    for info in structs:
        parts += [_encoder(info), _decoder(info)]
    parts.append(_table("ENCODERS", "encode", travelling))
    parts.append(_table("DECODERS", "decode", travelling))
    exported = [
        f"  {name}: {json.dumps(value)},"
        for name, value in vars(messages).items()
        if name.isupper() and isinstance(value, str | int)
    ]
    parts.append("\n".join(["module.exports = {", *exported, "  ENCODERS,", "  DECODERS,", "};"]) + "\n")
    return "\n".join(parts)


def _is_struct(value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, messages.Frame)
        and value not in (messages.Frame, messages.Message)
    )


def _info(struct: type) -> types.StructType:
    info = types.type_info(struct)
    assert isinstance(info, types.StructType)
    return info


def _table(name: str, way: str, structs: list[types.StructType]) -> str:
    rows = "\n".join(f"  {info.tag}: {way}{info.cls.__name__}," for info in structs)
    return f"/** Message name -> its {way}r. */\nconst {name} = {{\n{rows}\n}};\n"


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _variable(name: str) -> str:
    return f"{_camel(name)}_" if name in _RESERVED else _camel(name)


def _encoder(info: types.StructType) -> str:
    name = info.cls.__name__
    doc = (inspect.getdoc(info.cls) or "").splitlines()[0]
    takes = ", ".join(_parameter(field) for field in info.fields)
    tag = [json.dumps(info.tag)] if info.tag is not None else []
    elements = ", ".join(tag + [_encoded(field.type, _variable(field.name)) for field in info.fields])
    argument = f"{{ {takes} }}" if takes else ""
    return f"/** {name}: {doc} */\nfunction encode{name}({argument}) {{\n  return [{elements}];\n}}\n"


def _parameter(field: types.Field) -> str:
    name, variable = _camel(field.name), _variable(field.name)
    taken = name if name == variable else f"{name}: {variable}"
    return taken if field.required else f"{taken} = {_default(field)}"


def _decoder(info: types.StructType) -> str:
    first = 1 if info.tag is not None else 0
    lines = [f"    type: {json.dumps(info.tag)},"] if first else []
    for index, field in enumerate(info.fields, start=first):
        value = _decoded(field.type, f"a[{index}]")
        if not field.required:
            value = f"a.length > {index} ? {value} : {_default(field)}"
        lines.append(f"    {_camel(field.name)}: {value},")
    body = "\n".join(lines)
    argument = "a" if info.fields else ""
    return f"function decode{info.cls.__name__}({argument}) {{\n  return {{\n{body}\n  }};\n}}\n"


def _default(field: types.Field) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return {dict: "{}", list: "[]"}[field.default_factory]
    default = field.default
    if isinstance(default, msgspec.Struct):
        return f"decode{type(default).__name__}({json.dumps(list(msgspec.structs.astuple(default)))})"
    if isinstance(default, bytes):
        return f"Buffer.from({json.dumps(default.decode('ascii'))})"
    return json.dumps(default)


def _encoded(kind: types.Type, value: str) -> str:
    return f"int({value})" if isinstance(kind, types.IntType) else _converted(kind, value, "encode")


def _decoded(kind: types.Type, value: str) -> str:
    return _converted(kind, value, "decode")


def _converted(kind: types.Type, value: str, way: str) -> str:
    match kind:
        case types.StructType():
            return f"{way}{kind.cls.__name__}({value})"
        case types.UnionType(types=(inner, types.NoneType())):
            return f"{value} && {_converted(inner, value, way)}"
        case types.ListType(item_type=types.StructType() as item):
            return f"{value}.map({way}{item.cls.__name__})"
        case types.DictType(value_type=types.StructType() as item):
            return f"mapValues({value}, {way}{item.cls.__name__})"
        case types.StrType() | types.BytesType() | types.BoolType() | types.FloatType() | types.LiteralType():
            return value
        case types.IntType() | types.ListType(item_type=types.StrType()):
            return value
        case types.DictType(value_type=types.StrType() | types.IntType()):
            return value
        case _:
            raise TypeError(f"no JavaScript for {kind}; teach it to {__name__}")


def main(argv: list[str] | None = None) -> int:
    """Prints the generated file, or writes it; the command line's face."""
    parser = argparse.ArgumentParser(
        "python -m mee6.lane.schema", description="Makes the messages of the Node.js runtime"
    )
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.name} instead of printing it")
    text = render()
    if parser.parse_args(argv).write:
        TARGET.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
