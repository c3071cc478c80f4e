"""The simulated log is what it says."""

from __future__ import annotations

import numpy as np
import pytest

from ensue.ads import AdSource, impressions_of
from ensue.ads.simulated import Drawn
from ensue.errors import ConfigError


def test_the_same_seed_gives_the_same_log_and_another_gives_another() -> None:
    source = AdSource(campaigns=2, ads=2)
    one = source.drawn(users=20, visits=5, seed=1)
    assert one.log.fingerprint() == source.drawn(users=20, visits=5, seed=1).log.fingerprint()
    assert one.log.fingerprint() != source.drawn(users=20, visits=5, seed=2).log.fingerprint()
    assert (one.log.n_events, one.log.n_users) == (100, 20)


def test_the_true_chances_stand_beside_their_events(drawn: Drawn) -> None:
    clicked = (drawn.log.frame["event"] == "click").to_numpy()
    error = np.sqrt((drawn.chance * (1 - drawn.chance)).sum())
    assert abs(clicked.sum() - drawn.chance.sum()) < 4 * error
    likely = drawn.chance > np.quantile(drawn.chance, 0.9)
    assert clicked[likely].mean() > 2 * clicked[~likely].mean()


def test_logged_propensities_are_how_often_ads_are_shown(drawn: Drawn) -> None:
    frame = drawn.log.frame
    n = frame.height
    for (ad, propensity), group in frame.group_by("item", "propensity"):
        share = group.height / n
        assert abs(share - propensity) < 4 * np.sqrt(propensity * (1 - propensity) / n), ad
    assert frame.unique("item")["propensity"].sum() == pytest.approx(1.0)


def test_an_ad_tires_and_a_click_kindles() -> None:
    plain = AdSource(campaigns=1, ads=1, fatigue=0.0, kindling=0.0, interest=0.0)
    quality = plain.laws[0][0]
    steady = plain.drawn(users=5, visits=4).chance
    np.testing.assert_allclose(steady, 1 / (1 + np.exp(2.5 - quality)))
    often = AdSource(campaigns=1, ads=1, fatigue=0.8, kindling=0.0, interest=0.0, base=0.0)
    tiring = often.drawn(users=50, visits=3)
    clicked = (tiring.log.frame["event"] == "click").to_numpy().reshape(50, 3)
    chance = tiring.chance.reshape(50, 3)
    logit = np.log(chance / (1 - chance))
    bored = ~clicked[:, 0] & ~clicked[:, 1]
    np.testing.assert_allclose(logit[bored, 2], quality - 0.8 * np.log(3))
    fresh = ~clicked[:, 0] & clicked[:, 1]
    assert fresh.any()
    np.testing.assert_allclose(logit[fresh, 2], quality)  # a click begins anew
    kindling = AdSource(campaigns=1, ads=1, fatigue=0.0, kindling=2.0, interest=0.0, base=0.0)
    lit = kindling.drawn(users=50, visits=2)
    chance = lit.chance.reshape(50, 2)
    hit = (lit.log.frame["event"] == "click").to_numpy().reshape(50, 2)[:, 0]
    logit = np.log(chance / (1 - chance))[:, 1]
    np.testing.assert_allclose(logit[hit], quality + 2.0)
    np.testing.assert_allclose(logit[~hit], quality)


def test_it_is_read_like_any_log(drawn: Drawn) -> None:
    found = impressions_of(drawn.log)
    assert (found.people, found.ads, found.timed) == (True, True, True)
    assert {"campaign", "bid", "propensity"} <= set(found.frame.columns)
    assert found.features == ()


def test_impossible_knobs_are_all_told() -> None:
    with pytest.raises(ConfigError, match=r"campaigns is 0.*explored is 2"):
        AdSource(campaigns=0, explored=2.0)
    with pytest.raises(ConfigError, match="users is 0"):
        AdSource().drawn(users=0)
