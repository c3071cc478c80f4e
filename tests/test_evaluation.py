"""Evaluation by hand: what its figures are made of, which targets are missed, what is refused, and how it is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from math import log2

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, DataError, QueryError
from ensue.evaluation import HEADLINE, Evaluation, compare, evaluate
from ensue.metrics import AUC, Recall
from ensue.ranking import Parts, Recommender
from ensue.sequences import Queries
from ensue.significance import interval, paired
from ensue.splits import Examples

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Scores by the last item of a history, from a `[N, N]` table; keeps how many queries each call had."""

    rows: NDArray[np.floating]
    calls: list[list[int]] = field(default_factory=list)

    def score(self, queries: Queries) -> NDArray[np.floating]:
        """The row of each history's last item."""
        self.calls.append(queries.lengths.tolist())
        return self.rows[queries.last(1)[:, 0]]

    def parts(self) -> Parts:
        """The table."""
        return Parts(arrays={"rows": self.rows})


def recommender(rows: Floats, exclude_seen: bool = False, counts: list[int] | None = None) -> Recommender:
    n = len(rows)
    ids = pl.Series("item", [f"i{item}" for item in range(n)])
    catalogue = Catalogue(ids, np.array(counts or [1] * n, dtype=np.int64))
    return Recommender(catalogue, Table(np.asarray(rows)), "table", exclude_seen=exclude_seen)


def asked(
    histories: list[list[int]], targets: list[int], users: list[str], n: int, **more: object
) -> Examples:
    """Examples from plain lists; the queries of a user stand together."""
    ids = list(dict.fromkeys(users))
    groups = np.array([ids.index(user) for user in users], dtype=np.int64)
    queries = replace(Queries.of(histories, n), **more) if more else Queries.of(histories, n)  # type: ignore[arg-type]
    names = pl.Series(
        "item", [f"i{target}" if target >= 0 else "cold" for target in targets], dtype=pl.String
    )
    answers = np.array(targets, dtype=np.int32)
    return Examples(queries, answers, groups, pl.Series("user", ids, dtype=pl.String), names, "by hand", 7)


FALLING = np.tile([5.0, 4.0, 3.0, 2.0, 1.0, 0.0], (6, 1))
"""Item j has rank j + 1 after every history."""


# ------------------------------------------------------------------------------------------ arithmetic


@pytest.fixture
def three_users() -> tuple[Recommender, Examples]:
    """User x has ranks 1, 2 and a cold target; y has rank 4; z only a cold target."""
    examples = asked(
        [[5], [5, 0], [5, 0, 1], [4], [3]],
        [0, 1, -1, 3, -1],
        ["x", "x", "x", "y", "z"],
        6,
        at=np.arange(5) * 43_200_000_000,
    )
    return recommender(FALLING), examples


def test_the_headline_is_a_mean_over_users_in_which_a_cold_target_is_a_miss(
    three_users: tuple[Recommender, Examples],
) -> None:
    found = evaluate(*three_users, metrics=["recall@1", "recall@2", "ndcg@5", "mrr", "auc"])
    assert found.value("recall@1") == pytest.approx((1 / 3 + 0 + 0) / 3)
    assert found.value("recall@2") == pytest.approx((2 / 3 + 0 + 0) / 3)
    x = (1 / log2(2) + 1 / log2(3) + 0) / 3
    assert found.value("ndcg@5") == pytest.approx((x + 1 / log2(5) + 0) / 3)
    assert found.value("mrr") == pytest.approx(((1 + 1 / 2 + 0) / 3 + 1 / 4 + 0) / 3)
    # above the target: 0, 1 and 3 of the 5 others
    assert found.value("auc") == pytest.approx(((5 / 5 + 4 / 5 + 0) / 3 + 2 / 5 + 0) / 3)
    assert found.per_user["recall@2"].tolist() == pytest.approx([2 / 3, 0, 0])
    assert found.group_ids.gather(found.all.groups).to_list() == ["x", "y", "z"]
    assert (found.all.users, found.all.targets) == (3, 5)


def test_warm_figures_leave_out_cold_targets_and_users_who_have_no_other(
    three_users: tuple[Recommender, Examples],
) -> None:
    found = evaluate(*three_users, metrics=["recall@2", "mrr"])
    assert found.warm is not None
    assert found.warm.value("recall@2") == pytest.approx((2 / 2 + 0) / 2)
    assert found.warm.value("mrr") == pytest.approx(((1 + 1 / 2) / 2 + 1 / 4) / 2)
    assert (found.warm.users, found.warm.targets) == (2, 3)
    assert found.group_ids.gather(found.warm.groups).to_list() == ["x", "y"]


