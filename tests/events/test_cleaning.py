"""Duplicates, repeats, returns and ties: what each rule does, and that it always counts."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.errors import ConfigError
from ensue.events.cleaning import Cleaning
from ensue.events.log import EventLog

Row = dict[str, Any]


def log_of(rows: list[tuple[Any, ...]], *columns: str) -> EventLog:
    """Events of (user, item, seconds, others)."""
    frame = pl.DataFrame(rows, schema=["user", "item", "time", *columns], orient="row")
    return EventLog.of(frame.with_columns((pl.col("time") * 1_000_000).cast(pl.Datetime("us", "UTC"))))


def items(log: EventLog) -> str:
    return "".join(log.frame["item"])


EVENTS = st.lists(
    st.tuples(st.sampled_from("uv"), st.sampled_from("abc"), st.integers(0, 4)), min_size=1, max_size=20
)


# ------------------------------------------------------------------------------------------- laws


@settings(max_examples=20)
@given(
    EVENTS,
    st.builds(
        Cleaning,
        duplicates=st.sampled_from(["keep", "first"]),
        repeats=st.sampled_from(["keep", "first", "last", "collapse"]),
        returns=st.sampled_from(["keep", "drop", "cancel"]),
        ties=st.sampled_from(["row", "shuffle"]),
        seed=st.integers(0, 3),
    ),
)
def test_what_goes_is_counted_and_the_rest_stays_in_order(rows: list[Any], rules: Cleaning) -> None:
    log = log_of(rows)
    clean = rules.apply(log)
    assert log.n_events - clean.n_events == sum(clean.reading.set_aside.values())
    assert clean.reading.rows_read == clean.reading.rows_kept + sum(clean.reading.set_aside.values())
    assert EventLog.of(clean.frame).frame.equals(clean.frame), "the order is that of every log"
    assert set(clean.frame.select("user", "item", "time").rows()) <= set(
        log.frame.select("user", "item", "time").rows()
    )
    told = " ".join(clean.reading.notes[len(log.reading.notes) :])
    for word in ("duplicates", "returns", "repeats", "tie"):
        assert word in told, "every rule counts"


def test_the_default_changes_nothing_and_counts_all() -> None:
    log = log_of([("u", "a", 1, 1.0), ("u", "a", 1, 1.0), ("u", "a", 2, -1.0)], "quantity")
    clean = Cleaning().apply(log)
    assert clean.frame.equals(log.frame)
    assert clean.reading.set_aside == {}
    assert clean.reading.notes[-1] == (
        "kept as they are: 1 exact duplicates, 1 returns, 2 repeats, 2 events tied in time"
    )


# ------------------------------------------------------------------------------------------- duplicates, repeats


def test_duplicates_have_the_same_user_item_time_and_type() -> None:
    rows = [
        ("u", "a", 1, "view"),
        ("u", "a", 1, "buy"),
        ("u", "a", 1, "view"),
        ("u", "a", 2, "view"),
        ("v", "a", 1, "view"),
    ]
    clean = Cleaning(duplicates="first").apply(log_of(rows, "event"))
    assert clean.frame["row"].to_list() == [0, 1, 3, 4]
    assert clean.reading.set_aside == {"exact duplicate of an earlier event": 1}
    assert "(same user, item, time, event): 1" in clean.reading.notes[-2]


def test_returns_and_other_orders_of_the_same_day_are_no_duplicates() -> None:
    rows = {
        "user": ["u", "u", "u", "u"],
        "item": ["a", "a", "a", "a"],
        "time": [datetime(2024, 1, 1, tzinfo=UTC)] * 4,
        "basket": ["1", "2", "1", "1"],
        "quantity": [2.0, 2.0, -2.0, 2.0],
        "id": ["w", "x", "y", "z"],
    }
    log = EventLog.of(pl.DataFrame(rows))
    clean = Cleaning(duplicates="first").apply(log)
    assert clean.frame["id"].to_list() == ["w", "x", "y"]
    assert "(same user, item, time, basket, quantity): 1" in clean.reading.notes[-2]
    taken_back = Cleaning(duplicates="first", returns="cancel").apply(log)
    assert taken_back.frame["quantity"].to_list() == [2.0]


def test_without_times_nothing_is_a_duplicate() -> None:
    log = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "a"]}))
    assert Cleaning(duplicates="first").apply(log).n_events == 2


@pytest.mark.parametrize(
    ("rule", "left", "why"),
    [
        ("first", "abcb", "repeat of an earlier event"),
        ("last", "bcab", "repeated later"),
        ("collapse", "abcab", "repeat of the item just before"),
    ],
)
def test_repeats(rule: Any, left: str, why: str) -> None:
    rows = [("u", item, n) for n, item in enumerate("abbcaa")] + [("v", "b", 0)]
    clean = Cleaning(repeats=rule).apply(log_of(rows))
    assert items(clean) == left
    assert clean.reading.set_aside == {why: len(rows) - len(left)}
    assert any(
        note.startswith("repeats (an item that the user had before): 3;") for note in clean.reading.notes
    )


def test_the_first_event_of_a_user_repeats_nothing_of_the_user_before() -> None:
    log = log_of([("u", "a", 1), ("v", "a", 1)])
    assert Cleaning(repeats="collapse").apply(log).n_events == 2


# ------------------------------------------------------------------------------------------- returns


def bought(clean: EventLog) -> list[tuple[str, float]]:
    return list(clean.frame.select("item", "quantity").iter_rows())


def test_a_return_may_go_alone_or_take_its_purchases_along() -> None:
    quantities = [3.0, 2.0, -1.0, -3.0, 4.0, -10.0, 1.0]
    log = log_of([("u", "x", n, q) for n, q in enumerate(quantities)], "quantity")
    assert bought(Cleaning(returns="drop").apply(log)) == [("x", q) for q in quantities if q > 0]
    clean = Cleaning(returns="cancel").apply(log)
    # 3 + 2 - 1 - 3 leaves 1 of the first; + 4 - 10 takes all, and finds 10 - 5 too few
    assert bought(clean) == [("x", 1.0)]
    assert clean.reading.set_aside == {"return": 3, "purchase that was returned": 3}
    assert "1 returns have no earlier purchase, or not enough of it" in clean.reading.notes[0]
    part = Cleaning(returns="cancel").apply(log.where(pl.col("row") < 4))
    assert bought(part) == [("x", 3.0 + 2.0 - 1.0 - 3.0)]
    assert "1 purchases are taken back in part" in part.reading.notes[0]


def test_fractions_that_add_up_leave_nothing() -> None:
    log = log_of([("u", "x", 0, 0.1), ("u", "x", 1, 0.2), ("u", "x", 2, -0.3)], "quantity")
    clean = Cleaning(returns="cancel").apply(log)
    assert clean.n_events == 0
    assert ", 0 purchases" not in clean.reading.notes[0].split(";")[0]
    assert "0 returns have no earlier purchase" in clean.reading.notes[0]


def test_a_return_takes_back_the_last_purchase_of_the_same_user_and_item_and_no_view() -> None:
    rows = [
        ("u", "x", 0, "purchase"), ("u", "x", 1, "purchase"), ("u", "y", 2, "purchase"), ("u", "x", 3, "view"),
        ("u", "x", 4, "return"), ("u", "x", 5, "purchase"), ("v", "x", 0, "return"), ("v", "x", 1, "purchase"),
    ]  # fmt: skip
    clean = Cleaning(returns="cancel").apply(log_of(rows, "event"))
    assert clean.frame["row"].to_list() == [0, 2, 3, 5, 7], "what comes later is not taken back"
    assert "1 returns have no earlier purchase" in clean.reading.notes[0]
    other = Cleaning(returns="cancel", return_types=("back",), purchase_types=("view",))
    assert other.apply(log_of(rows, "event")).n_events == len(rows)


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.sampled_from("uv"), st.sampled_from("xy"), st.integers(-4, 4).filter(bool)), max_size=16
    )
)
def test_returns_take_from_the_top_of_a_pile(moves: list[tuple[str, str, int]]) -> None:
    """The rule once more, with a pile of purchases for each user and item."""
    piles: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    missing = 0
    for row, (user, item, quantity) in enumerate(moves):
        pile = piles[user, item]
        if quantity > 0:
            pile.append([row, quantity])
            continue
        wanted = -quantity
        while wanted and pile:
            taken = min(wanted, pile[-1][1])
            wanted -= taken  # type: ignore[assignment]
            pile[-1][1] -= taken
            if not pile[-1][1]:
                pile.pop()
        missing += bool(wanted)
    log = log_of([(u, i, n, float(q)) for n, (u, i, q) in enumerate(moves)], "quantity") if moves else None
    if log is None:
        return
    clean = Cleaning(returns="cancel").apply(log)
    left = {row: quantity for pile in piles.values() for row, quantity in pile}
    assert dict(clean.frame.select("row", "quantity").iter_rows()) == left
    if any(quantity < 0 for *_, quantity in moves):
        assert f"; {missing:,} returns have no earlier purchase" in clean.reading.notes[0]


# ------------------------------------------------------------------------------------------- ties, order, faults


def test_ties_are_shuffled_within_themselves_by_a_seed() -> None:
    rows = [("u", item, 1) for item in "abcdefgh"] + [("u", "z", 2), ("v", "y", 1)]
    log = log_of(rows)
    copies = {items(Cleaning(ties="shuffle", seed=seed).apply(log)) for seed in range(5)}
    assert len(copies) > 1
    for copy in copies:
        assert sorted(copy[:8]) == list("abcdefgh")
        assert copy[8:] == "zy"
    again = Cleaning(ties="shuffle", seed=1).apply(log)
    assert again.frame.equals(Cleaning(ties="shuffle", seed=1).apply(log).frame)
    assert again.fingerprint() != log.fingerprint()
    assert "events tied in time: 8, shuffled by seed 1" in again.reading.notes
    placed = EventLog.of(log.frame.with_columns(order=pl.int_range(pl.len())))
    assert items(Cleaning(ties="shuffle", seed=1).apply(placed)) == items(placed), (
        "a second key leaves no ties"
    )


def test_rules_follow_each_other() -> None:
    rows = [
        ("u", "x", 0, 1.0),
        ("u", "x", 0, 1.0),
        ("u", "x", 1, -1.0),
        ("u", "y", 2, 1.0),
        ("u", "y", 3, 1.0),
    ]
    clean = Cleaning(duplicates="first", returns="cancel", repeats="first").apply(log_of(rows, "quantity"))
    assert clean.frame["row"].to_list() == [3], "the duplicate goes before the return takes the purchase back"


def test_all_faults_are_told_at_once() -> None:
    rules = Cleaning(repeats="frist", ties="order", seed=-1, return_types=("purchase",))  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        rules.apply(log_of([("u", "a", 1)]))
    text = str(caught.value)
    for said in (
        "repeats = 'frist': take one of keep, first",
        "Did you mean 'first'",
        "ties = 'order'",
        "seed = -1",
        "'purchase' cannot be",
    ):
        assert said in text
