"""Event logs from a known process, with the best score that any model can reach on them, in closed form.

They prove models right (a model must reach what can be reached, and find nothing where there is nothing), and stand in
for real data where none can be fetched.
"""

from __future__ import annotations

from typing import Any

from ensue.errors import ConfigError, nearest
from ensue.events.log import EventLog
from ensue.events.simulate.films import demo_log
from ensue.events.simulate.sources import (
    DriftingSource,
    LongRangeSource,
    MarkovSource,
    OrderlessSource,
    Source,
)

SOURCES: dict[str, type[Source]] = {
    source.name: source for source in (MarkovSource, LongRangeSource, DriftingSource, OrderlessSource)
}

__all__ = [
    "SOURCES",
    "DriftingSource",
    "LongRangeSource",
    "MarkovSource",
    "OrderlessSource",
    "Source",
    "demo_log",
    "simulate",
]


def simulate(name: str, *, users: int = 500, length: int = 30, seed: int = 0, **knobs: Any) -> EventLog:
    """The log of a source by its name.

    Args:
        name: "markov", "long-range", "drifting", "orderless", or "films" for a log in the shape of a film service.
        users: how many users.
        length: events of each user; a source that comes in blocks rounds it up, "films" takes it as a mean.
        seed: same seed, same log.
        knobs: settings of the source, such as `predictability=0.8`.

    Raises:
        ConfigError: there is no such source or knob, or a value is out of range.
    """
    if name == "films":
        if knobs:
            raise ConfigError(
                f"films has no knob '{next(iter(knobs))}'; it takes users, length and seed only."
            )
        return demo_log(users=users, mean_length=length, seed=seed)
    if name not in SOURCES:
        known = [*SOURCES, "films"]
        raise ConfigError(
            f"There is no source '{name}': take one of {', '.join(known)}.{nearest(name, known)}"
        )
    kind = SOURCES[name]
    known = list(kind.__dataclass_fields__)
    for knob in knobs:
        if knob not in known:
            raise ConfigError(f"{name} has no knob '{knob}', but {', '.join(known)}.{nearest(knob, known)}")
    return kind(**knobs).log(users=users, length=length, seed=seed)
