"""Popularity within groups: categories of items, and segments of events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, ModelError, nearest
from ensue.events.numerals import as_text
from ensue.models.counting.transitions import entries
from ensue.ranking import Parts, Scores
from ensue.sequences import Queries, Sequences
from ensue.transitions import check_table

BETWEEN = "|"
"""What stands between the categories of one item in a text."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CategoryScoring:
    """Probabilities: a category by the history, then an item of it by popularity.

    With h_c events of category c among the |h| of the history, and q_c its share of training,

        p(c | h) = (h_c + q_c) / (|h| + 1),   score of i = sum over c of p(c | h) x share_i part_ic / q_c.

    Attributes:
        part: `[N, C]` how much of each item belongs to each category; rows sum to 1.
        share: `[N]` share of the training events.
    """

    part: sp.csr_array
    share: Floats

    @classmethod
    def of(cls, catalogue: Catalogue, column: str) -> CategoryScoring:
        """The scoring by the categories in a column of the item table; items without any make one of their own.

        Raises:
            ModelError: there is no item table, or no such column.
        """
        table = catalogue.features
        if table is None:
            raise ModelError(
                f"popular: category={column!r} needs a table of items, and this log has none: read the log together "
                "with its items, or leave category out."
            )
        if column not in table.columns or column == "item":
            known = [name for name in table.columns if name != "item"]
            raise ModelError(
                f"popular: the item table has no column '{column}'; it has {', '.join(known) or 'none'}."
                f"{nearest(column, known)}"
            )
        rows, codes, n_categories = _categories(table[column])
        part = 1.0 / np.bincount(rows, minlength=len(catalogue))[rows]
        shape = (len(catalogue), n_categories)
        return cls(sp.csr_array(sp.coo_array((part, (rows, codes)), shape=shape)), catalogue.share)

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` probabilities."""
        rows, items = queries.pairs()
        shape = (len(queries), len(self.share))
        history = sp.csr_array(sp.coo_array((np.ones(len(rows)), (rows, items)), shape=shape))
        of_all = self._of_all()
        preferred = ((history @ self.part).toarray() + of_all) / (queries.lengths + 1.0)[:, None]
        within = preferred / np.where(of_all > 0, of_all, 1.0)
        scores: Scores = (sp.csr_array(within) @ self.part.T.tocsr()).toarray()
        scores *= self.share
        return scores

    def contributions(self, queries: Queries, items: Items) -> tuple[Floats, Floats]:
        """What each event adds to the score of an item, and what does not hang on the history; together the score.

        Args:
            queries: `Q` histories.
            items: `[Q]` one item for each.

        Returns:
            `[E]` parts, of all events of all histories as in `Queries.pairs`, and `[Q]` the rest.
        """
        of_all = self._of_all()
        per_entry = self.part.data / np.where(of_all > 0, of_all, 1.0)[self.part.indices]
        within = sp.csr_array((per_entry, self.part.indices, self.part.indptr), shape=self.part.shape)
        weight = self.share[items] / (queries.lengths + 1.0)
        rows, events = queries.pairs()
        alike = np.asarray((self.part[events] * within[items[rows]]).sum(axis=1)).ravel()
        return weight[rows] * alike, weight

    def _of_all(self) -> Floats:
        """`[C]` share of each category in the training events."""
        of_all = np.bincount(
            self.part.indices, self.part.data * np.repeat(self.share, np.diff(self.part.indptr))
        )
        return np.pad(of_all, (0, self.part.shape[1] - len(of_all)))

    def parts(self) -> Parts:
        """Which item is of which category, as arrays."""
        arrays = _stored(self.part)
        return Parts({"categories": self.part.shape[1]}, arrays)

    @classmethod
    def restored(cls, parts: Parts, catalogue: Catalogue) -> CategoryScoring:
        """The scoring from its stored parts.

        Raises:
            ArtifactError: the arrays do not fit the catalogue.
        """
        return cls(_restored(parts, len(catalogue), int(parts.settings["categories"])), catalogue.share)


@dataclass(frozen=True, eq=False)
class SegmentScoring:
    """Shares within the segment that a history's last event is in, with the weight of one event those of all.

    Attributes:
        column: the column of the log.
        labels: `[G]` its values, as text, ascending.
        counts: `[G, N]` training events.
        share: `[N]` share of all training events.
    """

    column: str
    labels: tuple[str, ...]
    counts: sp.csr_array
    share: Floats

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of events that it wants beside the items."""
        return (self.column,)

    @classmethod
    def of(cls, sequences: Sequences, catalogue: Catalogue, column: str) -> SegmentScoring:
        """The counts of each value of a column; events without a value are in no segment.

        Raises:
            ModelError: the log has no such column.
        """
        if column not in sequences.context:
            known = list(sequences.context)
            raise ModelError(
                f"popular: the log has no column '{column}' that could be a segment; it has "
                f"{', '.join(known) or 'none'}.{nearest(column, known)}"
            )
        values = as_text(sequences.context[column])
        labels = values.drop_nulls().unique().sort()
        codes = _codes(values, labels)
        held = codes >= 0
        shape = (len(labels), len(catalogue))
        counts = sp.coo_array((np.ones(held.sum()), (codes[held], sequences.items[held])), shape=shape)
        return cls(column, tuple(labels.to_list()), sp.csr_array(counts), catalogue.share)

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` shares; they sum to 1."""
        codes, weight = self._segments(queries)
        held = np.flatnonzero(codes >= 0)
        offsets = np.searchsorted(held, np.arange(len(queries) + 1))
        shape = (len(queries), len(self.labels))
        chosen = sp.csr_array((weight[held], codes[held], offsets), shape=shape)
        scores: Scores = (chosen @ self.counts).toarray()
        scores += weight[:, None] * self.share
        return scores

    def contributions(self, queries: Queries, items: Items) -> tuple[Floats, Floats]:
        """What each event adds to the score of an item, and what does not hang on the history; together the score.

        Args:
            queries: `Q` histories of at least one item.
            items: `[Q]` one item for each.

        Returns:
            `[E]` parts, of all events of all histories as in `Queries.pairs`, and `[Q]` the rest.
        """
        codes, weight = self._segments(queries)
        held = np.flatnonzero(codes >= 0)
        parts = np.zeros(int(queries.lengths.sum()))
        parts[np.cumsum(queries.lengths)[held] - 1] = weight[held] * entries(
            self.counts, codes[held], items[held]
        )
        return parts, weight * self.share[items]

    def _segments(self, queries: Queries) -> tuple[Ints, Floats]:
        """`[Q]` the segment of each history's last event, -1 for none; and the weight of one event in it."""
        codes = np.full(len(queries), -1, dtype=np.int64)
        if self.column in queries.context and len(queries):
            values = queries.context[self.column].gather(queries.ends - 1)
            labels = pl.Series(self.labels, dtype=pl.String)
            codes = _codes(as_text(values), labels)
            if values.dtype.is_float():  # models saved earlier have counted 2.0 under its own name
                codes = np.where(codes < 0, _codes(values.cast(pl.String), labels), codes)
        held = np.flatnonzero(codes >= 0)
        size = np.zeros(len(queries))
        size[held] = np.asarray(self.counts.sum(axis=1)).ravel()[codes[held]]
        return codes, 1.0 / (size + 1.0)

    def parts(self) -> Parts:
        """The counts as arrays, and the values."""
        return Parts({"column": self.column, "labels": list(self.labels)}, _stored(self.counts))

    @classmethod
    def restored(cls, parts: Parts, catalogue: Catalogue) -> SegmentScoring:
        """The scoring from its stored parts.

        Raises:
            ArtifactError: the arrays do not fit the catalogue.
        """
        labels = tuple(parts.settings["labels"])
        if len(set(labels)) != len(labels):
            raise ArtifactError(
                "The stored segments have a value twice: the artifact is damaged, save it anew."
            )
        counts = _restored(parts, len(labels), len(catalogue))
        return cls(parts.settings["column"], labels, counts, catalogue.share)


