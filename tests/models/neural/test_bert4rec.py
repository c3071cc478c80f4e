"""BERT4Rec: what training hides and shows, what an answer may see, and the equations of its output."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.asking import asked
from torch import nn

from ensue.domain import Domain
from ensue.encodings import Encodings
from ensue.errors import ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.export import TorchScoring, to_onnx
from ensue.inputs import USER, Inputs
from ensue.model import Training
from ensue.models.neural.bert4rec import BERT4Rec, BertEncoder, BertNetwork, hiding
from ensue.network import Batch
from ensue.sequences import Queries

N, LENGTH, D = 9, 6, 8


def network_of(**settings: Any) -> BertNetwork:
    """A network over nine items with positions and mask as large as the vectors, ready to answer."""
    torch.manual_seed(0)
    given = {"width": D, "length": LENGTH, **settings}
    network = BERT4Rec(**given).network(Domain.of(N)).eval()
    assert isinstance(network, BertNetwork)
    encoder = network.encoder
    assert isinstance(encoder, BertEncoder)
    nn.init.normal_(encoder.mask)
    nn.init.normal_(network.items.weight)
    if encoder.positions is not None:
        nn.init.normal_(encoder.positions)
    return network


def batch_of(*rows: list[int]) -> Batch:
    """Rows of inputs and the item after them, right-padded, as the trainer makes them."""
    items = torch.full((len(rows), max(map(len, rows)) - 1), N)
    later = items.clone()
    for place, row in enumerate(rows):
        items[place, : len(row) - 1] = torch.tensor(row[:-1])
        later[place, : len(row) - 1] = torch.tensor(row[1:])
    return Batch(items, N, {}, later)


ROWS = ([0, 1, 2, 3, 4, 5, 6], [7, 8], [3, 1, 3, 8])


@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=9),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 1000),
)
def test_each_row_hides_something_and_never_padding(
    counts: list[int], share: float, last_share: float, seed: int
) -> None:
    torch.manual_seed(seed)
    count = torch.tensor(counts)[:, None]  # events of each row; its last place is in the last column
    order = torch.cat([torch.arange(7).expand(len(counts), 7), count], dim=1)
    real = torch.cat([order[:, :7] < count, torch.ones_like(count, dtype=torch.bool)], dim=1)
    read, hidden = hiding(real, order, share, last_share)
    assert not (read & ~real).any()
    assert not (hidden & ~read).any()
    assert (hidden.sum(dim=1) >= 1).all()
    if last_share == 1.0:  # one alone, the last that is read, and never the first of the row
        assert (hidden.sum(dim=1) == 1).all()
        last = (order * read).amax(dim=1)
        assert (order[hidden] == last).all()
        assert last.min() >= 1
        assert (read.sum(dim=1) == last + 1).all()
    if last_share == 0.0:
        assert torch.equal(read, real)
        if share == 1.0:
            assert torch.equal(hidden, real)
        if share == 0.0:
            assert (hidden.sum(dim=1) == 1).all()


def test_places_are_hidden_as_often_as_they_should_be() -> None:
    """2,000 rows of 40 places; a mean of n draws lies within 4 standard errors of its share."""
    torch.manual_seed(0)
    rows, places, share = 2000, 40, 0.3
    order = torch.arange(places).expand(rows, places)
    real = torch.ones(rows, places, dtype=torch.bool)
    _, hidden = hiding(real, order, share, 0.0)
    assert abs(hidden.float().mean() - share) < 4 * (share * (1 - share) / (rows * places)) ** 0.5
    assert (hidden.float().mean(dim=0) - share).abs().max() < 5 * (share * (1 - share) / rows) ** 0.5
    _, few = hiding(real, order, 0.0, 0.0)  # the one of each row is drawn evenly
    assert (few.float().mean(dim=0) - 1 / places).abs().max() < 5 * (1 / places / rows) ** 0.5
    read, _ = hiding(real, order, share, 0.25)
    uncut = 0.75 + 0.25 / (places - 1)  # a cut after the last place cuts nothing
    assert abs(read.all(dim=1).float().mean() - uncut) < 4 * (0.2 * 0.8 / rows) ** 0.5
    read, _ = hiding(real, order, share, 1.0)
    sizes = torch.bincount(read.sum(dim=1), minlength=places + 1)[2:] / rows
    assert (sizes - 1 / (places - 1)).abs().max() < 5 * (1 / places / rows) ** 0.5


def test_targets_are_the_hidden_items() -> None:
    network = network_of(mask_share=1.0, last_share=0.0)
    queries, targets = network.pairs(batch_of(*ROWS))
    # all places: the columns of the inputs row by row, each row's last place at its end
    assert targets.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 1, 3, 8]
    assert queries.shape == (13, D)


@pytest.mark.parametrize("positions", ["learnt", "rotary"])
@pytest.mark.parametrize("last_share", [0.0, 1.0])
def test_a_hidden_item_is_nowhere_in_the_inputs(positions: str, last_share: float) -> None:
    """Changing hidden items changes the targets and nothing else; changing a shown one changes the states."""
    network = network_of(positions=positions, mask_share=0.4, last_share=last_share)
    batch = batch_of(*ROWS)
    for seed in range(10):
        torch.manual_seed(seed)
        queries, targets = network.pairs(batch)
        torch.manual_seed(seed)
        places = torch.arange(6).expand(3, 6)
        count = torch.tensor([[6], [1], [3]])
        order = torch.cat([places, count], dim=1)
        real = torch.cat([places < count, torch.ones_like(count, dtype=torch.bool)], dim=1)
        read, hidden = hiding(real, order, 0.4, last_share)
        rows = [list(row) for row in ROWS]
        for row, column in torch.nonzero(hidden | (real & ~read)).tolist():
            rows[row][int(order[row, column])] = (rows[row][int(order[row, column])] + 1) % N
        torch.manual_seed(seed)
        other, moved = network.pairs(batch_of(*rows))
        assert torch.equal(queries, other)
        assert torch.equal(moved, (targets + 1) % N)
        shown = torch.nonzero(read & ~hidden).tolist()
        if shown:
            row, column = shown[0]
            rows[row][int(order[row, column])] = (rows[row][int(order[row, column])] + 3) % N
            torch.manual_seed(seed)
            assert not torch.allclose(network.pairs(batch_of(*rows))[0], other, atol=1e-4)


@pytest.mark.parametrize("positions", ["learnt", "rotary"])
@pytest.mark.parametrize("block", ["post-norm", "pre-norm", "gated"])
def test_a_question_is_trained_as_it_is_asked(positions: str, block: str) -> None:
    """With the last place alone hidden, training's query is the answer to the history before it."""
    network = network_of(positions=positions, block=block, last_share=1.0)
    batch = batch_of(*ROWS)
    seen = set()
    with torch.no_grad():
        for seed in range(12):
            torch.manual_seed(seed)
            queries, targets = network.pairs(batch)
            for row, query, target in zip(ROWS, queries, targets, strict=True):
                matches = [
                    end
                    for end in range(1, len(row))
                    if row[end] == target
                    and torch.allclose(
                        network.answers(
                            Batch(torch.tensor([row[:end]]), N), torch.tensor([[end - 1]]), torch.tensor([0])
                        ),
                        query,
                        atol=1e-5,
                    )
                ]
                assert len(matches) == 1
                seen.add((len(row), matches[0]))
    assert len({end for size, end in seen if size == 7}) >= 4  # of many lengths


