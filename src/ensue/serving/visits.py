"""What of somebody's history a model of sessions is asked about: the session that goes on now."""

from __future__ import annotations

import numpy as np
import polars as pl

from ensue.events.sessions.rule import Sessions
from ensue.sequences import MISSING_TIME
from ensue.serving.state.history import History


def going_on(history: History, rule: Sessions) -> History:
    """The last session of a user's history.

    Events that were told or kept with a session belong to it, and to no other. Those since then that have none are cut
    by the rule that the model's own sessions were cut by; without such a rule they are one session.

    Args:
        history: of the user.
        rule: of the model, as `Sessions.learnt` reads it.
    """
    history = history.last_session
    rows = history.rows
    if not rows or rows[-1].session is not None or rule.nothing:
        return history
    times = np.array([row.time for row in rows])
    known = times[times != MISSING_TIME]  # those that are not known come first
    times = np.maximum(times, known[0]) if len(known) else np.zeros_like(times)
    return history.of(rows[rule.begin_of_last(times, lambda: _table(history)) :])


def _table(history: History) -> pl.DataFrame:
    """The events as the columns of a log, all but the times as text."""
    rows = history.rows
    times = [None if row.time == MISSING_TIME else row.time for row in rows]
    frame = pl.DataFrame(
        {
            "user": [""] * len(rows),
            "item": [row.item for row in rows],
            "time": pl.Series(times, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
        }
    )
    context = history.context()
    told = [
        pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)
        for name, values in context.items()
        if name not in frame.columns
    ]
    return frame.with_columns(told)
