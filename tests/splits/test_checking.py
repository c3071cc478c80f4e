"""A split keeps what it claims, or fails loudly; so does a catalogue that has seen what it is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, DataError, LeakError
from ensue.events.log import EventLog
from ensue.splits import (
    RULES,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    at_times,
    check,
    check_learnt,
    last_out,
    split,
    temporal,
    tie_shuffled,
)

EVENT = st.tuples(st.sampled_from("uvwx"), st.sampled_from("abcdef"), st.integers(0, 30))


def log_of(rows: list[tuple[str, str, int]]) -> EventLog:
    """Events of (user, item, microseconds)."""
    frame = pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": pl.Int64}, orient="row")
    return EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))


def codes(*parts: int) -> NDArray[np.uint8]:
    return np.array(parts, dtype=np.uint8)


@pytest.fixture
def log() -> EventLog:
    """Two users, four moments each, in turns."""
    return log_of([(user, item, 2 * n + (user == "v")) for user in "uv" for n, item in enumerate("abcd")])


# ---------------------------------------------------------------------------------------- what is claimed


@pytest.mark.parametrize("rule", RULES)
@given(rows=st.lists(EVENT, min_size=1, max_size=40))
def test_every_rule_keeps_what_it_claims(rule: str, rows: list[tuple[str, str, int]]) -> None:
    frame = log_of(rows).frame
    part = pl.when(pl.col("row") % 2 == 0).then(pl.lit("train")).otherwise(pl.lit("test"))
    marked = frame.with_columns(session=pl.col("user"), basket=pl.col("time").cast(pl.String), part=part)
    log = EventLog.of(marked.drop("time") if rule == "friends" else marked)  # which wants an order alone
    try:
        found = split(log, rule)
    except LeakError:
        raise
    except DataError:
        return
    assert check(found) == ()


def test_a_training_event_after_the_cut_is_told_with_its_number(log: EventLog) -> None:
    honest = at_times(log, 5)
    assert check(honest) == ()
    moved = honest.part.copy()
    moved[np.flatnonzero(honest.part == TEST)[-1]] = TRAIN
    with pytest.raises(
        LeakError, match=r"1 train events are not earlier than 1970-01-01 00:00:00 UTC, where the test"
    ):
        check(replace(honest, part=moved))
    assert check(replace(honest, part=moved, leaks="the last event of one user")) == ()


def test_an_event_at_the_very_time_of_the_first_question_is_not_earlier() -> None:
    log = log_of([("u", "a", 1), ("u", "b", 5), ("v", "a", 5), ("v", "b", 6)])
    with pytest.raises(LeakError, match="1 train events"):
        check(Split(log, codes(TRAIN, TRAIN, TEST, TEST), "mine"))
    assert check(Split(log, codes(TRAIN, TEST, TEST, TEST), "mine")) == ()


def test_validation_is_after_training_and_before_the_test(log: EventLog) -> None:
    late = at_times(log, 6, 3).part.copy()
    late[-1] = VALIDATION  # the last event of all
    with pytest.raises(LeakError, match="1 validation events are not earlier"):
        check(Split(log, late, "mine"))
    early = at_times(log, 6, 3).part.copy()
    early[0] = VALIDATION  # the first event of all
    with pytest.raises(LeakError, match=r"train events are not earlier .* where the validation part begins"):
        check(Split(log, early, "mine"))


def test_without_times_each_sequence_is_looked_at_by_itself() -> None:
    log = EventLog.of(pl.DataFrame({"user": list("uuuvv"), "item": list("abcab")}))
    assert check(Split(log, codes(0, 1, 2, 0, 0), "mine")) == ()
    with pytest.raises(LeakError, match="1 train events come after test events of the same user"):
        check(Split(log, codes(2, 0, 2, 0, 0), "mine"))
    assert check(last_out(log)) == ()


def test_a_user_who_stands_in_two_parts_is_told_where_users_are_held_out(log: EventLog) -> None:
    held = Split(log, codes(0, 0, 0, 0, 2, 2, 2, 2), "mine", leaks="later events", held_out="user")
    assert check(held) == ()
    with pytest.raises(LeakError, match="1 users stand in more than one part"):
        check(replace(held, part=codes(0, 0, 0, 0, 2, 2, 2, 0)))
    items = Split(log, codes(0, 2, 0, 0, 0, 2, 0, 0), "mine", leaks="later events", held_out="item")
    assert check(items) == ()
    with pytest.raises(LeakError, match="1 items stand"):
        check(replace(items, part=codes(0, 2, 0, 0, 0, 0, 0, 0)))


# -------------------------------------------------------------------------------- what no split can be


def test_a_part_that_there_is_none_of_is_refused(log: EventLog) -> None:
    with pytest.raises(DataError, match="2 of 8 events are in no part"):
        Split(log, codes(0, 0, 0, 4, 0, 0, 0, 9), "mine")


@pytest.mark.parametrize(
    ("until", "message"),
    [
        (
            [-1, -1, -1, 4, -1, -1, -1, 7],
            "1 of 2 targets would be asked with a history that holds the target",
        ),
        ([-1, -1, -1, 3, -1, -1, -1, 0], "1 of 2 targets"),
        ([-1, -1, 3, -1, -1, -1, -1, -1], "1 of 1 targets"),
    ],
)
def test_a_history_that_reaches_its_target_or_another_user_is_refused(
    log: EventLog, until: list[int], message: str
) -> None:
    with pytest.raises(LeakError, match=message):
        Split(log, codes(0, 0, 0, 2, 0, 0, 0, 2), "mine", until=np.array(until))


def test_a_history_may_end_at_its_target_or_before_it(log: EventLog) -> None:
    until = np.array([-1, -1, -1, 1, -1, -1, -1, 7])
    found = Split(log, codes(0, 0, 0, 2, 0, 0, 0, 2), "mine", until=until)
    assert found.examples("test", Catalogue.fit(log)).queries.lengths.tolist() == [1, 3]
    with pytest.raises(DataError, match="1 ends of histories for 8 events"):
        replace(found, until=np.array([1]))
    with pytest.raises(DataError, match="8 ends of histories"):
        replace(found, until=np.full(8, 8))


# --------------------------------------------------------------------------------- what has been learnt


def test_a_catalogue_of_the_right_part_is_let_by(log: EventLog) -> None:
    found = at_times(log, 6, 3)
    check_learnt(found, Catalogue.fit(found.train), "validation")
    check_learnt(found, Catalogue.fit(found.train))
    check_learnt(found, Catalogue.fit(found.before_test))
    fewer = Catalogue.fit(found.before_test.where(pl.col("item") != "a"))
    check_learnt(found, fewer.extend(pl.DataFrame({"item": ["a", "z"]})))


def test_a_catalogue_of_more_is_told_with_what_it_should_be(log: EventLog) -> None:
    found = at_times(log, 6, 3)
    with pytest.raises(
        LeakError, match=r"from 2 events on 1 items .* the test part .*fit it on split.before_test"
    ):
        check_learnt(found, Catalogue.fit(log))
    with pytest.raises(
        LeakError, match=r"from 3 events on 2 items .* the validation part .*fit it on split.train"
    ):
        check_learnt(found, Catalogue.fit(found.before_test), "validation")
    one_more = np.flatnonzero(found.part == TEST)[:1]
    part = found.part.copy()
    part[one_more] = TRAIN
    with pytest.raises(LeakError, match="from 1 events"):
        check_learnt(found, Catalogue.fit(log.where(part == TRAIN)))
    with pytest.raises(ConfigError, match="take validation or test"):
        check_learnt(found, Catalogue.fit(log), "train")


def test_a_model_of_another_log_is_refused_only_if_it_has_counted_just_this_one(log: EventLog) -> None:
    found = at_times(log, 6)
    with pytest.raises(LeakError):
        check_learnt(found, Catalogue.fit(log), same_log=False)
    other = log_of([("u", item, n) for n, item in enumerate("abcdd" * 3)])
    check_learnt(found, Catalogue.fit(other), same_log=False)
    check_learnt(found, Catalogue.fit(found.before_test), same_log=False)
    with pytest.raises(LeakError):
        check_learnt(found, Catalogue.fit(other))


# ---------------------------------------------------------------------------------------------- ties


def tied_log(items: list[str], at_once: int = 4) -> EventLog:
    """One user who takes some items at each moment."""
    return log_of([("u", item, n // at_once) for n, item in enumerate(items)])


def test_ties_in_the_order_of_their_ids_are_warned_of() -> None:
    rng = np.random.default_rng(0)
    text = [f"i{n}" for _ in range(60) for n in sorted(rng.permutation(90)[:4] + 10)]
    warned = split(tied_log(text)).notes
    assert len(warned) == 1
    assert "100.0% of the neighbours that share user and time" in warned[0]
    falling = [item for n in range(60) for item in text[4 * n : 4 * n + 4][::-1]]
    assert split(tied_log(falling)).notes == warned
    numbers = [str(n) for _ in range(60) for n in sorted(rng.permutation(200)[:4])]
    assert len(split(tied_log(numbers)).notes) == 1, "9 before 10 though not as text"
    drawn = [str(n) for _ in range(60) for n in rng.permutation(200)[:4]]
    assert split(tied_log(drawn)).notes == ()
    assert split(tie_shuffled(tied_log(text))).notes == ()
    few = split(tied_log(text[: 4 * 33])).notes
    assert few == (), "99 pairs are too few to tell"


@given(rows=st.lists(EVENT, min_size=1, max_size=40), seed=st.integers(0, 4))
def test_a_shuffle_moves_ties_alone(rows: list[tuple[str, str, int]], seed: int) -> None:
    frame = log_of(rows).frame.with_columns(rating=pl.int_range(pl.len()).cast(pl.Float64))
    log = EventLog.of(frame)
    copy = tie_shuffled(log, seed)
    for name in ("user", "time", "row"):
        assert copy.frame[name].equals(log.frame[name]), "what the order goes by stays where it is"
    keys = ["user", "time", "item", "rating"]
    assert copy.frame.select(keys).sort(keys).equals(log.frame.select(keys).sort(keys)), "whole events move"
    tied = log.frame.select(pl.struct("user", "time").is_duplicated()).to_series()
    assert copy.frame.filter(~tied).equals(log.frame.filter(~tied))
    assert copy.columns == log.columns
    assert tie_shuffled(log, seed).frame.equals(copy.frame)


def test_another_seed_gives_another_order() -> None:
    log = tied_log([f"i{n}" for n in range(40)], at_once=40)
    orders = {tuple(tie_shuffled(log, seed).frame["item"]) for seed in range(4)}
    assert len(orders) == 4
    assert tie_shuffled(log).fingerprint() != log.fingerprint()
    assert temporal(log_of([("u", "a", n) for n in range(20)])).notes == ()
