"""Sessions that go on: later events after kept ones that were cut before."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from ensue.errors import ColumnError, DataError
from ensue.events.accounts import told
from ensue.events.log import EventLog
from ensue.events.sessions.cuts import Grouped, limited, per_user
from ensue.events.sessions.rule import MOST_US, Sessions, escaped, in_order

_GROUP = " group"


def go_on(rule: Sessions, kept: pl.DataFrame, log: EventLog) -> tuple[pl.DataFrame, EventLog]:
    """Kept events and later ones in sessions: one that goes on takes in what comes, and keeps its id.

    Kept events that follow each other stay as they were cut; wherever a later one stands beside, the rule decides.
    The limits count all events of a session. Later events in sessions that are too short are set aside and counted.

    Args:
        rule: by which sessions are cut.
        kept: user, session, the columns of the rule, and time where the log has it, oldest first; none of them is in
            the log.
        log: the later events, with the sessions of the source, if there are any.

    Raises:
        ColumnError: the log lacks a column.
        DataError: it needs times and there are none, or no later session is long enough.
    """
    rule.check_columns(log)
    given = "session" in log.columns and (rule.given or not rule.cuts)
    if rule.nothing and not given:
        raise ColumnError(
            "The model's sessions are those of its source, and the new log has none: map the session column."
        )
    frame = log.frame if given else log.frame.with_columns(session=pl.lit(None, dtype=pl.String))
    order = ["user", *(["time"] if log.has_time and "time" in kept.columns else [])]
    names = list(dict.fromkeys([*order, "session", *rule.columns]))
    both = pl.concat([kept.select(names), frame.select(names)])
    places = both.select(pl.arg_sort_by(order, maintain_order=True)).to_series()
    both = both[places]
    marked = both.select("user", "session").with_columns(place=places, kept=places < kept.height)
    marked = _named(marked, given, bool(rule.cuts or rule.max_events or rule.max_seconds))
    grouped = Grouped.by(marked["group"])
    by_rule = rule.begins(both.with_columns(marked["group"].alias(_GROUP)), _GROUP)[grouped.order]
    marked = marked[grouped.order]
    known = marked.select(
        same=(pl.col("kept") & pl.col("kept").shift(1)).fill_null(False),
        other=pl.col("session").ne_missing(pl.col("session").shift(1)),
    )
    begins = grouped.first | np.where(known["same"].to_numpy(), known["other"].to_numpy(), by_rule)
    times = both["time"].dt.epoch("us").to_numpy()[grouped.order] if "time" in order else None
    longest = min(round(rule.max_seconds * 1_000_000), MOST_US)
    cut = limited(begins, rule.max_events, times, longest)
    both = _numbered(marked.with_columns(stretch=pl.Series(np.cumsum(cut)))).sort("place")
    ids, short = both["session"], both["new"] & (both["size"] < rule.min_events)
    cut_log = dataclasses.replace(log, frame=in_order(log.frame.with_columns(session=ids.slice(kept.height))))
    found = both.slice(kept.height).filter(~short.slice(kept.height))
    if found.is_empty() and log.n_events:
        raise DataError(
            f"No session with new events has {rule.min_events:,} events (min_events): wait for more of them."
        )
    on = found.filter(~pl.col("new"))["session"].n_unique()
    note = f"sessions with new events: {found['session'].n_unique():,}, {on:,} of them go on from kept ones"
    aside = int(short.sum())
    if aside:
        note += f"; {aside:,} events in sessions of fewer than {rule.min_events:,} are set aside"
    reasons = {f"in a session of fewer than {rule.min_events:,} events": aside}
    left = cut_log.frame.filter(~short.slice(kept.height))
    return kept.with_columns(session=ids.head(kept.height)), told(cut_log, left, note, reasons)


def _named(frame: pl.DataFrame, given: bool, parts: bool) -> pl.DataFrame:
    """The events with the `group` that is cut, its `name` in ids, and the `number` of each kept session in it.

    Args:
        frame: kept and later events; `session` is the id of a kept one, the name in the source of a later one, or null.
        given: whether sessions of the source are cut, and not users.
        parts: whether anything cuts them.
    """
    user = escaped(pl.col("user"))
    if not given:
        number = pl.col("session").str.strip_prefix(pl.concat_str("user", pl.lit("#")))
        return frame.with_columns(
            group="user", name="user", number=number.cast(pl.Int64, strict=False), plain=False
        )
    known = frame.filter("kept")["session"]
    numbered = parts and len(known) > 0 and bool(known.str.contains(r"#\d+$").all())
    name, number = pl.col("session"), pl.lit(None, dtype=pl.Int64)
    if numbered:
        bare = name.str.replace(r"#\d+$", "").str.replace_all(r"\\(.)", "${1}")
        number = pl.when("kept").then(name.str.extract(r"#(\d+)$").cast(pl.Int64, strict=False))
        name = pl.when("kept").then(bare).otherwise(name)
    frame = frame.with_columns(name=name, number=number, plain=not numbered)
    frame = frame.with_columns(name=pl.col("name").str.strip_prefix(pl.concat_str(user, pl.lit("#"))))
    return frame.with_columns(group=pl.concat_str("user", pl.lit("\n"), "name"))


def _numbered(frame: pl.DataFrame) -> pl.DataFrame:
    """The events with the id of each `stretch`: that of its first kept event, or the next one of its group.

    `size` is how many events a stretch has, `new` whether none of them was kept.
    """
    kept = pl.col("session").filter("kept")
    stretches = frame.group_by("stretch", maintain_order=True).agg(
        pl.col("user", "group", "name", "plain").first(),
        id=kept.first(),
        size=pl.len(),
        new=~pl.col("kept").any(),
    )
    last = frame.group_by("group").agg(last=pl.max_horizontal(pl.col("number").max(), kept.n_unique()))
    stretches = stretches.join(last, on="group", how="left", maintain_order="left")
    twice = pl.col("id").is_not_null() & ~pl.struct("user", "id").is_first_distinct()
    stretches = stretches.with_columns(id=pl.when(~twice).then("id"))
    count = pl.col("id").is_null().cast(pl.Int64).cum_sum().over("group") + pl.col("last")
    name = pl.when(pl.col("group") != pl.col("user")).then(escaped(pl.col("name"))).otherwise("name")
    fresh = pl.concat_str(name, pl.lit("#"), count.cast(pl.String))
    fresh = pl.when(pl.col("plain") & (count == 1)).then("name").otherwise(fresh)
    stretches = stretches.select("stretch", "size", "new", id=pl.coalesce("id", fresh))
    frame = frame.join(stretches, on="stretch", how="left", maintain_order="left").with_columns(session="id")
    return frame.with_columns(session=per_user(frame))
