"""What training says of items: the arithmetic of clicks and places, and that no list meets its own choice."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import polars as pl
import pytest

from ensue.reranking import Events, Shown, read_shown
from ensue.reranking.features import Vocabulary, features
from ensue.reranking.tables import FOLDS, PRIOR, Tables, crossed, opinions

LISTS = pl.DataFrame(
    {
        "list": [1, 1, 2, 2, 3, 3, 4, 4],
        "item": ["a", "b", "b", "a", "a", "b", "c", "a"],
        "chosen": [1, 0, 0, 1, 0, 1, 1, 0],
    }
)


def test_clicks_are_held_against_those_that_the_places_bring() -> None:
    shown = read_shown(LISTS)
    tables = Tables.fit(shown, shown.events, {})
    assert tables.rates[:2].tolist() == [2 / 4, 2 / 4]  # two of the four choices stood first
    codes = tables.catalogue.encode(["a", "b", "c", "new"])
    assert tables.clicks[codes[:3]].tolist() == [2, 1, 1]
    assert tables.expected[codes[:3]].tolist() == [4 / 2, 3 / 2, 1 / 2]
    wanted = [log((clicks + PRIOR) / (expected + PRIOR)) for clicks, expected in ((2, 2), (1, 1.5), (1, 0.5))]
    assert tables.rate(codes) == pytest.approx([*wanted, 0.0])
    assert tables.number(tables.clicks, codes) == pytest.approx([log(3), log(2), log(2), 0.0])


def test_a_place_with_more_choices_is_expected_to_bring_more() -> None:
    shown = read_shown(LISTS.with_columns(chosen=pl.Series([1, 0, 1, 0, 1, 0, 0, 1])))
    tables = Tables.fit(shown, shown.events, {})
    assert tables.rates[:2].tolist() == [3 / 4, 1 / 4]
    at = tables.catalogue.encode(["a", "b"])
    assert tables.expected[at].tolist() == [3 / 4 + 1 / 4 + 3 / 4 + 1 / 4, 1 / 4 + 3 / 4 + 1 / 4]


def crossed_over(lists: Shown) -> np.ndarray:
    """What clicks and a model say of lists that are learnt from."""
    vocabulary = Vocabulary.of(lists)

    def ask(some: Shown, tables: Tables) -> np.ndarray:
        return features(some, tables, vocabulary, ("clicks", "models")).values

    return crossed(lists, lists.events, {"rules": "rules"}, ask)


def test_a_list_that_is_learnt_from_meets_no_choice_of_its_own_session(shown: Shown) -> None:
    part = shown[np.arange(60)]
    own = part.groups == part.groups[0]
    first = part.offsets[:-1][own]
    moved = np.array(part.chosen)
    moved[own] = np.where(part.chosen[own] == first, first + 1, first)
    here = np.repeat(own, part.lengths)
    before, after = crossed_over(part), crossed_over(replace(part, chosen=moved))
    assert (before[here] == after[here]).all()
    assert (before[~here] != after[~here]).any()


def test_a_list_that_is_learnt_from_meets_no_later_event_of_its_own_session(shown: Shown) -> None:
    part = shown[np.arange(len(shown) - 60, len(shown))]
    events, own = part.events, part.groups == part.events.groups.max()
    assert own.any()
    more = part.items[np.repeat(own, part.lengths)][:6]
    longer = Events(
        np.concatenate([events.items, more, more]).astype(np.int32),
        pl.concat([events.kinds, pl.Series("kind", ["view"] * 2 * len(more))]),
        np.concatenate([events.time, np.full(2 * len(more), events.time.max() + 1)]),
        np.concatenate([events.groups, np.full(2 * len(more), events.groups.max())]),
    )
    here = np.repeat(own, part.lengths)
    before, after = crossed_over(part), crossed_over(replace(part, events=longer))
    assert (before[here] == after[here]).all()
    assert (before[~here] != after[~here]).any()


def test_folds_part_sessions_and_not_their_lists(shown: Shown) -> None:
    part = shown[np.arange(40)]
    seen: list[set[int]] = []

    def ask(some: Shown, tables: Tables) -> np.ndarray:
        seen.append(set(some.groups.tolist()))
        return some.position[:, None].astype(np.float64)

    found = crossed(part, part.events, {}, ask)
    assert found[:, 0].tolist() == part.position.tolist()  # answers come back to their own places
    assert len(seen) == FOLDS
    assert sum(map(len, seen)) == len(set.union(*seen)) == part.sessions


def test_an_opinion_is_the_score_of_the_recommender_after_the_history(shown: Shown) -> None:
    tables = Tables.fit(shown, shown.events, {"rules": "rules"})
    rules = tables.models["rules"]
    part = shown[np.arange(30)]
    found = opinions(rules, part)
    ids = part.ids.to_list()
    for q in range(len(part)):
        mine = slice(int(part.offsets[q]), int(part.offsets[q + 1]))
        done = [ids[one] for one in part.events.items[part.starts[q] : part.ends[q]]]
        history = [one for place, one in enumerate(done) if place == 0 or done[place - 1] != one]
        if not history:
            assert np.isnan(found[mine]).all()
            continue
        answer = rules.recommend(history, k=len(rules.catalogue), exclude_seen=False)
        score = dict(zip(answer.items, answer.scores, strict=True))
        wanted = [score.get(ids[item], np.nan) for item in part.items[mine]]
        assert found[mine] == pytest.approx(wanted, nan_ok=True)
