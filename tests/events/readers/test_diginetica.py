"""Diginetica: views and purchases of sessions, most of them without a user."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensue.events.source import read

VIEWS = (
    "sessionId;userId;itemId;timeframe;eventdate\n1;NA;x;9000;2016-05-09\n1;NA;y;8000;2016-05-09\n"
    "2;NA;x;0;2016-05-10\n2;NA;y;zero;2016-05-10\n2;NA;y;10;2016-13-10\n4;NA;z;5;2016-05-01\n"
)
BUYS = (
    "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n"
    "2;31;86400000;2016-05-10;77;x\n3;31;1;2016-05-08;78;z\n"
)


def folder_of(folder: Path, views: str = VIEWS) -> Path:
    folder.joinpath("train-item-views.csv").write_text(views, encoding="utf-8")
    folder.joinpath("train-purchases.csv").write_text(BUYS, encoding="utf-8")
    folder.joinpath("product-categories.csv").write_text(
        "itemId;categoryId\nx;1\ny;2\nx;3\n", encoding="utf-8"
    )
    return folder


def test_views_and_purchases_together(tmp_path: Path) -> None:
    log = read(folder_of(tmp_path))
    assert log.reading.format == "diginetica"
    frame = log.frame.with_columns(time=log.frame["time"].dt.strftime("%d %H:%M:%S"))
    assert frame.select("user", "item", "time", "event", "session", "basket").rows() == [
        ("31", "z", "08 00:00:00", "purchase", "3", "78"),
        ("31", "x", "10 00:00:00", "view", "2", None),
        ("31", "x", "11 00:00:00", "purchase", "2", "77"),
        ("session 1", "y", "09 00:00:08", "view", "1", None),
        ("session 1", "x", "09 00:00:09", "view", "1", None),
        ("session 4", "z", "01 00:00:00", "view", "4", None),
    ]
    assert [(e.line, e.reason, e.value) for e in log.reading.examples] == [
        (5, "date or timeframe that cannot be read", "2016-05-10 + zero"),
        (6, "date or timeframe that cannot be read", "2016-13-10 + 10"),
    ]
    assert log.reading.rows_read == 6 + 2
    assert any("each taken as a user of its own ('session N'): 2" in note for note in log.reading.notes)


def test_a_session_is_of_the_user_whom_another_row_of_it_names_unless_two_are(tmp_path: Path) -> None:
    views = (
        "session_id;user_id;item_id;timeframe;eventdate\n1;NA;x;1;2016-05-09\n1;8;x;2;2016-05-09\n"
        "2;8;x;1;2016-05-09\n2;9;x;1;2016-05-09\n2;NA;x;1;2016-05-09\n"
    )
    log = read(folder_of(tmp_path, views) / "train-item-views.csv")
    assert log.frame["user"].to_list() == ["8", "8", "8", "9", "session 2"]


def test_products_have_categories_and_what_products_csv_tells(tmp_path: Path) -> None:
    log = read(folder_of(tmp_path))
    assert log.items is not None
    assert log.items.rows() == [("x", "1"), ("y", "2")]
    tmp_path.joinpath("products.csv").write_text(
        "itemId;pricelog2;product.name.tokens\ny;9;5,66\nw;10;7\n", encoding="utf-8"
    )
    log = read(tmp_path)
    assert log.items is not None
    assert log.items.rows() == [("x", "1", None, None), ("y", "2", 9.0, "5|66"), ("w", None, 10.0, "7")]


@pytest.mark.data
def test_the_published_sizes(data_dir: Path) -> None:
    folder = data_dir / "diginetica"
    buys = read(folder / "train-purchases.csv")
    assert (buys.n_events, buys.n_items) == (18_025, 11_244)
    as_written = buys.frame["session"].str.split("#").list.last()  # eight sessions name two users each
    assert (as_written.n_unique(), buys.frame["session"].n_unique()) == (12_630, 12_630 + 8)
    views = read(folder / "sample_train-item-views.csv")
    assert (views.n_events, views.n_items) == (12_391, 7_139)
    assert views.frame["session"].str.split("#").list.last().n_unique() == 2_986
    both = read(folder)
    assert both.n_events == 12_391 + 18_025
    assert both.items is not None
    assert both.items.height == 184_047
