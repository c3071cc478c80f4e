"""Lists as they were shown: from trivago's layout and from any table, joined with what came before, faults counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ensue.errors import ColumnError, DataError
from ensue.events.readers import trivago as trivago_columns
from ensue.reranking import Shown, read_shown
from ensue.reranking.shown import NONE
from ensue.sequences import MISSING_TIME

HEADER = ",".join(trivago_columns.HEADER)
ACTIONS = [
    "u,s,100,1,interaction item image,12,NO,Oslo,mobile,,,",
    "u,s,110,2,filter selection,Pool,NO,Oslo,mobile,Pool,,",
    "u,s,120,3,interaction item info,10,NO,Oslo,mobile,Pool,,",
    "u,s,130,4,clickout item,11,NO,Oslo,mobile,Sort by Price|Pool,10|11|12,80|90|70",
    "u,s,140,5,clickout item,99,NO,Oslo,mobile,,10|11,80|90",
    "v,s,105,1,clickout item,12,NO,Oslo,desktop,,12|10,60",
    "v,t,100,1,clickout item,10,NO,Oslo,desktop,,10|10,1|2",
    "v,t,109,2,clickout item,10,NO,Oslo,desktop,,,",
]

LONG = pl.DataFrame(
    {
        "query": ["q1", "q1", "q2", "q2"],
        "sku": ["b", "a", "a", "c"],
        "place": [2, 1, 1, 2],
        "score": ["0.5", "0.9", "?", ""],
        "price": [5.0, 0.0, 3.0, 4.0],
        "chosen": [0, 1, 0, 1],
        "session": ["s", "s", "s", "t"],
        "time": [1000, 1000, 2000, 2000],
        "device": ["tv", "tv", "tv", "tv"],
        "colour": ["red", "blue", "red", "blue"],
    }
)
NAMES = {"list": "query", "item": "sku", "position": "place"}


def trivago(folder: Path) -> Path:
    path = folder / "sessions.csv"
    path.write_text("\n".join([HEADER, *ACTIONS]) + "\n", encoding="utf-8")
    return path


def listed(shown: Shown) -> list[list[str]]:
    ids = shown.ids.gather(shown.items).to_list()
    return [ids[a:b] for a, b in zip(shown.offsets[:-1], shown.offsets[1:], strict=True)]


def before(shown: Shown, place: int) -> list[tuple[str | None, str]]:
    ids = shown.ids.to_list()
    here = range(int(shown.starts[place]), int(shown.ends[place]))
    items = [ids[shown.events.items[one]] if shown.events.items[one] != NONE else None for one in here]
    return list(zip(items, [shown.events.kinds[one] for one in here], strict=True))


def test_click_outs_show_their_list_their_prices_their_choice_and_what_came_before(tmp_path: Path) -> None:
    shown = read_shown(trivago(tmp_path))
    assert listed(shown) == [["10", "11", "12"], ["12", "10"]]
    assert shown.position.tolist() == [1, 2, 3, 1, 2]
    assert shown.ids.gather(shown.items[shown.chosen]).to_list() == ["11", "12"]
    assert shown.price[:3].tolist() == [80, 90, 70]
    assert np.isnan(shown.price[3:]).all()
    assert np.isnan(shown.score).all()
    assert shown.at.tolist() == [130_000_000, 105_000_000]
    assert shown.begins.tolist() == [100_000_000, 105_000_000]
    assert before(shown, 0) == [
        ("12", "interaction item image"),
        (None, "filter selection"),
        ("10", "interaction item info"),
    ]
    assert before(shown, 1) == []
    assert {name: column.to_list() for name, column in shown.context.items()} == {
        "device": ["mobile", "desktop"],
        "order": ["Sort by Price", "as recommended"],
        "filters": ["some", "none"],
    }
    assert shown.set_aside == {
        "click-outs without a list": 1,
        "lists whose prices are not as many as their items (taken as unknown)": 1,
        "lists that hold an item twice": 1,
        "lists whose choice is none of their candidates, or not known": 1,
    }
    assert shown.lines()[0].startswith("Lists: 2 with 5 candidates in 2 sessions, 2 with a choice; 8 events")


def test_as_displayed_only_what_lies_before_the_last_change_of_lists_is_known(tmp_path: Path) -> None:
    shown = read_shown(trivago(tmp_path), known="display")
    assert before(shown, 0) == [("12", "interaction item image"), (None, "filter selection")]
    assert before(shown, 1) == []


def test_a_table_is_read_by_the_names_it_has_and_put_in_the_order_of_the_engine() -> None:
    shown = read_shown(LONG.filter(pl.col("query") == "q1"), columns=NAMES)
    assert listed(shown) == [["a", "b"]]
    assert shown.chosen.tolist() == [0]
    assert shown.score.tolist() == [0.9, 0.5]
    assert np.isnan(shown.price[0])  # a price of nothing is none
    assert shown.price[1] == 5.0
    assert shown.context["device"].to_list() == ["tv"]
    assert "colour" not in shown.context
    assert any("colour" in note for note in shown.notes)
    assert len(shown.events) == 0


def test_numbers_that_are_none_are_unknown_and_counted() -> None:
    shown = read_shown(LONG.with_columns(session=pl.lit("s")), columns=NAMES)
    assert shown.set_aside == {"scores that are no number (unknown)": 1}
    assert np.isnan(shown.score[2:]).all()


def test_events_come_before_a_list_if_they_are_earlier_and_of_its_session() -> None:
    events = pl.DataFrame(
        {
            "user": ["u", "u", "u", "u", "w"],
            "session": ["s", "s", "s", "s", "t"],
            "item": ["a", "b", "c", "d", "e"],
            "time": pl.from_epoch(pl.Series([500, 1000, 1999, 2001, 1]), "s"),
            "event": ["view", "cart", "view", "view", "view"],
        }
    )
    lists = LONG.with_columns(session=pl.lit("s"))
    shown = read_shown(lists, events, columns=NAMES)
    assert before(shown, 0) == [("a", "view")]  # what happens at the time of the list does not come before it
    assert before(shown, 1) == [("a", "view"), ("b", "cart"), ("c", "view")]
    assert shown.begins.tolist() == [500_000_000, 500_000_000]


def test_lists_that_cannot_be_used_are_set_aside_and_counted() -> None:
    frame = pl.DataFrame(
        {
            "list": [1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
            "item": ["a", "b", "a", "b", "a", "a", "a", None, "a", "b"],
            "chosen": [1, 0, 0, 0, 1, 0, 1, 0, 1, 1],
        }
    )
    shown = read_shown(frame)
    assert listed(shown) == [["a", "b"]]
    assert shown.set_aside == {
        "lists that hold an item twice": 1,
        "lists with a candidate that has no id": 1,
        "lists whose choice is none of their candidates, or not known": 1,
        "lists with more than one choice": 1,
    }
    assert shown.at.tolist() == [MISSING_TIME]


@pytest.mark.parametrize(
    ("frame", "fault", "words"),
    [
        (LONG, ColumnError, "lacks the column 'list'"),
        (LONG.rename({"query": "list"}).drop("chosen"), ColumnError, "'item'|'chosen'"),
        (pl.DataFrame({"list": [1], "item": ["a"], "chosen": [0]}), DataError, "No list is left"),
    ],
)
def test_what_is_missing_is_named(frame: pl.DataFrame, fault: type[Exception], words: str) -> None:
    with pytest.raises(fault, match=words):
        read_shown(frame)


def test_events_that_no_list_belongs_to_are_refused() -> None:
    events = pl.DataFrame(
        {"user": ["x"], "session": ["x"], "item": ["a"], "time": pl.from_epoch(pl.Series([5]), "s")}
    )
    with pytest.raises(DataError, match="name them differently"):
        read_shown(LONG, events, columns=NAMES)


def test_lists_without_a_time_cannot_be_joined() -> None:
    events = pl.DataFrame(
        {"user": ["s"], "session": ["s"], "item": ["a"], "time": pl.from_epoch(pl.Series([5]), "s")}
    )
    with pytest.raises(DataError, match="lists have no time"):
        read_shown(LONG.drop("time"), events, columns=NAMES)


def test_the_events_of_trivago_are_not_named_again(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds its events"):
        read_shown(trivago(tmp_path), trivago(tmp_path))
    with pytest.raises(DataError, match="There is no file or folder"):
        read_shown(tmp_path / "gone.csv")


def test_a_part_of_the_lists_is_those_lists(shown: Shown) -> None:
    some = np.array([5, 2, 9])
    part = shown[some]
    assert listed(part) == [listed(shown)[one] for one in some]
    assert part.ids.gather(part.items[part.chosen]).to_list() == [
        shown.ids[int(shown.items[shown.chosen[one]])] for one in some
    ]
    assert (
        part.price == np.concatenate([shown.price[shown.offsets[q] : shown.offsets[q + 1]] for q in some])
    ).all()
    assert part.at.tolist() == shown.at[some].tolist()
    assert part.context["order"].to_list() == [shown.context["order"][int(one)] for one in some]


@pytest.mark.data
def test_all_click_outs_of_the_public_slice_but_one_can_be_used(data_dir: Path) -> None:
    shown = read_shown(data_dir / "trivago-100k")
    assert (len(shown), len(shown.events)) == (13_597 - 1, 100_003)
    assert sum(shown.set_aside.values()) == 1


def test_files_are_read_as_tables_in_memory_are(tmp_path: Path) -> None:
    lists = LONG.rename({"device": "order"}).drop("colour").with_columns(session=pl.lit("s"))
    events = pl.DataFrame({"user": ["u"], "session": ["s"], "item": ["a"], "time": [1500], "event": ["view"]})
    lists.write_csv(tmp_path / "lists.csv")
    lists.write_parquet(tmp_path / "lists.parquet")
    lists.write_ndjson(tmp_path / "lists.jsonl")
    events.write_csv(tmp_path / "events.csv")
    wanted = read_shown(lists, events, columns=NAMES)
    for name in ("lists.csv", "lists.parquet", "lists.jsonl"):
        found = read_shown(tmp_path / name, tmp_path / "events.csv", columns=NAMES)
        assert listed(found) == listed(wanted) == [["a", "b"], ["a", "c"]]
        assert found.chosen.tolist() == wanted.chosen.tolist()
        assert np.array_equal(found.score, wanted.score, equal_nan=True)
        assert found.at.tolist() == [1_000_000_000, 2_000_000_000]
        assert [before(found, place) for place in range(2)] == [[], [("a", "view")]]
        assert found.context["order"].to_list() == ["tv", "tv"]


SHORT = {"list": [1, 1, 2, 2], "item": ["b", "a", "b", "a"], "chosen": [0, 1, 1, 0]}


def test_context_may_be_called_as_it_likes() -> None:
    names = ["row", "first", "key", "at", "begins", "group", "starts", "ends", "list_number", "kind", "odd"]
    table = pl.DataFrame(SHORT | {name: ["x", "x", "y", "y"] for name in names} | {"tags": [["x"]] * 4})
    shown = read_shown(table)
    assert listed(shown) == [["b", "a"], ["b", "a"]]
    assert {name: column.to_list() for name, column in shown.context.items()} == {
        name: ["x", "y"] for name in names
    }


@pytest.mark.parametrize("nothing", [None, ""])
def test_candidates_without_a_list_are_no_list(nothing: str | None) -> None:
    table = pl.DataFrame(
        {"list": [nothing, nothing, "1", "1"], "item": ["c", "d", "b", "a"], "chosen": [1, 0, 0, 1]}
    )
    shown = read_shown(table)
    assert listed(shown) == [["b", "a"]]
    assert shown.set_aside == {"candidates without a list": 2}


def test_a_list_stays_whole_or_is_set_aside() -> None:
    def read(users: list[str | None]) -> Shown:
        return read_shown(pl.DataFrame(SHORT | {"user": users}))

    assert listed(read(["u", None, "v", "v"])) == [["b", "a"], ["b", "a"]]
    assert len(np.unique(read(["u", "u", "v", ""]).groups)) == 2
    assert read(["", "", "v", "v"]).set_aside == {"candidates of lists without a user": 2}
    assert read(["u", "w", "v", "v"]).set_aside == {"candidates of lists with more than one user": 2}


def test_times_of_lists_that_cannot_be_read_are_told() -> None:
    days = ["2024-01-01", None, "2024-13-02", "2024-13-02"]
    shown = read_shown(pl.DataFrame(SHORT | {"time": days}))
    assert shown.set_aside == {"times that cannot be read (unknown)": 2}
    assert (shown.at == MISSING_TIME).tolist() == [False, True]
