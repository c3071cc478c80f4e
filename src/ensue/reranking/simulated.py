"""Lists, choices and events from a known process: what the best order reaches is known.

A reader touches some candidates, then chooses one with probability proportional to the exponential of

    0.8 x -log(place) + 2.5 x touched last + 1 x touched + appeal of the item + 2 x cheapness if the list is "by price".

Nothing but the appeal has to be learnt item by item, and it shows in the choices alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import ConfigError
from ensue.events.log import TIME
from ensue.metrics import Ranked, metric

Values = NDArray[np.float64]

BEGIN, SPAN = 1_704_067_200, 30 * 86_400
"""2024-01-01 00:00 UTC, and how long the lists go on, in seconds."""

HIGH, LAST, TOUCHED, CHEAP = 0.8, 2.5, 1.0, 2.0


@dataclass(frozen=True, eq=False)
class Simulated:
    """Shown lists with the truth about them.

    Attributes:
        lists: one row for each candidate, as `ensue.reranking.read_shown` takes it.
        events: an event log with sessions.
        chances: `[Q, K]` the true probability of each candidate of each list, in the order of the engine.
    """

    lists: pl.DataFrame
    events: pl.DataFrame
    chances: Values

    def reachable(self, name: str, which: NDArray[np.bool_] | None = None) -> float:
        """What the best order reaches of a metric, in expectation over the choices.

        Args:
            name: of the metric, such as "mrr".
            which: `[Q]` of these lists alone.
        """
        best = -np.sort(-(self.chances if which is None else self.chances[which]), axis=1)
        k = best.shape[1]
        places = np.arange(1, k + 1, dtype=np.float64)
        worth = metric(name).per_query(Ranked.single(places, np.full(k, k)))
        return float((best @ worth).mean())


def simulate_lists(sessions: int = 1000, items: int = 101, candidates: int = 10, seed: int = 0) -> Simulated:
    """Sessions of one or two lists each.

    Args:
        sessions: how many.
        items: a prime number of them, so that no list holds one twice.
        candidates: of each list, fewer than items.
        seed: same seed, same lists.

    Raises:
        ConfigError: the number of items is no prime, or too small.
    """
    if items <= candidates or any(items % n == 0 for n in range(2, int(items**0.5) + 1)):
        raise ConfigError(f"items={items} must be a prime number above candidates={candidates}, such as 101.")
    rng = np.random.default_rng(seed)
    session = np.repeat(np.arange(sessions), rng.integers(1, 3, size=sessions))
    n, k = len(session), candidates
    nth = np.arange(n) - np.searchsorted(session, session)
    begin = BEGIN + rng.integers(0, SPAN, size=sessions)[session] + 600 * nth
    appeal, level = rng.normal(0, 0.7, size=items), rng.uniform(40, 200, size=items)
    first, step = rng.integers(0, items, size=n), rng.integers(1, items, size=n)
    drawn = (first[:, None] + step[:, None] * np.arange(k)) % items
    guess = appeal[drawn] + rng.normal(0, 1.5, size=(n, k))
    order = np.argsort(-guess, axis=1, kind="stable")
    listed = np.take_along_axis(drawn, order, axis=1)
    score = np.round(np.take_along_axis(guess, order, axis=1), 3)
    price = np.round(level[listed] * np.exp(rng.normal(0, 0.2, size=(n, k))), 2)
    by_price = rng.random(n) < 0.3
    touches = rng.integers(0, 4, size=n)
    hit = np.argsort(rng.random((n, k)), axis=1)[:, :3]  # which candidates, oldest first
    used = np.arange(3) < touches[:, None]
    touched, last = np.zeros((n, k)), np.zeros((n, k))
    rows, nth_touch = np.nonzero(used)
    touched[rows, hit[rows, nth_touch]] = 1
    held = touches > 0
    last[np.flatnonzero(held), hit[held, touches[held] - 1]] = 1
    cheap = (k - 1 - np.argsort(np.argsort(price, axis=1), axis=1)) / (k - 1)
    utility = HIGH * -np.log(np.arange(1, k + 1)) + LAST * last + TOUCHED * touched + appeal[listed]
    utility = utility + CHEAP * cheap * by_price[:, None]
    chances = np.exp(utility) / np.exp(utility).sum(axis=1, keepdims=True)
    chosen = (np.cumsum(chances, axis=1) < rng.random(n)[:, None]).sum(axis=1).clip(0, k - 1)
    names = np.array([f"h{one:03d}" for one in range(items)])
    keys = np.array([f"s{one:05d}" for one in range(sessions)])
    flat = np.repeat(np.arange(n), k)
    lists = pl.DataFrame(
        {
            "list": flat,
            "session": keys[session[flat]],
            "time": begin[flat] + 300,
            "item": names[listed.ravel()],
            "position": np.tile(np.arange(1, k + 1), n),
            "score": score.ravel(),
            "price": price.ravel(),
            "chosen": (np.arange(k) == chosen[:, None]).ravel().astype(np.int64),
            "order": np.where(by_price, "by price", "as recommended")[flat],
        }
    )
    kinds = np.array(["view", "photo"])
    events = pl.DataFrame(
        {
            "user": keys[session[rows]],
            "session": keys[session[rows]],
            "item": names[listed[rows, hit[rows, nth_touch]]],
            "time": begin[rows] + 60 * (nth_touch + 1),
            "event": kinds[rng.integers(0, 2, size=len(rows))],
        }
    ).with_columns(time=pl.from_epoch("time", "s").cast(TIME.base_type()("us")).dt.replace_time_zone("UTC"))
    return Simulated(lists, events, chances)
