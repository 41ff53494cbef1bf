"""`--driver auto`: docker only when it can serve, and never in silence."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent import images
from agent.choice import choose


@pytest.fixture(autouse=True)
def _as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def have(monkeypatch: pytest.MonkeyPatch, **current: bool) -> None:
    def listed(_timeout_s: float) -> list[Any]:
        return [SimpleNamespace(runtime=runtime, is_current=is_current) for runtime, is_current in current.items()]

    monkeypatch.setattr(images, "list_images", listed)


def test_docker_is_chosen_where_an_engine_has_every_image(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, python=True, nodejs=True)
    assert choose()[0] == "docker"


def test_an_old_or_missing_image_chooses_processes_and_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, python=True, nodejs=False)
    driver, why = choose()
    assert driver == "process"
    assert "for nodejs; make it with: mee6 image build all" in why


def test_without_an_engine_processes_are_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    driver, why = choose()
    assert driver == "process"
    assert "no Docker Engine answers" in why


def test_an_ordinary_user_gets_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert choose() == ("process", "the docker driver needs root")
