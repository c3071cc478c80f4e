"""Ads as they were shown, and which of them were clicked: what click probabilities are learnt from and judged by.

Two forms of log are understood. In the first, each row is an ad that was shown, and its type of event says what came
of it ("click" or "impression", as in Open Bandit; "1" or "0", as in Criteo and Avazu). In the second (`separate`), a
click is a row of its own, later than that of the showing it belongs to: the last one of the same person and ad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import ColumnError, DataError
from ensue.events.log import CANONICAL, EventLog

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

CLICKS, SHOWS = ("click", "1"), ("impression", "0")
"""Types of event that are a click, and that are none."""
OWN = ("user", "ad", "campaign", "time", "row", "clicked", "clicked_at", "propensity", "bid")
"""Columns with a meaning; every other one is a feature."""
PROPENSITIES = ("propensity", "propensity_score")


@dataclass(frozen=True, eq=False)
class Impressions:
    """Ads as they were shown, oldest first.

    Attributes:
        frame: `[E]` rows: `user`, `ad` and perhaps `campaign` as text, `time` and `clicked_at` in microseconds since
            1970 (places in the log where it has no times), `clicked`, perhaps `propensity` (the chance that the ad had
            of being shown) and `bid` (what a click pays); all other columns are features.
        timed: whether times are times, and not places.
        people: whether the log knows people: somebody was shown more than one ad.
        ads: whether it knows ads: one of them was shown more than once.
        of_ads: the features that belong to the ad, and not to who sees it or where.
        notes: what became of the log, for people.
    """

    frame: pl.DataFrame
    timed: bool
    people: bool
    ads: bool
    of_ads: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.frame.height

    @property
    def clicked(self) -> Mask:
        """`[E]` whether each was clicked."""
        return self.frame["clicked"].to_numpy()

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns that may tell of a click."""
        return tuple(name for name in self.frame.columns if name not in OWN)

    @property
    def groups(self) -> Ints:
        """`[E]` whose impression it is: what is drawn together in a bootstrap. Each its own where nobody is known."""
        if not self.people:
            return np.arange(len(self), dtype=np.int64)
        return self.frame["user"].rank("dense").to_numpy().astype(np.int64) - 1

    def where(self, mask: Mask) -> Impressions:
        """Those for which the mask `[E]` is true."""
        return replace(self, frame=self.frame.filter(pl.Series(mask)))

    def known_ads(self) -> pl.DataFrame:
        """`[A]` the ads, most shown first, as last seen: `ad`, `campaign` and `bid` if any, and their features."""
        names = [name for name in ("campaign", "bid", *self.of_ads) if name in self.frame.columns]
        each = self.frame.group_by("ad").agg(
            pl.len().alias("shown"), *(pl.col(name).last() for name in names)
        )
        return each.sort(["shown", "ad"], descending=[True, False]).drop("shown")

    def parted(self, share: float) -> tuple[Impressions, Impressions]:
        """The earlier ones, and the last share of them by time; those at the time of the cut are in the later part.

        A click that came at the cut or after it was not known before it: the earlier part does not hold it.

        Raises:
            DataError: one of the parts would be empty.
        """
        time = self.frame["time"].to_numpy()
        cut = time[min(int(len(time) * (1 - share)), len(time) - 1)] if len(time) else 0
        later = time >= cut
        if later.all() or not later.any():
            raise DataError(
                f"{len(self)} impressions cannot be parted by time with the last {share:g} of them in a part of their "
                "own: choose another share, or a longer log."
            )
        known = pl.col("clicked_at") < cut
        earlier = self.frame.filter(~pl.Series(later)).with_columns(
            clicked=known.fill_null(False), clicked_at=pl.when(known).then("clicked_at")
        )
        return replace(self, frame=earlier), self.where(later)


def impressions_of(
    log: EventLog,
    *,
    clicks: Sequence[str] = CLICKS,
    shows: Sequence[str] = SHOWS,
    separate: bool = False,
    distinct: bool = False,
    columns: dict[str, str] | None = None,
) -> Impressions:
    """The impressions of an event log, whose items are ads.

    Args:
        log: each event an ad that was shown, or, if `separate`, shown or clicked.
        clicks: types of event that are a click.
        shows: types of event that are a showing without one.
        separate: whether clicks are rows of their own.
        distinct: keep the first of impressions that are alike in every column but their place in the log.
        columns: names of the columns "campaign", "bid" and "propensity", where they have others.

    Raises:
        ColumnError: the log has no types of event, or a column is not there or holds no numbers.
        DataError: there is another type of event, or a propensity is no chance, or a bid is below 0.
    """
    named = _columns(log, columns or {})
    if "event" not in log.columns:
        raise ColumnError(
            "The log does not say what was clicked: name the column that holds it, as in columns event=click."
        )
    kind = pl.col("event").str.strip_chars()
    known = [*clicks, *shows]
    others = log.frame.filter(~kind.is_in(known) | kind.is_null())["event"].unique().sort()
    if len(others):
        found = ", ".join(map(repr, others.head(3).to_list()))
        raise DataError(
            f"Events of type {found} are neither clicks ({', '.join(clicks)}) nor showings ({', '.join(shows)}): say "
            "which types are, or take them out."
        )
    left = [name for name in log.columns if name not in CANONICAL and name not in named.values()]
    meant = [name for name in left if name in (*OWN, *PROPENSITIES)]
    context = [name for name in left if name not in meant]
    timed = log.has_time
    shown = log.frame.filter(~kind.is_in(list(clicks))) if separate else log.frame
    # without times, the places of each user's events, in the order of the log: an `order` may not be that of the rows
    moment = pl.col("time").dt.epoch("us") if timed else pl.col("row").sort().over("user")
    frame = log.frame.select(
        "user",
        moment.alias("time"),
        "row",
        pl.col("item").alias("ad"),
        kind.is_in(list(clicks)).alias("clicked"),
        *(_read(shown[source], name) for name, source in named.items()),
        *context,
        *_order(log),
    ).sort("time", "row")
    notes: tuple[str, ...] = ()
    if meant:
        notes += (
            f"not read, since impressions have columns of their own of these names: {', '.join(meant)}",
        )
    if separate:
        frame, orphans = _joined(frame)
        if orphans:
            notes += (
                f"{orphans} clicks belong to no showing before them, or to one that was clicked already: left out",
            )
    else:
        frame = frame.with_columns(
            clicked_at=pl.when("clicked").then("time").otherwise(None),
        )
    frame, copies = _distinct(frame, timed, distinct)
    notes += copies
    frame, of_ads = _with_ads(frame, log.items)
    _check(frame)
    people = frame["user"].n_unique() < frame.height
    ads = frame["ad"].n_unique() < frame.height
    notes += () if people else ("nobody is known: no history, and intervals are over impressions",)
    return Impressions(frame, timed, people, ads, of_ads, notes)


