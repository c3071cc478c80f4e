"""`ensue data ...`: a log is looked at, fetched, converted and made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.cli.data import write
from ensue.events.log import EventLog
from ensue.events.source import read

Ask = Callable[..., tuple[int, str, str]]

BAD = "user,item,time\nu,a,10\nu,,20\nu,b,30\nv,a,soon\nv,b,50\n"


def test_an_audit_says_what_was_read_what_was_set_aside_and_what_follows(ask: Ask, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(BAD)
    status, out, err = ask("data", "audit", log)
    assert (status, err) == (0, "")
    assert "Rows: 5 read, 3 kept, 2 set aside." in out
    assert "log.csv, line 3" in out
    assert "log.csv, line 5" in out
    assert "3 events of 2 users on 2 items" in out
    assert "advice: split = " in out


def test_an_audit_as_json_holds_no_value_of_a_bad_row(ask: Ask, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(BAD)
    found = json.loads(ask("data", "audit", log, "--json")[1])
    assert found["reading"]["rows_read"] == 3 + 2
    assert found["audit"]["events"] == 3
    assert "soon" not in json.dumps(found)


def test_sessions_can_be_cut_for_an_audit(ask: Ask, ring_csv: Path) -> None:
    out = ask("data", "audit", ring_csv, "--by", "session", "--session-gap", 30)[1]
    assert "sequences by session: 420, length min 1" in out


def test_sessions_that_are_not_there_are_refused(ask: Ask, ring_csv: Path) -> None:
    status, _, err = ask("data", "audit", ring_csv, "--by", "session")
    assert status == 2
    assert "session" in err


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_converted_log_is_the_same_log(ask: Ask, ring_csv: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"ring.{ending}"
    status, said, _ = ask("data", "convert", ring_csv, out, "--json")
    assert status == 0
    assert json.loads(said)["fingerprint"] == read(ring_csv).fingerprint() == read(out).fingerprint()


def test_what_a_conversion_sets_aside_is_told(ask: Ask, tmp_path: Path) -> None:
    source, out = tmp_path / "log.csv", tmp_path / "out.csv"
    source.write_text("user,item,timestamp\nu,a,1700000000\nu,,1700000001\nu,b,1700000002\n")
    status, said, err = ask("data", "convert", source, out)
    assert status == 0
    assert "2 events are in" in said
    assert "Rows: 3 read, 2 kept, 1 set aside." in err
    _, said, err = ask("data", "convert", source, out, "--json")
    found = json.loads(said)
    assert (found["events"], found["rows_read"], sum(found["set_aside"].values())) == (2, 3, 1)


TEXT = st.text(min_size=1, max_size=6, alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]))
EVENTS = st.lists(st.tuples(TEXT, TEXT, st.integers(0, 2**41)), min_size=1, max_size=12)


@given(EVENTS)
def test_any_log_survives_conversion_whatever_its_ids(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]]
) -> None:
    frame = pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": pl.Int64}, orient="row")
    log = EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))
    folder = tmp_path_factory.mktemp("converted")
    for name in ("log.parquet", "log.csv"):
        write(log, folder / name)
        assert read(folder / name).fingerprint() == log.fingerprint()


@pytest.mark.parametrize("name", ["out.xlsx", "out", "nowhere/out.csv"])
def test_a_target_that_cannot_be_is_refused_before_anything_is_read(
    ask: Ask, tmp_path: Path, name: str
) -> None:
    status, _, err = ask("data", "convert", "nothing.csv", tmp_path / name)
    assert status == 2
    assert "nothing.csv" not in err


def test_a_data_set_is_taken_from_a_folder_only_if_it_is_the_right_one(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("1\t2\t3\t4\n1\t3\t3\t5\n")
    status, _, err = ask("data", "fetch", "ml-100k", "--folder", tmp_path)
    assert status == 2
    assert "943, 1682, 100000" in err


@pytest.mark.data
def test_a_data_set_in_a_folder_is_checked_and_said(ask: Ask, data_dir: Path) -> None:
    status, out, _ = ask("data", "fetch", "ml-100k", "--folder", data_dir)
    assert status == 0
    assert "100,000 events of 943 users on 1,682 items" in out
    assert "Its checksum is right" in out


def test_an_audit_says_all_five_parts_and_writes_a_page(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    status, out, err = ask("data", "audit", ring_csv, "--html", page)
    assert (status, err) == (0, "")
    for head in (
        "What it is",
        "What is wrong",
        "What leaks",
        "Whether order says anything",
        "What follows",
    ):
        assert f"{head}\n" in out
    assert "too little to say whether order matters: 20 users could be tested, 30 are needed" in out
    assert f"The page is {page}." in out
    written = page.read_text(encoding="utf-8")
    assert written.startswith("<!doctype html>")
    assert "Audit of ring.csv" in written
    assert "u07" not in written
    assert "u07" not in out


def test_an_audit_without_the_shuffle_test_and_as_json(ask: Ask, ring_csv: Path) -> None:
    found = json.loads(ask("data", "audit", ring_csv, "--no-order", "--json")[1])
    assert found["order"] is None
    assert found["test"]["users"] > 0
    assert {"fingerprint", "reading", "audit", "profile", "faults", "leaks", "row_order"} <= set(found)
    assert "u07" not in json.dumps(found)


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_read(ask: Ask, tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "nowhere" / "audit.html"):
        status, _, err = ask("data", "audit", "nothing.csv", "--html", target)
        assert status == 2
        assert "nothing.csv" not in err
        assert "give a file in a folder that exists" in err


@pytest.mark.parametrize("values", [[[1, 2]], [{"a": 1}], [b"x"], [timedelta(seconds=3)]])
def test_what_no_csv_can_hold_is_refused(ask: Ask, tmp_path: Path, values: list[object]) -> None:
    log, out = tmp_path / "log.parquet", tmp_path / "out.csv"
    pl.DataFrame({"user": ["u"], "item": ["a"], "tags": values}).write_parquet(log)
    status, _, err = ask("data", "convert", log, out)
    assert (status, out.exists()) == (2, False)
    assert "A CSV cannot hold what is in tags" in err
    assert "let out.csv end in .parquet" in err
    assert ask("data", "convert", log, tmp_path / "out.parquet")[0] == 0
