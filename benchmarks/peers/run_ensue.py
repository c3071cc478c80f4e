"""ensue's networks in the sizes of their peers, trained through its own `fit` with the full softmax.

The Transformer has learnt positions and plain products as SASRec has them; its feed-forward layers are four times as
wide as the states, where RecTools' and RePlay's are as wide as the states. The LSTM reads vectors of 128 entries and
has 64 units; it scores with the vectors that it reads, so its softmax multiplies 128 entries an item, not 64. All else
is as ensue chooses it by itself: batches, optimiser, moving average of the weights.

Useful targets are what `fit` reports to have trained: every event of every user but the first, none twice an epoch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measuring import (
    BLOCKS,
    DROPOUT,
    EMBEDDING,
    EVALUATED_AFTER,
    HEADS,
    UNITS,
    WIDTH,
    Asked,
    Clock,
    K,
    Stopwatch,
    answered,
    asked,
    histories,
    latencies,
    spread,
    together,
    trained,
)

from ensue import evaluate, read, runtime, save
from ensue.events.log import EventLog
from ensue.model import Conditions, Model, Training, model_of
from ensue.ranking import Recommender
from ensue.splits import last_out

PEER = "ensue"
WARMUP_STEPS = 3


class Timing:
    """Takes the time of the training loop alone, from its first batch to its last step."""

    def __init__(self) -> None:
        self.loop = Stopwatch()

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Timing]:
        """The loop: it is the last task of a fit without validation."""
        with Stopwatch() as self.loop:
            yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Nothing is shown."""

    def say(self, text: str) -> None:
        """Nothing is said."""


def sized(asked: Asked) -> Model:
    """The model that was asked for, with as many epochs as will not be needed."""
    if asked.model == "lstm":
        return model_of("lstm", width=EMBEDDING, hidden=UNITS, length=asked.length, epochs=10_000)
    return model_of(
        "transformer",
        width=WIDTH,
        blocks=BLOCKS,
        heads=HEADS,
        dropout=DROPOUT,
        length=asked.length,
        positions="learnt",
        temperature=0.0,
        epochs=10_000,
    )


def fitted(asked: Asked, training: Training, seconds: float) -> tuple[Recommender, Stopwatch]:
    """The model after so many seconds of training, and how long its loop took."""
    timing = Timing()
    conditions = Conditions(progress=timing, device="cpu", threads=asked.threads, max_minutes=seconds / 60)
    return sized(asked).fit(training, conditions), timing.loop


def train(asked: Asked) -> None:
    """Times the second fit of two; the first, of a few steps, warms up."""
    training = Training.of(read(asked.file))
    sized(asked).fit(training, Conditions(device="cpu", threads=asked.threads, steps=WARMUP_STEPS))
    recommender, loop = fitted(asked, training, asked.seconds)
    facts = recommender.facts
    clock = Clock(asked.seconds)
    clock.seconds, clock.cpu_seconds, clock.steps = loop.seconds, loop.cpu_seconds, facts["steps"]
    clock.targets = sum(epoch["targets"] for epoch in facts["history"])
    trained(
        asked,
        PEER,
        asked.model,
        clock,
        facts["targets_per_epoch"],
        "softmax over all items",
        batch=f"{recommender.settings['batch_tokens']} tokens",
        parameters=facts["parameters"],
    )


def answer(asked: Asked, log: EventLog) -> None:
    """Times the saved model: slates for all users at once, and for one at a time; ranks of targets beside it."""
    recommender, _ = fitted(asked, Training.of(log), EVALUATED_AFTER)
    with tempfile.TemporaryDirectory() as folder:
        save(recommender, Path(folder) / "model")
        served = runtime.load(Path(folder) / "model", threads=asked.threads)
    everyone = histories(asked.file)
    with Stopwatch() as taken:
        served.recommend_many(list(everyone.values()), K)
    chosen = [everyone[user] for user in spread(list(everyone))]
    single = latencies(lambda n: served.recommend(chosen[n], K))
    examples = last_out(log, validation=False).examples("test", served.catalogue)
    with Stopwatch() as ranking:
        evaluate(served, examples, metrics=("ndcg@10",))
    ranked = len(examples) / ranking.seconds
    users = len(everyone)
    some = together(
        list(everyone), lambda chosen: served.recommend_many([everyone[user] for user in chosen], K)
    )
    answered(asked, PEER, asked.model, users, taken, single, ranked_users_per_second=round(ranked, 1), **some)


def main(asked: Asked) -> None:
    """Does what is asked."""
    if asked.what == "training":
        train(asked)
    else:
        answer(asked, read(asked.file))


if __name__ == "__main__":
    main(asked())
