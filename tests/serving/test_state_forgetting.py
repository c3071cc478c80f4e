"""What every store forgets, and nothing else: what is too much, idle for too long, or erased."""

from __future__ import annotations

from typing import Any

import pytest
from tests.serving.state_backings import NOW, SECOND, Hands, Open, event, kept

from ensue.errors import ConfigError
from ensue.serving.state import Appended, Expired, Kept, Limits, Store


def test_a_full_history_lets_the_oldest_go(opened: Open) -> None:
    store = opened(Limits(events=3), Hands().clock)
    store.append([event(item, n - 9, id=item) for n, item in enumerate("ABCD")])
    assert store.history(user="u").items == ["B", "C", "D"]
    old = [event("A", -9, id="A"), event("X", -20)]
    assert store.append(old) == Appended(outdated=2)
    assert store.append([event("E", -6.5, id="E")]) == Appended(new=1, late=1)
    assert store.history(user="u").items == ["C", "E", "D"]
    assert store.counts().events == 3


def test_the_histories_that_were_longest_without_an_event_go_first(opened: Open) -> None:
    hands = Hands()
    store = opened(Limits(histories=2), hands.clock)
    for user in "abac":
        hands.pass_by(100)
        evicted = store.append([event("A", (hands.wall - NOW) / SECOND, user=user)]).evicted
    assert evicted == 1
    assert [len(store.history(user=user)) for user in "abc"] == [2, 0, 1]
    assert (store.counts().histories, store.counts().events) == (2, 3)
    assert store.append([event("A", 0, user=f"v{n}") for n in range(9)]).evicted == 9


def test_what_is_idle_for_too_long_expires_by_the_clock_of_the_server(opened: Open) -> None:
    hands = Hands()
    store = opened(Limits(idle=1000), hands.clock)
    store.append([event("A", -5_000), event("A", 0, user="v", session="s")])
    hands.pass_by(990)
    store.append([event("B", -4_000)])
    assert store.expire() == Expired()
    hands.pass_by(30)
    assert store.expire() == Expired(histories=2, events=2)
    assert store.history(user="u").items == ["A", "B"]
    assert len(store.history(user="v")) == len(store.history(session="s")) == 0
    assert (store.counts().histories, store.counts().events) == (1, 2)


@pytest.mark.parametrize("jump", [-400 * 86_400, 400 * 86_400])
def test_a_clock_that_jumps_loses_nothing(opened: Open, jump: int) -> None:
    hands = Hands()
    store = opened(Limits(idle=1000), hands.clock)
    store.append([event("A", 0)])
    hands.wall += jump * SECOND
    assert store.expire() == Expired()
    store.append([event("B", 1), event("C", 1, user="v")])
    assert store.history(user="u").items == ["A", "B"]
    hands.wall -= jump * SECOND
    hands.pass_by(500)
    assert store.expire() == Expired()
    reopened = opened(Limits(idle=1000), hands.clock)
    assert reopened.append([event("D", 400)]) == Appended(new=1)
    assert reopened.history(user="u").items == ["A", "B", "D"]
    assert reopened.expire() == Expired()


def test_kept_histories_do_not_expire_and_are_not_evicted(opened: Open) -> None:
    hands = Hands()
    store = opened(Limits(histories=1, idle=1000), hands.clock)
    store.keep(kept(("u", "A", -9), ("v", "B", -9)), "one")
    store.append([event("C", -1)])
    hands.pass_by(2000)
    assert store.expire() == Expired(histories=1, events=1)
    assert store.history(user="u").items == ["A"]
    store.append([event("D", 2000), event("D", 2000, user="w")])
    assert [store.history(user=user).items for user in "uvw"] == [["A"], ["B"], ["D"]]


def test_nothing_of_an_erased_user_is_left(opened: Open) -> None:
    store = opened(clock=Hands().clock)
    store.keep(kept(("u", "A", -9), ("v", "A", -9)), "one")
    store.append([event("B", -8, session="s"), event("X", -9, user=None, session="s")])
    store.append([event("B", -8, user="v", session="t")])
    gone = store.erase(user="u")
    assert (gone.events, gone.kept, gone.sessions) == (1, 1, 1)
    for reopened in (store, opened()):
        assert len(reopened.history(user="u")) == len(reopened.history(session="s")) == 0
        assert reopened.history(user="v").items == ["A", "B"]
        assert reopened.history(session="t").items == ["B"]
    counts = store.counts()
    assert (counts.histories, counts.events, counts.kept, counts.erased) == (2, 2, 1, 2)
    assert (store.erase(user="u").events, store.counts().erased) == (0, 2)


def test_nothing_of_before_an_erasure_comes_back(opened: Open) -> None:
    hands = Hands()
    store = opened(clock=hands.clock)
    run = kept(("u", "A", -9), ("u", "N", 10), ("v", "A", -9))
    sent = [event("B", -8, id="1"), event("C", -7, session="s")]
    store.append(sent)
    store.erase(user="u")
    assert store.append(sent) == Appended(erased=2)
    assert store.append([event("C", -7, user=None, session="s")]) == Appended(erased=1)
    assert store.append([event("C", -7, user="v", session="s")]) == Appended(new=1)
    reopened = opened(clock=hands.clock)
    assert reopened.keep(run, "one") == Kept(users=2, events=2, erased=1)
    assert reopened.history(user="u").items == ["N"]
    assert len(reopened.history(session="s")) == 0
    assert reopened.keep(run.drop("time"), "two") == Kept(users=2, events=1, erased=1)
    assert len(reopened.history(user="u")) == 0
    hands.pass_by(5)
    assert reopened.append([event("D", 3)]) == Appended(new=1)
    assert reopened.history(user="u").items == ["D"]


def test_an_event_of_a_clock_that_is_a_little_ahead_does_not_come_back(store: Store) -> None:
    store.append([event("A", 60, session="s")])
    store.erase(user="u")
    assert store.append([event("A", 60), event("A", 60, user=None, session="s")]) == Appended(erased=2)
    assert store.append([event("B", 61)]) == Appended(new=1)


def test_a_session_can_be_erased_alone(store: Store) -> None:
    store.append([event("A", -9, session="s"), event("B", -8, session="t")])
    assert store.erase(session="s").events == 1
    assert len(store.history(session="s")) == 0
    assert store.history(user="u").items == ["A", "B"]
    assert store.erase(user="u").sessions == 1


def test_limits_are_positive() -> None:
    wrongs: list[dict[str, Any]] = [{"events": 0}, {"histories": -1}, {"idle": float("nan")}]
    for wrong in wrongs:
        with pytest.raises(ConfigError, match="is no limit"):
            Limits(**wrong)
