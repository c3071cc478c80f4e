"""What a model must find, and what it must not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ensue.catalogue import Catalogue
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.losses import losses
from ensue.model import Conditions, Model, Training, model_of
from ensue.ranking import Recommender
from ensue.sequences import Queries
from ensue.splits import Split, split

DEAF = {"popular", "recent", "mutual-friends", "friend-walks", "profiles", "newest", "together"}
ORDERLESS = {"als", "personal", "tifu-knn", "up-cf", "last-seen", "repeats", "mixture"}
"""Models that read what is in a history, and not in which order; `together` wants baskets, which the ring has not."""
"""Models whose answers are meant not to depend on the history, in a log whose items are no users and bare ids."""


def test_answers_depend_on_the_history_unless_said_otherwise(fitted: Recommender) -> None:
    """A model that comes to ignore the history would slip past the tests below, so it is told here."""
    n = len(fitted.catalogue)
    scores = fitted.scores(Queries.of([[item] for item in range(n)], n))
    assert bool((scores == scores[0]).all()) == (fitted.model in DEAF)


def test_a_planted_cycle_is_learnt(fitted: Recommender) -> None:
    if fitted.model in DEAF | ORDERLESS:
        pytest.skip("its answers do not depend on the history")
    ring = sorted(fitted.catalogue.ids)
    for start in range(10):
        for length in (1, 2, 5, 11, 40):
            history = [ring[(start + step) % 10] for step in range(length)]
            expected = ring[(start + length) % 10]
            assert fitted.recommend(history, 1, exclude_seen=False).items == (expected,), (start, length)


@pytest.mark.parametrize("loss", [name for name in losses.names() if name != "cross-entropy"])
@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_a_network_learns_the_cycle_by_any_other_loss(name: str, ring_log: EventLog, loss: str) -> None:
    few = {"name": loss, "negatives": 4} if loss == "sampled-softmax" else loss
    course = {"epochs": 25, "patience": 25, "batch_tokens": 64, "learning_rate": 1e-2}
    model = model_of(name, width=16, length=12, dropout=0.1, loss=few, **course)
    fitted = model.fit(Training.of(ring_log, exclude_seen=False))
    for item, following in zip("ABCDEFGHIJ", "BCDEFGHIJA", strict=True):
        assert fitted.recommend([item], 1).items == (following,)


@pytest.fixture(scope="module")
def noise() -> Split:
    """Items drawn evenly and apart from each other: whatever a model learns, it knows nothing of the next."""
    users, events, items = 80, 40, 40
    rng = np.random.default_rng(11)
    log = EventLog.of(
        pl.DataFrame(
            {
                "user": np.repeat(np.arange(users), events).astype(str),
                "item": rng.integers(0, items, users * events).astype(str),
                "time": np.tile(np.arange(events), users) * 86_400_000_000,
            },
        ).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    )
    return split(log, "ratio", test=0.3, validation=0.1)


def test_nothing_is_found_in_noise(model: Model, noise: Split) -> None:
    catalogue = Catalogue.fit(noise.train)
    training = Training.of(noise.train, exclude_seen=False)
    fitted = model.fit(
        Training(training.sequences, catalogue, noise.examples("validation", catalogue), exclude_seen=False),
        Conditions(steps=300),
    )
    examples = noise.examples("test", catalogue)
    targets, chance = len(examples), 10 / len(catalogue)
    found = evaluate(fitted, examples, metrics=("recall@10",)).value("recall@10")
    standard_error = np.sqrt(chance * (1 - chance) / targets)
    assert (targets, len(catalogue)) == (80 * 12, 40)
    assert abs(found - chance) < 4 * standard_error
