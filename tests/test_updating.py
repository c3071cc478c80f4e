"""New events and new items in a saved model: what is new is learnt, what was known stays where it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue import artifacts, ladder, runtime, updating
from ensue.cli import call
from ensue.errors import DataError, ModelError
from ensue.events.log import EventLog
from ensue.experiment import Data, Experiment, Splitting
from ensue.ladder import run
from ensue.model import Conditions, Training, fit, model_of
from ensue.sequences import Sequences
from ensue.updating import Update, update

RING = "ABCDEFGHIJ"
SMALL: dict[str, Any] = {
    "width": 16, "length": 12, "dropout": 0.0, "epochs": 12, "batch_tokens": 64, "learning_rate": 1e-2
}  # fmt: skip
NETWORKS = ("lstm", "transformer")


def events(rows: list[tuple[str, str]], day: int = 0) -> EventLog:
    """Events a second apart, in this order."""
    frame = pl.DataFrame(rows, schema=["user", "item"], orient="row")
    seconds = pl.int_range(pl.len()) + 86_400 * day
    return EventLog.of(frame.with_columns((seconds * 1_000_000).cast(pl.Datetime("us", "UTC")).alias("time")))


def week1() -> EventLog:
    """Thirty users, each eight steps round the ring."""
    return events([(f"u{u:02d}", RING[(u + step) % 10]) for u in range(30) for step in range(8)])


def week2() -> EventLog:
    """Twenty new users: two new items lie between J and A."""
    return events([(f"w{u:02d}", item) for u in range(20) for item in "JKLA"], day=1)


def both_weeks() -> pl.DataFrame:
    return pl.concat([week.frame.select("user", "item", "time") for week in (week1(), week2())])


def saved(model: str, folder: Path, log: EventLog | None = None, **settings: Any) -> Path:
    log = week1() if log is None else log
    fitted = fit(model, log, exclude_seen=False, **settings)
    until = log.frame["time"].max()
    assert until is not None
    learnt = {"until": str(until.isoformat()), "sequences": {"by": "user"}}  # type: ignore[union-attr]
    return artifacts.save(fitted, folder, facts={"learnt": learnt})


def top(found: Update, *history: str) -> str:
    return found.recommender.recommend(list(history), 1).items[0]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both networks on the first week, with its histories."""
    return ladder_of(tmp_path_factory.mktemp("run"), dict.fromkeys(NETWORKS, SMALL))


@pytest.mark.parametrize("name", NETWORKS)
def test_c78_a_network_takes_in_new_items_and_forgets_no_old_one(name: str, ran: Path) -> None:
    place = ran / "models" / name
    old = runtime.load(place)
    found = update(place, week2(), Conditions(seed=1))
    assert found.new_items == ("K", "L")
    assert (found.events, found.known) == (80, 0)
    catalogue = found.recommender.catalogue
    assert catalogue.ids.to_list()[:10] == old.catalogue.ids.to_list()
    assert catalogue.counts[catalogue.encode(["A", "K"])].tolist() == [21 + 20, 20]
    assert top(found, "A") == "B"
    assert top(found, "K") == "L"
    assert top(found, "J") in ("A", "K")
    assert found.recommender.settings == old.settings
    assert (found.new_users, found.lines()[0]) == (
        20,
        "80 new events learnt, with 2 new items (K, L) and 20 new users; every old item keeps its place",
    )


def ladder_of(folder: Path, models: dict[str, Any], rule: Any = "last") -> Path:
    log = week1()
    data = Experiment(Data(), split=Splitting(rule), models=models, out=str(folder))
    seen = replace(data.evaluation, exclude_seen=False)
    run(replace(data, evaluation=seen), log=log)
    return folder


def test_a_user_of_before_is_no_new_one_and_what_went_on_is_saved(ran: Path, tmp_path: Path) -> None:
    more = events([("u00", item) for item in "KL"] + [("x", item) for item in "JKLA"], day=1)
    found = update(ran, more)
    assert found.new_users == 1
    again = runtime.load(artifacts.save(found.recommender, tmp_path / "new"))
    assert again.recommend(["K"], 3).items == found.recommender.recommend(["K"], 3).items


