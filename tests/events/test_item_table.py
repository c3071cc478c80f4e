"""What is known of the items of one's own log: read beside it, ids as written, and used by what asks for it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from ensue.cli import call
from ensue.errors import ColumnError, ConfigError, DataError
from ensue.events.item_table import read_items
from ensue.events.source import Stream, read
from ensue.experiment import Data
from ensue.ladder.logs import load_log

TABLE = (
    'sku,name,price,code,kinds,stock\n007,"Boots, brown",19.90,01,a|b,3\n7,,5,02,b,\n"a,b",Hat,1e2,10,,12\n'
)
LOG = "customer,sku,ts\nu,007,1700000000\nu,7,1700000060\nv,7,1700000000\nv,007,1700000120\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_text(LOG)
    items.write_text(TABLE)
    return log, items


def test_ids_stay_text_and_numbers_become_numbers(files: tuple[Path, Path]) -> None:
    found, said = read_items(files[1])
    assert found["item"].to_list() == ["007", "7", "a,b"]
    assert found["title"].to_list() == ["Boots, brown", None, "Hat"]
    assert found["price"].to_list() == [19.9, 5.0, 100.0]
    assert found["stock"].to_list() == [3, None, 12]
    assert found["code"].to_list() == ["01", "02", "10"]  # a code of digits is no number
    assert found["kinds"].to_list() == ["a|b", "b", None]
    assert said == "items.csv tells of 3 items: title, price (number), code, kinds, stock (number)"


def test_the_forms_of_a_table_say_the_same(tmp_path: Path, files: tuple[Path, Path]) -> None:
    wanted, _ = read_items(files[1])
    wanted.write_parquet(tmp_path / "items.parquet")
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in wanted.to_dicts()))
    (tmp_path / "items.tsv").write_text(wanted.write_csv(separator="\t"))
    for name in ("items.parquet", "items.jsonl", "items.tsv"):
        assert read_items(tmp_path / name)[0].equals(wanted), name
    assert read_items(wanted)[0].equals(wanted)
    commas = wanted.with_columns(price=pl.Series(["19,90", "5", "100"]))
    assert read_items(commas, decimal=",")[0].equals(wanted)


def test_a_log_brings_its_table(files: tuple[Path, Path]) -> None:
    log = read(files[0], items=files[1])
    assert log.items is not None
    assert log.items.equals(read_items(files[1])[0])
    assert log.fingerprint() == read(files[0]).fingerprint()
    assert any("items.csv tells of 3 items" in note for note in log.reading.notes)
    stream = Stream(files[0], items=files[1])
    assert sum(frame.height for frame in stream.frames()) == log.n_events
    assert stream.items is not None
    assert stream.items.equals(log.items)
    assert any("items.csv" in note for note in stream.account().notes)


def test_the_column_is_the_one_of_the_log_or_the_one_that_is_called_so(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("Ware,id\nx,1\n")
    assert read_items(table, columns={"item": "Ware"})[0]["item"].to_list() == ["x"]
    assert read_items(table)[0]["item"].to_list() == ["1"]
    table.write_text("sku,item_id\nx,1\n")
    with pytest.raises(ColumnError, match=r"'sku' and 'item_id' in t\.csv could all be the item"):
        read_items(table)
    table.write_text("shade,colour\nx,1\n")
    with pytest.raises(ColumnError, match=r"No column for the item in t\.csv, which has: shade, colour"):
        read_items(table)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sku,price\na,1\na,2\n", "t.csv, line 3: item 'a' has a row before this one"),
        ("sku,price\na,1\n,2\n", "t.csv, line 3: an item has no id in the column 'sku'"),
        ("sku,price\na,1\nb\n", "t.csv, line 3: too few fields"),
    ],
)
def test_faults_say_where(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=said):
        read_items(table)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        read_items(tmp_path)
    with pytest.raises(DataError):
        read_items(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="tells of its items itself"):
        load_log(Data(source="simulated", items="items.csv"))


def test_rules_read_its_columns(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command line, from the log to an answer under a price."""
    log, items = files
    more = [
        f"w{user},{item},{1700000000 + 60 * place}" for user in range(9) for place, item in enumerate("7ab")
    ]
    log.write_text(LOG + "\n".join(more) + "\n")
    items.write_text(TABLE + "b,Belt,60,11,c,1\na,Apron,2,12,c,1\n")
    out = tmp_path / "trained"
    train = ["train", str(log), "--items", str(items), "--model", "popular", "--out", str(out)]
    assert call(train) == 0
    rules = tmp_path / "rules.toml"
    rules.write_text("[rules.price]\nmost = 50\n")
    capsys.readouterr()
    asked = ["recommend", str(out), "--history", "007", "-k", "9", "--rules", str(rules), "--json"]
    assert call(asked) == 0
    said = capsys.readouterr().out
    given = json.loads(said)
    assert {one["item"] for one in given["items"]} >= {"7", "a"}
    assert "b" not in {one["item"] for one in given["items"]}
    assert "Apron" in said


def test_items_without_a_row_are_counted(tmp_path: Path) -> None:
    """Also piece by piece; a table that tells of none of them says why that may be."""
    log, table = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_text("user,item\nu,007\nu,008\nv,007\nv,009\n", encoding="utf-8")
    for ids, said in (
        (("007", "008", "009"), None),
        (("007", "9"), "2 of 3 items of the events have no row in the table of items"),
        (
            ("7", "8", "9"),
            "3 of 3 items of the events have no row in the table of items, so that it tells nothing: '007' is an id of "
            "the events, '7' one of the table",
        ),
    ):
        table.write_text("item,kind\n" + "".join(f"{one},a\n" for one in ids), encoding="utf-8")
        stream = Stream(log, items=table, rows=1)
        assert sum(frame.height for frame in stream.frames()) == 4
        for reading in (read(log, items=table).reading, stream.account()):
            assert [note for note in reading.notes if "no row" in note] == [said] * (said is not None)
