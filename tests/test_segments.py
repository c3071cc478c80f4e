"""Parts of the targets: which part each is in, and the figures of a part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.examples import Examples
from ensue.figures import Measured
from ensue.segments import (
    DAY,
    DEFAULT,
    Bins,
    Column,
    History,
    ItemAge,
    Popularity,
    Segment,
    Segmenting,
    Time,
    UserAge,
    Warmth,
    families,
    segmenting,
    segments,
)
from ensue.sequences import MISSING_TIME, Queries


@dataclass(frozen=True, eq=False)
class Typed(Examples):
    """Examples that keep columns of the targets' own events."""

    target_context: Mapping[str, pl.Series] = field(default_factory=dict)


def asked(
    histories: list[list[int]],
    targets: list[int],
    users: list[int],
    n: int = 4,
    context: Mapping[str, pl.Series] | None = None,
    **more: object,
) -> Typed:
    """Examples from plain lists; the events of all histories stand end to end."""
    queries = replace(Queries.of(histories, n), **more)  # type: ignore[arg-type]
    names = pl.Series("item", [f"i{target}" for target in targets], dtype=pl.String)
    ids = pl.Series("user", [f"u{user}" for user in range(max(users) + 1)])
    answers, groups = np.array(targets, dtype=np.int32), np.array(users)
    return Typed(queries, answers, groups, ids, names, "by hand", target_context=context or {})


def catalogue(counts: list[int]) -> Catalogue:
    return Catalogue(pl.Series("item", [f"i{item}" for item in range(len(counts))]), np.array(counts))


EVEN = catalogue([1, 1, 1, 1])


def labels(bins: Bins | None) -> list[str | None]:
    """The label of each target's part."""
    assert bins is not None
    return [None if code < 0 else bins.labels[code] for code in bins.codes.tolist()]


# ----------------------------------------------------------------------------------------------- the parts


def test_histories_are_parted_by_their_length() -> None:
    lengths = [0, 1, 5, 6, 10, 11, 20, 21, 50, 51, 100, 101, 400]
    found = History().bins(asked([[0] * n for n in lengths], [1] * 13, list(range(13))), EVEN)
    assert labels(found) == [
        "0 events",
        *["1-5 events"] * 2,
        *["6-10 events"] * 2,
        *["11-20 events"] * 2,
        *["21-50 events"] * 2,
        *["51-100 events"] * 2,
        *["over 100 events"] * 2,
    ]
    assert History((0, 1, 2)).bins(asked([[], [0], [0, 1]], [1] * 3, [0, 1, 2]), EVEN).labels == (
        "0 events",
        "1 event",
        "over 1 events",
    )


def test_popularity_is_parted_by_tenths_of_the_training_events() -> None:
    # of 20 events the middles are at 5, 12, 15.5, 18 and 19.5, whatever the order of the items
    known = catalogue([1, 10, 2, 4, 3])
    found = Popularity().bins(asked([[0]] * 6, [1, 3, 4, 2, 0, -1], list(range(6)), 5), known)
    assert labels(found) == [
        f"decile {1 + 10 * 5 // 20}",
        f"decile {1 + 10 * 12 // 20}",
        f"decile {1 + int(10 * 15.5) // 20}",
        f"decile {1 + 10 * 18 // 20} (least popular)",
        "decile 10 (least popular)",
        "cold",
    ]
    assert Popularity().bins(asked([[0]], [1], [0]), catalogue([0] * 4)) is None


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any))
def test_a_more_popular_item_is_in_no_later_decile_and_deciles_hold_their_tenths(counts: list[int]) -> None:
    n = len(counts)
    found = Popularity().bins(asked([[0]] * n, list(range(n)), list(range(n)), n), catalogue(counts))
    assert found is not None
    by_count = sorted(range(n), key=lambda item: (-counts[item], item))
    assert (np.diff(found.codes[by_count]) >= 0).all()
    total, largest = sum(counts), max(counts)
    for decile in range(1, 11):
        held = sum(counts[item] for item in range(n) if found.codes[item] < decile)
        assert abs(held - total * decile / 10) <= largest, "off by no more than one item"


