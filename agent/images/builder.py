"""Makes the image of a runtime's workers, in the place of an earlier one."""

from __future__ import annotations

import io
import re
from collections import deque
from typing import TYPE_CHECKING, Final

from agent.images.bases import DEFAULT_BASES, probe, provide
from agent.images.bootstrap import BOOTSTRAP, BOOTSTRAP_IMAGE, make_bootstrap
from agent.images.connection import TIMEOUT_S, connect, translated
from agent.images.context import context
from agent.images.listing import RuntimeImage, find_image, image_name, labels, sweep
from agent.images.progress import Say, say_nothing
from mee6.errors import Exhausted, InvalidInput, Mee6Error
from mee6.version import VERSION

if TYPE_CHECKING:
    from docker import APIClient

_LAST_LINES: Final = 12
_STEP: Final = re.compile(r"Step (\d+)/(\d+) : ")


def build(runtime: str, base: str = "", say: Say = say_nothing) -> RuntimeImage:
    """Makes the image of a runtime's workers, in the place of an earlier one.

    Args:
        base: an image's name, `bootstrap`, or empty for the runtime's default.
        say: told of progress.

    Raises:
        InvalidInput: no such runtime, or the base lacks what it needs.
        NotFound: the base is not here, and its registry does not have it.
        Conflict: no engine; the base's registry is out of reach; or a tool is missing.
        Mee6Error: a step failed; `traceback` is what it said last.
    """
    if runtime not in DEFAULT_BASES:
        raise InvalidInput(f"runtime {runtime!r} has no image; known are: {', '.join(DEFAULT_BASES)}")
    made_of = base or DEFAULT_BASES[runtime]
    with connect() as api, translated():
        name = BOOTSTRAP_IMAGE if made_of == BOOTSTRAP else made_of
        if made_of == BOOTSTRAP:
            make_bootstrap(api, say)
        else:
            provide(api, name, say)
        say("check", name, 0.0)
        found = probe(api, name, runtime)
        say("context", f"mee6 {VERSION}", 0.0)
        _run_build(api, runtime, name, labels(runtime, made_of, found), context(runtime, found), say)
        made = find_image(api, runtime)
        sweep(api, runtime)
    if made is None:
        raise Mee6Error(f"the engine says that it built {image_name(runtime)}, but does not have it")
    return made


def _run_build(api: APIClient, runtime: str, base: str, said: dict[str, str], given: bytes, say: Say) -> None:
    last: deque[str] = deque(maxlen=_LAST_LINES)
    lines = api.build(
        fileobj=io.BytesIO(given),
        custom_context=True,
        tag=image_name(runtime),
        buildargs={"BASE": base},
        labels=said,
        network_mode="none",
        rm=True,
        forcerm=True,
        decode=True,
        timeout=int(TIMEOUT_S),
    )
    for line in lines:
        if "error" in line:
            story = "\n".join([*last, str(line["error"])])
            if "no space left" in story:
                raise Exhausted(f"the disk of the engine is full: {line['error']}")
            raise Mee6Error(f"building {image_name(runtime)} failed: {line['error']}", traceback=story)
        text = str(line.get("stream", "")).rstrip()
        last.extend(text.splitlines())
        if step := _STEP.match(text):
            say("build", " ".join(text.split()), (int(step[1]) - 1) / int(step[2]))
