"""What an explanation says, in the asker's own ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

EXACT, OCCLUSION, FALLBACK, POPULAR = "exact parts", "leaving one event out", "fallback", "popular items"
"""How an explanation came about."""


@dataclass(frozen=True)
class Reason:
    """An event that raised the score.

    Attributes:
        event: which event of the history, 0 for the oldest, unknown items counted.
        item: its item.
        title: of the item, None where it has none.
        part: what it adds to the score; or how much lower the score is without it, where parts do not add up.
        place_without: where the item would stand without this event.
    """

    event: int
    item: str
    title: str | None
    part: float
    place_without: int

    def to_json(self) -> dict[str, Any]:
        """The reason for programs."""
        named = {"item": self.item} | ({"title": self.title} if self.title is not None else {})
        return {"event": self.event, **named, "part": self.part, "place_without": self.place_without}


@dataclass(frozen=True)
class Without:
    """A few events without which the item would not have been in the list.

    None of them can be put back, and there may be a smaller set elsewhere.

    Attributes:
        events: which events of the history, 0 for the oldest.
        items: their items.
        titles: of these, None where one has none.
        place: where the item would stand.
        instead: the item that would have its place, None where the list would end before it.
        title: of that item, None where it has none.
    """

    events: tuple[int, ...]
    items: tuple[str, ...]
    titles: tuple[str | None, ...]
    place: int
    instead: str | None
    title: str | None

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "events": list(self.events),
            "items": list(self.items),
            "place": self.place,
            "instead": self.instead,
        } | ({"title": self.title} if self.title is not None else {})


@dataclass(frozen=True)
class Explanation:
    """Which events of a history drove the score of an item.

    Attributes:
        item: its id.
        title: None where it has none.
        score: as in an answer.
        place: where it stands among the candidates, 1 for the best.
        k: length of the list that is spoken of.
        method: how it came about; one of the constants of this module.
        reasons: events that raised the score, the strongest first.
        base: what does not hang on the history, where parts add up to the score; else None.
        others: what all events add that are no reasons here, where parts add up; else None.
        without: events without which the item would not be in the list; None where no few events do it.
        notes: what has to be said beside it.
    """

    item: str
    title: str | None
    score: float
    place: int
    k: int
    method: str
    reasons: tuple[Reason, ...] = ()
    base: float | None = None
    others: float | None = None
    without: Without | None = None
    notes: tuple[str, ...] = ()

    @property
    def adds_up(self) -> bool:
        """Whether base, the parts of the reasons and the others are together the score."""
        return self.base is not None

    def to_json(self) -> dict[str, Any]:
        """The explanation for programs."""
        named = {"item": self.item} | ({"title": self.title} if self.title is not None else {})
        return {
            **named,
            "score": self.score,
            "place": self.place,
            "k": self.k,
            "method": self.method,
            "adds_up": self.adds_up,
            "base": self.base,
            "others": self.others,
            "reasons": [reason.to_json() for reason in self.reasons],
            "without": None if self.without is None else self.without.to_json(),
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """The explanation as plain text."""
        said = [f"{named(self.item, self.title)}: place {self.place}, score {self.score:.4g}"]
        for reason in self.reasons:
            gone = f"; without it place {reason.place_without}"
            said.append(f"  {reason.part:+.4g} by {named(reason.item, reason.title)}{gone}")
        if self.others:
            said.append(f"  {self.others:+.4g} by the other events")
        if self.base is not None:
            said.append(f"  {self.base:+.4g} whatever the history (popularity)")
            said.append("  the parts add up to the score")
        elif self.method == OCCLUSION:
            said.append("  how much lower the score is without each event; these do not add up to the score")
        if self.without is not None:
            instead = self.without.instead
            would = "the list would end" if instead is None else named(instead, self.without.title)
            taken = zip(self.without.items, self.without.titles, strict=True)
            events = " and ".join(named(item, title) for item, title in taken)
            said.append(
                f"  without {events} it would be: {would} ({self.item} at place {self.without.place})"
            )
        return said + [f"  {note}" for note in self.notes]


def named(item: str, title: str | None) -> str:
    """An item for people: its title, where it has one, and its id."""
    return item if title is None else f"{title} ({item})"