def test_an_item_is_as_old_as_its_first_event_and_a_user_as_the_first_of_the_history() -> None:
    # the events are i0 on day 0, i1 on day 3, i0 again on day 20; then three questions
    times = np.array([0, 3, 20]) * DAY
    base = asked([[0, 1, 0]], [1], [0])
    whole = replace(
        base,
        queries=replace(
            base.queries,
            starts=np.array([0, 1, 2, 0, 0]),
            ends=np.array([3, 3, 3, 0, 3]),
            time=times,
            at=np.array([20 * DAY, 40 * DAY, 21 * DAY - 1, 25 * DAY, 9 * DAY * 50]),
        ),
        targets=np.array([1, 0, 0, 2, -1], dtype=np.int32),
        groups=np.arange(5),
        target_ids=pl.Series("item", list("abcde")),
    )
    # 20 - 3, 40 - 0, 21 - 0 days; i2 has no event, and the last is cold
    assert labels(ItemAge().bins(whole, EVEN)) == ["7-29 days", "30-89 days", "7-29 days", None, None]
    # 20 - 0, 40 - 3 and just under 21 - 20 days; one without history; 450 days
    assert labels(UserAge().bins(whole, EVEN)) == [
        "7-29 days",
        "30-89 days",
        "under a day",
        None,
        "over 364 days",
    ]
    gap = replace(whole, queries=replace(whole.queries, time=np.array([MISSING_TIME, 3 * DAY, 20 * DAY])))
    assert labels(ItemAge().bins(gap, EVEN))[1] == "7-29 days", "40 - 20, since the first time is not known"
    assert labels(UserAge().bins(gap, EVEN))[0] is None


def test_time_is_parted_into_equal_spans() -> None:
    day = 19_000 * DAY
    at = day + np.array([0, 99, 100, 250, 399, MISSING_TIME - day])
    found = Time().bins(asked([[0]] * 6, [1] * 6, list(range(6)), at=at), EVEN)
    assert found is not None
    assert found.codes.tolist() == [0, 0, 1, 2, 3, -1]
    assert found.labels[0] == "from 2022-01-08 00:00 UTC"
    one = Time().bins(asked([[0]] * 2, [1] * 2, [0, 1], at=np.array([day, day])), EVEN)
    assert one is not None
    assert one.codes.tolist() == [0, 0]


def test_cold_items_and_users_are_told_apart() -> None:
    found = Warmth().bins(asked([[0], [0], [], []], [1, -1, 1, -1], [0, 1, 2, 3]), EVEN)
    assert labels(found) == ["warm", "cold item", "cold user", "cold item and user"]


def test_a_value_of_a_column_is_named_if_enough_users_have_it() -> None:
    kinds = ["buy"] * 5 + ["view"] * 6 + ["rare"] * 4 + [None] + ["mine"] * 9
    users = [*range(5), *range(5, 11), *range(11, 15), 15, *[16] * 9]
    column = {"kind": pl.Series("kind", kinds, dtype=pl.String)}
    found = Column("kind").bins(asked([[0]] * 25, [1] * 25, users, context=column), EVEN)
    assert found is not None
    assert found.labels == ("view", "buy", "other values", "no value")
    expected = [
        {"rare": "other values", "mine": "other values", None: "no value"}.get(kind, kind) for kind in kinds
    ]
    assert labels(found) == expected, "nine events of one user name nobody's value"


def test_only_the_most_frequent_values_of_a_column_have_parts_of_their_own() -> None:
    kinds = [f"v{value:02}" for value in range(30) for _ in range(5 + (value == 29))]
    column = {"kind": pl.Series("kind", kinds)}
    found = Column("kind").bins(asked([[0]] * 151, [1] * 151, list(range(151)), context=column), EVEN)
    assert found is not None
    assert found.labels == ("v29", *[f"v{value:02}" for value in range(19)], "other values", "no value")


