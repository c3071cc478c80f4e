"""All parts of the audit in one call, and what they say together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ensue.auditing.advice import Tested, advice, sized
from ensue.auditing.order import OrderTest, order_test
from ensue.events.audit import Audit, audit
from ensue.events.faults import faults
from ensue.events.findings import Finding, told
from ensue.events.leaks import leaks
from ensue.events.log import EventLog
from ensue.events.profile import Profile, profile
from ensue.progress import Progress, Silent


@dataclass(frozen=True)
class Examination:
    """The whole audit of a log. It holds no id of a user.

    Attributes:
        audit: what the log is, and all that is advised.
        profile: the same in detail.
        faults: what is wrong, and what was looked for in vain.
        leaks: what tells too much, likewise.
        order: what the order of events is worth; None if it was not tested.
        row_order: what the order of rows among equal times is worth; None if there are no ties, or it was not tested.
        test: how large the test of the advised split is.
    """

    audit: Audit
    profile: Profile
    faults: tuple[Finding, ...]
    leaks: tuple[Finding, ...]
    order: OrderTest | None
    row_order: OrderTest | None
    test: Tested

    def lines(self) -> list[str]:
        """The whole audit in plain lines, under five heads."""
        advised = [line for line in self.audit.lines() if line.startswith("advice: ")]
        return [
            "What it is",
            *_indented(self.what_it_is()),
            "What is wrong",
            *_indented(told(self.faults)),
            "What leaks",
            *_indented(told(self.leaks)),
            "Whether order says anything",
            *_indented(self._order_lines()),
            "What follows",
            *_indented(advised),
        ]

    def what_it_is(self) -> list[str]:
        """What the log is, in plain lines."""
        own = [line for line in self.audit.lines() if not line.startswith("advice: ")]
        return _merged(own, self.profile.lines())

    def _order_lines(self) -> list[str]:
        if self.order is None:
            return ["not tested"]
        lines = self.order.lines()
        if self.row_order is not None:
            lines += self.row_order.lines()
        return lines

    def to_json(self) -> dict[str, Any]:
        """The whole audit as plain values for `json.dumps`."""
        return {
            "audit": self.audit.to_json(),
            "profile": self.profile.to_json(),
            "faults": [finding.to_json() for finding in self.faults],
            "leaks": [finding.to_json() for finding in self.leaks],
            "order": None if self.order is None else self.order.to_json(),
            "row_order": None if self.row_order is None else self.row_order.to_json(),
            "test": dataclasses.asdict(self.test),
        }


def examine(
    log: EventLog, by: str = "user", *, order: bool = True, seed: int = 0, progress: Progress | None = None
) -> Examination:
    """The whole audit of a log: what it is, what is wrong, what leaks, whether order says anything, what follows.

    Args:
        log: the events.
        by: what a sequence is, "user" or "session".
        order: whether the shuffle test is made, which learns from shuffled copies of a sample.
        seed: of the sample, the shuffles and the intervals; same seed, same audit.
        progress: who is told how far it is.

    Raises:
        DataError: the log is empty.
        ColumnError: the log has no such column.

    Example:
        >>> from ensue.events.simulate import simulate
        >>> examine(simulate("markov", users=200, length=10)).order.verdict
        'matters'
    """
    progress = progress or Silent()
    with progress.task("audit", 4) as task:
        found = audit(log, by)
        task.advance(1, "details")
        shape = profile(log, by)
        task.advance(1, "faults")
        wrong = faults(log)
        task.advance(1, "leaks")
        telling = leaks(log)
        task.advance(1)
    whole = rows = None
    if order:
        seen = found.advised("exclude_seen") is True
        whole, rows = order_test(log, by, exclude_seen=seen, seed=seed, progress=progress)
    test = sized(log, str(found.advised("split")), by, whole)
    found = dataclasses.replace(found, advice=advice(found, shape, whole, rows, test))
    return Examination(found, shape, wrong, telling, whole, rows, test)


def _merged(measures: list[str], details: list[str]) -> list[str]:
    """The details after the measures, what repeats are made of right after how many there are."""
    place = next(number for number, line in enumerate(measures) if line.startswith("repeats: ")) + 1
    return [*measures[:place], details[0], *measures[place:], *details[1:]]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
