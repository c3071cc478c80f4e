"""Which event a step of training is asked for: the next one, or now and then one that came a little later.

On short histories of many items what comes soon after says nearly as much about an item as what comes at once, and
there is little of either to learn from; the order of a single day is often that of the file alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensue.batching import Ints, ranges


@dataclass(frozen=True)
class Aiming:
    """How far ahead targets are drawn.

    Attributes:
        most: `A`, the furthest event ahead that may be a target; 1 asks for the next one alone.
        share: of the targets that are drawn, event d ahead with a chance in proportion to 1/d; the others are the next.

    References:
        Counts of pairs by one over their distance, as sequential rules take them: Ludewig, Jannach, "Evaluation of
        session-based recommendation algorithms", UMUAI 28, 2018, section 3.1; targets of a window of later actions:
        Pancha et al., "PinnerFormer: sequence modeling for user representation at Pinterest", KDD 2022,
        arXiv:2205.04507.
    """

    most: int = 1
    share: float = 0.5

    def places(self, starts: Ints, ends: Ints, limits: Ints, rng: np.random.Generator) -> Ints | None:
        """`[sum of ends - starts]` where the targets of the steps of some rows stand, row by row; None if all are next.

        Args:
            starts: `[B]` first input of each row.
            ends: `[B]` after its last input, where its last next event stands.
            limits: `[B]` after the last event that may be a target of the row, above `ends`.
            rng: draws two numbers for each step.
        """
        if self.most == 1:
            return None
        rows, following = ranges(starts + 1, ends + 1)
        among = np.minimum(limits[rows] - following, self.most)
        sums = np.append(0.0, np.cumsum(1 / np.arange(1, self.most + 1)))
        drawn = np.searchsorted(sums, rng.random(len(rows)) * sums[among], side="right") - 1
        found: Ints = following + np.where(
            rng.random(len(rows)) < self.share, np.minimum(drawn, among - 1), 0
        )
        return found


NEXT = Aiming()
"""The next event alone."""
