"""Plots that set models beside each other: values with their intervals, and lines of several at once.

Nothing is told by colour alone: marks differ in shape, lines in their dashes, and each plot has a key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ensue.report.page import Html, element, text
from ensue.report.plots import LETTER, RIGHT, WIDTH, Mark, figure, path, short, written

Standing = Literal["best", "alike", "apart", "untested"]

STYLE = """
.plots figure{max-width:38rem}
svg .best,svg .alike,svg .apart,svg .untested{stroke:var(--mark);stroke-width:2;fill:var(--mark)}
svg .alike{fill:var(--card)}
svg .apart,svg .untested{stroke:var(--soft);fill:var(--soft)}svg .whisker{stroke:var(--mark);stroke-width:2;fill:none}
svg .whisker.apart,svg .whisker.untested{stroke:var(--soft)}svg text.name{fill:var(--ink)}
:root{--s0:#2f6fb0;--s1:#a8480f;--s2:#22703f;--s3:#7a3e9d;--s4:#8a6d00;--s5:#b0306a;--s6:#00707a;--s7:#5b6673}
@media(prefers-color-scheme:dark){:root{--s0:#74aee6;--s1:#f0a268;--s2:#79c795;--s3:#c79be0;--s4:#d9bf4a;--s5:#ee86b0;
--s6:#5fc9d3;--s7:#9aa5b1}}
svg .series{fill:none;stroke-width:2}
svg .dot{stroke-width:1.5;stroke-dasharray:none;fill:var(--card)}svg .spread{stroke-width:1;fill:none;opacity:.7}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}
.s4{stroke:var(--s4)}.s5{stroke:var(--s5)}.s6{stroke:var(--s6)}.s7{stroke:var(--s7)}
.s1{stroke-dasharray:6 3}.s2{stroke-dasharray:2 3}.s3{stroke-dasharray:9 3 2 3}.s4{stroke-dasharray:12 4}
.s5{stroke-dasharray:4 2}.s6{stroke-dasharray:1 2}.s7{stroke-dasharray:7 2 2 2 2 2}svg .spread{stroke-dasharray:none}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:.15rem .9rem;margin:.4rem 0 0;padding:0;font-size:.85rem;
color:var(--soft)}.key svg{display:inline-block;width:2rem;height:.75rem;vertical-align:baseline;margin-right:.35rem}
.key li{overflow-wrap:anywhere}
"""
"""The rules of these plots, for `page`."""

STANDINGS: Mapping[Standing, str] = {
    "best": "best",
    "alike": "not told from the best",
    "apart": "told from the best",
    "untested": "not tested against it",
}

COLOURS = 8
ROW, NAMES, VALUES = 22.0, 104.0, 48.0
LEFT, TOP, TALL = 46.0, 8.0, 178.0
DOTTED = 12
"""Up to this many points, a line shows each of them."""


@dataclass(frozen=True)
class Estimate:
    """A value with what is known of its error.

    Attributes:
        label: whose it is.
        value: the value.
        low: lower end of its interval.
        high: upper end.
        standing: whether it is the best, not told from the best, told from it, or not tested against it.
    """

    label: str
    value: float
    low: float
    high: float
    standing: Standing = "apart"


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        name: whose it is.
        points: (across, up), rising across.
        spread: (low, high) of each point, or none at all.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    spread: tuple[tuple[float, float], ...] = ()


def forest(caption: str, estimates: Sequence[Estimate], *, note: str = "", mark: Mark | None = None) -> Html:
    """A row for each estimate: a mark at its value and a stroke over its interval, all on one axis.

    Args:
        caption: what it shows.
        estimates: in the order of the rows, finite.
        note: more about it, after the caption.
        mark: a line across, that values are compared with.
    """
    beside = [mark.at] if mark else []
    low = min([*(one.low for one in estimates), *beside], default=0.0)
    high = max([*(one.high for one in estimates), *beside], default=1.0)
    marks = round_values(low, high)
    low, high = min(low, marks[0]), max(high, marks[-1])
    wide = WIDTH - NAMES - VALUES - 8

    def place(value: float) -> float:
        return NAMES + wide * (value - low) / ((high - low) or 1.0)

    foot = TOP + ROW * len(estimates)
    made = [path(f"M{place(at):.1f} {TOP}V{foot:.1f}", "axis") for at in marks]
    made += _spaced([(place(at), f"{at:g}") for at in marks], foot + 16)
    made += [path(f"M{place(mark.at):.1f} {TOP}V{foot:.1f}", "note")] if mark else []
    for number, one in enumerate(estimates):
        y = TOP + ROW * (number + 0.5)
        hint = element("title", f"{one.label}: {one.value:.4f} ({one.low:.4f} to {one.high:.4f})")
        stroke = path(f"M{place(one.low):.1f} {y:.1f}H{place(one.high):.1f}", f"whisker {one.standing}")
        made.append(element("g", hint, stroke, _mark(place(one.value), y, one.standing)))
        made.append(_name(cut(one.label, int(NAMES / LETTER)), y))
        made.append(written(WIDTH - 2, y + 4, f"{one.value:.4f}", "end"))
    said = "; ".join(f"{one.label} {one.value:.4f} ({one.low:.4f} to {one.high:.4f})" for one in estimates)
    shown = list(dict.fromkeys(one.standing for one in estimates))
    entries = [(_mark(16, 6, kind), words) for kind, words in STANDINGS.items() if kind in shown]
    entries = entries if len(entries) > 1 else []
    if mark:
        entries.append((path("M16 0V12", "note"), mark.label))
        said += f"; {mark.label} {short(mark.at)}"
    return figure(caption, note, made, said, tall=foot + 24, under=_key(entries))


def lines(
    caption: str,
    series: Sequence[Series],
    *,
    across: str,
    note: str = "",
    ticks: Sequence[tuple[float, str]] = (),
    from_zero: bool = True,
    up_to: float = -math.inf,
    joined: bool = True,
) -> Html:
    """Several lines on one pair of axes, with a key.

    Args:
        caption: what it shows.
        series: the lines; those without points are left out of the drawing.
        across: what the horizontal axis is.
        note: more about it, after the caption.
        ticks: (place, name) on the horizontal axis; round values if none are given.
        from_zero: whether the vertical axis begins at 0 for values from 0 up.
        up_to: the vertical axis reaches at least so far, so that several plots may have one scale.
        joined: whether points are joined; points of kinds without an order are not, and stand side by side.
    """
    drawn = [one for one in series if one.points]
    xs = [x for one in drawn for x, _ in one.points] + [x for x, _ in ticks] or [0.0, 1.0]
    ys = [y for one in drawn for _, y in one.points] + [
        y for one in drawn for ends in one.spread for y in ends
    ]
    first, last = min(xs), max(xs)
    marks = round_values(
        min([0.0, *ys]) if from_zero else min(ys, default=0.0), max([up_to, *ys] if ys else [1.0])
    )
    low, high = min(marks[0], min(ys, default=0.0)), max(marks[-1], max(ys, default=0.0))
    foot = TOP + TALL
    tall = foot + (34.0 if across else 20.0)
    step = (WIDTH - LEFT - RIGHT) / (len(ticks) or 1)
    edge = 0.0 if joined else step / 2  # unjoined points stand around the middle of a space of their own

    def right(x: float) -> float:
        share = (x - first) / (last - first) if last > first else 0.5
        return LEFT + edge + (WIDTH - LEFT - RIGHT - 2 * edge) * share

    def down(y: float) -> float:
        return TOP + TALL * (1 - (y - low) / ((high - low) or 1.0))

    named = ticks or [(mark, f"{mark:g}") for mark in round_values(first, last) if first <= mark <= last]
    made = [path(f"M{LEFT} {down(mark):.1f}H{WIDTH - RIGHT}", "axis") for mark in marks]
    made += [written(LEFT - 5, down(mark) + 4, short(mark), "end") for mark in marks]
    made += _spaced([(right(at), name) for at, name in named], foot + 14)
    made += [written(WIDTH - RIGHT, tall - 5, across, "end")] if across else []
    for number, one in enumerate(drawn):
        kind = f"s{number % COLOURS}"
        aside = 0.0 if joined else 0.7 * step * ((number + 0.5) / len(drawn) - 0.5)
        placed = [(right(x) + aside, down(y)) for x, y in one.points]
        for (x, _), (least, most) in zip(placed, one.spread, strict=False):
            made.append(path(f"M{x:.1f} {down(least):.1f}V{down(most):.1f}", f"spread {kind}"))
        if joined:
            made.append(path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed), f"series {kind}"))
        if len(one.points) <= DOTTED or not joined:
            hints = (f"{one.name}, {_at(x, ticks)}: {short(y)}" for x, y in one.points)
            made += [_dot(x, y, number, hint) for (x, y), hint in zip(placed, hints, strict=True)]
    few = not joined or max((len(one.points) for one in drawn), default=0) <= DOTTED
    entries = [(_sample(number, joined, few), one.name) for number, one in enumerate(drawn)]
    said = "; ".join(f"{one.name}: {_walk(one, ticks)}" for one in drawn)
    return figure(caption, note, made, said, tall=tall, under=_key(entries if len(entries) > 1 else []))


def round_values(low: float, high: float, about: int = 4) -> list[float]:
    """Round values from at or below `low` to at or above `high`, evenly spaced; at least two.

    >>> round_values(0.03, 0.14)
    [0.0, 0.05, 0.1, 0.15]
    """
    if not high > low:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    rough = (high - low) / about
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    begin, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.10g}") for number in range(begin, end + 1)]


def cut(words: str, most: int) -> str:
    """A text of at most so many letters.

    >>> cut("transformer", 6)
    'trans…'
    """
    return words if len(words) <= most else words[: most - 1] + "…"


def _mark(x: float, y: float, standing: Standing) -> Html:
    if standing in ("apart", "untested"):
        return Html(f'<rect class="{standing}" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>')
    return Html(f'<circle class="{standing}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')


def _dot(x: float, y: float, number: int, hint: str = "") -> Html:
    """The point of a series: each of the first four shapes belongs to every fourth."""
    kind, said = f"dot s{number % COLOURS}", element("title", hint) if hint else Html()
    if number % 4 == 0:
        return Html(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3">{said}</circle>')
    ways = {1: "m-2.7-2.7h5.4v5.4h-5.4z", 2: "m0-3.8l3.4 6.2h-6.8z", 3: "m0-3.9l3.9 3.9-3.9 3.9-3.9-3.9z"}
    return Html(f'<path class="{kind}" d="M{x:.1f} {y:.1f}{ways[number % 4]}">{said}</path>')


def _sample(number: int, joined: bool, dotted: bool) -> Html:
    """What a series looks like, for the key."""
    line = path("M0 6H32", f"series s{number % COLOURS}") if joined else Html()
    return Html(line + _dot(16, 6, number)) if dotted else line


def _name(label: str, y: float) -> Html:
    return Html(f'<text class="name" x="0" y="{y + 4:.1f}">{text(label)}</text>')


def _spaced(labels: Sequence[tuple[float, str]], y: float) -> list[Html]:
    """Labels under an axis, those without room left out; the last has room before the one next to it."""
    placed: list[tuple[float, float, str]] = []
    for number, (x, name) in enumerate(labels, 1):
        half = LETTER * len(name) / 2 + 2
        middle = min(max(x, half), WIDTH - half)
        while number == len(labels) and len(placed) > 1 and middle - half < placed[-1][1]:
            placed.pop()
        if not placed or middle - half >= placed[-1][1]:
            placed.append((middle, middle + half, name))
    return [written(middle, y, name, "middle") for middle, _, name in placed]


def _key(entries: Sequence[tuple[Html, str]]) -> Html:
    made = [
        element("li", element("svg", sample, viewBox="0 0 32 12", aria_hidden="true"), name)
        for sample, name in entries
    ]
    return element("ul", *made, class_="key") if made else Html()


def _walk(one: Series, ticks: Sequence[tuple[float, str]]) -> str:
    """A line in words: at most about five of its points, the last among them."""
    chosen = [*one.points[:: max(math.ceil(len(one.points) / 4), 1)]]
    if one.points[-1] not in chosen:
        chosen.append(one.points[-1])
    return ", ".join(f"{short(y)} at {_at(x, ticks)}" for x, y in chosen)


def _at(x: float, ticks: Sequence[tuple[float, str]]) -> str:
    return next((name for at, name in ticks if at == x), f"{x:g}")
