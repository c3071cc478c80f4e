"""The wait of a question: learnt from, told apart, and the same wherever a network is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from ensue import feeding
from ensue.batching import Stretches
from ensue.errors import ArtifactError, ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.export import TorchScoring, to_onnx
from ensue.feeding import Augmenting, Feed
from ensue.inputs import GAPS, WAIT, Inputs, waits
from ensue.model import Conditions, Training, models
from ensue.network import Batch
from ensue.neural_model import NeuralModel
from ensue.objective import NONE, Objective
from ensue.ranking import Recommender
from ensue.runtime import GraphScoring
from ensue.sequences import MISSING_TIME, Queries
from ensue.tracks import TIME_BLIND, track_of
from ensue.training import Trainer
from ensue.waiting import UNTOLD

NETWORKS = tuple(name for name in models.names() if issubclass(models.get(name), NeuralModel))
SECOND, HOUR = 1_000_000, 3_600_000_000
SMALL: dict[str, Any] = {"width": 8, "length": 5, "dropout": 0.0, "epochs": 1, "batch_tokens": 60}


def small(name: str, **settings: Any) -> NeuralModel:
    """A network of a few steps that reads when it is asked."""
    found = models.get(name)(**(SMALL | {"asked": "wait"} | settings))
    assert isinstance(found, NeuralModel)
    return found


def log_of(items: np.ndarray, gaps: np.ndarray) -> EventLog:
    """`[U, T]` items of users, each some seconds after the one before."""
    time = np.cumsum(gaps, axis=1) * SECOND
    users = np.repeat(np.arange(len(items)), items.shape[1])
    frame = pl.DataFrame({"user": users.astype(str), "item": items.ravel().astype(str), "time": time.ravel()})
    return EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))


@pytest.fixture(scope="module")
def training() -> Training:
    """Eight users, nine events each; no item comes twice, so that an item tells which event it is."""
    gaps = 2 ** np.random.default_rng(4).integers(0, 20, (8, 9))
    return Training.of(log_of(np.arange(72).reshape(8, 9), gaps), exclude_seen=False)


@pytest.fixture(scope="module")
def since(training: Training) -> np.ndarray:
    """`[N]` the bucket of the time before the event of each item; `GAPS` for a first event."""
    sequences = training.sequences
    assert sequences.time is not None
    before = np.roll(sequences.time, 1)
    before[sequences.offsets[:-1]] = MISSING_TIME
    found = np.empty(72, dtype=np.int64)
    found[sequences.items] = waits(sequences.time, before)
    return found


class Heard(nn.Module):
    """Writes down the waits that it is told, and changes nothing."""

    waits: Tensor

    def forward(self, states: Tensor, waits: Tensor) -> Tensor:
        assert len(states) == len(waits)
        self.waits = waits
        return states


# ------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("name", [*NETWORKS, "natural xlnet"])
def test_a_target_is_asked_for_when_it_happened(
    name: str, training: Training, since: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masked, permuted, in rows that go on, in windows of older history: it is the time since the event before."""
    monkeypatch.setattr(feeding, "UNTOLD", 0.0)
    model = small("xlnet", order="natural") if name == "natural xlnet" else small(name)
    trainer = Trainer(model.suited(training.sequences), training, Conditions())
    heard, told = Heard(), 0
    trainer.network.waiting = heard  # type: ignore[assignment]
    for stretches in trainer.plan(0):
        sought = trainer.network.sought(trainer.learner.feed.batch(stretches))
        expected = np.where(sought.places < 0, GAPS, since[sought.targets])
        assert heard.waits.tolist() == expected.tolist()
        told += int((expected < GAPS).sum())
    assert told >= 8


