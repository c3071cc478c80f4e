"""Columns beside the items: encoded, padded and fed the same way wherever a network is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ensue.errors import ModelError
from ensue.events.log import EventLog
from ensue.inputs import GAPS, Inputs, gaps
from ensue.model import Training
from ensue.sequences import MISSING_TIME, Sequences

SECOND = 1_000_000


@pytest.fixture
def sequences() -> Sequences:
    """Two users: a acts at 0, 3 and 10 seconds, b once."""
    frame = pl.DataFrame(
        {
            "user": ["a", "a", "a", "b"],
            "item": ["x", "y", "x", "y"],
            "time": [0, 3 * SECOND, 10 * SECOND, 5 * SECOND],
            "city": ["here", None, "there", "here"],
            "rating": [1.0, 3.0, None, 2.0],
        }
    )
    log = EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))
    return Training.of(log).sequences


def test_text_of_fractions_is_read_as_the_numbers_that_it_is(sequences: Sequences) -> None:
    """A price from CSV is what it is from Parquet; whole numbers may be codes, and 007 is one."""
    texts = {
        "price": ["1.5", "3", "", "2"],
        "shop": ["1", "2", "1", "2"],
        "zip": ["01.5", "2.5", "3.5", "4.5"],
    }
    context = {name: pl.Series(name, values) for name, values in texts.items()}
    typed = context | {"price": pl.Series("price", [1.5, 3.0, None, 2.0])}
    found, wanted = (
        Inputs.fit(replace(sequences, context=columns), tuple(texts), length=3, causal=True)
        for columns in (context, typed)
    )
    assert [entry["kind"] for entry in found.encodings.to_json()] == ["number", "category", "category"]
    assert found.encodings.to_json() == wanted.encodings.to_json()
    flat = found.flat(replace(sequences.queries(), context=context))["price"]
    assert np.array_equal(
        flat, wanted.flat(replace(sequences.queries(), context=typed))["price"], equal_nan=True
    )


def test_gaps_are_powers_of_two_of_a_second() -> None:
    """0 s is in bucket 0, 1 and 2 s in bucket 1, 3 to 6 s in bucket 2; the first event has no event before it."""
    time = np.cumsum([0, 0, 1, 2, 3, 6, 7])[None] * SECOND
    assert gaps(time).tolist() == [[GAPS, 0, 1, 1, 2, 2, 3]]


def test_a_gap_to_a_time_that_is_not_known_is_not_known() -> None:
    assert gaps(np.array([[0, MISSING_TIME, SECOND]])).tolist() == [[GAPS, GAPS, GAPS]]


def test_each_question_waits_since_the_last_event_of_its_own_history(sequences: Sequences) -> None:
    """Three questions after parts of one history, in one row: 3 s after its second event, 2 and 63 after its third."""
    inputs = Inputs.fit(sequences, ("wait",), length=3, causal=True)
    assert inputs.columns == ("time",)
    whole = sequences.queries()
    at = np.array([*(SECOND * second for second in (6, 12, 10 + 63)), MISSING_TIME])
    starts, ends = np.array([0, 0, 0, 3]), np.array([2, 3, 3, 4])
    queries = replace(whole, starts=starts, ends=ends, at=at, users=None)
    asked: dict[int, int] = {}
    for which, fed in inputs.feeds(queries, 100):
        assert fed["wait"].shape == fed["asked"].shape
        asked |= dict(zip(which.tolist(), fed["wait"].ravel()[fed["places"]].tolist(), strict=True))
    assert asked == {0: 2, 1: 1, 2: 6, 3: GAPS}  # 3 to 6, 1 to 2, 63 to 126 seconds; not known
    early = replace(queries, at=np.array([2, 12, 12, 12]) * SECOND)
    assert inputs.waited(early).tolist() == [0, 1, 1, 3], "asked before its last event: at once"


def test_columns_are_fed_as_they_were_learnt(sequences: Sequences) -> None:
    inputs = Inputs.fit(sequences, ("city", "gap", "rating", "user"), length=2, causal=True)
    which, fed = next(inputs.feeds(sequences.queries(), 100))
    rows = {int(q): int(row) for q, row in zip(which, fed["places"] // fed["asked"].shape[1], strict=True)}
    assert fed["city"][rows[0]].tolist() == [3, 1]  # here 0, there 1, unseen 2, missing 3
    assert fed["gap"][rows[0]].tolist() == [GAPS, 3]  # a window begins anew: 7 seconds, and nothing before
    assert np.isnan(fed["rating"][rows[0]]).tolist() == [False, True]
    assert fed["user"].tolist() == [0, 1] if rows[0] == 0 else [1, 0]
    assert fed["city"][rows[1]].tolist()[0] == 0


def test_every_row_is_its_own_users(sequences: Sequences) -> None:
    """Batches go by length, so rows stand in another order than the questions: each must keep its user."""
    inputs = Inputs.fit(sequences, ("user",), length=3, causal=True)
    queries = sequences.queries()[np.array([0, 1])]
    assert queries.users is not None
    codes = inputs.encodings["user"].codes(queries.users)
    for which, fed in inputs.feeds(queries, 100):
        assert fed["user"][fed["places"] // fed["asked"].shape[1]].tolist() == codes[which].tolist()
        assert len(set(fed["user"].tolist())) == 2


def test_what_is_not_told_is_missing_and_what_is_new_is_unseen(sequences: Sequences) -> None:
    inputs = Inputs.fit(sequences, ("city", "user", "time"), length=3, causal=True)
    bare = replace(sequences.queries(), context={}, users=None, time=None)
    _, fed = next(inputs.feeds(bare, 100))
    assert set(fed["city"].ravel()) == {3}
    assert set(fed["user"]) == {inputs.encodings["user"].missing_code}
    assert set(fed["time"].ravel()) == {MISSING_TIME}
    stranger = replace(sequences.queries(), users=pl.Series(["nobody", "b"]))
    assert inputs.rows(stranger.users, 2).tolist() == [inputs.encodings["user"].unseen_code, 1]


def test_inputs_go_through_json_and_a_table_and_back(sequences: Sequences) -> None:
    inputs = Inputs.fit(sequences, ("city", "user"), length=3, causal=False)
    again = Inputs.restored(inputs.to_json(), inputs.encodings.table())
    assert (again.reads, again.length, again.causal) == (inputs.reads, 3, False)
    for (_, before), (_, after) in zip(
        inputs.feeds(sequences.queries(), 9), again.feeds(sequences.queries(), 9), strict=True
    ):
        assert {name: values.tolist() for name, values in before.items()} == {
            name: values.tolist() for name, values in after.items()
        }


def test_a_column_that_is_not_there_is_named(sequences: Sequences) -> None:
    with pytest.raises(ModelError, match=r"no column 'citty' to read; it has .* Did you mean 'city'\?"):
        Inputs.fit(sequences, ("citty",), length=3, causal=True)
    with pytest.raises(ModelError, match="the log has no times, so there is no 'gap' to read"):
        Inputs.fit(replace(sequences, time=None), ("gap",), length=3, causal=True)
