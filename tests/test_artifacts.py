"""Saved models: whole or not at all, every change noticed, and nothing runs when one is read."""

from __future__ import annotations

import ast
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import ensue
from ensue import artifacts
from ensue.artifacts import DESCRIPTION, GRAPH, ITEMS, STEPS, WEIGHTS
from ensue.errors import ArtifactError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting.markov import Markov
from ensue.models.counting.popular import Popular
from ensue.models.counting.rules import Rules
from ensue.ranking import Parts, Recommender, Scores
from ensue.sequences import Queries

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def training(ring_log: EventLog) -> Training:
    return Training.of(ring_log)


@pytest.fixture(scope="module")
def markov(training: Training) -> Recommender:
    return Markov().fit(training)


@pytest.fixture
def folder(markov: Recommender, tmp_path: Path) -> Path:
    """A saved Markov chain."""
    return artifacts.save(markov, tmp_path / "model")


@dataclass(frozen=True)
class Graph:
    """A scoring that is stored with a graph, as a network is; here nobody looks into it."""

    def score(self, queries: Queries) -> Scores:
        return np.zeros((len(queries), queries.n_items))

    def parts(self) -> Parts:
        return Parts({"length": 5}, {"weight": np.arange(12.0).reshape(3, 4)}, bytes(range(256)) * 8)