def test_a_counting_model_gone_on_is_one_fitted_on_everything(tmp_path: Path) -> None:
    place = ladder_of(tmp_path / "run", {"markov": {}})
    found = update(place, week2())
    anew = fit("markov", EventLog.of(both_weeks()), exclude_seen=False)
    order = found.recommender.catalogue.encode(anew.catalogue.ids)
    queries = [list("AB"), list("K"), list("J")]
    for history in queries:
        gone_on = found.recommender.recommend(history, 12)
        expected = anew.recommend(history, 12)
        assert dict(zip(gone_on.items, gone_on.scores, strict=True)) == pytest.approx(
            dict(zip(expected.items, expected.scores, strict=True)), abs=1e-7
        )
    assert sorted(order.tolist()) == list(range(12))


def test_events_that_come_again_are_counted_once(tmp_path: Path) -> None:
    """A run keeps what it was tested on, and a new export of the whole log brings that again."""
    place = ladder_of(tmp_path / "run", {"markov": {}}, rule="temporal")
    tested = ladder.load(place).facts["learnt"]["until"]
    both = EventLog.of(both_weeks())
    found = update(place, both)
    late = both.where(pl.col("time") > datetime.fromisoformat(tested)).n_events
    assert late > 80
    assert (found.events, found.known) == (late, both.n_events - late)
    assert found.histories is not None
    assert found.histories.sort("user", "time").rows() == both_weeks().sort("user", "time").rows()
    anew = fit("markov", both, exclude_seen=False)
    counts = found.recommender.catalogue.counts[found.recommender.catalogue.encode(anew.catalogue.ids)]
    assert counts.tolist() == anew.catalogue.counts.tolist()
    for history in (list("AB"), list("K"), list("J")):
        gone_on, expected = found.recommender.recommend(history, 12), anew.recommend(history, 12)
        assert dict(zip(gone_on.items, gone_on.scores, strict=True)) == pytest.approx(
            dict(zip(expected.items, expected.scores, strict=True)), abs=1e-12
        )


def test_a_log_without_times_goes_on_by_order(tmp_path: Path) -> None:
    place = ladder_of(tmp_path / "run", {"markov": {}})
    later = EventLog.of(week2().frame.select("user", "item"))
    found = update(place, later)
    assert (found.events, found.known) == (80, 0)
    assert top(found, "K") == "L"


def test_week_after_week_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ladder_of(tmp_path / "run", {"markov": {}})
    week2().frame.select("user", "item", "time").write_parquet(tmp_path / "week2.parquet")
    third = events([(f"x{u:02d}", item) for u in range(30) for item in "LMN"], day=8)
    third.frame.select("user", "item", "time").write_parquet(tmp_path / "week3.parquet")
    second, last = tmp_path / "second", tmp_path / "last"
    assert (
        call(["update", str(place), "--events", str(tmp_path / "week2.parquet"), "--out", str(second)]) == 0
    )
    assert call(["update", str(second), "--events", str(tmp_path / "week3.parquet"), "--out", str(last)]) == 0
    assert "90 new events learnt, with 2 new items (M, N) and 30 new users" in capsys.readouterr().out
    recommender = ladder.load(last)
    assert [recommender.recommend([item], 1).items[0] for item in "AKLM"] == ["B", "L", "M", "N"]
    assert ladder.histories(last).height == 240 + 80 + 90
    assert call(["recommend", str(last), "--user", "w03", "-k", "1"]) == 0


def test_a_history_goes_on_where_it_was_kept(tmp_path: Path) -> None:
    """What follows B depends on the item before it, and that lies in the kept part."""
    rows = [(f"u{u:02d}", item) for u in range(40) for item in ("XB" if u % 2 else "YB")]
    rows += [(f"v{u:02d}", item) for u in range(40) for item in ("XBCD" if u % 2 else "YBDC")]
    place = ladder_of_rows(tmp_path / "run", rows)
    new = events([(f"u{u:02d}", item) for u in range(40) for item in ("PQ" if u % 2 else "QP")], day=1)
    found = update(place, new, Conditions(seed=0))
    assert top(found, "X", "B", "P") == "Q"
    asked = [found.recommender.recommend(list(h), 12) for h in ("XB", "YB")]
    p, q = (dict(zip(slate.items, slate.scores, strict=True)) for slate in asked)
    assert p["P"] - p["Q"] > q["P"] - q["Q"]


