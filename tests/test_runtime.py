"""The runtime that answers: what it refuses, and that it needs ONNX Runtime only for networks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ensue import artifacts, runtime
from ensue.artifacts import DESCRIPTION, GRAPH, WEIGHTS
from ensue.errors import ArtifactError, MissingExtraError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting.markov import Markov
from ensue.models.counting.popular import Popular
from ensue.models.counting.rules import Rules
from ensue.models.neural.transformer import Transformer
from ensue.ranking import Recommender


@pytest.fixture(scope="module")
def training(ring_log: EventLog) -> Training:
    return Training.of(ring_log)


@pytest.fixture(scope="module")
def network_folder(training: Training, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved network; tests that change it take a copy."""
    small = Transformer(width=4, length=5, blocks=1, heads=1, epochs=1)
    return artifacts.save(small.fit(training), tmp_path_factory.mktemp("network") / "model")


def changed(folder: Path, name: str, content: bytes, **entries: Any) -> Path:
    """The folder with another file in it, and a description that fits it."""
    (folder / name).write_bytes(content)
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    description |= entries
    description["files"][name] = artifacts._checksum(content)
    description["checksum"] = artifacts._checksum_of(description)
    (folder / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
    return folder


def with_arrays(folder: Path, **arrays: np.ndarray[Any, Any]) -> Path:
    """The folder with some of its arrays replaced, and a description that fits."""
    held = load_file(folder / WEIGHTS)
    save_file({**held, **arrays}, folder / WEIGHTS)
    return changed(folder, WEIGHTS, (folder / WEIGHTS).read_bytes())


# ----------------------------------------------------------------------------------- counting models


def test_a_loaded_counting_model_is_saved_again_as_it_is(training: Training, tmp_path: Path) -> None:
    first = artifacts.save(Markov().fit(training), tmp_path / "first")
    second = artifacts.save(runtime.load(first), tmp_path / "second")
    for path in first.iterdir():
        assert (second / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "arrays",
    [
        {"table.indptr": np.zeros(4, dtype=np.int64)},
        {"table.indptr": np.arange(11, dtype=np.int64)[::-1].copy()},
        {"table.indices": np.full(10, 10, dtype=np.int32)},
        {"table.indices": np.full(10, -1, dtype=np.int32)},
        {"table.data": np.full(10, np.nan)},
        {"table.data": np.ones(3)},
    ],
)
def test_a_table_that_does_not_fit_its_items_is_refused(
    training: Training, tmp_path: Path, arrays: dict[str, np.ndarray[Any, Any]]
) -> None:
    folder = with_arrays(artifacts.save(Rules(window=1).fit(training), tmp_path / "m"), **arrays)
    with pytest.raises(ArtifactError, match="The stored table does not fit its 10 items"):
        runtime.load(folder)


@pytest.mark.parametrize("per_item", [np.ones(9), np.full(10, np.inf), np.ones((10, 1))])
def test_a_popularity_that_does_not_fit_its_items_is_refused(
    training: Training, tmp_path: Path, per_item: np.ndarray[Any, Any]
) -> None:
    folder = with_arrays(artifacts.save(Popular().fit(training), tmp_path / "m"), per_item=per_item)
    with pytest.raises(ArtifactError, match="The stored popularity does not fit its items"):
        runtime.load(folder)


def test_a_missing_array_or_setting_is_named(training: Training, tmp_path: Path) -> None:
    folder = artifacts.save(Rules().fit(training), tmp_path / "m")
    weights = (folder / WEIGHTS).read_bytes()
    with pytest.raises(ArtifactError, match=r"m lacks a part of its model \('last'\); copy or save it anew"):
        runtime.load(changed(folder, WEIGHTS, weights, scoring={}))
    with pytest.raises(ArtifactError, match=r"lacks a part of its model \('per_item'\)"):
        runtime.load(changed(folder, WEIGHTS, weights, model="popular"))


def test_a_model_of_an_unknown_name_or_setting_is_told_with_its_file(
    training: Training, tmp_path: Path
) -> None:
    folder = artifacts.save(Rules().fit(training), tmp_path / "m")
    weights = (folder / WEIGHTS).read_bytes()
    for entries, says in (
        ({"settings": {"window": 0}}, "rules: window=0, last=10"),
        ({"model": "oracle"}, "no model is called 'oracle'"),
    ):
        with pytest.raises(ArtifactError) as told:
            runtime.load(changed(folder, WEIGHTS, weights, **entries))
        assert str(told.value).startswith(f"{folder / DESCRIPTION} cannot be followed: {says}")


# ------------------------------------------------------------------------------------------ networks


def test_without_onnx_runtime_networks_are_refused_with_the_remedy_and_counting_models_answer(
    training: Training, network_folder: Path, tmp_path: Path, without: Callable[[str], None]
) -> None:
    folder = artifacts.save(Markov().fit(training), tmp_path / "m")
    without("onnxruntime")
    with pytest.raises(MissingExtraError, match=r"needs ONNX Runtime: pip install 'ensue\[run\]'"):
        runtime.load(network_folder)
    assert runtime.load(folder).recommend(["A"], 1).items == ("B",)


@pytest.mark.parametrize("content", [b"", b"not a graph"])
def test_a_graph_that_is_none_is_named(network_folder: Path, tmp_path: Path, content: bytes) -> None:
    copy = changed(shutil.copytree(network_folder, tmp_path / "m"), GRAPH, content)
    with pytest.raises(ArtifactError) as told:
        runtime.load(copy)
    assert str(told.value).startswith(f"{copy / GRAPH} is no graph that ONNX Runtime can load (")


def test_a_graph_of_somebody_else_is_refused(network_folder: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    tensor = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", [tensor], [other])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    copy = changed(shutil.copytree(network_folder, tmp_path / "m"), GRAPH, model.SerializeToString())
    with pytest.raises(ArtifactError, match="has other inputs and outputs than ours"):
        runtime.load(copy)


@pytest.mark.parametrize("scoring", [{}, {"length": 0}, {"length": "5"}, {"length": 2.5}])
def test_a_network_needs_the_length_of_its_window(
    network_folder: Path, tmp_path: Path, scoring: dict[str, Any]
) -> None:
    copy = shutil.copytree(network_folder, tmp_path / "m")
    with pytest.raises(ArtifactError, match="gives no window length; copy or save the model anew"):
        runtime.load(changed(copy, GRAPH, (copy / GRAPH).read_bytes(), scoring=scoring))


def test_a_loaded_network_is_copied_and_not_saved_again(network_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="A loaded network is not saved again: copy its folder"):
        artifacts.save(runtime.load(network_folder), tmp_path / "again")
    assert list(tmp_path.iterdir()) == []


def test_answers_do_not_depend_on_how_many_are_taken_at_once_nor_on_how_many_cores_there_are(
    network_folder: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, queries = runtime.load(network_folder, threads=1), training.sequences.queries()
    whole = loaded.scores(queries)
    for tokens in (1, 17):
        monkeypatch.setattr(runtime, "TOKENS", tokens)
        found = loaded.scores(queries)
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(runtime.load(network_folder, threads=3).scores(queries), found)


def test_what_goes_wrong_beside_is_told(
    network_folder: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = runtime.load(network_folder, threads=2)
    monkeypatch.setattr(runtime, "TOKENS", 5)
    assert isinstance(loaded.scoring, runtime.GraphScoring)
    broken = Recommender(loaded.catalogue, replace(loaded.scoring, session=None), "transformer")
    with pytest.raises(AttributeError):
        broken.scores(training.sequences.queries())


def test_a_folder_may_be_named_by_text(network_folder: Path) -> None:
    assert runtime.load(str(network_folder)).model == "transformer"
