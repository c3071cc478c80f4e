"""The drifting source: the change, the law of each epoch, and what is reached by those who do not forget."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ensue.events.log import EventLog
from ensue.events.simulate import DriftingSource
from ensue.events.simulate.reachable import gains

DRIFT = DriftingSource(items=12, in_fashion=3, fashion=0.6, predictability=0.5, change=0.75)


def agrees(values: list[float], expected: float) -> bool:
    """Whether a mean lies within four standard errors of what is expected."""
    return bool(abs(np.mean(values) - expected) <= 4 * np.std(values) / len(values) ** 0.5 + 1e-12)


def epochs(log: EventLog, drift: DriftingSource) -> pl.DataFrame:
    """Successive pairs: `past`, `item`, and the epochs 0 or 1 they lie in."""
    late = (pl.col("time") >= drift.changed_at(log)).cast(pl.Int8)
    frame = log.frame.with_columns(now=late)
    return frame.with_columns(
        past=pl.col("item").shift().over("user"), before=pl.col("now").shift().over("user")
    )


def test_the_known_change_parts_the_events_by_the_share_that_was_asked() -> None:
    log = DRIFT.log(500, 20)
    late = (log.frame["time"] >= DRIFT.changed_at(log)).sum()
    assert late == pytest.approx(0.25 * log.n_events, abs=5)


def test_events_follow_the_law_of_their_epoch() -> None:
    log = DRIFT.log(3000, 30, seed=6)
    pairs = epochs(log, DRIFT)
    for epoch in (0, 1):
        q = DRIFT.popularity[epoch]
        assert sorted(set(q.round(12))) == pytest.approx(sorted({0.6 / 3, 0.4 / 9}))
        within = pairs.filter((pl.col("now") == epoch) & (pl.col("before") == epoch))
        follows = dict(zip(DRIFT.item_ids, np.array(DRIFT.item_ids)[DRIFT.successors[epoch]], strict=True))
        chance = {i: q[number] for number, i in enumerate(DRIFT.item_ids)}
        rows = within.select("past", "item").rows()
        for past in DRIFT.item_ids:
            following = [float(item == follows[past]) for before, item in rows if before == past]
            assert agrees(following, 0.5 + 0.5 * chance[follows[past]]), (epoch, past)
        in_fashion = [i for i, mine in zip(DRIFT.item_ids, DRIFT.fashions[epoch], strict=True) if mine]
        every = pairs.filter(pl.col("now") == epoch)
        fresh = every.filter(pl.col("before").is_null() | (pl.col("before") < epoch))
        assert every["item"].is_in(in_fashion).mean() == pytest.approx(0.6, abs=0.02)
        assert agrees(fresh["item"].is_in(in_fashion).cast(pl.Float64).to_list(), 0.6)


def test_closed_forms_are_their_arithmetic() -> None:
    drift = DriftingSource()  # 60 items, 15 in fashion with half of all draws, p = 0.6
    s, p, f, n, k = 0.5, 0.6, 15, 60, 10
    assert drift.optimum("recall@10") == pytest.approx(
        p + (1 - p) * (s**2 / f + (1 - s) ** 2 / (n - f) + (k - 1) * s / f)
    )
    assert drift.best_popularity("recall@10") == pytest.approx(k * s / f)
    # 5/6 of the first nine tenths lie before the change, so what was in fashion then comes first: now 1/3 as likely
    assert drift.all_time_popularity("recall@10") == pytest.approx(k * (1 - s) / (n - f))
    assert drift.all_time_popularity("recall@10", seen=0.75) == pytest.approx(k * (1 - s) / (n - f))
    assert drift.all_time_first_order("accuracy") < 0.1 < 0.6 < drift.optimum("accuracy")


@pytest.mark.parametrize("change", [0.6, 0.75])
def test_measured_scores_on_a_drifting_log_are_the_closed_forms(change: float) -> None:
    """Tables counted on the first nine tenths, on all of it or on what follows the change, tested on the last tenth."""
    drift = DriftingSource(items=20, in_fashion=5, predictability=0.6, change=change)
    log = drift.log(4000, 40, seed=3)
    cut = log.frame["time"].sort()[int(0.9 * log.n_events)]
    pairs = epochs(log, drift).drop_nulls("past")
    train, test = pairs.filter(pl.col("time") < cut), pairs.filter(pl.col("time") >= cut)

    def ranks(table: pl.DataFrame, by: list[str]) -> NDArray[np.float64]:
        """Rank of each test event by its count in a table, per context `by`."""
        order = table.group_by([*by, "item"]).len()
        place = pl.col("len").rank("ordinal", descending=True)
        order = order.with_columns(rank=place.over(by) if by else place)
        found = test.join(order, on=[*by, "item"], how="left", maintain_order="left")
        return found["rank"].fill_null(99).to_numpy().astype(np.float64)

    late = train.filter(pl.col("before") == 1)
    for name in ("accuracy", "ndcg@5"):
        gain = np.append(gains(name, 20), np.zeros(80))
        measured = {
            "recent": gain[ranks(late, []).astype(int) - 1].mean(),
            "all time": gain[ranks(train, []).astype(int) - 1].mean(),
            "recent chain": gain[ranks(late, ["past"]).astype(int) - 1].mean(),
            "all-time chain": gain[ranks(train, ["past"]).astype(int) - 1].mean(),
        }
        assert measured["recent"] == pytest.approx(drift.best_popularity(name), abs=0.01)
        assert measured["all time"] == pytest.approx(drift.all_time_popularity(name), abs=0.01)
        assert measured["recent chain"] == pytest.approx(drift.optimum(name), abs=0.015)
        assert measured["all-time chain"] == pytest.approx(drift.all_time_first_order(name), abs=0.015)
