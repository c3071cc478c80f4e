"""A saved click model: the same answers, no people, and nothing damaged is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ensue.ads import Impressions, Past, load, save
from ensue.ads.artifact import DESCRIPTION, FILES
from ensue.ads.calibrating import Calibration
from ensue.ads.click_model import Clicks
from ensue.errors import ArtifactError

Parts = tuple[Impressions, Impressions]


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "copy")


def test_what_was_saved_answers_alike(saved: Path, clicks: Clicks, parts: Parts, past: Past) -> None:
    again = load(saved)
    some = parts[1].frame.head(200)
    np.testing.assert_array_equal(again.clicks.probabilities(some, past), clicks.probabilities(some, past))
    np.testing.assert_array_equal(again.clicks.drawn(some, past, 3), clicks.drawn(some, past, 3))
    assert again.description["facts"]["why"] == "a test"
    assert len(again.version) == 12


def test_an_isotonic_curve_comes_back(tmp_path: Path, clicks: Clicks, parts: Parts, past: Past) -> None:
    curve = Calibration("isotonic", np.array([-2.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.2]))
    bent = Clicks(clicks.columns, clicks.weights, curve)
    folder = save(bent, parts[0].known_ads(), tmp_path / "bent", settings={}, facts={})
    some = parts[1].frame.head(20)
    np.testing.assert_array_equal(
        load(folder).clicks.probabilities(some, past), bent.probabilities(some, past)
    )


def test_no_person_is_in_any_file(saved: Path, impressions: Impressions) -> None:
    people = [name.encode() for name in impressions.frame["user"].unique()]
    for path in saved.iterdir():
        content = path.read_bytes()
        assert not any(name in content for name in people), path.name
    tables = [pl.read_parquet(path) for path in saved.glob("*.parquet")]
    values = {str(value) for table in tables for column in table for value in column}
    assert not values & {name.decode() for name in people}
    assert {path.name for path in saved.iterdir()} == {DESCRIPTION, *FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_changed_or_missing_file_is_named(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArtifactError, match=f"{name} has been changed or damaged"):
        load(copy)
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing or no plain file"):
        load(copy)


def _rewritten(folder: Path, **entries: object) -> None:
    """A description that was changed by somebody who knows how its checksum is made."""
    from ensue.ads.artifact import _checksum_of

    found = json.loads((folder / DESCRIPTION).read_text()) | entries
    (folder / DESCRIPTION).write_text(json.dumps(found | {"checksum": _checksum_of(found)}))


def test_a_description_that_cannot_be_is_refused(copy: Path) -> None:
    whole = json.loads((copy / DESCRIPTION).read_text())
    (copy / DESCRIPTION).write_text(json.dumps(whole | {"facts": {"clicks": 1}}))
    with pytest.raises(ArtifactError, match="has been changed or damaged"):
        load(copy)
    short = dict(whole["columns"], entries=whole["columns"]["entries"][:-1])
    for entries, match in (
        ({"format": 2}, "format 2; this ensue reads up to 1"),
        ({"format": True}, "no format number"),
        ({"columns": short}, "weights and their calibration"),
        ({"columns": {}}, "cannot be read"),
        ({"columns": dict(whole["columns"], base=2.0)}, "damaged"),
        ({"calibration": "pickle"}, "calibration"),
        ({"files": []}, "lacks one of"),
    ):
        _rewritten(copy, **(whole | entries))
        with pytest.raises(ArtifactError, match=match):
            load(copy)
    (copy / DESCRIPTION).write_text("[" * 100_000)
    with pytest.raises(ArtifactError, match="is not JSON"):
        load(copy)


def test_other_folders_are_neither_read_nor_written_over(
    tmp_path: Path, clicks: Clicks, parts: Parts
) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ArtifactError, match="no saved click model"):
        load(tmp_path)
    with pytest.raises(ArtifactError, match="something other than a click model"):
        save(clicks, parts[0].known_ads(), tmp_path, settings={}, facts={})
    folder = save(clicks, parts[0].known_ads(), tmp_path / "new", settings={}, facts={})
    assert save(clicks, parts[0].known_ads(), folder, settings={}, facts={"n": 2}) == folder
    assert load(folder).description["facts"]["n"] == 2
