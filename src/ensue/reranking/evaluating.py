"""How good an order is: where the chosen candidate stands, over sessions, beside the engine's and simple orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ensue.errors import DataError
from ensue.metrics import Ranked, metric
from ensue.reranking import per_list
from ensue.reranking.shown import NONE, Shown
from ensue.reranking.tables import opinions
from ensue.reranking.touched import Touched
from ensue.significance import Interval, Paired, holm, intervals, paired

if TYPE_CHECKING:
    from ensue.reranking.reranker import Reranker

Values = NDArray[np.float64]

METRICS = ("mrr", "ndcg@10", "recall@1", "recall@5")
ENGINE, OURS = "engine", "re-ranker"


@dataclass(frozen=True, eq=False)
class Order:
    """An order of all candidates within their lists.

    Attributes:
        name: whose it is.
        keys: `[C]` each, higher first; what is equal in all of them stays as the engine has it.
    """

    name: str
    keys: tuple[Values, ...]

    def ranks(self, shown: Shown) -> Values:
        """`[Q]` the place of each list's choice, from 1."""
        found = per_list.ranks(shown.offsets, *self.keys) if self.keys else shown.position
        return found[shown.chosen].astype(np.float64)


@dataclass(frozen=True, eq=False)
class Row:
    """One order's figures.

    Attributes:
        order: its name.
        figures: mean over sessions by metric, with intervals.
        over_lists: the same over lists, each counting alike.
        against: the re-ranker less this order, by metric; none for the re-ranker.
        p_values: of these, corrected for all orders (Holm).
    """

    order: str
    figures: Mapping[str, Interval]
    over_lists: Mapping[str, float]
    against: Mapping[str, Paired]
    p_values: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """The row for programs."""
        return {
            "order": self.order,
            "figures": {name: one.to_json() for name, one in self.figures.items()},
            "over_lists": dict(self.over_lists),
            "re-ranker less this": {
                name: one.to_json() | {"p_value_holm": self.p_values[name]}
                for name, one in self.against.items()
            },
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All orders on the same lists.

    Attributes:
        rows: the engine first, the re-ranker last.
        lists: how many.
        sessions: how many; each counts alike.
        segments: of lists that have something in common: how many, and the mean reciprocal rank of engine and re-ranker
            over their sessions, with the paired difference.
    """

    rows: tuple[Row, ...]
    lists: int
    sessions: int
    segments: Mapping[str, Mapping[str, Any]]

    def row(self, order: str) -> Row:
        """The row of an order."""
        return next(row for row in self.rows if row.order == order)

    def to_json(self) -> dict[str, Any]:
        """All of it for programs."""
        return {
            "lists": self.lists,
            "sessions": self.sessions,
            "unit": "session",
            "rows": [row.to_json() for row in self.rows],
            "segments": {name: dict(found) for name, found in self.segments.items()},
        }

    def table(self) -> list[list[str]]:
        """Cells with a head: the first metric and the gap in it with their intervals; `to_json` has those of all."""
        first, *rest = METRICS
        made = [["order", first, *rest, f"{first} over lists", "re-ranker less this"]]
        for row in self.rows:
            gap = row.against.get(first)
            made.append(
                [
                    row.order,
                    _with_interval(row.figures[first], ""),
                    *(f"{row.figures[name].value:.4f}" for name in rest),
                    f"{row.over_lists[first]:.4f}",
                    "" if gap is None else _with_interval(gap.difference, "+"),
                ]
            )
        return made

    def lines(self) -> list[str]:
        """What is to be known beside the table."""
        said = [
            f"{self.lists:,} lists of {self.sessions:,} sessions, each session counting alike; 95 % intervals."
        ]
        for name, found in self.segments.items():
            if found["lists"]:
                gap = found["difference"]
                said.append(
                    f"{name}: {found['lists']:,} lists, mrr {found['engine']:.4f} of the engine, "
                    f"{found['re-ranker']:.4f} re-ranked ({gap['low']:+.4f} to {gap['high']:+.4f})"
                )
        return said


def _with_interval(one: Interval, sign: str) -> str:
    value, low, high = (f"{number:{sign}.4f}" for number in (one.value, one.low, one.high))
    return f"{value} ({low} to {high})"


def evaluate(reranker: Reranker, shown: Shown, more: Sequence[Order] = (), *, seed: int = 0) -> Evaluation:
    """The re-ranker beside the engine, popularity, what was touched last, and each model alone.

    All orders leave equals as the engine has them.

    Args:
        reranker: fitted on other lists.
        shown: lists with their choices.
        more: further orders.
        seed: of the bootstrap.

    Raises:
        DataError: a list has no choice.
    """
    orders = [*simple_orders(reranker, shown), *more, Order(OURS, (reranker.scores(shown),))]
    return compared(orders, shown, seed=seed)


def simple_orders(reranker: Reranker, shown: Shown) -> list[Order]:
    """The orders that a re-ranker has to be better than."""
    tables, codes = reranker.tables, reranker.tables.codes(shown)
    touched = Touched.of(shown, ())
    found = [
        Order(ENGINE, ()),
        Order("popularity", (tables.number(tables.clicks, codes),)),
        Order("touched last first", (touched.last.astype(np.float64),)),
    ]
    for name, recommender in tables.models.items():
        scores = opinions(recommender, shown)
        found.append(Order(f"{name} alone", (np.where(np.isfinite(scores), scores, -np.inf),)))
    return found


def compared(orders: Sequence[Order], shown: Shown, *, seed: int = 0) -> Evaluation:
    """Some orders on the same lists, the last one against each of the others.

    Raises:
        DataError: a list has no choice.
    """
    if (shown.chosen == NONE).any() or not len(shown):
        raise DataError(
            "There are no lists, or some have no choice: only those whose choice is known can be measured."
        )
    _, unit = np.unique(shown.groups, return_inverse=True)
    per_query = {order.name: _figures(order, shown) for order in orders}
    per_unit = {name: _over(unit, values) for name, values in per_query.items()}
    ours = orders[-1].name
    others = [order.name for order in orders[:-1]]
    gaps = {
        name: [
            paired(per_unit[ours][:, place], per_unit[name][:, place], seed=seed)
            for place in range(len(METRICS))
        ]
        for name in others
    }
    corrected = [
        holm([gaps[name][place].p_value for name in others]).tolist() for place in range(len(METRICS))
    ]
    rows = []
    for order in orders:
        found = intervals(per_unit[order.name], seed=seed)
        mine = gaps.get(order.name, [])
        number = others.index(order.name) if mine else 0
        rows.append(
            Row(
                order.name,
                dict(zip(METRICS, found, strict=True)),
                dict(zip(METRICS, per_query[order.name].mean(axis=0).tolist(), strict=True)),
                dict(zip(METRICS, mine, strict=True)) if mine else {},
                {name: corrected[place][number] for place, name in enumerate(METRICS)} if mine else {},
            )
        )
    return Evaluation(
        tuple(rows),
        len(shown),
        shown.sessions,
        _segments(shown, unit, per_query[ENGINE], per_query[ours], seed),
    )


def reciprocal(order: Order, shown: Shown) -> float:
    """The mean over sessions of the mean reciprocal rank of the choices."""
    _, unit = np.unique(shown.groups, return_inverse=True)
    return float(_over(unit, (1 / order.ranks(shown))[:, None]).mean())


def _figures(order: Order, shown: Shown) -> Values:
    """`[Q, M]` each metric of each list."""
    ranked = Ranked.single(order.ranks(shown), shown.lengths)
    return np.column_stack([metric(name).per_query(ranked) for name in METRICS])


def _over(unit: NDArray[np.int64], values: Values) -> Values:
    """`[U, M]` the mean of each unit."""
    counts = np.bincount(unit)
    sums = np.column_stack([np.bincount(unit, column) for column in values.T])
    found: Values = sums / counts[:, None]
    return found


def _segments(
    shown: Shown, unit: NDArray[np.int64], engine: Values, ours: Values, seed: int
) -> dict[str, dict[str, Any]]:
    """Lists of which a candidate had been touched, and others."""
    times = Touched.of(shown, ()).times
    held = per_list.total((times > 0) * 1.0, shown.offsets) > 0
    first = shown.position[shown.chosen] == 1
    found: dict[str, dict[str, Any]] = {}
    for name, mask in (
        ("a candidate was touched before", held),
        ("none was touched before", ~held),
        ("the choice was not the engine's first", ~first),
    ):
        found[name] = {"lists": int(mask.sum())}
        if mask.any():
            _, own = np.unique(unit[mask], return_inverse=True)
            a, b = _over(own, ours[mask][:, :1])[:, 0], _over(own, engine[mask][:, :1])[:, 0]
            gap = paired(a, b, seed=seed).difference
            found[name] |= {ENGINE: float(b.mean()), OURS: float(a.mean()), "difference": gap.to_json()}
    return found
