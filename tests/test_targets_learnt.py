"""How models learn towards targets: by counting what they follow, and by losses that count them by their weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.test_objective import SHOP, log_of

from ensue import artifacts, runtime
from ensue.augment import augmentation_of
from ensue.batching import Stretches
from ensue.catalogue import Catalogue
from ensue.errors import ModelError
from ensue.export import TorchScoring
from ensue.feeding import Augmenting, Feed
from ensue.learning import Lesson
from ensue.model import Conditions, Training, model_of
from ensue.models.counting.contexts import ChainScoring, chain
from ensue.network import Batch
from ensue.neural_model import NeuralModel
from ensue.objective import Objective
from ensue.optimisation import apart
from ensue.prior_table import Transitions
from ensue.sequences import Queries, Sequences
from ensue.training import Trainer
from ensue.transitions import row_shares, transition_counts

N = 4
CPU = torch.device("cpu")
BOUGHT = Objective(targets=("buy",))
SMALL: dict[str, Any] = {"width": 8, "length": 12, "dropout": 0.0, "epochs": 2, "batch_tokens": 48}
NETWORKS: dict[str, dict[str, Any]] = {
    "lstm": {},
    "transformer": {},
    "gru4rec": {"steps": 3},
    "fpmc": {},
    "bert4rec": {},
    "xlnet": {},
    "transformer-xl": {"segment": 4, "memory": 4},
}

walks = st.lists(
    st.lists(st.tuples(st.integers(0, N - 1), st.sampled_from([0.0, 0.5, 1.0])), max_size=8),
    min_size=1,
    max_size=5,
)
Walks = list[list[tuple[int, float]]]


def sequences_of(rows: Walks, weighted: bool = True) -> Sequences:
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    items = np.array([item for row in rows for item, _ in row], dtype=np.int32)
    weight = np.array([value for row in rows for _, value in row], dtype=np.float32)
    keys = pl.Series([f"s{place}" for place in range(len(rows))], dtype=pl.String)
    return Sequences(items, offsets, keys, N, weight=weight if weighted else None)


def counted(rows: Walks, window: int) -> NDArray[np.float64]:
    """Every ordered pair at distance d: the weight of the later event, over d."""
    found = np.zeros((N, N))
    for row in rows:
        for place, (later, weight) in enumerate(row):
            for distance in range(1, min(window, place) + 1):
                found[row[place - distance][0], later] += weight / distance
    return found


def training(objective: Objective = BOUGHT, users: int = 12) -> Training:
    """Users who view v0 to v4 and buy b0 to b4: what is bought has the number of what was viewed just before."""
    rng = np.random.default_rng(0)
    rows: list[tuple[str, str, str | None]] = []
    for user in range(users):
        for number in rng.integers(0, 5, 6).tolist():
            rows += [(f"u{user}", f"v{rng.integers(0, 5)}", "view"), (f"u{user}", f"v{number}", "view")]
            rows += [(f"u{user}", f"b{number}", "buy")]
    return Training.of(log_of(rows), exclude_seen=False, objective=objective)


# ------------------------------------------------------------------------------------- counting


@given(walks, st.integers(1, 4))
def test_pairs_count_as_the_later_event_counts(rows: Walks, window: int) -> None:
    found = transition_counts(sequences_of(rows), window)
    np.testing.assert_allclose(found.toarray(), counted(rows, window), atol=1e-12)
    assert (found.data > 0).all(), "what is no target takes no place in the table"
    ones = [[(item, 1.0) for item, _ in row] for row in rows]
    plain = transition_counts(sequences_of(ones, weighted=False), window)
    np.testing.assert_array_equal(transition_counts(sequences_of(ones), window).toarray(), plain.toarray())


@given(walks, st.integers(1, 3), st.integers(1, 2))
def test_a_prior_keeps_pairs_of_small_weight(rows: Walks, window: int, folds: int) -> None:
    """What is left out of its tables as rounding is less than the least weight could count."""
    light = [[(item, value / 1000) for item, value in row] for row in rows]
    table = Transitions.beside(sequences_of(light), window, 2, 0.5)
    expected = row_shares(transition_counts(sequences_of(rows), window)).toarray()
    np.testing.assert_allclose(table.shares.toarray(), expected, atol=1e-5)
    whole = Transitions.counted(sequences_of(light), window, 2, 0.5, folds).answering.shares.toarray()
    assert np.array_equal(whole > 0, expected > 0) or len(rows) == 1 or folds == 1


@given(walks, st.sampled_from([0.0, 0.5]))
def test_the_longest_context_that_a_target_followed_answers(rows: Walks, discount: float) -> None:
    sequences = sequences_of(rows)
    if not sequences.weight.any():  # type: ignore[union-attr]
        return
    scoring = ChainScoring.of(chain(sequences, 2, False), discount)
    asked = [[first, second] for first in range(N) for second in range(N)]
    scores = scoring.score(Queries.of(asked, N))
    if discount:
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-9)
        return
    for (first, second), found in zip(asked, scores, strict=True):
        pair, single = np.zeros(N), np.zeros(N)
        for row in rows:
            for place, (item, weight) in enumerate(row):
                if place >= 1 and row[place - 1][0] == second:
                    single[item] += weight
                    if place >= 2 and row[place - 2][0] == first:
                        pair[item] += weight
        told = pair if pair.any() else single
        if told.any():
            np.testing.assert_allclose(found, told / told.sum(), atol=1e-8)


@pytest.mark.parametrize("settings", [{}, {"order": 2}, {"order": 2, "discount": 0.5}])
@pytest.mark.parametrize("name", ["markov", "markov-time", "rules", "neighbours", "personal"])
def test_counts_that_are_no_whole_numbers_are_stored(
    name: str, settings: dict[str, Any], tmp_path: Any
) -> None:
    if name != "markov" and settings:
        return
    known = training(replace(BOUGHT, weights={"view": 0.25}))
    fitted = model_of(name, **settings).fit(known)
    queries = Queries.of([[item] for item in range(len(known.catalogue))], len(known.catalogue))
    served = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    np.testing.assert_allclose(served.scores(queries), fitted.scores(queries), atol=1e-12)


@pytest.mark.parametrize("name", ["popular", "recent", "markov", "rules", "neighbours", "markov-time"])
def test_what_counts_answers_with_targets(name: str) -> None:
    known = training()
    fitted = model_of(name).fit(known)
    slates = fitted.recommend_many([["v0"], ["v3", "v1"], ["b2", "v4"]], 2)
    assert all(item.startswith("b") for slate in slates for item in slate.items)
    every = model_of(name).fit(training(Objective(weights={"view": 1.0})))
    plain = model_of(name).fit(Training.of(log_of_training(), exclude_seen=False))
    queries = known.sequences.queries()
    np.testing.assert_allclose(every.scores(queries), plain.scores(queries), rtol=1e-12)


def log_of_training() -> Any:
    """The log of `training`, whatever is learnt of it."""
    sequences, catalogue = training().sequences, training().catalogue
    users = np.repeat(sequences.keys.to_list(), sequences.lengths)
    kinds = sequences.context["event"].to_list()
    return log_of(list(zip(users.tolist(), catalogue.decode(sequences.items), kinds, strict=True)))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tifu-knn", {}),
        ("together", {}),
        ("repeats", {}),
        ("up-cf", {}),
        ("markov", {"continuation": True, "order": 2}),
        ("popular", {"segment": "event"}),
        ("popular", {"category": "genres"}),
    ],
)
def test_a_model_that_knows_no_targets_says_so(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=rf"{name}: learns from all events alike.*targets buy"):
        model_of(name, **settings).fit(Training.of(SHOP, objective=BOUGHT))


# ------------------------------------------------------------------------------------- networks


def trainer(name: str, known: Training, conditions: Conditions = Conditions(), **settings: Any) -> Trainer:
    model = model_of(name, **SMALL | NETWORKS.get(name, {}) | settings)
    assert isinstance(model, NeuralModel)
    with apart(conditions):
        return Trainer(model.suited(known.sequences), known, conditions)


def test_a_batch_says_how_much_each_next_event_counts() -> None:
    known = training(replace(BOUGHT, weights={"view": 0.2, "buy": 0.8}))
    sequences = known.sequences
    feed = Feed(sequences, trainer("lstm", known).inputs, CPU)
    batch = feed.batch(Stretches(np.array([0, 18]), np.array([4, 20])))
    assert batch.weights is not None
    assert batch.trained is not None
    first = np.zeros(len(sequences.items), dtype=bool)
    first[sequences.offsets[:-1]] = True
    assert sequences.weight is not None
    mean = sequences.weight[~first].mean()
    expected = [
        [0.2 / mean, 0.8 / mean, 0.2 / mean, 0.2 / mean],
        [0.2 / mean, 0.8 / mean, 0.0, 0.0],
    ]
    np.testing.assert_allclose(batch.weights, expected, rtol=1e-6)
    assert batch.trained.tolist() == [0, 1, 2, 3, 4, 5]
    alone = Feed(training().sequences, feed.inputs, CPU).batch(
        Stretches(np.array([0, 18]), np.array([4, 20]))
    )
    assert alone.trained is not None
    assert alone.trained.tolist() == [1, 5], "of v v b v v and v v b the b alone"
    assert alone.weights is not None
    assert alone.weights.tolist() == [[0, 1, 0, 0], [0, 1, 0, 0]]


@pytest.mark.parametrize("augment", [(), ("crop", "reorder"), ("mask",)])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_no_network_learns_what_is_no_target(name: str, augment: tuple[str, ...]) -> None:
    if augment and name == "gru4rec":
        return  # its rows go on from batch to batch
    known = training()
    made = trainer(name, known)
    feed = made.learner.feed
    feed.augmenting = Augmenting(tuple(augmentation_of(one) for one in augment), 1.0 if augment else 0.5)
    feed.begin(np.random.default_rng(0))
    torch.manual_seed(0)
    found: set[str] = set()
    for stretches in list(made.plan(0))[:4]:
        batch = feed.batch(stretches)
        sought, weights = made.network.weighed(batch, made.network.sought(batch))
        found |= set(known.catalogue.decode(sought.targets.numpy()))
        assert weights is not None
        assert (weights > 0).all()
        assert len(weights) == len(sought.queries) == len(sought.places)
    assert found <= {f"b{number}" for number in range(5)}
    assert len(found) >= 3


def lost(made: Trainer, batch: Batch) -> tuple[torch.Tensor, int]:
    torch.manual_seed(0)
    loss: tuple[torch.Tensor, int] = Lesson(made.network, made.model.objective())(batch)
    return loss


def test_the_loss_is_that_of_the_targets_by_their_weights() -> None:
    known = training(replace(BOUGHT, weights={"view": 0.25}))
    made = trainer("lstm", known)
    batch = made.learner.feed.batch(next(iter(made.plan(0))))
    loss, count = lost(made, batch)
    states = made.network.states(batch)
    logits = made.network.scorer().logits(states.reshape(-1, states.shape[-1]))
    assert batch.later is not None
    assert batch.weights is not None
    real = batch.later.reshape(-1) != batch.n_items
    each = torch.nn.functional.cross_entropy(logits[real], batch.later.reshape(-1)[real], reduction="none")
    expected = (each * batch.weights.reshape(-1)[real]).sum()
    assert count == int(real.sum())
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


def test_a_batch_without_a_target_moves_nothing() -> None:
    known = training()
    made = trainer("lstm", known)
    loss, count = lost(made, made.learner.feed.batch(Stretches(np.array([0]), np.array([1]))))
    assert (float(loss.detach()), count) == (0.0, 0)
    before = [p.detach().clone() for p in made.network.parameters()]
    made.learn(Stretches(np.array([0]), np.array([1])))
    weights = dict(made.network.named_parameters())
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert len(before) == len(weights)


def fitted(objective: Objective, conditions: Conditions = Conditions(), **settings: Any) -> torch.Tensor:
    """All weights after a fit."""
    scoring = (
        model_of("lstm", **SMALL | {"inputs": ("event",)} | settings)
        .fit(training(objective), conditions)
        .scoring
    )
    assert isinstance(scoring, TorchScoring)
    return torch.cat([p.detach().reshape(-1) for p in scoring.network.parameters()])


def test_only_the_proportions_of_weights_matter() -> None:
    once = fitted(Objective(targets=("buy",), weights={"buy": 1.0, "view": 0.25}))
    again = fitted(Objective(targets=("buy",), weights={"buy": 4.0, "view": 1.0}))
    torch.testing.assert_close(again, once, rtol=1e-4, atol=1e-5)
    other = fitted(Objective(targets=("buy",), weights={"buy": 1.0, "view": 1.0}))
    assert not torch.allclose(other, once, atol=1e-3)


def test_weights_of_one_are_no_weights_and_parts_add_up() -> None:
    """To the rounding of a sum: all events count as they do without an objective, whole or in parts."""
    plain = Training.of(log_of_training(), exclude_seen=False)
    scoring = model_of("lstm", **SMALL | {"inputs": ("event",)}).fit(plain).scoring
    assert isinstance(scoring, TorchScoring)
    expected = torch.cat([p.detach().reshape(-1) for p in scoring.network.parameters()])
    torch.testing.assert_close(fitted(Objective(weights={"buy": 1.0})), expected, rtol=1e-4, atol=1e-5)
    whole = fitted(replace(BOUGHT, weights={"view": 0.25}))
    parts = fitted(replace(BOUGHT, weights={"view": 0.25}), Conditions(tokens_at_once=13))
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_ratings_of_targets_alone_are_learnt() -> None:
    log = SHOP.frame.with_columns(rating=pl.Series(np.arange(SHOP.n_events, dtype=np.float64)))
    known = Training.of(type(SHOP).of(log), exclude_seen=False, objective=BOUGHT)
    made = trainer("lstm", known, loss="mean-squared-error")
    stretches = Stretches(made.starts, made.ends)
    _, ratings, weights = made.network.rated(made.learner.feed.batch(stretches))
    kinds, users = log["event"].to_list(), log["user"].to_list()
    rated = [float(n) for n in range(1, len(kinds)) if kinds[n] == "buy" and users[n] == users[n - 1]]
    assert sorted(ratings.tolist()) == rated
    assert weights is not None
    assert weights.tolist() == [1.0] * len(rated)


def test_types_are_read_where_there_are_several_and_it_is_said() -> None:
    said: list[str] = []
    model = model_of("lstm", **SMALL)
    assert isinstance(model, NeuralModel)
    assert model.suited(training().sequences, said.append).inputs == ("event",)
    assert any("reads the type of each event, since histories hold 2" in line for line in said)
    assert model.suited(Training.of(log_of_training()).sequences).inputs == (), (
        "without an objective as before"
    )
    assert model_of("lstm", inputs=("event", "gap")).suited(training().sequences).inputs == ("event", "gap")  # type: ignore[attr-defined]
    one = Training.of(BOUGHT.heard(SHOP).where(BOUGHT.asked(SHOP)), objective=BOUGHT)
    assert model.suited(one.sequences).inputs == (), "one type tells nothing"


def test_training_without_a_target_is_refused() -> None:
    known = Training.of(log_of_training()).towards(Objective(targets=("gift",)))
    with pytest.raises(ModelError, match=r"no target comes after another event \(targets gift\)"):
        model_of("lstm", **SMALL).fit(known)


def test_a_network_learns_what_is_bought_after_what_is_viewed() -> None:
    """b of the number of the last view: told by targets alone, and missed by one who learns the views as much."""
    known = training(users=30)
    model = model_of("lstm", **SMALL | {"epochs": 12, "width": 16, "learning_rate": 2e-2})
    slates = model.fit(known).recommend_many([["v1", f"v{number}"] for number in range(5)], 1)
    assert [slate.items for slate in slates] == [(f"b{number}",) for number in range(5)]


def test_the_catalogue_counts_every_event() -> None:
    """The check of leaks goes by it."""
    known = training()
    assert known.catalogue.counts.sum() == len(known.sequences.items)
    assert isinstance(known.catalogue, Catalogue)
