"""Laws of evaluation: figures are those of plain Python, and neither blocks nor the order of items change one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.test_evaluation import FALLING, Table, asked, recommender, same

from ensue.evaluation import EVENT_BYTES, evaluate
from ensue.metrics import NDCG, Recall
from ensue.splits import Examples

# ----------------------------------------------------------------------------------------------- blocks


@dataclass
class Log:
    """Somebody who notes what he is told."""

    total: float = 0
    advanced: list[float] = field(default_factory=list)

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Log]:
        self.total = total
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.advanced.append(amount)

    def say(self, text: str) -> None:
        raise AssertionError(text)


@st.composite
def examples_of_six(draw: st.DrawFn) -> Examples:
    histories, targets, users = [], [], []
    for user in range(draw(st.integers(1, 5))):
        sequence = draw(st.lists(st.integers(0, 5), max_size=6))
        for end in range(draw(st.integers(0, len(sequence))), len(sequence) + 1):
            histories.append(sequence[:end])
            targets.append(draw(st.integers(-1, 5)))
            users.append(f"u{user}")
    return asked(histories, targets, users, 6)


TIED = np.array([[(3 * last + item) % 4 for item in range(6)] for last in range(6)], dtype=np.float64)


@settings(max_examples=25)
@given(examples_of_six(), st.integers(1, 600), st.booleans())
def test_the_size_of_the_blocks_changes_no_figure(
    examples: Examples, block_bytes: int, exclude_seen: bool
) -> None:
    whole = evaluate(recommender(TIED), examples, exclude_seen=exclude_seen)
    same(whole, evaluate(recommender(TIED), examples, exclude_seen=exclude_seen, block_bytes=block_bytes))


@settings(max_examples=25)
@given(examples_of_six(), st.integers(1, 2000))
def test_blocks_ask_each_question_once_in_order_within_the_memory(
    examples: Examples, block_bytes: int
) -> None:
    answers, log = recommender(TIED), Log()
    evaluate(answers, examples, block_bytes=block_bytes, progress=log)
    assert isinstance(answers.scoring, Table)
    lengths = examples.queries.lengths
    calls = answers.scoring.calls
    assert [n for call in calls for n in call] == lengths[lengths > 0].tolist()
    assert log.total == sum(log.advanced) == len(examples)
    start = 0
    for size in map(int, log.advanced):
        cost = 6 * 8 * size + EVENT_BYTES * int(lengths[start : start + size].sum())
        assert cost <= block_bytes or size == 1
        start += size


def test_the_questions_of_one_sequence_stay_together_where_they_fit() -> None:
    users = ["x"] * 3 + ["y"] * 3 + ["z"] * 5
    examples = asked([[0]] * 11, [1] * 11, users, 6)
    each = 6 * 8 + EVENT_BYTES
    log = Log()
    evaluate(recommender(FALLING), examples, block_bytes=4 * each, progress=log)
    assert log.advanced == [3, 3, 4, 1], "x and y whole; z does not fit, and is cut"
    log = Log()
    evaluate(recommender(FALLING), examples, block_bytes=6 * each, progress=log)
    assert log.advanced == [6, 5]


# ------------------------------------------------------------------------------------------------- laws


@settings(max_examples=25)
@given(examples_of_six(), st.permutations(range(6)), st.booleans())
def test_the_order_of_the_items_changes_no_figure(
    examples: Examples, places: list[int], exclude_seen: bool
) -> None:
    to = np.array([*places, -1], dtype=np.int32)  # -1 stays -1
    moved = np.empty_like(TIED)
    moved[np.ix_(to[:6], to[:6])] = TIED
    other = replace(
        examples,
        queries=replace(examples.queries, items=to[examples.queries.items]),
        targets=to[examples.targets],
    )
    same(
        evaluate(recommender(TIED), examples, exclude_seen=exclude_seen),
        evaluate(recommender(moved), other, exclude_seen=exclude_seen),
    )


@settings(max_examples=25)
@given(examples_of_six(), st.booleans())
def test_a_slate_holds_an_untied_target_if_and_only_if_recall_counts_it(
    examples: Examples, exclude_seen: bool
) -> None:
    rows = np.random.default_rng(1).permuted(FALLING, axis=1)
    answers = recommender(rows, exclude_seen, counts=[6, 5, 4, 3, 2, 1])
    alone = replace(examples, groups=np.arange(len(examples)))
    found = evaluate(answers, alone, metrics=[Recall(2)])
    for q, target in enumerate(examples.targets.tolist()):
        history = examples.queries[q : q + 1].pairs()[1]
        slate = answers.recommend(answers.catalogue.decode(history), 2)
        assert found.per_user["recall@2"][q] == (target >= 0 and f"i{target}" in slate.items)


@settings(max_examples=25)
@given(examples_of_six())
def test_every_figure_is_what_plain_python_gives(examples: Examples) -> None:
    found = evaluate(recommender(TIED), examples, metrics=[NDCG(3), Recall(3)], exclude_seen=True)
    gains: dict[int, list[float]] = {}
    for q, target in enumerate(examples.targets.tolist()):
        history = examples.queries[q : q + 1].pairs()[1].tolist()
        scores = TIED[history[-1]].tolist() if history else [1 / 6] * 6
        left = [item for item in range(6) if item not in history]
        gain = 0.0
        if target in left:
            above = sum(scores[item] > scores[target] for item in left)
            equal = sum(scores[item] == scores[target] for item in left) - 1
            rank = 1 + above + equal / 2
            gain = 1 / log2(1 + rank) if rank <= 3 else 0.0
        gains.setdefault(int(examples.groups[q]), []).append(gain)
    by_user = [sum(values) / len(values) for values in gains.values()]
    assert found.per_user["ndcg@3"].tolist() == pytest.approx(by_user)
    assert found.value("ndcg@3") == pytest.approx(sum(by_user) / len(by_user))
    assert found.value("recall@3") >= found.value("ndcg@3")
