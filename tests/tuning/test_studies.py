"""Studies: what is found, that the test is in no trial, and that they go on as if they had never stopped."""

from __future__ import annotations

import json
import os
import signal
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

from tests.tuning.conftest import asked, planted

from ensue import ladder
from ensue.errors import ArtifactError, ConfigError, MissingExtraError
from ensue.events.log import EventLog
from ensue.experiment import Data, read_experiment
from ensue.ladder.parting import parted
from ensue.model import Training
from ensue.progress import Silent
from ensue.splits import TEST, split
from ensue.tuning import STUDY, TUNED, TUNING, Tuned, tune, workers
from ensue.tuning.running import learnt_from, without_test
from ensue.tuning.search import Search
from ensue.tuning.study import AT_WORK, alone, claim, library, lost, opened
from ensue.tuning.trials import Terms
from ensue.tuning.workers import Worker, together


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
