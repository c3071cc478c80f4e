"""Views of sequences: the laws of all and of each, how they are drawn, and how they are described."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.augment import (
    NONE,
    Augmentation,
    Crop,
    Drop,
    Insert,
    Mask,
    Ragged,
    Reorder,
    Subsequence,
    Substitute,
    augmentation_of,
    augmentations,
    one_of,
)
from ensue.errors import ConfigError

N = 9
batches = st.lists(st.lists(st.integers(0, N - 1), max_size=12), max_size=6)
shares = st.sampled_from([0.05, 0.2, 1 / 3, 0.5, 0.99, 1.0])
seeds = st.integers(0, 1000)

SIMILAR = np.array([[(i + 1) % N, (i + 2) % N, NONE] for i in range(N)], dtype=np.int32)
SIMILAR[N - 1] = NONE  # the last item has no similar one
KINDS = [augmentations.get(name) for name in augmentations.names()]
kinds = st.sampled_from(KINDS)


def ragged(lists: list[list[int]]) -> Ragged:
    """Sequences whose arrays refuse to be written to."""
    items = np.array([item for one in lists for item in one], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, lists)]).astype(np.int64)
    found = Ragged.of(items, offsets)
    for array in (found.items, found.offsets, found.masked, found.places):
        array.flags.writeable = False
    return found


def parts(view: Ragged, array: np.ndarray[Any, Any] | None = None) -> list[list[Any]]:
    """The sequences of a view as lists of items, or of another of its arrays."""
    values = (view.items if array is None else array).tolist()
    return [values[a:b] for a, b in pairwise(view.offsets.tolist())]


def viewed(choice: Augmentation, lists: list[list[int]], seed: int = 0) -> Ragged:
    return choice(ragged(lists), np.random.default_rng(seed), SIMILAR)


def share_of(share: float, n: int) -> int:
    """The share of n, rounded down by whole numbers."""
    return int(round(share * 10_000) * n // 10_000) if share != 1 / 3 else n // 3


# ------------------------------------------------------------------------------------- laws of all views


@given(batches, kinds, shares, seeds)
def test_every_view_is_whole_and_keeps_an_event_and_its_input(
    lists: list[list[int]], kind: type[Augmentation], share: float, seed: int
) -> None:
    given_ = ragged(lists)
    view = kind(share=share)(given_, np.random.default_rng(seed), SIMILAR)
    assert given_.items.tolist() == [item for one in lists for item in one]
    kinds_of = [str(part.dtype) for part in (view.items, view.offsets, view.masked, view.places)]
    assert kinds_of == ["int32", "int64", "bool", "int64"]
    assert len(view) == len(lists)
    assert view.offsets[0] == 0
    assert len(view.items) == len(view.masked) == len(view.places) == view.offsets[-1]
    assert ((view.items >= 0) & (view.items < N)).all()
    for before, after, hidden in zip(lists, parts(view), parts(view, view.masked), strict=True):
        assert bool(before) == bool(after), "an empty sequence stays empty, any other does not become so"
        assert not before or not all(hidden), "something is left to be seen"


@given(batches, kinds, shares, seeds)
def test_one_seed_gives_one_view_and_draws_one_key_per_sequence(
    lists: list[list[int]], kind: type[Augmentation], share: float, seed: int
) -> None:
    rng, other = np.random.default_rng(seed), np.random.default_rng(seed)
    first = kind(share=share)(ragged(lists), rng, SIMILAR)
    again = kind(share=share)(ragged(lists), other, SIMILAR)
    assert parts(first) == parts(again)
    assert parts(first, first.masked) == parts(again, again.masked)
    spent = np.random.default_rng(seed)
    spent.integers(2**64, size=len(lists), dtype=np.uint64)
    assert rng.random() == spent.random()


@given(batches.filter(len), st.lists(st.integers(0, N - 1), max_size=12), kinds, shares, seeds, st.data())
def test_a_change_of_one_sequence_leaves_the_views_of_the_others(
    lists: list[list[int]],
    new: list[int],
    kind: type[Augmentation],
    share: float,
    seed: int,
    data: st.DataObject,
) -> None:
    changed = data.draw(st.integers(0, len(lists) - 1))
    before = viewed(kind(share=share), lists, seed)
    after = viewed(kind(share=share), [*lists[:changed], new, *lists[changed + 1 :]], seed)
    for part in ("items", "masked"):
        one, two = parts(before, getattr(before, part)), parts(after, getattr(after, part))
        assert one[:changed] + one[changed + 1 :] == two[:changed] + two[changed + 1 :]


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_sequence_before_them_leaves_a_thousand_views_as_they_were(
    kind: type[Augmentation], seeded: np.random.Generator
) -> None:
    others = seeded.integers(N, size=(1000, 10)).tolist()
    short, long = (viewed(kind(), [first, *others]) for first in ([1], [1] * 7))
    assert parts(short)[1:] == parts(long)[1:]
    assert parts(short, short.masked)[1:] == parts(long, long.masked)[1:]


@given(batches, kinds, shares, seeds)
def test_places_lead_to_the_events_that_a_view_is_made_of(
    lists: list[list[int]], kind: type[Augmentation], share: float, seed: int
) -> None:
    before = ragged(lists)
    view = kind(share=share)(before, np.random.default_rng(seed), SIMILAR)
    assert (before.rows[view.places] == view.rows).all(), "an event stays in its sequence"
    own = before.items[view.places] == view.items
    if not kind.uses_similar:
        assert own.all()
    elif kind is Substitute:
        assert view.places.tolist() == list(range(len(before.items)))
    else:
        later = np.append(view.places[1:], -1)
        assert (own | (view.places == later)).all(), "an inserted event has the place of the one after it"


@given(batches, shares, seeds)
def test_views_of_views_still_lead_to_the_first_events(
    lists: list[list[int]], share: float, seed: int
) -> None:
    before, rng = ragged(lists), np.random.default_rng(seed)
    view = Crop(share=share)(Reorder(share=share)(Drop(share=share)(before, rng), rng), rng)
    assert (before.items[view.places] == view.items).all()
    masked = Subsequence(share=share)(Mask(share=0.5)(before, rng), rng)
    both = Reorder(share=1.0)(masked, rng)
    hidden = {(int(p), bool(m)) for p, m in zip(masked.places, masked.masked, strict=True)}
    assert {(int(p), bool(m)) for p, m in zip(both.places, both.masked, strict=True)} == hidden


# ----------------------------------------------------------------------------------------- laws of each


@given(batches, shares, seeds)
def test_a_crop_is_one_stretch_of_its_length(lists: list[list[int]], share: float, seed: int) -> None:
    view = viewed(Crop(share=share), lists, seed)
    for before, places in zip(lists, parts(view, view.places), strict=True):
        assert len(places) == min(max(share_of(share, len(before)), 1), len(before))
        assert places == list(range(places[0], places[0] + len(places))) if places else not before


@given(batches, shares, seeds)
def test_a_mask_hides_its_share_and_changes_no_event(lists: list[list[int]], share: float, seed: int) -> None:
    view = viewed(Mask(share=share), lists, seed)
    assert parts(view) == lists
    for before, hidden in zip(lists, parts(view, view.masked), strict=True):
        assert sum(hidden) == min(share_of(share, len(before)), max(len(before) - 1, 0))


@given(batches, shares, seeds)
def test_reordering_keeps_every_event_and_moves_only_a_stretch(
    lists: list[list[int]], share: float, seed: int
) -> None:
    view = viewed(Reorder(share=share), lists, seed)
    for before, after, places in zip(lists, parts(view), parts(view, view.places), strict=True):
        assert Counter(after) == Counter(before)
        moved = [step for step, place in enumerate(places) if place != min(places) + step]
        assert not moved or moved[-1] - moved[0] < share_of(share, len(before))


@given(batches, shares, seeds)
def test_what_is_left_by_dropping_and_choosing_is_in_its_order(
    lists: list[list[int]], share: float, seed: int
) -> None:
    for choice in (Drop(share=share), Subsequence(share=share)):
        view = viewed(choice, lists, seed)
        for before, places in zip(lists, parts(view, view.places), strict=True):
            assert places == sorted(set(places))
            if isinstance(choice, Subsequence) and before:
                assert len(places) == max(share_of(share, len(before)), 1)


@given(batches, shares, seeds, st.integers(1, 4))
def test_substitutes_are_similar_to_what_they_stand_for(
    lists: list[list[int]], share: float, seed: int, most: int
) -> None:
    view = viewed(Substitute(share=share, most=most), lists, seed)
    for before, after in zip(lists, parts(view), strict=True):
        assert len(after) == len(before)
        other = [(one, two) for one, two in zip(before, after, strict=True) if one != two]
        assert all(two in SIMILAR[one, :most] for one, two in other)
        assert len(other) <= share_of(share, len(before))
        if N - 1 not in before:
            assert len(other) == share_of(share, len(before)), "each that was drawn has a similar one"


@given(batches, shares, seeds, st.integers(1, 4))
def test_an_inserted_item_stands_before_the_one_it_is_similar_to(
    lists: list[list[int]], share: float, seed: int, most: int
) -> None:
    view = viewed(Insert(share=share, most=most), lists, seed)
    for before, after, places in zip(lists, parts(view), parts(view, view.places), strict=True):
        inserted = [step for step in range(len(after) - 1) if places[step] == places[step + 1]]
        assert all(after[step] in SIMILAR[after[step + 1], :most] for step in inserted)
        assert [item for step, item in enumerate(after) if step not in inserted] == before
        assert len(inserted) <= share_of(share, len(before))
        if N - 1 not in before:
            assert len(inserted) == share_of(share, len(before))


def test_an_inserted_event_can_be_seen_and_a_hidden_one_stays_hidden() -> None:
    hidden = Ragged(
        np.array([1, 2], dtype=np.int32), np.array([0, 2]), np.array([True, False]), np.array([0, 1])
    )
    view = Insert(share=1.0)(hidden, np.random.default_rng(0), SIMILAR)
    assert view.items.tolist() == [2, 1, 3, 2]
    assert view.masked.tolist() == [False, True, False, False]
    assert view.places.tolist() == [0, 0, 1, 1]


# ------------------------------------------------------------------------------------------------ chance


def within(counts: np.ndarray[Any, Any], expected: float, trials: int) -> bool:
    """Whether all counts lie within five deviations of what a fair draw gives."""
    chance = expected / trials
    return bool(np.abs(counts - expected).max() < 5 * sqrt(trials * chance * (1 - chance)))


def many(lists: list[int], times: int = 6000) -> Ragged:
    return ragged([lists] * times)


def test_every_stretch_and_every_event_is_equally_likely(seeded: np.random.Generator) -> None:
    same = many([0, 1, 2, 3, 4])
    crop = Crop(share=0.6)(same, seeded)  # 3 of 5: it begins at one of 3 places
    assert within(np.bincount(crop.items[crop.offsets[:-1]], minlength=3), 6000 / 3, 6000)
    mask = Mask(share=0.4)(same, seeded)
    assert within(np.bincount(mask.items[mask.masked]), 6000 * 2 / 5, 6000)
    left = Subsequence(share=0.4)(same, seeded)
    assert within(np.bincount(left.items), 6000 * 2 / 5, 6000)
    drop = Drop(share=0.2)(same, seeded)
    assert within(np.bincount(drop.items), 6000 * 0.8 + 6000 * 0.2**5 / 5, 6000)


def test_every_order_of_a_stretch_is_equally_likely(seeded: np.random.Generator) -> None:
    view = Reorder(share=1.0)(many([0, 1, 2]), seeded)
    orders = Counter(map(tuple, view.items.reshape(-1, 3).tolist()))
    assert len(orders) == 6
    assert within(np.array(list(orders.values())), 6000 / 6, 6000)


def test_every_similar_item_and_every_choice_is_equally_likely(seeded: np.random.Generator) -> None:
    view = Substitute(share=1.0, most=5)(many([0]), seeded, SIMILAR)
    assert set(view.items.tolist()) == {1, 2}
    assert within(np.bincount(view.items)[1:], 3000, 6000)
    choices = [Crop(share=0.2), Substitute(share=1.0), Reorder(share=0.1)]
    drawn = one_of(choices, many([3, 3, 3]), seeded, SIMILAR)
    counts = Counter(map(tuple, parts(drawn)))
    assert set(counts) == {(3,), (4, 4, 4), (3, 3, 3)}
    assert within(np.array(list(counts.values())), 2000, 6000)


def test_which_event_and_which_similar_item_are_drawn_apart(seeded: np.random.Generator) -> None:
    pairs = Substitute(share=0.5, most=2)(many([0, 0]), seeded, SIMILAR)
    counts = Counter(map(tuple, parts(pairs)))
    assert set(counts) == {(1, 0), (2, 0), (0, 1), (0, 2)}
    assert within(np.array(list(counts.values())), 6000 / 4, 6000)


def test_shares_are_rounded_down_as_numbers_on_paper_are() -> None:
    for n, share, expected in [(100, 0.29, 29), (10, 0.7, 7), (3, 0.33, 0), (10, 0.99, 9)]:
        assert int(viewed(Mask(share=share), [[1] * n]).masked.sum()) == expected


# ---------------------------------------------------------------------------------------------- one of


@given(batches, seeds)
def test_each_sequence_has_the_view_of_one_choice(lists: list[list[int]], seed: int) -> None:
    choices = [Crop(share=0.5), Mask(share=0.5), Insert(share=0.5)]
    found = one_of(choices, ragged(lists), np.random.default_rng(seed), SIMILAR)
    alone = [viewed(choice, lists, seed) for choice in choices]
    for s in range(len(lists)):
        views = [(parts(view)[s], parts(view, view.masked)[s], parts(view, view.places)[s]) for view in alone]
        assert (parts(found)[s], parts(found, found.masked)[s], parts(found, found.places)[s]) in views


def test_a_choice_of_nothing_and_a_missing_table_are_refused(seeded: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match="at least one augmentation"):
        one_of([], ragged([[1]]), seeded)
    for kind in (Substitute, Insert):
        with pytest.raises(ConfigError, match=f"{kind.name} needs similar items"):
            kind()(ragged([[1]]), seeded)
        with pytest.raises(ConfigError, match=f"{kind.name} needs similar items"):
            one_of([Crop(), kind()], ragged([[1]]), seeded)


# ------------------------------------------------------------------------------------------ descriptions


def test_augmentations_are_found_by_name_and_described_by_tables() -> None:
    names = ("crop", "mask", "reorder", "drop", "subsequence", "substitute", "insert")
    assert augmentations.names() == names
    assert augmentation_of("crop") == Crop(share=0.6)
    assert augmentation_of({"name": "insert", "share": 0.5, "most": 3}) == Insert(share=0.5, most=3)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ("crpo", r"no augmentation is called 'crpo'.*Did you mean 'crop'"),
        ({"share": 0.5}, "augmentation needs a name"),
        ({"name": "mask", "shar": 0.5}, r"mask has no setting 'shar'; it has share\. Did you mean 'share'"),
        ({"name": "mask", "share": "half"}, "mask: share = 'half'"),
        ({"name": "mask", "share": 0}, "mask: share=0 must lie above 0"),
        ({"name": "drop", "share": 1.5}, r"drop: share=1\.5 must lie above 0 and be at most 1"),
        ({"name": "insert", "most": 0}, "insert: most=0 must be at least 1"),
        ({"name": "insert", "share": -0.1}, r"insert: share=-0\.1 must lie above 0"),
    ],
)
def test_a_wrong_description_is_refused(described: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        augmentation_of(described)
