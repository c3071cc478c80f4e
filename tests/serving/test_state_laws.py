"""Laws of every store, against a model of it that is lists and loops, over any sequence of calls."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serving.state_backings import SECOND, Hands, Redis, at, event, kept, opener

from ensue.serving.events import LiveEvent
from ensue.serving.state import Appended, History, Limits, Store
from ensue.serving.state.history import Row, merged

MOST = 6
Name = tuple[str, str]


class Seen(NamedTuple):
    time: int
    number: int
    item: str
    type: str | None
    id: str | None


@dataclass
class Model:
    """A store as the words of its documentation have it."""

    live: dict[Name, list[Seen]] = field(default_factory=dict)
    kept: dict[Name, list[Seen]] = field(default_factory=dict)
    erased: dict[Name, int] = field(default_factory=dict)
    links: set[tuple[Name, Name]] = field(default_factory=set)
    number: int = 0

    def append(self, events: list[LiveEvent], now: int) -> Appended:
        before = self.number
        tally = dict.fromkeys(("new", "repeated", "late", "outdated", "erased"), 0)
        primary = {}
        for one in events:
            names: list[Name] = [("user", one.user)] if one.user else []
            names += [("session", one.session)] if one.session else []
            assert one.time is not None
            assert one.time <= now + 300 * SECOND
            for place, name in enumerate(names):
                outcome, number = self._file(name, one)
                if place == 0:
                    tally[outcome] += 1
                    primary[number] = outcome
                    if outcome == "erased":
                        break
                elif outcome in ("new", "late"):
                    self.links.add((names[0], name))
        for rows in self.live.values():
            if any(row.number > before for row in rows):
                rows.sort()
                for row in rows[:-MOST]:
                    if row.number in primary:
                        tally[primary[row.number]] -= 1
                        tally["outdated"] += 1
                del rows[:-MOST]
        tally["new"] += tally["late"]
        return Appended(**tally)

    def _file(self, name: Name, one: LiveEvent) -> tuple[str, int]:
        time = one.time or 0
        if time <= self.erased.get(name, time - 1):
            return "erased", 0
        rows, there = self.live.setdefault(name, []), self.kept.get(name, [])
        if one.id is not None:
            same = any(row.id == one.id for row in rows)
        else:
            same = any(row[0] == time and row[2:4] == (one.item, one.event) for row in rows)
            same |= any(r.time == time and r.item == one.item and r.type in (None, one.event) for r in there)
        if same:
            return "repeated", 0
        late = any(row.time > time for row in [*rows, *there])
        self.number += 1
        rows.append(Seen(time, self.number, one.item, one.event, one.id))
        return ("late" if late else "new"), self.number

    def keep(self, rows: list[tuple[str, str, int, str | None]]) -> None:
        self.kept = {}
        for user, item, seconds, kind in rows:
            self.number += 1
            name = ("user", user)
            if at(seconds) > self.erased.get(name, -1):
                self.kept.setdefault(name, []).append(Seen(at(seconds), self.number, item, kind, None))

    def erase(self, name: Name, now: int) -> None:
        linked = [session for user, session in self.links if user == name]
        for one in [name, *linked]:
            times = [row.time for row in self.live.pop(one, [])]
            self.kept.pop(one, None)
            self.erased[one] = max([now, *times])
            self.links = {pair for pair in self.links if one not in pair}

    def history(self, name: Name) -> list[tuple[int, str, str | None]]:
        live = sorted(self.live.get(name, []))
        there = {(row.time, row.item, row.type) for row in live}
        anyhow = {(row.time, row.item) for row in live}
        other = [
            row
            for row in self.kept.get(name, [])
            if not (
                (row.time, row.item) in anyhow
                if row.type is None
                else (row.time, row.item, row.type) in there
            )
        ]
        return [(row.time, row.item, row.type) for row in sorted([*other, *live])]


USERS, SESSIONS = st.sampled_from("uv"), st.sampled_from("st")
SECONDS = st.integers(-8, 8)
WHO = st.one_of(
    st.fixed_dictionaries({"user": USERS}),
    st.fixed_dictionaries({"user": USERS, "session": SESSIONS}),
    st.fixed_dictionaries({"user": st.none(), "session": SESSIONS}),
)
EVENT = st.builds(
    lambda item, seconds, who, kind, identity: event(item, seconds, event=kind, id=identity, **who),
    st.sampled_from("AB"), SECONDS, WHO, st.sampled_from([None, "view"]), st.sampled_from([None, None, "1", "2"]),
)  # fmt: skip
KEPT = st.lists(st.tuples(USERS, st.sampled_from("AB"), SECONDS), max_size=MOST)
STEPS: Any = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(EVENT, max_size=4)),
        st.tuples(st.just("append"), st.lists(EVENT, min_size=1, max_size=4)),
        st.tuples(st.just("keep"), st.tuples(KEPT, st.sampled_from([None, "view"]))),
        st.tuples(st.just("erase"), st.tuples(st.just("user"), USERS)),
        st.tuples(st.just("erase"), st.tuples(st.just("session"), SESSIONS)),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=9,
)
NAMES: list[Name] = [("user", "u"), ("user", "v"), ("session", "s"), ("session", "t")]


def advanced(state: tuple[int, list[Row]] | None, history: History) -> tuple[int, list[Row]]:
    """What a cache of states does: goes on where it can, begins anew where it cannot."""
    place = None if state is None else history.since(state[0])
    rows = list(history.rows) if state is None or place is None else [*state[1], *history.rows[place:]]
    return history.revision, rows


def agree(store: Store, model: Model, states: dict[Name, Any]) -> None:
    for kind, identity in NAMES:
        asked: dict[str, Any] = {kind: identity}
        history = store.history(**asked)
        found = [(row.time, row.item, row.type) for row in history.rows]
        assert found == model.history((kind, identity))
        for most in (1, 3):
            last = store.history(**asked, most=most)
            assert last.rows == history.rows[-most:]
        before = states.get((kind, identity))
        states[kind, identity] = advanced(before, history)
        # A cached state has seen what fell off since; of all that is there it has seen neither more nor less.
        assert tuple(states[kind, identity][1][-len(history) :] if len(history) else []) == history.rows
    assert store.counts().events == sum(len(rows) for rows in model.live.values())
    assert store.counts().kept == sum(len(rows) for rows in model.kept.values())
    assert store.counts().histories == sum(1 for rows in model.live.values() if rows)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
@settings(max_examples=30)
@given(steps=STEPS)
def test_a_store_is_its_model(
    kind: str, steps: Any, tmp_path_factory: pytest.TempPathFactory, redis: Callable[[], Redis]
) -> None:
    hands, model = Hands(), Model()
    states: dict[Name, Any] = {}
    folder: Path = tmp_path_factory.getbasetemp() / uuid.uuid4().hex
    opened = opener(kind, folder, redis)
    store = opened(Limits(events=MOST), hands.clock)
    for number, (step, said) in enumerate(steps):
        hands.pass_by(1)
        if step == "append":
            assert store.append(said) == model.append(said, hands.wall)
        elif step == "keep":
            rows = sorted(said[0], key=lambda row: row[2])
            store.keep(kept(*rows, event=[said[1]] * len(rows)), str(number))
            model.keep([(*row, said[1]) for row in sorted(rows, key=lambda row: row[0])])
        elif step == "erase":
            store.erase(**{said[0]: said[1]})
            model.erase(said, hands.wall)
        else:
            store.close()
            store = opened(Limits(events=MOST), hands.clock)
        agree(store, model, states)
    store.close()


ROWS = st.lists(
    st.builds(
        lambda time, item, kind: (time, item, kind),
        st.integers(0, 6), st.sampled_from("AB"), st.sampled_from([None, "view"]),
    ),
    max_size=8,
)  # fmt: skip


@given(ROWS, ROWS, st.integers(1, 20))
def test_two_lists_are_merged_in_order_and_what_is_live_is_not_said_twice(
    live: Any, kept_rows: Any, most: int
) -> None:
    def rows(listed: Any, first: int) -> list[Row]:
        made = [
            Row(time, first + n, item, kind, None, None, None) for n, (time, item, kind) in enumerate(listed)
        ]
        return sorted(made)

    one, other = rows(live, 100), rows(kept_rows, 0)
    both = merged(one, other, 100)
    assert list(both) == sorted(both)
    assert [row for row in both if row.number >= 100] == one
    left_out = set(other) - set(both)
    assert left_out == {
        row for row in other if any(row[0] == r[0] and row[2] == r[2] and row[3] in (None, r[3]) for r in one)
    }
    assert merged(one, other, most) == both[-most:]
