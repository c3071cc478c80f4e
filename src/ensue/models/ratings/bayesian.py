"""Bayesian factorisation of ratings, which sees what was chosen beside how it was rated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.model import Conditions, Training
from ensue.models.ratings.fold_in import FactorRatings, Values
from ensue.models.ratings.gibbs import RATE, SHAPE, Side
from ensue.models.ratings.rating_model import Rated, RatingModel
from ensue.ranking import Parts, Recommender
from ensue.spaces import OneOf, Space, Whole


@dataclass(frozen=True)
class Bayesian(RatingModel):
    """Ratings as `mean + b_u + c_i + p_u . q_i`, averaged over draws of all of them from what the ratings leave open.

    Nothing is to be tuned against overfitting: how far vectors spread is drawn too. With `implicit` the vector of a
    user is expected where the items that it had, rated or not, say (SVD++), and that of an item where the users who
    had it say ("flipped"). Of the draws the items' half is kept; the user's is worked out from the history when a
    question is asked, as the mean given the items, so new users are answered like any other and no vector of a user is
    stored.

    Attributes:
        factors: numbers in a vector.
        draws: how often everything is drawn in turn.
        burn_in: share of the draws that are left out, since they still tell of where it began.
        kept: of how many draws the items are kept, evenly spread over the rest.
        implicit: "both", "users" (of items that a user had), "items" (of users that an item had) or "none".
        most: at most so many items, the most frequent, and so many users, those of the most events, tell by having.

    References:
        Salakhutdinov, Mnih, "Bayesian probabilistic matrix factorization using Markov chain Monte Carlo", ICML 2008;
        Rendle, Zhang, Koren, "On the difficulty of evaluating baselines", arXiv:1905.01395 (implicit, flipped); Simm et
        al., "Macau", arXiv:1509.04610 (features in the prior). Averaging the users' means instead of their draws is
        ours.
    """

    name: ClassVar[str] = "bayesian"
    summary: ClassVar[str] = "expected ratings: Bayesian factorisation, with what was chosen beside"
    space: ClassVar[Space] = {
        "factors": Whole(4, 32, log=True),
        "draws": Whole(100, 400, log=True),
        "implicit": OneOf(("both", "users", "items", "none")),
    }

    factors: int = 10
    draws: int = 200
    burn_in: float = 0.4
    kept: int = 40
    implicit: str = "both"
    most: int = 1000

    def __post_init__(self) -> None:
        faults = [
            f"{name}={getattr(self, name)} must be at least 1"
            for name in ("factors", "draws", "kept", "most")
            if getattr(self, name) < 1
        ]
        if not 0 <= self.burn_in < 1:
            faults.append(f"burn_in={self.burn_in:g} must lie from 0 up to 1")
        if self.implicit not in ("both", "users", "items", "none"):
            faults.append(f"implicit='{self.implicit}' must be one of both, users, items, none")
        if faults:
            raise ConfigError(f"{self.name}: {'; '.join(faults)}.")

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The draws of the items; the same for the same seed.

        Raises:
            ModelError: there are no ratings.
        """
        scale = self.told(training, conditions)
        rated = Rated.of(training.alike(self.name, "leave it out"))
        rng = np.random.default_rng(conditions.seed)
        told = _told_by(training, rated, self.most)
        ratings, counts = rated.table(rated.above), rated.table(np.ones(len(rated.above)))
        by_items = told[0] if self.implicit in ("both", "users") else None
        by_users = told[1] if self.implicit in ("both", "items") else None
        users = Side(ratings, counts, by_items, self.factors, rng)
        items = Side(ratings.T.tocsr(), counts.T.tocsr(), by_users, self.factors, rng)
        first = int(self.draws * self.burn_in)
        wanted = set(
            np.linspace(first, self.draws - 1, min(self.kept, self.draws - first)).astype(int).tolist()
        )
        weight, kept = 1.0, []
        with conditions.progress.task(f"{self.name}: draws", self.draws) as task:
            for draw in range(self.draws):
                users.believe()
                items.believe()
                users.draw(items, weight)
                if draw in wanted:
                    kept.append((items.vectors, users.precision, users.centre, weight, users.sharing))
                items.draw(users, weight)
                weight = _weight(rated, users, items, rng)
                task.advance(1)
        vectors, precision, centre, weights, sharing = zip(*kept, strict=True)
        scoring = FactorRatings(
            np.stack(vectors).astype(np.float32),
            np.stack(precision),
            np.stack(centre),
            np.array(weights),
            rated.mean,
            scale.lowest,
            scale.highest,
            None
            if by_items is None
            else np.stack([_widened(one, len(training.catalogue)) for one in sharing]),
        )
        return self.answering(training, scoring, draws=len(kept), rating_precision=weight)

    def restore(self, parts: Parts, catalogue: Catalogue) -> FactorRatings:
        """The stored draws."""
        return FactorRatings.restored(parts, catalogue)


def _told_by(training: Training, rated: Rated, most: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """`[U, F]` what the most frequent items say of their users, and `[N, F']` the busiest users of their items."""
    busiest = np.sort(np.argsort(-training.sequences.lengths, kind="stable")[:most])
    return rated.chosen[:, :most], rated.choosers[:, busiest]  # a catalogue begins with the most frequent


def _widened(sharing: Values, n_items: int) -> NDArray[np.float32]:
    """`[N, D + 1]` what every item says: nothing, beyond the most frequent."""
    found = np.zeros((n_items, sharing.shape[1]), dtype=np.float32)
    found[: len(sharing)] = sharing
    return found


def _weight(rated: Rated, users: Side, items: Side, rng: np.random.Generator) -> float:
    """The precision of one rating, drawn given how far off the vectors are."""
    p, q = users.vectors[rated.users], items.vectors[rated.items]
    off: Values = rated.above - np.einsum("ed,ed->e", p[:, :-1], q[:, :-1]) - p[:, -1] - q[:, -1]
    return float(rng.gamma(SHAPE + len(off) / 2) / (RATE + float(off @ off) / 2))
