"""The table of a prior: masses by hand, own counts left out, parts that add up, and what is stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.test_transitions import N, sequences_of, walks

from ensue.errors import ArtifactError
from ensue.prior_table import Leaning, Transitions
from ensue.sequences import Queries
from ensue.transitions import row_shares, row_totals, transition_counts

ROWS = [[0, 1, 2], [0, 1, 3], [0, 2]]


def full(rows: list[list[int]], window: int = 2) -> np.ndarray:
    return row_shares(transition_counts(sequences_of(rows), window)).toarray()


def test_the_mass_is_the_sum_of_the_rows_of_the_last_items() -> None:
    table = Transitions.counted(sequences_of(ROWS), 2, 2, 0.5, 3)
    # window 2: 0 -> 1 twice, 0 -> 2 (1 + 1/2), 0 -> 3 (1/2): 4 in all; 1 -> 2 once, 1 -> 3 once: 2 in all
    of_0 = np.array([0, 2, 1.5, 0.5, 0]) / 4
    of_1 = np.array([0, 0, 1, 1, 0]) / 2
    rows = table.rows(np.array([[1, 0], [0, N], [N, N], [0, 0]]))
    found = table.mass(rows).toarray()
    expected = np.stack([of_1 + 0.5 * of_0, of_0, 0 * of_0, 1.5 * of_0])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert table.totals.tolist() == [4, 2, 0, 0, 0]


@settings(max_examples=30)
@given(walks, st.integers(2, 4), st.sampled_from([0, 1, 2]))
def test_own_counts_touch_no_table_that_a_user_is_trained_with(
    rows: list[list[int]], folds: int, most: int
) -> None:
    """The table of a sequence is that of all users of other folds, to the last entry that is kept."""
    table = Transitions.counted(sequences_of(rows), 3, 2, 0.5, folds, most)
    assert table.folds is not None
    sizes = np.diff(table.shares.indptr)
    assert most == 0 or sizes.max(initial=0) <= most
    for place in range(len(rows)):
        fold = int(table.folds[place])
        others = [row if table.folds[other] != fold else [] for other, row in enumerate(rows)]
        counted = Transitions.counted(sequences_of([*others, []]), 3, 2, 0.5, len(rows) + 1, most)
        items = np.arange(N)[:, None]
        own = table.mass(table.rows(items, np.full(N, fold))).toarray()
        assert (own > 0).tolist() == (counted.mass(counted.rows(items)).toarray() > 0).tolist()
        np.testing.assert_allclose(own, counted.mass(counted.rows(items)).toarray(), rtol=1e-6)


def test_a_single_user_is_told_nothing() -> None:
    """Neither in training nor in answers: what it has counted is all that there is."""
    table = Transitions.counted(sequences_of([[0, 1, 2, 0, 1]]), 2, 2, 0.5, 10)
    assert table.shares.shape == (2 * N, N)
    assert table.shares.nnz == 0


def test_counts_beside_are_in_every_table() -> None:
    beside = transition_counts(sequences_of([[3, 4], [0, 1]]), 2)
    table = Transitions.counted(sequences_of(ROWS), 2, 1, 1.0, 3, beside=beside)
    everything = full([*ROWS, [3, 4], [0, 1]])
    items = np.arange(N)[:, None]
    np.testing.assert_allclose(table.mass(table.rows(items)).toarray(), everything, rtol=1e-6)
    others = full([ROWS[1], ROWS[2], [3, 4], [0, 1]])
    first = table.mass(table.rows(items, np.zeros(N, dtype=np.int64)))
    np.testing.assert_allclose(first.toarray(), others, rtol=1e-6)


def test_what_was_counted_is_found_again_and_goes_on() -> None:
    """The counts of a stored table and those of new sequences are those of all of them."""
    known = Transitions.counted(sequences_of(ROWS), 2, 1, 1.0, 3)
    new = [[0, 1, 6], [5, 6]]
    table = Transitions.counted(sequences_of(new, n=7), 2, 1, 1.0, 3, beside=known.answering.counts(7))
    expected = transition_counts(sequences_of(ROWS + new, n=7), 2)
    np.testing.assert_allclose(table.counts(7).toarray(), expected.toarray(), rtol=1e-6)
    np.testing.assert_allclose(table.totals, row_totals(expected), rtol=1e-6)


def test_scores_get_the_logarithm_and_an_empty_history_nothing() -> None:
    leaning = Leaning(Transitions.counted(sequences_of(ROWS), 2, 2, 0.5, 3), 0.7, 20.0)
    scores = np.ones((3, N), dtype=np.float32)
    queries = Queries.of([[1, 0], [], [4]], N)
    leaning.add(scores, queries)
    mass = np.array([0, 2, 1.5, 0.5, 0]) / 4 + 0.5 * np.array([0, 0, 1, 1, 0]) / 2
    np.testing.assert_allclose(scores[0], 1 + 0.7 * np.log(1 + 20 * mass), rtol=1e-6)
    assert scores[1:].tolist() == [[1] * N] * 2


@settings(max_examples=50)
@given(st.lists(st.integers(0, N), min_size=2, max_size=2), st.floats(-1, 2), st.floats(0.1, 50))
def test_the_parts_of_the_last_items_add_up_to_the_whole(
    recent: list[int], alpha: float, scale: float
) -> None:
    leaning = Leaning(Transitions.counted(sequences_of(ROWS), 2, 2, 0.5, 3), alpha, scale)
    scores = np.zeros((1, N), dtype=np.float32)
    if recent[0] == N:  # what is missing is missing at the end
        recent = recent[::-1]
    leaning.add(scores, Queries.of([[item for item in recent[::-1] if item < N]], N))
    parts = leaning.parts(np.array([item for item in recent[::-1] if item < N])).toarray()
    np.testing.assert_allclose(parts.sum(axis=0), scores[0], rtol=1e-5, atol=1e-6)
    table = leaning.transitions
    alone = np.stack(
        [
            0.5**back * table.mass(table.rows(np.array([[item]]))).toarray()[0]
            for back, item in enumerate(recent)
        ]
    )
    assert (parts != 0).tolist() == ((alone > 0) & (scores[0] != 0)).tolist()
    if recent[1] < N and recent[0] < N:
        both = (alone > 0).all(axis=0) & (scores[0] != 0)
        np.testing.assert_allclose(
            parts[0][both] / parts[1][both], alone[0][both] / alone[1][both], rtol=1e-4
        )


def test_hidden_items_have_no_mass_whatever_the_way_they_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two last items of a history: after 2, 0, 1 those are 0 and 1, and 2 may come again."""
    plain = Transitions.counted(sequences_of([*ROWS, [1, 0], [2, 1]]), 2, 3, 0.5, 3)
    table = replace(plain, hides=2)
    histories = Queries.of([[2, 0, 1], [], [1]], N)
    rows = table.rows(histories.last(3))
    expected = plain.mass(rows).toarray()
    assert (expected[0, :3] > 0).all()
    expected[0, [0, 1]] = expected[2, 1] = 0
    for marks in (16_000_000, 0):
        monkeypatch.setattr("ensue.prior_table.MARKS", marks)
        assert table.mass(rows, histories).toarray().tolist() == expected.tolist()
        assert plain.mass(rows, histories).nnz > table.mass(rows, histories).nnz
    leaning = Leaning(table, 0.7, 20.0)
    scores = np.zeros((1, N), dtype=np.float32)
    leaning.add(scores, histories[:1])
    assert scores[0, :2].tolist() == [0, 0]
    parts = leaning.parts(np.array([2, 0, 1], dtype=np.int32)).toarray()
    np.testing.assert_allclose(parts.sum(axis=0), scores[0], rtol=1e-5)


