"""Items as indices: which item a column of scores is.

A catalogue is fitted on training events only. Index order is also the tie order: equal scores are listed most
frequent first, then by id, and items added later come last. It holds no special items: padding is the number
`N = len(catalogue)`, which is no item, so that a forgotten mask fails loudly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import DataError
from ensue.events.log import EventLog
from ensue.events.readers.friendships import OWNER

Index = NDArray[np.int32]

UNKNOWN = -1
"""The code of an item that the catalogue does not hold."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The `N` items of a model, numbered `0..N-1`.

    Attributes:
        ids: `[N]` item ids as text, exactly as written in the log.
        counts: `[N]` training events of each item.
        features: one row per item in index order, with the column `item` and any others (`title`, ...), or None.
        targets: `[N]` those of the training events that count as targets, by their weights; None where all count alike.
    """

    ids: pl.Series
    counts: NDArray[np.int64]
    features: pl.DataFrame | None = None
    targets: NDArray[np.float64] | None = None
    _lookup: pl.DataFrame = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.ids) == 0:
            raise DataError(
                "The catalogue is empty: no event is left to learn from. Check filters and the split."
            )
        if len(self.ids) != len(self.counts):
            raise DataError(
                f"{len(self.ids)} item ids but {len(self.counts)} counts: they must be one to one."
            )
        if self.targets is not None and (
            len(self.targets) != len(self.ids)
            or not np.isfinite(self.targets).all()
            or self.targets.min() < 0
        ):
            raise DataError(
                f"{len(self.ids)} item ids but {len(self.targets)} counts of targets: they must be one to one, and 0 "
                "or more."
            )
        if self.ids.n_unique() != len(self.ids):
            twice = self.ids.filter(self.ids.is_duplicated())[0]
            raise DataError(f"Item '{twice}' stands in the catalogue twice; every id needs one place.")
        lookup = pl.DataFrame({"item": self.ids, "index": np.arange(len(self.ids), dtype=np.int32)})
        object.__setattr__(self, "_lookup", lookup)

    @classmethod
    def fit(cls, log: EventLog) -> Catalogue:
        """The items of a log, most frequent first, then by id.

        Args:
            log: training events only; nothing later than the cut may be in it.
        """
        counted = log.frame.group_by("item").len().sort(["len", "item"], descending=[True, False])
        ids = counted["item"].rename("item")
        return cls(ids, counted["len"].cast(pl.Int64).to_numpy(), aligned(ids, log.items))

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self, items: pl.Series | Iterable[str]) -> Index:
        """Indices of items, `UNKNOWN` (-1) for those the catalogue does not hold.

        Args:
            items: ids as text, in any number and order.
        """
        if not isinstance(items, pl.Series):  # a join costs more than a lookup of each, up to very many
            return np.fromiter(map(self._places.get, items, repeat(UNKNOWN)), dtype=np.int32)
        frame = items.rename("item").cast(pl.String).to_frame()
        joined = frame.join(self._lookup, on="item", how="left", maintain_order="left")
        return joined["index"].fill_null(UNKNOWN).cast(pl.Int32).to_numpy()

    def decode(self, indices: Sequence[int] | NDArray[np.integer]) -> list[str]:
        """Ids of items, as written in the log.

        Raises:
            IndexError: an index is outside `0..N-1`.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"item index outside 0..{len(self) - 1}")
        text = self._text
        return [text[index] for index in wanted.tolist()]

    @cached_property
    def _text(self) -> list[str]:
        """`[N]` ids in index order."""
        return list(self.ids.to_list())

    @cached_property
    def _places(self) -> dict[str, int]:
        """The index of each id."""
        return {item: index for index, item in enumerate(self._text)}

    @cached_property
    def titles(self) -> list[str | None]:
        """`[N]` titles in index order, None where an item has none."""
        if self.features is None or "title" not in self.features.columns:
            return [None] * len(self)
        found: list[str | None] = self.features["title"].cast(pl.String).to_list()
        return found

    def find(self, title: str) -> list[int]:
        """Items whose title matches, most frequent first: those that equal it, else those that contain it.

        Args:
            title: a title or a part of one, in any case.
        """
        wanted = title.strip().casefold()
        folded = [(index, known.casefold()) for index, known in enumerate(self.titles) if known is not None]
        equal = [index for index, known in folded if known == wanted]
        return equal or [index for index, known in folded if wanted and wanted in known]

    @cached_property
    def owned(self) -> pl.DataFrame | None:
        """Columns `owner` and `index` of the items that are somebody's own, or None where no item is."""
        if self.features is None or OWNER not in self.features.columns:
            return None
        owners = self.features[OWNER].cast(pl.String)
        held = pl.DataFrame({OWNER: owners, "index": np.arange(len(self), dtype=np.int32)}).drop_nulls()
        return None if held.is_empty() else held

    @cached_property
    def share(self) -> NDArray[np.float64]:
        """`[N]` share of each item in the training events, or in the targets among them where others only stand beside.

        It sums to 1 (all 0 if nothing was counted).
        """
        counted = self.counts if self.targets is None else self.targets
        total = counted.sum()
        return counted / total if total else np.zeros(len(self))

    def extend(self, items: pl.DataFrame) -> Catalogue:
        """The same catalogue with new items at the end; every old item keeps its place.

        Args:
            items: a table with the column `item` and, if known, features. Items already held are left as they are.

        Raises:
            DataError: an item has no id, or ids are not text.
        """
        if "item" not in items.columns or items["item"].dtype != pl.String or items["item"].has_nulls():
            raise DataError(
                "New items need a column 'item' with an id as text in every row; cast numbers to text."
            )
        new = items.filter(~pl.col("item").is_in(self.ids.implode())).unique("item", maintain_order=True)
        ids = pl.concat([self.ids.rename("item"), new["item"].cast(pl.String)])
        counts = np.concatenate([self.counts, np.zeros(len(new), dtype=np.int64)])
        targets = None if self.targets is None else np.concatenate([self.targets, np.zeros(len(new))])
        if self.features is None:
            return Catalogue(ids, counts, aligned(ids, new) if len(new.columns) > 1 else None, targets)
        return Catalogue(ids, counts, aligned(ids, pl.concat([self.features, new], how="diagonal")), targets)


def aligned(ids: pl.Series, items: pl.DataFrame | None) -> pl.DataFrame | None:
    """One row of features per id, in the order of `ids`; null where nothing is known."""
    if items is None:
        return None
    wanted = ids.rename("item").to_frame()
    return wanted.join(items.unique("item", keep="first"), on="item", how="left", maintain_order="left")
