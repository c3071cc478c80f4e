"""A slate of ads: the most valuable first, within caps, with a share of exploration, and what a click costs.

What a showing is worth is expected: bid x probability of a click. A click costs what was needed to keep the place
[generalised second price]: the worth of the next candidate below, over the ad's own probability; never more than its
bid, never less than the reserve.

References:
    Edelman, Ostrovsky & Schwarz, "Internet advertising and the generalized second-price auction", AER 2007, sec. I.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.ads.caps import Cap, Room
from ensue.ads.click_model import Clicks
from ensue.ads.exploring import NOTHING, Exploration
from ensue.ads.history import Past
from ensue.errors import QueryError

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Placed:
    """An ad at its place.

    Attributes:
        ad: its id.
        probability: of a click.
        value: bid x probability.
        price: what a click costs.
        propensity: the chance that it had of this place, given the ads above it.
    """

    ad: str
    probability: float
    value: float
    price: float
    propensity: float

    def to_json(self) -> dict[str, Any]:
        """The ad for programs."""
        return {
            "ad": self.ad,
            "probability": self.probability,
            "expected_value": self.value,
            "price": self.price,
            "propensity": self.propensity,
        }


@dataclass(frozen=True)
class AdSlate:
    """Ads for one person at one moment.

    Attributes:
        ads: best first, but for what was explored.
        capped: candidates that caps left out from the beginning.
        below_reserve: candidates whose bid does not reach the reserve.
    """

    ads: tuple[Placed, ...]
    capped: int
    below_reserve: int

    def to_json(self) -> dict[str, Any]:
        """The slate for programs."""
        left_out = {"capped": self.capped, "below_reserve": self.below_reserve}
        return {"ads": [one.to_json() for one in self.ads], "left_out": left_out}


def slate(
    clicks: Clicks,
    candidates: pl.DataFrame,
    past: Past,
    k: int = 1,
    *,
    caps: tuple[Cap, ...] = (),
    exploration: Exploration = NOTHING,
    reserve: float = 0.0,
    seed: int | None = None,
) -> AdSlate:
    """The ads to show.

    Args:
        clicks: gives the probabilities.
        candidates: `[A]` rows with `user`, `ad`, `time`, `bid` (1 if absent), perhaps `campaign`, and what the click
            model reads; the same person and time in all of them.
        past: what the person was shown and has clicked.
        k: places at most.
        caps: that hold.
        exploration: how much else than the best is shown.
        reserve: the least bid, and the least price of a click.
        seed: of what is drawn for this slate; None draws it anew.

    Raises:
        QueryError: k is below 0, a candidate is named twice, or a bid is no number from 0 up.
    """
    if k < 0:
        raise QueryError(f"k={k}: ask for 0 ads or more.")
    twice = len(candidates) - candidates["ad"].n_unique()
    if twice:
        raise QueryError(f"{twice} of {len(candidates)} candidates are named twice: name each ad once.")
    bids = np.ones(len(candidates))
    if "bid" in candidates.columns:
        bids = candidates["bid"].cast(pl.Float64).to_numpy()
    if not (np.isfinite(bids) & (bids >= 0)).all():
        raise QueryError("A bid is no number from 0 up.")
    if not len(candidates):
        return AdSlate((), 0, 0)
    p = clicks.probabilities(candidates, past)
    believed = p[None, :]
    if exploration.draws:
        believed = clicks.drawn(candidates, past, exploration.draws, exploration.seed)
    room = Room.of(caps, candidates, past)
    enough = bids >= reserve
    capped, below = int((~room.open & enough).sum()), int((~enough).sum())
    return AdSlate(
        tuple(_filled(candidates["ad"], bids, p, believed, room, enough, k, exploration, reserve, seed)),
        capped,
        below,
    )


def second_price(
    values: Values, p: Values, bids: Values, chosen: int, rivals: NDArray[np.bool_], reserve: float
) -> float:
    """What a click on the chosen ad costs.

    Args:
        values: `[A]` bid x probability.
        p: `[A]` probabilities.
        bids: `[A]` bids.
        chosen: which candidate was chosen.
        rivals: `[A]` candidates that could have had the place; those that are worth more than the chosen one, which was
            explored then, set no price.
        reserve: the least price.
    """
    below = rivals & (values <= values[chosen])
    below[chosen] = False
    runner_up = float(values[below].max()) if below.any() else 0.0
    needed = runner_up / p[chosen] if p[chosen] > 0 else 0.0
    return float(min(max(needed, reserve), bids[chosen]))


def _filled(
    ads: pl.Series, bids: Values, p: Values, believed: Values, room: Room, enough: NDArray[np.bool_], k: int,
    exploration: Exploration, reserve: float, seed: int | None,
) -> list[Placed]:  # fmt: skip
    """The places, one after the other."""
    values, worth = bids * p, bids * believed
    rng = np.random.default_rng(seed)
    free = enough.copy()
    found = []
    for _ in range(min(k, len(ads))):
        allowed = free & room.open
        if not allowed.any():
            break
        chances = exploration.chances(worth, allowed)
        place = int(rng.choice(len(chances), p=chances / chances.sum()))
        price = second_price(values, p, bids, place, allowed, reserve)
        found.append(
            Placed(str(ads[place]), float(p[place]), float(values[place]), price, float(chances[place]))
        )
        free[place] = False
        room.take(place)
    return found
