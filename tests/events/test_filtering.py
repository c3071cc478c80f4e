"""Filters: conditions on events, and what is fitted on training events only."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.catalogue import Catalogue
from ensue.errors import ColumnError, ConfigError, DataError
from ensue.events.filtering import Filters, fit
from ensue.events.filters import FILTERS, Core, Window
from ensue.events.log import EventLog
from ensue.splits import at_times

Pair = tuple[str, str]

PAIRS = st.lists(st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcdef")), min_size=1, max_size=40)


def log_of(pairs: list[Pair]) -> EventLog:
    return EventLog.of(pl.DataFrame(pairs, schema=["user", "item"], orient="row"))


def pairs_of(log: EventLog) -> list[Pair]:
    return list(log.frame.select("user", "item").iter_rows())


def typed() -> EventLog:
    frame = pl.DataFrame(
        {
            "user": list("uuvv"),
            "item": list("abca"),
            "event": ["click", "view", "click", None],
            "rating": [5.0, 3.0, None, 4.0],
            "time": [1, 2, 3, 4],
        }
    )
    return EventLog.of(frame.with_columns((pl.col("time") * 86_400_000_000).cast(pl.Datetime("us", "UTC"))))


def core(pairs: list[Pair], users: int, items: int) -> list[Pair]:
    """The core once more: what is short is taken out, until nothing is."""
    while True:
        by_user, by_item = Counter(u for u, _ in pairs), Counter(i for _, i in pairs)
        kept = [(u, i) for u, i in pairs if by_user[u] >= users and by_item[i] >= items]
        if len(kept) == len(pairs):
            return kept
        pairs = kept


# ------------------------------------------------------------------------------------------- the core


@given(PAIRS, st.integers(0, 4), st.integers(0, 4))
def test_the_core_is_the_fixed_point(pairs: list[Pair], users: int, items: int) -> None:
    filters, log = Filters(min_user_events=users, min_item_events=items), log_of(pairs)
    expected = sorted(core(pairs, users, items))
    if not expected:
        with pytest.raises(DataError, match=f"leaves nothing: {len(pairs)} events before, 0 after"):
            filters.fit(log)
        return
    fitted = filters.fit(log)
    assert sorted(pairs_of(fitted.learnt_from(log))) == expected
    if fitted.steps:
        assert fitted.steps[0].after == (
            len(expected),
            len({u for u, _ in expected}),
            len({i for _, i in expected}),
        )


@given(PAIRS, st.integers(2, 5), st.integers(2, 5))
def test_a_core_of_nothing_names_the_largest_value_that_keeps_data(
    pairs: list[Pair], users: int, items: int
) -> None:
    if core(pairs, users, items):
        return
    by_items = max((b for b in range(1, items) if core(pairs, users, b)), default=0)
    by_users = max((a for a in range(1, users) if core(pairs, a, items)), default=0)
    with pytest.raises(DataError) as caught:
        Filters(min_user_events=users, min_item_events=items).fit(log_of(pairs))
    if by_items:
        assert (
            f"largest min_item_events that keeps data beside min_user_events = {users} is {by_items}."
            in str(caught.value)
        )
    elif by_users:
        assert (
            f"largest min_user_events that keeps data beside min_item_events = {items} is {by_users}."
            in str(caught.value)
        )
    else:
        assert "Take both smaller." in str(caught.value)


def test_a_chain_falls_out_one_by_one_and_rounds_are_told() -> None:
    n = 60  # u0 - i0 - u1 - i1 - ...: the user at the end has one event, so all fall out but the ring beside it
    chain = [pair for k in range(n) for pair in ((f"u{k:02}", f"i{k:02}"), (f"u{k + 1:02}", f"i{k:02}"))]
    ring = [(user, item) for user in "xy" for item in "pq"]
    fitted = Filters(min_user_events=2, min_item_events=2).fit(log_of(chain + ring))
    assert sorted(pairs_of(fitted.learnt_from(log_of(chain + ring)))) == sorted(ring)
    rounds = (
        2 * n // 2 + 1
    )  # each takes an event from both ends of the chain of 2n, and one more finds nothing to take
    assert fitted.steps[0].rounds == rounds
    assert fitted.lines() == [
        "filter min_user_events = 2, min_item_events = 2: "
        f"4 of {2 * n + 4} events, 2 of {n + 3} users, 2 of {n + 2} items stay, in {rounds} rounds"
    ]


# ------------------------------------------------------------------------------------------- windows


@given(PAIRS, st.integers(1, 5))
def test_windows_count_once(pairs: list[Pair], most: int) -> None:
    counts = Counter(item for _, item in pairs)
    expected = sorted((u, i) for u, i in pairs if counts[i] <= most)
    log = log_of(pairs)
    if not expected:
        with pytest.raises(
            DataError, match=f"smallest max_item_events that keeps data is {min(counts.values())}"
        ):
            Filters(max_item_events=most).fit(log)
        return
    assert sorted(pairs_of(Filters(max_item_events=most).fit(log).learnt_from(log))) == expected


def test_filters_follow_each_other_and_each_is_told() -> None:
    pairs = [("u", item) for item in "abcd"] + [("v", "a"), ("v", "b"), ("w", "a")]
    fitted = Filters(max_item_events=2, max_user_events=3, min_user_events=1, min_item_events=1).fit(
        log_of(pairs)
    )
    # a has 3 events and goes; then u has b, c, d (3) and stays, v has b, and w has nothing left
    assert [step.after for step in fitted.steps] == [(4, 2, 3), (4, 2, 3)]
    again = fit(log_of(pairs), (Window("user", least=2), Window("item", least=2, most=2), Core(2, 1)))
    assert [step.before[0] for step in again.steps] == [7, 6, 4]
    assert again.to_json()[0]["after"] == {"events": 6, "users": 2, "items": 4}
    for filters, said in (
        ((Window("user", least=5),), "largest min_user_events that keeps data is 4"),
        ((Window("item", least=9),), "largest min_item_events that keeps data is 3"),
    ):
        with pytest.raises(DataError, match=said):
            fit(log_of(pairs), filters)


def test_every_filter_has_a_name_of_its_own_and_says_its_values() -> None:
    assert len({kind.name for kind in FILTERS}) == len(FILTERS) == 5


# ------------------------------------------------------------------------------------------- the cut


def test_nothing_after_the_cut_is_seen_by_the_fit_and_nothing_there_is_lost() -> None:
    """Item b is rare before the cut and frequent after it; an event exactly at the cut is later than it."""
    rows = [
        *(("u", "a", 1), ("v", "a", 2), ("u", "b", 3), ("w", "c", 4), ("v", "c", 5)),
        *(("w", "b", 10), ("u", "b", 11), ("v", "b", 12), ("x", "c", 13), ("x", "a", 14)),
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    log = EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))
    parts = at_times(log, 10)
    fitted = Filters(min_item_events=2).fit(parts.train)
    kept = fitted.learnt_from(parts.train)
    assert sorted(pairs_of(kept)) == [("u", "a"), ("v", "a"), ("v", "c"), ("w", "c")]
    whole = Filters(min_item_events=2).fit(log)
    assert whole.items is not None
    assert "b" in whole.items.to_list(), "fitted on everything it would have stayed"

    catalogue = Catalogue.fit(kept)
    test = log.where(parts.part == 2)
    assert fitted.later(test) == {"cold": 3, "not_learnt_from": 2}
    examples = parts.examples("test", catalogue)
    assert len(examples) == 5 - 1, "x's first event has no history; no other is lost"
    cold = dict(zip(examples.target_ids.to_list(), (examples.targets == -1).tolist(), strict=True))
    assert cold == {"b": True, "a": False}
    u = examples.group_ids.to_list().index("u")
    assert np.diff([examples.queries.starts[u], examples.queries.ends[u]]).tolist() == [1], (
        "b is passed over in a history"
    )
    assert examples.left_out == 1


def test_no_filter_leaves_everything() -> None:
    log = log_of([("u", "a")])
    fitted = Filters(min_user_events=1, min_item_events=1).fit(log)
    assert fitted.learnt_from(log) is log
    assert fitted.later(log) == {"cold": 0, "not_learnt_from": 0}
    assert Filters().apply(log) is log


# ------------------------------------------------------------------------------------------- conditions


def test_conditions_look_at_one_event_alone() -> None:
    log = typed()
    for filters, left in (
        (Filters(keep_events=("click",)), "ac"),
        (Filters(min_rating=4), "aa"),
        (Filters(since="1970-01-03", until="1970-01-04"), "bc"),
        (Filters(since="1970-01-03T00:00:00.000001Z"), "ca"),
        (Filters(keep_events=("click",), min_rating=1.5), "a"),
    ):
        kept = filters.apply(log)
        assert "".join(kept.frame["item"]) == left
        assert sum(kept.reading.set_aside.values()) == 4 - len(left)
        assert kept.reading.rows_kept == len(left)
        assert kept.reading.notes[-1].startswith("filter ")


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (
            Filters(keep_events=("clik",)),
            "keep_events = clik leaves nothing: 4 .*types click, view. Did you mean 'click'",
        ),
        (
            Filters(min_rating=6),
            "min_rating = 6 leaves nothing: 4 events before, 0 after. The largest .* is 5",
        ),
        (
            Filters(since="1999-01-01"),
            "since = 1999-01-01 leaves nothing.*from 1970-01-02 00:00:00 to 1970-01-05",
        ),
    ],
)
def test_a_condition_that_leaves_nothing_says_what_there_is(filters: Filters, said: str) -> None:
    with pytest.raises(DataError, match=said):
        filters.apply(typed())


def test_a_condition_needs_its_column() -> None:
    bare = log_of([("u", "a")])
    for filters, name in ((Filters(keep_events=("x",)), "event"), (Filters(min_rating=1), "rating")):
        with pytest.raises(ColumnError, match=f"needs the column '{name}', and the log has: user, item"):
            filters.apply(bare)
    with pytest.raises(DataError, match="since = 2020-01-01 needs times"):
        Filters(since="2020-01-01").apply(bare)


def test_all_faults_are_told_at_once() -> None:
    filters = Filters(
        since="2024-02-02",
        until="2024-01-01",
        min_rating=float("nan"),
        max_user_events=2,
        min_user_events=3,
        min_item_events=-1,
    )
    with pytest.raises(ConfigError) as caught:
        filters.fit(log_of([("u", "a")]))
    text = str(caught.value)
    for said in (
        "later than until",
        "min_rating = nan",
        "more than max_user_events = 2",
        "min_item_events = -1",
    ):
        assert said in text
    assert any("since='soon' is not a date" in fault for fault in Filters(since="soon").faults())
