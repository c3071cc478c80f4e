"""Duplicates, repeats, returns and ties: for each a rule, and a count even where the rule changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from ensue.errors import ConfigError, nearest
from ensue.events import duplicates
from ensue.events.accounts import told
from ensue.events.log import EventLog

CHOICES = {
    "duplicates": ("keep", "first"),
    "returns": ("keep", "drop", "cancel"),
    "repeats": ("keep", "first", "last", "collapse"),
    "ties": ("row", "shuffle"),
}
"""What each rule may be; the first is the default, and changes nothing."""

NOTHING_LEFT = 1e-9
"""A quantity below this share of what was bought is nothing: what floating point leaves of 0.1 + 0.2 - 0.3."""


@dataclass(frozen=True)
class Cleaning:
    """What is done about events that say the same again, take another back, or share a time. Nothing, by default.

    The rules follow each other in the order in which they stand here; all counts are of events that came to the rule.

    Attributes:
        duplicates: events that come more than once in all of user, item, time, type, session, basket, quantity and
            rating that the log has: "keep" them, or the "first". In a log without times nothing tells a duplicate from
            a repeat, and none is counted.
        returns: events of a negative quantity or of a return's type: "keep" them as they are, "drop" them alone, or
            "cancel" what they take back as well: the last earlier purchases of the same user and item, as many as the
            quantity says (one, where there is none). A purchase that is taken back in part stays with what is left.
        repeats: events on an item that the user has had before: "keep" them, or only the "first" or "last" of the user
            and item; "collapse" keeps the first of each run of the same item.
        ties: events that share user and time (and `order`, where there is one): in the order of their "row", or
            "shuffle"d, to see how much hangs on that order.
        seed: of the shuffle.
        return_types: event types that are returns.
        purchase_types: event types that a return takes back; in a log without types, every event may be one.
    """

    duplicates: Literal["keep", "first"] = "keep"
    returns: Literal["keep", "drop", "cancel"] = "keep"
    repeats: Literal["keep", "first", "last", "collapse"] = "keep"
    ties: Literal["row", "shuffle"] = "row"
    seed: int = 0
    return_types: tuple[str, ...] = ("return",)
    purchase_types: tuple[str, ...] = ("purchase",)

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    def faults(self) -> list[str]:
        """What cannot be, one sentence each."""
        found = [
            f"{name} = '{getattr(self, name)}': take one of {', '.join(known)}."
            f"{nearest(str(getattr(self, name)), known)}"
            for name, known in CHOICES.items()
            if getattr(self, name) not in known
        ]
        if self.seed < 0:
            found.append(f"seed = {self.seed}: must be a whole number from 0 up.")
        both = sorted(set(self.return_types) & set(self.purchase_types))
        if both:
            found.append(f"'{both[0]}' cannot be a return and a purchase at once.")
        return found

    def apply(self, log: EventLog) -> EventLog:
        """The log by these rules; its reading tells for each rule how many events it is about, and what became of them.

        Raises:
            ConfigError: a rule cannot be; all faults are listed.
        """
        faults = self.faults()
        if faults:
            raise ConfigError(
                "The events cannot be cleaned so:\n" + "\n".join(f"  {fault}" for fault in faults)
            )
        kept = []
        for rule in (_duplicates, _returns, _repeats, _ties):
            log, note = rule(log, self)
            kept += [note] if note else []
        return told(log, log.frame, f"kept as they are: {', '.join(kept)}" if kept else "", {})


def _duplicates(log: EventLog, rules: Cleaning) -> tuple[EventLog, str]:
    frame = log.frame
    twice = duplicates.again(frame) if log.has_time and frame.height else _none(frame)
    number = int(twice.sum())
    if rules.duplicates == "keep":
        return log, f"{number:,} exact duplicates"
    why = "exact duplicate of an earlier event"
    keys = ", ".join(duplicates.keys_of(frame))
    note = f"exact duplicates (same {keys}): {number:,}, of which the first is kept alone"
    return told(log, frame.filter(~twice), note, {why: number}), ""


def _returns(log: EventLog, rules: Cleaning) -> tuple[EventLog, str]:
    frame = log.frame
    returned = _is_return(frame, rules)
    number = int(returned.sum())
    if rules.returns == "keep":
        return log, f"{number:,} returns"
    if rules.returns == "drop":
        return told(
            log, frame.filter(~returned), f"returns: {number:,}, left out alone", {"return": number}
        ), ""
    if not number:
        return told(log, frame, "returns: 0, nothing to cancel", {}), ""
    left, part, missing = _cancelled(frame, returned, rules)
    gone = left == 0
    if "quantity" in frame.columns:
        frame = frame.with_columns(quantity=pl.when(part).then(left).otherwise(pl.col("quantity")))
    note = (
        f"returns: {number:,}, left out with the {int(gone.sum()):,} purchases that they take back; "
        f"{int(part.sum()):,} purchases are taken back in part; {missing:,} returns have no earlier purchase, or not "
        "enough of it"
    )
    aside = {"return": number, "purchase that was returned": int(gone.sum())}
    return told(log, frame.filter(~(returned | gone)), note, aside), ""


def _is_return(frame: pl.DataFrame, rules: Cleaning) -> pl.Series:
    """`[E]` which events take something back."""
    found = _none(frame)
    if "quantity" in frame.columns:
        found = found | (frame["quantity"] < 0).fill_null(False)
    if "event" in frame.columns:
        found = found | frame["event"].is_in(list(rules.return_types)).fill_null(False)
    return found


def _cancelled(frame: pl.DataFrame, returned: pl.Series, rules: Cleaning) -> tuple[pl.Series, pl.Series, int]:
    """What returns leave of purchases.

    What a user holds of an item is a pile: purchases lie on it, returns take from its top. With h the height of the
    pile after each event, a purchase that filled it from h' up to h keeps what the lowest later height leaves of that.

    Returns:
        `[E]` the quantity that is left of each purchase, 1 for an event that no return could take back; `[E]` whether
        it is a part; and how many returns find too little to take back.
    """
    has_quantity, has_type = "quantity" in frame.columns, "event" in frame.columns
    size = pl.col("quantity").abs().fill_null(1.0) if has_quantity else pl.lit(1.0)
    bought = ~pl.col("returned")
    if has_type:
        bought = bought & pl.col("event").is_in(list(rules.purchase_types)).fill_null(False)
    pair = ["user", "item"]
    moved = pl.when("returned").then(-pl.col("size")).when("bought").then("size").otherwise(0.0)
    floor = pl.min_horizontal(pl.col("sum").cum_min().over(pair), pl.lit(0.0))
    table = (
        frame.select(*pair, *(["quantity"] if has_quantity else []), *(["event"] if has_type else []))
        .with_columns(returned=returned, at=pl.int_range(pl.len()))
        .filter(pl.col("returned").any().over(pair))
        .with_columns(size=size, bought=bought)
        .with_columns(sum=moved.cum_sum().over(pair))
        .with_columns(height=pl.col("sum") - floor)
        .with_columns(
            before=pl.col("height").shift(1, fill_value=0.0).over(pair),
            lowest=pl.col("height").cum_min(reverse=True).over(pair),
        )
    )
    nothing = NOTHING_LEFT * pl.col("size")
    lacking = pl.col("size") - (pl.col("before") - pl.col("height")) > nothing
    missing = table.select((pl.col("returned") & lacking).sum()).item()
    stays = (pl.col("lowest") - pl.col("before")).clip(0.0)
    purchases = table.filter(pl.col("bought") & (pl.col("size") > 0)).select(
        "at",
        left=pl.when(stays <= nothing).then(0.0).otherwise(stays),
        part=stays.is_between(nothing, pl.col("size") - nothing, "none"),
    )
    left, part = np.ones(frame.height), np.zeros(frame.height, dtype=np.bool_)
    left[purchases["at"].to_numpy()] = purchases["left"].to_numpy()
    part[purchases["at"].to_numpy()] = purchases["part"].to_numpy()
    return pl.Series("left", left), pl.Series("part", part), int(missing)


def _repeats(log: EventLog, rules: Cleaning) -> tuple[EventLog, str]:
    frame = log.frame
    again = ~frame.select(pl.struct("user", "item").is_first_distinct()).to_series()
    number = int(again.sum())
    if rules.repeats == "keep":
        return log, f"{number:,} repeats"
    if rules.repeats == "collapse":
        same = (pl.col("item") == pl.col("item").shift(1)) & (pl.col("user") == pl.col("user").shift(1))
        again = frame.select(same.fill_null(False)).to_series()
        what, why = "those that follow their like are left out", "repeat of the item just before"
    elif rules.repeats == "last":
        again = ~frame.select(pl.struct("user", "item").is_last_distinct()).to_series()
        what, why = "the last of each user and item is kept alone", "repeated later"
    else:
        what, why = "the first of each user and item is kept alone", "repeat of an earlier event"
    gone = int(again.sum())
    note = f"repeats (an item that the user had before): {number:,}; {what}: {gone:,} fewer"
    return told(log, frame.filter(~again), note, {why: gone}), ""


def _ties(log: EventLog, rules: Cleaning) -> tuple[EventLog, str]:
    frame = log.frame
    keys = ["user", "time", *(["order"] if "order" in frame.columns else [])]
    if not (log.has_time and frame.height):
        return log, "0 ties in time"
    number = int(frame.select(pl.struct(keys).is_duplicated().sum()).item())
    if rules.ties == "row":
        return log, f"{number:,} events tied in time"
    tied = frame.select(pl.struct(keys).rle_id()).to_series().to_numpy()
    order = np.lexsort((np.random.default_rng(rules.seed).random(frame.height), tied))
    shuffled = frame[order].with_columns(frame["row"])  # places stay where they are: rows still rise
    return told(log, shuffled, f"events tied in time: {number:,}, shuffled by seed {rules.seed}", {}), ""


def _none(frame: pl.DataFrame) -> pl.Series:
    return pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
