"""Why a part of a step took its time, and what would avoid it: a sentence and a command for each.

Pure; a part of `explain`. What the agent noted when it accepted the step decides; of a step that the worker's proxy
began by itself nothing is noted, and nothing need be: it can only be this worker that was busy or new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mee6tui.cli.units import duration, mebibytes

if TYPE_CHECKING:
    from mee6.records import Circumstances, Node, Pool, Step

NAMES: Final = {
    "queued": "the queue",
    "start": "the start",
    "resume": "the resume",
    "load": "the load",
    "run": "the run",
    "agent": "the agent",
}

_LOOK_AHEAD: Final = "mee6 agent set look-ahead=learnt"

Told = tuple[str, str]
"""(cause, remedy)."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A step and all that may explain a part of it."""

    step: Step
    caller: Step | None
    found: Circumstances
    told: bool
    """Whether the agent noted what it found."""
    runtime: str
    """Empty where the function is not known any more; so for the next two."""
    packages: tuple[str, ...]
    parallelism: int
    """How many calls its caller may have in other workers at once."""
    node: Node
    calls: bool
    """It called others."""
    declared: bool = False
    """It has steps and no code."""
    again: tuple[str, ...] = ()
    """Those of its steps that ran again after a failure."""

    @property
    def stayed(self) -> bool:
        """It ran in its caller's worker, in a process of its own."""
        return self.caller is not None and self.caller.worker == self.step.worker and not self.told

    @property
    def kind(self) -> str:
        """Its runtime, to stand before "worker"; nothing where that is not known."""
        return f"{self.runtime} " if self.runtime else ""

    @property
    def pool(self) -> Pool | None:
        """The node's pool of its runtime."""
        return next((pool for pool in self.node.pools if pool.name == self.runtime), None)


def of(part: str, scene: Scene) -> Told:
    """Why the part took its time, and what would avoid it; both may be empty."""
    match part:
        case "queued":
            return _queued(scene)
        case "start":
            return _start(scene)
        case "resume":
            return _resume(scene)
        case "load":
            return _load(scene)
        case "run":
            return _run(scene)
        case _:
            return "", ""


def _queued(scene: Scene) -> Told:
    found, step, node = scene.found, scene.step, scene.node
    if found.held_by == "fan-out":
        return (
            "its workflow had as many calls in other workers under way as one may have at a depth",
            "mee6 agent serve --parallel-calls N, with a greater N",
        )
    if scene.caller is not None and found.held_ns:
        most, caller = scene.parallelism or "as many as it may", scene.caller.function
        return (
            f"{caller} had {most} calls in other workers under way, and this one waited for one of them to end",
            f'"maxParallelism": {2 * scene.parallelism or "more"} in the activity.json of {caller}',
        )
    if scene.stayed and scene.caller is not None:
        here = f"in worker {step.worker}, where {scene.caller.function}'s"
        if step.name:
            return (
                f"another step ran {here} steps that share it run one after the other",
                f"mee6 flow explain {scene.caller.function}",
            )
        return (
            f"another call ran {here} calls run one after the other",
            f'"outflow": "always" for {step.function} in the activity.json of {scene.caller.function}',
        )
    if found.lost:
        return f"{_count(found.lost, 'worker')} it was given ended before its function was called", "mee6 agent status"
    waited = f"; {_count(found.ahead, 'other')} waited already" if found.ahead else ""
    match found.hindered:
        case "memory":
            budget = node.memory_budget_bytes
            text = f" of {mebibytes(budget)}" if budget else ""
            return f"the memory budget{text} was used up by workers in use{waited}", _more_memory(node)
        case "ceiling":
            return f"as many {scene.kind}workers as may exist were in use{waited}", _higher_ceiling(scene)
        case "workers":
            return (
                f"all {found.limit} workers that may run at its depth were in use{waited}",
                f"mee6 agent serve --max-workers {2 * node.max_workers}",
            )
        case "starts":
            return f"workers were being started already, as many as this driver makes at once{waited}", _more(scene)
        case "busy":
            return (
                f"a worker in use was to be free before another would have been ready{waited}",
                "mee6 agent set wait-for-busy=off",
            )
        case "failing":
            failure = f": {scene.pool.failure}" if scene.pool and scene.pool.failure else ""
            return f"{scene.kind}workers could not be started just then{failure}", "mee6 doctor"
        case _:
            made = ", and another was being made for it" if scene.told else ""
            return f"{_count(found.leased, 'worker')} in use, none free{made}{waited}", _more(scene)


