"""What is known of items, as arrays: from which a network works out an item's vector, even of one it never saw.

Features are fitted on the items of training and read any later item by the same rule. A column is one of four kinds,
by its type unless a table asks for another, such as {"column": "genres", "kind": "values", "separator": ";"}:

- "category": text, Boolean, Categorical, Enum
- "values", several categories at once: a list of text or whole numbers; or text, where a separator is given, or where
  a training value holds `|`, as in "Action|Comedy"
- "number": integers, floats, decimals
- "vector": a list or array of floats, all of one length, such as the embedding of a text or an image

What an item lacks is told apart from everything else and filled with nothing: a category has the code MISSING, a list
is empty, a number is NaN, a vector is marked. So an empty price is not a price of 0: `filled` reads it as the mean of
the training prices with a mark beside it, and the mean is stored with the model. An item without a row lacks all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.encodings import Encoding, kind_of, known_entry, vocabularies, vocabulary_table
from ensue.errors import ArtifactError, ColumnError, ConfigError
from ensue.wanted import KINDS, Described, Wanted, check_kind

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

SEPARATOR = "|"
"""What parts several values in one text, where nothing else is said."""


@dataclass(frozen=True, eq=False)
class Values:
    """Several categories per item, end to end.

    Attributes:
        codes: flat codes; UNSEEN among them, never MISSING.
        offsets: `[N+1]`; those of item i are `codes[offsets[i]:offsets[i+1]]`, none if they are missing.
    """

    codes: Ints
    offsets: Ints


@dataclass(frozen=True, eq=False)
class Vectors:
    """One vector per item.

    Attributes:
        values: `[N, V]`, zeros where missing.
        missing: `[N]` true where an item has none.
    """

    values: Floats
    missing: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FeatureArrays:
    """The features of `N` items, each by the name of its column.

    Attributes:
        categories: `[N]` codes below the size of the encoding; its last two are UNSEEN and MISSING.
        values: several categories per item.
        numbers: `[N]` standardised, NaN where missing.
        vectors: one vector per item.
    """

    categories: dict[str, Ints] = field(default_factory=dict)
    values: dict[str, Values] = field(default_factory=dict)
    numbers: dict[str, Floats] = field(default_factory=dict)
    vectors: dict[str, Vectors] = field(default_factory=dict)


def filled(numbers: Floats) -> tuple[Floats, Floats]:
    """`([N], [N])` numbers with 0, which is the training mean, where they are missing; and 1 there, else 0."""
    missing = np.isnan(numbers)
    return np.where(missing, np.float32(0), numbers), missing.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Feature:
    """How one column of the items is read.

    Attributes:
        name: the column.
        kind: one of `KINDS`.
        encoding: of its categories or numbers; None for a vector.
        separator: parts the values of a text; "" if they come as lists.
        width: `V`, the length of a vector, else 0.
        scale: mean Euclidean length of the training vectors, by which vectors are divided; 1 if that is 0.
        rows: training items.
        gaps: how many of them lacked a value.
    """

    name: str
    kind: str
    encoding: Encoding | None = None
    separator: str = ""
    width: int = 0
    scale: float = 1.0
    rows: int = 0
    gaps: int = 0

    @classmethod
    def fit(
        cls, name: str, column: pl.Series, kind: str | None = None, separator: str | None = None
    ) -> Feature:
        """How a column is read, from the items of training.

        Args:
            name: the column.
            column: `[N]` one value per item.
            kind: one of `KINDS`, or None to follow the type by the rule of this module.
            separator: parts the values of a text; "" for a text that is one value; None for `SEPARATOR` if any text
                holds it. One that is given asks for "values".

        Raises:
            ConfigError: an unknown kind.
            ColumnError: the type of the column does not fit the kind, or its vectors differ in length.
        """
        kind, separator = _resolved(name, column, kind, separator)
        n = len(column)
        if kind == "vector":
            values, missing = _vectors(name, column)
            lengths = np.sqrt((values[~missing] ** 2).sum(axis=1))
            scale = float(lengths.mean()) or 1.0
            return cls(name, kind, width=values.shape[1], scale=scale, rows=n, gaps=int(missing.sum()))
        if kind == "values":
            row, flat = _parts(name, column, separator)
            gaps = n - len(np.unique(row))
            return cls(name, kind, Encoding.fit(name, flat, "category"), separator, rows=n, gaps=gaps)
        encoding = Encoding.fit(name, column, kind)
        return cls(name, kind, encoding, rows=n, gaps=encoding.gaps)

    @property
    def note(self) -> str:
        """One line on what became of the column, for people."""
        if self.kind == "vector":
            what = f"{self.name}: vector of {self.width} numbers, divided by {self.scale:.4g}"
        elif self.kind == "values":
            parted = f" parted at '{self.separator}'" if self.separator else ""
            what = f"{self.name}: several of {self.known.unseen_code} values{parted}"
        else:
            return self.known.note
        return what + (
            f", {self.gaps} of {self.rows} missing, with a vector of their own" if self.gaps else ""
        )

    @property
    def known(self) -> Encoding:
        """The encoding of a feature that has one, which is every kind but a vector."""
        if self.encoding is None:
            raise TypeError(f"{self.name} is a vector, and has no encoding")
        return self.encoding

    def to_json(self) -> dict[str, Any]:
        """All of it but the vocabulary, for JSON."""
        plain = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return plain | {"encoding": None if self.encoding is None else self.encoding.to_json()}

    @classmethod
    def of_json(cls, described: Mapping[str, Any], vocabulary: pl.Series | None = None) -> Feature:
        """The feature that `to_json` described, with its categories; `ArtifactError` if it is damaged."""
        entries = dict(described)
        try:
            inner = entries.pop("encoding")
            encoding = None if inner is None else Encoding.of_json(inner, vocabulary)
            found = cls(**entries, encoding=encoding)
            fits = found.kind in KINDS and 0 < found.scale < math.inf
            fits &= (found.kind == "vector") == (encoding is None) == (found.width > 0)
        except (KeyError, TypeError, ValueError) as fault:
            raise ArtifactError(f"A feature cannot be read ({fault!r}); save the model anew.") from fault
        if not fits:
            raise ArtifactError(
                f"The feature '{found.name}' is damaged ({dict(described)}); copy or save the model anew."
            )
        return found


@dataclass(frozen=True)
class Features:
    """The features of items, by column and in the order in which they were asked for."""

    entries: Mapping[str, Feature] = field(default_factory=dict)

    @classmethod
    def fit(cls, frame: pl.DataFrame, wanted: Iterable[Described]) -> Features:
        """How the wanted columns are read, from the items of training.

        Args:
            frame: `[N]` one row per item of the catalogue in its order, such as `Catalogue.features`.
            wanted: names of columns, or tables that say how one is to be read, see `Wanted`.

        Raises:
            ConfigError: a name is no column, a column is wanted twice, or a table cannot be followed.
            ColumnError: the type of a column does not fit its kind, or vectors differ in length.

        Example:
            >>> import polars as pl
            >>> items = pl.DataFrame({"item": ["a", "b"], "brand": ["acme", None], "genres": ["x;y", "y"]})
            >>> found = Features.fit(items, ["brand", {"column": "genres", "separator": ";"}])
            >>> [(name, feature.kind) for name, feature in found.entries.items()]
            [('brand', 'category'), ('genres', 'values')]
            >>> arrays = found.arrays(items)
            >>> arrays.categories["brand"].tolist(), arrays.values["genres"].codes.tolist()
            ([0, 2], [1, 0, 0])
        """
        columns = {column.name: column for column in frame}
        entries: dict[str, Feature] = {}
        for one in map(Wanted.of, wanted):
            if one.column in entries:
                raise ConfigError(f"The feature '{one.column}' is wanted twice: name each column once.")
            column = known_entry(columns, one.column, "column")
            entries[one.column] = Feature.fit(one.column, column, one.kind, one.separator)
        return cls(entries)

    def __getitem__(self, name: str) -> Feature:
        """The feature of a column; `ConfigError` if there is none."""
        return known_entry(self.entries, name, "feature")

    def arrays(self, frame: pl.DataFrame) -> FeatureArrays:
        """The features of any items, of training or not.

        Args:
            frame: `[N]` one row per item, with every column of the features; null where an item lacks a value.

        Raises:
            ConfigError: a column is not there.
            ColumnError: a column has another type than in training, or vectors of another length.
        """
        columns = {column.name: column for column in frame}
        found = FeatureArrays()
        for name, feature in self.entries.items():
            column = known_entry(columns, name, "column")
            if feature.kind == "vector":
                values, missing = _vectors(name, column, feature.width)
                found.vectors[name] = Vectors((values / feature.scale).astype(np.float32), missing)
            elif feature.kind == "values":
                row, flat = _parts(name, column, feature.separator)
                offsets = np.searchsorted(row, np.arange(len(column) + 1))
                found.values[name] = Values(feature.known.codes(flat), offsets)
            elif feature.kind == "number":
                found.numbers[name] = feature.known.codes(column)
            else:
                found.categories[name] = feature.known.codes(column)
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for each column on what became of it, gaps included."""
        return tuple(feature.note for feature in self.entries.values())

    def to_json(self) -> list[dict[str, Any]]:
        """All of them but their vocabularies, for JSON."""
        return [feature.to_json() for feature in self.entries.values()]

    def table(self) -> pl.DataFrame:
        """The vocabularies, for Parquet: columns `field` and `value`, in the order of the codes."""
        return vocabulary_table(one.encoding for one in self.entries.values() if one.encoding is not None)

    @classmethod
    def restored(cls, described: Any, table: pl.DataFrame) -> Features:
        """The features that `to_json` and `table` gave; `ArtifactError` if these do not belong together."""
        if not isinstance(described, list) or not all(isinstance(entry, dict) for entry in described):
            raise ArtifactError("Features must be a list of tables in JSON; copy or save the model anew.")
        words = vocabularies(table)
        found = [Feature.of_json(entry, words.get(str(entry.get("name")))) for entry in described]
        return cls({feature.name: feature for feature in found})