def test_counts_say_what_the_figures_are_made_of(three_users: tuple[Recommender, Examples]) -> None:
    found = evaluate(*three_users)
    assert found.cold_users is None
    assert found.counts.to_json() == {
        "users": 3,
        "targets": 5,
        "cold_targets": 2,
        "cold_share": 2 / 5,
        "tied_targets": 0,
        "tied_share": 0,
        "seen_targets": 0,
        "excluded_targets": 0,
        "cold_user_targets": 0,
        "cold_users": 0,
        "left_out_events": 7,
        "without_history": 0,
        "by": "user",
        "horizon_days": 4 * 43_200 / 86_400,
    }


def test_histories_without_a_known_item_are_figures_of_their_own() -> None:
    # popularity puts i5 first: rank 1 for it, and rank 2 for i0 by the next highest count
    answers = recommender(FALLING, counts=[5, 1, 1, 1, 1, 9])
    found = evaluate(
        answers, asked([[], [5], [], []], [5, 0, 0, -1], ["x", "x", "y", "z"], 6), metrics=["mrr"]
    )
    assert found.cold_users is not None
    assert found.cold_users.value("mrr") == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert (found.cold_users.users, found.cold_users.targets) == (3, 3)
    assert (found.counts.cold_users, found.counts.cold_user_targets) == (3, 3)
    assert found.value("mrr") == pytest.approx(((1 + 1) / 2 + 1 / 2 + 0) / 3), (
        "and they are in the headline too"
    )


def test_cold_targets_alone_leave_no_warm_figures_and_all_headline_values_nought() -> None:
    found = evaluate(recommender(FALLING), asked([[0], [1]], [-1, -1], ["x", "y"], 6))
    assert found.warm is None
    assert [found.value(name) for name in found.metrics] == [0] * len(found.metrics)
    assert found.to_json()["warm"] is None
    assert "-" in found.rows()[1]


# ------------------------------------------------------------------------------- exclusion, ties, faults


def test_a_target_of_the_history_cannot_be_hit_where_seen_items_are_excluded() -> None:
    # the second target is far back in its history, and would be first
    examples = asked([[5], [0, *[5] * 300]], [1, 0], ["x", "y"], 6)
    excluding = evaluate(recommender(FALLING, exclude_seen=True), examples, metrics=["mrr", "auc"])
    assert excluding.per_user["mrr"].tolist() == [1 / 2, 0]
    # the first target has one rival above it among the 4 that are left with it when i5 is out
    assert excluding.per_user["auc"].tolist() == [3 / 4, 0]
    assert (excluding.counts.seen_targets, excluding.counts.excluded_targets) == (1, 1)
    assert excluding.exclude_seen
    allowing = evaluate(
        recommender(FALLING, exclude_seen=True), examples, metrics=["mrr"], exclude_seen=False
    )
    assert allowing.per_user["mrr"].tolist() == [1 / 2, 1]
    assert (allowing.counts.seen_targets, allowing.counts.excluded_targets) == (1, 0)
    assert not allowing.exclude_seen


def test_excluded_items_make_room_for_the_target() -> None:
    found = evaluate(
        recommender(FALLING), asked([[0, 1]], [2], ["x"], 6), metrics=["recall@1"], exclude_seen=True
    )
    assert found.value("recall@1") == 1


def test_ties_give_the_middle_and_are_counted() -> None:
    rows = np.zeros((6, 6))
    rows[1] = [1, 0, 0, 0, 0, 0]
    # all six tie; the target stands alone on top; the target ties with four others below one
    found = evaluate(
        recommender(rows), asked([[0], [1], [1]], [5, 0, 3], ["x", "y", "z"], 6), metrics=["mrr"]
    )
    assert found.per_user["mrr"].tolist() == [1 / (1 + 5 / 2), 1, 1 / (2 + 4 / 2)]
    assert (found.counts.tied_targets, found.counts.tied_share) == (2, 2 / 3)


def test_a_cold_or_excluded_target_is_never_tied() -> None:
    found = evaluate(
        recommender(np.zeros((6, 6))), asked([[0, 1], [0]], [1, -1], ["x", "y"], 6), exclude_seen=True
    )
    assert found.counts.tied_targets == 0


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_no_result(bad: float, exclude_seen: bool) -> None:
    rows = FALLING.copy()
    rows[5, 5] = bad  # of the one item that exclusion would hide
    with pytest.raises(QueryError, match="not finite"):
        evaluate(recommender(rows), asked([[5]], [0], ["x"], 6), exclude_seen=exclude_seen)


