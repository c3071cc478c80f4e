"""Training batches, augmented or not, and the views that are compared with each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from ensue.aiming import Aiming
from ensue.augment import augmentation_of
from ensue.batching import Stretches, windows
from ensue.contrast import Contrast, Contrasting
from ensue.domain import Domain
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.feeding import Augmenting, Feed
from ensue.inputs import Inputs, waits
from ensue.losses.contrastive import InfoNCE
from ensue.model import Conditions, Training, model_of
from ensue.network import Batch, Network
from ensue.suiting import shares

CPU = torch.device("cpu")


@pytest.fixture
def training(ring_log: EventLog) -> Training:
    return Training.of(ring_log, exclude_seen=False)


def test_a_batch_holds_inputs_and_what_came_next(training: Training) -> None:
    feed = Feed(training.sequences, Inputs(length=5), CPU)
    batch = feed.batch(Stretches(np.array([0, 21]), np.array([3, 22])))
    items = training.sequences.items
    assert batch.items.tolist() == [items[:3].tolist(), [items[21], 10, 10]]
    assert batch.later is not None
    assert batch.later.tolist() == [items[1:4].tolist(), [items[22], 10, 10]]


def test_augmented_rows_are_views_and_the_rest_stays(training: Training) -> None:
    """Of 20 rows about half are cropped to 60 %; every row goes on by one in the ring, whatever was cut."""
    sequences = training.sequences
    starts = sequences.offsets[:-1]
    feed = Feed(sequences, Inputs(length=20), CPU, Augmenting((augmentation_of("crop"),), 0.5))
    feed.begin(np.random.default_rng(0))
    batch = feed.batch(Stretches(starts, starts + 20))
    lengths = (batch.items != 10).sum(dim=1).tolist()
    assert set(lengths) == {20, int(0.6 * 21) - 1}
    assert 4 <= lengths.count(20) <= 16
    ids = np.array(["ABCDEFGHIJ".index(i) for i in training.catalogue.ids] + [-1])
    assert batch.later is not None
    now, later = ids[batch.items.numpy()], ids[batch.later.numpy()]
    assert ((now + 1) % 10 == later)[now >= 0].all()


def test_a_masked_event_is_read_as_nothing_and_still_guessed(training: Training) -> None:
    feed = Feed(training.sequences, Inputs(length=20), CPU, Augmenting((augmentation_of("mask"),), 1.0))
    feed.begin(np.random.default_rng(0))
    batch = feed.batch(Stretches(np.array([0]), np.array([20])))
    assert batch.later is not None
    assert (batch.later != 10).sum() == 20
    assert 0 < int((batch.items == 10).sum()) < 20


@pytest.fixture
def numbered() -> Training:
    """Two users; every event's time and rating say where it stands, so that a column that slips is seen."""
    frame = pl.DataFrame(
        {
            "user": ["a"] * 9 + ["b"] * 8,
            "item": [f"i{n}" for n in range(17)],
            "time": [n * 1_000_000 for n in range(17)],
            "rating": [float(n) for n in range(17)],
        }
    )
    return Training.of(EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))))


@pytest.mark.parametrize("choices", [(), ("crop",), ("reorder",), ("drop", "subsequence")])
def test_other_columns_and_users_stay_with_their_events(numbered: Training, choices: tuple[str, ...]) -> None:
    sequences = numbered.sequences
    inputs = Inputs.fit(sequences, ("time", "user"), length=9, causal=True)
    augmenting = Augmenting(tuple(augmentation_of(name) for name in choices), 0.5)
    feed = Feed(sequences, inputs, CPU, augmenting, ratings=True)
    feed.begin(np.random.default_rng(1))
    place = np.array([int(item[1:]) for item in numbered.catalogue.ids])
    for _ in range(10):
        batch = feed.batch(Stretches(np.array([0, 4, 9, 12]), np.array([4, 8, 12, 16])))
        real, later = batch.items.numpy() < 17, batch.later
        assert later is not None
        assert batch.later_rating is not None
        assert batch.time is not None
        stands = place[np.where(real, batch.items.numpy(), 0)]
        assert (batch.time.numpy()[real] == stands[real] * 1_000_000).all()
        known = later.numpy() < 17
        assert (batch.later_rating.numpy()[known] == place[later.numpy()[known]]).all()
        assert np.isnan(batch.later_rating.numpy()[~known]).all()
        assert batch.fields["user"].tolist() == (stands[:, 0] >= 9).astype(int).tolist()


