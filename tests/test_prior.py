"""A prior inside the softmax: its arithmetic in every loss, and what training asks of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from tests.test_prior_table import ROWS
from tests.test_resume import COURSE
from tests.test_transitions import sequences_of
from torch import Tensor

from ensue.augment import augmentation_of
from ensue.batching import Stretches
from ensue.events.log import EventLog
from ensue.feeding import Augmenting, Feed
from ensue.inputs import Inputs
from ensue.losses import CrossEntropy, blocks, loss_of
from ensue.model import Training, model_of
from ensue.network import Batch
from ensue.prior import Prior, Told
from ensue.prior_table import Transitions
from ensue.scorer import Scorer
from ensue.sequences import Sequences

N, D, M = 5, 3, 7
CPU = torch.device("cpu")
RECENT = np.array([[0, N], [1, 0], [2, 1], [N, N], [4, 3], [0, 0], [0, 1]])


def told() -> Told:
    table = Transitions.counted(sequences_of([*ROWS, [3, 4, 0]]), 2, 2, 0.5, 4)
    prior = Prior(table.answering).double()
    with torch.no_grad():
        prior.alpha.fill_(0.6)
        prior.log_scale.fill_(math.log(7))
    return Told(prior, table, table.rows(RECENT))


def plainly(known: Told) -> Tensor:
    """`[M, N]` what is added, from the masses as the rules score them, with a graph."""
    mass = torch.from_numpy(known.table.mass(known.rows).toarray()).double()
    return known.prior.alpha * torch.log(1 + known.prior.log_scale.exp() * mass)


def problem() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Queries, table, bias, targets and weights."""
    chance = torch.Generator().manual_seed(0)
    leaves = [
        torch.randn(*shape, dtype=torch.float64, generator=chance).requires_grad_()
        for shape in ((M, D), (N, D), (N,))
    ]
    targets = torch.tensor([1, 2, 3, 0, 4, 2, 1])
    return *leaves, targets, torch.rand(M, dtype=torch.float64, generator=chance)  # type: ignore[return-value]


def test_the_addition_begins_as_what_the_table_says() -> None:
    """With alpha 1 and equal scores, items are as likely as one part in N and their mass."""
    table = Transitions.counted(sequences_of(ROWS), 2, 2, 0.5, 3)
    prior = Prior(table)
    mass = torch.tensor([0.0, 0.1, 0.4, 0.5, 0.0])
    shares = torch.softmax(prior(mass), dim=0)
    torch.testing.assert_close(shares, (1 / N + mass) / (N * 1 / N + 1.0))
    assert prior(torch.zeros(3)).tolist() == [0, 0, 0]


def test_every_way_of_asking_a_scorer_adds_the_same() -> None:
    queries, table, bias, targets, _ = problem()
    known = told()
    plain = Scorer(table, bias)
    scorer, added = plain.told(known), plainly(known)
    torch.testing.assert_close(scorer.logits(queries), plain.logits(queries) + added)
    some = torch.tensor([4, 1, 1])
    torch.testing.assert_close(scorer.some(queries, some), plain.some(queries, some) + added[:, some])
    each = torch.stack([targets, (targets + 1) % N], dim=1)
    torch.testing.assert_close(scorer.each(queries, each), plain.each(queries, each) + added.gather(1, each))
    own = added[torch.arange(M), targets]
    torch.testing.assert_close(scorer.own(queries, targets), plain.own(queries, targets) + own)
    places, mass = known.entries()
    flat = torch.zeros(M * N, dtype=torch.float64)
    flat[places] = known.prior(mass)
    assert len(places.unique()) == len(places)
    torch.testing.assert_close(flat.reshape(M, N), added)
    part = slice(2, 5)
    torch.testing.assert_close(scorer.of(part).logits(queries[part]), scorer.logits(queries)[part])
    assert plain.of(part) is plain


