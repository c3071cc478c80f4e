"""The parts of a run's log: shaped, audited and split as the experiment says, with every automatic choice made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ensue.events.audit import Audit, audit
from ensue.events.log import EventLog
from ensue.experiment import DEFAULT_LADDER, Experiment
from ensue.progress import Progress
from ensue.splits import Split


@dataclass(frozen=True, eq=False)
class Parted:
    """What a run begins with.

    Attributes:
        experiment: with every automatic choice made.
        log: all events, shaped; the split holds those that are learnt from and tested on.
        audit: what that log is.
        split: which events are which part.
    """

    experiment: Experiment
    log: EventLog
    audit: Audit
    split: Split


def parted(experiment: Experiment, log: EventLog, progress: Progress) -> Parted:
    """A log as an experiment shapes, audits and splits it; what was found and chosen is said.

    Args:
        experiment: what to do.
        log: as it was read.
        progress: who is told.

    Raises:
        EnsueError: nothing is left to learn from, or a rule cannot be kept.
    """
    for line in log.reading.lines():
        progress.say(line)
    by, shape = experiment.sequences.by, experiment.shape
    shape.said(by)  # a rule that no model could keep is refused before any work
    log = shape.apply(log, progress.say)
    found = audit(log, by)
    for line in found.lines():
        progress.say(line)
    objective = experiment.objective
    if objective:
        objective.check(log)
        for line in objective.lines(log):
            progress.say(line)
    experiment = settled(experiment, found, log, progress)
    parts = objective.split(log, asdict(experiment.split), by)
    progress.say(
        f"split: {parts.name}; " + ", ".join(f"{size:,} {name}" for name, size in parts.sizes.items())
    )
    for note in (*parts.notes, *([f"this split leaks: {parts.leaks}"] if parts.leaks else [])):
        progress.say(f"split: {note}")
    return Parted(experiment, log, found, parts)


def settled(experiment: Experiment, found: Audit, log: EventLog, progress: Progress) -> Experiment:
    """The experiment with every automatic choice made.

    Args:
        experiment: as it was asked for.
        found: the audit of its log.
        log: what was audited; an objective goes by its targets, and not by all events.
        progress: is told what is chosen otherwise than by the audit.
    """
    models = experiment.models or {name: {} for name in DEFAULT_LADDER}
    chosen = "temporal" if experiment.split.windows else found.advised("split")
    rule: Any = chosen if experiment.split.rule == "auto" else experiment.split.rule
    seen = experiment.evaluation.exclude_seen
    if seen == "auto":
        seen = bool(found.advised("exclude_seen"))
        if experiment.objective.typed:
            seen, why = experiment.objective.exclusion(log, experiment.sequences.by)
            progress.say(f"objective: exclude_seen = {str(seen).lower()}, since {why}")
    return replace(
        experiment,
        models=models,
        split=replace(experiment.split, rule=rule),
        evaluation=replace(experiment.evaluation, exclude_seen=seen),
    )
