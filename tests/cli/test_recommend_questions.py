"""`ensue recommend --question`: all that is told in JSON reaches the model, and what is no question is refused."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.cli.conftest import START, Ask, rows

from ensue import ladder
from ensue.asked import question_of
from ensue.catalogue import Catalogue
from ensue.errors import QueryError
from ensue.questions import queries_of


def answer(ask: Ask, *words: object) -> Any:
    """The JSON answer of `ensue recommend`."""
    status, out, err = ask("recommend", *words, "--json")
    assert status == 0, err
    return json.loads(out)


def refusal(ask: Ask, *words: object) -> str:
    """The one line with which `ensue recommend` refuses."""
    status, out, err = ask("recommend", *words)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    return err


def written(question: dict[str, Any], folder: Path) -> Path:
    path = folder / "question.json"
    path.write_text(json.dumps(question), encoding="utf-8")
    return path


def own(user: str) -> dict[str, Any]:
    """All that the log says of a user, as a question in JSON."""
    events = [row for row in rows() if row[0] == user]
    return {
        "history": [row[1] for row in events],
        "user": user,
        "times": [datetime.fromtimestamp(row[2], UTC).isoformat() for row in events],
        "ratings": [float(row[3]) if row[3] else None for row in events],
        "context": {"city": [row[4] or None for row in events]},
    }


def test_a_question_comes_from_a_file_or_from_standard_input(
    ask: Ask, told_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = own("u03") | {"at": "2024-01-31T08:00Z"}
    path = written(told, tmp_path)
    found = answer(ask, told_run, "--question", path, "-k", 3, "--exclude", "A")
    assert found["history"] == told["history"]
    assert "A" not in [row["item"] for row in found["items"]]
    for text in (path.read_text(), "\ufeff" + path.read_text()):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert answer(ask, told_run, "--question", "-", "-k", 3, "--exclude", "A") == found


def test_a_column_of_the_context_that_the_model_does_not_read_is_named(
    ask: Ask, told_run: Path, tmp_path: Path
) -> None:
    path = written({"history": ["A"], "context": {"ciyt": ["here"], "city": ["there"]}}, tmp_path)
    assert answer(ask, told_run / "models" / "lstm", "--question", path)["notes"] == [
        "this model does not read 'ciyt' of the context; it reads time, rating, city. Did you mean 'city'?"
    ]
    assert "fallback" in answer(ask, told_run, "--question", written({"history": []}, tmp_path))["notes"][-1]


def test_the_time_of_the_question_decides_where_a_model_reads_it(ask: Ask, tmp_path: Path) -> None:
    """B comes a minute after A, and C a month after it."""
    lines = [
        f"{kind}{n},{item},{START + 10_000 * n + second}"
        for n in range(20)
        for kind, later, item_after in (("s", 60, "B"), ("l", 30 * 86_400, "C"))
        for item, second in (("A", 0), (item_after, later))
    ]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    model = tmp_path / "m"
    assert ask("train", tmp_path / "log.csv", "--model", "markov-time", "--out", model)[0] == 0
    asked = {"history": ["A"], "times": ["2024-01-01T00:00:00"]}
    plain = written(asked, tmp_path)

    def first(*words: object) -> str:
        return str(answer(ask, model, "--question", plain, *words)["items"][0]["item"])

    assert first("--at", "2024-01-01T00:01:00") == "B"
    assert first("--at", "2024-01-31T02:00+02:00") == "C"
    written(asked | {"at": "2024-01-31"}, tmp_path)
    assert first() == "C"
    assert "--at and 'at' of the question both say" in refusal(
        ask, model, "--question", plain, "--at", "2024-01-31"
    )
    assert "--at='noon' is not a date or time" in refusal(ask, model, "--history", "A", "--at", "noon")


def test_a_run_without_anything_to_choose_on_says_so(ask: Ask, tmp_path: Path) -> None:
    """Users of two events have a test, and neither validation nor transitions."""
    lines = [f"u{n},{item},{START + n + place}" for n in range(9) for place, item in enumerate("AB")]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    words = ["--models", "popular", "--split", "last", "--out", tmp_path / "r"]
    status, out, _ = ask("run", tmp_path / "log.csv", *words)
    assert status == 0
    assert "the last of the ladder, since there was nothing to choose on" in out


def test_a_segment_of_the_context_reaches_a_counting_model(ring_csv: Path, ask: Ask, tmp_path: Path) -> None:
    frame = pl.read_csv(ring_csv).with_columns(
        city=pl.when(pl.col("sku") < "F").then(pl.lit("x")), seat=pl.lit("s")
    )
    frame.write_csv(tmp_path / "log.csv")
    (tmp_path / "x.toml").write_text('[data]\nsource = "log.csv"\n[models.popular]\nsegment = "city"\n')
    assert ask("run", tmp_path / "x.toml", "--out", tmp_path / "r")[0] == 0
    assert ladder.histories(tmp_path / "r").columns == ["user", "item", "time", "city"]
    found = answer(
        ask, tmp_path / "r", "--question", written({"history": ["J"], "context": {"city": ["x"]}}, tmp_path)
    )
    assert (found["items"][0]["item"] < "F", found["notes"]) == (True, [])


def test_a_question_and_another_history_are_one_too_many(ask: Ask, told_run: Path, tmp_path: Path) -> None:
    path = written({"history": ["A"]}, tmp_path)
    assert "--user and --question all give a history" in refusal(
        ask, told_run, "--question", path, "--user", "u00"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no question in JSON"),
        ('{"history": [], "history": ["a"]}', "the key 'history' stands twice"),
        ('{"history": ["a"], "ratings": [NaN]}', "NaN is no number of JSON; write null"),
        ('{"history": ["\\ud800"]}', "is no question in JSON"),
        ("[" * 100_000, "is no question in JSON"),
        ('{"history": ["a"], "ratings": [' + "1" * 5000 + "]}", "is no question in JSON"),
        ('["a"]', 'a question is an object such as {"history": ["a", "b"]}, not ["a"]'),
        ("{}", "history is missing"),
    ],
)
def test_what_is_no_question_is_refused_in_one_line(
    ask: Ask, ring_run: Path, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "q.json").write_text(text)
    assert says in refusal(ask, ring_run, "--question", tmp_path / "q.json")


def test_a_file_that_cannot_be_read_is_named(ask: Ask, ring_run: Path, tmp_path: Path) -> None:
    assert "nowhere.json cannot be read: No such file" in refusal(ask, ring_run, "--question", "nowhere.json")
    (tmp_path / "q.json").write_bytes(b'{"history": ["\xff"]}')
    assert "q.json is not text in UTF-8" in refusal(ask, ring_run, "--question", tmp_path / "q.json")


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"usr": "u"}, r"there is no key 'usr' in a question; known are history, .*Did you mean 'user'\?"),
        ({"history": "a"}, 'history is "a", and must be a list'),
        ({"history": None}, "history is null, and must be a list"),
        ({"history": ["a", 7]}, r"history\[1\] is 7, and must be an id, which is text"),
        ({"user": 7}, "user is 7, and must be text"),
        ({"at": 1_700_000_000}, "at is 1700000000, and must be text"),
        ({"at": "noon"}, "at='noon' is not a date or time"),
        ({"times": "2024-01-31"}, 'times is "2024-01-31", and must be a list'),
        ({"times": ["2024-01-31", 7]}, r"times\[1\] is 7, and must be a time as ISO text"),
        ({"times": [None, "31.1.2024"]}, r"times\[1\]='31\.1\.2024' is not a date or time"),
        ({"times": ["2024-01-31"]}, "times has 1 values for a history of 2"),
        ({"ratings": [1, "5"]}, r'ratings\[1\] is "5", and must be a number or null'),
        ({"ratings": [True, 1]}, r"ratings\[0\] is true, and must be a number or null"),
        ({"ratings": [1, float("inf")]}, r"ratings\[1\] is Infinity, and must be a number"),
        ({"context": ["here"]}, r'context is \["here"\], and must be an object of columns'),
        ({"context": {"city": "here"}}, r'context\.city is "here", and must be a list'),
        ({"context": {"city": ["here"]}}, "city has 1 values for a history of 2"),
        (
            {"context": {"city": [None, ["here"]]}},
            r'context\.city\[1\] is \["here"\], and must be text, a number',
        ),
        ({"context": {"city": [2**63, 1]}}, r"context\.city\[0\] is 9223372036854775808, and must be"),
        (
            {"context": {"rating": [1, 2]}},
            "context.rating is no context: a question has the key 'ratings' for it",
        ),
        ({"user": ["x" * 100]}, r'user is \["x{55}\.\.\., and must be text'),
    ],
)
def test_a_wrong_entry_is_named_with_its_key(entries: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        question_of({"history": ["a", "b"]} | entries)


def test_numbers_and_gaps_are_read_as_they_are_meant() -> None:
    asked = question_of(
        {
            "history": ["a", "b", "c"],
            "user": None,
            "times": ["2024-01-31", None, "2024-01-31T09:00+01:00"],
            "ratings": [4, None, 2.5],
            "context": {
                "price": [1, None, 2.5],
                "n": [1, None, 3],
                "new": [True, None, False],
                "x": [None] * 3,
            },
        }
    )
    assert asked.user is None
    assert asked.times is not None
    assert list(asked.times) == [
        datetime(2024, 1, 31, tzinfo=UTC),
        None,
        datetime(2024, 1, 31, 8, tzinfo=UTC),
    ]
    assert asked.ratings == [4.0, None, 2.5]
    assert asked.context == {
        "price": [1.0, None, 2.5],
        "n": [1, None, 3],
        "new": [True, None, False],
        "x": [None, None, None],
    }
    queries, _ = queries_of(
        [asked], Catalogue(pl.Series("item", ["a", "b", "c"]), np.ones(3, dtype=np.int64))
    )
    assert queries.context["price"].dtype == pl.Float64, "a column of numbers is of one kind"


def test_values_of_several_kinds_stand_together_as_they_do_over_http(
    ask: Ask, told_run: Path, tmp_path: Path
) -> None:
    """Of a column that is read as numbers, here that of ratings, those that are none are named by their place."""
    lstm = told_run / "models" / "lstm"
    history = {"history": ["A", "B", "C"]}

    def told(**context: list[Any]) -> Any:
        return answer(ask, lstm, "--question", written(history | {"context": context}, tmp_path))["items"]

    assert told(city=["here", 7, 7.5]) == told(city=["here", "7", "7.5"])
    asked = question_of(history | {"context": {"price": [1, "2", True]}})
    assert asked.context == {"price": [1, "2", True]}
    lines = [
        f"u{n:02d},{'ABCDEF'[(n + step) % 6]},{START + 60 * step},{1 + step % 2 / 2}"
        for n in range(12)
        for step in range(6)
    ]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp,price", *lines]) + "\n")
    words = ["--set", "width=8", "--set", "epochs=2", "--set", 'inputs=["price"]', "--out", tmp_path / "m"]
    assert ask("train", tmp_path / "log.csv", "--model", "lstm", *words)[0] == 0
    lstm = tmp_path / "m"
    assert told(price=[1, "2", True]) == told(price=["1", 2, 1.0]) == told(price=[1.0, 2.0, 1.0])
    path = written(history | {"context": {"price": [1, "cheap", True]}}, tmp_path)
    assert "context.price[1] is no finite number" in refusal(ask, lstm, "--question", path)
