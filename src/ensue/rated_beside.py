"""The ratings that a model of next items expects beside them, where it has learnt both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from ensue.ranking import Parts, Recommender, Scores
from ensue.sequences import Queries

BESIDE = "beside"
"""What the facts of a model say of the task that it has learnt beside its own."""


@runtime_checkable
class Rating(Protocol):
    """A scoring that expects ratings, too."""

    def ratings(self, queries: Queries) -> Scores:
        """`[Q, N]` the rating that is expected of every item."""
        ...


@dataclass(frozen=True, eq=False)
class RatingsOf:
    """A scoring whose scores are the ratings that another expects.

    Attributes:
        both: expects them.
    """

    both: Rating

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` expected ratings."""
        return self.both.ratings(queries)

    def parts(self) -> Parts:
        """Nothing: the other is saved.

        Raises:
            TypeError: always.
        """
        raise TypeError("what is expected beside is saved with the model that expects it")


def rated_beside(recommender: Recommender) -> Recommender | None:
    """The recommender as one that answers with the ratings it expects; None if it expects none beside next items.

    Args:
        recommender: as it was fitted, or loaded.
    """
    said, both = recommender.facts.get(BESIDE), recommender.scoring
    if not isinstance(said, Mapping) or not isinstance(both, Rating):
        return None
    return replace(recommender, scoring=RatingsOf(both), facts={**recommender.facts, **said})
