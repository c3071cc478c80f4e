"""Preparing a log of any length, part by part from disk, to the same folder as if it were in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ensue.catalogue import Catalogue
from ensue.errors import ColumnError, ConfigError, DataError
from ensue.events.audit import LATE_LEAST, LATE_MOST, REPEATS_FEW
from ensue.events.log import EventLog
from ensue.events.sessions.rule import Sessions
from ensue.events.spilled import Spilled
from ensue.preparing import VALIDATION_TARGETS, Writer, sampled
from ensue.quantiles import order_statistics, quantile
from ensue.sequences import Sequences
from ensue.splits import LEAKS, TEST, TRAIN, Examples, Split, last_out, ratio, short_notes, temporal_name

KEPT = ("auto", "temporal", "last", "ratio", "none")
"""The splits that need one part of a log at a time."""


@dataclass(frozen=True)
class Wanted:
    """What is to be prepared.

    Attributes:
        split: "auto", "temporal", "last", "ratio" or "none": what is kept apart to stop early on.
        share: of the events (temporal) or of each user's (ratio).
        by: "user" or "session".
        sessions: how sessions are cut, if they are.
        exclude_seen: the rule of the answers; None takes it from the share of repeats.
        said: what a saved model says of its sequences.
        validation_targets: the most validation targets that are kept, evenly spread over all.
    """

    split: str = "auto"
    share: float = 0.1
    by: str = "user"
    sessions: Sessions | None = None
    exclude_seen: bool | None = None
    said: Mapping[str, Any] | None = None
    validation_targets: int = VALIDATION_TARGETS


def prepare(
    spilled: Spilled,
    out: str | Path,
    wanted: Wanted,
    *,
    say: Callable[[str], None] = lambda text: None,
    tell: Callable[[int], None] = lambda count: None,
) -> Path:
    """The folder that `preparing.write` would have made of the log, with one of its parts in memory at a time.

    Args:
        spilled: the log.
        out: new, empty, or a prepared folder, which is replaced once the new one is whole.
        wanted: what is to be prepared.
        say: is told what was decided.
        tell: is told how many events were dealt with, three times all of them.

    Raises:
        ColumnError: times or sessions are needed, and the log has none.
        DataError: nothing is left to learn from, or the folder holds something else.
    """
    rule, cut = _rule(spilled, wanted)
    seen = _Seen()
    numbered = Catalogue(spilled.item_ids, np.zeros(len(spilled.item_ids), dtype=np.int64))
    with Writer(out) as writer:
        for log in _logs(spilled, wanted):
            split = _split(log, rule, cut, wanted)
            train = log if split is None else split.train
            seen.add(log, train, split, wanted.by)
            if train.n_events:
                writer.add(Sequences.of(train, numbered, wanted.by))
            tell(log.n_events)
        if not seen.learnt:
            raise DataError(
                "No event is left to learn from: keep fewer of them apart, or none (--split none)."
            )
        if rule == "temporal" and not seen.kept:
            raise DataError("Nothing can be kept apart by time: take --split last.")
        catalogue, codes = writer.fitted(spilled.item_ids, spilled.items)
        examples = None
        if rule != "none":
            examples = together(_examples(spilled, wanted, rule, cut, catalogue, seen.targets, tell))
        exclude = (
            seen.repeats / seen.events < REPEATS_FEW if wanted.exclude_seen is None else wanted.exclude_seen
        )
        words = {"none": "every event", "temporal": "" if cut is None else temporal_name(cut)}.get(
            rule, seen.words
        )
        for note in short_notes(rule, seen.short, seen.sequences, wanted.by):
            say(f"split: {note}")
        if rule in ("last", "ratio"):
            say(f"split: this split leaks: {LEAKS}")
        learnt = {
            "log": spilled.fingerprint(),
            "events": seen.learnt,
            "until": None if seen.until is None else seen.until.isoformat(),
            "sequences": dict(wanted.said or {"by": wanted.by, "session_gap": 0.0}),
            "split": None,
        }
        tell(spilled.n_events)
        return writer.finish(
            catalogue,
            codes=codes,
            validation=examples,
            exclude_seen=exclude,
            split=words,
            facts={"learnt": learnt},
            validation_targets=wanted.validation_targets,
        )


class _Seen:
    """What the parts add up to."""

    def __init__(self) -> None:
        self.events = self.learnt = self.kept = self.repeats = self.short = self.sequences = 0
        self.targets: list[int] = []
        self.until: Any = None
        self.words = ""

    def add(self, log: EventLog, train: EventLog, split: Split | None, by: str) -> None:
        self.events += log.n_events
        self.learnt += train.n_events
        self.kept += log.n_events - train.n_events
        self.repeats += log.n_events - log.frame.select("user", "item").unique().height
        self.sequences += log.frame[by].n_unique()
        if train.has_time and train.n_events:
            latest = train.frame["time"].max()
            self.until = latest if self.until is None else max(self.until, latest)
        if split is not None:
            self.short += split.short
            self.words = split.name
            self.targets.append(split.n_targets("test"))


def _logs(spilled: Spilled, wanted: Wanted) -> Iterator[EventLog]:
    """The parts, cut into sessions."""
    for number in range(spilled.n_parts):
        log = spilled.part(number)
        yield log if wanted.sessions is None else wanted.sessions.apply(log)


def _rule(spilled: Spilled, wanted: Wanted) -> tuple[str, float | None]:
    """The split by name, and where a temporal one cuts, in microseconds."""
    rule = wanted.split
    if rule not in KEPT:
        raise ConfigError(
            f"A log is prepared part by part, and the split '{rule}' looks at all of it: take one of {', '.join(KEPT)}."
        )
    if rule == "auto":
        rule = "last"
        if spilled.has_time:
            edge = order_statistics(spilled.times, [math.floor(0.9 * (spilled.n_events - 1))])[0]
            late = sum(int((times > edge).sum()) for times in spilled.times()) / spilled.n_events
            rule = "temporal" if LATE_LEAST <= late <= LATE_MOST else "last"
    if rule != "temporal":
        return rule, None
    if not spilled.has_time:
        raise ColumnError("This log has no times, so it cannot be split by time: take split='last' instead.")
    if not 0 <= wanted.share < 1:
        raise ConfigError(f"share={wanted.share:g} is not a share of the log: take a number from 0 up to 1.")
    return rule, quantile(spilled.times, 1 - wanted.share, spilled.n_events)


def _split(log: EventLog, rule: str, cut: float | None, wanted: Wanted) -> Split | None:
    """A part split by the rule for the whole; None keeps nothing apart."""
    if rule == "none":
        return None
    if cut is not None:
        late = log.frame["time"].dt.epoch("us").to_numpy() >= cut
        return Split(log, np.where(late, TEST, TRAIN).astype(np.uint8), temporal_name(cut), wanted.by)
    if rule == "last":
        return last_out(log, validation=False, by=wanted.by)
    return ratio(log, test=wanted.share, validation=0.0, by=wanted.by)


def _examples(
    spilled: Spilled,
    wanted: Wanted,
    rule: str,
    cut: float | None,
    catalogue: Catalogue,
    targets: Sequence[int],
    tell: Callable[[int], None],
) -> Iterator[Examples]:
    """Those of the examples that are kept, evenly spread over all, part by part."""
    total, first, most = sum(targets), 0, wanted.validation_targets
    chosen = np.arange(total) if total <= most else np.linspace(0, total - 1, most).astype(np.int64)
    for log, count in zip(_logs(spilled, wanted), targets, strict=True):
        split = _split(log, rule, cut, wanted)
        if split is None:
            raise DataError("A split that keeps nothing apart has no examples.")
        found = split.examples("test", catalogue)
        here = chosen[(chosen >= first) & (chosen < first + count)] - first
        first += count
        kept = sampled(found[here], most)
        yield found[here] if kept is None else kept
        tell(log.n_events)


def _concatenated(columns: Sequence[pl.Series | None]) -> pl.Series | None:
    there = [column for column in columns if column is not None]
    return pl.concat(there) if there else None


def together(parts: Iterable[Examples]) -> Examples:
    """Examples of different sequences as one, in their order; what was left out adds up.

    Args:
        parts: at least one, of one catalogue, with the same columns.
    """
    found = list(parts)
    events = np.cumsum([0, *(len(part.queries.items) for part in found)])
    groups = np.cumsum([0, *(len(part.group_ids) for part in found)])
    queries = [part.queries for part in found]
    first = found[0]

    def joined(arrays: Sequence[Any]) -> Any:
        return None if arrays[0] is None else np.concatenate(arrays)

    return replace(
        first,
        queries=replace(
            queries[0],
            items=np.concatenate([q.items for q in queries]),
            starts=np.concatenate([q.starts + before for q, before in zip(queries, events, strict=False)]),
            ends=np.concatenate([q.ends + before for q, before in zip(queries, events, strict=False)]),
            time=joined([q.time for q in queries]),
            rating=joined([q.rating for q in queries]),
            at=joined([q.at for q in queries]),
            users=_concatenated([q.users for q in queries]),
            context={name: pl.concat([q.context[name] for q in queries]) for name in queries[0].context},
        ),
        targets=np.concatenate([part.targets for part in found]),
        groups=np.concatenate([part.groups + before for part, before in zip(found, groups, strict=False)]),
        group_ids=pl.concat([part.group_ids for part in found]),
        target_ids=pl.concat([part.target_ids for part in found]),
        left_out=sum(part.left_out for part in found),
        without_history=sum(part.without_history for part in found),
        target_ratings=joined([part.target_ratings for part in found]),
        target_context={
            name: pl.concat([part.target_context[name] for part in found]) for name in first.target_context
        },
    )
