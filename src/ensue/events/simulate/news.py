"""A simulated news log in the shape of MIND: new items every day, lists that were shown, and what was clicked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.errors import DataError
from ensue.events.simulate.process import Ints, raise_all, whole

Floats = NDArray[np.float64]

CATEGORIES = ("news", "sports", "finance", "lifestyle", "travel", "video", "health", "autos")
BEGIN = datetime(2019, 11, 9, tzinfo=UTC)
DAY = 86_400
SUBCATEGORIES, WORDS, COMMON, LENGTH = 3, 40, 120, 7
"""Of each category: its subcategories and the words of each; the words that all share; words of a title."""

SHOWN, READY = 20, 300
"""Items of a list; and of how many of the newest it is made."""

STALE = 0.5 * DAY
"""How fast the desk takes items out of the lists: what is so old is shown 1/e times as often."""

TASTE, OWN_WORDS, QUALITY, AGEING = 1.0, 1.2, 0.8, 0.35
"""What a click is due to: the category, the subcategory, the item's own appeal, and its age in half days."""


@dataclass(frozen=True, eq=False)
class NewsLog:
    """News and impressions as MIND has them.

    Attributes:
        news: `item`, `category`, `subcategory`, `title`, `abstract`, `published`.
        behaviors: `impression`, `user`, `time`, `history` (earlier clicks), `shown` (N1-1 N2-0 ...).
    """

    news: pl.DataFrame
    behaviors: pl.DataFrame

    def write(self, folder: str | Path) -> Path:
        """Writes behaviors.tsv and news.tsv as MIND has them."""
        folder = Path(folder)
        behaviors = self.behaviors.with_columns(pl.col("time").dt.strftime("%-m/%-d/%Y %-I:%M:%S %p"))
        told = self.news.with_columns(url=pl.lit(""), entities=pl.lit("[]"), others=pl.lit("[]"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, table in (("behaviors.tsv", behaviors), ("news.tsv", told.drop("published"))):
                table.write_csv(folder / name, include_header=False, separator="\t", quote_style="never")
        except OSError as fault:
            raise DataError(f"{folder} cannot be written: {fault.strerror or fault}.") from fault
        return folder


def news(users: int = 2000, days: int = 7, a_day: int = 200, visits: int = 12, seed: int = 0) -> NewsLog:
    """Impressions of so many days, on each of which so many items are new.

    A user has a taste for few categories, and within each for one kind of story; comes now and then, mostly by day; is
    shown 20 of the newest items, drawn by how good and how new they are; and clicks one, by taste, by how good it is,
    and by how new. So an item lives a day or two, popularity is stale when it is known, and what is known of an item
    when it comes out, its category and the words of its title, says whom it is for.

    Args:
        users: how many.
        days: how long the log is.
        a_day: new items on each.
        visits: impressions of a user, on average.
        seed: draws everything; same seed, same log.

    Raises:
        ConfigError: an argument is out of range.
    """
    faults = [
        *whole("users", users, 1),
        *whole("days", days, 2),
        *whole("a_day", a_day, SHOWN),
        *whole("visits", visits, 1),
    ]
    raise_all("news", [*faults, *whole("seed", seed, 0)])
    rng = np.random.default_rng([seed, 11])
    known = (days + 1) * a_day  # the log begins with a day of news behind it
    since = np.sort(rng.integers(-DAY, days * DAY, size=known))
    category = rng.choice(len(CATEGORIES), size=known, p=_falling(len(CATEGORIES)))
    kind = rng.integers(SUBCATEGORIES, size=known)
    good = rng.standard_normal(known)
    taste = np.log(rng.dirichlet(np.full(len(CATEGORIES), 0.4), size=users) + 0.01)
    favourite = rng.integers(SUBCATEGORIES, size=(users, len(CATEGORIES)))
    who = np.repeat(np.arange(users), rng.poisson(visits, size=users) + 2)
    hour = np.clip(rng.normal(14.0, 4.5, size=len(who)), 0.0, 23.99)
    when = rng.integers(days, size=len(who)) * DAY + (hour * 3600).astype(np.int64)
    order = np.lexsort((who, when))
    who, when = who[order], when[order]
    shown = _shown(when, since, good, rng)
    age = (when[:, None] - since[shown]) / (DAY / 2)
    liking = TASTE * taste[who[:, None], category[shown]] + QUALITY * good[shown] - AGEING * age
    liking += OWN_WORDS * (favourite[who[:, None], category[shown]] == kind[shown])
    clicked = shown[np.arange(len(who)), (liking + rng.gumbel(size=liking.shape)).argmax(axis=1)]
    return NewsLog(_news(since, category, kind, rng), _behaviors(who, when, shown, clicked))


def _shown(when: Ints, since: Ints, good: Floats, rng: np.random.Generator) -> Ints:
    """`[Q, 20]` different items that are there, drawn by how good and how new they are (Gumbel's trick)."""
    latest = np.searchsorted(since, when, side="right")
    recent = latest[:, None] - 1 - np.arange(min(READY, int(latest.min())))
    age = when[:, None] - since[recent]
    chance = good[recent] - age / STALE + rng.gumbel(size=recent.shape)
    places = np.argpartition(-chance, SHOWN - 1, axis=1)[:, :SHOWN]
    found: Ints = np.take_along_axis(recent, np.sort(places, axis=1), axis=1)
    return found


def _news(since: Ints, category: Ints, kind: Ints, rng: np.random.Generator) -> pl.DataFrame:
    """The table of news; a title has words of its subcategory, and some that say nothing."""
    number = len(since)
    own = (category * SUBCATEGORIES + kind)[:, None] * WORDS + rng.integers(WORDS, size=(number, LENGTH))
    plain = rng.random((number, LENGTH)) < 0.4
    words = np.where(plain, -1 - rng.integers(COMMON, size=own.shape), own)
    text = [" ".join(f"w{word}" if word >= 0 else f"the{-word}" for word in row) for row in words.tolist()]
    names = pl.Series(CATEGORIES).gather(category)
    return pl.DataFrame(
        {
            "item": [f"N{place + 1}" for place in range(number)],
            "category": names,
            "subcategory": names + pl.Series(kind).cast(pl.String),
            "title": text,
            "abstract": [""] * number,
            "published": [BEGIN + timedelta(seconds=second) for second in since.tolist()],
        }
    )


def _behaviors(who: Ints, when: Ints, shown: Ints, clicked: Ints) -> pl.DataFrame:
    """The table of impressions, in the order of time."""
    marks = np.where(shown == clicked[:, None], "1", "0")
    lists = [
        " ".join(f"N{item + 1}-{mark}" for item, mark in zip(row, marked, strict=True))
        for row, marked in zip(shown.tolist(), marks.tolist(), strict=True)
    ]
    return pl.DataFrame(
        {
            "impression": np.arange(1, len(who) + 1),
            "user": [f"U{user + 1}" for user in who.tolist()],
            "time": [BEGIN + timedelta(seconds=second) for second in when.tolist()],
            "history": [""] * len(who),
            "shown": lists,
        }
    )


def _falling(number: int) -> Floats:
    """Shares that fall as 1 / rank."""
    weights: Floats = 1.0 / np.arange(1, number + 1)
    weights /= weights.sum()
    return weights
