"""TIFU-kNN against a plain reading of its definition."""

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
from ensue.models.counting.tifu_knn import TIFUKNN, TIFUScoring, nearest, stored_table
from ensue.ranking import Parts
from ensue.sequences import Queries

ITEMS = "abcde"
N = len(ITEMS)
SHARE = np.array([0.4, 0.3, 0.1, 0.1, 0.1])

users = st.lists(
    st.lists(st.text(ITEMS, min_size=1, max_size=4), min_size=1, max_size=9), min_size=1, max_size=5
)
"""Users with their baskets, oldest first."""


def queries_of(users: list[list[str]]) -> Queries:
    """One query for each user."""
    codes = [[ITEMS.index(item) for basket in baskets for item in basket] for baskets in users]
    ids = [str(n) for baskets in users for n, basket in enumerate(baskets) for _ in basket]
    return replace(Queries.of(codes, N), context={"basket": pl.Series(ids, dtype=pl.String)})


def vector(baskets: list[str], model: TIFUKNN) -> np.ndarray:
    """The definition, word by word: groups of like size, the newer ones larger, each decayed within and without."""
    baskets = baskets[-model.last :]
    number = min(model.groups, len(baskets))
    size, larger = divmod(len(baskets), number)
    sizes = [size] * (number - larger) + [size + 1] * larger
    found, begin = np.zeros(N), 0
    for place, size in enumerate(sizes):
        group = baskets[begin : begin + size]
        begin += size
        for back, basket in enumerate(reversed(group)):
            for item in set(basket):
                decay = model.group_decay ** (number - 1 - place) * model.basket_decay**back
                found[ITEMS.index(item)] += decay / size / number
    return found


def scoring_of(users: list[list[str]], model: TIFUKNN) -> TIFUScoring:
    return TIFUScoring(model, model.vectors(queries_of(users)), SHARE)


@given(users, st.integers(1, 5), st.floats(0, 1), st.floats(0, 1), st.integers(0, 6))
def test_vectors_are_those_of_the_definition(
    users: list[list[str]], groups: int, basket_decay: float, group_decay: float, last: int
) -> None:
    model = TIFUKNN(groups=groups, basket_decay=basket_decay, group_decay=group_decay, last=last)
    expected = [vector(baskets, model) for baskets in users]
    np.testing.assert_allclose(model.vectors(queries_of(users)).toarray(), expected, rtol=1e-12, atol=1e-300)


def test_five_baskets_in_two_groups() -> None:
    """Two in the older group, three in the newer: a is in the oldest basket and in the newest but one."""
    model = TIFUKNN(groups=2, basket_decay=0.5, group_decay=0.1)
    found = model.vectors(queries_of([["a", "b", "c", "aa", "d"]])).toarray()[0]
    assert found[0] == pytest.approx((0.1 * 0.5 / 2 + 0.5 / 3) / 2)
    assert found[1] == pytest.approx((0.1 * 1 / 2) / 2)
    assert found[2] == pytest.approx((0.5**2 / 3) / 2)
    assert found[3] == pytest.approx((1 / 3) / 2)


@settings(max_examples=50)
@given(users, users, st.integers(1, 6), st.floats(0, 1))
def test_scores_blend_the_user_with_the_nearest(
    log: list[list[str]], asked: list[list[str]], k: int, alpha: float
) -> None:
    model = TIFUKNN(neighbours=k, groups=3, alpha=alpha)
    scores = scoring_of(log, model).score(queries_of(asked))
    known = np.array([vector(baskets, model) for baskets in log])
    for row, baskets in zip(scores, asked, strict=True):
        own = vector(baskets, model)
        distance = np.round(((known - own) ** 2).sum(axis=1), 12)
        order = np.argsort(distance, kind="stable")
        order = order[1:] if distance[order[0]] == 0 else order  # the asker's own vector is no neighbour
        near = order[:k]
        if len(order) > k and distance[order[k - 1]] == distance[order[k]]:
            continue  # which of equals is asked is a matter of rounding
        others = known[near].mean(axis=0) if len(near) else np.zeros(N)
        expected = alpha * own + (1 - alpha) * others + 1e-9 * SHARE
        np.testing.assert_allclose(row, expected, rtol=1e-9, atol=1e-12)


def test_nearness_is_a_distance_and_no_product() -> None:
    """The user of ten baskets of a and b has the larger product with "a", and lies further away."""
    model = TIFUKNN(neighbours=1, groups=1, basket_decay=1.0, alpha=0.0)
    scores = scoring_of([["ab"] * 9, ["a", "c"]], model).score(queries_of([["a", "d"]]))
    assert scores[0] == pytest.approx(np.array([0.5, 0, 0.5, 0, 0]) + 1e-9 * SHARE)


