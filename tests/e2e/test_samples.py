"""Every sample, in every language, through a client of a real agent: what `samples/expected.json` says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mee6.client import Client
from mee6.errors import FunctionRaised
from mee6.manifest import FILE_NAME
from tests.support.agents import Agent
from tests.support.docker_agents import DockerAgent

SAMPLES = Path(__file__).parents[2] / "samples"
EXPECTED: list[dict[str, Any]] = json.loads((SAMPLES / "expected.json").read_text())
NODE = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not on PATH")
CASES = [
    pytest.param(
        language,
        case,
        id=f"{case['name']}-{language}",
        marks=[pytest.mark.slow, *([pytest.mark.node, NODE] if language != "python" else [])],
    )
    for case in EXPECTED
    for language in case["languages"]
]


async def add_language(client: Client, language: str) -> None:
    for manifest in sorted((SAMPLES / language).rglob(FILE_NAME)):
        await client.add(manifest.parent)


async def check(client: Client, case: dict[str, Any]) -> None:
    arg = case["arg"] if "arg" in case else (SAMPLES / case["arg_file"]).read_text()
    if "result" in case:
        assert await client.invoke(case["name"], arg) == case["result"]
        return
    with pytest.raises(FunctionRaised) as caught:
        await client.invoke(case["name"], arg)
    error, expected = caught.value, case["error"]
    assert (error.code, error.function, error.error_type) == (
        expected["code"],
        expected["function"],
        expected["error_type"],
    )
    assert expected["message"] in error.message
    assert "main" in error.traceback


@pytest.mark.parametrize(("language", "case"), CASES)
async def test_a_sample_gives_what_is_expected_cold_and_warm(
    any_client: Client, language: str, case: dict[str, Any]
) -> None:
    await add_language(any_client, language)
    await check(any_client, case)
    await check(any_client, case)


@pytest.mark.slow
@pytest.mark.node
@NODE
async def test_the_other_language_over_a_function_is_its_next_version_and_callers_do_not_notice(
    agent: Agent, client: Client
) -> None:
    await add_language(client, "python")
    await client.add(SAMPLES / "nodejs" / "pingpong" / "ponger")
    await client.add(SAMPLES / "nodejs" / "sequence" / "enrich")
    for case in EXPECTED:
        if case["name"] in {"pinger", "pipeline"}:
            await check(client, case)
    trace = await client.trace()
    assert {step.function: step.version for step in trace.steps} == {
        "pipeline": 1,
        "clean": 1,
        "enrich": 2,
        "publish": 1,
    }
    # An image of Python workers need not have a Node.js: a container offers it only where it is the worker's own.
    workers = 2 if isinstance(agent, DockerAgent) else 1
    assert len({step.worker for step in trace.steps}) == workers
