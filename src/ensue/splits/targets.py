"""Which events of a part are asked for, and the history of each: from places in a log to examples."""

from __future__ import annotations

import numpy as np

from ensue.batching import Ints
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.sequences import Queries, Units, context_of, ratings_of, times_of, units

TARGETS = ("successive", "last", "random", "completion")


def examples_at(
    log: EventLog,
    positions: Ints,
    catalogue: Catalogue,
    *,
    by: str = "user",
    targets: str = "successive",
    protocol: str = "given events",
    until: Ints | None = None,
    seed: int = 0,
) -> Examples:
    """Examples whose targets are the events at given places of a log, those without a history left out.

    Args:
        log: all events; a history is everything before the target in its sequence.
        positions: places in `log.frame`.
        catalogue: the items that the model knows.
        by: "user" or "session".
        targets: "successive" (all of them), "last" (the last of each sequence) or "random" (one of each sequence).
        protocol: how the targets were chosen, in words.
        until: `[E]` place in the log before which the history of each event ends; None ends it just before the event.
        seed: of the random ones.
    """
    unit = units(log, by)
    places, ends, sequence, without_history = with_history(unit, positions, until, targets, seed)
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
        target_context={name: values.gather(unit.order[places]) for name, values in context_of(log).items()},
    )


def with_history(
    unit: Units, positions: Ints, until: Ints | None = None, targets: str = "successive", seed: int = 0
) -> tuple[Ints, Ints, Ints, int]:
    """Events that have a history: their places in `unit.order`, where it ends, their sequences; how many have none.

    Args:
        unit: the sequences.
        positions: places in the log.
        until: as for `examples_at`.
        targets: which of those with a history are given, as for `examples_at`.
        seed: of the random ones.
    """
    places = np.sort(unit.places[positions])
    ends = places if until is None else unit.places[until[unit.order[places]]]
    sequence = np.searchsorted(unit.offsets, places, side="right") - 1
    asked = ends > unit.offsets[sequence]
    found = places[asked], ends[asked], sequence[asked]
    if targets != "successive" and asked.any():
        one = _one_of_each(found[2], targets, seed)
        found = found[0][one], found[1][one], found[2][one]
    return *found, int((~asked).sum())


def _one_of_each(sequence: Ints, targets: str, seed: int) -> Ints:
    """Places of the last, or of a random, entry of each run of equal sequences."""
    last = np.flatnonzero(np.append(sequence[1:] != sequence[:-1], True))
    if targets == "last":
        return last
    first = np.append(0, last[:-1] + 1)
    chosen: Ints = np.random.default_rng(seed).integers(first, last + 1)
    return chosen
