"""What rules read of the items of a catalogue, each column worked out once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import ConfigError, DataError, nearest
from ensue.events.times import parse
from ensue.item_similarity import unit_vectors
from ensue.sequences import MISSING_TIME

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]

BETWEEN = "|"
"""What stands between several values of one item in a text."""


class Columns:
    """The columns of a catalogue's items, as rules read them.

    Args:
        catalogue: the items; a changed catalogue needs new columns.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._numbers: dict[str, Floats] = {}
        self._times: dict[str, Ints] = {}
        self._values: dict[str, tuple[pl.Series, csr_array]] = {}
        self._vectors: dict[tuple[str, ...] | None, csr_array] = {}

    def codes(self, ids: Iterable[str]) -> tuple[Items, tuple[str, ...]]:
        """The indices of ids that the catalogue holds, ascending, each once; and the ids that it does not hold.

        Args:
            ids: in any order, repeated or not.
        """
        wanted = list(dict.fromkeys(ids))
        found = self.catalogue.encode(wanted)
        unknown = np.flatnonzero(found == UNKNOWN).tolist()
        return np.sort(found[found != UNKNOWN]), tuple(wanted[place] for place in unknown)

    def numbers(self, column: str) -> Floats:
        """`[N]` a column of numbers, NaN where an item has none.

        Raises:
            ConfigError: there is no such column, or it holds no numbers.
        """
        if column not in self._numbers:
            values = self._column(column)
            if not (values.dtype.is_numeric() or values.dtype == pl.Null):
                raise ConfigError(f"the column '{column}' of the items is {values.dtype}, and no number.")
            found = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            self._numbers[column] = np.asarray(found, dtype=np.float64)
        return self._numbers[column]

    def times(self, column: str) -> Ints:
        """`[N]` a column of times in microseconds since 1970 UTC, `MISSING_TIME` where an item has none.

        Raises:
            ConfigError: there is no such column, or it holds no times.
        """
        if column not in self._times:
            values = self._column(column)
            lines = pl.Series(range(1, len(values) + 1), dtype=pl.Int64)
            try:
                found = parse(values, None, lines, f"the column '{column}' of the items").values
            except DataError as fault:
                raise ConfigError(f"the column '{column}' of the items holds no times: {fault}") from fault
            if values.null_count() < len(values) == found.null_count():
                raise ConfigError(f"the column '{column}' of the items holds no times.")
            self._times[column] = found.dt.epoch("us").fill_null(MISSING_TIME).to_numpy().astype(np.int64)
        return self._times[column]

    def values(self, column: str) -> tuple[pl.Series, csr_array]:
        """The different values of a column as text, and `[N, C]` ones where an item has one of them.

        Text is cut at "|", lists are taken as they are. An item without a value has none.

        Raises:
            ConfigError: there is no such column.
        """
        if column not in self._values:
            import scipy.sparse as sp

            parts = _parts(self._column(column))
            labels = parts["value"].unique().sort()
            codes = parts.join(
                pl.DataFrame({"value": labels, "code": np.arange(len(labels))}),
                on="value",
                how="left",
                maintain_order="left",
            )["code"].to_numpy()
            shape = (len(self.catalogue), len(labels))
            rows = parts["row"].to_numpy().astype(np.int64)
            table: Any = sp.coo_array((np.ones(len(rows)), (rows, codes)), shape=shape)
            self._values[column] = labels, sp.csr_array(table)
        return self._values[column]

    def holding(self, column: str, wanted: Iterable[str]) -> Items:
        """The items that have one of some values, ascending.

        Raises:
            ConfigError: there is no such column, or no item has one of the values.
        """
        labels, table = self.values(column)
        for value in wanted:
            if value not in labels:
                raise ConfigError(
                    f"no item has {column} = '{value}'.{nearest(value, labels.head(1000).to_list())}"
                )
        places = labels.is_in(list(wanted)).arg_true().to_numpy()
        rows = np.repeat(np.arange(len(self.catalogue)), np.diff(table.indptr))
        return np.unique(rows[np.isin(table.indices, places)]).astype(np.int32)

    def vectors(self, names: tuple[str, ...] | None) -> csr_array:
        """`[N, D]` of length 1 (or 0), whose products say how alike items are.

        Args:
            names: columns of categories or vectors; None takes all that say how alike items are.

        Raises:
            ConfigError: a column is not there, or none says how alike items are.
        """
        if names not in self._vectors:
            frame = self.catalogue.features
            if names is not None:
                held = {name: self._column(name) for name in names}
                frame = pl.DataFrame({"item": self.catalogue.ids, **held})
            found = unit_vectors(Catalogue(self.catalogue.ids, self.catalogue.counts, frame))
            if found is None:
                named = "the items have no column that says" if names is None else "these columns do not say"
                raise ConfigError(
                    f"{named} how alike items are: it takes categories that items share, or vectors."
                )
            self._vectors[names] = found
        return self._vectors[names]

    def _column(self, column: str) -> pl.Series:
        frame = self.catalogue.features
        known = [] if frame is None else [name for name in frame.columns if name != "item"]
        if frame is None or column not in known:
            has = f"they have {', '.join(known)}" if known else "they have none"
            raise ConfigError(f"the items have no column '{column}'; {has}.{nearest(column, known)}")
        return frame[column]


def _parts(column: pl.Series) -> pl.DataFrame:
    """Every value of every item once: columns `row` and `value`."""
    frame = column.rename("value").to_frame().with_row_index("row")
    if column.dtype == pl.String:
        frame = frame.with_columns(pl.col("value").str.split(BETWEEN))
    if isinstance(column.dtype, pl.Array):
        frame = frame.with_columns(pl.col("value").arr.to_list())
    if isinstance(frame.schema["value"], pl.List):
        frame = frame.explode("value")
    frame = frame.with_columns(pl.col("value").cast(pl.String).str.strip_chars())
    return frame.filter(pl.col("value").is_not_null() & (pl.col("value") != "")).unique(maintain_order=True)
