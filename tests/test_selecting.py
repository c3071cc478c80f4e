"""A selection as a whole, and logs whose right answer is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue import ladder, runtime
from ensue.errors import ConfigError, DataError
from ensue.events.log import EventLog
from ensue.events.simulate import DriftingSource, LongRangeSource, MarkovSource, OrderlessSource
from ensue.experiment import Evaluating, Experiment, Splitting, read_experiment
from ensue.model import Conditions, Training
from ensue.models.counting.popular import Popular
from ensue.ranking import Recommender
from ensue.selecting import Limits, select
from ensue.splits import temporal


def experiment(out: Path, **others: Any) -> Experiment:
    """A selection without exclusion, kept in a folder."""
    evaluation = Evaluating(exclude_seen=False, choose_on=others.pop("choose_on", "ndcg@10"))
    return Experiment(
        evaluation=evaluation, split=Splitting(rule=others.pop("rule", "temporal")), out=str(out), **others
    )


# ------------------------------------------------------------------- logs whose right answer is known

COUNTING = ("popular", "recent", "markov", "rules", "neighbours")


def test_a_first_order_log_takes_the_chain(tmp_path: Path) -> None:
    found = select(experiment(tmp_path / "s"), names=COUNTING, log=MarkovSource(items=40).log(400, 20))
    assert found.choice.taken == "markov"
    assert found.facts.order == "matters"
    assert found.rung.test.value("ndcg@10") > 0.7
    assert not re.search(r"\bu\d\d+\b", (tmp_path / "s" / "selection.json").read_text()), "no user is named"


def test_a_log_without_order_takes_popularity(tmp_path: Path) -> None:
    found = select(experiment(tmp_path / "s"), names=COUNTING, log=OrderlessSource(items=40).log(400, 20))
    assert found.choice.taken == "popular"
    assert found.choice.front == ("popular",)


def test_a_log_whose_fashions_change_takes_what_reads_time(tmp_path: Path) -> None:
    source = DriftingSource(predictability=0.1)
    found = select(experiment(tmp_path / "s"), names=COUNTING, log=source.log(600, 20))
    assert found.choice.taken == "recent"
    assert found.choice.gains["popular"].difference.high < 0


def test_a_long_range_log_takes_the_network(tmp_path: Path) -> None:
    """Two keys of four decide answers three steps later; the last item alone gives one in four."""
    source = LongRangeSource(keys=4, noise=2, distance=3, predictability=1.0)
    course = {
        "dropout": 0.0,
        "ema": 0.0,
        "batch_tokens": 512,
        "learning_rate": 5e-3,
        "width": 32,
        "length": 20,
    }
    asked = experiment(
        tmp_path / "s",
        rule="last",
        choose_on="accuracy",
        models={
            "popular": {},
            "markov": {},
            "rules": {},
            "far": {"model": "transformer", "epochs": 6, **course},
        },
    )
    found = select(asked, log=source.log(400, 20))
    assert found.choice.taken == "far"
    assert found.rung.test.value("accuracy") > 0.9 > source.best_first_order("accuracy")
    assert "markov beats" not in found.reasons["far"]
    again = read_experiment(tmp_path / "s" / "selected.toml").models["far"]
    assert {"model": "transformer", "epochs": 6, "width": 32}.items() <= again.items()


# ----------------------------------------------------------------------------------- a selection as a whole


@pytest.fixture(scope="module")
def markov_log() -> EventLog:
    """A first-order log."""
    return MarkovSource(items=20).log(150, 12)


def test_the_experiment_that_is_written_repeats_the_choice(tmp_path: Path, markov_log: EventLog) -> None:
    found = select(experiment(tmp_path / "s"), names=("popular", "markov"), log=markov_log)
    written = read_experiment(tmp_path / "s" / "selected.toml")
    assert list(written.models) == ["markov"]
    assert written.split.rule == "temporal"
    assert written.evaluation.exclude_seen is False
    again = ladder.run(written, log=markov_log)
    assert again.folder == tmp_path / "s" / "selected"
    assert again.rungs[0].test.value("ndcg@10") == found.rung.test.value("ndcg@10")
    assert again.rungs[0].validation == found.standings[1].value.value
    assert runtime.load(tmp_path / "s" / "models" / "markov").model == "markov"


def test_the_choice_does_not_see_the_test(tmp_path: Path, markov_log: EventLog) -> None:
    """Other items in the test part change the figures of the test, and nothing else but times."""
    parts = temporal(markov_log)
    test = parts.part == 2
    items = markov_log.frame["item"].to_numpy().copy()
    items[test] = items[test][::-1]
    other = EventLog.of(markov_log.frame.with_columns(item=pl.Series(items)))
    one, two = (
        select(experiment(tmp_path / name), names=("popular", "markov", "rules"), log=log)
        for name, log in (("one", markov_log), ("two", other))
    )
    assert one.facts == two.facts
    assert one.choice.taken == two.choice.taken == "markov"
    for a, b in zip(one.standings, two.standings, strict=True):
        assert np.array_equal(a.per_user, b.per_user)
    assert one.rung.test.value("ndcg@10") != two.rung.test.value("ndcg@10")


def test_limits_that_no_model_keeps_are_refused_with_what_each_costs(
    tmp_path: Path, markov_log: EventLog
) -> None:
    with pytest.raises(
        ConfigError, match=r"No model stays within the limits: popular: it takes .* allowed; markov:"
    ):
        select(
            experiment(tmp_path / "s"), names=("popular", "markov"), limits=Limits(0, 1e-6), log=markov_log
        )


def test_a_model_over_a_limit_is_named_and_a_smaller_one_is_taken(
    tmp_path: Path, markov_log: EventLog
) -> None:
    with_size = select(experiment(tmp_path / "a"), names=("popular", "markov"), log=markov_log)
    sizes = {one.label: one.size for one in with_size.standings}
    between = (sizes["popular"] + sizes["markov"]) / 2 / 1e6
    found = select(
        experiment(tmp_path / "b"), names=("popular", "markov"), limits=Limits(0, between), log=markov_log
    )
    assert found.choice.taken == "popular"
    assert found.reasons["markov"].startswith("markov: over a limit: it takes ")


def test_a_model_that_needs_an_extra_is_named_with_its_remedy(
    tmp_path: Path, markov_log: EventLog, without: Callable[[str], None]
) -> None:
    without("implicit")
    found = select(experiment(tmp_path / "s"), names=("markov", "als"), log=markov_log)
    assert found.choice.taken == "markov"
    assert "pip install" in found.skipped["als"]
    assert found.reasons["als"].startswith("als: could not run: ")


def test_nothing_to_validate_on_is_refused(tmp_path: Path, markov_log: EventLog) -> None:
    asked = replace(experiment(tmp_path / "s"), split=Splitting(rule="temporal", validation=0.0))
    with pytest.raises(DataError, match="nothing to choose on"):
        select(asked, names=("popular",), log=markov_log)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, markov_log: EventLog) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something other than a selection"):
        select(experiment(tmp_path), names=("popular",), log=markov_log)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_selection_in_the_folder_of_an_earlier_one_leaves_none_of_its_models(
    tmp_path: Path, markov_log: EventLog
) -> None:
    for names, taken in ((("markov", "rules"), "markov"), (("popular",), "popular")):
        found = select(experiment(tmp_path / "s"), names=names, log=markov_log)
        assert [place.name for place in (tmp_path / "s" / "models").iterdir()] == [taken]
        assert sorted(place.name for place in (tmp_path / "s" / "finalists").iterdir()) == sorted(names)
        assert found.choice.taken == taken


@pytest.mark.parametrize("processes", [0, 1, 2])
def test_networks_race_in_as_many_processes_as_the_experiment_says(
    tmp_path: Path, markov_log: EventLog, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    told: list[int] = []

    def fit(model: Popular, training: Training, conditions: Conditions) -> Recommender:
        told.append(conditions.processes)
        return plain(model, training, conditions)

    plain = Popular.fit
    monkeypatch.setattr(Popular, "fit", fit)
    select(replace(experiment(tmp_path / "s"), processes=processes), names=("popular",), log=markov_log)
    assert set(told) == {processes}  # as `ensue run` trains what was taken
