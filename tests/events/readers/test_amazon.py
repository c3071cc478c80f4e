"""Amazon reviews of all editions, as JSON or as Python literals, with products beside; and real ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import DataError
from ensue.events.readers import Options, amazon, reader_for
from ensue.events.readers.joined import joined
from ensue.events.source import read
from ensue.features import Feature

OLD: dict[str, Any] = {
    "reviewerID": "A1",
    "asin": "0001",
    "reviewerName": "Jo",
    "helpful": [1, 2],
    "reviewText": "long",
    "overall": 4.0,
    "summary": "good",
    "unixReviewTime": 1_393_545_600,
    "reviewTime": "02 28, 2014",
}
NEW: dict[str, Any] = {
    "rating": 5.0,
    "title": "Fine",
    "text": "long",
    "images": [],
    "asin": "B2",
    "parent_asin": "B1",
    "user_id": "AE",
    "timestamp": 1_602_133_857_705,
    "helpful_vote": 2,
    "verified_purchase": True,
}


def write(folder: Path, rows: list[dict[str, Any]], name: str, form: Any = json.dumps) -> Path:
    data = "\n".join(form(row) for row in rows).encode()
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def note(path: Path, words: str) -> bool:
    return any(words in note for note in read(path).reading.notes)


@pytest.mark.parametrize("form", [json.dumps, repr])
def test_the_edition_of_2014_as_json_and_as_literals(tmp_path: Path, form: Any) -> None:
    rows = [OLD, {**OLD, "reviewerID": "A2", "summary": 'it\'s "so" so\\/', "unixReviewTime": 1_363_392_000}]
    path = write(tmp_path, rows, "reviews_Toys_5.json.gz", form)
    log = read(path)
    assert log.frame.select("user", "item", "rating", "helpful", "summary").rows() == [
        ("A1", "0001", 4.0, "[1, 2]", "good"),
        ("A2", "0001", 4.0, "[1, 2]", 'it\'s "so" so\\/'),
    ]
    assert log.frame["time"].dt.epoch("s").to_list() == [1_393_545_600, 1_363_392_000]
    assert not {"reviewText", "reviewerName", "reviewTime"} & set(log.columns)
    assert note(
        path, "left out, being long, personal or said elsewhere: reviewerName, reviewText, reviewTime"
    )
    assert note(path, "items are products by 'asin'")
    assert note(path, "times are days")
    assert note(path, "holds Python literals, not JSON") == (form is repr)
    assert log.reading.format == "amazon"


def test_the_edition_of_2018(tmp_path: Path) -> None:
    row = {key: value for key, value in OLD.items() if key != "helpful"}
    rows = [
        {**row, "verified": True, "style": {"Size:": " 7 oz"}, "vote": "1,234"},
        {**row, "reviewerID": "A2", "verified": False},
    ]
    log = read(write(tmp_path, rows, "Toys_5.json"))
    assert log.frame.select("user", "verified", "vote", "style").rows() == [
        ("A1", True, "1,234", '{"Size:": " 7 oz"}'),
        ("A2", False, None, None),
    ]
    assert log.frame.schema["verified"] == pl.Boolean


def test_the_edition_of_2023_by_products_or_by_variants(tmp_path: Path) -> None:
    path = write(tmp_path, [NEW, {**NEW, "asin": "B3", "timestamp": 1_602_133_857_706}], "Toys.jsonl")
    log = read(path)
    assert log.frame.select("user", "item", "asin", "verified_purchase").rows() == [
        ("AE", "B1", "B2", True),
        ("AE", "B1", "B3", True),
    ]
    assert log.frame["time"].dt.epoch("ms").to_list() == [1_602_133_857_705, 1_602_133_857_706]
    assert note(path, "items are products by 'parent_asin', which all variants of a product share")
    assert note(path, "left out, being long, personal or said elsewhere: text, images")
    write(tmp_path, [{"parent_asin": "B1", "title": "One"}], "meta_Toys.jsonl")
    assert read(path).items is not None
    variants = read(path, columns={"item": "asin"})
    assert variants.frame["item"].to_list() == ["B2", "B3"]
    assert variants.items is None
    notes = " ".join(variants.reading.notes)
    assert "items are by 'asin', at the caller's wish" in notes
    assert "products of meta_Toys.jsonl were not read" in notes


def test_the_table_of_2023(tmp_path: Path) -> None:
    write(tmp_path, [{"parent_asin": "B1", "title": "One"}], "meta_Toys.jsonl.gz")
    head = "user_id,parent_asin,rating,timestamp,history\n"
    for part, rows in (
        ("train", "AE,B1,5.0,1602133857705,\nAE,B1\n"),
        ("test", "AE,B2,4.0,1602133857706,B1\n"),
    ):
        (tmp_path / f"Toys.{part}.csv").write_text(head + rows, encoding="utf-8")
    (tmp_path / "more.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    log = read(tmp_path)
    assert log.frame.select("user", "item", "rating").rows() == [("AE", "B1", 5.0), ("AE", "B2", 4.0)]
    assert log.items is not None
    assert log.items.rows() == [("B1", "One")]
    assert log.reading.format == "amazon-csv"
    assert [(e.line, e.reason, e.value) for e in log.reading.examples] == [
        (3, "too few fields", "Toys.train.csv: 2 of 5 fields: AE,B1")
    ]
    notes = " ".join(log.reading.notes)
    assert "left out, since the log holds it: history" in notes
    assert "files of the folder that were not read: more.csv" in notes


PRODUCTS: list[dict[Any, Any]] = [
    {
        "asin": "0001",
        "title": "A &amp; B",
        "categories": [["Toys", "Games"], ["Toys", "New|Old"]],
        "price": 12.5,
        "brand": "X",
    },
    {"asin": "0002", "category": ["Cards"], "price": "$1,025.00", "brand": "", "main_cat": "Gifts"},
    {"asin": "0003", "title": "", "price": "$1.00 - $2.00", "store": "Shop", "details": {"Brand": "Y"}},
    {
        "asin": "0004",
        "price": None,
        "store": "Shop",
        "main_category": "Gifts",
        "details": None,
        "title": ["x"],
    },
    {"asin": "0001", "title": "again"},
    {"title": "nameless"},
]


@pytest.mark.parametrize("form", [json.dumps, repr])
def test_products_as_item_features_read_them(tmp_path: Path, form: Any) -> None:
    path = write(tmp_path, [OLD], "reviews_Toys.json")
    write(tmp_path, PRODUCTS, "meta_Toys.json.gz", form)
    log = read(path)
    assert log.items is not None
    assert log.items.columns == ["item", "title", "categories", "main_category", "brand", "price"]
    assert log.items.rows() == [
        ("0001", "A & B", "Toys|Games|New/Old", None, "X", 12.5),
        ("0002", None, "Cards", "Gifts", None, 1025.0),
        ("0003", None, None, None, "Y", None),
        ("0004", None, None, "Gifts", "Shop", None),
    ]
    for words in (
        "prices in meta_Toys.json.gz that are no single number and are taken as missing: 1",
        "categories in meta_Toys.json.gz that hold '|', which is written '/': 1",
        "lines of meta_Toys.json.gz that repeat a product and are left out: 1 (line 5)",
        "lines of meta_Toys.json.gz that cannot be read and are left out: 1 (line 6)",
        "brands in meta_Toys.json.gz that are the name of the store, since no other is given: 1",
    ):
        assert note(path, words), words
    kinds = {name: Feature.fit(name, log.items[name]).kind for name in ("categories", "brand", "price")}
    assert kinds == {"categories": "values", "brand": "category", "price": "number"}


def test_an_odd_escape_in_a_literal_is_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(
        "{'reviewerID': 'A1', 'asin': '1', 'overall': 4.0, 'unixReviewTime': 9, 'summary': 'a\\/b'}\n",
        encoding="utf-8",
    )
    log = read(path)
    assert log.frame.select("summary", "rating").rows() == [("a\\/b", 4.0)]


def test_a_piece_without_any_rating_has_the_column_all_the_same(tmp_path: Path) -> None:
    bare = {key: OLD[key] for key in ("reviewerID", "asin", "unixReviewTime")}
    parts = list(amazon.pieces(write(tmp_path, [bare, OLD], "x.json"), Options(), 1))
    assert [part.frame["overall"].to_list() for part in parts] == [[None], ["4.0"]]


def test_a_bad_line_in_a_folder_names_its_file(tmp_path: Path) -> None:
    write(tmp_path, [OLD], "reviews_A.json")
    path = write(tmp_path, [OLD, OLD], "reviews_B.json")
    path.write_text(path.read_text(encoding="utf-8") + "\nrest", encoding="utf-8")
    reading = read(tmp_path).reading
    assert [(e.file, e.line, e.value) for e in reading.examples] == [
        (tmp_path.name, 3, "reviews_B.json: rest")
    ]


def test_several_categories_in_one_folder(tmp_path: Path) -> None:
    write(tmp_path, [OLD], "reviews_Toys_5.json")
    write(tmp_path, [{**OLD, "asin": "0002", "reviewerID": "A2"}], "reviews_Books_5.json.gz")
    write(tmp_path, [{"asin": "0001", "title": "t"}], "meta_Toys.json")
    write(tmp_path, [{"asin": "0001", "title": "other"}, {"asin": "0002", "title": "b"}], "meta_Books.json")
    (tmp_path / "README.txt").write_text("about", encoding="utf-8")
    log = read(tmp_path)
    assert log.frame.select("user", "item").rows() == [("A1", "0001"), ("A2", "0002")]
    assert log.items is not None
    assert log.items.rows() == [("0001", "other"), ("0002", "b")]  # by the names of the files
    write(tmp_path, [NEW], "Toys.jsonl")
    with pytest.raises(
        DataError, match=r"holds reviews of two editions \(Toys.jsonl; reviews_Books_5.json.gz\)"
    ):
        read(tmp_path)


def test_lines_that_hold_no_review_are_set_aside(tmp_path: Path) -> None:
    path = write(tmp_path, [OLD] * 12, "x.json")
    bad = [
        "{'reviewerID': print('never')}",
        "{'a': __import__('os').getcwd()}",
        "[1]",
        '{"reviewerID": "A1"',
        "{" * 50_000,
        '{"reviewerID": "' + "x" * (1 << 20) + '"}',
        '{"reviewerID": "\\ud800", "asin": "1"}',
        "{1: 2}",
    ]
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" + "\n".join(bad) + "\n\n")
        file.write(json.dumps({**OLD, "overall": None, "reviewerID": ""}))
    reading = read(path).reading
    literal = "neither JSON nor a Python literal"
    assert [(e.line, e.reason) for e in reading.examples] == [
        (13, literal),
        (14, literal),
        (15, "not an object with keys"),
        (16, literal),
        (17, literal),
        (18, "a line of more than 1,048,576 characters"),
        (19, "half of a character pair (a lone surrogate) in the text"),
        (20, "not an object with keys"),
        (22, "empty user"),
    ]
    assert (reading.rows_read, reading.rows_kept) == (12 + 9, 12)


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "reviewerID": st.text("ab\u2028é'", min_size=1, max_size=3),
            "asin": st.sampled_from(["1", "01", "1.0"]),
        },
        optional={"overall": st.integers(1, 5), "verified": st.booleans(), "vote": st.text(max_size=2)},
    ),
    min_size=1,
    max_size=9,
)


@given(ROWS, st.integers(1, 4), st.booleans())
def test_pieces_together_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], size: int, literal: bool
) -> None:
    path = write(tmp_path_factory.mktemp("rows"), [OLD, *rows], "x.json", repr if literal else json.dumps)
    reader = reader_for(path)
    assert reader.name == "amazon"
    whole = reader.read(path, Options())
    parts = list(amazon.pieces(path, Options(), size))
    assert max(part.frame.height for part in parts) <= size
    again = joined(parts)
    assert again.frame.select(whole.frame.columns).equals(whole.frame)
    assert again.lines.equals(whole.lines)
    assert (again.rows, again.notes, again.columns) == (whole.rows, whole.notes, whole.columns)
    names = ["reviewerID", "asin", "overall", "verified"]
    frame = whole.frame if "verified" in whole.frame.columns else whole.frame.with_columns(verified=None)
    expected = [
        (
            row["reviewerID"],
            row["asin"],
            None if row.get("overall") is None else repr(row["overall"]),
            row.get("verified"),
        )
        for row in (OLD, *rows)
    ]
    assert frame.select(names).rows() == expected


def test_latin_1_a_mark_in_front_and_what_is_no_text(tmp_path: Path) -> None:
    line = json.dumps({**OLD, "reviewerID": "é"}, ensure_ascii=False)
    path = tmp_path / "x.json"
    for data in (line.encode("latin-1"), b"\xef\xbb\xbf" + line.encode()):
        path.write_bytes(data)
        assert read(path).frame["user"].to_list() == ["é"]
    path.write_bytes(line.encode() + b"\n{\0")
    with pytest.raises(DataError, match=r"x.json is not a text file \(a zero byte in line 2\)"):
        read(path)
    with pytest.raises(DataError, match="has no file of Amazon reviews"):
        read(tmp_path, format="amazon-csv")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "events", "users", "items", "products"),
    [
        ("amazon2014-raw-sample/Musical_Instruments_5.json", 50, 49, 7, None),
        ("amazon2018-raw/All_Beauty_5.json.gz", 5_269, 991, 85, None),
        ("amazon2018-raw/Gift_Cards_5.json.gz", 2_972, 458, 148, 1_547),
        ("amazon2023-raw/Subscription_Boxes.jsonl.gz", 16_216, 15_237, 641, None),
    ],
)
def test_the_published_sizes(
    data_dir: Path, name: str, events: int, users: int, items: int, products: int | None
) -> None:
    log = read(data_dir / name)
    assert (log.n_events, log.n_users, log.n_items) == (events, users, items)
    assert log.reading.format == "amazon"
    assert log.reading.set_aside == {}
    assert (None if log.items is None else log.items.height) == products
    if log.items is not None:
        assert log.frame["item"].is_in(log.items["item"].implode()).all()
        assert log.items["price"].drop_nulls().len() == 1_547 - 1_185 - 4
