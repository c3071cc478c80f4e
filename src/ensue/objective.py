"""What is predicted from what: which types of events stand in histories, which are asked for, and how much each counts.

Next click: all events in, clicks asked for. Next purchase: views, carts and purchases in, purchases asked for. Without
an objective all events are both, whatever their type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.errors import ColumnError, ConfigError, DataError, nearest
from ensue.events.audit import REPEATS_FEW
from ensue.events.log import EventLog
from ensue.questions import Question
from ensue.sequences import Sequences, unit_column
from ensue.splits import Split, split_as
from ensue.suiting import TYPE

Mask = NDArray[np.bool_]

SHOWN = 8
"""Types of a log that are shown with their counts in a message, the most frequent ones."""


@dataclass(frozen=True)
class Objective:
    """The table `[objective]`: what is predicted from what.

    Targets stand in histories too: what was bought once is known when the next question is asked.

    Attributes:
        inputs: types of events that stand in histories; empty takes all. Others are left out of the whole log.
        targets: types that are asked for, in validation and test; empty takes all.
        weights: how much an event of a type counts as a target of training. A type that is not named counts 1 if it is
            asked for, else 0: then it only stands in histories. Only the proportions matter to networks.
        rating: how much networks of next items learn ratings beside, in the same fit: a square error of one variance of
            the ratings counts so many times a next item. 0 learns none.
    """

    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    rating: float = 0.0

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    def __bool__(self) -> bool:
        return self.typed or self.rating != 0

    @property
    def typed(self) -> bool:
        """Whether it tells types of events apart."""
        return bool(self.inputs or self.targets or self.weights)

    @classmethod
    def learnt(cls, said: Mapping[str, Any]) -> Objective:
        """The objective of a saved model.

        Args:
            said: what the model says of what it has learnt from.

        Raises:
            ConfigError: it says something that this version does not know.
        """
        given = said.get("objective") or {}
        try:
            lists: dict[str, Any] = {name: tuple(given.get(name, ())) for name in ("inputs", "targets")}
            weights = {str(name): float(value) for name, value in given.get("weights", {}).items()}
            return cls(**{**given, **lists, "weights": weights})
        except (TypeError, ValueError, AttributeError) as fault:
            raise ConfigError(
                f"The model's objective is none that this version knows ({fault}): fit it anew."
            ) from None

    def to_json(self) -> dict[str, Any]:
        """The objective as plain values; `learnt` makes the same one of them."""
        found = asdict(self)
        return found | {"inputs": list(self.inputs), "targets": list(self.targets)}

    def faults(self) -> list[str]:
        """What cannot be, one sentence each."""
        found = [
            f"objective.{name} = {list(types)}: '{twice}' stands there twice."
            for name, types in (("inputs", self.inputs), ("targets", self.targets))
            for twice in sorted({one for one in types if types.count(one) > 1})
        ]
        found += [
            f"objective.weights.{name} = {value:g}: must be a finite number from 0 up."
            for name, value in self.weights.items()
            if not 0 <= value < inf
        ]
        if not 0 <= self.rating < inf:
            found.append(f"objective.rating = {self.rating:g}: must be a finite number from 0 up.")
        for name in (*self.targets, *self.weights) if self.inputs else ():
            if name not in self.inputs:
                found.append(
                    f"objective.inputs leaves out '{name}', which is a target: what happened is known afterwards, and "
                    "stands in later histories. Add it."
                )
        if self.targets and not any(self.weights.get(name, 1.0) > 0 for name in self.targets):
            found.append("objective.weights: no target counts, so nothing that is asked for is learnt.")
        return list(dict.fromkeys(found))

    def check(self, log: EventLog) -> None:
        """Nothing, if a log has all the types that are named.

        Raises:
            ColumnError: it has no types.
            ConfigError: it lacks some; those it has are listed with their counts.
        """
        if not self.typed:
            return
        counts = _counted(log)
        named = dict.fromkeys((*self.inputs, *self.targets, *self.weights))
        lacking = [name for name in named if name not in counts]
        if lacking:
            kinds = "type" if len(lacking) == 1 else "types"
            close = "".join(nearest(name, counts) for name in lacking)
            raise ConfigError(
                f"The objective names the {kinds} {', '.join(map(repr, lacking))}, and no event of this log is of "
                f"{'it' if len(lacking) == 1 else 'them'}; it has {_shown(counts)}.{close}"
            )

    def heard(self, log: EventLog) -> EventLog:
        """The events that stand in histories."""
        return log if not self.inputs else log.where(self._of(log, self.inputs))

    def asked(self, log: EventLog) -> Mask:
        """`[E]` the events that are asked for."""
        return np.ones(log.n_events, dtype=bool) if not self.targets else self._of(log, self.targets)

    def split(self, log: EventLog, settings: Mapping[str, Any], by: str = "user") -> Split:
        """A log split as the table `[split]` says, of which targets alone are asked for and inputs alone stay.

        The whole log is split, so that the cuts are the same whatever stands in histories. The rule "last" takes the
        last *target* of each sequence, and "items" the first of a user on each item that is held out; what comes after
        is not asked for.

        Args:
            log: all events.
            settings: of the rule, as for `split_as`.
            by: what a sequence is.

        Raises:
            EnsueError: as for `split_as`; or the log lacks a type.
        """
        if not self.typed:
            return split_as(log, settings, by)
        self.check(log)
        only = {"only": self.asked(log)} if settings["rule"] in ("last", "items") else {}
        return self.aimed(split_as(log, {**settings, **only}, by))

    def aimed(self, split: Split) -> Split:
        """A split of which targets alone are asked for, and inputs alone stay.

        Args:
            split: of a log with all types.
        """
        if not self.typed:
            return split
        log = split.log
        own = np.arange(log.n_events) if split.until is None else split.until
        until = np.where(self.asked(log), own, -1)
        found = replace(split, until=until, name=f"{split.name}, {self.asks}")
        if not self.inputs:
            return found
        kept = self._of(log, self.inputs)
        before: Ints = np.cumsum(kept) - kept  # how many kept events lie before each
        until = np.where(until < 0, until, before[until])[kept]
        return replace(found, log=log.where(kept), part=split.part[kept], until=until)

    def weights_of(self, types: pl.Series) -> NDArray[np.float32]:
        """`[E]` how much events of these types count as targets of training."""
        other = 0.0 if self.targets else 1.0
        known = dict.fromkeys(self.targets, 1.0) | dict(self.weights)
        if not known:
            return np.ones(len(types), dtype=np.float32)
        found = types.cast(pl.String).replace_strict(known, default=other, return_dtype=pl.Float32)
        return found.to_numpy().astype(np.float32)

    def weighted(self, sequences: Sequences) -> Sequences:
        """Training sequences whose events have their weights as targets; as they are without an objective.

        Raises:
            ColumnError: the events have no types.
        """
        if not self.typed:
            return sequences
        if TYPE not in sequences.context:
            raise ColumnError(_untyped(sequences.context))
        return replace(sequences, weight=self.weights_of(sequences.context[TYPE]))

    def question(self, asked: Question) -> Question:
        """A question whose history holds inputs alone; an event whose type is not told stays.

        Args:
            asked: with the types of its events in the column "event" of its context.
        """
        types = asked.context.get(TYPE)
        if not self.inputs or types is None:
            return asked
        kept = [place for place, kind in enumerate(types) if kind is None or str(kind) in self.inputs]
        if len(kept) == len(types):
            return asked
        return replace(
            asked,
            history=[asked.history[place] for place in kept],
            times=None if asked.times is None else [asked.times[place] for place in kept],
            ratings=None if asked.ratings is None else [asked.ratings[place] for place in kept],
            context={name: [values[place] for place in kept] for name, values in asked.context.items()},
        )

    def repeats(self, log: EventLog, by: str = "user") -> float:
        """Of the targets that have a history, the share whose item is in it.

        Args:
            log: all events.
            by: what a sequence is.

        Raises:
            DataError: no target has a history.
        """
        heard = self.heard(log)
        keys = pl.DataFrame({"unit": unit_column(heard, by), "item": heard.frame["item"]})
        again = ~keys.select(pl.struct("unit", "item").is_first_distinct()).to_series().to_numpy()
        first = keys["unit"].is_first_distinct().to_numpy()
        asked = self.asked(heard) & ~first
        if not asked.any():
            raise DataError(
                f"No event that is asked for ({', '.join(self.targets) or 'any type'}) has another of its {by} before "
                "it: there is nothing to predict from."
            )
        return float(again[asked].mean())

    def exclusion(self, log: EventLog, by: str = "user") -> tuple[bool, str]:
        """Whether items of the history are best left out of the answers, and why: it goes by the targets alone.

        An item that was viewed may well be bought next, however seldom anything is bought twice.
        """
        share = self.repeats(log, by)
        few = share < REPEATS_FEW
        rule = f"{'less' if few else 'not less'} than {REPEATS_FEW:.0%}"
        return few, f"{share:.1%} of the targets are on an item of their history, {rule}"

    @property
    def asks(self) -> str:
        """What is asked for, of which histories, in words."""
        told = f"targets {' and '.join(self.targets) or 'of every type'}"
        return told + (f", histories of {' and '.join(self.inputs)}" if self.inputs else "")

    @property
    def words(self) -> str:
        """What is predicted from what, and what counts in training, in words."""
        counts = " and ".join(f"{name} {value:g}" for name, value in self.weights.items())
        told = [self.asks] if self.typed else []
        told += [f"weights in training {counts}"] if counts else []
        told += [f"ratings learnt beside, {self.rating:g} times"] if self.rating else []
        return ", ".join(told)

    def lines(self, log: EventLog) -> list[str]:
        """What the objective makes of a log, for people."""
        if not self.typed:
            return [f"objective: {self.words}"]
        counts, heard = _counted(log), self.heard(log)
        total = int(self.asked(heard).sum())
        types = [name for name in counts if not self.inputs or name in self.inputs]
        return [
            f"objective: {self.words}",
            f"objective: {total:,} of {log.n_events:,} events are targets, {heard.n_events:,} of {len(types)} types "
            "stand in histories",
        ]

    def _of(self, log: EventLog, types: Iterable[str]) -> Mask:
        if TYPE not in log.columns:
            raise ColumnError(_untyped(log.source_columns))
        return log.frame[TYPE].is_in(list(types)).fill_null(False).to_numpy()


NONE = Objective()
"""No objective: all events are inputs and targets alike."""


def _counted(log: EventLog) -> dict[str, int]:
    """How many events of each type a log has, the most frequent first; those without one are none."""
    if TYPE not in log.columns:
        raise ColumnError(_untyped(log.source_columns))
    counted = log.frame[TYPE].drop_nulls().value_counts().sort(["count", TYPE], descending=[True, False])
    return dict(counted.iter_rows())


def _shown(counts: Mapping[str, int]) -> str:
    listed = [f"{name} ({number:,})" for name, number in list(counts.items())[:SHOWN]]
    more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    return (", ".join(listed) + more) or "none"


def _untyped(columns: Iterable[str]) -> str:
    return (
        "The objective tells types of events apart, and the log has none (no column 'event'); it has "
        f"{', '.join(columns) or 'no other columns'}. Say which one it is, --columns event=NAME, or leave the "
        "objective out."
    )
