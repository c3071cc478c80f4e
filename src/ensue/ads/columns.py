"""Impressions as sparse columns: what is known of each before it is known whether it was clicked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from ensue.ads.history import Before, Past
from ensue.ads.impressions import Impressions
from ensue.encodings import Encoding, kind_of, vocabularies, vocabulary_table
from ensue.errors import ArtifactError, ColumnError, ConfigError, nearest

Ints = NDArray[np.int64]
Values = NDArray[np.float64]

CROSS = " x "
DAY = 86_400_000_000
RATE = "own click rate"
HOUR = "hour"
"""That of the time, read where the log has no column of this name."""
PEOPLE = ("user", "session")
"""Columns that name people: never read, so that nothing of them is kept."""


@dataclass(frozen=True, eq=False)
class Columns:
    """How impressions become sparse columns.

    Attributes:
        entries: the encodings, in their order; a cross of two columns is named "a x b".
        history: whether the person's own past is read.
        campaigns: whether that of a campaign is told apart.
        timed: whether ages are times.
        base: click rate of the training impressions.
    """

    entries: tuple[Encoding, ...]
    history: bool
    campaigns: bool
    timed: bool
    base: float

    @classmethod
    def fit(
        cls,
        impressions: Impressions,
        *,
        features: tuple[str, ...] = ("*",),
        without: tuple[str, ...] = (),
        numbers: tuple[str, ...] = (),
        crosses: tuple[str, ...] = (),
        history: bool = True,
        least: int = 5,
    ) -> Columns:
        """The columns of training impressions.

        Args:
            impressions: of training.
            features: columns that are read; `*` stands for any text.
            without: columns that are not.
            numbers: columns whose text is a number; all that hold numbers are too.
            crosses: pairs of columns whose values are read together, such as "ad x device".
            history: read the person's own past, where the log knows people.
            least: a value that fewer impressions have is read as one that was never seen, and not kept.

        Raises:
            ConfigError: a pattern fits no column, or a cross is not of two that are read.
            ColumnError: a column cannot be read.
        """
        frame = _prepared(impressions.frame)
        own = [
            name
            for name, there in (("ad", impressions.ads), ("campaign", "campaign" in frame.columns))
            if there
        ]
        names = [*own, *impressions.features]
        chosen = [
            name
            for name in names
            if name not in PEOPLE
            and (_fits(name, features) or name in own)
            and not _fits(name, without)
            and not frame[name].dtype.is_nested()
        ]
        faults = [one for one in (*features, *without, *numbers) if one != "*" and not _any(one, names)]
        faults += [one for one in crosses if len(parts := one.split(CROSS)) != 2 or set(parts) - set(chosen)]
        if faults:
            raise ConfigError(
                f"'{faults[0]}' is no column that is read (or two of them, as in 'ad{CROSS}device'); there are "
                f"{', '.join(chosen[:20])}.{nearest(faults[0], names)}"
            )
        time = impressions.frame["time"]
        spread = impressions.timed and len(time) and int(time.max()) - int(time.min()) >= 2 * DAY  # type: ignore[arg-type]
        entries = [
            _encoding(name, frame, _fits(name, numbers), least)
            for name in (*chosen, *crosses, *((HOUR,) if spread and HOUR not in frame.columns else ()))
        ]
        return cls(
            tuple(entries),
            history and impressions.people,
            "campaign" in frame.columns,
            impressions.timed,
            float(impressions.clicked.mean()) if len(impressions) else 0.0,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What is read."""
        return tuple(entry.name for entry in self.entries)

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for each column on what became of it."""
        return tuple(entry.note for entry in self.entries)

    def table(self, frame: pl.DataFrame, past: Past) -> sparse.csr_matrix:
        """`[E, D]` sparse columns of some impressions.

        Args:
            frame: `[E]` rows with `user`, `ad`, `time`, perhaps `campaign`, and the columns that are read; one that is
                not there is missing for all.
            past: events; those before the time of a row are read.
        """
        prepared = _prepared(frame)
        indices: list[Ints] = []
        values: list[Values] = []
        ones = np.ones(len(frame))
        width = 0
        for entry in self.entries:
            codes = _codes(entry, prepared)
            if entry.is_category:
                indices.append(codes + width)
                values.append(np.where(codes == entry.unseen_code, 0.0, 1.0))
                width += entry.size
            else:
                gone = np.isnan(codes)
                indices += [np.full(len(frame), width), np.full(len(frame), width + 1)]
                values += [np.where(gone, 0.0, codes), gone.astype(np.float64)]
                width += 2
        if self.history:
            before = past.before(frame)
            for bins, size in self._bins(before).values():
                indices.append(bins + width)
                values.append(ones)
                width += size
            indices.append(np.full(len(frame), width))
            values.append(before.rate(self.base))
            width += 1
        if not indices:
            return sparse.csr_matrix((len(frame), 0))
        each = len(indices)
        flat = np.stack(indices, axis=1).ravel().astype(np.int64)
        starts = np.arange(len(frame) + 1, dtype=np.int64) * each
        found = sparse.csr_matrix((np.stack(values, axis=1).ravel(), flat, starts), shape=(len(frame), width))
        found.eliminate_zeros()
        return found

    def _bins(self, before: Before) -> dict[str, tuple[Ints, int]]:
        return before.bins(self.campaigns)

    def to_json(self) -> dict[str, Any]:
        """All of them but their values, for JSON."""
        return {
            "entries": [entry.to_json() for entry in self.entries],
            "history": self.history,
            "campaigns": self.campaigns,
            "timed": self.timed,
            "base": self.base,
        }

    def values(self) -> pl.DataFrame:
        """The values that are known, for Parquet."""
        return vocabulary_table(self.entries)

    @classmethod
    def restored(cls, described: Mapping[str, Any], table: pl.DataFrame) -> Columns:
        """The columns that `to_json` and `values` gave; `ArtifactError` if these do not belong together."""
        words = vocabularies(table)
        try:
            entries = tuple(
                Encoding.of_json(one, words.get(str(one["name"]))) for one in described["entries"]
            )
            plain = {name: described[name] for name in ("history", "campaigns", "timed", "base")}
        except (KeyError, TypeError) as fault:
            raise ArtifactError(
                f"The columns of the model cannot be read ({fault!r}); fit it anew."
            ) from fault
        kinds = [isinstance(plain[name], bool) for name in ("history", "campaigns", "timed")]
        if not all(kinds) or not isinstance(plain["base"], float) or not 0 <= plain["base"] <= 1:
            raise ArtifactError("The columns of the model are damaged; copy it or fit it anew.")
        return cls(entries, **plain)


def _prepared(frame: pl.DataFrame) -> pl.DataFrame:
    """Whole numbers of places as text, since a place is no amount."""
    if "position" in frame.columns and frame["position"].dtype.is_integer():
        return frame.with_columns(pl.col("position").cast(pl.String))
    return frame


def _series(name: str, frame: pl.DataFrame) -> pl.Series:
    if CROSS in name and name not in frame.columns:
        pair = name.split(CROSS)
        there = [
            pl.col(one).cast(pl.String) if one in frame.columns else pl.lit(None, dtype=pl.String)
            for one in pair
        ]
        return frame.select(pl.concat_str(there, separator="\x1f").alias(name))[name]
    if name in frame.columns:
        return frame[name]
    return pl.Series(name, [None] * len(frame), dtype=pl.String)


def _encoding(name: str, frame: pl.DataFrame, number: bool, least: int) -> Encoding:
    if name == HOUR and HOUR not in frame.columns:
        return Encoding.fit(name, frame["time"], HOUR)
    values = _series(name, frame)
    if number or kind_of(name, values) == "number":
        return Encoding.fit(name, _shrunk(name, values), "number")
    found = Encoding.fit(name, values, "category")
    counts = values.cast(pl.String).value_counts(name="n")
    often = counts.filter(pl.col("n") >= least)[values.name]
    kept = found.vocabulary.filter(found.vocabulary.is_in(often.implode()))
    rare = len(found.vocabulary) - len(kept)
    return replace(found, vocabulary=kept, left_out=found.left_out + rare)


def _codes(entry: Encoding, frame: pl.DataFrame) -> NDArray[Any]:
    values = frame["time"] if entry.kind == HOUR else _series(entry.name, frame)
    return entry.codes(_shrunk(entry.name, values) if entry.kind == "number" else values)


def _shrunk(name: str, values: pl.Series) -> pl.Series:
    """Numbers with their tails drawn in: the logarithm of 1 and the amount, with its sign."""
    text = values.dtype == pl.String
    if text:
        values = values.set(values == "", None)
    numbers = values.cast(pl.Float64, strict=False)
    if text and (odd := values.filter(numbers.is_null() & values.is_not_null())).len():
        raise ColumnError(
            f"Column '{name}' holds '{odd[0]}', no number: leave it out of the numbers, or mend it."
        )
    return numbers.sign() * (1 + numbers.abs()).log()


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _any(pattern: str, names: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)
