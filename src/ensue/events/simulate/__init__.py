"""Event logs from a known process, for which the best reachable score is known in closed form.

A model that finds all there is to find scores within its confidence interval of `Source.optimum`; one that scores
above it has seen the answers.

    markov       the last item says it all: a knob from pure noise to a deterministic cycle
    long-range   two keys at the beginning decide answers ten or more steps later
    drifting     fashions and successors change at a known time
    orderless    popularity and nothing else
    listening    tracks that come again, each after a gap of its own (its best scores are estimated)

`demo_log` is no such source: it is a log that looks like film ratings, for trying ensue without any data.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ensue.errors import ConfigError, nearest
from ensue.events.log import EventLog
from ensue.events.simulate.demo import demo_log
from ensue.events.simulate.drifting import DriftingSource
from ensue.events.simulate.listening import ListeningSource
from ensue.events.simulate.long_range import LongRangeSource
from ensue.events.simulate.markov import MarkovSource
from ensue.events.simulate.orderless import OrderlessSource
from ensue.events.simulate.process import Source
from ensue.registry import Registry

__all__ = [
    "SOURCES",
    "DriftingSource",
    "ListeningSource",
    "LongRangeSource",
    "MarkovSource",
    "OrderlessSource",
    "Source",
    "demo_log",
    "simulate",
    "source",
]

SOURCES: Registry[Source] = Registry(("ensue.events.simulate",), Source)
"""The sources by name."""


def source(name: str, **knobs: Any) -> Source:
    """The source of this name with these knobs; other knobs keep their defaults.

    Raises:
        ConfigError: there is no such source or knob, or a knob is out of range.

    Example:
        >>> source("markov", predictability=1.0).optimum("accuracy")
        1.0
    """
    kind = SOURCES.get(name)
    known = [field.name for field in fields(kind)]
    unknown = [knob for knob in knobs if knob not in known]
    if unknown:
        faults = (
            f"{name} has no knob '{knob}'; its knobs are {', '.join(known)}.{nearest(knob, known)}"
            for knob in unknown
        )
        raise ConfigError(" ".join(faults))
    return kind(**knobs)


def simulate(
    name: str, *, users: int | None = None, length: int | None = None, seed: int = 0, **knobs: Any
) -> EventLog:
    """A log of the source of this name: the same bits for the same arguments.

    Args:
        name: one of `SOURCES.names()`.
        users: how many users; None takes what the source's closed forms can be tested on in seconds.
        length: the longest history; None as above.
        seed: draws users, times and items.
        knobs: the fields of the source.

    Raises:
        ConfigError: there is no such source or knob, or a value is out of range.

    Example:
        >>> simulate("markov", users=3, length=4, items=5).columns
        ('user', 'item', 'time', 'row')
    """
    return source(name, **knobs).log(users, length, seed)
