"""The commands of docs/examples/next-purchase.md, on a small log of the same layout, and on the real one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue.cli import call
from ensue.experiment import read_experiment
from ensue.objective import Objective

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "next-purchase.toml"
KINDS = (
    "interaction item image",
    "interaction item info",
    "interaction item rating",
    "interaction item deals",
)


def sessions(number: int = 80) -> pl.DataFrame:
    """Visitors look at three hotels and leave for the seller of the last one; some search for a place first."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for session in range(number):
        hotels = rng.permutation(12)[:3].tolist()
        steps = [("search for destination", "Town, Land")] if session % 3 == 0 else []
        steps += [("search for item", str(100 + hotels[0]))] if session % 5 == 0 else []
        steps += [(KINDS[(session + place) % 4], str(100 + hotel)) for place, hotel in enumerate(hotels)]
        steps += [("clickout item", str(100 + hotels[-1]))]
        for step, (kind, reference) in enumerate(steps, 1):
            rows.append(
                {
                    "user_id": f"u{session % 50}",
                    "session_id": f"s{session}",
                    "timestamp": 1_541_600_000 + 600 * session + 10 * step,
                    "step": step,
                    "action_type": kind,
                    "reference": reference,
                    **dict.fromkeys(("platform", "city", "device"), "x"),
                    **dict.fromkeys(("current_filters", "impressions", "prices"), ""),
                }
            )
    return pl.DataFrame(rows)


def run_on(log: Path, out: Path, *words: str) -> dict[str, Any]:
    assert call(["run", str(log), "--config", str(EXAMPLE), "--out", str(out), *words]) == 0
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


def value(found: dict[str, Any], label: str, metric: str = "ndcg@10") -> float:
    (row,) = [one for one in found["models"] if one["label"] == label]
    return float(row["test"]["all"]["metrics"][metric]["value"])


def test_the_example_on_a_small_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "train.csv"
    sessions().write_csv(log)
    found = run_on(log, tmp_path / "run", "--models", "popular,personal,rules")
    assert found["split"]["rule"].endswith("targets clickout item")
    assert value(found, "personal", "recall@1") == 1.0, "the hotel that was looked at last"
    assert value(found, "rules") > value(found, "popular")
    for row in found["models"]:
        assert [part["label"] for part in row["test"]["segments"]["event"]] == ["clickout item"]
    question = tmp_path / "question.json"
    question.write_text(
        json.dumps(
            {"history": ["101", "104"], "context": {"event": ["interaction item image", "search for item"]}}
        )
    )
    capsys.readouterr()
    assert call(["recommend", str(tmp_path / "run"), "--question", str(question), "-k", "3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["items"][0]["item"] == "104"
    alone = ("--input-events", "clickout item", "--target-events", "clickout item", "--models", "popular")
    toml = tmp_path / "alone.toml"
    toml.write_text(
        EXAMPLE.read_text().split("[objective]")[0] + "[split]" + EXAMPLE.read_text().split("[split]")[1]
    )
    status = call(["run", str(log), "--config", str(toml), "--out", str(tmp_path / "alone"), *alone])
    assert status == 2, "a session with one purchase alone has no history at all"
    assert "has another of its session before it" in " ".join(capsys.readouterr().err.split())


def test_the_experiment_is_one_of_click_outs() -> None:
    found = read_experiment(EXAMPLE)
    assert found.objective == Objective(
        targets=("clickout item",), weights=dict.fromkeys((*KINDS, "search for item"), 0.2)
    )
    assert found.sequences.by == "session"


def test_the_example_on_the_real_log(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "trivago-100k" / "trivago_val_100k.parquet.snappy"
    if not source.is_file():
        pytest.skip("this folder has no trivago-100k")
    log = tmp_path / source.name
    shutil.copy(source, log)
    found = run_on(log, tmp_path / "run", "--models", "popular,personal,markov")
    assert found["audit"]["event_types"]["clickout item"] == 13_597
    assert value(found, "personal") > 0.14
    assert value(found, "markov") > 0.08 > 0.01 > value(found, "popular")
