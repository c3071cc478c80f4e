"""A split of friendships: both directions of each in one part, so that no friend's history tells what is asked for."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from ensue.batching import Ints
from ensue.errors import ColumnError, ConfigError, DataError, nearest
from ensue.events.log import EventLog
from ensue.splits.parts import TEST, TRAIN, VALIDATION, Split
from ensue.splits.shares import checked_share

DRAWN = "friendships are drawn, so training may hold later ones than those that are asked for"
"""What a split that draws friendships lets training see."""


def friends_out(
    log: EventLog,
    *,
    test: float = 0.1,
    validation: float = 0.1,
    seed: int = 0,
    column: str = "",
    tested: str = "",
) -> Split:
    """Friendships are held out: those that a column names, or a share of them drawn by a seed.

    A friendship is a pair of a user and an item, whichever way round: both of its directions are in one part. The
    history of a target is all that its user has in earlier parts; each of the user's friends of a part is a target, in
    no order, so that the recall of a user is the share of them that is found. The log of the split has the same events,
    those of each user in the order of the parts.

    Args:
        log: friendships, without times; those with times are cut by time.
        test: share of the friendships that is tested, where no column says it.
        validation: share of what is left that models are chosen on.
        seed: of the draws; same seed and same friendships, same parts.
        column: of the log, which tells what is tested; "" draws it.
        tested: its value for what is tested.

    Raises:
        ConfigError: the log has times, or only one of column and tested is given.
        ColumnError: the log has no such column.
        DataError: nothing is left to learn from, the column never has that value, or parts the two directions of a
            friendship.
    """
    checked_share(test, "test")
    checked_share(validation, "validation")
    if seed < 0:
        raise ConfigError(f"seed={seed}: must be a whole number from 0 up.")
    if log.has_time:
        raise ConfigError(
            "These friendships have times, so new ones are known from old: take split='temporal'."
        )
    pair = log.frame.select(
        pl.struct(one=pl.min_horizontal("user", "item"), other=pl.max_horizontal("user", "item")).rank(
            "dense"
        )
        - 1
    ).to_series()
    which: Ints = pair.to_numpy().astype(np.int64)
    number = int(which.max()) + 1
    drawn = np.random.default_rng(seed).permutation(number)
    codes = np.full(number, TRAIN, dtype=np.uint8)
    if column or tested:
        later = _told(log, column, tested)
        codes[which[later]] = TEST
        apart = int((codes[which] == TEST).sum() - later.sum())
        if apart:
            raise DataError(
                f"{apart:,} events of '{column}' = '{tested}' have the other direction of their friendship elsewhere: "
                "give both the same value."
            )
        name, leaks = f"friendships of {column} = {tested} tested", ""
    else:
        codes[drawn[: max(round(test * number), 1) if test else 0]] = TEST
        name, leaks = f"friendships drawn, {test:g} of them test, seed {seed}", DRAWN
    left = drawn[codes[drawn] == TRAIN][::-1]
    codes[left[: max(round(validation * len(left)), 1) if validation else 0]] = VALIDATION
    if not (codes == TRAIN).any():
        raise DataError(f"Of {number} friendships none is left to learn from: take smaller shares.")
    name += f", {validation:g} of the others validation" + ("" if leaks else f", seed {seed}")
    return _parted(log, codes[which], name, leaks)


def _told(log: EventLog, column: str, tested: str) -> np.ndarray:
    """`[E]` which events have the value that is tested."""
    if not (column and tested):
        raise ConfigError(
            f"split.column = '{column}' and split.tested = '{tested}' go together: give the column that tells what is "
            "tested, and its value."
        )
    if column not in log.columns:
        raise ColumnError(
            f"The log has no column '{column}', but {', '.join(log.source_columns)}."
            f"{nearest(column, log.source_columns)}"
        )
    values = log.frame[column].cast(pl.String)
    later: np.ndarray = (values == tested).fill_null(False).to_numpy()
    if not later.any():
        known = ", ".join(values.drop_nulls().unique().sort().head(5))
        raise DataError(f"No event has '{column}' = '{tested}': its values are {known}.")
    return later


def _parted(log: EventLog, part: np.ndarray, name: str, leaks: str) -> Split:
    """The split, with the events of each user in the order of the parts."""
    frame = log.frame.with_columns(part=pl.Series(part)).sort("user", "part", "row")
    frame = frame.with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    first = frame.select(pl.col("row").min().over("user", "part")).to_series()
    asked = frame["part"].to_numpy()
    users = int(frame["user"].n_unique())
    short = users - int(frame["user"].filter(frame["part"] == TEST).n_unique())
    again = dataclasses.replace(
        log, frame=frame.drop("part").with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    )
    notes = (f"{short:,} of {users:,} users have no tested friendship",) if short else ()
    until = np.where(asked == TRAIN, -1, first.to_numpy())
    return Split(again, asked.astype(np.uint8), name, "user", leaks, notes, short, until)
