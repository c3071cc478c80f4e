"""The commands of docs/examples/music.md, on a shorter log of the same source."""

from __future__ import annotations

import json
from pathlib import Path

from ensue.cli import call
from ensue.events.simulate import simulate

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "music.toml"


def test_repeats_are_above_recency(tmp_path: Path) -> None:
    log, out = tmp_path / "listening.parquet", tmp_path / "music"
    simulate("listening", users=150, length=40, items=40).frame.drop("row").write_parquet(log)
    assert call(["run", str(log), "--config", str(EXAMPLE), "--out", str(out)]) == 0
    found = json.loads((out / "run.json").read_text())
    assert found["skipped"] == {}
    assert found["experiment"]["evaluation"]["exclude_seen"] is False  # the audit says so
    value = {one["label"]: one["test"]["all"]["metrics"]["ndcg@10"] for one in found["models"]}
    assert value["repeats"]["low"] > value["last-seen"]["high"]
    assert value["mixture"]["value"] > value["popular"]["value"]
    assert found["best"] in ("repeats", "mixture")


def test_the_page_and_the_file_name_each_other() -> None:
    page = (ROOT / "docs" / "examples" / "music.md").read_text(encoding="utf-8")
    assert "--config examples/music.toml" in page
    assert "docs/examples/music.md" in EXAMPLE.read_text(encoding="utf-8")
