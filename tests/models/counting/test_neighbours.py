"""Item neighbours against a plain reading of their definition."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting import neighbours
from ensue.models.counting.neighbours import Neighbours, close_pairs
from ensue.ranking import Recommender
from ensue.sequences import Queries

ITEMS = "abcdef"
logs = st.lists(st.text(ITEMS, min_size=1, max_size=12), min_size=1, max_size=6)
a_history = st.text(ITEMS, min_size=1, max_size=10)
shares = st.sampled_from([0.0, 0.3, 0.7, 1.0])

CLASSIC = Neighbours(neighbours=100, window=100, fade=1.0, backward=1.0, shrinkage=0.0, last=1)
"""As published: the cosine between the items' vectors over sequences."""


def fitted(model: Neighbours, sequences: list[str]) -> Recommender:
    rows = [(f"u{n}", item) for n, sequence in enumerate(sequences) for item in sequence]
    return model.fit(Training.of(EventLog.of(pl.DataFrame(rows, schema=["user", "item"], orient="row"))))


def scores_of(recommender: Recommender, history: str) -> dict[str, float]:
    codes = recommender.catalogue.encode([item for item in history if item in set(recommender.catalogue.ids)])
    row = recommender.scores(Queries.of([codes], len(recommender.catalogue)))[0]
    return dict(zip(recommender.catalogue.ids, row.tolist(), strict=True))


def read_plainly(model: Neighbours, sequences: list[str], history: str) -> dict[str, float]:
    """The definition, word by word, with a 1e-9 share of popularity."""
    events = "".join(sequences)
    known = sorted(set(events), key=lambda item: (-events.count(item), item))
    similar: dict[str, list[tuple[float, str]]] = {}
    for a in known:
        found = []
        for b in known:
            close = 0.0
            for sequence in sequences:
                for i, left in enumerate(sequence):
                    for j, right in enumerate(sequence):
                        if left == a and right == b and 0 < abs(j - i) <= model.window and a != b:
                            close += model.fade ** (abs(j - i) - 1) * (1 if j > i else model.backward)
            if close > 0:
                scale = sqrt(events.count(a)) * sqrt(events.count(b)) + model.shrinkage
                found.append((close / scale, b))
        similar[a] = sorted(found, key=lambda pair: -pair[0])[: model.neighbours]
    scores = {item: 1e-9 * events.count(item) / len(events) for item in known}
    for back, item in enumerate(reversed([item for item in history if item in scores])):
        for similarity, b in similar[item] if back < model.last else ():
            scores[b] += model.decay**back * similarity
    return scores


@given(logs, a_history, st.integers(1, 12), shares, shares, st.sampled_from([0.0, 5.0]), st.integers(1, 9))
def test_neighbours_are_their_definition(
    sequences: list[str],
    history: str,
    window: int,
    fade: float,
    backward: float,
    shrinkage: float,
    last: int,
) -> None:
    model = Neighbours(100, window, fade, backward, shrinkage, last, decay=0.6)
    if any(item in "".join(sequences) for item in history):
        expected = read_plainly(model, sequences, history)
        assert scores_of(fitted(model, sequences), history) == pytest.approx(expected, rel=1e-10)


@given(logs, a_history, st.integers(1, 3))
def test_only_the_nearest_are_kept(sequences: list[str], history: str, k: int) -> None:
    """With numbers that are exact, equals are equal: the more frequent item comes first, then the id."""
    model = Neighbours(k, window=2, fade=0.5, backward=0.25, shrinkage=1e9, last=5, decay=1.0)
    if any(item in "".join(sequences) for item in history):
        assert scores_of(fitted(model, sequences), history) == pytest.approx(
            read_plainly(model, sequences, history), rel=1e-9
        )


def test_by_hand() -> None:
    """a b c and c a: b stands 1 after a, c stands 2 after a once and 1 before it once."""
    model = Neighbours(window=2, fade=0.5, backward=0.25, shrinkage=3.0, last=1)
    expected = {
        "a": 0.0,
        "b": 1 / (sqrt(2 * 1) + 3),
        "c": (0.5 + 0.25) / (sqrt(2 * 2) + 3),
    }
    share = {"a": 2 / 5, "b": 1 / 5, "c": 2 / 5}
    assert scores_of(fitted(model, ["abc", "ca"]), "a") == pytest.approx(
        {item: expected[item] + 1e-9 * share[item] for item in expected}
    )


