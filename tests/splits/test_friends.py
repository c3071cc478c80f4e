"""A split of friendships: both directions in one part, histories of what is known before it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.catalogue import Catalogue
from ensue.errors import ColumnError, ConfigError, DataError
from ensue.events.log import EventLog
from ensue.splits import check
from ensue.splits.friends import DRAWN, friends_out
from ensue.splits.parts import TEST, TRAIN, VALIDATION, Split

PEOPLE = "abcdefg"
pairs = st.sets(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)).filter(lambda p: p[0] < p[1]), min_size=4
)


def log_of(friends: set[tuple[str, str]], later: set[tuple[str, str]] = frozenset()) -> EventLog:  # type: ignore[assignment]
    rows = [(*turned, pair in later) for pair in sorted(friends) for turned in (pair, pair[::-1])]
    frame = pl.DataFrame(
        rows, schema={"user": pl.String, "item": pl.String, "late": pl.Boolean}, orient="row"
    )
    return EventLog.of(
        frame.with_columns(when=pl.col("late").replace_strict({True: "after", False: "before"}))
    )


def parted(found: Split) -> dict[int, set[tuple[str, str]]]:
    """The directed friendships of each part."""
    return {
        code: set(found.log.frame.filter(found.part == code).select("user", "item").iter_rows())
        for code in range(3)
    }


def check_histories(found: Split) -> None:
    """Each target is asked for by all that its user has in earlier parts, and by nothing else."""
    parts = parted(found)
    known = {VALIDATION: parts[TRAIN], TEST: parts[TRAIN] | parts[VALIDATION]}
    for name, code in (("validation", VALIDATION), ("test", TEST)):
        catalogue = Catalogue.fit(found.log)
        examples = found.examples(name, catalogue)
        asked = set()
        for row in range(len(examples)):
            queries = examples.queries[np.array([row])]
            assert queries.users is not None
            user, history = queries.users[0], set(catalogue.decode(queries.pairs()[1]))
            assert history == {item for who, item in known[code] if who == user}
            asked.add((user, examples.target_ids[row]))
        users = {who for who, _ in known[code]}
        assert asked == {pair for pair in parts[code] if pair[0] in users}


@settings(max_examples=12)
@given(pairs, st.integers(0, 5))
def test_both_directions_are_in_one_part_and_histories_end_before_it(
    friends: set[tuple[str, str]], seed: int
) -> None:
    found = friends_out(log_of(friends), test=0.25, validation=0.3, seed=seed)
    parts = parted(found)
    for some in parts.values():
        assert some == {pair[::-1] for pair in some}
    assert set().union(*parts.values()) == {turned for pair in friends for turned in (pair, pair[::-1])}
    tested = max(round(0.25 * len(friends)), 1)
    assert len(parts[TEST]) == 2 * tested
    assert len(parts[VALIDATION]) == 2 * max(round(0.3 * (len(friends) - tested)), 1)
    assert found.leaks == DRAWN
    check(found)
    check_histories(found)


@settings(max_examples=12)
@given(pairs, st.data())
def test_a_column_tells_what_is_tested(friends: set[tuple[str, str]], data: st.DataObject) -> None:
    later = data.draw(st.sets(st.sampled_from(sorted(friends)), min_size=1, max_size=len(friends) - 2))
    found = friends_out(log_of(friends, later), column="when", tested="after", validation=0.2)
    parts = parted(found)
    assert parts[TEST] == {turned for pair in later for turned in (pair, pair[::-1])}
    assert parts[VALIDATION]
    assert not found.leaks, "what is learnt from was there before what is asked for"
    check(found)
    check_histories(found)


def test_a_seed_draws_the_same_again_and_another_one_others() -> None:
    log = log_of({(a, b) for a in PEOPLE for b in PEOPLE if a < b})
    one, again, other = (friends_out(log, seed=seed) for seed in (1, 1, 2))
    assert parted(one) == parted(again) != parted(other)
    assert parted(friends_out(log, validation=0.0))[VALIDATION] == set()


def test_what_cannot_be_is_refused() -> None:
    log = log_of({("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")}, {("a", "b")})
    refused = [
        ({"seed": -1}, ConfigError, "seed=-1: must be a whole number"),
        ({"test": 1.0}, ConfigError, "test"),
        ({"column": "when"}, ConfigError, "split.column = 'when' and split.tested = '' go together"),
        ({"tested": "after"}, ConfigError, "split.column = '' and split.tested = 'after' go together"),
        (
            {"column": "wen", "tested": "after"},
            ColumnError,
            "no column 'wen', but user, .*Did you mean 'when'",
        ),
        (
            {"column": "when", "tested": "later"},
            DataError,
            "No event has 'when' = 'later': its values are after, before",
        ),
        (
            {"column": "user", "tested": "a"},
            DataError,
            "2 events of 'user' = 'a' have the other direction .* elsewhere",
        ),
        ({"test": 0.75, "validation": 0.9}, DataError, "Of 4 friendships none is left to learn from"),
    ]
    for options, kind, message in refused:
        with pytest.raises(kind, match=message):
            friends_out(log, **options)  # type: ignore[arg-type]
    timed = EventLog.of(
        log.frame.drop("time", "row").with_columns(time=pl.lit(0).cast(pl.Datetime("us", "UTC")))
    )
    with pytest.raises(
        ConfigError, match="have times, so new ones are known from old: take split='temporal'"
    ):
        friends_out(timed)
