"""How the models of a run do with less to learn from, where they were compared so: whole, and by length of history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ensue.report.blocks import Block, Grid, Heading, Part, Pictures, Words
from ensue.report.comparing import Series, lines
from ensue.report.page import Html
from ensue.reporting.detail import SPREAD
from ensue.reporting.reading import Absent, Run, between, titled

BY_HISTORY = "whole_history"
"""What the parts of targets by the length of their history are called, see `ensue.thinning.WholeHistory`."""

Point = Mapping[str, Any]
"""What all models reached with one share of the users."""
Figure = Mapping[str, Any]
"""A value with its interval."""


def sparsity(run: Run) -> Part | Absent:
    """The leading metric of every model against the share of the users that are learnt from."""
    found = run.content.get("thinned")
    if not found:
        return Absent("Less to learn from", "models were not compared on less (ensue compare --thin)")
    metric, points = found["metric"], sorted(found["points"], key=lambda point: float(point["share"]))
    own = [rung["label"] for rung in run.rungs]
    labels = list(dict.fromkeys(label for point in points for label in point["models"] if label in own))

    def whole(point: Point, label: str) -> Figure | None:
        test = point["models"].get(label)
        return None if test is None else test["all"]["metrics"][metric]

    drawn = _drawn(f"{titled(metric)} with less to learn from", points, labels, whole)
    grid = _grid("With less to learn from", points, labels, whole)
    sizes = (("users learnt from", "users"), ("their events", "events"))
    learnt = tuple((said, *(f"{point[name]:,}" for point in points)) for said, name in sizes)
    grid = replace(grid, rows=grid.rows + learnt)
    said = "The test is the same for all: only what is learnt from is thinned, by whole users."
    blocks: tuple[Block, ...] = (
        Words(said),
        Pictures((drawn,), (grid,)),
        *_by_history(points, labels, metric),
    )
    return Part("sparsity", "Less to learn from", blocks)


def _by_history(points: Sequence[Point], labels: Sequence[str], metric: str) -> list[Block]:
    """The same for short, middling and long histories, all on one scale; nothing where there is one part alone."""
    rows = [
        row
        for point in points
        for label in labels
        for row in _rows(point["models"].get(label, {}))
        if metric in row["metrics"]
    ]
    parts = list(dict.fromkeys(row["label"] for row in rows))
    if len(parts) < 2:
        return []

    def of(part: str) -> Callable[[Point, str], Figure | None]:
        def pick(point: Point, label: str) -> Figure | None:
            found = _rows(point["models"].get(label, {}))
            return next((row["metrics"].get(metric) for row in found if row["label"] == part), None)

        return pick

    end = "high" if len(labels) <= SPREAD else "value"
    most = max(float(row["metrics"][metric][end]) for row in rows)
    drawn = tuple(
        _drawn(f"Histories of {part}", points, labels, of(part), titled(metric), most) for part in parts
    )
    grids = tuple(_grid(f"Histories of {part}", points, labels, of(part)) for part in parts)
    said = (
        "The same targets, in parts of about as many each by how many events lie before them, known or not."
    )
    return [Heading("By the length of the history"), Words(said), Pictures(drawn, grids)]


def _rows(test: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The parts of a test by the length of the history; none if it was not parted so."""
    found: Sequence[Mapping[str, Any]] = (test.get("segments") or {}).get(BY_HISTORY, ())
    return found


def _drawn(
    caption: str,
    points: Sequence[Point],
    labels: Sequence[str],
    pick: Callable[[Point, str], Figure | None],
    note: str = "",
    up_to: float = 0.0,
) -> Html:
    """A line for each model over the shares."""
    series = []
    for label in labels:
        known = [(float(point["share"]), one) for point in points if (one := pick(point, label)) is not None]
        ends = tuple((float(one["low"]), float(one["high"])) for _, one in known)
        across = tuple((share, float(one["value"])) for share, one in known)
        series.append(Series(label, across, ends if len(labels) <= SPREAD else ()))
    ticks = [(float(point["share"]), f"{point['share']:g}") for point in points]
    return lines(caption, series, across="share of the users", note=note, ticks=ticks, up_to=up_to)


def _grid(
    name: str,
    points: Sequence[Point],
    labels: Sequence[str],
    pick: Callable[[Point, str], Figure | None],
) -> Grid:
    """The figures behind the lines, by share."""
    heads = ("model", *(f"{point['share']:g}" for point in points))
    rows = []
    for label in labels:
        found = [pick(point, label) for point in points]
        rows.append((label, *("-" if one is None else between(one) for one in found)))
    return Grid(name, heads, tuple(rows), tuple(range(1, len(heads))))