@pytest.mark.parametrize("choices", [(), ("crop",)])
def test_all_that_is_told_of_a_target_is_of_one_event(numbered: Training, choices: tuple[str, ...]) -> None:
    """Item, rating, time and weight of an event are its number, or follow from it, and so does the wait until it."""
    weight = np.arange(1, 18, dtype=np.float32)
    sequences = replace(numbered.sequences, weight=weight)
    inputs = Inputs.fit(sequences, ("gap", "wait"), 20, True)
    augmenting = Augmenting(tuple(map(augmentation_of, choices)), 1.0)
    feed = Feed(sequences, inputs, CPU, augmenting, ratings=True, aiming=Aiming(4, 1.0))
    feed.begin(np.random.default_rng(3))
    starts = sequences.offsets[:-1]
    number = np.array([int(item[1:]) for item in numbered.catalogue.ids] + [-1])
    distances = set()
    for _ in range(20):
        batch = feed.batch(Stretches(starts, sequences.offsets[1:] - 1))
        assert batch.later is not None
        assert batch.later_rating is not None
        now, later = number[batch.items.numpy()], number[batch.later.numpy()]
        held = later >= 0
        assert (held == (now >= 0)).all()
        assert later[0].max() < 9 <= later[1][held[1]].min()  # nobody is asked for another's events
        assert batch.weights is not None
        even = batch.weights.numpy()[held] / weight[later[held]]
        np.testing.assert_allclose(even, even[0], rtol=1e-5)
        assert batch.later_rating.numpy()[held].tolist() == later[held].tolist()
        told = batch.fields["wait"].numpy()
        expected = waits(later * 1_000_000, now * 1_000_000)
        assert ((told == expected) | (told == 32))[held].all()
        assert (told[held] != 32).mean() > 0.5
        distances |= set((later - now)[held].tolist())
    assert distances == {1, 2, 3, 4}


def test_the_second_loss_is_added_by_its_weight(training: Training) -> None:
    """One step with a heavy second loss moves the weights otherwise than one without."""

    def moved(contrast: dict[str, object] | None) -> torch.Tensor:
        model = model_of("lstm", width=8, length=12, epochs=1, batch_tokens=64, contrast=contrast)
        scoring = model.fit(training, Conditions(steps=1)).scoring
        assert isinstance(scoring, TorchScoring)
        return scoring.network.items.weight.detach()

    assert not torch.equal(moved(None), moved({"weight": 100.0}))


def test_views_with_one_target_are_no_negatives_of_each_other(training: Training) -> None:
    """Two rows that the same item follows have no negatives at all: the loss is 0."""
    feed = Feed(training.sequences, Inputs(length=5), CPU)
    starts, ends = windows(training.sequences.offsets, 5)
    items = training.sequences.items
    same = np.flatnonzero(items[ends] == items[ends[0]])[:2]
    other = np.flatnonzero(items[ends] != items[ends[0]])[:1]
    domain = Domain.of(10)
    network = model_of("lstm", width=8, length=5).network(domain).eval()  # type: ignore[attr-defined]
    contrasting = Contrasting(Contrast(weight=1.0), feed, starts, ends)
    alike, mixed = same, np.concatenate([same[:1], other])
    assert float(contrasting(network, Stretches(starts[alike], ends[alike])).detach()) == pytest.approx(
        0.0, abs=1e-6
    )
    assert float(contrasting(network, Stretches(starts[mixed], ends[mixed])).detach()) > 0.01