def test_without_repeats_it_is_the_cosine_over_sequences(seeded: np.random.Generator) -> None:
    sequences = ["".join(seeded.permutation(list(ITEMS))[: seeded.integers(1, 7)]) for _ in range(30)]
    held = np.array([[item in sequence for sequence in sequences] for item in ITEMS], dtype=float)
    cosine = held @ held.T / np.sqrt(np.outer(held.sum(axis=1), held.sum(axis=1)))
    recommender = fitted(CLASSIC, sequences)
    for a, item in enumerate(ITEMS):
        found = scores_of(recommender, item)
        for b, other in enumerate(ITEMS):
            assert found[other] == pytest.approx(cosine[a, b] if a != b else 0, abs=1e-8)


def test_an_item_is_no_neighbour_of_its_own() -> None:
    assert scores_of(fitted(Neighbours(last=1), ["aaaab"]), "a")["a"] == pytest.approx(1e-9 * 4 / 5)


def test_the_order_counts_unless_it_is_ignored() -> None:
    sequences = ["abc", "abc", "abc"]
    assert scores_of(fitted(replace(CLASSIC, backward=0.0), sequences), "b")["a"] < 1e-8
    assert scores_of(fitted(CLASSIC, sequences), "b")["a"] == pytest.approx(1.0)


def test_the_newest_item_counts_most() -> None:
    recommender = fitted(Neighbours(decay=0.5, last=2, window=1, shrinkage=0.0), ["ax", "by"])
    found = scores_of(recommender, "aaab")
    assert found["x"] == pytest.approx(0.5, abs=1e-8)
    assert found["y"] == pytest.approx(1.0, abs=1e-8)
    assert scores_of(recommender, "abb")["x"] < 1e-8  # a is the third last


def test_no_pair_reaches_over_the_end_of_a_sequence() -> None:
    found = scores_of(fitted(replace(CLASSIC, last=3), ["ab", "cd"]), "b")
    assert found["a"] > 0.9
    assert max(found["c"], found["d"]) < 1e-8


@pytest.mark.parametrize("at_once", [1, 7, 60, 1000])
def test_blocks_change_nothing(
    at_once: int, monkeypatch: pytest.MonkeyPatch, seeded: np.random.Generator
) -> None:
    sequences = ["".join(seeded.choice(list(ITEMS), 30)) for _ in range(4)]
    model = Neighbours(neighbours=2, window=3)
    whole = fitted(model, sequences)
    monkeypatch.setattr(neighbours, "PAIRS_AT_ONCE", at_once)
    training = Training.of(EventLog.of(pl.DataFrame({"user": ["u"] * 6, "item": list(ITEMS)})))
    blocks = list(close_pairs(training.sequences, 1, 1.0, 0.0))
    assert sum(table.shape[0] for _, table in blocks) == 6
    assert (len(blocks) > 1) == (at_once < 6)
    for item in ITEMS:
        assert scores_of(fitted(model, sequences), item) == scores_of(whole, item)


def test_a_restored_model_gives_the_same_bits(seeded: np.random.Generator) -> None:
    first = fitted(Neighbours(neighbours=3), ["".join(seeded.choice(list(ITEMS), 30)) for _ in range(4)])
    again = replace(first, scoring=Neighbours().restore(first.scoring.parts(), first.catalogue))
    for history in ("a", "fcab", "abcdefabcdef"):
        assert scores_of(again, history) == scores_of(first, history)


@pytest.mark.parametrize("name", ["neighbours", "window", "last"])
def test_numbers_are_at_least_1(name: str) -> None:
    with pytest.raises(ConfigError, match=f"neighbours: {name}=0 must be at least 1"):
        Neighbours(**{name: 0})


@pytest.mark.parametrize("name", ["fade", "backward", "decay"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_shares_lie_from_0_to_1(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"neighbours: {name}=.* must lie from 0 to 1"):
        Neighbours(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_shrinkage_is_a_number_from_0_up(value: float) -> None:
    with pytest.raises(ConfigError, match=r"shrinkage=.* must be a number from 0 up, such as 50"):
        Neighbours(shrinkage=value)
