"""Where figures come from within a test: cut-offs, kinds of targets, what slates are like, and how sure models are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ensue.report.blocks import Folded, Grid, Part, Pictures, Words
from ensue.report.comparing import Estimate, Series, forest, lines
from ensue.report.page import Html
from ensue.report.plots import Mark
from ensue.reporting.reading import Absent, Run, between, titled

CUTS = (1, 2, 5, 10, 20, 50, 100)
"""Cut-offs that the table has, of those that were measured."""

SPREAD = 3
"""Up to so many models, the plots of segments show intervals too; more would hide each other."""

SEGMENTS: Mapping[str, str] = {
    "history": "Length of the history",
    "popularity": "Popularity of the target",
    "item_age": "Age of the target",
    "user_age": "Time since the user's first event",
    "time": "Time of the question",
    "event": "Type of the target's event",
    "warmth": "Known and unknown",
}

ORDERED = ("history", "popularity", "item_age", "user_age", "time")
"""Ways of parting whose parts have an order, so that a line may go through them."""

FIGURES: Mapping[str, str] = {
    "coverage": "coverage of the catalogue",
    "gini": "Gini of exposure",
    "novelty": "novelty, bits",
    "diversity": "diversity within a slate",
    "serendipity": "serendipity",
    "popularity": "mean popularity of what is listed, events",
    "head_share": "share from the most popular 20 %",
    "head_share_of_histories": "that share in the histories",
    "repeat_share": "repeats",
}


def curves(run: Run) -> Part | Absent:
    """Recall and NDCG at every cut-off."""
    found = {rung["label"]: known for rung in run.rungs if (known := rung["test"].get("curves"))}
    words = list(dict.fromkeys(word for known in found.values() for word in known if word != "k"))
    if not words:
        return Absent("Metric against k", "this run did not measure its metrics at every cut-off")
    drawn, tables = [], []
    for word in words:
        series = [
            Series(label, tuple((float(k), float(value)) for k, value in enumerate(known[word], 1)))
            for label, known in found.items()
            if word in known
        ]
        most = max(len(one.points) for one in series)
        drawn.append(lines(f"{titled(word)} at k", series, across="k", note="all targets, mean over users"))
        cuts = [k for k in CUTS if k <= most]
        rows = tuple(
            (one.name, *(f"{one.points[k - 1][1]:.4f}" if k <= len(one.points) else "-" for k in cuts))
            for one in series
        )
        heads = ("model", *(f"k = {k}" for k in cuts))
        tables.append(Grid(f"{titled(word)} at k", heads, rows, tuple(range(1, len(heads)))))
    said = "What longer slates would bring: the share of targets in the first k, and NDCG, where early ones count more."
    return Part("cut-offs", "Metric against k", (Words(said), Pictures(tuple(drawn), tuple(tables))))


def segments(run: Run) -> Part | Absent:
    """The leading metric by kinds of targets, a plot for each way of parting them."""
    names = list(dict.fromkeys(name for rung in run.rungs for name, _ in _segments(rung)))
    if not names:
        return Absent("By kind of target", "this run did not part its targets")
    drawn: list[Html] = []
    tables: list[Grid] = []
    for name in names:
        by = {rung["label"]: dict(_segments(rung)).get(name, ()) for rung in run.rungs}
        made = _segment(run, name, by)
        if made is not None:
            drawn.append(made[0])
            tables.append(made[1])
    said = (
        f"{titled(run.metric)} of the same targets, parted in different ways; a target that training never saw is "
        "a miss. Parts with few users say little: the tables have numbers of users and intervals."
    )
    return Part("segments", "By kind of target", (Words(said), Pictures(tuple(drawn), tuple(tables))))


def _segments(rung: Mapping[str, Any]) -> Iterable[tuple[str, Sequence[Mapping[str, Any]]]]:
    """(way of parting, its parts) of a model; none if it was not measured by parts."""
    found = rung["test"].get("segments") or {}
    return (
        [(one["segment"], one["rows"]) for one in found] if isinstance(found, list) else list(found.items())
    )


def _segment(run: Run, name: str, by: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[Html, Grid] | None:
    """Plot and table of one way of parting; None where there is but one part."""
    keyed = {label: _keyed(rows) for label, rows in by.items()}
    parts = max(keyed.values(), key=len)
    if len(parts) < 2:
        return None
    series, cells = [], {part: [f"{row['users']:,}"] for part, row in parts.items()}
    for label, rows in keyed.items():
        known = {part: found for part, row in rows.items() if (found := row["metrics"].get(run.metric))}
        placed = [(place, known[part]) for place, part in enumerate(parts) if part in known]
        points = tuple((float(place), float(one["value"])) for place, one in placed)
        ends = (
            tuple((float(one["low"]), float(one["high"])) for _, one in placed) if len(by) <= SPREAD else ()
        )
        series.append(Series(label, points, ends))
        for part in parts:
            cells[part].append(between(known[part]) if part in known else "-")
    labels = [label for label, _ in parts]
    said = SEGMENTS.get(name, name)
    ticks = list(zip(map(float, range(len(labels))), _brief(labels), strict=True))
    drawn = lines(said, series, across="", ticks=ticks, note=titled(run.metric), joined=name in ORDERED)
    heads = ("part", f"{run.unit}s", *by)
    table = tuple((part[0], *cells[part]) for part in parts)
    return drawn, Grid(said, heads, table, tuple(range(1, len(heads))))


def _keyed(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Parts by label and number, since labels may be alike: times within one minute are."""
    count: Counter[str] = Counter()
    found = {}
    for row in rows:
        found[row["label"], count[row["label"]]] = row
        count[row["label"]] += 1
    return found


