"""The file of the histories that a run has kept: who is erased is in it no longer, whatever happens meanwhile."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.serving.state_backings import SECOND, Hands, Open, Redis, at, kept, opener

from ensue.errors import ArtifactError
from ensue.serving import kept_histories
from ensue.serving.kept_histories import KeptHistories
from ensue.serving.state import Limits, Store

ROWS = kept(*((f"user-{n % 7}", "ABC"[n % 3], float(n - 100)) for n in range(40)), rating=[4.0] * 40)
FRESH = ".histories.parquet.new"


@pytest.fixture
def opened(tmp_path: Path, redis: Callable[[], Redis]) -> Open:
    return opener("sqlite", tmp_path, redis)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return written(tmp_path / "run")


def written(folder: Path, rows: pl.DataFrame = ROWS) -> Path:
    folder.mkdir(exist_ok=True)
    rows.write_parquet(folder / "histories.parquet")
    return folder


def held(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "histories.parquet")


def less(*users: str) -> pl.DataFrame:
    return ROWS.filter(~pl.col("user").is_in(users))


def erased(folder: Path, store: Store, user: str) -> bool:
    store.erase(user=user)
    return KeptHistories(folder, store).forget(user)


def test_nothing_of_who_is_erased_is_left_and_all_else_is_as_it_was(run: Path, store: Store) -> None:
    (run / "histories.parquet").chmod(0o640)
    KeptHistories(run, store).take_over()
    old = (run / "histories.parquet").read_bytes()
    with (run / "histories.parquet").open("rb") as reading:
        assert erased(run, store, "user-3")
        assert reading.read() == old  # who reads meanwhile has the old one, not half of the new one
    assert_frame_equal(held(run), less("user-3"))
    assert (run / "histories.parquet").stat().st_mode & 0o777 == 0o640
    assert erased(run, store, "user-0")
    assert_frame_equal(held(run), less("user-0", "user-3"))
    assert sorted(path.name for path in run.iterdir()) == [".histories.parquet.lock", "histories.parquet"]


def test_a_file_without_the_one_who_is_erased_is_left_alone(run: Path, store: Store) -> None:
    before = (run / "histories.parquet").stat()
    assert erased(run, store, "nobody")
    after = (run / "histories.parquet").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_run_that_keeps_no_histories_has_none_to_forget(tmp_path: Path, store: Store) -> None:
    none = KeptHistories(tmp_path / "none", store)
    none.take_over()
    none.look()
    assert none.forget("user-1")


def test_a_store_that_has_the_histories_does_not_take_them_over_again(run: Path, store: Store) -> None:
    KeptHistories(run, store).take_over()
    assert store.counts().kept == 40
    erased(run, store, "user-3")
    erased(run, store, "user-4")
    changes = store.changes()
    KeptHistories(run, store).take_over()
    assert store.changes() == changes
    assert store.counts().kept == less("user-3", "user-4").height
    written(run, ROWS.head(5))  # another run in the same folder
    KeptHistories(run, store).take_over()
    assert store.counts().kept == ROWS.head(5).filter(~pl.col("user").is_in(["user-3", "user-4"])).height
    assert_frame_equal(held(run), ROWS.head(5).filter(~pl.col("user").is_in(["user-3", "user-4"])))


def test_users_with_more_events_than_are_kept_are_counted_and_another_limit_takes_over_anew(
    tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    rows = pl.DataFrame({"user": ["a"] * 5 + ["b"] * 3, "item": list("vwxyz") + list("xyz")})
    run = written(tmp_path / "run", rows)
    for most, events, said in ((4, "wxyz", "1 of 2 users have more than 4 events"), (5, "vwxyz", "")):
        caplog.clear()
        limits = Limits(events=most)
        store = opened(clock=Hands().clock, limits=limits)
        KeptHistories(run, store, limits).take_over()
        assert store.history(user="a").items == list(events)
        assert store.history(user="b").items == list("xyz")
        assert said in caplog.text
        assert bool(said) == ("bounds.history" in caplog.text)
        store.close()


def test_a_start_takes_out_who_was_erased_and_could_not_be_taken_out(run: Path, store: Store) -> None:
    KeptHistories(run, store).take_over()
    store.erase(user="user-5")  # and killed
    KeptHistories(run, store).take_over()
    assert_frame_equal(held(run), less("user-5"))


@pytest.mark.parametrize("when", ["before", "after"])
def test_who_is_killed_in_the_middle_leaves_the_old_file_and_the_next_start_the_new_one(
    run: Path, opened: Open, when: str
) -> None:
    code = f"""
import os, signal, sys
import polars as pl
from ensue.serving.kept_histories import KeptHistories
from ensue.serving.state import open_store
whole = pl.LazyFrame.sink_parquet
def killed(*args, **options):
    if {when == "after"}:
        whole(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)
