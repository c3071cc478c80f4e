"""Whether the order of events says anything of what comes next: the shuffle test, and the same for ties alone.

The last item of each sequence is to be found from those before it, by counts of what follows what. Then the same is
done with copies in which the events before the last are shuffled within their sequence: what is lost is what their
order was worth. All else stays: users, items, popularity, lengths, and the items that are to be found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as student

from ensue.batching import Ints, Items
from ensue.events.log import EventLog
from ensue.metrics import Ranked, metric
from ensue.models.counting.transitions import TransitionScoring
from ensue.progress import Progress, Silent
from ensue.ranking import exclude_histories, standings
from ensue.sequences import Sequences, Units, times_of, units
from ensue.significance import Interval, interval
from ensue.transitions import row_shares, transition_counts

EVENTS = 200_000
QUERIES = 1_500
CELLS = 6_000_000
"""At most so many events and queries are looked at, and scores computed (but at least 200 queries)."""

USERS_LEAST = 30
"""Fewer users than this say nothing."""

COPIES = 5
SURE = 0.99
"""How surely the figure must stand out from those of the copies (Student's t), beside its interval over users."""

MATTERS = 0.1
"""Order matters where the figure falls by this share of itself or more without it."""

METRICS = ("recall@10", "ndcg@10")
DECIDES = "ndcg@10"

COUNTED: Mapping[str, tuple[int, int, float]] = {"markov": (1, 1, 1.0), "rules": (10, 5, 0.7)}
"""Window of counting, last items asked, and weight of each step back, for each of the two models."""

Values = NDArray[np.float64]
VERDICTS = {
    "matters": "order matters",
    "hardly": "order hardly matters",
    "not": "order does not show",
    "unknown": "too little to say whether order matters",
}
ROWS = {
    "matters": "rows of equal time stand in an order that can be learnt",
    "hardly": "rows of equal time stand in an order that can hardly be learnt",
    "not": "no order shows among rows of equal time",
}


@dataclass(frozen=True)
class Loss:
    """What one model loses on one metric when order is taken away.

    Attributes:
        model: "markov" (the last item alone) or "rules" (the last five, within ten steps).
        metric: "recall@10" or "ndcg@10".
        kept: the figure with the order of the log, mean over users.
        copies: the figure on each shuffled copy.
        loss: kept less shuffled, the mean over copies, with its bootstrap interval over users.
    """

    model: str
    metric: str
    kept: float
    copies: tuple[float, ...]
    loss: Interval

    @property
    def share(self) -> float:
        """The loss as a share of the figure with order."""
        return self.loss.value / self.kept if self.kept else 0.0

    @property
    def sure(self) -> bool:
        """Whether the interval lies above 0, and the figure stands out from those of the copies.

        All users are asked of one table of counts: its own chance is not in an interval over users, but in the copies.
        """
        k = len(self.copies)
        apart = self.kept - float(np.mean(self.copies))
        noise = float(np.std(self.copies, ddof=1)) * (1 + 1 / k) ** 0.5 if k > 1 else np.inf
        return self.loss.low > 0 and apart > noise * float(student.ppf(SURE, max(k - 1, 1)))

    def line(self) -> str:
        """The loss in one line."""
        return (
            f"{self.model}: {self.metric} {self.kept:.4f} in order, {self.kept - self.loss.value:.4f} shuffled: "
            f"{self.loss.value:+.4f} ({self.loss.low:+.4f} to {self.loss.high:+.4f}), {self.share:.0%} of it"
        )

    def to_json(self) -> dict[str, Any]:
        """The loss for programs."""
        return {
            "model": self.model,
            "metric": self.metric,
            "kept": self.kept,
            "copies": list(self.copies),
            "loss": self.loss.to_json(),
            "share": self.share,
        }


@dataclass(frozen=True)
class OrderTest:
    """What order is worth.

    Attributes:
        verdict: "matters", "hardly", "not" or "unknown".
        losses: by model and metric; empty where there is too little to say.
        what: what was shuffled, and how much of the log was looked at.
        users: how many users the intervals are over.
        spread: standard deviation over users of the difference between the two models on ndcg@10, one target each;
            None where there is too little to say.
        rows: whether it is about rows of equal time alone.
    """

    verdict: str
    losses: tuple[Loss, ...]
    what: str
    users: int
    spread: float | None = None
    rows: bool = False

    @property
    def said(self) -> str:
        """The verdict in words, with the number that decides."""
        word = (ROWS if self.rows else VERDICTS)[self.verdict]
        if not self.losses:
            return f"{word}: {self.users:,} users could be tested, {USERS_LEAST} are needed"
        decides = _decisive(self.losses)
        span = f"{decides.loss.low:+.4f} to {decides.loss.high:+.4f}"
        return (
            f"{word}: without it {decides.metric} of {decides.model} changes from {decides.kept:.4f} to "
            + (
                f"{decides.kept - decides.loss.value:.4f} (loss {decides.loss.value:+.4f}, 95 % interval {span})"
            )
        )

    def lines(self) -> list[str]:
        """The test in plain lines."""
        return [self.said, f"  {self.what}", *(f"  {loss.line()}" for loss in self.losses)]

    def to_json(self) -> dict[str, Any]:
        """The test for programs."""
        return {
            "verdict": self.verdict,
            "said": self.said,
            "what": self.what,
            "users": self.users,
            "spread": self.spread,
            "losses": [loss.to_json() for loss in self.losses],
        }


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Whole sequences of a log, as many as are looked at.

    Attributes:
        items: `[E]` numbers of the items.
        offsets: `[S+1]`.
        ties: `[E]` number of the tie that each event is in, rising; None without times.
        asked: `[Q]` the sequences whose last item is to be found.
        users: `[Q]` number of the user of each.
        n_items: `N`.
        how: how much of the log this is, in words.
    """

    items: Items
    offsets: Ints
    ties: Ints | None
    asked: Ints
    users: Ints
    n_items: int
    how: str


def order_test(
    log: EventLog,
    by: str = "user",
    *,
    exclude_seen: bool = False,
    seed: int = 0,
    copies: int = COPIES,
    progress: Progress | None = None,
) -> tuple[OrderTest, OrderTest | None]:
    """What the order of events is worth, and what the order of rows among events of equal times is.

    Args:
        log: the events.
        by: what a sequence is, "user" or "session".
        exclude_seen: whether items of the history are left out of the ranking.
        seed: draws the sequences that are looked at, and the shuffles.
        copies: how many shuffled copies.
        progress: who is told how far it is.

    Returns:
        The shuffle test; and the one that shuffles ties alone, or None if there are none.

    References:
        Klenitskiy, Volodkevich, Pembek, Vasilev, "Does it look sequential?", RecSys 2024, arXiv:2408.12008 (a
        related test, with other models).
    """
    drawn = _draw(log, units(log, by), seed)
    n_users = len(np.unique(drawn.users))
    if n_users < USERS_LEAST:
        return OrderTest("unknown", (), f"shuffled: nothing; {drawn.how}", n_users), None
    tied = drawn.ties is not None and len(drawn.ties) > 0 and len(np.unique(drawn.ties)) < len(drawn.ties)
    shuffles: list[Callable[[np.random.Generator], Items]] = [lambda rng: _history_shuffled(drawn, rng)]
    if tied:
        shuffles.append(lambda rng: _ties_shuffled(drawn, rng))
    found: list[list[dict[tuple[str, str], Values]]] = []
    with (progress or Silent()).task("shuffle test", 1 + copies * len(shuffles)) as task:
        kept = _figures(drawn, drawn.items, exclude_seen)
        task.advance(1)
        for number, shuffle in enumerate(shuffles):
            found.append([])
            for copy in range(copies):
                rng = np.random.default_rng([seed, number, copy])
                found[-1].append(_figures(drawn, shuffle(rng), exclude_seen))
                task.advance(1)
    seen = "out of" if exclude_seen else "in"
    how = f"{copies} copies; {drawn.how}; items of the history are {seen} the ranking"
    spread = float((kept["rules", DECIDES] - kept["markov", DECIDES]).std(ddof=1))
    whole = _judged(kept, found[0], f"events before the last shuffled within their {by}, {how}", seed, spread)
    if not tied:
        return whole, None
    return whole, _judged(kept, found[1], f"events of equal time shuffled, {how}", seed, spread, rows=True)


def _judged(
    kept: dict[tuple[str, str], Values],
    copies: list[dict[tuple[str, str], Values]],
    what: str,
    seed: int,
    spread: float,
    rows: bool = False,
) -> OrderTest:
    losses = tuple(
        Loss(
            model,
            name,
            float(values.mean()),
            tuple(float(copy[model, name].mean()) for copy in copies),
            interval(values - np.mean([copy[model, name] for copy in copies], axis=0), seed=seed),
        )
        for (model, name), values in kept.items()
    )
    decides = _decisive(losses)
    verdict = "not" if not decides.sure else "matters" if decides.share >= MATTERS else "hardly"
    return OrderTest(verdict, losses, what, len(next(iter(kept.values()))), spread, rows)


def _decisive(losses: tuple[Loss, ...]) -> Loss:
    """The loss that the verdict rests on: of the two models, a sure one before one that is not, then the larger."""
    own = [loss for loss in losses if loss.metric == DECIDES]
    return max(own, key=lambda loss: (loss.sure, loss.loss.value))


def _draw(log: EventLog, unit: Units, seed: int) -> _Drawn:
    """Whole sequences drawn at random, up to `EVENTS` events, and those of them that are asked about."""
    lengths = np.diff(unit.offsets)
    rng = np.random.default_rng([seed, 0])
    long = rng.permutation(np.flatnonzero(lengths >= 2))
    taken = np.sort(long[: max(int(np.searchsorted(np.cumsum(lengths[long]), EVENTS, side="right")), 1)])
    rows = np.repeat(np.arange(len(taken)), lengths[taken])
    offsets = np.concatenate([[0], np.cumsum(lengths[taken])]).astype(np.int64)
    places = unit.order[np.arange(len(rows)) - offsets[rows] + unit.offsets[taken][rows]]
    ids = log.frame["item"].gather(places)
    items = ids.rank("dense").cast(pl.Int32).to_numpy() - 1
    n_items = int(items.max(initial=-1)) + 1
    most = min(QUERIES, max(CELLS // max(n_items, 1), 200))
    asked = np.sort(rng.permutation(len(taken))[:most])
    users = log.frame["user"].gather(places[offsets[asked]]).rank("dense").to_numpy().astype(np.int64) - 1
    time = times_of(log)
    ties: Ints | None = None
    if time is not None:
        parts = [rows, time[places]]
        if "order" in log.columns:
            parts.append(log.frame["order"].gather(places).fill_null(-1).to_numpy())
        changed = np.zeros(len(rows), dtype=np.bool_)
        for part in parts:
            changed[1:] |= part[1:] != part[:-1]
        ties = np.cumsum(changed).astype(np.int64)
    whole = len(taken) == len(long)
    how = (
        f"{'all' if whole else 'a sample of'} {len(taken):,} of {len(long):,} sequences of two or more events "
        f"({len(rows):,} events), {len(asked):,} last items asked for"
    )
    return _Drawn(items, offsets, ties, asked, users, n_items, how)


def _history_shuffled(drawn: _Drawn, rng: np.random.Generator) -> Items:
    """The items with those before the last of each sequence in another order."""
    key = rng.random(len(drawn.items))
    key[drawn.offsets[1:] - 1] = 2.0
    rows = np.repeat(np.arange(len(drawn.offsets) - 1), np.diff(drawn.offsets))
    return drawn.items[np.lexsort((key, rows))]


def _ties_shuffled(drawn: _Drawn, rng: np.random.Generator) -> Items:
    """The items with those of equal times in another order; the one to be found may be another."""
    ties = np.arange(len(drawn.items)) if drawn.ties is None else drawn.ties
    return drawn.items[np.lexsort((rng.random(len(drawn.items)), ties))]


def _figures(drawn: _Drawn, items: Items, exclude_seen: bool) -> dict[tuple[str, str], Values]:
    """`[U]` value for each user, by model and metric, learnt from all but the last items."""
    ends = drawn.offsets[1:] - 1
    keep = np.ones(len(items), dtype=np.bool_)
    keep[ends] = False
    offsets = drawn.offsets - np.arange(len(drawn.offsets))
    keys = pl.int_range(len(ends), eager=True).cast(pl.String)
    training = Sequences(items[keep], offsets, keys, drawn.n_items)
    counts = np.bincount(training.items, minlength=drawn.n_items)
    share = counts / counts.sum()
    targets = np.where(counts[items[ends]] > 0, items[ends], -1)[drawn.asked].astype(np.int32)
    queries = training.queries()[drawn.asked]
    step = max(CELLS // max(drawn.n_items, 1), 1)
    per_user = np.bincount(drawn.users)
    found = {}
    for model, (window, last, decay) in COUNTED.items():
        scoring = TransitionScoring(row_shares(transition_counts(training, window)), last, decay, share)
        ranks = []
        for begin in range(0, len(targets), step):
            part = queries[begin : begin + step]
            scores = scoring.score(part)
            if exclude_seen:
                scores = exclude_histories(scores, part)
            ranks.append(standings(scores, targets[begin : begin + step])[0])
        ranked = Ranked.single(np.concatenate(ranks), np.full(len(targets), drawn.n_items))
        for name in METRICS:
            values = metric(name).per_query(ranked)
            found[model, name] = np.bincount(drawn.users, weights=values) / per_user
    return found
