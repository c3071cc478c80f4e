"""A store in a Redis server: stopped and back, full, wrongly set up, and without what was erased in its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from tests.serving.state_backings import Redis, event, folder_holds, kept, redis_program

from ensue.errors import MissingExtraError, StateError
from ensue.serving.state import Appended
from ensue.serving.state.kept import pieces
from ensue.serving.state.redis import RedisStore, parted


@pytest.fixture
def server() -> Iterator[Redis]:
    started = Redis(redis_program())
    started.start()
    yield started
    started.remove()


def test_a_server_that_is_killed_and_comes_back_has_lost_nothing_and_needs_nobody(server: Redis) -> None:
    store = RedisStore(server.address())
    store.keep(kept(("u", "A", -9)), "one")
    store.append([event("B", -8)])
    before = store.revision(user="u")
    server.stop()
    for call in (
        lambda: store.append([event("C", -7)]),
        lambda: store.history(user="u"),
        lambda: store.erase(user="u"),
        lambda: store.keep(kept(), "two"),
        store.expire,
        store.counts,
        store.changes,
    ):
        began = time.monotonic()
        with pytest.raises(
            StateError, match=r"The store unix://.* cannot be used: .* See that the server runs"
        ):
            call()
        assert time.monotonic() - began < 5
    server.start()
    assert store.history(user="u").items == ["A", "B"]
    assert store.append([event("C", -7)]) == Appended(new=1)
    assert store.history(user="u").since(before) == 2


def test_an_erased_person_is_in_no_file_once_the_server_has_rewritten_them(server: Redis) -> None:
    marker = "person-13-marker"
    store = RedisStore(server.address())
    store.keep(kept((marker, marker, -9), ("v", "A", -9)), "one")
    store.append(
        [event(f"{marker}{n}", n, user=marker, session=marker, id=f"{marker}{n}") for n in range(20)]
    )
    assert folder_holds(server.folder, marker)
    assert (store.erase(user=marker).events, store.counts().erased) == (20, 2)
    for _ in range(500):
        if not folder_holds(server.folder, marker):
            break
        store.expire()
        time.sleep(0.02)
    assert folder_holds(server.folder, marker) == []
    server.stop()
    server.start()
    assert len(store.history(user=marker)) == len(store.history(session=marker)) == 0
    assert store.history(user="v").items == ["A"]


def test_no_id_of_a_user_or_session_is_ever_sent(server: Redis) -> None:
    store = RedisStore(server.address())
    store.append([event("A", -1, user="person-7", session="cookie-7", id="person-7-event")])
    store.keep(kept(("person-7", "A", 0)), "one")
    assert folder_holds(server.folder, "person-7") == folder_holds(server.folder, "cookie-7") == []


def test_a_full_server_says_so_and_goes_on_when_there_is_room() -> None:
    full = Redis(redis_program(), ("--maxmemory", "2mb"))
    full.start()
    try:
        store, done = RedisStore(full.address()), 0

        def write_on() -> None:
            nonlocal done
            for n in range(200):
                store.append([event(f"{n}-{part}" + "x" * 400, n, user=f"u{part}") for part in range(20)])
                done += 1

        with pytest.raises(StateError, match="maxmemory"):
            write_on()
        assert 0 < done < 200
        assert store.counts().events == 20 * done
        assert {len(store.history(user=f"u{part}")) for part in range(20)} == {done}
        assert store.erase(user="u0").events == done
        assert len(store.history(user="u0")) == 0
        store._client.config_set("maxmemory", "0")
        assert store.append([event("A", 0)]) == Appended(new=1)
    finally:
        full.remove()


def test_a_taking_over_that_was_killed_leaves_nothing_once_another_is_done(server: Redis) -> None:
    store = RedisStore(server.address("left"))
    store._client.hset("left:state", "coming", 5)
    store._take_over(next(pieces(kept(("u", "A", 0)), 10)), 5)
    assert store._client.keys("left:k:5:*")
    assert store.keep(kept(("v", "B", 0)), "one").events == 1
    assert store._client.keys("left:[kg]:5*") == []
    assert store._flip(args=["left:", 5, 1, "late"]) == [-1, 0, 0]
    assert (len(store.history(user="u")), store.history(user="v").items) == (0, ["B"])
    before = store._client.keys("left:k:*")
    store.keep(kept(("w", "C", 0)), "two")
    assert not set(before) & set(store._client.keys("left:k:*"))


def test_stores_on_one_server_are_parted_by_their_prefix(server: Redis) -> None:
    one, other = RedisStore(server.address("one")), RedisStore(server.address("other"))
    one.append([event("A")])
    assert (len(one.history(user="u")), len(other.history(user="u"))) == (1, 0)
    assert all(key.startswith((b"one:", b"other:", b"started:")) for key in one._client.keys("*"))


def test_settings_that_lose_events_are_said(server: Redis) -> None:
    assert RedisStore(server.address()).notes == ()
    lossy = Redis(
        redis_program(), ("--appendonly", "no", "--maxmemory", "9mb", "--maxmemory-policy", "allkeys-lru")
    )
    lossy.start()
    try:
        notes = RedisStore(lossy.address()).notes
    finally:
        lossy.remove()
    assert [note.partition(":")[2] for note in notes] == [
        " set appendonly yes",
        " set maxmemory-policy noeviction",
    ]


def test_a_password_is_in_no_message() -> None:
    plain, prefix, shown = parted("redis://me:s3cret@localhost:1/2?prefix=shop:&protocol=3")
    assert (plain, prefix, shown) == (
        "redis://me:s3cret@localhost:1/2?protocol=3",
        "shop:",
        "redis://localhost:1/2",
    )
    with pytest.raises(StateError, match="redis://localhost:1/2 cannot be used") as caught:
        RedisStore("redis://me:s3cret@localhost:1/2")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(StateError, match=r"redis://localhost:port is no address"):
        RedisStore("redis://me:s3cret@localhost:port")


def test_without_its_client_it_says_what_to_install(without: Callable[[str], None]) -> None:
    without("redis")
    with pytest.raises(MissingExtraError, match=r"pip install 'ensue\[redis\]'"):
        RedisStore("redis://localhost")
