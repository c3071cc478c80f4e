"""GRU4Rec: the schedule of sequences side by side, and the state that is carried along them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ensue.batching import Stretches, windows
from ensue.domain import Domain
from ensue.errors import ConfigError
from ensue.feeding import Feed
from ensue.inputs import Inputs
from ensue.models.neural.gru4rec import CarryingEncoder, GRU4Rec, dealt, side_by_side
from ensue.network import Batch, Network
from ensue.sequences import Sequences

N = 11


def offsets_of(lengths: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.cumsum([0, *lengths]).astype(np.int64)


def epoch(lengths: list[int], lanes: int, steps: int, seed: int = 0) -> list[Stretches]:
    return list(side_by_side(offsets_of(lengths), lanes, steps, np.random.default_rng(seed)))


def sequences_of(lengths: list[int], rng: np.random.Generator) -> Sequences:
    items = rng.integers(0, N, sum(lengths)).astype(np.int32)
    keys = pl.Series([f"{s}" for s in range(len(lengths))])
    return Sequences(items, offsets_of(lengths), keys, N)


def network_of(**settings: Any) -> Network:
    """A network whose states differ much: large weights, no dropout."""
    torch.manual_seed(2)
    network = GRU4Rec(width=5, length=6, dropout=0.0, **settings).network(Domain.of(N))
    for parameter in network.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.5)
    return network.train()


lengths = st.lists(st.integers(0, 12), max_size=25)
widths = st.integers(1, 9)
strides = st.integers(1, 5)


@given(lengths=lengths, lanes=widths, steps=strides, seed=st.integers(0, 9))
def test_every_target_of_every_sequence_is_trained_once(
    lengths: list[int], lanes: int, steps: int, seed: int
) -> None:
    inputs = [
        place
        for batch in epoch(lengths, lanes, steps, seed)
        for start, end in zip(batch.starts, batch.ends, strict=True)
        for place in range(start, end)
    ]
    ends = offsets_of(lengths)[1:]
    expected = [end - n + place for n, end in zip(lengths, ends, strict=True) for place in range(n - 1)]
    assert sorted(inputs) == expected


@given(lengths=lengths, lanes=widths, steps=strides, seed=st.integers(0, 9))
def test_a_row_goes_on_where_the_same_row_of_the_batch_before_ended_or_begins_a_sequence(
    lengths: list[int], lanes: int, steps: int, seed: int
) -> None:
    firsts = set(offsets_of(lengths)[:-1].tolist())
    before = np.zeros(0, dtype=np.int64)
    for batch in epoch(lengths, lanes, steps, seed):
        assert batch.fresh is not None
        assert 1 <= len(batch.starts) <= lanes
        assert len(batch.starts) <= len(before) or len(before) == 0  # only ever narrower
        assert len(before) > 0 or batch.fresh.all()
        for row, (start, fresh) in enumerate(zip(batch.starts, batch.fresh, strict=True)):
            assert start in firsts if fresh else start == before[row]
        before = batch.ends


@given(lengths=lengths, lanes=widths, steps=strides, seed=st.integers(0, 9))
def test_a_row_is_short_only_where_its_sequence_ends(
    lengths: list[int], lanes: int, steps: int, seed: int
) -> None:
    ends = set((offsets_of(lengths)[1:] - 1).tolist())
    for batch in epoch(lengths, lanes, steps, seed):
        sizes = batch.ends - batch.starts
        assert (sizes >= 1).all()
        assert (sizes <= steps).all()
        assert all(end in ends for end in batch.ends[sizes < steps])


@given(lengths=lengths, lanes=widths, steps=strides, seed=st.integers(0, 9))
def test_lanes_end_within_one_longest_sequence_of_each_other(
    lengths: list[int], lanes: int, steps: int, seed: int
) -> None:
    batches = epoch(lengths, lanes, steps, seed)
    pieces = [-(-(n - 1) // steps) for n in lengths if n > 1]
    if not pieces:
        assert batches == []
        return
    assert len(batches[0].starts) == min(lanes, sum(pieces) // max(pieces))
    loads = [sum(len(batch.starts) > row for batch in batches) for row in range(len(batches[0].starts))]
    assert sum(loads) == sum(pieces)
    assert max(loads) - min(loads) <= max(pieces)


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=60), lanes=st.integers(1, 7))
def test_each_sequence_is_dealt_to_the_lane_that_has_least(sizes: list[int], lanes: int) -> None:
    """With up to eight lanes none is dealt to early: the loads are those of one sequence after the other."""
    sizes = sorted(sizes, reverse=True)
    expected = [0] * lanes
    for size in sizes:
        expected[expected.index(min(expected))] += size
    lane, loads = dealt(np.array(sizes), lanes)
    assert sorted(loads.tolist()) == sorted(expected)
    assert np.bincount(lane, weights=sizes, minlength=lanes).tolist() == loads.tolist()


def test_lanes_end_together_where_sequences_differ_much(seeded: np.random.Generator) -> None:
    """Of 2,000 sequences with 1 to 400 targets, 100 lanes differ by a hundredth; by chance it would be far more."""
    sizes = np.sort(seeded.geometric(0.02, 2000).clip(max=400))[::-1]
    _, loads = dealt(sizes, 100)
    assert loads.max() - loads.min() <= 0.01 * loads.mean()
    by_chance = sizes[seeded.permutation(2000)].reshape(100, 20).sum(axis=1)
    assert by_chance.max() - by_chance.min() > 0.5 * loads.mean()


def test_one_long_sequence_does_not_go_on_alone() -> None:
    """100 targets beside fifty times 4: three lanes of 100 each, however many are allowed."""
    sizes = {len(batch.starts) for batch in epoch([101] + [5] * 50, 40, 1)}
    assert sizes == {3}


def test_the_order_is_another_in_every_epoch_and_the_same_for_the_same_seed() -> None:
    def starts(seed: int) -> list[int]:
        found: list[int] = np.concatenate([batch.starts for batch in epoch([4] * 30, 5, 1, seed)]).tolist()
        return found

    assert starts(0) == starts(0)
    assert starts(0) != starts(1)


def test_neighbours_in_length_do_not_stay_together() -> None:
    """Which sequence follows which in a lane is drawn anew: over epochs, a sequence is met early and late."""
    places = []
    for seed in range(40):
        for place, batch in enumerate(epoch([9, 3, 3, 3, 3, 3], 1, 1, seed)):
            if 0 in batch.starts:
                places.append(place)
    assert set(places) == {2 * n for n in range(6)}


@pytest.mark.parametrize(("tokens", "steps", "rows"), [(6, 1, 6), (6, 2, 3), (7, 3, 2), (2, 5, 1)])
def test_a_batch_holds_as_many_tokens_as_the_model_says(
    tokens: int, steps: int, rows: int, seeded: np.random.Generator
) -> None:
    model = GRU4Rec(batch_tokens=tokens, steps=steps, length=3)
    sequences = sequences_of([9] * 20, seeded)
    batches = list(model.plan(sequences, *windows(sequences.offsets, 3), seeded))
    assert len(batches[0].starts) == rows
    assert {int(n) for batch in batches for n in batch.ends - batch.starts} <= set(range(1, steps + 1))


@pytest.mark.parametrize("settings", [{}, {"layers": 2}, {"item_vectors": "one-hot"}])
@pytest.mark.parametrize(("lanes", "steps"), [(1, 1), (3, 1), (3, 2), (50, 4)])
def test_the_states_side_by_side_are_those_of_the_whole_sequences(
    settings: dict[str, Any], lanes: int, steps: int, seeded: np.random.Generator
) -> None:
    """Nothing is cut: the state at every event is what one long recurrence over its sequence gives."""
    network = network_of(**settings)
    sequences = sequences_of([7, 2, 1, 12, 5, 5, 3, 2, 9], seeded)
    feed = Feed(sequences, Inputs(), torch.device("cpu"))
    for seed in range(2):  # the second epoch begins anew, whatever the first has left behind
        found = torch.full((len(sequences.items), 5), torch.nan)
        for stretches in side_by_side(sequences.offsets, lanes, steps, np.random.default_rng(seed)):
            states = network.states(feed.batch(stretches)).detach()
            for row, (start, end) in enumerate(zip(stretches.starts, stretches.ends, strict=True)):
                found[start:end] = states[row, : end - start]
        for first, last in zip(sequences.offsets[:-1], sequences.offsets[1:] - 1, strict=True):
            if last > first:
                items = torch.from_numpy(sequences.items[first:last].astype(np.int64))[None]
                whole = network.states(Batch(items, N)).detach()[0]
                torch.testing.assert_close(found[first:last], whole, atol=1e-6, rtol=0)


def batch_of(items: list[list[int]], fresh: list[bool] | None) -> Batch:
    return Batch(torch.tensor(items), N, fresh=None if fresh is None else torch.tensor(fresh))


def test_no_gradient_flows_back_into_an_earlier_batch() -> None:
    network = network_of()
    inputs: list[Tensor] = []
    for items, fresh in (([[1], [2]], [True, True]), ([[3], [4]], [False, True])):
        x = network.embedded(batch_of(items, fresh)).detach().requires_grad_()
        states = network.encoder(x, batch_of(items, fresh))
        inputs.append(x)
    states.sum().backward()
    assert inputs[0].grad is None
    assert inputs[1].grad is not None
    assert bool((inputs[1].grad != 0).any())


def test_within_a_batch_the_gradient_reaches_back_over_its_steps() -> None:
    network = network_of(steps=2)
    batch = batch_of([[1, 2]], [True])
    x = network.embedded(batch).detach().requires_grad_()
    network.encoder(x, batch)[:, 1].sum().backward()
    assert x.grad is not None
    assert bool((x.grad[:, 0] != 0).all())


def test_scoring_and_fresh_rows_begin_with_nothing_and_scoring_leaves_what_is_carried_alone() -> None:
    network = network_of()
    with torch.no_grad():
        alone = network.states(batch_of([[5]], None))
        network.states(batch_of([[1], [2]], [True, True]))
        assert isinstance(network.encoder, CarryingEncoder)
        carried = network.encoder.carried.clone()
        torch.testing.assert_close(network.states(batch_of([[5]], None)), alone, atol=0, rtol=0)
        assert torch.equal(network.encoder.carried, carried)
        mixed = network.states(batch_of([[5], [5]], [True, False]))
    torch.testing.assert_close(mixed[:1], alone, atol=1e-6, rtol=0)
    assert float((mixed[1] - alone[0]).abs().max()) > 1e-2


def test_what_is_carried_is_not_saved() -> None:
    network = network_of()
    network.states(batch_of([[1], [2]], [True, True]))
    assert not [name for name in network.state_dict() if "carried" in name]


def test_a_state_that_is_no_number_ends_with_its_sequence() -> None:
    network = network_of()
    assert isinstance(network.encoder, CarryingEncoder)
    network.encoder.carried = torch.full((1, 2, 5), torch.nan)
    states = network.states(batch_of([[1], [2]], [True, False]))
    assert bool(torch.isfinite(states[0]).all())


def test_the_gates_take_a_one_hot_input_straight() -> None:
    """r, z, n of Hidasi et al., equations 1 to 4, where row i of the table is W_r, W_z and W_n times one-hot i."""
    network = network_of(item_vectors="one-hot").double().eval()
    value = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
    assert value["items.weight"].shape == (N, 3 * 5)
    u, b, d = (value[f"encoder.recurrence.{name}_l0"] for name in ("weight_hh", "bias_ih", "bias_hh"))
    hidden = np.zeros(5)
    for item in (3, 7, 3):
        taken = value["items.weight"][item] * 15**0.5 + b
        (xr, xz, xn), (hr, hz, hn) = np.split(taken, 3), np.split(u @ hidden + d, 3)
        r, z = 1 / (1 + np.exp(-xr - hr)), 1 / (1 + np.exp(-xz - hz))
        hidden = (1 - z) * np.tanh(xn + r * hn) + z * hidden
    with torch.no_grad():
        found = network.states(batch_of([[3, 7, 3]], None))[0, -1].numpy()
        scores = network(torch.tensor([[3, 7, 3]]), torch.tensor([[2]]), torch.tensor([0]))[0].numpy()
    np.testing.assert_allclose(found, hidden, atol=1e-12)
    np.testing.assert_allclose(scores, value["head.table"] @ hidden + value["head.bias"], atol=1e-12)


def test_training_leaves_the_gates_of_a_one_hot_input_to_the_table() -> None:
    network = network_of(item_vectors="one-hot")
    network.states(batch_of([[1], [2]], [True, True])).sum().backward()
    taken = dict(network.named_parameters())["encoder.recurrence.weight_ih_l0"]
    assert torch.equal(taken, torch.eye(15))
    assert taken.grad is None
    assert network.items.weight.grad is not None


@pytest.mark.parametrize(
    ("settings", "tables"),
    [({}, 1), ({"tied": False}, 2), ({"item_vectors": "one-hot"}, 2), ({"item_vectors": "hashed"}, 0)],
)
def test_the_constrained_embedding_has_one_table_for_input_and_output(
    settings: dict[str, Any], tables: int
) -> None:
    network = GRU4Rec(width=4, **settings).network(Domain.of(N))
    assert sum(len(parameter) == N for parameter in network.parameters() if parameter.dim() == 2) == tables


@pytest.mark.parametrize("settings", [{"layers": 2}, {"item_vectors": "one-hot"}])
def test_stepping_is_the_whole(settings: dict[str, Any], seeded: np.random.Generator) -> None:
    network = network_of(**settings).eval()
    items = torch.from_numpy(seeded.integers(0, N, (3, 9)))
    with torch.no_grad():
        whole, state = network.states(Batch(items, N)), network.begin(3)
        for step in range(9):
            out, state = network.step(Batch(items[:, step : step + 1], N), state)
            torch.testing.assert_close(out, whole[:, step], atol=1e-5, rtol=0)


@pytest.mark.parametrize("settings", [{"layers": 0}, {"steps": 0}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"gru4rec: layers=.*both are at least 1"):
        GRU4Rec(**settings)
