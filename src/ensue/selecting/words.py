"""Why a model is taken and each other one is not, in words, with the figures that decide."""

from __future__ import annotations

from ensue.progress import spoken
from ensue.selecting.front import SURE, Choice, Standing
from ensue.selecting.race import Dropped

ALIKE = 1.25
"""Costs within this factor of each other are called alike."""


FEW = 30
"""Of fewer users on validation it is said how few they are."""


def taken(choice: Choice, standings: dict[str, Standing], metric: str) -> str:
    """Which model is taken and why, in one sentence.

    Args:
        choice: what was weighed.
        standings: of all models within the limits, by label.
        metric: that they raced by.
    """
    own = standings[choice.taken]
    what = f"{choice.taken} is taken: {metric} {own.value.value:.4f} ({own.value.low:.4f} to {own.value.high:.4f})"
    what += f" on validation, {own.latency.work:.2g} ms of processor time an answer, {size(own.size)}"
    if own.value.n < FEW:
        are = "is" if own.value.n == 1 else "are"
        what += f"; only {own.value.n} {are} asked about there, so that only large differences can be told"
    bigger = choice.front[choice.front.index(choice.taken) + 1 :]
    if choice.surer and bigger:
        return f"{what}; it is the smallest that no bigger model surely beats"
    if choice.surer:
        return f"{what}; every smaller model of the front is surely beaten"
    if bigger:
        return f"{what}; it is the smallest of the front, and no bigger model surely beats it"
    return f"{what}; none is better in any of accuracy, latency and size"


def not_taken(label: str, choice: Choice, standings: dict[str, Standing], metric: str) -> str:
    """Why a model that ran to the end, within the limits, is not taken.

    Args:
        label: its name.
        choice: what was weighed.
        standings: of all models within the limits, by label.
        metric: that they raced by.
    """
    gap, own, best = choice.gains[label].difference, standings[label], standings[choice.taken]
    span = f"{gap.value:+.4f} {metric} against {choice.taken} ({gap.low:+.4f} to {gap.high:+.4f})"
    costs = costly(own, best)
    if label in choice.surer:
        bigger = choice.surer[label]
        p = choice.sure[label, bigger]
        gain = standings[bigger].value.value - own.value.value
        return f"{label}: {span}; {costs}, but {bigger} beats it by {gain:.4f}, which is more than chance (p = {p:.2g})"
    if label in choice.over:
        over = choice.over[label]
        return f"{label}: {span}; {over} is at least as accurate, and about as quick and as small, or more so"
    if gap.value <= 0:
        return f"{label}: {span}: no gain; {costs}"
    told, corrected = "not told from chance", choice.sure.get((choice.taken, label))
    if gap.low > 0 and corrected is not None:
        told += f" once {len(choice.sure)} pairs are tested (p = {corrected:.2g}, {SURE:g} is asked for)"
    return f"{label}: {span}: {told}; {costs}, so {choice.taken}"


def dropped(label: str, found: Dropped, metric: str) -> str:
    """Why a network left the race early."""
    gap = found.gap
    return (
        f"{label}: out of the race after {spoken(found.minutes)} (round {found.after}): {metric} lower than "
        f"{found.leader} by {gap.value:.4f} ({gap.low:.4f} to {gap.high:.4f})"
    )


def costly(one: Standing, other: Standing) -> str:
    """How much slower and larger one model is than another, in words."""
    slow, large = one.latency.work / max(other.latency.work, 1e-9), one.size / max(other.size, 1)
    return f"it is {_times(slow, 'slower', 'quicker', 'as quick')} and {_times(large, 'larger', 'smaller', 'as large')}"


def size(count: int) -> str:
    """A number of bytes for people."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} bytes"


def _times(ratio: float, more: str, less: str, alike: str) -> str:
    """A ratio in words: "40 times slower"."""
    if ratio >= ALIKE:
        return f"{_round(ratio)} times {more}"
    if ratio <= 1 / ALIKE:
        return f"{_round(1 / ratio)} times {less}"
    return alike


def _round(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"
