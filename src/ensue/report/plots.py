"""Small plots as inline SVG: bars, a line, a curve. They take their colours from the page and need no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ensue.report.page import Html, element, joined, text

WIDTH, HEIGHT = 360.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 8.0, 8.0, 24.0
INNER, TALL = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

LETTER = 7.0
"""Width of a letter of the labels, roughly."""


@dataclass(frozen=True)
class Mark:
    """A line across a plot.

    Attributes:
        at: where, in the units of the horizontal axis.
        label: what it is, for the list of what the plot says.
    """

    at: float
    label: str


def bars(caption: str, values: Sequence[tuple[str, float]], *, note: str = "") -> Html:
    """A bar for each name, in the order given; heights begin at 0.

    Args:
        caption: what it shows.
        values: (name, height), heights finite and from 0 up.
        note: more about it, after the caption.
    """
    most = max((height for _, height in values), default=0.0)
    step = INNER / max(len(values), 1)
    made = []
    for place, (name, height) in enumerate(values):
        up = TALL * height / most if most else 0.0
        hint = element("title", f"{name}: {short(height)}")
        x, width = LEFT + place * step + 0.08 * step, 0.84 * step
        made.append(rectangle(x, TOP + TALL - up, width, up, hint))
    every = _every([name for name, _ in values], step)
    labels = [
        written(LEFT + (place + 0.5) * step, HEIGHT - 7, name, "middle")
        for place, (name, _) in enumerate(values)
        if place % every == 0
    ]
    return figure(caption, note, [_grid(most), *made, *labels], _said(values))


def histogram(
    caption: str,
    edges: Sequence[float],
    counts: Sequence[float],
    *,
    log: bool = False,
    ticks: Sequence[tuple[float, str]] = (),
    mark: Mark | None = None,
    note: str = "",
) -> Html:
    """Counts between edges; bars are as wide as what they count, or as that on a logarithmic axis.

    Args:
        caption: what it shows.
        edges: one more than counts, rising; above 0 for a logarithmic axis.
        counts: finite and from 0 up.
        log: whether the horizontal axis is logarithmic.
        ticks: where labels stand, and what they say; those out of range are left out.
        mark: a line across.
        note: more about it, after the caption.
    """

    def place(value: float) -> float:
        low, high, own = (math.log(v) if log else v for v in (edges[0], edges[-1], value))
        return LEFT + INNER * (own - low) / ((high - low) or 1.0)

    most = max(counts, default=0.0)
    made = []
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        up = TALL * count / most if most else 0.0
        hint = element("title", f"{short(low)} to {short(high)}: {short(count)}")
        made.append(
            rectangle(place(low) + 0.4, TOP + TALL - up, max(place(high) - place(low) - 0.8, 0.6), up, hint)
        )
    shown, last = [], -math.inf
    for at, name in ticks:
        begin = place(at) - LETTER * len(name) / 2 if edges[0] <= at <= edges[-1] else -math.inf
        if begin > last + LETTER:
            shown.append(written(min(place(at), WIDTH - LETTER * len(name) / 2), HEIGHT - 7, name, "middle"))
            last = begin + LETTER * len(name)
    cross = [path(f"M{place(mark.at):.1f} {TOP}V{TOP + TALL}", "note")] if mark else []
    said = _said(
        [(f"{short(a)} to {short(b)}", c) for a, b, c in zip(edges[:-1], edges[1:], counts, strict=True)]
    )
    return figure(
        caption, note, [_grid(most), *made, *cross, *shown], said + (f"; {mark.label}" if mark else "")
    )


def line(caption: str, values: Sequence[tuple[str, float]], *, note: str = "") -> Html:
    """A line through heights at equal distances, such as events of each week.

    Args:
        caption: what it shows.
        values: (name, height), heights finite and from 0 up.
        note: more about it, after the caption.
    """
    most = max((height for _, height in values), default=0.0)
    step = INNER / max(len(values) - 1, 1)
    points = [
        (LEFT + place * step, TOP + TALL - (TALL * height / most if most else 0.0))
        for place, (_, height) in enumerate(values)
    ]
    names = [name for name, _ in values]
    labels = [written(LEFT, HEIGHT - 7, names[0], "start")] if names else []
    if len(names) > 1:
        labels.append(written(WIDTH - RIGHT, HEIGHT - 7, names[-1], "end"))
    return figure(caption, note, [_grid(most), path(_through(points), "trace"), *labels], _said(values))


def curve(
    caption: str, points: Sequence[tuple[float, float]], *, across: str, up: str, note: str = ""
) -> Html:
    """Shares against shares, both from 0 to 1, with the diagonal that perfect evenness would give.

    Args:
        caption: what it shows.
        points: (across, up), rising.
        across: what the horizontal axis says at its end.
        up: what the vertical axis is, for the list of what the plot says.
        note: more about it, after the caption.
    """
    placed = [(LEFT + INNER * x, TOP + TALL * (1 - y)) for x, y in points]
    even = path(f"M{LEFT} {TOP + TALL}L{LEFT + INNER} {TOP}", "even")
    axis = [
        path(f"M{LEFT} {TOP + TALL * (1 - y):.1f}H{WIDTH - RIGHT}", "axis")
        + written(LEFT - 5, TOP + TALL * (1 - y) + 4, f"{y:.0%}", "end")
        for y in (0.0, 0.5, 1.0)
    ]
    labels = [written(LEFT, HEIGHT - 7, "0%", "start"), written(WIDTH - RIGHT, HEIGHT - 7, across, "end")]
    said = "; ".join(f"{x:.1%} {across}: {y:.1%} {up}" for x, y in points[:: max(len(points) // 8, 1)])
    return figure(caption, note, [*map(Html, axis), even, path(_through(placed), "trace"), *labels], said)


def short(value: float) -> str:
    """A number in few letters.

    >>> [short(value) for value in (0, 0.25, 12, 1500, 2_000_000)]
    ['0', '0.25', '12', '1.5k', '2M']
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def figure(
    caption: str, note: str, parts: Sequence[object], said: str, *, tall: float = HEIGHT, under: object = ""
) -> Html:
    """A plot with its caption.

    Args:
        caption: what it shows.
        note: more about it, after the caption.
        parts: what is drawn.
        said: what it shows in words, for who cannot see it.
        tall: its height; its width is `WIDTH`.
        under: what stands below the drawing, such as a key.
    """
    heading = element("figcaption", caption, *([" ", element("span", note)] if note else []))
    drawn = element(
        "svg", *parts, viewBox=f"0 0 {WIDTH:g} {tall:g}", role="img", aria_label=f"{caption}: {said}"
    )
    return element("figure", heading, drawn, under)


