"""What lies before a moment, against a loop over events that says the same in the plainest way."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ads.conftest import log_of

from ensue.ads import Impressions, Past, impressions_of
from ensue.ads.history import ALL, CAMPAIGN, COUNTS, PRIOR

ROWS = st.lists(
    st.tuples(
        st.sampled_from("uv"), st.sampled_from("abcde"), st.integers(0, 6), st.sampled_from(["0", "1"])
    ),
    min_size=1,
    max_size=14,
)
CAMPAIGNS = {"a": "x", "b": "x", "c": "y", "d": None, "e": None}


def _made(rows: list[tuple[str, str, int, str]]) -> Impressions:
    return impressions_of(log_of(rows, campaign=[CAMPAIGNS[ad] for _, ad, _, _ in rows]))


def _same(of: str, one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    key = {"all": 0, "ad": 1, "campaign": 2}[of]
    if key == 2 and one[2] is None:  # a campaign by itself
        key = 1
    return one[0] == other[0] and (key == 0 or one[key] == other[key])


@settings(max_examples=30, deadline=None)
@given(ROWS, st.sampled_from(["all", "ad", "campaign"]), st.booleans(), st.sampled_from([None, 1, 3]))
def test_counts_are_those_of_a_loop(
    rows: list[tuple[str, str, int, str]], of: str, clicks: bool, within: int | None
) -> None:
    found = _made(rows)
    counts, ages = (
        Past.of(found)
        .before(found.frame)
        .count(of, clicks=clicks, within=None if within is None else within * 1_000_000)
    )
    events = found.frame.select("user", "ad", "campaign", "time", "clicked").rows()
    for place, asked in enumerate(events):
        times = [
            one[3] for one in events
            if _same(of, one, asked) and one[3] < asked[3] and (one[4] or not clicks)
            and (within is None or one[3] >= asked[3] - within * 1_000_000)
        ]  # fmt: skip
        assert counts[place] == len(times)
        assert ages[place] == (asked[3] - max(times) if times else -1)


@settings(max_examples=15, deadline=None)
@given(ROWS, st.sampled_from(["all", "ad", "campaign"]))
def test_showings_since_the_last_click(rows: list[tuple[str, str, int, str]], of: str) -> None:
    found = _made(rows)
    since = Past.of(found).before(found.frame).since_click(of)
    events = found.frame.select("user", "ad", "campaign", "time", "clicked").rows()
    for place, asked in enumerate(events):
        before = [one for one in events if _same(of, one, asked) and one[3] < asked[3]]
        last = max((one[3] for one in before if one[4]), default=None)
        assert since[place] == sum(1 for one in before if last is None or one[3] > last)


@settings(max_examples=15, deadline=None)
@given(ROWS, st.integers(0, 6))
def test_nothing_from_the_moment_on_is_known(rows: list[tuple[str, str, int, str]], cut: int) -> None:
    turned = [(u, ad, t, e if t < cut else str(1 - int(e))) for u, ad, t, e in rows]
    one, other = _made(rows), _made(turned)
    early = one.where((one.frame["time"] <= cut * 1_000_000).to_numpy()).frame
    for of in ("all", "ad", "campaign"):
        for clicks in (False, True):
            for a, b in zip(
                Past.of(one).before(early).count(of, clicks=clicks),
                Past.of(other).before(early).count(of, clicks=clicks),
                strict=True,
            ):
                assert a.tolist() == b.tolist()


def test_a_click_counts_from_when_it_happened_not_from_its_showing() -> None:
    rows = [
        ("u", "a", 1, "impression"),
        ("u", "a", 5, "impression"),
        ("u", "a", 6, "click"),
        ("u", "a", 9, "impression"),
    ]
    rows.insert(1, ("u", "b", 2, "impression"))
    rows.append(("u", "b", 7, "click"))
    found = impressions_of(log_of(rows), separate=True)
    counts, ages = Past.of(found).before(found.frame).count(ALL, clicks=True)
    assert counts.tolist() == [0, 0, 0, 2]  # at 9, those of 6 and 7
    assert ages.tolist() == [-1, -1, -1, 2_000_000]


def test_bins_and_the_rate_by_hand() -> None:
    rows = [("u", "a", time, "1" if time == 2 else "0") for time in range(1, 6)]
    found = _made(rows)
    before = Past.of(found).before(found.frame)
    bins = before.bins(True)
    assert bins["all shown"][0].tolist() == [0, 1, 2, 3, 4]
    assert bins["all shown"][1] == len(COUNTS) + 1 == 9
    assert bins["ad clicked"][0].tolist() == [0, 0, 1, 1, 1]
    assert bins["campaign shown since clicked"][0].tolist() == [0, 1, 0, 1, 2]
    assert bins["ad shown ago"][0].tolist() == [0, 1, 1, 1, 1]  # never, then less than a minute
    assert "campaign shown" not in before.bins(False)
    own = (1 + PRIOR * 0.2) / (4 + PRIOR)
    expected = np.log(own / (1 - own)) - np.log(0.2 / 0.8)
    assert before.rate(0.2)[-1] == pytest.approx(expected, abs=1e-12)
    assert before.rate(0.2)[0] == pytest.approx(0.0, abs=1e-12)


def test_a_day_is_a_day() -> None:
    rows = [("u", "a", 0, "0"), ("u", "a", 86_400, "0"), ("u", "a", 86_401, "0")]
    found = _made(rows)
    assert Past.of(found).before(found.frame).bins(False)["ad shown in a day"][0].tolist() == [0, 1, 1]


def test_without_events_nothing_is_known() -> None:
    found = _made([("u", "a", 1, "1"), ("u", "a", 2, "0")])
    before = Past.none().before(found.frame)
    assert before.count(CAMPAIGN, clicks=False)[0].tolist() == [0, 0]
    assert before.since_click("ad").tolist() == [0, 0]
    assert not before.rate(0.3).any()


def test_an_ad_without_a_campaign_shares_it_with_none_that_has_one() -> None:
    past = Past(pl.DataFrame({"user": ["u"], "ad": ["a"], "campaign": ["x"], "time": [1], "click": [False]}))
    asked = pl.DataFrame({"user": ["u", "u"], "ad": ["a", "b"], "campaign": [None, "x"], "time": [2, 2]})
    assert past.before(asked).count(CAMPAIGN, clicks=False)[0].tolist() == [0, 1]


def test_events_of_others_are_not_gone_through(impressions: Impressions, past: Past) -> None:
    asked = impressions.frame.head(1)
    before = past.before(asked)
    assert set(before.past.frame["user"]) == set(
        asked["user"]
    )  # thousands of people are asked about in blocks
    assert before.past.frame.height < past.frame.height / 50
