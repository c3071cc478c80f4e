"""The runs of a folder, and two of them side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ensue.errors import ArtifactError, ConfigError, DataError
from ensue.leading import figure, leading, measured
from ensue.run_folder import RESULTS, results
from ensue.tracks import TIME_BLIND, track_in

DEEP = 3
"""How many folders below the one that is listed a run may lie."""

MOST = 10_000
"""How many folders are looked at."""

NORMAL = 1.96
"""Standard errors on each side of a mean that make a 95 % interval of many users."""

PLACES = ("out", "data.source")
"""Settings that say where something lies, and not what was done."""


@dataclass(frozen=True)
class Row:
    """One run of a list.

    Attributes:
        folder: where it lies.
        source: the data, as the experiment names it.
        split: how it was split.
        finished: when it ended, in UTC.
        best: the model that it serves.
        metric: the metric that leads.
        value: what the best reached in the test.
        low: lower end of the interval.
        high: upper end.
        users: tested users or sessions.
        models: how many models it has.
        seconds: that fitting and testing took.
        track: of the best model: figures of two tracks are not to be ranked together.
    """

    folder: str
    source: str
    split: str
    finished: str
    best: str
    metric: str
    value: float
    low: float
    high: float
    users: int
    models: int
    seconds: float
    track: str = TIME_BLIND

    def to_json(self) -> dict[str, Any]:
        """The row for programs."""
        return asdict(self)


@dataclass(frozen=True)
class Listing:
    """The runs below a folder.

    Attributes:
        rows: the runs, the latest first.
        skipped: folders that are no runs or damaged ones, each with the reason.
    """

    rows: tuple[Row, ...]
    skipped: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The list for programs."""
        return {"runs": [row.to_json() for row in self.rows], "skipped": dict(self.skipped)}


def runs_of(folder: str | Path) -> Listing:
    """The runs in a folder and a few folders below it; the folder may be a run itself.

    Raises:
        DataError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"There is no folder {folder}: runs are kept where --out says, runs/NAME unless told."
        )
    rows, skipped, looked_at = [], {}, 0
    for place in _places(folder, 0):
        looked_at += 1
        if looked_at > MOST:
            skipped[str(folder)] = f"more than {MOST:,} folders are in it: the others were not looked at"
            break
        if not (place / RESULTS).is_file():
            if place.parent == folder and not _holds_runs(place):
                skipped[str(place)] = f"no run: it holds no {RESULTS}"
            continue
        try:
            rows.append(row_of(place, results(place)))
        except ArtifactError as fault:
            skipped[str(place)] = str(fault)
    return Listing(tuple(sorted(rows, key=lambda row: row.finished, reverse=True)), skipped)


def _places(folder: Path, depth: int) -> Iterator[Path]:
    """Folders in which a run may lie, a run's own folders left out."""
    yield folder
    if depth == DEEP or (folder / RESULTS).is_file():
        return
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:  # not ours to read
        return
    for path in below:
        if not path.name.startswith("."):
            yield from _places(path, depth + 1)


def _holds_runs(folder: Path) -> bool:
    return any((place / RESULTS).is_file() for place in _places(folder, 1))


def row_of(folder: Path, content: Mapping[str, Any]) -> Row:
    """A run in one line.

    Args:
        folder: of the run.
        content: of its run.json.
    """
    best = next(rung for rung in content["models"] if rung["label"] == content["best"])
    metric = leading(content)
    found, counts = figure(best, metric), best["test"]["counts"]
    finished = (content.get("made") or {}).get("finished")
    if not isinstance(finished, str):  # an older run: when it was written
        finished = datetime.fromtimestamp((folder / RESULTS).stat().st_mtime, UTC).isoformat(
            timespec="seconds"
        )
    return Row(
        folder=str(folder),
        source=content["experiment"]["data"]["source"],
        split=str(content["experiment"].get("split", {}).get("rule", "")),
        finished=finished,
        best=best["label"],
        metric=metric,
        value=found["value"],
        low=found["low"],
        high=found["high"],
        users=counts["users"],
        models=len(content["models"]),
        seconds=round(sum(rung["fit_seconds"] + rung["test_seconds"] for rung in content["models"]), 3),
        track=track_in(best),
    )


