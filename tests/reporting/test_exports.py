"""A run handed to TensorBoard and to MLflow, read back from what these wrote; without them, the remedy is named."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.reporting.conftest import LEARNT

from ensue.errors import MissingExtraError
from ensue.reporting import Run
from ensue.reporting.to_mlflow import to_mlflow
from ensue.reporting.to_tensorboard import to_tensorboard
from ensue.tracks import TIME_AWARE, TIME_BLIND

Change = Callable[[Callable[[dict[str, Any]], None]], Run]


def learnt(content: dict[str, Any]) -> None:
    content["models"][2]["facts"] = LEARNT


def records(path: Path) -> Iterator[bytes]:
    """The records of an event file: length, its checksum, content, its checksum."""
    held, place = path.read_bytes(), 0
    while place < len(held):
        (size,) = struct.unpack("<Q", held[place : place + 8])
        yield held[place + 12 : place + 12 + size]
        place += 16 + size


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Values by tag and step, as event files hold them."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, dict[int, float]] = {}
    for path in folder.iterdir():
        for record in records(path):
            event = Event()
            event.ParseFromString(record)
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


@pytest.mark.filterwarnings("default")
def test_event_files_hold_figures_and_learning_curves(changed: Change, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    run = changed(learnt)
    places = to_tensorboard(run, tmp_path / "events")
    assert [place.name for place in places] == ["popular", "markov", "rules"]
    found = scalars(places[2])
    assert found["learning/loss"] == {1: 2.0, 2: 1.5, 3: 1.25}
    assert found["learning/score"] == pytest.approx({1: 0.4, 2: 0.5, 3: 0.45})
    own = run.rungs[2]["test"]["all"]["metrics"]["ndcg@10"]["value"]
    assert found["test/ndcg_at_10"] == pytest.approx({0: own})
    assert len(found["cut-offs/recall"]) == len(run.rungs[2]["test"]["curves"]["recall"])
    assert not any(tag.startswith("learning") for tag in scalars(places[0]))


@pytest.mark.filterwarnings("default")
def test_event_files_of_two_tracks_lie_apart(changed: Change, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")

    def aware(content: dict[str, Any]) -> None:
        content["models"][2]["test"]["track"] = TIME_AWARE

    run = changed(aware)
    places = [place.relative_to(tmp_path / run.name).as_posix() for place in to_tensorboard(run, tmp_path)]
    assert places == ["time-blind/popular", "time-blind/markov", "time-aware/rules"]


@pytest.mark.filterwarnings("default")
def test_mlflow_holds_a_run_with_one_under_it_for_each_model(
    changed: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run, uri = changed(learnt), (tmp_path / "tracked").as_uri()
    parent = to_mlflow(run, uri)
    client = MlflowClient(tracking_uri=uri)
    whole = client.get_run(parent)
    assert whole.data.tags["best"] == "markov"
    assert {one.path for one in client.list_artifacts(parent)} == {"report.html", "experiment.toml"}
    below = client.search_runs([whole.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    by = {one.info.run_name: one for one in below}
    assert sorted(by) == ["markov", "popular", "rules"]
    assert all(one.info.status == "FINISHED" for one in [whole, *below])
    own = run.rungs[2]["test"]["all"]["metrics"]["ndcg@10"]
    assert by["rules"].data.metrics["test/ndcg_at_10"] == pytest.approx(own["value"])
    assert by["rules"].data.metrics["test/ndcg_at_10_low"] == pytest.approx(own["low"])
    assert by["rules"].data.tags["track"] == TIME_BLIND
    assert by["rules"].data.params["window"] == str(run.rungs[2]["settings"]["window"])
    steps = client.get_metric_history(by["rules"].info.run_id, "learning/loss")
    assert {one.step: one.value for one in steps} == {1: 2.0, 2: 1.5, 3: 1.25}


@pytest.mark.parametrize(
    ("library", "extra", "export"),
    [("tensorboardX", "ensue[tensorboard]", to_tensorboard), ("mlflow", "ensue[mlflow]", to_mlflow)],
)
def test_without_the_library_the_remedy_is_named(
    run: Run,
    tmp_path: Path,
    without: Callable[[str], None],
    library: str,
    extra: str,
    export: Callable[..., Any],
) -> None:
    without(library)
    with pytest.raises(MissingExtraError, match=extra.replace("[", r"\[")):
        export(run, str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()
