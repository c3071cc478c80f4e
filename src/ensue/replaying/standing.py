"""At which place of a slate each target has to stand, by the scores that evaluation ranks by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.blocks import blocks
from ensue.catalogue import UNKNOWN
from ensue.evaluation import BLOCK_BYTES, EVENT_BYTES
from ensue.examples import Examples
from ensue.progress import Progress
from ensue.ranking import Recommender, Scores, check_scores, exclude_histories, marked

Places = NDArray[np.float64]
Mask = NDArray[np.bool_]

CLOSE = 1e-5
"""By how much single-precision scores of one question may differ from batch to batch."""

ULPS = 8
"""The same for double precision, in steps of the last digit."""


@dataclass(frozen=True, eq=False)
class Standing:
    """Where targets stand offline. Infinity is a target that cannot be served.

    Attributes:
        listed: `[Q]` place in the slate, equal scores in the order of the catalogue.
        least: `[Q]` place if the target were the first of those whose scores are equal, or too close to tell.
        most: `[Q]` place if it were the last of them.
    """

    listed: Places
    least: Places
    most: Places

    @property
    def tied(self) -> Mask:
        """`[Q]` whether another candidate has the target's score, or one too close to tell."""
        found: Mask = self.most > self.least
        return found

    def agrees(self, ranks: Places, depth: int) -> tuple[Mask, Mask]:
        """`[Q]` whether a slate has the target at its very place, and whether it has it as far as scores tell.

        Args:
            ranks: `[Q]` place of each target in a slate, infinity for one that is not listed.
            depth: items of a slate.
        """
        same: Mask = ranks == cut(self.listed, depth)
        unlisted = np.isinf(ranks)
        near = np.where(unlisted, self.most > depth, (self.least <= ranks) & (ranks <= self.most))
        return same, same | near


def cut(places: Places, depth: int) -> Places:
    """Places with infinity for those that a slate of so many items does not have."""
    return np.where(places <= depth, places, np.inf)


def standing(
    recommender: Recommender, examples: Examples, progress: Progress, block_bytes: int = BLOCK_BYTES
) -> Standing:
    """Where the targets of all examples stand, ranked as in evaluation.

    Args:
        recommender: what answers.
        examples: histories with known answers.
        progress: who is told how far it is.
        block_bytes: most bytes that the scores of one block of queries take.
    """
    found = np.empty((3, len(examples)))
    with progress.task(f"ranking {recommender.model}", len(examples)) as task:
        costs: Ints = examples.queries.n_items * 8 + examples.queries.lengths * EVENT_BYTES
        for block in blocks(costs, block_bytes, examples.groups):
            queries, targets = examples.queries[block], examples.targets[block]
            scores = recommender.scores(queries)
            check_scores(scores)
            if recommender.exclude_seen:
                scores = exclude_histories(scores, queries)
            found[:, block] = _places(scores, targets)
            task.advance(len(targets))
    return Standing(*found)


def _places(scores: Scores, targets: Items) -> Places:
    """`[3, Q]` places: listed, least and most."""
    item = np.maximum(targets, 0)[:, None]
    own = np.take_along_axis(scores, item, axis=1)
    served = (targets != UNKNOWN) & (own[:, 0] > -np.inf)
    with np.errstate(invalid="ignore"):
        size = np.abs(own)
        gap = CLOSE * np.maximum(size, 1) if scores.dtype == np.float32 else ULPS * np.spacing(size)
        gap = np.where(np.isfinite(own), gap, 0)
    before = (scores == own) & (np.arange(scores.shape[1])[None] < item)
    listed = 1 + marked(scores > own) + marked(before)
    least, most = 1 + marked(scores > own + gap), marked(scores >= own - gap)
    return np.where(served, np.stack([listed, least, most]).astype(np.float64), np.inf)
