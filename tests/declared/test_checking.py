"""Declared steps that make no sense: refused by line, key and a way out."""

# ruff: noqa: E501 - a table reads best with a case a line

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from mee6.declared.checking import MAX_STEPS
from mee6.errors import InvalidManifest
from mee6.manifest import Manifest, parse

W = '{"name": "w", "steps": {\n'
"""The beginning of a manifest; what is added stands in line 2."""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('"a": {"function": "f", "after": "b"},\n"b": {"function": "f", "after": "a"}}}', "2: steps wait for each other: a > b > a"),
        ('"b": {"function": "f", "after": "a"},\n"a": {"function": "f", "after": "a"}}}', "3: steps wait for each other: a > a"),
        ('"a": {"function": "f",\n"after": "bb"}, "bbb": {"function": "f"}}}', "3: step 'a' comes after 'bb', which is no step; did you mean 'bbb'?"),
        ('"a": {"function": "f",\n"input": {"x": ["$q.x"]}}}}', "3: input of step 'a' refers to $q, which is no step; there are: a"),
        ('"a": {"function": "f",\n"input": "$"}}}', "3: input of step 'a' has '$', which is no reference, as in '$args'"),
        ('"a": {"function": "f",\n"input": "$args.x + 1"}}}', "3: input of step 'a' has '$args.x + 1', which is no reference"),
        ('"a": {"function": "f",\n"input": "$item"}}}', "3: input of step 'a' has $item, which only the 'input' of a step with 'foreach' has"),
        ('"a": {"function": "f",\n"input": "$error"}}}', "3: input of step 'a' has $error, which only a 'catch' has"),
        ('"a": {"function": "f",\n"input": {"$first": "$args"}}}}', "3: input of step 'a' has a '$first' that is not alone, or not a list"),
        ('"a": {"function": "f"}},\n"output": "$b"}', "3: output refers to $b, which is no step"),
        ('"a": {"function": "f"}, "b": {"function": "f"},\n"c": {"function": "f", "after": ["a", "b"]}}}', "3: step 'c' comes after several, and does not say its 'input': of $a, $b, or $args"),
        ('"a": {}}}', "2: step 'a' must have one of 'function' and 'switch'"),
        ('"a": {"function": "f", "switch": [{"if": 1, "then": "a"}]}}}', "2: step 'a' must have one of"),
        ('"args": {"function": "f"}}}', "2: step 'args' may not be called so: the names args, item, index, error, first have"),
        ('"a.b": {"function": "f"}}}', "2: step 'a.b' may not be called so: a letter, then up to 62"),
        ('"a": {"function": "f", "concurrency": 3}}}', "2: step 'a' has 'concurrency', but no 'foreach'"),
        ('"a": {"function": "f", "else": "a"}}}', "2: step 'a' has 'else', but no 'switch'"),
        ('"a": {"function":\n"w"}}}', "2: step 'a' calls 'w', the workflow itself"),
        ('"a": {"function": "../x"}}}', "2: function '../x' of step 'a' is not allowed"),
        ('"a": {"switch": [\n{"if": 1,\n"then": "b"}]}}}', "4: step 'a' chooses 'b', which is no step"),
        ('"a": {"switch": [\n{"if": 1, "then": []}],\n"else": "b"}}}', "4: step 'a' chooses 'b', which is no step"),
        ('"a": {"switch": [\n{"then": []}]}}}', "3: case 1 of step 'a' has no 'if', as in"),
        ('"a": {"switch": [{"if": 1, "then": []},\n{"if": 1, "is": 1, "above": 1, "then": []}]}}}', "3: case 2 of step 'a' has more than one of"),
        ('"a": {"switch": [{"if": 1, "then": []}],\n"retry": {}}}}', "3: step 'a' is a switch and calls nothing: it has no use for 'retry'"),
        ('"a": {"function": "f",\n"catch": {}}}}', "3: 'catch' of step 'a' must have one of 'function' and 'value'"),
        ('"a": {"function": "f",\n"catch": {"function": "f", "value": 1}}}}', "3: 'catch' of step 'a' must have one of"),
        ('"a": {"function": "f",\n"catch": {"value": 1,\n"input": 1}}}}', "4: 'catch' of step 'a' has 'input', but no 'function'"),
        ('"a": {"function": "f",\n"retry": {"on": ["timeout"]}}}}', "3: step 'a' names the fault 'timeout', which there is not; did you mean 'timed_out'?"),
        # Kinds of values.
        ('"a": {"function": 1}}}', '2: steps.a.function is the number 1, but must be text: "...", as in "function": "echo"'),
        ('"a": {"functions": "f"}}}', "2: no key 'functions' in steps.a; did you mean 'function'?"),
        ('"a": []}}', '2: steps.a is the list [], but must be an object: {...}, as in "clean": {'),
        ('"a": {"switch": [\n{"if": 1}]}}}', "3: 'then' is missing in steps.a.switch.0; add \"then\": \"big\""),
        ('"a": {"function": "f",\n"retry": {"attempts": 1}}}}', "3: steps.a.retry.attempts is the number 1, but must be a whole number from 2"),
        ('"a": {"function": "f",\n"catch": 3}}}', "3: steps.a.catch is the number 3, but must be an object"),
        ('"a": {"function": "f",\n"after": 3}}}', "3: steps.a.after is the number 3, but must be text: \"...\" or a list of text"),
        ('"a": {"function": "f"}},\n"dependencies": {"g": {}}}', "3: dependencies are derived from 'steps'; take them out"),
    ],
)  # fmt: skip
def test_wrong_steps_are_refused_in_one_line_that_names_the_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidManifest) as refused:
        parse(W + text)
    assert refused.value.message.startswith(f"activity.json, line {complaint}")
    assert "\n" not in refused.value.message


def test_an_output_without_steps_is_refused() -> None:
    with pytest.raises(InvalidManifest, match="line 2: output is of a workflow with 'steps'"):
        parse('{"name": "f", "runtime": "python",\n"output": 1}')


def test_a_declared_workflow_needs_no_runtime_and_depends_on_its_steps_functions() -> None:
    steps: Any = {"a": {"function": "f"}, "b": {"function": "g", "catch": {"function": "h"}}}
    manifest = parse(json.dumps({"name": "w", "steps": steps}))
    assert (manifest.runtime, list(manifest.dependencies)) == ("python", ["f", "g", "h"])
    assert parse(json.dumps({"name": "w", "steps": steps, "runtime": "nodejs"})).runtime == "nodejs"
    assert parse(msgspec.json.encode(manifest)) == manifest, "as the registry keeps it"
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest


def test_there_is_an_end_to_steps_and_to_nesting() -> None:
    with pytest.raises(InvalidManifest, match=f"there are {MAX_STEPS + 1} steps, over the limit"):
        parse(json.dumps({"name": "w", "steps": {f"s{n}": {"function": "f"} for n in range(MAX_STEPS + 1)}}))
    deep: Any = "$args"
    for _ in range(40):
        deep = [deep]
    with pytest.raises(InvalidManifest, match="input of step 'a' is nested more than 32 deep"):
        parse(json.dumps({"name": "w", "steps": {"a": {"function": "f", "input": deep}}}))
