"""What a log is like in more detail than `audit`: shapes of its distributions, how they change, and what they mean."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.events.faults import day_only, starts
from ensue.events.log import EventLog

WEEK_US = 7 * 86_400_000_000

GAP_LEAST, GAP_MOST = 60.0, 7 * 86_400.0
"""A valley between short and long silences is looked for between a minute and a week."""

GAPS_LEAST, SIDE_LEAST, VALLEY_DEPTH = 200, 0.1, 0.5
"""A valley is clear with this many gaps, this share of them on each side, and at most half as high as both sides."""

POINTS = 60
VALUES_MOST = 101

_QUANTILES = {"10 %": 0.1, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "90 %": 0.9, "99 %": 0.99}

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Counts between edges.

    Attributes:
        edges: one more than counts, rising.
        counts: how many lie from an edge up to the next, without the next.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Profile:
    """The log in detail; a share lies between 0 and 1, gaps are in seconds.

    Attributes:
        consecutive_repeats: share of events on the item of the event just before, of the same user.
        later_repeats: share of events on an item that the user had before, with others between.
        gaps: quantiles of the time between two events of a user; None without times.
        gap_histogram: the gaps above 0, ten bins a decade; None without times.
        no_gap: share of the gaps that are 0.
        valley: the gap that parts short silences from long ones, if the gaps have a clear valley; else None.
        day_only: all times are midnight: the source knows days.
        lengths: events of each sequence.
        popularity: share of the events that the most popular items have, as (share of the items, share of the events).
        activity: events of each period, as (first day, events).
        every: what a period is: "day", "week" or "month"; "" without times.
        young_share: share of events on an item first seen less than a week before; None where a log spans too little.
        new_items_per_week: items first seen in a week, on average; None likewise.
        rating_scale: the scale as recognised, such as "1 to 5, whole"; None without ratings.
        ratings: events of each rating, where there are not too many different ones; else of ten ranges.
        baskets: number of baskets and events of each on average; None without baskets.
    """

    consecutive_repeats: float
    later_repeats: float
    gaps: dict[str, float] | None
    gap_histogram: Histogram | None
    no_gap: float
    valley: float | None
    day_only: bool
    lengths: Histogram
    popularity: tuple[tuple[float, float], ...]
    activity: tuple[tuple[str, int], ...]
    every: str
    young_share: float | None
    new_items_per_week: float | None
    rating_scale: str | None
    ratings: tuple[tuple[str, int], ...]
    baskets: tuple[int, float] | None

    def lines(self) -> list[str]:
        """What `Audit.lines` does not say, in plain lines."""
        lines = [
            f"of these: {self.consecutive_repeats:.1%} of events repeat the item just before, "
            f"{self.later_repeats:.1%} an earlier one"
        ]
        if self.gaps is not None:
            said = ", ".join(f"{name} {duration(value)}" for name, value in self.gaps.items())
            lines.append(f"time between events of a user: {said}; {self.no_gap:.1%} have none between them")
        if self.day_only:
            lines.append("times are whole days: the order within a day is that of the rows")
        if self.young_share is not None:
            lines.append(
                f"turnover: {self.young_share:.1%} of events are on an item first seen less than a week before; "
                f"{self.new_items_per_week:,.1f} new items a week"
            )
        if self.rating_scale is not None:
            lines.append(f"rating scale: {self.rating_scale}")
        if self.baskets is not None:
            lines.append(f"baskets: {self.baskets[0]:,} of {self.baskets[1]:.1f} events on average")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The profile as plain values."""
        return dataclasses.asdict(self)


