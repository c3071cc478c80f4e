"""Two tracks, told apart wherever models are ranked: those that read when they are asked, and others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ensue import ladder, reporting
from ensue.errors import ConfigError
from ensue.evaluation import compare, evaluate
from ensue.events.log import EventLog
from ensue.experiment import experiment_of
from ensue.model import Conditions, Training, model_of
from ensue.run_folder import RESULTS, comparison
from ensue.runs import difference, runs_of
from ensue.selecting.race import race
from ensue.splits import last_out
from ensue.tracks import SAID, TIME_AWARE, TIME_BLIND, by_track, refuse_mixed, track_in, track_of, when_asked

MODELS: dict[str, dict[str, Any]] = {"popular": {}, "markov": {}, "markov-time": {}, "stan": {}}
AWARE = ["markov-time", "stan"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, ring_log: EventLog) -> Path:
    """A run of two models of each track; read it, and change nothing in it."""
    folder = tmp_path_factory.mktemp("tracks") / "mixed"
    content = {
        "data": {"source": "ring.csv"},
        "out": str(folder),
        "models": MODELS,
        "split": {"rule": "last"},
    }
    ladder.run(experiment_of(content), log=ring_log)
    return folder


def test_a_counting_model_says_it_by_its_scoring(ring_log: EventLog) -> None:
    known = Training.of(ring_log)
    found = {name: track_of(model_of(name).fit(known)) for name in (*MODELS, "v-sknn", "rules")}
    assert [name for name, track in found.items() if track == TIME_AWARE] == AWARE


def test_what_is_made_of_others_reads_what_they_read(ring_log: EventLog) -> None:
    known = Training.of(ring_log)
    for aware, last in ((True, "markov-time"), (False, "markov")):
        members = ({"model": "popular"}, {"model": last})
        joined = model_of("log-linear", members=members, weights=(1.0, 1.0)).fit(known)
        assert track_of(joined) == (TIME_AWARE if aware else TIME_BLIND)


@dataclass
class Made:
    """A scoring of others, in one more way to hold them."""

    scorings: tuple[object, ...]


def test_a_scoring_that_says_nothing_reads_no_time() -> None:
    assert not when_asked(object())
    assert not when_asked(Made((object(),)))
    assert when_asked(Made((object(), Made((type("Aware", (), {"when_asked": True})(),)))))


def test_models_of_both_tracks_are_not_ranked_together() -> None:
    refuse_mixed({"a": TIME_BLIND, "b": TIME_BLIND}, "A race")
    refuse_mixed({"a": TIME_AWARE}, "A race")
    refuse_mixed({}, "A race")
    with pytest.raises(ConfigError) as told:
        refuse_mixed({"a": TIME_BLIND, "b": TIME_AWARE, "c": TIME_BLIND}, "A race")
    said = str(told.value)
    assert said.startswith("A race is among models of one track")
    assert f"{SAID[TIME_BLIND]}: a, c; {SAID[TIME_AWARE]}: b" in said
    assert "in a call of its own" in said


def test_evaluations_of_both_are_not_compared(ring_log: EventLog) -> None:
    parts = last_out(ring_log)
    known = Training.of(parts.train)
    found = {
        name: evaluate(model_of(name).fit(known), parts.examples("test", known.catalogue), metrics=("mrr",))
        for name in ("markov", "rules", "markov-time")
    }
    assert found["markov-time"].track == TIME_AWARE
    assert "time-blind: does not read when the question is asked" in found["markov"].lines()
    with pytest.raises(ConfigError, match="A comparison is among models of one track"):
        compare(found, "mrr")
    assert compare({name: found[name] for name in ("markov", "rules")}, "mrr").metric == "mrr"


def test_a_race_is_refused_before_any_network_is_trained(ring_log: EventLog) -> None:
    parts = last_out(ring_log)
    plain = Training.of(parts.train)
    known = replace(plain, validation=parts.examples("validation", plain.catalogue))
    for models in (
        {"markov": model_of("markov"), "asked": model_of("gru", asked="wait", width=4)},
        {"markov": model_of("markov"), "markov-time": model_of("markov-time")},
        {"gru": model_of("gru"), "asked": model_of("gru", asked="wait")},
    ):
        with pytest.raises(ConfigError, match="A race is among models of one track"):
            race(models, known, Conditions(), "ndcg@10", 60.0)


# ------------------------------------------------------------------------------------- what a run tells


def test_a_run_names_the_track_of_each_model(mixed: Path) -> None:
    rungs = json.loads((mixed / RESULTS).read_text())["models"]
    assert {rung["label"]: rung["test"]["track"] for rung in rungs} == {
        label: TIME_AWARE if label in AWARE else TIME_BLIND for label in MODELS
    }
    assert {track: [rung["label"] for rung in own] for track, own in by_track(rungs).items()} == {
        TIME_BLIND: ["popular", "markov"],
        TIME_AWARE: AWARE,
    }
    del rungs[3]["test"]["track"]
    assert track_in(rungs[3]) == TIME_BLIND, "a run of before tracks were told"


def test_tests_are_among_those_that_are_named(mixed: Path) -> None:
    found = comparison(mixed, 0, AWARE)
    assert {found.best, *(other.model for other in found.others)} == set(AWARE)
    assert len(comparison(mixed).others) == 3


def test_the_report_ranks_each_track_by_itself(mixed: Path) -> None:
    run = reporting.read_run(mixed)
    assert {track: [rung["label"] for rung in one.rungs] for track, one in run.tracks.items()} == {
        TIME_BLIND: ["popular", "markov"],
        TIME_AWARE: AWARE,
    }
    whole = reporting.json_of(run)
    standings = {one["label"]: (one["track"], one["standing"]) for one in whole["standings"]}
    assert [standings[label][0] for label in MODELS] == [TIME_BLIND] * 2 + [TIME_AWARE] * 2
    assert [standing for _, standing in standings.values()].count("best") == 2
    served = run.best["label"]
    own = AWARE if served in AWARE else ["popular", "markov"]
    assert run.comparison is not None
    assert {run.comparison.best, *(other.model for other in run.comparison.others)} == set(own)
    assert "2 of the other track stand in a table of their own" in whole["verdict"]
    text = reporting.report_of(run).markdown()
    for said in SAID.values():
        assert said in text
    for line in text.splitlines():  # no table of figures holds models of both
        assert not ("markov-time" in line and "popular" in line and "|" in line)
    tables = [table for table in text.split("\n\n") if table.startswith("| model |") and "NDCG" in table]
    assert tables
    for table in tables:
        labels = {line.split("|")[1].strip().removesuffix(" (served)") for line in table.splitlines()[2:]}
        assert not (labels & set(AWARE) and labels - set(AWARE)), labels


def test_a_run_of_one_track_is_shown_whole(mixed: Path, tmp_path: Path) -> None:
    content = json.loads((mixed / RESULTS).read_text())
    content["models"], content["best"] = content["models"][:2], "markov"
    (tmp_path / RESULTS).write_text(json.dumps(content))
    run = reporting.read_run(tmp_path)
    assert run.tracks == {TIME_BLIND: run}
    text = reporting.report_of(run).markdown()
    assert "Time-blind: does not read when the question is asked." in text
    assert SAID[TIME_AWARE] not in text


def test_two_runs_of_a_label_are_subtracted_within_a_track_alone(mixed: Path, tmp_path: Path) -> None:
    content = json.loads((mixed / RESULTS).read_text())
    content["models"][1]["test"]["track"] = TIME_AWARE
    (tmp_path / RESULTS).write_text(json.dumps(content))
    pairs = {pair.label: pair.difference for pair in difference(mixed, tmp_path).pairs}
    assert pairs["markov"] is None
    assert all(pairs[label] is not None for label in MODELS if label != "markov")


# --------------------------------------------------------------------------------- the command line

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs `ensue WORDS` in this process: exit status, standard output, standard error."""
    from ensue.cli import call

    def run(*words: object) -> tuple[int, str, str]:
        status = call([str(word) for word in words])
        return status, *capsys.readouterr()

    return run


