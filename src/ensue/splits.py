"""Which events may be learnt from, and which are to be predicted.

A split gives every event exactly one part. The rules:

- *global temporal*: an event at or after the cut is later than the cut. Nothing fitted sees an event after it.
- *leave last out*: the last event of each sequence is the test, the one before it the validation. It lets events
  of one user that lie after the test events of another into training, which the report says.
- *ratio*: the last tenth (or another share) of each user's events; users too short for a share stay in training.

A target needs a history: an event is a target only if its sequence holds an earlier one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import ColumnError, ConfigError, DataError, nearest
from ensue.events.baskets import baskets
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.sequences import Queries, Units, context_of, ratings_of, times_of, units

__all__ = [
    "LEAKS",
    "PARTS",
    "RULES",
    "TARGETS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Examples",
    "Split",
    "at_times",
    "examples_at",
    "last_basket",
    "last_out",
    "ratio",
    "short_notes",
    "split",
    "temporal",
    "temporal_name",
]

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
TARGETS = ("successive", "last")
LEAKS = "training holds events that are later than other users' test events"
"""What a split that cuts each sequence by itself lets training see."""


@dataclass(frozen=True, eq=False)
class Split:
    """A log with a part for every event.

    Attributes:
        log: all events.
        part: `[E]` 0 train, 1 validation, 2 test, aligned with `log.frame`.
        name: the rule, in words, with its cuts.
        by: "user" or "session": what a sequence is.
        leaks: what this rule lets training see of the future, or "" if nothing.
        notes: counts that the rule set aside or left in training.
        short: sequences that are too short for a test event.
        until: `[E]` place in the log before which the history of a target ends, -1 for an event that is no target; None
            ends it just before the target.
    """

    log: EventLog
    part: NDArray[np.uint8]
    name: str
    by: str = "user"
    leaks: str = ""
    notes: tuple[str, ...] = ()
    short: int = 0
    until: Ints | None = None

    def __post_init__(self) -> None:
        if len(self.part) != self.log.n_events:
            raise DataError(
                f"{len(self.part)} parts for {self.log.n_events} events: every event needs one part."
            )

    @property
    def train(self) -> EventLog:
        """The training events."""
        return self.log.where(self.part == TRAIN)

    @property
    def before_test(self) -> EventLog:
        """Training and validation events together: what a model is refitted on."""
        return self.log.where(self.part != TEST)

    @property
    def sizes(self) -> dict[str, int]:
        """Events in each part; they add up to the log."""
        return {name: int((self.part == code).sum()) for name, code in PARTS.items()}

    def n_targets(self, part: str) -> int:
        """How many examples `examples` would give, all targets taken."""
        return len(_with_history(units(self.log, self.by), self._asked(part), self.until)[0])

    def _asked(self, part: str) -> Ints:
        """Places in the log of the targets of a part, with or without a history."""
        mine = self.part == PARTS[part]
        return np.flatnonzero(mine if self.until is None else mine & (self.until >= 0))

    def examples(self, part: str, catalogue: Catalogue, targets: str = "successive") -> Examples:
        """The targets of one part, each with all that came before it in its sequence.

        Args:
            part: "validation" or "test" ("train" gives the training targets).
            catalogue: the items that the model knows.
            targets: "successive" (every event of the part) or "last" (the last of each sequence's part).
        """
        if part not in PARTS:
            raise ConfigError(
                f"There is no part '{part}': take one of {', '.join(PARTS)}.{nearest(part, PARTS)}"
            )
        if targets not in TARGETS:
            raise ConfigError(f"There are no targets '{targets}': take one of {', '.join(TARGETS)}.")
        chosen = self._asked(part)
        protocol = f"{self.name}, {part}, {targets} targets"
        return examples_at(
            self.log, chosen, catalogue, by=self.by, targets=targets, protocol=protocol, until=self.until
        )


def examples_at(
    log: EventLog,
    positions: Ints,
    catalogue: Catalogue,
    *,
    by: str = "user",
    targets: str = "successive",
    protocol: str = "given events",
    until: Ints | None = None,
) -> Examples:
    """Examples whose targets are the events at given places of a log, those without a history left out.

    Args:
        log: all events; a history is everything before the target in its sequence.
        positions: places in `log.frame`.
        catalogue: the items that the model knows.
        by: "user" or "session".
        targets: "successive" (all of them) or "last" (the last of each sequence).
        protocol: how the targets were chosen, in words.
        until: `[E]` place in the log before which the history of each event ends; None ends it just before the event.
    """
    unit = units(log, by)
    places, ends, sequence, without_history = _with_history(unit, positions, until)
    if targets == "last" and len(places):
        last = np.append(sequence[1:] != sequence[:-1], True)
        places, ends, sequence = places[last], ends[last], sequence[last]
    encoded = catalogue.encode(log.frame["item"])[unit.order]
    known = encoded != UNKNOWN
    before = np.concatenate([[0], np.cumsum(known)])
    present, groups = np.unique(sequence, return_inverse=True)
    time, rating = times_of(log), ratings_of(log)
    queries = Queries(
        items=encoded[known],
        starts=before[unit.offsets[sequence]],
        ends=before[ends],
        n_items=len(catalogue),
        time=None if time is None else time[unit.order][known],
        rating=None if rating is None else rating[unit.order][known],
        at=None if time is None else time[unit.order[places]],
        users=log.frame["user"].gather(unit.order[places]),
        context={name: values.gather(unit.order[known]) for name, values in context_of(log).items()},
    )
    return Examples(
        queries=queries,
        targets=encoded[places],
        groups=groups.astype(np.int64),
        group_ids=unit.keys.gather(present),
        target_ids=log.frame["item"].gather(unit.order[places]),
        protocol=protocol,
        left_out=int((ends - unit.offsets[sequence] - queries.lengths).sum()),
        without_history=without_history,
        by=by,
        target_ratings=None if rating is None else rating[unit.order[places]],
    )


def _with_history(unit: Units, positions: Ints, until: Ints | None = None) -> tuple[Ints, Ints, Ints, int]:
    """Events that have a history: their places in `unit.order`, where it ends, their sequences; how many have none.

    Args:
        unit: the sequences.
        positions: places in the log.
        until: as for `examples_at`.
    """
    places = np.sort(unit.places[positions])
    ends = places if until is None else unit.places[until[unit.order[places]]]
    sequence = np.searchsorted(unit.offsets, places, side="right") - 1
    asked = ends > unit.offsets[sequence]
    return places[asked], ends[asked], sequence[asked], int((~asked).sum())


def temporal(log: EventLog, *, test: float = 0.1, validation: float = 0.1, by: str = "user") -> Split:
    """A global temporal split: train before one time, validate before a second, test from there on.

    The test begins at the (1 - test) quantile of all times, the validation at the (1 - validation) quantile of what
    lies before that. An event exactly at a cut is in the later part.

    Raises:
        ColumnError: the log has no times.
        DataError: a part would be empty.

    References:
        Ji et al., "A critical study on data leakage in recommender system offline evaluation", TOIS 2023;
        "Time to Split", RecSys 2025, arXiv:2507.16289.
    """
    _share(test, "test")
    _share(validation, "validation")
    time = times_of(log)
    if time is None:
        raise ColumnError("This log has no times, so it cannot be split by time: take split='last' instead.")
    test_from = float(np.quantile(time, 1 - test))
    earlier = time[time < test_from]
    if len(earlier) == 0:
        raise DataError(
            "All events lie at the end of the time span, nothing is left to train on: take split='last'."
        )
    validation_from = float(np.quantile(earlier, 1 - validation)) if validation else test_from
    return at_times(log, test_from, validation_from, by=by)


def at_times(
    log: EventLog, test_from: float, validation_from: float | None = None, *, by: str = "user"
) -> Split:
    """A global temporal split at given times, in microseconds since 1970 UTC."""
    time = times_of(log)
    if time is None:
        raise ColumnError("This log has no times, so it cannot be split by time: take split='last' instead.")
    cut = test_from if validation_from is None else validation_from
    part = np.where(time >= test_from, TEST, np.where(time >= cut, VALIDATION, TRAIN)).astype(np.uint8)
    if not (part == TRAIN).any():
        raise DataError(
            f"No event lies before {_stamp(cut)}, nothing is left to train on: take an earlier cut."
        )
    if not (part == TEST).any():
        raise DataError(
            f"No event lies at or after {_stamp(test_from)}, so nothing can be tested: take a later cut."
        )
    return Split(log, part, temporal_name(test_from, validation_from), by)


def temporal_name(test_from: float, validation_from: float | None = None) -> str:
    """A global temporal split in words, its times in microseconds since 1970 UTC."""
    name = f"global temporal, test from {_stamp(test_from)}"
    if validation_from is not None and validation_from < test_from:
        name += f", validation from {_stamp(validation_from)}"
    return name


def last_out(log: EventLog, *, validation: bool = True, by: str = "user") -> Split:
    """The last event of each sequence is the test, the one before it the validation.

    A sequence of two events gives a test and no validation; a sequence of one stays in training.
    """
    unit = units(log, by)
    lengths, ends = np.diff(unit.offsets), unit.offsets[1:]
    part = np.zeros(log.n_events, dtype=np.uint8)
    part[unit.order[ends[lengths >= 2] - 1]] = TEST
    if validation:
        part[unit.order[ends[lengths >= 3] - 2]] = VALIDATION
    short = int((lengths < 2).sum())
    return Split(log, part, "leave last out", by, LEAKS, short_notes("last", short, len(lengths), by), short)


def short_notes(rule: str, short: int, sequences: int, by: str) -> tuple[str, ...]:
    """What is said of sequences that are too short for a test event.

    Args:
        rule: "last" or "ratio".
        short: how many are.
        sequences: of so many.
        by: what a sequence is.
    """
    if not short:
        return ()
    if rule == "last":
        return (f"{short} {by}s with a single event stay in training and are not tested",)
    return (f"{short} of {sequences} {by}s are too short for a test part and stay in training",)


def ratio(log: EventLog, *, test: float = 0.1, validation: float = 0.1, by: str = "user") -> Split:
    """The last share of each sequence is the test, the share before it the validation.

    A sequence of n events gives floor(n x test) test and floor(n x validation) validation events; one too short for
    a share has none, and stays in training.
    """
    _share(test, "test")
    _share(validation, "validation")
    if test + validation >= 1:
        raise ConfigError(
            f"test={test:g} and validation={validation:g} leave nothing to train on: take smaller shares."
        )
    unit = units(log, by)
    lengths = np.diff(unit.offsets)
    n_test = np.floor(lengths * test + 1e-9).astype(np.int64)
    n_validation = np.floor(lengths * validation + 1e-9).astype(np.int64)
    from_end = np.repeat(unit.offsets[1:], lengths) - np.arange(log.n_events)
    tests, validations = np.repeat(n_test, lengths), np.repeat(n_validation, lengths)
    part = np.empty(log.n_events, dtype=np.uint8)
    part[unit.order] = np.where(
        from_end <= tests, TEST, np.where(from_end <= tests + validations, VALIDATION, TRAIN)
    )
    short = int((n_test == 0).sum())
    name = f"by {by}, last {test:g} test, {validation:g} validation"
    notes = short_notes("ratio", short, len(lengths), by)
    return Split(log, part.astype(np.uint8), name, by, LEAKS, notes, short)


def last_basket(log: EventLog, *, validation: bool = True) -> Split:
    """The last basket of each user is the test, the one before it the validation; each of its items is a target.

    The history of a target ends before its basket, whose items have no order: so the recall of a user is the share of
    the basket that is found. An item counts once, however often it is in a basket.

    Raises:
        ColumnError: the log has no baskets.
    """
    found = baskets(log)
    part = np.zeros(log.n_events, dtype=np.uint8)
    part[(found.later == 0) & (found.of_user >= 2)] = TEST
    if validation:
        part[(found.later == 1) & (found.of_user >= 3)] = VALIDATION
    users = int(log.frame["user"].n_unique())
    short = users - int(log.frame["user"].filter(part == TEST).n_unique())
    notes = (
        (f"{short} of {users} users have a single basket or none, stay in training and are not tested",)
        if short
        else ()
    )
    return Split(
        log,
        part,
        "leave last basket out",
        "user",
        LEAKS,
        notes,
        short,
        np.where(found.again, -1, found.first),
    )


RULES: dict[str, Callable[..., Split]] = {
    "temporal": temporal,
    "last": last_out,
    "ratio": ratio,
    "basket": last_basket,
}


def split(log: EventLog, rule: str = "temporal", **options: object) -> Split:
    """A log split by a named rule: "temporal" (the default, free of leaks), "last", "ratio" or "basket".

    Raises:
        ConfigError: there is no such rule, or it has no such option.
    """
    if rule not in RULES:
        raise ConfigError(
            f"There is no split '{rule}': take one of {', '.join(RULES)}.{nearest(rule, RULES)}"
        )
    known = [name for name in inspect.signature(RULES[rule]).parameters if name != "log"]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"The split '{rule}' has no option '{name}', but {', '.join(known)}.{nearest(name, known)}"
            )
    return RULES[rule](log, **options)


def _share(value: float, name: str) -> None:
    if not 0 <= value < 1:
        raise ConfigError(
            f"{name}={value:g} is not a share of the log: take a number from 0 up to 1, such as 0.1."
        )


def _stamp(microseconds: float) -> str:
    """A time for people, in UTC."""
    return str(np.datetime64(int(microseconds), "us").astype("datetime64[s]")).replace("T", " ") + " UTC"
