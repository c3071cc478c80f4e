"""What a replay found: figures offline and online, side by side, and whether they are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ensue.errors import ModelError
from ensue.evaluation import Evaluation
from ensue.figures import Figures


@dataclass(frozen=True)
class Agreement:
    """How many questions were answered online as offline. `same + close + differ` are all of them.

    Attributes:
        same: the target stood at the very same place of the slate, or was in neither.
        close: it stood elsewhere among items whose scores are equal, or too close to tell.
        differ: it stood elsewhere, and scores do not say why.
        tied: of all, those whose target shares its score with another candidate, or all but shares it.
        histories: asked online with a history of another length than the log has.
        ahead: events that the store placed at their arrival, since their times lie in the future.
    """

    same: int
    close: int
    differ: int
    tied: int
    histories: int
    ahead: int = 0

    @property
    def questions(self) -> int:
        """All."""
        return self.same + self.close + self.differ

    def to_json(self) -> dict[str, int]:
        """The counts for programs."""
        names = ("questions", "same", "close", "differ", "tied", "histories", "ahead")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Cost:
    """What answers took, from the reading of the state to the slate.

    Attributes:
        p50: half of the answers took no longer, in milliseconds.
        p99: 99 in 100 took no longer.
        rate: questions a second, with all that was told to the store between them.
        events: that the store was told between the questions.
    """

    p50: float
    p99: float
    rate: float
    events: int

    def to_json(self) -> dict[str, float]:
        """The cost for programs."""
        return {
            "p50_ms": round(self.p50, 4),
            "p99_ms": round(self.p99, 4),
            "questions_per_second": round(self.rate, 1),
            "events": self.events,
        }


@dataclass(frozen=True, eq=False)
class Available:
    """The same questions, asked of the catalogue as it stood then.

    Attributes:
        figures: online.
        withdrawn: items that had not come when the first question was asked.
        shown: questions whose slate would have shown such an item.
    """

    figures: Figures
    withdrawn: int
    shown: int

    def to_json(self) -> dict[str, Any]:
        """The figures for programs."""
        return {**self.figures.to_json(), "withdrawn": self.withdrawn, "shown": self.shown}


@dataclass(frozen=True, eq=False)
class Replay:
    """What the model reached that was driven through the test as it serves.

    Attributes:
        offline: what `evaluate` says of the same questions, with mid-ranks for ties.
        online: the same metrics, over the slates that were served.
        low: by the name of a metric, what it is if ties and scores too close to tell fall as badly as they can.
        high: if they fall as well as they can.
        agreement: question by question.
        cost: of the answers.
        available: with the catalogue as it stood then, where that was asked for.
    """

    offline: Evaluation
    online: Figures
    low: Mapping[str, float]
    high: Mapping[str, float]
    agreement: Agreement
    cost: Cost
    available: Available | None = None

    @property
    def agrees(self) -> bool:
        """Whether offline and online differ in nothing but ties."""
        return self.agreement.differ == 0

    def difference(self, name: str) -> float:
        """Online less offline, of a metric such as "ndcg@10"."""
        return self.online.value(name) - self.offline.value(name)

    def check(self) -> None:
        """Nothing, if what was measured is what is served.

        Raises:
            ModelError: it is not.
        """
        if not self.agrees:
            raise ModelError(self._fault())

    def to_json(self) -> dict[str, Any]:
        """The replay for programs; it holds no id of a user."""
        return {
            "model": self.offline.model,
            "protocol": self.offline.protocol,
            "exclude_seen": self.offline.exclude_seen,
            "agrees": self.agrees,
            "users": self.online.users,
            "metrics": {
                name: {
                    "offline": self.offline.value(name),
                    "online": self.online.value(name),
                    "difference": self.difference(name),
                    "low": self.low[name],
                    "high": self.high[name],
                }
                for name in self.offline.metrics
            },
            "agreement": self.agreement.to_json(),
            "cost": self.cost.to_json(),
            "available": None if self.available is None else self.available.to_json(),
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A table with a head: metric, offline, online, difference, by ties alone, catalogue as it stood."""
        head = ("metric", "offline", "online", "difference", "by ties alone")
        table: list[tuple[str, ...]] = [head if self.available is None else (*head, "catalogue as it stood")]
        for name in self.offline.metrics:
            base = self.offline.value(name)
            cells = [name, f"{base:.4f}", f"{self.online.value(name):.4f}", _signed(self.difference(name))]
            cells.append(f"{_signed(self.low[name] - base)} to {_signed(self.high[name] - base)}")
            if self.available is not None:
                cells.append(f"{self.available.figures.value(name):.4f}")
            table.append(tuple(cells))
        return table

    def notes(self) -> list[str]:
        """What the table means, in lines."""
        found, cost = self.agreement, self.cost
        same = f"{found.same:,} of {found.questions:,} questions have the target at the very same place"
        lines = [
            f"{same}, {found.close:,} elsewhere among equal scores"
            if found.close
            else f"{same} of the slate, online as offline",
            f"ties: {found.tied:,} targets share their score with another item; offline takes the middle of them, a "
            "slate the order of the catalogue",
            f"an answer takes {cost.p50:.2f} ms (half of them) to {cost.p99:.2f} ms (99 in 100), the history read from "
            f"the store each time; {cost.rate:,.0f} questions a second with {cost.events:,} events told between them",
        ]
        if found.histories:
            lines.append(
                f"{found.histories:,} questions were asked with a history of another length than the log has"
            )
        if found.ahead:
            lines.append(f"{found.ahead:,} events lie in the future, and were placed at their arrival")
        if self.available is not None:
            lines.append(
                f"catalogue as it stood: {self.available.withdrawn:,} items came after the first question; "
                f"{self.available.shown:,} slates would have shown one before it came"
            )
        return lines if self.agrees else [*lines, f"OFFLINE AND ONLINE DIFFER: {self._fault()}"]

    def lines(self) -> list[str]:
        """The replay as plain text."""
        table = self.rows()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        rows = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
        return [f"{self.offline.model}: {self.offline.protocol}", *rows, *self.notes()]

    def _fault(self) -> str:
        """What differs, and where to look."""
        found = self.agreement
        said = (
            f"{found.differ:,} of {found.questions:,} questions are answered otherwise online than they were measured "
            "offline"
        )
        if found.histories:
            return (
                f"{said}; {found.histories:,} were asked with a history of another length than the log has: the store "
                "has lost, cut or doubled events (it holds so many of one history at most, see its limits)."
            )
        if found.ahead:
            return f"{said}; {found.ahead:,} events were placed at their arrival: mend times that lie in the future."
        return (
            f"{said}, with histories of the same length: the model reads something that a question does not hold when "
            "it is asked, such as what comes after it."
        )


def _signed(value: float) -> str:
    """A difference for a table; exactly 0 has no sign."""
    return f"{value:+.4f}" if abs(value) >= 5e-5 else "0" if value == 0 else f"{value:+.0e}"
