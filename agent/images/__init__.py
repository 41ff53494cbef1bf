"""The images of workers: made from a base image and what is installed here, listed, removed.

An image holds the proxy, the SDK and the languages' runtimes, with their bytecode; never a function. A base is any
image with Python 3.11 or later (and Node.js, for nodejs), from a registry or a user's own; or `bootstrap`, which is
made on this machine of Debian packages, for where no registry is reached. Everything here blocks: call it from a
thread. `connection` reaches the engine, `bases` and `bootstrap` see to the base, `context` says what goes into an
image, `builder` makes it, `listing` knows those that are there.
"""

from agent.images.bases import DEFAULT_BASES, WORKER_USER
from agent.images.bootstrap import BOOTSTRAP, BOOTSTRAP_IMAGE
from agent.images.builder import build
from agent.images.connection import connect
from agent.images.context import INSIDE, build_id
from agent.images.listing import RuntimeImage, find_image, image_name, list_images, remove
from agent.images.progress import STAGES, Say

__all__ = [
    "BOOTSTRAP", "BOOTSTRAP_IMAGE", "DEFAULT_BASES", "INSIDE", "STAGES", "WORKER_USER",
    "RuntimeImage", "Say", "build", "build_id", "connect", "find_image", "image_name", "list_images", "remove",
]  # fmt: skip
