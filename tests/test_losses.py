"""Losses against torch's own, against plain arithmetic, and by their laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ensue import losses as module
from ensue.errors import ConfigError
from ensue.losses import CrossEntropy, Loss, SampledSoftmax, loss_of, losses
from ensue.network import Head, Scorer

M, N, D = 23, 17, 5


class Batch:
    """Queries, targets, weights, and a head in double precision, each with its gradient."""

    def __init__(self, *, bias: bool = False, temperature: float = 0.0, seed: int = 0) -> None:
        chance = torch.Generator().manual_seed(seed)
        self.queries = torch.randn(M, D, dtype=torch.float64, generator=chance).requires_grad_()
        self.targets = torch.randint(0, N, (M,), generator=chance)
        self.weights = torch.rand(M, dtype=torch.float64, generator=chance)
        self.head = Head(N, D, tied=False, bias=bias, temperature=temperature).double()
        for parameter in self.head.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, dtype=torch.float64, generator=chance))

    def scorer(self) -> Scorer:
        return self.head.scorer(torch.zeros(0))

    def loss_and_gradients(self, loss: Loss) -> list[Tensor]:
        return self.with_gradients(loss(self.queries, self.targets, self.weights, self.scorer()))

    def with_gradients(self, value: Tensor) -> list[Tensor]:
        return [value, *torch.autograd.grad(value, [self.queries, *self.head.parameters()])]

    def full(self, label_smoothing: float) -> Tensor:
        """What torch makes of all logits at once."""
        each = torch.nn.functional.cross_entropy(
            self.scorer().logits(self.queries),
            self.targets,
            reduction="none",
            label_smoothing=label_smoothing,
        )
        return (self.weights * each).sum() / self.weights.sum()


# -------------------------------------------------------------------------------------- cross-entropy


@pytest.mark.parametrize("at_once", [1, N, 3 * N + 1, M * N, 10**9])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("bias", "temperature"), [(False, 0.0), (True, 0.0), (True, 0.2)])
def test_cross_entropy_and_its_gradients_are_those_of_torch(
    monkeypatch: pytest.MonkeyPatch, at_once: int, label_smoothing: float, bias: bool, temperature: float
) -> None:
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", at_once)
    batch = Batch(bias=bias, temperature=temperature)
    found = batch.loss_and_gradients(CrossEntropy(label_smoothing))
    expected = batch.with_gradients(batch.full(label_smoothing))
    assert len(found) == 1 + 2 + bias
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_cross_entropy_of_two_items_by_hand() -> None:
    """Logits ln 3 and 0 give the shares 3/4 and 1/4."""
    scorer = Scorer(torch.tensor([[1.0], [0.0]]))
    queries, ones = torch.tensor([[math.log(3)], [math.log(3)]]), torch.ones(2)
    plain = CrossEntropy()(queries, torch.tensor([0, 1]), ones, scorer)
    assert float(plain) == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)
    smooth = CrossEntropy(0.2)(queries[:1], torch.tensor([0]), ones[:1], scorer)
    assert float(smooth) == pytest.approx(-(0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4)))


def test_the_gradient_is_that_of_finite_differences() -> None:
    batch = Batch(bias=True)
    assert batch.head.table is not None
    assert batch.head.bias is not None
    table, bias = batch.head.table.detach().requires_grad_(), batch.head.bias.detach().requires_grad_()

    def loss(queries: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        return CrossEntropy(0.1)(queries, batch.targets, batch.weights, Scorer(table, bias, scale=1.5))

    assert torch.autograd.gradcheck(loss, (batch.queries, table, bias))


def test_a_factor_on_the_loss_is_one_on_its_gradient() -> None:
    batch = Batch()
    once = batch.with_gradients(CrossEntropy()(batch.queries, batch.targets, batch.weights, batch.scorer()))
    thrice = batch.with_gradients(
        3 * CrossEntropy()(batch.queries, batch.targets, batch.weights, batch.scorer())
    )
    for one, three in zip(once, thrice, strict=True):
        torch.testing.assert_close(three, 3 * one)


@pytest.mark.parametrize("logit", [1e4, -1e4])
@pytest.mark.parametrize("described", losses.names())
def test_extreme_logits_give_finite_numbers(described: str, logit: float) -> None:
    queries = torch.tensor([[1.0], [-1.0], [1.0]], requires_grad=True)
    table = torch.tensor([[logit], [0.0], [logit / 2]], requires_grad=True)
    value = loss_of(described)(queries, torch.tensor([0, 0, 1]), torch.ones(3), Scorer(table))
    gradients = torch.autograd.grad(value, [queries, table])
    assert all(bool(torch.isfinite(tensor).all()) for tensor in (value, *gradients))
    if described == "cross-entropy":
        # One query is sure of its target, one is sure of the opposite, one misses by the whole logit.
        assert float(value.detach()) == pytest.approx(2e4 / 3 if logit > 0 else (1e4 + 0) / 3, rel=1e-5)


class Largest(TorchDispatchMode):
    """Notes the most numbers that any tensor holds."""

    most = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.most = max(self.most, result.numel())
        return result


def test_never_all_logits_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 4 * N)
    batch = Batch()
    with Largest() as seen:  # type: ignore[no-untyped-call]
        batch.loss_and_gradients(CrossEntropy(0.1))
    assert seen.most == max(4 * N, N * D, M * D)
    assert seen.most < M * N


# ------------------------------------------------------------------------------------ sampled softmax


@pytest.mark.parametrize("negatives", [N, N + 100])
@pytest.mark.parametrize(("bias", "temperature"), [(False, 0.0), (True, 0.2)])
def test_with_all_items_drawn_it_is_the_full_loss(negatives: int, bias: bool, temperature: float) -> None:
    batch = Batch(bias=bias, temperature=temperature)
    found = batch.loss_and_gradients(SampledSoftmax(negatives))
    expected = batch.with_gradients(batch.full(0.0))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_target_among_the_negatives_counts_once(seed: int) -> None:
    """Against plain Python: a negative that is the target is left out, the others stand for all N - 1."""
    batch, negatives = Batch(bias=True), 4
    torch.manual_seed(seed)
    found = SampledSoftmax(negatives)(batch.queries, batch.targets, batch.weights, batch.scorer())
    torch.manual_seed(seed)
    drawn = torch.randperm(N)[:negatives].tolist()
    logits, total = batch.scorer().logits(batch.queries).tolist(), 0.0
    assert set(drawn) & set(batch.targets.tolist()), "no accidental hit to test"
    for row, target, weight in zip(logits, batch.targets.tolist(), batch.weights.tolist(), strict=True):
        others = [math.exp(row[item]) for item in drawn if item != target]
        mass = math.exp(row[target]) + (N - 1) * sum(others) / len(others)
        total += weight * -math.log(math.exp(row[target]) / mass)
    assert float(found.detach()) == pytest.approx(total / float(batch.weights.sum()))


def test_over_many_draws_the_mass_of_all_items_is_estimated_without_bias() -> None:
    """Loss plus the target's logit is the log of the mass; its exponential is right on average."""
    batch = Batch()
    query, target = batch.queries[:1].detach(), batch.targets[:1]
    logits = batch.scorer().logits(query)[0].detach()
    one = torch.ones(1, dtype=torch.float64)
    torch.manual_seed(0)
    draws = torch.stack([SampledSoftmax(3)(query, target, one, batch.scorer()).detach() for _ in range(3000)])
    masses = (draws + logits[target[0]]).exp()
    standard_error = float(masses.std() / len(masses) ** 0.5)
    assert float(masses.mean()) == pytest.approx(float(logits.exp().sum()), abs=4 * standard_error)


