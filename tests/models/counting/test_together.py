"""What lies together in baskets against a plain count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from ensue import artifacts, runtime
from ensue.errors import ArtifactError, ConfigError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting.together import Together, TogetherScoring
from ensue.ranking import Parts
from ensue.sequences import Queries

ITEMS = "abcde"
N = len(ITEMS)
SHARE = np.array([0.4, 0.3, 0.1, 0.1, 0.1])

users = st.lists(
    st.lists(st.text(ITEMS, min_size=1, max_size=4), min_size=1, max_size=5), min_size=1, max_size=4
)


def queries_of(users: list[list[str]]) -> Queries:
    codes = [[ITEMS.index(item) for basket in baskets for item in basket] for baskets in users]
    ids = [str(n) for baskets in users for n, basket in enumerate(baskets) for _ in basket]
    return replace(Queries.of(codes, N), context={"basket": pl.Series(ids, dtype=pl.String)})


def met(users: list[list[str]], model: Together) -> np.ndarray:
    """The definition, word by word."""
    pairs, often = np.zeros((N, N)), np.zeros(N)
    for baskets in users:
        for place, basket in enumerate(baskets):
            for item in set(basket):
                often[ITEMS.index(item)] += 1
            if place + model.ahead < len(baskets):
                for one in set(basket):
                    for other in set(baskets[place + model.ahead]):
                        if model.ahead or one != other:
                            pairs[ITEMS.index(one), ITEMS.index(other)] += 1
    scale = (often[:, None] + model.shrinkage) * np.maximum(often, 1) ** model.popularity
    return np.divide(pairs, scale, out=np.zeros((N, N)), where=pairs > 0)


@tries(max_examples=50, deadline=None)
@given(users, users, st.integers(0, 2), st.integers(1, 3), st.floats(0, 9), st.floats(0, 1))
def test_scores_are_those_of_the_definition(
    log: list[list[str]],
    asked: list[list[str]],
    ahead: int,
    last: int,
    shrinkage: float,
    popularity: float,
) -> None:
    model = Together(ahead, last, shrinkage, popularity)
    scoring = TogetherScoring(model, model.table(queries_of(log)), SHARE)
    table = met(log, model)
    for row, baskets in zip(scoring.score(queries_of(asked)), asked, strict=True):
        newest = sorted(set("".join(baskets[-last:])))
        expected = np.mean([table[ITEMS.index(item)] for item in newest], axis=0)
        np.testing.assert_allclose(row, expected + 1e-9 * SHARE, rtol=1e-6)


def test_two_of_three_baskets_by_hand() -> None:
    """a is in 3 baskets, with b in 2 of them: 2 / (3 + 1), over the root of b's 2; with c in 1: 1 / (3 + 1) / 1."""
    model = Together(shrinkage=1.0, popularity=0.5)
    scoring = TogetherScoring(model, model.table(queries_of([["ab", "aab"], ["ac"]])), SHARE)
    scores = scoring.score(queries_of([["a"]]))[0]
    assert scores == pytest.approx(np.array([0, 2 / 4 / 2**0.5, 1 / 4, 0, 0]) + 1e-9 * SHARE)


def test_the_next_basket_is_that_of_the_same_user() -> None:
    """a, then b; c, then a: after the last basket of the first user comes none."""
    model = Together(ahead=1, shrinkage=0.0, popularity=0.0)
    table = model.table(queries_of([["a", "b"], ["c", "a"]])).toarray()
    expected = np.zeros((N, N))
    expected[0, 1] = 1 / 2  # a is in two baskets, and b follows on one of them
    expected[2, 0] = 1 / 1
    np.testing.assert_allclose(table, expected)


def test_no_more_than_the_most_are_kept() -> None:
    model = Together(most=1, shrinkage=0.0, popularity=0.0)
    table = model.table(queries_of([["ab", "ab", "ac"]])).toarray()
    assert table[0].tolist() == pytest.approx([0, 2 / 3, 0, 0, 0])


def test_it_is_saved_with_its_table(tmp_path: Path) -> None:
    rows = [("u", "a", "1"), ("u", "b", "1"), ("v", "b", "2"), ("v", "c", "2")]
    log = EventLog.of(pl.DataFrame(rows, schema=["user", "item", "basket"], orient="row"))
    model = Together(last=2, popularity=0.1)
    fitted = model.fit(Training.of(log))
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    queries = Queries.of([[0, 1], [2]], 3)
    assert (loaded.scores(queries) == fitted.scores(queries)).all()
    assert isinstance(loaded.scoring, TogetherScoring)
    assert loaded.scoring.model == model
    assert loaded.scoring.reads == ("basket",)
    parts = fitted.scoring.parts()
    arrays: dict[str, Any] = {**parts.arrays, "met.data": -parts.arrays["met.data"]}
    with pytest.raises(ArtifactError, match="save it anew"):
        model.restore(Parts(parts.settings, arrays), fitted.catalogue)


@pytest.mark.parametrize("settings", [{"ahead": -1}, {"last": 0}, {"popularity": 2.0}, {"shrinkage": -1.0}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Together(**settings)
