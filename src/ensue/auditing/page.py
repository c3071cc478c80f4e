"""The audit as one page of HTML with plots, for a screen of any width, without a network."""

from __future__ import annotations

from collections.abc import Sequence

from ensue.auditing.examining import Examination
from ensue.auditing.order import OrderTest
from ensue.events.findings import Finding
from ensue.events.log import EventLog
from ensue.events.profile import duration
from ensue.report import page as html
from ensue.report import plots
from ensue.report.page import Html

GAP_TICKS = ((1.0, "1 s"), (60.0, "1 min"), (1_800.0, "30 min"), (21_600.0, "6 h"), (86_400.0, "1 d"))
LATER_TICKS = ((604_800.0, "1 wk"), (2_592_000.0, "30 d"), (31_536_000.0, "1 y"))
LENGTH_TICKS = tuple(
    (float(n), f"{n:,}") for n in (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
)

BEST_KNOWN = 10


def page_of(found: Examination, log: EventLog, name: str) -> str:
    """The whole audit as a self-contained page.

    Args:
        found: the audit.
        log: what it is about, for the most frequent items and what was read.
        name: what the log is called.
    """
    return html.page(
        f"Audit of {name}",
        html.paragraph(
            f"Fingerprint {log.fingerprint()[:16]}. No ids of users are on this page.", kind="soft"
        ),
        _tiles(found),
        html.section("What follows", _advice(found)),
        html.section("What it is", *_what(found), _plots(found), _items(log)),
        html.section("What is wrong", _findings(found.faults)),
        html.section("What leaks", _findings(found.leaks)),
        html.section("Whether order says anything", *_order(found)),
        html.section("What was read", html.joined(html.paragraph(line) for line in _read(log))),
    )


def _tiles(found: Examination) -> Html:
    log = found.audit
    values = [
        ("events", f"{log.events:,}"),
        ("users", f"{log.users:,}"),
        ("items", f"{log.items:,}"),
        ("density", f"{log.density:.2%}"),
        (f"events a {log.by}", f"{log.mean_length:.1f}"),
        ("repeats", f"{log.repeat_share:.1%}"),
        ("tied in time", f"{log.tied_share:.1%}"),
    ]
    if log.span_days is not None:
        values.insert(3, ("span", duration(log.span_days * 86_400)))
    return html.tiles(values)


def _advice(found: Examination) -> Html:
    rows = [
        (one.option, str(one.value).lower() if isinstance(one.value, bool) else one.value, one.reason)
        for one in found.audit.advice
    ]
    return html.table(("for", "advised", "since"), rows)


def _what(found: Examination) -> list[Html]:
    return [html.paragraph(line) for line in found.what_it_is()]


def _plots(found: Examination) -> Html:
    shape = found.profile
    made = [
        plots.histogram(
            f"Lengths of {found.audit.by} sequences", shape.lengths.edges, shape.lengths.counts,
            log=True, ticks=LENGTH_TICKS, note="events each",
        ),
        plots.curve(
            "Popularity", shape.popularity, across="all items", up="of the events",
            note="share of events on the most popular items",
        ),
    ]  # fmt: skip
    if shape.activity:
        made.append(plots.line("Activity", shape.activity, note=f"events a {shape.every}"))
    if shape.gap_histogram is not None:
        valley = shape.valley
        mark = plots.Mark(valley, f"valley at {duration(valley)}") if valley else None
        shown = (
            mark
            if mark and shape.gap_histogram.edges[0] <= mark.at <= shape.gap_histogram.edges[-1]
            else None
        )
        made.append(
            plots.histogram(
                "Time between events of a user", shape.gap_histogram.edges, shape.gap_histogram.counts,
                log=True, ticks=GAP_TICKS + LATER_TICKS, mark=shown,
                note=mark.label if mark else f"{shape.no_gap:.1%} more have none",
            )
        )  # fmt: skip
    if shape.ratings:
        made.append(plots.bars("Ratings", shape.ratings, note=shape.rating_scale or ""))
    if found.audit.event_types:
        made.append(plots.bars("Event types", list(found.audit.event_types.items())[:8]))
    return Html(f'<div class="plots">{html.joined(made)}</div>')


def _items(log: EventLog) -> Html:
    counted = (
        log.frame.group_by("item").len().sort(["len", "item"], descending=[True, False]).head(BEST_KNOWN)
    )
    titled = log.items is not None and "title" in log.items.columns
    if titled and log.items is not None:
        known = log.items.select("item", "title")
        counted = counted.join(known, on="item", how="left", maintain_order="left")
    rows = [
        (
            row["item"],
            *([row["title"] or ""] if titled else []),
            f"{row['len']:,}",
            f"{row['len'] / log.n_events:.2%}",
        )
        for row in counted.iter_rows(named=True)
    ]
    heads = ("item", *(["title"] if titled else []), "events", "share")
    numbers = (len(heads) - 2, len(heads) - 1)
    return html.joined([html.element("h3", "Most frequent items"), html.table(heads, rows, numbers)])


def _findings(findings: Sequence[Finding]) -> Html:
    there = [finding for finding in findings if finding.count]
    absent = [finding.name for finding in findings if not finding.count]
    rows = []
    for one in there:
        examples = [html.element("div", f"e.g. {row}", class_="soft") for row in one.shown()]
        remedy = [html.element("div", one.remedy)] if one.remedy else []
        said = html.joined([html.text(one.what), *remedy, *examples])
        rows.append((one.name, f"{one.count:,} of {one.of:,} {one.unit}", f"{one.share:.2%}", said))
    parts = [html.table(("what", "how many", "share", "about it"), rows, (2,))] if rows else []
    if absent:
        parts.append(html.paragraph(f"Looked for, and not found: {', '.join(absent)}.", kind="soft"))
    return html.joined(parts)


def _order(found: Examination) -> list[Html]:
    if found.order is None:
        return [html.paragraph("It was not tested.")]
    parts = _one_test(found.order)
    if found.row_order is not None:
        parts += [html.element("h3", "Rows of equal time"), *_one_test(found.row_order)]
    return parts


def _one_test(test: OrderTest) -> list[Html]:
    rows = [
        (
            loss.model, loss.metric, f"{loss.kept:.4f}", f"{loss.kept - loss.loss.value:.4f}",
            f"{loss.loss.value:+.4f} ({loss.loss.low:+.4f} to {loss.loss.high:+.4f})", f"{loss.share:.0%}",
        )
        for loss in test.losses
    ]  # fmt: skip
    heads = ("model", "metric", "in order", "shuffled", "loss, 95 % interval", "of it")
    table = [html.table(heads, rows, (2, 3, 4, 5))] if rows else []
    return [
        html.paragraph(test.said, kind="verdict"),
        html.paragraph(test.what, kind="soft"),
        *table,
    ]


def _read(log: EventLog) -> list[str]:
    """The account of the reading without its examples: those are rows of somebody."""
    reading = log.reading
    names = ", ".join(f"{own} from '{source}'" for own, source in reading.columns.items())
    aside = [f"Set aside: {count:,} rows, {reason}." for reason, count in reading.set_aside.items()]
    return [
        f"Format {reading.format or 'frame'}; {reading.rows_read:,} rows read, {reading.rows_kept:,} kept.",
        f"Columns: {names}.",
        *aside,
        *reading.notes,
    ]
