"""Which rating is expected of an item: by a recommender that answers with ratings, and by the simplest means.

The simple ones, a mean and what an item and a user are usually above or below it, stand beside every network that
answers with ratings, as popularity stands beside every ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.blocks import blocks
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import ConfigError, DataError, QueryError
from ensue.events.log import EventLog
from ensue.progress import Progress, Silent
from ensue.questions import Question, ids_of, queries_of
from ensue.ranking import Recommender, Scores, Scoring, check_scores
from ensue.rated_beside import rated_beside
from ensue.sequences import Queries, ratings_of
from ensue.splits import Examples

Values = NDArray[np.float64]

BLOCK_BYTES = 64 * 2**20
SCORE_BYTES, EVENT_BYTES = 8, 32
"""What one score takes, and one event of a history while its query is scored (its row, its place and its item)."""

RATINGS = "ratings"

MOST_STEPS, STEP_TOLERANCE = 1001, 1e-3
"""The most different ratings that are looked at for an even step, and how far, in steps, one may lie from it."""

ITEM_DAMPING, USER_DAMPING = 5.0, 5.0
"""How many ratings of exactly the mean each item and each user is taken to have beside its own."""

GLOBAL, ITEM, BOTH = "global mean", "item mean", "item and user bias"
HISTORY = "item and history bias"
NAMES = (GLOBAL, ITEM, BOTH, HISTORY)
"""What a rating is expected by, the simplest first."""


@dataclass(frozen=True)
class Scale:
    """The ratings that can be given, as training shows them: no other end is assumed, and 0 is a rating like any other.

    Attributes:
        lowest: the least.
        highest: the greatest.
        step: between two neighbours; 0 where there is no such step.
        levels: how many different ratings there are.
    """

    lowest: float
    highest: float
    step: float
    levels: int

    @classmethod
    def of(cls, ratings: NDArray[np.floating[Any]]) -> Scale:
        """The scale of some ratings.

        Args:
            ratings: `[E]`, NaN where there is none.

        Raises:
            DataError: there are none.

        Example:
            >>> Scale.of(np.array([0.5, np.nan, 5.0, 3.5, 4.0])).words()
            'ratings from 0.5 to 5 in steps of 0.5'
        """
        levels = np.unique(ratings[~np.isnan(ratings)]).astype(np.float64)
        if len(levels) == 0:
            raise DataError("There are no ratings, and so no scale: say which column holds them.")
        step = float(np.diff(levels).min()) if len(levels) > 1 else 0.0
        places = (levels - levels[0]) / step if step else np.zeros(1)
        even = len(levels) <= MOST_STEPS and bool((np.abs(places - np.round(places)) < STEP_TOLERANCE).all())
        return cls(float(levels[0]), float(levels[-1]), round(step, 6) if even else 0.0, len(levels))

    def words(self) -> str:
        """The scale for people."""
        if self.levels == 1:
            return f"all ratings are {self.lowest:g}"
        between = f" in steps of {self.step:g}" if self.step else f", {self.levels:,} different ones"
        return f"ratings from {self.lowest:g} to {self.highest:g}{between}"


def rating_facts(ratings: NDArray[np.float32] | None) -> dict[str, Any]:
    """What a recommender that answers with expected ratings says of itself, in its facts.

    Args:
        ratings: of its training events, NaN where one has none; None where there are none, and nothing is said.
    """
    if ratings is None:
        return {}
    facts = {"answers": RATINGS, "mean_rating": float(np.nanmean(ratings, dtype=np.float64))}
    return facts | ({} if np.isnan(ratings).all() else {"scale": asdict(Scale.of(ratings))})


def has_ratings(log: EventLog) -> bool:
    """Whether any event of a log has a rating."""
    ratings = ratings_of(log)
    return ratings is not None and not np.isnan(ratings).all()


def answers_ratings(recommender: Recommender) -> bool:
    """Whether a recommender's scores are expected ratings: its facts say so."""
    return recommender.facts.get("answers") == RATINGS


def scale_told(recommender: Recommender) -> Scale | None:
    """The scale that a recommender says it has learnt; None where it says nothing of one, as those of older ensue."""
    said = recommender.facts.get("scale")
    if not isinstance(said, Mapping):
        return None
    return Scale(float(said["lowest"]), float(said["highest"]), float(said["step"]), int(said["levels"]))


def mean_rating(recommender: Recommender) -> float:
    """The mean rating of a recommender's training, which it expects where it knows nothing.

    Raises:
        QueryError: the recommender does not answer with ratings.
    """
    if not answers_ratings(recommender):
        raise QueryError(
            f"{recommender.model} does not answer with ratings, so its scores have no RMSE: fit a network with "
            "loss='mean-squared-error' or 'ordinal-cross-entropy' or a model of ratings such as bayesian, or take "
            "ensue.evaluate for rankings."
        )
    return float(recommender.facts["mean_rating"])


