"""Recency against a plain reading of its definition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from ensue import artifacts, runtime
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting.last_seen import LastSeen, LastSeenScoring
from ensue.sequences import Queries

ITEMS = "abcde"
N = len(ITEMS)
SHARE = np.array([0.4, 0.3, 0.1, 0.1, 0.1])

users = st.lists(
    st.lists(st.text(ITEMS, min_size=1, max_size=4), min_size=1, max_size=6), min_size=1, max_size=4
)


def queries_of(users: list[list[str]]) -> Queries:
    codes = [[ITEMS.index(item) for basket in baskets for item in basket] for baskets in users]
    ids = [str(n) for baskets in users for n, basket in enumerate(baskets) for _ in basket]
    return replace(Queries.of(codes, N), context={"basket": pl.Series(ids, dtype=pl.String)})


@given(users)
def test_scores_are_one_over_how_long_ago(users: list[list[str]]) -> None:
    scores = LastSeenScoring(SHARE).score(queries_of(users))
    for row, baskets in zip(scores, users, strict=True):
        for place, item in enumerate(ITEMS):
            ago = [n for n, basket in enumerate(reversed(baskets)) if item in basket]
            expected = (1 / (1 + ago[0]) if ago else 0) + 1e-9 * SHARE[place]
            np.testing.assert_allclose(row[place], expected, rtol=1e-12)


def test_the_latest_comes_first_however_long_the_history(tmp_path: Path) -> None:
    items = [f"i{n:03}" for n in range(300)]
    log = EventLog.of(pl.DataFrame({"user": ["u"] * 300, "item": items}))
    fitted = LastSeen().fit(Training.of(log, exclude_seen=False))
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    assert list(loaded.recommend(items, 300).items) == items[::-1]
    assert loaded.scoring.reads == ("basket",)  # type: ignore[attr-defined]
