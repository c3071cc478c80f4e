"""`ensue evaluate`: a saved model on a log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import (
    Days,
    Json,
    Reading,
    Rule,
    Seed,
    TargetEvents,
    Targets,
    TargetSeed,
    Unit,
    count,
    folder,
    gathered,
    names,
)
from ensue.errors import ConfigError, EnsueError

if TYPE_CHECKING:
    from ensue.candidates import Candidates
    from ensue.events.log import EventLog
    from ensue.ranking import Recommender
    from ensue.splits import Examples, Split


class Chance(StrEnum):
    """How likely an item is to be drawn as a candidate."""

    uniform = "uniform"
    popularity = "popularity"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Whether targets are ranked among a few drawn items instead of all."""

    sampled: Annotated[
        int | None,
        typer.Option(
            parser=count,
            metavar="N",
            help="Rank each target among N drawn items only. Not comparable with full ranking. [default: all items]",
        ),
    ] = None
    sampled_by: Annotated[
        Chance, typer.Option(help="Draw every item as likely as any other, or by its training events.")
    ] = Chance.uniform
    candidates: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Parquet file of drawn items: reused where it exists, otherwise written for other tools and models.",
        ),
    ] = None


@gathered
def evaluate(
    run: Annotated[
        Path,
        typer.Argument(
            parser=folder, metavar="RUN", help="Folder of a run (its best model is taken) or of a model."
        ),
    ],
    events: Annotated[str, typer.Option(metavar="LOG", help="The log to evaluate on.")],
    reading: Reading,
    drawing: Drawing,
    split: Annotated[
        Rule | None, typer.Option(help="Test on the test part of this split. [default: see above]")
    ] = None,
    days: Days = None,
    targets: Annotated[
        Targets | None,
        typer.Option(
            help="Ask for every event that is tested, each user's last, one drawn, or one hidden item of each user's "
            "last basket, the rest of it open (completion). [default: as in the run]"
        ),
    ] = None,
    target_seed: TargetSeed = None,
    target_events: TargetEvents = "",
    by: Annotated[Unit | None, typer.Option(help="What a sequence is. [default: as in training]")] = None,
    metrics: Annotated[
        str, typer.Option(metavar="A,B,...", help="Such as ndcg@10,recall@20,auc. [default: the usual ones]")
    ] = "",
    exclude_seen: Annotated[
        bool | None,
        typer.Option(
            "--exclude-seen/--include-seen",
            help="Leave items of the history out of the ranking. [default: as in training]",
        ),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Evaluate a saved model on events it has not learnt from.

    Tested is, by default: on the log of the run itself, the test part of the run; on another log, every event later
    than what the model has learnt from; where no event is later, or nothing tells, every event. An event is asked for
    with all earlier events of its user as the history, so it needs at least one.

    Every item is ranked. With --sampled a target is ranked among a few drawn items, as some papers report: the same
    for every model and by the same seed, and marked as sampled wherever they are shown.
    """
    from ensue import ladder
    from ensue.cli import progress, terminal
    from ensue.evaluation import evaluate as measure
    from ensue.expected_ratings import has_ratings, rates
    from ensue.metrics import DEFAULT, metric
    from ensue.rating_evaluation import evaluate_ratings
    from ensue.suspicion import probe, suspicions

    wanted = [metric(name) for name in names(metrics)] or DEFAULT
    shown = progress.shown()
    recommender = ladder.load(run)
    log = ladder.load_log(reading.data(events), shown.say)
    for line in log.reading.lines():
        shown.say(line)
    learnt = recommender.facts.get("learnt") or {}
    parts, warning = tested(log, learnt, split, days, by, shown.say, names(target_events))
    if warning:
        shown.say(f"warning: {warning}")
    asked = parts.examples("test", recommender.catalogue, **asked_for(learnt, targets, target_seed))
    chosen = _candidates(drawing, recommender, asked, exclude_seen, seed)
    if chosen is not None:
        shown.say(f"warning: {chosen.sampling}")
    found = measure(
        recommender,
        asked,
        metrics=wanted,
        exclude_seen=exclude_seen,
        seed=seed,
        progress=shown,
        candidates=chosen,
        probabilities=chosen is None,
    )
    odd = probe(recommender, asked, ladder.reads(recommender))
    odd += suspicions(found) if chosen is None else ()  # few candidates are easily told from the target
    rated = None
    rating = rates(recommender)
    if rating is not None and asked.target_ratings is not None:
        before = parts.before_test
        known = before if has_ratings(before) else None
        rated = evaluate_ratings(rating, asked, training=known, seed=seed, progress=shown)
    if as_json:
        warnings = [warning, "" if found.sampled is None else str(found.sampled)]
        ratings = None if rated is None else rated.to_json()
        told = "; ".join(filter(None, warnings))
        terminal.emit({**found.to_json(), "ratings": ratings, "warning": told, "warnings": list(odd)})
        return
    more = [] if rated is None else ["", *rated.lines()]
    for line in [*found.lines(), *more, *(f"warning: {one}" for one in (warning, *odd) if one)]:
        terminal.out(line)


def _candidates(
    drawing: Drawing, recommender: Recommender, asked: Examples, exclude_seen: bool | None, seed: int
) -> Candidates | None:
    """What targets are ranked among: the candidates of a file, newly drawn ones, or None for all items.

    Raises:
        ConfigError: there is no such file and no number to draw, the file has another number, or cannot be written.
        DataError: the file is not one of candidates for what is asked.
    """
    from ensue.candidates import Candidates

    number, path = drawing.sampled, drawing.candidates
    if path is not None and path.exists():
        found = Candidates.read(path, asked, recommender.catalogue)
        if number not in (None, found.number):
            raise ConfigError(
                f"{path} holds {found.number} candidates for each target, and --sampled asks for {number}: leave "
                "--sampled out, or name another file."
            )
        return found
    if number is None:
        if path is None:
            return None
        raise ConfigError(
            f"There is no file {path}: say how many candidates to draw for it, as in --sampled 100."
        )
    rule = recommender.exclude_seen if exclude_seen is None else exclude_seen
    found = Candidates.sampled(asked, recommender.catalogue, number, seed, rule, drawing.sampled_by.value)
    if path is not None:
        found.write(path)
    return found


def tested(
    log: EventLog,
    learnt: Mapping[str, Any],
    rule: Rule | None,
    days: float | None,
    by: Unit | None,
    say: Callable[[str], None],
    targets: Sequence[str],
) -> tuple[Split, str]:
    """Which events are tested, and a warning if the model may have learnt from some of them.

    Args:
        log: the events.
        learnt: what the model says of its training, `ladder.learnt`.
        rule: the split asked for, if any.
        days: of the rule "days": how many last days are tested; None as in the run, or one.
        by: what a sequence is, if it was said.
        say: is told how the log is treated: as that of the training was.
        targets: types of events that are asked for; none takes those of the training.

    Raises:
        ConfigError: days are given for another rule.
        EnsueError: the log cannot be split so.
    """
    import numpy as np

    from ensue.events.audit import audit
    from ensue.events.shaping import Shape
    from ensue.objective import Objective
    from ensue.splits import TEST, Split, check, split_as

    sequences = learnt.get("sequences", {})
    unit = by.value if by is not None else sequences.get("by", "user")
    log = Shape.learnt(sequences).apply(log, say)
    objective = Objective.learnt(learnt)
    if targets:
        objective = replace(objective, targets=tuple(targets))
        if faults := objective.faults():
            raise ConfigError(faults[0])
    objective.check(log)
    heard = objective.heard(log)
    used = learnt.get("split")
    if used and used["rule"] == "friends" and not heard.has_time:
        with suppress(EnsueError):  # the log of such a split has its events in an order of its own
            heard = split_as(heard, used, unit).log
    used = used if learnt.get("log") == heard.fingerprint() else None
    name = str(audit(log, unit).advised("split")) if rule is Rule.auto else rule and rule.value
    if days is not None and name != "days":
        raise ConfigError(
            f"--days {days:g} is of the split by days, and {f'--split {name}' if name else 'none'} is asked for: add "
            "--split days, or leave it out."
        )
    same = used is not None and used["rule"] == name and days in (None, used.get("days"))
    if name and not same:
        parts = objective.split(log, {"rule": name} | ({} if days is None else {"days": days}), unit)
        return parts, _overlap(parts.log, learnt, parts.part == TEST)
    if used:
        return objective.split(log, used, unit), ""
    until = learnt.get("until")
    if until is not None and log.has_time:
        later = (log.frame["time"] > datetime.fromisoformat(until)).to_numpy()
        if later.any():
            part = np.where(later, TEST, 0).astype(np.uint8)
            after = Split(log, part, f"events after {until}, where the model's training ends", unit)
            return objective.aimed(after), "; ".join(check(after))
    whole = objective.aimed(Split(log, np.full(log.n_events, TEST, dtype=np.uint8), "every event", unit))
    return whole, _overlap(whole.log, learnt, whole.part == TEST)


def asked_for(learnt: Mapping[str, Any], targets: Targets | None, seed: int | None) -> dict[str, Any]:
    """Which targets are asked for, and the seed of drawn ones: as in the run, where nothing else is said.

    Args:
        learnt: what the model says of its training, `ladder.learnt`.
        targets: those that are wanted.
        seed: that of the draw.
    """
    return {
        "targets": learnt.get("targets", Targets.successive.value) if targets is None else targets.value,
        "seed": learnt.get("target_seed", 0) if seed is None else seed,
    }


def _overlap(log: EventLog, learnt: Mapping[str, Any], tested: Any) -> str:
    """A warning if tested events may have been learnt from, or ""."""
    if learnt.get("log") == log.fingerprint():
        return "the model has learnt from events of this very log: the figures flatter it"
    until = learnt.get("until")
    if until is None or not log.has_time:
        return (
            "nothing tells whether the model has learnt from these events; if it has, the figures flatter it"
        )
    early = int((log.frame["time"].filter(tested) <= datetime.fromisoformat(until)).sum())
    if not early:
        return ""
    return (
        f"{early:,} of the {int(tested.sum()):,} tested events are not later than {until}, where the model's training "
        "ends; if it has learnt from them, the figures flatter it"
    )
