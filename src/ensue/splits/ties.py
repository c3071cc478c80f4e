"""Events of one user at one time: whether their order can be learnt, and copies of a log that have another one."""

from __future__ import annotations

import numpy as np
import polars as pl

from ensue.events.cleaning import Cleaning
from ensue.events.log import EventLog

PAIRS_LEAST = 100
ORDERED = 0.95
"""Of neighbours within ties, by chance a half ascends; from this share on their order is that of the ids."""


def tie_shuffled(log: EventLog, seed: int = 0) -> EventLog:
    """The same log with events that share user and time in another order; nothing else changes.

    It is `Cleaning(ties="shuffle")`, the table `[events]` of an experiment. Figures on a few such copies say how much
    hangs on an order that is none of time.

    Args:
        log: the events.
        seed: same seed, same order.
    """
    return Cleaning(ties="shuffle", seed=seed).apply(log)


def tie_warnings(log: EventLog) -> tuple[str, ...]:
    """A warning if rows that share user and time stand in the order of their items' ids, which can be learnt.

    Args:
        log: the events; ids are compared as text, and as numbers where all of them are numbers.
    """
    if not log.has_time or log.n_events < 2:
        return ()
    frame = log.frame
    keys = ["user", "time", *(["order"] if "order" in frame.columns else [])]
    tied = frame.select(pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in keys)).to_series()
    pairs = frame.select("item", before=pl.col("item").shift(1)).filter(tied.fill_null(False))
    pairs = pairs.filter(pl.col("item") != pl.col("before"))
    if pairs.height < PAIRS_LEAST:
        return ()
    ascending = [float((pairs["item"] > pairs["before"]).mean() or 0.0)]  # type: ignore[arg-type]
    numbers = pairs.with_columns(pl.all().cast(pl.Int64, strict=False))
    if not any(column.has_nulls() for column in numbers):
        ascending.append(float((numbers["item"] > numbers["before"]).mean() or 0.0))  # type: ignore[arg-type]
    most = float(np.max([max(share, 1 - share) for share in ascending]))
    if most < ORDERED:
        return ()
    return (
        f"{most:.1%} of the neighbours that share user and time stand in the order of their items' ids, which can be "
        'learnt and is none of time: report figures with [events] ties = "shuffle" too',
    )