def test_nothing_to_predict_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DataError, match="holds no event with an earlier event of the same user"):
        evaluate(recommender(FALLING), asked([], [], [], 6))


def test_examples_of_another_catalogue_are_refused() -> None:
    with pytest.raises(QueryError, match="count 4 items, the catalogue 6"):
        evaluate(recommender(FALLING), asked([[0]], [1], ["x"], 4))


# ------------------------------------------------------------------------------------------ the metrics


def test_metrics_may_be_named_or_given_and_are_reported_once() -> None:
    found = evaluate(
        recommender(FALLING), asked([[0]], [1], ["x"], 6), metrics=["ndcg@3", Recall(2), "NDCG@3", AUC()]
    )
    assert found.metrics == ("ndcg@3", "recall@2", "auc")
    assert found.value("NDCG@3") == found.value("ndcg@3") == pytest.approx(1 / log2(3))
    with pytest.raises(
        ConfigError, match=r"does not report 'ndcg@5', but ndcg@3, recall@2, auc\. Did you mean 'ndcg@3'"
    ):
        found.value("ndcg@5")
    with pytest.raises(ConfigError, match="Did you mean 'ndcg@3'"):
        found.value("ngcd@3")
    with pytest.raises(ConfigError, match="No metric is asked for"):
        evaluate(recommender(FALLING), asked([[0]], [1], ["x"], 6), metrics=[])


def test_one_name_that_is_no_list_is_told_as_such() -> None:
    """It was read letter by letter: there is no metric 'n'."""
    examples = asked([[0]], [1], ["x"], 6)
    with pytest.raises(ConfigError, match=r"metrics is the text 'ndcg@3': give a list .* \['ndcg@3'\]"):
        evaluate(recommender(FALLING), examples, metrics="ndcg@3")
    with pytest.raises(ConfigError, match=r"segments is the text 'history': give a list .* \['history'\]"):
        evaluate(recommender(FALLING), examples, segments="history")


def test_intervals_are_those_over_the_users() -> None:
    users = [f"u{n}" for n in range(30)]
    found = evaluate(recommender(FALLING), asked([[5]] * 30, [n % 5 for n in range(30)], users, 6), seed=4)
    for name in ("mrr", "ndcg@10", "auc"):
        alone = interval(found.per_user[name], seed=4)
        mine = found.intervals[name]
        assert (mine.value, mine.low, mine.high) == pytest.approx((alone.value, alone.low, alone.high))
        assert alone.error is not None
        assert mine.error == pytest.approx(alone.error)
        assert mine.n == 30
        assert mine.low < mine.value < mine.high


def test_one_user_has_a_value_and_the_report_says_that_nothing_is_known_of_its_error() -> None:
    found = evaluate(recommender(FALLING), asked([[5]], [1], ["x"], 6))
    assert found.intervals["mrr"].error is None
    assert found.lines()[-1] == "note: one user: nothing can be said about the error"
    json.dumps(found.to_json(), allow_nan=False)


def same(one: Evaluation, other: Evaluation) -> None:
    assert one.to_json() == other.to_json()
    for name in one.metrics:
        assert one.per_user[name].tolist() == other.per_user[name].tolist(), name


# ---------------------------------------------------------------------------------------- more, on request


def test_global_auc_weighs_every_pair_and_auc_every_user(three_users: tuple[Recommender, Examples]) -> None:
    found = evaluate(*three_users, metrics=["auc", "auc_global"])
    # below the targets of x: 5, 4 and 0 of 5, 5 and 6; of y: 2 of 5; of z: 0 of 6
    assert found.value("auc_global") == pytest.approx((5 + 4 + 0 + 2 + 0) / (5 + 5 + 6 + 5 + 6))
    assert found.value("auc") == pytest.approx(((5 / 5 + 4 / 5 + 0) / 3 + 2 / 5 + 0) / 3)
    assert found.warm is not None
    assert found.warm.value("auc_global") == pytest.approx((5 + 4 + 2) / (5 + 5 + 5))


