"""Plots of several models: in bounds, in proportion, escaped, and told apart without colour."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.report import comparing
from ensue.report.comparing import Estimate, Series, forest, lines, round_values
from ensue.report.page import Html
from ensue.report.plots import RIGHT, WIDTH, Mark

FINITE = st.floats(-1e6, 1e6)
NASTY = "<script>&\"'\x1b[31m"


def drawn(figure: Html) -> ElementTree.Element:
    """The figure as XML: it must be well-formed."""
    return ElementTree.fromstring(figure)  # noqa: S314 - made here


def plot(figure: Html) -> ElementTree.Element:
    return next(one for one in drawn(figure) if one.tag == "svg")


def marks(figure: Html) -> list[tuple[str, float]]:
    """Kind and horizontal place of each mark in the plot, without those of the key."""
    found = []
    for one in plot(figure).iter():
        if one.tag == "circle":
            found.append((one.attrib["class"], float(one.attrib["cx"])))
        if one.tag == "rect":
            found.append((one.attrib["class"], float(one.attrib["x"]) + 3.5))
    return found


def key(figure: Html) -> list[str]:
    return ["".join(one.itertext()) for one in drawn(figure).iter("li")]


@given(st.lists(st.tuples(FINITE, FINITE, FINITE), min_size=1, max_size=6))
def test_estimates_lie_on_one_axis_within_the_plot(rows: list[tuple[float, float, float]]) -> None:
    ordered = [sorted(row) for row in rows]
    made = forest("F", [Estimate(f"m{i}", row[1], row[0], row[2]) for i, row in enumerate(ordered)])
    places = [x for _, x in marks(made)]
    assert len(places) == len(rows)
    assert all(comparing.NAMES - 0.1 <= x <= WIDTH - comparing.VALUES for x in places)
    by_value = sorted(range(len(rows)), key=lambda i: ordered[i][1])
    assert [places[i] for i in by_value] == sorted(places)


def test_an_estimate_halfway_stands_halfway() -> None:
    made = forest(
        "F", [Estimate("a", 0.0, 0.0, 0.0), Estimate("b", 1.0, 1.0, 1.0), Estimate("c", 0.5, 0.2, 0.8)]
    )
    (_, a), (_, b), (_, c) = marks(made)
    assert c == pytest.approx((a + b) / 2, abs=0.11)
    strokes = [one.attrib["d"] for one in plot(made).iter("path") if "whisker" in one.attrib["class"]]
    begin, end = map(float, re.findall(r"M([\d.]+) [\d.]+H([\d.]+)", strokes[2])[0])
    assert begin == pytest.approx(a + 0.2 * (b - a), abs=0.11)
    assert end == pytest.approx(a + 0.8 * (b - a), abs=0.11)


def test_the_axis_takes_all_the_room_between_names_and_values() -> None:
    (_, first), (_, last) = marks(forest("F", [Estimate("a", 0.0, 0.0, 0.0), Estimate("b", 1.0, 1.0, 1.0)]))
    assert first == pytest.approx(comparing.NAMES)
    assert last == pytest.approx(WIDTH - comparing.VALUES - 8)


def test_standings_differ_in_shape_and_the_key_says_what_they_are() -> None:
    made = forest(
        "F",
        [Estimate("a", 3, 2, 4, "best"), Estimate("b", 2, 1, 3, "alike"), Estimate("c", 1, 0, 1, "apart")],
    )
    assert [kind for kind, _ in marks(made)] == ["best", "alike", "apart"]
    assert [one.tag for one in plot(made).iter() if one.tag in ("circle", "rect")] == [
        "circle",
        "circle",
        "rect",
    ]
    assert key(made) == ["best", "not told from the best", "told from the best"]
    assert key(forest("F", [Estimate("a", 3, 2, 4, "best")])) == []


def test_a_mark_is_drawn_in_range_and_said() -> None:
    made = forest("F", [Estimate("a", 3, 2, 4)], mark=Mark(9.0, "in the histories"))
    (across,) = [one for one in plot(made).iter("path") if one.attrib["class"] == "note"]
    assert float(across.attrib["d"][1:].split(" ")[0]) <= WIDTH - comparing.VALUES
    assert "in the histories 9" in plot(made).attrib["aria-label"]
    assert key(made) == ["in the histories"]


@given(st.lists(st.lists(st.tuples(st.integers(1, 40), FINITE), max_size=20), max_size=10), st.booleans())
def test_lines_stay_within_the_plot(series: list[list[tuple[int, float]]], joined: bool) -> None:
    made = lines(
        "L",
        [
            Series(f"m{i}", tuple((float(x), y) for x, y in sorted(dict(one).items())))
            for i, one in enumerate(series)
        ],
        across="k",
        joined=joined,
    )
    for one in plot(made).iter("path"):
        if "series" not in one.attrib["class"]:
            continue
        for x, y in (map(float, pair.split()) for pair in re.split("[ML]", one.attrib["d"])[1:]):
            assert comparing.LEFT - 0.1 <= x <= WIDTH - RIGHT + 0.1
            assert comparing.TOP - 0.1 <= y <= comparing.TOP + comparing.TALL + 0.1


def test_a_line_goes_through_its_points_in_proportion() -> None:
    made = lines("L", [Series("m", ((0, 0.0), (5, 0.5), (10, 1.0)))], across="k")
    (trace,) = [
        one.attrib["d"] for one in plot(made).iter("path") if one.attrib["class"].startswith("series")
    ]
    places = [tuple(map(float, pair.split())) for pair in re.split("[ML]", trace)[1:]]
    assert places[0] == pytest.approx((comparing.LEFT, comparing.TOP + comparing.TALL), abs=0.1)
    assert places[1] == pytest.approx(
        ((places[0][0] + places[2][0]) / 2, (places[0][1] + places[2][1]) / 2), abs=0.11
    )
    assert places[2] == pytest.approx((WIDTH - RIGHT, comparing.TOP), abs=0.1)


def test_spreads_reach_from_low_to_high() -> None:
    made = lines("L", [Series("m", ((0, 0.5), (1, 0.5)), ((0.0, 1.0), (0.4, 0.6)))], across="k")
    ends = [one.attrib["d"] for one in plot(made).iter("path") if one.attrib["class"].startswith("spread")]
    low, high = map(float, re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", ends[0])[0])
    assert (low, high) == pytest.approx((comparing.TOP + comparing.TALL, comparing.TOP), abs=0.1)


def test_lines_are_told_apart_by_shape_and_named_in_the_key() -> None:
    made = lines("L", [Series(name, ((0, 1.0), (1, 2.0))) for name in "abcd"], across="k")
    shapes = {
        one.attrib["d"].split("m", 1)[-1] for one in plot(made).iter("path") if "dot" in one.attrib["class"]
    }
    assert len(shapes) == 3  # and the circles of the first
    assert [one.tag for one in plot(made).iter("circle")] == ["circle"] * 2
    assert key(made) == list("abcd")
    for kind in range(1, comparing.COLOURS):
        assert re.search(rf"\.s{kind}{{stroke-dasharray", comparing.STYLE)


def test_points_of_kinds_without_order_stand_side_by_side() -> None:
    made = lines(
        "L", [Series("a", ((0, 1.0), (1, 1.0))), Series("b", ((0, 1.0), (1, 1.0)))],
        across="", ticks=[(0, "warm"), (1, "cold")], joined=False,
    )  # fmt: skip
    assert not [one for one in plot(made).iter("path") if one.attrib["class"].startswith("series")]
    own = [x for kind, x in marks(made) if kind == "dot s0"]
    other = [
        float(one.attrib["d"][1:].split()[0])
        for one in plot(made).iter("path")
        if one.attrib["class"] == "dot s1"
    ]
    assert all(b > a for a, b in zip(own, other, strict=True))


def test_the_last_label_under_an_axis_has_room() -> None:
    names = [*(str(n) for n in range(101, 114)), "cold items"]
    ticks = [(float(n), name) for n, name in enumerate(names)]
    made = lines("L", [Series("m", tuple((float(n), 1.0) for n in range(14)))], across="", ticks=ticks)
    shown = [one.text for one in plot(made).iter("text") if one.text in names]
    assert shown[0] == "101"
    assert shown[-1] == "cold items"
    assert 2 <= len(shown) < 14


@given(FINITE, FINITE)
def test_round_values_hold_the_range_and_are_evenly_spaced(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = round_values(low, high)
    slack = 1e-6 * max(abs(low), abs(high), 1e-9)
    assert len(found) >= 2
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    steps = [after - before for before, after in pairwise(found)]
    assert max(steps) - min(steps) <= 1e-6 * max(abs(found[0]), abs(found[-1]))


@given(st.text(max_size=20))
def test_any_text_is_escaped_wherever_it_stands(said: str) -> None:
    drawn(forest(said, [Estimate(said, 1, 0, 2, "best")] * 2, note=said, mark=Mark(1, said)))
    drawn(
        lines(
            said,
            [Series(said, ((0, 1.0), (1, 2.0)))] * 2,
            across=said,
            note=said,
            ticks=[(0, said), (1, said)],
        )
    )


def test_a_script_stays_text() -> None:
    made = forest(NASTY, [Estimate(NASTY, 1, 0, 2)]) + lines(
        NASTY, [Series(NASTY, ((0, 1.0),))] * 2, across=NASTY
    )
    assert "<script" not in made
    assert "\x1b" not in made


def test_a_plot_is_said_in_words() -> None:
    said = plot(lines("Recall", [Series("m", ((1, 0.25), (10, 0.5)))], across="k")).attrib
    assert said["role"] == "img"
    assert said["aria-label"] == "Recall: m: 0.25 at 1, 0.5 at 10"
    assert (
        plot(forest("F", [Estimate("a", 0.5, 0.25, 1)])).attrib["aria-label"]
        == "F: a 0.5000 (0.2500 to 1.0000)"
    )
