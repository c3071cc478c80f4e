"""RecBole's SASRec with the full softmax, as its `run_recbole` trains it: one padded row for each event with history.

Useful targets of a step are its rows: each is the history before one event, cut to the last `length` items, of which
only the last position is trained. An epoch trains every event of every user but the first.
"""

from __future__ import annotations

import csv
import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from measuring import BATCH, BLOCKS, DROPOUT, HEADS, RATE, WIDTH, Asked, Clock, asked, trained
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.dataloader import TrainDataLoader
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_seed

PEER = "recbole"


class TimeIsOver(Exception):  # noqa: N818
    """Ends a training that has no other way to be ended within an epoch."""


def settings(asked: Asked, folder: Path) -> dict[str, Any]:
    """What differs from RecBole's own settings: the data and its columns, the sizes, and no validation."""
    return {
        "data_path": str(folder),
        "checkpoint_dir": str(folder),
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "TIME_FIELD": "timestamp",
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": asked.length,
        "eval_args": {"split": {"RS": [1.0, 0.0, 0.0]}, "order": "TO", "group_by": "user", "mode": "full"},
        "train_neg_sample_args": None,
        "loss_type": "CE",
        "hidden_size": WIDTH,
        "n_layers": BLOCKS,
        "n_heads": HEADS,
        "hidden_dropout_prob": DROPOUT,
        "attn_dropout_prob": DROPOUT,
        "train_batch_size": BATCH,
        "learning_rate": RATE,
        "epochs": 10_000,
        "use_gpu": False,
        "show_progress": False,
        "repeatable": True,
    }


def write(asked: Asked, folder: Path) -> None:
    """The events in RecBole's own format."""
    (folder / asked.data).mkdir()
    with (
        asked.file.open(encoding="utf-8", newline="") as source,
        (folder / asked.data / f"{asked.data}.inter").open("w", encoding="utf-8") as target,
    ):
        target.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for row in csv.DictReader(source):
            target.write(f"{row['user']}\t{row['item']}\t{row['time']}\n")


def train(asked: Asked, folder: Path) -> None:
    """Times training, to the end of the step in which the time runs out."""
    write(asked, folder)
    config = Config(model="SASRec", dataset=asked.data, config_dict=settings(asked, folder))
    init_seed(config["seed"], config["reproducibility"])
    rows, _, _ = create_dataset(config).build()
    loader = TrainDataLoader(config, rows, None, shuffle=True)
    model = SASRec(config, loader.dataset).to(config["device"])
    trainer = Trainer(config, model)
    clock, lost, sizes = Clock(asked.seconds), model.calculate_loss, []

    def losing(batch: Any) -> torch.Tensor:
        sizes.append(len(batch))
        loss: torch.Tensor = lost(batch)
        return loss

    def stepped(*_: Any) -> None:
        if clock.step(sizes.pop()):
            raise TimeIsOver

    model.calculate_loss = losing
    trainer.optimizer.register_step_post_hook(stepped)
    try:
        trainer.fit(loader, saved=False, verbose=False)
    except TimeIsOver:
        trained(asked, PEER, "SASRec", clock, len(rows), "softmax over all items", batch=f"{BATCH} prefixes")


def main(asked: Asked) -> None:
    """Does what is asked."""
    if asked.what != "training":
        raise SystemExit("RecBole answers for known users only, so it is not compared in answering.")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        asked = Asked(**vars(asked) | {"file": asked.file.resolve()})
        os.chdir(folder)  # RecBole writes logs to where it runs
        train(asked, Path(folder))
        os.chdir("/")


if __name__ == "__main__":
    main(asked())