def _grid(most: float) -> Html:
    """Lines at 0, at the half and at the highest value."""
    made = []
    for share in (0.0, 0.5, 1.0):
        y = TOP + TALL * (1 - share)
        made.append(path(f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}", "axis"))
        if most or not share:
            made.append(written(LEFT - 5, y + 4, short(most * share), "end"))
    return joined(made)


def rectangle(x: float, y: float, width: float, height: float, hint: Html) -> Html:
    """A bar, with what is said of it under a pointer."""
    return Html(
        f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">{hint}</rect>'
    )


def path(drawn: str, kind: str) -> Html:
    """A stroke; its kind is a class of the style."""
    return Html(f'<path class="{kind}" d="{drawn}"/>')


def written(x: float, y: float, label: str, anchor: str) -> Html:
    """Letters in a plot; the anchor is "start", "middle" or "end"."""
    return Html(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(label)}</text>')


def _through(points: Sequence[tuple[float, float]]) -> str:
    if len(points) == 1:  # a line needs two ends to be seen
        points = [points[0], (points[0][0] + INNER, points[0][1])]
    return "".join(f"{'L' if place else 'M'}{x:.1f} {y:.1f}" for place, (x, y) in enumerate(points))


def _every(names: Sequence[str], step: float) -> int:
    """Every how-manieth label has room."""
    widest = LETTER * (max(map(len, names), default=1) + 1)
    return max(math.ceil(widest / step), 1) if step else 1


def _said(values: Sequence[tuple[str, float]]) -> str:
    """What a plot shows in words, shortened."""
    most = 12
    shown = "; ".join(f"{name} {short(height)}" for name, height in values[:most])
    return shown + ("; ..." if len(values) > most else "")
