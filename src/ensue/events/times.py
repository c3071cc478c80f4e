"""Times from numbers and text to UTC, exact to the microsecond: the unit is recognised, said, and can be forced."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ensue.errors import ConfigError, DataError, nearest
from ensue.events.log import TIME

UNITS = ("s", "ms", "us", "ns", "iso", "date")
"""Units of a number, "iso" for text, "date" for YYYYMMDD; a strftime pattern with "%" is accepted too."""

_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_PER_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}
_BANDS = (("s", 10**11), ("ms", 10**14), ("us", 10**17))
"""A number below 1e11 is seconds (to the year 5138), below 1e14 milliseconds, below 1e17 microseconds."""

_SMALL = 10**8
"""Below this a number says nothing about its unit (seconds to 1973); such numbers fit any unit."""

_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds at both ends of the years 1 to 9999, which is all that a calendar shows."""

_AFTER_2100 = 4_133_980_800_000_000
_MIXED_SHARE = 0.01
_LAST_OF_DAY = 86_400_000_000 - 1

_DECIMAL = r"^([+-]?)(\d{0,18})(?:\.(\d*))?$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_ISO = (
    r"^(?<day>\d{4}-\d{2}-\d{2})(?:[Tt ](?<hour>\d{2}):(?<minute>\d{2})(?::(?<second>\d{2})(?:[.,](?<part>\d+))?)?"
    r"(?: ?(?:(?<utc>[Zz]|UTC)|(?<sign>[+-])(?<hours>\d{2}):?(?<minutes>\d{2})?))?)?$"
)

_DAY_ONLY = "times are dates without a time of day: events of one day keep the order of the rows"
_NO_ZONE = "times without an offset are taken as UTC"


@dataclass(frozen=True)
class Times:
    """Parsed times.

    Attributes:
        values: `[E]` UTC to the microsecond; null where the value cannot be read.
        unit: one of `UNITS`, "datetime" if the source had real times, or the pattern that was given.
        notes: how the values were understood.
    """

    values: pl.Series
    unit: str
    notes: tuple[str, ...] = ()


def parse(series: pl.Series, unit: str | None, lines: pl.Series, file: str) -> Times:
    """The times of a column, each exact to the microsecond or null.

    Numbers count seconds, milliseconds, microseconds or nanoseconds since 1970 UTC, judged by the size of the
    median. Text is ISO 8601 with or without an offset (without means UTC), a date only, or YYYYMMDD.

    Args:
        series: `[E]` text, integers, floats, dates or times.
        unit: forces the reading: one of `UNITS` or a strftime pattern.
        lines: `[E]` line of each value in the file, for messages.
        file: name for messages.

    Raises:
        ConfigError: an unknown unit.
        DataError: units or kinds are mixed, or the column's type cannot hold exact times.
    """
    check_unit(unit)
    kind = series.dtype
    if kind == pl.Null:
        return Times(series.cast(TIME), unit or "s")
    if kind == pl.Date:
        return Times(series.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), "date", (_DAY_ONLY,))
    if isinstance(kind, pl.Datetime):
        zoned = (
            series.dt.replace_time_zone("UTC")
            if kind.time_zone is None
            else series.dt.convert_time_zone("UTC")
        )
        return Times(zoned.cast(TIME), "datetime", (_NO_ZONE,) if kind.time_zone is None else ())
    if kind == pl.String:
        return _text(series.str.strip_chars(), unit, lines, file)
    if kind.is_integer() or isinstance(kind, pl.Decimal):
        return _text(series.cast(pl.String), unit, lines, file)
    if kind == pl.Float64:
        finite = pl.select(pl.when(series.is_finite() & (series.abs() < 9e18)).then(series)).to_series()
        whole = finite.truncate()
        return _numbers(whole.cast(pl.Int64), finite - whole, series, unit, lines, file)
    raise DataError(
        f"The time column of {file} is {kind}, which cannot hold exact times: store it as integer, Float64, "
        "Datetime or text."
    )


def check_unit(unit: str | None) -> None:
    """Raises ConfigError for a time unit that is neither None, one of `UNITS`, nor a strftime pattern."""
    if unit is not None and unit not in UNITS and "%" not in unit:
        hint = nearest(unit, UNITS)
        raise ConfigError(
            f"Unknown time unit '{unit}': use {', '.join(UNITS)} or a pattern like '%d/%m/%Y'.{hint}"
        )


def suspicious(times: pl.Series) -> pl.Series:
    """`[E]` True where a time is 0, before 1970 or after the year 2100: mostly a wrong clock or a default value."""
    stamp = times.dt.epoch("us")
    return ((stamp <= 0) | (stamp >= _AFTER_2100)).fill_null(False)


def moment(value: str, option: str) -> int:
    """Microseconds since 1970 UTC of one ISO text.

    Args:
        value: date, or date and time.
        option: where it was given. "until" a date is until the last of it: events of that day are not later.

    Raises:
        ConfigError: not an ISO date or time; names the option.
    """
    stamp = _iso(pl.Series([value.strip()]))["stamp"].item()
    if stamp is None:
        raise ConfigError(
            f"{option}='{value}' is not a date or time: write it like 2024-01-31 or 2024-01-31T08:00Z."
        )
    whole_day = option == "until" and len(value.strip()) == len("2024-01-31")
    return int(stamp) + (_LAST_OF_DAY if whole_day else 0)


