"""How much of the next basket is found: whole baskets against one ranking each, and repeats apart from new items.

`evaluate` asks for one target at a time; the recall of a user's targets is then that of the basket, but precision, NDCG
and hits are those of lists with one relevant item. Here all targets that are asked with one history are the relevant
items of one ranking: the figures that papers on next baskets give. A target that the history holds is a *repeat*, any
other is *new*. Cold targets are misses.

References:
    Li, Jullien, Ariannezhad, de Rijke, "A next basket recommendation reality check", TOIS 41, 2023, arXiv:2109.14233,
    section 3.3 (recall, NDCG, personal hit ratio; repeat and explore). NDCG here divides by what min(relevant, k) items
    could gain, so that a perfect list has 1; theirs by what all relevant items could.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.blocks import blocks
from ensue.errors import DataError
from ensue.examples import Examples
from ensue.figures import Figures, Measured
from ensue.metrics import Metric, Ranked, metrics_of
from ensue.ranking import Recommender, check_scores, exclude_histories, marked, standings, top_k_rows

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

DEFAULT = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "hit@10", "precision@10")
"""What is reported of a basket unless told otherwise."""
LISTED = 10
"""Of so many listed items the share of repeats is told."""
BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class BasketEvaluation:
    """What one recommender found of baskets.

    Attributes:
        model: name of the model.
        protocol: what was asked, in words.
        all: over all baskets, their items together.
        repeats: recall of the items that the history holds, over the users who have some; None if nobody has.
        new: recall of the others, over the users who have some; None if nobody has.
        repeat_share: of the items asked for, the share that the history holds, in the mean over users.
        listed_repeats: of the first 10 that are listed, the same share.
        baskets: how many were asked for.
        items_a_basket: how many different items one holds in the mean.
    """

    model: str
    protocol: str
    all: Figures
    repeats: Figures | None
    new: Figures | None
    repeat_share: float
    listed_repeats: float
    baskets: int
    items_a_basket: float

    def value(self, name: str) -> float:
        """The mean over users of a metric, such as "recall@10", over whole baskets."""
        return self.all.value(name)

    def to_json(self) -> dict[str, Any]:
        """The evaluation for programs; it holds no id of a user."""
        return {
            "model": self.model,
            "protocol": self.protocol,
            "baskets": self.baskets,
            "items_a_basket": self.items_a_basket,
            "all": self.all.to_json(),
            "repeats": None if self.repeats is None else self.repeats.to_json(),
            "new": None if self.new is None else self.new.to_json(),
            "repeat_share": self.repeat_share,
            "listed_repeats": self.listed_repeats,
        }

    def lines(self) -> list[str]:
        """The evaluation as plain text."""
        told = ", ".join(
            f"{name} {one.value:.4f} ({one.low:.4f} to {one.high:.4f})"
            for name, one in self.all.intervals.items()
        )
        parts = [
            f"of the {what} {name} {one.value:.4f} ({figures.users:,} users)"
            for what, figures in (("repeats", self.repeats), ("new items", self.new))
            if figures is not None
            for name, one in figures.intervals.items()
        ]
        return [
            f"{self.model}: {self.baskets:,} whole baskets of {self.items_a_basket:.1f} items: {told}",
            "; ".join(parts),
            f"{self.repeat_share:.1%} of the items asked for are repeats, "
            f"and {self.listed_repeats:.1%} of the first {LISTED} listed",
        ]


def evaluate_baskets(
    recommender: Recommender,
    examples: Examples,
    *,
    metrics: Sequence[Metric | str] = DEFAULT,
    exclude_seen: bool | None = None,
    seed: int = 0,
    block_bytes: int = BLOCK_BYTES,
) -> BasketEvaluation:
    """How much of whole baskets a recommender finds, among all items of its catalogue.

    Args:
        recommender: what answers.
        examples: targets of one group that have the same history are one basket.
        metrics: what to report, as metrics or as names such as "recall@10". Of repeats and of new items alone, each
            recall among them is reported.
        exclude_seen: leave items of the history out of the ranking; None takes the recommender's own rule.
        seed: of the bootstrap.
        block_bytes: most bytes that the scores of one block of targets take.

    Raises:
        DataError: there is nothing to ask for.
        ConfigError: a metric does not exist, or none is asked for.
    """
    if len(examples) == 0:
        raise DataError(f"There is nothing to ask for ({examples.protocol}): this part holds no basket.")
    wanted = metrics_of(metrics)
    excluding = recommender.exclude_seen if exclude_seen is None else exclude_seen
    queries = examples.queries
    keys = np.column_stack([examples.groups, queries.starts, queries.ends])
    first, which = _runs(keys)
    ranks, candidates = np.empty(len(examples)), np.empty(len(first), dtype=np.int64)
    repeats, listed = np.empty(len(examples), dtype=bool), np.empty(len(first))
    costs: Ints = np.full(len(examples), queries.n_items * 8, dtype=np.int64)
    for block in blocks(costs, block_bytes, which):
        # a basket that is cut in two by the memory there is is scored twice
        asked, rows = np.unique(which[block], return_inverse=True)
        own = queries[first[asked]]
        scores = recommender.scores(own)
        check_scores(scores)
        past_rows, past = own.pairs()
        held = np.zeros(scores.shape, dtype=bool)
        held[past_rows, past] = True
        if excluding:
            scores = exclude_histories(scores, own)
        if examples.opened is not None:
            scores = exclude_histories(scores, replace(own, starts=examples.opened[first[asked]]))
        targets = examples.targets[block]
        ranks[block], _ = standings(scores[rows], targets)
        repeats[block] = (targets >= 0) & held[rows, np.maximum(targets, 0)]
        candidates[asked] = marked(scores > -np.inf)
        best = top_k_rows(scores, min(LISTED, scores.shape[1]))
        shown = best < scores.shape[1]
        hits = held[np.arange(len(asked))[:, None], np.minimum(best, scores.shape[1] - 1)] & shown
        listed[asked] = hits.sum(axis=1) / np.maximum(shown.sum(axis=1), 1)
    groups = examples.groups[first]
    recalls = tuple(one for one in wanted if one.word == "recall")

    def over(chosen: Mask, named: Sequence[Metric]) -> Figures | None:
        """The metrics over some of the targets, and the baskets that have any."""
        sizes = np.bincount(which[chosen], minlength=len(first))
        some = sizes > 0
        if not some.any() or not named:
            return None
        ranked = Ranked(ranks[chosen], np.append(0, np.cumsum(sizes[some])), candidates[some])
        measured = Measured(groups[some], {one.name: one.per_query(ranked) for one in named}, seed=seed)
        return measured.over(np.ones(int(some.sum()), dtype=bool))

    whole = over(np.ones(len(examples), dtype=bool), wanted)
    if whole is None:
        raise ValueError("there are baskets and metrics, and so figures")
    sizes = np.bincount(which, minlength=len(first))
    return BasketEvaluation(
        model=recommender.model,
        protocol=f"{examples.protocol}, whole baskets",
        all=whole,
        repeats=over(repeats, recalls),
        new=over(~repeats, recalls),
        repeat_share=_mean_over(groups, np.bincount(which, repeats, minlength=len(first)) / sizes),
        listed_repeats=_mean_over(groups, listed),
        baskets=len(first),
        items_a_basket=float(sizes.mean()),
    )


def _runs(keys: NDArray[np.int64]) -> tuple[Ints, Ints]:
    """Where each run of equal rows begins, and which run each row is in."""
    new = np.ones(len(keys), dtype=bool)
    new[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    return np.flatnonzero(new), np.cumsum(new) - 1


def _mean_over(groups: Ints, values: Values) -> float:
    """The mean over the users of their means."""
    _, rows = np.unique(groups, return_inverse=True)
    return float((np.bincount(rows, values) / np.bincount(rows)).mean())