def test_rows_that_go_on_are_not_augmented(training: Training) -> None:
    feed = Feed(training.sequences, Inputs(length=20), CPU, Augmenting((augmentation_of("crop"),), 1.0))
    with pytest.raises(ConfigError, match="cannot be augmented"):
        feed.batch(Stretches(np.array([0]), np.array([1]), np.array([True])))


def test_a_view_by_target_ends_before_the_same_item(training: Training) -> None:
    feed = Feed(training.sequences, Inputs(length=7), CPU)
    feed.begin(np.random.default_rng(0))
    starts, ends = windows(training.sequences.offsets, 7)
    contrasting = Contrasting(Contrast(views="target"), feed, starts, ends)
    other = contrasting.alike(ends)
    items = training.sequences.items
    assert (items[other.ends] == items[ends]).all()
    assert (other.ends != ends).mean() > 0.9
    known = set(zip(starts.tolist(), ends.tolist(), strict=True))
    assert all(pair in known for pair in zip(other.starts.tolist(), other.ends.tolist(), strict=True))


@pytest.mark.parametrize("views", ["augmented", "dropout", "target"])
def test_a_network_is_trained_with_views(training: Training, views: str) -> None:
    course = {"epochs": 15, "patience": 15, "batch_tokens": 64, "learning_rate": 1e-2}
    augment = {"augment": ("crop", "reorder", "drop")} if views == "augmented" else {}
    model = model_of("lstm", width=16, length=12, contrast={"views": views}, **augment, **course)
    fitted = model.fit(training)
    assert [fitted.recommend([i], 1).items[0] for i in "ABCDEFGHIJ"] == list("BCDEFGHIJA")


def test_contrast_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"contrast has no setting 'wieght'.*Did you mean 'weight'"):
        model_of("lstm", contrast={"wieght": 1})
    with pytest.raises(ConfigError, match="contrast by augmented views needs augment"):
        model_of("lstm", contrast={"views": "augmented"})
    with pytest.raises(ConfigError, match="views='droput' must be one of"):
        model_of("lstm", contrast={"views": "droput"})


# ----------------------------------------------------------------------------- the second loss, by arithmetic

PAIRS = {"a": "pt", "b": "qt", "c": "rt", "d": "sz", "e": "uvwy"}
"""Users and what they had: three rows end before t, and two before items of their own."""


@pytest.fixture
def ends() -> tuple[Feed, Stretches, Network]:
    """The whole rows of those users, a feed of them, and a network that answers for each."""
    rows = [(user, item, step) for user, had in PAIRS.items() for step, item in enumerate(had)]
    frame = pl.DataFrame(rows, schema=["user", "item", "step"], orient="row").select(
        "user", "item", time=(pl.col("step") * 1_000_000).cast(pl.Datetime("us", "UTC"))
    )
    sequences = Training.of(EventLog.of(frame)).sequences
    feed = Feed(sequences, Inputs(length=5), CPU)
    feed.begin(np.random.default_rng(0))
    torch.manual_seed(0)
    model = model_of("gru", width=6, length=5)
    network: Network = model.network(Domain.of(sequences.n_items)).eval()  # type: ignore[attr-defined]
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return feed, Stretches(*windows(sequences.offsets, 5)), network


def answered(feed: Feed, rows: Stretches, network: Network) -> torch.Tensor:
    """`[B, D]` what is answered after the last input of each row, one row at a time."""
    found = []
    for start, end in zip(rows.starts, rows.ends, strict=True):
        items = torch.from_numpy(feed.sequences.items[start:end].astype(np.int64))[None]
        found.append(network.states(Batch(items, feed.sequences.n_items))[0, -1])
    return torch.stack(found)