def profile(log: EventLog, by: str = "user") -> Profile:
    """The log in detail.

    Args:
        log: the events, at least one.
        by: what a sequence belongs to, "user" or "session".
    """
    frame, number = log.frame, log.n_events
    first = starts(frame)
    same = ~first & (frame["item"] == frame["item"].shift(1)).fill_null(False).to_numpy()
    pairs = frame.select("user", "item").unique().height
    gaps = histogram = valley = None
    no_gap, whole = 0.0, day_only(log)
    young, fresh = _turnover(log)
    if log.has_time:
        stamp = frame["time"].dt.epoch("us").to_numpy()
        between = (np.diff(stamp) / 1e6)[~first[1:]]
        if len(between):
            gaps = {name: float(np.quantile(between, share)) for name, share in _QUANTILES.items()}
            no_gap = float((between == 0).mean())
            histogram = _gap_histogram(between)
            valley = None if whole else found_valley(between)
    counts = frame.group_by("item").len()["len"].to_numpy()
    scale, ratings = _ratings(frame)
    return Profile(
        consecutive_repeats=float(same.mean()),
        later_repeats=(number - pairs) / number - float(same.mean()),
        gaps=gaps,
        gap_histogram=histogram,
        no_gap=no_gap,
        valley=valley,
        day_only=whole,
        lengths=_lengths(frame.group_by(by).len()["len"].to_numpy()),
        popularity=_popularity(counts),
        activity=(activity := _activity(log))[0],
        every=activity[1],
        young_share=young,
        new_items_per_week=fresh,
        rating_scale=scale,
        ratings=ratings,
        baskets=_baskets(frame),
    )


def duration(seconds: float) -> str:
    """A time span in the unit that suits it: "90 s", "25 min", "3.5 h", "12 days"."""
    for size, unit in ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            many = seconds / size
            return f"{many:,.0f} {unit}" if many >= 100 else f"{many:.3g} {unit}"
    return f"{seconds:.3g} s"


