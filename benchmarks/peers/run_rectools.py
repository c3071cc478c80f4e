"""RecTools' SASRec with the full softmax, as its documentation shows it: one row a user, padded to the longest.

Useful targets of a step are the places of `y` that hold an item: RecTools fills the rest with 0, and gives the first
event of a row no place in it. An epoch trains the last `length` targets of each user; older ones are left out.
"""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
import torch
from measuring import (
    BATCH,
    BLOCKS,
    DROPOUT,
    EVALUATED_AFTER,
    HEADS,
    RATE,
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
from pytorch_lightning import Callback, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

PEER = "rectools"


class Counting(Callback):
    """Tells the clock of every step, and ends the training when its time is over."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, place: int) -> None:
        if self.clock.step(int((batch["y"] != 0).sum())):
            trainer.should_stop = True


def model_of(asked: Asked, clock: Clock) -> SASRecModel:
    """The model, which trains for as long as the clock runs."""

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=10_000,
            accelerator="cpu",
            devices=1,
            callbacks=[Counting(clock)],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            logger=False,
        )

    return SASRecModel(
        n_blocks=BLOCKS,
        n_heads=HEADS,
        n_factors=WIDTH,
        dropout_rate=DROPOUT,
        session_max_len=asked.length,
        batch_size=BATCH,
        lr=RATE,
        loss="softmax",
        get_trainer_func=trainer,
        recommend_torch_device="cpu",
    )


def dataset_of(frame: pd.DataFrame) -> Dataset:
    """The events as RecTools holds them; their places stand for days."""
    return Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: frame["user"],
                Columns.Item: frame["item"],
                Columns.Weight: 1.0,
                Columns.Datetime: pd.to_datetime(frame["time"], unit="D"),
            }
        )
    )


def train(asked: Asked, frame: pd.DataFrame) -> None:
    """Times training."""
    clock = Clock(asked.seconds)
    model_of(asked, clock).fit(dataset_of(frame))
    epoch = int((frame.groupby("user").size() - 1).clip(upper=asked.length).sum())
    trained(asked, PEER, "SASRec", clock, epoch, "softmax over all items", batch=f"{BATCH} rows")


def until(asked: Asked, frame: pd.DataFrame) -> None:
    """Times training epoch by epoch, each judged by `recommend` for all users, until a mark is reached."""
    dataset, course = dataset_of(frame), Course(asked)
    model = model_of(asked, Clock(float("inf")))
    users = [user for user in frame["user"].unique() if user in course.targets]
    over = False
    while not over:
        with Stopwatch() as taken:
            model.fit_partial(dataset, 1, 1)
        course.trained(taken)
        found = model.recommend(users, dataset, K, filter_viewed=True).sort_values(Columns.Rank)
        slates = {user: list(items) for user, items in found.groupby(Columns.User)[Columns.Item]}
        over = course.judged(course.score(slates))
    reached(asked, PEER, "SASRec", course, "softmax over all items", batch=f"{BATCH} rows")


def evaluate(asked: Asked, frame: pd.DataFrame) -> None:
    """Times `recommend` for all users at once, and for one at a time whose history comes with the request.

    A request is answered in two ways: the data set of RecTools is made of its history, or lies ready already.
    """
    dataset = dataset_of(frame)
    model = model_of(asked, Clock(EVALUATED_AFTER, warmup=0)).fit(dataset)
    with Stopwatch() as taken:
        model.recommend(frame["user"].unique(), dataset, K, filter_viewed=True)
    everyone = histories(asked.file)
    chosen = spread(list(everyone))
    frames = [
        pd.DataFrame({"user": user, "item": everyone[user], "time": range(len(everyone[user]))})
        for user in chosen
    ]
    made = [dataset_of(one) for one in frames]
    single = latencies(lambda n: model.recommend([chosen[n]], dataset_of(frames[n]), K, filter_viewed=True))
    ready = latencies(lambda n: model.recommend([chosen[n]], made[n], K, filter_viewed=True))
    some = together(list(everyone), lambda chosen: model.recommend(chosen, dataset, K, filter_viewed=True))
    users = len(everyone)
    answered(asked, PEER, "SASRec", users, taken, single, ways={"data set made before": ready}, **some)


def main(asked: Asked) -> None:
    """Does what is asked."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    frame = pd.read_csv(asked.file, dtype={"user": str, "item": str})
    {"training": train, "until": until, "evaluation": evaluate}[asked.what](asked, frame)


if __name__ == "__main__":
    main(asked())
