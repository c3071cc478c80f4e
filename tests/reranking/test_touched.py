"""What was touched before, against a look at each event in turn."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from ensue.reranking.shown import NONE, Events, Shown
from ensue.reranking.touched import Touched, last_kind

KINDS = ("view", "cart")
EVENT = st.tuples(st.integers(-1, 3), st.sampled_from(["view", "cart", "rare", None]))


@st.composite
def logs(draw: st.DrawFn) -> Shown:
    sessions = draw(st.lists(st.lists(EVENT, max_size=6), min_size=1, max_size=3))
    flat = [one for events in sessions for one in events]
    begins = np.cumsum([0, *map(len, sessions)])
    lists = [(g, draw(st.integers(0, len(events)))) for g, events in enumerate(sessions) for _ in range(2)]
    items = [draw(st.permutations(range(4)))[: draw(st.integers(1, 4))] for _ in lists]
    return Shown(
        ids=pl.Series("item", list("abcd")),
        items=np.array([one for listed in items for one in listed], dtype=np.int32),
        offsets=np.cumsum([0, *map(len, items)]),
        score=np.full(sum(map(len, items)), np.nan),
        price=np.full(sum(map(len, items)), np.nan),
        chosen=np.full(len(lists), NONE),
        groups=np.array([g for g, _ in lists]),
        at=np.zeros(len(lists), dtype=np.int64),
        begins=np.zeros(len(lists), dtype=np.int64),
        events=Events(
            np.array([item for item, _ in flat], dtype=np.int32),
            pl.Series("kind", [kind for _, kind in flat], dtype=pl.String),
            np.zeros(len(flat), dtype=np.int64),
            np.repeat(np.arange(len(sessions)), [len(events) for events in sessions]),
        ),
        starts=np.array([begins[g] for g, _ in lists]),
        ends=np.array([begins[g] + n for g, n in lists]),
    )


@given(logs())
def test_each_candidate_is_looked_up_in_the_events_before_its_own_list(shown: Shown) -> None:
    found = Touched.of(shown, KINDS)
    kinds = shown.events.kinds.to_list()
    for place, (row, item) in enumerate(zip(shown.rows.tolist(), shown.items.tolist(), strict=True)):
        own = [
            e for e in range(int(shown.starts[row]), int(shown.ends[row])) if shown.events.items[e] == item
        ]
        assert found.times[place] == len(own)
        assert found.last[place] == (own[-1] if own else NONE)
        assert found.of_kind[place].tolist() == [sum(kinds[e] == kind for e in own) for kind in KINDS]
    for q in range(len(shown)):
        here = range(int(shown.starts[q]), int(shown.ends[q]))
        on_item = [e for e in here if shown.events.items[e] != NONE]
        assert found.newest[q] == (on_item[-1] if on_item else NONE)
        assert last_kind(shown)[q] == ((kinds[here[-1]] or "unknown") if len(here) else "nothing")