def test_blocks_of_any_size_answer_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    leaning = Leaning(Transitions.counted(sequences_of(ROWS), 2, 2, 0.5, 3), 0.7, 20.0)
    queries = Queries.of([[0], [1, 0], [2], [0, 1], [3]], N)
    whole, pieces = np.zeros((5, N), dtype=np.float32), np.zeros((5, N), dtype=np.float32)
    leaning.add(whole, queries)
    monkeypatch.setattr("ensue.prior_table.AT_ONCE", 2)
    leaning.add(pieces, queries)
    assert pieces.tolist() == whole.tolist()


@given(
    st.lists(st.lists(st.integers(0, N - 1), max_size=9), min_size=1, max_size=4),
    st.integers(0, 3),
    st.booleans(),
)
def test_one_history_is_told_the_same_as_among_others(
    histories: list[list[int]], hides: int, few: bool
) -> None:
    """To the last bit, whether it is asked about by itself or not, and however many items there are."""
    walked = [*ROWS, [1, 0, 4], [2, 1, 3], [0, 0, 1, 1], [2, 2, 3, 3, 4, 4]]  # each item may follow itself
    counted = Transitions.counted(sequences_of(walked), 2, 3, 0.3, 3)
    leaning = Leaning(replace(counted, hides=hides), 0.7, 20.0)
    queries = Queries.of(histories, N)
    whole, alone = (np.zeros((len(queries), N), dtype=np.float32) for _ in range(2))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ensue.prior_table.FEW_ITEMS", 0)
        leaning.add(whole, queries)
        patched.setattr("ensue.prior_table.FEW_ITEMS", N if few else N - 1)
        for place in range(len(queries)):
            leaning.add(alone[place : place + 1], queries[place : place + 1])
    assert alone.tolist() == whole.tolist()