@pytest.mark.parametrize("settings", [{}, {"loss": "mean-squared-error"}])
def test_a_rating_is_asked_for_when_it_was_given(
    settings: dict[str, Any], training: Training, since: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside next items, where half of the events are rated, and alone."""
    monkeypatch.setattr(feeding, "UNTOLD", 0.0)
    rating = np.where(np.arange(72) % 2 == 0, 4.0, np.nan).astype(np.float32)
    objective = NONE if settings else Objective(rating=0.5)
    known = replace(training, sequences=replace(training.sequences, rating=rating), objective=objective)
    trainer = Trainer(small("lstm", **settings).suited(known.sequences), known, Conditions())
    network, heard = trainer.network, Heard()
    network.waiting = heard  # type: ignore[assignment]
    for stretches in trainer.plan(0):
        batch = trainer.learner.feed.batch(stretches)
        assert batch.later is not None
        assert batch.later_rating is not None
        if network.beside is None:
            network.rated(batch)
        else:
            network.both(batch, network.beside)
        asked = batch.later[~torch.isnan(batch.later_rating)]
        assert heard.waits.tolist() == since[asked.numpy()].tolist()
        assert len(asked) > 0


def fed(training: Training, *augment: str) -> Feed:
    from ensue.augment import augmentation_of

    inputs = Inputs.fit(training.sequences, (WAIT,), 9, True)
    choices = tuple(augmentation_of(name) for name in augment)
    return Feed(training.sequences, inputs, torch.device("cpu"), Augmenting(choices, 1.0))


def rows(feed: Feed) -> Stretches:
    starts = feed.sequences.offsets[:-1]
    return Stretches(starts, starts + 8)


def test_a_share_of_the_waits_is_not_told(training: Training, since: np.ndarray) -> None:
    """So an answer to a question without a time is learnt, too."""
    feed = fed(training)
    known = []
    for seed in range(40):
        feed.begin(np.random.default_rng(seed))
        batch = feed.batch(rows(feed))
        assert batch.later is not None
        told = batch.fields[WAIT].numpy()
        assert set(told[told != since[batch.later.numpy()]]) == {GAPS}
        known.append((told < GAPS).mean())
    assert np.mean(known) == pytest.approx(1 - UNTOLD, abs=0.02)


def test_a_cropped_row_keeps_its_waits_and_a_masked_event_its_time(
    training: Training, since: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "UNTOLD", 0.0)
    for name in ("crop", "mask"):
        batch = fed(training, name).batch(rows(fed(training)))
        assert batch.later is not None
        real = batch.later != 72
        assert batch.fields[WAIT][real].tolist() == since[batch.later[real].numpy()].tolist()
        assert set(batch.fields[WAIT][~real].tolist()) <= {GAPS}


def test_a_target_that_a_view_has_put_earlier_is_asked_for_at_no_time(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "UNTOLD", 0.0)
    feed = fed(training, "reorder")
    feed.begin(np.random.default_rng(1))
    batch = feed.batch(rows(feed))
    assert batch.later is not None
    time = np.empty(72, dtype=np.int64)
    assert training.sequences.time is not None
    time[training.sequences.items] = training.sequences.time
    now, then = time[batch.items.numpy()], time[batch.later.numpy()]
    assert (then < now).any(), "the view has put some earlier"
    assert batch.fields[WAIT].tolist() == np.where(then < now, GAPS, waits(then, now)).tolist()


def test_views_that_are_compared_are_asked_at_no_time(training: Training) -> None:
    feed = fed(training, "crop")
    for batch in (feed.views(rows(feed)), feed.whole(rows(feed))):
        assert batch.fields[WAIT].tolist() == [[GAPS]] * 8


@pytest.mark.parametrize(
    "settings",
    [
        {"contrast": {"views": "augmented"}, "augment": ["crop", "reorder"]},
        {"contrast": {"views": "target"}, "prior": "rules"},
        {"personal": "adapter", "inputs": ["gap"], "item_vectors": "hashed"},
        {"loss": "mean-squared-error"},
    ],
)
def test_it_goes_with_views_priors_users_and_ratings(settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    log = log_of(rng.integers(0, 5, (8, 9)), rng.integers(1, 99, (8, 9)))
    rated = EventLog.of(log.frame.with_columns(rating=pl.Series(rng.integers(1, 6, 72).astype(float))))
    known = Training.of(rated, exclude_seen=False)
    recommender = small("lstm", **settings).fit(known, Conditions(steps=3))
    assert np.isfinite(recommender.scores(known.sequences.queries())).all()
    scoring = recommender.scoring
    assert isinstance(scoring, TorchScoring)
    waiting = scoring.network.waiting
    assert waiting is not None
    assert waiting.change.weight.abs().sum() > 0


# -------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class Case:
    """A network with random weights, and questions at times of their own."""

    scoring: TorchScoring
    queries: Queries


def case(name: str, training: Training, **settings: Any) -> Case:
    torch.manual_seed(1)
    model = small(name, **settings).suited(training.sequences)
    domain = model.domain(training)
    network = model.network(domain).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    whole = training.sequences
    assert whole.time is not None
    ends = np.array([1, 3, 3, 5, 9, 11, 12, 12, 18])
    starts = ends - 1 - (ends - 1) % 9
    at = whole.time[ends - 1] + np.array([0, 5, 500, 0, 7, 86_400, 3, 40, 9]) * SECOND
    assert whole.users is not None
    users = whole.users.gather((ends - 1) // 9)
    queries = replace(whole.queries(), starts=starts, ends=ends, at=at, users=users)
    return Case(TorchScoring(network, domain.inputs), queries)


@pytest.fixture(scope="module", params=NETWORKS)
def some(request: pytest.FixtureRequest, training: Training) -> Case:
    """Every network in turn."""
    return case(request.param, training)


def test_each_question_of_a_row_has_a_wait_of_its_own(some: Case) -> None:
    """Alone as together, in shared rows as in rows of its own, whatever the others wait."""
    together = some.scoring.score(some.queries)
    alone = np.concatenate([some.scoring.score(some.queries[q : q + 1]) for q in range(9)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4)
    assert np.abs(together[1] - together[2]).max() > 1e-3, "one history, two waits"
    apart = replace(some.scoring, inputs=replace(some.scoring.inputs, causal=False))
    np.testing.assert_allclose(apart.score(some.queries), together, rtol=0, atol=1e-4)


def test_only_the_bucket_of_the_wait_counts(some: Case) -> None:
    queries = some.queries
    assert queries.at is not None
    assert queries.time is not None
    before = some.scoring.score(queries)
    later = replace(queries, time=queries.time + 3 * HOUR, at=queries.at + 3 * HOUR)
    wait = queries.at - queries.time[queries.ends - 1]
    near = replace(
        queries, at=queries.at + np.where(wait == 5 * SECOND, SECOND, 0)
    )  # 3 to 6 seconds are one bucket
    for same in (later, near):
        np.testing.assert_allclose(some.scoring.score(same), before, rtol=0, atol=1e-4)


def test_what_is_not_known_of_a_wait_is_one_thing(some: Case) -> None:
    """No time of the question, none of the last event, none at all: the same answer."""
    queries = some.queries
    time = np.full_like(queries.items, MISSING_TIME, dtype=np.int64)
    bare = some.scoring.score(replace(queries, at=None, time=time))
    for same in (
        replace(queries, time=time),
        replace(queries, time=None),
        replace(queries, at=np.full(9, MISSING_TIME), time=time),
    ):
        np.testing.assert_array_equal(some.scoring.score(same), bare)
    assert np.abs(bare - some.scoring.score(queries)).max() > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_a_time_blind_network_answers_the_same_whenever_it_is_asked(name: str, training: Training) -> None:
    blind = case(name, training, asked="none")
    assert blind.queries.at is not None
    before = blind.scoring.score(blind.queries)
    for at in (None, blind.queries.at + HOUR, np.full(9, MISSING_TIME)):
        np.testing.assert_array_equal(blind.scoring.score(replace(blind.queries, at=at)), before)
    assert track_of(Recommender(training.catalogue, blind.scoring, name)) == TIME_BLIND


@pytest.mark.parametrize("name", ["lstm", "transformer", "fpmc"])
def test_a_state_goes_on_without_the_question_and_is_asked_at_its_time(name: str, training: Training) -> None:
    made = case(name, training, personal="none")
    network, items = made.scoring.network, torch.arange(5)[None]
    state = network.begin(1)
    with torch.no_grad():
        for step in range(5):
            wait = torch.tensor([[step * 3 % GAPS]])
            batch = Batch(items[:, step : step + 1], 72, {WAIT: wait})
            out, state = network.step(batch, state)
            whole = Batch(items[:, : step + 1], 72, {WAIT: wait})
            expected = network.answers(whole, torch.tensor([[step]]), torch.tensor([0]))
            torch.testing.assert_close(
                network.when(out, batch, torch.tensor([0])), expected, rtol=0, atol=1e-5
            )


def test_the_exported_graph_answers_as_the_network_does(training: Training) -> None:
    """Batches of many shapes, waits beside them, of a network that answers in rows of their own."""
    made = case("bert4rec", training, blocks=1)
    session = onnxruntime.InferenceSession(to_onnx(made.scoring.network, made.scoring.inputs))
    assert [node.name for node in session.get_inputs()][-1] == WAIT
    graph = GraphScoring(session, made.scoring.inputs, 72)
    for queries in (made.queries, made.queries[:1], made.queries[6:8], replace(made.queries, at=None)):
        np.testing.assert_allclose(graph.score(queries), made.scoring.score(queries), rtol=0, atol=1e-4)


def test_it_begins_as_no_change(training: Training) -> None:
    network = small("lstm").network(small("lstm").domain(training))
    states, at = torch.randn(4, 8), torch.tensor([0, 5, GAPS - 1, GAPS])
    assert network.waiting is not None
    assert torch.equal(network.waiting(states, at), states)
    with torch.no_grad():
        network.waiting.change.weight[5] = torch.tensor([0.5] * 8 + [2.0] * 8)
    expected = torch.stack([states[0], states[1] * 1.5 + 2, states[2], states[3]])
    torch.testing.assert_close(network.waiting(states, at), expected)


# -------------------------------------------------------------------------------------------- refused


def test_what_cannot_be_is_refused(training: Training) -> None:
    with pytest.raises(ConfigError, match=r"asked='wiat' must be one of none, wait.*Did you mean 'wait'\?"):
        small("lstm", asked="wiat")
    with pytest.raises(ConfigError, match="'wait' is no input of an event: take asked='wait'"):
        small("lstm", inputs=["wait"])
    timeless = replace(training, sequences=replace(training.sequences, time=None))
    with pytest.raises(ModelError, match="the log has no times, so there is no 'wait' to read"):
        small("lstm").fit(timeless)


def test_a_saved_model_of_before_is_opened_as_it_was(training: Training) -> None:
    """What it says of its inputs names no wait; a column of that name would now mean another thing."""
    inputs = small("lstm", asked="none", inputs=["gap"]).domain(training).inputs
    again = Inputs.restored(inputs.to_json(), None)
    assert again.reads == ("gap",)
    assert not again.when_asked
    sequences = replace(
        training.sequences, context={"wait": pl.Series(["a"] * 72), "x": pl.Series(["b"] * 72)}
    )
    other = Inputs.fit(sequences, ("x",), 5, True)
    said = other.to_json()
    said["reads"], said["encodings"][0]["name"] = ["wait"], "wait"
    table = other.encodings.table().with_columns(field=pl.lit("wait"))
    with pytest.raises(ArtifactError, match="reads a column 'wait' of the log"):
        Inputs.restored(said, table)
