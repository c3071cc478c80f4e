"""How good a ranking is: metrics over the ranks of the relevant items, one value for each query.

The rules that all of them share:

- *rank*: 1 is the best. A rank is a mid-rank (`ranking.mid_ranks`), so it may end in a half. An item is a hit
  at k if its rank is at most k, and gains `1 / log2(1 + rank)`. Relevant items that tie with one another
  stand side by side in the middle of their ties, so that k places never hold more than k hits.
- *miss*: a relevant item that cannot be served (not in the catalogue, or excluded) has rank infinity and
  gains nothing from any metric, AUC included.
- *nothing relevant*: such a query scores 0.

A metric is a frozen dataclass with a `word`; writing one is all that it takes for `metric("word@k")` to find
it.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import Field, dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.errors import ConfigError, DataError, nearest

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranked:
    """Where the relevant items of `Q` queries stand in their rankings.

    Attributes:
        ranks: `[M]` mid-rank of each relevant item, from 1; infinity for one that cannot be served.
        offsets: `[Q+1]`; the relevant items of query q are `ranks[offsets[q]:offsets[q+1]]`, in any order.
        candidates: `[Q]` how many items were ranked for each query (those that could be served).
    """

    ranks: Values
    offsets: NDArray[np.int64]
    candidates: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.candidates) + 1 or self.offsets[-1] != len(self.ranks):
            raise DataError(
                f"{len(self.ranks)} ranks and {len(self.candidates)} queries do not fit offsets that hold "
                f"{len(self.offsets) - 1} queries and end at {self.offsets[-1]}."
            )
        if not (self.ranks >= 1).all():
            raise DataError(
                f"Rank {self.ranks[~(self.ranks >= 1)][0]} is below 1 or is not a number; ranks begin at 1."
            )

    @classmethod
    def single(cls, ranks: Values, candidates: NDArray[np.int64]) -> Ranked:
        """One relevant item for each query, which is what next-item evaluation asks."""
        return cls(ranks, np.arange(len(ranks) + 1, dtype=np.int64), candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def relevant(self) -> NDArray[np.int64]:
        """`[Q]` relevant items of each query."""
        counts: NDArray[np.int64] = np.diff(self.offsets)
        return counts

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """`[M]` the query of each relevant item."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.relevant)

    @cached_property
    def places(self) -> Values:
        """`[M]` ranks ascending within each query, with ties among its relevant items set side by side.

        R relevant items that share the mid-rank m take the places m - (R-1)/2, ..., m + (R-1)/2. The j-th
        place of a query is thus at least j.
        """
        ranks = self.ranks[np.lexsort((self.ranks, self.rows))]
        new = np.ones(len(ranks), dtype=bool)
        new[1:] = (ranks[1:] != ranks[:-1]) | (self.rows[1:] != self.rows[:-1])
        run = np.cumsum(new) - 1
        starts = np.flatnonzero(new)
        sizes = np.diff(np.append(starts, len(ranks)))
        places: Values = ranks + (np.arange(len(ranks)) - starts[run]) - (sizes[run] - 1) / 2
        return places

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """`[M]` 1 for the best-placed relevant item of a query, 2 for the next, beside `places`."""
        return np.arange(1, len(self.rows) + 1, dtype=np.int64) - self.offsets[self.rows]

    def total(self, values: NDArray[Any]) -> Values:
        """`[Q]` sum over the relevant items of each query of `[M]` values that stand beside `places`."""
        summed = np.bincount(self.rows, weights=values, minlength=len(self))
        return summed.astype(np.float64, copy=False)

    def hits(self, k: int) -> Values:
        """`[Q]` how many relevant items have a rank of at most k."""
        return self.total(self.places <= k)


@dataclass(frozen=True)
class Metric(ABC):
    """One figure for each query, between 0 and 1, more is better.

    Attributes:
        word: what its name begins with.
        also: other words that are understood.
    """

    word: ClassVar[str]
    also: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        k = getattr(self, "k", None)
        if k is not None and (isinstance(k, bool) or not isinstance(k, int) or not 0 < k < 2**31):
            raise ConfigError(f"{self.word}@{k!r}: the cut-off must be a whole number from 1 up, such as 10.")

    @property
    def name(self) -> str:
        """How the metric is written, such as "ndcg@10"."""
        k = getattr(self, "k", None)
        return self.word if k is None else f"{self.word}@{k}"

    @abstractmethod
    def per_query(self, ranked: Ranked) -> Values:
        """`[Q]` the value for each query."""

    def weights(self, ranked: Ranked) -> Values | None:
        """`[Q]` how much each query counts in a figure that is pooled over all of them; None for a mean over users."""
        return None


