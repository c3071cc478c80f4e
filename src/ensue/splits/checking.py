"""Whether a split keeps what it claims, and whether what was fitted has seen what it is asked for."""

from __future__ import annotations

import numpy as np
import polars as pl

from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import ConfigError, LeakError
from ensue.sequences import times_of, units
from ensue.splits.parts import PARTS, TEST, TRAIN, VALIDATION, Split
from ensue.splits.shares import stamp
from ensue.splits.ties import tie_warnings

NAMES = {code: name for name, code in PARTS.items()}

BEFORE = ((TRAIN, VALIDATION), (TRAIN, TEST), (VALIDATION, TEST))
"""What is learnt from, and what is asked for after it."""


def check(split: Split) -> tuple[str, ...]:
    """Warnings about a split that is known to keep what it claims.

    - A split that says nothing of a leak lets no event be learnt from that is not earlier than all that is asked for;
      in a log without times, that is not earlier in its own sequence.
    - One that holds out users or items has none of them in two parts.

    That every event is in one part, and no history reaches its target, holds of every `Split`.

    Args:
        split: any; those of `split` and `rolling` are checked already.

    Returns:
        What can be believed but should be known, a sentence each.

    Raises:
        LeakError: it does not keep what it claims.
    """
    if not split.leaks:
        _check_future(split)
    if split.held_out:
        _check_held_out(split)
    return tie_warnings(split.log)


def check_learnt(split: Split, catalogue: Catalogue, part: str = "test", *, same_log: bool = True) -> None:
    """Nothing, if a catalogue has counted nothing but what may be learnt from before a part is asked for.

    A catalogue counts the events that its model was fitted on, so it tells of popularity, and of the model itself. It
    goes by numbers: a test event in the place of another on the same item is not told.

    Args:
        split: the split.
        catalogue: of a fitted model.
        part: what is to be asked for. Before the validation only training events may be learnt from, before the test
            those of the validation too.
        same_log: whether the model was fitted on events of this log for certain. If not, only a catalogue that has
            counted exactly the whole log, item by item, is refused: no other log would give it.

    Raises:
        LeakError: it has counted more of an item than it may.
    """
    if part not in ("validation", "test"):
        raise ConfigError(f"There is no part '{part}' to ask for: take validation or test.")
    index = catalogue.encode(split.log.frame["item"])
    allowed = np.isin(split.part, [TRAIN] if part == "validation" else [TRAIN, VALIDATION])
    known = index != UNKNOWN
    if not same_log:
        whole = np.bincount(index[known], minlength=len(catalogue))
        if allowed.all() or not known.all() or not np.array_equal(whole, catalogue.counts):
            return
    may = np.bincount(index[known & allowed], minlength=len(catalogue))
    more = catalogue.counts > may
    if more.any():
        beyond = int((catalogue.counts - may)[more].sum())
        learnt = "train" if part == "validation" else "before_test"
        raise LeakError(
            f"The model has learnt from {beyond:,} events on {int(more.sum()):,} items that it may not know when the "
            f"{part} part is asked for ({split.name}): fit it on split.{learnt}."
        )


def _check_future(split: Split) -> None:
    """Raises an error if something is learnt from that is not earlier than what is asked for."""
    time = times_of(split.log)
    if time is None:
        _check_places(split)
        return
    for earlier, later in BEFORE:
        asked = time[split.asked(NAMES[later])]
        if not len(asked):
            continue
        first = asked.min()
        late = int(((split.part == earlier) & (time >= first)).sum())
        if late:
            raise LeakError(
                f"{late:,} {NAMES[earlier]} events are not earlier than {stamp(first)}, where the {NAMES[later]} part "
                f"begins, and the split ('{split.name}') says that nothing leaks: cut by time, or say in `leaks` what "
                "training sees."
            )


def _check_places(split: Split) -> None:
    """Raises an error if, in its own sequence, an event that is learnt from comes after one that is asked for."""
    unit = units(split.log, split.by)
    for earlier, later in BEFORE:
        asked = np.zeros(split.log.n_events, dtype=np.int64)
        asked[split.asked(NAMES[later])] = 1
        before = np.concatenate([[0], np.cumsum(asked[unit.order])])
        start = np.repeat(unit.offsets[:-1], np.diff(unit.offsets))
        late = (split.part[unit.order] == earlier) & (before[1:] > before[start])
        if late.any():
            raise LeakError(
                f"{int(late.sum()):,} {NAMES[earlier]} events come after {NAMES[later]} events of the same {split.by}, "
                f"and the split ('{split.name}') says that nothing leaks: ask for the end of each sequence, or say in "
                "`leaks` what training sees."
            )


def _check_held_out(split: Split) -> None:
    """Raises an error if a value of the column that is held out stands in two parts."""
    column = split.held_out
    table = pl.DataFrame({"value": split.log.frame[column], "part": split.part})
    table = table.filter(pl.col("part").is_in(list(NAMES))).unique()
    twice = int((table.group_by("value").len()["len"] > 1).sum())
    if twice:
        raise LeakError(
            f"{twice:,} {column}s stand in more than one part of a split that holds out {column}s ('{split.name}'): "
            f"give all events of a {column} the same part."
        )
