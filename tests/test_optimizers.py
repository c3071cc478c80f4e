"""Optimisers by the arithmetic of their first step, by their state, and behind the field of a network."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from ensue.domain import Domain
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.item_vectors import ItemTable
from ensue.model import Training, model_of
from ensue.optimisation import SCHEDULES, parameter_groups, rate, seed_of
from ensue.optimizers import optimizer_of, optimizers
from ensue.rowwise import RowwiseAdagrad
from ensue.side import Users


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
    ("name", "peak"), [("adam", 1e-2), ("sgd", 1.0), ("adagrad", 0.1), ("rowwise", 1e-2)]
)
def test_any_optimiser_learns_the_ring(ring_log: EventLog, name: str, peak: float) -> None:
    course = {"epochs": 40, "patience": 40, "batch_tokens": 64, "learning_rate": peak}
    fitted = model_of("lstm", width=16, length=12, optimizer=name, **course).fit(
        Training.of(ring_log, exclude_seen=False)
    )
    assert [fitted.recommend([i], 1).items[0] for i in "ABCDEFGHIJ"] == list("BCDEFGHIJA")


def test_one_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="no optimizer is called 'adamm'"):
        model_of("lstm", optimizer="adamm")
    with pytest.raises(ConfigError, match="schedule='cosin' must be one of"):
        model_of("lstm", schedule="cosin")


# ----------------------------------------------------------------------------- several steps, by their equations

GRADIENTS, START, RATE, DECAY = (3.0, -1.0, 0.5), 2.0, 0.1, 0.3


def walked(name: str, **settings: object) -> list[float]:
    """Where a weight of 2 stands after each of three steps with weight decay."""
    layer = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(layer.weight, START)
    stepper = optimizer_of({"name": name, **settings}).build(layer, RATE, DECAY)
    places = []
    for gradient in GRADIENTS:
        layer.weight.grad = torch.full_like(layer.weight, gradient)
        stepper.step()
        places.append(float(layer.weight.detach()))
    return places


def by_moments(beta1: float, beta2: float, epsilon: float, *, decay_apart: bool) -> list[float]:
    """Kingma and Ba, algorithm 1; with the decay apart Loshchilov and Hutter, algorithm 2."""
    weight, mean, square, places = START, 0.0, 0.0, []
    for step, gradient in enumerate(GRADIENTS, start=1):
        slope = gradient if decay_apart else gradient + DECAY * weight
        mean = beta1 * mean + (1 - beta1) * slope
        square = beta2 * square + (1 - beta2) * slope**2
        down = (mean / (1 - beta1**step)) / ((square / (1 - beta2**step)) ** 0.5 + epsilon)
        weight -= RATE * (down + (DECAY * weight if decay_apart else 0.0))
        places.append(weight)
    return places


@pytest.mark.parametrize("name", ["adamw", "rowwise"])
def test_weights_decay_apart_from_the_moments(name: str) -> None:
    assert walked(name) == pytest.approx(by_moments(0.9, 0.98, 1e-8, decay_apart=True))
    own = {"beta1": 0.5, "beta2": 0.7, "epsilon": 0.2}
    assert walked(name, **own) == pytest.approx(by_moments(0.5, 0.7, 0.2, decay_apart=True))


def test_adam_takes_the_decay_into_its_moments() -> None:
    assert walked("adam") == pytest.approx(by_moments(0.9, 0.999, 1e-8, decay_apart=False))
    own = {"beta1": 0.5, "beta2": 0.7, "epsilon": 0.2}
    assert walked("adam", **own) == pytest.approx(by_moments(0.5, 0.7, 0.2, decay_apart=False))


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, False), (0.5, True), (0.0, False)])
def test_sgd_runs_along_a_sum_of_gradients(momentum: float, nesterov: bool) -> None:
    weight, total, places = START, 0.0, []
    for gradient in GRADIENTS:
        slope = gradient + DECAY * weight
        total = momentum * total + slope
        weight -= RATE * (slope + momentum * total if nesterov else total)
        places.append(weight)
    assert walked("sgd", momentum=momentum, nesterov=nesterov) == pytest.approx(places)


@pytest.mark.parametrize(("start", "epsilon"), [(0.0, 1e-10), (4.0, 0.5)])
def test_adagrad_divides_by_all_squares_so_far(start: float, epsilon: float) -> None:
    weight, squares, places = START, start, []
    for gradient in GRADIENTS:
        slope = gradient + DECAY * weight
        squares += slope**2
        weight -= RATE * slope / (squares**0.5 + epsilon)
        places.append(weight)
    assert walked("adagrad", start=start, epsilon=epsilon) == pytest.approx(places)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_squares_of_a_row_add_up_over_the_steps(sparse: bool) -> None:
    """Mean squares 12.5 and then 0.5 make 13; a row that is looked up twice has the sum of both gradients."""
    table = nn.Parameter(torch.zeros(3, 2))
    stepper = RowwiseAdagrad([table], 0.1, factor=2.0, epsilon=0.25)
    table.grad = torch.zeros(3, 2).index_add(0, torch.tensor([1, 1]), torch.tensor([[1.0, 4.0], [2.0, 0.0]]))
    if sparse:
        values = torch.tensor([[1.0, 4.0], [2.0, 0.0]])
        table.grad = torch.sparse_coo_tensor(torch.tensor([[1, 1]]), values, (3, 2), check_invariants=False)
    stepper.step()
    first = -0.2 * torch.tensor([3.0, 4.0]) / (12.5**0.5 + 0.25)
    torch.testing.assert_close(table[1], first)
    grad = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    table.grad = grad.to_sparse(1) if sparse else grad
    stepper.step()
    torch.testing.assert_close(table[1], first - 0.2 * torch.tensor([1.0, 0.0]) / (13**0.5 + 0.25))
    torch.testing.assert_close(table[2], -0.2 * torch.tensor([0.0, 2.0]) / (2**0.5 + 0.25))
    assert not table[0].any()


def test_tables_have_a_rate_of_their_own_and_one_step_alone() -> None:
    """A table's first step is table_rate x rate along a row of equal entries; a matrix's is the rate."""
    network = nn.Sequential(ItemTable(2, 3), nn.Linear(3, 1, bias=False), Users(2, 3, "embedding"))
    before = [parameter.detach().clone() for parameter in network.parameters()]
    stepper = optimizer_of({"name": "rowwise", "table_rate": 4.0}).build(network, 0.01, 0.0)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    stepper.step()
    for old, new, step in zip(before, network.parameters(), (0.04, 0.01, 0.04), strict=True):
        torch.testing.assert_close(old - new, torch.full_like(old, step))


def test_a_state_that_was_taken_up_is_the_state_that_is_given() -> None:
    """Of two optimisers in one: each takes its own places, and nothing is left over of the other's."""
    network = nn.Sequential(ItemTable(5, 4), nn.Linear(4, 4))
    early, late = (optimizer_of("rowwise").build(network, 0.01, 0.1) for _ in range(2))
    network(torch.tensor([[1, 3]])).square().sum().backward()
    early.step()
    early.param_groups[0]["lr"] = 0.5
    given = early.state_dict()
    late.load_state_dict(given)
    found = late.state_dict()
    assert set(given["state"]) == set(found["state"]) == {0, 1, 2}
    assert set(given["state"][2]) == {"squares"}
    for place, entry in given["state"].items():
        for name, value in entry.items():
            assert torch.equal(found["state"][place][name], value)
    assert found["param_groups"] == given["param_groups"]
    again = optimizer_of("rowwise").build(network, 0.01, 0.1)
    again.load_state_dict(found)
    assert [len(part.state_dict()["state"]) for part in again.parts] == [2, 1]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "theirs"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)])
