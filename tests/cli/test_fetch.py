"""`ensue data fetch`: the table of public data sets, one that is here, and one that must be placed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Ask

from ensue.events import datasets


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ENSUE_DATA", raising=False)
    monkeypatch.setenv("ENSUE_OFFLINE", "1")
    monkeypatch.setenv("ENSUE_CACHE", str(tmp_path / "cache"))


def test_without_a_name_all_sets_are_listed_with_their_licences(ask: Ask) -> None:
    status, out, err = ask("data", "fetch")
    assert (status, err) == (0, "")
    rows = [line for line in out.splitlines() if line.split()[0:1] and line.split()[0] in datasets.DATASETS]
    assert len(rows) == len(datasets.DATASETS)
    assert any("amazon-2014/Cell_Phones_and_Accessories" in row for row in rows)
    assert any("ml-20m" in row and "20,000,263" in row and "190 MiB" in row for row in rows)


def test_a_name_narrows_the_list(ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "ml-1m"
    folder.mkdir(parents=True)
    folder.joinpath("ratings.dat").write_text("1::2::5::978300760\n", encoding="utf-8")
    status, out, _ = ask("data", "fetch", "ML-1", "--list", "--json")
    assert status == 0
    found = {one["name"]: one["folder"] for one in json.loads(out)["datasets"]}
    assert found == {"ml-100k": None, "ml-10m": None, "ml-1m": str(folder)}


def test_a_folder_needs_a_name(ask: Ask, tmp_path: Path) -> None:
    status, _, err = ask("data", "fetch", "--folder", tmp_path)
    assert status == 2
    assert "--folder needs a NAME" in err


def test_what_must_be_placed_by_hand_says_where_and_is_then_taken(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    status, out, err = ask("data", "fetch", "retailrocket")
    assert (status, out) == (2, "")
    assert "Put events.csv, and if wanted item_properties_part1.csv" in err
    folder = tmp_path / "cache" / "retailrocket"
    assert str(folder) in err
    folder.mkdir(parents=True)
    rows = (
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,7,view,3,\n1433221332118,7,view,4,\n"
    )
    folder.joinpath("events.csv").write_text(rows, encoding="utf-8")
    one = dataclasses.replace(datasets.DATASETS["retailrocket"], events=2, users=1, items=2)
    monkeypatch.setitem(datasets.DATASETS, "retailrocket", one)
    status, out, _ = ask("data", "fetch", "retailrocket")
    assert status == 0
    assert "retailrocket: 2 events of 1 users on 2 items" in out
    assert "It has what is published (1 users, 2 items, 2 events)" in out
    status, out, _ = ask("data", "audit", "retailrocket", "--no-order")
    assert status == 0
