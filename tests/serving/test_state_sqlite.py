"""A store in a file: nothing acknowledged is lost, nothing erased is left, and every fault says what to do."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.serving.state_backings import event, folder_holds, kept

from ensue.errors import StateError
from ensue.serving.state import Appended, Limits
from ensue.serving.state.sqlite import SqliteStore

WRITER = """
import sys
from ensue.serving.events import LiveEvent
from ensue.serving.state import Limits
from ensue.serving.state.sqlite import SqliteStore
store = SqliteStore(sys.argv[1], Limits(events=1_000_000))
for number in range(100_000):
    store.append([LiveEvent(f"{number}-{part}", sys.argv[2], time=number) for part in range(3)])
    print(number, flush=True)
"""
"""Writes batches of three, and says which ones have been acknowledged."""


def writer(path: Path, user: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), user], stdout=subprocess.PIPE, text=True
    )


def acknowledged(process: subprocess.Popen[str], enough: int) -> list[int]:
    """What a writer has been told, until it is killed in the middle of its work."""
    assert process.stdout is not None
    found = [int(process.stdout.readline()) for _ in range(enough)]
    process.send_signal(signal.SIGKILL)
    found += [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.stdout.close()
    process.wait()
    return found


def test_two_processes_killed_while_they_write_lose_no_acknowledged_event(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    limits = Limits(events=10**6)
    processes = {user: writer(path, user) for user in ("u", "v")}
    for user, process in processes.items():
        done = acknowledged(process, 25)
        items = SqliteStore(path, limits).history(user=user).items
        assert set(items) >= {f"{number}-{part}" for number in done for part in range(3)}
        assert len(items) % 3 == 0
    store = SqliteStore(path, limits)
    assert store.append([event("A")]) == Appended(new=1)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM events").fetchone()[0] == store.counts().events
    connection.close()


def test_an_erased_person_is_in_no_file_while_others_write_on(tmp_path: Path) -> None:
    marker, place = "person-13-marker", tmp_path / "state"
    store, other = SqliteStore(place / "live.db"), SqliteStore(place / "live.db")
    draw = random.Random(1)
    rows = [(f"other{n % 40}", f"item{draw.random()}", float(n)) for n in range(400)]
    rows += [(marker, f"kept-{marker}-{n}", 400.0 + n) for n in range(30)]
    store.keep(kept(*rows, city=[f"{one[0]}-town" for one in rows]), "one")
    for n in range(40):
        events = [
            event(f"{who}-{n}-{part}", n + part / 8, user=who, session=f"{who}-s", id=f"{who}-{n}-{part}",
                  event=f"{who}-type", context={"said": who * 5})
            for part in range(3) for who in (marker, f"other{draw.randrange(40)}")
        ]  # fmt: skip
        draw.shuffle(events)
        store.append(events)
    assert folder_holds(place, marker)
    gone = store.erase(user=marker)
    assert (gone.events, gone.kept, gone.sessions, gone.clean) == (120, 30, 1, True)
    assert folder_holds(place, marker) == []
    other.append([event("A", user="other1")])
    assert other.history(user=marker).items == []
    other.close()
    store.close()
    assert folder_holds(place, marker) == []
    assert SqliteStore(place / "live.db").history(user="other1").items[-1] == "A"


def test_no_id_of_a_user_or_session_is_ever_written(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "live.db")
    store.append([event("A", -1, user="person-7", session="cookie-7", id="person-7-event")])
    store.keep(kept(("person-7", "A", 0)), "one")
    for marker in ("person-7", "cookie-7"):
        assert folder_holds(tmp_path, marker) == []


def test_bytes_that_a_reader_was_in_the_way_of_go_later(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "live.db", wait=0.1)
    store.append([event("person-13-marker", -1)])
    reader = sqlite3.connect(tmp_path / "live.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM state").fetchall()
    assert store.erase(user="u").clean is False
    assert store.history(user="u").items == []
    assert folder_holds(tmp_path, "person-13-marker")
    reader.execute("COMMIT")
    reader.close()
    store.expire()
    assert folder_holds(tmp_path, "person-13-marker") == []


def test_a_full_store_says_so_keeps_what_it_has_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    small = SqliteStore(path, most_bytes=150_000)
    batches = [
        [event(f"{n}-{part}" + "x" * 400, n, user=f"u{part}") for part in range(20)] for n in range(50)
    ]
    done = 0

    def write_on() -> None:
        nonlocal done
        for batch in batches:
            small.append(batch)
            done += 1

    with pytest.raises(StateError, match=r"live\.db is full: free space .* nothing of this was written"):
        write_on()
    assert 0 < done < 50
    for part in range(20):
        assert small.history(user=f"u{part}").items == [batch[part].item for batch in batches[:done]]
    assert small.counts().events == 20 * done
    with pytest.raises(StateError, match="is full"):
        small.keep(kept(*[("w", "y" * 400 + str(n), n) for n in range(500)]), "one")
    assert (len(small.history(user="w")), small.counts().kept) == (0, 0)
    small.erase(user="u0")
    small.erase(user="u1")
    assert small.keep(kept(("w", "y", 0)), "two").events == 1
    assert small.append(batches[0][2:4]) == Appended(repeated=2)
    assert SqliteStore(path).append(batches[done][2:]) == Appended(new=18)


def test_a_store_that_another_process_locks_says_so_and_goes_on_afterwards(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "live.db", wait=0.1)
    other = sqlite3.connect(tmp_path / "live.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(StateError, match="is locked by another process: try again"):
        store.append([event("A")])
    assert time.monotonic() - began < 5
    assert len(store.history(user="u")) == 0
    other.execute("ROLLBACK")
    other.close()
    assert store.append([event("A")]) == Appended(new=1)


def test_a_thread_waits_for_another_no_longer_than_for_a_process(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "live.db", wait=0.1)
    inside, leave = threading.Event(), threading.Event()

    def long() -> None:
        with store._connections.writing():
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=long)
    thread.start()
    inside.wait(20)
    with pytest.raises(StateError, match="is locked"):
        store.append([event("A")])
    leave.set()
    thread.join()
    assert store.append([event("A")]) == Appended(new=1)


def test_another_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    text, foreign, damaged, later = (
        tmp_path / name for name in ("text", "foreign.db", "damaged.db", "later.db")
    )
    text.write_text("no database, but a text of some length " * 30)
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE shop (item)")
    connection.close()
    SqliteStore(damaged).close()
    damaged.write_bytes(damaged.read_bytes()[:100] + bytes(range(256)) * 16 + damaged.read_bytes()[4196:])
    SqliteStore(later).close()
    with sqlite3.connect(later) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    for path, message in (
        (text, "is no SQLite database: give another path"),
        (foreign, "is another program's: give another path"),
        (damaged, "is damaged: move it away"),
        (later, "is of version 2, not 1"),
        (tmp_path, "cannot be opened: Is a directory"),
        (text / "live.db", "cannot be opened"),
    ):
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises(StateError, match=message):
            SqliteStore(path)
        assert not before or path.read_bytes() == before


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "deep" / "live.db")
    store.append([event("A")])
    files = list((tmp_path / "deep").iterdir())
    assert {path.name for path in files} >= {"live.db", "live.db-wal"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_what_is_safe_from_loss_of_power_is_synced_and_the_journal_is_bounded(tmp_path: Path) -> None:
    for safe, level in ((False, 1), (True, 2)):
        store = SqliteStore(tmp_path / f"{safe}.db", power_safe=safe)
        with store._connections.reading() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA journal_size_limit").fetchone() == (16 * 2**20,)
            assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_a_taking_over_that_was_killed_is_taken_up_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    store = SqliteStore(path)
    generation = store._claimed("one")
    assert generation is not None
    with store._connections.writing() as connection:  # as if a minute had passed since it was last heard of
        connection.execute("UPDATE state SET claimed = claimed - 61000000")
    assert SqliteStore(path).keep(kept(("u", "A", 0)), "one").events == 1
    with (
        store._connections.writing() as connection,
        pytest.raises(StateError, match="Another process has begun"),
    ):
        store._coming(connection, generation)
    assert store.history(user="u").items == ["A"]