@pytest.mark.parametrize("positions", ["learnt", "rotary"])
def test_an_answer_sees_nothing_after_its_step(positions: str) -> None:
    network = network_of(positions=positions)
    items = torch.tensor([[0, 1, 2, 3, 4, 5], [6, 7, 8, N, N, N]])
    rows, steps = torch.tensor([0, 0, 1, 0, 1]), torch.tensor([5, 2, 2, 0, 0])
    with torch.no_grad():
        together = network.answers(Batch(items, N), *asked(rows, steps))
        for answer, row, step in zip(together, rows, steps, strict=True):
            alone = network.answers(
                Batch(items[row : row + 1, : step + 1], N), step[None, None], torch.tensor([0])
            )
            torch.testing.assert_close(alone[0], answer, rtol=0, atol=1e-5)
        first = Batch(torch.tensor([[1, 0, 2], [0, 0, 2]]), N)
        ends = network.answers(first, torch.tensor([[2], [2]]), torch.tensor([0, 1]))
    assert (ends[0] - ends[1]).abs().max() > 1e-3  # while all before it is seen


def test_every_place_sees_all_real_ones_and_no_padding() -> None:
    network = network_of()
    items = torch.tensor([[0, 1, 2, N, N], [0, 1, 7, N, N], [0, 1, 2, 3, 4]])
    with torch.no_grad():
        states = network.states(Batch(items, N))
        short = network.states(Batch(items[:1, :3], N))
    torch.testing.assert_close(states[0, :3], short[0], rtol=0, atol=1e-5)
    assert (states[0, 0] - states[1, 0]).abs().max() > 1e-3  # a first place sees a later one
    assert (states[0, 0] - states[2, 0]).abs().max() > 1e-3


