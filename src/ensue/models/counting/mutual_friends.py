"""Mutual friends: who shares friends with the one who asks. The baseline where items are users."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from ensue.models.counting.friendships import Floats, FriendModel, FriendScoring
from ensue.spaces import OneOf, Space


@dataclass(frozen=True)
class MutualFriends(FriendModel):
    """Candidates by the friends that they have in common with the user, as the history names them.

    With F the friends in the history and N(z) the friends of z in training, in either direction, the score of i is

        common           |F and N(i)|
        adamic-adar      sum over z in F and N(i) of 1 / ln |N(z)|
        allocation       sum over z in F and N(i) of 1 / |N(z)|
        jaccard          |F and N(i)| / |F or N(i)|.

    What is left equal is ordered by popularity. In a log whose items are no users nobody has a friend, and this is
    popularity.

    A SAVED MODEL HOLDS WHO IS WHOSE FRIEND: personal data, to be kept as such.

    Attributes:
        measure: "common", "adamic-adar", "allocation" or "jaccard".

    References:
        Liben-Nowell, Kleinberg, "The link-prediction problem for social networks", JASIST 58, 2007, section 3.
        Adamic, Adar, "Friends and neighbors on the Web", Social Networks 25, 2003.
        Zhou, Lü, Zhang, "Predicting missing links via local information", EPJ B 71, 2009 (resource allocation).
    """

    name: ClassVar[str] = "mutual-friends"
    summary: ClassVar[str] = "people who share friends with the user; for logs whose items are users"
    space: ClassVar[Space] = {"measure": OneOf(("common", "adamic-adar", "allocation", "jaccard"))}

    measure: Literal["common", "adamic-adar", "allocation", "jaccard"] = "adamic-adar"

    def scored(self, friends: sp.csr_array, share: Floats) -> MutualScoring:
        """Scores by the friends that two have in common."""
        return MutualScoring(self, friends, share)


@dataclass(frozen=True, eq=False)
class MutualScoring(FriendScoring):
    """Scores by mutual friends.

    Attributes:
        model: its settings.
    """

    model: MutualFriends

    def reached(self, own: sp.csr_array) -> Floats:
        """`[Q, N]` how much each candidate shares with the friends whom histories name."""
        shared: Floats = (own @ self._weighed).toarray()
        if self.model.measure == "jaccard":
            either = np.diff(own.indptr)[:, None] + np.diff(self.friends.indptr) - shared
            shared /= np.maximum(either, 1.0)
        return shared

    @cached_property
    def _weighed(self) -> sp.csr_array:
        """`[N, N]` what a friend (row) in common with a candidate counts."""
        degree = np.diff(self.friends.indptr).astype(np.float64)
        weight = {
            "adamic-adar": 1.0 / np.log(np.maximum(degree, 2.0)),
            "allocation": 1.0 / np.maximum(degree, 1.0),
        }.get(self.model.measure, np.ones(len(degree)))
        return sp.csr_array(sp.diags_array(weight) @ self.friends)
