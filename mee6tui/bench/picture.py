"""The figures for people: text with a histogram, and an SVG of latency by percentile. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import log10
from typing import Final

from mee6tui.bench.figures import PERCENTILES, Figures, Histogram, Tally
from mee6tui.cli.units import duration

ROWS: Final = 14
_BAR: Final = 44
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


def lines(figures: Figures, *, ascii_only: bool = False) -> Iterator[str]:
    """The report."""
    latency, errors = figures.latency, figures.errors
    calls = latency.count + errors.total()
    yield f"{_how(figures)}: {calls} calls in {figures.seconds:.1f} s, {figures.throughput:.1f} a second succeeded"
    yield ""
    titles = ["", "CALLS", "FAILED", *(f"P{percentile:g}" for percentile in PERCENTILES), "MAX"]
    rows = [_row(tally.name, tally.latency, tally.errors.total()) for tally in figures.tallies]
    if len(rows) > 1:
        rows.append(_row("all", latency, errors.total()))
    yield from _aligned([titles, *rows])
    if errors:
        yield ""
        yield from (f"{count} x {kind}" for kind, count in errors.most_common())
    if latency.count:
        yield ""
        yield from histogram(latency, ascii_only=ascii_only)
    yield from ("", _generator(figures)) if figures.late.count else ()
    if figures.callers:
        yield ""
        yield "a closed loop waits for its answers, and so hides how long others would have waited; see --rate"


def histogram(latency: Histogram, *, ascii_only: bool = False) -> Iterator[str]:
    """How many calls took how long, in steps of equal ratio; with the share that took no longer."""
    edges = _edges(latency)
    counts = latency.spread(edges)
    most, seen = max(counts), 0
    for edge, count in zip([*edges, latency.most], counts, strict=True):
        seen += count
        bar = _bar(count / most, ascii_only=ascii_only)
        yield f"{duration(edge):>7}  {bar.ljust(_BAR)}  {count:>7}  {100 * seen / latency.count:6.2f} %"


def _edges(latency: Histogram) -> list[int]:
    """Round upper ends between the least and the most, rising by one ratio; all but the last row's."""
    least, most = max(1_000, latency.least), max(2_000, latency.most)
    step = (most / least) ** (1 / ROWS)
    edges = sorted({_round(least * step**number) for number in range(1, ROWS)})
    return [edge for edge in edges if latency.least < edge < latency.most]


def _round(ns: float) -> int:
    """To two digits."""
    unit = 10 ** max(0, int(log10(ns)) - 1)
    return int(round(ns / unit) * unit)


def _bar(share: float, *, ascii_only: bool) -> str:
    if ascii_only:
        return "#" * (max(1, round(share * _BAR)) if share else 0)
    eighths = max(1, round(share * _BAR * 8)) if share else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _how(figures: Figures) -> str:
    if figures.callers:
        return f"closed loop, {figures.callers} caller{'' if figures.callers == 1 else 's'}"
    return f"open loop, {figures.rate:g} a second, {figures.how}"


def _generator(figures: Figures) -> str:
    late = figures.late
    share = figures.late_sends / late.count
    exact = f"sent {duration(late.value(50))} after their time at the median, {duration(late.most)} at worst"
    if figures.kept_up:
        return f"the generator kept up: calls were {exact}"
    return (
        f"the generator did not keep up: {share:.1%} of the calls were sent over a millisecond late ({exact}); their "
        f"latencies count from their time all the same, and so are this machine's too; lower --rate, or let it rest"
    )


def _row(name: str, latency: Histogram, failed: int) -> list[str]:
    known = [latency.at(percentile) for percentile in PERCENTILES]
    cells = ["-" if value is None else duration(value) for value in known]
    return [name, str(latency.count + failed), str(failed), *cells, duration(latency.most) if latency.count else "-"]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        first, *rest = row
        yield "  ".join(
            [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        )


_WIDTH, _HEIGHT = 860, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 56, 84
_COLORS: Final = ("#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#be123c", "#0f766e", "#475569")


def svg(figures: Figures) -> str:
    """Latency by percentile, both axes logarithmic: towards the right each step is ten times rarer."""
    shown = [tally for tally in figures.tallies if tally.latency.count]
    whole = figures.latency
    decade = 10 ** int(log10(max(1_000, whole.least)))
    least = max(factor * decade for factor in (1, 2, 5) if factor * decade <= max(1_000, whole.least))
    most = max(whole.most, 10 * least)
    nines = max(2.0, log10(max(10, whole.count)))

    def x(share_above: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, -log10(max(share_above, 1e-12)) / nines)

    def y(ns: float) -> float:
        height = _HEIGHT - _TOP - _BOTTOM
        return _TOP + height * (1 - log10(max(ns, least) / least) / log10(most / least))

    told = f"{whole.count} calls succeeded, {figures.errors.total()} failed, {figures.throughput:.1f} a second"
    font = 'font-family="system-ui, sans-serif" font-size="13" fill="#1f2937"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {font}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="26" font-size="16">Latency by percentile: {escape(_how(figures))}</text>',
        f'<text x="{_LEFT}" y="44" fill="#6b7280">{told}{_warning(figures)}</text>',
    ]
    while decade <= most:
        for factor in (1, 2, 5):
            if least <= decade * factor <= most:
                at = y(decade * factor)
                out.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#e5e7eb"/>')
                out.append(
                    f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{duration(decade * factor)}</text>'
                )
        decade *= 10
    for percentile in (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999):
        if -log10(1 - percentile / 100) <= nines + 1e-9:
            at = x(1 - percentile / 100)
            out.append(f'<path d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#e5e7eb"/>')
            out.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{percentile:g} %</text>')
    for number, tally in enumerate(shown):
        out += _curve(tally, _COLORS[number % len(_COLORS)], number, x, y)
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _warning(figures: Figures) -> str:
    return "" if figures.kept_up else "; the generator did not keep up"


def _curve(
    tally: Tally, color: str, number: int, x: Callable[[float], float], y: Callable[[float], float]
) -> Iterator[str]:
    count = tally.latency.count
    places, above = [], 1.0
    for value, seen in tally.latency.points():
        places.append(f"{x(above):.1f} {y(value):.1f}")
        above = max(1 - seen / count, 1 / count)
        places.append(f"{x(above):.1f} {y(value):.1f}")
    yield f'<polyline points="{", ".join(places)}" fill="none" stroke="{color}" stroke-width="2"/>'
    column, row = number % 4, number // 4
    left, top = _LEFT + column * 190, _HEIGHT - _BOTTOM + 44 + row * 20
    yield f'<path d="M{left} {top - 4}h22" stroke="{color}" stroke-width="3"/>'
    name = tally.name if len(tally.name) <= 24 else f"{tally.name[:11]}…{tally.name[-12:]}"
    yield f'<text x="{left + 28}" y="{top}">{escape(name)}</text>'
