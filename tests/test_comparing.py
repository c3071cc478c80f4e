"""A ladder under one budget: how the minutes are shared out, the spread over seeds, and what a run keeps of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ensue.comparing import LADDER, Budget, SeedSpreads, compare, networks
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.experiment import Evaluating, Experiment, described_model
from ensue.ladder.rungs import described, trains
from ensue.model import Training
from ensue.progress import spoken
from ensue.run_folder import REPORT
from ensue.spreads import Spread


def test_minutes_are_shared_out_evenly_over_all_trainings() -> None:
    budget = Budget(24.0, ("gru", "lstm"), fits=3, refit=True)
    assert budget.trainings == 2 * 3 * 2
    assert budget.each == 24 / 12
    assert budget.line() == (
        "budget: 24 minutes for 2 networks, each 3 times: 2 minutes to train, and at most 2 minutes to train anew on "
        "all before the test; models that count are not limited"
    )
    assert replace(budget, refit=False).each == 24 / 6
    assert "anew" not in replace(budget, refit=False, fits=1).line()


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (2 / 60, "2 seconds"),
        (1 / 60, "1 second"),
        (0.75, "45 seconds"),
        (59.9 / 60, "1 minute"),
        (1.0, "1 minute"),
        (2.25, "2.25 minutes"),
        (10 / 3, "3.33 minutes"),
        (1440.0, "1440 minutes"),
        (0.00001, "0.0006 seconds"),
    ],
)
def test_a_time_is_said_in_seconds_below_a_minute(minutes: float, said: str) -> None:
    assert spoken(minutes) == said
    assert Budget(minutes * 2, ("gru",)).line() == (
        f"budget: {spoken(minutes * 2)} for 1 network: {said} to train, and at most {said} to train anew on all before "
        "the test; models that count are not limited"
    )


def test_no_network_and_no_limit_are_said() -> None:
    assert "no network" in Budget(5.0, ()).line()
    assert Budget(0.0, ("gru",)).line() == "budget: no limit"
    assert Budget(0.0, ("gru",)).each == 0


def test_the_ladder_holds_models_that_exist_and_the_preset_with_its_prior(ring_log: EventLog) -> None:
    sequences = Training.of(ring_log).sequences
    models = {label: described(label, sequences) for label in LADDER}
    found = {label: described_model(label, settings) for label, settings in models.items()}
    assert [label for label, model in found.items() if trains(model)] == [
        "gru",
        "lstm",
        "transformer",
        "fast",
    ]
    assert (models["fast"]["model"], models["fast"]["prior"]) == ("transformer", "beside")
    assert networks(Experiment(models=models)) == ("gru", "lstm", "transformer", "fast")


def test_the_deviation_over_seeds_is_that_of_a_sample() -> None:
    found = SeedSpreads((4, 5), {"gru": {"ndcg@10": Spread((0.1, 0.3))}}).to_json()
    assert found["seeds"] == [4, 5]
    own = found["models"]["gru"]["ndcg@10"]
    assert own["mean"] == pytest.approx(0.2)
    assert own["deviation"] == pytest.approx((2 * 0.1**2 / 1) ** 0.5)


def test_seeds_and_shares_are_run_and_kept_with_the_run(tmp_path: Path, ring_log: EventLog) -> None:
    tiny = {"model": "rnn", "width": 4, "length": 6, "epochs": 1, "batch_tokens": 128}
    asked = Experiment(
        models={"popular": {}, "tiny": tiny},
        evaluation=Evaluating(exclude_seen=False),
        out=str(tmp_path / "run"),
        seed=7,
    )
    found = compare(asked, minutes=3.0, seeds=2, thin=[0.5], log=ring_log)
    assert found.budget.each == 3 / (1 * 3 * 2)
    assert found.outcome.experiment.max_minutes == found.budget.each
    assert found.spread is not None
    assert found.spread.seeds == (7, 8)
    first, second = found.spread.spreads["tiny"]["ndcg@10"].values
    assert first == found.outcome.rungs[1].test.value("ndcg@10")
    assert first != second
    assert "popular" not in found.spread.spreads
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    told = json.loads(json.dumps(found.to_json()))
    assert {name: kept[name] for name in told} == told
    assert "made" in kept, "what the run itself has written stays"
    page = (tmp_path / "run" / REPORT).read_text()
    assert "Over seeds" in page
    assert "Less to learn from" in page
    assert [point["share"] for point in kept["thinned"]["points"]] == [1.0, 0.5]
    assert (tmp_path / "run" / "seeds" / "8" / "run.json").is_file()
    cost = kept["models"][1]["cost"]
    files = (tmp_path / "run" / "models" / "tiny").iterdir()
    assert cost["artifact_bytes"] == sum(path.stat().st_size for path in files)
    assert 0 < cost["latency_ms"]["p50"] <= cost["latency_ms"]["p99"]
    assert cost["evaluated_users_per_second"] > 0
    assert cost["process_peak_mb"] > cost["process_peak_rise_mb"] >= 0


def test_without_a_budget_each_network_has_the_minutes_of_the_experiment(
    tmp_path: Path, ring_log: EventLog
) -> None:
    asked = Experiment(models={"markov": {}}, out=str(tmp_path / "run"), max_minutes=2.5)
    found = compare(asked, minutes=None, seeds=3, log=ring_log)
    assert found.outcome.experiment.max_minutes == 2.5
    assert found.spread is None, "counting gives the same for every seed"


def test_no_seed_at_all_is_refused(tmp_path: Path, ring_log: EventLog) -> None:
    with pytest.raises(ConfigError, match="seeds=0"):
        compare(Experiment(models={"markov": {}}, out=str(tmp_path)), seeds=0, log=ring_log)


def test_models_are_named_by_label_preset_or_name(tmp_path: Path, ring_log: EventLog) -> None:
    short = {"model": "rules", "window": 3}
    asked = Experiment(models={"short": short, "markov": {}}, out=str(tmp_path / "run"), keep_histories=False)
    found = compare(asked, names=("short", "popular", "fast"), minutes=0.02, log=ring_log)
    ran = found.outcome.experiment.models
    assert [rung.label for rung in found.outcome.rungs] == list(ran) == ["short", "popular", "fast"]
    assert (ran["short"], ran["popular"]) == (short, {})
    assert "model" in ran["fast"], "a preset is written out, so that the run can be repeated"
    with pytest.raises(ConfigError, match="Did you mean 'markov'"):
        compare(asked, names=("markow",), log=ring_log)