@dataclass(frozen=True)
class Accuracy(Metric):
    """1 if the first place holds a relevant item (what classification calls top-1 accuracy)."""

    word: ClassVar[str] = "accuracy"
    also: ClassVar[tuple[str, ...]] = ("acc",)

    def per_query(self, ranked: Ranked) -> Values:
        """1 or 0 for each query."""
        return np.minimum(ranked.hits(1), 1.0)


@dataclass(frozen=True)
class HitRate(Metric):
    """1 if any relevant item is among the first k; the same as recall where one item is relevant."""

    k: int
    word: ClassVar[str] = "hit"
    also: ClassVar[tuple[str, ...]] = ("hr", "hitrate", "hit_rate")

    def per_query(self, ranked: Ranked) -> Values:
        """1 or 0 for each query."""
        return np.minimum(ranked.hits(self.k), 1.0)


@dataclass(frozen=True)
class Recall(Metric):
    """Share of the relevant items that are among the first k: hits / relevant.

    References:
        Manning, Raghavan & Schuetze, "Introduction to Information Retrieval", 2008, eq. 8.2.
    """

    k: int
    word: ClassVar[str] = "recall"

    def per_query(self, ranked: Ranked) -> Values:
        """Hits over relevant items, for each query."""
        return ranked.hits(self.k) / np.maximum(ranked.relevant, 1)


@dataclass(frozen=True)
class Precision(Metric):
    """Share of the first k that are relevant: hits / k, also where fewer than k could be served.

    References:
        Manning, Raghavan & Schuetze, "Introduction to Information Retrieval", 2008, eq. 8.1.
    """

    k: int
    word: ClassVar[str] = "precision"

    def per_query(self, ranked: Ranked) -> Values:
        """Hits over k, for each query."""
        return ranked.hits(self.k) / self.k


@dataclass(frozen=True)
class F1(Metric):
    """Harmonic mean of precision and recall at k: 2 P R / (P + R) = 2 hits / (k + relevant).

    References:
        Manning, Raghavan & Schuetze, "Introduction to Information Retrieval", 2008, eq. 8.5 with beta = 1.
    """

    k: int
    word: ClassVar[str] = "f1"

    def per_query(self, ranked: Ranked) -> Values:
        """Twice the hits over k and the relevant items, for each query."""
        return 2 * ranked.hits(self.k) / (self.k + ranked.relevant)


@dataclass(frozen=True)
class NDCG(Metric):
    """Discounted gain of the first k over that of the best list possible.

    DCG = sum over hits of 1 / log2(1 + rank). The best list has its min(relevant, k) relevant items first, so
    that a perfect list scores 1 even where fewer than k items are relevant.

    References:
        Jarvelin & Kekalainen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002, with binary
        gains and the discount of Burges et al., ICML 2005, sec. 6.
    """

    k: int
    word: ClassVar[str] = "ndcg"

    def per_query(self, ranked: Ranked) -> Values:
        """DCG over the DCG of the best list, for each query."""
        gains = np.where(ranked.places <= self.k, 1 / np.log2(1 + ranked.places), 0.0)
        most = np.minimum(ranked.relevant, self.k)
        ideal = np.cumsum(1 / np.log2(np.arange(2, int(most.max(initial=1)) + 2)))
        return np.where(most > 0, ranked.total(gains) / ideal[np.maximum(most, 1) - 1], 0.0)


@dataclass(frozen=True)
class MRR(Metric):
    """1 / rank of the best-placed relevant item, 0 if it is past k; without k no rank is too far.

    References:
        Voorhees, "The TREC-8 question answering track report", 1999, sec. 3.
    """

    k: int | None = None
    word: ClassVar[str] = "mrr"

    def per_query(self, ranked: Ranked) -> Values:
        """One over the best rank, or 0, for each query."""
        counted = (ranked.order == 1) & (ranked.places <= (np.inf if self.k is None else self.k))
        return ranked.total(np.where(counted, 1 / ranked.places, 0.0))


@dataclass(frozen=True)
class MAP(Metric):
    """Mean over the relevant items of the precision at the place of each, 0 for those past k.

    The sum is divided by min(relevant, k), not by the number of relevant items: a perfect list scores 1 even
    where more than k items are relevant.

    References:
        Manning, Raghavan & Schuetze, "Introduction to Information Retrieval", 2008, eq. 8.8, cut at k.
    """

    k: int
    word: ClassVar[str] = "map"

    def per_query(self, ranked: Ranked) -> Values:
        """Sum of precisions at the hits over min(relevant, k), for each query."""
        precisions = np.where(ranked.places <= self.k, ranked.order / ranked.places, 0.0)
        return ranked.total(precisions) / np.maximum(np.minimum(ranked.relevant, self.k), 1)


