"""Which events count, and which users and items are learnt from.

Two kinds of filters. A *condition* looks at one event alone (its type, rating or time), and holds for a whole log,
before any split. A *fitted* filter counts events, so it is fitted on training events only, and says which users and
items are learnt from. It takes nothing out of later parts: there, an item that is not learnt from is cold (a miss as a
target, passed over in a history), and a user who is not learnt from is asked about nonetheless, by history.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from ensue.errors import ConfigError, DataError, EnsueError
from ensue.events import times
from ensue.events.accounts import told
from ensue.events.filters import (
    Codes,
    Condition,
    Core,
    Counted,
    EventTypes,
    FittedFilter,
    LeastRating,
    TimeWindow,
    Window,
)
from ensue.events.log import EventLog


@dataclass(frozen=True)
class Step:
    """One filter, and what it left.

    Attributes:
        words: which, with its values.
        before: events, users and items that came to it.
        after: those that it left.
        rounds: how often it counted until nothing more fell out.
    """

    words: str
    before: tuple[int, int, int]
    after: tuple[int, int, int]
    rounds: int = 1

    def line(self) -> str:
        """The step, for people."""
        counts = (
            f"{a:,} of {b:,} {what}" for a, b, what in zip(self.after, self.before, _COUNTED, strict=True)
        )
        again = f", in {self.rounds:,} rounds" if self.rounds > 1 else ""
        return f"{self.words}: {', '.join(counts)} stay{again}"


_COUNTED = ("events", "users", "items")


@dataclass(frozen=True, eq=False)
class Fitted:
    """Which users and items are learnt from.

    Attributes:
        users: their ids; None for all.
        items: the same of items.
        steps: what each filter did to the events that it was fitted on.
    """

    users: pl.Series | None
    items: pl.Series | None
    steps: tuple[Step, ...]

    def learnt_from(self, log: EventLog) -> EventLog:
        """The events of users and items that are learnt from, in the same order: of the log of the fit, what is left.

        Args:
            log: the events that the filters were fitted on. Later ones stay whole, see `later`.
        """
        if self.users is None or self.items is None:
            return log
        known = pl.col("user").is_in(self.users.implode()) & pl.col("item").is_in(self.items.implode())
        return log.where(known)

    def later(self, log: EventLog) -> dict[str, int]:
        """How many events of a later part are of items and of users that are not learnt from. They stay in that part.

        An item of which the filters know nothing, since it is new, counts as well: it is cold like one left out.

        Args:
            log: events after those of the fit.
        """
        if self.users is None or self.items is None:
            return {"cold": 0, "not_learnt_from": 0}
        users, items = self.users.implode(), self.items.implode()
        found = log.frame.select(
            cold=(~pl.col("item").is_in(items)).sum(), not_learnt_from=(~pl.col("user").is_in(users)).sum()
        ).row(0, named=True)
        return {name: int(number) for name, number in found.items()}

    def lines(self) -> list[str]:
        """What each filter did, for people."""
        return [f"filter {step.line()}" for step in self.steps]

    def to_json(self) -> list[dict[str, Any]]:
        """What each filter did, for programs."""
        return [
            {
                "filter": step.words,
                "before": dict(zip(_COUNTED, step.before, strict=True)),
                "after": dict(zip(_COUNTED, step.after, strict=True)),
                "rounds": step.rounds,
            }
            for step in self.steps
        ]


@dataclass(frozen=True)
class Filters:
    """All filters of an experiment, in the order in which they are applied; none by default.

    Attributes:
        since: ISO date or time; earlier events do not count.
        until: the same for later ones.
        keep_events: event types that count; all if empty.
        min_rating: the smallest rating that counts; then events without one do not.
        max_item_events: items with more training events are not learnt from; 0 is no limit.
        max_user_events: users with more training events are not learnt from; 0 is no limit.
        min_user_events: users that are learnt from have at least so many training events on items that are learnt from.
        min_item_events: items that are learnt from have at least so many by users that are. The two hold together.

    Example:
        >>> log = EventLog.of(pl.DataFrame({"user": list("uuvvw"), "item": list("ababc")}))
        >>> fitted = Filters(min_item_events=2).fit(log)
        >>> fitted.learnt_from(log).frame["item"].to_list(), fitted.steps[0].after
        (['a', 'b', 'a', 'b'], (4, 2, 2))
    """

    since: str = ""
    until: str = ""
    keep_events: tuple[str, ...] = ()
    min_rating: float | None = None
    max_item_events: int = 0
    max_user_events: int = 0
    min_user_events: int = 0
    min_item_events: int = 0

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What every event has to meet."""
        found: list[Condition] = []
        if self.since or self.until:
            found.append(TimeWindow(self.since, self.until))
        if self.keep_events:
            found.append(EventTypes(self.keep_events))
        if self.min_rating is not None:
            found.append(LeastRating(self.min_rating))
        return tuple(found)

    @property
    def fitted(self) -> tuple[FittedFilter, ...]:
        """What is fitted on training events."""
        found: list[FittedFilter] = []
        if self.max_item_events:
            found.append(Window("item", most=self.max_item_events))
        if self.max_user_events:
            found.append(Window("user", most=self.max_user_events))
        if self.min_user_events > 1 or self.min_item_events > 1:
            found.append(Core(self.min_user_events, self.min_item_events))
        return tuple(found)

    def faults(self) -> list[str]:
        """What cannot be, one sentence each."""
        numbers = ("max_item_events", "max_user_events", "min_user_events", "min_item_events")
        found = [
            f"{name} = {getattr(self, name)}: must be a whole number from 0 up."
            for name in numbers
            if getattr(self, name) < 0
        ]
        for of in ("user", "item"):
            least, most = getattr(self, f"min_{of}_events"), getattr(self, f"max_{of}_events")
            if 0 < most < least:
                found.append(
                    f"min_{of}_events = {least} is more than max_{of}_events = {most}: none could stay."
                )
        if self.min_rating is not None and not math.isfinite(self.min_rating):
            found.append(f"min_rating = {self.min_rating:g}: must be a finite number.")
        bounds = {}
        for name in ("since", "until"):
            if getattr(self, name):
                try:
                    bounds[name] = times.moment(getattr(self, name), name)
                except EnsueError as fault:
                    found.append(str(fault))
        if len(bounds) == 2 and bounds["since"] > bounds["until"]:
            found.append(f"since = {self.since} is later than until = {self.until}.")
        return found

    def apply(self, log: EventLog) -> EventLog:
        """The events that count, by the conditions; its reading tells how many are set aside for each.

        Raises:
            ConfigError: a filter cannot be; all faults are listed.
            ColumnError: a condition needs a column that the log does not have.
            DataError: a condition leaves nothing, or needs times and there are none.
        """
        self._check()
        for condition in self.conditions:
            holds = condition.holds(log)
            number = int(holds.sum())
            if not number and log.n_events:
                raise DataError(_nothing(condition.words(), log.n_events, condition.remedy(log)))
            why = f"does not meet {condition.words()}"
            note = f"filter {condition.words()}: {number:,} of {log.n_events:,} events count"
            log = told(log, log.frame.filter(holds), note, {why: log.n_events - number})
        return log

    def fit(self, train: EventLog) -> Fitted:
        """Which users and items are learnt from, as training events have it.

        Args:
            train: training events only: nothing later than the cut may be in it.

        Raises:
            ConfigError: a filter cannot be; all faults are listed.
            DataError: a filter leaves nothing.
        """
        self._check()
        return fit(train, self.fitted)

    def learnable(
        self, train: EventLog, say: Callable[[str], None] = lambda line: None
    ) -> tuple[EventLog, Fitted]:
        """The training events that are learnt from, by filters fitted on just these; and the filters.

        Args:
            train: training events only.
            say: is told what each filter did.

        Raises:
            ConfigError: a filter cannot be; all faults are listed.
            DataError: a filter leaves nothing.
        """
        fitted = self.fit(train)
        for line in fitted.lines():
            say(line)
        return fitted.learnt_from(train), fitted

    def _check(self) -> None:
        faults = self.faults()
        if faults:
            raise ConfigError("The filters cannot be so:\n" + "\n".join(f"  {fault}" for fault in faults))


