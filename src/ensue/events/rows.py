"""From the rows of one source to events in canonical columns; a row that is no event is set aside with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ensue.errors import ColumnError
from ensue.events import times
from ensue.events.log import CANONICAL
from ensue.events.readers.table import RawTable
from ensue.events.reading import LINES_SHOWN, Remark

EMPTY = {name: f"empty {name}" for name in ("user", "item", "session", "time")}
BAD_TIME = "time that cannot be read"
BAD_NUMBER = {name: f"{name} that is not a finite number" for name in ("rating", "quantity")}
BAD_ORDER = "order that is not a whole number"
EARLY, LATE = "before the bound 'since'", "after the bound 'until'"

_WITHOUT = "events without {}"
_SPACED = "values of {} that begin or end with a space, which is part of the id"
_ODD_TIMES = "times that are 0, before 1970 or after 2100, and kept"
_COMMA = r"^[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+$"
_WHOLE_OR_COMMA = r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$"
_BOUNDS = "bounds set them aside: since='2000-01-01', until='2030-01-01'"


@dataclass(frozen=True)
class Rules:
    """How values are to be understood.

    Attributes:
        decimal: mark before the fraction of a number, "." or ",".
        time_unit: forces the unit of the times.
        since: microseconds since 1970 UTC; earlier events are set aside.
        until: the same for later events.
    """

    decimal: str = "."
    time_unit: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True)
class Events:
    """The events of one source.

    Attributes:
        frame: `[E]` events in canonical columns, in the order of the source, with their place in the source as `row`.
        rejected: line, reason and value of each row set aside.
        time_unit: how the times were read; "" without times.
        notes: what was decided on the caller's behalf.
        remarks: what is odd about events that were kept.
    """

    frame: pl.DataFrame
    rejected: pl.DataFrame
    time_unit: str
    notes: tuple[str, ...]
    remarks: tuple[Remark, ...] = ()


def events(table: RawTable, chosen: Mapping[str, str], rules: Rules) -> Events:
    """The events of a table.

    Args:
        table: rows as read.
        chosen: canonical column -> name in the table.
        rules: how values are to be understood.

    Raises:
        ColumnError: a column has a type that cannot hold ids or numbers.
        DataError: times mix units.
    """
    raw = table.frame
    found: dict[str, pl.Series] = {}
    faults: list[tuple[pl.Series, str, str]] = []  # mask of bad rows, reason, source column
    notes: list[str] = []
    remarks: list[Remark] = []
    unit = ""

    for name in ("user", "item", "session", "event", "basket"):
        if name in chosen:
            found[name] = _ids(raw[chosen[name]], name, table.file)
            if name in EMPTY:
                faults.append((found[name].is_null(), EMPTY[name], chosen[name]))
            elif found[name].has_nulls():
                remarks.append(Remark(_WITHOUT.format(name), found[name].null_count()))
    if "time" in chosen:
        source = raw[chosen["time"]]
        parsed = times.parse(source, rules.time_unit, table.lines, table.file)
        found["time"], unit = parsed.values, parsed.unit
        notes += parsed.notes
        empty = _empty(source)
        faults += [
            (empty, EMPTY["time"], chosen["time"]),
            (parsed.values.is_null(), BAD_TIME, chosen["time"]),
        ]
        stamp = parsed.values.dt.epoch("us")
        for bound, outside, reason in ((rules.since, "<", EARLY), (rules.until, ">", LATE)):
            if bound is not None:
                mask = stamp < bound if outside == "<" else stamp > bound
                faults.append((mask.fill_null(False), reason, chosen["time"]))
    for name, reason in BAD_NUMBER.items():
        if name in chosen:
            source = raw[chosen[name]]
            found[name] = _numbers(source, name, rules.decimal, table.file)
            empty = _empty(source)
            faults.append((found[name].is_null() & ~empty, reason, chosen[name]))
            if empty.any():
                remarks.append(Remark(_WITHOUT.format(name), int(empty.sum())))
    if "order" in chosen:
        source = raw[chosen["order"]]
        trimmed = source.str.strip_chars() if source.dtype == pl.String else source
        found["order"] = trimmed.cast(pl.Int64, strict=False)
        faults.append((found["order"].is_null(), BAD_ORDER, chosen["order"]))

    taken = set(chosen.values())
    others = {name: raw[name] for name in raw.columns if name not in taken}
    pointed = {name: _pointed(values) for name, values in others.items()} if rules.decimal == "," else {}
    if commas := [name for name, values in pointed.items() if values is not None]:
        notes.append(f"numbers with a decimal comma are written with a point in: {', '.join(commas)}")
    context = [
        (values if (p := pointed.get(name)) is None else p).alias(_free(name))
        for name, values in others.items()
    ]
    columns = [found[name].alias(name) for name in CANONICAL if name in found]
    frame = pl.DataFrame(columns).with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    frame = frame.with_columns(context) if context else frame
    good, rejected = _set_aside(frame, raw, table.lines, faults)
    if "time" in found:
        odd = times.suspicious(frame["time"]) & good
        if odd.any():
            places = [table.place(line) for line in table.lines.filter(odd).head(LINES_SHOWN)]
            first = tuple(line for file, line in places if file == places[0][0])
            remarks.append(Remark(_ODD_TIMES, int(odd.sum()), places[0][0], first, _BOUNDS))
    kept = frame if good.all() else frame.filter(good)
    for name in ("user", "item"):
        spaced = int((kept[name].str.contains(r"^\s|\s$")).sum())
        if spaced:
            remarks.append(Remark(_SPACED.format(name), spaced))
    return Events(kept, pl.concat([table.rejected, rejected]), unit, tuple(notes), tuple(remarks))


def _set_aside(
    frame: pl.DataFrame, raw: pl.DataFrame, lines: pl.Series, faults: list[tuple[pl.Series, str, str]]
) -> tuple[pl.Series, pl.DataFrame]:
    """Which rows are good, and the others with the first of their faults."""
    good = pl.repeat(True, frame.height, dtype=pl.Boolean, eager=True)
    parts: list[pl.DataFrame] = []
    for mask, reason, source in faults:
        fresh = mask & good
        if fresh.any():
            value = raw[source].filter(fresh)
            parts.append(
                pl.DataFrame(
                    {
                        "line": lines.filter(fresh),
                        "value": value.cast(pl.String, strict=False).fill_null("").str.slice(0, 80),
                    }
                ).select("line", reason=pl.lit(reason), value="value")
            )
            good = good & ~mask
    empty = pl.DataFrame(schema={"line": pl.Int64, "reason": pl.String, "value": pl.String})
    return good, pl.concat([empty, *parts])


def _ids(series: pl.Series, name: str, file: str) -> pl.Series:
    """The column as text exactly as written; empty text becomes null."""
    kind = series.dtype
    if kind == pl.String:
        return pl.select(pl.when(series != "").then(series)).to_series()
    if kind == pl.Null:
        return series.cast(pl.String)
    if (
        kind.is_integer()
        or kind in (pl.Categorical, pl.Enum)
        or (isinstance(kind, pl.Decimal) and kind.scale == 0)
    ):
        return series.cast(pl.String)
    if kind.is_float():
        raise ColumnError(
            f"Column '{series.name}' ({name}) of {file} is {kind}: as floats, ids lose digits and 7 turns into 7.0. "
            "Store it as text or integer; in pandas: df[...].astype('Int64').astype('string')."
        )
    raise ColumnError(f"Column '{series.name}' ({name}) of {file} is {kind}: store it as text or integer.")


def _numbers(series: pl.Series, name: str, decimal: str, file: str) -> pl.Series:
    """The column as finite floats; null where it is empty or no such number."""
    kind = series.dtype
    if kind == pl.String:
        text = series.str.strip_chars()
        if decimal == ",":
            text = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        plain = pl.select(pl.when(text.str.contains(r"^[+-]?(\d|\.\d)")).then(text)).to_series()
        number = plain.cast(pl.Float64, strict=False)
    elif kind.is_numeric() or kind == pl.Null:
        number = series.cast(pl.Float64)
    else:
        raise ColumnError(f"Column '{series.name}' ({name}) of {file} is {kind}: store it as a number.")
    return pl.select(pl.when(number.is_finite()).then(number)).to_series()


def _pointed(series: pl.Series) -> pl.Series | None:
    """A column of numbers with a decimal comma, as text with a point; None for one that holds anything else."""
    if series.dtype != pl.String:
        return None
    text = series.str.strip_chars()
    given = text.filter(text != "")
    if not given.str.contains(_COMMA).any() or not given.str.contains(_WHOLE_OR_COMMA).all():
        return None
    return text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)


def _empty(series: pl.Series) -> pl.Series:
    if series.dtype == pl.String:
        return (series.str.strip_chars() == "").fill_null(True)
    return series.is_null()


def _free(name: str) -> str:
    """The name of a context column, moved out of the way of the canonical names."""
    return f"source {name}" if name in CANONICAL else name
