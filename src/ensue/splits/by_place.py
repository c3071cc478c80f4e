"""Splits that cut each sequence by itself: its last event, its last share, its last basket.

They let events of one user that lie after the test events of another into training, which the report says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensue.errors import ConfigError
from ensue.events.baskets import baskets
from ensue.events.log import EventLog
from ensue.sequences import units
from ensue.splits.parts import LEAKS, TEST, TRAIN, UNUSED, VALIDATION, Split
from ensue.splits.shares import checked_share


def last_out(
    log: EventLog, *, validation: bool = True, by: str = "user", only: NDArray[np.bool_] | None = None
) -> Split:
    """The last event of each sequence is the test, the one before it the validation.

    A sequence of two events gives a test and no validation; a sequence of one stays in training.

    Args:
        log: the events.
        validation: whether there is one.
        by: what a sequence is.
        only: `[E]` events that can be asked for; None takes all. The last of these in each sequence is the test, and
            the one before it the validation. What lies between the two is learnt from with the validation, and what
            comes after the test is unused. A sequence without a target after its first event stays in training.
    """
    if only is not None:
        return _last_of_some(log, validation, by, only)
    unit = units(log, by)
    lengths, ends = np.diff(unit.offsets), unit.offsets[1:]
    part = np.zeros(log.n_events, dtype=np.uint8)
    part[unit.order[ends[lengths >= 2] - 1]] = TEST
    if validation:
        part[unit.order[ends[lengths >= 3] - 2]] = VALIDATION
    short = int((lengths < 2).sum())
    return Split(log, part, "leave last out", by, LEAKS, short_notes("last", short, len(lengths), by), short)


def _last_of_some(log: EventLog, validation: bool, by: str, only: NDArray[np.bool_]) -> Split:
    """`last_out` where some events alone can be asked for."""
    unit = units(log, by)
    lengths = np.diff(unit.offsets)
    can = only[unit.order].copy()
    can[unit.offsets[:-1]] = False  # what has no history
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    # how many such events come at a place of the sequence, or after it
    passed = np.concatenate([[0], np.cumsum(can)])
    left = passed[unit.offsets[1:]][sequence] - passed[:-1]
    number = (passed[unit.offsets[1:]] - passed[unit.offsets[:-1]])[sequence]
    codes = np.full(log.n_events, TRAIN, dtype=np.uint8)
    codes[(number > 0) & (left == 0)] = UNUSED
    if validation:
        codes[(number > 1) & (left == 1) | can & (left == 2)] = VALIDATION
    codes[can & (left == 1)] = TEST
    part = np.empty(log.n_events, dtype=np.uint8)
    part[unit.order] = codes
    short = int((passed[unit.offsets[1:]] == passed[unit.offsets[:-1]]).sum())
    told = f"{short} of {len(lengths)} {by}s hold no target after their first event and are not tested"
    return Split(log, part, "leave last target out", by, LEAKS, (told,) if short else (), short)


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
    checked_share(test, "test")
    checked_share(validation, "validation")
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
