"""The slates of everybody whose history a run has kept, in one table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from ensue.abreast import abreast, cores_of, most_at_once
from ensue.batching import Ints
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import DataError
from ensue.events.log import TIME
from ensue.ranking import Recommender, check_scores, checked_k, exclude_histories, top_k_rows
from ensue.sequences import MISSING_TIME, Queries

_SCORES = 8_000_000
"""The most scores that are held at once."""


def slates_of_all(
    recommender: Recommender,
    kept: pl.DataFrame,
    k: int = 10,
    *,
    exclude: Collection[str] = (),
    exclude_seen: bool | None = None,
    at: datetime | None = None,
) -> pl.DataFrame:
    """The same answers as one by one, scored in blocks.

    Args:
        recommender: what answers.
        kept: columns `user` and `item`, oldest first, and others that the model reads; where there is a `session`, the
            last one of each user counts.
        k: items of a slate at most.
        exclude: ids that must not be in any.
        exclude_seen: leave items of the history out; None takes the recommender's own rule.
        at: when it is asked.

    Returns:
        A row for each user and place: `user`, `place` from 1, `item`, `score`, and `fallback`, whether no item of the
        history is known. Users in the order of their ids.

    Raises:
        QueryError: k is no whole number from 0 up, or the model's scores are none.
        DataError: there is no user or no item.
    """
    k = min(checked_k(k), len(recommender.catalogue))
    catalogue = recommender.catalogue
    users, queries = _queries(kept, catalogue, at)
    seen = recommender.exclude_seen if exclude_seen is None else exclude_seen
    banned = catalogue.encode(list(exclude))
    banned = banned[banned != UNKNOWN]
    best = np.full((len(users), k), len(catalogue), dtype=np.int32)
    scored = np.zeros((len(users), k), dtype=np.float64)
    cores = cores_of(recommender, len(users))
    block = most_at_once(_SCORES // len(catalogue), len(users), cores)

    def answer(recommender: Recommender, begin: int) -> None:
        part = queries[begin : begin + block]
        scores = recommender.scores(part)
        check_scores(scores)
        scores = exclude_histories(scores, part) if seen else np.array(scores)
        scores[:, banned] = -np.inf
        items = top_k_rows(scores, k)
        best[begin : begin + block] = items
        scored[begin : begin + block] = np.take_along_axis(
            scores, np.minimum(items, len(catalogue) - 1), axis=1
        )

    for _ in abreast(recommender, range(0, len(users), block), answer, cores):
        pass  # each has put its answers in their places
    rows, places = np.nonzero(best < len(catalogue))
    return pl.DataFrame(
        {
            "user": users.gather(rows),
            "place": places + 1,
            "item": catalogue.ids.gather(best[rows, places]),
            "score": scored[rows, places],
            "fallback": (queries.lengths == 0)[rows],
        },
        schema_overrides={"place": pl.Int32},
    )


def _queries(kept: pl.DataFrame, catalogue: Catalogue, at: datetime | None) -> tuple[pl.Series, Queries]:
    """The users, and what is asked for each: all histories at once, events of unknown items left out."""
    for name in ("user", "item"):
        if name not in kept.columns:
            raise DataError(f"These histories have no column '{name}': take those that a run has kept.")
    frame = kept.drop_nulls(["user", "item"]).sort("user", maintain_order=True)
    if "session" in frame.columns:
        frame = frame.filter(pl.col("session") == pl.col("session").last().over("user"))
    codes = catalogue.encode(frame["item"])
    known = codes != UNKNOWN
    sizes = frame.group_by("user", maintain_order=True).len()
    ends = np.concatenate([[0], np.cumsum(known)])[np.cumsum(sizes["len"].to_numpy())]
    events = frame.filter(pl.Series(known))
    columns = {name: events[name] for name in _others(frame.columns)}
    times = _times(events["time"]) if "time" in frame.columns else None
    rating = (
        events["rating"].cast(pl.Float32).fill_null(float("nan")).to_numpy()
        if "rating" in frame.columns
        else None
    )
    asked = None if at is None else np.repeat(_times(pl.Series([at], dtype=TIME)), len(sizes))
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    return sizes["user"], Queries(
        codes[known], starts, ends, len(catalogue), times, rating, asked, sizes["user"], columns
    )


def _others(names: Sequence[str]) -> list[str]:
    return [name for name in names if name not in ("user", "item", "session", "time", "rating")]


def _times(times: pl.Series) -> Ints:
    found: Ints = times.dt.epoch("us").fill_null(MISSING_TIME).to_numpy().astype(np.int64)
    return found
