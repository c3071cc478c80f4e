"""How the models of a run do with less to learn from, where they were compared so."""

from __future__ import annotations

from ensue.report.blocks import Grid, Part, Pictures, Words
from ensue.report.comparing import Series, lines
from ensue.reporting.detail import SPREAD
from ensue.reporting.reading import Absent, Run, between, titled


def sparsity(run: Run) -> Part | Absent:
    """The leading metric of every model against the share of the users that are learnt from."""
    found = run.content.get("thinned")
    if not found:
        return Absent("Less to learn from", "models were not compared on less (ensue compare --thin)")
    metric, points = found["metric"], sorted(found["points"], key=lambda point: float(point["share"]))
    labels = list(dict.fromkeys(label for point in points for label in point["models"]))
    series, cells = [], []
    for label in labels:
        known = [
            (float(point["share"]), point["models"][label]["all"]["metrics"][metric])
            for point in points
            if label in point["models"]
        ]
        ends = (
            tuple((float(one["low"]), float(one["high"])) for _, one in known)
            if len(labels) <= SPREAD
            else ()
        )
        series.append(Series(label, tuple((share, float(one["value"])) for share, one in known), ends))
        by = dict(known)
        cells.append((label, *(between(by[share]) if share in by else "-" for share in _shares(points))))
    ticks = [(share, f"{share:g}") for share in _shares(points)]
    drawn = lines(
        f"{titled(metric)} with less to learn from", series, across="share of the users", ticks=ticks
    )
    heads = (
        "model",
        *(f"{point['share']:g}: {point['users']:,} users, {point['events']:,} events" for point in points),
    )
    said = "The test is the same for all: only what is learnt from is thinned, by whole users."
    grid = Grid("With less to learn from", heads, tuple(cells), tuple(range(1, len(heads))))
    return Part("sparsity", "Less to learn from", (Words(said), Pictures((drawn,), (grid,))))


def _shares(points: list[dict[str, float]]) -> list[float]:
    return [float(point["share"]) for point in points]