@dataclass(frozen=True)
class AUC(Metric):
    """Share of the other candidates that stand below a relevant item, ties counted half.

    It is the mean over the relevant items; the j-th of them at place p has p - j other candidates above it.
    A target that has no rival scores 1, one that cannot be served 0.

    References:
        Hanley & McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982; Mann & Whitney
        1947.
    """

    word: ClassVar[str] = "auc"

    def per_query(self, ranked: Ranked) -> Values:
        """Mean share of other candidates below, for each query."""
        served = np.isfinite(ranked.places)
        others = (ranked.candidates - ranked.total(served))[ranked.rows]
        above = np.where(served, ranked.places - ranked.order, 0.0)
        below = np.where(served, 1 - above / np.maximum(others, 1), 0.0)
        return ranked.total(below) / np.maximum(ranked.relevant, 1)


@dataclass(frozen=True)
class GlobalAUC(AUC):
    """AUC pooled over all pairs of a relevant item and another candidate of its query, each pair weighing the same.

    A user counts by the number of such pairs, where `auc` lets all users count alike. It is exact, and follows from
    ranks alone: with one target per query, the sum of (candidates - rank) over the sum of (candidates - 1). Scores of
    different queries are not compared with one another, since they need not share a scale; where they are
    probabilities, `ensue.calibration.auc_global` compares all with all.

    References:
        Zhu et al., "Optimized cost per click in Taobao display advertising", KDD 2017, sec. 5 (AUC weighted by the
        group's size).
    """

    word: ClassVar[str] = "auc_global"
    also: ClassVar[tuple[str, ...]] = ("global_auc", "auc-global")

    def weights(self, ranked: Ranked) -> Values:
        """Pairs of each query."""
        served = ranked.total(np.isfinite(ranked.places))
        return (ranked.candidates - served) * ranked.relevant


DEFAULT: tuple[Metric, ...] = (
    Accuracy(),
    Recall(5),
    Recall(10),
    Recall(20),
    Precision(10),
    F1(10),
    NDCG(10),
    NDCG(20),
    MRR(10),
    MRR(),
    MAP(10),
    AUC(),
)
"""What an evaluation reports unless told otherwise."""


def families() -> dict[str, type[Metric]]:
    """Every metric that exists, by its word, in the order of their definition."""
    return {kind.word: kind for kind in _concrete(Metric)}


def metric(name: str) -> Metric:
    """The metric that a name such as "ndcg@10" or "auc" stands for.

    Raises:
        ConfigError: there is no such metric, or its cut-off is missing, needless or no whole number.

    >>> metric("ndcg@10")
    NDCG(k=10)
    """
    word, at, cut = name.strip().casefold().partition("@")
    known = families()
    words = {also: kind for kind in known.values() for also in (kind.word, *kind.also)}
    if word not in words:
        have = ", ".join(f"{kind.word}@10" if _cuts(kind) else kind.word for kind in known.values())
        close = nearest(name, [f"{also}{at}{cut}" if _cuts(kind) else also for also, kind in words.items()])
        raise ConfigError(f"There is no metric '{name}': take one of {have}.{close}")
    kind = words[word]
    if at and not _cuts(kind):
        raise ConfigError(f"The metric '{word}' has no cut-off: write '{word}' instead of '{name}'.")
    if not at and (not _cuts(kind) or _cuts(kind)[0].default is None):
        return kind()
    if not (cut.isascii() and cut.isdigit() and len(cut) < 10 and int(cut)):
        raise ConfigError(
            f"The metric '{name}' needs a cut-off, a whole number from 1 up, as in '{word}@10'."
        )
    build: Any = kind
    found: Metric = build(k=int(cut))
    return found


def metrics_of(wanted: Sequence[Metric | str]) -> tuple[Metric, ...]:
    """The metrics asked for, each once.

    Args:
        wanted: metrics, or names such as "ndcg@10".

    Raises:
        ConfigError: none is asked for, one does not exist, or they are no list.
    """
    if isinstance(wanted, str):
        raise ConfigError(f"metrics is the text {wanted!r}: give a list of metrics, such as [{wanted!r}].")
    found = {one.name: one for one in (metric(one) if isinstance(one, str) else one for one in wanted)}
    if not found:
        raise ConfigError("No metric is asked for: name at least one, such as 'ndcg@10'.")
    return tuple(found.values())


def _concrete(kind: type[Metric]) -> Iterator[type[Metric]]:
    """A class and all below it, without those that are only drafts."""
    if not inspect.isabstract(kind):
        yield kind
    for below in kind.__subclasses__():
        yield from _concrete(below)


def _cuts(kind: type[Metric]) -> list[Field[Any]]:
    """The field k of a metric that looks at the first k only, or nothing."""
    return [field for field in fields(kind) if field.name == "k"]
