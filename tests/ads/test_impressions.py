"""Impressions of a log: what is clicked, what is refused, how they are parted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.ads.conftest import log_of

from ensue import read
from ensue.ads import Impressions, impressions_of
from ensue.errors import ColumnError, DataError
from ensue.events.log import EventLog

SHOWN = [("u", "a", 10, "impression"), ("v", "b", 5, "click"), ("u", "a", 20, "click")]


def test_each_row_is_a_showing_with_its_outcome_oldest_first() -> None:
    found = impressions_of(
        log_of(SHOWN, campaign=["x", "y", "x"], bid=["0.5", "2", "0.5"], place=["1", "2", "1"])
    )
    assert found.frame.select("user", "ad", "time", "clicked", "bid", "campaign").rows() == [
        ("v", "b", 5_000_000, True, 2.0, "y"),
        ("u", "a", 10_000_000, False, 0.5, "x"),
        ("u", "a", 20_000_000, True, 0.5, "x"),
    ]
    assert found.features == ("place",)
    assert (found.timed, found.people, found.ads) == (True, True, True)
    assert found.frame["clicked_at"].to_list() == [5_000_000, None, 20_000_000]
    assert found.known_ads().rows() == [("a", "x", 0.5), ("b", "y", 2.0)]


def test_clicks_of_their_own_belong_to_the_last_showing_before_them() -> None:
    rows = [
        ("u", "a", 1, "impression"),
        ("u", "a", 2, "impression"),
        ("u", "a", 3, "click"),
        ("u", "a", 4, "click"),  # the same showing again
        ("u", "b", 5, "click"),  # never shown
        ("u", "b", 6, "impression"),
        ("v", "a", 7, "impression"),
        ("u", "a", 8, "click"),  # still that of 2
    ]
    found = impressions_of(log_of(rows), separate=True)
    assert found.frame.select("user", "ad", "time", "clicked", "clicked_at").rows() == [
        ("u", "a", 1_000_000, False, None),
        ("u", "a", 2_000_000, True, 3_000_000),
        ("u", "b", 6_000_000, False, None),
        ("v", "a", 7_000_000, False, None),
    ]
    assert found.notes[0].startswith("3 clicks belong to no showing")


def test_other_types_and_impossible_numbers_are_refused() -> None:
    with pytest.raises(DataError, match=r"'view' are neither clicks \(click, 1\) nor showings"):
        impressions_of(log_of([*SHOWN, ("u", "a", 1, "view")]))
    with pytest.raises(ColumnError, match="does not say what was clicked"):
        impressions_of(EventLog.of(pl.DataFrame({"user": ["u"], "item": ["a"]})))
    for name, values, match in (
        ("propensity", [0.5, 0.0, 1.0], "1 of 3 values of propensity are not above 0 and at most 1"),
        ("propensity", [0.5, 1.5, 1.0], "1 of 3 values of propensity"),
        ("bid", [1.0, -1.0, 0.0], "1 of 3 values of bid are not 0 or more"),
    ):
        with pytest.raises(DataError, match=match):
            impressions_of(log_of(SHOWN, **{name: list(values)}))
    with pytest.raises(ColumnError, match="1 of 3 values of 'bid' are no bid"):
        impressions_of(log_of(SHOWN, bid=["1", "x", "2"]))
    with pytest.raises(ColumnError, match="no column 'price' for bid"):
        impressions_of(log_of(SHOWN), columns={"bid": "price"})


def test_columns_may_have_other_names() -> None:
    found = impressions_of(
        log_of(SHOWN, price=["1", "2", "3"], chance=["0.1", "0.2", "0.3"]),
        columns={"bid": "price", "propensity": "chance"},
    )
    assert found.frame.select("bid", "propensity").rows() == [(2.0, 0.2), (1.0, 0.1), (3.0, 0.3)]
    assert found.features == ()


def test_nobody_is_known_where_everybody_is_seen_once() -> None:
    found = impressions_of(log_of([("u", "a", 1, "0"), ("v", "b", 2, "1")]))
    assert (found.people, found.ads) == (False, False)
    assert found.groups.tolist() == [0, 1]
    assert "nobody is known" in found.notes[0]
    both = impressions_of(log_of(SHOWN))
    assert both.groups.tolist() == [1, 0, 0]


def test_what_happens_at_the_cut_is_in_the_later_part() -> None:
    rows = [("u", "a", time, "0") for time in (1, 2, 2, 2, 3, 3, 3, 4)]
    first, second = impressions_of(log_of(rows)).parted(0.5)  # the fifth of eight is at 3
    assert first.frame["time"].to_list() == [1_000_000, *[2_000_000] * 3]
    assert second.frame["time"].to_list() == [*[3_000_000] * 3, 4_000_000]
    with pytest.raises(DataError, match="cannot be parted by time"):
        impressions_of(log_of([("u", "a", 1, "0"), ("u", "b", 1, "1")])).parted(0.5)


def test_a_click_after_the_cut_is_not_known_before_it() -> None:
    rows = [("u", "a", 1, "impression"), ("u", "b", 2, "impression"), ("u", "c", 5, "impression")]
    clicks = [("u", "a", 3, "click"), ("u", "b", 5, "click"), ("u", "c", 9, "click")]
    whole = impressions_of(log_of([*rows, *clicks]), separate=True)
    first, second = whole.parted(0.3)  # cut at 5
    assert first.frame.select("ad", "clicked", "clicked_at").rows() == [
        ("a", True, 3_000_000),
        ("b", False, None),
    ]
    assert second.frame.select("ad", "clicked", "clicked_at").rows() == [("c", True, 9_000_000)]
    assert whole.clicked.tolist() == [True, True, True]


def test_copies_are_told_of_and_left_out_if_wanted() -> None:
    twice = [*SHOWN, SHOWN[0]]
    assert "1 of 4 impressions repeat an earlier one" in impressions_of(log_of(twice)).notes[0]
    found = impressions_of(log_of(twice), distinct=True)
    assert len(found) == 3
    assert "1 impressions that repeat" in found.notes[0]
    untimed = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "a"], "event": ["0", "0"]}))
    assert len(impressions_of(untimed, distinct=True)) == 1


def test_what_is_known_of_ads_stands_beside_them() -> None:
    log = log_of(SHOWN, colour=["1", "2", "3"])
    items = pl.DataFrame({"item": ["a", "b"], "title": ["A", "B"], "size": [1.0, 2.0], "colour": ["x", "y"]})
    found = impressions_of(replace(log, items=items))
    assert found.of_ads == ("size",)  # what the log has itself is not replaced
    assert found.frame["size"].to_list() == [2.0, 1.0, 1.0]
    assert found.known_ads().rows() == [("a", 1.0), ("b", 2.0)]


def test_a_mask_keeps_the_facts_of_the_log(impressions: Impressions) -> None:
    some = impressions.where(np.arange(len(impressions)) < 3)
    assert len(some) == 3
    assert (some.people, some.timed) == (True, True)


def test_clicks_of_their_own_are_joined_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    rows = [("u", "a", 1, "impression"), ("u", "a", 1, "impression"), ("u", "a", 1, "click")]
    found = impressions_of(log_of(rows, showing=["1", "2", "3"]), separate=True)
    assert found.frame.select("showing", "clicked").rows() == [
        ("1", False),
        ("2", True),
    ]  # the last of the two
    assert not recwarn.list


def test_a_log_of_an_order_alone_is_read_in_it() -> None:
    frame = pl.DataFrame(
        {
            "user": ["u", "v", "u", "v"],
            "item": ["a", "b", "c", "d"],
            "event": ["0", "1", "1", "0"],
            "order": [2, 1, 1, 2],
        }
    )
    found = impressions_of(EventLog.of(frame))
    assert found.frame.select("user", "ad", "time").rows() == [
        ("u", "c", 0),
        ("v", "b", 1),
        ("u", "a", 2),
        ("v", "d", 3),
    ]


@pytest.mark.parametrize("separate", [False, True])
def test_columns_named_as_those_of_impressions_are_not_read(separate: bool) -> None:
    more = {"ad": "xyz", "clicked": "010", "clicked_at": "123", "propensity_score": "abc", "campaign": "pqr"}
    found = impressions_of(
        log_of(SHOWN, **more, brand="jkl", propensity=[0.1, 0.2, 0.3]),
        columns={"campaign": "brand"},
        separate=separate,
    )
    assert found.features == ()
    assert found.frame["ad"].to_list() == (["a"] if separate else ["b", "a", "a"])
    assert found.frame["campaign"].to_list() == (["j"] if separate else ["k", "j", "l"])
    assert found.notes[0].endswith("of these names: ad, clicked, clicked_at, propensity_score, campaign")


def test_clicks_of_their_own_need_no_bid() -> None:
    rows = [("u", "a", 1, "impression"), ("u", "a", 2, "click")]
    assert impressions_of(log_of(rows, bid=["2", ""]), separate=True).frame["bid"].to_list() == [2.0]
    with pytest.raises(ColumnError, match="1 of 1 values of 'bid' are no bid"):
        impressions_of(log_of(rows, bid=["", "2"]), separate=True)


def test_campaigns_and_bids_may_stand_beside_the_log() -> None:
    items = pl.DataFrame({"item": ["a", "b"], "campaign": [1, 2], "bid": ["0.5", "2"], "propensity": [7, 8]})
    found = impressions_of(replace(log_of(SHOWN), items=items))
    assert found.of_ads == ()
    assert found.features == ()
    assert found.known_ads().rows() == [("a", "1", 0.5), ("b", "2", 2.0)]
    with pytest.raises(ColumnError, match="2 of 3 values of 'bid' are no bid"):
        impressions_of(replace(log_of(SHOWN), items=items.with_columns(bid=pl.Series(["x", "2"]))))


def test_the_position_of_an_ad_is_a_feature_where_times_order_the_log(tmp_path: Path) -> None:
    path = tmp_path / "ads.csv"
    path.write_text("user,item,time,event,position\nu,a,2024-01-02,0,1\nu,b,2024-01-01,1,2\n")
    found = impressions_of(read(path))
    assert found.frame.select("ad", "position").rows() == [("b", 2), ("a", 1)]
    assert found.features == ("position",)
    untimed = impressions_of(read(path, columns={"time": ""}))
    assert "position" not in untimed.features  # there it is the order