@dataclass(frozen=True)
class Setting:
    """A setting in which two runs differ.

    Attributes:
        key: its place, such as "split.rule".
        a: its value in the first run, None if it has none.
        b: in the second.
    """

    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Pair:
    """One model of two runs.

    Attributes:
        label: its label in both.
        a: its figure in the first, None where it was not run.
        b: in the second.
        difference: b - a with the ends of a 95 % interval for two samples of users; None if they cannot be compared, as
            where one of them reads when it is asked and the other does not.
    """

    label: str
    a: Mapping[str, Any] | None
    b: Mapping[str, Any] | None
    difference: tuple[float, float, float] | None


@dataclass(frozen=True)
class Difference:
    """What is different between two runs.

    Attributes:
        a: folder of the first.
        b: folder of the second.
        settings: settings that differ, without those that only say where something lies.
        same: whether both tested the same events.
        why: if not, what was different.
        metric: what figures are compared by.
        pairs: the models of both.
    """

    a: str
    b: str
    settings: tuple[Setting, ...]
    same: bool
    why: str
    metric: str
    pairs: tuple[Pair, ...]

    def to_json(self) -> dict[str, Any]:
        """The difference for programs."""
        return {**asdict(self), "paired": False, "note": UNPAIRED}


UNPAIRED = (
    "A run keeps its users' figures in an order that does not tell who they are, so those of two runs cannot be "
    "paired: the intervals are those of two samples, wider than paired ones would be. Run the models in one "
    "experiment, and ensue compare pairs them."
)


def difference(a: str | Path, b: str | Path, metric: str = "") -> Difference:
    """Two runs side by side: settings that differ, and figures of all models.

    Args:
        a: folder of a run.
        b: folder of another.
        metric: what to compare; the one that the first is told by if empty.

    Raises:
        ArtifactError: one is no run, or damaged.
        ConfigError: the metric was not measured in both.
    """
    first, second = results(a), results(b)
    metric = metric or leading(first)
    for place, content in ((a, first), (b, second)):
        known = measured(content["models"])
        if metric not in known:
            raise ConfigError(
                f"{place} has no figures of '{metric}', but of {', '.join(known)}: name one of both."
            )
    why = _other_test(first, second)
    left, right = ({rung["label"]: rung for rung in content["models"]} for content in (first, second))
    pairs = []
    for label in dict.fromkeys([*left, *right]):
        found = [figure(rungs[label], metric) if label in rungs else None for rungs in (left, right)]
        one_track = len({track_in(rungs[label]) for rungs in (left, right) if label in rungs}) == 1
        gap = None
        if not why and one_track and found[0] is not None and found[1] is not None:
            gap = _gap(found[0], found[1])
        pairs.append(Pair(label, found[0], found[1], gap))
    own, other = flat(first["experiment"]), flat(second["experiment"])
    settings = tuple(
        Setting(key, own.get(key), other.get(key))
        for key in dict.fromkeys([*own, *other])
        if own.get(key) != other.get(key) and key not in PLACES
    )
    return Difference(str(a), str(b), settings, not why, why, metric, tuple(pairs))


def flat(content: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by their places.

    >>> flat({"seed": 1, "split": {"rule": "last"}})
    {'seed': 1, 'split.rule': 'last'}
    """
    found: dict[str, Any] = {}
    for key, value in content.items():
        place = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{place}.")
        else:
            found[place] = value
    return found


def _other_test(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Why two runs did not test the same events, or ""."""
    if a["data"]["fingerprint"] != b["data"]["fingerprint"]:
        return "they read different data"
    if a["split"]["rule"] != b["split"]["rule"]:
        return f"they are split differently ({a['split']['rule']}; {b['split']['rule']})"
    tests = [content["models"][0]["test"] for content in (a, b)]
    if tests[0]["protocol"] != tests[1]["protocol"]:
        return f"they asked differently ({tests[0]['protocol']}; {tests[1]['protocol']})"
    if tests[0].get("exclude_seen") != tests[1].get("exclude_seen"):
        return "one leaves items of the history out of the ranking, and the other does not"
    counts = [test["counts"] for test in tests]
    if any(counts[0][name] != counts[1][name] for name in ("users", "targets")):
        asked = (f"{one['targets']:,} targets of {one['users']:,}" for one in counts)
        return f"they tested different targets ({'; '.join(asked)})"
    if tests[0].get("sampled") != tests[1].get("sampled"):
        return "their targets were ranked among different items"
    return ""


def _gap(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[float, float, float]:
    """The second less the first, with the interval of two samples: too wide where the same users do well in both."""
    value = b["value"] - a["value"]
    error = ((a.get("error") or 0.0) ** 2 + (b.get("error") or 0.0) ** 2) ** 0.5
    return value, value - NORMAL * error, value + NORMAL * error
