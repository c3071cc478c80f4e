"""The trivago session log: actions on items are events, all others are set aside and counted."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from ensue.errors import ColumnError
from ensue.events.source import read

HEADER = (
    "user_id,session_id,timestamp,step,action_type,reference,platform,city,device,"
    "current_filters,impressions,prices"
)
LINES = [
    'u,s,1541500000,1,search for destination,"Oslo, Norway",NO,"Oslo, Norway",mobile,,,',
    'u,s,1541500009,3,clickout item,11,NO,"Oslo, Norway",mobile,Pool,10|11|12,80|90|70',
    'u,s,1541500009,2,interaction item image,11,NO,"Oslo, Norway",mobile,,,',
    'u,s,1541500010,4,filter selection,Pool,NO,"Oslo, Norway",mobile,Pool,,',
    'u,s,1541500011,5,interaction item info,unknown,NO,"Oslo, Norway",mobile,,,',
    'v,s,1541500011,1,search for item,12,NO,"Oslo, Norway",mobile,,,',
]


def write(folder: Path, name: str = "train.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([HEADER, *LINES]) + "\n", encoding="utf-8")
    return path


def as_parquet(folder: Path) -> Path:
    path = folder / "slice.parquet"
    frame = pl.read_csv(write(folder), infer_schema=False)
    frame.with_columns(pl.col("timestamp", "step").cast(pl.Int64)).write_parquet(path)
    return path


@pytest.mark.parametrize("make", [write, as_parquet, lambda folder: write(folder).parent])
def test_actions_on_items_are_events_and_all_others_are_counted(tmp_path: Path, make: object) -> None:
    log = read(make(tmp_path))  # type: ignore[operator]
    assert log.reading.format == "trivago"
    assert log.frame.select("user", "item", "event", "order", "session").rows() == [
        ("u", "11", "interaction item image", 2, "u#s"),
        ("u", "11", "clickout item", 3, "u#s"),
        ("v", "12", "search for item", 1, "v#s"),
    ]
    assert log.reading.set_aside == {
        "'search for destination' concerns no item": 1,
        "'filter selection' concerns no item": 1,
        "reference that is no item": 1,
    }
    assert log.reading.rows_read == len(LINES)
    assert {e.value for e in log.reading.examples} == {"Oslo, Norway", "Pool", "unknown"}


def test_the_shown_list_and_its_prices_stay_with_the_click_out(tmp_path: Path) -> None:
    frame = read(write(tmp_path)).frame.filter(pl.col("event") == "clickout item")
    assert frame.select("impressions", "prices").rows() == [("10|11|12", "80|90|70")]


def test_metadata_beside_the_log_describes_items(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert read(path).items is None
    tmp_path.joinpath("item_metadata.csv").write_text(
        "item_id,properties\n11,Pool|Bar\n12,Wifi\n11,again\n", encoding="utf-8"
    )
    log = read(path)
    assert log.items is not None
    assert log.items.rows() == [("11", "Pool|Bar"), ("12", "Wifi")]
    assert (
        "rows of item_metadata.csv that repeat an item or name none and are left out: 1" in log.reading.notes
    )


def test_a_table_with_other_columns_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("user_id,session_id\nu,s\n", encoding="utf-8")
    with pytest.raises(ColumnError, match=r"x\.csv lacks timestamp, step, .* format='delimited'"):
        read(path, format="trivago")


@pytest.mark.data
def test_the_slice_as_its_readme_has_it(data_dir: Path) -> None:
    log = read(data_dir / "trivago-100k")
    assert (log.reading.rows_read, log.n_users) == (100_003, 6_593)
    aside = (3_060, 5_303, 2_948, 1_080, 4)
    assert sorted(log.reading.set_aside.values()) == sorted(aside)
    assert log.n_events == 100_003 - sum(aside)
    outs = log.frame.filter(pl.col("event") == "clickout item")
    assert outs.height == 13_597
    assert outs["impressions"].null_count() == 0
    same = outs["impressions"].str.count_matches("|", literal=True) == outs["prices"].str.count_matches(
        "|", literal=True
    )
    assert same.all()
