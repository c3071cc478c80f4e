"""Faults that people met in practice when reading a log, as inputs of our own: none of them may come back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from ensue.errors import ColumnError, DataError
from ensue.events.audit import audit
from ensue.events.log import EventLog, tied_events
from ensue.events.source import read


def write(folder: Path, text: str | bytes, name: str = "events.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def sequences(log: EventLog, by: str = "user") -> dict[str, list[str]]:
    return {key[0]: part["item"].to_list() for key, part in log.frame.group_by(by, maintain_order=True)}


def test_c01_films_in_latin_1_beside_ratings_in_ascii(tmp_path: Path) -> None:
    write(tmp_path, "9::40::5::978300000\n9::30::4::978300009\n8::30::2::978200000\n", "ratings.dat")
    films = "30::Zoë à Genève: Fin (1987)::Drama|War\n40::Über :: Allem (1990)::Comedy\n"
    write(tmp_path, films.encode("latin-1"), "movies.dat")
    log = read(tmp_path)
    assert log.n_events == 3
    assert log.items is not None
    assert log.items.rows() == [
        ("30", "Zoë à Genève: Fin (1987)", "Drama|War"),
        ("40", "Über :: Allem (1990)", "Comedy"),
    ]


def test_c03_text_that_looks_like_a_row_is_text(tmp_path: Path) -> None:
    text = 'user_id,item_id,timestamp,text\na,x,1,"one, two"\na,y,2,"see:\nghost,ghost,3,\nend"\nb,x,3,"a ""b"""\n'
    log = read(write(tmp_path, text))
    assert sequences(log) == {"a": ["x", "y"], "b": ["x"]}
    assert (log.reading.rows_read, log.reading.rows_kept, log.reading.set_aside) == (3, 3, {})


def test_c03_an_unquoted_file_with_a_lone_quote_names_its_line_or_is_read_whole(tmp_path: Path) -> None:
    text = (
        'user_id\titem_id\ttimestamp\ttext\na\tx\t1\tfine\na\ty\t2\tok\nb\tx\t3\t"7 inch\nb\tz\t4\t9" wide\n'
    )
    path = write(tmp_path, text, "reviews.tsv")
    with pytest.raises(DataError, match=r"reviews\.tsv: the row that begins in line 4 .* quoting=False"):
        read(path)
    assert read(path, quoting=False).n_events == 4


def test_c08_a_key_that_first_appears_late_is_a_column(tmp_path: Path) -> None:
    rows = [
        {"user_id": f"u{n % 5}", "item_id": f"i{n % 7}", "timestamp": 1_500_000_000 + n} for n in range(400)
    ]
    late = [
        {**row, "event_type": "purchase" if n % 2 else "view"} if n >= 380 else row
        for n, row in enumerate(rows)
    ]
    as_json = read(write(tmp_path, "\n".join(json.dumps(row) for row in late), "events.jsonl"))
    frame = pl.DataFrame(late, infer_schema_length=None)
    frame.write_csv(tmp_path / "events.csv")
    frame.write_parquet(tmp_path / "events.parquet")
    for log in (as_json, read(tmp_path / "events.csv"), read(tmp_path / "events.parquet")):
        counts = dict(log.frame["event"].value_counts().iter_rows())
        assert counts == {None: 380, "view": 10, "purchase": 10}


def test_c10_ids_that_differ_in_leading_zeros_or_spelling_stay_apart(tmp_path: Path) -> None:
    items = ["0042", "42", "042", "42.0", "4.2e1", "+42"]
    text = "user_id,item_id,timestamp\n" + "".join(
        f"{'007' if n % 2 else '7'},{i},{n}\n" for n, i in enumerate(items)
    )
    log = read(write(tmp_path, text))
    assert (log.n_users, log.n_items) == (2, 6)
    assert set(log.frame["item"]) == set(items)


