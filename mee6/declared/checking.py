"""What is wrong with declared steps, by the key that it stands in.

The kinds of values have been checked before (`mee6.manifest`): here it is what they mean together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from mee6.declared.graph import Catch, Cyclic, Declaration, Step, graph_of, named
from mee6.declared.values import (
    ARGS_NAME,
    ERROR_NAME,
    ITEM_NAMES,
    RESERVED,
    STEP_RULE,
    is_step_name,
    names,
    parse,
)
from mee6.errors import BY_CODE

MAX_STEPS: Final = 1000
Path = tuple[str, ...]
Fault = tuple[Path, str]
"""Keys from the outermost to the one that is meant, and what is wrong there."""


def faults(declaration: Declaration, name: str) -> Iterator[Fault]:
    """All that is wrong; the first is what to tell.

    Args:
        name: the workflow's own, which no step may call.
    """
    steps = declaration.steps
    if len(steps) > MAX_STEPS:
        yield ("steps",), f"there are {len(steps)} steps, over the limit of {MAX_STEPS}"
        return
    sound = True
    for step_name, step in steps.items():
        for fault in _of_step(step_name, step, steps, name):
            sound = False
            yield fault
    for fault in _expression(declaration.output, ("output",), "output", steps, ()):
        sound = False
        yield fault
    if not sound:
        return
    try:
        graph_of(declaration)
    except Cyclic as cycle:
        first = cycle.steps[-1]
        yield ("steps", first), f"steps wait for each other: {' > '.join(cycle.steps)}"


def _of_step(name: str, step: Step, steps: Iterable[str], own: str) -> Iterator[Fault]:
    path = ("steps", name)
    if not is_step_name(name):
        why = f"the names {', '.join(RESERVED)} have a meaning" if name in RESERVED else STEP_RULE
        yield path, f"step {name!r} may not be called so: {why}"
    if bool(step.function) == bool(step.switch):
        yield path, f"step {name!r} must have one of 'function' and 'switch'"
    elif step.is_switch:
        yield from _of_switch(name, step, steps)
    else:
        yield from _of_function(name, step, steps, own)
    for target in named(step.after):
        yield from _target(target, (*path, "after"), f"step {name!r} comes after", steps)


def _of_function(name: str, step: Step, steps: Iterable[str], own: str) -> Iterator[Fault]:
    path = ("steps", name)
    yield from _called(step.function, (*path, "function"), name, own)
    if step.otherwise:
        yield (*path, "else"), f"step {name!r} has 'else', but no 'switch'"
    known: tuple[str, ...] = ()
    if step.is_foreach:
        known = ITEM_NAMES
        yield from _expression(step.foreach, (*path, "foreach"), f"foreach of step {name!r}", steps, ())
    elif step.concurrency is not None:
        yield (*path, "concurrency"), f"step {name!r} has 'concurrency', but no 'foreach' that it could bound"
    if step.input is not msgspec.UNSET:
        yield from _expression(step.input, (*path, "input"), f"input of step {name!r}", steps, known)
    elif len(named(step.after)) > 1 and not step.is_foreach:
        of = ", ".join(f"${one}" for one in named(step.after))
        yield path, f"step {name!r} comes after several, and does not say its 'input': of {of}, or $args"
    if step.retry is not None:
        yield from _codes(step.retry.on, (*path, "retry", "on"), name)
    if step.catch is not None:
        yield from _of_catch(name, step.catch, steps, own)


def _of_switch(name: str, step: Step, steps: Iterable[str]) -> Iterator[Fault]:
    path = ("steps", name)
    for key, given in (
        ("input", step.input is not msgspec.UNSET),
        ("foreach", step.is_foreach),
        ("concurrency", step.concurrency is not None),
        ("timeoutS", step.timeout_s is not None),
        ("retry", step.retry is not None),
        ("catch", step.catch is not None),
    ):
        if given:
            yield (*path, key), f"step {name!r} is a switch and calls nothing: it has no use for {key!r}"
    for n, case in enumerate(step.switch):
        at = (*path, "switch", str(n))
        if case.condition is msgspec.UNSET:
            yield at, f'case {n + 1} of step {name!r} has no \'if\', as in "if": "$args.size", "above": 10'
        else:
            yield from _expression(case.condition, (*at, "if"), f"'if' of step {name!r}", steps, ())
        tests = [
            case.equals is not msgspec.UNSET,
            case.above is not None or case.below is not None,
            case.among is not None,
        ]
        if sum(tests) > 1:
            yield at, f"case {n + 1} of step {name!r} has more than one of 'is', 'in' and 'above' or 'below'"
        for target in named(case.then):
            yield from _target(target, (*at, "then"), f"step {name!r} chooses", steps)
    for target in named(step.otherwise):
        yield from _target(target, (*path, "else"), f"step {name!r} chooses", steps)


def _of_catch(name: str, catch: Catch, steps: Iterable[str], own: str) -> Iterator[Fault]:
    path = ("steps", name, "catch")
    yield from _codes(catch.on, (*path, "on"), name)
    if bool(catch.function) == (catch.value is not msgspec.UNSET):
        yield path, f"'catch' of step {name!r} must have one of 'function' and 'value'"
        return
    if catch.function:
        yield from _called(catch.function, (*path, "function"), name, own)
    elif catch.input is not msgspec.UNSET:
        yield (*path, "input"), f"'catch' of step {name!r} has 'input', but no 'function'"
    yield from _expression(catch.input, (*path, "input"), f"catch of step {name!r}", steps, (ERROR_NAME,))
    yield from _expression(catch.value, (*path, "value"), f"catch of step {name!r}", steps, (ERROR_NAME,))


def _called(function: str, path: Path, step: str, own: str) -> Iterator[Fault]:
    from mee6.manifest import NAME_RULE, is_name

    if not is_name(function):
        yield path, f"function {function!r} of step {step!r} is not allowed: {NAME_RULE}"
    elif function == own:
        yield path, f"step {step!r} calls {own!r}, the workflow itself"


def _codes(given: list[str], path: Path, step: str) -> Iterator[Fault]:
    for code in given:
        if code not in BY_CODE:
            near = difflib.get_close_matches(code, BY_CODE, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(BY_CODE)}"
            yield path, f"step {step!r} names the fault {code!r}, which there is not; {meant}"


def _target(target: str, path: Path, what: str, steps: Iterable[str]) -> Iterator[Fault]:
    if target not in steps:
        yield path, f"{what} {target!r}, which is no step{_meant(target, steps)}"


def _expression(value: Any, path: Path, what: str, steps: Iterable[str], also: tuple[str, ...]) -> Iterator[Fault]:
    if value is msgspec.UNSET:
        return
    try:
        expression = parse(value)
    except ValueError as error:
        yield path, f"{what} {error}"
        return
    for name in names(expression):
        if name in steps or name == ARGS_NAME or name in also:
            continue
        if name in ITEM_NAMES:
            yield path, f"{what} has ${name}, which only the 'input' of a step with 'foreach' has"
        elif name == ERROR_NAME:
            yield path, f"{what} has $error, which only a 'catch' has"
        else:
            yield path, f"{what} refers to ${name}, which is no step{_meant(name, steps)}"


def _meant(name: str, steps: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(steps), 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(list(steps)[:12])}"
