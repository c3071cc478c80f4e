"""What a click model has to be better than: the click rate of all, and that of the ad itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.ads.history import Past
from ensue.ads.impressions import Impressions
from ensue.calibration import binary_log_loss
from ensue.errors import DataError

Values = NDArray[np.float64]

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Impressions that an ad's rate is drawn towards that of all by; chosen on validation, by log-loss."""


@dataclass(frozen=True)
class BaseRate:
    """The click rate of the training impressions, for every ad."""

    rate: float
    name: str = "base rate"

    @classmethod
    def fit(cls, impressions: Impressions) -> BaseRate:
        """The click rate of some impressions."""
        return cls(float(impressions.clicked.mean()))

    def probabilities(self, frame: pl.DataFrame, past: Past) -> Values:
        """`[E]` the same for all."""
        return np.full(len(frame), self.rate)


@dataclass(frozen=True, eq=False)
class OwnRate:
    """The click rate of each ad, drawn towards that of all.

    Attributes:
        rates: `ad` and its `rate`.
        rate: that of all, for ads that training does not know.
        strength: how many impressions of the rate of all each ad is given.
    """

    rates: pl.DataFrame
    rate: float
    strength: float
    name: str = "the ad's own click rate"

    @classmethod
    def fit(cls, impressions: Impressions, validation: float = 0.2) -> OwnRate:
        """The click rates of training impressions, drawn together as fits the last share of them best.

        Raises:
            DataError: the log does not know ads.
        """
        if not impressions.ads:
            raise DataError("No ad was shown twice, so no ad has a click rate of its own.")
        earlier, later = impressions.parted(validation)
        tried = [
            (binary_log_loss(one.probabilities(later.frame, Past.none()), later.clicked), one.strength)
            for one in (_counted(earlier, strength) for strength in STRENGTHS)
        ]
        return _counted(impressions, min(tried)[1])

    def probabilities(self, frame: pl.DataFrame, past: Past) -> Values:
        """`[E]` the rate of each ad."""
        found = frame.select("ad").join(self.rates, on="ad", how="left", maintain_order="left")["rate"]
        return found.fill_null(self.rate).to_numpy()


def _counted(impressions: Impressions, strength: float) -> OwnRate:
    rate = float(impressions.clicked.mean())
    rates = impressions.frame.group_by("ad").agg(
        rate=(pl.col("clicked").sum() + strength * rate) / (pl.len() + strength)
    )
    return OwnRate(rates, rate, strength)
