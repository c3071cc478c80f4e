"""What every simulated source has in common: users and a clock, checks of the knobs, and the scores it allows."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import ConfigError, nearest
from ensue.events.log import TIME, EventLog, Reading
from ensue.events.simulate.reachable import Situations, reachable

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Knowing = Literal["history", "last item", "nothing"]
Targets = Literal["last", "successive"]

BEGIN = 1_704_067_200
"""2024-01-01 00:00:00 UTC, in seconds since 1970."""

PERIOD = 360 * 86_400
"""Seconds that a log spans."""

STAY = PERIOD // 10
"""Seconds between a user's coming and the end of their stay."""

MOST = 100_000
"""The longest history that fits a stay in whole seconds, with room to spare."""


@dataclass(frozen=True)
class Source(ABC):
    """A process that event logs are drawn from; its knobs are the fields, and what a model can reach is known.

    Histories have different lengths: between half of `length` (rounded up) and `length`, all equally likely, so that
    a network with learnt positions has trained the steps that it is asked about. Users come at random times, and their
    events lie at random times of the following tenth of the period: a global temporal split finds users who came
    before its cut and users who come after it. Times are whole seconds in UTC and strictly increasing for each user.

    Scores are those of full ranking in which nothing is excluded: evaluate with `exclude_seen=False`.
    """

    name: ClassVar[str]
    users: ClassVar[int] = 1000
    """How many users a log has unless it is said."""
    length: ClassVar[int] = 20
    """The longest history unless it is said."""

    def __post_init__(self) -> None:
        raise_all(self.name, self._faults())

    @property
    @abstractmethod
    def item_ids(self) -> tuple[str, ...]:
        """`[N]` ids of the items; item j of the laws is the j-th."""

    @abstractmethod
    def _faults(self) -> Iterator[str]:
        """What is wrong with the knobs, one phrase each."""

    @abstractmethod
    def _draw(self, lengths: Ints, times: Ints, rng: np.random.Generator) -> Ints:
        """`[U, T]` item numbers; what lies past a user's length is ignored.

        Args:
            lengths: `[U]`.
            times: `[U, T]` seconds.
            rng: the only source of chance.
        """

    @abstractmethod
    def _situations(self, knowing: Knowing, targets: Targets, length: int) -> Situations:
        """What a model can be faced with, told apart as far as it knows the past."""

    def log(self, users: int | None = None, length: int | None = None, seed: int = 0) -> EventLog:
        """A log of this process: the same bits for the same arguments.

        Args:
            users: how many.
            length: the longest history; the shortest is half of it.
            seed: draws users, times and items. The law itself is part of the source.

        Raises:
            ConfigError: an argument is out of range.
        """
        users = self.users if users is None else users
        length = self.length if length is None else length
        raise_all(
            self.name,
            [*whole("users", users, 1), *whole("seed", seed, 0), *self._length_faults(length)],
        )
        rng = np.random.default_rng([seed, 6])
        lengths = rng.choice(self._lengths(length), size=users)
        times = _times(users, int(lengths.max()), lengths, rng)
        items = self._draw(lengths, times, rng)
        mask = np.arange(items.shape[1]) < lengths[:, None]
        frame = pl.DataFrame(
            {
                "user": pl.Series(numbered("u", users)).gather(np.repeat(np.arange(users), lengths)),
                "item": pl.Series(self.item_ids, dtype=pl.String).gather(items[mask]),
                "time": utc(times[mask]),
            }
        )
        note = f"simulated: {self!r}, at most {length} events for each of {users} users, seed {seed}"
        return EventLog.of(frame, reading=account(frame, note))

    def optimum(self, metric: str, *, targets: Targets = "last", length: int | None = None) -> float:
        """The best score that any model can expect, knowing the process and the whole history.

        Args:
            metric: "recall@k", "ndcg@k", "mrr@k" or "accuracy".
            targets: the events asked about, as in `Split.examples`: the last of each user, or every one that has a
                history, averaged over each user and then over users.
            length: the `length` of the log; matters for "successive" targets, where a source mixes steps of
                different kinds.

        Raises:
            ConfigError: the metric has no closed form, or an argument is out of range.
        """
        return self._reachable(metric, "history", targets, length)

    def best_first_order(self, metric: str, *, targets: Targets = "last", length: int | None = None) -> float:
        """The best score of a model that sees nothing of the history but its last item: a bound for Markov chains."""
        return self._reachable(metric, "last item", targets, length)

    def best_popularity(self, metric: str, *, targets: Targets = "last", length: int | None = None) -> float:
        """The best score of one ranking for everybody: a bound for popularity."""
        return self._reachable(metric, "nothing", targets, length)

    def _reachable(self, metric: str, knowing: Knowing, targets: Targets, length: int | None) -> float:
        length = self.length if length is None else length
        raise_all(self.name, self._length_faults(length))
        if targets not in ("last", "successive"):
            raise ConfigError(
                f"{self.name}: there are no targets '{targets}': take last or successive."
                f"{nearest(targets, ['last', 'successive'])}"
            )
        return reachable(metric, self._situations(knowing, targets, length))

    def _length_faults(self, length: int) -> Iterator[str]:
        return whole("length", length, 2, MOST)

    def _lengths(self, length: int) -> Ints:
        """The lengths of histories, all equally likely."""
        return np.arange(max(-(-length // 2), 2), length + 1, dtype=np.int64)


def raise_all(name: str, faults: Iterator[str] | list[str]) -> None:
    """Raises one ConfigError that lists all faults, if there are any."""
    listed = list(faults)
    if listed:
        raise ConfigError(f"{name}: {'; '.join(listed)}.")


def whole(knob: str, value: Any, low: int, high: int | None = None) -> Iterator[str]:
    """The fault of a knob that is not a whole number within its limits."""
    limits = f"from {low} up" if high is None else f"from {low} to {high}"
    fits = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not fits or value < low or (high is not None and value > high):
        yield f"{knob} is {value!r}, and must be a whole number {limits}"


def share(knob: str, value: Any, *, inside: bool = False) -> Iterator[str]:
    """The fault of a knob that is not a number between 0 and 1 (strictly `inside`, if so wanted)."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
    if not fits or (inside and value in (0, 1)):
        yield f"{knob} is {value!r}, and must be a number between 0 and 1" + (
            ", neither of them" if inside else ""
        )


def positive(knob: str, value: Any) -> Iterator[str]:
    """The fault of a knob that is not a finite number from 0 up."""
    if (
        not isinstance(value, (int, float))
        or isinstance(value, bool)
        or not math.isfinite(value)
        or value < 0
    ):
        yield f"{knob} is {value!r}, and must be a finite number from 0 up"


def numbered(prefix: str, n: int) -> tuple[str, ...]:
    """`n` ids whose order as text is their order as numbers: i00, i01, ..."""
    width = len(str(n - 1))
    return tuple(f"{prefix}{number:0{width}}" for number in range(n))


def utc(seconds: Ints) -> pl.Series:
    """Times of the log's type."""
    return pl.Series(seconds * 1_000_000, dtype=pl.Int64).cast(TIME)


def account(frame: pl.DataFrame, note: str) -> Reading:
    """The account of a table that was simulated."""
    columns = {name: name for name in frame.columns}
    return Reading((), "simulated", columns, "s", frame.height, frame.height, notes=(note,))


def cycle(items: Ints, n: int, rng: np.random.Generator) -> Ints:
    """`[N]` the successor of each of `items` on one random cycle through all of them; -1 for other items."""
    successor = np.full(n, -1, dtype=np.int64)
    order = rng.permutation(items)
    successor[order] = np.roll(order, -1)
    return successor


def _times(users: int, steps: int, lengths: Ints, rng: np.random.Generator) -> Ints:
    """`[U, T]` strictly increasing seconds, within each user's stay for the first `lengths` of them."""
    come = rng.integers(PERIOD - STAY, size=(users, 1))
    within = rng.random((users, steps))
    within[np.arange(steps) >= lengths[:, None]] = 1.0
    within.sort(axis=1)
    times: Ints = BEGIN + come + np.floor(within * (STAY - steps)).astype(np.int64) + np.arange(steps)
    return times
