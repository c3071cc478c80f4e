"""Ragged sequences, queries, windows and batches, each against plain Python and its law."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.batching import batches, pad, ranges, shared_windows, windows
from ensue.catalogue import Catalogue
from ensue.errors import ColumnError, DataError
from ensue.events.log import EventLog
from ensue.sequences import Queries, Sequences, context_of, run_offsets, unit_column

N = 9
histories = st.lists(st.lists(st.integers(0, N - 1), max_size=12), max_size=8)
some_lengths = st.lists(st.integers(1, 40), max_size=40)


def log_of(users: str, items: str, **columns: list[object]) -> EventLog:
    return EventLog.of(pl.DataFrame({"user": list(users), "item": list(items), **columns}))


# --------------------------------------------------------------------------------------------- ranges


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-3, 8)), max_size=10))
def test_ranges_are_those_of_python(pairs: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in pairs], dtype=np.int64)
    ends = starts + np.array([length for _, length in pairs], dtype=np.int64)
    rows, positions = ranges(starts, ends)
    expected = [(q, p) for q, (start, length) in enumerate(pairs) for p in range(start, start + length)]
    assert list(zip(rows.tolist(), positions.tolist(), strict=True)) == expected


@given(st.lists(st.sampled_from("ab"), max_size=20))
def test_runs_begin_where_the_key_changes(keys: list[str]) -> None:
    found = run_offsets(pl.Series(keys, dtype=pl.String)).tolist()
    expected = [i for i in range(len(keys)) if i == 0 or keys[i] != keys[i - 1]]
    assert found == [*expected, len(keys)]


# ------------------------------------------------------------------------------------------ sequences


def test_sequences_lie_end_to_end_in_the_order_of_the_log() -> None:
    log = log_of("babab", "xyzxx", time=_times([5, 1, 3, 2, 4]), rating=[5.0, None, 3.0, 2.0, 4.0])
    catalogue = Catalogue.fit(log)  # x three times, then y, z
    found = Sequences.of(log, catalogue)
    assert catalogue.ids.to_list() == ["x", "y", "z"]
    assert found.keys.to_list() == ["a", "b"]
    assert found.offsets.tolist() == [0, 2, 5]
    assert found.items.tolist() == [1, 0, 2, 0, 0]
    assert found.lengths.tolist() == [2, 3]
    assert found.n_targets == (2 - 1) + (3 - 1)
    assert found.time is not None
    assert found.time.tolist() == [1, 2, 3, 4, 5]
    assert found.rating is not None
    assert found.rating[1:].tolist() == [2, 3, 4, 5]
    assert np.isnan(found.rating[0])
    assert len(found) == 2


def test_a_log_with_order_only_has_neither_times_nor_ratings() -> None:
    log = log_of("aab", "xyx")
    found = Sequences.of(log, Catalogue.fit(log))
    assert found.time is None
    assert found.rating is None


def test_sequences_by_session_are_those_of_the_sessions() -> None:
    log = log_of("aaab", "wxyz", session=["1", "1", "2", "1"])
    found = Sequences.of(log, Catalogue.fit(log), by="session")
    assert found.lengths.tolist() == [2, 1, 1]
    assert found.keys.n_unique() == 3, "session 1 of user a is not session 1 of user b"


def test_sessions_that_alternate_are_each_one_sequence() -> None:
    log = log_of("aaaa", "wxyz", session=["phone", "tablet", "phone", "tablet"])
    catalogue = Catalogue.fit(log)
    found = Sequences.of(log, catalogue, by="session")
    assert found.keys.to_list() == ["phone", "tablet"]
    assert [catalogue.decode(found.items[a:b]) for a, b in ((0, 2), (2, 4))] == [["w", "y"], ["x", "z"]]


def test_what_cannot_be_a_sequence_is_refused() -> None:
    log = log_of("ab", "xy")
    with pytest.raises(DataError, match="'user' or by 'session', not by 'basket'"):
        unit_column(log, "basket")
    with pytest.raises(ColumnError, match="no sessions"):
        unit_column(log, "session")
    with pytest.raises(DataError, match="Item 'y' is not in the catalogue"):
        Sequences.of(log, Catalogue.fit(log_of("a", "x")))


def test_each_sequence_is_a_query_with_all_of_its_events() -> None:
    log = log_of("aabbb", "xyzxx")
    found = Sequences.of(log, Catalogue.fit(log))
    queries = found.queries()
    assert queries.lengths.tolist() == [2, 3]
    assert queries.pairs()[1].tolist() == found.items.tolist()


# -------------------------------------------------------------------------------------------- queries


@given(histories, st.integers(0, 15))
def test_queries_are_read_as_plain_lists_are(lists: list[list[int]], n: int) -> None:
    queries = Queries.of(lists, N)
    assert len(queries) == len(lists)
    assert queries.lengths.tolist() == [len(history) for history in lists]
    rows, items = queries.pairs()
    assert list(zip(rows.tolist(), items.tolist(), strict=True)) == [
        (q, item) for q, history in enumerate(lists) for item in history
    ]
    assert queries.last(n).tolist() == [([*history[::-1], *[N] * n])[:n] for history in lists]


@given(histories, st.integers(1, 15))
def test_windows_of_queries_are_their_newest_events_padded_on_the_right(
    lists: list[list[int]], n: int
) -> None:
    padded, lengths = Queries.of(lists, N).windows(n)
    newest = [history[-n:] for history in lists]
    width = max([1, *map(len, newest)])
    assert padded.tolist() == [[*history, *[N] * (width - len(history))] for history in newest]
    assert lengths.tolist() == [len(history) for history in newest]
    assert padded.shape == (len(lists), width)


@given(histories, st.data())
def test_any_part_of_queries_is_the_queries_of_that_part(lists: list[list[int]], data: st.DataObject) -> None:
    queries = Queries.of(lists, N)
    first, last = sorted((data.draw(st.integers(0, len(lists))), data.draw(st.integers(0, len(lists)))))
    chosen = data.draw(st.lists(st.booleans(), min_size=len(lists), max_size=len(lists)))
    assert _lists(queries[first:last]) == lists[first:last]
    kept = [history for history, keep in zip(lists, chosen, strict=True) if keep]
    assert _lists(queries[np.array(chosen, dtype=bool)]) == kept


def test_prefixes_share_the_memory_of_their_sequence() -> None:
    items = np.arange(8, dtype=np.int32)
    steps = np.arange(1, 9, dtype=np.int64)
    queries = Queries(items, np.zeros(8, dtype=np.int64), steps, 8, time=steps * 10, at=steps * 10 + 5)
    part = queries[2:5]
    assert _lists(part) == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]]
    assert part.items is items
    assert part.at is not None
    assert part.at.tolist() == [35, 45, 55]


def test_shared_windows_share_rows_only_where_it_is_asked_for() -> None:
    """Three prefixes of one history: one row together, or one row each that ends where its own prefix does."""
    starts, ends = np.zeros(3, dtype=np.int64), np.array([1, 2, 4])
    ((which, first, last, rows, steps),) = shared_windows(starts, ends, 4, 100)
    assert (first.tolist(), last.tolist(), rows.tolist()) == ([0], [4], [0, 0, 0])
    assert sorted(zip(which.tolist(), steps.tolist(), strict=True)) == [(0, 0), (1, 1), (2, 3)]
    ((which, first, last, rows, steps),) = shared_windows(starts, ends, 4, 100, share=False)
    assert sorted(rows.tolist()) == [0, 1, 2]
    assert (last[rows] == ends[which]).all()
    assert (steps == ends[which] - 1).all()


def test_padding_is_no_item_so_that_a_forgotten_mask_fails() -> None:
    padded = pad(np.array([3, 4], dtype=np.int32), np.array([0, 2]), np.array([2, 2]), N)
    assert padded.tolist() == [[3, 4], [N, N]]
    with pytest.raises(IndexError):
        np.zeros(N)[padded]


# ---------------------------------------------------------------------------------- training windows


def covered(lengths: list[int], length: int) -> list[list[int]]:
    """The targets of each window, by their place among all events."""
    offsets = np.cumsum([0, *lengths])
    starts, ends = windows(offsets, length)
    return [
        list(range(start + 1, end + 1)) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 35))
def test_windows_train_every_target_exactly_once(lengths: list[int], length: int) -> None:
    found = covered(lengths, length)
    offsets = np.cumsum([0, *lengths])
    firsts = set(offsets[:-1].tolist())
    expected = [place for place in range(sum(lengths)) if place not in firsts]
    assert sorted(place for window in found for place in window) == expected
    assert all(1 <= len(window) <= length for window in found)
    for window in found:  # inputs and targets are of one sequence
        sequence = np.searchsorted(offsets, [window[0] - 1, window[-1]], side="right")
        assert sequence[0] == sequence[1]


@given(st.integers(2, 60), st.integers(1, 20))
def test_windows_are_cut_from_the_end(n: int, length: int) -> None:
    newest = covered([n], length)[0]
    assert newest[-1] == n - 1
    assert len(newest) == min(length, n - 1)


@given(st.integers(1, 12), st.integers(1, 40), st.one_of(st.none(), st.integers(0, 3)))
def test_31_events_in_7_sessions_are_24_targets_however_they_are_batched(
    length: int, tokens: int, seed: int | None
) -> None:
    lengths = [2, 9, 3, 3, 2, 8, 4]
    starts, ends = windows(np.cumsum([0, *lengths]), length)
    rng = None if seed is None else np.random.default_rng(seed)
    trained = [
        place + 1
        for batch in batches(ends - starts, tokens, rng)
        for window in batch.tolist()
        for place in range(starts[window], ends[window])
    ]
    assert len(trained) == len(set(trained)) == 31 - 7 == 24


# ---------------------------------------------------------------------------------------------- batches


@given(some_lengths, st.integers(1, 120), st.one_of(st.none(), st.integers(0, 3)))
def test_batches_hold_every_window_once_and_stay_within_the_tokens(
    lengths: list[int], tokens: int, seed: int | None
) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    sizes = np.array(lengths, dtype=np.int64)
    found = [batch.tolist() for batch in batches(sizes, tokens, rng)]
    assert sorted(window for batch in found for window in batch) == list(range(len(lengths)))
    for batch in found:
        padded = len(batch) * max(lengths[window] for window in batch)
        assert padded <= tokens or len(batch) == 1


@given(some_lengths, st.integers(40, 200))
def test_batches_are_filled_so_that_two_neighbours_never_fit_in_one(lengths: list[int], tokens: int) -> None:
    found = [batch.tolist() for batch in batches(np.array(lengths, dtype=np.int64), tokens)]
    for one, other in pairwise(found):
        joined = [*one, other[0]]
        assert len(joined) * max(lengths[window] for window in joined) > tokens


def test_little_is_padded_when_lengths_differ_widely(seeded: np.random.Generator) -> None:
    lengths = np.minimum(seeded.geometric(0.02, size=5000), 200)
    padded = sum(
        len(batch) * int(lengths[batch].max()) for batch in batches(lengths, 4000, np.random.default_rng(0))
    )
    # buckets are a quarter of a doubling wide: at worst 2^(1/4) = 1.19 of the tokens, plus the seams
    assert padded / lengths.sum() < 2**0.25


def test_the_same_seed_gives_the_same_batches_and_another_seed_another_order() -> None:
    lengths = np.arange(1, 60)
    first, again, other = (
        [batch.tolist() for batch in batches(lengths, 100, np.random.default_rng(seed))] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def _lists(queries: Queries) -> list[list[int]]:
    return [
        queries.items[start:end].tolist()
        for start, end in zip(queries.starts.tolist(), queries.ends.tolist(), strict=True)
    ]


def _times(microseconds: list[int]) -> list[object]:
    return pl.Series(microseconds).cast(pl.Datetime("us", "UTC")).to_list()


def test_the_first_sequences_are_those_of_a_log_of_their_users_alone() -> None:
    log = log_of("bbaacbc", "xyzxyxz")
    catalogue = Catalogue.fit(log)
    whole = Sequences.of(log, catalogue)
    for n in (0, 1, 2, len(whole), len(whole) + 5):
        some = whole.head(n)
        alone = log.where(pl.col("user").is_in(whole.keys.head(n).implode()))
        assert len(some) == min(n, len(whole))
        assert some.items.tolist() == catalogue.encode(alone.frame["item"]).tolist()
        assert some.keys.to_list() == whole.keys.to_list()[:n]
        assert some.queries().lengths.tolist() == whole.queries().lengths.tolist()[:n]
        assert (some.time is None) == (whole.time is None)
        assert some.time is None or len(some.time) == len(some.items)


def test_a_history_carries_its_baskets() -> None:
    """Models of baskets read which events were bought together."""
    log = EventLog.of(
        pl.DataFrame(
            {
                "user": ["u", "u"],
                "item": ["A", "B"],
                "basket": ["1", "1"],
                "quantity": [2.0, 1.0],
                "shop": ["x", "y"],
            }
        )
    )
    found = context_of(log)
    assert set(found) == {"basket", "quantity", "shop"}
    assert found["basket"].to_list() == ["1", "1"]
