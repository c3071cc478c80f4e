"""Lists of runs and two runs side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue import runs
from ensue.errors import ArtifactError, ConfigError, DataError
from ensue.runs import difference, flat, runs_of

KEYS = st.text("abc", min_size=1, max_size=3)
NESTED = st.recursive(
    st.integers() | st.booleans(),
    lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3),
    max_leaves=6,
)


def figure(value: float, error: float = 0.01) -> dict[str, Any]:
    return {"value": value, "low": value - 2 * error, "high": value + 2 * error, "error": error, "users": 100}


def content(values: dict[str, float], **more: Any) -> dict[str, Any]:
    """Results of a run whose models reached these values of ndcg@10."""
    rows = [
        {
            "label": label, "model": label, "settings": {}, "validation": value, "facts": {},
            "fit_seconds": 1.5, "test_seconds": 0.5,
            "test": {
                "protocol": "global temporal, test, successive targets",
                "all": {"metrics": {"recall@10": figure(2 * value), "ndcg@10": figure(value)}},
                "counts": {"users": 100, "targets": 500, "cold_targets": 5, "tied_targets": 0},
            },
        }
        for label, value in values.items()
    ]  # fmt: skip
    experiment = {
        "data": {"source": "shop.csv"}, "sequences": {"by": "user"}, "evaluation": {"choose_on": "ndcg@10"},
        "split": {"rule": "temporal", "test": 0.1}, "seed": 0, "out": "runs/a",
        "models": {label: {} for label in values},
    }  # fmt: skip
    return {
        "ensue": "0", "experiment": experiment, "data": {"fingerprint": "f"}, "audit": {}, "skipped": {},
        "split": {"rule": "global temporal", "leaks": ""}, "models": rows, "best": max(values, key=lambda k: values[k]),
        "made": {"finished": "2026-01-02T03:04:05+00:00"},
    } | more  # fmt: skip


def written(folder: Path, found: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(found))
    return folder


def test_runs_are_listed_latest_first_with_what_their_best_reached(tmp_path: Path) -> None:
    old = written(tmp_path / "old", content({"markov": 0.1, "rules": 0.2}))
    new = written(
        tmp_path / "deep" / "new", content({"lstm": 0.3}, made={"finished": "2026-02-02T03:04:05+00:00"})
    )
    found = runs_of(tmp_path)
    assert [row.folder for row in found.rows] == [str(new), str(old)]
    row = found.rows[1]
    assert (row.source, row.split, row.best, row.models, row.users) == (
        "shop.csv",
        "temporal",
        "rules",
        2,
        100,
    )
    assert (row.metric, row.value, row.low, row.high) == ("ndcg@10", 0.2, 0.2 - 0.02, 0.2 + 0.02)
    assert row.seconds == 2 * (1.5 + 0.5)
    assert found.skipped == {}


def test_a_run_is_a_list_of_itself_and_its_models_are_not_looked_into(tmp_path: Path) -> None:
    run = written(tmp_path / "run", content({"rules": 0.2}))
    written(run / "models" / "inner", content({"rules": 0.2}))
    assert [row.folder for row in runs_of(run).rows] == [str(run)]
    assert [row.folder for row in runs_of(tmp_path).rows] == [str(run)]


def test_damaged_and_foreign_folders_are_named_and_skipped(tmp_path: Path) -> None:
    good = written(tmp_path / "good", content({"rules": 0.2}))
    written(tmp_path / "broken", {"models": 3})
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "run.json").write_text("{")
    (tmp_path / "notes" / "more").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    found = runs_of(tmp_path)
    assert [row.folder for row in found.rows] == [str(good)]
    assert sorted(Path(place).name for place in found.skipped) == ["broken", "cut", "notes"]
    assert "is damaged" in found.skipped[str(tmp_path / "cut")]
    assert "holds no run.json" in found.skipped[str(tmp_path / "notes")]


def test_a_folder_that_is_too_large_is_looked_at_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MOST", 3)
    for number in range(5):
        written(tmp_path / f"r{number}", content({"rules": 0.2}))
    found = runs_of(tmp_path)
    assert len(found.rows) == 2  # the folder itself was the first
    assert "the others were not looked at" in found.skipped[str(tmp_path)]


def test_an_older_run_is_dated_by_its_file(tmp_path: Path) -> None:
    import os

    run = written(tmp_path / "run", content({"rules": 0.2}, made=None))
    os.utime(run / "run.json", (86_400, 86_400))
    assert runs_of(tmp_path).rows[0].finished == "1970-01-02T00:00:00+00:00"


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        runs_of(tmp_path / "nothing")


def test_settings_that_differ_are_told_and_places_are_not(tmp_path: Path) -> None:
    first = content({"rules": 0.2})
    second = content({"rules": 0.2, "lstm": 0.3})
    second["experiment"] |= {"seed": 5, "out": "runs/b"}
    second["experiment"]["split"] = {"rule": "temporal"}
    found = difference(written(tmp_path / "a", first), written(tmp_path / "b", second))
    assert {(one.key, str(one.a), str(one.b)) for one in found.settings} == {
        ("seed", "0", "5"), ("split.test", "0.1", "None"), ("models.lstm", "None", "{}"),
    }  # fmt: skip


def test_figures_stand_side_by_side_with_the_interval_of_two_samples(tmp_path: Path) -> None:
    a = written(tmp_path / "a", content({"rules": 0.2, "markov": 0.1}))
    b = written(tmp_path / "b", content({"rules": 0.25, "lstm": 0.3}))
    found = difference(a, b)
    assert found.same
    by = {pair.label: pair for pair in found.pairs}
    assert list(by) == ["rules", "markov", "lstm"]
    wide = 1.96 * (0.01**2 + 0.01**2) ** 0.5
    assert by["rules"].difference == pytest.approx((0.05, 0.05 - wide, 0.05 + wide))
    assert (by["markov"].b, by["lstm"].a, by["lstm"].difference) == (None, None, None)
    assert found.to_json()["paired"] is False
    json.dumps(found.to_json())
    other = difference(a, b, "recall@10")
    assert other.pairs[0].difference is not None
    assert other.pairs[0].difference[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"data": {"fingerprint": "other"}}, "different data"),
        ({"split": {"rule": "leave last out", "leaks": ""}}, "split differently"),
    ],
)
def test_runs_on_other_events_are_not_compared(tmp_path: Path, how: dict[str, Any], why: str) -> None:
    a = written(tmp_path / "a", content({"rules": 0.2}))
    b = written(tmp_path / "b", content({"rules": 0.3}, **how))
    found = difference(a, b)
    assert (found.same, found.pairs[0].difference) == (False, None)
    assert why in found.why


def test_other_targets_are_not_compared(tmp_path: Path) -> None:
    other = content({"rules": 0.3})
    other["models"][0]["test"]["counts"]["targets"] = 499
    found = difference(written(tmp_path / "a", content({"rules": 0.2})), written(tmp_path / "b", other))
    assert "different targets (500 targets of 100; 499 targets of 100)" in found.why
    for number, (name, value, why) in enumerate(
        (
            ("protocol", "global temporal, test, last targets", "asked differently"),
            ("exclude_seen", True, "one leaves items of the history out"),
        )
    ):
        asked = content({"rules": 0.3})
        asked["models"][0]["test"][name] = value
        found = difference(tmp_path / "a", written(tmp_path / f"c{number}", asked))
        assert (found.same, found.pairs[0].difference) == (False, None)
        assert why in found.why


def test_what_was_not_measured_or_is_no_run_is_refused(tmp_path: Path) -> None:
    a = written(tmp_path / "a", content({"rules": 0.2}))
    with pytest.raises(ConfigError, match=r"has no figures of 'mrr@10', but of recall@10, ndcg@10"):
        difference(a, a, "mrr@10")
    with pytest.raises(ArtifactError, match=r"holds no run\.json"):
        difference(a, tmp_path)


@given(st.dictionaries(KEYS, NESTED, max_size=4))
def test_flat_settings_hold_every_value_at_its_place(nested: dict[str, Any]) -> None:
    found = flat(nested)
    for place, value in found.items():
        here: Any = nested
        for step in place.split("."):
            here = here[step]
        assert here == value
    assert not any(isinstance(value, dict) and value for value in found.values())
