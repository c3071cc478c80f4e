"""Scores depend on the history and on nothing else: not on batch mates, padding, window or what comes later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from ensue.batching import pad
from ensue.domain import Domain
from ensue.export import TorchScoring
from ensue.model import Model
from ensue.network import Batch
from ensue.neural_model import NeuralModel
from ensue.ranking import Recommender
from ensue.sequences import Queries


@pytest.fixture(scope="module")
def scoring(network_model: NeuralModel, fit: Callable[[Model], Recommender]) -> TorchScoring:
    scoring = fit(network_model).scoring
    assert isinstance(scoring, TorchScoring)
    return scoring


def batch_of(scoring: TorchScoring, items: np.ndarray) -> Batch:
    """Rows of items of which nothing else is known."""
    fields = {name: torch.from_numpy(found) for name, found in scoring.inputs.nothing(*items.shape).items()}
    return Batch(torch.from_numpy(items.astype(np.int64)), scoring.network.items.n_items, fields)


def test_a_history_scores_alone_as_in_a_batch(
    fitted: Recommender, queries: Queries, tolerance: float
) -> None:
    together = fitted.scores(queries)
    alone = np.concatenate([fitted.scores(queries[q : q + 1]) for q in range(len(queries))])
    np.testing.assert_allclose(alone, together, rtol=0, atol=tolerance)


def test_batch_mates_and_their_order_change_nothing(
    fitted: Recommender, queries: Queries, tolerance: float, seeded: np.random.Generator
) -> None:
    some = seeded.permutation(len(queries))[:17]
    np.testing.assert_allclose(
        fitted.scores(queries[some]), fitted.scores(queries)[some], rtol=0, atol=tolerance
    )


def test_prefixes_that_share_memory_score_as_copies(
    fitted: Recommender, tolerance: float, seeded: np.random.Generator
) -> None:
    n = len(fitted.catalogue)
    history = seeded.integers(0, n, 30).astype(np.int32)
    ends = np.arange(1, 31)
    shared = Queries(history, np.zeros(30, dtype=np.int64), ends, n)
    copies = Queries.of([history[:end] for end in ends], n)
    np.testing.assert_allclose(fitted.scores(shared), fitted.scores(copies), rtol=0, atol=tolerance)


@pytest.mark.parametrize("known", [1, 5, 11, 20])
def test_the_future_changes_no_earlier_answer(
    fitted: Recommender, tolerance: float, seeded: np.random.Generator, known: int
) -> None:
    n = len(fitted.catalogue)
    history = seeded.integers(0, n, 30).astype(np.int32)
    other = history.copy()
    other[known:] = (history[known:] + seeded.integers(1, n, 30 - known)) % n
    ends = np.arange(1, 31)
    before, after = (
        fitted.scores(Queries(items, np.zeros(30, dtype=np.int64), ends, n)) for items in (history, other)
    )
    np.testing.assert_allclose(after[:known], before[:known], rtol=0, atol=tolerance)


def test_padding_changes_no_answer(scoring: TorchScoring, queries: Queries) -> None:
    network, n, length = scoring.network.eval(), queries.n_items, scoring.inputs.length
    starts = np.maximum(queries.starts, queries.ends - length)
    narrow = [pad(queries.items, starts[q : q + 1], queries.ends[q : q + 1], n) for q in range(len(queries))]
    wide = np.full((len(narrow), length), n, dtype=np.int64)
    for row, items in enumerate(narrow):
        wide[row, : items.shape[1]] = items
    with torch.no_grad():
        for row, items in enumerate(narrow):
            steps = torch.arange(items.shape[1])
            padded = network.answers(
                batch_of(scoring, wide), steps.expand(len(narrow), -1), row * len(steps) + steps
            )
            plain = network.answers(batch_of(scoring, items), steps[None], steps)
            torch.testing.assert_close(padded, plain, rtol=0, atol=1e-5)


def test_an_event_at_a_time_is_the_whole_history(scoring: TorchScoring, queries: Queries) -> None:
    """A state that is advanced event by event answers as the whole history does, up to the window's length."""
    network, length = scoring.network.eval(), scoring.inputs.length
    if not network.causal:
        pytest.skip(
            "its answers depend on what a later event makes of the earlier ones: it begins anew each time"
        )
    rows = np.stack(
        [queries.items[start : start + length] for start in queries.starts[queries.lengths >= length]]
    )
    whole = batch_of(scoring, rows)
    with torch.no_grad():
        states = network.states(whole)
        state = network.begin(len(rows))
        for step in range(length):
            fields = {
                name: values if values.dim() == 1 else values[:, step : step + 1]
                for name, values in whole.fields.items()
            }
            event = Batch(whole.items[:, step : step + 1], whole.n_items, fields)
            out, state = network.step(event, state)
            torch.testing.assert_close(out, states[:, step], rtol=0, atol=1e-5)


def test_padding_is_no_item(scoring: TorchScoring) -> None:
    """The index after the last item reads as zeros: no row of the table belongs to it, the first least of all."""
    items = scoring.network.items
    n = items.n_items
    vectors = items(torch.tensor([[0, n, n - 1]]))
    assert torch.equal(vectors[0, 0], items.weight[0])
    assert torch.equal(vectors[0, 1], torch.zeros_like(items.weight[0]))
    assert torch.equal(vectors[0, 2], items.weight[n - 1])


def test_a_larger_maximum_length_changes_no_short_history(
    network_model: NeuralModel, scoring: TorchScoring, queries: Queries
) -> None:
    """Weights that the length makes larger are one row per position: the longer network begins with the same ones."""
    network, length = scoring.network, 3 * network_model.length
    inputs = replace(scoring.inputs, length=length)
    counted = None if network.prior is None else network.prior.table
    domain = Domain(queries.n_items, np.ones(queries.n_items, dtype=np.int64), inputs, prior=counted)
    longer = replace(network_model, length=length).network(domain).eval()
    for name, weight in longer.state_dict().items():
        weight[: len(network.state_dict()[name])] = network.state_dict()[name]
    short = queries[queries.lengths <= network_model.length]
    np.testing.assert_allclose(
        TorchScoring(longer, inputs).score(short), scoring.score(short), rtol=0, atol=1e-5
    )


def test_scores_follow_the_item_and_not_its_place(fitted: Recommender) -> None:
    """Column j is item j: the slate of ids is the one that the catalogue's order gives."""
    catalogue = fitted.catalogue
    history = ["C", "D"]
    scores = fitted.scores(Queries.of([catalogue.encode(history)], len(catalogue)))[0]
    best = fitted.recommend(history, 1, exclude_seen=False).items[0]
    assert best == catalogue.ids[int(np.argmax(scores))]
