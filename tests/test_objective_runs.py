"""An objective from the experiment to the saved model: run, evaluated, replayed, asked, updated in the same words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.test_objective import log_of

from ensue import artifacts, ladder
from ensue.cli import call
from ensue.events.log import EventLog
from ensue.experiment import Experiment, Splitting
from ensue.ladder.parting import parted
from ensue.model import Training
from ensue.objective import Objective
from ensue.prepared import open_training
from ensue.progress import Silent
from ensue.rules import Availability, Rules
from ensue.serving.asking import asking
from ensue.serving.events import LiveEvent
from ensue.serving.schemas import Step, Who
from ensue.serving.served import served
from ensue.serving.settings import Bounds
from ensue.serving.state import open_store
from ensue.updating import update

Ask = Callable[..., tuple[int, str, str]]


def shop(users: int = 24, rounds: int = 5, start: int = 0) -> EventLog:
    """Users take turns: each views a, views b, puts c into the cart, buys what belongs to b, and then views c."""
    rng = np.random.default_rng(start)
    rows: list[tuple[str, str, str | None]] = []
    for _ in range(rounds):
        for user in range(start, start + users):
            a, b, c = rng.integers(0, 4, 3).tolist()
            rows += [(f"u{user:03}", f"v{a}", "view"), (f"u{user:03}", f"c{c}", "cart")]
            rows += [(f"u{user:03}", f"v{b}", "view"), (f"u{user:03}", f"b{b}", "buy")]
            rows += [(f"u{user:03}", f"v{c}", "view")]
    return log_of(rows)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = call([str(word) for word in words])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop.csv"
    shop().frame.select("user", "item", "event", pl.col("time").dt.epoch("s")).write_csv(path)
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, csv: Path) -> Path:
    """A run of purchases from views and purchases; carts are left out."""
    folder = tmp_path_factory.mktemp("run")
    toml = folder / "purchases.toml"
    toml.write_text(
        f"""