def found_valley(gaps: Numbers) -> float | None:
    """The gap in seconds between two hills of the gaps' distribution over log time, or None if none is clear.

    The distribution (ten bins a decade, smoothed over a fifth of a decade) has a clear valley where it is at most half
    as high as the highest place on either side, and where each side holds a tenth of all gaps. The deepest such place
    counts, in its middle.

    Args:
        gaps: seconds between the events of a user; those of 0 are left out.
    """
    logs = np.log10(gaps[gaps > 0])
    if len(logs) < GAPS_LEAST:
        return None
    edges = np.arange(math.floor(min(logs.min(), 0.0) * 10), math.ceil(logs.max() * 10) + 2) / 10
    counts = np.histogram(logs, edges)[0].astype(np.float64)
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / 2.0) ** 2)
    height = np.convolve(counts, kernel / kernel.sum(), mode="full")[6:-6]
    middle = (edges[1:] + edges[:-1]) / 2
    left, right = np.maximum.accumulate(height), np.maximum.accumulate(height[::-1])[::-1]
    below = np.cumsum(counts) / counts.sum()
    allowed = (
        (middle >= math.log10(GAP_LEAST))
        & (middle <= math.log10(GAP_MOST))
        & (np.minimum(below, 1 - below) >= SIDE_LEAST)
    )
    depth = np.where(allowed, height / np.maximum(np.minimum(left, right), 1e-12), np.inf)
    if not len(depth) or depth.min() > VALLEY_DEPTH:
        return None
    deepest = np.flatnonzero(depth <= depth.min() + 1e-9)
    return float(round(10 ** middle[deepest[len(deepest) // 2]] / 60) * 60)


def _gap_histogram(between: Numbers) -> Histogram | None:
    logs = np.log10(between[between > 0])
    if not len(logs):
        return None
    edges = np.arange(math.floor(logs.min() * 5), math.floor(logs.max() * 5) + 2) / 5
    counts = np.histogram(logs, edges)[0]
    return Histogram(tuple((10**edges).tolist()), tuple(counts.tolist()))


def _lengths(lengths: NDArray[Any]) -> Histogram:
    most = int(lengths.max())
    edges = np.arange(1, most + 2) if most <= 30 else np.unique(np.geomspace(1, most + 1, 25).round())
    counts = np.histogram(lengths, edges)[0]
    return Histogram(tuple(edges.astype(float).tolist()), tuple(counts.tolist()))


def _popularity(counts: NDArray[Any]) -> tuple[tuple[float, float], ...]:
    cumulated = np.append(0.0, np.cumsum(np.sort(counts.astype(np.float64))[::-1])) / counts.sum()
    n = len(counts)
    places = np.unique(np.append(0, np.geomspace(1, n, min(POINTS, n)).round().astype(np.int64)))
    return tuple((place / n, float(cumulated[place])) for place in places.tolist())


def _activity(log: EventLog) -> tuple[tuple[tuple[str, int], ...], str]:
    if not log.has_time:
        return (), ""
    time = log.frame["time"]
    days = (time.max() - time.min()).total_seconds() / 86_400  # type: ignore[operator,union-attr]
    every, step = ("day", "1d") if days <= 120 else ("week", "1w") if days <= 900 else ("month", "1mo")
    counted = log.frame.select(at=time.dt.truncate(step)).group_by("at").len().sort("at")
    if (
        counted.height > 1
    ):  # periods without an event are 0, not absent; very long ones would be nothing but that
        span = pl.datetime_range(counted["at"][0], counted["at"][-1], step, eager=True, time_zone="UTC")
        if len(span) <= 1200:
            counted = pl.DataFrame({"at": span.cast(counted["at"].dtype)}).join(counted, on="at", how="left")
    return tuple((f"{at:%Y-%m-%d}", count or 0) for at, count in counted.iter_rows()), every


def _turnover(log: EventLog) -> tuple[float | None, float | None]:
    """How many events are on young items, and how many items are new, once the log has run for a while.

    At its beginning all items of a log are new to it, so that its first four weeks (or its first half) count as
    history alone.
    """
    if not log.has_time:
        return None, None
    stamp = log.frame["time"].dt.epoch("us")
    begin, end = int(stamp.min()), int(stamp.max())  # type: ignore[arg-type]
    if end - begin < 2 * WEEK_US:
        return None, None
    since = begin + min(4 * WEEK_US, (end - begin) // 2)
    table = log.frame.select("item", at=stamp).with_columns(first=pl.col("at").min().over("item"))
    late = table.filter(pl.col("at") >= since)
    young = float((late["at"] - late["first"] < WEEK_US).mean() or 0.0)  # type: ignore[arg-type]
    new = late.filter(pl.col("first") >= since)["item"].n_unique()
    return young, new / ((end - since) / WEEK_US)


def _ratings(frame: pl.DataFrame) -> tuple[str | None, tuple[tuple[str, int], ...]]:
    given = frame["rating"].drop_nulls() if "rating" in frame.columns else pl.Series(dtype=pl.Float64)
    if not len(given):
        return None, ()
    counted = given.value_counts().sort("rating")
    if counted.height <= VALUES_MOST:
        return scale_of(counted["rating"].to_numpy()), tuple((f"{v:g}", n) for v, n in counted.iter_rows())
    counts, edges = np.histogram(given.to_numpy(), 10)
    named = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges.tolist())]
    return scale_of(counted["rating"].to_numpy()), tuple(zip(named, counts.tolist(), strict=True))


def scale_of(values: Numbers) -> str:
    """The scale that different ratings lie on, in words.

    >>> scale_of(np.array([1.0, 2.0, 5.0])), scale_of(np.array([0.5, 4.0])), scale_of(np.array([-1.0, 1.0]))
    ('1 to 5, whole', '0.5 to 5, in halves', '-1 to 1')
    """
    low, high = float(values.min()), float(values.max())
    whole = bool((values == values.round()).all())
    halves = bool((2 * values == (2 * values).round()).all())
    if low == high:
        return f"one value only, {low:g}: it says nothing"
    if set(values.tolist()) == {0.0, 1.0}:
        return "0 or 1"
    if low < 0:
        return "-1 to 1" if low >= -1 and high <= 1 else f"any, {low:g} to {high:g}"
    if high <= 1:
        return "0 to 1"
    if whole and low >= 1 and high <= 5:
        return "1 to 5, whole"
    if halves and low >= 0.5 and high <= 5:
        return "0.5 to 5, in halves"
    if halves and low >= 0 and high <= 10:
        return f"{0 if low < 1 else 1} to 10, {'whole' if whole else 'in halves'}"
    if low >= 0 and 10 < high <= 100:
        return "0 to 100"
    return f"any, {low:g} to {high:g}"


def _baskets(frame: pl.DataFrame) -> tuple[int, float] | None:
    if "basket" not in frame.columns:
        return None
    known = frame.filter(pl.col("basket").is_not_null())
    number = known.select("user", "basket").unique().height
    return (number, known.height / number) if number else None
