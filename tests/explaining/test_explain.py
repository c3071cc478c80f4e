"""Explanations name events of the history, say how the parts relate to the score, and what would be without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from ensue.catalogue import Catalogue
from ensue.errors import QueryError
from ensue.events.log import EventLog
from ensue.explaining import explain, explain_items
from ensue.explaining.attribution import occluded
from ensue.explaining.leaving_out import Ranking, left, without_one
from ensue.model import fit
from ensue.questions import Question
from ensue.ranking import Parts, Recommender, Scores
from ensue.sequences import Queries

NOBODY = np.zeros(0, dtype=np.int32)
Score = Callable[[set[str]], float]


@dataclass(frozen=True, eq=False)
class Planted:
    """The first item of the catalogue is worth what a function says of the history, the second 1, all others 0."""

    ids: tuple[str, ...]
    worth: Score

    def score(self, queries: Queries) -> Scores:
        scores = np.zeros((len(queries), queries.n_items))
        scores[:, 1] = 1.0
        for row in range(len(queries)):
            held = {self.ids[item] for item in queries.items[queries.starts[row] : queries.ends[row]]}
            scores[row, 0] = self.worth(held)
        return scores

    def parts(self) -> Parts:
        return Parts()


def planted(worth: Score, ids: str = "xyabc", counts: tuple[int, ...] = (5, 4, 3, 2, 1)) -> Recommender:
    features = pl.DataFrame({"item": list(ids), "title": [None if i == "b" else i.upper() for i in ids]})
    catalogue = Catalogue(pl.Series("item", list(ids)), np.array(counts), features)
    return Recommender(catalogue, Planted(tuple(ids), worth), "planted")


def additive(held: set[str]) -> float:
    return 0.25 + 2.0 * ("a" in held) + 0.5 * ("b" in held) - 1.0 * ("c" in held)


# ------------------------------------------------------------------------------------- leaving events out


def test_what_is_known_of_the_other_events_stays_beside_them() -> None:
    queries = Queries(
        np.array([0, 1, 2, 3, 4], dtype=np.int32),
        np.array([0, 1]),
        np.array([3, 5]),
        9,
        time=np.array([10, 11, 12, 13, 14]),
        rating=np.array([0.5, 1.5, 2.5, 3.5, 4.5], dtype=np.float32),
        at=np.array([99, 98]),
        users=pl.Series("user", ["u", "v"]),
        context={"city": pl.Series("city", list("pqrst"))},
    )
    gone = np.array(
        [False, True, False, True, False, False, True]
    )  # the second of three, first and last of four
    kept = left(queries, gone)
    assert (kept.items.tolist(), kept.starts.tolist(), kept.ends.tolist()) == ([0, 2, 2, 3], [0, 2], [2, 4])
    assert kept.time is not None
    assert kept.rating is not None
    assert kept.at is not None
    assert kept.users is not None
    assert kept.time.tolist() == [10, 12, 12, 13]
    assert kept.rating.tolist() == [0.5, 2.5, 2.5, 3.5]
    assert kept.context["city"].to_list() == ["p", "r", "r", "s"]
    assert (kept.at.tolist(), kept.users.to_list()) == ([99, 98], ["u", "v"])


def test_each_variant_lacks_its_one_event() -> None:
    queries = Queries.of([[0, 1, 2], [3, 4]], 9)
    asked = without_one(queries, np.array([1, 0, 0]), np.array([0, 2, 1]))
    found = [asked.items[begin:end].tolist() for begin, end in zip(asked.starts, asked.ends, strict=True)]
    assert found == [[4], [0, 1], [0, 2]]


def test_a_history_that_loses_all_is_empty_and_answered_by_popularity() -> None:
    ranking = Ranking(planted(additive), exclude_seen=False, excluded=NOBODY)
    queries = Queries.of([[2]], 5)
    scores, places = ranking.standing(
        left(queries, np.array([True])), queries, np.array([[0, 4]], dtype=np.int32)
    )
    assert scores.tolist() == [[5 / 15, 1 / 15]]
    assert places.tolist() == [[1, 5]]


def test_places_are_those_of_the_slate_ties_and_exclusions_included() -> None:
    recommender = planted(additive)
    queries = Queries.of([recommender.catalogue.encode(["a", "c"])], 5)
    every = np.arange(5, dtype=np.int32)[None, :]
    for seen, excluded in ((False, []), (True, []), (True, ["y"])):
        codes = recommender.catalogue.encode(excluded)
        _, places = Ranking(recommender, seen, codes).standing(queries, queries, every)
        slate = recommender.recommend(["a", "c"], 9, exclude=excluded, exclude_seen=seen)
        listed = {item: place for place, item in enumerate(slate.items, 1)}
        found = dict(zip("xyabc", places[0].tolist(), strict=True))
        assert {item: found[item] for item in listed} == listed


# --------------------------------------------------------------------------------------------- occlusion


def test_a_part_is_what_the_score_loses_and_harmful_events_are_no_reasons() -> None:
    found = explain(planted(additive), ["a", "?", "b", "c"], "x", 1)
    assert found.score == 0.25 + 2.0 + 0.5 - 1.0
    assert [(reason.event, reason.item, reason.title, reason.part) for reason in found.reasons] == [
        (0, "a", "A", 2.0),
        (2, "b", None, 0.5),
    ]
    assert [reason.place_without for reason in found.reasons] == [2, 1], (
        "-0.25 is below y, the only other candidate"
    )
    assert (found.adds_up, found.base, found.others) == (False, None, None)
    assert any("do not add up" in line for line in found.lines())


def test_only_the_newest_events_are_tried_and_it_is_said() -> None:
    recommender = planted(lambda held: 1.0 * ("a" in held))
    queries = Queries.of([recommender.catalogue.encode(["a", "b", "c"])], 5)
    ranking = Ranking(recommender, exclude_seen=False, excluded=NOBODY)
    some = occluded(ranking, queries, np.array([[0]], dtype=np.int32), most=2)
    assert some.parts[:, 0].tolist() == [0.0, 0.0, 0.0]
    assert occluded(ranking, queries, np.array([[0]], dtype=np.int32)).parts[:, 0].tolist() == [1.0, 0.0, 0.0]
    long = explain(recommender, ["a"] + ["b"] * 250, "x")
    assert not long.reasons
    assert "only the newest 200 of 251 events were left out in turn" in long.notes


def test_several_histories_are_occluded_as_each_alone() -> None:
    recommender = planted(additive)
    ranking = Ranking(recommender, exclude_seen=True, excluded=NOBODY)
    histories = [recommender.catalogue.encode(list(text)) for text in ("abc", "ba", "c", "cab")]
    items = np.array([[0, 1], [0, 2], [4, 0], [3, 3]], dtype=np.int32)
    together = occluded(ranking, Queries.of(histories, 5), items)
    assert together.places is not None
    begin = 0
    for row, history in enumerate(histories):
        alone = occluded(ranking, Queries.of([history], 5), items[row : row + 1])
        end = begin + len(history)
        np.testing.assert_array_equal(together.parts[begin:end], alone.parts)
        assert alone.places is not None
        np.testing.assert_array_equal(together.places[begin:end], alone.places)
        begin = end


# ----------------------------------------------------------------------------------------- exact parts


def test_rules_by_hand() -> None:
    """b follows a once at distance 1, c at 2; a weighs 0.7 of b's most recent event."""
    rows = [("u", item, step) for step, item in enumerate("abc")]
    log = EventLog.of(pl.DataFrame(rows, schema=["user", "item", "order"], orient="row").drop("order"))
    recommender = fit("rules", log)
    found = explain(recommender, ["a", "b"], "c")
    after_a, after_b = (1 / 2) / (1 + 1 / 2), 1.0
    assert [reason.item for reason in found.reasons] == ["b", "a"]
    assert [reason.part for reason in found.reasons] == pytest.approx([after_b, 0.7 * after_a])
    assert found.base == pytest.approx(1e-9 / 3)
    assert found.others == 0
    assert found.score == recommender.recommend(["a", "b"], 1).scores[0]


