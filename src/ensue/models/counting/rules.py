"""Sequential rules: what follows within a few steps, for each of the last items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.model import Conditions, Model, Training
from ensue.models.counting.transitions import TransitionScoring
from ensue.ranking import Parts, Recommender
from ensue.spaces import Real, Space, Whole
from ensue.transitions import row_shares, transition_counts


@dataclass(frozen=True)
class Rules(Model):
    """Sequential rules: a training-free table, and the gate that every network has to pass.

    Each ordered pair at distance d <= window adds 1/d to count(a, b); rows are divided by their totals; the score of
    b is the sum over the last items of `decay^j x row(item)`, with j = 0 for the most recent.

    Attributes:
        window: `W`, the largest distance that is counted, in events.
        last: `L`, how many of the last items are asked.
        decay: weight of each step further back, from 0 to 1. Short histories of wide catalogues like 0.5.

    References:
        Ludewig, Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 28, 2018, section 3.1.
    """

    name: ClassVar[str] = "rules"
    summary: ClassVar[str] = "what followed each of the last items within a few steps, counted"
    space: ClassVar[Space] = {
        "window": Whole(1, 40),
        "last": Whole(1, 20),
        "decay": Real(0.2, 1.0),
    }

    window: int = 20
    last: int = 10
    decay: float = 0.7

    def __post_init__(self) -> None:
        if self.window < 1 or self.last < 1 or not 0 <= self.decay <= 1:
            raise ConfigError(
                f"rules: window={self.window}, last={self.last}, decay={self.decay}: "
                "window and last are at least 1, decay lies between 0 and 1."
            )

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The rules of the training sequences."""
        table = row_shares(transition_counts(training.sequences, self.window))
        scoring = TransitionScoring(table, self.last, self.decay, training.catalogue.share)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> TransitionScoring:
        """The stored rules."""
        return TransitionScoring.restored(parts, catalogue)
