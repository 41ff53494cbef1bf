"""The benchmarks' own arithmetic and command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks.harness.promises import PROMISES, Promise
from tests.benchmarks.harness.samples import Contender, interleaved, percentile, row_of, rows_of
from tests.support import readme


@pytest.mark.parametrize(
    ("count", "share", "rank"),
    [(1, 0.5, 1), (1, 0.99, 1), (2, 0.5, 1), (3, 0.5, 2), (20, 0.95, 19), (100, 0.99, 99), (101, 0.99, 100), (7, 1, 7)],
)
def test_a_percentile_is_the_least_sample_that_its_share_does_not_exceed(count: int, share: float, rank: int) -> None:
    assert percentile(range(1, count + 1), share) == rank


def test_a_row_tells_its_samples_in_its_unit_whatever_their_order() -> None:
    row = row_of("step", [4_000_000, 1_000_000, 3_000_000, 2_000_000], "ms")
    assert (row.n, row.p50, row.p95, row.p99, row.max) == (4, 2.0, 4.0, 4.0, 4.0)


def test_a_ratio_is_the_median_of_the_rounds_so_that_one_bad_round_does_not_count() -> None:
    rounds = {"floor": [[10], [10], [10]], "step": [[30], [9000], [30]]}
    floor, step = rows_of(rounds, "us", "floor")
    assert (step.ratio, step.over, step.floor) == (3.0, 0.02, "floor")
    assert (floor.ratio, floor.over, floor.floor) == (None, None, "")


async def test_every_round_runs_every_contender_and_each_is_first_in_turn() -> None:
    ran: list[str] = []

    def contender(name: str) -> Contender:
        async def take() -> list[int]:
            ran.append(name)
            return [len(ran)]

        return take

    rounds = await interleaved(3, {name: contender(name) for name in "abc"})
    assert "".join(ran) == "abcbcacab"
    assert rounds["a"] == [[1], [6], [8]]


def test_the_list_names_every_question_and_what_it_asks(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    files = {path.stem for path in Path(__file__).parent.glob("[!_]*.py") if not path.stem.startswith("test_")}
    assert listed.keys() == files
    assert all(question.endswith("?") for question in listed.values())


def test_a_question_that_does_not_exist_is_refused_with_the_ones_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["colour"])
    told = capsys.readouterr().err
    assert "no benchmark colour; there are " in told
    assert all(name in told for name in ("add", "chain", "cold"))


MACHINE = {"cpu": "A chip", "cores": 2, "python": "3.11.7", "docker": "20.10.24"}


def _answer(*whats: str, error: str = "") -> dict[str, Any]:
    rows = [{"what": what, "unit": "us", "p50": 1.5, "p99": 200.0, "n": 7} for what in whats]
    return {"rows": rows, "error": error}


def _result(**answers: dict[str, Any]) -> dict[str, Any]:
    return {"machine": MACHINE, "answers": answers}


@pytest.fixture
def two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    told = (
        Promise("warm", "stream", "warm", 1, 300),
        Promise("console", "frame", "painted", 5),
        Promise("docker", "warm, docker", "in a container"),
    )
    monkeypatch.setattr(readme, "PROMISES", told)


@pytest.mark.usefixtures("two_rows")
def test_readmes_figures_take_each_answer_from_the_last_file_that_has_it() -> None:
    told = readme.figures([_result(warm=_answer("stream"), docker=_answer()), _result(docker=_answer("warm, docker"))])
    assert "Docker Engine 20.10.24" in told
    assert told.splitlines()[-2:] == [
        "| warm | 1.5 | 200 | us | 1, 300 (p99) | **p50 missed** | 7 | warm |",
        "| in a container | 1.5 | 200 | us |  |  | 7 | docker |",
    ]


@pytest.mark.usefixtures("two_rows")
def test_readmes_figures_have_what_takes_minutes_where_it_was_asked() -> None:
    answers = _result(warm=_answer("stream"), docker=_answer())
    assert "painted" not in readme.figures([answers])
    told = readme.figures([_result(console=_answer("frame")), answers])
    assert told.splitlines()[-1] == "| painted | 1.5 | 200 | us | 5 | met | 7 | console |"


@pytest.mark.parametrize(
    ("aims", "unit", "verdict"),
    [
        ((None, None), "us", ""),
        ((10, None), "us", "met"),
        ((9.9, None), "us", "missed"),
        ((10, 50), "us", "met"),
        ((10, 49), "us", "p99 missed"),
        ((9, 50), "us", "p50 missed"),
        ((9, 49), "us", "missed"),
        ((10, None), "1/s", "met"),
        ((11, None), "1/s", "missed"),
    ],
)
def test_an_aim_is_the_most_of_a_time_and_the_least_of_a_rate(
    aims: tuple[float | None, float | None], unit: str, verdict: str
) -> None:
    assert Promise("warm", "row", "it", *aims).verdict({"p50": 10.0, "p99": 50.0, "unit": unit}) == verdict


def test_every_promise_belongs_to_a_question_that_there_is_and_no_two_are_alike() -> None:
    assert {one.question for one in PROMISES} <= set(command.questions())
    assert len({(one.question, one.row) for one in PROMISES}) == len(PROMISES)


@pytest.mark.usefixtures("two_rows")
def test_readmes_figures_leave_out_what_the_machine_cannot_be_asked() -> None:
    told = readme.figures([_result(warm=_answer("stream"), docker=_answer())])
    assert "container" not in told
    assert "Docker" not in told


@pytest.mark.usefixtures("two_rows")
@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"warm": _answer("stream")}, "no answer to docker; ask it: make bench BENCH_ARGS=docker"),
        ({"warm": _answer(error="no agent"), "docker": _answer()}, "warm has no row 'stream'; no agent"),
        ({"warm": _answer("other"), "docker": _answer()}, "warm has no row 'stream'; is it an old answer?"),
    ],
)
def test_readmes_figures_are_refused_where_a_row_is_missing(answers: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        readme.figures([_result(**answers)])
