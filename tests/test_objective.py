"""What is predicted from what: targets, histories, weights, and the rule that excludes what was seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.catalogue import Catalogue
from ensue.errors import ColumnError, ConfigError, DataError
from ensue.events.log import EventLog
from ensue.experiment import Experiment, experiment_of
from ensue.model import Training
from ensue.objective import NONE, Objective
from ensue.questions import Question
from ensue.splits import TEST, TRAIN, UNUSED, VALIDATION, Split
from ensue.toml_text import toml_of

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
TYPES = ("view", "cart", "buy")
Rows = list[tuple[str, str, str | None]]


def log_of(rows: Rows, **more: Any) -> EventLog:
    """The log of (user, item, type), one a minute in this order."""
    frame = pl.DataFrame(
        rows, schema={"user": pl.String, "item": pl.String, "event": pl.String}, orient="row"
    )
    times = [NOON + timedelta(minutes=place) for place in range(len(rows))]
    return EventLog.of(frame.with_columns(time=pl.Series(times, dtype=pl.Datetime("us", "UTC")), **more))


SHOP = log_of(
    [
        *[("u", item, "view") for item in "ABC"],
        ("u", "B", "buy"),
        ("u", "D", "view"),
        ("u", "D", "buy"),
        ("v", "A", "view"),
        ("v", "B", "cart"),
        ("v", "B", "buy"),
        ("v", "C", None),
        ("w", "A", "buy"),
    ]
)

rows = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("ABCD"), st.sampled_from([*TYPES, None])),
    min_size=4,
    max_size=20,
)


def sequences_of(log: EventLog) -> dict[str, list[int]]:
    """Places in the log of the events of each user."""
    users = log.frame["user"].to_list()
    return {user: [place for place, one in enumerate(users) if one == user] for user in dict.fromkeys(users)}


# ------------------------------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"targets": ["buy", "buy"]}, "'buy' stands there twice"),
        (
            {"targets": ["buy"], "weights": {"view": -1.0}},
            "weights.view = -1: must be a finite number from 0 up",
        ),
        ({"weights": {"view": float("inf")}}, "must be a finite number"),
        ({"inputs": ["view"], "targets": ["buy"]}, "objective.inputs leaves out 'buy'"),
        ({"inputs": ["view"], "weights": {"cart": 1.0}}, "objective.inputs leaves out 'cart'"),
        ({"targets": ["buy"], "weights": {"buy": 0.0}}, "no target counts"),
        ({"target": ["buy"]}, "there is no such key; known are inputs, targets, weights"),
        ({"weights": {"view": "much"}}, "objective.weights.view"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
        experiment_of({"objective": wrong})


def test_types_that_the_log_lacks_are_one_error_that_lists_those_it_has() -> None:
    with pytest.raises(ConfigError) as found:
        Objective(targets=("purchase",), weights={"veiw": 0.2}).check(SHOP)
    said = str(found.value)
    assert "types 'purchase', 'veiw'" in said
    assert "view (5), buy (4), cart (1)" in said
    assert "\n" not in said
    Objective(targets=("buy",), weights={"view": 0.2}).check(SHOP)


def test_a_log_without_types_says_so() -> None:
    plain = EventLog.of(SHOP.frame.drop("event"))
    for asked in (Objective(targets=("buy",)), Objective(inputs=("buy",)), Objective(weights={"buy": 2.0})):
        with pytest.raises(ColumnError, match="--columns event=NAME"):
            asked.check(plain)
        with pytest.raises(ColumnError, match="--columns event=NAME"):
            Training.of(plain, objective=asked)
    NONE.check(plain)
    assert Training.of(plain).sequences.weight is None


def test_it_is_kept_as_plain_values() -> None:
    asked = Objective(("view", "buy"), ("buy",), {"view": 0.25})
    assert Objective.learnt({"objective": asked.to_json()}) == asked
    assert Objective.learnt({}) == NONE
    assert not NONE
    with pytest.raises(ConfigError, match="none that this version knows"):
        Objective.learnt({"objective": {"horizon": 3}})


def test_an_experiment_holds_it_and_one_without_is_as_it_was() -> None:
    given_ = {"objective": {"targets": ["buy"], "weights": {"view": 0.2}}}
    found = experiment_of(given_)
    assert found.objective == Objective(targets=("buy",), weights={"view": 0.2})
    assert experiment_of(found.to_json()) == found
    assert "objective" not in Experiment().to_json()
    assert 'targets = [\n    "buy",\n]' in toml_of(found.to_json())


# ------------------------------------------------------------------------------------- what is asked


@settings(max_examples=20)
@given(rows, st.sampled_from([(), ("buy",), ("buy", "cart")]), st.booleans())
def test_targets_alone_are_asked_for_with_every_input_before_them(
    made: Rows, targets: tuple[str, ...], fewer: bool
) -> None:
    """Against counting by hand: who is asked, with which history, in which part."""
    log = log_of(made)
    inputs = ("buy", "cart") if fewer else ()
    asked = Objective(inputs, targets)
    known = set(log.frame["event"].drop_nulls())
    if not asked or not {*inputs, *targets} <= known:
        return
    times = log.frame["time"]
    part = np.where(np.arange(log.n_events) % 3 == 2, TEST, TRAIN).astype(np.uint8)
    found = asked.aimed(Split(log, part, "by hand", leaks="by hand"))
    catalogue = Catalogue.fit(log)
    examples = found.examples("test", catalogue)
    kinds, items = log.frame["event"].to_list(), log.frame["item"].to_list()
    expected = []
    for places in sequences_of(log).values():
        stand = [place for place in places if not inputs or kinds[place] in inputs]
        for number, place in enumerate(stand):
            if part[place] == TEST and (not targets or kinds[place] in targets) and number:
                expected.append((times[place], items[place], [items[one] for one in stand[:number]]))
    got = [
        (
            datetime.fromtimestamp(int(at) / 1e6, tz=UTC),
            target,
            catalogue.decode(examples.queries.items[start:end]),
        )
        for at, target, start, end in zip(
            examples.queries.at if examples.queries.at is not None else [],
            examples.target_ids,
            examples.queries.starts,
            examples.queries.ends,
            strict=True,
        )
    ]
    assert got == expected
    assert found.sizes["train"] + found.sizes["test"] == asked.heard(log).n_events


def test_what_stands_in_histories_does_not_move_the_cut() -> None:
    """The same questions are asked of one who hears all and of one who hears purchases alone."""
    rule = {"rule": "temporal", "test": 0.4, "validation": 0.2}
    every = Objective(targets=("buy",)).split(SHOP, rule)
    alone = Objective(inputs=("buy",), targets=("buy",)).split(SHOP, rule)
    assert every.name.split(",")[:2] == alone.name.split(",")[:2]
    times = [one.log.frame["time"].gather(one.asked("test")).to_list() for one in (every, alone)]
    assert times[0] == times[1]
    assert len(times[0]) == 2, "v buys B, and w buys A"
    assert alone.log.frame["event"].unique().to_list() == ["buy"]
    assert every.name.endswith("targets buy")


@settings(max_examples=20)
@given(rows, st.booleans())
def test_the_last_target_of_each_sequence_is_the_test(made: Rows, validation: bool) -> None:
    log = log_of(made)
    if "buy" not in log.frame["event"].drop_nulls():
        return
    found = Objective(targets=("buy",)).split(log, {"rule": "last", "validation": 0.1 if validation else 0.0})
    kinds = log.frame["event"].to_list()
    expected = np.zeros(log.n_events, dtype=np.uint8)
    for places in sequences_of(log).values():
        bought = [place for place in places[1:] if kinds[place] == "buy"]
        if not bought:
            continue
        for place in places:
            if place > bought[-1]:
                expected[place] = UNUSED
        expected[bought[-1]] = TEST
        if validation and len(bought) > 1:
            for place in places:
                if bought[-2] <= place < bought[-1]:
                    expected[place] = VALIDATION
    np.testing.assert_array_equal(found.part, expected)
    assert [kinds[place] for place in found.asked("test")] == ["buy"] * len(found.asked("test"))


def test_held_out_items_are_asked_for_at_the_first_target_on_them() -> None:
    """What is viewed before it is bought is asked for when it is bought; a second purchase is not."""
    kinds = ("view", "buy", "buy")
    rows = [
        (f"u{user}", f"i{(user + step) % 20}", NOON + timedelta(hours=3 * step + place), kind)
        for user in range(20)
        for step in range(10)
        for place, kind in enumerate(kinds)
    ]
    log = EventLog.of(pl.DataFrame(rows, schema=["user", "item", "time", "event"], orient="row"))
    settings = {"rule": "items", "test": 0.3, "validation": 0.0, "seed": 0}
    for objective in (Objective(targets=("buy",)), Objective(inputs=("buy",), targets=("buy",))):
        made = objective.split(log, settings)
        asked = made.log.frame[made.asked("test")]
        assert set(asked["event"]) == {"buy"}
        held = made.log.frame.filter(pl.Series(made.part == TEST) & (pl.col("event") == "buy"))
        assert asked.equals(held.unique(("user", "item"), keep="first", maintain_order=True))
        assert len(asked) == 60


# ------------------------------------------------------------------------------------- seen items


@settings(max_examples=20)
@given(rows)
def test_repeats_are_counted_among_the_targets_alone(made: Rows) -> None:
    log = log_of(made)
    if "buy" not in log.frame["event"].drop_nulls():
        return
    kinds, items = log.frame["event"].to_list(), log.frame["item"].to_list()
    again = [
        items[place] in [items[one] for one in places[:number]]
        for places in sequences_of(log).values()
        for number, place in enumerate(places)
        if kinds[place] == "buy" and number
    ]
    asked = Objective(targets=("buy",))
    if not again:
        with pytest.raises(DataError, match="nothing to predict from"):
            asked.repeats(log)
        return
    assert asked.repeats(log) == pytest.approx(sum(again) / len(again))


def test_what_is_viewed_may_be_bought_though_nothing_is_bought_twice() -> None:
    """By purchases alone no item comes again; with the views before them, each does."""
    assert Objective(("buy",), ("buy",)).exclusion(SHOP)[0] is True
    rule, why = Objective(targets=("buy",)).exclusion(SHOP)
    assert (rule, why) == (False, "100.0% of the targets are on an item of their history, not less than 5%")


# ------------------------------------------------------------------------------------- what is learnt


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Objective(targets=("buy",)), [0, 0, 1, 0]),
        (Objective(targets=("buy",), weights={"view": 0.25}), [0.25, 0, 1, 0]),
        (Objective(targets=("buy",), weights={"buy": 2.0}), [0, 0, 2, 0]),
        (Objective(weights={"view": 0.25}), [0.25, 1, 1, 1]),
        (Objective(inputs=("view", "buy")), [1, 1, 1, 1]),
    ],
)
def test_a_type_counts_by_its_weight_else_if_it_is_asked_for(asked: Objective, expected: list[float]) -> None:
    types = pl.Series(["view", "cart", "buy", None], dtype=pl.String)
    assert asked.weights_of(types).tolist() == expected
    training = Training.of(log_of([("u", "A", kind) for kind in types]), objective=asked)
    assert training.sequences.weight is not None
    assert training.sequences.weight.tolist() == expected
    assert training.sequences.n_targets == sum(value > 0 for value in expected[1:])
    assert training.sequences.n_places == 3
    assert training.sequences.head(1).weight is not None


def test_training_without_a_target_says_so() -> None:
    first = log_of([("u", "A", "buy"), ("u", "B", "view"), ("v", "A", "buy")])
    with pytest.raises(DataError, match="None of the 3 training events is a target with another before it"):
        Training.of(first, objective=Objective(targets=("buy",)))


def test_shares_are_of_targets_by_their_weights() -> None:
    training = Training.of(SHOP, objective=Objective(targets=("buy",), weights={"cart": 0.5}))
    share = dict(zip(training.catalogue.ids, training.catalogue.share, strict=True))
    assert share == pytest.approx({"A": 1 / 4.5, "B": 2.5 / 4.5, "C": 0.0, "D": 1 / 4.5})
    assert training.catalogue.counts.sum() == SHOP.n_events, (
        "events are counted all the same: leaks are found by them"
    )
    assert Training.of(SHOP).catalogue.targets is None
    grown = training.catalogue.extend(pl.DataFrame({"item": ["new"]}))
    assert dict(zip(grown.ids, grown.share, strict=True)) == pytest.approx(share | {"new": 0.0})


@pytest.mark.parametrize("wrong", [[1.0], [-1.0, 0.0, 0.0, 1.0], [np.nan, 0.0, 0.0, 1.0]])
def test_counts_of_targets_fit_the_items(wrong: list[float]) -> None:
    with pytest.raises(DataError, match="counts of targets"):
        replace(Catalogue.fit(SHOP), targets=np.array(wrong))


# ------------------------------------------------------------------------------------- questions


def test_a_history_holds_inputs_alone_and_what_tells_no_type() -> None:
    asked = Question(
        ["A", "B", "C"],
        times=[NOON, None, NOON],
        ratings=[1.0, 2.0, None],
        context={"event": ["view", "buy", None], "city": ["x", "y", "z"]},
    )
    found = Objective(inputs=("buy",)).question(asked)
    assert (found.history, found.times, found.ratings) == (["B", "C"], [None, NOON], [2.0, None])
    assert found.context == {"event": ["buy", None], "city": ["y", "z"]}
    assert Objective(targets=("buy",)).question(asked) is asked
    assert Objective(inputs=("buy",)).question(Question(["A"])).history == ["A"]
