"""Counting what follows what: by hand, in pieces, and apart for each fold of users."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ensue import transitions
from ensue.sequences import Sequences
from ensue.transitions import largest, row_shares, transition_counts, user_folds

N = 5
walks = st.lists(st.lists(st.integers(0, N - 1), max_size=9), min_size=1, max_size=7)


def sequences_of(rows: list[list[int]], users: list[str | None] | None = None, n: int = N) -> Sequences:
    offsets = np.cumsum([0, *map(len, rows)])
    items = np.array([item for row in rows for item in row], dtype=np.int32)
    keys = pl.Series([f"s{place}" for place in range(len(rows))], dtype=pl.String)
    own = None if users is None else pl.Series(users, dtype=pl.String)
    return Sequences(items, offsets.astype(np.int64), keys, n, users=own)


def test_pairs_count_one_over_their_distance() -> None:
    found = transition_counts(sequences_of([[0, 1, 2, 1], [2, 0]]), 2).toarray()
    expected = np.zeros((N, N))
    expected[0, 1] = 1
    expected[0, 2] = 1 / 2
    expected[1, 2] = 1
    expected[1, 1] = 1 / 2
    expected[2, 1] = 1
    expected[2, 0] = 1
    assert found.tolist() == expected.tolist()
    shares = row_shares(sp.csr_array(found)).toarray()
    assert shares[0].tolist() == [0, 1 / 1.5, 0.5 / 1.5, 0, 0]
    assert shares[3].tolist() == [0] * N


@given(walks, st.integers(1, 6), st.integers(1, 12))
def test_pieces_of_any_size_count_the_same(rows: list[list[int]], window: int, at_once: int) -> None:
    sequences = sequences_of(rows)
    whole = transition_counts(sequences, window).toarray()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transitions, "PAIRS_AT_ONCE", at_once)
        pieces = transition_counts(sequences, window).toarray()
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-12)


@given(walks, st.integers(1, 4))
def test_folds_stand_apart(rows: list[list[int]], most: int) -> None:
    sequences = sequences_of(rows)
    folds = user_folds(sequences, most)
    apart = transition_counts(sequences, 3, folds).toarray().reshape(-1, N, N)
    assert len(apart) == folds.max() + 1
    for fold, counts in enumerate(apart):
        alone = sequences_of([row for place, row in enumerate(rows) if folds[place] == fold])
        np.testing.assert_allclose(counts, transition_counts(alone, 3).toarray(), rtol=0, atol=1e-12)


def test_the_sequences_of_a_user_share_a_fold_and_unknown_users_do_not() -> None:
    sequences = sequences_of([[0]] * 7, ["a", "b", "a", None, None, "b", "c"])
    # a, b, the fourth, the fifth and c are five users, dealt in turn to three folds
    assert user_folds(sequences, 3).tolist() == [0, 1, 0, 2, 0, 1, 1]
    assert user_folds(replace(sequences, users=None), 3).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert user_folds(sequences_of([]), 3).tolist() == []


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]), min_size=6, max_size=6), min_size=1),
    st.integers(0, 7),
)
def test_of_each_row_the_largest_stay(rows: list[list[float]], most: int) -> None:
    table = sp.csr_array(np.array(rows, dtype=np.float32))
    expected = np.zeros_like(rows)
    for place, row in enumerate(rows):
        order = sorted(range(6), key=lambda column: (-row[column], column))
        chosen = order if most == 0 else order[:most]
        expected[place, chosen] = np.array(row)[chosen]
    found = largest(table, most)
    assert found.toarray().tolist() == expected.tolist()
    assert found.has_sorted_indices
