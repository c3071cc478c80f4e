"""What holds for every registered loss."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ensue.losses import CrossEntropy, Loss, blocks, loss_of, losses
from ensue.losses.compared import SampledLoss, SourcedLoss
from ensue.losses.negatives import SOURCES
from ensue.scorer import Scorer

M, N, D = 23, 17, 5


def ways() -> list[Loss]:
    """Every loss by its defaults, and every sampled one with few negatives, its own ones, and each source."""
    found: list[Loss] = []
    for name in losses.names():
        kind = losses.get(name)
        found.append(kind())
        if issubclass(kind, SampledLoss):
            found += [kind(4), kind(3, shared=False)] if not issubclass(kind, SourcedLoss) else []
        if issubclass(kind, SourcedLoss):
            found += [kind(4, source=source) for source in SOURCES]
            found += [kind(3, shared=False, source=source) for source in ("even", "popular")]
        if "label_smoothing" in kind.__dataclass_fields__:
            found.append(kind(label_smoothing=0.1))  # type: ignore[call-arg]
    return found


def told(loss: Loss) -> str:
    return str(loss).replace("label_smoothing=0.0", "")


@pytest.fixture(params=ways(), ids=told)
def any_loss(request: pytest.FixtureRequest) -> Loss:
    loss: Loss = request.param
    return loss


def test_every_registered_loss_is_tried() -> None:
    assert {loss.name for loss in ways()} == set(losses.names())


def test_the_gradient_is_that_of_finite_differences(any_loss: Loss, make: Any) -> None:
    problem = make(bias=True)
    rows = slice(0, 6)
    targets, weights = problem.targets[rows], problem.weights[rows]

    def value(queries: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        torch.manual_seed(5)
        scorer = Scorer(table, bias, 1.5, cosine=True, counts=problem.counts)
        return any_loss(queries, targets, weights, scorer)

    assert torch.autograd.gradcheck(
        value, (problem.queries[rows].detach().requires_grad_(), problem.table, problem.bias), fast_mode=True
    )


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_give_finite_numbers(any_loss: Loss, logit: float) -> None:
    torch.manual_seed(0)
    queries = torch.tensor([[1.0], [-1.0], [1.0]], requires_grad=True)
    table = torch.tensor([[logit], [0.0], [logit / 2]], requires_grad=True)
    for targets in ([0, 0, 1], [1, 2, 2]):
        value = any_loss(queries, torch.tensor(targets), torch.ones(3), Scorer(table))
        gradients = torch.autograd.grad(value, [queries, table])
        assert all(bool(torch.isfinite(tensor).all()) for tensor in (value, *gradients))


def settled(loss: Loss) -> bool:
    """Whether the negatives are the same for a part of the queries as for all of them."""
    return not isinstance(loss, SampledLoss) or loss.shared


def test_a_query_of_no_weight_is_as_if_not_there(any_loss: Loss, problem: Any) -> None:
    problem.weights[7:] = 0
    problem.queries.data[7:] *= 3
    whole = problem.gradients(problem.value(any_loss))
    assert torch.equal(whole[1][7:], torch.zeros(M - 7, D, dtype=torch.float64))
    if settled(any_loss):
        part = problem.gradients(problem.value(any_loss, rows=slice(0, 7)))
        for ours, theirs in zip(part, whole, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_only_the_proportions_of_the_weights_count(any_loss: Loss, problem: Any) -> None:
    torch.testing.assert_close(problem.value(any_loss), problem.value(any_loss, factor=8.0))


def test_the_order_of_the_queries_changes_nothing(any_loss: Loss, problem: Any) -> None:
    few = (
        isinstance(any_loss, SourcedLoss) and any_loss.source in ("batch", "mixed") and any_loss.negatives < M
    )
    if few or not settled(any_loss):
        pytest.skip("other negatives are drawn for another order")
    order = torch.randperm(M, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(problem.value(any_loss), problem.value(any_loss, rows=order))


def test_a_step_down_the_gradient_makes_it_smaller(any_loss: Loss, make: Any) -> None:
    problem = make(bias=True, temperature=0.5)
    before, *gradients = problem.gradients(problem.value(any_loss))
    with torch.no_grad():
        for tensor, gradient in zip(problem.leaves, gradients, strict=True):
            tensor -= 0.1 * gradient
    assert float(problem.value(any_loss).detach()) < float(before.detach())


def test_nothing_is_differentiated_where_no_gradient_is_wanted(any_loss: Loss, problem: Any) -> None:
    with torch.no_grad():
        assert not problem.value(any_loss).requires_grad


# ------------------------------------------------------------------------------------------- memory


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


def test_never_all_logits_at_once(any_loss: Loss, problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LOGITS_AT_ONCE", 100)
    with Largest() as seen:  # type: ignore[no-untyped-call]
        problem.gradients(problem.value(any_loss))
    assert seen.most <= max(100 + M, (N + M) * D)
    assert seen.most < M * N


@pytest.mark.parametrize("at_once", [1, 50, 200])
def test_blocks_change_nothing(
    any_loss: Loss, make: Any, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make(bias=True, temperature=0.5)
    whole = problem.gradients(problem.value(any_loss))
    monkeypatch.setattr(blocks, "LOGITS_AT_ONCE", at_once)
    for ours, theirs in zip(problem.gradients(problem.value(any_loss)), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


class Looking(Scorer):
    """A scorer that composes the vectors of some items, and would rather not compose all."""

    @property
    def table(self) -> Tensor:
        raise AssertionError("the whole table was asked for")


def test_only_cross_entropy_asks_for_the_whole_table(any_loss: Loss, problem: Any) -> None:
    scorer = Looking(problem.table, counts=problem.counts)
    if isinstance(any_loss, CrossEntropy):
        pytest.skip("it looks at every item")
    value = any_loss(problem.queries, problem.targets, problem.weights, scorer)
    assert bool(torch.isfinite(value))


# ------------------------------------------------------------------ where there is no negative to find


def ends(do: Callable[[], Tensor], leaves: list[Tensor]) -> list[Tensor]:
    began = time.monotonic()
    value = do()
    found = [value, *torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)]
    assert time.monotonic() - began < 5
    assert all(bool(torch.isfinite(tensor).all()) for tensor in found)
    return found


def test_users_who_have_every_item_are_trained_like_any_other(any_loss: Loss) -> None:
    """8 users go A B C A B C B A: after three events nothing is left that they have not had."""
    walk = torch.tensor([0, 1, 2, 0, 1, 2, 1, 0])
    targets = walk[1:].repeat(8)
    chance = torch.Generator().manual_seed(0)
    queries = torch.randn(len(targets), 4, generator=chance).requires_grad_()
    table = torch.randn(3, 4, generator=chance).requires_grad_()
    scorer = Scorer(table, counts=torch.bincount(targets, minlength=3).float())
    torch.manual_seed(0)
    value, *gradients = ends(
        lambda: any_loss(queries, targets, torch.ones(len(targets)), scorer), [queries, table]
    )
    assert float(value.detach()) > 0
    assert float(gradients[1].abs().max()) > 0


def test_a_catalogue_of_one_item_is_no_obstacle(any_loss: Loss) -> None:
    queries, table = torch.ones(4, 2, requires_grad=True), torch.full((1, 2), 0.5, requires_grad=True)
    targets = torch.zeros(4, dtype=torch.int64)
    value, *_ = ends(lambda: any_loss(queries, targets, torch.ones(4), Scorer(table)), [queries, table])
    if any_loss.name not in ("bce", "gbce"):
        assert float(value.detach()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "name", [name for name in losses.names() if issubclass(losses.get(name), SourcedLoss)]
)
def test_one_query_alone_finds_nothing_in_its_batch(name: str) -> None:
    queries, table = torch.ones(1, 2, requires_grad=True), torch.ones(3, 2, requires_grad=True)
    loss = loss_of({"name": name, "source": "batch"})
    value, *_ = ends(lambda: loss(queries, torch.tensor([1]), torch.ones(1), Scorer(table)), [queries])
    assert float(value.detach()) == 0.0
