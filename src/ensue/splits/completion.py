"""Basket completion: one item of an open basket is hidden, and asked for by the rest of it and all that came before."""

from __future__ import annotations

import numpy as np
import polars as pl

from ensue.batching import Ints
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.errors import ConfigError
from ensue.events.baskets import baskets
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.open_baskets import BASKET
from ensue.sequences import Queries, context_of, ratings_of, times_of

COMPLETION = "completion"
"""What these targets are called."""


def completions(
    log: EventLog,
    positions: Ints,
    catalogue: Catalogue,
    *,
    by: str = "user",
    protocol: str = "given events",
    seed: int = 0,
) -> Examples:
    """One hidden item of the last basket that each user has among these events.

    The item is drawn from the different ones of the basket. The history holds the user's baskets that began before it,
    and the rest of it at the end, in the order of the log, which says nothing; `opened` is where it begins. Ratings and
    other columns are those of the baskets before. A basket of which the catalogue holds nothing but the hidden item
    leaves nothing open, and is not asked about.

    Args:
        log: all events.
        positions: places in `log.frame`.
        catalogue: the items that the model knows.
        by: what a sequence is: "user".
        protocol: how the events were chosen, in words.
        seed: of the draw.

    Raises:
        ColumnError: the log has no baskets.
        ConfigError: sequences are sessions.
    """
    if by != "user":
        raise ConfigError(f"Baskets are completed for users, not for {by}s: take sequences.by = 'user'.")
    found = baskets(log)
    frame = log.frame.select(
        "user",
        "item",
        code=pl.Series(catalogue.encode(log.frame["item"])),
        basket=pl.Series(found.first),
        place=pl.int_range(pl.len(), dtype=pl.Int64),
        drawn=pl.Series(np.random.default_rng(seed).random(log.n_events)),
    ).with_columns(asked=pl.col("place").is_in(pl.Series(positions).implode()))
    given = pl.Series(found.later >= 0)
    once = frame.filter(pl.col("asked") & given & ~pl.Series(found.again))
    once = once.filter(pl.col("basket") == pl.col("basket").max().over("user"))
    hidden = once.group_by("user", maintain_order=True).agg(
        last=pl.col("basket").first(),
        hidden=pl.col("item").sort_by("drawn").first(),
        target=pl.col("code").sort_by("drawn").first(),
    )
    mine = pl.col("basket") == pl.col("last")
    frame = frame.join(hidden, on="user", how="inner", maintain_order="left").with_columns(open=mine)
    ended = frame.filter("open").group_by("user", maintain_order=True).agg(ended=pl.col("place").last())
    frame = frame.filter(pl.col("basket") <= pl.col("last"), ~(mine & (pl.col("item") == pl.col("hidden"))))
    left_out = frame.select((pl.col("code") == UNKNOWN).sum()).item()
    frame = frame.filter(pl.col("code") != UNKNOWN).filter(pl.col("open").any().over("user"))
    # the open basket goes last, even where another one overlaps with it
    user = pl.col("user").rle_id()
    frame = frame.with_columns(user_number=user).sort("user_number", "open", "place")
    size = frame.group_by("user", maintain_order=True).agg(
        events=pl.len(),
        opened=pl.col("open").sum(),
        hidden=pl.col("hidden").first(),
        target=pl.col("target").first(),
    )
    size = size.join(ended, on="user", how="left", maintain_order="left")
    ends = size["events"].to_numpy().astype(np.int64).cumsum()
    place, time, rating = frame["place"].to_numpy(), times_of(log), ratings_of(log)
    # what lies in an open basket is there when it is asked, and nothing else is known of it: see `open_question`
    opened, at = frame["open"], None
    if time is not None:
        at = time[size["ended"].to_numpy()]
        time = np.where(opened.to_numpy(), np.repeat(at, size["events"].to_numpy()), time[place])
    if rating is not None:
        rating = np.where(opened.to_numpy(), np.float32(np.nan), rating[place])
    context = {name: values.gather(place) for name, values in context_of(log).items()}
    context = {
        name: values if name == BASKET else values.set(opened, None) for name, values in context.items()
    }
    queries = Queries(
        items=frame["code"].to_numpy().astype(np.int32),
        starts=ends - size["events"].to_numpy(),
        ends=ends,
        n_items=len(catalogue),
        time=time,
        rating=rating,
        at=at,
        users=size["user"],
        context=context,
    )
    return Examples(
        queries=queries,
        targets=size["target"].to_numpy().astype(np.int32),
        groups=np.arange(len(size)),
        group_ids=size["user"],
        target_ids=size["hidden"],
        protocol=f"{protocol}, one hidden item of each last basket (seed {seed}), the rest of it open",
        left_out=left_out,
        opened=ends - size["opened"].to_numpy(),
    )
