"""The slates that figures are made of are those that serve, one for each user, whatever the blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.evaluation import evaluate
from ensue.examples import Examples
from ensue.ranking import Parts, Recommender, exclude_histories
from ensue.sequences import Queries
from ensue.slating import Slating

N = 7


@dataclass(frozen=True, eq=False)
class Table:
    """Scores by the last item of a history."""

    rows: NDArray[np.float64]

    def score(self, queries: Queries) -> NDArray[np.float64]:
        """The row of each history's last item."""
        return self.rows[queries.last(1)[:, 0]]

    def parts(self) -> Parts:
        """The table."""
        return Parts(arrays={"rows": self.rows})


TIED = np.array([[(3 * last + 2 * item) % 4 for item in range(N)] for last in range(N)], dtype=np.float64)
COUNTS = [3, 9, 9, 1, 0, 4, 4]


def recommender(exclude_seen: bool) -> Recommender:
    catalogue = Catalogue(pl.Series("item", [f"i{item}" for item in range(N)]), np.array(COUNTS))
    return Recommender(catalogue, Table(TIED), "table", exclude_seen=exclude_seen)


@st.composite
def asked(draw: st.DrawFn) -> Examples:
    """Questions of up to five users, each user's in a row."""
    histories, targets, groups = [], [], []
    for user in range(draw(st.integers(1, 5))):
        for _ in range(draw(st.integers(1, 3))):
            histories.append(draw(st.lists(st.integers(0, N - 1), max_size=8)))
            targets.append(draw(st.integers(-1, N - 1)))
            groups.append(2 * user)
    names = pl.Series("item", [f"i{target}" for target in targets])
    users = pl.Series("user", [f"u{user}" for user in range(max(groups) + 1)])
    answers = np.array(targets, dtype=np.int32)
    return Examples(Queries.of(histories, N), answers, np.array(groups), users, names, "drawn")


# ------------------------------------------------------------------------------------------- what is kept


def taken(examples: Examples, exclude_seen: bool, k: int, size: int) -> Slating:
    """The slates of all examples, whose scores pass by in blocks of so many queries."""
    answers = recommender(exclude_seen)
    found = Slating(examples, answers.catalogue, exclude_seen, k)
    for begin in range(0, len(examples), size):
        block = slice(begin, min(begin + size, len(examples)))
        queries = examples.queries[block]
        scores = answers.scores(queries)
        found.see(
            block,
            queries,
            examples.targets[block],
            exclude_histories(scores, queries) if exclude_seen else scores,
        )
    return found


@settings(max_examples=30)
@given(asked(), st.booleans(), st.integers(1, 9), st.integers(1, 8))
def test_a_slate_is_what_is_recommended_before_the_last_target(
    examples: Examples, exclude_seen: bool, k: int, size: int
) -> None:
    answers = recommender(exclude_seen)
    slates = taken(examples, exclude_seen, k, size).slates
    last = [
        q
        for q in range(len(examples))
        if q + 1 == len(examples) or examples.groups[q + 1] != examples.groups[q]
    ]
    assert len(slates) == len(last)
    by_count = sorted(range(N), key=lambda item: (-COUNTS[item], item))
    top = set(by_count[:2])  # 20 % of 7 items, rounded up
    for user, q in enumerate(last):
        history = examples.queries[q : q + 1].pairs()[1].tolist()
        target = int(examples.targets[q])
        served = answers.recommend(answers.catalogue.decode(history), k).items
        items = [int(item[1:]) for item in served]
        assert slates.items[user].tolist() == items + [N] * (k - len(items))
        assert slates.seen[user].tolist() == [item in history for item in items] + [False] * (k - len(items))
        assert slates.targets[user] == target
        assert slates.events[user] == len(history)
        assert slates.head_events[user] == sum(item in top for item in history)
        if not exclude_seen or target not in history:
            popular = [item for item in by_count if not (exclude_seen and item in history)][:k]
            assert slates.listed[user] == (target in popular)


def test_an_item_that_stands_in_a_history_many_times_makes_room_once() -> None:
    # by popularity i1, i2, i5, ...: with i1 out, i2 and i5 are listed and i6 is not
    histories, targets = [[1] * 6, [1, 0, 1, 1, 1], [1, 1, 1]], [6, 5, -1]
    names = pl.Series("item", ["i6", "i5", "cold"])
    examples = Examples(
        Queries.of(histories, N),
        np.array(targets, dtype=np.int32),
        np.arange(3),
        pl.Series("user", ["u0", "u1", "u2"]),
        names,
        "by hand",
    )
    assert taken(examples, True, 2, 3).slates.listed.tolist() == [False, True, False]
    assert taken(examples, False, 3, 3).slates.listed.tolist() == [False, True, False]


def test_slates_made_one_by_one_are_the_same(
    monkeypatch: pytest.MonkeyPatch, seeded: np.random.Generator
) -> None:
    histories = [seeded.integers(0, N, size).tolist() for size in seeded.integers(0, 9, 30)]
    names = pl.Series("item", ["i1"] * 30)
    users = pl.Series("user", [f"u{user}" for user in range(30)])
    targets = np.ones(30, dtype=np.int32)
    examples = Examples(Queries.of(histories, N), targets, np.arange(30), users, names, "drawn")
    whole = taken(examples, False, 3, 30).slates.items.tolist()
    for most in (1, 2 * N):
        monkeypatch.setattr("ensue.slating._SCORES", most)
        assert taken(examples, False, 3, 30).slates.items.tolist() == whole


# -------------------------------------------------------------------------------------- in an evaluation


@settings(max_examples=15)
@given(asked(), st.booleans(), st.integers(1, 900))
def test_the_size_of_the_blocks_changes_no_figure_of_slates(
    examples: Examples, exclude_seen: bool, block_bytes: int
) -> None:
    answers = recommender(exclude_seen)
    whole = evaluate(answers, examples, slates=True, curves=True, segments=("history", "popularity"))
    cut = evaluate(
        answers,
        examples,
        slates=True,
        curves=True,
        segments=("history", "popularity"),
        block_bytes=block_bytes,
    )
    assert whole.to_json() == cut.to_json()
    plain = evaluate(answers, examples)
    assert plain.slates is None
    for name in ("all", "warm", "cold_users", "counts"):
        assert whole.to_json()[name] == plain.to_json()[name], "asking for more changes nothing"
