"""Less to learn from: users are taken away whole, small shares lie within large ones, and no test changes."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue import ladder
from ensue.errors import ConfigError
from ensue.evaluation import evaluate
from ensue.events.filtering import Filters
from ensue.events.log import EventLog
from ensue.events.simulate import simulate
from ensue.experiment import Evaluating, Experiment, Splitting
from ensue.ladder.outcome import Outcome
from ensue.model import fit
from ensue.splits import last_out, ratio
from ensue.thinning import WholeHistory, checked_shares, kept_users, of_users, thinned


def log_of(users: list[int]) -> EventLog:
    """Events of these users, in this order."""
    return EventLog.of(
        pl.DataFrame({"user": [f"u{user}" for user in users], "item": [f"i{n}" for n in range(len(users))]})
    )


@given(
    st.lists(st.integers(0, 25), min_size=1, max_size=60),
    st.floats(0.01, 1),
    st.floats(0.01, 1),
    st.integers(0, 9),
)
def test_a_smaller_share_lies_within_a_larger_one(
    users: list[int], one: float, other: float, seed: int
) -> None:
    log = log_of(users)
    small, large = (set(kept_users(log, share, seed)) for share in sorted((one, other)))
    assert small <= large
    assert len(large) == ceil(max(one, other) * len(set(users)) - 1e-9)
    assert small


@given(st.lists(st.integers(0, 25), min_size=1, max_size=60), st.floats(0.01, 1), st.integers(0, 9))
def test_users_are_kept_whole_and_in_order(users: list[int], share: float, seed: int) -> None:
    log = log_of(users)
    kept = kept_users(log, share, seed)
    assert kept.equals(kept_users(log, share, seed))
    less = of_users(log, kept).frame
    assert less.equals(log.frame.filter(pl.col("user").is_in(kept.to_list())))
    assert set(less["user"]) == set(kept)


def test_the_whole_keeps_all_and_another_seed_draws_others() -> None:
    log = log_of(list(range(40)))
    assert len(kept_users(log, 1.0)) == 40
    assert not kept_users(log, 0.5, 0).equals(kept_users(log, 0.5, 1))


def test_a_tenth_of_ten_users_is_one_user() -> None:
    assert len(kept_users(log_of(list(range(10))), 0.1)) == 1


def test_shares_are_sorted_each_once_with_the_whole_among_them() -> None:
    assert checked_shares([0.1, 0.5, 0.5]) == (1.0, 0.5, 0.1)
    for wrong in (0.0, -0.5, 1.5, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="no share of the users"):
            checked_shares([1.0, wrong])


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run of two models that count, on a first-order log."""
    experiment = Experiment(
        models={"popular": {}, "chain": {"model": "markov"}},
        split=Splitting(rule="temporal"),
        evaluation=Evaluating(exclude_seen=False),
        out=str(tmp_path_factory.mktemp("thin") / "run"),
    )
    return ladder.run(experiment, log=simulate("markov", users=150, length=12, items=30))


def test_every_share_is_asked_the_same_test(outcome: Outcome) -> None:
    found = thinned(outcome, [0.5, 0.1])
    whole = outcome.rungs[0].test
    assert [point.share for point in found.points] == [1.0, 0.5, 0.1]
    for point in found.points:
        for test in point.tests.values():
            assert test.counts.targets == whole.counts.targets
            assert test.group_ids.equals(whole.group_ids)
            assert np.array_equal(test.all.groups, whole.all.groups)
            parts = [(part.label, part.figures.targets) for part in test.segments["whole_history"]]
            assert parts == [
                (part.label, part.figures.targets)
                for part in found.points[0].tests["popular"].segments["whole_history"]
            ]
            assert sum(targets for _, targets in parts) == whole.counts.targets


def test_a_point_is_what_a_model_reaches_that_has_learnt_from_its_users_alone(outcome: Outcome) -> None:
    found = thinned(outcome, [0.25])
    before = outcome.split.before_test
    less = of_users(before, kept_users(before, 0.25))
    point = found.points[1]
    assert (point.users, point.events, point.items) == (less.n_users, less.n_events, less.n_items)
    assert point.users == ceil(0.25 * before.n_users)
    alone = evaluate(fit("markov", less, exclude_seen=False), outcome.split).value("ndcg@10")
    assert found.curve("chain")[0.25] == alone
    assert found.curve("chain")[1.0] == outcome.rungs[1].test.value("ndcg@10")
    assert found.curve("chain")[1.0] > alone


def test_the_curves_are_written_without_users(outcome: Outcome) -> None:
    content = thinned(outcome, [0.5]).to_json()
    assert [(point["share"], sorted(point["models"])) for point in content["points"]] == [
        (1.0, ["chain", "popular"]),
        (0.5, ["chain", "popular"]),
    ]
    assert "u0" not in str(content)


def test_a_share_that_filters_leave_nothing_of_is_told(outcome: Outcome) -> None:
    filters = Filters(min_user_events=2, min_item_events=30)
    found = thinned(replace(outcome, experiment=replace(outcome.experiment, filters=filters)), [0.02])
    assert found.points[1].tests == {}
    assert set(found.points[1].skipped) == {"popular", "chain"}
    assert found.curve("chain").keys() == {1.0}


def test_histories_are_parted_in_thirds_by_all_their_events() -> None:
    """Users of 2, 3, ..., 10 events, whose last is asked for: histories of 1 to 9 events, three in each part."""
    log = log_of([user for user in range(2, 11) for _ in range(user)])
    found = WholeHistory.of(last_out(log, validation=False), "successive")
    assert found.labels == ("1-3 events", "4-6 events", "7-9 events")
    assert found.codes is not None
    assert sorted(found.codes.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_events_that_no_training_knows_count_in_the_length_of_a_history() -> None:
    """One user, ten different items, the last five asked for: histories of 5, 6, 7, 8 and 9 events."""
    found = WholeHistory.of(ratio(log_of([0] * 10), test=0.5, validation=0.0), "successive")
    assert found.labels == ("5-6 events", "7 events", "8-9 events")
    assert found.codes is not None
    assert found.codes.tolist() == [0, 0, 1, 2, 2]
