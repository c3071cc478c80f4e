"""A log that looks like film ratings, with invented titles: to try ensue where no real data can be fetched."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.events.log import EventLog
from ensue.events.simulate.process import Bools, Ints, account, raise_all, utc, whole
from ensue.events.simulate.reachable import Values

GENRES = (
    "action",
    "adventure",
    "animation",
    "comedy",
    "crime",
    "documentary",
    "drama",
    "family",
    "fantasy",
    "history",
    "horror",
    "music",
    "mystery",
    "romance",
    "science-fiction",
    "thriller",
    "war",
    "western",
)

BEGIN = 1_725_148_800
"""2024-09-01 00:00:00 UTC, in seconds since 1970."""

DAY = 86_400
DAYS = 215
SHORTEST, LONGEST = 20, 737
FOLLOWERS = 24
"""How many planted successors a film has; the j-th of them follows with weight 1 / j."""

FOLLOW, STAY, RECENT = 0.35, 0.35, 0.4
"""Probabilities: that the next film is a successor of a recent one; else, that it has the genre of a recent one;
that the recent one is the last, else that it is the one before, and so on."""

TRIES = 12
"""How many times a film already seen is drawn anew by the law, before any unseen film is taken by popularity."""

Floats = NDArray[np.floating[Any]]


def demo_log(users: int = 943, items: int = 1682, seed: int = 0) -> EventLog:
    """A log of about 106 ratings a user, each film once at most, in the shape of MovieLens-100K.

    Films have a genre, a popularity of long tail and a few films that tend to be watched after them; users have a
    taste for few genres, come at some time of 215 days and rate in bursts. So order helps, popularity does well, and
    nothing reaches the top. The best reachable score is not known: for that, see the sources of this package.

    Args:
        users: how many users.
        items: how many films, at least 40; a user rates at most half of them.
        seed: draws everything, films included.

    Returns:
        Columns `user`, `item`, `time`, `rating` (1 to 5), and a table of items with `title`, `genre` and `year`.

    Raises:
        ConfigError: an argument is out of range.

    Example:
        >>> log = demo_log(users=50, items=200)
        >>> log.n_users, log.items.columns
        (50, ['item', 'title', 'genre', 'year'])
    """
    raise_all(
        "demo log", [*whole("users", users, 1), *whole("items", items, 2 * SHORTEST), *whole("seed", seed, 0)]
    )
    rng = np.random.default_rng([seed, 5])
    genre = rng.choice(len(GENRES), size=items, p=_falling(len(GENRES), 0.8))
    popularity = np.exp(1.5 * rng.standard_normal(items))
    popularity /= popularity.sum()
    longest = min(LONGEST, items // 2)
    lengths = SHORTEST + np.exp(3.77 + 1.15 * rng.standard_normal(users)).astype(np.int64)
    lengths = -np.sort(-np.minimum(lengths, longest))
    taste = rng.dirichlet(4.0 * np.bincount(genre, popularity, len(GENRES)) + 0.02, size=users)
    seen = _Watching(genre, popularity, taste, rng).histories(lengths)
    mask = np.arange(seen.shape[1]) < lengths[:, None]
    user, item = np.repeat(np.arange(users), lengths), seen[mask]
    quality = 0.35 * np.log(popularity[item] * items) + 0.5 * rng.standard_normal(items)[item]
    liking = 3.3 + 0.3 * quality + 0.4 * rng.standard_normal(users)[user] + taste[user, genre[item]]
    rating = np.clip(np.rint(liking + 0.8 * rng.standard_normal(len(item))), 1, 5)
    names = rng.permutation(np.arange(1, users + 1))
    frame = pl.DataFrame(
        {
            "user": pl.Series(names).cast(pl.String).gather(user),
            "item": pl.Series(item + 1).cast(pl.String),
            "time": utc(_times(lengths, rng)[mask]),
            "rating": pl.Series(rating, dtype=pl.Float64),
        }
    )
    films = pl.DataFrame(
        {
            "item": pl.Series(np.arange(1, items + 1)).cast(pl.String),
            "title": pl.Series(_titles(items, rng)),
            "genre": pl.Series(GENRES).gather(genre),
            "year": pl.Series(2024 - rng.geometric(0.06, size=items).clip(max=90), dtype=pl.Int64),
        }
    )
    films = films.with_columns(title=pl.format("{} ({})", "title", "year"))
    note = f"simulated: ratings of {users} users for {items} films that do not exist, seed {seed}"
    return EventLog.of(frame, films, account(frame, note))


class _Watching:
    """What users watch, step by step; users are in order of falling length, so those still there come first."""

    def __init__(self, genre: Ints, popularity: Floats, taste: Floats, rng: np.random.Generator) -> None:
        self.genre, self.popularity, self.rng = genre, popularity, rng
        self.taste = np.cumsum(taste, axis=1)
        self.by_genre = np.argsort(genre, kind="stable")
        self.mass = np.cumsum(popularity[self.by_genre])
        ends = np.cumsum(np.bincount(genre, minlength=taste.shape[1]))
        self.upper = np.append(0.0, self.mass)[ends]
        self.lower = np.append(0.0, self.upper[:-1])
        drawn = genre[np.repeat(np.arange(len(genre)), FOLLOWERS)]
        self.followers = self._of_genre(drawn).reshape(-1, FOLLOWERS)
        self.follows = np.cumsum(_falling(FOLLOWERS, 1.0))

    def histories(self, lengths: Ints) -> Ints:
        """`[U, T]` items, none twice for a user; what lies past a user's length is -1."""
        users = len(lengths)
        seen = np.zeros((users, len(self.genre)), dtype=bool)
        out = np.full((users, int(lengths.max())), -1, dtype=np.int64)
        for step in range(out.shape[1]):
            there = int(np.searchsorted(-lengths, -step))
            out[:there, step] = self._unseen(seen[:there], out[:there, :step])
            seen[np.arange(there), out[:there, step]] = True
        return out

    def _unseen(self, seen: Bools, past: Ints) -> Ints:
        """`[U]` the next item of each user after their past `[U, t]`, drawn anew while it is one they have seen."""
        chosen = np.empty(len(seen), dtype=np.int64)
        left = np.arange(len(seen))
        for _ in range(TRIES):
            chosen[left] = self._next(left, past)
            left = left[seen[left, chosen[left]]]
            if not len(left):
                return chosen
        waits = self.rng.exponential(size=(len(left), len(self.genre))) / self.popularity
        waits[seen[left]] = np.inf
        chosen[left] = waits.argmin(axis=1)
        return chosen

    def _next(self, users: Ints, past: Ints) -> Ints:
        """One draw of the next item for each of these users, seen or not."""
        wanted = (
            (self.rng.random((len(users), 1)) > self.taste[users]).sum(axis=1).clip(max=len(self.lower) - 1)
        )
        steps = past.shape[1]
        if not steps:
            return self._of_genre(wanted)
        last = past[users, steps - np.minimum(self.rng.geometric(RECENT, size=len(users)), steps)]
        wanted = np.where(self.rng.random(len(users)) < STAY, self.genre[last], wanted)
        place = np.searchsorted(self.follows, self.rng.random(len(users))).clip(max=FOLLOWERS - 1)
        return np.where(
            self.rng.random(len(users)) < FOLLOW, self.followers[last, place], self._of_genre(wanted)
        )

    def _of_genre(self, genre: Ints) -> Ints:
        """One item of each of these genres, by popularity."""
        point = self.lower[genre] + self.rng.random(len(genre)) * (self.upper - self.lower)[genre]
        place = np.searchsorted(self.mass, point).clip(max=len(self.mass) - 1)
        found: Ints = self.by_genre[place]
        return found


