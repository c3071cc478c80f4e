"""`ensue recommend`: all that is known of a question reaches the model, whether it was kept or is told in JSON."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue import ladder
from ensue.asked import question_of
from ensue.catalogue import Catalogue
from ensue.cli import call
from ensue.errors import QueryError
from ensue.questions import Question, queries_of

Ask = Callable[..., tuple[int, str, str]]

CITIES = ("here", "there", "")
START = 1_700_000_000


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


def rows() -> list[tuple[str, str, int, str, str, str]]:
    """Events of 12 users round A to F: user, item, second, rating (some missing), city (some missing), device."""
    return [
        (
            f"u{n:02d}",
            "ABCDEF"[(n + step) % 6],
            START + 10_000 * n + 60 * step * (1 + n % 3),
            "" if step == 3 else str(1 + (n + step) % 5),
            CITIES[step % 3],
            "phone",
        )
        for n in range(12)
        for step in range(10)
    ]


@pytest.fixture(scope="module")
def told_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network that reads gaps, ratings, cities and users, and of a model that reads none; change nothing."""
    folder = tmp_path_factory.mktemp("told")
    lines = [",".join(map(str, row)) for row in rows()]
    (folder / "log.csv").write_text(
        "\n".join(["user_id,item_id,timestamp,rating,city,device", *lines]) + "\n"
    )
    (folder / "told.toml").write_text(
        'refit = false\n[data]\nsource = "log.csv"\n[split]\nrule = "last"\n[models.markov]\n[models.lstm]\n'
        "width = 8\nlength = 10\nepochs = 2\nbatch_tokens = 64\n"
        'inputs = ["gap", "rating", "city"]\npersonal = "embedding"\n'
    )
    run, err = folder / "run", io.StringIO()
    with contextlib.redirect_stderr(err):
        assert call(["run", str(folder / "told.toml"), "--out", str(run)]) == 0
    (folder / "said.txt").write_text(err.getvalue())
    return run


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


# ----------------------------------------------------------------------------------- what a run keeps


def test_a_run_keeps_what_its_models_read_and_nothing_else(told_run: Path, ring_run: Path) -> None:
    kept = ladder.histories(told_run)
    assert kept.columns == ["user", "item", "time", "rating", "city"], "no model reads the device"
    assert kept.height == 12 * 10
    assert ladder.histories(ring_run).columns == ["user", "item", "time"], (
        "counting models of items read nothing else; times tell which later events are new"
    )


def test_a_model_says_which_columns_of_events_it_reads(told_run: Path) -> None:
    """The gap is worked out of times; the user is no column of the events that could be left out."""
    models = told_run / "models"
    assert set(ladder.reads(ladder.load(models / "lstm"))) == {"time", "rating", "city"}
    assert ladder.reads(ladder.load(models / "markov")) == ()


def test_a_run_says_how_its_columns_are_read(told_run: Path) -> None:
    """Of the 120 events, each user's last is for the test and the one before it for validation."""
    said = (told_run.parent / "said.txt").read_text()
    missing = sum(not row[3] for row in rows())
    assert f"{missing} of 96 missing, read as the mean with a mark of their own" in said
    assert "lstm: reads city: category of 2 values, 24 of 96 missing, with a code of their own" in said
    assert "lstm: reads user: category of 12 values" in said


def test_a_user_is_asked_for_with_all_that_was_kept(ask: Ask, told_run: Path, tmp_path: Path) -> None:
    lstm = told_run / "models" / "lstm"
    recommender = ladder.load(lstm)
    for user in ("u00", "u07"):
        found = answer(ask, lstm, "--user", user)
        expected = recommender.recommend(question_of(own(user)))
        assert found["items"] == expected.to_json()["items"]
        assert found == answer(ask, lstm, "--question", written(own(user), tmp_path)) | {
            "notes": found["notes"]
        }
        for left_out in ("user", "times", "ratings", "context"):
            less = recommender.recommend(question_of({k: v for k, v in own(user).items() if k != left_out}))
            assert less.scores != expected.scores, f"{left_out} reaches the network"


