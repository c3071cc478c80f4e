"""Splits that hold out whole users, or whole items: how a model meets those that it has never seen."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import ConfigError, DataError
from ensue.events.log import EventLog
from ensue.splits.parts import LEAKS, TEST, TRAIN, VALIDATION, Split
from ensue.splits.shares import checked_share

OWN_FUTURE = "training holds later events of the users who are asked for held-out items, on other items"
"""What a split that holds out items lets training see."""


def users_out(
    log: EventLog, *, test: float = 0.1, validation: float = 0.1, seed: int = 0, by: str = "user"
) -> Split:
    """A drawn share of the users is held out whole for the test, another for the validation.

    No event of a user who is asked about is learnt from: every event but the first of a sequence is asked for by what
    came before it in the sequence. Times are not looked at, so training may hold later events of others.

    Args:
        log: the events.
        test: share of all users.
        validation: share of the users that are left.
        seed: of the draw; same seed and same users, same parts.
        by: what a sequence is; users are held out whole in either case.

    Raises:
        DataError: nobody is left to learn from.
    """
    part, told = _drawn(log, "user", test, validation, seed)
    name = f"users held out, {test:g} of them test, {validation:g} of the others validation, seed {seed}"
    return Split(log, part, name, by, LEAKS, (told,), held_out="user")


def items_out(
    log: EventLog,
    *,
    test: float = 0.1,
    validation: float = 0.1,
    seed: int = 0,
    by: str = "user",
    only: NDArray[np.bool_] | None = None,
) -> Split:
    """The events of a drawn share of the items are taken out of training: all these items are cold, and asked for.

    A target is the first event of a user on a held-out item, of those that can be asked for. Its history is all that
    came before it in the sequence, of which a model sees what its catalogue holds: training items (after a refit those
    of the validation too), and held-out ones only if it was extended by them. A model that knows items by their events
    alone misses every target; one that reads features is to be extended first. Later events of a user on the same
    held-out item are not asked for.

    Args:
        log: the events.
        test: share of all items.
        validation: share of the items that are left.
        seed: of the draw; same seed and same items, same parts.
        by: what a sequence is.
        only: `[E]` events that can be asked for; None takes all.

    Raises:
        DataError: no item is left to learn from.
    """
    part, told = _drawn(log, "item", test, validation, seed)
    asked = np.ones(log.n_events, dtype=np.bool_) if only is None else only
    first = pl.struct("user", "item", pl.Series("asked", asked)).is_first_distinct()
    again = asked & ~log.frame.select(first).to_series().to_numpy()
    again &= part != TRAIN
    notes = [told]
    if again.any():
        notes.append(
            f"{int(again.sum()):,} events repeat a held-out item of their user, and are not asked for"
        )
    name = f"items held out, {test:g} of them test, {validation:g} of the others validation, seed {seed}"
    until = np.where(again | ~asked, -1, np.arange(log.n_events))
    return Split(log, part, name, by, OWN_FUTURE, tuple(notes), until=until, held_out="item")


def _drawn(
    log: EventLog, column: str, test: float, validation: float, seed: int
) -> tuple[NDArray[np.uint8], str]:
    """`[E]` the part of each event by a draw among the values of a column, and how many they are in words."""
    checked_share(test, "test")
    checked_share(validation, "validation")
    if seed < 0:
        raise ConfigError(f"seed={seed}: must be a whole number from 0 up.")
    values = log.frame[column].unique().sort()
    number = len(values)
    n_test = max(round(test * number), 1) if test else 0
    n_validation = max(round(validation * (number - n_test)), 1) if validation else 0
    if number - n_test - n_validation < 1:
        raise DataError(
            f"Of {number} {column}s {n_test} would be tested and {n_validation} validated, and none is left to learn "
            "from: take smaller shares, or another split."
        )
    drawn = np.random.default_rng(seed).permutation(number)
    codes = np.full(number, TRAIN, dtype=np.uint8)
    codes[drawn[:n_test]] = TEST
    codes[drawn[n_test : n_test + n_validation]] = VALIDATION
    place = log.frame[column].cast(pl.Enum(values)).to_physical().to_numpy()
    told = (
        f"{n_test:,} of {number:,} {column}s are tested and {n_validation:,} validated; none of their events is learnt "
        "from"
    )
    return codes[place], told