def _text(text: pl.Series, unit: str | None, lines: pl.Series, file: str) -> Times:
    if unit is not None and "%" in unit:
        return _pattern(text, unit)
    whole = text.cast(pl.Int64, strict=False)
    given = int((text != "").sum())
    if unit == "date" or (unit is None and len(whole) - whole.null_count() == given and _dates(whole)):
        return _compact(text)
    if unit in _NAMES or (unit is None and len(whole) - whole.null_count() == given):
        return _numbers(*_decimals(text, whole, given), text, unit, lines, file)
    numeric = text.str.contains(_NUMBER).fill_null(False)
    iso = _iso(text)
    written = iso["stamp"].is_not_null()
    n_numeric, n_written = int(numeric.sum()), int(written.sum())
    if unit is None and min(n_numeric, n_written) > _MIXED_SHARE * len(text):
        one, other = numeric.arg_max() or 0, written.arg_max() or 0
        raise DataError(
            f"The times of {file} mix numbers and text: line {lines[one]} has '{text[one]}', line {lines[other]} has "
            f"'{text[other]}': write all of them one way."
        )
    if unit is None and n_numeric > n_written:
        return _numbers(*_decimals(text, whole, given), text, unit, lines, file)
    notes = []
    if bool((written & ~iso["zoned"] & ~iso["daily"]).any()):
        notes.append(_NO_ZONE)
    if n_written and bool(iso["daily"].filter(written).all()):
        notes.append(_DAY_ONLY)
    return Times(_bounded(iso["stamp"]), "iso", tuple(notes))


def _pattern(text: pl.Series, pattern: str) -> Times:
    try:
        parsed = text.str.to_datetime(pattern, time_unit="us", strict=False)
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            f"The time pattern '{pattern}' cannot be used ({error}): write it like '%d/%m/%Y'."
        ) from None
    zone = parsed.dtype.time_zone if isinstance(parsed.dtype, pl.Datetime) else None
    zoned = parsed.dt.replace_time_zone("UTC") if zone is None else parsed.dt.convert_time_zone("UTC")
    return Times(zoned.cast(TIME), pattern, (_NO_ZONE,) if zone is None else ())


def _dates(whole: pl.Series) -> bool:
    """Whether all integers are dates written YYYYMMDD, or all YYYYMMDDHHMMSS: as numbers they would be odd times."""
    low, high = whole.min(), whole.max()
    if not (isinstance(low, int) and isinstance(high, int)):
        return False
    if low >= 1900_01_01 and high <= 2100_12_31:
        size, form = 8, "%Y%m%d"
    elif low >= 1900_01_01_00_00_00 and high <= 2100_12_31_23_59_59:
        size, form = 14, "%Y%m%d%H%M%S"
    else:
        return False
    text = whole.drop_nulls().unique().cast(pl.String)
    return bool((text.str.len_chars() == size).all()) and not _compact_stamp(text, form).has_nulls()


def _compact_stamp(text: pl.Series, form: str) -> pl.Series:
    return text.str.to_datetime(form, time_unit="us", strict=False).dt.epoch("us")


def _compact(text: pl.Series) -> Times:
    """Times written YYYYMMDD or YYYYMMDDHHMMSS."""
    long = (text.str.len_chars() == 14).fill_null(False)
    full = pl.select(pl.when(long).then(text).otherwise(text + "000000")).to_series()
    notes = (
        ["times are written YYYYMMDDHHMMSS", _NO_ZONE]
        if long.any()
        else ["times are written YYYYMMDD", _DAY_ONLY]
    )
    return Times(_bounded(_compact_stamp(full, "%Y%m%d%H%M%S")), "date", tuple(notes))


def _decimals(text: pl.Series, whole: pl.Series, given: int) -> tuple[pl.Series, pl.Series | None]:
    """Whole part and signed fraction of decimal text; no fraction if all values are integers."""
    if len(whole) - whole.null_count() == given:
        return whole, None
    groups = pl.select(
        text.str.extract_groups(_DECIMAL).struct.rename_fields(["sign", "whole", "part"])
    ).to_series()
    parts = groups.struct.unnest().select(
        sign=pl.when(pl.col("sign") == "-").then(-1).otherwise(1),
        whole=pl.when(pl.col("whole") == "").then(pl.lit("0")).otherwise("whole").cast(pl.Int64),
        part=(pl.lit("0.") + pl.col("part").fill_null("0")).cast(pl.Float64, strict=False),
        plain=text.str.contains(_NUMBER) & ~text.str.contains("[eE]"),
        real=pl.when(text.str.contains(_NUMBER)).then(text).cast(pl.Float64, strict=False),
    )
    real = pl.when(pl.col("real").is_finite() & (pl.col("real").abs() < 9e18)).then("real")
    both = parts.select(
        whole=pl.when("plain")
        .then(pl.col("sign") * pl.col("whole"))
        .otherwise(real.truncate().cast(pl.Int64)),
        part=pl.when("plain").then(pl.col("sign") * pl.col("part")).otherwise(real - real.truncate()),
    )
    exact = whole.is_not_null()
    both = both.select(
        whole=pl.when(exact).then(whole).otherwise("whole"), part=pl.when(exact).then(0.0).otherwise("part")
    )
    return both["whole"], both["part"]


