"""Histories of every kind: unknown items, none at all, a single one, and more than a model looks at."""

from __future__ import annotations

import numpy as np
import pytest

from ensue.model import Model
from ensue.neural_model import NeuralModel
from ensue.ranking import Recommender
from ensue.sequences import Queries

RING = "ABCDEFGHIJ"


def test_unknown_items_are_left_out_and_named(fitted: Recommender) -> None:
    slate = fitted.recommend(["?", "C", "x", "D", "?"], 10)
    plain = fitted.recommend(["C", "D"], 10)
    assert slate.items == plain.items
    assert slate.scores == pytest.approx(plain.scores, abs=1e-5)
    assert slate.unknown == ("?", "x")
    assert not slate.fallback


@pytest.mark.parametrize("history", [[], ["?"], ["x", "y", "x"]])
def test_without_a_known_item_popularity_answers_and_says_so(fitted: Recommender, history: list[str]) -> None:
    slate = fitted.recommend(history, 10)
    assert slate.fallback
    assert slate.items == tuple(fitted.catalogue.ids)  # most frequent first, then by id
    assert slate.scores == tuple(fitted.catalogue.counts / fitted.catalogue.counts.sum())


def test_a_batch_may_mix_empty_and_other_histories(fitted: Recommender, tolerance: float) -> None:
    n = len(fitted.catalogue)
    histories: list[list[int]] = [[], [3], [], [1, 2], []]
    together = fitted.scores(Queries.of(histories, n))
    alone = np.concatenate([fitted.scores(Queries.of([history], n)) for history in histories])
    np.testing.assert_allclose(together, alone, rtol=0, atol=tolerance)


def test_no_histories_give_no_answers(fitted: Recommender) -> None:
    n = len(fitted.catalogue)
    assert fitted.scores(Queries.of([], n)).shape == (0, n)
    assert fitted.recommend_many([], 3) == []


@pytest.mark.parametrize("item", RING)
def test_a_single_event_is_enough(fitted: Recommender, item: str) -> None:
    slate = fitted.recommend([item], 10, exclude_seen=True)
    assert len(slate) == 9
    assert item not in slate.items
    assert not slate.fallback


def test_all_of_a_long_history_is_excluded_not_only_what_the_model_sees(fitted: Recommender) -> None:
    history = ["A", "B", *("CDEFGHI" * 40)]
    assert fitted.recommend(history, 10, exclude_seen=True).items == ("J",)


def test_of_a_long_history_the_newest_events_count(model: Model, fitted: Recommender) -> None:
    """The last `length` items give the same answer as all of them."""
    whole_history = 0 if model.name in ("last-seen", "repeats", "mixture") else 1
    seen: int = getattr(model, "length", getattr(model, "last", whole_history))
    jumps = [RING[3 * step % 10] for step in range(497)]
    for history in (list(RING * 50), jumps + list("HIJ"), jumps + list(RING) * 2):
        whole = fitted.recommend(history, 10, exclude_seen=False)
        end = fitted.recommend(history[-seen:], 10, exclude_seen=False)
        assert whole.items == end.items
        assert whole.scores == pytest.approx(end.scores, abs=1e-5)


def test_the_answer_to_a_long_history_follows_its_last_event(model: Model, fitted: Recommender) -> None:
    baskets = ("personal", "tifu-knn", "up-cf", "last-seen", "repeats", "mixture")
    if model.name in ("neighbours", "v-sknn", "stan", "als", *baskets):
        ends = [fitted.recommend(list(RING * 30)[:n], 10, exclude_seen=False) for n in (295, 300)]
        assert ends[0].items != ends[1].items
    elif isinstance(model, NeuralModel) or model.name in (
        "markov",
        "markov-time",
        "rules",
        "log-linear",
    ):
        for end in range(10):
            history = [RING[(end + step) % 10] for step in range(-300, 1)]
            assert fitted.recommend(history, 1, exclude_seen=False).items == (RING[(end + 1) % 10],)
    else:
        first, second = (fitted.recommend(list(RING * 30)[:n], 10, exclude_seen=False) for n in (295, 300))
        assert first.items == second.items