out = "out"
[data]
source = {json.dumps(str(csv))}
[objective]
inputs = ["view", "buy"]
targets = ["buy"]
weights = {{ view = 0.1 }}
[split]
rule = "temporal"
test = 0.3
[evaluation]
metrics = ["ndcg@10", "recall@1"]
[models.popular]
[models.rules]
window = 1
last = 1
[models.up-cf]
[models.v-sknn]
"""
    )
    assert call(["run", str(toml)]) == 0
    return folder / "out"


def test_a_run_tells_what_it_is_for_and_who_cannot_do_it(ran: Path) -> None:
    found = json.loads((ran / "run.json").read_text())
    assert found["experiment"]["objective"]["targets"] == ["buy"]
    assert found["experiment"]["evaluation"]["exclude_seen"] is False, "what is bought has been bought before"
    assert found["split"]["rule"].endswith("targets buy, histories of view and buy")
    assert "learns from all events alike" in found["skipped"]["up-cf"]
    assert [row["label"] for row in found["models"]] == ["popular", "rules", "v-sknn"]
    for row in found["models"]:
        assert [part["label"] for part in row["test"]["segments"]["event"]] == ["buy"]
    assert found["models"][1]["test"]["all"]["metrics"]["recall@1"]["value"] == 1.0
    kept = ladder.histories(ran)
    assert set(kept["event"].unique()) == {"view", "buy"}


def test_a_saved_model_is_asked_for_the_same(ask: Ask, ran: Path, csv: Path) -> None:
    model = ran / "models" / "rules"
    said = artifacts.describe(model)["facts"]["learnt"]["objective"]
    assert said == {"inputs": ["view", "buy"], "targets": ["buy"], "weights": {"view": 0.1}, "rating": 0.0}
    status, out, err = ask("evaluate", model, "--events", csv, "--json")
    assert status == 0, err
    run = json.loads((ran / "run.json").read_text())["models"][1]["test"]
    found = json.loads(out)
    assert found["counts"]["targets"] == run["counts"]["targets"] > 20
    assert found["all"]["metrics"]["ndcg@10"] == run["all"]["metrics"]["ndcg@10"]
    assert found["warning"] == ""
    status, out, err = ask("evaluate", model, "--events", csv, "--target-events", "view,buy", "--json")
    assert status == 0, err
    every = json.loads(out)
    assert every["counts"]["targets"] > found["counts"]["targets"]
    status, _, err = ask("evaluate", model, "--events", csv, "--target-events", "cart")
    assert status == 2
    assert "objective.inputs leaves out 'cart'" in err


def test_a_replay_agrees(ask: Ask, ran: Path) -> None:
    status, out, err = ask("replay", ran / "models" / "rules", "--json")
    assert status == 0, err
    found = json.loads(out)
    run = json.loads((ran / "run.json").read_text())["models"][1]["test"]
    assert found["agreement"]["questions"] == run["counts"]["targets"]


def test_a_service_hears_inputs_alone(ran: Path, tmp_path: Path) -> None:
    answering = served(ran / "models" / "rules", Rules(), Availability())
    assert "event" in answering.reads
    store = open_store(str(tmp_path / "state.db"))
    try:
        kinds = ("view", "cart", "buy", None)
        store.append(
            [
                LiveEvent(f"x{place}", user="new", time=1000 + place, event=kind, id=str(place))
                for place, kind in enumerate(kinds)
            ]
        )
        found = asking(Who(user="new"), answering, store, Bounds())
        assert list(found.question.history) == ["x0", "x2", "x3"]
        assert found.question.context["event"] == ["view", "buy", None]
        given = Who(history=[Step(item="v1", event="view"), Step(item="c1", event="cart")])
        assert list(asking(given, answering, store, Bounds()).question.history) == ["v1"]
        only = Who(history=[Step(item="c1", event="cart")])
        assert not asking(only, answering, store, Bounds()).known
    finally:
        store.close()


def test_a_question_is_heard_alike_on_the_command_line(ask: Ask, ran: Path, tmp_path: Path) -> None:
    asked = tmp_path / "question.json"
    asked.write_text(json.dumps({"history": ["v1", "c2"], "context": {"event": ["view", "cart"]}}))
    status, out, err = ask("recommend", ran, "--question", asked, "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["history"] == ["v1"]
    assert found["items"][0]["item"] == "b1"


def test_an_update_goes_on_towards_the_same(ran: Path) -> None:
    later = shop(users=8, start=200)
    frame = later.frame.with_columns(pl.col("time") + pl.duration(days=400))
    found = update(ran / "models" / "rules", EventLog.of(frame))
    assert found.events == 8 * 5 * 4, "carts are not heard"
    assert found.recommender.facts["learnt"]["objective"]["targets"] == ["buy"]
    slate = found.recommender.recommend(["v2"], 3)
    assert slate.items[0] == "b2"
    known = dict(zip(slate.items, slate.scores, strict=True))
    assert known["b2"] > 0.5, "a purchase counts ten times as much as a view"
    assert found.recommender.catalogue.targets is not None


def test_the_fallback_is_what_everybody_buys(ran: Path) -> None:
    """Views are more, and are no answer to somebody of whom nothing is known."""
    for label in ("popular", "rules"):
        slate = ladder.load(ran / "models" / label).recommend([], 4)
        assert slate.fallback
        assert all(item.startswith("b") for item in slate.items)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--target-events", "bye"),
            "no event of this log is of it; it has view (360), buy (120), cart (120)",
        ),
        (("--event-weights", "view"), "--event-weights: 'view' is not TYPE=WEIGHT, such as view=0.2"),
        (("--input-events", "view", "--target-events", "buy"), "objective.inputs leaves out 'buy'"),
    ],
)
def test_a_mistake_is_one_line(
    ask: Ask, csv: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    for verb in (("run", "--models", "popular"), ("train", "--model", "popular")):
        status, _, err = ask(verb[0], csv, *verb[1:], "--out", tmp_path / verb[0], *words)
        assert status == 2
        assert said in " ".join(err.split())


def test_options_say_what_a_table_says(ask: Ask, csv: Path, tmp_path: Path) -> None:
    words = ("--target-events", "buy", "--event-weights", "view=0.2,cart=0.5", "--split", "temporal")
    status, _, err = ask("run", csv, "--models", "popular", "--out", tmp_path / "run", *words)
    assert status == 0, err
    found = json.loads((tmp_path / "run" / "run.json").read_text())["experiment"]["objective"]
    assert found == {"inputs": [], "targets": ["buy"], "weights": {"view": 0.2, "cart": 0.5}, "rating": 0.0}
    assert "objective: 120 of 600 events are targets, 600 of 3 types stand in histories" in " ".join(
        err.split()
    )
    status, _, err = ask("train", csv, "--model", "rules", "--out", tmp_path / "m", "--target-events", "buy")
    assert status == 0, err
    description: dict[str, Any] = artifacts.describe(tmp_path / "m")
    assert description["facts"]["learnt"]["objective"]["targets"] == ["buy"]
    assert description["exclude_seen"] is False
    best = ladder.load(tmp_path / "m").recommend(["v3"], 2, exclude_seen=False).items
    assert all(item.startswith("b") for item in best)


def test_prepared_data_is_learnt_towards_what_it_was_prepared_for(
    ask: Ask, csv: Path, tmp_path: Path
) -> None:
    aims = ("--target-events", "buy", "--input-events", "view,buy", "--event-weights", "view=0.1")
    status, _, err = ask("data", "prepare", csv, tmp_path / "p", *aims, "--split", "none")
    assert status == 0, err
    assert "objective: exclude_seen = false" in err
    folders = {"p": tmp_path / "p", "m": csv}
    found = {}
    for out, source in folders.items():
        more = aims if out == "m" else ()
        words = ("train", source, "--model", "rules", "--out", tmp_path / f"{out}-rules", "--json")
        status, told, err = ask(*words, *more)
        assert status == 0, err
        assert "objective: targets buy, histories of view and buy, weights in training view 0.1" in " ".join(
            err.split()
        )
        found[out] = json.loads(told)
    for name in ("files", "exclude_seen", "settings"):
        assert found["p"][name] == found["m"][name], "the same model"
    learnt = found["p"]["facts"]["learnt"]
    assert learnt.pop("prepared")
    assert learnt == found["m"]["facts"]["learnt"]
    assert learnt["objective"]["targets"] == ["buy"]
    status, _, err = ask("train", tmp_path / "p", "--model", "popular", "--target-events", "buy")
    assert status == 2
    assert "leave targets buy out, or prepare the log anew with it" in " ".join(err.split())


def test_what_is_kept_apart_of_prepared_data_is_of_the_targets(ask: Ask, csv: Path, tmp_path: Path) -> None:
    words = ("data", "prepare", csv, tmp_path / "p", "--target-events", "buy", "--split", "last", "--json")
    status, out, err = ask(*words)
    assert status == 0, err
    said = json.loads(out)
    assert said["split"] == "leave last target out, targets buy"
    training = open_training(tmp_path / "p")
    assert training.validation is not None
    asked = training.catalogue.decode(training.validation.targets)
    assert len(asked) == 24
    assert all(item.startswith("b") for item in asked)
    status, _, err = ask("data", "prepare", csv, tmp_path / "q", "--target-events", "bought")
    assert status == 2
    assert "no event of this log is of it" in " ".join(err.split())


def test_a_comparison_takes_the_same_options(ask: Ask, csv: Path, tmp_path: Path) -> None:
    words = ("--models", "popular,rules", "--out", tmp_path / "c", "--target-events", "buy", "--json")
    status, out, err = ask("compare", csv, *words)
    assert status == 0, err
    assert json.loads(out)["experiment"]["objective"]["targets"] == ["buy"]


def test_seen_items_go_by_the_targets_and_not_by_all_events() -> None:
    """Of thirty items that are viewed one is bought: hardly any event repeats an item, and every target does."""
    rows: list[tuple[str, str, str | None]] = []
    for user in range(5):
        rows += [(f"u{user}", f"i{number}", "view") for number in range(30)]
        rows += [(f"u{user}", f"i{user}", "buy")]
    plain = Experiment(split=Splitting("last"))
    asked = replace(plain, objective=Objective(targets=("buy",)))
    seen = [parted(one, log_of(rows), Silent()).experiment.evaluation.exclude_seen for one in (plain, asked)]
    assert seen == [True, False]


def test_last_targets_are_tested_where_each_sequence_ends_with_a_view() -> None:
    found = Objective(targets=("buy",)).split(shop(), {"rule": "last", "validation": 0.1})
    assert found.n_targets("test") == found.n_targets("validation") == 24
    training = Training.of(found.train, objective=Objective(targets=("buy",)))
    examples = found.examples("test", training.catalogue)
    assert {one[0] for one in examples.target_ids} == {"b"}
    last = training.catalogue.decode(examples.queries.items[examples.queries.ends - 1])
    assert [item.replace("v", "b") for item in last] == examples.target_ids.to_list()
