"""Matrix factorisation against the library that fits it, and against the equations of the paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ArtifactError, ConfigError, MissingExtraError
from ensue.events.log import EventLog
from ensue.model import Conditions, Training
from ensue.models.counting import als
from ensue.models.counting.als import ALS, FactorScoring
from ensue.objective import Objective
from ensue.progress import Silent
from ensue.ranking import Parts, Recommender
from ensue.sequences import Queries, Sequences

pytest.importorskip("implicit", reason="pip install 'ensue[implicit]'")

SMALL = ALS(factors=6, iterations=5, alpha=3.0, regularization=0.5)


def log_of(sequences: list[str]) -> EventLog:
    rows = [(f"u{n}", item) for n, sequence in enumerate(sequences) for item in sequence]
    return EventLog.of(pl.DataFrame(rows, schema=["user", "item"], orient="row"))


def drawn(users: int = 60, seed: int = 4) -> EventLog:
    """Users of two tastes: each takes seven or so of the same ten items, and now and then another."""
    rng = np.random.default_rng(seed)
    tastes = ("abcdefghij", "klmnopqrst")
    return log_of(
        [
            "".join(rng.choice(list(tastes[user % 2]), 7)) + str(rng.choice(list("abcdefghijklmnopqrst")))
            for user in range(users)
        ]
    )


def scoring_of(recommender: Recommender) -> FactorScoring:
    assert isinstance(recommender.scoring, FactorScoring)
    return recommender.scoring


@pytest.fixture(scope="module")
def fitted() -> Recommender:
    return SMALL.fit(Training.of(drawn()), Conditions(seed=2))


def equation(factors: np.ndarray, history: list[int], regularization: float, alpha: float) -> np.ndarray:
    """Equation 4 of the paper, word by word: `x = (Y'C Y + lambda I)^-1 Y'C p` with `c = 1 + alpha r`."""
    r = np.bincount(history, minlength=len(factors))
    c, p = np.diag(1 + alpha * r), (r > 0).astype(float)
    y = factors.astype(np.float64)
    return np.linalg.solve(y.T @ c @ y + regularization * np.eye(y.shape[1]), y.T @ c @ p)


histories = st.lists(st.lists(st.integers(0, 19), min_size=1, max_size=30), min_size=1, max_size=9)


@given(histories, st.sampled_from([0.01, 2.0]), st.sampled_from([0.5, 40.0]))
def test_a_user_is_what_the_paper_solves_for(
    fitted: Recommender, asked: list[list[int]], regularization: float, alpha: float
) -> None:
    scoring = replace(scoring_of(fitted), regularization=regularization, alpha=alpha)
    expected = [equation(scoring.factors, history, regularization, alpha) for history in asked]
    np.testing.assert_allclose(scoring.users(Queries.of(asked, 20)), expected, rtol=1e-6, atol=1e-9)


@given(histories, st.randoms(use_true_random=False))
def test_the_order_of_a_history_is_nothing_to_it(
    fitted: Recommender, asked: list[list[int]], random: np.random.Generator
) -> None:
    shuffled = [list(history) for history in asked]
    for history in shuffled:
        random.shuffle(history)
    np.testing.assert_array_equal(
        fitted.scores(Queries.of(asked, 20)), fitted.scores(Queries.of(shuffled, 20))
    )


def test_the_library_solves_for_the_same_user(fitted: Recommender) -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    scoring = scoring_of(fitted)
    theirs = AlternatingLeastSquares(6, regularization=0.5, alpha=1.0, num_threads=1)
    theirs.item_factors = scoring.factors
    asked = [[0, 3, 3, 7], [5], [1, 2, 3, 4, 5, 6, 6, 6]]
    counts = np.array([np.bincount(history, minlength=20) for history in asked])
    table = sp.csr_matrix(np.where(counts > 0, 1 + 3.0 * counts, 0).astype(np.float32))
    expected = theirs.recalculate_user(np.arange(3), table)
    np.testing.assert_allclose(scoring.users(Queries.of(asked, 20)), expected, rtol=2e-4, atol=1e-6)


def test_the_items_are_what_the_library_fits() -> None:
    """The same table of confidences, seed and settings."""
    from implicit.cpu.als import AlternatingLeastSquares

    kept = Training.of(drawn(users=20))
    sequences = kept.sequences
    rows = np.repeat(np.arange(len(sequences)), sequences.lengths)
    counts = np.zeros((len(sequences), 20))
    np.add.at(counts, (rows, sequences.items), 1)
    theirs = AlternatingLeastSquares(
        6, regularization=0.5, alpha=1.0, iterations=5, num_threads=1, random_state=7
    )
    theirs.fit(
        sp.csr_matrix(np.where(counts > 0, 1 + 3.0 * counts, 0).astype(np.float32)), show_progress=False
    )
    ours = SMALL.fit(kept, Conditions(seed=7))
    np.testing.assert_array_equal(scoring_of(ours).factors, theirs.item_factors)


@given(st.integers(0, 99))
def test_an_event_counts_as_often_as_it_does_as_a_target(seed: int) -> None:
    known = Training.of(drawn(12))
    own = known.sequences
    times = np.random.default_rng(seed).integers(0, 3, len(own.items))
    again = np.concatenate([[0], np.cumsum(times)])[own.offsets]
    repeated = Sequences(np.repeat(own.items, times), again, own.keys, own.n_items)
    counted = replace(known, sequences=repeated)
    weighted = replace(known, sequences=replace(own, weight=times.astype(np.float32)))
    brief = replace(SMALL, iterations=2)
    expected, found = (scoring_of(brief.fit(one)).factors for one in (counted, weighted))
    np.testing.assert_array_equal(found, expected)
    halved = replace(known, sequences=replace(own, weight=(times / 2).astype(np.float32)))
    half = scoring_of(replace(brief, alpha=2 * brief.alpha).fit(halved)).factors
    np.testing.assert_array_equal(half, expected)


class Told(Silent):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_what_is_bought_together_answers_whoever_views_it() -> None:
    rows = [
        (f"u{n}", f"{kind}{n % 2}", event)
        for n in range(12)
        for kind, event in [("v", "view"), ("a", "buy"), ("b", "buy")]
    ]
    log = EventLog.of(pl.DataFrame(rows, schema=["user", "item", "event"], orient="row"))
    told = Told()
    fitted = SMALL.fit(Training.of(log, objective=Objective(targets=("buy",))), Conditions(progress=told))
    assert told.lines == [
        "als: 2 of 6 items are in histories, never a target: nothing is learnt of them, and in a history they tell "
        "nothing"
    ]
    SMALL.fit(Training.of(log), Conditions(progress=told))
    assert len(told.lines) == 1, "without an objective every event is a target"
    assert fitted.recommend(["a0"], 1, exclude_seen=True).items == ("b0",)
    factors, codes = scoring_of(fitted).factors, fitted.catalogue.encode(["v0", "v1"])
    assert not factors[codes].any(), "nobody buys what is only viewed"


def test_users_of_a_single_item_are_left_out_of_the_fit() -> None:
    pairs = ["ab", "ba", "bc", "cb", "ac"] * 3
    alone = SMALL.fit(Training.of(log_of(pairs)))
    scored = scoring_of(SMALL.fit(Training.of(log_of([*pairs, "ddd", "d"]))))
    assert scoring_of(alone).factors.shape == (3, 6)
    assert not scored.factors[3].any(), "what only they took has no vector"
    assert scored.factors[:3].any(axis=1).all()


def test_it_recommends_what_those_of_the_same_taste_take() -> None:
    fitted = replace(SMALL, factors=2).fit(Training.of(drawn()))
    first, second = fitted.recommend(list("abc"), 6), fitted.recommend(list("klm"), 6)
    assert set(first.items) <= set("defghij")
    assert set(second.items) <= set("nopqrst")


def test_the_last_events_alone_count_where_that_is_asked(fitted: Recommender) -> None:
    scoring = replace(scoring_of(fitted), last=2)
    whole, end = Queries.of([[9, 8, 7, 1, 2]], 20), Queries.of([[1, 2]], 20)
    np.testing.assert_array_equal(scoring.score(whole), scoring.score(end))
    assert (scoring_of(fitted).score(whole) != scoring.score(whole)).any()


def test_equations_are_solved_in_blocks_as_at_once(
    fitted: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    queries = Queries.of([rng.integers(0, 20, size) for size in rng.integers(1, 40, 50)], 20)
    before = fitted.scores(queries)
    monkeypatch.setattr(als, "NUMBERS_AT_ONCE", 1)
    np.testing.assert_array_equal(fitted.scores(queries), before)


def test_popularity_orders_what_the_vectors_leave_undecided() -> None:
    fitted = ALS(factors=3).fit(Training.of(log_of(["c", "c", "b", "b", "b", "a"]), exclude_seen=False))
    slate = fitted.recommend(["a"], 3)
    assert slate.items == ("b", "c", "a")
    assert slate.scores == pytest.approx([1e-9 * 3 / 6, 1e-9 * 2 / 6, 1e-9 * 1 / 6])


def test_threads_change_no_bit_and_another_seed_does() -> None:
    training = Training.of(drawn())
    one, two, other = (
        scoring_of(SMALL.fit(training, conditions)).factors
        for conditions in (Conditions(seed=2), Conditions(seed=2, threads=2), Conditions(seed=3))
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_every_setting_is_checked() -> None:
    with pytest.raises(ConfigError) as told:
        ALS(factors=0, iterations=0, regularization=0.0, alpha=float("nan"), last=-1)
    assert str(told.value) == (
        "als: factors=0 must be at least 1; iterations=0 must be at least 1; last=-1 must be at least 0; "
        "regularization=0 must be a number above 0; alpha=nan must be a number above 0."
    )


def test_vectors_of_other_items_are_refused(fitted: Recommender) -> None:
    parts = fitted.scoring.parts()
    for damaged in (parts.arrays["factors"][:-1], parts.arrays["factors"] * np.nan):
        with pytest.raises(ArtifactError, match="damaged"):
            SMALL.restore(Parts(parts.settings, {"factors": damaged}), fitted.catalogue)


def test_without_the_library_it_says_what_to_install(without: Callable[[str], None]) -> None:
    without("implicit")
    with pytest.raises(MissingExtraError, match=r"als needs implicit: pip install 'ensue\[implicit\]'"):
        SMALL.fit(Training.of(drawn(users=4)))


def test_a_fitted_one_answers_without_the_library(
    fitted: Recommender, without: Callable[[str], None]
) -> None:
    without("implicit")
    again = SMALL.restore(fitted.scoring.parts(), fitted.catalogue)
    queries = Queries.of([[1, 2, 3]], 20)
    np.testing.assert_array_equal(again.score(queries), fitted.scores(queries))
