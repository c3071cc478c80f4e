"""Optimisers by the arithmetic of their first step, by their state, and behind the field of a network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.item_vectors import ItemTable
from ensue.model import Training, model_of
from ensue.optimizers import optimizer_of, optimizers
from ensue.rowwise import RowwiseAdagrad


def stepped(name: str, gradient: float, **settings: float) -> float:
    """Where a weight of 1 stands after one step at rate 0.1."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    stepper = optimizer_of({"name": name, **settings}).build(layer, 0.1, 0.0)
    layer.weight.grad = torch.full_like(layer.weight, gradient)
    stepper.step()
    return float(layer.weight.detach())


def test_first_steps() -> None:
    assert stepped("adamw", 7.0) == pytest.approx(1 - 0.1)  # whatever the gradient's size
    assert stepped("adam", 7.0) == pytest.approx(1 - 0.1)
    assert stepped("sgd", 2.0) == pytest.approx(1 - 0.1 * 2.0)


def test_row_wise_steps_touch_the_rows_with_a_gradient_alone() -> None:
    """The row (3, 4) has mean square 12.5: it moves by the rate times (3, 4) / sqrt(12.5)."""
    table = nn.Parameter(torch.zeros(3, 2))
    for dense in (True, False):
        table.data.zero_()
        stepper = RowwiseAdagrad([table], 0.1)
        grad = torch.zeros(3, 2)
        grad[1] = torch.tensor([3.0, 4.0])
        table.grad = grad if dense else grad.to_sparse(1)
        stepper.step()
        assert table[[0, 2]].abs().sum() == 0
        torch.testing.assert_close(table[1], -0.1 * torch.tensor([3.0, 4.0]) / 12.5**0.5)


@pytest.mark.parametrize("name", optimizers.names())
def test_a_state_that_is_taken_up_goes_on_as_if_nothing_had_been(name: str) -> None:
    def made() -> tuple[nn.Module, object]:
        torch.manual_seed(0)
        network = nn.Sequential(ItemTable(5, 4), nn.Linear(4, 4))
        return network, optimizer_of(name).build(network, 0.01, 0.1)

    def run(network: nn.Module, stepper: object, steps: int) -> None:
        for _ in range(steps):
            stepper.zero_grad()  # type: ignore[attr-defined]
            network(torch.tensor([[1, 3]])).square().sum().backward()
            stepper.step()  # type: ignore[attr-defined]

    whole, stepper = made()
    run(whole, stepper, 6)
    first, early = made()
    run(first, early, 3)
    second, late = made()
    second.load_state_dict(first.state_dict())
    late.load_state_dict(early.state_dict())  # type: ignore[attr-defined]
    run(second, late, 3)
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("name", "rate"), [("adam", 1e-2), ("sgd", 1.0), ("adagrad", 0.1), ("rowwise", 1e-2)]
)
def test_any_optimiser_learns_the_ring(ring_log: EventLog, name: str, rate: float) -> None:
    course = {"epochs": 40, "patience": 40, "batch_tokens": 64, "learning_rate": rate}
    fitted = model_of("lstm", width=16, length=12, optimizer=name, **course).fit(
        Training.of(ring_log, exclude_seen=False)
    )
    assert [fitted.recommend([i], 1).items[0] for i in "ABCDEFGHIJ"] == list("BCDEFGHIJA")


def test_one_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="no optimizer is called 'adamm'"):
        model_of("lstm", optimizer="adamm")
    with pytest.raises(ConfigError, match="schedule='cosin' must be one of"):
        model_of("lstm", schedule="cosin")
