"""ensue's networks in the sizes of their peers, trained through its own `fit` with the full softmax.

The Transformer has learnt positions, plain products, and feed-forward layers as wide as the states, as SASRec and its
peers have them. The LSTM reads vectors of 128 entries and scores its 64 units with a table of its own, as that of the
tutorials does. All else is as ensue chooses it by itself: optimiser, moving average of the weights, and batches; but
where the training of the Transformer is timed, a batch holds as many tokens as the 128 rows of its peers. By itself it
takes smaller ones, which learn more in the same time and keep two cores less busy.

Useful targets are what `fit` reports to have trained: every event of every user but the first, none twice an epoch.
Memory is given back as by `ensue train` (`compare.py` sees to that), and the log is read before torch is loaded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from measuring import (
    BATCH,
    BLOCKS,
    DROPOUT,
    EMBEDDING,
    EVALUATED_AFTER,
    HEADS,
    UNITS,
    WIDTH,
    Asked,
    Clock,
    Course,
    K,
    Stopwatch,
    answered,
    asked,
    histories,
    latencies,
    reached,
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
EPOCHS = 200
"""At most, until a mark is reached; the learning rate falls within the time, if that is shorter."""


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


class Began(Timing):
    """Starts a watch when the loop begins."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__()
        self.watch = watch

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Timing]:
        """The loop."""
        self.watch.__enter__()
        yield self


def sized(asked: Asked) -> Model:
    """The model that was asked for, with as many epochs as will not be needed."""
    if asked.model == "lstm":
        return model_of("lstm", width=EMBEDDING, hidden=UNITS, tied=False, length=asked.length, epochs=10_000)
    return model_of(
        "transformer",
        width=WIDTH,
        blocks=BLOCKS,
        heads=HEADS,
        dropout=DROPOUT,
        length=asked.length,
        positions="learnt",
        feed_forward="relu",
        expansion=1,
        temperature=0.0,
        epochs=10_000,
        batch_tokens=BATCH * asked.length if asked.what == "training" else 0,
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


def until(asked: Asked) -> None:
    """Times `fit` until its validation reaches a mark; its learning rate falls within the time that there is at most.

    The clock stands still while it is judged, and begins with the loop.
    """
    from ensue.judging import Judge

    parts = last_out(_with_targets(asked), validation=False)
    training = Training.of(parts.train)
    training = replace(training, validation=parts.examples("test", training.catalogue))
    course, measured, running = Course(asked), Judge.measured, Stopwatch()

    def watched(judge: Any, recommender: Recommender) -> float:
        running.__exit__()
        course.trained(running)
        found = measured(judge, recommender)
        running.__enter__()
        return found

    Judge.measured = watched  # type: ignore[method-assign]
    conditions = Conditions(
        progress=Began(running),
        device="cpu",
        threads=asked.threads,
        max_minutes=asked.seconds / 60,
        stop=lambda epochs, score: course.judged(score),
    )
    model = replace(sized(asked), epochs=EPOCHS, patience=EPOCHS, validation_targets=10**9)
    fitted = model.fit(training, conditions)
    batch = f"{fitted.settings['batch_tokens']} tokens"
    reached(asked, PEER, asked.model, course, "softmax over all items", batch=batch)


def _with_targets(asked: Asked) -> EventLog:
    """The events, and after them the one of each user that is to be found."""
    if asked.targets is None:
        raise SystemExit("--targets says which items are to be found.")
    events = pl.read_csv(asked.file, schema_overrides={"user": pl.String, "item": pl.String})
    last = pl.read_csv(asked.targets, schema_overrides={"user": pl.String, "item": pl.String})
    later = last.with_columns(pl.lit(events["time"].max() + 1, pl.Int64).alias("time"))
    seconds = (pl.col("time") * 1_000_000).cast(pl.Datetime("us", "UTC"))
    return EventLog.of(pl.concat([events, later]).with_columns(seconds.alias("time")))


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
    elif asked.what == "until":
        until(asked)
    else:
        answer(asked, read(asked.file))


if __name__ == "__main__":
    main(asked())