def _categories(column: pl.Series) -> tuple[Ints, Ints, int]:
    """Pairs `(row, category)` of a column, each once, and the number of categories.

    Text is cut at "|", lists are taken as they are; an empty text, an empty list or null is one category of its own.
    """
    frame = column.rename("value").to_frame().with_row_index("row")
    if column.dtype == pl.String:
        frame = frame.with_columns(pl.col("value").str.split(BETWEEN))
    if isinstance(frame.schema["value"], pl.List):
        frame = frame.explode("value")
    frame = frame.with_columns(pl.col("value").cast(pl.String).str.strip_chars())
    named = frame.filter(pl.col("value").is_not_null() & (pl.col("value") != "")).unique(maintain_order=True)
    labels = named["value"].unique().sort()
    nameless = np.setdiff1d(np.arange(len(column)), named["row"].to_numpy())
    rows = np.concatenate([named["row"].to_numpy().astype(np.int64), nameless])
    codes = np.concatenate([_codes(named["value"], labels), np.full(len(nameless), len(labels))])
    return rows, codes, len(labels) + 1


def _codes(values: pl.Series, labels: pl.Series) -> Ints:
    """`[E]` where each value stands among the labels, -1 for null and for what is none of them."""
    known = pl.DataFrame({"value": labels, "code": np.arange(len(labels), dtype=np.int64)})
    joined = values.rename("value").to_frame().join(known, on="value", how="left", maintain_order="left")
    return joined["code"].fill_null(-1).to_numpy()


def _stored(table: sp.csr_array) -> dict[str, NDArray[np.generic]]:
    return {
        "data": table.data,
        "indices": table.indices.astype(np.int32),
        "indptr": table.indptr.astype(np.int64),
    }


def _restored(parts: Parts, rows: int, columns: int) -> sp.csr_array:
    data, indices, indptr = (parts.arrays[name] for name in ("data", "indices", "indptr"))
    check_table(data, indices, indptr, rows, columns)
    return sp.csr_array((data, indices, indptr), shape=(rows, columns))
