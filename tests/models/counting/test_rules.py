"""Markov chain and sequential rules against a plain reading of their definition."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ensue import transitions
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.model import Model, Training
from ensue.models.counting.markov import Markov
from ensue.models.counting.rules import Rules
from ensue.models.counting.transitions import TransitionScoring
from ensue.ranking import Recommender
from ensue.sequences import Queries
from ensue.transitions import transition_counts

ITEMS = "abcdef"
logs = st.lists(st.text(ITEMS, min_size=1, max_size=12), min_size=1, max_size=6)
a_history = st.text(ITEMS, min_size=1, max_size=15)


def log_of(sequences: list[str]) -> EventLog:
    rows = [(f"u{n}", item) for n, sequence in enumerate(sequences) for item in sequence]
    return EventLog.of(pl.DataFrame(rows, schema=["user", "item"], orient="row"))


def fitted(model: Model, sequences: list[str]) -> Recommender:
    return model.fit(Training.of(log_of(sequences)))


def scores_of(recommender: Recommender, history: str) -> dict[str, float]:
    known = [item for item in history if item in set(recommender.catalogue.ids)]
    codes = recommender.catalogue.encode(known)
    row = recommender.scores(Queries.of([codes], len(recommender.catalogue)))[0]
    return dict(zip(recommender.catalogue.ids, row.tolist(), strict=True))


def read_plainly(
    sequences: list[str], history: str, window: int, last: int, decay: float
) -> dict[str, float]:
    """The definition, word by word, with a 1e-9 share of popularity to order what it says nothing about."""
    count: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for sequence in sequences:
        for i, a in enumerate(sequence):
            for d in range(1, window + 1):
                if i + d < len(sequence):
                    count[a][sequence[i + d]] += 1 / d
    events = "".join(sequences)
    scores = {item: 1e-9 * events.count(item) / len(events) for item in set(events)}
    for j, item in enumerate(reversed([item for item in history if item in scores])):
        if j < last:
            total = sum(count[item].values())
            for b, value in count[item].items():
                scores[b] += decay**j * value / total
    return scores


@given(logs, a_history, st.integers(1, 14), st.integers(1, 17), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_rules_are_their_definition(
    sequences: list[str], history: str, window: int, last: int, decay: float
) -> None:
    expected = read_plainly(sequences, history, window, last, decay)
    recommender = fitted(Rules(window, last, decay), sequences)
    if any(item in expected for item in history):
        assert scores_of(recommender, history) == pytest.approx(expected, rel=1e-12)


@given(logs, a_history)
def test_the_markov_chain_is_its_definition(sequences: list[str], history: str) -> None:
    expected = read_plainly(sequences, history, window=1, last=1, decay=1.0)
    if any(item in expected for item in history):
        assert scores_of(fitted(Markov(), sequences), history) == pytest.approx(expected, rel=1e-12)


def test_rules_by_hand() -> None:
    """a b c: row a is 1 to b and 1/2 to c; row b is 1 to c."""
    found = scores_of(fitted(Rules(window=2, last=2, decay=0.5), ["abc"]), "ab")
    row_a = {"b": 1 / 1.5, "c": 0.5 / 1.5}
    expected = {"a": 0.0, "b": 0.5 * row_a["b"], "c": 1.0 + 0.5 * row_a["c"]}
    assert found == pytest.approx({item: value + 1e-9 / 3 for item, value in expected.items()}, rel=1e-12)


def test_no_pair_reaches_over_the_end_of_a_sequence() -> None:
    sequences = Training.of(log_of(["ab", "cd"])).sequences
    pairs = transition_counts(sequences, 5).toarray()
    assert pairs.sum() == 2.0
    assert pairs[0, 1] == pairs[2, 3] == 1.0


def test_counts_do_not_depend_on_how_many_pairs_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch, seeded: np.random.Generator
) -> None:
    sequences = Training.of(log_of(["".join(seeded.choice(list(ITEMS), 40)) for _ in range(5)])).sequences
    whole = transition_counts(sequences, 12).toarray()
    monkeypatch.setattr(transitions, "PAIRS_AT_ONCE", 1)
    np.testing.assert_allclose(transition_counts(sequences, 12).toarray(), whole, rtol=1e-14)


def test_an_item_that_nothing_follows_is_answered_by_popularity() -> None:
    recommender = fitted(Markov(), ["abbc"])
    assert recommender.recommend(["c"], 3, exclude_seen=False).items == ("b", "a", "c")
    assert not recommender.recommend(["c"], 3).fallback  # it is known, and its row is empty


def test_items_of_one_share_are_listed_by_popularity() -> None:
    recommender = fitted(Markov(), ["ab", "ac", "cc"])  # b and c each follow a once; c is more frequent
    assert recommender.recommend(["a"], 2).items == ("c", "b")


def test_a_question_copies_nothing_of_the_table() -> None:
    """One answer takes memory by its scores and the rows that it asks, whatever else was counted."""
    import tracemalloc

    n, width = 2000, 500
    columns = np.sort(np.random.default_rng(0).integers(0, n, (n, width), dtype=np.int32), axis=1)
    ends = np.arange(0, n * width + 1, width, dtype=np.int32)
    table = sp.csr_array((np.full(n * width, 1 / width), columns.ravel(), ends), shape=(n, n))
    assert table.indices.dtype == np.int32
    scoring = TransitionScoring(table, 10, 0.7, np.full(n, 1 / n))
    queries = Queries.of([[1, 2, 3]], n)
    tracemalloc.start()
    scoring.score(queries)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < table.indices.nbytes / 10


@pytest.mark.parametrize("settings", [{"window": 0}, {"last": 0}, {"decay": -0.1}, {"decay": 1.1}])
def test_rules_refuse_what_makes_no_sense(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="window and last are at least 1, decay lies between 0 and 1"):
        Rules(**settings)  # type: ignore[arg-type]