def test_places_are_counted_from_the_end() -> None:
    """One block less than one: norm(x + p), then the output. The last real place takes the first position."""
    torch.manual_seed(0)
    encoder = BertEncoder(D, LENGTH + 1, 0, 2, 0.0, False, "post-norm", "gelu", (0.3, 0.1)).eval()
    assert encoder.positions is not None
    x = torch.randn(2, 4, D)
    items = torch.tensor([[1, 1, 1, 1], [1, 1, N, N]])
    places = torch.stack([encoder.positions[[3, 2, 1, 0]], encoder.positions[[1, 0, 0, 0]]])
    normed = nn.functional.layer_norm(x + places, (D,))
    linear = encoder.out[0]
    assert isinstance(linear, nn.Linear)
    h = normed @ linear.weight.T + linear.bias
    gelu = h * 0.5 * (1 + torch.erf(h / 2**0.5))
    expected = nn.functional.layer_norm(gelu, (D,))
    found = encoder(x, Batch(items, N))
    for row, size in ((0, 4), (1, 2)):
        torch.testing.assert_close(found[row, :size], expected[row, :size])


def test_scores_are_those_of_the_paper() -> None:
    """Equation 7: the output against the item vectors, with a number per item; here as plain products."""
    network = network_of(temperature=0.0)
    assert network.head.bias is not None
    nn.init.normal_(network.head.bias)
    items, steps, places = torch.tensor([[4, 2, 0]]), torch.tensor([[2]]), torch.tensor([0])
    with torch.no_grad():
        state = network.answers(Batch(items, N), steps, places)
        expected = state @ network.items.weight.T + network.head.bias
        torch.testing.assert_close(network(items, steps, places), expected)


def test_an_event_that_is_read_as_no_item_is_a_place_like_any_other() -> None:
    """As an augmentation leaves it: its item is still known from what came next, save for a row's first event."""
    network = network_of(mask_share=1.0, last_share=0.0)
    items = torch.tensor([[0, N, 2, 3], [N, 5, 6, N], [7, N, N, N]])
    later = torch.tensor([[1, 2, 3, 4], [5, 6, 8, N], [8, 1, N, N]])
    _, targets = network.pairs(Batch(items, N, later=later))
    assert targets.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 7, 8, 1]
    other = network_of(mask_share=0.0, last_share=1.0)
    with torch.no_grad():
        ends = set()
        for seed in range(20):
            torch.manual_seed(seed)
            queries, targets = other.pairs(Batch(items[:1], N, later=later[:1]))
            end = int(targets[0])  # the row counts from 0, so that an item is its place
            ends.add(end)
            before = Batch(items[:1, :end], N)
            expected = other.answers(before, torch.tensor([[end - 1]]), torch.tensor([0]))
            torch.testing.assert_close(queries, expected, rtol=0, atol=1e-5)
    assert ends == {1, 2, 3, 4}


def test_mask_and_positions_begin_as_large_as_the_vectors() -> None:
    """Vectors and mask have a deviation of 0.02 and are multiplied by sqrt(400) = 20; positions of 0.02 x 20."""
    torch.manual_seed(0)
    network = BERT4Rec(width=400, length=50, dropout=0.0).network(Domain.of(N))
    encoder = network.encoder
    assert isinstance(encoder, BertEncoder)
    assert encoder.positions is not None
    assert float(encoder.positions.detach().std()) == pytest.approx(0.4, rel=0.05)
    assert float(encoder.mask.detach().std()) == pytest.approx(0.02, rel=0.15)
    assert float(network.embedded(Batch(torch.arange(N)[None], N)).detach().std()) == pytest.approx(
        0.4, rel=0.1
    )


def test_the_mask_enters_as_an_item_would() -> None:
    """A hidden place reads as one whose item has the mask's vector."""
    network = network_of(last_share=1.0)
    encoder = network.encoder
    assert isinstance(encoder, BertEncoder)
    with torch.no_grad():
        found = network.answers(Batch(torch.tensor([[4, 2]]), N), torch.tensor([[1]]), torch.tensor([0]))
        network.items.weight[7] = encoder.mask
        full = network.states(Batch(torch.tensor([[4, 2, 7]]), N))
    torch.testing.assert_close(found[0], full[0, 2])