def test_the_only_negative_may_be_the_target() -> None:
    value = SampledSoftmax(1)(torch.ones(1, 1), torch.tensor([0]), torch.ones(1), Scorer(torch.ones(1, 1)))
    assert float(value) == 0.0


# -------------------------------------------------------------------------------------- laws of all


@pytest.fixture(params=losses.names())
def any_loss(request: pytest.FixtureRequest) -> Loss:
    return loss_of(request.param)


def test_a_query_of_no_weight_is_as_if_not_there(any_loss: Loss) -> None:
    batch = Batch()
    batch.weights[7:] = 0
    torch.manual_seed(1)
    whole = any_loss(batch.queries, batch.targets, batch.weights, batch.scorer())
    torch.manual_seed(1)
    part = any_loss(batch.queries[:7], batch.targets[:7], batch.weights[:7], batch.scorer())
    torch.testing.assert_close(whole, part)


def test_only_the_proportions_of_the_weights_count(any_loss: Loss) -> None:
    batch = Batch()
    values = []
    for factor in (1.0, 8.0):
        torch.manual_seed(1)
        values.append(any_loss(batch.queries, batch.targets, factor * batch.weights, batch.scorer()))
    torch.testing.assert_close(values[0], values[1])


def test_a_step_down_the_gradient_makes_it_smaller(any_loss: Loss) -> None:
    batch = Batch(bias=True, temperature=0.5)
    torch.manual_seed(1)
    before, *gradients = batch.loss_and_gradients(any_loss)
    with torch.no_grad():
        for tensor, gradient in zip([batch.queries, *batch.head.parameters()], gradients, strict=True):
            tensor -= 0.1 * gradient
    torch.manual_seed(1)
    after = any_loss(batch.queries, batch.targets, batch.weights, batch.scorer())
    assert float(after.detach()) < float(before.detach())


def test_nothing_is_differentiated_where_no_gradient_is_wanted(any_loss: Loss) -> None:
    batch = Batch()
    with torch.no_grad():
        value = any_loss(batch.queries, batch.targets, batch.weights, batch.scorer())
    assert not value.requires_grad


# ------------------------------------------------------------------------------------------ by name


def test_losses_are_found_by_name_and_by_table() -> None:
    assert losses.names() == ("cross-entropy", "sampled-softmax")
    assert loss_of("cross-entropy") == CrossEntropy()
    assert loss_of({"name": "cross-entropy", "label_smoothing": 0.1}) == CrossEntropy(0.1)
    assert loss_of({"name": "sampled-softmax", "negatives": 3}) == SampledSoftmax(3)


@pytest.mark.parametrize(
    ("described", "says"),
    [
        ("cross-entrpy", "no loss is called 'cross-entrpy'; there are cross-entropy, sampled-softmax. "
         "Did you mean 'cross-entropy'?"),
        ({"negatives": 3}, "A loss needs a name, such as {name = \"cross-entropy\"}; got {'negatives': 3}."),
        ({"name": "sampled-softmax", "negative": 3}, "The loss sampled-softmax has no setting 'negative'; "
         "it has negatives. Did you mean 'negatives'?"),
        ({"name": "sampled-softmax", "negatives": "many"}, "The loss sampled-softmax: negatives = 'many': "
         "input should be a valid integer."),
        ({"name": "sampled-softmax", "negatives": 0}, "sampled-softmax: negatives=0 must be at least 1."),
        ({"name": "cross-entropy", "label_smoothing": 1}, "cross-entropy: label_smoothing=1 must lie from 0 "
         "up to 1."),
    ],
)  # fmt: skip
def test_a_wrong_loss_gives_one_clear_line(described: Any, says: str) -> None:
    with pytest.raises(ConfigError) as told:
        loss_of(described)
    assert str(told.value) == says
