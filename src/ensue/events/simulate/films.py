"""A log in the shape of a film service, for trying ensue out where nothing can be fetched."""

from __future__ import annotations

import numpy as np
import polars as pl

from ensue.events.log import EventLog

GENRES = ("Adventure", "Comedy", "Crime", "Drama", "Fantasy", "Mystery", "Romance", "Thriller")
HEADS = (
    "Amber",
    "Broken",
    "Cold",
    "Distant",
    "Empty",
    "Falling",
    "Golden",
    "Hidden",
    "Iron",
    "Lost",
    "Quiet",
    "Winter",
)
TAILS = (
    "Anchor",
    "Bridge",
    "Castle",
    "Harbour",
    "Island",
    "Lantern",
    "Mirror",
    "Orchard",
    "River",
    "Station",
    "Tower",
    "Voyage",
)
BEGIN, DAY = 1_577_836_800, 86_400
SPAN_DAYS = 210


def demo_log(*, users: int = 943, items: int = 1_682, mean_length: int = 106, seed: int = 0) -> EventLog:
    """A log about the size of MovieLens-100K, with invented titles: popularity, tastes, and an order to be found.

    Films have a popularity, a genre and a place on a circle. A user takes a set of films by popularity and taste, and
    goes round the circle through it from a place of their own, with some disorder; so what comes next is near on the
    circle. Users come over half a year. Nobody takes a film twice.

    Args:
        users: how many users.
        items: how many films.
        mean_length: mean number of events of a user; they have from 20 events to half of all films.
        seed: same seed, same log.
    """
    rng = np.random.default_rng(seed)
    weight = np.log(rng.permutation(np.arange(1, items + 1, dtype=np.float64) ** -0.8))
    genre = rng.integers(len(GENRES), size=items)
    place = rng.random(items)
    lengths = np.clip(rng.lognormal(np.log(mean_length) - 0.4, 0.9, size=users), 20, items // 2).astype(
        np.int64
    )
    lengths = np.maximum(np.minimum(lengths, items), 2)
    taste = rng.normal(scale=1.2, size=(users, len(GENRES)))
    liking = weight + taste[:, genre] + rng.gumbel(size=(users, items))
    rank = np.argsort(np.argsort(-liking, axis=1), axis=1)
    user, film = np.nonzero(rank < lengths[:, None])
    start = rng.random(users)
    along = (place[film] - start[user]) % 1 + rng.normal(scale=0.02, size=len(film))
    order = np.lexsort((along, user))
    user, film = user[order], film[order]
    pauses = rng.choice([40, 90, 300, 2 * DAY], p=[0.6, 0.25, 0.13, 0.02], size=len(film))
    passed = np.cumsum(pauses)
    first = np.cumsum(lengths) - lengths
    begin = BEGIN + rng.integers(SPAN_DAYS * DAY, size=users)
    seconds = begin[user] + passed - passed[first][user]
    rating = np.clip(
        np.round(3.5 + 0.5 * taste[user, genre[film]] + rng.normal(scale=0.8, size=len(film))), 1, 5
    )
    ids = pl.Series([str(n + 1) for n in range(items)], dtype=pl.String)
    names = pl.Series([str(n + 1) for n in range(users)], dtype=pl.String)
    frame = pl.DataFrame(
        {
            "user": names.gather(user),
            "item": ids.gather(film),
            "time": pl.from_epoch(pl.Series(seconds), "s").cast(pl.Datetime("us", "UTC")),
            "rating": rating,
        }
    )
    films = pl.DataFrame({"item": ids, "title": _titles(items, rng), "genres": [GENRES[g] for g in genre]})
    return EventLog.of(frame, films)


def _titles(items: int, rng: np.random.Generator) -> list[str]:
    """Invented titles, no two alike."""
    years = rng.integers(1950, 2020, size=items)
    pairs = len(HEADS) * len(TAILS)
    titles = []
    for n in range(items):
        head, tail = HEADS[n % len(HEADS)], TAILS[n // len(HEADS) % len(TAILS)]
        part = "" if n < pairs else f" {n // pairs + 1}"
        titles.append(f"The {head} {tail}{part} ({years[n]})")
    return titles
