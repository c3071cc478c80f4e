"""Events on their way into a store: several make one write, none fails for another, and nobody else waits."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from ensue.errors import StateError
from ensue.serving import telling
from ensue.serving.events import LiveEvent
from ensue.serving.state import Appended, History
from ensue.serving.state.sqlite import SqliteStore
from ensue.serving.telling import FEW, Telling


class Counted(SqliteStore):
    """A store that remembers how many batches each write held, and cannot write what is called "broken"."""

    def __init__(self, path: Path, *, power_safe: bool = False) -> None:
        super().__init__(path, power_safe=power_safe)
        self.writes: list[int] = []

    def append_each(self, told: Sequence[Sequence[LiveEvent]], *, wait: bool = True) -> list[Appended] | None:
        if any(event.item == "broken" for events in told for event in events):
            raise StateError("It is broken.")
        found = super().append_each(told, wait=wait)
        if found is not None:
            self.writes.append(len(told))
        return found

    def append(self, events: Sequence[LiveEvent]) -> Appended:
        self.writes.append(-len(events))
        return super().append(events)


def events(item: str, count: int = 1, user: str = "u") -> list[LiveEvent]:
    return [LiveEvent(item, user=f"{user}{place}", time=1_700_000_000_000_000) for place in range(count)]


def items(history: History) -> list[str]:
    return history.items


@pytest.mark.parametrize("power_safe", [False, True])
def test_what_is_told_in_one_moment_is_one_write_and_each_has_its_own_answer(
    tmp_path: Path, power_safe: bool
) -> None:
    store = Counted(tmp_path / "live.db", power_safe=power_safe)

    async def tell() -> list[Appended]:
        way = Telling(store)
        batches: tuple[list[LiveEvent], ...] = (events("A"), events("A"), events("B", 2), [])
        return await asyncio.gather(*(way.append(batch) for batch in batches))

    assert asyncio.run(tell()) == [Appended(new=1), Appended(repeated=1), Appended(new=2), Appended()]
    assert store.writes == [4]
    assert items(SqliteStore(tmp_path / "live.db").history(user="u0")) == ["A", "B"]


def test_what_is_told_while_a_write_waits_goes_with_the_next_one(tmp_path: Path) -> None:
    store = Counted(tmp_path / "live.db")
    other = sqlite3.connect(tmp_path / "live.db", isolation_level=None)

    async def tell() -> tuple[int, list[Appended]]:
        way = Telling(store)
        other.execute("BEGIN IMMEDIATE")
        first = asyncio.create_task(way.append(events("A")))
        turns = 0
        for _ in range(20):  # others are not kept waiting meanwhile
            await asyncio.sleep(0.001)
            turns += 1
        assert not first.done()
        later = [asyncio.create_task(way.append(events(item))) for item in "BC"]
        await asyncio.sleep(0)
        other.execute("COMMIT")
        return turns, await asyncio.gather(first, *later)

    assert asyncio.run(tell()) == (20, [Appended(new=1)] * 3)
    assert sum(store.writes) == 3
    assert store.writes[-1] == 2
    assert items(store.history(user="u0")) == ["A", "B", "C"]


def test_a_store_that_stays_locked_is_told_of_and_works_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "WAIT", 0.02)
    store = Counted(tmp_path / "live.db")
    other = sqlite3.connect(tmp_path / "live.db", isolation_level=None)

    async def tell() -> Appended:
        way = Telling(store)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="locked"):
            await way.append(events("A"))
        other.execute("COMMIT")
        return await way.append(events("B"))

    assert asyncio.run(tell()) == Appended(new=1)
    assert items(store.history(user="u0")) == ["B"]


def test_no_batch_fails_for_another(tmp_path: Path) -> None:
    store = Counted(tmp_path / "live.db")

    async def tell() -> list[Appended | BaseException]:
        way = Telling(store)
        told = [way.append(events(item)) for item in ("A", "broken", "B")]
        found = await asyncio.gather(*told, return_exceptions=True)
        assert await way.append(events("C")) == Appended(new=1)
        return found

    first, broken, second = asyncio.run(tell())
    assert (first, second) == (Appended(new=1), Appended(new=1))
    assert isinstance(broken, StateError)
    assert items(store.history(user="u0")) == ["A", "B", "C"]


def test_who_went_away_keeps_nobody_from_being_answered(tmp_path: Path) -> None:
    store = Counted(tmp_path / "live.db")

    async def tell() -> Appended:
        way = Telling(store)
        gone = asyncio.create_task(way.append(events("A")))
        stays = asyncio.create_task(way.append(events("B")))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(tell()) == Appended(new=1)


def test_a_large_batch_goes_into_a_thread(tmp_path: Path) -> None:
    store = Counted(tmp_path / "live.db")
    way = Telling(store)
    assert asyncio.run(way.append(events("A", FEW))) == Appended(new=FEW)
    assert asyncio.run(way.append(events("B", FEW + 1))) == Appended(new=FEW + 1)
    assert store.writes == [1, -(FEW + 1)]


def test_a_histories_end_is_the_same_told_together_and_one_by_one(tmp_path: Path) -> None:
    """Late, repeated and outdated ones too: the second of a write must not count for the first."""
    told = [
        [LiveEvent("A", user="u", time=3_000_000)],
        [LiveEvent("B", user="u", time=1_000_000)],
        [LiveEvent("C", user="u", time=4_000_000), LiveEvent("A", user="u", time=3_000_000)],
    ]
    single, whole = SqliteStore(tmp_path / "single.db"), SqliteStore(tmp_path / "whole.db")
    alone = [single.append(one) for one in told]
    assert whole.append_each(told) == alone
    assert [one.late for one in alone] == [0, 1, 0]
    assert items(whole.history(user="u")) == items(single.history(user="u")) == ["B", "A", "C"]
    ours, theirs = whole.history(user="u"), single.history(user="u")
    assert ours.settled - ours.rows[1].number == theirs.settled - theirs.rows[1].number


def test_the_journal_moves_into_the_file_and_begins_anew_once_it_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ensue.serving.state import sqlite_file

    store = SqliteStore(tmp_path / "live.db")
    journal = tmp_path / "live.db-wal"
    for place in range(40):
        store.append_each([events(f"item {place}", 5, f"{place}-")], wait=False)
    grown = journal.stat().st_size
    said: list[str] = []
    store._connections._idle[-1].set_trace_callback(said.append)
    store.tidy()
    assert (tmp_path / "live.db").stat().st_size > 8 * 4096
    monkeypatch.setattr(sqlite_file, "_LONG", 1)
    store.tidy()
    assert [one.rpartition("(")[2] for one in said] == ["PASSIVE)", "PASSIVE)", "RESTART)"]
    store.append_each([events("last")], wait=False)
    assert journal.stat().st_size <= grown  # written over from its beginning
    assert items(SqliteStore(tmp_path / "live.db").history(user="u0")) == ["last"]
