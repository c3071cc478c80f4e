"""The Markov chain in continuous time: what follows an item depends on how long ago it was."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Ints, Items, ranges
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, ConfigError, ModelError
from ensue.model import Conditions, Model, Training
from ensue.models.counting.transitions import entries, stored_counts
from ensue.ranking import Parts, Recommender, Scores
from ensue.sequences import MISSING_TIME, Queries
from ensue.spaces import Real, Space
from ensue.transitions import check_table

MICROSECONDS = 1_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MarkovTime(Model):
    """Markov chain in continuous time: of what followed the last item, what did so after a like gap counts most.

    A gap of g seconds lies at x = log2(1 + g), so that a step of one is a doubling. Transitions a -> b are counted by
    bucket of x, and a bucket with its middle at m has the weight K = exp(-(x - m)^2 / (2 bandwidth^2)) for a question
    whose gap lies at x. Where few transitions have a like gap, all of them answer, and popularity where there are few
    at all (Dirichlet smoothing at both steps):

        p(b | a, x) = (sum of K n(a, b, bucket) + prior x p(b | a)) / (sum of K n(a, bucket) + prior),
        p(b | a)    = (n(a, b) + prior x share of b) / (n(a) + prior).

    The gap of a question is its time less that of the last event of its history. A question that does not tell both
    is asked at the median gap of training; a gap below 0 counts as 0. Scores are probabilities.

    Attributes:
        bucket: width of a bucket of gaps, in doublings.
        bandwidth: how far the weight reaches, in doublings; a very large one makes it a plain, smoothed chain.
        prior: how many events the broader answer is worth.

    References:
        MacKay, Peto, "A hierarchical Dirichlet language model", Natural Language Engineering 1, 1995, section 3
        (the two steps of smoothing).
        Nadaraya, "On estimating regression", Theory of Probability and its Applications 9, 1964 (the kernel).
    """

    name: ClassVar[str] = "markov-time"
    summary: ClassVar[str] = "what followed the last item after a like time, counted"
    space: ClassVar[Space] = {
        "bucket": Real(0.25, 4.0, log=True),
        "bandwidth": Real(0.25, 100.0, log=True),
        "prior": Real(0.1, 100.0, log=True),
    }

    bucket: float = 1.0
    bandwidth: float = 2.0
    prior: float = 1.0

    def __post_init__(self) -> None:
        for name in ("bucket", "bandwidth", "prior"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ConfigError(f"markov-time: {name}={value:g} must be a number above 0, such as 1.")

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The transitions of the training sequences, by gap.

        Raises:
            ModelError: the log has no times.
        """
        sequences = training.sequences
        if sequences.time is None:
            raise ModelError(
                "markov-time: this log has no times, so no gap is known; take the model markov instead."
            )
        n = sequences.n_items
        ends = np.repeat(sequences.offsets[1:], sequences.lengths)
        first = np.flatnonzero(np.arange(len(ends)) + 1 < ends)
        count = np.ones(len(first))
        if sequences.weight is not None:  # what is no target is followed, and follows nothing
            first = first[sequences.weight[first + 1] > 0]
            count = sequences.weight[first + 1].astype(np.float64)
        gaps = doublings(sequences.time[first + 1] - sequences.time[first])
        buckets = np.floor(gaps / self.bucket).astype(np.int64)
        n_buckets = int(buckets.max(initial=0)) + 1
        kept, row = np.unique(sequences.items[first] * np.int64(n_buckets) + buckets, return_inverse=True)
        counts = sp.csr_array(sp.coo_array((count, (row, sequences.items[first + 1])), shape=(len(kept), n)))
        scoring = GapScoring(
            counts,
            np.searchsorted(kept // n_buckets, np.arange(n + 1)),
            (kept % n_buckets + 0.5) * self.bucket,
            float(np.median(gaps)) if len(gaps) else 0.0,
            self.bandwidth,
            self.prior,
            training.catalogue.share,
        )
        return Recommender(training.catalogue, scoring, self.name, self.settings(), training.exclude_seen)

    def restore(self, parts: Parts, catalogue: Catalogue) -> GapScoring:
        """The stored transitions."""
        return GapScoring.restored(parts, catalogue)


def doublings(gaps: Ints) -> Floats:
    """Where gaps of so many microseconds lie: log2 of 1 + seconds, 0 for those below 0."""
    places: Floats = np.log2(1.0 + np.maximum(gaps, 0) / MICROSECONDS)
    return places


@dataclass(frozen=True, eq=False)
class GapScoring:
    """Probabilities from transitions by gap.

    Attributes:
        counts: `[R, N]` transitions to each item, one row for each item and bucket that occurs, item by item.
        offsets: `[N+1]`; the rows of item a are `offsets[a]..offsets[a+1]`.
        middles: `[R]` middle of each row's bucket, in doublings.
        usual: the gap of a question that tells none, in doublings.
        bandwidth: width of the kernel, in doublings.
        prior: what the broader answer is worth, in events.
        share: `[N]` share of the training events.
        reads: the columns of events that it wants beside the items.
        when_asked: it reads when the question is asked.
    """

    reads: ClassVar[tuple[str, ...]] = ("time",)
    when_asked: ClassVar[bool] = True
    scores_are: ClassVar[str] = "probabilities"

    counts: sp.csr_array
    offsets: Ints
    middles: Floats
    usual: float
    bandwidth: float
    prior: float
    share: Floats

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` probabilities."""
        rows, places, weight, left = self._answering(queries)
        offsets = np.searchsorted(rows, np.arange(len(queries) + 1))
        chosen = sp.csr_array((weight, places, offsets), shape=(len(queries), self.counts.shape[0]))
        scores: Scores = (chosen @ self.counts).toarray()
        scores += left[:, None] * self.share
        return scores

    def contributions(self, queries: Queries, items: Items) -> tuple[Floats, Floats]:
        """What each event adds to the score of an item, and what does not hang on the history; together the score.

        Args:
            queries: `Q` histories of at least one item.
            items: `[Q]` one item for each.

        Returns:
            `[E]` parts, of all events of all histories as in `Queries.pairs`, and `[Q]` the rest.
        """
        rows, places, weight, left = self._answering(queries)
        added = weight * entries(self.counts, places, items[rows])
        parts = np.zeros(int(queries.lengths.sum()))
        parts[np.cumsum(queries.lengths) - 1] = np.bincount(rows, added, minlength=len(queries))
        return parts, left * self.share[items]

    def _answering(self, queries: Queries) -> tuple[Ints, Ints, Floats, Floats]:
        """Which rows of the table answer: `(query, row, weight)` of each, and `[Q]` the weight of popularity."""
        last = queries.items[queries.ends - 1]
        rows, places = ranges(self.offsets[last], self.offsets[last + 1])
        distance = (self._gaps(queries)[rows] - self.middles[places]) / self.bandwidth
        kernel = np.exp(-0.5 * distance * distance)
        events = self._totals[places]
        near = np.bincount(rows, kernel * events, minlength=len(queries)) + self.prior
        all_gaps = np.bincount(rows, events, minlength=len(queries)) + self.prior
        weight = kernel / near[rows] + self.prior / near[rows] / all_gaps[rows]
        return rows, places, weight, self.prior / near * self.prior / all_gaps

    @cached_property
    def _totals(self) -> Floats:
        """`[R]` the transitions of each row."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    def _gaps(self, queries: Queries) -> Floats:
        """`[Q]` the gap of each question, in doublings."""
        if queries.at is None or queries.time is None:
            return np.full(len(queries), self.usual)
        last = queries.time[queries.ends - 1]
        known = (queries.at != MISSING_TIME) & (last != MISSING_TIME)
        return np.where(
            known, doublings(np.where(known, queries.at, 0) - np.where(known, last, 0)), self.usual
        )

    def parts(self) -> Parts:
        """The counts as arrays."""
        arrays: dict[str, NDArray[np.generic]] = {
            "counts": stored_counts(self.counts.data),
            "indices": self.counts.indices.astype(np.int32),
            "indptr": self.counts.indptr.astype(np.int64),
            "offsets": self.offsets.astype(np.int64),
            "middles": self.middles,
        }
        settings = {"usual": self.usual, "bandwidth": self.bandwidth, "prior": self.prior}
        return Parts(settings, arrays)

    @classmethod
    def restored(cls, parts: Parts, catalogue: Catalogue) -> GapScoring:
        """The scoring from its stored parts.

        Raises:
            ArtifactError: the arrays do not make a table over the catalogue.
        """
        n = len(catalogue)
        counts, indices, indptr, offsets, middles = (
            parts.arrays[name] for name in ("counts", "indices", "indptr", "offsets", "middles")
        )
        check_table(counts, indices, indptr, len(middles), n)
        check_table(middles, np.zeros(len(middles), dtype=np.int32), offsets, n, n)
        table = sp.csr_array((counts.astype(np.float64), indices, indptr), shape=(len(middles), n))
        usual, bandwidth, prior = (float(parts.settings[name]) for name in ("usual", "bandwidth", "prior"))
        if not (np.isfinite([usual, bandwidth, prior]).all() and bandwidth > 0 and prior > 0):
            raise ArtifactError(
                "The stored settings of markov-time make no kernel: the artifact is damaged, save it anew."
            )
        return cls(table, offsets, middles, usual, bandwidth, prior, catalogue.share)
