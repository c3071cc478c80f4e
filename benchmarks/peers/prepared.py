"""The one file that ensue and every peer are given: users, items, and the place of each event in its user's order.

Left out are the last two events of each user, as a leave-one-out evaluation would. Rows are sorted by user, then time,
then row in the source. The third column is the place in that order and not the time itself, so that no library can
order events of equal time in a way of its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Data:
    """A data set under ENSUE_DATA, and the most events of a history that models see on it."""

    place: str
    length: int


DATA = {
    "ml-100k": Data("ml-100k", 200),
    "ml-1m": Data("ml-1m", 200),
    "beauty": Data("amazon2014-s3rec/Beauty.txt", 50),
}


def prepare(name: str, folder: Path, targets: Path | None = None) -> Path:
    """The prepared file of a data set, newly written into a folder.

    Args:
        name: of the data set.
        folder: where it goes.
        targets: another file, for the last event but one of each user; None writes none.
    """
    if not os.environ.get("ENSUE_DATA"):
        raise SystemExit(
            "This comparison needs public data sets: set ENSUE_DATA to the folder that holds them."
        )
    import polars as pl

    from ensue import read
    from ensue.splits import VALIDATION, last_out

    split = last_out(read(Path(os.environ["ENSUE_DATA"]) / DATA[name].place))
    train = split.train
    place = pl.int_range(pl.len()).over("user").alias("time")
    target = folder / f"{name}.csv"
    train.frame.select("user", "item", place).write_csv(target)
    if targets is not None:
        split.log.where(split.part == VALIDATION).frame.select("user", "item").write_csv(targets)
    return target