def gradients(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    return [value, *torch.autograd.grad(value, leaves)]


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_the_whole_softmax_is_torchs_and_so_are_its_gradients(
    smoothing: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Block by block or at once; alpha and scale among what is learnt."""
    monkeypatch.setattr(blocks, "LOGITS_AT_ONCE", rows * N)
    queries, table, bias, targets, weights = problem()
    known = told()
    leaves = [queries, table, bias, *known.prior.parameters()]
    loss = CrossEntropy(smoothing)
    found = gradients(loss(queries, targets, weights, Scorer(table, bias, 2.0).told(known)), leaves)
    each = torch.nn.functional.cross_entropy(
        2.0 * queries @ table.T + bias + plainly(known), targets, reduction="none", label_smoothing=smoothing
    )
    expected = gradients((weights * each).sum() / weights.sum(), leaves)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert all(abs(float(gradient)) > 1e-3 for gradient in expected[-2:])


@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize("shared", [True, False])
def test_a_softmax_over_all_negatives_is_the_whole_one(
    shared: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "LOGITS_AT_ONCE", rows * N * (1 if shared else D))
    queries, table, bias, targets, weights = problem()
    known = told()
    leaves = [queries, table, bias, *known.prior.parameters()]
    scorer = Scorer(table, bias).told(known)
    sampled = loss_of({"name": "sampled-softmax", "negatives": N, "shared": shared})
    found = gradients(sampled(queries, targets, weights, scorer), leaves)
    torch.testing.assert_close(found, gradients(CrossEntropy()(queries, targets, weights, scorer), leaves))


def test_a_batch_without_any_mass_still_has_a_gradient_of_zero() -> None:
    """Every process of a team then has the same parameters to average."""
    queries, table, bias, targets, weights = problem()
    known = replace(told(), rows=np.full((M, 2), -1))
    for loss in (CrossEntropy(), loss_of("sampled-softmax")):
        value = loss(queries, targets, weights, Scorer(table, bias).told(known))
        assert [float(g) for g in torch.autograd.grad(value, list(known.prior.parameters()))] == [0, 0]


def feed_of(sequences: Sequences, table: Transitions, *augmented: str) -> Feed:
    augmenting = Augmenting(tuple(map(augmentation_of, augmented)), 1.0)
    return Feed(sequences, Inputs(length=4), CPU, augmenting, prior=table)


def items_of(table: Transitions, rows: np.ndarray, fold: int) -> list[list[int]]:
    """The items whose rows are asked; all of them of this fold."""
    asked = rows[rows >= 0]
    assert (asked // table.n_items == fold).all()
    return [[int(row) % table.n_items for row in step if row >= 0] for step in rows]


def test_a_batch_asks_about_the_last_items_of_the_sequence_in_the_table_without_its_user() -> None:
    sequences = sequences_of([[0, 1], [2, 3, 4, 1, 0], [3, 3]])
    table = Transitions.counted(sequences, 2, 3, 0.5, 2)
    batch = feed_of(sequences, table).batch(Stretches(np.array([4, 7]), np.array([6, 8])))
    assert batch.asked is not None
    histories = batch.asked.histories
    assert [histories.items[a:b].tolist() for a, b in zip(histories.starts, histories.ends, strict=True)] == [
        [2, 3, 4], [2, 3, 4, 1], [3], []
    ]  # fmt: skip
    # the first row begins with the third event of its sequence, and looks back to what came before it
    assert items_of(table, batch.asked.rows[0], 1) == [[4, 3, 2], [1, 4, 3]]
    assert items_of(table, batch.asked.rows[1], 0) == [[3], []]
    assert (batch.asked.rows[1, 1] == -1).all()


def test_an_augmented_row_asks_about_its_own_items_and_nothing_that_is_masked() -> None:
    sequences = sequences_of([[0, 1, 2, 3, 4]])
    table = Transitions.counted(sequences, 2, 5, 0.5, 2)
    feed = feed_of(sequences, table, "mask")
    feed.begin(np.random.default_rng(2))
    batch = feed.batch(Stretches(np.array([0]), np.array([4])))
    assert batch.asked is not None
    shown = [int(item) for item in batch.items[0]]
    assert N in shown
    expected = [[item for item in shown[step::-1] if item < N] for step in range(4)]
    assert items_of(table, batch.asked.rows[0], 0) == expected


def test_hidden_places_ask_about_what_came_before_them() -> None:
    """Of a row with the items 0 to 3 and 4 after them, place p asks about p - 1, and the first about nothing."""
    items, later = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[1, 2, 3, 4]])
    log = EventLog.of(pl.DataFrame({"user": ["u"] * 5, "item": list("abcde")}))
    for name, settings in (
        ("bert4rec", {"mask_share": 1.0, "last_share": 0.0}),
        ("xlnet", {"predicted": 1.0}),
    ):
        model = model_of(name, **COURSE, **settings)
        network = model.network(model.domain(Training.of(log)))  # type: ignore[attr-defined]
        found = network.train().sought(Batch(items, N, later=later))
        places = dict(zip(found.targets.tolist(), found.places.tolist(), strict=True))
        assert places == {item: item - 1 for item in range(0 if name == "bert4rec" else 1, 5)}