def test_c12_ids_wider_than_any_number_type(tmp_path: Path) -> None:
    items = ["9007199254740993", "9007199254740992", "18446744073709551616", "9" * 30, "9" * 29 + "8"]
    rows = [("9223372036854775808", item, n) for n, item in enumerate(items, start=1)]
    as_csv = "user_id,item_id,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows)
    as_json = "".join(f'{{"user_id": {u}, "item_id": {i}, "timestamp": {t}}}\n' for u, i, t in rows)
    for log in (read(write(tmp_path, as_csv)), read(write(tmp_path, as_json, "events.jsonl"))):
        assert sequences(log) == {"9223372036854775808": items}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_c17_instants_do_not_depend_on_the_zone_of_the_machine(tmp_path: Path, zone: str) -> None:
    text = (
        "user_id,item_id,timestamp\n"
        "a,late,2023-10-29T02:40:00+01:00\na,early,2023-10-29T02:50:00+02:00\na,mid,2023-10-29T01:20:00Z\n"
        "b,second,2023-01-01T00:00:05\nb,first,2023-01-01 00:00:04\n"
    )
    code = (
        "import sys; from ensue.events.source import read; log = read(sys.argv[1]); "
        "print(log.frame['item'].to_list(), log.frame['time'].dt.epoch('s').to_list())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(write(tmp_path, text))],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
    )
    day = 1_698_537_600  # 2023-10-29 00:00 UTC
    stamps = [day + 50 * 60, day + 80 * 60, day + 100 * 60, 1_672_531_204, 1_672_531_205]
    assert done.stdout.strip() == f"{['early', 'mid', 'late', 'first', 'second']} {stamps}", done.stderr


def test_c19_times_of_wrong_clocks_are_shown_and_can_be_bounded(tmp_path: Path) -> None:
    good = "".join(f"u{n % 3},i{n},{1_650_000_000 + n}\n" for n in range(8))
    path = write(
        tmp_path,
        "user_id,item_id,timestamp\n" + good + "u0,zero,0\nu1,minus,-5\nu2,far,9999999999\nu0,none,\n",
    )
    log = read(path)
    assert log.n_events == 11
    note = next(note for note in log.reading.notes if "after 2100" in note)
    assert "times that are 0, before 1970 or after 2100, and kept: 3" in note
    assert "line 10, 11, 12" in note
    assert "since='2000-01-01', until='2030-01-01'" in note
    assert [(e.line, e.reason) for e in log.reading.examples] == [(13, "empty time")]
    assert audit(log).suspicious == 3
    bounded = read(path, since="2000-01-01", until="2030-01-01")
    assert bounded.n_events == 8
    assert bounded.reading.set_aside == {
        "empty time": 1,
        "before the bound 'since'": 2,
        "after the bound 'until'": 1,
    }


def test_c20_seconds_that_a_32_bit_float_cannot_tell_apart(tmp_path: Path) -> None:
    steps = [(n * 37) % 101 for n in range(101)]  # a shuffle of 0..100
    text = "user_id,item_id,timestamp\n" + "".join(f"u,i{s:03d},{1_700_000_000 + s}\n" for s in steps)
    log = read(write(tmp_path, text))
    assert sequences(log) == {"u": [f"i{s:03d}" for s in range(101)]}
    assert log.frame["time"].diff().drop_nulls().dt.total_microseconds().unique().to_list() == [1_000_000]


CLICKS = [
    *(("s1", "q", 1, "2022-02-01"), ("s1", "b", 2, "2022-02-01"), ("s1", "m", 3, "2022-02-02")),
    *(("s2", "z", 1, "2022-02-01"), ("s2", "a", 2, "2022-02-01")),
    *(("s3", "y", 2, "2022-02-05"), ("s3", "x", 1, "2022-02-04")),
]


def clicks(rows: list[tuple[str, str, int, str]]) -> str:
    return "session_id,item_id,pos,date\n" + "".join(f"{s},{i},{p},{d}\n" for s, i, p, d in rows)


def test_c22_days_keep_the_order_of_the_file_or_of_a_second_key(tmp_path: Path) -> None:
    expected = {"s1": ["q", "b", "m"], "s2": ["z", "a"], "s3": ["x", "y"]}
    by_file = read(write(tmp_path, clicks(CLICKS)), columns={"order": ""})
    by_place = read(write(tmp_path, clicks(CLICKS)))
    reversed_file = read(write(tmp_path, clicks(CLICKS[::-1])))
    for log in (by_file, by_place, reversed_file):
        assert sequences(log, "session") == expected
        assert tied_events(log, "session") == 4
    assert sequences(read(write(tmp_path, clicks(CLICKS[::-1])), columns={"order": ""})) != expected


def test_c26_sessions_are_cut_after_sorting_and_only_by_a_longer_gap(tmp_path: Path) -> None:
    start = 1_500_000_000
    events = [
        *(("a", "three", start + 1200), ("a", "one", start), ("a", "two", start + 600)),
        *(("a", "four", start + 1801), ("a", "five", start + 1801)),
        *(("b", "then", start), ("b", "years later", start + 10 * 365 * 86_400)),
        ("c", "alone", start + 3),
    ]
    text = "user_id,item_id,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in events)
    cut = read(write(tmp_path, text)).with_sessions(600)
    found = list(sequences(cut, "session").values())
    assert found == [["one", "two", "three"], ["four", "five"], ["then"], ["years later"], ["alone"]]
    assert sum(len(items) == 1 for items in found) == 3