def test_an_old_run_with_items_alone_still_answers_and_says_what_it_lacks(
    ask: Ask, told_run: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(told_run, old)
    ladder.histories(old).select("user", "item").write_parquet(old / ladder.HISTORIES)
    found = answer(ask, old / "models" / "lstm", "--user", "u00")
    bare = Question(own("u00")["history"], "u00")
    assert found["items"] == ladder.load(old / "models" / "lstm").recommend(bare).to_json()["items"]
    assert found["notes"][1:] == [
        f"this run has kept no '{name}' with its histories, which the model reads: it answers as if none were known"
        for name in ("time", "rating", "city")
    ]
    assert len(answer(ask, old / "models" / "markov", "--user", "u00")["notes"]) == 1


def test_a_user_whom_the_run_does_not_know_gets_what_everybody_takes(ask: Ask, told_run: Path) -> None:
    found = answer(ask, told_run, "--user", "nobody")
    assert (found["history"], found["fallback"]) == ([], True)
    assert "the run has no user 'nobody'" in found["notes"][0]


def test_of_a_run_by_sessions_the_last_session_is_the_history(ask: Ask, tmp_path: Path) -> None:
    lines = [
        f"u{n},{'ABCD'[(n + part + step) % 4]},{START + 1000 * n + 100_000 * part + step}"
        for n in range(8)
        for part in range(3)
        for step in range(3 + part)
    ]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    words = ["--by", "session", "--session-gap", 3600, "--models", "markov", "--out", tmp_path / "r"]
    assert ask("run", tmp_path / "log.csv", *words)[0] == 0
    assert ladder.histories(tmp_path / "r").columns == ["user", "item", "time", "session"]
    assert answer(ask, tmp_path / "r", "--user", "u1")["history"] == list("DABCD"), (
        "its third session has 5 events"
    )


def test_a_log_without_times_keeps_none(ring_csv: Path, ask: Ask, tmp_path: Path) -> None:
    frame = pl.read_csv(ring_csv).drop("ts").with_columns(city=pl.lit("here"))
    frame.write_csv(tmp_path / "ordered.csv")
    (tmp_path / "x.toml").write_text(
        '[data]\nsource = "ordered.csv"\n[models.popular]\n[models.segmented]\nmodel = "popular"\nsegment = "city"\n'
    )
    assert ask("run", tmp_path / "x.toml", "--out", tmp_path / "r")[0] == 0
    assert "time" not in ladder.histories(tmp_path / "r").columns


# -------------------------------------------------------------------------------- a question in JSON


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


def test_a_user_is_asked_for_at_a_time(ask: Ask, tmp_path: Path) -> None:
    """The run keeps the times, since two of its models read them; an event whose time is not known tells no gap."""
    lines = [
        f"{kind}{n},{item},{START + 10_000 * n + second}"
        for n in range(20)
        for kind, later, item_after in (("s", 60, "B"), ("l", 30 * 86_400, "C"))
        for item, second in (("A", 0), (item_after, later), ("D", later + 1), ("E", later + 2))
    ]
    lines += [f"new,A,{START}"]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    words = ["--models", "markov-time,stan,markov", "--split", "last", "--out", tmp_path / "r"]
    assert ask("run", tmp_path / "log.csv", *words)[0] == 0
    assert ladder.histories(tmp_path / "r").columns == ["user", "item", "time"]
    model = tmp_path / "r" / "models" / "markov-time"
    asked = ["--user", "new", "--include-seen", "-k", 1, "--at"]
    minute, month = (datetime.fromtimestamp(START + later, UTC).isoformat() for later in (60, 30 * 86_400))
    assert answer(ask, model, *asked, minute)["items"][0]["item"] == "B"
    assert answer(ask, model, *asked, month)["items"][0]["item"] == "C"
    bare = answer(ask, model, "--history", "A")["items"]
    path = written({"history": ["A"], "times": [None], "at": month}, tmp_path)
    assert answer(ask, model, "--question", path)["items"] == bare
    stan = tmp_path / "r" / "models" / "stan"
    assert (
        answer(ask, stan, "--question", written({"history": ["A"], "times": [None]}, tmp_path))["items"]
        == answer(ask, stan, "--history", "A")["items"]
    )


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
