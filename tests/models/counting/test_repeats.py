"""The hazard of repeats against a plain count of all its cases."""

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
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.events.simulate import source
from ensue.model import Training, model_of
from ensue.models.counting import repeats
from ensue.models.counting.personal import Taken
from ensue.models.counting.repeats import COARSE, FARTHEST, GAPS, LAGS, TIMES, Repeats, RepeatScoring, Spells
from ensue.ranking import Parts
from ensue.sequences import Queries
from ensue.splits import split

ITEMS = "abcd"
N = len(ITEMS)
SHARE = np.array([0.4, 0.3, 0.2, 0.1])

users = st.lists(
    st.lists(st.text(ITEMS, min_size=1, max_size=4), min_size=1, max_size=9), min_size=1, max_size=5
)
"""Users with their baskets, oldest first."""


def queries_of(users: list[list[str]]) -> Queries:
    codes = [[ITEMS.index(item) for basket in baskets for item in basket] for baskets in users]
    ids = [str(n) for baskets in users for n, basket in enumerate(baskets) for _ in basket]
    return replace(Queries.of(codes, N), context={"basket": pl.Series(ids, dtype=pl.String)})


def log_of(users: list[list[str]]) -> EventLog:
    rows = [
        (f"u{u}", item, f"{u}-{n}")
        for u, baskets in enumerate(users)
        for n, basket in enumerate(baskets)
        for item in basket
    ]
    return EventLog.of(pl.DataFrame(rows, schema=["user", "item", "basket"], orient="row"))


def state(baskets: list[str], item: str) -> tuple[int, float, int] | None:
    """Times, mean gap and lag of an item for the basket after these; None if it was never taken."""
    places = [n for n, basket in enumerate(baskets) if item in basket]
    if not places:
        return None
    gap = (places[-1] - places[0]) / max(len(places) - 1, 1)
    return len(places), gap, len(baskets) - places[-1]


def edge(edges: np.ndarray, value: float) -> int:
    return max(place for place, low in enumerate(edges) if low <= value)


def cases(users: list[list[str]]) -> dict[tuple[int, int, int, str], list[int]]:
    """Hits and cases of every cell of the table and item: each basket, each item that was taken before it."""
    found: dict[tuple[int, int, int, str], list[int]] = {}
    for baskets in users:
        for place in range(1, len(baskets)):
            for item in ITEMS:
                held = state(baskets[:place], item)
                if held is not None:
                    times, gap, lag = held
                    cell = (edge(TIMES, times), edge(GAPS, gap), edge(LAGS, lag), item)
                    hit = found.setdefault(cell, [0, 0])
                    hit[0] += item in baskets[place]
                    hit[1] += 1
    return found


def chance_of(counted: dict[tuple[int, int, int, str], list[int]], pull: float) -> np.ndarray:
    """The table, level by level, as the definition has it."""
    hits, every = (np.zeros((len(TIMES), len(GAPS), len(LAGS))) for _ in range(2))
    for (times, gap, lag, _), (hit, case) in counted.items():
        hits[times, gap, lag] += hit
        every[times, gap, lag] += case
    most = hits.sum() / max(every.sum(), 1)
    by_lag = (hits.sum(axis=(0, 1)) + pull * most) / (every.sum(axis=(0, 1)) + pull)
    by_times = (hits.sum(axis=1) + pull * by_lag) / (every.sum(axis=1) + pull)
    return np.asarray((hits + pull * by_times[:, None]) / (every + pull))


@settings(max_examples=40, deadline=None)
@given(users, st.floats(1, 50), st.floats(1, 50))
def test_chances_and_factors_are_those_of_all_cases(
    users: list[list[str]], shrinkage: float, pull: float
) -> None:
    fitted = Repeats(shrinkage, pull).fit(Training.of(log_of(users), exclude_seen=False))
    scoring = fitted.scoring
    assert isinstance(scoring, RepeatScoring)
    counted = cases(users)
    chance = chance_of(counted, pull)
    np.testing.assert_allclose(scoring.chances.reshape(chance.shape), chance, rtol=1e-9)
    ids = fitted.catalogue.ids.to_list()
    for place, item in enumerate(ids):
        expected, hits = np.zeros(len(COARSE)), np.zeros(len(COARSE))
        for (times, gap, lag, other), (hit, case) in counted.items():
            if other == item:
                expected[edge(COARSE, lag)] += case * chance[times, gap, lag]
                hits[edge(COARSE, lag)] += hit
        every = (hits.sum() + shrinkage) / (expected.sum() + shrinkage)
        factors = (hits + shrinkage * every) / (expected + shrinkage)
        np.testing.assert_allclose(scoring.factors[place], factors, rtol=1e-9)


