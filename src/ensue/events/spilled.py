"""A log that lies on disk: its users in the order of a log, in parts of whole users that fit into memory.

Three passes over a source of any length: its events are written down in numbers as they come; then, as all users are
known, each event goes to the part of its user; then each part is put in the order of a log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import DataError
from ensue.events.digests import SLICE, Digest
from ensue.events.log import TIME, EventLog, ordered
from ensue.events.reading import Reading
from ensue.events.sessions.cuts import per_user
from ensue.events.source import Stream
from ensue.growing import GrowingTable

EVENTS = 4_000_000
"""About how many events make a part; a user with more of them still is in one."""

_AT_ONCE = 1 << 18
_FIRST = ("user", "item", "time", "row")

Tell = Callable[[int], None]
"""Is told how many events were dealt with since it was told last."""


class Numbering:
    """Texts as numbers, in the order in which they first came."""

    def __init__(self) -> None:
        self._texts = pl.Categories.random()
        self._held = pl.Series([], dtype=pl.Categorical(self._texts))  # what nobody holds is forgotten

    def add(self, texts: pl.Series) -> pl.Series:
        """`[E]` uint32 numbers; null stays null."""
        known = texts.cast(pl.Categorical(self._texts))
        if not len(self._held):
            self._held = known.head(1)
        return known.to_physical()

    def texts(self) -> pl.Series:
        """The text of each number."""
        return self._texts.to_series()


@dataclass(frozen=True, eq=False)
class Spilled:
    """A log on disk.

    Attributes:
        folder: holds its parts; delete it when it is not needed any more.
        users: `[U]` the users in the order of a log.
        item_ids: the items in no order.
        items: what is known of items, or None.
        reading: what was read, understood and set aside.
        lasts: `[P]` number of users up to the end of each part.
        has_time: whether events carry times.
        shared_sessions: whether two users had a session of one name.
    """

    folder: Path
    users: pl.Series
    item_ids: pl.Series
    items: pl.DataFrame | None
    reading: Reading
    lasts: NDArray[np.int64]
    has_time: bool
    shared_sessions: bool = False
    _sorted: set[int] = field(default_factory=set)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return self.reading.rows_kept

    @property
    def n_parts(self) -> int:
        """Number of parts."""
        return len(self.lasts)

    def part(self, number: int) -> EventLog:
        """The events of some users, which lie next to each other in the order of a log, as a log of its own."""
        frame = self._numbers(number)
        found = frame.with_columns(
            user=self.users.gather(frame["user"]), item=self.item_ids.gather(frame["item"])
        )
        if "session" in found.columns:
            found = found.with_columns(session=per_user(found, shared=self.shared_sessions))
        return EventLog(found, self.items, self.reading)

    def times(self) -> Iterator[NDArray[np.int64]]:
        """The times of all events in microseconds since 1970 UTC, part by part."""
        for times in self._column("time", epoch=True):
            yield times.to_numpy()

    def fingerprint(self) -> str:
        """`EventLog.fingerprint` of the whole log."""
        digest = Digest(self.n_events)
        digest.add_texts(lambda: self._texts("user", self.users))
        digest.add_texts(lambda: self._texts("item", self.item_ids))
        digest.add_numbers((lambda: self._column("time", epoch=True)) if self.has_time else None, "<i8")
        rated = "rating" in self._numbers(0).columns
        digest.add_numbers((lambda: self._column("rating")) if rated else None, "<f8")
        return digest.text()

    def _texts(self, name: str, texts: pl.Series) -> Iterator[pl.Series]:
        for codes in self._column(name):
            for start in range(0, len(codes), SLICE):
                yield texts.gather(codes.slice(start, SLICE))

    def _column(self, name: str, *, epoch: bool = False) -> Iterator[pl.Series]:
        for number in range(self.n_parts):
            values = self._numbers(number, [name])[name]
            yield values.dt.epoch("us") if epoch else values

    def _numbers(self, number: int, columns: list[str] | None = None) -> pl.DataFrame:
        """A part in numbers of users and items, in the order of a log; it is put in order when first asked for."""
        path = self.folder / f"part.{number:05}.arrow"
        if number not in self._sorted:
            pieces = sorted(self.folder.glob(f"loose{number:05}.*.parquet"))
            loose = pl.concat([pl.read_parquet(piece) for piece in pieces]).with_columns(
                row=pl.int_range(pl.len(), dtype=pl.Int64)
            )
            ordered(loose.select(*_FIRST, pl.exclude(_FIRST))).write_ipc(path)
            for piece in pieces:
                piece.unlink()
            self._sorted.add(number)
        return pl.read_ipc(path, columns=columns)


def spill(stream: Stream, folder: Path, *, events: int = EVENTS, tell: Tell = lambda count: None) -> Spilled:
    """The events of a source on disk.

    Args:
        stream: the source, not yet gone through.
        folder: empty; takes about 30 bytes an event and what other columns need.
        events: about how many make a part.
        tell: is told of events as they are read, and again as they are put in place.

    Raises:
        DataError: what `read` raises, or nothing is left.
    """
    users, items = Numbering(), Numbering()
    counts = np.zeros(0, dtype=np.int64)
    pieces: list[Path] = []
    has_time = False
    for frame in stream.frames():
        numbered = frame.drop("row").with_columns(
            user=users.add(frame["user"]), item=items.add(frame["item"])
        )
        if "time" in frame.columns:
            has_time = True
        else:
            numbered = numbered.with_columns(time=pl.lit(None, dtype=TIME))
        counts = _added(counts, numbered["user"])
        pieces.append(folder / f"piece.{len(pieces):05}.arrow")
        numbered.write_ipc(pieces[-1])
        tell(frame.height)
    reading = stream.account()
    if not reading.rows_kept:
        raise DataError("The log has no events: there is nothing to prepare.")
    texts = users.texts().alias("user")
    order = texts.arg_sort()
    rank = np.empty(len(texts), dtype=np.uint32)
    rank[order.to_numpy()] = np.arange(len(texts), dtype=np.uint32)
    ends = np.cumsum(counts[order.to_numpy()])
    part_of = (ends - 1) // max(events, 1)  # by the last event of a user: parts of whole users
    _, part_of = np.unique(part_of, return_inverse=True)
    lasts = np.flatnonzero(np.append(part_of[1:] != part_of[:-1], True)) + 1
    shared = _placed(pieces, folder, rank, part_of.astype(np.uint32), tell)
    return Spilled(
        folder,
        texts.gather(order),
        items.texts(),
        stream.items,
        reading,
        lasts,
        has_time,
        shared_sessions=shared,
    )


def _added(counts: NDArray[np.int64], codes: pl.Series) -> NDArray[np.int64]:
    """The number of events of each user, with those of one piece more."""
    more = np.bincount(codes.to_numpy(), minlength=len(counts))
    more[: len(counts)] += counts
    return more


def _placed(
    pieces: list[Path], folder: Path, rank: NDArray[np.uint32], part_of: NDArray[np.uint32], tell: Tell
) -> bool:
    """Brings the events of each piece to the part of their user; whether two users share the name of a session."""
    loose: dict[int, GrowingTable] = {}
    owners = _Owners()
    kinds: dict[str, pl.DataType] = {}
    for piece in pieces:
        for name, kind in pl.read_ipc_schema(piece).items():
            kinds[name] = kind if kinds.get(name, kind) == kind else pl.String()
    for piece in pieces:
        frame = pl.read_ipc(piece)
        frame = frame.with_columns(user=pl.Series(rank[frame["user"].to_numpy()]))
        owners.add(frame)
        frame = frame.select(
            pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, dtype=kind).alias(name)
            for name, kind in kinds.items()
        )
        parted = frame.with_columns(part=pl.Series(part_of[frame["user"].to_numpy()]))
        for (part,), some in parted.partition_by("part", as_dict=True, include_key=False).items():
            number = int(str(part))
            if number not in loose:
                loose[number] = GrowingTable(folder, f"loose{number:05}", _AT_ONCE)
            loose[number].append(some)
        piece.unlink()
        tell(frame.height)
    for table in loose.values():
        table.end()
    return owners.shared


class _Owners:
    """Which user each name of a session belongs to."""

    def __init__(self) -> None:
        self.shared = False
        self._names = Numbering()
        self._owner = np.zeros(0, dtype=np.int64)

    def add(self, frame: pl.DataFrame) -> None:
        """Looks at the sessions of some events."""
        if self.shared or "session" not in frame.columns:
            return
        pairs = frame.select("user", "session").unique().drop_nulls()
        names = self._names.add(pairs["session"]).to_numpy()
        users = pairs["user"].to_numpy().astype(np.int64)
        if not len(names):
            return
        more = max(int(names.max()) + 1 - len(self._owner), 0)
        self._owner = np.append(self._owner, np.full(more, -1))
        fresh = self._owner[names] < 0
        self._owner[names[fresh]] = users[fresh]
        self.shared = bool((self._owner[names] != users).any())
