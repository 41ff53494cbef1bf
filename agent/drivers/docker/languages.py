"""The languages that there are images for. Somebody may remove an image or make it again while the agent serves."""

from __future__ import annotations

from collections.abc import Mapping

from agent.drivers.docker.engine import Engine
from agent.images import INSIDE, RuntimeImage, image_name
from mee6.errors import Conflict, NotFound
from mee6.lane import control as wire
from runtimes.catalog import Runtime


class Languages:
    """Images of workers, looked up at each start, which costs an engine some 2 ms of 200."""

    def __init__(self, engine: Engine, runtimes: Mapping[str, Runtime]) -> None:
        self._engine = engine
        self._runtimes = runtimes
        self._seen: dict[str, RuntimeImage] = {}

    async def look(self) -> list[str]:
        """Looks for all of them; returns a note on each that cannot be used.

        Raises:
            Conflict: there is none that can.
        """
        notes = []
        for name in self._runtimes:
            try:
                await self.image(name)
            except (NotFound, Conflict) as error:
                notes.append(error.message)
        if not self._seen:
            raise Conflict(f"no runtime can be used with the docker driver: {'; '.join(notes)}")
        return notes

    async def image(self, runtime: str) -> RuntimeImage:
        """The image of a runtime's workers as it is now.

        Raises:
            NotFound: there is none.
            Conflict: it is not of this mee6.
        """
        image = await self._engine.image(runtime) if runtime in self._runtimes else None
        if image is None:
            raise NotFound(f"no image {image_name(runtime)}; make it with: mee6 image build {runtime}")
        if not image.is_current:
            raise Conflict(f"image {image.name} is not of this mee6; make it again with: {image.build_command}")
        self._seen[runtime] = image
        return image

    def version(self, runtime: str) -> str:
        """See `KnowsLanguages.language_version`."""
        image = self._seen.get(runtime)
        if image is None:
            return ""
        return image.node.partition(".")[0] if runtime == "nodejs" else ".".join(image.python.split(".")[:2])

    def plans(self, image: RuntimeImage) -> dict[str, wire.RuntimePlan]:
        """How the languages in an image are started."""
        plans = {}
        for runtime in self._runtimes.values():
            if runtime.kind == "fork":
                plans[runtime.name] = wire.RuntimePlan("fork", entry=runtime.entry)
            elif runtime.script is not None and runtime.name == image.runtime:
                script = f"{INSIDE}/runtimes/{runtime.name}/{runtime.script.name}"
                plans[runtime.name] = wire.RuntimePlan("exec", argv=[image.node_path, script])
        return plans
