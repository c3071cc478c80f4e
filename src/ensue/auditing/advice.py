"""What follows from an audit: split, sessions, models and the smallest difference that a test can see, with reasons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from ensue.auditing.order import OrderTest
from ensue.events.audit import Advice, Audit
from ensue.events.faults import starts
from ensue.events.log import EventLog
from ensue.events.profile import Profile, duration

YOUNG_MANY = 0.1
"""From this share of events on young items on, what is popular now counts more than what ever was."""

SHORT = 10
"""A typical sequence below this many events is short: it says little, and its like in other sequences say more."""

NETWORK_EVENTS = 100_000
"""Below this many events a table of counts is rarely beaten by a network."""

POWER = 2.8
"""A difference of so many standard errors is found four times out of five at the 5 % level: 1.96 + 0.84."""

DECIDES = ("exclude_seen", "split", "sessions")


@dataclass(frozen=True)
class Tested:
    """How large a test is, and what it can tell apart.

    Attributes:
        split: the split that it is of.
        users: users with something to be asked about.
        smallest: the smallest difference of ndcg@10 that is found four times out of five; None where it is not known.
    """

    split: str
    users: int
    smallest: float | None


def sized(log: EventLog, split: str, by: str, order: OrderTest | None) -> Tested:
    """The size of a test by a split, and the smallest difference between two models that it can see.

    The standard error is that of the difference of two unlike models (what followed the last item, and what followed
    the last few), one target for each user.

    Args:
        log: the events.
        split: "temporal" or "last".
        by: what a sequence is.
        order: the shuffle test, which has measured how much that difference varies over users.
    """
    keys = ("session",) if by == "session" else ()
    history = ~starts(log.frame, *keys)
    if split == "temporal":
        stamp = log.frame["time"].dt.epoch("us").to_numpy()
        history = history & (stamp >= np.quantile(stamp, 0.9))
    users = log.frame["user"].filter(pl.Series(history)).n_unique()
    known = order is not None and order.spread is not None and users > 1
    smallest = POWER * order.spread / users**0.5 if known and order is not None and order.spread else None
    return Tested(split, users, smallest)


def advice(
    found: Audit, shape: Profile, order: OrderTest | None, rows: OrderTest | None, test: Tested
) -> tuple[Advice, ...]:
    """All that is advised, each with the number that decides it.

    Args:
        found: the measures, and what follows from them alone.
        shape: the log in detail.
        order: the shuffle test, or None if it was not made.
        rows: the same of rows of equal time alone, or None.
        test: how large the test would be.
    """
    given = {one.option: one for one in found.advice}
    rest = tuple(one for one in found.advice if one.option not in DECIDES)
    return (
        given["split"],
        _sessions(given["sessions"], shape),
        given["exclude_seen"],
        *rest,
        *_rows(rows),
        *_models(found, shape, order),
        _metrics(found, test),
    )


def _sessions(plain: Advice, shape: Profile) -> Advice:
    if plain.value in ("given", "none"):
        return plain
    if shape.day_only:
        return Advice(
            "sessions", "day", "times are whole days, so that a day is the smallest session there is"
        )
    if shape.valley is None:
        return Advice(
            "sessions",
            plain.value,
            f"{plain.reason}; the gaps have no clear valley, so that half an hour is usual",
        )
    said = f"the gaps between events have a clear valley at {duration(shape.valley)}"
    return Advice("sessions", f"{shape.valley:g}", said)


def _rows(rows: OrderTest | None) -> tuple[Advice, ...]:
    if rows is None or rows.verdict not in ("matters", "hardly"):
        return ()
    return (Advice("ties", "shuffle", f"{rows.said}: report figures with ties shuffled beside the others"),)


def _models(found: Audit, shape: Profile, order: OrderTest | None) -> tuple[Advice, ...]:
    advised = []
    young = shape.young_share
    if young is not None and young >= YOUNG_MANY:
        advised.append(
            Advice(
                "models",
                "recent",
                f"{young:.1%} of events are on items younger than a week: what is popular now",
            )
        )
    advised.append(Advice("models", "popular", "the bar that every other model has to pass"))
    if order is None or order.verdict == "unknown":
        advised.append(
            Advice("models", "rules", "whether order says anything is not known: a table of counts is cheap")
        )
    elif order.verdict in ("matters", "hardly"):
        advised.append(Advice("models", "markov, rules", order.said))
    else:
        advised.append(
            Advice("models", "neighbours", f"{order.said}; what goes together may still say something")
        )
    middle = found.lengths["median"]
    if middle < SHORT:
        advised.append(
            Advice(
                "models",
                "v-sknn, stan",
                f"half of the {found.by}s have at most {middle:g} events: like ones say more",
            )
        )
    if order is not None and order.verdict == "not":
        return tuple(advised)
    enough = found.events >= NETWORK_EVENTS
    said = f"{found.events:,} events, {'not fewer' if enough else 'fewer'} than {NETWORK_EVENTS:,}"
    advised.append(
        Advice(
            "networks",
            "gru4rec, transformer" if enough else "not yet",
            said if enough else f"{said}: counts first",
        )
    )
    return tuple(advised)


def _metrics(found: Audit, test: Tested) -> Advice:
    size = f"{found.items:,} items are ranked in full, for {test.users:,} test users"
    if test.smallest is None:
        return Advice("metrics", "ndcg@10, recall@10", size)
    return Advice(
        "metrics", "ndcg@10, recall@10",
        f"{size}; a difference of ndcg@10 below {test.smallest:.4f} is mostly missed "
        f"({POWER} standard errors, one target a user)",
    )  # fmt: skip
