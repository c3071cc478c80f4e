"""Matrix factorisation of ratings, and its form that also sees which items were chosen: SVD and SVD++."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ensue.batching import Ints
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.model import Conditions, Training
from ensue.models.ratings.fold_in import FactorRatings, Values
from ensue.models.ratings.rating_model import Rated, RatingModel
from ensue.ranking import Parts, Recommender
from ensue.spaces import Real, Space, Whole

Blocks = Mapping[str, Values]

FIRST = 0.1
"""Spread of the vectors that the descent begins with."""


@dataclass(frozen=True)
class _Factorisation(RatingModel):
    """Ratings as `mean + b_u + c_i + x_u . q_i`, whose squared errors and vectors are made small together.

    The sum of the squared errors and, for every rating, `regularization` times the squares of all that it is worked out
    from is brought down for a number of steps by L-BFGS, the errors of all ratings at once: no learning rate, and no
    step for a single rating. A user's vector is solved for from the history when a question is asked.

    Attributes:
        factors: numbers in a vector.
        regularization: of vectors and biases alike.
        iterations: steps of the descent.
    """

    implicit: ClassVar[bool] = False
    space: ClassVar[Space] = {
        "factors": Whole(4, 128, log=True),
        "regularization": Real(0.005, 0.3, log=True),
        "iterations": Whole(20, 200, log=True),
    }

    factors: int = 20
    regularization: float = 0.13
    iterations: int = 60

    def __post_init__(self) -> None:
        faults = [
            f"{name}={getattr(self, name)} must be at least 1"
            for name in ("factors", "iterations")
            if getattr(self, name) < 1
        ]
        if not 0 < self.regularization < np.inf:
            faults.append(f"regularization={self.regularization:g} must be a number above 0")
        if faults:
            raise ConfigError(f"{self.name}: {'; '.join(faults)}.")

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The items' vectors; the same for the same seed.

        Raises:
            ModelError: there are no ratings.
        """
        scale = self.told(training, conditions)
        rated = Rated.of(training.alike(self.name, "leave it out"))
        error = SquaredError(rated, self.factors, self.regularization, self.implicit)
        with conditions.progress.task(f"{self.name}: steps", self.iterations) as task:
            found = error.least(
                self.iterations, np.random.default_rng(conditions.seed), lambda: task.advance(1)
            )
        width = self.factors + 1
        implicit = None
        if self.implicit:
            implicit = np.zeros((1, training.sequences.n_items, width), dtype=np.float32)
            implicit[0, :, :-1] = found["chosen"]
        scoring = FactorRatings(
            np.column_stack([found["items"], found["item biases"]])[None].astype(np.float32),
            self.regularization * np.eye(width)[None],
            np.zeros((1, width)),
            np.ones(1),
            rated.mean,
            scale.lowest,
            scale.highest,
            implicit,
            per_rating=True,
        )
        return self.answering(training, scoring)

    def restore(self, parts: Parts, catalogue: Catalogue) -> FactorRatings:
        """The stored vectors."""
        return FactorRatings.restored(parts, catalogue)


@dataclass(frozen=True)
class SVD(_Factorisation):
    """Matrix factorisation of ratings with biases, the vector of a user its own: `x_u = p_u`.

    References:
        Koren, Bell, Volinsky, "Matrix factorization techniques for recommender systems", Computer 42(8), 2009,
        equation 5. Who is called SVD here: Funk, "Netflix update: try this at home", 2006.
    """

    name: ClassVar[str] = "svd"
    summary: ClassVar[str] = "expected ratings: matrix factorisation with biases"


@dataclass(frozen=True)
class SVDPlusPlus(_Factorisation):
    """Matrix factorisation in which a user is also the items that it had: `x_u = p_u + sum of y_j / sqrt(n)`.

    References:
        Koren, "Factorization meets the neighborhood", KDD 2008, equations 15 and 16.
    """

    name: ClassVar[str] = "svdpp"
    summary: ClassVar[str] = "expected ratings: matrix factorisation with what was chosen beside"
    implicit: ClassVar[bool] = True


