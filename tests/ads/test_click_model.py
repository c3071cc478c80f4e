"""Columns, the click model and its baselines on a log whose truth is known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests.ads.conftest import MODEL, log_of

from ensue.ads import BaseRate, ClickModel, Impressions, OwnRate, Past, impressions_of, run_ads
from ensue.ads.click_model import Clicks
from ensue.ads.columns import Columns
from ensue.ads.simulated import Drawn
from ensue.errors import ColumnError, ConfigError, DataError
from ensue.events.log import EventLog

Parts = tuple[Impressions, Impressions]


def _columns(rows: int = 12, **settings: object) -> tuple[Columns, Impressions]:
    shown = [("u" if n % 2 else "v", "ab"[n % 3 == 0], n, str(n % 2)) for n in range(rows)]
    found = impressions_of(
        log_of(
            shown,
            device=["phone"] * (rows - 2) + ["desk"] * 2,
            price=[str(n) for n in range(rows - 1)] + [""],
            session=[f"s{n}" for n in range(rows)],
            position=[str(n % 2) for n in range(rows)],
        )
    )
    return Columns.fit(found, **settings), found  # type: ignore[arg-type]


def test_each_impression_has_one_column_of_each_category() -> None:
    columns, found = _columns(history=False, least=1, numbers=("price",))
    assert columns.names == ("ad", "device", "price", "position")
    table = columns.table(found.frame, Past.none()).toarray()
    # ad: 2 values, unseen, missing; device alike; price: number and gap; position as ad
    assert table.shape == (12, 4 + 4 + 2 + 4)
    assert table[:, :4].sum(axis=1).tolist() == [1.0] * 12
    assert table[:, 4].tolist() == [1.0] * 10 + [0.0] * 2  # the more frequent device comes first
    logs = np.log1p(np.arange(11))
    np.testing.assert_allclose(table[:11, 8], (logs - logs.mean()) / logs.std(), rtol=1e-6)
    assert table[11, 8:10].tolist() == [0.0, 1.0]


def test_rare_values_are_not_kept_and_read_as_nothing() -> None:
    columns, found = _columns(history=False, least=3)
    assert columns.entries[1].vocabulary.to_list() == ["phone"]
    assert columns.entries[1].left_out == 1
    start = columns.entries[0].size
    table = columns.table(found.frame, Past.none()).toarray()
    assert table[-1, start : start + columns.entries[1].size].tolist() == [0.0, 0.0, 0.0]


def test_people_are_never_read() -> None:
    columns, _ = _columns()
    assert not {"user", "session"} & set(columns.names)
    with pytest.raises(ConfigError, match="'user' is no column"):
        _columns(features=("user",))


def test_columns_are_chosen_by_patterns() -> None:
    assert _columns(without=("p*",), history=False)[0].names == ("ad", "device")
    assert _columns(features=("dev*",), history=False)[0].names == ("ad", "device")
    with pytest.raises(ConfigError, match=r"'devise' is no column .* Did you mean 'device'"):
        _columns(without=("devise",))
    with pytest.raises(ConfigError, match="'ad x colour' is no column"):
        _columns(crosses=("ad x colour",))
    with pytest.raises(ColumnError, match="'phone', no number"):
        _columns(numbers=("device",))


def test_a_cross_is_a_value_of_its_own() -> None:
    columns, found = _columns(history=False, least=1, features=("device",), crosses=("ad x device",))
    cross = columns.entries[-1]
    pairs = set(found.frame.select(pl.concat_str("ad", "device", separator="\x1f")).to_series())
    assert set(cross.vocabulary) == pairs
    table = columns.table(found.frame, Past.none()).toarray()
    assert table[:, -cross.size :].sum(axis=1).tolist() == [1.0] * 12


def test_a_column_that_is_not_there_is_missing_for_all() -> None:
    columns, found = _columns(history=False, least=1, numbers=("price",))
    table = columns.table(found.frame.drop("device", "price"), Past.none()).toarray()
    assert table[:, 4:8].tolist() == [[0.0, 0.0, 0.0, 1.0]] * 12
    assert table[:, 8:10].tolist() == [[0.0, 1.0]] * 12


def test_the_hour_is_read_of_a_log_of_days() -> None:
    shown = [("u", "a", n * 3600, str(n % 2)) for n in range(72)]
    columns = Columns.fit(impressions_of(log_of(shown)))
    assert columns.names == ("ad", "hour")
    assert Columns.fit(impressions_of(log_of(shown[:24]))).names == ("ad",)


def test_an_hour_of_the_log_is_no_hour_of_the_time() -> None:
    shown = [("u", "a", n * 3600, str(n % 2)) for n in range(72)]
    told = impressions_of(log_of(shown, hour=[str(n % 2) for n in range(72)]))
    assert Columns.fit(told).names == ("ad", "hour")
    assert Columns.fit(told, without=("hour",)).names == ("ad",)  # what is left out is not read for the time
    timed = Columns.fit(impressions_of(log_of(shown)))
    asked = told.frame.with_columns(hour=pl.lit("no time"))
    np.testing.assert_array_equal(
        timed.table(asked, Past.none()).toarray(), timed.table(told.frame.drop("hour"), Past.none()).toarray()
    )


def test_columns_are_restored_as_they_were(clicks: Clicks, parts: Parts, past: Past) -> None:
    again = Columns.restored(clicks.columns.to_json(), clicks.columns.values())
    some = parts[1].frame.head(50)
    np.testing.assert_array_equal(
        again.table(some, past).toarray(), clicks.columns.table(some, past).toarray()
    )


def test_alone_is_as_in_any_batch(clicks: Clicks, parts: Parts, past: Past) -> None:
    some = parts[1].frame.head(6)
    together = clicks.probabilities(some, past)
    alone = np.concatenate([clicks.probabilities(some[n : n + 1], past) for n in range(6)])
    np.testing.assert_allclose(alone, together, rtol=1e-12)
    drawn = clicks.drawn(some, past, 7, seed=1)
    single = np.concatenate([clicks.drawn(some[n : n + 1], past, 7, seed=1) for n in range(6)], axis=1)
    np.testing.assert_allclose(single, drawn, rtol=1e-9)


def test_draws_are_around_what_was_learnt_and_wider_for_what_is_little_known(
    clicks: Clicks, parts: Parts, past: Past
) -> None:
    some = parts[1].frame.head(30)
    drawn = clicks.drawn(some, past, 400)
    logit = np.log(drawn / (1 - drawn))
    own = clicks.probabilities(some, past)
    error = logit.std(axis=0) / np.sqrt(400)
    np.testing.assert_array_less(np.abs(logit.mean(axis=0) - np.log(own / (1 - own))), 5 * error)
    assert (logit.std(axis=0) > 0.01).all()


def test_the_sequence_is_worth_something_and_the_truth_is_not_beaten(
    impressions: Impressions, drawn: Drawn
) -> None:
    done = run_ads(impressions, MODEL, seed=1)
    assert [row.name for row in done.judged.rows] == [
        "base rate", "the ad's own click rate", "click model", "click model with history",
    ]  # fmt: skip
    best = done.judged["click model with history"]
    for other in ("base rate", "the ad's own click rate", "click model"):
        assert best.against[other]["log_loss"].high < 0
        assert best.against[other]["auc"].low > 0
    truth = drawn.log.frame.select("row", chance=pl.Series(drawn.chance))
    chance = done.test.frame.join(truth, on="row", how="left", maintain_order="left")["chance"].to_numpy()
    y = done.test.clicked
    floor = -np.log(np.where(y, chance, 1 - chance)).mean()
    assert best.metrics["log_loss"].value > floor - 0.005
    assert best.calibration_error < 2 * best.by_chance


def test_without_history_the_past_says_nothing(parts: Parts, past: Past) -> None:
    blind = ClickModel(history=False, l2=10.0).fit(parts[0], past)
    some = parts[1].frame.head(50)
    np.testing.assert_array_equal(blind.probabilities(some, past), blind.probabilities(some, Past.none()))
    assert blind.name == "click model"


def test_a_log_that_knows_nobody_has_no_history() -> None:
    rng = np.random.default_rng(0)
    shown = [(f"u{n}", "ab"[n % 2], n, str(int(rng.random() < 0.3))) for n in range(200)]
    found = ClickModel().fit(impressions_of(log_of(shown)))
    assert not found.columns.history
    assert found.facts["l2"] in (1, 3, 10, 30, 100, 300, 3000)


def test_the_penalty_is_the_best_on_validation(parts: Parts) -> None:
    found = ClickModel(history=False).fit(parts[0])
    tried = found.facts["validation"]
    assert len(tried) == 7
    assert found.facts["l2"] == min(tried, key=lambda one: one["log_loss"])["l2"]


def test_settings_that_cannot_be_are_all_told() -> None:
    with pytest.raises(ConfigError, match=r"least=0 .*; l2=-1 .*; validation=1 must"):
        ClickModel(least=0, l2=-1.0, validation=1.0)


def test_baselines_by_hand() -> None:
    shown = [("u", "a", 1, "1"), ("u", "a", 2, "0"), ("u", "b", 3, "0"), ("u", "b", 4, "0")]
    found = impressions_of(log_of(shown))
    assert BaseRate.fit(found).rate == 0.25
    own = OwnRate.fit(found)
    asked = pl.DataFrame({"ad": ["a", "b", "new"]})
    s = own.strength
    assert own.probabilities(asked, Past.none()).tolist() == pytest.approx(
        [(1 + s / 4) / (2 + s), (s / 4) / (2 + s), 0.25]
    )
    alone = impressions_of(log_of([("u", "a", 1, "1"), ("u", "b", 2, "0")]))
    with pytest.raises(DataError, match="No ad was shown twice"):
        OwnRate.fit(alone)


def test_a_log_without_times_is_read_in_its_order() -> None:
    rng = np.random.default_rng(0)
    users = [f"u{n}" for n in rng.integers(0, 10, 300)]
    events = [str(int(rng.random() < 0.3)) for _ in users]
    log = EventLog.of(pl.DataFrame({"user": users, "item": ["a"] * 300, "event": events}))
    found = impressions_of(log)
    assert not found.timed
    assert found.frame["time"].to_list() == list(range(300))
    model = ClickModel(l2=10.0).fit(found)
    assert model.columns.history
    assert not model.columns.timed
