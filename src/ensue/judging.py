"""How a network is judged on validation while it trains, and which of its states is the best so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from ensue.evaluation import evaluate
from ensue.expected_ratings import rated_places, rmse
from ensue.model import Training
from ensue.ranking import Recommender
from ensue.splits import Examples

SELECT, SELECT_RATING = "ndcg@10", "rmse"
"""The metric on validation by which an epoch is chosen: the higher the better, and of a loss for ratings the lower."""

SCORES_JUDGED, FEWEST_JUDGED = 1_000_000_000, 500
"""The most scores that are made to judge an epoch, and the fewest targets that are judged all the same: else each epoch
of a million items would be judged for minutes."""


@dataclass
class Judge:
    """The validation of one fit.

    Attributes:
        examples: what is judged after each epoch; None judges nothing.
        rates: whether ratings are.
        score: the best so far; None before the first.
        epoch: when that was.
        step: when that was.
        state: the weights of then, by name.
        ended: whether whoever was asked after the last one wants no more, see `Conditions.stop`.
    """

    examples: Examples | None
    rates: bool = False
    score: float | None = None
    epoch: int = 0
    step: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)
    ended: bool = False

    @classmethod
    def of(
        cls, training: Training, most: int, rates: bool, say: Callable[[str], None] = lambda text: None
    ) -> Judge:
        """Judges all validation examples (the rated ones), or evenly spread ones if there are more.

        Args:
            training: with the examples, if any.
            most: how many are judged; fewer where they would need more than `SCORES_JUDGED`.
            rates: whether ratings are learnt.
            say: is told where nothing can be judged, or less than was asked for.
        """
        examples, items = training.validation, len(training.catalogue)
        if examples is not None and rates:
            examples = examples[rated_places(examples)]
            if len(examples) == 0:
                say("no known item of the validation part was rated, so all epochs are trained")
        if examples is None or len(examples) == 0:
            return cls(None, rates)
        fewer = most if rates else max(SCORES_JUDGED // items, FEWEST_JUDGED)
        if fewer < min(most, len(examples)):
            say(f"epochs are judged by {fewer:,} targets, since each ranks {items:,} items")
        most = min(most, fewer)
        if len(examples) > most:
            examples = examples[np.linspace(0, len(examples) - 1, most).astype(np.int64)]
        return cls(examples, rates)

    @property
    def metric(self) -> str:
        """By which an epoch is chosen."""
        return SELECT_RATING if self.rates else SELECT

    def measured(self, recommender: Recommender) -> float:
        """What a recommender scores.

        Args:
            recommender: the network as it is now.
        """
        if self.examples is None:
            raise ValueError("there is nothing to judge by")
        if self.rates:
            return rmse(recommender, self.examples)
        return evaluate(recommender, self.examples, metrics=(SELECT,)).value(SELECT)

    def enough(self, stop: Callable[[int, float], bool] | None, epoch: int, score: float) -> bool:
        """Whether no more is wanted.

        Args:
            stop: who is asked, see `Conditions.stop`.
            epoch: how many have been trained.
            score: what was measured.
        """
        return stop is not None and bool(stop(epoch, -score if self.rates else score))

    def take(self, score: float, epoch: int, step: int, state: Callable[[], dict[str, Tensor]]) -> bool:
        """Keeps a state if it is the best so far; whether it is.

        Args:
            score: what it measured.
            epoch: how many have been trained.
            step: how many have been made.
            state: gives a copy of the weights.
        """
        sign = -1 if self.rates else 1
        better = self.score is None or sign * score > sign * self.score
        if better:
            self.score, self.epoch, self.step, self.state = score, epoch, step, state()
        return better

    def hopeful(self, epoch: int, patience: int) -> bool:
        """Whether to train on: there is nothing to judge by, or more is wanted and the best is not long ago.

        Args:
            epoch: how many have been trained.
            patience: how many epochs without a better score are borne.
        """
        return self.examples is None or (not self.ended and epoch - self.epoch < patience)

    def to_json(self) -> dict[str, Any]:
        """The choice so far, for facts and checkpoints."""
        return {"metric": self.metric, "score": self.score, "epoch": self.epoch, "step": self.step}
