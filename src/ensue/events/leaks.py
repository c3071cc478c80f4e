"""What in a log would tell a model what it is to find out: columns, the order of ties, and the future in training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.events.faults import starts
from ensue.events.findings import Finding, rows_of
from ensue.events.log import CANONICAL, EventLog

SAMPLE = 200_000
"""About how many events, of whole users, columns are looked at with."""

DETERMINED = 0.95
"""A column is determined by something if it agrees with itself that much more than by chance."""

FOLLOWS = 0.9
"""A number whose ranks go with those of something later by this much knows it."""

PAIRS_LEAST = 100
ORDERED = 0.6
"""Of pairs within ties, by chance a half ascends; from this share on (or one less it) their order can be learnt."""

Ints = NDArray[np.int64]


def leaks(log: EventLog) -> tuple[Finding, ...]:
    """Everything that was looked for, found or not; none of it says whose events they are.

    Args:
        log: the events, at least one.
    """
    return (*_columns(_sample(log)), *_tie_order(log), *_future(log), *_across(log))


def agreement(groups: Ints, values: Ints) -> float:
    """Chance that two events of one group have the same value; 0 if no group holds two.

    It is not biased by small groups, as the share of the most frequent value would be.

    >>> agreement(np.array([0, 0, 1, 1]), np.array([5, 5, 5, 6]))
    0.5
    """
    _, per_group = np.unique(groups, return_counts=True)
    both = groups.astype(np.int64) * (int(values.max(initial=0)) + 1) + values
    _, per_pair = np.unique(both, return_counts=True)
    pairs = int((per_group * (per_group - 1)).sum())
    return float((per_pair * (per_pair - 1)).sum() / pairs) if pairs else 0.0


@dataclass(frozen=True, eq=False)
class _Sample:
    """Whole users of a log, items and users as numbers, and what follows each event.

    Attributes:
        frame: the events.
        user: `[E]`.
        item: `[E]`.
        last: `[E]` whether nothing of the user follows.
        wait: `[E]` seconds to the next event, NaN where there is none.
        counts: `[E]` how many events the item has in the whole log.
        activity: `[E]` how many events the user has in the whole log.
    """

    frame: pl.DataFrame
    user: Ints
    item: Ints
    last: NDArray[np.bool_]
    wait: NDArray[np.float64]
    counts: Ints
    activity: Ints


def _sample(log: EventLog) -> _Sample:
    first = starts(log.frame)
    user = np.cumsum(first) - 1
    sizes = np.bincount(user)
    chosen = np.ones(len(sizes), dtype=np.bool_)
    if log.n_events > SAMPLE:
        order = np.random.default_rng(0).permutation(len(sizes))
        chosen[order] = np.cumsum(sizes[order]) <= SAMPLE
        chosen[order[0]] = True
    counted = pl.len().over("item").alias("_count") if log.n_events <= SAMPLE else None
    frame = log.frame.filter(pl.Series(chosen[user]))
    if counted is None:
        known = log.frame.group_by("item").len().rename({"len": "_count"})
        counts = frame.select("item").join(known, on="item", how="left", maintain_order="left")["_count"]
    else:
        counts = frame.select(counted)["_count"]
    first = starts(frame)
    last = np.append(first[1:], True)
    own = np.cumsum(first) - 1
    wait = np.full(frame.height, np.nan)
    if log.has_time:
        wait[:-1] = np.diff(frame["time"].dt.epoch("us").to_numpy()) / 1e6
        wait[last] = np.nan
    return _Sample(
        frame, own, _codes(frame["item"]), last, wait, counts.cast(pl.Int64).to_numpy(), np.bincount(own)[own]
    )


def _columns(sample: _Sample) -> Iterator[Finding]:
    """What each column beside item, time and user is a property of; a column that knows what comes is a leak."""
    plain = set(CANONICAL) - {"event", "rating", "quantity"}
    names = [name for name in sample.frame.columns if name not in plain]
    about = {name: _about(sample, name) for name in names}
    kinds = (
        ("columns of the item", "item", "a property of the item: fine, a model may read it", "", True),
        ("columns of the user", "user", "a property of the user: fine", "", True),
        (
            "columns that know the next item", "next",
            "determined by the item that comes next, and not by the event's own",
            "leave them out: they are not known when the question is asked", False,
        ),
        (
            "columns that name the next item", "names",
            "most values are followed by one and the same item, more surely than the event's own item is",
            "leave them out, unless they are known when the question is asked", False,
        ),
        (
            "columns that know the next time", "wait",
            "go up and down with the time until the next event (as a dwell time does)",
            "leave them out: they are known only once the next event has happened", False,
        ),
        (
            "columns counted over the whole log", "total",
            "go up and down with how many events the item or the user has in the whole log",
            "count anew on training events only: such a number knows the future", False,
        ),
    )  # fmt: skip
    for name, key, what, remedy, harmless in kinds:
        found = [column for column in names if key in about[column]]
        said = f"{what}: {', '.join(found) or 'none'}"
        yield Finding(name, len(found), len(names), "columns", said, remedy, harmless=harmless)


def _about(sample: _Sample, name: str) -> set[str]:
    column = sample.frame[name]
    known = column.is_not_null().to_numpy()
    if isinstance(column.dtype, (pl.List, pl.Struct, pl.Array)) or known.sum() < PAIRS_LEAST:
        return set()
    values = _codes(column)
    chance = agreement(np.zeros(int(known.sum()), dtype=np.int64), values[known])
    if chance > 0.999:
        return set()

    def determined(groups: Ints, where: NDArray[np.bool_]) -> float:
        return (agreement(groups[where], values[where]) - chance) / (1 - chance)

    found: set[str] = set()
    goes_on = known & ~sample.last
    following = np.append(sample.item[1:], 0)
    by_item = determined(sample.item, known)
    context = name not in CANONICAL
    if by_item >= DETERMINED:
        found |= {"item"} if context else set()
    elif determined(sample.user, known) >= DETERMINED:
        found |= {"user"} if context else set()
    elif goes_on.sum() >= PAIRS_LEAST:
        by_next = determined(following, goes_on)
        if by_next >= DETERMINED and by_next > by_item + 0.05:
            found.add("next")
        elif context:
            named = agreement(values[goes_on], following[goes_on])
            own = agreement(sample.item[goes_on], following[goes_on])
            shared = len(np.unique(values[goes_on])) <= goes_on.sum() / 2
            if shared and named >= 0.5 and named > own + 0.25:
                found.add("names")
    return found | (_numeric(sample, column, known) if context else set())


def _numeric(sample: _Sample, column: pl.Series, known: NDArray[np.bool_]) -> set[str]:
    """What a column of numbers goes up and down with."""
    if column.dtype == pl.Boolean or column.dtype.is_temporal():
        return set()
    number = column.cast(pl.Float64, strict=False).to_numpy()
    held = known & np.isfinite(number)
    if held.sum() < max(PAIRS_LEAST, 0.99 * known.sum()) or len(np.unique(number[held])) < 10:
        return set()
    found = set()
    waits = held & np.isfinite(sample.wait) & (np.nan_to_num(sample.wait) > 0)
    if waits.sum() >= PAIRS_LEAST and _spearman(number[waits], sample.wait[waits]) >= FOLLOWS:
        found.add("wait")
    for groups, totals in ((sample.item, sample.counts), (sample.user, sample.activity)):
        _, one = np.unique(groups[held], return_index=True)
        x, y = number[held][one], totals[held][one].astype(np.float64)
        if len(one) >= 20 and _spearman(x, y) >= DETERMINED:
            found.add("total")
    return found


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    ranks = [pl.Series(values).rank().to_numpy() for values in (x, y)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _tie_order(log: EventLog) -> Iterator[Finding]:
    """Whether rows of equal times stand in an order that can be learnt: by item id, or by rating."""
    if not log.has_time:
        return
    frame = log.frame
    keys = ["time", *(["order"] if "order" in frame.columns else [])]
    tied = ~starts(frame, *keys)
    yield _ascending("ties ordered by item id", "item", frame["item"], tied)
    text = frame["item"].filter(pl.Series(tied))
    if len(text) and bool(text.str.contains(r"^\d{1,18}$").all()):
        yield _ascending(
            "ties ordered by item number", "item", frame["item"].cast(pl.Int64, strict=False), tied
        )
    if "rating" in frame.columns:
        yield _ascending("ties ordered by rating", "rating", frame["rating"], tied)


def _ascending(name: str, key: str, values: pl.Series, tied: NDArray[np.bool_]) -> Finding:
    pairs = pl.DataFrame({"now": values, "before": values.shift(1)}).filter(pl.Series(tied)).drop_nulls()
    pairs = pairs.filter(pl.col("now") != pl.col("before"))
    up = int((pairs["now"] > pairs["before"]).sum())
    number = pairs.height
    share = up / number if number else 0.5
    sure = number >= PAIRS_LEAST and abs(share - 0.5) >= ORDERED - 0.5
    way = "ascends" if share >= 0.5 else "descends"
    most = max(share, 1 - share)
    said = f"{most:.1%} of neighbours at one time, of different {key}s, {way}; half would by chance"
    return Finding(
        name, max(up, number - up) if sure else 0, number, "pairs",
        said, "the order of rows can be learnt and is none of time: report figures with ties shuffled too",
    )  # fmt: skip


def _future(log: EventLog) -> Iterator[Finding]:
    """What leave-last-out lets training see."""
    if not log.has_time:
        return
    first = starts(log.frame)
    last = np.append(first[1:], True)
    alone = first & last
    stamp = log.frame["time"].dt.epoch("us").to_numpy()
    tested, training = last & ~alone, ~last | alone
    if not tested.any():
        return
    late = training & (stamp > np.median(stamp[tested]))
    yield Finding(
        "leave-last-out sees the future", int(late.sum()), int(training.sum()), "events",
        "of its training are later than half of its test events",
        "split by time: --split temporal", harmless=bool(late.sum() < 0.01 * training.sum()),
    )  # fmt: skip


def _across(log: EventLog) -> Iterator[Finding]:
    """Events that stand on both sides of a cut."""
    frame = log.frame
    first = starts(frame)
    last = np.append(first[1:], True) & ~first
    same = last & (frame["item"] == frame["item"].shift(1)).fill_null(False).to_numpy()
    if log.has_time:
        same &= (frame["time"] == frame["time"].shift(1)).fill_null(False).to_numpy()
        yield Finding(
            "duplicates across leave-last-out", int(same.sum()), int(last.sum()), "users",
            "their last event is a copy of the one before, so the answer stands in the question",
            "--duplicates first; --repeats collapse takes those too that differ in type, basket or quantity",
            rows_of(frame, pl.Series(same)),
        )  # fmt: skip
        stamp = frame["time"].dt.epoch("us").to_numpy()
        late = stamp >= np.quantile(stamp, 0.9)
        if late.any() and not late.all():
            seen = frame.filter(pl.Series(~late)).select("user", "item").unique()
            again = (
                frame.filter(pl.Series(late))
                .select("user", "item")
                .join(seen, on=["user", "item"], how="semi")
            )
            yield Finding(
                "known pairs across a temporal cut", again.height, int(late.sum()), "events",
                "of the last tenth are on an item that the same user had before the cut",
                "a repeat is no leak; items seen should stay in the answers if there are many", harmless=True,
            )  # fmt: skip


def _codes(values: pl.Series) -> Ints:
    """`[E]` the number of each value, from 0; missing ones share one."""
    return values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy() if values.dtype != pl.String else (
        values.cast(pl.Categorical).to_physical().cast(pl.Int64).fill_null(-1).to_numpy() + 1
    )  # fmt: skip
