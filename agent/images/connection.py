"""A connection to the Docker Engine, and its errors as ours."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from mee6.errors import Conflict, Exhausted, Mee6Error

if TYPE_CHECKING:
    from docker import APIClient

TIMEOUT_S: Final = 300.0
"""For one answer of the engine, which says nothing while it imports or commits a layer."""
_LOCAL: Final = "unix:///var/run/docker.sock"
_CONNECT_TIMEOUT_S: Final = 5.0


def connect(timeout_s: float = TIMEOUT_S) -> APIClient:
    """A client of the engine that `DOCKER_HOST` names, or of the local one.

    Raises:
        Conflict: none answers.
    """
    from docker import APIClient
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env
    from requests.exceptions import RequestException

    try:
        settings: dict[str, Any] = {**kwargs_from_env(), "timeout": int(timeout_s)}
        _try_socket(settings.get("base_url", _LOCAL))
        # Asked by hand: where the SDK's own way to find the version fails, nobody closes its client.
        with contextlib.closing(APIClient(**settings)) as asking:
            version = asking.version(api_version=False)["ApiVersion"]
        return APIClient(**settings, version=version)
    except (DockerException, RequestException, OSError) as error:
        raise Conflict(
            f"no Docker Engine answers ({brief(error)}); start one (systemctl start docker), "
            "or use the process driver: mee6 agent serve --driver process"
        ) from error


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns the engine's errors into ours."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except DockerException as error:
        if "no space left" in str(error):
            raise Exhausted(f"the disk of the engine is full: {brief(error)}") from error
        raise Mee6Error(f"the engine refused: {brief(error)}") from error
    except (RequestException, HTTPError) as error:
        raise Conflict(f"the engine does not answer: {brief(error)}") from error


def brief(error: BaseException) -> str:
    """An engine's error in one line."""
    text = str(getattr(error, "explanation", "") or error)
    return " ".join(text.split())[:300]


def _try_socket(url: str) -> None:
    """Raises OSError where nobody listens; the SDK would not close its own socket then."""
    scheme, _, path = url.partition("://")
    if scheme in {"unix", "http+unix"}:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(_CONNECT_TIMEOUT_S)
            sock.connect("/" + path.lstrip("/"))
