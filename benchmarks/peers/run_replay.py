"""RePlay's SasRec with the full softmax, as its examples build it: one row a user, padded to the longest.

Useful targets of a step are the places where both the target and the position it is predicted from are real. RePlay
also trains the first event of a short row, from a position of padding: that has no history and is not counted. An
epoch trains the last `length` targets of each user; older ones are left out.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import lightning
import polars as pl
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
    trained,
)
from replay.data import FeatureHint, FeatureSource, FeatureType
from replay.data.nn import ParquetModule, TensorFeatureInfo, TensorFeatureSource, TensorSchema
from replay.nn.lightning import LightningModule
from replay.nn.lightning.callback import PolarsTopItemsCallback
from replay.nn.lightning.optimizer import OptimizerFactory
from replay.nn.lightning.postprocessor import SeenItemsFilter
from replay.nn.sequential import SasRec
from replay.nn.transform.template import make_default_sasrec_transforms

PEER = "replay"


class Counting(lightning.Callback):
    """Tells the clock of every step, and ends the training when its time is over."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, place: int) -> None:
        useful = batch["padding_mask"] & batch["target_padding_mask"].squeeze(-1)
        if self.clock.step(int(useful.sum())):
            trainer.should_stop = True


class Judging(lightning.Callback):
    """Judges each epoch by the bare network's ten best items of all users, and ends the training at the mark.

    The clock stands still while it is judged.
    """

    def __init__(self, setup: Setup, course: Course) -> None:
        self.setup, self.course, self.running = setup, course, Stopwatch()

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.running.__enter__()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.running.__exit__()
        self.course.trained(self.running)
        module.eval()
        asked = [user for user in self.setup.histories if user in self.course.targets]
        slates: dict[str, list[str]] = {}
        for begin in range(0, len(asked), BATCH):
            users = asked[begin : begin + BATCH]
            best = self.setup.bare([self.setup.histories[user] for user in users])
            slates |= dict(zip(users, best, strict=True))
        module.train()
        if self.course.judged(self.course.score(slates)):
            trainer.should_stop = True
        self.running.__enter__()


