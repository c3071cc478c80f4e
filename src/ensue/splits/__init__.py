"""Which events may be learnt from, and which are to be predicted.

A split gives every event exactly one part. The rules, by name:

    temporal   one time cuts the log for everybody: an event at or after the cut is later than the cut
    last       the last event of each sequence is the test, the one before it the validation
    ratio      the last tenth (or another share) of each sequence
    basket     the last basket of each user, its items in no order
    users      a share of the users is held out whole, and asked about by their own histories
    items      a share of the items is held out: their events are not learnt from, and they alone are asked for
    days       the sessions of the last day (or of more days) are the test
    given      a column says which part an event is in; its log has an order and no times
    friends    a share of the friendships is held out, both directions of each; or those that a column names

`rolling` gives several temporal splits one after the other, for a back-test. What a rule lets training see of the
future is in `Split.leaks`; a split that claims to see nothing of it is checked, and fails loudly (`check`).

A target needs a history: an event is a target only if its sequence holds an earlier one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ensue.errors import ConfigError, nearest
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.splits.by_place import last_basket, last_out, ratio, short_notes
from ensue.splits.by_time import at_times, last_days, temporal, temporal_name
from ensue.splits.checking import check, check_learnt
from ensue.splits.friends import friends_out
from ensue.splits.given import given
from ensue.splits.held_out import items_out, users_out
from ensue.splits.parts import LEAKS, PARTS, TEST, TRAIN, UNUSED, VALIDATION, Split
from ensue.splits.targets import TARGETS, examples_at
from ensue.splits.ties import tie_shuffled
from ensue.splits.windows import rolling

__all__ = [
    "LEAKS",
    "PARTS",
    "RULES",
    "TARGETS",
    "TEST",
    "TRAIN",
    "UNUSED",
    "VALIDATION",
    "Examples",
    "Split",
    "at_times",
    "check",
    "check_learnt",
    "examples_at",
    "friends_out",
    "given",
    "items_out",
    "last_basket",
    "last_days",
    "last_out",
    "ratio",
    "rolling",
    "short_notes",
    "split",
    "split_as",
    "temporal",
    "temporal_name",
    "tie_shuffled",
    "users_out",
]

RULES: dict[str, Callable[..., Split]] = {
    "temporal": temporal,
    "last": last_out,
    "ratio": ratio,
    "basket": last_basket,
    "users": users_out,
    "items": items_out,
    "days": last_days,
    "given": given,
    "friends": friends_out,
}


def split(log: EventLog, rule: str = "temporal", **options: object) -> Split:
    """A log split by a named rule and checked; "temporal" is the default, and free of leaks.

    Args:
        log: the events.
        rule: one of `RULES`.
        options: of the rule, such as test=0.2.

    Raises:
        ConfigError: there is no such rule, or it has no such option.
        LeakError: the split does not keep what it claims.
    """
    known = _options(rule)
    for name in options:
        if name not in known:
            raise ConfigError(
                f"The split '{rule}' has no option '{name}', but {', '.join(known)}.{nearest(name, known)}"
            )
    found = RULES[rule](log, **options)
    warnings = check(found)
    return replace(found, notes=(*found.notes, *warnings)) if warnings else found


def split_as(log: EventLog, settings: Mapping[str, Any], by: str = "user") -> Split:
    """A log split as the table `[split]` of an experiment says: what is no option of its rule is left aside.

    Args:
        log: the events.
        settings: "rule" and, where they differ from the defaults, its options; with "windows" also "window", which of
            them it is, from 1.
        by: what a sequence is.

    Raises:
        ConfigError: there is no such rule, it cannot be with such sequences, or no window is chosen.
    """
    rule = str(settings["rule"])
    known, windows = _options(rule), int(settings.get("windows") or 0)
    options = {name: settings[name] for name in known if name in settings}
    if "by" in known:
        options["by"] = by
    elif by != "user":
        raise ConfigError(f"split.rule = '{rule}' leaves out {rule}s of users: take sequences.by = 'user'.")
    if not windows:
        switches = {name for name, kind in known.items() if isinstance(kind.default, bool)}
        return split(log, rule, **{n: bool(v) if n in switches else v for n, v in options.items()})
    if rule != "temporal":
        raise ConfigError(
            f"split.windows = {windows} follow each other in time, and split.rule = '{rule}' does not cut by time: "
            "take split.rule = 'temporal'."
        )
    number = int(settings.get("window") or 0)
    if not 1 <= number <= windows:
        raise ConfigError(
            f"split.windows = {windows} make {windows} runs, which `ensue run` (ensue.backtesting.backtest) makes one "
            f"after the other: here take one of them with split.window = 1 to {windows}, or no windows."
        )
    sliding = bool(settings.get("sliding", False))
    return rolling(log, windows=windows, sliding=sliding, **options)[number - 1]


def _options(rule: str) -> dict[str, inspect.Parameter]:
    """The options of a rule by name."""
    if rule not in RULES:
        raise ConfigError(
            f"There is no split '{rule}': take one of {', '.join(RULES)}.{nearest(rule, RULES)}"
        )
    found = inspect.signature(RULES[rule]).parameters
    return {name: kind for name, kind in found.items() if name != "log"}