pl.LazyFrame.sink_parquet = killed
store = open_store(sys.argv[1])
store.erase(user="user-2")
KeptHistories(sys.argv[2], store).forget("user-2")
"""
    state = run.parent / "state" / "live.db"
    found = subprocess.run([sys.executable, "-c", code, str(state), str(run)], timeout=60)
    assert found.returncode == -signal.SIGKILL
    assert_frame_equal(held(run), ROWS)
    assert (run / FRESH).exists()
    KeptHistories(run, opened()).take_over()
    assert_frame_equal(held(run), less("user-2"))
    assert not (run / FRESH).exists()


def test_what_a_killed_process_left_goes_though_nobody_was_erased(run: Path, store: Store) -> None:
    (run / FRESH).write_bytes((run / "histories.parquet").read_bytes())
    KeptHistories(run, store).take_over()
    assert not (run / FRESH).exists()


@pytest.mark.parametrize("timed", [True, False])
def test_what_happened_after_the_erasure_stays(tmp_path: Path, store: Store, timed: bool) -> None:
    store.erase(user="u")
    rows = kept(("u", "A", -1.0), ("v", "A", -1.0), ("u", "B", 1.0), ("u", "C", 2.0))
    run = written(tmp_path / "run", rows if timed else rows.drop("time"))
    KeptHistories(run, store).take_over()
    expected = [("v", "A"), ("u", "B"), ("u", "C")] if timed else [("v", "A")]
    assert held(run).select("user", "item").rows() == expected
    assert [row[1] for row in expected if row[0] == "u"] == store.history(user="u").items


def test_those_who_are_erased_at_the_same_time_are_taken_out_together(
    run: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = KeptHistories(run, store)
    rewritten: list[set[str]] = []
    whole = one._rewrite
    begun, go_on = threading.Event(), threading.Event()

    def rewrite(gone: Any) -> None:
        rewritten.append(set(gone))
        begun.set()
        go_on.wait(30)
        whole(gone)

    monkeypatch.setattr(one, "_rewrite", rewrite)
    clean: list[bool] = []
    users = [f"user-{n}" for n in range(5)]
    threads = [threading.Thread(target=lambda user=user: clean.append(one.forget(user))) for user in users]
    threads[0].start()
    assert begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    while len(one._waiting) < 4:
        time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert clean == [True] * 5
    assert rewritten == [{"user-0"}, set(users[1:])]
    assert_frame_equal(held(run), less(*users))


def test_two_processes_that_erase_at_once_lose_nothing(run: Path, opened: Open) -> None:
    opened()
    code = """
import sys
from ensue.serving.kept_histories import KeptHistories
from ensue.serving.state import open_store
store = open_store(sys.argv[1])
kept = KeptHistories(sys.argv[2], store)
for user in sys.argv[3:]:
    store.erase(user=user)
    assert kept.forget(user)
"""
    words = [sys.executable, "-c", code, str(run.parent / "state" / "live.db"), str(run)]
    both = [subprocess.Popen([*words, *(f"user-{n}" for n in numbers)]) for numbers in ((0, 1, 2), (3, 4, 5))]
    assert [one.wait(60) for one in both] == [0, 0]
    assert_frame_equal(held(run), less(*(f"user-{n}" for n in range(6))))


def test_what_cannot_be_written_is_said_once_and_tried_again(
    run: Path, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = KeptHistories(run, store)
    (run / ".histories.parquet.lock").mkdir()
    for user in ("user-1", "user-2"):
        store.erase(user=user)
        with caplog.at_level(logging.WARNING, "ensue.serving"):
            assert not one.forget(user)
    assert len(caplog.records) == 1
    assert "may hold somebody who was erased" in caplog.text
    assert "user-" not in caplog.text
    (run / ".histories.parquet.lock").rmdir()
    one.look()
    assert_frame_equal(held(run), ROWS)  # not before it is time
    monkeypatch.setattr(kept_histories, "AGAIN", 0.0)
    one.look()
    assert_frame_equal(held(run), less("user-1", "user-2"))


def test_where_nothing_can_be_written_who_is_not_in_the_file_is_erased_all_the_same(
    run: Path, store: Store
) -> None:
    (run / ".histories.parquet.lock").mkdir()
    one = KeptHistories(run, store)
    one.take_over()
    assert one.forget("nobody")
    assert not one.forget("user-1")


def test_a_damaged_file_is_refused_at_the_start_and_never_taken_for_clean(run: Path, store: Store) -> None:
    (run / "histories.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ArtifactError, match="run the experiment anew"):
        KeptHistories(run, store).take_over()
    assert not erased(run, store, "user-1")


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_machine_takes_out_of_its_own_file_who_was_erased_by_another(
    kind: str, tmp_path: Path, redis: Callable[[], Redis]
) -> None:
    opened = opener(kind, tmp_path, redis)
    runs, stores = [written(tmp_path / name) for name in ("a", "b")], [opened(), opened()]
    here, there = (KeptHistories(run, one, shared=True) for run, one in zip(runs, stores, strict=True))
    here.take_over()
    there.take_over()
    changes = stores[1].changes()
    there.look()
    stores[0].erase(user="user-6")
    assert here.forget("user-6")
    assert_frame_equal(held(runs[1]), ROWS)
    there.look()
    assert_frame_equal(held(runs[1]), less("user-6"))
    there.take_over()
    assert stores[1].changes() == changes + 1  # the erasure; nothing was taken over again


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_store_tells_who_of_some_has_been_erased_and_until_when(
    kind: str, tmp_path: Path, redis: Callable[[], Redis]
) -> None:
    hands = Hands()
    store = opener(kind, tmp_path, redis)(clock=hands.clock)
    assert (store.erased(["u"]), store.erasures()) == ({}, 0)
    store.erase(user="u")
    hands.pass_by(10)
    store.erase(user="é/1")
    store.erase(session="v")
    assert store.erasures() == 3
    found = store.erased(["v", "u", "w", "é/1"])
    assert list(found) == ["u", "é/1"]
    assert found["é/1"] - found["u"] == pytest.approx(10 * SECOND, abs=1000)
    assert found["u"] == pytest.approx(at(0), abs=1000)
