"""The Markov chain: the next item depends on the last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ensue.catalogue import Catalogue
from ensue.model import Conditions, Model, Training
from ensue.models.counting.transitions import TransitionScoring, row_shares, transition_counts
from ensue.ranking import Parts, Recommender


@dataclass(frozen=True)
class Markov(Model):
    """First-order Markov chain: score of b after a = count(a then b) / count(a then anything).

    Items that never followed the last one are ordered by popularity.

    References:
        Shani, Heckerman, Brafman, "An MDP-based recommender system", JMLR 6, 2005, section 3.1.
    """

    name: ClassVar[str] = "markov"
    summary: ClassVar[str] = "what followed the last item, counted"

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The chain of all neighbouring pairs of the training sequences."""
        table = row_shares(transition_counts(training.sequences, window=1))
        scoring = TransitionScoring(table, last=1, decay=1.0, share=training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> TransitionScoring:
        """The stored chain."""
        return TransitionScoring.restored(parts, catalogue)
