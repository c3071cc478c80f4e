"""A share of exploration: what else than the best is shown, and with which chance, so that it can be judged later.

Both ways say exactly with which chance each ad was shown at its place, given those above it. With `epsilon`, a place is
drawn uniformly among what may be shown with that chance. With `draws`, the best is that by one of M sets of weights,
each as likely as those that were learnt [Thompson sampling]; the sets are the same for every question, and which of
them is asked is drawn anew for each place, so that the chance of an ad is the share of the sets that put it first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Strict

from ensue.errors import ConfigError

Values = NDArray[np.float64]

MOST_DRAWS = 1000


@dataclass(frozen=True)
class Exploration:
    """How much else than the best is shown.

    Attributes:
        epsilon: the chance that a place is drawn uniformly.
        draws: M, sets of weights; 0 takes those that were learnt.
        seed: of the sets.
    """

    epsilon: Annotated[float, Strict()] = 0.0
    draws: Annotated[int, Strict()] = 0
    seed: Annotated[int, Strict()] = 0

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ConfigError(f"epsilon={self.epsilon:g} is no chance, which is from 0 to 1.")
        if not 0 <= self.draws <= MOST_DRAWS:
            raise ConfigError(f"draws={self.draws} must be from 0 to {MOST_DRAWS}.")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed} must be 0 or more.")

    def chances(self, values: Values, allowed: NDArray[np.bool_]) -> Values:
        """`[..., A]` the chance of each candidate at the next place; they add up to 1 where anything is allowed.

        Args:
            values: `[M, ..., A]` what each candidate is worth, by each set of weights; the first of equals is taken.
            allowed: `[..., A]` which may be shown.
        """
        best = np.where(allowed, values, -np.inf).argmax(axis=-1)
        each = np.arange(values.shape[-1])
        share = np.zeros(allowed.shape)
        for one in best:
            share += one[..., None] == each
        count = allowed.sum(axis=-1, keepdims=True)
        mixed = (1 - self.epsilon) * share / len(best) + self.epsilon * allowed / np.maximum(count, 1)
        return np.where(count > 0, mixed, 0.0)


NOTHING = Exploration()
"""No exploration: the best is shown."""
