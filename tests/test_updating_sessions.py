"""New events in a model of sessions: kept ones go on by their rule, and what keeps them from it is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.test_updating import RING, SMALL, events

from ensue import ladder, updating
from ensue.cli import call
from ensue.errors import ModelError
from ensue.events.log import EventLog
from ensue.events.sessions.rule import Sessions
from ensue.experiment import Data, Experiment, Splitting
from ensue.ladder import run
from ensue.model import fit
from ensue.updating import update


def by_sessions(folder: Path, models: dict[str, Any], log: EventLog, rule: Sessions, **more: Any) -> Path:
    plain = Experiment(Data(), split=Splitting("last"), models=models, out=str(folder), sessions=rule, **more)
    plain = replace(plain, sequences=replace(plain.sequences, by="session"))
    run(replace(plain, evaluation=replace(plain.evaluation, exclude_seen=False)), log=log)
    return folder


def visits(parts: range, steps: range) -> EventLog:
    """Ten users' visits of seven steps round the ring each, a day apart; of each visit some steps."""
    rows = [
        (f"u{u}", RING[(u + part + step) % 10], 86_400 * part + 60 * step)
        for u in range(10)
        for part in parts
        for step in steps
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    return EventLog.of(frame.with_columns((pl.col("time") * 1_000_000).cast(pl.Datetime("us", "UTC"))))


def together(*logs: EventLog) -> EventLog:
    return EventLog.of(pl.concat([log.frame.select("user", "item", "time") for log in logs]))


GAPS = Sessions(gap=3600)
OLD, GOES_ON, FRESH = (
    visits(range(3), range(4)),
    visits(range(2, 3), range(4, 7)),
    visits(range(3, 5), range(7)),
)


@pytest.mark.parametrize("model", ["markov", "rules"])
def test_sessions_of_a_counting_model_go_on_as_if_all_had_been_one_log(model: str, tmp_path: Path) -> None:
    """Some of them were broken off where the first log ends; the new log also brings the old events again."""
    place = by_sessions(tmp_path / "run", {model: {}}, OLD, GAPS)
    whole = together(OLD, GOES_ON, FRESH)
    found = update(place, whole)
    anew = fit(model, GAPS.apply(whole), by="session", exclude_seen=False)
    assert found.unused == ""
    for history in (list("AB"), list("EFG"), list("J")):
        gone_on, expected = found.recommender.recommend(history, 10), anew.recommend(history, 10)
        assert dict(zip(gone_on.items, gone_on.scores, strict=True)) == pytest.approx(
            dict(zip(expected.items, expected.scores, strict=True)), abs=1e-9
        )
    assert found.histories is not None
    asked = ["user", "item", "time", "session"]
    assert found.histories.select(asked).rows() == GAPS.apply(whole).frame.select(asked).rows()


def test_week_after_week_of_sessions_by_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SMALL | {"epochs": 1}
    place, whole = by_sessions(tmp_path / "run", {"lstm": settings}, OLD, GAPS), together(OLD, GOES_ON, FRESH)
    for name, log in (("one", GOES_ON), ("two", FRESH)):
        log.frame.select("user", "item", "time").write_parquet(tmp_path / f"{name}.parquet")
        words = ["update", str(place), "--events", str(tmp_path / f"{name}.parquet")]
        place = tmp_path / f"after-{name}"
        assert call([*words, "--out", str(place)]) == 0
    told = capsys.readouterr()
    assert "no histories were kept" not in told.out
    assert "sessions with new events: 10, 10 of them go on from kept ones" in told.err
    assert "sessions with new events: 20, 0 of them go on from kept ones" in told.err
    kept = ladder.histories(place)
    assert kept.rows() == GAPS.apply(whole).frame.select(kept.columns).rows()
    assert call(["recommend", str(place), "--user", "u3", "-k", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["history"] == list("HIJABCD")


def test_a_network_of_sessions_learns_at_its_own_rate_from_kept_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = by_sessions(tmp_path / "run", {"lstm": SMALL | {"epochs": 1}}, OLD, GAPS)
    seen: list[tuple[int, float]] = []
    gone_on = updating._gone_on

    def watched(model: Any, parts: Any, log: EventLog, *others: Any) -> Any:
        seen.append((log.frame["session"].n_unique(), model.learning_rate))
        return gone_on(model, parts, log, *others)

    monkeypatch.setattr(updating, "_gone_on", watched)
    update(place, GOES_ON)
    assert seen == [(30, SMALL["learning_rate"])]


def test_histories_by_which_no_session_can_go_on_are_named_with_what_helps(tmp_path: Path) -> None:
    """Runs of earlier versions kept no times with sessions."""
    models = {"markov": {}, "lstm": SMALL | {"epochs": 1}}
    place = by_sessions(tmp_path / "run", models, OLD, GAPS)
    ladder.histories(place).drop("time").write_parquet(place / ladder.HISTORIES)
    with pytest.raises(ModelError) as fault:
        update(place / "models" / "markov", FRESH)
    assert "lack time, by which sessions go on (run the experiment anew, and it is kept)" in str(fault.value)
    assert "keep_histories" not in str(fault.value)
    found = update(place / "models" / "lstm", FRESH)
    assert found.histories is None
    assert found.lines()[-1].startswith("the kept histories lack time, by which")
    (place / ladder.HISTORIES).unlink()
    with pytest.raises(ModelError, match=r"none of before were kept beside it: .* keep_histories = true"):
        update(place / "models" / "markov", FRESH)


def test_what_the_rule_of_sessions_goes_by_is_kept(tmp_path: Path) -> None:
    """A purchase ends a session, though no model reads types."""
    rows = [("u", "A", "view"), ("u", "B", "buy"), ("v", "A", "view"), ("v", "B", "view")]
    old = events([(user, item) for user, item, _ in rows] * 1)
    old = EventLog.of(
        old.frame.select("user", "item", "time").with_columns(event=pl.Series([r[2] for r in rows]))
    )
    place = by_sessions(tmp_path / "run", {"markov": {}}, old, Sessions(closing=("buy",)))
    assert ladder.histories(place).columns == ["user", "item", "time", "event", "session"]
    new = events([("u", "C"), ("v", "C")], day=1).frame.select("user", "item", "time")
    found = update(place, EventLog.of(new.with_columns(event=pl.lit("view"))))
    assert found.histories is not None
    assert found.histories["session"].to_list() == ["u#1", "u#1", "u#2", "v#1", "v#1", "v#1"]