def _resolved(name: str, column: pl.Series, kind: str | None, separator: str | None) -> tuple[str, str]:
    """The kind and the separator of a column, by the rule of this module where nothing is said."""
    check_kind(name, kind)
    if separator and kind is None:
        kind = "values"
    found = column.dtype
    if found != pl.String:
        separator = ""
    elif separator is None:
        parted = kind == "values" or (kind is None and column.str.contains(SEPARATOR, literal=True).any())
        separator = SEPARATOR if parted else ""
    if kind is not None:
        return kind, separator
    if isinstance(found, pl.List | pl.Array):
        whole = isinstance(found, pl.List) and not found.inner.is_float()
        return "values" if whole or found.inner == pl.String else "vector", ""
    return "values" if separator else kind_of(name, column), separator


def _parts(name: str, column: pl.Series, separator: str) -> tuple[Ints, pl.Series]:
    """Every value of every item: `(row, value)`, in the order written, each once per item; gaps give none."""
    found = column.dtype
    if isinstance(found, pl.Array):
        column = column.arr.to_list()
    elif found == pl.String:
        column = column.str.split(separator) if separator else column.reshape((-1, 1)).arr.to_list()
    elif found == pl.Null:
        column = column.cast(pl.List(pl.String))
    inner = getattr(column.dtype, "inner", None)
    if inner is None or not (inner in (pl.String, pl.Categorical, pl.Enum, pl.Null) or inner.is_integer()):
        raise ColumnError(
            f"Column '{name}' is {found}; several values are a list of text, or text with a separator."
        )
    rows = pl.Series("row", np.arange(len(column), dtype=np.int64))
    flat = pl.DataFrame({"row": rows, "value": column.cast(pl.List(pl.String))}).explode("value")
    flat = flat.filter(pl.col("value") != "").unique(maintain_order=True)
    return flat["row"].to_numpy(), flat["value"]


