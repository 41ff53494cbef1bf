"""The images of workers that the engine has: found by name, described by their labels, removed."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from agent.images.bases import DEFAULT_BASES, Base
from agent.images.bootstrap import BOOTSTRAP, BOOTSTRAP_IMAGE, LABEL_BASE
from agent.images.connection import TIMEOUT_S, connect, translated
from agent.images.context import build_id
from mee6.errors import Conflict, NotFound
from mee6.version import VERSION

if TYPE_CHECKING:
    from docker import APIClient

LABEL_VERSION: Final = "mee6.version"
LABEL_BUILD: Final = "mee6.build"
LABEL_RUNTIME: Final = "mee6.runtime"
LABEL_PYTHON: Final = "mee6.python"
LABEL_NODE: Final = "mee6.node"
LABEL_NODE_PATH: Final = "mee6.node-path"
_LABEL_AGENT: Final = "mee6.agent"
"""On a container of the docker driver."""


@dataclass(frozen=True, slots=True)
class RuntimeImage:
    """One image of workers."""

    name: str
    runtime: str
    version: str
    """Of mee6, whose proxy and SDK are in it."""
    base: str
    python: str
    node: str
    """Versions; empty without it."""
    node_path: str
    size_bytes: int
    created_s: float
    """Wall clock."""
    image_id: str
    is_current: bool
    """It holds what is installed here; another one has to be built again."""

    @property
    def build_command(self) -> str:
        """The command that makes it again, of the same base."""
        base = f" --base {self.base}" if self.base and self.base != DEFAULT_BASES.get(self.runtime) else ""
        return f"mee6 image build {self.runtime}{base}"


def image_name(runtime: str) -> str:
    """What the image of a runtime's workers is called."""
    return f"mee6/runtime-{runtime}"


def list_images(timeout_s: float = TIMEOUT_S) -> list[RuntimeImage]:
    """The images of workers that the engine has, by name.

    Args:
        timeout_s: for each answer of the engine.

    Raises:
        Conflict: no engine answers.
    """
    with connect(timeout_s) as api, translated():
        found = [find_image(api, runtime) for runtime in DEFAULT_BASES]
        return [image for image in found if image is not None]


def remove(runtime: str) -> None:
    """Removes the image of a runtime's workers, or with `bootstrap` the base made here.

    Raises:
        NotFound: there is none.
        Conflict: a container uses it; or no engine answers.
    """
    from docker.errors import APIError, ImageNotFound

    name = BOOTSTRAP_IMAGE if runtime == BOOTSTRAP else image_name(runtime)
    with connect() as api, translated():
        try:
            api.remove_image(name)
        except ImageNotFound as error:
            raise NotFound(f"there is no image {name}; see: mee6 image ls") from error
        except APIError as error:
            if error.status_code == 409:
                raise Conflict(_in_use(api, name)) from error
            raise


def find_image(api: APIClient, runtime: str) -> RuntimeImage | None:
    """The image of a runtime's workers; None when there is none."""
    from docker.errors import ImageNotFound

    name = image_name(runtime)
    try:
        facts = api.inspect_image(name)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return None
    said = facts["Config"].get("Labels") or {}
    return RuntimeImage(
        name=name,
        runtime=runtime,
        version=said.get(LABEL_VERSION, ""),
        base=said.get(LABEL_BASE, ""),
        python=said.get(LABEL_PYTHON, ""),
        node=said.get(LABEL_NODE, ""),
        node_path=said.get(LABEL_NODE_PATH, ""),
        size_bytes=int(facts["Size"]),
        created_s=_seconds(facts["Created"]),
        image_id=facts["Id"],
        is_current=said.get(LABEL_BUILD) == build_id(),
    )


def labels(runtime: str, made_of: str, base: Base) -> dict[str, str]:
    """What an image made now says about itself."""
    return {
        LABEL_VERSION: VERSION,
        LABEL_BUILD: build_id(),
        LABEL_RUNTIME: runtime,
        LABEL_BASE: made_of,
        LABEL_PYTHON: base.python_version,
        LABEL_NODE: base.node,
        LABEL_NODE_PATH: base.node_path,
    }


def sweep(api: APIClient, runtime: str) -> None:
    """Removes earlier images of a runtime's workers; one that containers still use stays until the next time."""
    from docker.errors import APIError

    for image in api.images(filters={"dangling": True, "label": f"{LABEL_RUNTIME}={runtime}"}):
        with contextlib.suppress(APIError):
            api.remove_image(image["Id"])


def _in_use(api: APIClient, name: str) -> str:
    """Who uses an image, and what to do about it, in one line."""
    users = api.containers(all=True, filters={"ancestor": name})
    agents = sorted({str((user.get("Labels") or {}).get(_LABEL_AGENT, "")) for user in users} - {""})
    count = f"{len(users)} container{'s' if len(users) != 1 else ''}"
    if agents:
        return f"image {name} is in use by {count} of agent {', '.join(agents)}; stop it first: mee6 agent stop"
    if users:
        names = ", ".join(user["Id"][:12] for user in users[:5])
        return f"image {name} is in use by {count}, not of an agent; remove them first: docker rm {names}"
    return f"image {name} is in use by other images; remove these first: mee6 image ls"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", text)).timestamp()
