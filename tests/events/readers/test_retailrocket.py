"""RetailRocket: events, and items with their last category."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensue.errors import DataError
from ensue.events.source import read

EVENTS = (
    "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
    "1433224214164,992329,transaction,248676,4000\n1433221999827,992329,addtocart,248676,\n1433221955914,,view,5,\n"
)


def folder_of(folder: Path) -> Path:
    head = "timestamp,itemid,property,value\n"
    files = {
        "events.csv": EVENTS,
        "item_properties_part1.csv": head
        + '2000,355908,categoryid,11\n1000,355908,categoryid,10\n1000,355908,790,n33 "x\n1000,248676,available,1\n',
        "item_properties_part2.csv": head + "3000,248676,available,0\n1000,248676,categoryid,99\n",
        "category_tree.csv": "categoryid,parentid\n11,12\n12,13\n13,\n10,13\n",
    }
    for name, text in files.items():
        folder.joinpath(name).write_text(text, encoding="utf-8")
    return folder


def test_events_have_types_and_transactions_are_baskets(tmp_path: Path) -> None:
    for log in (read(folder_of(tmp_path)), read(tmp_path / "events.csv")):
        assert log.reading.format == "retailrocket"
        assert log.frame.select("user", "item", "event", "basket").rows() == [
            ("257597", "355908", "view", None),
            ("992329", "248676", "addtocart", None),
            ("992329", "248676", "transaction", "4000"),
        ]
        assert log.frame["time"].dt.epoch("ms").to_list() == [1433221332117, 1433221999827, 1433224214164]
        assert log.reading.set_aside == {"empty user": 1}


def test_items_bear_the_last_value_and_all_categories_above(tmp_path: Path) -> None:
    log = read(folder_of(tmp_path))
    assert log.items is not None
    assert log.items.columns == ["item", "category", "available", "categories"]
    assert log.items.rows() == [("248676", "99", "0", "99"), ("355908", "11", None, "11|12|13")]


def test_a_ring_of_categories_ends(tmp_path: Path) -> None:
    folder_of(tmp_path).joinpath("category_tree.csv").write_text(
        "categoryid,parentid\n11,12\n12,11\n", encoding="utf-8"
    )
    log = read(tmp_path)
    assert log.items is not None
    assert log.items["categories"].to_list() == ["99", "11|12"]


def test_properties_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = folder_of(tmp_path) / "item_properties_part2.csv"
    path.write_text("timestamp,itemid,property,value\n1,2,3,4,5,6\n", encoding="utf-8")
    with pytest.raises(DataError, match="item properties beside"):
        read(tmp_path)


def test_without_properties_nothing_is_known_of_items(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(EVENTS, encoding="utf-8")
    assert read(path).items is None