def test_each_question_is_answered_for_the_user_of_its_row() -> None:
    """Rows of two users, asked about in another order and more than once."""
    torch.manual_seed(0)
    encodings = Encodings.fit({USER: pl.Series(["a", "b", "c"])}, [USER])
    domain = Domain(N, np.ones(N, dtype=np.int64), Inputs((USER,), encodings, LENGTH, causal=False))
    for personal in ("embedding", "adapter"):
        network = BERT4Rec(width=D, length=LENGTH, personal=personal).network(domain).eval()
        assert network.users is not None
        nn.init.normal_(network.users.table)
        items, users = torch.tensor([[4, 2], [4, 2]]), torch.tensor([2, 0])
        rows, steps = torch.tensor([1, 0, 1]), torch.tensor([1, 1, 0])
        with torch.no_grad():
            found = network.answers(Batch(items, N, {USER: users}), *asked(rows, steps))
            for answer, row, step in zip(found, rows.tolist(), steps.tolist(), strict=True):
                alone = Batch(items[row : row + 1, : step + 1], N, {USER: users[row : row + 1]})
                expected = network.answers(alone, torch.tensor([[step]]), torch.tensor([0]))[0]
                torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5)
        assert (found[0] - found[1]).abs().max() > 1e-3


def test_the_catalogue_holds_no_mask() -> None:
    network = network_of()
    assert network.items.weight.shape == (N, D)
    assert network(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([0])).shape == (1, N)


@pytest.mark.parametrize(
    "settings", [{}, {"positions": "rotary", "block": "gated", "feed_forward": "swiglu"}]
)
def test_the_exported_graph_answers_as_torch_does(settings: dict[str, Any]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network = network_of(**settings)
    inputs = Inputs(length=LENGTH, causal=False)
    session = onnxruntime.InferenceSession(to_onnx(network, inputs), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    histories = [rng.integers(0, N, size).tolist() for size in (1, 2, 3, 5, 6, 9, 6, 1)]
    queries = Queries.of(histories, N)
    expected = TorchScoring(network, inputs).score(queries)
    for tokens in (1, 10_000):
        for which, arrays in inputs.feeds(queries, tokens):
            found = session.run(["scores"], arrays)[0]
            np.testing.assert_allclose(found, expected[which], rtol=0, atol=1e-5)


def test_it_carries_no_state() -> None:
    with pytest.raises(ModelError, match="bert4rec looks both ways and carries no state"):
        network_of().begin(2)


def test_a_ring_is_learnt(ring_log: EventLog) -> None:
    """From histories of any length; the last place alone is mostly hidden, since a gap has two neighbours to go by."""
    model = BERT4Rec(
        width=16,
        length=12,
        dropout=0.1,
        epochs=120,
        patience=120,
        batch_tokens=64,
        learning_rate=1e-2,
        last_share=0.9,
    )
    fitted = model.fit(Training.of(ring_log, exclude_seen=False))
    ring = "ABCDEFGHIJ"
    for length in (1, 2, 5, 11, 40):
        for start in range(10):
            history = [ring[(start + step) % 10] for step in range(length)]
            best = fitted.recommend(history, 1, exclude_seen=False).items
            assert best == (ring[(start + length) % 10],), (start, length)


def test_automatic_epochs_grow_with_what_each_leaves_out(ring_log: EventLog) -> None:
    sequences = Training.of(ring_log).sequences
    heard: list[str] = []
    plain = BERT4Rec(mask_share=1.0).suited(sequences)
    assert BERT4Rec(mask_share=0.25).suited(sequences, heard.append).epochs == 4 * plain.epochs
    assert BERT4Rec(mask_share=0.25).suited(sequences).patience == 2 * plain.epochs
    assert heard[-1].startswith(f"bert4rec: {4 * plain.epochs} epochs")
    assert BERT4Rec(epochs=3, patience=2).suited(sequences).epochs == 3
    assert BERT4Rec(patience=2).suited(sequences).patience == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"heads": 3}, "bert4rec: 3 heads do not divide a width of 64"),
        ({"mask_share": 1.5}, r"bert4rec: mask_share=1.5 must lie from 0 to 1"),
        ({"last_share": -0.1}, r"bert4rec: last_share=-0.1 must lie from 0 to 1"),
        ({"block": "postnorm"}, "bert4rec: block='postnorm' must be .* Did you mean 'post-norm'"),
        ({"positions": "learned"}, "bert4rec: positions='learned' must be learnt or rotary"),
        ({"feed_forward": "x"}, "bert4rec: feed_forward='x' must be gelu or relu or swiglu"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        BERT4Rec(**settings)
