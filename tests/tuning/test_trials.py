"""Trials: what is searched in them, which fail alone, which are stopped early, and how many minutes each has."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

pytest.importorskip("optuna", reason="pip install 'ensue[tune]'")

from tests.tuning.conftest import TINY, asked

from ensue.errors import ConfigError, DataError, ModelError
from ensue.events.log import EventLog
from ensue.experiment import Splitting, read_experiment
from ensue.ladder.parting import parted
from ensue.model import Conditions, Training, model_of
from ensue.progress import Silent
from ensue.splits import split
from ensue.tuning import TUNED, tune
from ensue.tuning.running import learnt_from, minutes_of_a_trial
from ensue.tuning.search import Search
from ensue.tuning.study import FAULT, library, lost
from ensue.tuning.trials import Terms, attempt, falls_behind


def test_several_models_have_spaces_of_their_own(log: EventLog, tmp_path: Path) -> None:
    models: dict[str, dict[str, Any]] = {
        "chain": {"model": "markov", "order": 2},
        "rules": {"window": 3},
        "popular": {},
    }
    found = tune(asked(tmp_path / "m", models), trials=14, minutes=0, log=log)
    own = {"chain": {"discount", "continuation"}, "rules": {"last", "decay"}, "popular": set()}
    assert all(set(trial.settings) == own[trial.label] for trial in found.trials)
    assert [trial.label for trial in found.trials[:3]] == ["chain", "rules", "popular"]
    assert len({trial.label for trial in found.trials[3:]}) >= 2
    written = read_experiment(found.folder / TUNED).models
    assert list(written) == ["chain", "rules", "popular"]
    assert written["chain"]["order"] == 2
    assert written["rules"]["window"] == 3
    for label in ("chain", "rules"):
        best = max((t for t in found.ranked if t.label == label), key=lambda t: (t.value, -t.number))
        assert {name: written[label][name] for name in best.settings} == best.settings


def test_settings_that_are_given_are_not_searched() -> None:
    search = Search.of({"transformer": {"width": 48, "heads": 3, "loss": "mean-squared-error"}})
    space = search.candidates["transformer"].space
    assert not {"width", "heads", "prior"} & set(space), "a loss for ratings goes with no prior"
    assert {"dropout", "blocks"} <= set(space)
    refused: list[tuple[dict[str, dict[str, Any]], str]] = [
        ({}, "Which model is to be tuned"),
        ({"popular": {}}, "its space is empty"),
        ({"rules": {"window": 3, "last": 2, "decay": 0.5}}, "all that could be is given"),
        ({"rules": {"windw": 3}}, "Did you mean 'window'"),
    ]
    for models, says in refused:
        with pytest.raises(ConfigError, match=says):
            Search.of(models)


def test_settings_that_do_not_go_together_fail_alone(log: EventLog, tmp_path: Path) -> None:
    """Three heads divide a width of 96 or 192, and no other of the space."""
    models: dict[str, dict[str, Any]] = {"t": {"model": "transformer", **TINY, "heads": 3, "epochs": 1}}
    del models["t"]["width"]
    with pytest.raises(ConfigError, match="3 heads do not divide a width of 64"):
        tune(asked(tmp_path / "h", models), trials=3, minutes=0, log=log)
    search = replace(Search.of({"t": {**models["t"], "width": 96}}))
    candidate = search.candidates["t"]
    wide = replace(candidate, space={"width": candidate.model.space["width"]})
    search = Search({"t": wide})
    training = learnt_from(parted(asked(tmp_path, models), log, Silent()))
    optuna = library()
    study = optuna.create_study(direction="maximize")
    for width in (64, 96):
        study.enqueue_trial({"t.width": width})
        attempt(study.ask(), study, search, training, Terms(9, metric="ndcg@2"))
    failed, done = study.trials
    assert (failed.state, done.state) == (optuna.trial.TrialState.FAIL, optuna.trial.TrialState.COMPLETE)
    assert "3 heads do not divide a width of 64" in failed.user_attrs[FAULT]
    assert not lost(failed)


def test_where_no_trial_can_be_done_the_reason_is_told(log: EventLog, tmp_path: Path) -> None:
    models: dict[str, dict[str, Any]] = {"recent": {}}
    order_only = EventLog.of(log.frame.select("user", "item"))
    with pytest.raises(
        ModelError, match=r"None of the 3 trials could be done: recent: this log has no times"
    ):
        tune(asked(tmp_path / "n", models), trials=3, minutes=0, log=order_only)
    single = replace(asked(tmp_path / "v", {"markov": {}}), split=Splitting("ratio", 0.2, 0.0))
    for _ in range(2):  # what a start that failed leaves is in nobody's way
        with pytest.raises(DataError, match="The validation part asks nothing"):
            tune(single, trials=3, minutes=0, log=log)


def test_a_hook_ends_a_training_and_hears_of_every_epoch(log: EventLog) -> None:
    parts = split(log, "ratio", test=0.2, validation=0.2)
    training = Training.of(parts.train, exclude_seen=False)
    training = replace(training, validation=parts.examples("validation", training.catalogue))
    heard: list[tuple[int, float]] = []

    def stop(epoch: int, score: float) -> bool:
        heard.append((epoch, score))
        return epoch == 2

    fitted = model_of("gru", **{n: v for n, v in TINY.items() if n != "blocks"}).fit(
        training, Conditions(stop=stop)
    )
    assert fitted.facts["epochs"] == 2
    assert [epoch for epoch, _ in heard] == [1, 2]
    assert [score for _, score in heard] == [row["score"] for row in fitted.facts["history"]]


def test_of_ratings_the_hook_hears_that_less_is_better(log: EventLog) -> None:
    rated = EventLog.of(log.frame.with_columns(rating=pl.Series([1.0, 5.0] * (log.n_events // 2))))
    parts = split(rated, "ratio", test=0.2, validation=0.2)
    training = Training.of(parts.train, exclude_seen=False)
    training = replace(training, validation=parts.examples("validation", training.catalogue))
    heard: list[float] = []
    model = model_of("gru", width=8, epochs=2, batch_tokens=512, loss="mean-squared-error")

    def stop(epoch: int, score: float) -> bool:
        heard.append(score)
        return False

    fitted = model.fit(training, Conditions(stop=stop))
    assert heard == [-row["score"] for row in fitted.facts["history"]]
    assert max(heard) < 0


def study_with(curves: list[tuple[str, dict[int, float]]]) -> Any:
    """A study whose trials of these models have gone so."""
    optuna = library()
    study = optuna.create_study(direction="maximize")
    choice = optuna.distributions.CategoricalDistribution(["gru", "lstm"])
    for label, curve in curves:
        study.add_trial(
            optuna.trial.create_trial(
                params={"model": label},
                distributions={"model": choice},
                intermediate_values=curve,
                value=max(curve.values()),
            )
        )
    return study


def test_a_trial_falls_behind_below_the_median_of_its_own_model() -> None:
    curves = [{1: 0.1, 2: 0.2, 3: best, 4: best} for best in (0.3, 0.4, 0.5, 0.6)]
    study = study_with([("gru", curve) for curve in curves] + [("lstm", {3: 0.0, 4: 0.0})] * 3)
    study.enqueue_trial({"model": "gru"})
    study.enqueue_trial({"model": "lstm"})
    gru, lstm = study.ask(), study.ask()
    for trial in (gru, lstm):
        trial.suggest_categorical("model", ["gru", "lstm"])
    middle = (0.4 + 0.5) / 2
    assert falls_behind(study, gru, 3, middle - 1e-9)
    assert not falls_behind(study, gru, 3, middle)
    assert not falls_behind(study, gru, 2, 0.0), "every trial is given two epochs"
    assert not falls_behind(study, gru, 5, 0.0), "nothing is known of that epoch"
    assert not falls_behind(study, lstm, 3, -1.0), "three peers are too few"


def test_a_trial_that_falls_behind_is_stopped_early_and_counts(log: EventLog, tmp_path: Path) -> None:
    models = {"gru": {n: v for n, v in TINY.items() if n != "blocks"}}
    search = Search.of(models)
    training = learnt_from(parted(asked(tmp_path, models), log, Silent()))
    study = study_with([("gru", {1: 2.0, 2: 2.0, 3: 2.0, 4: 2.0})] * 4)
    study.enqueue_trial({"model": "gru"})
    trial = study.ask()
    trial.suggest_categorical("model", ["gru", "lstm"])
    attempt(trial, study, search, training, Terms(9, metric="ndcg@2"))
    found = study.trials[-1]
    assert found.state == library().trial.TrialState.PRUNED
    assert sorted(found.intermediate_values) == [1, 2, 3]
    assert found.user_attrs["epochs"] == 3


def test_minutes_are_shared_evenly_and_kept_for_the_run(log: EventLog, tmp_path: Path) -> None:
    experiment = asked(tmp_path / "s", {"rules": {}}, max_minutes=10.0)
    found = tune(experiment, trials=4, minutes=2, log=log)
    assert (found.minutes, found.experiment.max_minutes) == (2 / 4, 10.0), "no network was among them"
    network = {"gru": {name: value for name, value in TINY.items() if name != "blocks"}}
    trained = tune(asked(tmp_path / "g", network, max_minutes=10.0), trials=2, minutes=4, log=log)
    assert trained.minutes == trained.experiment.max_minutes == 4 / 2
    assert read_experiment(trained.folder / TUNED).max_minutes == 4 / 2
    more = tune(experiment, trials=5, minutes=60, log=log)
    assert more.minutes == 2 / 4, "trials that go on with others have what those had"
    capped = tune(asked(tmp_path / "c", {"rules": {}}, max_minutes=0.25), trials=4, minutes=60, log=log)
    assert capped.minutes == 0.25
    assert minutes_of_a_trial(10.0, 6.0, 30, 2) == 6 * 2 / 30
    assert minutes_of_a_trial(0.0, 6.0, 30, 1) == 6 / 30
    assert (minutes_of_a_trial(10.0, 0.0, 30, 2), minutes_of_a_trial(0.0, 0.0, 30, 2)) == (10, 0)
    began = time.monotonic()
    short = tune(asked(tmp_path / "n", {"rules": {}}), trials=10_000, minutes=0.01, log=log)
    assert time.monotonic() - began < 10
    assert 1 <= len(short.trials) < 10_000