def _columns(log: EventLog, given: dict[str, str]) -> dict[str, str]:
    """Column with a meaning -> its name in the log."""
    found: dict[str, str] = {name: name for name in ("campaign", "bid") if name in log.columns}
    logged = [name for name in PROPENSITIES if name in log.columns]
    found |= {"propensity": logged[0]} if logged else {}
    for name, source in given.items():
        if name not in ("campaign", "bid", "propensity"):
            raise ColumnError(f"'{name}' is not campaign, bid or propensity, which columns may be named for.")
        if source not in log.columns:
            raise ColumnError(
                f"There is no column '{source}' for {name}; the log has: {', '.join(log.source_columns)}."
            )
        found[name] = source
    return found


def _order(log: EventLog) -> list[pl.Expr]:
    """The order of a log with times, by its own name: mostly the position of the ad, and times order impressions."""
    name = log.reading.columns.get("order", "order")
    if not log.has_time or "order" not in log.columns or name in (*OWN, *PROPENSITIES):
        return []
    return [pl.col("order").alias(name)]


def _read(shown: pl.Series, name: str) -> pl.Expr:
    """A column with a meaning as it is read: campaigns as text, all else as numbers, which every showing must have."""
    if name == "campaign":
        return pl.col(shown.name).cast(pl.String).alias(name)
    numbers = shown.cast(pl.Float64, strict=False)
    wrong = int((numbers.is_null() | ~numbers.is_finite()).fill_null(True).sum())
    if wrong:
        raise ColumnError(
            f"{wrong} of {len(shown)} values of '{shown.name}' are no {name}, a number: mend them."
        )
    return pl.col(shown.name).cast(pl.Float64, strict=False).alias(name)


def _joined(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Showings with the first click that came after each, and how many clicks belong to none."""
    shown = frame.filter(~pl.col("clicked")).drop("clicked")
    clicks = frame.filter("clicked").select("user", "ad", clicked_at="time")
    owner = clicks.join_asof(  # both are in the order of time, then row
        shown.select("user", "ad", "time", "row"),
        left_on="clicked_at",
        right_on="time",
        by=["user", "ad"],
        strategy="backward",
        check_sortedness=False,
    )
    first = owner.drop_nulls("row").unique("row", keep="first", maintain_order=True)
    merged = shown.join(first.select("row", "clicked_at"), on="row", how="left", maintain_order="left")
    return merged.with_columns(clicked=pl.col("clicked_at").is_not_null()), clicks.height - first.height


def _distinct(frame: pl.DataFrame, timed: bool, wanted: bool) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Impressions without copies, if so wanted, and what is said of copies."""
    places = ["row"] if timed else ["row", "time", "clicked_at"]
    once = frame.unique(frame.drop(places).columns, keep="first", maintain_order=True)
    copies = frame.height - once.height
    if not copies:
        return frame, ()
    if wanted:
        return once, (f"{copies} impressions that repeat an earlier one in every column were left out",)
    return frame, (
        f"warning: {copies} of {frame.height} impressions repeat an earlier one in every column; if they are copies, "
        "what was learnt is asked for again and all figures are too good: take distinct ones",
    )


def _with_ads(frame: pl.DataFrame, items: pl.DataFrame | None) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Impressions with what is known of the ads beside the log, and the names of these features."""
    taken = ("item", "title", *PROPENSITIES, *frame.columns)
    more = [] if items is None else [name for name in items.columns if name not in taken]
    if items is None or not more:
        return frame, ()
    known = items.select(pl.col("item").alias("ad"), *more)
    joined = frame.join(known, on="ad", how="left", maintain_order="left")
    meant = [name for name in more if name in OWN]
    joined = joined.with_columns(*(_read(joined[name], name) for name in meant))
    return joined, tuple(name for name in more if name not in meant)


def _check(frame: pl.DataFrame) -> None:
    faults: dict[str, tuple[Any, str]] = {
        "propensity": ((pl.col("propensity") <= 0) | (pl.col("propensity") > 1), "above 0 and at most 1"),
        "bid": (pl.col("bid") < 0, "0 or more"),
    }
    for name, (wrong, must) in faults.items():
        if name in frame.columns and (count := frame.filter(wrong).height):
            raise DataError(f"{count} of {frame.height} values of {name} are not {must}: mend the log.")
