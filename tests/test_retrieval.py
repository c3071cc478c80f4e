"""Large catalogues: a product that is not in the graph, in floats, half floats or small integers, or by an index."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.serving.service_process import running

from ensue import artifacts, retrieval, runtime
from ensue.artifacts import DESCRIPTION, GRAPH
from ensue.errors import ArtifactError, ConfigError
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.model import Training
from ensue.models.neural.transformer import Transformer
from ensue.product_graph import BLOCK, half_product
from ensue.questions import Question, queries_of
from ensue.ranking import Recommender, top_k
from ensue.retrieval import Half, Learnt, Plain, Small, measured
from ensue.rules import Availability, Listed, Rules, recommend
from ensue.serving.served import served

HISTORIES = [["A", "B", "C"], ["J"], ["C", "C", "D", "E", "F", "G"]]


def made(n: int, width: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32], Any]:
    """A table, a number for each item, and three states."""
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((n, width)).astype(np.float32)
    return (
        table,
        rng.standard_normal(n).astype(np.float32),
        rng.standard_normal((3, width)).astype(np.float32),
    )


def exact(table: Any, bias: Any, state: Any) -> NDArray[np.float32]:
    """What the scores are, in double precision, rounded once."""
    found: NDArray[np.float32] = (table.astype(np.float64) @ state.astype(np.float64) + bias).astype(
        np.float32
    )
    return found


@pytest.mark.parametrize("biased", [True, False])
def test_a_plain_product_is_the_product(biased: bool) -> None:
    table, bias, states = made(301, 7)
    found = Plain(Learnt(table, bias if biased else None)).scores(states)
    np.testing.assert_allclose(found, states @ table.T + (bias if biased else 0), rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("n", [1, BLOCK, 2 * BLOCK + 1])
def test_half_floats_are_the_product_with_the_rounded_table(n: int, biased: bool) -> None:
    table, bias, states = made(n, 7)
    learnt = Learnt(table, bias if biased else None)
    product = Half(learnt)
    rounded = table.astype(np.float16).astype(np.float32)
    found = product.scores(states)
    np.testing.assert_allclose(found, states @ rounded.T + (bias if biased else 0), rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32
    assert product.made.bytes == 2 * n * 7
    assert (product.made.kind, product.made.agreement) == ("fp16", 1.0)


def test_half_floats_agree_with_floats_but_for_what_they_round_away() -> None:
    table, bias, _ = made(20_000, 32)
    states = made(60, 32, seed=1)[0]
    found = measured(Half(Learnt(table, bias)), Learnt(table, bias), states)
    assert 0.97 < found.agreement == found.before
    same = np.repeat(made(1, 32)[0], 50, axis=0) * np.linspace(1, 1 + 1e-4, 50, dtype=np.float32)[:, None]
    lost = measured(Half(Learnt(same)), Learnt(same), same[:1])
    assert lost.agreement < 1.0  # vectors that differ by a ten-thousandth are one in half floats


def test_vectors_beyond_half_floats_are_refused() -> None:
    table = made(3, 2)[0]
    table[1, 1] = 65_520.0
    with pytest.raises(ConfigError, match='take table = "fp32"'):
        Half(Learnt(table))
    table[1, 1] = 65_504.0
    assert np.isfinite(Half(Learnt(table)).scores(table)).all()


def test_no_table_of_half_floats_is_in_the_graph_where_it_would_be_widened_and_kept() -> None:
    graph = onnx.load_from_string(half_product(2 * BLOCK + 1, 4, made(2 * BLOCK + 1, 1)[1]))
    onnx.checker.check_model(graph)
    assert [tensor.name for tensor in graph.graph.initializer] == ["bias"]
    sizes = [[size.dim_value for size in one.type.tensor_type.shape.dim] for one in graph.graph.input]
    assert sizes[1:] == [[4, BLOCK], [4, BLOCK], [4, 1]]


def test_the_best_of_200_000_items_are_exact_and_no_other_stands_above_them() -> None:
    table, bias, states = made(200_000, 8)
    product = Small(Learnt(table, bias))
    for state, row in zip(states, product.scores(states), strict=True):
        plain = exact(table, bias, state)
        best = top_k(row, 100)
        assert best.tolist() == top_k(plain, 100).tolist()
        np.testing.assert_allclose(row[best], plain[best], rtol=1e-6)
        held = np.argsort(-row, kind="stable")[: retrieval.RESCORED]
        np.testing.assert_allclose(row[held], plain[held], rtol=1e-6)
        # what a step of the table and a step of the state can make of a sum of 8 products
        error = np.abs(row - plain)[row < row[held].min()]
        assert error.max() < 8 * (4.5 * 4.5 / 127 + 4.5 * 4.5 / 63)
    found = measured(product, Learnt(table, bias), states)
    assert found.agreement == 1.0
    assert 0.5 < found.before <= 1.0
    assert found.bytes == 200_000 * 8


def test_small_integers_alone_would_not_be_exact() -> None:
    table, bias, _ = made(20_000, 32)
    learnt = Learnt(table, bias)
    found = measured(Small(learnt, rescored=100), learnt, made(30, 32, seed=1)[0])
    assert found.before < 0.99
    assert found.agreement == 1.0


@given(st.integers(0, 10_000), st.integers(2, 60))
@settings(max_examples=15, deadline=None)
def test_equal_vectors_are_listed_in_the_order_of_the_catalogue(seed: int, copies: int) -> None:
    table, _, _ = made(50, 5, seed)
    twice = np.concatenate([np.repeat(table[:1], copies, axis=0), table])
    state = table[:1] / np.float32(3)
    row = Small(Learnt(twice), rescored=len(twice)).scores(state)[0]
    same = [*range(copies), copies]
    assert len(set(row[same].tolist())) == 1
    listed = top_k(row, len(twice)).tolist()
    assert [place for place in listed if place in same] == same


def test_rows_of_zeros_and_a_state_of_zeros_score_what_their_number_says() -> None:
    table, bias, _ = made(40, 4)
    table[3] = 0.0
    product = Small(Learnt(table, bias), rescored=5)
    np.testing.assert_allclose(product.scores(np.zeros((1, 4), np.float32))[0], bias, atol=1e-6)
    assert Small(Learnt(table, bias), rescored=40).scores(table[:1])[0, 3] == bias[3]


def test_the_size_says_which_table_is_taken() -> None:
    assert retrieval.kind_of("auto", retrieval.SMALL) == "fp32"
    assert retrieval.kind_of("auto", retrieval.SMALL + 1) == "int8"
    for kind in retrieval.KINDS:
        assert (retrieval.kind_of(kind, 1), retrieval.kind_of(kind, 10**9)) == (kind, kind)
    with pytest.raises(ConfigError, match="must be auto, fp32, fp16, int8 or approximate"):
        retrieval.kind_of("int4", 1)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "table of items"),
        ({"table": "short"}, "table of items"),
        ({"table": "flat"}, "table of items"),
        ({"table": "table", "bias": "nowhere"}, "numbers of the items"),
        ({"table": "table", "bias": "table"}, "numbers of the items"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(said: dict[str, Any], words: str) -> None:
    table, bias, _ = made(6, 2)
    arrays = {"table": table, "short": table[:5], "flat": bias}
    with pytest.raises(ArtifactError, match=words):
        retrieval.learnt_of(said, arrays, 6)


@pytest.fixture(scope="module", params=["tied", "own table, bias, cosines"])
def apart(
    request: pytest.FixtureRequest, ring_log: EventLog, tmp_path_factory: Any
) -> tuple[Recommender, Path]:
    """A trained network, and where it lies with its product out of its graph."""
    own: dict[str, Any] = {} if request.param == "tied" else {"tied": False, "bias": True, "temperature": 0.2}
    model = Transformer(width=8, length=5, blocks=1, heads=1, epochs=2, **({"temperature": 0.0} | own))
    torch.manual_seed(1)
    fitted = model.fit(Training.of(ring_log))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "APART", 3)
        return fitted, artifacts.save(fitted, tmp_path_factory.mktemp("apart") / "model")


@pytest.mark.parametrize("table", retrieval.KINDS)
def test_a_network_whose_product_is_apart_answers_as_it_does_in_torch(
    apart: tuple[Recommender, Path], table: str
) -> None:
    fitted, folder = apart
    graph = onnx.load_from_string((folder / GRAPH).read_bytes())
    assert [output.name for output in graph.graph.output] == ["states"]
    loaded = runtime.load(folder, table=table)
    queries, _ = queries_of([Question(history) for history in HISTORIES], fitted.catalogue)
    assert isinstance(fitted.scoring, TorchScoring)
    error = 2**-11 * 8 if table == "fp16" else 1e-5  # half of the last place, in each of 8 products
    np.testing.assert_allclose(loaded.scores(queries), fitted.scores(queries), rtol=1e-4, atol=error)
    for history in HISTORIES:
        for seen in (True, False):
            ours = loaded.recommend(history, 4, exclude=["B"], exclude_seen=seen)
            assert ours.items == fitted.recommend(history, 4, exclude=["B"], exclude_seen=seen).items
            assert "B" not in ours.items


def test_the_service_says_which_table_it_has_and_keeps_to_its_rules(apart: tuple[Recommender, Path]) -> None:
    _, folder = apart
    deny = Rules((Listed(deny=("A",)),))
    plain, small = (served(folder, deny, Availability(["D"]), table=table) for table in ("auto", "int8"))
    assert plain.made is not None
    assert plain.made.to_json()["table"] == "fp32"
    assert small.made is not None
    assert small.made.agreement == 1.0
    assert small.described()["agreement"] == 1.0
    for history in HISTORIES:
        slates = [recommend(one.recommender, one.ruling, history, 5)[0].items for one in (plain, small)]
        assert slates[0] == slates[1]
        assert not {"A", "D"} & set(slates[0])


@pytest.mark.parametrize("apart", ["tied"], indirect=True)
def test_an_index_is_kept_in_the_folder_of_its_model(apart: tuple[Recommender, Path], tmp_path: Path) -> None:
    fitted, folder = apart
    place = shutil.copytree(folder, tmp_path / "model")
    before = artifacts.describe(place)
    said: list[str] = []
    for expected in (2, 0):  # it is made, and told how far it is; then it is there
        said.clear()
        loaded = runtime.load(place, table="approximate", seal=b"ours", say=said.append)
        assert len(said) == expected, said
        assert loaded.recommend(["A", "B"], 3).items == fitted.recommend(["A", "B"], 3).items
    assert artifacts.describe(place) == before
    assert len(list(place.glob("index*"))) == 2
    runtime.load(place, table="approximate", seal=b"of another service", say=said.append)
    assert "not sealed by this service" in said[0]


@pytest.mark.parametrize("apart", ["tied"], indirect=True)
def test_a_service_makes_an_index_once_for_all_its_processes(
    apart: tuple[Recommender, Path], tmp_path: Path
) -> None:
    words = [shutil.copytree(apart[1], tmp_path / "model"), "--table", "approximate"]
    for workers in (2, 1):
        with running(*words, "--workers", workers, folder=tmp_path) as service:
            ready = service.get("/readyz")["items"]
            assert (ready["table"], ready["agreement"]) == ("approximate", 1.0)
            assert service.items(history=["A", "B"], k=1, exclude_seen=False)
    assert service.log.count("is made, which takes long, and kept") == 1
    assert service.log.count("table approximate") == 3


def test_a_graph_that_does_not_end_where_its_artifact_says_is_refused(
    apart: tuple[Recommender, Path], tmp_path: Path
) -> None:
    _, folder = apart
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    del description["scoring"]["product"]
    description["checksum"] = artifacts._checksum_of(description)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ArtifactError, match="other inputs and outputs"):
        runtime.load(tmp_path)


def test_a_small_catalogue_has_its_product_in_the_graph(ring_log: EventLog, tmp_path: Path) -> None:
    fitted = Transformer(width=4, length=5, blocks=1, heads=1, epochs=1).fit(Training.of(ring_log))
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"), table="int8")
    assert getattr(loaded.scoring, "product", None) is None
