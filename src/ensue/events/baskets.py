"""Baskets: what a user took at once, in no order of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import ColumnError
from ensue.events.log import EventLog


@dataclass(frozen=True, eq=False)
class Baskets:
    """Which basket each event of a log is in.

    Attributes:
        first: `[E]` place in the log of the first event of its basket.
        later: `[E]` how many baskets of its user begin after its own; -1 for an event without a basket.
        again: `[E]` whether its item is in its basket before.
        of_user: `[E]` how many baskets its user has.
    """

    first: NDArray[np.int64]
    later: NDArray[np.int64]
    again: NDArray[np.bool_]
    of_user: NDArray[np.int64]


def baskets(log: EventLog) -> Baskets:
    """The baskets of a log: events of one user with one basket id, in the order in which they begin.

    Raises:
        ColumnError: the log has no baskets.
    """
    if "basket" not in log.columns:
        raise ColumnError(
            f"The log has no baskets, but: {', '.join(log.source_columns)}. Map the column: "
            "columns={'basket': 'NAME'} (--columns basket=NAME)."
        )
    own = ["user", "basket"]
    frame = log.frame.select(*own, "item", place=pl.int_range(pl.len(), dtype=pl.Int64))
    given = pl.col("basket").is_not_null()
    frame = frame.with_columns(
        first=pl.when(given).then(pl.col("place").min().over(own)).otherwise("place"),
        again=given & ~pl.struct(*own, "item").is_first_distinct(),
    )
    begun = (pl.col("first") == pl.col("place")) & given
    number = begun.cast(pl.Int64).cum_sum().over("user")  # at the first event of a basket: which one it is
    frame = frame.with_columns(of_user=begun.sum().over("user").cast(pl.Int64), number=number)
    mine = frame["number"].gather(frame["first"])
    later = pl.select(
        pl.when(log.frame["basket"].is_not_null()).then(frame["of_user"] - mine).otherwise(-1)
    ).to_series()
    return Baskets(
        frame["first"].to_numpy(), later.to_numpy(), frame["again"].to_numpy(), frame["of_user"].to_numpy()
    )