def ratings_by(
    recommender: Recommender,
    examples: Examples,
    *,
    progress: Progress | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Values:
    """`[Q]` the rating that a recommender expects of each target; the mean of its training where it knows nothing.

    Args:
        recommender: a model of ratings, or a network with a loss for them.
        examples: in the indices of its catalogue.
        progress: who is told how far it is.
        block_bytes: most bytes that the scores of one block of queries take.

    Raises:
        QueryError: the recommender does not answer with ratings, or a score is not finite.
    """
    expected = np.full(len(examples), mean_rating(recommender))
    places = np.flatnonzero((examples.targets != UNKNOWN) & (examples.queries.lengths > 0))
    asked = examples[places]
    with (progress or Silent()).task(f"ratings by {recommender.model}", len(asked)) as task:
        for block in blocks(_costs(recommender.scoring, asked.queries), block_bytes, asked.groups):
            found = targeted(recommender.scoring, asked.queries[block], asked.targets[block], block_bytes)
            expected[places[block]] = found
            task.advance(len(found))
    return expected


def expected_of_all(recommender: Recommender, queries: Queries) -> Scores:
    """`[Q, N]` the rating that is expected of every item; the mean of training after a history without a known item.

    Args:
        recommender: a model of ratings, or a network with a loss for them.
        queries: in the indices of its catalogue.

    Raises:
        QueryError: the recommender does not answer with ratings, or a score is not finite.
    """
    mean = mean_rating(recommender)
    scores = np.array(recommender.scores(queries))
    scores[queries.lengths == 0] = mean
    check_scores(scores)
    return scores


def rates(recommender: Recommender) -> Recommender | None:
    """The recommender as one that answers with ratings: itself, or what it expects beside; None if it expects none.

    Args:
        recommender: as it was fitted, or loaded.
    """
    return recommender if answers_ratings(recommender) else rated_beside(recommender)


def rate(
    recommender: Recommender, history: Sequence[str] | Question, items: Sequence[str]
) -> dict[str, float]:
    """The rating that is expected of each of some items after a history; unknown items are left out.

    Args:
        recommender: a model of ratings, or one that has learnt ratings beside next items.
        history: item ids, oldest first, or a `Question` that tells more.
        items: ids, exactly as in the log.

    Raises:
        QueryError: the model has learnt no ratings, or a list is none of ids.
    """
    wanted = ids_of(items, "items")
    rating = rates(recommender)
    if rating is None:
        raise QueryError(
            f"{recommender.model} has learnt no ratings: fit a model of ratings such as bayesian, a network with "
            "loss='mean-squared-error', or one with ratings beside next items (objective.rating = 1)."
        )
    question = history if isinstance(history, Question) else Question(history)
    expected = expected_of_all(rating, queries_of([question], recommender.catalogue)[0])[0]
    codes = recommender.catalogue.encode(wanted).tolist()
    return {item: float(expected[code]) for item, code in zip(wanted, codes, strict=True) if code != UNKNOWN}


def targeted(scoring: Scoring, queries: Queries, items: Items, block_bytes: int = BLOCK_BYTES) -> Values:
    """`[Q]` the score of one item for each history; a scoring that can tell of one alone need not tell of all.

    Args:
        scoring: with a method `expected_of(queries, items)`, or with scores of every item alone.
        queries: `Q` histories of at least one item.
        items: `[Q]` one item for each.
        block_bytes: most bytes that the scores of one block of queries take.

    Raises:
        QueryError: a score is not finite.
    """
    one_each = getattr(scoring, "expected_of", None)
    if one_each is not None:
        found = np.asarray(one_each(queries, items), dtype=np.float64)
        check_scores(found[:, None])
        return found
    found = np.empty(len(queries))
    for block in blocks(_costs(scoring, queries), block_bytes):
        scores = scoring.score(queries[block])
        check_scores(scores)
        found[block] = scores[np.arange(len(scores)), items[block]]
    return found


def _costs(scoring: Scoring, queries: Queries) -> Ints:
    """`[Q]` bytes that the answer to each query takes at its most."""
    wide = 1 if hasattr(scoring, "expected_of") else queries.n_items
    return wide * SCORE_BYTES + queries.lengths * EVENT_BYTES


def rmse(recommender: Recommender, examples: Examples) -> float:
    """The root of the mean squared error over the rated warm targets, each weighing the same; no interval, no baseline.

    Raises:
        QueryError: the recommender does not answer with ratings, or a score is not finite.
    """
    asked = examples[rated_places(examples)]
    off = ratings_by(recommender, asked) - np.asarray(asked.target_ratings, dtype=np.float64)
    return float(np.sqrt(np.mean(off**2)))


def rated_places(examples: Examples, warm: bool = True) -> NDArray[np.int64]:
    """Places of the examples whose target was rated, and is in the catalogue if only warm ones are wanted."""
    if examples.target_ratings is None:
        return np.zeros(0, dtype=np.int64)
    known = examples.targets != UNKNOWN if warm else True
    return np.flatnonzero(~np.isnan(examples.target_ratings) & known)


@dataclass(frozen=True, eq=False)
class Biases:
    """How far above the mean the ratings of an item are, and those of a user after that of its items.

    Attributes:
        mean: of all training ratings.
        lowest: the least rating of training; no expected rating lies below it.
        highest: the greatest; none lies above it.
        items: columns `item`, `bias`.
        users: columns `user`, `bias`.
        damping: of a user, for the bias of a history.

    References:
        Koren, "Factor in the neighbors: scalable and accurate collaborative filtering", TKDD 4(1), 2010, sec. 2.1
        (damped biases, items first); clipping to the scale is ours.
    """

    mean: float
    lowest: float
    highest: float
    items: pl.DataFrame
    users: pl.DataFrame
    damping: float = USER_DAMPING

    @classmethod
    def fit(
        cls, log: EventLog, *, item_damping: float = ITEM_DAMPING, user_damping: float = USER_DAMPING
    ) -> Biases:
        """The biases of a log: sums of what ratings are above what is known so far, over their number plus the damping.

        Args:
            log: training events only; events without a rating count nowhere.
            item_damping: ratings of exactly the mean that each item is taken to have beside its own.
            user_damping: the same for each user, after the bias of its items.

        Raises:
            DataError: no event has a rating.
            ConfigError: a damping is negative.
        """
        for name, damping in (("item_damping", item_damping), ("user_damping", user_damping)):
            if not damping >= 0:
                raise ConfigError(f"{name}={damping:g} must not be negative.")
        if not has_ratings(log):
            raise DataError("No training event has a rating, so there is no mean to compare with.")
        ratings = ratings_of(log)
        known = log.frame.select("user", "item").with_columns(rating=pl.Series(ratings, dtype=pl.Float64))
        known = known.filter(pl.col("rating").is_not_nan())
        above = known.with_columns(above=pl.col("rating") - known["rating"].mean())
        items = _damped(above, "item", item_damping)
        above = above.join(items, on="item", maintain_order="left").with_columns(
            above=pl.col("above") - pl.col("bias")
        )
        return cls(
            mean=float(known["rating"].to_numpy().mean()),
            lowest=float(known["rating"].to_numpy().min()),
            highest=float(known["rating"].to_numpy().max()),
            items=items,
            users=_damped(above, "user", user_damping),
            damping=user_damping,
        )

    def answers(self, examples: Examples, catalogue: Catalogue) -> dict[str, Values]:
        """`[Q]` the rating that is expected of each target, by the names of `NAMES`; what is unknown has no bias.

        The bias of a history is taken from the ratings before the question in its sequence, those of the tested part
        too: it knows of the user what a network knows. It is left out where histories have no ratings.

        Args:
            examples: questions whose targets are to be rated.
            catalogue: in whose indices the histories of the examples are written.
        """
        item = _found(self.items, "item", examples.target_ids)
        answers = {GLOBAL: np.full(len(examples), self.mean), ITEM: self.mean + item}
        queries = examples.queries
        if queries.users is not None:
            answers[BOTH] = self.mean + item + _found(self.users, "user", queries.users)
        if queries.rating is not None:
            own = _found(self.items, "item", catalogue.ids)
            above = queries.rating - self.mean - own[queries.items]
            answers[HISTORY] = self.mean + item + self._of_histories(above, queries.starts, queries.ends)
        return {name: np.clip(found, self.lowest, self.highest) for name, found in answers.items()}

    def _of_histories(self, above: Values, starts: Ints, ends: Ints) -> Values:
        """`[Q]` the damped mean of what is above, over each stretch of `[E]`; NaN counts nowhere."""
        rated = ~np.isnan(above)
        sums = np.concatenate([[0.0], np.cumsum(np.where(rated, above, 0.0))])
        counts = np.concatenate([[0], np.cumsum(rated)])
        number = counts[ends] - counts[starts] + self.damping
        total = sums[ends] - sums[starts]
        mean: Values = total / np.where(number > 0, number, 1)
        return mean


def _damped(above: pl.DataFrame, key: str, damping: float) -> pl.DataFrame:
    """The damped mean of the column `above` for each key, as `bias`."""
    mean = pl.col("above").sum() / (pl.len() + damping)
    return above.group_by(key, maintain_order=True).agg(bias=mean).select(key, "bias")


def _found(biases: pl.DataFrame, key: str, wanted: pl.Series) -> Values:
    """`[n]` the bias of each of these, 0 where it is not known."""
    asked = wanted.cast(pl.String).rename(key).to_frame()
    joined = asked.join(biases, on=key, how="left", maintain_order="left")
    return joined["bias"].fill_null(0.0).to_numpy().astype(np.float64)
