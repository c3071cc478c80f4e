"""Columns as codes: what a network reads of an event's or an item's other columns.

An encoding is fitted on training values only and never changes after. Three things are told apart wherever a value can
lack: one that training knew has a code of its own, one that it did not know is UNSEEN, and none at all is MISSING.
Padding is a fourth, and no encoding has a code for it. Missing are null, empty text and NaN.

The kind of a column follows from its type, unless it is asked for: text, Boolean, Categorical and Enum are a
"category"; integers, floats and decimals are a "number", however few their values (ids written as integers must be
asked for as "category" or "hashed"); a time has no kind of its own, and "hour", "weekday" or "month" is asked for.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import ArtifactError, ColumnError, ConfigError, nearest
from ensue.events.numerals import as_numbers, as_text

_NO_CATEGORY = "Column '{}' is {}; a category is text or a whole number: cast it to text."
Ints = NDArray[np.int64]
T = TypeVar("T")

CALENDAR = {"hour": 24, "weekday": 7, "month": 12}
"""Kinds that are read from a time in UTC, and how many values each has; Monday and January are 0."""

KINDS = ("category", "hashed", "number", *CALENDAR)

MOST, MOST_USERS, BUCKETS = 10_000, 100_000, 10_000
"""When nothing is said: how many categories keep a code, of any field and of "user"; and buckets of "hashed"."""

_DAY, _HOUR = 86_400_000_000, 3_600_000_000
_LARGEST = float(np.finfo(np.float32).max)


def _no_values() -> pl.Series:
    return pl.Series("value", [], dtype=pl.String)


@dataclass(frozen=True, eq=False)
class Encoding:
    """How one column is read: as codes of categories, or as standardised numbers.

    Attributes:
        name: the field; usually the name of its column.
        kind: one of `KINDS`.
        source: the column it is read from.
        vocabulary: `[C]` categories by code, most frequent first, then by text; empty for every other kind.
        buckets: how many there are of "hashed", else 0.
        mean: of the training numbers.
        deviation: of the training numbers; 1 where all were equal or there were none.
        left_out: categories of training that were too rare for a code and are UNSEEN.
        rows: training values, missing ones included.
        gaps: how many of those were missing.
    """

    name: str
    kind: str
    source: str
    vocabulary: pl.Series = field(default_factory=_no_values, repr=False)
    buckets: int = 0
    mean: float = 0.0
    deviation: float = 1.0
    left_out: int = 0
    rows: int = 0
    gaps: int = 0

    @classmethod
    def fit(
        cls, name: str, values: pl.Series, kind: str | None = None, *, most: int = 0, buckets: int = BUCKETS
    ) -> Encoding:
        """The encoding of a column, from its training values.

        Args:
            name: the field.
            values: training values only.
            kind: one of `KINDS`, or None to take it from the type of the values by the rule of this module.
            most: how many categories keep a code of their own; the rarest others become UNSEEN. 0 stands for
                `MOST_USERS` of the field "user" and `MOST` of any other.
            buckets: of "hashed", where values that fall into one bucket share a code and none is UNSEEN.

        Raises:
            ConfigError: an unknown kind, or a limit below 1.
            ColumnError: the type of the values does not fit the kind, or a number is infinite.

        Example:
            >>> import polars as pl
            >>> brand = Encoding.fit("brand", pl.Series(["acme", None, "blau", "acme"]))
            >>> brand.codes(pl.Series(["acme", "blau", "new", None])).tolist()
            [0, 1, 2, 3]
        """
        kind = kind_of(name, values) if kind is None else kind
        if kind not in KINDS:
            raise ConfigError(
                f"Column '{name}' cannot be read as '{kind}', only as {', '.join(KINDS)}.{nearest(kind, KINDS)}"
            )
        if most < 0 or buckets < 1:
            raise ConfigError(f"Column '{name}': most={most} is below 0, or buckets={buckets} below 1.")
        most = most or (MOST_USERS if name == "user" else MOST)
        facts: dict[str, Any] = {}
        if kind == "number":
            numbers = _numbers(name, values)
            known = numbers[~np.isnan(numbers)]
            facts.update(_moments(name, known), gaps=len(numbers) - len(known))
        elif kind in CALENDAR:
            facts.update(gaps=_microseconds(name, values).null_count())
        else:
            if values.dtype.is_float():
                raise ColumnError(_NO_CATEGORY.format(name, values.dtype))
            text = _text(name, values)
            facts.update(gaps=text.null_count(), buckets=buckets if kind == "hashed" else 0)
            if kind == "category":
                counted = text.drop_nulls().rename("value").value_counts(name="n")
                words = counted.sort(["n", "value"], descending=[True, False])["value"]
                facts.update(vocabulary=words.head(most), left_out=max(len(words) - most, 0))
        return cls(name, kind, name, rows=len(values), **facts)

    @property
    def is_category(self) -> bool:
        """Whether codes are integers below `size`; if not, they are numbers."""
        return self.kind != "number"

    @property
    def size(self) -> int:
        """Number of codes: categories (or buckets, or hours), then UNSEEN, then MISSING; 0 for a number."""
        return self.missing_code + 1 if self.is_category else 0

    @property
    def unseen_code(self) -> int:
        """The code C of a value that training did not know; of "hashed" and the calendar none has it."""
        return self.buckets or CALENDAR.get(self.kind, len(self.vocabulary))

    @property
    def missing_code(self) -> int:
        """The code C + 1 of no value."""
        return self.unseen_code + 1

    @cached_property
    def _lookup(self) -> pl.DataFrame:
        codes = np.arange(len(self.vocabulary), dtype=np.int64)
        return pl.DataFrame({"value": self.vocabulary.cast(pl.String), "code": codes})

    def codes(self, values: pl.Series) -> NDArray[Any]:
        """`[E]` int64 codes below `size`; of a number `[E]` float32, (x - mean) / deviation, NaN where missing.

        Raises:
            ColumnError: the type of the values does not fit the kind, or a number is infinite.
        """
        if not self.is_category:
            scaled = (_numbers(self.name, values) - self.mean) / self.deviation
            return np.clip(scaled, -_LARGEST, _LARGEST).astype(np.float32)
        if self.kind in CALENDAR:
            time = _microseconds(self.name, values)
            codes, gaps = calendar(self.kind, time.fill_null(0).to_numpy()), time.is_null()
        else:
            text = _text(self.name, values).rename("value")
            lookup = _hashed(text, self.buckets) if self.buckets else self._lookup
            joined = text.to_frame().join(lookup, on="value", how="left", maintain_order="left")
            codes, gaps = joined["code"].fill_null(self.unseen_code).to_numpy(), text.is_null()
        return np.where(gaps.to_numpy(), self.missing_code, codes)

    def decode(self, codes: Sequence[int] | NDArray[Any]) -> pl.Series:
        """The categories that codes stand for, as text; null for UNSEEN and MISSING.

        Raises:
            ConfigError: the kind is not "category": others keep no values.
            IndexError: a code is outside `0..size-1`.
        """
        if self.kind != "category":
            raise ConfigError(f"Column '{self.name}' is {self.kind}: its codes do not lead back to values.")
        found = np.asarray(codes, dtype=np.int64)
        if found.size and (found.min() < 0 or found.max() >= self.size):
            raise IndexError(f"code outside 0..{self.size - 1} of column '{self.name}'")
        known = self.vocabulary.rename(self.name).extend_constant(None, 1)
        return known.gather(np.minimum(found, len(self.vocabulary)))

    def missing(self, n: int) -> NDArray[Any]:
        """`[n]` codes (or NaN) of a column that is not there at all."""
        if self.is_category:
            return np.full(n, self.missing_code, dtype=np.int64)
        return np.full(n, np.nan, dtype=np.float32)

    @property
    def note(self) -> str:
        """One line on what became of the column, for people."""
        what, gap = f"{self.kind} of {self.unseen_code} values", "missing, with a code of their own"
        if not self.is_category:
            what = f"number of mean {self.mean:.4g} and deviation {self.deviation:.4g}"
            gap = "missing, read as the mean with a mark of their own"
        rare = f", {self.left_out} rarer ones counted as unseen" if self.left_out else ""
        return f"{self.name}: {what}{rare}" + (f", {self.gaps} of {self.rows} {gap}" if self.gaps else "")

    def to_json(self) -> dict[str, Any]:
        """All of it but the vocabulary, for JSON."""
        plain = {
            entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "vocabulary"
        }
        return plain | {"categories": len(self.vocabulary)}

    @classmethod
    def of_json(cls, described: Mapping[str, Any], vocabulary: pl.Series | None = None) -> Encoding:
        """The encoding that `to_json` described, with its categories in the order of their codes.

        Raises:
            ArtifactError: an entry is missing or impossible, or the vocabulary is not the one described.
        """
        words = _no_values() if vocabulary is None else vocabulary
        entries = dict(described)
        try:
            fits = entries.pop("categories") == len(words) == words.n_unique()
            found = cls(**entries, vocabulary=words)
            fits &= found.kind in KINDS and (found.buckets > 0) == (found.kind == "hashed")
            fits &= math.isfinite(found.mean) and 0 < found.deviation < math.inf
        except (KeyError, TypeError, AttributeError) as fault:
            raise ArtifactError(f"An encoding cannot be read ({fault!r}); save the model anew.") from fault
        if not fits:
            raise ArtifactError(
                f"The encoding of '{found.name}' is damaged ({dict(described)}, {len(words)} values); "
                "copy or save the model anew."
            )
        return found


@dataclass(frozen=True)
class Encodings:
    """The encodings of several fields, by name and in the order in which they were asked for."""

    entries: Mapping[str, Encoding] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        columns: Mapping[str, pl.Series],
        names: Sequence[str],
        kinds: Mapping[str, str] | None = None,
        *,
        most: int = 0,
        buckets: int = BUCKETS,
    ) -> Encodings:
        """The encodings of the named fields, from training columns.

        "hour", "weekday" and "month" are read from the column `time`, unless a column has that name.

        Args:
            columns: training values by column.
            names: the fields.
            kinds: kinds that are not to follow from the type of the values.
            most: how many categories of each field keep a code of their own; see `Encoding.fit`.
            buckets: of each "hashed" field.

        Raises:
            ConfigError: a field is no column, or a kind is given for a field that is not wanted.
            ColumnError: the type of a column does not fit its kind.
        """
        kinds = kinds or {}
        for name in kinds:
            if name not in names:
                raise ConfigError(f"A kind is given for '{name}', but the fields are {', '.join(names)}.")
        entries = {}
        for name in names:
            timed = name in CALENDAR and name not in columns and "time" in columns
            source, kind = ("time", kinds.get(name, name)) if timed else (name, kinds.get(name))
            values = known_entry(columns, source, "column")
            fitted = Encoding.fit(name, values, kind, most=most, buckets=buckets)
            entries[name] = replace(fitted, source=source)
        return cls(entries)

    def __getitem__(self, name: str) -> Encoding:
        """The encoding of a field; `ConfigError` if there is none."""
        return known_entry(self.entries, name, "field")

    def codes(self, columns: Mapping[str, pl.Series], n: int) -> dict[str, NDArray[Any]]:
        """`[n]` codes (or numbers) of every field; one whose column is not there is missing throughout."""
        return {
            name: one.codes(columns[one.source]) if one.source in columns else one.missing(n)
            for name, one in self.entries.items()
        }

    def to_json(self) -> list[dict[str, Any]]:
        """All of them but their vocabularies, for JSON."""
        return [encoding.to_json() for encoding in self.entries.values()]

    def table(self) -> pl.DataFrame:
        """The vocabularies, for Parquet: columns `field` and `value`, in the order of the codes."""
        return vocabulary_table(self.entries.values())

    @classmethod
    def restored(cls, described: Any, table: pl.DataFrame) -> Encodings:
        """The encodings that `to_json` and `table` gave; `ArtifactError` if these do not belong together."""
        if not isinstance(described, list) or not all(isinstance(entry, dict) for entry in described):
            raise ArtifactError("Encodings must be a list of tables in JSON; copy or save the model anew.")
        words = vocabularies(table)
        found = [Encoding.of_json(entry, words.get(str(entry.get("name")))) for entry in described]
        return cls({encoding.name: encoding for encoding in found})


def known_entry(entries: Mapping[str, T], name: str, what: str) -> T:
    """The entry of this name; `ConfigError` with the names there are if it is none of them."""
    if name not in entries:
        have = ", ".join(entries) or "none"
        raise ConfigError(f"There is no {what} '{name}'; there are: {have}.{nearest(name, entries)}")
    return entries[name]


def vocabulary_table(encodings: Iterable[Encoding]) -> pl.DataFrame:
    """The vocabularies of encodings in one table: `field`, `value`, in the order of the codes."""
    none = pl.DataFrame(schema={"field": pl.String, "value": pl.String})
    words = [
        one.vocabulary.to_frame("value").select(pl.lit(one.name).alias("field"), "value") for one in encodings
    ]
    return pl.concat([none, *words])


def vocabularies(table: pl.DataFrame) -> dict[str, pl.Series]:
    """The vocabulary of each field of such a table; `ArtifactError` if it has not these columns."""
    if not {"field", "value"} <= set(table.columns):
        raise ArtifactError(f"A table of values needs the columns 'field' and 'value', not {table.columns}.")
    groups = table.partition_by("field", maintain_order=True)
    return {str(group["field"][0]): group["value"] for group in groups}


def calendar(part: str, time: Ints) -> Ints:
    """`[E]` the "hour", "weekday" or "month" of microseconds since 1970, in UTC; each counted from 0."""
    if part == "hour":
        return time % _DAY // _HOUR
    if part == "weekday":
        return (time // _DAY + 3) % 7  # 1970 began on a Thursday
    return time.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12


def kind_of(name: str, values: pl.Series) -> str:
    """The kind of a column by its type, "category" or "number"; `ColumnError` if the type has none."""
    found = values.dtype
    if found in (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Null):
        return "category"
    if found.is_numeric():
        return "number"
    asked = (
        f"ask for {', '.join(CALENDAR)}" if found.is_temporal() else "lists and vectors are features of items"
    )
    raise ColumnError(f"Column '{name}' is {found}, neither a category nor a number: {asked}.")


def _text(name: str, values: pl.Series) -> pl.Series:
    """Categories exactly as written, null where missing; 2.0 is the category 2."""
    found = values.dtype
    if found.is_decimal() or found.is_nested() or found.is_temporal():
        raise ColumnError(_NO_CATEGORY.format(name, found))
    return (text := as_text(values)).set(text == "", None)


def _numbers(name: str, values: pl.Series) -> NDArray[np.float64]:
    """Numbers, NaN where missing; text is read as numbers."""
    found = values.dtype
    if not (found.is_numeric() or found in (pl.String, pl.Boolean, pl.Null)):
        raise ColumnError(f"Column '{name}' is {found}, and a number is needed: cast it first.")
    numbers, odd = as_numbers(values)
    if odd.any():
        raise ColumnError(
            f"Column '{name}' holds '{values.filter(odd)[0]}', no finite number: leave such values empty."
        )
    return numbers.fill_null(math.nan).to_numpy()


def _moments(name: str, known: NDArray[np.float64]) -> dict[str, float]:
    """Mean and deviation of numbers; a deviation of 1 where there is nothing to divide by."""
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    if low == high:
        return {"mean": low, "deviation": 1.0}
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(known.mean()), float(known.std())
    if not deviation < math.inf:
        raise ColumnError(f"Column '{name}' reaches from {low:g} to {high:g}, too far to scale: rescale it.")
    return {"mean": mean, "deviation": deviation or 1.0}  # 0 where squares are too small to be numbers


def _microseconds(name: str, values: pl.Series) -> pl.Series:
    """Microseconds since 1970 UTC, null where missing; whole numbers are taken for microseconds."""
    found = values.dtype
    if found == pl.Null or found.is_integer():
        return values.cast(pl.Int64)
    if isinstance(found, pl.Datetime) or found == pl.Date:
        return values.dt.epoch("us")
    raise ColumnError(f"Column '{name}' is {found}, and a time is needed: read it as a time first.")


def _hashed(text: pl.Series, buckets: int) -> pl.DataFrame:
    """Buckets of the different values, the same on every machine: 64 bits of BLAKE2b of the text in UTF-8."""
    words = text.drop_nulls().unique()
    digests = (hashlib.blake2b(word.encode(), digest_size=8).digest() for word in words)
    codes = np.array([int.from_bytes(digest, "little") % buckets for digest in digests], dtype=np.int64)
    return pl.DataFrame({"value": words, "code": codes})
