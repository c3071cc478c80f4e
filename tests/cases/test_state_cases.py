"""Faults that users of services have met in live histories; here none of them happens.

A service answers from its store, so what the store holds after each step is what is asked about.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.serving.state_backings import Open, Redis, folder_holds, opener, redis_when_needed

from ensue.serving.events import read_events
from ensue.serving.state import Appended

RING = "ABCDEFGHIJ"


@pytest.fixture(scope="module")
def redis() -> Iterator[Callable[[], Redis]]:
    with redis_when_needed() as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, redis: Callable[[], Redis]) -> Open:
    return opener(request.param, tmp_path, redis)


def test_the_same_event_sent_twice_counts_once(opened: Open) -> None:
    store = opened()
    twice = [
        {"user": "n1", "item": item, "timestamp": time} for item, time in (("A", 100), ("A", 100), ("B", 110))
    ]
    assert store.append(read_events(twice)) == Appended(new=2, repeated=1)
    assert store.history(user="n1").items == ["A", "B"]
    assert store.append(read_events(twice)) == Appended(new=0, repeated=3)
    assert store.history(user="n1").items == ["A", "B"]
    assert store.append(read_events({"user": "n1", "item": "A", "timestamp": 120})) == Appended(new=1)
    assert store.history(user="n1").items == ["A", "B", "A"]


def test_many_clients_at_once_neither_mix_nor_lose(opened: Open) -> None:
    store, wrong = opened(), []

    def own(number: int) -> None:
        for step in range(10):
            sent = {"user": f"own{number}", "item": RING[(number + step) % 10], "timestamp": 1000 + step}
            store.append(read_events(sent))
            expected = [RING[(number + before) % 10] for before in range(step + 1)]
            if store.history(user=f"own{number}").items != expected:
                wrong.append((number, step))

    def shared(number: int) -> None:
        for step in range(20):
            store.append(
                read_events({"user": "team", "item": RING[step % 10], "timestamp": 100 * number + step})
            )

    threads = [threading.Thread(target=own, args=(number,)) for number in range(20)]
    threads += [threading.Thread(target=shared, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert len(store.history(user="team")) == 10 * 20


def test_an_erased_person_stays_erased(opened: Open, ring_frame: pl.DataFrame, tmp_path: Path) -> None:
    marker = "person-13-marker"
    ring = ring_frame.with_columns(user=pl.col("user").replace("u13", marker))
    store = opened()
    store.keep(ring, "run 1")
    live = read_events({"user": marker, "item": "A", "timestamp": 1_800_000_000 - 10**8, "session": "s13"})
    store.append(live)
    assert len(store.history(user=marker)) == 21 + 1
    gone = store.erase(user=marker)
    assert (gone.events, gone.kept, gone.sessions) == (1, 21, 1)
    store.close()
    for source in ("run 1", "a run of the same log"):
        restarted = opened()
        restarted.keep(ring, source)
        assert restarted.append(live) == Appended(erased=1)
        assert len(restarted.history(user=marker)) == len(restarted.history(session="s13")) == 0
        assert len(restarted.history(user="u12")) == 21
        restarted.close()
    assert folder_holds(tmp_path, marker) == []
