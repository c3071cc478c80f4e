"""Options that say what is done with a log before anything is learnt from it, and what is predicted from what."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import TargetEvents, count, names
from ensue.errors import ConfigError

if TYPE_CHECKING:
    from ensue.events.shaping import Shape
    from ensue.objective import Objective


class Duplicates(StrEnum):
    """What is done about exact duplicates."""

    keep = "keep"
    first = "first"


class Repeats(StrEnum):
    """What is done about events on an item that the user had before."""

    keep = "keep"
    first = "first"
    last = "last"
    collapse = "collapse"


class Returns(StrEnum):
    """What is done about returns."""

    keep = "keep"
    drop = "drop"
    cancel = "cancel"


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """What is done with a log before anything is learnt from it; an experiment file can say more."""

    sessions: Annotated[
        str,
        typer.Option(
            metavar="RULE,...",
            help="How sessions are cut: day, week, month, gap:1800, closing:purchase, starts:COLUMN=VALUE, "
            "changes:COLUMN, given; with limits max:EVENTS, longest:SECONDS.",
        ),
    ] = ""
    min_session: Annotated[
        int | None, typer.Option(parser=count, metavar="N", help="Set sessions of fewer events aside.")
    ] = None
    keep_events: Annotated[
        str, typer.Option(metavar="A,B,...", help="Event types that count. [default: all]")
    ] = ""
    min_rating: Annotated[
        str, typer.Option(metavar="RATING", help="Only events with at least this rating count.")
    ] = ""
    since: Annotated[str, typer.Option(metavar="DATE", help="Earlier events do not count.")] = ""
    until: Annotated[
        str, typer.Option(metavar="DATE", help="Later events do not count; a date holds its whole day.")
    ] = ""
    min_user_events: Annotated[
        int | None,
        typer.Option(parser=count, metavar="N", help="Learn from users with so many training events."),
    ] = None
    min_item_events: Annotated[
        int | None,
        typer.Option(parser=count, metavar="N", help="Learn from items with so many training events."),
    ] = None
    duplicates: Annotated[
        Duplicates | None,
        typer.Option(help="Events that come again in all that ensue reads. [default: keep]"),
    ] = None
    repeats: Annotated[
        Repeats | None, typer.Option(help="Events on an item that the user had before. [default: keep]")
    ] = None
    returns: Annotated[
        Returns | None, typer.Option(help="Leave returns out, or cancel what they return. [default: keep]")
    ] = None

    def content(self) -> dict[str, dict[str, Any]]:
        """What was given, as the tables `[sessions]`, `[filters]` and `[events]` of an experiment file."""
        from ensue.events.sessions.text import sessions_of

        sessions = sessions_of(self.sessions)
        if self.min_session is not None:
            sessions["min_events"] = self.min_session
        filters: dict[str, Any] = {
            "since": self.since or None,
            "until": self.until or None,
            "keep_events": names(self.keep_events) or None,
            "min_rating": None if not self.min_rating else _rating(self.min_rating),
            "min_user_events": self.min_user_events,
            "min_item_events": self.min_item_events,
        }
        events = {"duplicates": self.duplicates, "repeats": self.repeats, "returns": self.returns}
        return {
            "sessions": sessions,
            "filters": {name: value for name, value in filters.items() if value is not None},
            "events": {name: value.value for name, value in events.items() if value is not None},
        }

    def given(self) -> list[str]:
        """The names of the options that were given."""
        found = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(Shaping)}
        return [f"--{name.replace('_', '-')}" for name, value in found.items() if value not in ("", None)]

    def shape(self, session_gap: float) -> Shape:
        """What is done with the log.

        Args:
            session_gap: a gap that an option of its own gives; 0 for none.

        Raises:
            ConfigError: something cannot be; all faults are listed.
        """
        from ensue.experiment import experiment_of

        sequences = {"sequences": {"session_gap": session_gap}}
        return experiment_of({**sequences, **self.content()}, "The command line").shape


@dataclass(frozen=True, kw_only=True)
class Aiming:
    """What is predicted from what."""

    target_events: TargetEvents = ""
    input_events: Annotated[
        str,
        typer.Option(
            metavar="A,B,...", help="Event types that stand in histories, targets among them. [default: all]"
        ),
    ] = ""
    event_weights: Annotated[
        str,
        typer.Option(
            metavar="A=WEIGHT,...",
            help="How much types count in training, such as view=0.2. [default: 1 for targets, else 0]",
        ),
    ] = ""

    def aims(self) -> dict[str, Any]:
        """What was given, as the table `[objective]` of an experiment file.

        Raises:
            ConfigError: a weight is no number.
        """
        weights: dict[str, float] = {}
        for text in names(self.event_weights):
            name, _, value = text.rpartition("=")
            try:
                weights[name.strip()] = float(value)
            except ValueError:
                name = ""
            if not name:
                raise ConfigError(f"--event-weights: '{text}' is not TYPE=WEIGHT, such as view=0.2.")
        given = {
            "inputs": names(self.input_events),
            "targets": names(self.target_events),
            "weights": weights,
        }
        return {name: value for name, value in given.items() if value}

    def objective(self) -> Objective:
        """What was given, checked.

        Raises:
            ConfigError: something cannot be; all faults are listed.
        """
        from ensue.experiment import experiment_of

        return experiment_of({"objective": self.aims()}, "The command line").objective


def _rating(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--min-rating: '{text}' is not a number.") from None
