"""From rows of candidates and events to lists: ids become places, and what cannot be used is set aside and counted."""

from __future__ import annotations

import numpy as np
import polars as pl

from ensue.batching import Ints
from ensue.errors import DataError
from ensue.reranking.shown import MOST_CANDIDATES, NONE, Events, Shown
from ensue.sequences import MISSING_TIME

CONTEXT = "context: "
"""What the columns of context begin with in the table of lists, so that they are called as they like."""


class Counted:
    """What is set aside, by reason."""

    def __init__(self) -> None:
        self.reasons: dict[str, int] = {}

    def without(self, frame: pl.DataFrame, bad: pl.Expr | pl.Series, reason: str) -> pl.DataFrame:
        """The rows for which an expression is not true; the others are counted."""
        mask = frame.select(bad.fill_null(False).alias("bad")).to_series()
        self.reasons[reason] = self.reasons.get(reason, 0) + int(mask.sum())
        return frame.filter(~mask) if mask.any() else frame

    def note(self, frame: pl.DataFrame, odd: pl.Expr, reason: str) -> None:
        """Counts rows that are kept all the same."""
        self.without(frame, odd, reason)


def assembled(
    rows: pl.DataFrame,
    about: pl.DataFrame,
    events: pl.DataFrame,
    counted: Counted,
    notes: tuple[str, ...] = (),
) -> Shown:
    """Lists of which all can be used.

    Args:
        rows: `[C]` `list`, `item`, `score`, `price`, `chosen`; those of a list in the order of the engine.
        about: `[Q]` `list`, `group`, `starts`, `ends`, `at`, `begins`, one row for each list in ascending order of
            `list`, and its context, in columns that begin with `CONTEXT`.
        events: `[E]` `group`, `item` (null for none), `kind`, `time` (null for none), in the order of the sessions.
        counted: goes on counting.
        notes: what was decided.

    Raises:
        DataError: no list is left.
    """
    rows = rows.with_columns(
        price=pl.when(pl.col("price").is_finite() & (pl.col("price") > 0)).then("price"),
        score=pl.when(pl.col("score").is_finite()).then("score"),
    )
    lists = rows.group_by("list").agg(
        size=pl.len(),
        distinct=pl.col("item").n_unique(),
        nameless=(pl.col("item").is_null() | (pl.col("item") == "")).sum(),
        choices=pl.col("chosen").fill_null(False).sum(),
    )
    for reason, bad in (
        (f"lists of more than {MOST_CANDIDATES:,} candidates", pl.col("size") > MOST_CANDIDATES),
        ("lists with a candidate that has no id", pl.col("nameless") > 0),
        ("lists that hold an item twice", pl.col("distinct") < pl.col("size")),
        ("lists whose choice is none of their candidates, or not known", pl.col("choices") == 0),
        ("lists with more than one choice", pl.col("choices") > 1),
    ):
        lists = counted.without(lists, bad, reason)
    if lists.is_empty():
        why = "; ".join(f"{count:,} {reason}" for reason, count in counted.reasons.items() if count)
        raise DataError(f"No list is left to learn from or to measure on ({why or 'there are none'}).")
    rows = rows.join(lists.select("list"), on="list", how="semi", maintain_order="left")
    about = about.join(lists.select("list"), on="list", how="semi", maintain_order="left")
    rows = rows.with_columns(chosen=pl.col("chosen").fill_null(False))
    ids = pl.concat([rows["item"], events["item"].drop_nulls()]).unique().sort().alias("item")
    numbers = pl.DataFrame({"item": ids}).with_row_index("code")
    codes = rows.select("list", "item", "chosen", "score", "price").join(
        numbers, on="item", how="left", maintain_order="left"
    )
    sizes = codes.select(pl.col("list").rle()).unnest("list")["len"].to_numpy()
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if len(sizes) != about.height:
        raise DataError("The rows of a list do not stand together, or a list has no row of its own.")
    done = events.join(numbers, on="item", how="left", maintain_order="left")
    return Shown(
        ids=ids,
        items=codes["code"].cast(pl.Int32).to_numpy(),
        offsets=offsets,
        score=codes["score"].fill_null(float("nan")).to_numpy(),
        price=codes["price"].fill_null(float("nan")).to_numpy(),
        chosen=np.flatnonzero(codes["chosen"].to_numpy()).astype(np.int64),
        groups=about["group"].cast(pl.Int64).to_numpy(),
        at=_times(about["at"]),
        begins=_times(about["begins"]),
        events=Events(
            done["code"].cast(pl.Int64).fill_null(NONE).cast(pl.Int32).to_numpy(),
            done["kind"].cast(pl.String),
            _times(done["time"]),
            done["group"].cast(pl.Int64).to_numpy(),
        ),
        starts=about["starts"].cast(pl.Int64).to_numpy(),
        ends=about["ends"].cast(pl.Int64).to_numpy(),
        context={
            name.removeprefix(CONTEXT): about[name].cast(pl.String)
            for name in about.columns
            if name.startswith(CONTEXT)
        },
        set_aside={reason: count for reason, count in counted.reasons.items() if count},
        notes=notes,
    )


def _times(column: pl.Series) -> Ints:
    return column.cast(pl.Int64).fill_null(MISSING_TIME).to_numpy().astype(np.int64)
