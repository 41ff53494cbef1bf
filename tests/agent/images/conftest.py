"""The engine, with the images of workers put back after tests that replaced them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent import images
from tests.agent.drivers.engines import need_engine
from tests.support.bases import COMPILED, TEST_BASE, remove


@pytest.fixture(scope="session")
def base() -> Iterator[None]:
    """The base that test bases are made of is there; of these none stays."""
    need_engine()
    images.build("python", TEST_BASE)
    yield
    with images.connect() as api:
        remove(api, COMPILED)


@pytest.fixture
def restored(base: None) -> Iterator[None]:
    """The test may build images of workers; afterwards they are what other tests expect."""
    yield
    for runtime in images.DEFAULT_BASES:
        with images.connect() as api:
            found = images.find_image(api, runtime)
        if found is None or not found.is_current or found.base != TEST_BASE:
            images.build(runtime, TEST_BASE)


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "base" in request.fixturenames:
        with images.connect() as api:
            assert api.containers(all=True, filters={"label": "mee6.probe"}) == []
