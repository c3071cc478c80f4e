"""Sessions, filters and returns in the logs of users: c26, c29, c31, c35 and c87, rebuilt, and others of their kind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from ensue import read
from ensue.catalogue import Catalogue
from ensue.cli import call
from ensue.errors import DataError
from ensue.events.cleaning import Cleaning
from ensue.events.filtering import Filters
from ensue.events.log import EventLog
from ensue.events.sessions.rule import Sessions
from ensue.model import fit
from ensue.splits import at_times, ratio


def write(folder: Path, header: str, rows: Sequence[tuple[object, ...]]) -> Path:
    path = folder / "events.csv"
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


def sessions(log: EventLog) -> list[list[str]]:
    grouped = log.frame.group_by("session", maintain_order=True).agg("item")
    return grouped["item"].to_list()


START = 1_500_000_000
VISITS: list[tuple[object, ...]] = [
    *(("a", "three", START + 1200), ("a", "one", START), ("a", "two", START + 600)),
    *(("a", "four", START + 1801), ("a", "five", START + 1801)),
    *(("b", "then", START), ("b", "years later", START + 10 * 365 * 86_400)),
    ("c", "alone", START + 3),
]


def test_c26_every_rule_cuts_after_sorting_and_between_neighbours_in_time(tmp_path: Path) -> None:
    log = read(write(tmp_path, "user_id,item_id,timestamp", VISITS))
    own = [["one", "two", "three"], ["four", "five"]]
    others = [["then"], ["years later"], ["alone"]]
    for rule, expected in (
        (Sessions(gap=600), [*own, *others]),
        (Sessions(calendar="day"), [[*own[0], *own[1]], *others]),
        (Sessions(max_events=3), [*own, ["then", "years later"], ["alone"]]),
        (Sessions(max_seconds=1200), [*own, *others]),
        (Sessions(max_seconds=1199), [["one", "two"], ["three", "four", "five"], *others]),
        (Sessions(starts={"item": ("four",)}), [*own, ["then", "years later"], ["alone"]]),
    ):
        assert sessions(rule.apply(log)) == expected, rule
    note = Sessions(gap=600).apply(log).reading.notes[-1]
    assert "without an event of the user: 5, 3 of them with one event" in note
    kept = Sessions(gap=600, min_events=2).apply(log)
    assert sessions(kept) == own
    assert kept.reading.set_aside == {"in a session of fewer than 2 events": 3}


SPARSE = [(f"u{n % 6}", f"i{n}", 100 + n) for n in range(12)]
"""6 users with 2 events each, every item seen once."""


@pytest.mark.parametrize("verb", ["train", "prepare", "audit", "run"])
def test_c29_a_filter_that_leaves_nothing_stops_before_anything_is_written(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path, "user_id,item_id,timestamp", SPARSE), tmp_path / "out"
    words = {
        "train": ["train", path, "--model", "popular", "--out", out],
        "prepare": ["data", "prepare", path, out, "--split", "none"],
        "audit": ["data", "audit", path],
        "run": ["run", path, "--models", "popular", "--split", "last", "--out", out],
    }
    assert call([*map(str, words[verb]), "--min-item-events", "5"]) == 2
    # a run is fitted on its training part only: each user's last event is kept apart to test on
    before = 12 - 6 if verb == "run" else 12
    said = capsys.readouterr().err
    assert f"The filter min_item_events = 5 leaves nothing: {before} events before, 0 after." in said
    assert "The largest min_item_events that keeps data is 1." in said
    assert not out.exists()
    assert call([*map(str, words["audit"]), "--min-item-events", "1"]) == 0


def test_c29_sessions_and_conditions_that_leave_nothing_stop_as_well(tmp_path: Path) -> None:
    log = read(write(tmp_path, "user_id,item_id,timestamp", SPARSE))
    with pytest.raises(
        DataError, match=r"12 events before, 0 after\. The largest value that keeps data is 2\."
    ):
        Sessions(gap=100, min_events=5).apply(log)
    with pytest.raises(DataError, match="until = 1969-01-01 leaves nothing: 12 events before, 0 after"):
        Filters(until="1969-01-01").apply(log)


def test_c31_an_event_at_the_cut_is_no_part_of_the_fit(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [
        *(("a", "x", 49), ("a", "y", 50), ("a", "x", 51), ("b", "y", 50), ("b", "y", 50)),
        *(("c", "x", 48), ("c", "z", 50), ("d", "w", 51)),
    ]
    log = read(write(tmp_path, "user_id,item_id,timestamp", rows))
    parts = at_times(log, 50e6)
    fitted = Filters(min_item_events=2).fit(parts.train)
    assert fitted.steps[0].before[0] == 2
    assert fitted.items is not None
    assert fitted.items.to_list() == ["x"], "y has three events, all at the cut"
    assert sum(parts.sizes.values()) == len(rows)


LENGTHS = (1, 2, 3, 4, 5, 10)


def short_and_long(folder: Path) -> EventLog:
    rows = [(f"n{n:02}", "ABCDEFGHIJ"[k], 100 * n + k) for n in LENGTHS for k in range(n)]
    return read(write(folder, "user_id,item_id,timestamp", rows))


def test_c35_users_too_short_for_a_filter_are_still_answered_and_in_one_part(tmp_path: Path) -> None:
    log = short_and_long(tmp_path)
    parts = ratio(log)
    assert sum(parts.sizes.values()) == sum(LENGTHS)
    fitted = Filters(min_user_events=4).fit(parts.train)
    kept = fitted.learnt_from(parts.train)
    assert kept.frame["user"].unique().sort().to_list() == ["n04", "n05", "n10"]
    assert kept.n_events == 4 + 5 + 8
    recommender = fit("markov", kept, exclude_seen=False)
    histories = log.frame.group_by("user", maintain_order=True).agg("item")["item"].to_list()
    assert [len(slate.items) > 0 for slate in recommender.recommend_many(histories, 3)] == [True] * len(
        LENGTHS
    )
    assert len(parts.examples("test", Catalogue.fit(kept))) == 1


def test_c35_sessions_too_short_are_set_aside_counted_and_never_put_together(tmp_path: Path) -> None:
    cut = Sessions(gap=50, min_events=3).apply(short_and_long(tmp_path))
    assert [len(items) for items in sessions(cut)] == [n for n in LENGTHS if n >= 3]
    assert cut.reading.set_aside == {"in a session of fewer than 3 events": 1 + 2}
    assert cut.reading.rows_read == cut.reading.rows_kept + 1 + 2


LINES: list[tuple[object, ...]] = [
    *(("k1", "b1", "tea", 1, 10), ("k1", "b1", "cup", 2, 10)),
    ("k1", "b2", "tea", 1, 20),
    *(("k1", "b3", "jam", 1, 30), ("k1", "b3", "cup", 1, 30)),
    ("k2", "b1", "jam", 1, 15),
    *(("k3", "b1", "tea", 1, 5), ("k3", "b2", "tea", 1, 25), ("k3", "b2", "jam", 3, 25)),
]


def baskets(log: EventLog) -> dict[tuple[str, str], list[str]]:
    grouped = log.frame.group_by("user", "basket", maintain_order=True).agg("item")
    return {(user, basket): sorted(items) for user, basket, items in grouped.iter_rows()}


def test_c87_baskets_are_never_empty_and_hold_no_marks(tmp_path: Path) -> None:
    header = "user_id,basket_id,item_id,quantity,timestamp"
    whole = read(write(tmp_path, header, LINES))
    assert len(baskets(whole)) == 6
    assert set(whole.frame["item"]) == {"tea", "cup", "jam"}
    # k1 brings the tea of b2 back, and one cup more than b3 has: it is one of the two of b1. k3 brings 1 jam of 3 back.
    back: list[tuple[object, ...]] = [
        *(("k1", "r1", "tea", -1, 40), ("k1", "r1", "cup", -2, 40), ("k3", "r1", "jam", -1, 40)),
        ("k2", "r1", "cup", -1, 40),
    ]
    log = read(write(tmp_path, header, [*LINES, *back]))
    clean = Cleaning(returns="cancel").apply(log)
    assert baskets(clean) == {
        ("k1", "b1"): ["cup", "tea"], ("k1", "b3"): ["jam"],
        ("k2", "b1"): ["jam"], ("k3", "b1"): ["tea"], ("k3", "b2"): ["jam", "tea"],
    }  # fmt: skip
    left = {
        (u, b, i): q for u, b, i, q in clean.frame.select("user", "basket", "item", "quantity").iter_rows()
    }
    assert left["k1", "b1", "cup"] == 2 - (2 - 1)
    assert left["k3", "b2", "jam"] == 3 - 1
    assert clean.reading.set_aside == {"return": 4, "purchase that was returned": 2}
    assert "1 returns have no earlier purchase" in clean.reading.notes[-2], "k2 never had a cup"
    assert len(baskets(Cleaning(returns="drop").apply(log))) == 6
    assert len(baskets(Cleaning().apply(log))) == 6 + 3, (
        "the default leaves baskets of returns, and counts them"
    )
    assert "4 returns" in Cleaning().apply(log).reading.notes[-1]


def test_what_is_set_aside_is_in_the_account_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "user_id,item_id,timestamp", [*VISITS, VISITS[0]])
    words = [
        "data",
        "audit",
        str(path),
        "--sessions",
        "gap:600",
        "--min-session",
        "2",
        "--duplicates",
        "first",
        "--json",
    ]
    assert call(words) == 0
    reading = json.loads(capsys.readouterr().out)["reading"]
    assert reading["set_aside"] == {
        "exact duplicate of an earlier event": 1, "in a session of fewer than 2 events": 3,
    }  # fmt: skip
    assert reading["rows_read"] == reading["rows_kept"] + 4
    assert pl.DataFrame(VISITS, orient="row").height + 1 == reading["rows_read"]
