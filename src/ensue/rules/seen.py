"""What a question's own history may do in the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ensue.rules.columns import Columns
from ensue.rules.rule import AskedFilter, Change, Request, Row


@dataclass(frozen=True)
class Seen(AskedFilter):
    """Items of the whole history: left out, let in, or nothing but them. It takes the place of the model's own rule.

    Attributes:
        items: "exclude", "allow" or "repeats".
    """

    name: ClassVar[str] = "seen"
    single: ClassVar[bool] = True

    items: Literal["exclude", "allow", "repeats"]

    def ready(self, columns: Columns) -> Change:
        """What leaves out items of the history, or all others."""
        return {"exclude": _exclude, "allow": _allow, "repeats": _repeats}[self.items]


def _exclude(row: Row, request: Request) -> None:
    row[request.history] = -np.inf


def _allow(row: Row, request: Request) -> None:
    pass


def _repeats(row: Row, request: Request) -> None:
    kept = row[request.history]
    row.fill(-np.inf)
    row[request.history] = kept
