"""From scores to a slate: the recommender, and the four rules that evaluation and serving share.

- *own items*: `exclude_own` takes what belongs to the user out of every answer: oneself among people, one's own posts.
- *seen items*: `exclude` takes the items of the whole history (not of a model's window) out of the ranking.
- *ties*: `top_k` lists equal scores in catalogue order; `mid_ranks` gives a tied target the middle of its ties.
- *fallback*: a history without a single known item is answered by training popularity, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.abreast import abreast, cores_of, most_at_once
from ensue.batching import Items
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import QueryError
from ensue.events.readers.friendships import OWNER
from ensue.questions import Question, ids_of, queries_of
from ensue.sequences import Queries

Scores = NDArray[np.floating[Any]]

POPULARITY_SHARE = 1e-9
"""How much of an item's share of training events counting models add to its score, to order what they cannot."""


SCORES_AT_ONCE = 8_000_000
"""The most scores that one block of a batch of questions holds: 64 MB in double precision."""

GROUPS = 8
"""Into how many groups the items are put, for each one wanted, to find the best ones."""


@dataclass(frozen=True)
class Parts:
    """What a scoring is made of, so that it can be stored: settings for JSON, arrays, an ONNX graph, and tables.

    A network whose state has one size has in `steps` its graph once more, made to go on from a state; an LSTM has that
    in `small`, too, with weights of 8 bits.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    graph: bytes | None = None
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    steps: bytes | None = None
    small: bytes | None = None


class Scoring(Protocol):
    """What a fitted model knows: scores of every item of the catalogue for a batch of histories."""

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` scores, higher is better, finite, for histories of at least one item."""
        ...

    def parts(self) -> Parts:
        """What to store of this scoring."""
        ...


@dataclass(frozen=True, slots=True)
class Slate:
    """An answer: items in the user's own ids, best first.

    Attributes:
        items: ids, at most k.
        scores: the model's score of each.
        titles: title of each, None where it has none.
        fallback: the answer is training popularity, since no item of the history was known.
        unknown: ids of the history (or of the exclusions) that the catalogue does not hold; they were left out.
    """

    items: tuple[str, ...]
    scores: tuple[float, ...]
    titles: tuple[str | None, ...]
    fallback: bool = False
    unknown: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def to_json(self) -> dict[str, Any]:
        """The slate for programs."""
        rows = [
            {"item": item, "score": score} | ({"title": title} if title is not None else {})
            for item, score, title in zip(self.items, self.scores, self.titles, strict=True)
        ]
        return {"items": rows, "fallback": self.fallback, "unknown": list(self.unknown)}


