from __future__ import annotations

import xml.etree.ElementTree as ET

from mee6tui.bench.figures import Figures, Histogram, Tally
from mee6tui.bench.picture import histogram, lines, svg

MS = 1_000_000


def figures(**changes: object) -> Figures:
    first, second = Tally("echo"), Tally("http://h/<a>")
    for number in range(1000):
        first.latency.add(MS + number * 1000)
    second.latency.add(50 * MS)
    second.errors["timed out"] += 2
    return Figures(**{"how": "poisson", "tallies": [first, second], "rate": 100.0, "seconds": 10.0, **changes})  # type: ignore[arg-type]


def test_the_report_has_a_row_for_each_target_and_for_all() -> None:
    told = list(lines(figures()))
    assert told[:6] == [
        "open loop, 100 a second, poisson: 1003 calls in 10.0 s, 100.1 a second succeeded",
        "",
        "              CALLS  FAILED     P50     P90     P95     P99   P99.9     MAX",
        "echo           1000       0  1.50ms  1.90ms  1.95ms  1.99ms  2.00ms  2.00ms",
        "http://h/<a>      3       2       -       -       -       -       -  50.0ms",
        "all            1003       2  1.51ms  1.90ms  1.96ms  1.99ms  2.01ms  50.0ms",
    ]
    assert "2 x timed out" in told


def test_a_histogram_has_all_calls_and_ends_at_the_slowest() -> None:
    rows = list(histogram(figures().latency, ascii_only=True))
    assert rows[-1].startswith(" 50.0ms  #")
    assert rows[-1].endswith("100.00 %")
    assert sum(int(row.split()[-3]) for row in rows) == 1001
    assert all(ord(character) < 128 for row in rows for character in row)
    assert "█" in "".join(histogram(figures().latency))


def test_one_call_and_calls_of_no_time_are_drawn_too() -> None:
    for value in (0, 5, 7 * MS):
        latency = Histogram()
        latency.add(value)
        assert [row.split()[-3] for row in histogram(latency)] == ["1"]
        assert ET.fromstring(svg(figures(tallies=[Tally("a", latency)])))


def test_what_the_generator_could_not_do_is_said() -> None:
    late = figures()
    for _ in range(100):
        late.sent(2 * MS)
    assert "did not keep up: 100.0% of the calls" in list(lines(late))[-1]
    assert "the generator did not keep up" in svg(late)
    good = figures()
    good.sent(60_000)
    assert list(lines(good))[-1].startswith("the generator kept up: calls were sent 60us after their time")


def test_a_closed_loop_says_what_it_hides() -> None:
    told = list(lines(figures(how="closed", rate=0.0, callers=4)))
    assert told[0].startswith("closed loop, 4 callers: 1003 calls")
    assert "hides how long others would have waited" in told[-1]


def test_the_drawing_is_well_formed_and_has_a_curve_for_each_target() -> None:
    drawn = ET.fromstring(svg(figures()))
    space = "{http://www.w3.org/2000/svg}"
    assert len(drawn.findall(f"{space}polyline")) == 2
    texts = [text.text for text in drawn.iter(f"{space}text")]
    assert {"echo", "http://h/<a>", "99.9 %"} <= set(texts)
    assert "99.99 %" not in texts
    for line in drawn.findall(f"{space}polyline"):
        for place in line.attrib["points"].split(", "):
            x, y = map(float, place.split())
            assert 0 <= x <= 860
            assert 0 <= y <= 480
