"""A saved re-ranker answers as the one in memory, runs no code, and shows any damage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import ensue
from ensue.errors import ArtifactError
from ensue.reranking import Fitted, Reranking, Shown, fit, load, save
from ensue.reranking.saving import DESCRIPTION, _checksum_of
from ensue.reranking.simulated import Simulated


@pytest.fixture
def folder(tmp_path: Path, fitted: Fitted) -> Path:
    return save(fitted.reranker, tmp_path / "saved")


def test_what_is_read_back_is_what_was_saved(folder: Path, fitted: Fitted, shown: Shown) -> None:
    loaded = load(folder)
    assert (loaded.scores(shown) == fitted.reranker.scores(shown)).all()
    assert loaded.facts == json.loads(json.dumps(dict(fitted.reranker.facts)))
    again = load(save(loaded, folder))
    assert (again.scores(shown) == fitted.reranker.scores(shown)).all()


def test_the_files_are_plain_and_name_no_user(folder: Path, simulated: Simulated) -> None:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    model = ["catalogue.parquet", "model.json", "weights.safetensors"]
    wanted = [f"models/{name}/{file}" for name in ("neighbours", "rules") for file in model]
    assert names == sorted(["items.parquet", "reranker.json", "tables.safetensors", *wanted])
    session = simulated.events["session"][0]
    assert not any(session.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_change_of_any_file_is_found(folder: Path) -> None:
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        place = len(whole) // 2
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ArtifactError):
            load(folder)
        path.unlink()
        with pytest.raises(ArtifactError):
            load(folder)
        path.write_bytes(whole)
    load(folder)


def rewritten(folder: Path, **changes: object) -> None:
    path = folder / DESCRIPTION
    said = json.loads(path.read_text()) | changes
    said["checksum"] = _checksum_of(said)
    path.write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "of format 2"),
        ({"format": True}, "no format number"),
        ({"models": ["../../x"]}, "names families or models that cannot be"),
        ({"families": ["os.system"]}, "names families or models that cannot be"),
        ({"features": ["a"]}, "weights for 1 features"),
        ({"kinds": [1]}, "no proper entry 'kinds'"),
        ({"items": 3}, "says 3"),
        ({"files": {}}, "lists other files"),
    ],
)
def test_a_description_that_cannot_be_is_refused(
    folder: Path, changes: dict[str, object], words: str
) -> None:
    rewritten(folder, **changes)
    with pytest.raises(ArtifactError, match=words):
        load(folder)


def test_features_of_another_version_are_not_taken_for_ours(folder: Path, shown: Shown) -> None:
    names = json.loads((folder / DESCRIPTION).read_text())["features"]
    rewritten(folder, features=[*names[1:], names[0]])
    with pytest.raises(ArtifactError, match="another version of ensue"):
        load(folder).scores(shown)


def test_links_and_other_folders_are_refused(folder: Path, tmp_path: Path, fitted: Fitted) -> None:
    shutil.move(folder / "items.parquet", tmp_path / "elsewhere")
    (folder / "items.parquet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="no plain file"):
        load(folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ArtifactError, match="something other than a re-ranker"):
        save(fitted.reranker, tmp_path / "mine")
    with pytest.raises(ArtifactError, match="is no re-ranker"):
        load(tmp_path / "mine")


def test_a_model_that_was_there_before_is_copied_with_it(
    tmp_path: Path, simulated: Simulated, shown: Shown
) -> None:
    ensue.save(ensue.fit("markov", ensue.read(simulated.events)), tmp_path / "chain")
    found = fit(shown, Reranking(families=("position", "models"), models=(str(tmp_path / "chain"),))).reranker
    saved = save(found, tmp_path / "saved")
    shutil.rmtree(tmp_path / "chain")
    assert np.array_equal(load(saved).scores(shown), found.scores(shown))