class Setup:
    """The data as RePlay reads it, in a folder, and the model.

    Args:
        asked: what is to be done.
        folder: where its Parquet files go.
    """

    def __init__(self, asked: Asked, folder: Path) -> None:
        self.asked, self.folder = asked, folder
        self.histories = histories(asked.file)
        self.items = sorted({item for history in self.histories.values() for item in history})
        self.codes = {item: code for code, item in enumerate(self.items)}
        self.schema = TensorSchema(
            [
                TensorFeatureInfo(
                    name="item_id",
                    is_seq=True,
                    padding_value=len(self.items),
                    cardinality=len(self.items),
                    embedding_dim=WIDTH,
                    feature_type=FeatureType.CATEGORICAL,
                    feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, "item_id")],
                    feature_hint=FeatureHint.ITEM_ID,
                )
            ]
        )
        model = SasRec.from_params(
            schema=self.schema,
            embedding_dim=WIDTH,
            num_heads=HEADS,
            num_blocks=BLOCKS,
            max_sequence_length=asked.length,
            dropout=DROPOUT,
        )
        self.module = LightningModule(model, OptimizerFactory(learning_rate=RATE))
        self.longest = max(len(history) for history in self.histories.values())

    def parquet(self, histories: list[list[str]], name: str) -> str:
        """A file with one row a history."""
        coded = [[self.codes[item] for item in history] for history in histories]
        path = self.folder / f"{name}.parquet"
        kinds = {"user_id": pl.Int64, "item_id": pl.List(pl.Int64), "seen_ids": pl.List(pl.Int64)}
        rows = {"user_id": range(len(coded)), "item_id": coded, "seen_ids": coded}
        pl.DataFrame(rows, schema=kinds).write_parquet(path)
        return str(path)

    def data(self, part: str, path: str, batch: int = BATCH) -> ParquetModule:
        """A file as the data of training ("train") or of answering ("predict")."""
        padding = len(self.items)
        shapes: dict[str, Any] = {"user_id": {}}
        steps = self.asked.length + (part == "train")  # the last item of a training row is a target alone
        shapes["item_id"] = {"shape": steps, "padding": padding}
        if part == "predict":
            shapes["seen_ids"] = {"shape": self.longest, "padding": padding}
        transforms = {part: make_default_sasrec_transforms(self.schema)[part]}
        return ParquetModule(
            batch_size=batch, metadata={part: shapes}, transforms=transforms, **{f"{part}_path": path}
        )

    def trainer(self, callback: lightning.Callback) -> lightning.Trainer:
        """What trains and answers."""
        return lightning.Trainer(
            max_epochs=10_000,
            accelerator="cpu",
            devices=1,
            callbacks=[callback],
            limit_val_batches=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            logger=False,
        )

    def fit(self, clock: Clock) -> None:
        """Trains until the clock ends it."""
        data = self.data("train", self.parquet(list(self.histories.values()), "train"))
        self.trainer(Counting(clock)).fit(self.module, datamodule=data)

    def answer(self, path: str, batch: int = 256) -> pl.DataFrame:
        """The best items of each history of a file that are not in it, in the ids of the data."""
        best = PolarsTopItemsCallback(K, "user_id", "item_id", "score", [SeenItemsFilter(len(self.items))])
        data = self.data("predict", path, batch)
        self.trainer(best).predict(self.module, datamodule=data, return_predictions=False)
        found = best.get_result()
        return found.with_columns(pl.Series("item", self.items).gather(found["item_id"]).alias("item"))

    def bare(self, histories: list[list[str]]) -> list[list[str]]:
        """The same for some histories, by the network alone: what a service of one's own would do."""
        length, padding = self.asked.length, len(self.items)
        rows = torch.full((len(histories), length), padding)
        coded = [[self.codes[item] for item in history] for history in histories]
        for row, codes in zip(rows, coded, strict=True):
            last = codes[-length:]
            row[length - len(last) :] = torch.tensor(last)
        with torch.inference_mode():
            logits = self.module.model(feature_tensors={"item_id": rows}, padding_mask=rows != padding)[
                "logits"
            ]
            for row, codes in zip(logits, coded, strict=True):
                row[codes] = -torch.inf
            return [[self.items[code] for code in best] for best in logits.topk(K).indices.tolist()]


def train(asked: Asked, setup: Setup) -> None:
    """Times training."""
    clock = Clock(asked.seconds)
    setup.fit(clock)
    epoch = sum(min(len(history) - 1, asked.length) for history in setup.histories.values())
    trained(asked, PEER, "SasRec", clock, epoch, "softmax over all items", batch=f"{BATCH} rows")


def until(asked: Asked, setup: Setup) -> None:
    """Times training until a mark is reached."""
    course = Course(asked)
    data = setup.data("train", setup.parquet(list(setup.histories.values()), "train"))
    setup.trainer(Judging(setup, course)).fit(setup.module, datamodule=data)
    reached(asked, PEER, "SasRec", course, "softmax over all items", batch=f"{BATCH} rows")


def evaluate(asked: Asked, setup: Setup) -> None:
    """Times answers for all users at once, and for one at a time whose history comes with the request.

    RePlay has no call for a single request. Both ways are timed: through its trainer, as for many, and bare.
    """
    setup.fit(Clock(EVALUATED_AFTER, warmup=0))
    setup.module.eval()
    everyone = list(setup.histories.values())
    path = setup.parquet(everyone, "everyone")  # what RePlay reads, as RecTools' data set is made before
    with Stopwatch() as taken:
        setup.answer(path)
    chosen = [setup.histories[user] for user in spread(list(setup.histories))]
    bare = latencies(lambda n: setup.bare([chosen[n]]))
    single = latencies(lambda n: setup.answer(setup.parquet([chosen[n]], "request")))
    answered(asked, PEER, "SasRec", len(everyone), taken, single, ways={"bare network": bare})


def main(asked: Asked) -> None:
    """Does what is asked."""
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(asked, Path(folder))
        {"training": train, "until": until, "evaluation": evaluate}[asked.what](asked, setup)


if __name__ == "__main__":
    main(asked())
