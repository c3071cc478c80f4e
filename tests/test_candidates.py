"""Drawn candidates: what may be drawn, by which law, and what figures made of them say of themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import log2
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ensue.candidates import Candidates
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, DataError
from ensue.evaluation import Evaluation, compare, evaluate
from ensue.ranking import Parts, Recommender
from ensue.sequences import Queries
from ensue.splits import Examples


def catalogue_of(n: int, counts: list[int] | None = None) -> Catalogue:
    ids = pl.Series("item", [f"i{item:02d}" for item in range(n)])
    return Catalogue(ids, np.array(counts or [1] * n, dtype=np.int64))


def asked(histories: list[list[int]], targets: list[int], n: int) -> Examples:
    """Examples of one user each."""
    users = pl.Series("user", [f"secret-{user}" for user in range(len(targets))])
    ids = pl.Series([f"i{target:02d}" if target >= 0 else "cold" for target in targets], dtype=pl.String)
    answers = np.array(targets, dtype=np.int32)
    return Examples(Queries.of(histories, n), answers, np.arange(len(targets)), users, ids, "by hand")


def many(queries: int, n: int, seed: int = 0) -> Examples:
    """Random histories of 1 to 5 items and random targets, every tenth of them cold."""
    rng = np.random.default_rng(seed)
    histories = [rng.integers(n, size=rng.integers(1, 6)).tolist() for _ in range(queries)]
    targets = np.where(np.arange(queries) % 10 == 9, -1, rng.integers(n, size=queries))
    return asked(histories, targets.tolist(), n)


@dataclass(frozen=True, eq=False)
class Fixed:
    """The same scores after every history."""

    row: NDArray[np.float64]

    def score(self, queries: Queries) -> NDArray[np.float64]:
        """The scores, once for each history."""
        return np.tile(self.row, (len(queries), 1))

    def parts(self) -> Parts:
        """The scores."""
        return Parts(arrays={"row": self.row})


def scored(row: list[float], exclude_seen: bool = False, catalogue: Catalogue | None = None) -> Recommender:
    return Recommender(
        catalogue or catalogue_of(len(row)),
        Fixed(np.array(row, dtype=np.float64)),
        "fixed",
        exclude_seen=exclude_seen,
    )


# ---------------------------------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("by", ["uniform", "popularity"])
@pytest.mark.parametrize("number", [1, 5, 20, 45, 60])
def test_no_target_no_seen_item_and_no_item_twice_and_as_many_as_there_are(number: int, by: str) -> None:
    n = 60
    counts = [1 + (60 - item) ** 2 for item in range(n)]
    examples = many(80, n)
    drawn = Candidates.sampled(examples, catalogue_of(n, counts), number, seed=3, by=by)
    short = 0
    for query in range(len(examples)):
        held = [item for item in drawn.items[query].tolist() if item < n]
        history = set(examples.queries[query : query + 1].pairs()[1].tolist())
        out = history | ({int(examples.targets[query])} - {-1})
        assert len(set(held)) == len(held) == min(number, n - len(out))
        assert not out & set(held)
        short += len(held) < number
    assert drawn.sampling.fewer == short
    assert drawn.items.shape[1] == min(number, n - 1), "one query has a cold target and one item of history"


def test_seen_items_are_drawn_where_they_are_not_excluded_but_the_target_never_is() -> None:
    examples = asked([[0, 1, 2]], [3], 5)
    drawn = Candidates.sampled(examples, catalogue_of(5), 5, exclude_seen=False)
    assert sorted(drawn.items[0].tolist()) == [0, 1, 2, 4]
    assert (drawn.number, drawn.sampling.fewer) == (5, 1)


def test_a_query_without_any_candidate_has_none_and_its_target_is_first() -> None:
    examples = asked([[0, 1], [0]], [2, 1], 3)
    drawn = Candidates.sampled(examples, catalogue_of(3), 2)
    assert drawn.items.tolist() == [[3], [2]]
    assert drawn.frame()["candidates"].to_list() == [[], ["i02"]]
    found = evaluate(scored([1.0, 2.0, 3.0], exclude_seen=True), examples, metrics=["mrr"], candidates=drawn)
    assert found.per_user["mrr"].tolist() == [1, 1 / 2]


@pytest.mark.parametrize("by", ["uniform", "popularity"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_blocks_change_nothing_and_a_seed_is_a_draw(by: str, exclude_seen: bool) -> None:
    n = 90
    examples, catalogue = many(50, n), catalogue_of(n, [1 + item * item for item in range(n)])

    def draw(seed: int = 0, **more: Any) -> NDArray[np.int32]:
        return Candidates.sampled(examples, catalogue, 30, seed, exclude_seen, by, **more).items

    for block_bytes in (1, 5000, 20_000):
        assert np.array_equal(draw(block_bytes=block_bytes), draw())
    assert not np.array_equal(draw(1), draw(0))
    assert not np.array_equal(draw(2**64 - 1), draw(0))


def test_a_query_draws_by_its_number_alone() -> None:
    """Asking about fewer queries leaves the candidates of the first ones as they are."""
    examples = many(30, 50)
    few = replace(
        examples,
        queries=examples.queries[:7],
        targets=examples.targets[:7],
        groups=examples.groups[:7],
        target_ids=examples.target_ids[:7],
    )
    every = Candidates.sampled(examples, catalogue_of(50), 10)
    assert np.array_equal(Candidates.sampled(few, catalogue_of(50), 10).items, every.items[:7])


@pytest.mark.parametrize("number", [2, 10])
def test_uniform_draws_every_other_item_as_often_as_any(number: int) -> None:
    """With 2 of 40 nearly all come from single draws, with 10 of 20 all from the order of waiting times."""
    n, queries = (40, 4000) if number == 2 else (20, 4000)
    examples = asked([[0]] * queries, [1] * queries, n)
    items = Candidates.sampled(examples, catalogue_of(n), number).items
    often = np.bincount(items.ravel(), minlength=n)
    share = number / (n - 2)
    assert often[[0, 1]].tolist() == [0, 0]
    assert np.abs(often[2:] / queries - share).max() < 4.5 * np.sqrt(share * (1 - share) / queries)


def successive(weights: list[float], first: int, second: int) -> float:
    """The chance to draw two items one after the other without putting the first one back."""
    total = sum(weights)
    return weights[first] / total * weights[second] / (total - weights[first])


@pytest.mark.parametrize("n", [5, 40])
def test_popularity_draws_in_proportion_to_what_is_left(n: int) -> None:
    """5 items are put in order at once; of 40, one holds most of the weight, so that some draws must be completed."""
    counts = [1, 2, 3, 4, 0] if n == 5 else [4000, 400, 30, 0, 0] + [1] * 35
    queries = 20_000
    examples = asked([[0]] * queries, [-1] * queries, n)
    items = Candidates.sampled(
        examples, catalogue_of(n, counts), 2, by="popularity", exclude_seen=False
    ).items
    weights = [float(max(count, 1)) for count in counts]
    for first, second in ((0, 1), (1, 0), (1, 2), (0, 3)):
        share = successive(weights, first, second)
        found = float(((items[:, 0] == first) & (items[:, 1] == second)).mean())
        assert found == pytest.approx(share, abs=4.5 * np.sqrt(share * (1 - share) / queries)), (
            first,
            second,
        )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"number": 0}, "number=0 is no whole number from 1 up, such as number=100"),
        ({"number": True}, "number=True"),
        ({"number": 1.5}, "number=1.5"),
        ({"seed": -1}, "seed=-1 is no whole number from 0 up"),
        ({"by": "popular"}, "Did you mean 'popularity'?"),
        ({"by": "given"}, "not drawn by 'given'"),
    ],
)
def test_wrong_wishes_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as fault:
        Candidates.sampled(many(3, 9), catalogue_of(9), **wrong)
    assert said in str(fault.value)


# ------------------------------------------------------------------------------------------- evaluation


def chosen(examples: Examples, lists: list[list[int]], n: int, **more: Any) -> Candidates:
    """Candidates from plain lists of item indices."""
    width = max(map(len, lists))
    items = np.array([row + [n] * (width - len(row)) for row in lists], dtype=np.int32)
    return Candidates(items, examples.target_ids, catalogue_of(n), width, **more)


def test_a_target_is_ranked_among_its_candidates_alone_with_mid_ranks_for_ties() -> None:
    examples = asked([[5]] * 5, [3, 2, 1, -1, 4], 6)
    drawn = chosen(examples, [[0, 4], [1, 3], [4], [0, 4], [0]], 6)
    found = evaluate(
        scored([6.0, 5.0, 4.0, 3.0, 2.0, 1.0]), examples, metrics=["mrr", "ndcg@2", "auc"], candidates=drawn
    )
    # i03 is below i00 only, i02 below i01 only, i01 above its one candidate, one is cold, i04 below its one candidate
    assert found.per_user["mrr"].tolist() == pytest.approx([1 / 2, 1 / 2, 1, 0, 1 / 2])
    assert found.per_user["ndcg@2"].tolist() == pytest.approx([1 / log2(3), 1 / log2(3), 1, 0, 1 / log2(3)])
    assert found.per_user["auc"].tolist() == pytest.approx([1 / 2, 1 / 2, 1, 0, 0])
    tied = evaluate(scored([6.0, 4.0, 4.0, 4.0, 2.0, 4.0]), examples, metrics=["mrr"], candidates=drawn)
    # i03 is below i00; i02 ties with both of its candidates, 1 + 2 / 2; i01 ties with none that is a candidate
    assert tied.per_user["mrr"].tolist() == pytest.approx([1 / 2, 1 / 2, 1, 0, 1 / 2])
    assert tied.counts.tied_targets == 1


def test_candidates_of_all_items_give_the_figures_of_full_ranking() -> None:
    n = 30
    examples = many(60, n, seed=4)
    answers = scored(np.random.default_rng(0).integers(8, size=n).astype(float).tolist(), exclude_seen=True)
    every = Candidates.sampled(examples, answers.catalogue, n)
    full, sampled = evaluate(answers, examples), evaluate(answers, examples, candidates=every)
    assert sampled.all.to_json() == full.all.to_json()
    assert sampled.counts == full.counts
    assert full.counts.tied_targets > 0


def test_neither_the_order_of_candidates_nor_blocks_change_a_figure() -> None:
    n = 40
    examples = many(40, n, seed=1)
    answers = scored(np.random.default_rng(1).random(n).tolist(), exclude_seen=True)
    drawn = Candidates.sampled(examples, answers.catalogue, 12)
    other = replace(drawn, items=drawn.items[:, ::-1])
    found = evaluate(answers, examples, candidates=drawn)
    assert evaluate(answers, examples, candidates=other).all.to_json() == found.all.to_json()
    assert evaluate(answers, examples, candidates=drawn, block_bytes=1).to_json() == found.to_json()


def test_a_target_that_is_excluded_as_seen_cannot_be_hit() -> None:
    examples = asked([[0, 1], [0, 1]], [1, 2], 6)
    drawn = Candidates.sampled(examples, catalogue_of(6), 2)
    answers = scored([9.0, 8.0, 7.0, 0.0, 0.0, 0.0], exclude_seen=True)
    found = evaluate(answers, examples, metrics=["mrr"], candidates=drawn)
    assert found.per_user["mrr"].tolist() == [0, 1]
    assert found.counts.excluded_targets == 1


def test_sampled_figures_say_so_in_every_output() -> None:
    examples = many(20, 30)
    answers = scored(list(range(30)), exclude_seen=True)
    drawn = Candidates.sampled(examples, answers.catalogue, 10, seed=6, by="popularity")
    found = evaluate(answers, examples, candidates=drawn)
    mark = "SAMPLED, not comparable with full ranking: each target among 10 items drawn by popularity, seed 6"
    assert found.protocol == f"by hand; {mark}"
    assert mark in found.lines()[0]
    assert "0 targets have fewer than 10 candidates: the catalogue does not hold enough" in found.lines()
    assert any(line.startswith("warning: sampled figures do not order models") for line in found.lines())
    assert found.rows()[0][0] == "SAMPLED metric"
    told = found.to_json()
    assert told["protocol"] == found.protocol
    assert told["sampled"] == {
        "number": 10,
        "seed": 6,
        "by": "popularity",
        "exclude_seen": True,
        "fewer": 0,
        "fingerprint": drawn.sampling.fingerprint,
        "comparable_with_full_ranking": False,
    }
    everything = json.dumps(told, allow_nan=False) + "\n".join(found.lines()) + repr(found)
    assert "secret" not in everything

    full = evaluate(answers, examples)
    assert (full.sampled, full.to_json()["sampled"], full.protocol) == (None, None, "by hand")
    assert "sampled" not in "\n".join(full.lines()).casefold()
    assert full.rows()[0][0] == "metric"


def test_sampled_and_full_or_two_draws_are_not_compared() -> None:
    examples = many(20, 30)
    first, second = scored(list(range(30)), True), scored(list(range(30, 0, -1)), True)
    drawn = Candidates.sampled(examples, first.catalogue, 10, seed=1)
    again = Candidates.sampled(examples, second.catalogue, 10, seed=1)
    found = {
        "a": evaluate(first, examples, candidates=drawn),
        "b": evaluate(second, examples, candidates=again),
    }
    assert compare(found, "mrr").metric == "mrr"

    def refused(other: Evaluation) -> str:
        with pytest.raises(DataError) as fault:
            compare({"a": found["a"], "b": other}, "mrr")
        return str(fault.value)

    assert "'a' and 'b' were ranked among different items (SAMPLED" in refused(evaluate(second, examples))
    assert "full ranking" in refused(evaluate(second, examples))
    for other in (
        Candidates.sampled(examples, second.catalogue, 10, seed=2),
        replace(drawn, items=np.roll(drawn.items, 1, axis=1)),
    ):
        said = refused(evaluate(second, examples, candidates=other))
        assert "on the same candidates" in said
        assert other.sampling.fingerprint in said


@pytest.mark.parametrize(
    ("lists", "more", "said"),
    [
        ([[0, 1], [0, 1]], {}, "1 queries have their own target among the candidates"),
        ([[0, 0], [2, 3]], {}, "1 queries have an item twice"),
        ([[0, 5], [5, 3]], {"exclude_seen": True}, "2 queries have items of the history"),
        (
            [[0, 3], [2, 3]],
            {"exclude_seen": False},
            "exclude_seen=False and are ranked with exclude_seen=True",
        ),
        ([[0, 5], [5, 3]], {}, "2 queries have items of the history"),
        ([[0, 1]], {}, "candidates for 1 targets, and 2 are asked"),
    ],
)
def test_candidates_that_are_none_are_refused(
    lists: list[list[int]], more: dict[str, Any], said: str
) -> None:
    examples = asked([[5], [5]], [2, 1], 6)
    few = examples if len(lists) == 2 else asked([[5]], [2], 6)
    with pytest.raises((DataError, ConfigError)) as fault:
        evaluate(scored([1.0] * 6, True), examples, candidates=chosen(few, lists, 6, **more))
    assert said in str(fault.value)


def test_candidates_of_other_examples_or_another_catalogue_are_refused() -> None:
    examples = asked([[5], [5]], [2, 1], 6)
    drawn = Candidates.sampled(examples, catalogue_of(6), 2)
    answers = scored([1.0] * 6, True)
    with pytest.raises(DataError, match="other targets in 1 of 2 queries"):
        evaluate(answers, asked([[5], [5]], [2, 0], 6), candidates=drawn)
    renamed = replace(drawn, catalogue=Catalogue(pl.Series(list("abcdef")), np.ones(6, dtype=np.int64)))
    with pytest.raises(DataError, match="another catalogue"):
        evaluate(answers, examples, candidates=renamed)
    with pytest.raises(DataError, match="count 6 items, the catalogue 7"):
        Candidates.sampled(examples, catalogue_of(7))
