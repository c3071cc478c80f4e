"""Off-policy value: by hand, unbiased against a known truth, intervals that hold it as often as they say."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests.ads.conftest import MODEL, log_of

from ensue.ads import (
    AdSource,
    ByValue,
    Exploration,
    Halves,
    Impressions,
    Past,
    Shares,
    Uniform,
    impressions_of,
    on_policy,
    value_of,
    valued,
)
from ensue.ads.click_model import Clicks
from ensue.ads.policies import crossed, expected, of_shown
from ensue.errors import DataError

Parts = tuple[Impressions, Impressions]


def test_estimators_by_hand() -> None:
    rewards = np.array([1.0, 0.0, 1.0, 0.0])
    chances, logged = np.array([0.5, 0.25, 0.1, 0.0]), np.array([0.25, 0.5, 0.4, 0.5])
    w = [2.0, 0.5, 0.25, 0.0]
    shown, own = np.array([0.5, 0.2, 0.4, 0.1]), np.array([0.3, 0.3, 0.2, 0.2])
    found = valued("p", rewards, chances, logged, np.arange(4), estimated=(shown, own))
    assert found["ips"].value == pytest.approx((2.0 + 0.25) / 4)
    assert found["snips"].value == pytest.approx((2.0 + 0.25) / sum(w))
    dr = (0.3 + 2.0 * (1 - 0.5) + 0.3 + 0.5 * (0 - 0.2) + 0.2 + 0.25 * (1 - 0.4) + 0.2) / 4
    assert found["dr"].value == pytest.approx(dr)
    support = found.support
    assert support.effective == pytest.approx(sum(w) ** 2 / (2.0**2 + 0.5**2 + 0.25**2))
    assert (support.mean_weight, support.largest, support.clipped) == pytest.approx((sum(w) / 4, 2.0, 0.0))


def test_intervals_are_those_of_each_draw_by_itself() -> None:
    rng = np.random.default_rng(0)
    rewards, logged = (rng.random(40) < 0.4).astype(float), rng.uniform(0.1, 1.0, 40)
    chances, groups = rng.random(40), np.repeat(np.arange(10), 4)
    found = valued("p", rewards, chances, logged, groups, draws=100, seed=3)
    w = chances / logged
    again = np.random.default_rng(3)
    ips, snips = [], []
    for _ in range(100):
        rows = np.concatenate([np.flatnonzero(groups == one) for one in again.integers(10, size=10)])
        ips.append((w * rewards)[rows].mean())
        snips.append((w * rewards)[rows].sum() / w[rows].sum())
    for name, drawn in (("ips", ips), ("snips", snips)):
        expected_ends = np.quantile(drawn, [0.025, 0.975]).tolist()
        assert [found[name].low, found[name].high] == pytest.approx(expected_ends)


def test_clipping_by_hand() -> None:
    rewards, chances = np.array([1.0, 1.0]), np.array([1.0, 0.5])
    found = valued("p", rewards, chances, np.array([0.1, 0.5]), np.arange(2), clip=4.0)
    assert found["ips"].value == pytest.approx((4.0 + 1.0) / 2)
    assert found.support.clipped == 0.5
    assert found.support.largest == 10.0


def test_the_logs_own_policy_is_worth_what_it_brought() -> None:
    rng = np.random.default_rng(0)
    rewards, p = (rng.random(200) < 0.2).astype(float), rng.random(200)
    groups = rng.integers(0, 30, 200)
    found = valued("own", rewards, p, p, groups, seed=1)
    plain = on_policy(rewards, groups, seed=1)
    for one in ("ips", "snips"):
        assert (found[one].value, found[one].low, found[one].high) == pytest.approx(
            (plain.value, plain.low, plain.high)
        )
    assert plain.value == rewards.mean()
    assert found.support.effective == pytest.approx(200)


def _bandit(rng: np.random.Generator, n: int) -> tuple[np.ndarray, ...]:
    """A bandit of 3 contexts and 4 actions whose truth is known: rewards, chances, propensities, truths."""
    truth = np.array([[0.1, 0.2, 0.5, 0.3], [0.6, 0.1, 0.2, 0.2], [0.3, 0.3, 0.1, 0.4]])
    logging = np.array([[0.4, 0.3, 0.1, 0.2], [0.1, 0.3, 0.3, 0.3], [0.25, 0.25, 0.25, 0.25]])
    policy = np.array([[0.0, 0.1, 0.8, 0.1], [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]])
    context = rng.integers(3, size=n)
    action = (rng.random(n)[:, None] > logging[context].cumsum(axis=1)).sum(axis=1)
    rewards = (rng.random(n) < truth[context, action]).astype(float)
    wrong = np.full((3, 4), 0.25)  # an estimate that knows nothing
    return (
        rewards, policy[context, action], logging[context, action],
        wrong[context, action], (policy * wrong)[context].sum(axis=1),
        np.array((policy * truth).sum() / 3),
    )  # fmt: skip


def test_unbiased_and_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    runs, names = 120, ("ips", "snips", "dr")
    values = {name: np.empty(runs) for name in names}
    held = dict.fromkeys(names, 0)
    truth = 0.0
    for run in range(runs):
        rewards, chances, logged, shown, own, right = _bandit(rng, 500)
        truth = float(right)
        found = valued(
            "p", rewards, chances, logged, np.arange(500), estimated=(shown, own), draws=200, seed=run
        )
        for name in names:
            values[name][run] = found[name].value
            held[name] += found[name].low <= truth <= found[name].high
    for name in names:
        error = values[name].std() / np.sqrt(runs)
        assert abs(values[name].mean() - truth) < 4 * error + (0.005 if name == "snips" else 0)
        assert held[name] / runs > 0.95 - 4 * np.sqrt(0.95 * 0.05 / runs)
    assert values["dr"].std() < values["ips"].std()


def test_what_cannot_be_judged_is_refused() -> None:
    one, two = np.ones(1), np.ones(2)
    groups = np.zeros(2, dtype=np.int64)
    for args, match in (
        ((two, one, two, groups), "2 rewards do not fit"),
        ((two, two, np.array([0.5, 0.0]), groups), "that of an ad which was shown is 0"),
        ((two, np.zeros(2), two, groups), "would have shown nothing"),
    ):
        with pytest.raises(DataError, match=match):
            valued("p", *args)
    with pytest.raises(DataError, match="clip=0"):
        valued("p", two, two, two, groups, clip=0.0)


def test_a_pair_is_each_impression_with_each_ad() -> None:
    shown = [("u", "a", 1, "1"), ("v", "b", 2, "0"), ("u", "b", 3, "0")]
    found = impressions_of(log_of(shown, campaign=["x", "y", "y"], where=["p", "q", "r"]))
    ads = found.known_ads()
    ((block, pairs),) = list(crossed(found.frame, ads))
    assert block == slice(0, 3)
    assert pairs.select("user", "where", "ad", "campaign").rows() == [
        (user, where, ad, campaign)
        for user, where in (("u", "p"), ("v", "q"), ("u", "r"))
        for ad, campaign in (("b", "y"), ("a", "x"))
    ]
    table = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    assert of_shown(table, found.frame, ads).tolist() == [0.9, 0.2, 0.3]
    assert of_shown(table[:, :1], found.frame, ads[:1]).tolist() == [0.0, 0.2, 0.3]


def test_shares_are_those_of_the_other_log() -> None:
    other = pl.DataFrame({"ad": ["a", "a", "b", "b"], "position": ["1", "1", "1", "2"]})
    here = pl.DataFrame({"ad": ["a", "b"], "position": ["1", "2"]})
    ads = pl.DataFrame({"ad": ["a", "b"]})
    found = Shares.of(other).chances(here, ads, Past.none())
    np.testing.assert_allclose(found, np.array([[2 / 3, 1 / 3], [0.0, 1.0]]))
    with pytest.raises(DataError, match="no showings at some values of 'position'"):
        Shares.of(other).chances(here.with_columns(position=pl.lit("3")), ads, Past.none())


def test_by_value_follows_bid_and_probability(clicks: Clicks, parts: Parts, past: Past) -> None:
    some, ads = parts[1].frame.head(7), parts[1].known_ads()
    table = ByValue(clicks, Exploration(0.2)).chances(some, ads, past)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    p = np.stack([clicks.probabilities(some.with_columns(
        ad=pl.lit(ad), campaign=pl.lit(campaign)), past) for ad, campaign, _ in ads.rows()], axis=1)  # fmt: skip
    best = (p * ads["bid"].to_numpy()).argmax(axis=1)
    np.testing.assert_allclose(table[np.arange(7), best], 0.8 + 0.2 / len(ads))
    worth = expected(table, clicks, some, ads, past, bids=True)
    np.testing.assert_allclose(worth, (table * p * ads["bid"].to_numpy()).sum(axis=1))
    drawn = ByValue(clicks, Exploration(draws=20)).chances(some, ads, past)
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
    np.testing.assert_allclose(drawn * 20, np.round(drawn * 20), atol=1e-9)


def test_the_uniform_policy_of_a_simulated_log_is_worth_what_is_known() -> None:
    still = AdSource(campaigns=3, ads=2, fatigue=0.0, kindling=0.0)  # what is shown changes nothing later
    made = still.drawn(users=800, visits=10)
    found = impressions_of(made.log)
    past = Past.of(found)
    own, (uniform,) = value_of([Uniform()], found, past, Halves.fit(MODEL, found, past))
    for one in ("ips", "snips", "dr"):
        assert uniform[one].low < made.uniform < uniform[one].high
    assert own.value == found.clicked.mean()
    assert uniform.support.mean_weight == pytest.approx(1.0, abs=0.05)


def test_a_half_is_asked_of_the_other(parts: Parts, past: Past) -> None:
    found = Halves.fit(MODEL, parts[0], past)
    first, second = parts[0].parted(0.5)
    np.testing.assert_allclose(
        found.probabilities(first.frame.head(5), past), found.late.probabilities(first.frame.head(5), past)
    )
    np.testing.assert_allclose(
        found.probabilities(second.frame.head(5), past), found.early.probabilities(second.frame.head(5), past)
    )


def test_a_log_without_chances_cannot_judge() -> None:
    found = impressions_of(log_of([("u", "a", 1, "1"), ("u", "b", 2, "0")]))
    with pytest.raises(DataError, match="no column of the propensity"):
        value_of([Uniform()], found, Past.of(found))
