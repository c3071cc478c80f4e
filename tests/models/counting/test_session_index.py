"""Training sequences as neighbours: which come first, and what is kept of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ArtifactError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting import session_index
from ensue.models.counting.session_index import LONGEST, Recent, SessionIndex, blocks, first_of_rows
from ensue.ranking import Parts
from ensue.sequences import Queries

DAY = 86_400_000_000


def index_of(sequences: dict[str, tuple[str, int]], sample: int = 0) -> tuple[SessionIndex, Training]:
    """The index of users' items, one event a second, the last of them on the given day."""
    rows = [
        (user, item, day * DAY + (place - len(items)) * 1_000_000)
        for user, (items, day) in sequences.items()
        for place, item in enumerate(items)
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    training = Training.of(EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))))
    return SessionIndex.of(training.sequences, sample), training


def text_of(index: SessionIndex, training: Training) -> list[str]:
    ids = training.catalogue.decode(index.items)
    return ["".join(ids[a:b]) for a, b in zip(index.offsets[:-1], index.offsets[1:], strict=True)]


def test_sequences_that_ended_last_come_last() -> None:
    index, training = index_of({"u": ("ab", 30), "v": ("bc", 10), "w": ("ca", 20)})
    assert text_of(index, training) == ["bc", "ca", "ab"]
    assert index.ended is not None
    assert index.ended.tolist() == [day * DAY - 1_000_000 for day in (10, 20, 30)]


def test_of_an_item_only_its_last_place_is_kept() -> None:
    index, training = index_of({"u": ("abacab", 1), "v": ("ccc", 2)})
    assert text_of(index, training) == ["cab", "c"]


def test_without_times_the_order_is_that_of_the_log() -> None:
    log = EventLog.of(pl.DataFrame({"user": list("vvuuw"), "item": list("abcda")}))
    training = Training.of(log)
    index = SessionIndex.of(training.sequences, 0)
    assert text_of(index, training) == ["cd", "ab", "a"]  # the log is ordered by user
    assert index.ended is None


def test_only_the_last_holders_of_an_item_are_looked_at() -> None:
    index, training = index_of({"u": ("ab", 1), "v": ("a", 2), "w": ("a", 3), "x": ("b", 4)}, sample=2)
    a, b = training.catalogue.encode(["a", "b"])
    held = index.holders.toarray()
    assert held[a].tolist() == [0, 1, 1, 0]
    assert held[b].tolist() == [1, 0, 0, 1]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(1, 12))
def test_the_recent_items_are_the_different_ones_of_the_last_events(history: list[int], last: int) -> None:
    expected = list(dict.fromkeys(reversed(history[-last:])))
    recent = Recent.of(Queries.of([history, [0]], 5), last)
    assert recent.items[0, : len(expected)].tolist() == expected
    assert (recent.items[0, len(expected) :] == 5).all()
    assert recent.counts.tolist() == [len(expected), 1]
    assert recent.items.shape == (2, last)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1 << 62)), unique=True), st.integers(1, 5))
def test_the_first_of_each_row_are_its_largest(pairs: list[tuple[int, int]], k: int) -> None:
    pairs.sort(key=lambda pair: pair[0])
    rows = np.array([row for row, _ in pairs], dtype=np.int64)
    keys = np.array([key for _, key in pairs], dtype=np.int64)
    kept = first_of_rows(keys, rows, k)
    for row in set(rows.tolist()):
        of_row = sorted(keys[rows == row].tolist(), reverse=True)
        assert sorted(keys[kept & (rows == row)].tolist(), reverse=True) == of_row[:k]


def test_blocks_hold_every_row_once_and_no_more_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_index, "AT_ONCE", 10)
    assert list(blocks(np.array([4, 6, 1, 30, 0, 0, 10, 3]))) == [(0, 2), (2, 3), (3, 4), (4, 7), (7, 8)]
    assert list(blocks(np.zeros(0, dtype=np.int64))) == []


@pytest.mark.parametrize("back", [0, 1, 60, LONGEST - 1])
def test_the_newest_shared_item_is_told_however_far_back(back: int) -> None:
    """The neighbour holds the item `back` steps ago and, for good measure, all that are older."""
    ids = [f"{place:03d}" for place in range(LONGEST)]  # most recent first
    older, rest = ids[back:], ids[:back]
    rows = [("n", item) for item in older] + [(f"z{item}", item) for item in rest]
    training = Training.of(EventLog.of(pl.DataFrame(rows, schema=["user", "item"], orient="row")))
    index = SessionIndex.of(training.sequences, 0)
    history = training.catalogue.encode(list(reversed(ids)))
    recent = Recent.of(Queries.of([history], LONGEST), LONGEST)
    (pairs,) = index.neighbours(recent, np.ones((1, LONGEST)), 10_000, by_length=False)
    assert index.items[pairs.places[pairs.sequences == 0]].tolist() == [recent.items[0, back]]
    assert pairs.similarity[pairs.sequences == 0].tolist() == [LONGEST - back]


def test_of_equals_the_one_that_ended_last_is_the_neighbour() -> None:
    index, training = index_of({"u": ("ab", 3), "v": ("ac", 9), "w": ("ad", 5), "x": ("e", 10)})
    recent = Recent.of(Queries.of([training.catalogue.encode(["a"])], 5), 1)
    (pairs,) = index.neighbours(recent, np.ones((1, 1)), 2, by_length=False)
    assert sorted(text_of(index, training)[s] for s in pairs.sequences) == ["ac", "ad"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("items", lambda x: x[:-1]),
        ("items", lambda x: x + 100),
        ("items", lambda x: x - 100),
        ("offsets", lambda x: x[::-1]),
        ("offsets", lambda x: x[:1]),
        ("offsets", lambda x: x[:-1]),
        ("ended", lambda x: x[:-1]),
        ("ended", lambda x: x[::-1]),
    ],
)
def test_damaged_sequences_are_refused(name: str, change: object) -> None:
    index, training = index_of({"u": ("ab", 3), "v": ("ac", 9)})
    parts = index.parts({})
    arrays = {**parts.arrays, name: change(parts.arrays[name])}  # type: ignore[operator]
    with pytest.raises(ArtifactError, match="stored sequences do not fit their 3 items"):
        SessionIndex.restored(Parts(parts.settings, arrays), training.catalogue)