def test_steps_and_states_are_those_of_torch(name: str, theirs: type[torch.optim.Adam]) -> None:
    """Bit for bit, also where a parameter comes late, and each goes on from the state of the other."""
    ours, other = (nn.Sequential(ItemTable(5, 4), nn.Linear(4, 3)) for _ in range(2))
    other.load_state_dict(ours.state_dict())
    stepper = optimizer_of({"name": name, "beta1": 0.8, "beta2": 0.9, "epsilon": 1e-3}).build(ours, 0.05, 0.1)
    reference = theirs(parameter_groups(other, 0.1), lr=0.05, betas=(0.8, 0.9), eps=1e-3, fused=True)

    def walk(steps: range) -> None:
        for step in steps:
            for mine, yours in zip(ours.parameters(), other.parameters(), strict=True):
                late = step < 2 and mine.dim() == 1
                mine.grad = None if late else torch.randn(mine.shape)
                yours.grad = None if late else mine.grad.clone()  # type: ignore[union-attr]
            for group in (*stepper.param_groups, *reference.param_groups):
                group["lr"] = 0.05 / (1 + step)
            stepper.step()
            reference.step()
            for mine, yours in zip(ours.parameters(), other.parameters(), strict=True):
                assert torch.equal(mine, yours)

    walk(range(4))
    mine, yours = stepper.state_dict(), reference.state_dict()
    assert {place: set(entry) for place, entry in mine["state"].items()} == {
        place: set(entry) for place, entry in yours["state"].items()
    }
    stepper.load_state_dict(stepper.state_dict() | {"state": yours["state"]})
    reference.load_state_dict(yours | {"state": mine["state"]})
    walk(range(4, 7))


