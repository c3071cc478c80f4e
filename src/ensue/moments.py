"""A moment as Python has it, and as everything here counts it: whole microseconds since 1970 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Since 1970 UTC; a moment without a zone is UTC.

    >>> microseconds(datetime(1970, 1, 2))
    86400000000
    """
    return ((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """So many after 1970 UTC.

    Raises:
        OverflowError: it lies outside the years 1 to 9999.

    >>> moment(86_400_000_000).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    return EPOCH + timedelta(microseconds=microseconds)
