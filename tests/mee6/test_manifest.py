"""`activity.json`, right and wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mee6.errors import InvalidManifest
from mee6.manifest import Manifest, is_name, parse, read
from mee6.manifest_faults import faults

F = '{"name": "f", "runtime": "python",\n'
"""The beginning of a manifest; what is added stands in line 2."""


def manifest(**fields: Any) -> Manifest:
    return parse(json.dumps({"name": "f", "runtime": "python", **fields}))


@pytest.mark.parametrize(
    ("runtime", "language"),
    [
        ("python", "python"),
        ("nodejs:latest", "nodejs"),
        ("mee6aas/runtime-nodejs", "nodejs"),
        ("mee6aas/runtime-nodejs:latest", "nodejs"),
    ],
)
def test_a_runtime_of_the_first_mee6aas_is_understood(runtime: str, language: str) -> None:
    assert manifest(runtime=runtime).runtime == language


def test_a_function_with_dependencies_is_a_workflow() -> None:
    assert not manifest().is_workflow
    workflow = manifest(dependencies={"a": {}, "b": {"outflow": "always"}, "c": {"outflow": "optional:1"}})
    assert workflow.is_workflow
    assert workflow.outflows == {"a": "no", "b": "always", "c": "optional:1"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ", line 1, column 1: not valid JSON: the file is empty"),
        ("{", ", line 1, column 2: not valid JSON: it ends too early"),
        ('{"name": "f",\n"runtime": "python",\n}', ": not valid JSON: a comma too many before the bracket"),
        ('{"name": "f", // f\n}', ", line 1, column 15: not valid JSON: JSON has no comments"),
        ("{'name': 'f'}", ": not valid JSON: text stands in double quotes, not single ones"),
        ('{"name": "f"\n"runtime": "python"}', ", line 2, column 1: not valid JSON: expecting ',' delimiter"),
        ('{"name": "f", "runtime": "python"} x', ": not valid JSON: something stands after its last bracket"),
        ("[" * 100_000, ": not valid JSON: nested too deeply"),
        ("[]", ": the manifest is the list [], but must be an object: {...}"),
        ('{"name": "f"}', ': \'runtime\' is missing; add "runtime": "python", or, of a workflow without code, "steps"'),
        ('{"name": "f",\n"steps": {}}', ', line 2: steps is empty; name one, as in "clean": {"function": "echo"}'),
        ('{"name": 1,\n "runtime": "python"}', ', line 1: name is the number 1, but must be text: "...", as in'),
        (F + '"name": "a/b"}', ", line 2: name 'a/b' is not allowed: 1 to 63 letters"),
        (F + '"name": ".."}', ", line 2: name '..' is not allowed"),
        (F + '"name": "a..b"}', ", line 2: name 'a..b' is not allowed"),
        (F + '"name": ""}', ", line 2: name '' is not allowed"),
        (F + '"runtime": "Py thon"}', ", line 2: runtime 'Py thon' is not a runtime's name"),
        (F + '"dependancies": {}}', ", line 2: no key 'dependancies'; did you mean 'dependencies'? there are: name,"),
        (F + '"timeout": 5}', ", line 2: no key 'timeout'; did you mean 'timeoutS'?"),
        (F + '"max_parallelism": 5}', ", line 2: no key 'max_parallelism'; did you mean 'maxParallelism'?"),
        (F + '"colour": "red"}', ", line 2: no key 'colour'; there are: name, runtime,"),
        (F + '"naem": 1, "x": 2}', ", line 2: no key 'naem'; did you mean 'name'? there are: name, runtime, "),
        (F + '"dependencies": {\n"../x": {}}}', ", line 3: dependency '../x' is not allowed"),
        (F + '"dependencies": ["g"]}', ', line 2: dependencies is the list ["g"], but must be an object'),
        (F + '"dependencies": {"g":\n{"outfow": ""}}}', ", line 3: no key 'outfow' in dependencies.g; did you mean 'o"),
        (F + '"dependencies": {\n"g": null}}', ", line 3: dependencies.g is null, but must be an object: {...}, as in"),
        (F + '"dependencies": {"g": {"outflow": "some"}}}', ", line 2: dependency 'g' has outflow 'some'; use 'no', "),
        (F + '"dependencies": {"g": {"outflow": "optional:"}}}', "use 'no', 'always'"),
        (
            F + '"concurrency": 0}',
            ", line 2: concurrency is the number 0, but must be a whole number from 1 and up to 1000",
        ),
        (F + '"concurrency": 1001}', ", line 2: concurrency is the number 1001, but must be a whole number from 1"),
        (
            F + '"dependencies": {"g": {"outflow": "optional:1"}},\n"concurrency": 2}',
            ", line 3: concurrency is 2, but 'g' may run in its caller's worker, which runs one at a time; give 'g'",
        ),
        (F + '"maxParallelism": -1}', ": maxParallelism is the number -1, but must be a whole number from 0 and up to"),
        (F + '"maxParallelism": 1' + 30 * "0" + "}", "but must be a whole number from 0 and up to 10000"),
        (
            F + '"timeoutS": 0}',
            ", line 2: timeoutS is the number 0, but must be a number over 0 and up to 604800, as in",
        ),
        (F + '"timeoutS": "60s"}', ', line 2: timeoutS is the text "60s", but must be a number over 0'),
        (F + '"env": {"A=B": "c"}}', ", line 2: env 'A=B' is not a variable's name"),
        (F + '"env": {\n\t"A": 1}}', ', line 3: env.A is the number 1, but must be text: "...", as in "KEY": "value"'),
        (F + '"network": "host"}', ', line 2: network is the text "host", but must be "none" or "bridge"'),
        (F + '"limits": {"memory": 64}}', ", line 2: no key 'memory' in limits; did you mean 'memoryMib'? there are"),
        (F + '"limits": {"memoryMib": 8}}', ", line 2: limits.memoryMib is the number 8, but must be a whole number "),
        (F + '"limits": {"cpus": 0}}', ", line 2: limits.cpus is the number 0, but must be a number from 0.01 and up"),
        (F + '"limits": {"pids": 1.5}}', ", line 2: limits.pids is the number 1.5, but must be a whole number from 1"),
        (
            F + '"http": {"method": []}}',
            ", line 2: no key 'method' in http; did you mean 'methods'? there are: methods, ",
        ),
        (
            F + '"http": {"methods": "GET"}}',
            ', line 2: http.methods is the text "GET", but must be a list of text, as in',
        ),
        (F + '"http": {"methods": ["GET", 1]}}', ", but must be a list of text, as in"),
        (F + '"http": {"methods": ["GIMME"]}}', ", line 2: http.methods has 'GIMME'; use of GET, HEAD, "),
        (F + '"http": {"cors": ["app.example"]}}', ", line 2: http.cors has 'app.example'; use '*' or https://"),
        (F + '"http": {"cors": ["https://a/b"]}}', ", line 2: http.cors has 'https://a/b'; use '*' or https://"),
        (F + '"http": {"body": "some"}}', ', line 2: http.body is the text "some", but must be "whole" or "stream"'),
        (F + '"description": "' + "x" * 9 + '", "env": "' + "y" * 999 + '"}', "y..., but must be an object"),
    ],
)
def test_a_wrong_manifest_is_refused_in_one_line_that_names_the_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidManifest) as raised:
        parse(text)
    assert complaint in raised.value.message
    assert raised.value.message.startswith("activity.json")
    assert "\n" not in raised.value.message


def test_a_manifest_that_is_too_large_is_refused_and_a_large_one_explained_without_a_line() -> None:
    with pytest.raises(InvalidManifest, match=r"activity\.json: no key 'x'"):
        parse(F + '"x": "' + "y" * (64 << 10) + '"}')
    with pytest.raises(InvalidManifest, match="over the limit of 1048576"):
        parse(F + '"description": "' + "y" * (1 << 20) + '"}')


def test_of_several_faults_the_others_are_counted() -> None:
    with pytest.raises(InvalidManifest, match=r"no key 'a'.* \(and 2 more\)$"):
        parse('{"a": 1, "name": 2, "runtime": 3}')


def test_a_byte_order_mark_does_no_harm_and_other_encodings_are_named() -> None:
    assert parse(b'\xef\xbb\xbf{"name": "f", "runtime": "python"}').name == "f"
    with pytest.raises(InvalidManifest, match=r"activity\.json, line 2: not UTF-8 text; save it as UTF-8"):
        parse(b'{"name":\n"gr\xfc\xdfe"}')


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 700_000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["none", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["g", "outflow", "cpus", "pids", "A"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*Manifest.__struct_encode_fields__, "other"]), _VALUES))
def test_whatever_the_types_refuse_is_explained_and_nothing_else(fields: dict[str, Any]) -> None:
    try:
        msgspec.json.decode(json.dumps(fields), type=Manifest)
    except msgspec.ValidationError:
        assert list(faults(fields, Manifest))
    else:
        assert not list(faults(fields, Manifest))


def test_a_folder_without_a_manifest_is_told_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match=r"no activity\.json in .*; make one with: mee6 init NAME"):
        read(tmp_path)


def test_a_folder_of_functions_is_told_apart_from_a_function(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "activity.json").write_text(F + '"description": ""}')
    with pytest.raises(InvalidManifest, match=r"no activity\.json in .*, but in its folders a, b; give these$"):
        read(tmp_path)


@given(st.text(max_size=70))
def test_a_name_is_always_a_safe_file_name(text: str) -> None:
    if is_name(text):
        assert Path("/x", text).parent == Path("/x")
        assert text not in (".", "..")
        assert len(text.encode()) < 64