def _brief(labels: Sequence[str]) -> list[str]:
    """The labels of parts as they stand under an axis."""
    found = []
    for label in labels:
        words = label.replace("decile ", "").replace(" UTC", "").removeprefix("from ").split(" (")[0]
        for unit in (" events", " event", " days", " day"):
            words = words.removesuffix(unit)
        found.append(words.replace("over ", ">").replace("under a", "<1"))
    days = [words[:10] for words in found]
    dated = all(len(words) == 16 and words[4] == words[7] == "-" for words in found)
    return [day[2:] for day in days] if dated and len(set(days)) == len(days) else found


def slates(run: Run) -> Part | Absent:
    """What the recommendations are like: popularity bias first, then the rest in a table."""
    found = {rung["label"]: known for rung in run.rungs if (known := rung["test"].get("slates"))}
    if not found:
        return Absent("What is recommended", "this run did not look at its slates beyond their hits")
    figures = {label: known.get("figures") or known for label, known in found.items()}
    words = [word for word in FIGURES if any(_value(one.get(word)) is not None for one in figures.values())]
    first = next(iter(found.values()))
    rows = tuple((FIGURES[word], *(_cell(one.get(word)) for one in figures.values())) for word in words)
    sure = tuple(
        (FIGURES[word], *(_cell(one.get(word), sure=True) for one in figures.values())) for word in words
    )
    heads, numbers = ("figure", *figures), tuple(range(1, len(figures) + 1))
    reasons = {
        word: why
        for known in found.values()
        for word, why in (known.get("no_figure") or {}).items()
        if word in FIGURES
    }
    asked = f"Slates of {first['k']} items, one for each of {first['users']:,} {run.unit}s, before the last target."
    return Part(
        "slates",
        "What is recommended",
        (
            Words(asked),
            Pictures(tuple(_biases(figures))),
            Grid("Slates beyond their hits", heads, rows, numbers),
            Folded("The same with 95 % intervals", (Grid("Slates with intervals", heads, sure, numbers),)),
            *(Words(f"No figure for {FIGURES[word]}: {why}.", "soft") for word, why in reasons.items()),
        ),
    )


def _biases(figures: Mapping[str, Mapping[str, Any]]) -> list[Html]:
    """Plots of how popular what is recommended is, beside the histories, and of how much of the catalogue is."""
    own = next((_value(one.get("head_share_of_histories")) for one in figures.values()), None)
    mark = None if own is None else Mark(own, "in the histories")
    notes = {
        "head_share": ("Popularity bias", "share of what is recommended from the most popular 20 %"),
        "coverage": ("Coverage", "share of the catalogue that is recommended to anybody"),
    }
    drawn = []
    for word, (caption, note) in notes.items():
        known = [(label, one[word]) for label, one in figures.items() if _value(one.get(word)) is not None]
        rows = [
            Estimate(
                label, one["value"], one.get("low", one["value"]), one.get("high", one["value"]), "untested"
            )
            for label, one in known
        ]
        if rows:
            drawn.append(forest(caption, rows, note=note, mark=mark if word == "head_share" else None))
    return drawn


def _value(found: Any) -> float | None:
    """The value of a figure, if there is one."""
    value = found.get("value") if isinstance(found, Mapping) else None
    return None if value is None else float(value)


def _cell(found: Any, sure: bool = False) -> str:
    """A figure of slates, with its interval if wanted."""
    value = _value(found)
    if value is None:
        return "-"
    digits = 4 if abs(value) <= 1 else 2 if abs(value) < 100 else 1
    low, high = found.get("low"), found.get("high")
    said = f"{value:.{digits}f}"
    return (
        f"{said} ({low:.{digits}f} to {high:.{digits}f})"
        if sure and low is not None and high is not None
        else said
    )


def probabilities(run: Run) -> Part | Absent:
    """How well the probabilities of models fit, of those whose scores are any."""
    found = {rung["label"]: known for rung in run.rungs if (known := rung["test"].get("probabilities"))}
    if not found:
        return Absent("Probabilities", "no model's scores are probabilities, or were measured as such")
    rows = tuple(
        (label, between(one["log_loss"]), f"{one['calibration_error']:.4f}", f"{one['targets']:,}")
        for label, one in found.items()
    )
    series = []
    for label, one in found.items():
        points = sorted(
            (float(bin["confidence"]), float(bin["accuracy"])) for bin in one["reliability"] if bin["count"]
        )
        series.append(Series(label, tuple(points)))
    top = max((value for one in series for point in one.points for value in point), default=1.0)
    series.insert(0, Series("as it should be", ((0.0, 0.0), (top, top))))
    drawn = lines(
        "Confidence and truth", series, across="confidence in the best item", note="how often it came next"
    )
    said = (
        "Log-loss: mean of -log of the target's probability. Calibration error: how far confidence in the best item "
        "is off, on average."
    )
    heads = ("model", "log-loss", "calibration error", "targets")
    grid = Grid("Probabilities", heads, rows, (1, 2, 3))
    return Part("probabilities", "Probabilities", (Words(said), grid, Pictures((drawn,))))
