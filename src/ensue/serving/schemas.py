"""What may be asked, checked before anything is done; no number and no list is without a bound."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Id = Annotated[str, Field(min_length=1, max_length=512)]
Text = Annotated[str, Field(max_length=512)]
Value = str | int | float | bool | None
Moment = Annotated[str | int | float | None, Field(union_mode="left_to_right")]
"""When: to try its kinds one after the other takes a third of the time that it takes to weigh them against each other.
Whole numbers come before others, since a strict float takes them too, and would lose digits of microseconds."""

MOST_RULES = 50
MOST_IDS = 10_000


class Asked(BaseModel):
    """A body whose keys are all known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Step(Asked):
    """One event of a history that comes with a request."""

    item: Id
    time: Moment = None
    rating: Annotated[float | None, Field(allow_inf_nan=False)] = None
    event: Text | None = None
    context: dict[Annotated[str, Field(max_length=64)], Value] = Field(
        max_length=32, default_factory=dict, json_schema_extra={"default": {}}
    )
    """Made for each: to copy one that is given takes twice as long as all the rest of an event."""


class Who(Asked):
    """Whose question it is: a user or a session whose events were told, or a history that comes along."""

    user: Id | None = Field(default=None, examples=["u1"])
    session: Id | None = None
    history: Annotated[list[Id | Step] | None, Field(max_length=MOST_IDS)] = None
    at: Moment = None

    @model_validator(mode="after")
    def _one(self) -> Who:
        told = [name for name in ("session", "history") if getattr(self, name) is not None]
        if len(told) > 1 or (self.session is not None and self.user is not None) or not (told or self.user):
            raise ValueError(
                "give a user, a session or a history, one of them; a history may name its user too"
            )
        return self


def _few(rules: dict[str, Any]) -> dict[str, Any]:
    """Rules as they are, unless the lists of each kind hold more than a request may bring."""
    number = sum(len(given) if isinstance(given, list) else 1 for given in rules.values())
    if number > MOST_RULES:
        raise ValueError(
            f"{number:,} rules are given: at most {MOST_RULES} are read, lists of one kind counted"
        )
    return rules


class Recommend(Who):
    """What comes next?"""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"history": ["A", "B"], "k": 5, "titles": True}, {"user": "u1"}]},
    )

    k: Annotated[int | None, Field(ge=0)] = 10
    exclude: Annotated[list[Id], Field(max_length=MOST_IDS)] = []
    exclude_seen: bool | None = None
    rules: Annotated[dict[str, Any], Field(max_length=MOST_RULES), AfterValidator(_few)] = {}
    titles: bool = True
    features: Annotated[list[Text], Field(max_length=32)] = []
    explain: bool = False
    ratings: bool = False
    timings: bool = False


class Candidate(Asked):
    """An item that another engine proposes, and what it thinks of it."""

    item: Id
    score: Annotated[float | None, Field(allow_inf_nan=False)] = None
    price: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None


class Action(Step):
    """One event before a list; one that concerns no item, such as a filter, has none."""

    item: Text = ""


class Rerank(Who):
    """In which order are these?"""

    history: Annotated[list[Id | Action] | None, Field(max_length=MOST_IDS)] = None  # type: ignore[assignment]
    shown: Annotated[dict[Annotated[str, Field(max_length=64)], Text], Field(max_length=32)] = {}
    explain: bool = False
    candidates: Annotated[list[Id | Candidate], Field(max_length=MOST_IDS)]
    weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    k: Annotated[int | None, Field(ge=0)] = None
    titles: bool = True


class Similar(Asked):
    """What is like these items?"""

    items: Annotated[list[Id], Field(min_length=1, max_length=100)] = Field(examples=[["A"]])
    k: Annotated[int | None, Field(ge=0)] = 10
    titles: bool = True


class Basket(Asked):
    """What else, for this open basket? The order of its items says nothing."""

    basket: Annotated[list[Id], Field(max_length=1_000)] = Field(examples=[["A", "C"]])
    user: Id | None = None
    k: Annotated[int | None, Field(ge=0)] = 10
    titles: bool = True


class Rating(Who):
    """Which ratings are expected of these items?"""

    items: Annotated[list[Id], Field(min_length=1, max_length=1_000)]


class Explain(Who):
    """Why is this item there?"""

    item: Id
    k: Annotated[int | None, Field(ge=0)] = 10
    most: Annotated[int, Field(ge=1, le=100)] = 5
    exclude: Annotated[list[Id], Field(max_length=MOST_IDS)] = []
    exclude_seen: bool | None = None


class Swap(Asked):
    """Which model is to answer."""

    folder: Annotated[str, Field(min_length=1, max_length=1_024)] = Field(examples=["transformer"])


class Beside(Asked):
    """Which models are asked beside, or answer some; an empty text ends it."""

    shadow: Annotated[str, Field(max_length=1_024)] | None = None
    split: Annotated[str, Field(max_length=1_024)] | None = None
    share: Annotated[float, Field(ge=0, le=1)] = 0.0


class Items(Asked):
    """Which items."""

    items: Annotated[list[Id], Field(min_length=1, max_length=MOST_IDS)]
    state: Literal["withdrawn", "restored", "added"]
