"""Listening with repeats: drawn by the law that it tells of, and bounded by what that allows."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from ensue.errors import ConfigError
from ensue.events.audit import audit
from ensue.events.simulate import SOURCES, source
from ensue.events.simulate.listening import ListeningSource

SMALL = ListeningSource(items=12, novelty=0.3, loyalty=1.0)


def test_the_law_by_hand() -> None:
    """Two tracks were heard: the first twice, at its gap; the second once, off its gap by log 2."""
    kind = ListeningSource(items=3, novelty=0.5, spread=0.5, loyalty=1.0, skew=1.0)
    gaps = kind.gaps
    heard, ago = np.array([[2, 1, 0]]), np.array([[gaps[0], 2 * gaps[1], 0]]).astype(np.int64)
    q = np.array([1, 1 / 2, 1 / 3]) / (1 + 1 / 2 + 1 / 3)
    off = np.exp(-(np.log(2) ** 2) / (2 * 0.5**2))
    weights = 0.5 * q + np.array([2.0, off, 0.0])
    np.testing.assert_allclose(kind.law(heard, ago)[0], weights / weights.sum())


def test_what_is_played_follows_the_law() -> None:
    """The share of plays that the law gave a track is the share that it has, over all tracks and steps."""
    expected, found, spread = np.zeros(12), np.zeros(12), 0.0
    for items, law in SMALL._played(400, 25, np.random.default_rng(1)):
        expected += law.sum(axis=0)
        found += np.bincount(items, minlength=12)
        spread += float((law * (1 - law)).sum(axis=0).max())
    assert (np.abs(found - expected) < 4.5 * spread**0.5).all()


def test_a_track_comes_again_after_its_gap() -> None:
    kind = ListeningSource(items=30, novelty=0.2, spread=0.2)
    log = kind.log(users=150, length=60)
    gaps = dict(zip(kind.item_ids, kind.gaps, strict=True))
    waited: dict[float, Counter[int]] = {gap: Counter() for gap in (2.0, 8.0, 25.0)}
    for _, part in log.frame.group_by("user", maintain_order=True):
        last: dict[str, int] = {}
        for place, item in enumerate(part["item"].to_list()):
            if item in last:
                waited[gaps[item]][place - last[item]] += 1
            last[item] = place
    assert waited[2.0].most_common(1)[0][0] == 2
    assert 6 <= waited[8.0].most_common(1)[0][0] <= 10


def test_the_audit_finds_the_repeats_and_keeps_them_in_the_ranking() -> None:
    log = ListeningSource(items=40).log(users=80, length=40)
    assert log.has_time
    assert audit(log).advised("exclude_seen") is False


@pytest.mark.parametrize("targets", ["last", "successive"])
def test_the_reachable_score_rises_with_knowledge(targets: str) -> None:
    bounds = (SMALL.best_popularity, SMALL.best_first_order, SMALL.optimum)
    found = [bound("ndcg@3", targets=targets, length=10) for bound in bounds]  # type: ignore[arg-type]
    assert all(low < high for low, high in itertools.pairwise([0.0, *found, 1.0]))
    situations = SMALL._situations("history", targets, 10)  # type: ignore[arg-type]
    np.testing.assert_allclose(situations.laws.sum(axis=1), 1)
    np.testing.assert_allclose(situations.weights.sum(), 1)


def test_it_is_a_source_by_name_and_the_seed_decides() -> None:
    assert "listening" in SOURCES.names()
    first, same, other = (source("listening", items=10).log(5, 9, seed) for seed in (1, 1, 2))
    assert first.frame.equals(same.frame)
    assert not first.frame.equals(other.frame)


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"items": 2}, "items is 2"),
        ({"spread": 0.0}, "spread is 0, and must be above it"),
        ({"novelty": -1.0}, "novelty is -1.0"),
        ({"loyalty": float("nan")}, "loyalty is nan"),
    ],
)
def test_knobs_out_of_range_are_refused(knobs: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ListeningSource(**knobs)  # type: ignore[arg-type]