@pytest.mark.parametrize("views", ["dropout", "target", "augmented"])
def test_the_second_loss_is_that_of_the_views_at_their_ends(
    ends: tuple[Feed, Stretches, Network], views: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.3 times the loss of the answers after each row's last event, whatever the rows' lengths."""
    feed, rows, network = ends
    contrast = Contrast(weight=0.3, views=views, temperature=0.5, cosine=True)
    contrasting = Contrasting(contrast, feed, rows.starts, rows.ends)
    first = second = rows
    if views == "target":
        order = [3, 1, 2, 0, 4]  # partners as they could have been drawn
        second = Stretches(rows.starts[order], rows.ends[order])
        monkeypatch.setattr(contrasting, "alike", lambda at: second if at is rows.ends else None)
    if views == "augmented":
        first, second = Stretches(rows.starts, rows.starts + 1), rows
        drawn = iter([first, second])
        monkeypatch.setattr(feed, "views", lambda of: feed.whole(next(drawn)))
    targets = torch.from_numpy(feed.sequences.items[rows.ends].astype(np.int64))
    assert len(set(targets.tolist())) == 3
    with torch.no_grad():
        given = [answered(feed, view, network) for view in (first, second)]
        expected = 0.3 * InfoNCE(0.5, cosine=True)(given[0], given[1], targets)
        torch.testing.assert_close(contrasting(network, rows), expected)


def test_partners_by_target_are_drawn_evenly_and_never_the_row_itself(
    ends: tuple[Feed, Stretches, Network],
) -> None:
    """Each of three rows before t meets the other two half of the time each; a row alone meets itself."""
    feed, rows, _ = ends
    contrasting = Contrasting(Contrast(views="target"), feed, rows.starts, rows.ends)
    items = feed.sequences.items[rows.ends]
    three = np.flatnonzero([np.count_nonzero(items == item) == 3 for item in items])
    met = np.zeros((len(items), len(items)), dtype=int)
    for _ in range(400):
        other = contrasting.alike(rows.ends)
        met[np.arange(len(items)), np.searchsorted(np.sort(rows.ends), other.ends)] += 1
    met = met[:, np.argsort(np.argsort(rows.ends))]
    for row in range(len(items)):
        if row not in three:
            assert met[row, row] == 400
            continue
        assert met[row, row] == 0
        for partner in set(three.tolist()) - {row}:  # 200 and its standard error of 10
            assert abs(met[row, partner] - 200) < 50


def test_rows_that_go_on_have_no_views(ends: tuple[Feed, Stretches, Network]) -> None:
    feed, rows, network = ends
    going = Stretches(rows.starts, rows.ends, np.zeros(len(rows.starts), dtype=np.bool_))
    with pytest.raises(ConfigError, match="have no views to compare: leave contrast out"):
        Contrasting(Contrast(), feed, rows.starts, rows.ends)(network, going)


def test_contrast_is_learnt_from_whole_batches(training: Training) -> None:
    """Each row of a part would know the rows of its part only, and one alone would learn nothing."""
    model = model_of("lstm", width=8, length=12, epochs=1, batch_tokens=64, contrast={"weight": 0.5})
    with pytest.raises(ConfigError, match=r"tokens_at_once=20: contrast compares.*take batch_tokens=20"):
        model.fit(training, Conditions(tokens_at_once=20))
    with pytest.raises(
        ConfigError, match="processes=2: contrast compares all rows of a batch, so one process"
    ):
        model.fit(training, Conditions(processes=2))
    assert model.fit(training, Conditions(steps=1, tokens_at_once=64)).facts["processes"] == 1

    def processes(contrast: dict[str, float] | None) -> object:
        """By themselves, of two cores and a long course."""
        long = model_of("lstm", batch_tokens=4096, epochs=10**6, contrast=contrast)
        return {choice.name: choice.value for choice in shares(long, training.sequences, 2)}["processes"]

    assert (processes({"weight": 0.5}), processes(None)) == (1, 2)