def parted(out: str, first: str, second: str) -> tuple[str, str]:
    """What stands under two heads, each of which stands once."""
    assert out.count(first) == out.count(second) == 1
    before, after = sorted((first, second), key=out.index)
    under = out.split(before)[1].split(after)
    return (under[0], under[1]) if before == first else (under[1], under[0])


def test_each_track_has_a_table_of_its_own(ask: Ask, mixed: Path) -> None:
    status, out, _ = ask("runs", "show", mixed)
    assert status == 0
    blind, aware = parted(out, f"{SAID[TIME_BLIND].capitalize()}:", f"{SAID[TIME_AWARE].capitalize()}:")
    assert "popular" in blind.split("\n\n")[0]
    assert "stan" not in blind
    assert "stan" in aware.split("\n\n")[0]
    assert "popular" not in aware.split("\n\n")[0]
    assert "their figures are not to be ranked together" in " ".join(out.split())


def test_each_track_has_tests_of_its_own(ask: Ask, mixed: Path) -> None:
    found = json.loads(ask("compare", mixed, "--json")[1])
    tests = found["comparisons"]
    named = {track: {one["best"], *(o["model"] for o in one["others"])} for track, one in tests.items()}
    assert named == {TIME_BLIND: {"popular", "markov"}, TIME_AWARE: set(AWARE)}
    assert found["comparison"] == tests[TIME_AWARE if found["best"] in AWARE else TIME_BLIND]
    out = ask("compare", mixed)[1]
    assert out.count("How sure is it of each other model?") == 2


def test_a_track_of_one_model_has_no_tests_and_no_legend_of_them(
    ask: Ask, ring_log: EventLog, tmp_path: Path
) -> None:
    models: dict[str, dict[str, Any]] = {"popular": {}, "markov": {}, "stan": {}}
    content = {"data": {"source": "ring.csv"}, "out": str(tmp_path), "models": models}
    ladder.run(experiment_of(content | {"split": {"rule": "last"}}), log=ring_log)
    out = " ".join(ask("compare", tmp_path)[1].split())
    assert out.count("How sure is it of each other model?") == 1
    assert out.count("p: how often chance alone gives such a gap") == 1, "of the two time-blind models"
    stan = json.loads(ask("compare", tmp_path, "--json")[1])["comparisons"][TIME_AWARE]
    alone = f"{stan['value']:.4f}: there is nothing to compare it with."
    assert f"stan is the only one, NDCG@10 {alone}" in out


def test_lists_of_runs_part_by_the_track_of_the_best(ask: Ask, mixed: Path, tmp_path: Path) -> None:
    content = json.loads((mixed / RESULTS).read_text())
    for best in ("markov", "stan"):
        (tmp_path / best).mkdir()
        (tmp_path / best / RESULTS).write_text(json.dumps(content | {"best": best}))
    assert {row.best: row.track for row in runs_of(tmp_path).rows} == {
        "markov": TIME_BLIND,
        "stan": TIME_AWARE,
    }
    out = ask("runs", tmp_path)[1]
    blind, aware = parted(out, f"{SAID[TIME_BLIND].capitalize()}:", f"{SAID[TIME_AWARE].capitalize()}:")
    assert "stan" not in blind
    assert "stan" in aware
    alone = ask("runs", tmp_path / "markov")[1]
    assert SAID[TIME_BLIND].capitalize() not in alone
