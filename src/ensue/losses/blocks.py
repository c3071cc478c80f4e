"""How many logits are held at a time, by whatever loss."""

from __future__ import annotations

LOGITS_AT_ONCE = 1_000_000
"""The most logits that are held at a time: 4 MB in single precision, which a core's cache can mostly keep."""


def rows_at_once(columns: int) -> int:
    """How many queries are compared at a time, at least one.

    Args:
        columns: how many numbers each of them needs.
    """
    return max(LOGITS_AT_ONCE // max(columns, 1), 1)