def _numbers(
    whole: pl.Series, part: pl.Series | None, source: pl.Series, unit: str | None, lines: pl.Series, file: str
) -> Times:
    """Times from whole numbers and fractions of them, in a unit given or recognised by the median."""
    whole = pl.select(pl.when(whole > -(2**63) + 1).then(whole)).to_series()
    median = whole.abs().median()
    if not isinstance(median, float | int):
        return Times(pl.Series("time", [None] * len(whole), dtype=TIME), unit or "s")
    notes: list[str] = []
    if unit is None:
        unit = _band(float(median))
        whole, odd = _odd_units(whole, unit, source, lines, file)
        notes += [
            f"times are numbers, taken as {_NAMES[unit]} since 1970 UTC by the size of their median",
            *odd,
        ]
    if unit == "ns":
        return Times(_bounded(whole // 1000), unit, (*notes, "nanoseconds are cut to microseconds"))
    scale = _PER_UNIT[unit]
    within = pl.select(pl.when(whole.abs() <= 2 * _LAST // scale).then(whole)).to_series()
    stamp = within * scale
    if part is not None:
        stamp = stamp + (part * scale).round(0).cast(pl.Int64)
    return Times(_bounded(stamp), unit, tuple(notes))


def _band(size: float) -> str:
    return next((unit for unit, limit in _BANDS if size < limit), "ns")


def _odd_units(
    whole: pl.Series, unit: str, source: pl.Series, lines: pl.Series, file: str
) -> tuple[pl.Series, list[str]]:
    """The numbers with those that are plausible in another unit only made null, if they are few.

    Raises:
        DataError: more than `_MIXED_SHARE` of them are.
    """
    size, floor = whole.abs(), 1
    other = pl.Series(size.name, [False] * len(size), dtype=pl.Boolean)
    for name, scale in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        if name != unit:
            other = other | ((size >= _SMALL * scale) & (size < _AFTER_2100 // 1_000_000 * scale)).fill_null(
                False
            )
        else:
            floor = scale
    # A number that is plausible in the unit itself is no fault, whatever else it could be.
    other = other & ~((size >= _SMALL * floor) & (size < _AFTER_2100 // 1_000_000 * floor)).fill_null(False)
    count = int(other.sum())
    if not count:
        return whole, []
    odd, even = other.arg_max() or 0, (~other & size.is_not_null()).arg_max() or 0
    if count > _MIXED_SHARE * len(size):
        raise DataError(
            f"The times of {file} mix units: line {lines[even]} has {source[even]} ({_NAMES[unit]}), line "
            f"{lines[odd]} has {source[odd]} ({_NAMES[_band(float(size[odd]))]}): write all of them in one unit, or "
            f"force one with time_unit='{unit}' (--time-unit {unit})."
        )
    kept = pl.select(pl.when(~other).then(whole)).to_series()
    return kept, [
        f"times that are not in {_NAMES[unit]} like the rest cannot be read (first: line {lines[odd]})"
    ]


def _iso(text: pl.Series) -> pl.DataFrame:
    """Columns `stamp` (microseconds, null if it is no ISO time), `zoned` and `daily`."""
    found = pl.select(text.alias("text").str.extract_groups(_ISO)).to_series().struct.unnest()
    number = {name: pl.col(name).cast(pl.Int64).fill_null(0) for name in ("hour", "minute", "second")}
    hours, minutes = (pl.col(name).cast(pl.Int64).fill_null(0) for name in ("hours", "minutes"))
    right = (
        (number["hour"] < 24)
        & (number["minute"] < 60)
        & (number["second"] < 60)
        & (hours < 24)
        & (minutes < 60)
    )
    midnight = pl.col("day").str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")).dt.epoch("us")
    seconds = number["hour"] * 3600 + number["minute"] * 60 + number["second"]
    offset = (hours * 3600 + minutes * 60) * pl.when(pl.col("sign") == "-").then(-1).otherwise(1)
    part = pl.col("part").str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64).fill_null(0)
    return found.select(
        stamp=pl.when(right).then(midnight + (seconds - offset) * 1_000_000 + part),
        zoned=pl.col("utc").is_not_null() | pl.col("sign").is_not_null(),
        daily=pl.col("hour").is_null(),
    )


def _bounded(stamp: pl.Series) -> pl.Series:
    """Times from microseconds; null outside the years 1 to 9999."""
    kept = pl.when((stamp >= _FIRST) & (stamp <= _LAST)).then(stamp)
    return pl.select(kept.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("time")).to_series()