@given(users)
def test_scores_are_chance_times_factor_of_the_next_basket(users: list[list[str]]) -> None:
    rng = np.random.default_rng(2)
    chances = rng.random((len(TIMES) * len(GAPS), len(LAGS)))
    factors = rng.random((N, len(COARSE)))
    scores = RepeatScoring(Repeats(), chances, factors, SHARE).score(queries_of(users))
    for row, baskets in zip(scores, users, strict=True):
        for place, item in enumerate(ITEMS):
            expected, held = 1e-9 * SHARE[place], state(baskets, item)
            if held is not None:
                times, gap, lag = held
                cell = edge(TIMES, times) * len(GAPS) + edge(GAPS, gap), edge(LAGS, lag)
                expected += chances[cell] * factors[place, edge(COARSE, edge(LAGS, lag))]
            np.testing.assert_allclose(row[place], expected, rtol=1e-12)


def test_the_spells_of_one_history_by_hand() -> None:
    """Baskets 0 a, 1 b, 2 a, 3 a b: a waits 2, then 1, then ends with nothing after; b waits 2."""
    spells = Spells.of(Taken.of(queries_of([["a", "b", "aa", "ab"]])))
    assert spells.items.tolist() == [0, 0, 0, 1, 1]
    assert spells.number.tolist() == [1, 2, 3, 1, 2]
    assert spells.gap.tolist() == [0, 2, 3 / 2, 0, 2]
    assert spells.length.tolist() == [2, 1, 0, 2, 0]
    assert spells.ended.tolist() == [True, True, False, True, False]


def test_lags_beyond_the_farthest_are_counted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """a once, then 9 baskets without it, with lags alike from 4 on: 9 cases, and no hit."""
    monkeypatch.setattr(repeats, "FARTHEST", 4)
    monkeypatch.setattr(repeats, "LAGS", np.array([1, 2, 4]))
    monkeypatch.setattr(repeats, "COARSE", np.array([0]))
    spells = Spells.of(Taken.of(queries_of([["a"] + ["b"] * 9])))
    only_a = replace(
        spells,
        **{name: getattr(spells, name)[:1] for name in ("rows", "items", "number", "gap", "length", "ended")},
    )
    chances = repeats._chances(only_a, 1.0)
    # no hit at all, so the prior of every level is 0 / cases: 0
    assert (chances == 0).all()
    one = replace(
        only_a, ended=np.array([True])
    )  # taken again after 9: one hit, in the last cell, of 6 cases there
    most = 1 / 9
    last = (1 + most) / (6 + 1)
    last = (1 + last) / (6 + 1)
    assert repeats._chances(one, 1.0)[0, 2] == pytest.approx((1 + last) / (6 + 1))
    assert FARTHEST == 1000


def test_an_item_that_comes_every_third_time_is_due_then_and_not_before() -> None:
    """a is in every third basket of everybody, b in every one; after a, b, b it is a's turn."""
    log = log_of([["ab", "b", "b"] * 6] * 5)
    fitted = Repeats(shrinkage=1.0, pull=1.0).fit(Training.of(log, exclude_seen=False))
    catalogue = fitted.catalogue

    def odds(baskets: list[str]) -> float:
        scores = fitted.scores(
            replace(
                Queries.of([catalogue.encode(list("".join(baskets))).tolist()], len(catalogue)),
                context={"basket": pl.Series([str(n) for n, one in enumerate(baskets) for _ in one])},
            )
        )[0]
        a, b = catalogue.encode(["a", "b"])
        return float(scores[a] / scores[b])

    due = odds(["ab", "b", "b"] * 3)
    assert due > 5 * odds(["ab", "b", "b"] * 3 + ["ab"])
    assert due > 5 * odds(["ab", "b", "b"] * 3 + ["ab", "b"])
    assert due > 0.8


def test_repeats_are_foreseen_far_better_than_by_recency_or_count() -> None:
    """A listening log whose tracks are due after gaps of their own; what is best is known, and not exceeded."""
    kind = source("listening", items=60)
    parts = split(kind.log(users=300, length=60), "temporal")
    training = Training.of(parts.before_test, exclude_seen=False)
    examples = parts.examples("test", training.catalogue, "last")
    found = {
        name: evaluate(model_of(name).fit(training), examples, metrics=("ndcg@10",)).value("ndcg@10")
        for name in ("last-seen", "personal", "repeats")
    }
    assert found["repeats"] > found["personal"] + 0.05 > found["last-seen"] + 0.05


def test_it_is_saved_with_its_tables(tmp_path: Path) -> None:
    model = Repeats(2.0, 5.0)
    fitted = model.fit(Training.of(log_of([["ab", "a", "b", "ab"], ["c", "cd", "d"]])))
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    queries = Queries.of([[0, 1, 0], [2]], len(fitted.catalogue))
    assert (loaded.scores(queries) == fitted.scores(queries)).all()
    assert isinstance(loaded.scoring, RepeatScoring)
    assert loaded.scoring.model == model
    parts = fitted.scoring.parts()
    for name, value in (("chances", np.zeros((2, 2))), ("factors", np.full((4, len(COARSE)), np.nan))):
        arrays: dict[str, Any] = {**parts.arrays, name: value}
        with pytest.raises(ArtifactError, match="save it anew"):
            model.restore(Parts(parts.settings, arrays), fitted.catalogue)


@pytest.mark.parametrize("settings", [{"shrinkage": 0.0}, {"pull": float("inf")}, {"pull": float("nan")}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be a number above 0"):
        Repeats(**settings)
