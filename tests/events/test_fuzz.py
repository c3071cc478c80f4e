"""Whatever a file holds: it becomes a log in which every row is counted, or the reason in one line, within a second."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.events.fuzzing import damage
from tests.events.samples import SAMPLES, listed

from ensue.errors import ColumnError, DataError, EnsueError
from ensue.events.readers import all_readers
from ensue.events.source import read

MOST_S = 1.0
REFUSED = ("avazu", "criteo")
"""Formats without users: known, so that the reason can be said."""


def outcome(path: Path, format: str | None = None) -> str:
    """The name of the format, or the reason why there is no log; fails on anything else."""
    begun = time.process_time()
    try:
        log = read(path, format=format)
    except EnsueError as error:
        text = str(error)
        assert text.strip(), "an error without a word"
        assert "\n" not in text, text
        assert len(text) < 1_500, text[:3_000]
        found = text
    else:
        reading = log.reading
        assert reading.rows_kept == log.n_events
        assert reading.rows_read == reading.rows_kept + sum(reading.set_aside.values()), reading
        assert all("\n" not in line for line in reading.notes)
        found = reading.format
    assert time.process_time() - begun < MOST_S
    return found


@pytest.mark.parametrize("name", [reader.name for reader in all_readers()])
def test_a_sample_is_read_as_what_it_is(tmp_path: Path, name: str) -> None:
    assert name in SAMPLES, f"the reader '{name}' needs a sample in tests/events/samples.py"
    for number, write in enumerate(SAMPLES[name]):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = write(folder)
        assert (outcome(path, name) == name) is (name not in REFUSED)
        outcome(path)


@pytest.mark.parametrize("name", [reader.name for reader in all_readers()])
@settings(max_examples=max(settings().max_examples // 8, 1))
@given(chance=st.randoms(use_true_random=False), which=st.integers(0, 9))
def test_a_broken_sample_is_a_log_or_a_reason(name: str, chance: Random, which: int) -> None:
    with tempfile.TemporaryDirectory() as made:
        path = SAMPLES[name][which % len(SAMPLES[name])](Path(made))
        damage(chance, Path(made))
        outcome(path)
        outcome(path, name)


# ------------------------------------------------------------------------------------------- JSON that is hard to take

DEEP = 30_000
HARD = {
    "nested lists": '{"user_id": "a", "item_id": ' + "[" * DEEP + "]" * DEEP + "}",
    "nested objects": '{"user_id": "a", "item_id": ' + '{"a":' * DEEP + "1" + "}" * DEEP + "}",
    "lists without an end": "[" * DEEP,
    "objects without an end": '{"a":' * DEEP,
    "signs": '{"user_id": "a", "item_id": "b", "time": ' + "-" * DEEP + "1}",
    "brackets": '{"user_id": "a", "item_id": "b", "time": ' + "(" * DEEP + "1}",
    "many digits": '{"user_id": "a", "item_id": "b", "time": ' + "9" * 10_000 + "}",
    "many digits as an id": '{"user_id": ' + "9" * 10_000 + ', "item_id": "b", "time": 1}',
    "far exponent": '{"user_id": "a", "item_id": "b", "time": 1e99999}',
    "large number": '{"user_id": "a", "item_id": "b", "time": 1e300, "rating": 1e400}',
    "beyond 64 bits": '{"user_id": 18446744073709551617, "item_id": -9223372036854775809, "time": 1}',
    "not a number": '{"user_id": "a", "item_id": "b", "time": NaN, "rating": NaN}',
    "infinity": '{"user_id": "a", "item_id": "b", "time": Infinity, "rating": -Infinity}',
    "numbers without a value as ids": '{"user_id": NaN, "item_id": Infinity, "time": 1}',
    "keys twice": '{"user_id": "a", "user_id": "b", "item_id": "x", "item_id": null, "time": 1}',
    "half a character": '{"user_id": "\\ud800", "item_id": "\\udfff", "time": 1, "\\ud800": "\\udc00"}',
    "null character": '{"user_id": "\\u0000", "item_id": "a\\u0000b", "time": 1}',
    "odd escapes": '{"user_id": "\\x41", "item_id": "\\uZZZZ", "time": 1}',
    "no object": '["user_id", "a"]',
    "a word": "user_id",
    "lists as ids": '{"user_id": ["a"], "item_id": {"b": 1}, "time": [1]}',
    "truths as ids": '{"user_id": true, "item_id": false, "time": true}',
    "no values": '{"user_id": null, "item_id": null, "time": null}',
    "an empty object": "{}",
    "a key without a name": '{"": 1, "user_id": "a", "item_id": "b", "time": 1}',
    "many keys": "{" + ",".join(f'"k{n}": {n}' for n in range(2_000)) + "}",
}

RENAMED = {
    "jsonlines": {},
    "amazon of 2014": {
        "user_id": "reviewerID",
        "item_id": "asin",
        "time": "unixReviewTime",
        "rating": "overall",
    },
    "amazon of 2023": {"item_id": "parent_asin", "time": "timestamp"},
}
GOOD = {
    "jsonlines": '{"user_id": "a", "item_id": "b", "time": 1}',
    "amazon of 2014": '{"reviewerID": "a", "asin": "b", "overall": 4.0, "unixReviewTime": 1393545600}',
    "amazon of 2023": '{"rating": 5.0, "parent_asin": "b", "user_id": "a", "timestamp": 1602133857705}',
}


@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize("name", GOOD)
def test_hard_json_lines(tmp_path: Path, name: str, hard: str) -> None:
    line = HARD[hard]
    for old, new in RENAMED[name].items():
        line = line.replace(f'"{old}"', f'"{new}"')
    for number, text in enumerate((line, f"{GOOD[name]}\n{line}\n{GOOD[name]}\n{GOOD[name]}\n")):
        path = listed({f"{number}.jsonl": text}, f"{number}.jsonl")(tmp_path)
        outcome(path)
        outcome(path, name.split()[0])


@pytest.mark.parametrize("hard", HARD)
def test_hard_json_beside_amazon_reviews(tmp_path: Path, hard: str) -> None:
    product = HARD[hard].replace('"user_id"', '"title"').replace('"item_id"', '"parent_asin"')
    listed({"A.jsonl": f"{GOOD['amazon of 2023']}\n", "meta_A.jsonl": f"{product}\n"})(tmp_path)
    outcome(tmp_path, "amazon")


BASKETS = {
    "nested": '{"a": ' + "[" * DEEP + "]" * DEEP + "}",
    "without an end": '{"a": [[' * 1_000,
    "many digits": '{"a": [[' + "9" * 10_000 + "]]}",
    "not a number": '{"a": [[NaN, Infinity, -Infinity, 1e400, 1.5]], "b": [[1]]}',
    "a user twice": '{"a": [[1]], "a": [[2]], "b": [[3]]}',
    "half a character": '{"\\ud800": [["\\udfff"]], "b": [[3]]}',
    "no lists": '{"a": 1, "b": null, "c": {"d": [[1]]}, "e": "x", "f": [1, 2], "g": [[1]]}',
    "a list": "[[1, 2]]",
    "nothing": "{}",
    "a number": "1",
    "beyond 64 bits": '{"a": [[18446744073709551617, 1]]}',
    "not utf-8": b'{"\xff": [["\x80", 1]]}'.decode("latin-1"),
}


@pytest.mark.parametrize("hard", BASKETS)
def test_hard_baskets(tmp_path: Path, hard: str) -> None:
    data = BASKETS[hard].encode("latin-1" if hard == "not utf-8" else "utf-8")
    path = listed({"x_merged.json": data}, "x_merged.json")(tmp_path)
    for one in (path, tmp_path):
        outcome(one)
        outcome(one, "baskets-json")


# ------------------------------------------------------------------------------------------- what was found in this way


def test_a_column_of_a_database_whose_name_is_no_text(tmp_path: Path) -> None:
    path = SAMPLES["sqlite"][0](tmp_path)
    path.write_bytes(path.read_bytes().replace(b"price", b"pri\xffe"))
    with pytest.raises(DataError, match=r"shop.db has a column whose name is not UTF-8"):
        read(path)


@pytest.mark.parametrize("mapping", [None, {"item": "StockCode"}, {"item": "x" * 9_000}])
def test_a_very_long_name_of_a_column_is_shortened_in_a_message(
    tmp_path: Path, mapping: dict[str, str] | None
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"user_id,item_no{'x' * 9_000},time\na,b,1\n", encoding="utf-8")
    with pytest.raises(ColumnError, match=r"item_nox{30}\.\.\.") as caught:
        read(path, columns=mapping)
    assert len(str(caught.value)) < 500


def test_a_name_of_a_column_stays_on_one_line_in_a_message(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('user_id,"what\never"\na,b\n', encoding="utf-8")
    with pytest.raises(ColumnError, match=r"found user_id, what\\never\. Map it"):
        read(path)
