"""The answers for all users in one table are those that each would get alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ensue import everybody
from ensue.cli import call
from ensue.errors import DataError, QueryError
from ensue.events.log import EventLog
from ensue.everybody import slates_of_all
from ensue.model import fit
from ensue.questions import Question
from ensue.ranking import Recommender


@pytest.fixture(scope="module")
def recommender(ring_log: EventLog) -> Recommender:
    return fit("rules", ring_log)


def alone(recommender: Recommender, kept: pl.DataFrame, **options: object) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for user in sorted(kept["user"].unique().to_list()):
        own = kept.filter(pl.col("user") == user)
        question = Question(own["item"].to_list(), user, own["time"].to_list())
        slate = recommender.recommend(question, 4, **options)  # type: ignore[arg-type]
        rows += [
            (user, place, item, score, slate.fallback)
            for place, (item, score) in enumerate(zip(slate.items, slate.scores, strict=True), 1)
        ]
    return rows


@pytest.mark.parametrize(
    "options", [{}, {"exclude_seen": True}, {"exclude": ["C", "nope"], "exclude_seen": False}]
)
@pytest.mark.parametrize("scores", [8_000_000, 30, 1])
def test_all_at_once_is_one_by_one(
    recommender: Recommender, seeded: np.random.Generator, monkeypatch: pytest.MonkeyPatch,
    options: dict[str, object], scores: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(everybody, "_SCORES", scores)
    lengths = seeded.integers(1, 8, 17)
    users = np.repeat([f"u{place:02d}" for place in seeded.permutation(17)], lengths)
    items = seeded.choice([*"ABCDEFGHIJ", "new"], len(users))
    kept = pl.DataFrame({"user": users, "item": items, "time": np.arange(len(users))}).with_columns(
        pl.col("time").cast(pl.Datetime("us", "UTC"))
    )
    kept = pl.concat(
        [kept, pl.DataFrame({"user": ["only"], "item": ["new"], "time": [None]}, schema=kept.schema)]
    )
    found = slates_of_all(recommender, kept, 4, **options)  # type: ignore[arg-type]
    expected = alone(recommender, kept, **options)
    assert [row[:3] for row in found.rows()] == [row[:3] for row in expected]
    assert [row[4] for row in found.rows()] == [row[4] for row in expected]
    assert found["score"].to_list() == pytest.approx([row[3] for row in expected])
    assert found.filter(user="only")["fallback"].all()


def test_of_sessions_the_last_one_counts(recommender: Recommender) -> None:
    kept = pl.DataFrame({"user": ["u"] * 3, "item": ["A", "B", "F"], "session": ["1", "1", "2"]})
    assert slates_of_all(recommender, kept, 1)["item"].to_list() == ["G"]


def test_what_cannot_be_is_refused(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="no column 'item'"):
        slates_of_all(recommender, pl.DataFrame({"user": ["u"]}))
    with pytest.raises(QueryError, match="k=-1"):
        slates_of_all(recommender, pl.DataFrame({"user": ["u"], "item": ["A"]}), -1)
    assert slates_of_all(recommender, pl.DataFrame({"user": ["u"], "item": ["A"]}), 0).height == 0


def test_the_command_writes_what_it_answers(ring_log: EventLog, tmp_path: Path) -> None:
    log, run, out = tmp_path / "ring.csv", tmp_path / "run", tmp_path / "all" / "slates.parquet"
    ring_log.frame.select(user_id="user", item_id="item", timestamp=pl.col("time").dt.epoch("s")).write_csv(
        log
    )
    assert call(["run", str(log), "--models", "markov", "--out", str(run)]) == 0
    assert call(["recommend", str(run), "--all", str(out), "-k", "3"]) == 0
    written = pl.read_parquet(out)
    assert written.height == 20 * 3
    last = ring_log.frame.group_by("user").last().sort("user")["item"]
    ring = "ABCDEFGHIJ"
    first = written.filter(place=1).sort("user")["item"].to_list()
    assert first == [ring[(ring.index(item) + 1) % 10] for item in last]
    table = out.with_suffix(".csv")
    assert call(["recommend", str(run), "--all", str(table), "-k", "3"]) == 0
    assert pl.read_csv(table, schema_overrides=written.schema).equals(written)
    assert call(["recommend", str(run), "--all", str(out.with_suffix(".txt"))]) == 2
    assert call(["recommend", str(run), "--all", str(out), "--user", "u01"]) == 2
    assert call(["recommend", str(run), "--all", str(out), "--explain"]) == 2
