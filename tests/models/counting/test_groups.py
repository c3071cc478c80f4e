"""Popularity by category and by segment against a plain reading of their definitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue.errors import ArtifactError, ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting.popular import Popular
from ensue.ranking import Parts, Recommender
from ensue.sequences import Queries

GENRES = {"a": "war|love", "b": "love", "c": "war", "d": None, "e": ""}


def training_of(items: str, genres: Any = GENRES, column: str = "genre") -> Training:
    known = pl.DataFrame({"item": list(genres), column: list(genres.values())}, strict=False)
    return Training.of(EventLog.of(pl.DataFrame({"user": ["u"] * len(items), "item": list(items)}), known))


def scores_of(recommender: Recommender, history: str, **more: Any) -> dict[str, float]:
    codes = recommender.catalogue.encode(list(history))
    queries = replace(Queries.of([codes], len(recommender.catalogue)), **more)
    return dict(zip(recommender.catalogue.ids, recommender.scores(queries)[0].tolist(), strict=True))


def test_categories_by_hand() -> None:
    """10 events: a 4, b 2, c 2, d and e 1 each. a is half war, half love; d and e are of no named category."""
    recommender = Popular(category="genre").fit(training_of("aaaabbccde"))
    war, love, none = 4 / 2 + 2, 4 / 2 + 2, 2  # tenths of all events
    history = "bba"  # 2.5 events of love, 0.5 of war
    p_war, p_love, p_none = (0.5 + war / 10) / 4, (2.5 + love / 10) / 4, (0 + none / 10) / 4
    assert scores_of(recommender, history) == pytest.approx(
        {
            "a": p_war * 2 / war + p_love * 2 / love,
            "b": p_love * 2 / love,
            "c": p_war * 2 / war,
            "d": p_none * 1 / none,
            "e": p_none * 1 / none,
        }
    )
    assert sum(scores_of(recommender, history).values()) == pytest.approx(1.0)


def test_the_history_decides_and_all_of_it() -> None:
    recommender = Popular(category="genre").fit(training_of("aaaabbccde"))
    loving, warring = (scores_of(recommender, history) for history in ("bbbbcc", "ccccbb"))
    assert loving["b"] > loving["c"]
    assert warring["c"] > warring["b"]
    assert scores_of(recommender, "b" + "c" * 30) != scores_of(recommender, "c" * 30)


@pytest.mark.parametrize(
    "genres",
    [
        {"a": ["war", "love"], "b": ["love"], "c": ["war"], "d": None, "e": []},
        {"a": " love |war|war", "b": "love ", "c": "war|", "d": "", "e": " | "},
    ],
)
def test_lists_and_untidy_texts_are_the_same_categories(genres: dict[str, Any]) -> None:
    tidy, other = (Popular(category="genre").fit(training_of("aaaabbccde", of)) for of in (GENRES, genres))
    for history in ("a", "bd", "ccce"):
        assert scores_of(other, history) == pytest.approx(scores_of(tidy, history))


def test_numbers_are_categories_too() -> None:
    years = {"a": 1990, "b": 2000, "c": 1990, "d": 2000, "e": None}
    found = scores_of(Popular(category="genre").fit(training_of("abcde", years)), "a")
    assert found["a"] == found["c"] > found["b"] == found["d"]


def test_one_category_for_all_is_plain_popularity() -> None:
    training = training_of("aaaabbccde", dict.fromkeys("abcde", "all"))
    found, plain = (scores_of(model.fit(training), "c") for model in (Popular(category="genre"), Popular()))
    assert found == pytest.approx(plain)


def test_a_log_without_a_table_of_items_has_no_categories() -> None:
    log = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "b"]}))
    with pytest.raises(ModelError, match="category='genre' needs a table of items, and this log has none"):
        Popular(category="genre").fit(Training.of(log))


@pytest.mark.parametrize("column", ["genres", "item"])
def test_a_table_without_the_column_is_named_with_what_it_has(column: str) -> None:
    with pytest.raises(ModelError, match=f"the item table has no column '{column}'; it has genre"):
        Popular(category=column).fit(training_of("ab"))


def segmented() -> EventLog:
    rows = [
        ("u", "a", "nl"),
        ("u", "b", "nl"),
        ("u", "a", "de"),
        ("v", "a", "nl"),
        ("v", "c", None),
        ("v", "d", "de"),
    ]
    return EventLog.of(pl.DataFrame(rows, schema=["user", "item", "country"], orient="row"))


def context(*values: str | None) -> dict[str, pl.Series]:
    return {"country": pl.Series("country", values, dtype=pl.String)}


def test_segments_by_hand() -> None:
    """In nl, 3 events: a 2, b 1; of all 6: a 3, and one each. All together count as one more event of nl."""
    recommender = Popular(segment="country").fit(Training.of(segmented()))
    assert scores_of(recommender, "c", context=context("nl")) == pytest.approx(
        {
            "a": (2 + 3 / 6) / 4,
            "b": (1 + 1 / 6) / 4,
            "c": 1 / 6 / 4,
            "d": 1 / 6 / 4,
        }
    )


def test_the_last_event_of_the_history_tells_the_segment() -> None:
    recommender = Popular(segment="country").fit(Training.of(segmented()))
    codes = recommender.catalogue.encode(list("acd"))
    queries = Queries(codes, np.array([0, 0, 0]), np.array([1, 2, 3]), 4, context=context("nl", "de", "nl"))
    after_nl, after_de, again_nl = recommender.scores(queries)
    assert after_nl.tolist() == again_nl.tolist() != after_de.tolist()


@pytest.mark.parametrize("more", [{}, {"context": context(None)}, {"context": context("fr")}])
def test_without_a_known_segment_popularity_of_all_answers(more: dict[str, Any]) -> None:
    training = Training.of(segmented())
    found = scores_of(Popular(segment="country").fit(training), "a", **more)
    assert found == pytest.approx(scores_of(Popular().fit(training), "a"))


def test_no_history_at_all_asks_nothing() -> None:
    recommender = Popular(segment="country").fit(Training.of(segmented()))
    assert recommender.scores(Queries.of([], 4)).shape == (0, 4)


def test_a_log_without_the_column_is_named_with_what_it_has() -> None:
    with pytest.raises(ModelError, match="no column 'county' that could be a segment; it has country"):
        Popular(segment="county").fit(Training.of(segmented()))


def test_category_and_segment_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="category='genre' and segment='country': take one of the two"):
        Popular("genre", "country")


def test_restored_models_give_the_same_bits() -> None:
    by_category = Popular(category="genre").fit(training_of("aaaabbccde"))
    by_segment = Popular(segment="country").fit(Training.of(segmented()))
    for first, more in ((by_category, {}), (by_segment, {"context": context("de")})):
        model = Popular(**first.settings)
        again = replace(first, scoring=model.restore(first.scoring.parts(), first.catalogue))
        assert scores_of(again, "a", **more) == scores_of(first, "a", **more)


@pytest.mark.parametrize("name", ["data", "indices", "indptr"])
def test_damaged_groups_are_refused(name: str) -> None:
    for model, training in (
        (Popular(category="genre"), training_of("aaaabbccde")),
        (Popular(segment="country"), Training.of(segmented())),
    ):
        parts = model.fit(training).scoring.parts()
        damaged = Parts(parts.settings, {**parts.arrays, name: parts.arrays[name][:-1]})
        with pytest.raises(ArtifactError, match="the artifact is damaged, save it anew"):
            model.restore(damaged, training.catalogue)


def test_a_segment_stored_twice_is_refused() -> None:
    training = Training.of(segmented())
    model = Popular(segment="country")
    parts = model.fit(training).scoring.parts()
    with pytest.raises(ArtifactError, match="stored segments have a value twice"):
        model.restore(Parts({**parts.settings, "labels": ["nl", "nl"]}, parts.arrays), training.catalogue)


@pytest.mark.parametrize("logged", [["1", "2", "1", "2", "2"], [1, 2, 1, 2, 2], [1.0, 2.0, 1.0, 2.0, 2.0]])
def test_a_segment_is_the_same_however_its_number_is_written(logged: list[Any]) -> None:
    frame = pl.DataFrame({"user": ["u"] * 5, "item": list("abacc"), "shop": logged})
    recommender = Popular(segment="shop").fit(Training.of(EventLog.of(frame)))
    found = [
        scores_of(recommender, "a", context={"shop": pl.Series("shop", [shop])}) for shop in ("2", 2, 2.0)
    ]
    assert found[0] == found[1] == found[2]
    assert found[0] != scores_of(recommender, "a", context={"shop": pl.Series("shop", [1])})


def test_segments_that_were_saved_with_a_point_are_still_found() -> None:
    frame = pl.DataFrame({"user": ["u"] * 3, "item": list("aba"), "shop": ["1.0", "2.0", "1.0"]})
    recommender = Popular(segment="shop").fit(Training.of(EventLog.of(frame)))
    found = scores_of(recommender, "a", context={"shop": pl.Series("shop", [1.0])})
    assert found == scores_of(recommender, "a", context={"shop": pl.Series("shop", ["1.0"])})