def _vectors(
    name: str, column: pl.Series, width: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`[N, V]` vectors, zeros where missing, and `[N]` where they are; an empty list is missing too."""
    found = column.dtype
    if isinstance(found, pl.Array):
        column = column.arr.to_list()
    elif found == pl.Null:
        column = column.cast(pl.List(pl.Float64))
    inner = getattr(column.dtype, "inner", None)
    if inner is None or not (inner.is_numeric() or inner == pl.Null):
        raise ColumnError(f"Column '{name}' is {found}; a vector is a list of numbers.")
    lengths = column.list.len().fill_null(0).to_numpy().astype(np.int64)
    missing = lengths == 0
    if width is None:
        if missing.all():
            raise ColumnError(f"Column '{name}' holds no vector in training: leave it out.")
        width = int(lengths[~missing][0])
    odd = np.flatnonzero(~missing & (lengths != width))
    if len(odd):
        raise ColumnError(
            f"Column '{name}' holds a vector of {lengths[odd[0]]} numbers in row {odd[0] + 1}, where {width} are "
            "expected: give all items vectors of one length, or none."
        )
    flat = column.filter(pl.Series(~missing)).explode().cast(pl.Float64).fill_null(math.nan).to_numpy()
    values = np.zeros((len(column), width))
    values[~missing] = flat.reshape(-1, width)
    if not np.isfinite(values).all():
        row = np.flatnonzero(~np.isfinite(values).all(axis=1))[0] + 1
        raise ColumnError(f"Column '{name}' holds a vector with a gap or an infinite number in row {row}.")
    return values, missing
