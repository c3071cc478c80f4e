"""Plots and the page: well-formed, escaped, in bounds, and right about what they draw."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.report import page, plots
from ensue.report.page import Html

HEIGHTS = st.lists(st.floats(0, 1e9), min_size=0, max_size=30)
NASTY = "<script>&\"'\x1b[31m"


def drawn(figure: Html) -> ElementTree.Element:
    """The figure as XML: it must be well-formed."""
    return ElementTree.fromstring(figure)  # noqa: S314 - made here


def rectangles(figure: Html) -> list[dict[str, float]]:
    return [
        {name: float(one.attrib[name]) for name in ("x", "y", "width", "height")}
        for one in drawn(figure).iter("rect")
    ]


@given(HEIGHTS)
def test_bars_stand_within_the_plot_in_proportion(heights: list[float]) -> None:
    made = rectangles(plots.bars("Bars", [(f"n{i}", height) for i, height in enumerate(heights)]))
    assert len(made) == len(heights)
    for one, height in zip(made, heights, strict=True):
        assert plots.LEFT <= one["x"] <= one["x"] + one["width"] <= plots.WIDTH - plots.RIGHT + 0.2
        whole = plots.TALL * height / max(heights) if max(heights) else 0
        assert one["height"] == pytest.approx(whole, abs=0.06)
        assert one["y"] + one["height"] == pytest.approx(plots.TOP + plots.TALL, abs=0.11)


def test_a_histogram_on_a_logarithmic_axis_gives_decades_equal_room() -> None:
    made = rectangles(plots.histogram("H", [1, 10, 100], [2, 4], log=True))
    assert made[0]["width"] == pytest.approx(made[1]["width"], abs=0.11)
    assert made[0]["height"] == pytest.approx(made[1]["height"] / 2, abs=0.11)
    plain = rectangles(plots.histogram("H", [0, 10, 100], [2, 4]))
    assert plain[1]["width"] == pytest.approx((plots.INNER * 90 / 100) - 0.8, abs=0.11)


def test_ticks_out_of_range_or_without_room_are_left_out() -> None:
    ticks = [(0.1, "below"), (1.0, "one"), (1.01, "too near"), (50.0, "fifty"), (1000.0, "above")]
    figure = plots.histogram("H", [1, 10, 100], [2, 4], log=True, ticks=ticks)
    labels = {one.text for one in drawn(figure).iter("text")}
    assert {"one", "fifty"} <= labels
    assert not {"below", "too near", "above"} & labels


def test_a_mark_is_drawn_and_said() -> None:
    figure = plots.histogram("H", [1, 10, 100], [2, 4], log=True, mark=plots.Mark(10.0, "valley at ten"))
    (path,) = [one for one in drawn(figure).iter("path") if one.attrib["class"] == "note"]
    assert path.attrib["d"].startswith(f"M{plots.LEFT + plots.INNER / 2:.1f} ")
    assert "valley at ten" in next(drawn(figure).iter("svg")).attrib["aria-label"]


@pytest.mark.parametrize("values", [[], [("a", 1.0)], [("a", 0.0), ("b", 0.0)], [("a", 1.0), ("b", 4.0)]])
def test_lines_of_any_length_are_well_formed(values: list[tuple[str, float]]) -> None:
    drawn(plots.line("Line", values))


def test_a_curve_ends_in_the_upper_right_corner() -> None:
    figure = plots.curve("Curve", [(0, 0), (0.1, 0.6), (1, 1)], across="all items", up="of events")
    trace = next(one for one in drawn(figure).iter("path") if one.attrib["class"] == "trace")
    places = [tuple(map(float, pair.split())) for pair in re.split("[ML]", trace.attrib["d"])[1:]]
    assert places[0] == (plots.LEFT, plots.TOP + plots.TALL)
    assert places[1] == pytest.approx(
        (plots.LEFT + plots.INNER * 0.1, plots.TOP + plots.TALL * 0.4), abs=0.06
    )
    assert places[2] == (plots.WIDTH - plots.RIGHT, plots.TOP)


@given(st.text(max_size=20))
def test_any_text_is_escaped_wherever_it_stands(said: str) -> None:
    made = [
        plots.bars(said, [(said, 1.0)], note=said),
        plots.histogram(said, [1, 2], [1], ticks=[(1.0, said)], mark=plots.Mark(1.5, said)),
        plots.line(said, [(said, 1.0), (said, 2.0)]),
        plots.curve(said, [(0, 0), (1, 1)], across=said, up=said),
        page.table((said,), [(said,)]),
        page.section(said, page.paragraph(said), page.tiles([(said, said)])),
    ]
    for one in made:
        drawn(one)


def test_a_script_stays_text() -> None:
    whole = page.page(NASTY, plots.bars(NASTY, [(NASTY, 1.0)]), page.table((NASTY,), [(NASTY,)]), NASTY)
    assert "<script" not in whole
    assert "\x1b" not in whole
    assert whole.count("&lt;script&gt;&amp;&quot;&#x27;\\x1b[31m") >= 6


def test_the_page_forbids_itself_the_network_and_knows_the_dark() -> None:
    whole = page.page("A page")
    assert "default-src &#x27;none&#x27;" in whole or "default-src 'none'" in whole
    assert "prefers-color-scheme:dark" in whole
    assert 'name="viewport"' in whole
    assert not re.search(r"(src|href)=", whole)


def test_numbers_are_short() -> None:
    values = {0: "0", 0.25: "0.25", 999: "999", 1500: "1.5k", 2e6: "2M", 3.21e9: "3.21G"}
    assert {value: plots.short(value) for value in values} == values