def test_what_the_examples_do_not_tell_has_no_parts() -> None:
    plain = asked([[0]], [1], [0])
    for way in (ItemAge(), UserAge(), Time(), Column(), Column("kind")):
        assert way.bins(plain, EVEN) is None
    nobody = asked([[0]], [1], [0], at=np.array([MISSING_TIME]))
    assert Time().bins(nobody, EVEN) is None


# --------------------------------------------------------------------------------------------- the figures


def measured(values: list[float], users: list[int]) -> Measured:
    return Measured(np.array(users), {"recall@1": np.array(values), "mrr": np.array(values) / 2})


def test_the_figures_of_a_part_are_means_over_its_own_users() -> None:
    examples = asked([[0], [0], [0, 1], [0] * 7, []], [1, -1, 1, 1, -1], [0, 0, 0, 1, 2])
    found = segments(("history", "warmth"), examples, EVEN, measured([1, 0, 0, 1, 0], [0, 0, 0, 1, 2]))
    assert list(found) == ["history", "warmth"]
    assert [part.label for part in found["history"]] == ["0 events", "1-5 events", "6-10 events"]
    none, few, more = found["history"]
    assert (few.figures.users, few.figures.targets) == (1, 3)
    assert few.figures.value("recall@1") == pytest.approx((1 + 0 + 0) / 3)
    assert (none.figures.value("recall@1"), more.figures.value("mrr")) == (0, 1 / 2)
    warm = found["warmth"][0]
    assert warm.figures.value("recall@1") == pytest.approx(((1 + 0) / 2 + 1) / 2)
    assert sum(part.figures.targets for part in found["warmth"]) == len(examples)


def test_intervals_over_few_users_say_so() -> None:
    values = [float(user % 2) for user in range(60)]
    examples = asked([[0]] * 30 + [[]] * 29 + [[0] * 8], [1] * 60, list(range(60)))
    found = segments(("history",), examples, EVEN, measured(values, list(range(60))))["history"]
    notes = {part.label: part.figures.intervals["mrr"].note for part in found}
    assert notes == {
        "0 events": "29 users: the interval is rough",
        "1-5 events": "",
        "6-10 events": "one user: nothing can be said about the error",
    }
    assert all(isinstance(part, Segment) for part in found)
    assert json.loads(json.dumps(found[0].to_json()))["label"] == "0 events"


def test_ways_are_found_by_name_or_given_and_unknown_ones_are_refused() -> None:
    column = {"event": pl.Series("event", ["view"] * 5), "shop": pl.Series("shop", ["north"] * 5)}
    examples = asked([[0]] * 5, [1] * 5, list(range(5)), context=column)
    scores = measured([1, 0, 1, 0, 1], list(range(5)))
    found = segments(("event", "shop", History((0, 1)), "time"), examples, EVEN, scores)
    assert {name: [part.label for part in parts] for name, parts in found.items()} == {
        "event": ["view"],
        "shop": ["north"],
        "history": ["over 0 events"],
    }
    assert set(DEFAULT) <= set(families())
    with pytest.raises(
        ConfigError, match=r"cannot be parted by 'histroy', but by .*shop\. Did you mean 'history'"
    ):
        segments(("histroy",), examples, EVEN, scores)


def test_a_new_way_is_one_dataclass() -> None:
    @dataclass(frozen=True)
    class Parity(Segmenting):
        """By whether the item is an even one."""

        word: ClassVar[str] = "parity"

        def bins(self, examples: Examples, catalogue: Catalogue) -> Bins:
            return Bins(("even", "odd"), examples.targets.astype(np.int64) % 2)

    examples = asked([[0]] * 3, [1, 2, 3], [0, 1, 2])
    found = segments(("parity",), examples, EVEN, measured([1, 0, 0], [0, 1, 2]))["parity"]
    assert [(part.label, part.figures.value("recall@1")) for part in found] == [("even", 0), ("odd", 1 / 2)]
    assert segmenting("parity", examples) == Parity()
