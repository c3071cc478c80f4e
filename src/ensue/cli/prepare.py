"""`ensue data prepare`: a log as a folder that models are trained from without holding its events in memory."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import By, ExcludeSeen, Json, SessionGap, Source, Unit, gathered, number
from ensue.cli.shaping import Aiming, Shaping
from ensue.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ensue.bounded import Wanted
    from ensue.events.audit import Audit
    from ensue.events.log import EventLog
    from ensue.events.shaping import Shape
    from ensue.experiment import Data
    from ensue.objective import Objective
    from ensue.progress import Progress
    from ensue.splits import Split

EVENTS_AT_ONCE = 500_000
"""About how many simulated events are in memory together."""


class Kept(StrEnum):
    """Which events are kept apart to stop early on."""

    auto = "auto"
    temporal = "temporal"
    last = "last"
    ratio = "ratio"
    none = "none"


@gathered
def prepare(
    source: Source,
    shaping: Shaping,
    aiming: Aiming,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder: new, empty, or prepared before.")],
    split: Annotated[
        Kept, typer.Option(help="How events are kept apart for a network to stop early on.")
    ] = Kept.auto,
    share: Annotated[
        float,
        typer.Option(
            parser=number, metavar="SHARE", help="Of the events (temporal) or of each user's (ratio)."
        ),
    ] = 0.1,
    by: By = Unit.user,
    session_gap: SessionGap = 0.0,
    exclude_seen: ExcludeSeen = None,
    as_json: Json = False,
) -> None:
    """Write a log as a folder to train from, whose events need not fit into memory.

    `ensue train OUT --model NAME` maps its arrays into memory. Events kept apart are asked about after each epoch, and
    never learnt from: at most 5,000 of them are in the folder. What is predicted from what is settled here, too.
    """
    from ensue import ladder, prepared, preparing
    from ensue.bounded import Wanted
    from ensue.cli import progress
    from ensue.events.audit import audit
    from ensue.model import Training

    shown, shape, objective = progress.shown(), shaping.shape(session_gap), aiming.objective()
    if not objective and _in_parts(source.data(source.log), shape):
        cut = shape.sessions if shape.sessions != type(shape.sessions)() else None
        wanted = Wanted(split.value, share, by.value, cut, exclude_seen, shape.said(by.value))
        _by_parts(source.data(source.log), out, wanted, shown)
        _told(out, prepared.describe(out), as_json)
        return
    log = ladder.load_log(source.data(source.log), shown.say)
    for line in log.reading.lines():
        shown.say(line)
    log = shape.apply(log, shown.say)
    found = audit(log, by.value)
    seen = bool(found.advised("exclude_seen")) if exclude_seen is None else exclude_seen
    if objective:
        objective.check(log)
        for line in objective.lines(log):
            shown.say(line)
        if exclude_seen is None and objective.typed:
            seen, why = objective.exclusion(log, by.value)
            shown.say(f"objective: exclude_seen = {str(seen).lower()}, since {why}")
    parts = _parts(log, found, split, share, objective)
    log = objective.heard(log)
    sequences = shape.said(by.value)
    before = log if parts is None else parts.train
    training = Training.of(shape.filters.learnable(before, shown.say)[0], by.value, seen, objective)
    if parts is None:
        words, learnt = "every event", ladder.learnt(log, log, sequences, objective=objective)
    else:
        words = parts.name
        training = replace(training, validation=parts.examples("test", training.catalogue))
        learnt = ladder.learnt(log, parts.train, sequences, objective=objective)
        for note in (*parts.notes, *([f"this split leaks: {parts.leaks}"] if parts.leaks else [])):
            shown.say(f"split: {note}")
    preparing.write(training, out, split=words, facts={"learnt": learnt})
    _told(out, prepared.describe(out), as_json)


def _in_parts(data: Data, shape: Shape) -> bool:
    """Whether a log is prepared part by part: a file, folder or database that nothing is filtered out of.

    Filters look at all of a log, and cleaning and short sessions count what they set aside: they hold it in memory.
    """
    from ensue.events.readers.sql import is_address
    from ensue.events.shaping import Shape

    plain = Shape(sessions=replace(shape.sessions, min_events=0))
    return shape == plain and (is_address(data.source) or Path(data.source).expanduser().exists())


def _by_parts(data: Data, out: Path, wanted: Wanted, shown: Progress) -> None:
    """Prepares a log with little more than one of its parts in memory; what it needs on disk lies beside the folder."""
    import shutil

    from ensue import bounded, ladder, placing
    from ensue.events.source import Stream
    from ensue.events.spilled import spill

    stream = Stream(data.source, **ladder.reading(data))
    work = placing.workshop(out)
    try:
        with shown.task("reading", 2 * stream.about()) as task:
            log = spill(stream, work, tell=lambda count: task.advance(count, f"{stream.rows:,} rows"))
        for line in log.reading.lines():
            shown.say(line)
        with shown.task("preparing", (2 if wanted.split == "none" else 3) * log.n_events) as task:
            bounded.prepare(log, out, wanted, say=shown.say, tell=task.advance)
    except OSError as fault:
        raise DataError(f"{work.parent} cannot hold what is read: {fault.strerror or fault}.") from fault
    finally:
        shutil.rmtree(work, ignore_errors=True)


def simulated(
    name: str,
    out: Path,
    users: int | None,
    length: int | None,
    knobs: Mapping[str, Any],
    seed: int,
    as_json: bool,
) -> None:
    """Writes a prepared folder of simulated events, users in chunks that are made one after the other.

    Every chunk is a log of the source on its own, from a seed that follows from the seed and its number.

    Args:
        name: of the source.
        out: the folder.
        users: how many; None as the source has it.
        length: the longest history; None as the source has it.
        knobs: of the source.
        seed: same seed, same bits.
        as_json: write JSON only.
    """
    import numpy as np
    import polars as pl

    from ensue import prepared, preparing
    from ensue.catalogue import Catalogue
    from ensue.cli import progress
    from ensue.events.simulate import source
    from ensue.sequences import Sequences

    made = source(name, **knobs)
    users = made.users if users is None else users
    if users < 1:
        raise ConfigError(f"{name}: users is {users}, and must be a whole number from 1 up.")
    ids = pl.Series("item", made.item_ids, dtype=pl.String)
    numbered = Catalogue(ids, np.zeros(len(ids), dtype=np.int64))
    at_once = max(EVENTS_AT_ONCE // max(made.length if length is None else length, 1), 1)
    digits, until = len(str(users - 1)), None
    with preparing.Writer(out) as writer, progress.shown().task(f"simulating {name}", users) as task:
        for chunk, first in enumerate(range(0, users, at_once)):
            count = min(at_once, users - first)
            own = np.random.SeedSequence([seed, 6, chunk]).generate_state(1, np.uint64)
            log = made.log(count, length, int(own[0]))
            latest = log.frame["time"].max()
            until = latest if until is None else max(until, latest)  # type: ignore[type-var]
            keys = pl.int_range(first, first + count, eager=True).cast(pl.String).str.zfill(digits)
            keys = ("u" + keys).rename("user")
            writer.add(replace(Sequences.of(log, numbered), keys=keys, users=keys))
            task.advance(count)
        catalogue, codes = writer.fitted(ids)
        learnt = {
            "log": "",
            "events": writer.events,
            "until": until.isoformat(),  # type: ignore[union-attr]
            "sequences": {"by": "user", "session_gap": 0.0},
            "split": None,
        }
        facts = {"learnt": learnt, "source": repr(made), "seed": seed, "users_at_once": at_once}
        writer.finish(catalogue, codes=codes, exclude_seen=False, split="every event", facts=facts)
    _told(out, prepared.describe(out), as_json)


def _parts(log: EventLog, found: Audit, split: Kept, share: float, objective: Objective) -> Split | None:
    """The log in two, what is learnt from and what is kept apart (the test part of a split); None keeps nothing."""
    rule = str(found.advised("split")) if split is Kept.auto else split.value
    if rule == "none":
        return None
    shares: dict[str, Any] = {"validation": False} if rule == "last" else {"test": share, "validation": 0.0}
    return objective.split(log, {"rule": rule, **shares}, found.by)


def _told(out: Path, said: Mapping[str, Any], as_json: bool) -> None:
    """Says what a prepared folder holds."""
    from ensue.cli import terminal

    if as_json:
        terminal.emit({"folder": str(out), **said})
        return
    asked = said["validation"]
    size = sum(entry["bytes"] for entry in said["files"].values())
    terminal.out(
        f"{said['events']:,} events of {said['sequences']:,} sequences on {said['items']:,} items are in {out}, "
        f"{size / 2**20:,.1f} MiB: {said['split']}."
    )
    terminal.out(
        f"{asked['targets']:,} targets are kept apart to stop early on."
        if asked
        else "Nothing is kept apart to stop early on: say how many epochs a network trains."
    )
    terminal.out(f"Fingerprint: {said['fingerprint']}")
    terminal.out("Next, type:")
    epochs = "" if asked else " --set epochs=1"
    terminal.out(f"  ensue train {shlex.quote(str(out))} --model lstm{epochs}", fold=False)
