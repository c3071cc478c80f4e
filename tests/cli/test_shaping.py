"""Sessions, filters and cleaning from the command line and from an experiment file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ensue import artifacts
from ensue.cli.shaping import Duplicates, Returns, Shaping
from ensue.errors import ConfigError
from ensue.events.cleaning import Cleaning
from ensue.events.filtering import Filters
from ensue.events.sessions.rule import Sessions
from ensue.events.shaping import Shape
from ensue.experiment import experiment_of

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """20 customers who view a, b, c and buy, twice, a day apart; the rare item z once; one row comes twice."""
    rows = ["customer_id,item_id,timestamp,event_type"]
    for n in range(20):
        for visit in range(2):
            start = 1_700_000_000 + 100_000 * visit + 500 * n
            rows += [f"c{n},{item},{start + 60 * k},view" for k, item in enumerate("abc")]
            rows.append(f"c{n},d,{start + 200},purchase")
    rows += ["c0,z,1700000001,view", rows[1]]
    path = tmp_path / "shop.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


EVENTS = 20 * 2 * 4 + 2


def learnt(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = artifacts.describe(folder)["facts"]["learnt"]
    return found


def test_what_is_typed_is_what_is_done() -> None:
    typed = Shaping(
        sessions="day,closing:purchase", min_session=2, keep_events="view, purchase", min_rating="3.5",
        since="2020-01-01", min_user_events=2, min_item_events=3, duplicates=Duplicates.first, returns=Returns.cancel,
    )  # fmt: skip
    assert typed.shape(60) == Shape(
        Cleaning(duplicates="first", returns="cancel"),
        Filters(
            since="2020-01-01",
            keep_events=("view", "purchase"),
            min_rating=3.5,
            min_user_events=2,
            min_item_events=3,
        ),
        Sessions(gap=60, calendar="day", closing=("purchase",), min_events=2),
    )
    assert Shaping().shape(0) == Shape()
    assert Shaping(min_session=0, repeats=None).given() == ["--min-session"]
    with pytest.raises(ConfigError, match="--min-rating: 'good' is not a number"):
        Shaping(min_rating="good").content()


def test_a_shape_is_the_same_after_it_was_kept() -> None:
    shape = Shape(
        Cleaning(repeats="last", return_types=("back",)),
        Filters(keep_events=("view",), min_rating=0.0, min_item_events=2),
        Sessions(changes=("x",), starts={"page": ("home",)}),
    )
    kept = json.loads(json.dumps(shape.said("session")))
    assert Shape.learnt(kept) == shape
    assert Shape.learnt({"by": "user", "session_gap": 30.0}) == Shape(sessions=Sessions(gap=30))
    with pytest.raises(ConfigError, match="treated as this version does not know"):
        Shape.learnt({"filters": {"moon": 1}})


TABLES = {
    "sessions": {"calendar": "week", "starts": {"page": ["home"]}, "min_events": 2},
    "filters": {"min_item_events": 2, "keep_events": ["view"], "min_rating": 1.5},
    "events": {"returns": "cancel", "ties": "shuffle", "seed": 3},
}


def test_an_experiment_holds_it_in_three_tables_and_gives_the_same_back() -> None:
    experiment = experiment_of(TABLES)
    assert experiment.shape == Shape(
        Cleaning(returns="cancel", ties="shuffle", seed=3),
        Filters(keep_events=("view",), min_rating=1.5, min_item_events=2),
        Sessions(calendar="week", starts={"page": ("home",)}, min_events=2),
    )
    assert experiment_of(experiment.to_json()) == experiment


def test_faults_of_the_tables_are_told_with_all_others() -> None:
    odd = {
        "sessions": {"calendar": "dya", "mn_events": 3, "starts": {"page": 7}},
        "filters": {"min_item_events": "two"},
        "events": {"returns": "cancle"},
        "seed": "x",
    }
    with pytest.raises(ConfigError) as caught:
        experiment_of(odd)
    text = str(caught.value)
    for said in (
        "sessions.calendar = 'dya'",
        "Did you mean 'min_events'",
        "filters.min_item_events = 'two'",
        "events.returns = 'cancle'",
        "seed = 'x'",
        "sessions.starts",
    ):
        assert said in text
    assert "Expr" not in text
    for content, said in (
        ({"sequences": {"session_gap": 60.0}, "sessions": {"gap": 30.0}}, "give one of them"),
        (
            {"sessions": {"closing": ["buy"]}, "filters": {"keep_events": ["view"]}},
            "leaves such events out before",
        ),
        ({"filters": {"since": "soon"}}, "filters: since='soon' is not a date"),
        ({"sessions": {"zone": "Mars"}}, "sessions: zone = 'Mars'"),
    ):
        with pytest.raises(ConfigError, match=said):
            experiment_of(content)


def test_an_audit_tells_what_was_done(ask: Ask, shop: Path) -> None:
    words = [
        "--sessions",
        "closing:purchase",
        "--duplicates",
        "first",
        "--min-item-events",
        2,
        "--by",
        "session",
    ]
    status, out, err = ask("data", "audit", shop, *words)
    assert status == 0, err
    assert "exact duplicates (same user, item, time, event): 1, of which the first is kept alone" in out
    assert "sessions ended by purchase: 40, 0 of them with one event" in out
    assert (
        f"filter min_item_events = 2: {EVENTS - 2} of {EVENTS - 1} events, 20 of 20 users, 4 of 5 items stay"
        in out
    )
    assert "sequences by session: 40" in out
    found = json.loads(ask("data", "audit", shop, *words, "--json")[1])
    assert found["filters"][0]["after"] == {"events": EVENTS - 2, "users": 20, "items": 4}
    assert found["audit"]["sessions"] == 40


def test_a_model_knows_how_its_log_was_treated(ask: Ask, shop: Path, tmp_path: Path) -> None:
    words = [
        "--sessions",
        "gap:3600,max:3",
        "--by",
        "session",
        "--keep-events",
        "view",
        "--min-item-events",
        2,
    ]
    status, out, err = ask("train", shop, "--model", "markov", *words, "--out", tmp_path / "m")
    assert status == 0, err
    views = 20 * 2 * 3
    assert f"fitted on all {views + 1} events" in out, "z goes, its copy of another view stays"
    said = learnt(tmp_path / "m")
    assert said["sequences"] == {
        "by": "session", "session_gap": 0.0, "sessions": {"gap": 3600.0, "max_events": 3},
        "filters": {"keep_events": ["view"], "min_item_events": 2},
    }  # fmt: skip
    assert said["events"] == views + 1
    assert "z" not in artifacts.read(tmp_path / "m").catalogue.ids.to_list()
    assert "d" not in artifacts.read(tmp_path / "m").catalogue.ids.to_list()


def test_the_old_option_for_a_gap_is_a_rule_like_any_other(ask: Ask, shop: Path, tmp_path: Path) -> None:
    for n, words in enumerate((("--session-gap", "3600"), ("--sessions", "gap:3600"))):
        common = ["train", shop, "--model", "markov", "--by", "session", "--out", tmp_path / f"m{n}"]
        assert ask(*common, *words)[0] == 0
    assert learnt(tmp_path / "m0") == learnt(tmp_path / "m1")
    assert learnt(tmp_path / "m0")["sequences"] == {"by": "session", "session_gap": 3600.0}
    status, _, err = ask("train", shop, "--model", "markov", "--session-gap", 60, "--sessions", "gap:30")
    assert status == 2
    assert "give one of them" in err


def test_a_prepared_folder_is_filtered_and_cannot_be_filtered_again(
    ask: Ask, shop: Path, tmp_path: Path
) -> None:
    words = ["--min-item-events", 2, "--duplicates", "first", "--split", "none"]
    status, out, err = ask("data", "prepare", shop, tmp_path / "data", *words)
    assert status == 0, err
    assert f"{EVENTS - 2} events of 20 sequences on 4 items" in out
    status, _, err = ask(
        "train", tmp_path / "data", "--model", "markov", "--sessions", "day", "--min-session", 2
    )
    assert status == 2
    assert "--sessions, --min-session cannot be changed" in err
    assert ask("train", tmp_path / "data", "--model", "markov", "--out", tmp_path / "m")[0] == 0
    assert learnt(tmp_path / "m")["sequences"]["filters"] == {"min_item_events": 2}


def test_a_run_fits_filters_on_training_events_and_says_so(ask: Ask, shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(
        f'[data]\nsource = "{shop.name}"\n[split]\nrule = "last"\n[filters]\nmin_item_events = 2\n'
        '[sessions]\ngap = 60.0\n[events]\nduplicates = "first"\n'
    )
    words = ["--models", "markov,popular", "--out", tmp_path / "r"]
    status, _, err = ask("run", file, *words)
    assert status == 0, err
    before = EVENTS - 1
    assert f"train: filter min_item_events = 2: {before - 40 - 1} of {before - 40} events" in err
    assert f"before test: filter min_item_events = 2: {before - 20 - 1} of {before - 20} events" in err
    assert "test: 0 events are on items that are not learnt from" in err
    told = json.loads((tmp_path / "r" / "run.json").read_text())
    assert told["filters"]["train"][0]["before"]["events"] == before - 40
    assert told["experiment"]["filters"]["min_item_events"] == 2
    assert learnt(tmp_path / "r" / "models" / "markov")["events"] == before - 20 - 1
    assert ask("run", file, *words, "--sessions", "day", "--min-item-events", 0)[0] == 0
    told = json.loads((tmp_path / "r" / "run.json").read_text())
    assert told["experiment"]["sessions"]["calendar"] == "day"
    assert told["experiment"]["sessions"]["gap"] == 0, "a rule that is typed takes the place of the file's"
    assert told["filters"] == {}


def test_a_rule_that_says_nothing_known_is_refused(ask: Ask, shop: Path) -> None:
    status, _, err = ask("data", "audit", shop, "--sessions", "fortnight")
    assert status == 2
    assert "'fortnight' is none of given, day, week, month, gap:SECONDS" in err
    status, _, err = ask("data", "audit", shop, "--keep-events", "vew")
    assert status == 2
    assert "Did you mean 'view'?" in err
