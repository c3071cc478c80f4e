"""Which candidates their reader has touched before, when last, and how: found for all lists at once, by sorting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.reranking.shown import NONE, Shown

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Touched:
    """What the events before each list say of its candidates.

    Attributes:
        last: `[C]` the place in the events of the newest one on the candidate, `NONE` where there is none.
        times: `[C]` how many there are.
        of_kind: `[C, K]` how many of each kind.
        newest: `[Q]` the place of the newest event on any item, `NONE` where there is none.
    """

    last: Ints
    times: Ints
    of_kind: NDArray[np.int32]
    newest: Ints

    @classmethod
    def of(cls, shown: Shown, kinds: tuple[str, ...]) -> Touched:
        """Of the candidates of some lists.

        Args:
            shown: the lists and their events.
            kinds: the `K` kinds of events that are counted apart.
        """
        events = shown.events
        wide = np.int64(max(len(shown.ids), 1))
        on_item = np.flatnonzero(events.items != NONE)
        pair = events.groups[on_item] * wide + events.items[on_item]
        order = np.argsort(
            pair, kind="stable"
        )  # the events on one item in one session side by side, oldest first
        pair, place = pair[order], on_item[order]
        asked = shown.groups[shown.rows] * wide + shown.items
        names, codes = np.unique(pair, return_inverse=True)
        which = np.searchsorted(names, asked)
        there = which < len(names)
        there[there] = names[which[there]] == asked[there]
        span = np.int64(len(events) + 1)
        keys = codes * span + place
        base = np.where(there, which, len(names)) * span
        after = np.searchsorted(keys, base + shown.ends[shown.rows])
        first = np.searchsorted(keys, base + shown.starts[shown.rows])
        held = after > first
        last = np.full(len(asked), NONE, dtype=np.int64)
        last[held] = place[after[held] - 1]
        code = _codes(events.kinds, kinds)[place]
        of_kind = np.zeros((len(asked), len(kinds)), dtype=np.int32)
        for kind in range(len(kinds)):
            summed = np.concatenate([[0], np.cumsum(code == kind)])
            of_kind[:, kind] = summed[after] - summed[first]
        return cls(last, after - first, of_kind, _newest(shown, on_item))


def _newest(shown: Shown, on_item: Ints) -> Ints:
    """`[Q]` the newest event before each list that concerns an item."""
    before = np.searchsorted(on_item, shown.ends)
    found = np.full(len(shown), NONE, dtype=np.int64)
    held = before > np.searchsorted(on_item, shown.starts)
    found[held] = on_item[before[held] - 1]
    return found


def _codes(kinds: pl.Series, names: tuple[str, ...]) -> Ints:
    """`[E]` which of the names each kind is, -1 for none of them."""
    table = pl.DataFrame({"kind": list(names)}, schema={"kind": pl.String}).with_row_index("code")
    found = kinds.rename("kind").to_frame().join(table, on="kind", how="left", maintain_order="left")
    return found["code"].cast(pl.Int64).fill_null(NONE).to_numpy()


def last_kind(shown: Shown) -> pl.Series:
    """`[Q]` what kind of event came last before each list; "nothing" where none did, "unknown" where it has no kind."""
    held = shown.ends > shown.starts
    if not len(shown.events):
        return pl.Series("after", ["nothing"] * len(shown), dtype=pl.String)
    found = shown.events.kinds.gather(np.where(held, shown.ends - 1, 0)).fill_null("unknown")
    return pl.select(
        pl.when(pl.Series(held)).then(found).otherwise(pl.lit("nothing")).alias("after")
    ).to_series()
