"""The Markov chain: the next item depends on the last few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.model import Conditions, Model, Training
from ensue.models.counting.contexts import ChainScoring, chain
from ensue.ranking import Parts, Recommender
from ensue.spaces import OneOf, Real, Space, Whole


@dataclass(frozen=True)
class Markov(Model):
    """Markov chain of any order: score of b after a context = count(context, b) / count(context, anything).

    The longest context that training has seen answers: the last `order` items, or fewer. What it leaves undecided
    (items that never followed it, and items that did equally often) is ordered by the context one item shorter, and
    in the end by popularity. With the defaults, only the last item counts, and nothing is smoothed.

    With `discount` above 0, the shorter contexts count from the start: every count gives up `discount`, and what is
    gained is spread over all items as the shorter context would have it (interpolated absolute discounting),

        p(b | c) = max(n(c b) - d, 0) / n(c) + d x different(c) / n(c) x p(b | c without its oldest item),

    where `different(c)` is the number of different items after c. Then scores are probabilities.

    Attributes:
        order: the most items of a context.
        discount: `d`, what each count gives up, from 0 up to 1.
        continuation: shorter contexts count in how many different places something was seen, and not how often
            (Kneser and Ney); the beginning of a sequence is such a place.

    References:
        Shani, Heckerman, Brafman, "An MDP-based recommender system", JMLR 6, 2005, section 3.1.
        Chen, Goodman, "An empirical study of smoothing techniques for language modeling", Computer Speech and
        Language 13, 1999, sections 2.6 (absolute discounting) and 2.7 (Kneser-Ney, its interpolated form in
        section 3).
    """

    name: ClassVar[str] = "markov"
    summary: ClassVar[str] = "what followed the last item, or the last few, counted"
    space: ClassVar[Space] = {
        "order": Whole(1, 4),
        "discount": Real(0.0, 0.95),
        "continuation": OneOf((False, True)),
    }

    order: int = 1
    discount: float = 0.0
    continuation: bool = False

    def __post_init__(self) -> None:
        if self.order < 1 or not 0 <= self.discount < 1:
            raise ConfigError(
                f"markov: order={self.order}, discount={self.discount:g}: "
                "order is at least 1, discount lies from 0 up to 1, without 1 itself."
            )

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The chain of the training sequences; no context reaches over the end of one.

        Raises:
            ModelError: places are to be counted with an objective, which weighs events.
        """
        plain = "take continuation = false"
        sequences = training.alike(self.name, plain) if self.continuation else training.sequences
        counted = chain(sequences, self.order, self.continuation)
        scoring = ChainScoring.of(counted, self.discount)
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> ChainScoring:
        """The stored chain."""
        return ChainScoring.restored(parts, catalogue)
