"""Slates: expected value, prices, caps and exploration."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.ads import Cap, Exploration, Past, slate
from ensue.ads.calibrating import Calibration
from ensue.ads.caps import Room
from ensue.ads.click_model import Clicks
from ensue.ads.columns import Columns
from ensue.ads.exploring import NOTHING
from ensue.ads.regression import Weights
from ensue.ads.slates import second_price
from ensue.encodings import Encoding
from ensue.errors import ConfigError, QueryError

HOUR = 3_600_000_000
NOW = 100 * HOUR


def _clicks(**p: float) -> Clicks:
    """A click model in which each ad has the probability that is given."""
    ads = pl.Series("ad", list(p))
    entry = Encoding("ad", "category", "ad", vocabulary=ads)
    logits = np.array([np.log(one / (1 - one)) for one in p.values()])
    weights = Weights(np.concatenate([logits, [0.0, 0.0]]), 0.0, np.full(len(p) + 2, 4.0))
    return Clicks(Columns((entry,), False, False, True, 0.1), weights, Calibration())


def _asked(
    ads: str, bids: list[float] | None = None, campaigns: list[str | None] | None = None
) -> pl.DataFrame:
    frame = pl.DataFrame({"user": ["u"] * len(ads), "ad": list(ads), "time": [NOW] * len(ads)})
    if bids is not None:
        frame = frame.with_columns(bid=pl.Series(bids))
    if campaigns is not None:
        frame = frame.with_columns(campaign=pl.Series(campaigns, dtype=pl.String))
    return frame


def _past(*events: tuple[str, float, bool], campaigns: dict[str, str] | None = None) -> Past:
    rows = [
        ("u", ad, (campaigns or {}).get(ad), int(NOW - hours * HOUR), click) for ad, hours, click in events
    ]
    schema = {
        "user": pl.String,
        "ad": pl.String,
        "campaign": pl.String,
        "time": pl.Int64,
        "click": pl.Boolean,
    }
    return Past(pl.DataFrame(rows, schema=schema, orient="row"))


def test_the_most_valuable_come_first_and_pay_what_keeps_their_place() -> None:
    clicks = _clicks(a=0.1, b=0.2, c=0.4)
    found = slate(clicks, _asked("abc", [5.0, 1.0, 1.0]), Past.none(), 2)
    assert [one.ad for one in found.ads] == ["a", "c"]
    assert [one.value for one in found.ads] == pytest.approx([5 * 0.1, 0.4])
    assert [one.price for one in found.ads] == pytest.approx([0.4 / 0.1, 0.2 / 0.4])
    assert [one.propensity for one in found.ads] == [1.0, 1.0]
    every = slate(clicks, _asked("abc", [5.0, 1.0, 1.0]), Past.none(), 9, reserve=0.3)
    assert [one.price for one in every.ads] == pytest.approx([4.0, 0.5, 0.3])  # the last pays the reserve


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 0.9), st.floats(0.0, 9.0)), min_size=1, max_size=6), st.floats(0, 1)
)
def test_nobody_pays_more_than_the_bid_and_no_less_than_the_reserve(
    offers: list[tuple[float, float]], epsilon: float
) -> None:
    names = "abcdef"[: len(offers)]
    clicks = _clicks(**{ad: p for ad, (p, _) in zip(names, offers, strict=True)})
    bids = [bid for _, bid in offers]
    found = slate(
        clicks, _asked(names, bids), Past.none(), 6, exploration=Exploration(epsilon), reserve=1.0, seed=3
    )
    assert found.below_reserve == sum(bid < 1.0 for bid in bids)
    assert len(found.ads) == len(bids) - found.below_reserve
    for one in found.ads:
        assert 1.0 <= one.price <= bids[names.index(one.ad)]
        assert 0 < one.propensity <= 1


def test_an_explored_ad_pays_no_more_for_those_that_are_worth_more() -> None:
    values, p, bids = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.1, 0.1]), np.array([5.0, 3.0, 2.0])
    rivals = np.ones(3, dtype=bool)
    assert second_price(values, p, bids, 1, rivals, 0.0) == pytest.approx(0.2 / 0.1)
    assert second_price(values, p, bids, 2, rivals, 0.5) == 0.5


def test_caps_look_back_so_far_and_no_further() -> None:
    clicks = _clicks(a=0.5, b=0.1)
    past = _past(("a", 1, False), ("a", 23, False), ("a", 25, False))
    for cap, first in (
        (Cap(2, "ad", 24.0), "b"), (Cap(3, "ad", 24.0), "a"), (Cap(3, "ad", 26.0), "b"), (Cap(1, "ad", 0.5), "a"),
    ):  # fmt: skip
        assert slate(clicks, _asked("ab"), past, 1, caps=(cap,)).ads[0].ad == first
    assert slate(clicks, _asked("ab"), past, 2, caps=(Cap(3, "all", 26.0),)).ads == ()
    assert slate(clicks, _asked("ab"), past, 2, caps=(Cap(3, "all", 26.0),)).capped == 2
    assert slate(clicks, _asked("ab"), past, 1, caps=(Cap(0),)).ads == ()


def test_the_places_of_a_slate_count_too() -> None:
    clicks = _clicks(a=0.5, b=0.4, c=0.3, d=0.2)
    campaigns = ["x", "x", "y", None]
    asked = _asked("abcd", campaigns=list(campaigns))
    cap = Cap(1, "campaign")
    assert [one.ad for one in slate(clicks, asked, Past.none(), 4, caps=(cap,)).ads] == ["a", "c", "d"]
    past = _past(("b", 1, False), campaigns={"b": "x"})
    assert [one.ad for one in slate(clicks, asked, past, 4, caps=(cap,)).ads] == ["c", "d"]
    assert [one.ad for one in slate(clicks, asked, past, 4, caps=(Cap(3, "all"),)).ads] == ["a", "b"]


def test_a_cap_of_clicks_counts_clicks() -> None:
    clicks = _clicks(a=0.5, b=0.1)
    cap = Cap(1, "ad", of="clicks")
    assert slate(clicks, _asked("ab"), _past(("a", 1, False)), 1, caps=(cap,)).ads[0].ad == "a"
    past = _past(("a", 1, False), ("a", 1, True))
    assert slate(clicks, _asked("ab"), past, 1, caps=(cap,)).ads[0].ad == "b"


def test_others_showings_are_not_ones_own() -> None:
    past = _past(("a", 1, False))
    other = Past(past.frame.with_columns(user=pl.lit("v")))
    assert Cap(1).left(_asked("a"), other).tolist() == [1]
    assert Cap(1).left(_asked("a"), past).tolist() == [0]


def test_ads_without_a_campaign_do_not_share_one() -> None:
    room = Room.of((Cap(1, "campaign"),), _asked("abc", campaigns=[None, None, "x"]), Past.none())
    room.take(0)
    assert room.open.tolist() == [False, True, True]


def test_propensities_are_how_often_an_ad_is_shown() -> None:
    clicks = _clicks(a=0.5, b=0.4, c=0.3)
    how = Exploration(0.3)
    n = 150
    shown = [
        slate(clicks, _asked("abc"), Past.none(), 2, exploration=how, seed=seed).ads for seed in range(n)
    ]
    first = {ad: sum(one[0].ad == ad for one in shown) / n for ad in "abc"}
    told = {one[0].ad: one[0].propensity for one in shown}
    assert told == pytest.approx({"a": 0.7 + 0.1, "b": 0.1, "c": 0.1})
    for ad, share in first.items():
        assert abs(share - told[ad]) < 4 * np.sqrt(told[ad] * (1 - told[ad]) / n)
    second = [one[1] for one in shown if one[0].ad == "a"]
    assert {one.ad: one.propensity for one in second} == pytest.approx({"b": 0.7 + 0.15, "c": 0.15})


def test_thompson_shows_an_ad_as_often_as_weights_put_it_first() -> None:
    clicks = _clicks(a=0.5, b=0.45, c=0.02)
    how = Exploration(draws=200)
    asked = _asked("abc")
    best = clicks.drawn(asked, Past.none(), 200).argmax(axis=1)
    share = {ad: float((best == n).mean()) for n, ad in enumerate("abc")}
    shown = [slate(clicks, asked, Past.none(), 1, exploration=how, seed=seed).ads[0] for seed in range(40)]
    for one in shown:
        assert one.propensity == pytest.approx(share[one.ad])
    assert {"a", "b"} <= {one.ad for one in shown}
    assert 0.3 < share["a"] < 0.8


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.floats(0, 1),
)
def test_chances_add_up_to_one_and_lie_on_what_is_allowed(
    values: list[list[float]], allowed: list[bool], epsilon: float
) -> None:
    found = Exploration(epsilon).chances(np.array(values), np.array(allowed))
    assert found.sum() == pytest.approx(1.0 if any(allowed) else 0.0)
    assert (found[~np.array(allowed)] == 0).all()
    assert (found >= 0).all()


def test_the_same_seed_gives_the_same_slate() -> None:
    clicks = _clicks(a=0.5, b=0.4, c=0.3)
    one, other = (
        slate(clicks, _asked("abc"), Past.none(), 3, exploration=Exploration(0.9), seed=4) for _ in "12"
    )
    assert one == other


def test_what_cannot_be_asked_is_refused() -> None:
    clicks = _clicks(a=0.5)
    for asked, k, match in (
        (_asked("aa"), 1, "1 of 2 candidates are named twice"),
        (_asked("a", [-1.0]), 1, "A bid is no number from 0 up"),
        (_asked("a"), -1, "k=-1"),
    ):
        with pytest.raises(QueryError, match=match):
            slate(clicks, asked, Past.none(), k)
    assert slate(clicks, _asked(""), Past.none(), 1).ads == ()
    with pytest.raises(ConfigError, match="most=-1"):
        Cap(-1)
    for wrong in ({"epsilon": 1.5}, {"draws": 5000}, {"seed": -1}):
        with pytest.raises(ConfigError):
            Exploration(**wrong)
    assert Exploration() == NOTHING