def test_more_is_reported_on_request_and_nothing_otherwise(three_users: tuple[Recommender, Examples]) -> None:
    plain = evaluate(*three_users)
    assert (plain.curves, plain.slates, plain.segments, plain.probabilities) == (None, None, {}, None)
    asked_for = {"curves": True, "slates": True, "segments": ("history", "warmth")}
    found = evaluate(*three_users, metrics=["recall@2", "ndcg@10"], **asked_for)  # type: ignore[arg-type]
    assert found.curves is not None
    assert found.curves.value("recall", 2) == pytest.approx(found.value("recall@2"))
    assert found.slates is not None
    assert found.slates.users == 3
    # after i5, i0 and i1, and before the cold target of x, all six items are listed, and before the others too
    assert found.slates.value("coverage") == 1
    assert [part.label for part in found.segments["warmth"]] == ["warm", "cold item"]
    warm, cold = found.segments["warmth"]
    assert warm.figures.value("recall@2") == pytest.approx((2 / 2 + 0) / 2)
    assert cold.figures.value("recall@2") == 0
    assert [part.figures.targets for part in found.segments["history"]] == [5]
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["curves"]["recall"][1] == found.value("recall@2")
    assert told["slates"]["figures"]["coverage"] == {"value": 1}
    assert told["segments"]["warmth"][0]["metrics"]["recall@2"]["note"] == "2 users: the interval is rough"
    assert f"ndcg@10 by warmth: warm {warm.figures.value('ndcg@10'):.4f}, cold item 0.0000" in found.lines()
    assert any(line.startswith("slates of 10 before the last target of 3 users: ") for line in found.lines())
    same(evaluate(*three_users, metrics=["recall@2", "ndcg@10"], **asked_for), found)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------- output


def test_the_report_says_which_figure_is_the_headline_and_names_no_user() -> None:
    examples = asked([[5], [5, 0], [4], []], [0, -1, 3, 2], ["secret-user"] * 2 + ["other-user"] * 2, 6)
    found = evaluate(recommender(FALLING), examples, metrics=["recall@1", "auc"])
    lines = found.lines()
    assert lines[0] == "table: by hand; items of the history are in the ranking"
    assert lines[1] == f"headline: {HEADLINE}"
    assert lines[2].split("  ")[0] == "metric"
    assert "all targets (headline)" in lines[2]
    assert lines[3].startswith("recall@1  0.2500")
    assert "4 targets of 2 users" in lines
    assert "1 targets (25.00%) are cold: not in the catalogue" in lines
    assert found.to_json()["headline"] == HEADLINE
    everything = json.dumps(found.to_json(), allow_nan=False) + "\n".join(lines) + repr(found)
    assert "secret-user" not in everything
    assert "other-user" not in everything
    head, *rows = found.rows()
    assert head == ("metric", "all targets (headline)", "95% interval", "warm", "cold users")
    assert [row[0] for row in rows] == ["recall@1", "auc"]
    assert {len(row) for row in rows} == {5}


# ------------------------------------------------------------------------------------------- comparison


def test_models_are_compared_on_the_same_users_with_holms_correction() -> None:
    n = 60
    examples = asked([[5]] * n, [user % 5 for user in range(n)], [f"u{user}" for user in range(n)], 6)
    rows = {
        "rising": FALLING[:, ::-1],
        "falling": FALLING,
        "flat": np.zeros((6, 6)),
    }
    found = {name: evaluate(recommender(scores), examples) for name, scores in rows.items()}
    result = compare(found, "mrr")
    assert (result.best, result.value) == ("falling", found["falling"].value("mrr"))
    # mean reciprocal ranks: 1/1..1/5 for falling, 1/6..1/2 for rising, 1/3.5 each for flat
    assert [other.value for other in result.others] == pytest.approx(
        [sum(1 / r for r in range(2, 7)) / 5, 1 / 3.5]
    )
    assert [other.model for other in result.others] == ["rising", "flat"]
    for other in result.others:
        alone = paired(found["falling"].per_user["mrr"], found[other.model].per_user["mrr"])
        assert other.paired == alone
        assert alone.p_value <= other.p_value <= 2 * alone.p_value


def test_only_evaluations_of_the_same_examples_are_compared() -> None:
    answers = recommender(FALLING)
    one = evaluate(answers, asked([[5]], [0], ["x"], 6))
    for other in (asked([[5]], [0], ["y"], 6), asked([[5], [5]], [0, 1], ["x", "x"], 6)):
        with pytest.raises(DataError, match="'a' and 'b' were evaluated on different examples"):
            compare({"a": one, "b": evaluate(answers, other)}, "mrr")
    with pytest.raises(ConfigError, match="does not report 'ndcg@7'"):
        compare({"a": one}, "ndcg@7")
    with pytest.raises(DataError, match="no evaluation to compare"):
        compare({})
    assert compare({"a": one}).others == ()