def test_nobody_is_a_neighbour_of_their_own() -> None:
    """Two groups of one basket each, r_g = 0.5. By hand:

    u = (a, then b): v_u = (0.5 a + 1 b) / 2 = a 0.25, b 0.5
    w = (a, then c): v_w = (0.5 a + 1 c) / 2 = a 0.25, c 0.5
    x = (d):         v_x = d 1, one group

    |u - w|^2 = 0.25 + 0.25 = 0.5, |u - x|^2 = 0.0625 + 0.25 + 1 = 1.3125. With one neighbour, u is answered by w and
    not by u: 0.6 v_u + 0.4 v_w. Somebody new who bought a and then c is taken for w, and answered by u beside v_w.
    """
    model = TIFUKNN(neighbours=1, groups=2, group_decay=0.5, alpha=0.6)
    scoring = scoring_of([["a", "b"], ["a", "c"], ["d"]], model)
    found = scoring.score(queries_of([["a", "b"], ["a", "c"], ["c"]]))
    u, w = np.array([0.25, 0.5, 0, 0, 0]), np.array([0.25, 0, 0.5, 0, 0])
    np.testing.assert_allclose(found[0], 0.6 * u + 0.4 * w + 1e-9 * SHARE, rtol=1e-12)
    np.testing.assert_allclose(found[1], 0.6 * w + 0.4 * u + 1e-9 * SHARE, rtol=1e-12)
    # c alone is nobody's vector: v = c 1, |v - w|^2 = 0.0625 + 0.25, the nearest
    np.testing.assert_allclose(found[2], 0.6 * np.eye(N)[2] + 0.4 * w + 1e-9 * SHARE, rtol=1e-12)


def test_of_several_alike_one_is_the_asker_and_the_others_are_neighbours() -> None:
    scoring = scoring_of([["a"], ["a"], ["a"], ["b"]], TIFUKNN(neighbours=3, alpha=0.0))
    # two others who bought a, and one who bought b: the mean over three
    np.testing.assert_allclose(
        scoring.score(queries_of([["a"]]))[0], np.array([2 / 3, 1 / 3, 0, 0, 0]) + 1e-9 * SHARE
    )


def test_the_paper_decays_within_groups() -> None:
    """Four baskets in two groups, r_b = 0.5, r_g = 0.1: the group (a, b) is older, (c, d) newer.

    Within groups: older (0.5 a + 1 b) / 2, newer (0.5 c + 1 d) / 2; the vector (0.1 older + newer) / 2. Over the whole
    history, as the programme of the authors has it, a would weigh 0.5^3 instead of 0.5 before its group is decayed.
    """
    model = TIFUKNN(groups=2, basket_decay=0.5, group_decay=0.1)
    found = model.vectors(queries_of([["a", "b", "c", "d"]])).toarray()[0]
    assert found[:4] == pytest.approx([0.1 * 0.5 / 2 / 2, 0.1 / 2 / 2, 0.5 / 2 / 2, 1 / 2 / 2])


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    log = [["".join(rng.choice(list(ITEMS), 2)) for _ in range(4)] for _ in range(30)]
    scoring, queries = scoring_of(log, TIFUKNN(neighbours=4)), queries_of(log)
    whole = scoring.score(queries)
    monkeypatch.setattr(tifu_knn, "SCORES_AT_ONCE", 1)
    assert len(list(tifu_knn.user_blocks(30, scoring.vectors, 4))) == 30
    np.testing.assert_array_equal(scoring.score(queries), whole)


def test_targets_of_one_history_get_the_same_row_each() -> None:
    scoring, queries = scoring_of([["ab", "c"], ["d"]], TIFUKNN(neighbours=1)), queries_of([["a"], ["d"]])
    several = scoring.score(queries[np.array([1, 0, 1])])
    np.testing.assert_array_equal(several, scoring.score(queries)[[1, 0, 1]])


def test_of_equally_near_users_those_that_come_first() -> None:
    table = nearest(np.array([[0.5, 2.0, 0.5, 0.5], [1.0, -np.inf, -np.inf, 3.0]]), 3)
    assert table.indices.tolist() == [1, 0, 2, 3, 0]
    assert table.data.tolist() == [2.0, 0.5, 0.5, 3.0, 1.0]
    assert table.indptr.tolist() == [0, 3, 5]


def test_it_is_saved_with_its_users(tmp_path: Path) -> None:
    log = EventLog.of(pl.DataFrame({"user": list("uuvvw"), "item": list("abacd")}))
    model = TIFUKNN(neighbours=2, groups=2)
    fitted = model.fit(Training.of(log))
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    queries = Queries.of([[0, 1, 2], [3]], 4)
    assert (loaded.scores(queries) == fitted.scores(queries)).all()
    assert isinstance(loaded.scoring, TIFUScoring)
    assert loaded.scoring.model == model
    assert loaded.scoring.reads == ("basket",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("indices", np.array([0, 9], dtype=np.int32)),
        ("indptr", np.array([0, 1, 3])),
        ("indptr", np.zeros(0, dtype=np.int64)),
        ("data", np.array([1.0, np.nan])),
        ("data", np.ones((2, 1))),
    ],
)
def test_a_damaged_table_is_refused(name: str, value: np.ndarray) -> None:
    arrays: dict[str, Any] = {
        "vectors.data": np.ones(2),
        "vectors.indices": np.array([0, 4], dtype=np.int32),
        "vectors.indptr": np.array([0, 1, 2]),
    }
    assert stored_table(Parts({}, arrays), "vectors", N).shape == (2, N)
    with pytest.raises(ArtifactError, match="save it anew"):
        stored_table(Parts({}, arrays | {f"vectors.{name}": value}), "vectors", N)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError) as told:
        TIFUKNN(neighbours=0, groups=0, alpha=2.0)
    assert str(told.value) == (
        "tifu-knn: neighbours=0 must be at least 1; groups=0 must be at least 1; alpha=2 must lie from 0 to 1."
    )