@dataclass(frozen=True, eq=False)
class Recommender:
    """A fitted model that answers: the only thing that evaluation, tuning, explanation and serving see.

    Attributes:
        catalogue: score column j is item j of it.
        scoring: the fitted model.
        model: its name in the registry.
        settings: the hyperparameters it was fitted with.
        exclude_seen: whether items of the history are left out, unless a question says otherwise.
        facts: what is known of its making (chosen epoch, seed, ...), for the artifact.
    """

    catalogue: Catalogue
    scoring: Scoring
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    exclude_seen: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, queries: Queries) -> Scores:
        """`[Q, N]` scores of every item; a history without items gets training popularity.

        What belongs to the user who asks is at minus infinity, see `exclude_own`.
        """
        if queries.n_items != len(self.catalogue):
            raise QueryError(
                f"The queries count {queries.n_items} items, the catalogue {len(self.catalogue)}."
            )
        return exclude_own(self.unruled(queries), queries, self.catalogue)

    def unruled(self, queries: Queries) -> Scores:
        """`[Q, N]` scores before any rule: of what belongs to the user who asks, too."""
        empty = queries.lengths == 0
        if not empty.any():
            return self._whole(queries, self.scoring.score(queries))
        scores = np.tile(self.catalogue.share, (len(queries), 1))
        if not empty.all():
            asked = queries[~empty]
            scores[~empty] = self._whole(asked, self.scoring.score(asked))
        return scores

    def _whole(self, queries: Queries, scores: Scores) -> Scores:
        """The scores, once it is known that each is of an item: padding and mask are none."""
        if scores.shape != (len(queries), len(self.catalogue)):
            raise QueryError(
                f"{self.model} gives scores of shape {scores.shape} for {len(queries)} questions and "
                f"{len(self.catalogue)} items: padding and mask are no items."
            )
        return scores

    def recommend(
        self,
        history: Sequence[str] | Question,
        k: int = 10,
        *,
        exclude: Iterable[str] = (),
        exclude_seen: bool | None = None,
    ) -> Slate:
        """What comes next after a history, in the user's own ids.

        Args:
            history: item ids, oldest first, or a `Question` that tells more; unknown ids are left out and named in the
                answer.
            k: how many items at most.
            exclude: ids that must not be in the answer.
            exclude_seen: leave out items of the history; None takes the recommender's own rule.

        Raises:
            QueryError: k is not a whole number from 0 up, or the history is not a list of ids.
        """
        return self.recommend_many([history], k, exclude=exclude, exclude_seen=exclude_seen)[0]

    def recommend_many(
        self,
        histories: Sequence[Sequence[str] | Question],
        k: int = 10,
        *,
        exclude: Iterable[str] = (),
        exclude_seen: bool | None = None,
    ) -> list[Slate]:
        """One slate for each history; the same answers as one by one."""
        k = checked_k(k)
        banned_ids = ids_of(exclude, "exclude")
        banned = self.catalogue.encode(banned_ids)
        unknown_banned = [
            item for item, code in zip(banned_ids, banned.tolist(), strict=True) if code == UNKNOWN
        ]
        seen = self.exclude_seen if exclude_seen is None else exclude_seen
        wanted = list(histories)
        cores = cores_of(self, len(wanted))
        block = most_at_once(SCORES_AT_ONCE // len(self.catalogue), len(wanted), cores)

        def answered(recommender: Recommender, begin: int) -> list[Slate]:
            some = wanted[begin : begin + block]
            part = [entry if isinstance(entry, Question) else Question(entry) for entry in some]
            queries, coded = queries_of(part, self.catalogue)
            scores = recommender.scores(queries)
            check_scores(scores)
            scores = exclude_histories(scores, queries) if seen else np.array(scores)
            scores[:, banned[banned != UNKNOWN]] = -np.inf
            best = top_k_rows(scores, min(k, len(self.catalogue)))
            return self._slates(scores, best, part, coded, queries.lengths.tolist(), unknown_banned)

        return list(chain.from_iterable(abreast(self, range(0, len(wanted), block), answered, cores)))

    def _slates(
        self,
        scores: Scores,
        best: Items,
        asked: Sequence[Question],
        coded: Sequence[Items],
        known: Sequence[int],
        unknown: list[str],
    ) -> list[Slate]:
        """The answers in the user's own ids.

        Args:
            scores: `[Q, N]`.
            best: `[Q, k]` items, `N` where there are no more.
            asked: the questions.
            coded: the codes of their histories.
            known: how many of those the catalogue holds.
            unknown: ids that were to be left out and that it does not hold.
        """
        n, titles = len(self.catalogue), self.catalogue.titles
        listed = (best < n).sum(axis=1).tolist()
        ids = iter(self.catalogue.decode(best[best < n]))
        values = np.take_along_axis(scores, np.minimum(best, n - 1), axis=1).tolist()
        slates = []
        for row, found, count, question, codes, held in zip(
            best.tolist(), values, listed, asked, coded, known, strict=True
        ):
            places = row[:count]
            missing: list[str] = []
            if held < len(codes):
                missing = [question.history[place] for place in np.flatnonzero(codes == UNKNOWN).tolist()]
            slates.append(
                Slate(
                    items=tuple(islice(ids, count)),
                    scores=tuple(found[:count]),
                    titles=tuple(map(titles.__getitem__, places)),
                    fallback=held == 0,
                    unknown=tuple(dict.fromkeys(missing + unknown)),
                )
            )
        return slates


def checked_k(k: object) -> int:
    """k, once it is known to be a whole number from 0 up.

    Raises:
        QueryError: it is not.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
        raise QueryError(
            f"k={k!r} is not a whole number from 0 up: take how many items you want, such as k=10."
        )
    return int(k)


def exclude_own(scores: Scores, queries: Queries, catalogue: Catalogue) -> Scores:
    """`[Q, N]` scores with whatever belongs to the user of each query at minus infinity.

    An item is somebody's own if the feature `owner` names them: of people who are recommended to each other everybody
    is their own, so nobody is recommended to themselves. A query whose user is not known has nothing of its own. Where
    nothing is, the scores are given back as they are; else a copy.

    Args:
        scores: `[Q, N]`.
        queries: who asks.
        catalogue: whose items they are.
    """
    if catalogue.owned is None or queries.users is None:
        return scores
    asking = queries.users.cast(pl.String).rename(OWNER).to_frame().with_row_index("query")
    own = asking.join(catalogue.owned, on=OWNER, how="inner")
    if own.is_empty():
        return scores
    kept = np.array(scores)
    kept[own["query"].to_numpy(), own["index"].to_numpy()] = -np.inf
    return kept


def exclude_histories(scores: Scores, queries: Queries) -> Scores:
    """A copy of `[Q, N]` scores with every item of each whole history at minus infinity."""
    rows, items = queries.pairs()
    kept = np.array(scores)
    kept[rows, items] = -np.inf
    return kept


def mid_ranks(scores: Scores, targets: Items) -> NDArray[np.float64]:
    """`[Q]` rank of each target: 1 + (number greater) + half of the other equals.

    It depends on no order of the items. For an untied target, rank <= k if and only if `top_k` serves it.

    Args:
        scores: `[Q, N]`; minus infinity marks an item that cannot be served.
        targets: `[Q]` item indices, -1 for an item that is not in the catalogue.

    Returns:
        Ranks from 1; infinity for a target that cannot be served.

    Raises:
        QueryError: a score is not a number, or is plus infinity.
    """
    return standings(scores, targets)[0]


def standings(scores: Scores, targets: Items) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`mid_ranks`, and `[Q]` whether another candidate has the target's score.

    A target that cannot be served ties with none.
    """
    check_scores(scores)
    own = scores[np.arange(len(targets)), np.maximum(targets, 0)][:, None]
    greater = marked(scores > own)
    others = marked(scores == own) - 1
    served = (targets != UNKNOWN) & (own[:, 0] > -np.inf)
    return np.where(served, 1.0 + greater + others / 2.0, np.inf), served & (others > 0)


def marked(marks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """`[Q]` how many marks each row of `[Q, N]` has; four times as fast as to add them up one by one."""
    counts: NDArray[np.int64] = np.bitwise_count(np.packbits(marks, axis=1)).sum(axis=1, dtype=np.int64)
    return counts


def check_scores(scores: Scores) -> None:
    """Nothing, if every score is a number below plus infinity.

    Raises:
        QueryError: some are not; such scores rank nothing and must not be reported on.
    """
    with np.errstate(invalid="ignore"):
        greatest = scores.max(initial=-np.inf)  # not a number, if any score is none
    if not greatest < np.inf:
        bad = int((np.isnan(scores) | np.isposinf(scores)).any(axis=1).sum())
        raise QueryError(
            f"{bad} of {len(scores)} queries have scores that are not finite; the model is broken."
        )


def top_k(scores: NDArray[np.floating[Any]], k: int) -> NDArray[np.int64]:
    """The best k items of one row of scores, best first, ties in catalogue order.

    Args:
        scores: `[N]`; an item at minus infinity is never listed.
        k: how many at most.
    """
    best = top_k_rows(scores[None], min(k, len(scores)))[0]
    listed: NDArray[np.int64] = best[best < len(scores)].astype(np.int64)
    return listed


def top_k_rows(scores: Scores, k: int) -> Items:
    """`[Q, k]` the best items of each row of scores, best first, ties in catalogue order, `N` where there are no more.

    Args:
        scores: `[Q, N]`; an item at minus infinity is never listed.
        k: how many at most.
    """
    rows, n_items = scores.shape
    best = np.full((rows, k), n_items, dtype=np.int32)
    n = min(k, n_items)
    if n == 0 or rows == 0:
        return best
    flat = np.flatnonzero(scores >= _floor(scores, n))  # in two dimensions this costs many times as much
    row, item = np.divmod(flat, n_items)
    value = scores[row, item]
    listed = value > -np.inf
    row, item, value = row[listed], item[listed], value[listed]
    order = np.lexsort((-value, row))  # stable: items of a row ascend, and so do equal ones
    row, item = row[order], item[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    kept = place < n
    best[row[kept], place[kept]] = item[kept]
    return best


def _floor(scores: Scores, n: int) -> Scores:
    """`[Q, 1]` a score that at least n items of each row reach, and not many more.

    The n-th best of the maxima of groups of items is such a score, and found at the price of one look at each item.
    """
    rows, n_items = scores.shape
    width = max(n_items // (GROUPS * n), 1)
    whole = n_items // width * width
    maxima = scores[:, :whole].reshape(rows, width, -1).max(axis=1) if width > 1 else scores
    least: Scores = np.partition(maxima, maxima.shape[1] - n, axis=1)[:, maxima.shape[1] - n, None]
    return least