def test_what_few_reasons_leave_is_told_so_that_it_adds_up(ring_log: EventLog) -> None:
    found = explain(fit("rules", ring_log, exclude_seen=False), list("ABCDEFG"), "H", most=2)
    assert len(found.reasons) == 2
    assert found.adds_up
    assert found.base is not None
    assert found.others is not None
    assert found.others > 0
    assert found.base + found.others + sum(reason.part for reason in found.reasons) == pytest.approx(
        found.score, abs=1e-12
    )
    assert "  the parts add up to the score" in found.lines()


def test_items_of_a_slate_are_explained_together_as_one_by_one(ring_log: EventLog) -> None:
    for recommender in (fit("markov", ring_log, order=2), planted(additive, "xyABC")):
        history = Question(["A", "B", "C"], at=datetime(2024, 1, 1, tzinfo=UTC))
        items = recommender.recommend(history, 5).items
        together = explain_items(recommender, history, items, 3)
        assert together == [explain(recommender, history, item, 3) for item in items]
        assert [one.place for one in together] == [1, 2, 3, 4, 5][: len(items)]


# ------------------------------------------------------------------------------ what would be without them


def test_one_event_that_decides_is_named_with_what_would_be_instead() -> None:
    found = explain(planted(additive), ["b", "a"], "x", 1).without
    assert found is not None
    assert (found.events, found.items) == ((1,), ("a",))
    assert (found.place, found.instead, found.title) == (2, "y", "Y"), "0.75 is below the 1 of y"
    assert (
        "  without A (a) it would be: Y (y) (x at place 2)"
        in explain(planted(additive), ["b", "a"], "x", 1).lines()
    )


