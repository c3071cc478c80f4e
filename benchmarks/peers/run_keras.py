"""The plain LSTM of many tutorials, in Keras: trained on prefixes, a softmax over all items after the last event.

Useful targets of a step are its rows: each is the history before one event, cut to the last `length` items and padded
at its beginning, and the item that came next. An epoch trains every event of every user but the first. Rows are made
of the sequences batch by batch, which takes less memory than the table of all prefixes that the tutorials make.
"""

from __future__ import annotations

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from measuring import (
    BATCH,
    EMBEDDING,
    RATE,
    UNITS,
    Asked,
    Clock,
    Course,
    K,
    Stopwatch,
    asked,
    histories,
    reached,
    trained,
)

PEER = "keras"
JUDGED = 256
"""Users that are judged at a time."""


class Prefixes(keras.utils.PyDataset):
    """Batches of padded prefixes with the items that came next; item 0 is padding.

    Args:
        sequences: item codes of each user, from 1, oldest first.
        length: of a row.
    """

    def __init__(self, sequences: list[Any], length: int) -> None:
        super().__init__()
        self.length = length
        self.items = np.concatenate([np.zeros(length, dtype=np.int32), *sequences])
        lengths = np.array([len(sequence) for sequence in sequences])
        self.first = np.repeat(length + np.cumsum(lengths) - lengths, lengths - 1)  # of the row's user
        ends = [length + np.arange(1, n) for n in lengths]
        self.ends = np.concatenate(ends) + np.repeat(np.cumsum(lengths) - lengths, lengths - 1)
        self.rng = np.random.default_rng(0)
        self.order = self.rng.permutation(len(self.ends))

    def __len__(self) -> int:
        return math.ceil(len(self.order) / BATCH)

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        chosen = self.order[number * BATCH : (number + 1) * BATCH]
        places = self.ends[chosen, None] + np.arange(-self.length, 0)
        return np.where(places >= self.first[chosen, None], self.items[places], 0), self.items[
            self.ends[chosen]
        ]

    def on_epoch_end(self) -> None:
        self.order = self.rng.permutation(len(self.ends))


class Counting(keras.callbacks.Callback):
    """Tells the clock of every step, and ends the training when its time is over."""

    def __init__(self, clock: Clock, rows: Prefixes) -> None:
        super().__init__()
        self.clock, self.rows = clock, rows

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.clock.step(min(BATCH, len(self.rows.order) - batch * BATCH)):
            self.model.stop_training = True


def model_of(n_items: int, length: int) -> keras.Model:
    """Embedding, LSTM, softmax."""
    model = keras.Sequential(
        [
            keras.Input((length,), dtype="int32"),
            keras.layers.Embedding(n_items + 1, EMBEDDING, mask_zero=True),
            keras.layers.LSTM(UNITS),
            keras.layers.Dense(n_items + 1, activation="softmax"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss="sparse_categorical_crossentropy")
    return model


def train(asked: Asked, everyone: dict[str, list[str]]) -> None:
    """Times the training."""
    _, rows, n_items = prepared(asked, everyone)
    clock = Clock(asked.seconds)
    model_of(n_items, asked.length).fit(rows, epochs=10_000, verbose=0, callbacks=[Counting(clock, rows)])
    trained(asked, PEER, "LSTM", clock, len(rows.ends), "softmax over all items", batch=f"{BATCH} prefixes")


def until(asked: Asked, everyone: dict[str, list[str]]) -> None:
    """Times training epoch by epoch, each judged by the ten best of all items, until a mark is reached."""
    codes, rows, n_items = prepared(asked, everyone)
    course, model = Course(asked), model_of(n_items, asked.length)
    names = dict(zip(codes.values(), codes, strict=True))
    users = [user for user in everyone if user in course.targets]
    over = False
    while not over:
        with Stopwatch() as taken:
            model.fit(rows, epochs=1, verbose=0)
        course.trained(taken)
        slates: dict[str, list[str]] = {}
        for start in range(0, len(users), JUDGED):
            some = users[start : start + JUDGED]
            histories = [[codes[item] for item in everyone[user]] for user in some]
            inputs = np.zeros((len(some), asked.length), dtype=np.int32)
            for row, history in zip(inputs, histories, strict=True):
                last = history[-asked.length :]
                row[asked.length - len(last) :] = last
            shares = model.predict_on_batch(inputs)
            shares[:, 0] = -1  # padding is no item
            for user, share, history in zip(some, shares, histories, strict=True):
                share[history] = -1
                slates[user] = [names[code] for code in np.argsort(-share, kind="stable")[:K]]
        over = course.judged(course.score(slates))
    reached(asked, PEER, "LSTM", course, "softmax over all items", batch=f"{BATCH} prefixes")


def prepared(asked: Asked, everyone: dict[str, list[str]]) -> tuple[dict[str, int], Prefixes, int]:
    """The code of each item, the rows that are trained, and how many items there are."""
    codes: dict[str, int] = {}
    sequences = [
        np.array([codes.setdefault(item, len(codes) + 1) for item in history], dtype=np.int32)
        for history in everyone.values()
    ]
    return codes, Prefixes(sequences, asked.length), len(codes)


def main(asked: Asked) -> None:
    """Does what is asked."""
    if asked.what == "evaluation":
        raise SystemExit("The LSTM of the tutorials is not compared in answering.")
    tf.config.threading.set_intra_op_parallelism_threads(asked.threads)
    tf.config.threading.set_inter_op_parallelism_threads(asked.threads)
    keras.utils.set_random_seed(0)
    (train if asked.what == "training" else until)(asked, histories(asked.file))


if __name__ == "__main__":
    main(asked())