def test_new_items_have_no_mass_and_change_none() -> None:
    table = Transitions.counted(sequences_of(ROWS), 2, 2, 0.5, 3)
    longer = table.extended(2)
    items = np.array([[0, 1], [5, 6]])
    found = longer.mass(longer.rows(items)).toarray()
    assert found[0].tolist() == [*table.mass(table.rows(items[:1])).toarray()[0], 0, 0]
    assert found[1].tolist() == [0] * 7
    assert longer.totals.tolist() == [*table.totals, 0, 0]


def test_what_is_stored_comes_back() -> None:
    leaning = Leaning(Transitions.counted(sequences_of(ROWS), 2, 2, 0.5, 3), 0.7, 20.0)
    again = Leaning.restored(leaning.to_json(), leaning.arrays(), N)
    queries = Queries.of([[0], [1, 0]], N)
    first, second = np.zeros((2, N), dtype=np.float32), np.zeros((2, N), dtype=np.float32)
    leaning.add(first, queries)
    again.add(second, queries)
    assert second.tolist() == first.tolist()
    assert again.transitions.totals.tolist() == leaning.transitions.totals.tolist()


@pytest.mark.parametrize(
    ("said", "arrays"),
    [
        ({"last": 0}, {}),
        ({"last": None}, {}),
        ({"alpha": float("nan")}, {}),
        ({"scale": "20"}, {}),
        ({}, {"transitions.totals": np.zeros(N - 1)}),
        ({}, {"transitions.indices": np.full(5, N, dtype=np.int32)}),
        ({}, {"transitions.indptr": np.zeros(N + 1, dtype=np.int64)}),
        ({}, {"transitions.data": None}),
    ],
)
def test_a_damaged_table_is_refused(said: dict[str, Any], arrays: dict[str, Any]) -> None:
    leaning = Leaning(Transitions.counted(sequences_of(ROWS), 2, 2, 0.5, 3), 0.7, 20.0)
    held = {name: array for name, array in (leaning.arrays() | arrays).items() if array is not None}
    with pytest.raises(ArtifactError):
        Leaning.restored(leaning.to_json() | said, held, N)
    with pytest.raises(ArtifactError):
        Leaning.restored(None, leaning.arrays(), N)
    assert replace(leaning, alpha=1.0).to_json()["alpha"] == 1.0