def ladder_of_rows(folder: Path, rows: list[tuple[str, str]]) -> Path:
    settings = SMALL | {"epochs": 20}
    plain = Experiment(Data(), split=Splitting("last"), models={"lstm": settings}, out=str(folder))
    run(replace(plain, evaluation=replace(plain.evaluation, exclude_seen=False)), log=events(rows))
    return folder


def test_events_that_were_learnt_are_left_out_and_counted(tmp_path: Path) -> None:
    place = saved("lstm", tmp_path / "old", **SMALL)
    both = EventLog.of(both_weeks())
    found = update(place, both)
    assert (found.events, found.known) == (80, 240)
    assert found.lines()[1] == "240 events left out: not later than what the model had learnt from"
    with pytest.raises(DataError, match="nothing is new"):
        update(place, week1())


def priced(log: EventLog) -> pl.DataFrame:
    """The events with a price each, and an hour."""
    frame = log.frame.select("user", "item", "time")
    return frame.with_columns(price=pl.int_range(pl.len()) % 7 + 0.5, hour=pl.int_range(pl.len()) % 24)


@pytest.fixture(scope="module")
def priced_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network that reads both, from a Parquet file, which knows their kinds."""
    folder = tmp_path_factory.mktemp("priced")
    priced(week1()).write_parquet(folder / "week1.parquet")
    models = {"lstm": SMALL | {"epochs": 1, "inputs": ["price", "hour"]}}
    data = Data(source=str(folder / "week1.parquet"))
    run(Experiment(data, split=Splitting("last"), models=models, out=str(folder / "run")))
    return folder / "run"


def test_new_events_of_a_file_without_kinds_take_those_that_were_kept(
    priced_run: Path, tmp_path: Path
) -> None:
    """A price is missing, which is an empty cell in a CSV."""
    new = priced(week2()).with_columns(price=pl.when(pl.int_range(pl.len()) != 1).then("price"))
    new.write_csv(tmp_path / "new.csv")
    place = tmp_path / "updated"
    assert call(["update", str(priced_run), "--events", str(tmp_path / "new.csv"), "--out", str(place)]) == 0
    old, kept = ladder.histories(priced_run), ladder.histories(place)
    assert kept.schema == old.schema
    assert kept.tail(new.height).select("price", "hour").rows() == new.select("price", "hour").rows()
    assert np.isfinite(ladder.load(place).recommend(["K"], 3).scores).all()


def test_a_value_that_cannot_be_read_is_named_before_anything_is_learnt(
    priced_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(updating, "_gone_on", lambda *_: pytest.fail("it has begun to learn"))
    prices = ["2,5", "cheap", "1.5", ""] * 20
    priced(week2()).with_columns(price=pl.Series(prices)).write_csv(tmp_path / "new.csv")
    place = tmp_path / "updated"
    assert call(["update", str(priced_run), "--events", str(tmp_path / "new.csv"), "--out", str(place)]) == 2
    assert (
        "error: Column 'price' of the new events holds '2,5' in row 1 (40 values of the column are like it), and what "
        "is known holds numbers: correct such values, or leave them empty."
    ) in capsys.readouterr().err
    assert not place.exists()


def test_what_was_kept_as_text_stays_text_where_new_events_know_kinds(tmp_path: Path) -> None:
    priced(week1()).write_csv(tmp_path / "week1.csv")
    models = {"lstm": SMALL | {"epochs": 1, "inputs": ["price", "hour"]}}
    data = Data(source=str(tmp_path / "week1.csv"))
    run(Experiment(data, split=Splitting("last"), models=models, out=str(tmp_path / "run")))
    found = update(tmp_path / "run", EventLog.of(priced(week2())))
    assert found.histories is not None
    assert found.histories.schema["price"] == pl.String
    assert found.histories["hour"].tail(3).to_list() == ["5", "6", "7"]
    assert found.histories["price"].tail(3).to_list() == ["0.5", "1.5", "2.5"]


def test_features_of_new_items_take_the_kinds_of_the_old_ones(tmp_path: Path) -> None:
    known = pl.DataFrame({"item": list(RING), "price": [float(n) for n in range(10)]})
    log = replace(week1(), items=known)
    place = saved("lstm", tmp_path / "old", log, features=["price"], **SMALL | {"epochs": 1})
    new = pl.DataFrame({"item": ["K", "L", "A"], "price": ["2.5", "", "dear"]})
    found = update(place, replace(week2(), items=new))
    features = found.recommender.catalogue.features
    assert features is not None
    assert features["price"].to_list() == [*known["price"].to_list(), 2.5, None]
    with pytest.raises(
        DataError, match="Column 'price' of the new items holds 'dear', and what is known holds"
    ):
        update(place, replace(week2(), items=new.with_columns(item=pl.Series(["K", "A", "L"]))))


def test_what_cannot_go_on_says_so(tmp_path: Path) -> None:
    counted = saved("markov", tmp_path / "markov")
    with pytest.raises(ModelError, match="markov counts events, and none of before were kept"):
        update(counted, week2())
    hashed = saved("lstm", tmp_path / "hashed", item_vectors="hashed", **SMALL)
    with pytest.raises(ModelError, match="lstm: hashed item vectors are shared out"):
        update(hashed, week2())


def test_old_sequences_are_learnt_again_as_far_as_that_is_bounded(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All thirty of them beside the twenty new ones, or as many as are asked for; without any, at a slower pace."""
    seen: list[tuple[int, float]] = []
    gone_on = updating._gone_on

    def watched(model: Any, parts: Any, log: EventLog, *others: Any) -> Any:
        seen.append((log.n_users, model.learning_rate))
        return gone_on(model, parts, log, *others)

    monkeypatch.setattr(updating, "_gone_on", watched)
    few = events([("w1", item) for item in "JKLA"], day=1)
    for most, wanted in ((20, 20 + 1), (7, 7 + 1)):
        monkeypatch.setattr(updating, "KEPT_EACH", most)
        update(ran / "models" / "lstm", few)
        assert wanted - 6 <= seen[-1][0] <= wanted
    monkeypatch.setattr(updating, "KEPT_EACH", 20)
    update(ran / "models" / "lstm", week2())
    update(saved("lstm", tmp_path / "alone", **SMALL), week2())
    rate = SMALL["learning_rate"]
    assert seen[-2:] == [(30 + 20, rate), (20, rate / 4)]


