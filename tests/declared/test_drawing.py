"""Declared workflows as pictures."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from hypothesis import given, settings

from mee6.declared.drawing import mermaid_of, svg_of, text_of
from mee6.declared.graph import Graph
from tests.declared.play import graph
from tests.declared.test_run import graphs

ORDER: Any = {
    "check": {"function": "check"},
    "price": {"function": "price", "foreach": "$check.items", "concurrency": 4},
    "route": {"switch": [{"if": "$check.country", "is": "CH", "then": "post"}], "else": "courier"},
    "post": {"function": "ship", "input": "$price", "timeoutS": 5},
    "courier": {"function": "ship", "input": "$price", "retry": {"attempts": 3}, "catch": {"value": None}},
    "report": {"function": "report", "input": {"$first": ["$post", "$courier"]}},
}


def test_a_graph_is_drawn_as_text() -> None:
    drawn = text_of(graph(ORDER))
    assert drawn == (Path(__file__).parent / "order.txt").read_text().rstrip("\n")


def test_a_graph_is_drawn_as_mermaid() -> None:
    lines = mermaid_of(graph(ORDER)).splitlines()
    assert lines[0] == "flowchart TD"
    assert '  s0["check"]' in lines
    assert '  s2{"route<br/>switch"}' in lines
    assert '  s2 -->|"$check.country is &quot;CH&quot;"| s3' in lines
    assert "  s0 --> s1" in lines


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_every_step_is_in_every_picture(of: Graph) -> None:
    text, svg = text_of(of), svg_of(of)
    ET.fromstring(svg)
    for name in of.nodes:
        assert f" {name} " in text
        assert f">{name}<" in svg


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_every_line_in_the_text_ends_somewhere(of: Graph) -> None:
    rows = [f" {line} " for line in text_of(of).splitlines()]
    width = max(map(len, rows))
    rows = [line.ljust(width) for line in ["", *rows, ""]]
    down, up = set("│┐┤┌├┬┼╷"), set("│┘┤└├┴┼╵")
    for above, below in itertools.pairwise(rows):
        for one, other in zip(above, below, strict=True):
            if one in down:
                assert other in up or other == "─", f"a line ends in the air:\n{text_of(of)}"
            if other in up:
                assert one in down or one == "─", f"a line begins in the air:\n{text_of(of)}"
