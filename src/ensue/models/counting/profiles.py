"""Profiles: items whose features are like those of the one who asks, or of what they took."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import ConfigError, ModelError, nearest
from ensue.model import Conditions, Model, Training
from ensue.models.counting.personal import each_once
from ensue.ranking import POPULARITY_SHARE, Parts, Recommender, Scores
from ensue.sequences import Queries
from ensue.spaces import Real, Space

Floats = NDArray[np.float64]

NAMES = ("item", "owner")
"""Columns that name an item, and are read only where they are asked for."""

SEPARATOR = "|"
WORD = r"[\p{L}\p{N}]+"


@dataclass(frozen=True)
class Profiles(Model):
    """Items alike by what is known of them: by categories, lists and the words of texts, and by no event of others.

    Each value v of a column that an item has n times counts `(1 + ln n) ln(N / n_v)`, where n_v of N items have it; a
    column is scaled to the length 1, and the likeness of two items is the mean cosine over the columns. What is asked
    is the likeness to the user, where users are items (friends) and something is known of this one; else the mean over
    the items of the history, each step back weighing `decay` of the one after it. Items without a score are ordered by
    popularity. An item that nobody has taken yet is scored like any other.

    A column of lists has its entries for values, a text that holds `|` anywhere what that parts, any other text its
    words, in lower case. Numbers and times are not read.

    Attributes:
        columns: of the item table; none names all that can be read.
        decay: weight of each step further back in the history, above 0 up to 1.

    References:
        Lops, de Gemmis, Semeraro, "Content-based recommender systems", Recommender Systems Handbook, 2011, section 3.3.
    """

    name: ClassVar[str] = "profiles"
    summary: ClassVar[str] = "items whose categories and words are like those of the user or the history"
    space: ClassVar[Space] = {"decay": Real(0.5, 1.0)}

    columns: tuple[str, ...] = ()
    decay: float = 0.9

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        if not 0 < self.decay <= 1:
            raise ConfigError(f"profiles: decay={self.decay:g} must lie above 0 up to 1.")

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """What is known of the items.

        Raises:
            ModelError: a column is not there, or cannot be read.
        """
        scoring = ProfileScoring(self, training.catalogue)
        if not scoring.vectors.nnz:
            conditions.progress.say(
                f"{self.name}: nothing that can be read is known of any item: popularity answers"
            )
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> ProfileScoring:
        """The features of the catalogue."""
        return ProfileScoring(self, catalogue)


@dataclass(frozen=True, eq=False)
class ProfileScoring:
    """Scores by likeness.

    Attributes:
        model: its settings.
        catalogue: with the features.
    """

    model: Profiles
    catalogue: Catalogue

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` likeness of each item."""
        asked, which = each_once(queries)
        found: Floats = (self._asking(asked) @ self._by_value).toarray()
        scores: Scores = found + POPULARITY_SHARE * self.catalogue.share
        return scores[which]

    def _asking(self, queries: Queries) -> sp.csr_array:
        """`[Q, D]` the profile of whoever asks."""
        rows, items = queries.pairs()
        first = np.cumsum(queries.lengths) - queries.lengths
        ago = queries.lengths[rows] - 1 - (np.arange(len(rows)) - first[rows])
        weight = self.model.decay ** ago.astype(np.float64)
        own = np.full(len(queries), UNKNOWN) if queries.users is None else self._known(queries)
        theirs = own != UNKNOWN
        weight[theirs[rows]] = 0.0
        weight /= np.maximum(np.bincount(rows, weight, minlength=len(queries)), 1e-300)[rows]
        rows = np.concatenate([rows[weight > 0], np.flatnonzero(theirs)])
        items = np.concatenate([items[weight > 0], own[theirs]])
        weight = np.concatenate([weight[weight > 0], np.ones(int(theirs.sum()))])
        cells = sp.coo_array((weight, (rows, items)), shape=(len(queries), queries.n_items))
        return sp.csr_array(sp.csr_array(cells) @ self.vectors)

    def _known(self, queries: Queries) -> NDArray[np.int32]:
        """`[Q]` the item that each user is, `UNKNOWN` where they are none or nothing is known of them."""
        own = (
            self.catalogue.encode(queries.users) if queries.users is not None else np.empty(0, dtype=np.int32)
        )
        told = np.diff(self.vectors.indptr) > 0
        return np.where((own != UNKNOWN) & told[np.maximum(own, 0)], own, UNKNOWN)

    @cached_property
    def vectors(self) -> sp.csr_array:
        """`[N, D]` of each item, whose products are likenesses."""
        n = len(self.catalogue)
        blocks = [_vectors(column, n) for column in self._columns()]
        if not blocks:
            return sp.csr_array((n, 1))
        return sp.csr_array(sp.hstack(blocks, format="csr") / np.sqrt(len(blocks)))

    @cached_property
    def _by_value(self) -> sp.csr_array:
        """`[D, N]` the same, laid out by value."""
        return sp.csr_array(self.vectors.T)

    def _columns(self) -> list[pl.Series]:
        """The columns that are read, each as lists of text."""
        frame = self.catalogue.features
        held = [] if frame is None else frame.columns
        lacking = [name for name in self.model.columns if name not in held]
        if lacking:
            raise ModelError(
                f"profiles: the items have no column '{lacking[0]}', but {', '.join(held) or 'none'}."
                f"{nearest(lacking[0], held)}"
            )
        if frame is None:
            return []
        wanted = self.model.columns or [name for name in held if name not in NAMES]
        found = {name: _lists(frame[name]) for name in wanted}
        unread = [name for name in self.model.columns if found[name] is None]
        if unread:
            raise ModelError(
                f"profiles: the column '{unread[0]}' is {frame[unread[0]].dtype}: name columns of text, categories or "
                "lists of them."
            )
        return [column for column in found.values() if column is not None]

    def parts(self) -> Parts:
        """Nothing: the features are those of the catalogue."""
        return Parts(self.model.settings(), {})


