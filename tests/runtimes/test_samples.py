"""Every sample gives what `samples/expected.json` says, in each language, in workers made of a real proxy and runtimes.

Stands for the agent only as far as it must: a call that leaves its worker is run in another one with the same flow.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mee6 import manifest
from mee6.content import pack, unpack
from mee6.lane.messages import Call, Function, Report, Result, Step
from tests.support.lane import Worker

SAMPLES = Path(__file__).parents[2] / "samples"
EXPECTED: list[dict[str, Any]] = json.loads((SAMPLES / "expected.json").read_text())
CASES = [
    pytest.param(
        case, language, id=f"{case['name']}-{language}", marks=[pytest.mark.node] if language != "python" else []
    )
    for case in EXPECTED
    for language in case["languages"]
]


def functions_in(folder: Path) -> dict[str, Function]:
    """The functions below a folder, as the agent would tell a worker of them."""
    found = {}
    for path in sorted(folder.rglob(manifest.FILE_NAME)):
        said = manifest.read(path.parent)
        found[said.name] = Function(
            said.name, 1, said.runtime, str(path.parent), said.outflows, said.max_parallelism, env=said.env
        )
    return found


def run_in_a_worker(
    function: Function, functions: dict[str, Function], arg: bytes, kind: str, folder: Path, name: str
) -> tuple[Report, list[Step]]:
    """One invocation in a worker of its own, which shares `folder/flow` with all others."""
    act = folder / name
    act.mkdir()
    (act / "flow").symlink_to(folder / "flow")
    languages = sorted({one.runtime for one in functions.values()}, key=lambda one: one != function.runtime)
    with Worker(languages, act, act) as worker:
        loaded = worker.load(function, list(functions.values()))
        assert loaded.fault is None, loaded.fault
        number = worker.begin(unpack(arg, kind), chain=[function.name])
        elsewhere = 0
        while True:
            message = worker.receive()
            assert message is not None
            if isinstance(message, Call):
                elsewhere += 1
                callee = functions[message.name]
                there, _ = run_in_a_worker(
                    callee, functions, message.arg, message.content_type, folder, f"{name}-{elsewhere}"
                )
                worker.lane.send(Result(message.id, there.result, there.content_type, there.fault))
            elif isinstance(message, Report) and message.id == number:
                return message, list(worker.steps().values())


def run(case: dict[str, Any], language: str, folder: Path) -> tuple[Report, list[Step]]:
    if language != "python" and shutil.which("node") is None:
        pytest.skip("node is not on PATH")
    functions = functions_in(SAMPLES / language)
    arg = (SAMPLES / case["arg_file"]).read_text() if "arg_file" in case else case["arg"]
    (folder / "flow").mkdir()
    data, kind = pack(arg)
    return run_in_a_worker(functions[case["name"]], functions, data, kind, folder, "w")


def test_both_languages_have_the_same_functions() -> None:
    python, nodejs = functions_in(SAMPLES / "python"), functions_in(SAMPLES / "nodejs")
    assert {name: (one.dependencies, one.max_parallelism) for name, one in python.items()} == {
        name: (one.dependencies, one.max_parallelism) for name, one in nodejs.items()
    }
    assert {one.runtime for one in python.values()} == {"python"}
    assert {one.runtime for one in nodejs.values()} == {"nodejs"}


def test_every_workflow_has_an_expected_result() -> None:
    workflows = {
        name
        for language in ("python", "nodejs", "mixed")
        for name, one in functions_in(SAMPLES / language).items()
        if one.dependencies
    }
    assert workflows <= {case["name"] for case in EXPECTED}


def test_every_function_stands_in_the_readme() -> None:
    readme = (SAMPLES / "README.md").read_text()
    for language in ("python", "nodejs", "mixed"):
        for path in (SAMPLES / language).rglob(manifest.FILE_NAME):
            folder = path.parent.relative_to(SAMPLES if language == "mixed" else SAMPLES / language)
            assert f"| `{folder}` |" in readme


@pytest.mark.slow
@pytest.mark.parametrize(("case", "language"), CASES)
def test_a_sample_gives_what_it_promises(case: dict[str, Any], language: str, tmp_path: Path) -> None:
    report, _ = run(case, language, tmp_path)
    if "error" in case:
        assert report.fault is not None
        said = {key: getattr(report.fault, key) for key in ("code", "function", "error_type")}
        assert said == {key: case["error"][key] for key in said}
        assert case["error"]["message"] in report.fault.message
        assert report.fault.traceback
    else:
        assert report.fault is None, report.fault
        assert unpack(report.result, report.content_type) == case["result"]


@pytest.mark.slow
@pytest.mark.parametrize("language", ["python", pytest.param("nodejs", marks=pytest.mark.node)])
def test_the_steps_of_the_sequence_run_in_one_worker_in_a_runtime_each(language: str, tmp_path: Path) -> None:
    case = next(case for case in EXPECTED if case["name"] == "pipeline")
    report, steps = run(case, language, tmp_path)
    assert report.fault is None
    assert {step.function for step in steps} >= {"clean", "enrich", "publish"}
    assert len({step.pid for step in steps}) == len(steps)
