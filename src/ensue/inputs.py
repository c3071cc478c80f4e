"""What a network reads beside items: other columns of the events, encoded as it has learnt them.

Training, validation, evaluation and serving all make their batches here, so that a column means the same in each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints, pad, shared_windows
from ensue.encodings import CALENDAR, Encodings
from ensue.errors import ArtifactError, ModelError, nearest
from ensue.events.numerals import all_fractions
from ensue.sequences import MISSING_TIME, Queries, Sequences

TIME, USER, RATING, GAP, WAIT = "time", "user", "rating", "gap", "wait"

UNCODED = (TIME, GAP, WAIT)
"""What is read of times as it is, by no encoding."""

GAPS = 32
"""Gaps are told apart by powers of two: bucket b holds those of `2^b - 1` to below `2^(b+1) - 1` seconds."""

Arrays = dict[str, NDArray[Any]]


def gaps(time: Ints) -> Ints:
    """`[B, T]` the bucket of the time since the event before in the row; `GAPS` where either time is not known.

    Args:
        time: `[B, T]` microseconds, `MISSING_TIME` where unknown. The first event of a row has no event before it.
    """
    earlier = np.concatenate([np.full_like(time[:, :1], MISSING_TIME), time[:, :-1]], axis=1)
    return waits(time, earlier)


def waits(later: Ints, earlier: Ints) -> Ints:
    """The bucket of the time between two moments each; `GAPS` where either is not known, 0 where the order is wrong.

    Args:
        later: microseconds, `MISSING_TIME` where unknown.
        earlier: of the same shape.
    """
    known = (later != MISSING_TIME) & (earlier != MISSING_TIME)
    seconds = np.maximum(np.where(known, later, 0) - np.where(known, earlier, 0), 0) / 1e6
    bucket = np.minimum(np.log2(seconds + 1).astype(np.int64), GAPS - 1)
    return np.where(known, bucket, GAPS)


@dataclass(frozen=True)
class Inputs:
    """The columns that a network reads, in the order in which it takes them.

    Attributes:
        reads: "time" (int64 microseconds), "user" (one code for each row), "gap" (a bucket), "hour", "weekday", "month"
            (UTC), encoded columns of the events, and "wait" (a bucket): of each question, the time since the last event
            of its history.
        encodings: of every column but time, gap and wait, as fitted on training events.
        length: the most events of a history that the network sees.
        causal: whether histories that begin at one event can share a row.
    """

    reads: tuple[str, ...] = ()
    encodings: Encodings = field(default_factory=Encodings)
    length: int = 1
    causal: bool = True

    @classmethod
    def fit(cls, sequences: Sequences, reads: tuple[str, ...], length: int, causal: bool) -> Inputs:
        """What is read, with encodings fitted on training sequences.

        Text that holds numbers alone, some of them fractions, is read as numbers: delimited files know no types.

        Raises:
            ModelError: a column is wanted that the log does not have.
        """
        columns = _columns(sequences, reads)
        if sequences.users is not None:
            columns[USER] = sequences.users
        timed = {TIME, GAP, WAIT, *CALENDAR}
        for name in reads:
            if name in timed - set(columns) and sequences.time is None:
                raise ModelError(f"the log has no times, so there is no '{name}' to read: leave it out.")
            if name not in timed | set(columns):
                known = {*columns, *sequences.context, *([] if sequences.rating is None else [RATING])}
                has = ", ".join(sorted(known)) or "none"
                raise ModelError(
                    f"the log has no column '{name}' to read; it has {has}.{nearest(name, known)}"
                )
        wanted = tuple(name for name in reads if name not in UNCODED)
        kinds = {name: "number" for name in wanted if name in columns and all_fractions(columns[name])}
        return cls(reads, Encodings.fit(columns, wanted, kinds), length, causal)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a log that are read: "time" stands for gap and wait and for what a calendar says."""
        plain = dict.fromkeys(UNCODED, TIME)
        return tuple(dict.fromkeys(plain.get(name) or self.encodings[name].source for name in self.reads))

    @property
    def numbers(self) -> frozenset[str]:
        """The columns of the events that are read as numbers, so that not every text can be read there."""
        found = (self.encodings[name] for name in self.reads if name not in UNCODED)
        return frozenset(encoding.source for encoding in found if not encoding.is_category)

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for each encoded column on what became of it, gaps included."""
        return tuple(encoding.note for encoding in self.encodings.entries.values())

    def flat(self, queries: Queries | Sequences) -> Arrays:
        """`[E]` the events' columns, encoded; missing where these events do not carry them."""
        n, columns = len(queries.items), _columns(queries, self.reads)
        wanted = [name for name in self.reads if name not in (*UNCODED, USER)]
        found: Arrays = {}
        for name in wanted:
            encoding = self.encodings[name]
            held = encoding.source in columns
            found[name] = encoding.codes(columns[encoding.source]) if held else encoding.missing(n)
        if set(UNCODED) & set(self.reads):
            found[TIME] = np.full(n, MISSING_TIME) if queries.time is None else queries.time
        return found

    def rows(self, users: pl.Series | None, n: int) -> NDArray[Any]:
        """`[n]` the code of each user; the code of a missing one where nobody is named."""
        return self.encodings[USER].missing(n) if users is None else self.encodings[USER].codes(users)

    def padded(self, flat: Mapping[str, NDArray[Any]], starts: Ints, ends: Ints) -> Arrays:
        """The columns of some stretches, `[B, T]`, right-padded as missing; all that is read but user and wait."""
        found = {
            name: pad(
                values, starts, ends, MISSING_TIME if name == TIME else self.encodings[name].missing(1)[0]
            )
            for name, values in flat.items()
        }
        if GAP in self.reads:
            found[GAP] = gaps(found[TIME])
        return found

    def feeds(self, queries: Queries, tokens: int) -> Iterator[tuple[Ints, Arrays]]:
        """What a network is fed to answer queries of at least one event each, batch by batch.

        Args:
            queries: histories, with the columns that are known of them.
            tokens: the most `rows x longest row` of a batch.

        Yields:
            `(which [q], arrays)`: "items" `[B, T]`, "asked" `[B, S]`, the steps after which each row is asked,
            right-padded, "places" `[q]`, where in it each query stands (row x S + its place), and what is read beside:
            of the events `[B, T]`, the user `[B]`, the wait of each question `[B, S]`.
        """
        flat = self.flat(queries)
        codes = self.rows(queries.users, len(queries)) if USER in self.reads else None
        waited = self.waited(queries) if self.when_asked else None
        batches = shared_windows(queries.starts, queries.ends, self.length, tokens, self.causal)
        for which, first, last, rows, steps in batches:
            items = pad(queries.items, first, last, queries.n_items).astype(np.int64)
            found = self.padded(flat, first, last)
            if codes is not None:
                found[USER] = np.empty(len(first), dtype=codes.dtype)
                found[USER][rows] = codes[which]
            slots = np.arange(len(rows)) - np.searchsorted(rows, rows)
            most = int(slots.max()) + 1
            asked = np.zeros((len(first), most), dtype=np.int64)
            asked[rows, slots] = steps
            if waited is not None:
                found[WAIT] = np.full(asked.shape, GAPS, dtype=np.int64)
                found[WAIT][rows, slots] = waited[which]
            arrays = {"items": items, "asked": asked, "places": rows * most + slots}
            yield which, arrays | {name: found[name] for name in self.reads}

    @property
    def when_asked(self) -> bool:
        """Whether it is read when a question is asked."""
        return WAIT in self.reads

    def waited(self, queries: Queries) -> Ints:
        """`[Q]` the bucket of the time from the last event of each history to the question; `GAPS` where unknown.

        Args:
            queries: histories of at least one event each.
        """
        if queries.time is None or queries.at is None:
            return np.full(len(queries), GAPS, dtype=np.int64)
        return waits(queries.at, queries.time[queries.ends - 1])

    def nothing(self, rows: int, steps: int, slots: int = 1) -> Arrays:
        """What is read of `B` rows of `T` events, each asked `S` times, where nothing is known but the items."""
        count = rows * steps
        unknown = Queries(
            np.zeros(count, dtype=np.int32), np.arange(rows) * steps, np.arange(1, rows + 1) * steps, 1
        )
        found = self.padded(self.flat(unknown), unknown.starts, unknown.ends)
        if USER in self.reads:
            found[USER] = self.rows(None, rows)
        if self.when_asked:
            found[WAIT] = np.full((rows, slots), GAPS, dtype=np.int64)
        return {name: found[name] for name in self.reads}

    def to_json(self) -> dict[str, Any]:
        """Everything but the vocabularies, which `encodings.table()` holds."""
        return {
            "length": self.length,
            "causal": self.causal,
            "reads": list(self.reads),
            "encodings": self.encodings.to_json(),
        }

    @classmethod
    def restored(cls, settings: Mapping[str, Any], table: pl.DataFrame | None) -> Inputs:
        """What `to_json` and the table of vocabularies describe.

        Raises:
            ArtifactError: they are damaged, or do not fit each other.
        """
        length, reads = settings.get("length"), settings.get("reads", [])
        if not isinstance(length, int) or isinstance(length, bool) or length < 1:
            raise ArtifactError("model.json gives no window length; copy or save the model anew.")
        if not isinstance(reads, list) or not all(isinstance(name, str) for name in reads):
            raise ArtifactError(
                "model.json gives no list of what its network reads; copy or save the model anew."
            )
        described = settings.get("encodings", [])
        encodings = Encodings.restored(described, Encodings().table() if table is None else table)
        if WAIT in encodings.entries:
            raise ArtifactError(
                f"This model reads a column '{WAIT}' of the log, a name that now has a meaning of its own: rename the "
                "column and fit the model anew."
            )
        for name in reads:
            if name not in (*UNCODED, *encodings.entries):
                raise ArtifactError(f"The encoding of '{name}' is missing; copy or save the model anew.")
        return cls(tuple(reads), encodings, length, bool(settings.get("causal", True)))


def numbers_of(scoring: object) -> frozenset[str]:
    """The columns of events that a scoring reads as numbers; one that is made of others reads what they read.

    Args:
        scoring: of any kind; counting models read none as numbers.
    """
    inputs = getattr(scoring, "inputs", None)
    if isinstance(inputs, Inputs):
        return inputs.numbers
    parts = (*getattr(scoring, "members", ()), *getattr(scoring, "scorings", ()))
    return frozenset(name for part in parts for name in numbers_of(part))


def _columns(events: Queries | Sequences, reads: tuple[str, ...]) -> dict[str, pl.Series]:
    """The columns of some events that are encoded value by value: of all that there are, those that are read."""
    columns = {name: events.context[name] for name in events.context if name in reads}
    if events.rating is not None and RATING in reads:
        columns[RATING] = pl.Series(RATING, events.rating).fill_nan(None)
    if events.time is not None and set(CALENDAR) & set(reads):
        known = events.time != MISSING_TIME
        columns[TIME] = pl.Series(TIME, events.time).set(pl.Series(~known), None)
    return columns