def fit(train: EventLog, filters: Sequence[FittedFilter]) -> Fitted:
    """Which users and items are learnt from, one filter after the other.

    Args:
        train: training events only.
        filters: what each is, in the order in which they are applied.

    Raises:
        DataError: a filter leaves nothing; it says which, with its value, and the nearest value that keeps data.
    """
    if not filters:
        return Fitted(None, None, ())
    users, user_ids = _codes(train.frame["user"])
    items, item_ids = _codes(train.frame["item"])
    events = Counted(users, items)
    steps = []
    for one in filters:
        kept, rounds = one.holds(events)
        left = events.where(kept)
        if not len(left) and len(events):
            raise DataError(_nothing(one.words(), len(events), one.remedy(events)))
        steps.append(Step(one.words(), _sizes(events), _sizes(left), rounds))
        events = left
    return Fitted(
        user_ids.gather(np.unique(events.users)), item_ids.gather(np.unique(events.items)), tuple(steps)
    )


def _codes(ids: pl.Series) -> tuple[Codes, pl.Series]:
    """`[E]` a number for each id, and the ids in the order of their numbers."""
    different = ids.unique(maintain_order=True)
    numbered = pl.DataFrame({"id": different, "code": np.arange(len(different), dtype=np.int64)})
    joined = ids.rename("id").to_frame().join(numbered, on="id", how="left", maintain_order="left")
    return joined["code"].to_numpy(), different


def _sizes(events: Counted) -> tuple[int, int, int]:
    return len(events), len(np.unique(events.users)), len(np.unique(events.items))


def _nothing(words: str, before: int, remedy: str) -> str:
    return f"The filter {words} leaves nothing: {before:,} events before, 0 after. {remedy}"
