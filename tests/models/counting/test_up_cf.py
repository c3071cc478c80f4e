"""UP-CF against a plain reading of its definition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue import artifacts, runtime
from ensue.errors import ArtifactError, ConfigError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting import tifu_knn
from ensue.models.counting.up_cf import UPCF, UPCFScoring
from ensue.ranking import Parts
from ensue.sequences import Queries

ITEMS = "abcde"
N = len(ITEMS)
SHARE = np.array([0.4, 0.3, 0.1, 0.1, 0.1])

users = st.lists(
    st.lists(st.text(ITEMS, min_size=1, max_size=4), min_size=1, max_size=6), min_size=1, max_size=5
)
"""Users with their baskets, oldest first."""


def queries_of(users: list[list[str]]) -> Queries:
    """One query for each user."""
    codes = [[ITEMS.index(item) for basket in baskets for item in basket] for baskets in users]
    ids = [str(n) for baskets in users for n, basket in enumerate(baskets) for _ in basket]
    return replace(Queries.of(codes, N), context={"basket": pl.Series(ids, dtype=pl.String)})


def popularity(baskets: list[str], last: int) -> np.ndarray:
    """The share of the last baskets that hold each item."""
    kept = baskets[-last:]
    return np.array([sum(item in basket for basket in kept) / len(kept) for item in ITEMS])


def alike(u: list[str], v: list[str], alpha: float) -> float:
    """The asymmetric cosine of what two users have ever taken."""
    one, other = set("".join(u)), set("".join(v))
    return float(len(one & other) / (len(one) ** alpha * len(other) ** (1 - alpha)))


def scoring_of(users: list[list[str]], model: UPCF) -> UPCFScoring:
    return UPCFScoring(model, *model.tables(queries_of(users)), SHARE)


@settings(max_examples=50)
@given(users, users, st.integers(0, 3), st.floats(0, 1), st.floats(0, 20), st.integers(1, 6))
def test_scores_are_those_of_the_definition(
    log: list[list[str]], asked: list[list[str]], last: int, alpha: float, locality: float, k: int
) -> None:
    model = UPCF(last, alpha, locality, k)
    scores = scoring_of(log, model).score(queries_of(asked))
    for row, baskets in zip(scores, asked, strict=True):
        similar = np.array([alike(baskets, other, alpha) for other in log])
        same = [place for place, other in enumerate(log) if set("".join(other)) == set("".join(baskets))]
        similar[same[:1]] = 0.0  # one who has taken exactly the same is taken for the asker
        near = [
            place for place in np.argsort(-np.round(similar, 12), kind="stable")[:k] if similar[place] > 0
        ]
        best = np.sort(similar)[::-1]
        if k < len(log) and best[k - 1] <= best[k] * (1 + 1e-9):
            continue  # which of equals is asked is a matter of rounding
        expected = popularity(baskets, last) + 1e-9 * SHARE
        for place in near:
            expected += similar[place] ** locality * popularity(log[place], last)
        np.testing.assert_allclose(row, expected, rtol=1e-9)


def test_who_shares_nothing_is_not_asked_even_where_similarity_counts_for_nothing() -> None:
    scores = scoring_of([["ab"], ["cd"]], UPCF(locality=0.0)).score(queries_of([["a"]]))
    assert scores[0] == pytest.approx(np.array([1 + 1, 1, 0, 0, 0]) + 1e-9 * SHARE)


def test_the_askers_own_popularity_counts_once() -> None:
    """The published sum over all users holds the asker with the similarity 1, and no second time.

    u: (a, b), then a.  p(u) = a 1, b 1/2;  w: a, then c.  p(w) = a 1/2, c 1/2.
    sim(u, w) = 1 / (2^0.25 x 2^0.75) = 1/2, to the power of 2: 1/4. So u has
    a = 1 + 1/4 x 1/2, b = 1/2, c = 1/4 x 1/2; and with one neighbour at most it is w, not u.
    """
    log = [["ab", "a"], ["a", "c"], ["de"]]
    for k in (1, 9):
        scores = scoring_of(log, UPCF(alpha=0.25, locality=2.0, neighbours=k)).score(queries_of(log[:1]))
        assert scores[0] == pytest.approx(np.array([1 + 1 / 8, 1 / 2, 1 / 8, 0, 0]) + 1e-9 * SHARE)


def test_whoever_holds_more_is_no_double_of_the_asker() -> None:
    """With alpha = 1 the similarity to who has taken all of it is 1, and with alpha = 0 to who has taken a part of it.

    a is asked: the user of a and b is alike by 1 (alpha = 1) and is a neighbour all the same; p = a 1, b 1.
    """
    scores = scoring_of([["ab"]], UPCF(alpha=1.0)).score(queries_of([["a"]]))
    assert scores[0] == pytest.approx(np.array([2, 1, 0, 0, 0]) + 1e-9 * SHARE)
    scores = scoring_of([["a"], ["ab"]], UPCF(alpha=0.0, neighbours=1)).score(queries_of([["ab"]]))
    # of the two alike by 1 the one who took both is the asker, whichever comes first
    assert scores[0] == pytest.approx(np.array([2, 1, 0, 0, 0]) + 1e-9 * SHARE)


def test_the_last_baskets_are_popular_and_all_of_them_make_users_alike() -> None:
    """Of user v, only c counts; that v took a long ago makes v like u, who took nothing else: sim = 1 / 2^(3/4)."""
    scores = scoring_of([["a", "c"]], UPCF(last=1, locality=1.0, alpha=0.25)).score(queries_of([["a"]]))
    assert scores[0] == pytest.approx(np.array([1, 0, 1 / 2**0.75, 0, 0]) + 1e-9 * SHARE)


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    log = [["".join(rng.choice(list(ITEMS), 2)) for _ in range(2)] for _ in range(30)]
    scoring, queries = scoring_of(log, UPCF(neighbours=4)), queries_of(log)
    whole = scoring.score(queries)
    monkeypatch.setattr(tifu_knn, "SCORES_AT_ONCE", 1)
    np.testing.assert_array_equal(scoring.score(queries), whole)
    some = np.array([3, 3, 0])
    np.testing.assert_array_equal(scoring.score(queries[some]), whole[some])


def test_it_is_saved_with_its_users(tmp_path: Path) -> None:
    log = EventLog.of(pl.DataFrame({"user": list("uuvvw"), "item": list("abacd")}))
    model = UPCF(last=1, locality=2.0)
    fitted = model.fit(Training.of(log))
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    queries = Queries.of([[0, 1, 2], [3]], 4)
    assert (loaded.scores(queries) == fitted.scores(queries)).all()
    assert isinstance(loaded.scoring, UPCFScoring)
    assert loaded.scoring.model == model
    assert loaded.scoring.reads == ("basket",)
    parts = fitted.scoring.parts()
    fewer: dict[str, Any] = {
        "popularity.indptr": np.zeros(1, dtype=np.int64),
        "popularity.indices": np.zeros(0, dtype=np.int32),
    }
    damaged = Parts(parts.settings, {**parts.arrays, **fewer, "popularity.data": np.zeros(0)})
    with pytest.raises(ArtifactError, match="do not fit together"):
        model.restore(damaged, fitted.catalogue)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"alpha": -0.5}, "up-cf: alpha=-0.5 must lie from 0 to 1."),
        ({"neighbours": 0}, "up-cf: neighbours=0 must be at least 1."),
        ({"locality": -1.0}, "up-cf: locality=-1 must be a number from 0 up, such as 10."),
        ({"locality": float("inf")}, "up-cf: locality=inf must be a number from 0 up, such as 10."),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError) as told:
        UPCF(**settings)  # type: ignore[arg-type]
    assert str(told.value) == says