RESERVED = [
    "0",
    "-1",
    "1",
    "nan",
    "None",
    "NA",
    "null",
    "<pad>",
    "[PAD]",
    "<unk>",
    "[MASK]",
    "NaN",
    "N/A",
    "true",
]


def test_c39_ids_that_look_reserved_are_ids(tmp_path: Path) -> None:
    rows = [(f"u{n}", item, 1_600_000_000 + n) for n, item in enumerate(RESERVED * 2)]
    as_csv = "user_id,item_id,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows)
    as_json = "".join(json.dumps({"user_id": u, "item_id": i, "timestamp": t}) + "\n" for u, i, t in rows)
    for log in (read(write(tmp_path, as_csv)), read(write(tmp_path, as_json, "events.jsonl"))):
        counts = dict(log.frame["item"].value_counts().iter_rows())
        assert counts == dict.fromkeys(RESERVED, 2)


def test_c41_huge_numbers_as_ids_are_text_and_take_no_more_room(tmp_path: Path) -> None:
    items = ["5", "19", "4000000000", "4000000001", "99999999999999999999"]
    text = "user_id,item_id,timestamp\n" + "".join(f"u,{i},{n}\n" for n, i in enumerate(items))
    log = read(write(tmp_path, text))
    assert log.n_items == 5
    assert sequences(log) == {"u": items}


def test_c86_a_missing_column_stops_with_what_is_there_and_how_to_map_it(tmp_path: Path) -> None:
    path = write(tmp_path, "who,thing,whn\na,x,1\na,y,2\nb,x,1\n")
    with pytest.raises(ColumnError) as caught:
        read(path)
    text = str(caught.value)
    assert "No column for the user in events.csv: found who, thing, whn" in text
    assert "columns={'user': 'NAME'} (--columns user=NAME)" in text
    with pytest.raises(
        ColumnError, match=r"'when' \(mapped to time\) is not in events\.csv.*Did you mean 'whn'\?"
    ):
        read(path, columns={"user": "who", "item": "thing", "time": "when"})
    assert read(path, columns={"user": "who", "item": "thing", "time": "whn"}).n_events == 3


def test_c86_a_time_column_with_a_typing_error_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(ColumnError) as caught:
        read(write(tmp_path, "user_id,item_id,timestmap\na,x,1\n"))
    assert "No column for the time in events.csv: found user_id, item_id, timestmap" in str(caught.value)
    assert "columns={'time': 'timestmap'} (--columns time=timestmap)" in str(caught.value)


def test_c86_a_rating_that_is_asked_for_and_not_there_and_a_key_with_a_typing_error(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,timestamp\na,x,1\n")
    with pytest.raises(
        ColumnError, match=r"'stars' \(mapped to rating\) is not in events\.csv, which has: user_id, item"
    ):
        read(path, columns={"rating": "stars"})
    with pytest.raises(ColumnError, match="'timestmap', did you mean 'time'"):
        read(path, columns={"user": "user_id", "item": "item_id", "timestmap": "timestamp"})


def test_c15_a_decimal_comma_is_read_when_it_is_declared_and_refused_when_not(tmp_path: Path) -> None:
    rows = [
        ("u1", "i1", "4,5", "1.299,50"),
        ("u1", "i2", "3,0", "12,00"),
        ("u2", "i1", "0,5", "0,99"),
        ("u2", "i3", "5,0", "100,00"),
    ]
    semicolons, commas = tmp_path / "ratings.csv", tmp_path / "quoted.csv"
    lines = [f"{u};{i};{r};{p};{100 + n}" for n, (u, i, r, p) in enumerate(rows)]
    semicolons.write_text("\n".join(["user_id;item_id;rating;price;timestamp", *lines]) + "\n")
    lines = [f'{u},{i},"{r}",{100 + n}' for n, (u, i, r, _) in enumerate(rows)]
    commas.write_text("\n".join(["user_id,item_id,rating,timestamp", *lines]) + "\n")
    for path in (semicolons, commas):
        assert read(path, decimal=",").frame["rating"].to_list() == [4.5, 3.0, 0.5, 5.0]
        with pytest.raises(
            DataError, match=r"line 2: rating that is not a finite number \('4,5'\).*decimal=','"
        ):
            read(path)
    prices = read(semicolons, decimal=",").frame["price"]
    assert prices.cast(pl.Float64).to_list() == [1299.5, 12.0, 0.99, 100.0]