def test_a_state_of_other_parameters_is_refused_and_gradients_are_forgotten() -> None:
    layer, other = nn.Linear(2, 2), nn.Linear(2, 2, bias=False)
    stepper = optimizer_of("adam").build(layer, 0.1, 0.0)
    with pytest.raises(ValueError, match="other groups"):
        stepper.load_state_dict(optimizer_of("adam").build(other, 0.1, 0.0).state_dict())
    layer.weight.grad = torch.ones(2, 2)
    stepper.zero_grad(set_to_none=False)
    assert not layer.weight.grad.any()
    stepper.zero_grad()
    assert [parameter.grad for parameter in layer.parameters()] == [None, None]
    layer.weight.grad = torch.ones(2, 2).to_sparse(1)
    with pytest.raises(RuntimeError, match="rowwise"):
        stepper.step()


TRAINED_ALONE = """
import sys
import polars as pl
from ensue.events.log import EventLog
from ensue.model import Training, model_of
users = [f"u{number // 9}" for number in range(90)]
log = EventLog.of(pl.DataFrame({"user": users, "item": [f"i{number % 7}" for number in range(90)]}))
for optimizer in ("adamw", "rowwise"):
    model = model_of("gru", width=8, epochs=1, optimizer=optimizer)
    assert model.fit(Training.of(log)).facts["steps"] > 0
print(sorted(name for name in sys.modules if name in ("torch._dynamo", "sympy", "torch.onnx")))
"""


def test_a_training_loads_no_compiler() -> None:
    found = subprocess.run(
        [sys.executable, "-c", TRAINED_ALONE], capture_output=True, text=True, check=True, timeout=120
    )
    assert found.stdout.strip() == "[]", found.stdout


def test_a_network_of_tables_alone_decays_in_them() -> None:
    """Two parameter groups; a table decays where nothing else could, and its biases never."""
    plain = nn.Sequential(ItemTable(4, 3), nn.Linear(3, 3))
    decayed, others = parameter_groups(plain, 0.1)
    assert [p.shape for p in decayed["params"]] == [(3, 3)]
    assert [p.shape for p in others["params"]] == [(4, 3), (3,)]
    network = model_of("fpmc", width=3, bias=True, personal="none").network(Domain.of(4))  # type: ignore[attr-defined]
    decayed, others = parameter_groups(network, 0.1)
    assert {id(p) for p in decayed["params"]} == {id(network.items.weight), id(network.head.table)}
    assert [p.shape for p in others["params"]] == [(4,)]
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    stepper = optimizer_of("rowwise").build(network, 0.01, 0.1)  # which knows no decay of tables
    before = network.items.weight.detach().clone()
    network.items.weight.grad = torch.zeros_like(before)
    stepper.step()
    assert torch.equal(network.items.weight, before)


# ----------------------------------------------------------------------------- the rate of a step


def test_schedules_by_their_equations() -> None:
    """Of 100 steps 20 rise; step 60 is half of the way down, step 40 a quarter."""
    for schedule in ("linear", "constant", "cosine"):
        assert [rate(step, 100, 0.2, schedule) for step in (0, 9, 19, 20)] == [0.05, 0.5, 1.0, 1.0]
    found = {name: [rate(step, 100, 0.2, name) for step in (40, 60, 100, 900)] for name in SCHEDULES}
    assert found["linear"] == pytest.approx([0.01 + 0.99 * left for left in (0.75, 0.5, 0.0, 0.0)])
    assert found["cosine"] == pytest.approx([0.01 + 0.99 * left for left in (0.5 + 0.125**0.5, 0.5, 0, 0)])
    assert found["constant"] == [1.0, 1.0, 1.0, 1.0]


def test_every_epoch_and_every_run_has_random_numbers_of_its_own() -> None:
    assert len({seed_of(seed, number) for seed in range(3) for number in range(3)}) == 9
    assert seed_of(1, 2) == seed_of(1, 2)