def _falling(n: int, power: float) -> Values:
    """`[n]` probabilities proportional to 1 / rank^power."""
    weights = np.arange(1, n + 1, dtype=np.float64) ** -power
    law: Values = weights / weights.sum()
    return law


def _times(lengths: Ints, rng: np.random.Generator) -> Ints:
    """`[U, T]` strictly increasing seconds: bursts with half a minute between ratings, and days between bursts."""
    shape = (len(lengths), int(lengths.max()))
    gaps = 1 + rng.exponential(30.0, size=shape)
    gaps += np.where(rng.random(shape) < 1 / 60, rng.exponential(8.0 * DAY, size=shape), 0.0)
    gaps[:, 0] = 0.0
    passed = np.cumsum(np.ceil(gaps), axis=1).astype(np.int64)
    stay = passed[np.arange(len(lengths)), lengths - 1]
    come = rng.random(len(lengths)) * np.maximum(DAYS * DAY - stay, 0)
    return BEGIN + come.astype(np.int64)[:, None] + passed


HEADS = (
    "Ald",
    "Bel",
    "Cor",
    "Dra",
    "Elv",
    "Fen",
    "Hal",
    "Jor",
    "Kel",
    "Lun",
    "Mor",
    "Nar",
    "Quor",
    "Sel",
    "Tav",
    "Wyr",
)
MIDDLES = ("a", "e", "i", "o", "u", "ari", "eno", "ilu", "ova", "ude")
TAILS = (
    "brek",
    "dath",
    "fell",
    "gwen",
    "lith",
    "morn",
    "nox",
    "phar",
    "quist",
    "rith",
    "sket",
    "thal",
    "vash",
    "zar",
)
"""Parts of invented words."""


def _titles(n: int, rng: np.random.Generator) -> list[str]:
    """`n` different titles of two invented words."""
    words = np.array([head + middle + tail for head in HEADS for middle in MIDDLES for tail in TAILS])
    numbers = rng.choice(len(words) ** 2, size=n, replace=False, shuffle=True)
    return [
        f"{words[first]} {words[second]}"
        for first, second in zip(*np.divmod(numbers, len(words)), strict=True)
    ]
