"""Tuning: what is found, that the test is in no trial, and that a study goes on as if it had never stopped."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("optuna", reason="pip install 'ensue[tune]'")

from ensue import ladder
from ensue.errors import ArtifactError, ConfigError, DataError, MissingExtraError, ModelError
from ensue.events.log import EventLog
from ensue.experiment import Data, Evaluating, Experiment, Splitting, read_experiment
from ensue.ladder.parting import parted
from ensue.model import Conditions, Training, model_of
from ensue.progress import Silent
from ensue.splits import TEST, split
from ensue.tuning import STUDY, TUNED, TUNING, Tuned, tune, workers
from ensue.tuning.running import learnt_from, minutes_of_a_trial, without_test
from ensue.tuning.search import Search
from ensue.tuning.study import AT_WORK, FAULT, alone, claim, library, lost, opened
from ensue.tuning.trials import Terms, attempt, falls_behind
from ensue.tuning.workers import Worker, together

SPLIT = Splitting(rule="ratio", test=0.2, validation=0.2)
DAY = 86_400_000_000
TINY = {"width": 32, "batch_tokens": 512, "prior": "none", "temperature": 0.0, "blocks": 1, "epochs": 4}


def planted(users: int = 40, length: int = 20) -> EventLog:
    """After two items the third is known, after one it is not: a, b, a, c, a, b, a, c from any place on."""
    rows = [(f"u{u}", "abac"[(u + step) % 4], step) for u in range(users) for step in range(length)]
    frame = pl.DataFrame(rows, schema=["user", "item", "step"], orient="row")
    return EventLog.of(
        frame.select("user", "item", time=(pl.col("step") * DAY).cast(pl.Datetime("us", "UTC")))
    )


@pytest.fixture(scope="module")
def log() -> EventLog:
    return planted()


def asked(out: Path, models: dict[str, dict[str, Any]], **more: Any) -> Experiment:
    settled = Evaluating(exclude_seen=False, choose_on="ndcg@2")
    return Experiment(split=SPLIT, evaluation=settled, models=models, out=str(out), **more)


def drawn(found: Tuned) -> list[tuple[str, dict[str, Any], float | None]]:
    """The trials, whatever their numbers; a lost one is none."""
    return [(one.label, dict(one.settings), one.value) for one in found.trials if one.state != "lost"]


@pytest.fixture(scope="module")
def tuned(log: EventLog, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """The chain, tuned in 12 trials."""
    folder = tmp_path_factory.mktemp("tuned") / "chain"
    return tune(asked(folder, {"markov": {}}), trials=12, minutes=0, log=log)


def test_it_finds_what_is_planted_and_begins_with_the_model_as_it_is(tuned: Tuned) -> None:
    first = tuned.trials[0]
    assert (first.number, first.settings) == (0, {"order": 1, "discount": 0.0, "continuation": False})
    assert tuned.best.settings["order"] >= 2
    assert tuned.best.value == 1.0, "the second order knows every next item"
    # after b or c comes a; after a come b and c, of which one chain of order 1 can only put one first
    assert first.value is not None
    assert first.value < 1.0
    assert len(tuned.trials) == 12
    assert {trial.state for trial in tuned.trials} == {"done"}


def test_the_tuned_experiment_runs_and_repeats_the_figure(tuned: Tuned, log: EventLog) -> None:
    experiment = read_experiment(tuned.folder / TUNED)
    assert replace(experiment, out="") == replace(tuned.experiment, out="")
    done = ladder.run(experiment, log=log)
    assert done.folder == tuned.folder / "run"
    (rung,) = done.rungs
    assert rung.validation == tuned.best.value
    assert {name: rung.model.settings()[name] for name in tuned.best.settings} == tuned.best.settings


def test_what_is_written_says_all_and_names_no_user(tuned: Tuned, log: EventLog) -> None:
    found = json.loads((tuned.folder / TUNING).read_text())
    assert found == json.loads(json.dumps(tuned.to_json()))
    assert found["best"]["value"] == 1.0
    assert [trial["trial"] for trial in found["trials"]] == list(range(12))
    assert set(found["importance"]["markov"]) == {"order", "discount", "continuation"}
    assert sum(found["importance"]["markov"].values()) == pytest.approx(1, abs=1e-3)
    files = b"".join(path.read_bytes() for path in tuned.folder.iterdir() if path.is_file())
    assert not [user for user in log.frame["user"].unique().to_list() if user.encode() in files]


def test_the_same_seed_draws_the_same(tuned: Tuned, log: EventLog, tmp_path: Path) -> None:
    again = tune(asked(tmp_path / "a", {"markov": {}}), trials=4, minutes=0, log=log)
    assert drawn(again) == drawn(tuned)[:4]
    other = tune(asked(tmp_path / "b", {"markov": {}}, seed=1), trials=4, minutes=0, log=log)
    assert drawn(other)[0] == drawn(tuned)[0]
    assert drawn(other)[1:] != drawn(tuned)[1:4]


def test_a_study_that_stopped_goes_on_as_if_it_had_not(tuned: Tuned, log: EventLog, tmp_path: Path) -> None:
    """It stops twice: between two trials, and in the middle of one, as a process does that is killed."""
    experiment = asked(tmp_path / "s", {"markov": {}})
    assert len(tune(experiment, trials=3, minutes=0, log=log).trials) == 3
    search = Search.of(experiment.models)
    with opened(tmp_path / "s") as study:
        from ensue.tuning.study import sampler

        trial = claim(tmp_path / "s", study, 12, 0)
        assert trial is not None
        study.sampler = sampler(study, trial, 0, several=False)
        search.drawn(trial)
        states = library().trial.TrialState
        assert [one.number for one in study.get_trials(states=(states.RUNNING,))] == [3]
    whole = tune(experiment, trials=12, minutes=0, log=log)
    assert [one.number for one in whole.trials if one.state == "lost"] == [3]
    assert drawn(whole) == drawn(tuned)
    assert len(tune(experiment, trials=5, minutes=0, log=log).trials) == 13, "those that are there stay"


def test_the_test_part_is_in_no_trial(tuned: Tuned, log: EventLog, tmp_path: Path) -> None:
    """Test events that say the contrary change nothing, bit for bit; nor is validation learnt from."""
    parts = split(log, "ratio", test=0.2, validation=0.2)
    training = learnt_from(parted(asked(tmp_path, {}), log, Silent()))
    assert len(training.sequences.items) == parts.sizes["train"]
    assert training.validation is not None
    assert len(training.validation) == parts.n_targets("validation")
    turned = log.frame.with_columns(
        item=pl.when(pl.Series(parts.part == TEST)).then(pl.lit("z")).otherwise("item")
    )
    other = tune(asked(tmp_path / "t", {"markov": {}}), trials=12, minutes=0, log=EventLog.of(turned))
    assert drawn(other) == drawn(tuned)


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=12, max_size=60),
    st.sampled_from(["last", "ratio", "temporal", "basket"]),
)
def test_a_log_without_its_test_asks_the_same_on_validation(rows: list[tuple[int, int]], rule: str) -> None:
    frame = pl.DataFrame(
        {
            "user": [f"u{user}" for user, _ in rows],
            "item": [f"i{item}" for _, item in rows],
            "time": np.arange(len(rows)) * 1_000_000,
            "basket": [str(n // 3) for n in range(len(rows))],
        }
    ).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    whole = split(EventLog.of(frame), rule)
    seen = without_test(whole)
    assert seen.sizes["test"] == 0
    assert seen.sizes | {"test": 0} == whole.sizes | {"test": 0}
    assert seen.train.frame.equals(whole.train.frame)
    catalogue = Training.of(whole.train).catalogue
    before, after = (parts.examples("validation", catalogue) for parts in (whole, seen))
    assert before.target_ids.to_list() == after.target_ids.to_list()
    for one, other in zip(before.queries.starts, before.queries.ends, strict=True):
        assert one <= other
    histories = [
        [
            found.queries.items[a:b].tolist()
            for a, b in zip(found.queries.starts, found.queries.ends, strict=True)
        ]
        for found in (before, after)
    ]
    assert histories[0] == histories[1]


@pytest.mark.parametrize(
    "workers", [1, pytest.param(2, marks=pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core"))]
)
def test_cold_items_are_candidates_where_they_are_in_the_run(
    log: EventLog, tmp_path: Path, workers: int
) -> None:
    items = pl.DataFrame({"item": [*log.frame["item"].unique().sort(), *(f"new{n}" for n in range(30))]})
    wide = replace(log, items=items)
    for cold in (False, True):
        own = asked(tmp_path / f"{cold}", {"popular": {}, "markov": {}})
        own = replace(own, evaluation=replace(own.evaluation, cold_items=cold, choose_on="auc"))
        found = tune(own, trials=2, minutes=0.0, workers=workers, log=wide)
        run = ladder.run(replace(own, out=str(tmp_path / f"{cold}-run")), log=wide)
        assert {one.label: one.value for one in found.trials} == {
            rung.label: rung.validation for rung in run.rungs
        }


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


def test_a_study_of_something_else_is_not_gone_on_with(tuned: Tuned, log: EventLog, tmp_path: Path) -> None:
    place = tuned.folder
    for experiment, events, says in (
        (asked(place, {"markov": {}}), planted(users=41), "is about other data,"),
        (asked(place, {"markov": {"order": 2}}), log, "is about other models,"),
        (asked(place, {"markov": {}}, seed=5), log, "is about other experiment,"),
    ):
        with pytest.raises(ConfigError, match=says):
            tune(experiment, trials=13, minutes=0, log=events)
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="holds something other than a tuning"):
        tune(asked(tmp_path, {"markov": {}}), log=log)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / STUDY).write_text("this is no database, whatever its name says" * 50)
    with pytest.raises(ArtifactError, match="is no study that can be gone on with"):
        tune(asked(tmp_path / "d", {"markov": {}}), log=log)


def test_one_command_at_a_time_tunes_in_a_folder(tuned: Tuned, log: EventLog) -> None:
    with (
        alone(tuned.folder / AT_WORK, 0.0, "busy"),
        pytest.raises(ConfigError, match="is being tuned in by another process"),
    ):
        tune(asked(tuned.folder, {"markov": {}}), trials=13, minutes=0, log=log)


@pytest.mark.parametrize("library_name", ["optuna"])
def test_what_is_missing_is_told_before_anything_is_read(
    library_name: str, without: Callable[[str], None], tmp_path: Path
) -> None:
    without(library_name)
    experiment = replace(asked(tmp_path / "x", {"markov": {}}), data=Data(source="nowhere.csv"))
    with pytest.raises(MissingExtraError, match=rf"Tuning needs {library_name}: pip install 'ensue\[tune\]'"):
        tune(experiment)


def test_the_source_is_named_as_the_file_sees_it(ring_log: EventLog, tmp_path: Path) -> None:
    """A folder may be moved with its log; a password is not passed on."""
    (tmp_path / "data").mkdir()
    source = tmp_path / "data" / "ring.csv"
    ring_log.frame.write_csv(source)
    experiment = replace(asked(tmp_path / "runs" / "t", {"rules": {}}), data=Data(source=str(source)))
    found = tune(experiment, trials=1, minutes=0)
    text = (found.folder / TUNED).read_text()
    assert 'source = "../../data/ring.csv"' in text
    assert Path(read_experiment(found.folder / TUNED).data.source).resolve() == source.resolve()
    secret = replace(found.experiment, data=Data(source="postgresql://me:word@host/shop?table=events"))
    assert "word" not in replace(found, experiment=secret).toml()
    assert "word" not in json.dumps(replace(found, experiment=secret).to_json())


def test_processes_share_a_study_and_one_that_is_killed_loses_nothing(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes, of which the first is killed in the middle of its trial: that is done by another."""
    models = {"als": {"iterations": 4000, "factors": 64}}
    training = learnt_from(parted(asked(tmp_path, models), log, Silent()))
    begun: list[Worker] = []
    original = workers.started

    def started(place: Path, number: int) -> Worker:
        begun.append(original(place, number))
        return begun[-1]

    monkeypatch.setattr(workers, "started", started)
    monkeypatch.setattr(workers, "LOOK", 0.05)
    states = library().trial.TrialState
    with opened(tmp_path) as study:
        killed: list[int] = []

        def look() -> None:
            running = study.get_trials(deepcopy=False, states=(states.RUNNING,))
            mine = [t.number for t in running if t.user_attrs.get("worker") == 0 and len(t.params) == 3]
            if mine and not killed:
                os.kill(begun[0].process.pid, signal.SIGKILL)
                killed.extend(mine)

        together(tmp_path, study, models, training, Terms(3, metric="ndcg@2"), 2, look)
        found = study.get_trials()
    assert len(begun) == 3
    assert [trial.number for trial in found if lost(trial)] == killed
    assert sum(trial.state == states.COMPLETE for trial in found) == 3
    again = [trial for trial in found if trial.user_attrs.get("retry") == 1]
    assert [trial.params for trial in again] == [found[killed[0]].params]
    assert all(worker.process.returncode is not None for worker in begun)