@pytest.fixture(scope="module")
def network_folder(training: Training, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is saved of a network; tests that change it take a copy."""
    recommender = Recommender(training.catalogue, Graph(), "lstm")
    return artifacts.save(recommender, tmp_path_factory.mktemp("network") / "model")


@dataclass(frozen=True)
class Carrying(Graph):
    """One that is stored with a graph that goes on from a state, too."""

    def parts(self) -> Parts:
        plain = super().parts()
        return Parts(plain.settings, plain.arrays, plain.graph, steps=b"steps" * 99)


@pytest.fixture
def carrying_folder(training: Training, tmp_path: Path) -> Path:
    return artifacts.save(Recommender(training.catalogue, Carrying(), "lstm"), tmp_path / "carrying")


def edited(folder: Path, edit: Edit) -> None:
    """Changes model.json and gives it the checksum that fits, as one would who means harm."""
    path = folder / DESCRIPTION
    description = json.loads(path.read_text(encoding="utf-8"))
    edit(description)
    if isinstance(description, dict):
        description["checksum"] = artifacts._checksum_of(description)
    path.write_text(json.dumps(description), encoding="utf-8")


def told_by(folder: Path) -> str:
    """The one line that reading a folder ends with."""
    with pytest.raises(ArtifactError) as told:
        artifacts.read(folder)
    text = str(told.value)
    assert "\n" not in text
    assert str(folder) in text
    return text


# ------------------------------------------------------------------------------------- what is there


def test_a_counting_model_is_three_files_and_a_network_four(folder: Path, network_folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted([DESCRIPTION, ITEMS, WEIGHTS])
    assert sorted(path.name for path in network_folder.iterdir()) == sorted(
        [DESCRIPTION, ITEMS, WEIGHTS, GRAPH]
    )


def test_model_json_says_what_the_model_is(training: Training, tmp_path: Path) -> None:
    recommender = Rules(window=3, last=2, decay=0.5).fit(training)
    artifacts.save(recommender, tmp_path / "m", facts={"validation": 0.25})
    found = artifacts.describe(tmp_path / "m")
    assert found["format"] == 1
    assert found["ensue"] == ensue.__version__
    assert (found["kind"], found["model"]) == ("counting", "rules")
    assert found["settings"] == {"window": 3, "last": 2, "decay": 0.5}
    assert found["exclude_seen"] is True
    assert found["items"] == 10
    assert found["facts"] == {"validation": 0.25}
    assert sorted(found["files"]) == [ITEMS, WEIGHTS]


def test_ids_titles_and_features_are_kept_as_they_are(tmp_path: Path) -> None:
    ids = ["NA", "nan", "null", "007", "7", "Ünïcode ✓", "a\nb", " "]
    items = pl.DataFrame({"item": ids, "title": [None, *ids[1:]], "price": [n / 2 for n in range(8)]})
    log = EventLog.of(pl.DataFrame({"user": ["u"] * len(ids), "item": ids}), items=items)
    recommender = Popular().fit(Training.of(log))
    loaded = artifacts.read(artifacts.save(recommender, tmp_path / "m")).catalogue
    assert loaded.ids.to_list() == recommender.catalogue.ids.to_list() == sorted(ids)
    assert loaded.titles == recommender.catalogue.titles
    assert recommender.catalogue.features is not None
    assert loaded.features is not None
    assert loaded.features.equals(recommender.catalogue.features)


def test_no_user_is_in_a_saved_model(folder: Path, network_folder: Path, ring_log: EventLog) -> None:
    users = [user.encode() for user in ring_log.frame["user"].unique()]
    for path in [*folder.iterdir(), *network_folder.iterdir()]:
        content = path.read_bytes()
        assert not any(b'"' + user + b'"' in content for user in users)
    assert set(pl.read_parquet(folder / ITEMS).columns) == {"item", "training_events"}


def test_a_network_whose_state_can_be_kept_has_the_graph_for_it(
    carrying_folder: Path, network_folder: Path
) -> None:
    assert sorted(path.name for path in carrying_folder.iterdir()) == sorted(
        [DESCRIPTION, ITEMS, WEIGHTS, GRAPH, STEPS]
    )
    assert artifacts.read(carrying_folder).graph == Graph().parts().graph
    assert artifacts.steps_of(carrying_folder, artifacts.describe(carrying_folder)) == b"steps" * 99
    assert artifacts.steps_of(network_folder, artifacts.describe(network_folder)) is None


# ------------------------------------------------------------------------------------------- damage


def test_the_graph_for_kept_states_is_checked_as_every_file_is(carrying_folder: Path) -> None:
    description = artifacts.describe(carrying_folder)
    (carrying_folder / STEPS).write_bytes(b"steps" * 98 + b"stepz")
    assert STEPS in told_by(carrying_folder)
    with pytest.raises(ArtifactError, match=f"{STEPS} has been changed or damaged"):
        artifacts.steps_of(carrying_folder, description)
    (carrying_folder / STEPS).unlink()
    assert STEPS in told_by(carrying_folder)
    with pytest.raises(ArtifactError, match=f"{STEPS} is missing or no plain file"):
        artifacts.steps_of(carrying_folder, description)


def test_no_counting_model_has_a_graph_for_kept_states(folder: Path) -> None:
    (folder / STEPS).write_bytes(b"")
    edited(folder, lambda held: held["files"].update({STEPS: artifacts._checksum(b"")}))
    assert "lists the files" in told_by(folder)


@pytest.mark.parametrize("name", [DESCRIPTION, ITEMS, WEIGHTS, GRAPH])
def test_a_changed_byte_is_noticed_in_every_file(network_folder: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(network_folder, tmp_path / "m")
    whole = (copy / name).read_bytes()
    for place in np.linspace(0, len(whole) - 1, 60).astype(int).tolist():
        (copy / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert name in told_by(copy)
    (copy / name).write_bytes(whole[:-1])
    assert name in told_by(copy)
    (copy / name).write_bytes(whole)
    assert artifacts.read(copy).graph == Graph().parts().graph


@pytest.mark.parametrize("name", [DESCRIPTION, ITEMS, WEIGHTS, GRAPH])
def test_a_missing_file_is_named(network_folder: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(network_folder, tmp_path / "m")
    (copy / name).unlink()
    assert name in told_by(copy)


@pytest.mark.parametrize("name", [ITEMS, WEIGHTS])
def test_a_link_or_a_folder_in_place_of_a_file_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.move(folder / name, tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    assert f"{folder / name} is missing or no plain file" in told_by(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    assert f"{folder / name} is missing or no plain file" in told_by(folder)


def test_files_that_are_not_listed_are_left_alone(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert artifacts.read(folder).description["model"] == "markov"


def test_there_is_no_model_where_there_is_none(tmp_path: Path) -> None:
    assert f"{tmp_path / 'no'} is no saved model: it has no model.json" in told_by(tmp_path / "no")
    assert "is no saved model" in told_by(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not JSON"),
        (b"PK\x03\x04\xff\xfe", "is not JSON"),
        (b"[" * 200_000, "is not JSON"),
        (b"[]", "has no format number"),
        (b'"text"', "has no format number"),
        (b"{}", "has no format number"),
        (b'{"format": "1"}', "has no format number"),
        (b'{"format": true}', "has no format number"),
        (b'{"format": 0}', "has no format number"),
        (b'{"format": 2}', "is of format 2; this ensue reads up to 1: upgrade ensue"),
        (b'{"format": 1}', "has no proper entry 'kind'"),
        (b" " * (artifacts.LARGEST_DESCRIPTION + 1), "is larger than"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_description_that_is_none_is_one_clear_line(folder: Path, content: bytes, says: str) -> None:
    (folder / DESCRIPTION).write_bytes(content)
    assert says in told_by(folder)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda d: d["files"].update({"../secret": "0" * 64}), "lists the files ['../secret', "),
        (lambda d: d["files"].update({"/etc/hostname": "0" * 64}), "lists the files ['/etc/hostname', "),
        (lambda d: d["files"].pop(WEIGHTS), "lists the files ['catalogue.parquet'], not "),
        (lambda d: d.update(kind="network"), "lists the files "),
        (lambda d: d.update(items=11), "holds 10 items, model.json says 11"),
        (lambda d: d.update(settings=[]), "has no proper entry 'settings'"),
        (lambda d: d.update(exclude_seen="yes"), "has no proper entry 'exclude_seen'"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder: Path, edit: Edit, says: str) -> None:
    edited(folder, edit)
    assert says in told_by(folder)


def test_a_description_changed_by_hand_is_noticed(folder: Path) -> None:
    text = (folder / DESCRIPTION).read_text(encoding="utf-8")
    (folder / DESCRIPTION).write_text(text.replace('"exclude_seen": true', '"exclude_seen": false'))
    assert f"{folder / DESCRIPTION} has been changed or damaged since it was saved" in told_by(folder)


def test_how_model_json_is_spaced_does_not_matter(folder: Path) -> None:
    content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    (folder / DESCRIPTION).write_text(json.dumps(dict(reversed(content.items()))), encoding="utf-8")
    assert artifacts.read(folder).description["model"] == "markov"


# ------------------------------------------------------------------------------------------- saving


def test_what_is_no_model_is_never_overwritten(markov: Recommender, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    (tmp_path / "file").write_text("also mine")
    for name in ("thesis", "file"):
        with pytest.raises(ArtifactError, match=f"{name} holds something other than a model"):
            artifacts.save(markov, tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "also mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "thesis"]


def test_a_model_is_replaced_and_nothing_is_left_over(
    markov: Recommender, training: Training, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    for recommender in (markov, Popular().fit(training), markov):
        artifacts.save(recommender, tmp_path / "m")
        assert artifacts.read(tmp_path / "m").description["model"] == recommender.model
        assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_saving_that_fails_leaves_the_old_model(folder: Path, markov: Recommender) -> None:
    with pytest.raises(TypeError):
        artifacts.save(markov, folder, facts={"not for JSON": object()})
    assert artifacts.read(folder).description["model"] == "markov"
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_who_reads_while_a_model_is_replaced_sees_one_or_the_other(
    markov: Recommender, training: Training, tmp_path: Path
) -> None:
    """Settings, catalogue and arrays of every answer belong together, and there is always one."""
    popular = Popular().fit(training)
    artifacts.save(markov, tmp_path / "m")
    faults: list[str] = []
    seen: list[str] = []
    done = threading.Event()

    def reads() -> None:
        while not done.is_set():
            try:
                found = artifacts.read(tmp_path / "m")
            except ArtifactError as fault:
                faults.append(str(fault))
                return
            seen.append(found.description["model"])
            if ("per_item" in found.arrays) != (seen[-1] == "popular"):
                faults.append("the arrays are not those of the description")

    readers = [threading.Thread(target=reads) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(60):
        artifacts.save(popular, tmp_path / "m")
        artifacts.save(markov, tmp_path / "m")
    done.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert set(seen) == {"markov", "popular"}


# ------------------------------------------------------------------------------------- no code is run


SOURCES = sorted(Path(ensue.__file__).parent.rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "torch.save", "np.load", "np.save"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(SOURCES[0].parent)))
def test_nowhere_is_anything_unpickled_or_evaluated(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {name.name.partition(".")[0] for name in node.names} & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in FORBIDDEN_MODULES
        elif isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in FORBIDDEN_CALLS, ast.unparse(node)