def _start(scene: Scene) -> Told:
    found, step = scene.found, scene.step
    if step.start == "ahead":
        return f"a process was being started ahead for {step.function} when {_caller(scene)} called it", ""
    if scene.stayed and scene.caller is not None:
        worker = step.worker
        if scene.node.look_ahead == "off":
            return f"cold because {worker} had no spare {scene.kind}process, and nothing is loaded ahead", _LOOK_AHEAD
        why = (
            f"cold because {worker} had no spare {scene.kind}process: one was made, and stays as long as {worker} does"
        )
        return why, _kept_longer(scene)
    if not scene.told:
        return f"cold: worker {step.worker} was made for it", ""
    if not found.floor:
        return f"cold because no {scene.kind}worker is kept ready", _more(scene)
    why = f"cold because calls came faster than workers: of the {found.floor} kept ready none was left, and "
    if found.starting:
        why += f"{found.starting} {'was' if found.starting == 1 else 'were'} being made"
    else:
        why += "none was being made yet"
    return why, _more(scene)


def _resume(scene: Scene) -> Told:
    node = scene.node
    text = f"worker {scene.step.worker} was paused, as idle workers are after {duration(int(node.linger_s * 1e9))}"
    return text, "mee6 agent set pause=never" if node.linger_s >= 60 else "mee6 agent set linger=5m"


def _load(scene: Scene) -> Told:
    found, step = scene.found, scene.step
    if step.start == "ahead":
        return f"{step.function} was being loaded ahead when {_caller(scene)} called it: this is what was left", ""
    code = "its steps" if scene.declared else "its code"
    if scene.packages:
        code += f" with {', '.join(scene.packages[:3])}{' and others' if len(scene.packages) > 3 else ''}"
    if scene.runtime == "nodejs" and not scene.declared:
        code += " and what it requires, which Node.js compiles anew in each process"
    if not scene.told:
        where = f"the process that worker {step.worker} gave it" if scene.stayed else f"worker {step.worker}"
        return f"{where} had not held {step.function} before: it loaded {code}", _kept_longer(scene)
    if found.holding:
        held = f"{_count(found.holding, 'worker')} that held {step.function} {'was' if found.holding == 1 else 'were'}"
        return f"{held} in use, so another one loaded {code}", _warmed(step, found.holding + 1)
    if found.ended:
        when = f"{duration(found.ended_ago_ns)} before"
        why = f"no worker held {step.function} any more, so one loaded {code}"
        return f"{why}; the last one that did was ended {when}: {found.ended}", _kept(scene)
    return f"no worker had held {step.function} v{step.version} yet, so one loaded {code}", _warmed(step, 1)


def _run(scene: Scene) -> Told:
    step = scene.step
    if scene.again:
        names = ", ".join(scene.again)
        return (
            f"it went by between its steps, the waits before {names} ran again included",
            f'"backoffS" of {names} in the activity.json of {step.function}',
        )
    if scene.declared:
        return "it went by between its steps, with what it takes to begin and end them", ""
    own = f"{step.function}'s own code" + (", without the steps it called" if scene.calls else "")
    return f"it was {own}; what it wrote then: mee6 act logs --id {step.id}", ""


def _caller(scene: Scene) -> str:
    return scene.caller.function if scene.caller is not None else "somebody"


def _more(scene: Scene) -> str:
    """One that keeps as many workers ready as would have been enough."""
    if not scene.runtime:
        return ""
    found = scene.found
    floor = scene.pool.floor if scene.pool else found.floor
    return f"mee6 agent set prewarm={scene.runtime}={max(floor, found.floor) + max(found.ahead, found.starting) + 1}"


def _more_memory(node: Node) -> str:
    return f"mee6 agent set memory-budget={max(1, node.memory_budget_bytes >> 19)}M"


def _higher_ceiling(scene: Scene) -> str:
    ceiling = scene.pool.ceiling if scene.pool else 0
    return f"mee6 agent set ceiling={scene.runtime}={2 * ceiling}" if ceiling else ""


def _kept_longer(scene: Scene) -> str:
    minutes = -(-int(2 * scene.node.keep_alive_s) // 60)
    return f"mee6 agent set keep-alive={minutes}m"


def _kept(scene: Scene) -> str:
    """What would have kept the worker that was ended."""
    found, node = scene.found, scene.node
    if "keep-alive" in found.ended:
        minutes = -(-int(2 * (node.keep_alive_s + found.ended_ago_ns / 1e9)) // 60)
        return f"mee6 agent set keep-alive={minutes}m"
    if "memory" in found.ended:
        return _more_memory(node)
    if "ceiling" in found.ended:
        return _higher_ceiling(scene)
    if "room was needed" in found.ended or "too many" in found.ended:
        return f"mee6 agent serve --max-workers {2 * node.max_workers}"
    return ""


def _warmed(step: Step, workers: int) -> str:
    if workers == 1:
        return f"mee6 act invoke {step.function}, once, after it is added"
    return f"as many calls at once beforehand: mee6 bench {step.function} --closed {workers}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
