"""A log with a part for every event: what is learnt from, what is asked for, and the questions that follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, DataError, LeakError, nearest
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.sequences import units
from ensue.splits.completion import COMPLETION, completions
from ensue.splits.targets import TARGETS, examples_at, with_history

TRAIN, VALIDATION, TEST, UNUSED = 0, 1, 2, 3
PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
"""The parts that are learnt from or asked for; an unused event is neither, and stands in histories at most."""

LEAKS = "training holds events that are later than other users' test events"
"""What a split that cuts each sequence by itself lets training see."""


@dataclass(frozen=True, eq=False)
class Split:
    """A log with a part for every event.

    Attributes:
        log: all events.
        part: `[E]` 0 train, 1 validation, 2 test, 3 unused, aligned with `log.frame`.
        name: the rule, in words, with its cuts.
        by: "user" or "session": what a sequence is.
        leaks: what this rule lets training see of the future, or "" if nothing.
        notes: counts that the rule set aside or left in training, and warnings.
        short: sequences that are too short for a test event.
        until: `[E]` place in the log before which the history of a target ends, -1 for an event that is no target; None
            ends it just before the target.
        held_out: the column no value of which stands in two parts, "user" or "item"; "" if the rule goes by none.
    """

    log: EventLog
    part: NDArray[np.uint8]
    name: str
    by: str = "user"
    leaks: str = ""
    notes: tuple[str, ...] = ()
    short: int = 0
    until: Ints | None = None
    held_out: str = ""

    def __post_init__(self) -> None:
        if len(self.part) != self.log.n_events:
            raise DataError(
                f"{len(self.part)} parts for {self.log.n_events} events: every event needs one part."
            )
        strange = int(((self.part < TRAIN) | (self.part > UNUSED)).sum())
        if strange:
            raise DataError(
                f"{strange} of {self.log.n_events} events are in no part: give each 0 (train), 1 (validation), 2 (test)"
                " or 3 (unused)."
            )
        if self.until is not None:
            _check_ends(self.log, self.by, self.until)

    @property
    def train(self) -> EventLog:
        """The training events."""
        return self.log.where(self.part == TRAIN)

    @property
    def before_test(self) -> EventLog:
        """Training and validation events together: what a model is refitted on."""
        return self.log.where((self.part == TRAIN) | (self.part == VALIDATION))

    @property
    def sizes(self) -> dict[str, int]:
        """Events in each part, and the unused ones if there are any; they add up to the log."""
        found = {name: int((self.part == code).sum()) for name, code in PARTS.items()}
        unused = int((self.part == UNUSED).sum())
        return found | ({"unused": unused} if unused else {})

    def n_targets(self, part: str) -> int:
        """How many examples `examples` would give, all targets taken."""
        return len(with_history(units(self.log, self.by), self.asked(part), self.until)[0])

    def asked(self, part: str) -> Ints:
        """Places in the log of the targets of a part, with or without a history.

        Raises:
            ConfigError: there is no such part.
        """
        if part not in PARTS:
            raise ConfigError(
                f"There is no part '{part}': take one of {', '.join(PARTS)}.{nearest(part, PARTS)}"
            )
        mine = self.part == PARTS[part]
        return np.flatnonzero(mine if self.until is None else mine & (self.until >= 0))

    def examples(
        self, part: str, catalogue: Catalogue, targets: str = "successive", *, seed: int = 0
    ) -> Examples:
        """The targets of one part, each with all that came before it in its sequence.

        Args:
            part: "validation" or "test" ("train" gives the training targets).
            catalogue: the items that the model knows.
            targets: "successive" (every event of the part), "last" (the last of each sequence's part), "random" (one
                of each sequence's part), or "completion" (one hidden item of each user's last basket in the part, the
                rest of it open).
            seed: of the random ones.
        """
        chosen = self.asked(part)
        if targets not in TARGETS:
            raise ConfigError(
                f"There are no targets '{targets}': take one of {', '.join(TARGETS)}.{nearest(targets, TARGETS)}"
            )
        if targets == COMPLETION:
            return completions(
                self.log, chosen, catalogue, by=self.by, protocol=f"{self.name}, {part}", seed=seed
            )
        protocol = f"{self.name}, {part}, {targets} targets" + (
            f" (seed {seed})" if targets == "random" else ""
        )
        return examples_at(
            self.log,
            chosen,
            catalogue,
            by=self.by,
            targets=targets,
            protocol=protocol,
            until=self.until,
            seed=seed,
        )


def _check_ends(log: EventLog, by: str, until: Ints) -> None:
    """Raises an error unless every history ends in its target's own sequence, at the target or before it."""
    if len(until) != log.n_events or (len(until) and int(until.max()) >= log.n_events):
        raise DataError(
            f"{len(until)} ends of histories for {log.n_events} events: give each event a place in the log, or -1."
        )
    unit = units(log, by)
    places = unit.places
    sequence = np.searchsorted(unit.offsets, places, side="right") - 1
    asked = np.flatnonzero(until >= 0)
    ends = until[asked]
    beyond = (places[ends] > places[asked]) | (sequence[ends] != sequence[asked])
    if beyond.any():
        raise LeakError(
            f"{int(beyond.sum())} of {len(asked)} targets would be asked with a history that holds the target itself, "
            f"or what comes after it: end each history at its target, or before it, in the same {by}."
        )
