"""Open Bandit: each recommendation is a user of its own."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ensue.events.source import read

TEXT = (
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0\n"
    "0,2019-11-24 00:00:17.004101+00:00,79,2,0,0.0125,f0,0.0\n1,2019-11-24 00:00:18.5+00:00,14,1,1,0.05,f1,2.0\n"
    "2,2019-11-24 00:00:19+00:00,14,1,x,0.05,f1,2.0\n"
)
ITEMS = ",item_id,item_feature_0,item_feature_1\n0,79,-0.5,ab\n1,14,0.25,cd\n"


def folder_of(folder: Path) -> Path:
    folder.joinpath("all.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    folder.joinpath("item_context.csv").write_text(ITEMS, encoding="utf-8")
    return folder


def test_recommendations_are_events_with_their_propensity(tmp_path: Path) -> None:
    for log in (read(folder_of(tmp_path)), read(tmp_path / "all.csv.gz")):
        assert log.reading.format == "open-bandit"
        assert log.frame.select("user", "item", "event", "position", "propensity_score").rows() == [
            ("line 2", "79", "impression", "2", "0.0125"),
            ("line 3", "14", "click", "1", "0.05"),
        ]
        assert log.frame["time"].dt.epoch("us").to_list() == [1_574_553_617_004_101, 1_574_553_618_500_000]
        assert log.reading.set_aside == {"click that is neither 0 nor 1": 1}
        assert log.items is not None
        assert log.items.rows() == [("79", -0.5, "ab"), ("14", 0.25, "cd")]
        assert any("each recommendation is taken as a user of its own" in note for note in log.reading.notes)


@pytest.mark.data
@pytest.mark.parametrize(
    ("policy", "campaign", "items"), [("random", "all", 80), ("bts", "men", 34), ("random", "women", 46)]
)
def test_the_published_sizes(data_dir: Path, policy: str, campaign: str, items: int) -> None:
    log = read(data_dir / "open-bandit-zozotown" / policy / campaign)
    assert (log.n_events, log.n_users) == (10_000, 10_000)
    assert log.items is not None
    assert log.items.height == items
    assert set(log.frame["item"]) <= set(log.items["item"])