@dataclass(frozen=True, eq=False)
class SquaredError:
    """What a factorisation makes small, with its gradient.

    Attributes:
        rated: the ratings.
        factors: `D`.
        regularization: of the squares of all that a rating is worked out from, once for each rating.
        implicit: whether users are also the items that they had.
    """

    rated: Rated
    factors: int
    regularization: float
    implicit: bool

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What is learnt, by name."""
        users, items = self.rated.chosen.shape
        shapes: dict[str, tuple[int, ...]] = {
            "users": (users, self.factors),
            "user biases": (users,),
            "items": (items, self.factors),
            "item biases": (items,),
        }
        return shapes | ({"chosen": (items, self.factors)} if self.implicit else {})

    @cached_property
    def times(self) -> dict[str, Values]:
        """How many ratings each entry of a block has a part in, a column where the block is a table."""
        rated = self.rated
        users = _counts(rated.users, rated.chosen.shape[0])
        items = _counts(rated.items, rated.chosen.shape[1])
        times = {"users": users[:, None], "user biases": users, "items": items[:, None], "item biases": items}
        if self.implicit:
            had = rated.chosen > 0
            times["chosen"] = (had.T @ users)[:, None]
        return times

    def blocks(self, flat: Values) -> dict[str, Values]:
        """The blocks by name, as views into one long vector."""
        found, begin = {}, 0
        for name, shape in self.shapes.items():
            end = begin + int(np.prod(shape))
            found[name] = flat[begin:end].reshape(shape)
            begin = end
        return found

    def __call__(self, flat: Values) -> tuple[float, Values]:
        """The sum of what is made small, and its gradient."""
        rated, at = self.rated, self.blocks(flat)
        users = at["users"] + rated.chosen @ at["chosen"] if self.implicit else at["users"]
        expected = np.einsum("ed,ed->e", users[rated.users], at["items"][rated.items])
        off = expected + at["user biases"][rated.users] + at["item biases"][rated.items] - rated.above
        table = rated.table(off)
        towards = table @ at["items"]
        slopes = {
            "users": towards,
            "user biases": _counts(rated.users, table.shape[0], off),
            "items": table.T @ users,
            "item biases": _counts(rated.items, table.shape[1], off),
        }
        if self.implicit:
            slopes["chosen"] = rated.chosen.T @ towards
        total, gradient = float(off @ off) / 2, np.empty_like(flat)
        for name, slope in self.blocks(gradient).items():
            weighed = self.regularization * self.times[name] * at[name]
            total += float((weighed * at[name]).sum()) / 2
            slope[...] = slopes[name] + weighed
        return total, gradient

    def least(self, steps: int, rng: np.random.Generator, done: Callable[[], None]) -> dict[str, Values]:
        """The blocks after some steps downhill.

        Args:
            steps: how many.
            rng: where it begins.
            done: called after each step.
        """
        from scipy.optimize import minimize  # which every model's file would load with it

        first = np.zeros(sum(int(np.prod(shape)) for shape in self.shapes.values()))
        for name, block in self.blocks(first).items():
            if name in ("users", "items"):
                block[...] = rng.normal(0, FIRST, block.shape)
        # every entry in the unit in which its own penalty curves alike: else what many ratings share hardly moves
        unit = np.empty_like(first)
        for name, block in self.blocks(unit).items():
            block[...] = 1 / np.sqrt(np.maximum(self.times[name], 1.0))

        def in_units(flat: Values) -> tuple[float, Values]:
            total, gradient = self(flat * unit)
            return total, gradient * unit

        options: Any = {"maxiter": steps, "maxfun": 2 * steps + 20}
        found = minimize(
            in_units, first / unit, jac=True, method="L-BFGS-B", options=options, callback=lambda _: done()
        )
        return self.blocks(np.asarray(found.x) * unit)


def _counts(rows: Ints, number: int, weights: Values | None = None) -> Values:
    """`[number]` how often each row came, or the sum of its weights."""
    return np.bincount(rows, weights=weights, minlength=number).astype(np.float64)