def test_events_that_are_not_needed_are_put_back() -> None:
    """a has the largest part, but b and c are what it takes: either of them is worth 10."""

    def worth(held: set[str]) -> float:
        return (5 * ("a" in held) + ("b" in held) + ("c" in held) + 10 * bool({"b", "c"} & held)) / 7.5

    found = explain(planted(worth, "xyabcd", (5, 4, 3, 2, 1, 1)), ["a", "b", "d", "c"], "x", 1)
    assert [reason.item for reason in found.reasons] == ["a", "c", "b"]
    assert found.without is not None
    assert (found.without.items, found.without.titles) == (("b", "c"), (None, "C"))


def test_nothing_is_said_to_keep_an_item_out_that_is_out_or_cannot_be_moved() -> None:
    recommender = planted(additive)
    assert explain(recommender, ["a"], "y", 1).without is None, "it is not in the list"
    assert explain(recommender, ["a"], "y", 2).without is None, "no event raises it"
    assert explain(recommender, ["a", "b"], "x", 5).without is None, "the list holds everything"


def test_items_of_the_history_stay_out_when_their_events_are_taken_out() -> None:
    """Without "y" in the history y would lead, but an answer to this person holds it as little as before."""
    recommender = planted(lambda held: 0.5 * ("a" in held) - 0.1, counts=(1, 5, 1, 1, 1))
    found = explain(recommender, ["a", "y"], "x", 1).without
    assert found is not None
    assert found.instead == "b", "a and y are in the history, and of the rest it is the first"


# ---------------------------------------------------------------------- fallback, popularity, faults


@pytest.mark.parametrize("history", [[], ["?"]])
def test_a_fallback_has_no_reasons(history: list[str]) -> None:
    found = explain(planted(additive), history, "y")
    assert (found.method, found.reasons, found.without) == ("fallback", (), None)
    assert found.score == 4 / 15
    assert any(line.strip().startswith("popular items") for line in found.lines())


def test_popularity_is_said_to_be_popularity(ring_log: EventLog) -> None:
    found = explain(fit("popular", ring_log), ["A"], "C")
    assert (found.method, found.reasons, found.base) == ("popular items", (), found.score)
    unmoved = explain(fit("markov", ring_log), ["A"], "H")
    assert unmoved.method == "popular items", "nothing of the history has led to it"


def test_an_item_of_the_history_is_said_to_be_one() -> None:
    assert (
        "it is in the history, whose items are left out of answers"
        in explain(planted(additive), ["a"], "a").notes
    )


def test_the_only_event_is_compared_with_popularity_and_it_is_said() -> None:
    found = explain(planted(additive), ["a"], "x")
    assert found.reasons[0].part == 2.25 - 5 / 15
    assert any("on another scale" in note for note in found.notes)


def test_an_unknown_item_is_refused() -> None:
    with pytest.raises(QueryError, match="knows no item 'ZZZ'"):
        explain(planted(additive), ["a"], "ZZZ")
    assert explain_items(planted(additive), ["a"], []) == []


def test_what_programs_get_is_what_was_found() -> None:
    found = explain(planted(additive), ["b", "a"], "x", 1)
    plain = found.to_json()
    assert (plain["item"], plain["title"], plain["place"], plain["adds_up"]) == ("x", "X", 1, False)
    assert plain["reasons"][0] == {"event": 1, "item": "a", "title": "A", "part": 2.0, "place_without": 2}
    assert "title" not in plain["reasons"][1]
    assert plain["without"] == {"events": [1], "items": ["a"], "place": 2, "instead": "y", "title": "Y"}
