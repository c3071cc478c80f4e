"""A question about ads as JSON puts it, and its answer: the same over HTTP and in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ensue.ads.artifact import Saved
from ensue.ads.caps import Cap
from ensue.ads.exploring import NOTHING, Exploration
from ensue.ads.history import SECOND, Past
from ensue.ads.impressions import OWN
from ensue.ads.slates import slate
from ensue.errors import QueryError
from ensue.moments import microseconds

MOST_ADS, MOST_EVENTS, MOST_PLACES = 2_000, 10_000, 100
Id = Annotated[str, Field(min_length=1, max_length=512)]
Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Moment = str | Annotated[float, Field(ge=0, lt=1e11, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A whole number past these ends is read as one with a point."""
WHO = "asks"
"""What whoever asks is called inside: their own id is not needed."""


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Offer(_Asked):
    """An ad that may be shown; what is not said of it is as in training."""

    ad: Id
    bid: Amount | None = None
    campaign: Id | None = None


class AdEvent(_Asked):
    """One ad that the person was shown, or has clicked."""

    ad: Id
    time: Moment | None = None
    event: Literal["impression", "click"] = "impression"


class AdQuestion(_Asked):
    """Which ads for this person, now?"""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"user": "u1", "k": 2, "caps": [{"most": 3, "per": "ad", "hours": 24.0}]},
                {"history": [{"ad": "A", "event": "click"}], "ads": [{"ad": "A", "bid": 0.5}, "B"], "k": 1},
            ]
        },
    )

    user: Id | None = None
    history: Annotated[list[AdEvent], Field(max_length=MOST_EVENTS)] | None = None
    ads: Annotated[list[Id | Offer], Field(max_length=MOST_ADS)] | None = None
    k: Annotated[int, Field(ge=0, le=MOST_PLACES)] = 1
    at: Moment | None = None
    context: Annotated[
        dict[Annotated[str, Field(max_length=64)], str | Whole | float | bool | None], Field(max_length=256)
    ] = {}
    caps: Annotated[list[Cap], Field(max_length=20)] = []
    exploration: Exploration = NOTHING
    reserve: Amount = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None

    @model_validator(mode="after")
    def _one(self) -> AdQuestion:
        if self.user is not None and self.history is not None:
            raise ValueError("give a user, whose events were told, or a history that comes along, not both")
        return self


def question_of(content: bytes) -> AdQuestion:
    """The question that some JSON puts.

    Raises:
        QueryError: it is no JSON, or not of this shape; the first fault is told.
    """
    try:
        return AdQuestion.model_validate_json(content)
    except ValidationError as found:
        fault = max(
            found.errors(), key=lambda one: len(one["loc"])
        )  # where several kinds may be, the nearest
        place = ".".join(str(step) for step in fault["loc"]) or "the question"
        raise QueryError(f"{place}: {fault['msg'][0].lower()}{fault['msg'][1:]}.") from None


def answer(saved: Saved, asked: AdQuestion, events: Sequence[AdEvent] | None = None) -> dict[str, Any]:
    """The slate, as JSON: what is shown, with probability, expected value, price and propensity of each.

    Args:
        saved: the click model, and the ads that it knows.
        asked: the question.
        events: of the person, oldest first, where they do not come along with the question.

    Raises:
        QueryError: a time is none, an ad is named twice, more ads would be asked about than are taken at once, or the
            context says what is no context.
    """
    now = _moment(asked.at) if asked.at is not None else microseconds(datetime.now(UTC))
    told = list(events if events is not None else asked.history or [])
    timed = saved.clicks.columns.timed
    times = list(range(len(told)))
    if timed:
        times = [now - 1 if one.time is None else _moment(one.time) for one in told]
    at = now if timed else len(told)
    candidates, unknown = _candidates(saved, asked, at)
    past = _past(_campaigns(saved, candidates), told, times, timed)
    found = slate(
        saved.clicks, candidates, past, asked.k, caps=tuple(asked.caps), exploration=asked.exploration,
        reserve=asked.reserve, seed=asked.seed,
    )  # fmt: skip
    model = {"name": saved.clicks.name, "version": saved.version}
    return {**found.to_json(), "unknown": unknown, "model": model}


def _candidates(saved: Saved, asked: AdQuestion, at: int) -> tuple[pl.DataFrame, list[str]]:
    """The ads that may be shown, as the click model reads them, and those that it does not know."""
    known = saved.ads
    if asked.ads is None:
        found, unknown = known, []
        if len(known) > MOST_ADS:
            raise QueryError(
                f"The model knows {len(known)} ads: name those that may be shown, {MOST_ADS} at most."
            )
    else:
        offers = [Offer(ad=one) if isinstance(one, str) else one for one in asked.ads]
        given = pl.DataFrame(
            {
                "ad": [one.ad for one in offers],
                "given bid": [one.bid for one in offers],
                "given campaign": [one.campaign for one in offers],
            },
            schema={"ad": pl.String, "given bid": pl.Float64, "given campaign": pl.String},
        )
        found = given.join(known, on="ad", how="left", maintain_order="left")
        for name, kind in (("bid", pl.Float64), ("campaign", pl.String)):
            old = pl.col(name) if name in found.columns else pl.lit(None, dtype=kind)
            found = found.with_columns(pl.coalesce(f"given {name}", old).alias(name)).drop(f"given {name}")
        unknown = given.join(known, on="ad", how="anti", maintain_order="left")["ad"].to_list()
    if "bid" in found.columns:
        found = found.with_columns(pl.col("bid").fill_null(1.0))
    odd = sorted(name for name in asked.context if name in (*OWN, *known.columns))
    if odd:
        raise QueryError(
            f"context: '{odd[0]}' is told otherwise: 'at' says when, each of 'ads' its bid and campaign, and training "
            "all else of an ad. Leave it out."
        )
    more = {name: pl.lit(value) for name, value in asked.context.items()}
    return found.with_columns(**more, user=pl.lit(WHO), time=pl.lit(at, dtype=pl.Int64)), unknown


def _campaigns(saved: Saved, candidates: pl.DataFrame) -> pl.DataFrame:
    """The campaign of each ad: what the question says of it, else what training knows."""
    known = [one.select("ad", "campaign") for one in (candidates, saved.ads) if "campaign" in one.columns]
    none = pl.DataFrame(schema={"ad": pl.String, "campaign": pl.String})
    return pl.concat([none, *known]).unique("ad", keep="first", maintain_order=True)


def _past(campaigns: pl.DataFrame, told: Sequence[AdEvent], times: Sequence[int], timed: bool) -> Past:
    """The person's own events, each ad with its campaign."""
    frame = pl.DataFrame(
        {
            "ad": [one.ad for one in told],
            "time": list(times),
            "click": [one.event == "click" for one in told],
        },
        schema={"ad": pl.String, "time": pl.Int64, "click": pl.Boolean},
    ).join(campaigns, on="ad", how="left", maintain_order="left")
    return Past(frame.select(pl.lit(WHO).alias("user"), "ad", "campaign", "time", "click"), timed)


def _moment(value: str | float) -> int:
    """Microseconds since 1970 of ISO text (UTC if it names no zone) or of seconds."""
    if not isinstance(value, str):
        return int(value * SECOND)
    try:
        return microseconds(datetime.fromisoformat(value.strip()))
    except ValueError:
        raise QueryError(
            "A time is no ISO text such as 2024-01-31T08:00Z, and no number of seconds since 1970."
        ) from None
