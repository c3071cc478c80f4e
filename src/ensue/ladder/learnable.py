"""What of a run's log is learnt from, once its filters are fitted: of the training part, and of all before the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ensue.events.filtering import Fitted
from ensue.events.log import EventLog
from ensue.experiment import Experiment
from ensue.progress import Progress, Silent


@dataclass(frozen=True, eq=False)
class Learnable:
    """The events that are learnt from.

    Attributes:
        train: of the training part.
        before_test: of all before the test, by filters that are fitted anew on it where models are refitted.
        filtered: what the filters did, by the name of what they were fitted on; empty without any.
    """

    train: EventLog
    before_test: EventLog
    filtered: Mapping[str, Fitted] = field(default_factory=dict)

    @classmethod
    def of(
        cls, experiment: Experiment, train: EventLog, before_test: EventLog, progress: Progress | None = None
    ) -> Learnable:
        """What is learnt from by the filters of an experiment.

        Args:
            experiment: its filters, and whether its models are refitted.
            train: the events of the training part.
            before_test: all events before the test.
            progress: is told what each filter did.

        Raises:
            DataError: a filter leaves nothing.
        """
        progress = progress or Silent()
        filters = experiment.filters
        first, fitted = filters.learnable(train, lambda line: progress.say(f"train: {line}"))
        if not experiment.refit:
            return cls(first, fitted.learnt_from(before_test), {"train": fitted} if fitted.steps else {})
        last, again = filters.learnable(before_test, lambda line: progress.say(f"before test: {line}"))
        return cls(first, last, {"train": fitted, "before_test": again} if fitted.steps else {})

    def tested(self, test: EventLog) -> str:
        """What the filters mean for the test, in words; "" without any.

        Args:
            test: the tested events. They all stay.
        """
        fitted = self.filtered.get("before_test", self.filtered.get("train"))
        if fitted is None:
            return ""
        found = fitted.later(test)
        return (
            f"test: {found['cold']:,} events are on items that are not learnt from, and misses; "
            f"{found['not_learnt_from']:,} are of users that are not learnt from, and asked about by their histories"
        )