def _lists(column: pl.Series) -> pl.Series | None:
    """`[N]` the values of each item as lists of text, or None for what is neither text nor a list of it."""
    kind = column.dtype
    if isinstance(kind, pl.List):
        return column.cast(pl.List(pl.String)) if kind.inner == pl.String or kind.inner.is_integer() else None
    if kind not in (pl.String, pl.Categorical, pl.Enum):
        return None
    text = column.cast(pl.String)
    if text.str.contains(SEPARATOR, literal=True).any():
        return text.str.split(SEPARATOR)
    return text.str.to_lowercase().str.extract_all(WORD)


def _vectors(column: pl.Series, n: int) -> sp.csr_array:
    """`[N, D]` of length 1, or of 0 where an item has no value that tells it from all others."""
    pairs = (
        pl.DataFrame({"row": np.arange(n), "value": column}).explode("value", empty_as_null=True).drop_nulls()
    )
    counted = pairs.group_by("row", "value").agg(times=pl.len()).sort("row", "value")
    items = pl.len().over("value")
    weighed = counted.with_columns(
        code=pl.col("value").rank("dense") - 1,
        weight=(1.0 + pl.col("times").cast(pl.Float64).log()) * (n / items).log(),
    )
    cells = (
        weighed["weight"].to_numpy(),
        (weighed["row"].to_numpy(), weighed["code"].to_numpy().astype(np.int64)),
    )
    table = sp.csr_array(sp.coo_array(cells, shape=(n, max(counted["value"].n_unique(), 1))))
    lengths = np.sqrt(np.asarray(table.multiply(table).sum(axis=1)).ravel())
    table.eliminate_zeros()
    return sp.csr_array(sp.diags_array(1.0 / np.where(lengths > 0, lengths, 1.0)) @ table)
