"""The file in which a run has kept histories: taken over by the store, and written anew without who is erased."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import polars as pl

from ensue.errors import ArtifactError
from ensue.run_folder import HISTORIES
from ensue.serving.state import Limits, Store

told = logging.getLogger("ensue.serving")

SOURCE = "ensue.source"
"""What a file that was written anew says of itself: the digest of the one that the run has written, by which a store
knows that these are the histories that it has, less who was erased."""

AGAIN = 30.0
"""Seconds after which it is tried again to write a file that could not be written."""

_USER = pl.col("user").cast(pl.String)


class KeptHistories:
    """The histories that the run of a service has kept.

    The processes of one machine share the file, so that whoever is asked to erase somebody writes it anew, before the
    answer: then no process has anything to follow, and none is late. Who is killed in between leaves the old file; the
    store has remembered the erasure before, and the next start compares the file with what it remembers. Machines that
    share a store have each a file of their own, and compare it when the number of erasures has changed (`look`).

    Args:
        folder: of the run.
        store: that remembers who was erased.
        limits: of the store.
        shared: whether other machines erase from the store too.
    """

    def __init__(
        self, folder: str | Path, store: Store, limits: Limits | None = None, *, shared: bool = False
    ) -> None:
        self.path = Path(folder) / HISTORIES
        self._fresh = self.path.with_name(f".{HISTORIES}.new")
        self._lock = self.path.with_name(f".{HISTORIES}.lock")
        self._store, self._shared, self._most = store, shared, (limits or Limits()).events
        self._waiting: list[tuple[str, Future[bool]]] = []
        self._short, self._writing = Lock(), Lock()
        self._behind: float | None = None
        self._erasures = 0

    def take_over(self) -> None:
        """Has the store take the histories over, once; none of those who were erased stays in the file.

        Raises:
            ArtifactError: the file is damaged.
        """
        if not self.path.is_file():
            return
        self._erasures = self._store.erasures()
        self._compare()
        try:
            with self._held():
                source, held = self._source(), pl.read_parquet(self.path)
        except (OSError, pl.exceptions.PolarsError) as fault:
            raise ArtifactError(
                f"{self.path} cannot be read ({type(fault).__name__}): run the experiment anew."
            ) from fault
        taken = self._store.keep(held, f"{source}, the last {self._most} events of each")
        sizes = held.group_by("user").len()["len"]
        if (sizes > self._most).any():
            told.warning(
                "%d of %d users have more than %d events: their older ones are not kept, and items that stood in "
                "those alone may be answered again; bounds.history keeps more",
                int((sizes > self._most).sum()), len(sizes), self._most,
            )  # fmt: skip
        if not taken.already:
            told.info(
                "kept histories of %d users, %d events; %d were erased",
                taken.users, taken.events, taken.erased,
            )  # fmt: skip

    def forget(self, user: str) -> bool:
        """Takes a user, who is erased from the store, out of the file; whether nothing of him is left there.

        Those who are erased at the same time are taken out together.
        """
        if not self.path.is_file():
            return True
        gone: Future[bool] = Future()
        with self._short:
            self._waiting.append((user, gone))
        with self._writing:
            if not gone.done():
                with self._short:
                    batch, self._waiting = self._waiting, []
                clean = False
                try:
                    clean = self._without({name: None for name, _ in batch})
                finally:
                    for _, one in batch:
                        one.set_result(clean)
        return gone.result()

    def look(self) -> None:
        """Takes out who was erased by another machine, and who could not be taken out before."""
        if not self.path.is_file():
            return
        erasures = self._store.erasures() if self._shared else self._erasures
        late = self._behind is not None and time.monotonic() - self._behind > AGAIN
        if late or erasures != self._erasures:
            self._erasures = erasures
            with self._writing:
                self._compare()

    def _compare(self) -> bool:
        """Takes out all whom the store remembers as erased, as far as what is kept of them is from before."""
        if not self._store.erasures():
            return self._without({})
        try:
            with self._held():
                frame = pl.scan_parquet(self.path).select(_USER.unique().drop_nulls())
                users = frame.collect(engine="streaming")
        except (OSError, pl.exceptions.PolarsError) as fault:
            return self._failed(fault)
        return self._without(self._store.erased(users["user"].to_list()))

    def _without(self, gone: Mapping[str, int | None]) -> bool:
        """Writes the file anew without some users; whether that is done, or nothing of them was there.

        Args:
            gone: until when what is kept of each goes, in microseconds since 1970 UTC; None takes all.
        """
        try:
            with self._held() as fault:
                if fault is None:
                    self._fresh.unlink(missing_ok=True)  # of a process that was killed
                if self._there(gone):
                    if fault is not None:
                        raise fault
                    self._rewrite(gone)
        except (OSError, pl.exceptions.PolarsError) as fault:
            return not gone or self._failed(fault)
        self._behind = None
        return True

    def _there(self, gone: Mapping[str, int | None]) -> bool:
        """Whether anything is left of some users."""
        if not gone:
            return False
        frame = pl.scan_parquet(self.path)
        return not frame.filter(_goes(frame, gone)).limit(1).collect(engine="streaming").is_empty()

    def _rewrite(self, gone: Mapping[str, int | None]) -> None:
        frame = pl.scan_parquet(self.path)
        mode = self.path.stat().st_mode & 0o777
        os.close(os.open(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        try:
            frame.filter(~_goes(frame, gone)).sink_parquet(
                self._fresh, metadata={SOURCE: self._source()}, engine="streaming"
            )
            self._fresh.chmod(mode)
            with self._fresh.open("rb") as handle:
                os.fsync(handle.fileno())
            self._fresh.replace(self.path)
        finally:
            self._fresh.unlink(missing_ok=True)

    def _source(self) -> str:
        """What names the data: the digest of the file as the run has written it."""
        known = pl.read_parquet_metadata(self.path).get(SOURCE)
        if known is not None:
            return known
        with self.path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()

    def _failed(self, fault: Exception) -> bool:
        """False; it is tried again later, and said once."""
        if self._behind is None:
            told.warning(
                "%s may hold somebody who was erased, since it cannot be written anew (%s); it is tried again",
                self.path, (isinstance(fault, OSError) and fault.strerror) or type(fault).__name__,
            )  # fmt: skip
        self._behind = time.monotonic()
        return False

    @contextmanager
    def _held(self) -> Iterator[OSError | None]:
        """Lets one process at a time read or write the file, since reading opens it more than once.

        Yields:
            None; or why it cannot be held, where nothing can be written, so that it need not be.
        """
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as fault:
            yield fault
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield None
        finally:
            os.close(descriptor)


def _goes(frame: pl.LazyFrame, gone: Mapping[str, int | None]) -> pl.Expr:
    """Whether an event is one of some users, of up to when they were erased; true or false, never null."""
    goes = _USER.is_in(list(gone))
    until = {user: last for user, last in gone.items() if last is not None}
    if until and frame.collect_schema().get("time", pl.Null()).is_temporal():
        latest = _USER.replace_strict(list(until), list(until.values()), default=None, return_dtype=pl.Int64)
        goes &= (pl.col("time").dt.epoch("us") <= latest).fill_null(value=True)
    return goes.fill_null(value=False)
