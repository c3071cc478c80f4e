"""Impressions: the lists that users were shown, and how well a model ranks what they clicked within each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints, Items, ranges
from ensue.blocks import blocks
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import ColumnError, DataError
from ensue.examples import Examples
from ensue.figures import Figures, Measured
from ensue.metrics import Ranked, metric
from ensue.ranking import SCORES_AT_ONCE, Recommender, check_scores
from ensue.sequences import Queries

SHOWN, IMPRESSION = "shown", "impression"
"""Columns of events: the items of the list, parted by `BETWEEN`; and which list it was."""

BETWEEN = "|"

METRICS = ("auc", "mrr", "ndcg@5", "ndcg@10")
"""What is reported of MIND."""


@dataclass(frozen=True, eq=False)
class Impressions:
    """Lists, each with the history before it.

    Attributes:
        queries: `[Q]` histories.
        groups: `[Q]` whose each list is, `0..U-1`.
        items: `[C]` the items of all lists end to end, `UNKNOWN` for one that the catalogue does not hold.
        clicked: `[C]` which of them were clicked.
        offsets: `[Q+1]` of the lists.
        left_out: lists in which nothing, or everything, was clicked: no order is better than another.
    """

    queries: Queries
    groups: Ints
    items: Items
    clicked: NDArray[np.bool_]
    offsets: Ints
    left_out: int = 0

    @classmethod
    def of(
        cls, examples: Examples, catalogue: Catalogue, *, shown: str = SHOWN, number: str = IMPRESSION
    ) -> Impressions:
        """The lists that the targets of examples were clicked in; the clicks of one list are one question.

        Its history is that of its first click.

        Args:
            examples: in the indices of the catalogue, with the columns of the targets' own events.
            catalogue: of the model that will be asked.
            shown: column with the items of a list, parted by "|".
            number: column that tells lists of one user apart.

        Raises:
            ColumnError: there is no such column.
            DataError: no list is left.
        """
        context = examples.target_context
        for name in (shown, number):
            if name not in context:
                raise ColumnError(
                    f"The events have no column '{name}', but {', '.join(context) or 'no context'}."
                )
        frame = pl.DataFrame(
            {
                "query": np.arange(len(examples)),
                "group": examples.groups,
                "list": context[number],
                "shown": context[shown].cast(pl.String),
                "target": examples.target_ids,
            }
        ).drop_nulls("shown")
        lists = frame.group_by("group", "list", maintain_order=True).agg(
            pl.col("query").first(), pl.col("shown").first(), pl.col("target")
        )
        rows = (
            lists.with_row_index("row")
            .with_columns(item=pl.col("shown").str.split(BETWEEN))
            .explode("item", empty_as_null=True)
            .unique(["row", "item"], keep="first", maintain_order=True)
            .with_columns(clicked=pl.col("item").is_in("target"))
        )
        of_row = pl.col("clicked").sum().over("row")
        kept = rows.filter((of_row > 0) & (of_row < pl.len().over("row")))
        if kept.is_empty():
            raise DataError(
                "No list holds something that was clicked and something that was not: nothing to rank."
            )
        sizes = kept.group_by("row", maintain_order=True).agg(
            pl.len(), pl.col("query").first(), pl.col("group").first()
        )
        return cls(
            examples.queries[sizes["query"].to_numpy()],
            sizes["group"].to_numpy(),
            catalogue.encode(kept["item"]),
            kept["clicked"].to_numpy(),
            np.concatenate([[0], np.cumsum(sizes["len"].to_numpy())]).astype(np.int64),
            len(lists) - len(sizes),
        )

    def __len__(self) -> int:
        return len(self.queries)

    def ranked(self, recommender: Recommender) -> Ranked:
        """Where the clicked items stand in their lists, by the scores of a model; ties have their mid-rank.

        An item that the model does not know comes after all that it knows. What the user has seen is ranked too, as it
        was shown.

        Raises:
            QueryError: scores are not finite.
        """
        scores = np.full(len(self.items), -np.inf)
        rows, places = ranges(self.offsets[:-1], self.offsets[1:])
        cost = np.full(len(self), self.queries.n_items, dtype=np.int64)
        for block in blocks(cost, SCORES_AT_ONCE):
            found = recommender.scores(self.queries[block])
            check_scores(found)
            own = slice(int(self.offsets[block.start]), int(self.offsets[block.stop]))
            known = np.flatnonzero(self.items[own] != UNKNOWN)
            items = self.items[own][known]
            scores[places[own][known]] = found[rows[own][known] - block.start, items]
        chosen = np.flatnonzero(self.clicked)
        mine = rows[chosen]
        which, others = ranges(self.offsets[mine], self.offsets[mine + 1])
        above = np.bincount(which, scores[others] > scores[chosen[which]], minlength=len(chosen))
        equal = np.bincount(which, scores[others] == scores[chosen[which]], minlength=len(chosen))
        ranks = 1.0 + above + (equal - 1.0) / 2.0
        clicks = np.bincount(mine, minlength=len(self))
        return Ranked(ranks, np.concatenate([[0], np.cumsum(clicks)]).astype(np.int64), np.diff(self.offsets))


def judge(
    recommender: Recommender, impressions: Impressions, metrics: Sequence[str] = METRICS, *, seed: int = 0
) -> Figures:
    """How well a model ranks within lists: each list counts once, intervals are from a bootstrap over users.

    Args:
        recommender: what answers.
        impressions: in the indices of its catalogue.
        metrics: such as "auc" or "ndcg@5".
        seed: of the bootstrap.
    """
    ranked = impressions.ranked(recommender)
    wanted = [metric(name) for name in metrics]
    values = {one.name: one.per_query(ranked) for one in wanted}
    each = np.ones(len(impressions))
    return Measured(impressions.groups, values, dict.fromkeys(values, each), seed).over(each > 0)
