"""`mee6 bench`: load on functions and on any HTTP address, and what it led to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mee6.errors import InvalidInput
from mee6tui.cli import output, units
from mee6tui.cli.groups import examples, group
from mee6tui.cli.invoke import argument
from mee6tui.cli.session import Session, connected, waiting

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6tui.bench.figures import Figures
    from mee6tui.bench.targets import Request, Target

app = group()

RATE: Final = 50.0
MOST_RATE: Final = 1e6
MOST_CALLERS: Final = 10_000
_ARRIVALS: Final = ("poisson", "uniform", "azure")


@app.command(
    epilog=examples(
        "mee6 bench echo --rate 200 --duration 30s",
        "mee6 bench echo=9 pinger=1 --arrivals azure --rate 100 --svg latency.svg",
        "mee6 bench echo --closed 4",
        "mee6 bench echo http://127.0.0.1:5123/function/echo --arg foo",
        "mee6 bench echo -o json | jq .latency_ms",
    )
)
@connected
def bench(
    here: Session,
    targets: Annotated[
        list[str], typer.Argument(metavar="TARGET...", help="Functions or URLs, each with =WEIGHT for its share.")
    ],
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="N", help="Calls a second.", show_default=f"{RATE:g}")
    ] = None,
    duration: Annotated[str, typer.Option("--duration", "-d", metavar="10s", help="How long.")] = "10s",
    warmup: Annotated[
        str, typer.Option("--warmup", metavar="1s", help="Before that, with calls that are not counted.")
    ] = "1s",
    arrivals: Annotated[
        str, typer.Option("--arrivals", metavar="KIND", help=f"{', '.join(_ARRIVALS)}: when calls come.")
    ] = "poisson",
    closed: Annotated[
        int, typer.Option("--closed", metavar="N", help="N callers, each calling again once answered, and no rate.")
    ] = 0,
    connections: Annotated[
        int, typer.Option("--connections", metavar="N", min=1, max=4096, help="To each host; of an agent, streams.")
    ] = 8,
    arg: Annotated[str | None, typer.Option("--arg", metavar="ARG", help="Text, - for standard input, @FILE.")] = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", metavar="FILE", help="Send the bytes of a file.")] = None,
    as_json: Annotated[bool, typer.Option("-j", "--as-json", help="Send the argument as JSON.")] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="30s", help="The longest a call may take.")
    ] = "30s",
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="Of HTTP. [default: POST with an argument, else GET]")
    ] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="Of HTTP. Repeatable.")
    ] = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw latency by percentile there.")] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Of the arrivals: the same again, call by call.")
    ] = 1,
) -> None:
    """Call functions, or any HTTP address, at a rate, and show how long that took.

    Calls are sent at their times, whatever becomes of those before them, and a call's latency counts from its time:
    what waits behind a slow answer is seen. With --closed, each caller waits for its answer. A percentile is shown
    where at least one call lies beyond it. The exit code is 1 when no call succeeded.
    """
    from mee6tui.bench.targets import Request, target

    wanted = [target(text) for text in targets]
    duration_s, warmup_s, timeout_s = (units.seconds(text) for text in (duration, warmup, timeout))
    if closed and rate is not None:
        raise InvalidInput("--closed and --rate contradict each other: who calls again once answered has no rate")
    rate = RATE if rate is None else rate
    _check(arrivals, rate, closed, duration_s, timeout_s, svg)
    given = arg is not None or file is not None
    data, kind = argument(arg, file, as_json=as_json)
    request = Request(
        data, kind, timeout_s, method or ("POST" if given else "GET"), _headers(header or []), connections
    )

    async def work(client: Client | None) -> Figures:
        return await _run(wanted, request, client, arrivals, rate, closed, duration_s, warmup_s, seed)

    if all(one.is_url for one in wanted):
        import asyncio

        with waiting(f"calling for {duration}"):
            figures = asyncio.run(work(None))
    else:
        figures = here.run(work, f"calling for {duration}")
    _show(here, figures, svg)


async def _run(
    wanted: list[Target], request: Request, client: Client | None, arrivals: str, rate: float, closed: int,
    duration_s: float, warmup_s: float, seed: int,
) -> Figures:  # fmt: skip
    from random import Random

    from mee6tui.bench.arrivals import KINDS
    from mee6tui.bench.figures import Figures, Tally
    from mee6tui.bench.load import TimerAlarm, closed_loop, open_loop
    from mee6tui.bench.targets import kind_of, senders

    random, weights = Random(seed), [one.weight for one in wanted]  # noqa: S311 - arrivals are no secret
    tallies = [Tally(one.name) for one in wanted]
    async with senders(wanted, request, client) as found:
        if closed:
            figures = Figures("closed", tallies, callers=closed)
            await closed_loop(figures, found, weights, random, duration_s, warmup_s, kind_of)
        else:
            figures = Figures(arrivals, tallies, rate=rate)
            schedule = KINDS[arrivals](rate, weights, random)
            with TimerAlarm() as alarm:
                await open_loop(figures, found, schedule, alarm, duration_s, warmup_s, kind_of)
    return figures


def _show(here: Session, figures: Figures, svg: Path | None) -> None:
    from mee6tui.bench import picture
    from mee6tui.bench.figures import plain

    if here.form == "name":
        output.write("\n".join(tally.name for tally in figures.tallies))
    elif here.for_people:
        output.write("\n".join(picture.lines(figures, ascii_only=_ascii_only())))
    else:
        output.show_one(here.form, plain(figures), list)
    if svg is not None and figures.latency.count:
        try:
            svg.write_text(picture.svg(figures), "utf-8")
        except OSError as error:
            raise InvalidInput(f"cannot write {svg}: {error.strerror}") from error
        here.note(f"drawn into {svg}")
    if not figures.latency.count:
        here.note("no call succeeded" if figures.errors else "no call was due in that time; see --rate and --duration")
        sys.stdout.flush()
        raise typer.Exit(1)


def _ascii_only() -> bool:
    try:
        "█▏".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return True
    return False


def _check(arrivals: str, rate: float, closed: int, duration_s: float, timeout_s: float, svg: Path | None) -> None:
    """Refuses what cannot be meant, before anything is sent."""
    if arrivals not in _ARRIVALS:
        raise InvalidInput(f"no arrivals of kind {arrivals!r}; kinds are {', '.join(_ARRIVALS)}")
    if not 0 < rate <= MOST_RATE:
        raise InvalidInput(f"--rate is {rate:g}; give calls a second, above 0 and at most {MOST_RATE:g}")
    if not 0 <= closed <= MOST_CALLERS:
        raise InvalidInput(f"--closed is {closed}; give callers, at most {MOST_CALLERS}")
    if not duration_s:
        raise InvalidInput("--duration is 0; give a time, such as 10s")
    if not timeout_s:
        raise InvalidInput("--timeout is 0; give a time, such as 30s")
    if svg is not None and not svg.parent.is_dir():
        raise InvalidInput(f"{svg.parent} is no folder that {svg.name} could be written into")


def _headers(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip() or "\n" in text or "\r" in text:
            raise InvalidInput(f"{text!r} is no header; write it as 'Name: value'")
        found[name.strip()] = value.strip()
    return found