def test_a_new_user_of_a_personal_network_is_one_it_has_not_seen(tmp_path: Path) -> None:
    place = saved("lstm", tmp_path / "old", personal="embedding", **SMALL)
    found = update(place, week2())
    assert found.new_items == ("K", "L")
    assert np.isfinite(found.recommender.recommend(["K"], 3).scores).all()


@pytest.mark.parametrize("settings", [{}, {"tied": False, "bias": True}])
def test_taking_in_new_items_changes_no_score_of_an_old_one(settings: dict[str, Any]) -> None:
    model = model_of("lstm", **SMALL | settings)
    first = model.fit(Training.of(week1(), exclude_seen=False))
    catalogue = first.catalogue.extend(pl.DataFrame({"item": ["K", "L"]}))
    training = Training(Sequences.of(week2(), catalogue), catalogue, exclude_seen=False)
    grown = model_of("lstm", **first.settings).go_on(first.scoring.parts(), training, Conditions(steps=-1))
    histories = [list("ABC"), list("J"), list("FGHIJ")]
    for history in histories:
        old = first.recommend(history, 10)
        new = grown.recommend(history, 12)
        scores = dict(zip(new.items, new.scores, strict=True))
        assert {item: scores[item] for item in old.items} == pytest.approx(
            dict(zip(old.items, old.scores, strict=True)), abs=1e-5
        )
        assert {"K", "L"} < set(new.items)
