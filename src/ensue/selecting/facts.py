"""What of a log decides which models are worth a race, and which models these are, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from ensue.auditing.order import OrderTest, order_test
from ensue.events.audit import audit
from ensue.events.log import EventLog
from ensue.events.profile import profile
from ensue.presets import preset
from ensue.progress import Progress
from ensue.sequences import Sequences
from ensue.suiting import SHORT

LITTLE = 10_000
"""Below so many training events a table of counts is rarely beaten by a network."""

BRIEF = 10
"""A typical sequence below so many events says little, and its like in other sequences say more."""

YOUNG = 0.1
"""From this share of events on young items on, what is popular now counts more than what ever was."""

BOUGHT = ("purchase", "buy", "transaction", "order", "addtocart", "add_to_cart", "cart", "checkout")
"""Types of events by which a log counts as one of a shop."""


@dataclass(frozen=True)
class Facts:
    """What the training part of a log is like; nothing later was looked at.

    Attributes:
        by: what a sequence is, "user" or "session".
        events: how many.
        users: how many.
        items: how many.
        sequences: how many.
        typical: the median length of a sequence.
        long: the length that 95 in 100 sequences do not exceed.
        repeats: share of events whose item the user had before.
        order: verdict of the shuffle test: "matters", "hardly", "not" or "unknown".
        said: the same in words, with the number that decides.
        young: share of events on an item first seen less than a week before; None where that is not known.
        timed: whether events have times.
        domain: "shop", "baskets", "ratings", "sessions" or "plain".
    """

    by: str
    events: int
    users: int
    items: int
    sequences: int
    typical: float
    long: float
    repeats: float
    order: str
    said: str
    young: float | None
    timed: bool
    domain: str

    def lines(self) -> list[str]:
        """The facts in plain lines."""
        young = "" if self.young is None else f"; {self.young:.0%} of events are on items younger than a week"
        return [
            f"{self.events:,} training events of {self.users:,} users on {self.items:,} items, {self.domain}",
            f"{self.sequences:,} sequences by {self.by}, half of them up to {self.typical:g} events and 95 % up to "
            f"{self.long:g}; {self.repeats:.1%} of events repeat an item{young}",
            self.said,
        ]

    def to_json(self) -> dict[str, Any]:
        """The facts for programs."""
        return asdict(self)


@dataclass(frozen=True)
class Entrant:
    """A model that is worth a race.

    Attributes:
        label: its name in the race.
        settings: as in an experiment; `model` names the model where the label does not.
        reason: why it is in.
    """

    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def facts(
    train: EventLog,
    sequences: Sequences,
    by: str,
    *,
    exclude_seen: bool,
    progress: Progress,
    seed: int = 0,
) -> Facts:
    """What the training part of a log is like.

    Args:
        train: its events.
        sequences: the same, in the order of time.
        by: what a sequence is.
        exclude_seen: whether items of the history are left out of the ranking.
        progress: told how far the shuffle test is.
        seed: of the shuffles.
    """
    found = audit(train, by)
    order: OrderTest = order_test(train, by, exclude_seen=exclude_seen, seed=seed, progress=progress)[0]
    lengths = pl.Series(sequences.lengths)
    return Facts(
        by=by,
        events=found.events,
        users=found.users,
        items=found.items,
        sequences=found.sequences,
        typical=float(lengths.median() or 0),  # type: ignore[arg-type]
        long=float(lengths.quantile(0.95) or 0),
        repeats=found.repeat_share,
        order=order.verdict,
        said=order.said,
        young=profile(train, by).young_share,
        timed=train.has_time,
        domain=domain(train, by),
    )


def domain(log: EventLog, by: str) -> str:
    """What kind of log this is, by its columns and the types of its events."""
    if "event" in log.columns:
        types = set(log.frame["event"].drop_nulls().unique().str.to_lowercase().to_list())
        if types & set(BOUGHT):
            return "shop"
    if "basket" in log.columns:
        return "baskets"
    if "rating" in log.columns and log.frame["rating"].null_count() < log.n_events:
        return "ratings"
    return "sessions" if by == "session" else "plain"


def entrants(found: Facts, sequences: Sequences) -> tuple[Entrant, ...]:
    """The models that are worth a race on such a log, those that count first.

    Args:
        found: what the log is like.
        sequences: what is learnt from, for the settings of presets.
    """
    return (*_counting(found), *_networks(found, sequences))


def _counting(found: Facts) -> Iterator[Entrant]:
    """Models that count: they cost seconds, so that hardly any is left out."""
    yield Entrant("popular", reason="the bar that every other model has to pass")
    if found.timed:
        why = "there are times, and what is popular now may be another thing than what ever was"
        if found.young is not None and found.young >= YOUNG:
            why = f"{found.young:.0%} of events are on items younger than a week"
        yield Entrant("recent", reason=why)
    yield Entrant("markov", reason="the last item alone")
    yield Entrant("rules", reason="the last few items: what every network has to pass")
    yield Entrant("neighbours", reason="items that go together, whatever their order")
    if found.typical < BRIEF or found.domain in ("shop", "sessions", "baskets"):
        why = f"half of the sequences have at most {found.typical:g} events: like ones say more"
        if found.typical >= BRIEF:
            why = f"a log of kind {found.domain}, where visits are alike"
        yield Entrant("v-sknn", reason=why)
    yield Entrant("als", reason="matrix factorisation: who took what, without order")


def _networks(found: Facts, sequences: Sequences) -> Iterator[Entrant]:
    """Networks, as many as the log is worth."""
    if found.events < LITTLE:
        return
    if found.order == "not":
        yield Entrant(
            "gru",
            reason="counts see no order: one network looks whether anything lies deeper",
        )
        return
    yield Entrant("gru", reason="a network that reads the history step by step")
    why = "a network that looks at all steps at once"
    if found.long > SHORT:
        why = f"{why}: 5 % of the sequences have {found.long:g} events or more"
    yield Entrant("transformer", reason=why)
    fast = preset("fast", sequences)
    yield Entrant(
        "fast",
        {"model": fast.model, **fast.settings},
        f"the preset: {fast.model} with the counts of the rules beside it",
    )


def left_out(found: Facts) -> str:
    """Why networks are left out of the race, in words; "" where they are not."""
    if found.events >= LITTLE:
        return ""
    return (
        f"networks are left out: {found.events:,} training events are fewer than {LITTLE:,}, from which they rarely "
        "learn more than counts do; --models names them all the same"
    )
