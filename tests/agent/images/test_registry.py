"""Bases from a registry: a real one on a loopback port, and such as do not answer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import images
from agent.images import bases
from mee6.errors import Conflict, NotFound
from tests.support.bases import base_image, remove
from tests.support.registry import free_port, holding, registry, why_no_registry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.docker,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("restored"),
]
LAYER_BYTES = 8 << 20
NEEDS = pytest.mark.skipif(bool(why_no_registry()), reason=why_no_registry())


@pytest.fixture(scope="module")
def pushed(base: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that has `python:3.12-slim`, which the engine has no more."""
    folder = tmp_path_factory.mktemp("registry")
    with registry(folder) as address:
        name = f"{address}/python:3.12-slim"
        layer = folder / "layer"
        layer.write_bytes(os.urandom(LAYER_BYTES))  # one that the engine cannot have already
        with base_image("COPY layer /layer", files={"layer": layer}, name=name), images.connect() as api:
            lines = list(api.push(name, stream=True, decode=True))
            assert not [line for line in lines if "error" in line]
        yield name


def run(*command: str) -> subprocess.CompletedProcess[str]:
    told = [sys.executable, "-m", "mee6tui.cli.main", "image", *command]
    return subprocess.run(told, capture_output=True, text=True, timeout=300, check=False)


@NEEDS
def test_a_base_is_pulled_with_its_progress_and_built_on(pushed: str) -> None:
    told: list[tuple[str, str, float]] = []
    try:
        made = images.build("python", pushed, lambda *news: told.append(news))
        assert (made.base, made.is_current) == (pushed, True)
        stages = [stage for stage, _, _ in told]
        assert [stage for at, stage in enumerate(stages) if stage not in stages[:at]] == list(images.STAGES)
        pulling = [(detail, part) for stage, detail, part in told if stage == "base"]
        assert pulling[0] == (f"pulling {pushed}", 0.0)
        assert any("8.0 MiB" in detail and "layers" in detail for detail, _ in pulling)
        assert [part for _, part in pulling][-1] == 1.0
        assert all(0 <= part <= 1 for _, _, part in told)
        again = run("build", "python", "--base", pushed)
        assert again.returncode == 0
        assert f"mee6: python: base: {pushed}\n" in again.stderr
        assert f"from {pushed}" in again.stdout
    finally:
        with images.connect() as api:
            remove(api, pushed)


@NEEDS
def test_a_name_that_the_registry_does_not_have_is_not_found(pushed: str) -> None:
    for unknown in (pushed + "x", pushed.replace("python", "pythoon")):
        with pytest.raises(NotFound, match=rf"no base image '{unknown}', here or in its registry: .*--base bootstrap"):
            images.build("python", unknown)


@NEEDS
def test_ctrl_c_ends_a_pull_and_leaves_nothing(pushed: str, tmp_path: Path) -> None:
    with holding(pushed.partition("/")[0], LAYER_BYTES // 2) as held:
        name = f"{held.name}/{pushed.partition('/')[2]}"
        told = [sys.executable, "-m", "mee6tui.cli.main", "image", "build", "python", "--base", name]
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        with subprocess.Popen(told, env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert held.asked.wait(60)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in said
        held.go_on.set()
        assert held.left.wait(60), "the engine goes on pulling"
    with images.connect() as api:
        assert name not in [tag for image in api.images() for tag in image["RepoTags"] or ()]
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_is_not_there_is_out_of_reach_and_the_way_out_is_named() -> None:
    name = f"localhost:{free_port()}/python"
    done = run("build", "python", "--base", name)
    assert (done.returncode, done.stdout) == (7, "")
    assert f"base image '{name}' is not here, and its registry is out of reach" in done.stderr
    assert "--base bootstrap" in done.stderr


def test_a_registry_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "SILENCE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name = f"localhost:{silent.getsockname()[1]}/python"
        with pytest.raises(Conflict, match=r"given up: nothing was heard for 0\.5 s; .*--base bootstrap"):
            images.build("python", name)


def test_what_is_no_name_is_told_as_such() -> None:
    done = run("build", "python", "--base", "Not/A:Name:")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no image's name" in done.stderr
