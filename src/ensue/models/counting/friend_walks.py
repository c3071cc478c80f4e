"""Random walks along friendships, from the friends of the one who asks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from ensue.blocks import blocks
from ensue.errors import ConfigError
from ensue.models.counting.friendships import Floats, FriendModel, FriendScoring
from ensue.ranking import SCORES_AT_ONCE
from ensue.spaces import Real, Space, Whole


@dataclass(frozen=True)
class FriendWalks(FriendModel):
    """Where random walks are found that set out from the friends in the history: personalised PageRank, cut short.

    A walk begins at one of the friends, all alike, and goes on with probability `keep` from whoever it has reached to
    one of their friends, all alike. The score is how often a candidate is reached within `steps` steps, on average:

        score = sum over s = 1..steps of keep^s x (start x P^s),    P(z, i) = 1 / |N(z)| for each friend i of z.

    So, other than by mutual friends, friends of friends of friends count, and a friend with many friends less. What is
    left equal is ordered by popularity. In a log whose items are no users nobody has a friend, and this is popularity.

    A SAVED MODEL HOLDS WHO IS WHOSE FRIEND: personal data, to be kept as such.

    Attributes:
        steps: the longest walk, after the friend that it begins at.
        keep: the probability to go on after each step, above 0 up to 1.

    References:
        Liben-Nowell, Kleinberg, "The link-prediction problem for social networks", JASIST 58, 2007, section 3 (rooted
        PageRank); Liu, Lü, "Link prediction based on local random walk", EPL 89, 2010.
    """

    name: ClassVar[str] = "friend-walks"
    summary: ClassVar[str] = "people whom walks along friendships reach; for logs whose items are users"
    space: ClassVar[Space] = {"steps": Whole(1, 8), "keep": Real(0.3, 1.0)}

    steps: int = 3
    keep: float = 0.85

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.keep <= 1:
            raise ConfigError(
                f"friend-walks: steps={self.steps}, keep={self.keep:g}: steps is at least 1, keep lies above 0 up to 1."
            )

    def scored(self, friends: sp.csr_array, share: Floats) -> WalkScoring:
        """Scores by walks along these friendships."""
        return WalkScoring(self, friends, share)


@dataclass(frozen=True, eq=False)
class WalkScoring(FriendScoring):
    """Scores by walks.

    Attributes:
        model: its settings.
    """

    model: FriendWalks

    def reached(self, own: sp.csr_array) -> Floats:
        """`[Q, N]` how often each candidate is reached."""
        scores = np.zeros(own.shape)
        begin = sp.csr_array(sp.diags_array(1.0 / np.maximum(np.diff(own.indptr), 1)) @ own)
        for block in blocks(np.full(len(scores), own.shape[1], dtype=np.int64), SCORES_AT_ONCE):
            at = begin[block]
            for _ in range(self.model.steps):
                at = sp.csr_array(at @ self._onwards)
                scores[block] += at.toarray()
        return scores

    @cached_property
    def _onwards(self) -> sp.csr_array:
        """`[N, N]` the probability to go on from whoever is the row to whoever is the column."""
        degree = np.maximum(np.diff(self.friends.indptr), 1)
        return sp.csr_array(sp.diags_array(self.model.keep / degree) @ self.friends)
