"""The whole report of a run, put together and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from ensue.errors import ArtifactError
from ensue.report.blocks import Heading, Part, Report, Words
from ensue.reporting.baskets import baskets
from ensue.reporting.detail import curves, probabilities, segments, slates
from ensue.reporting.doubts import doubts
from ensue.reporting.learning import learning
from ensue.reporting.origin import configuration, data, examples, moment, repeating
from ensue.reporting.reading import Absent, Run, read_run
from ensue.reporting.sparsity import sparsity
from ensue.reporting.standing import costs, facts_of, lead, models, verdict
from ensue.run_folder import REPEAT, REPORT, RESULTS
from ensue.tracks import APART, SAID

T = TypeVar("T")


def apart(part: Callable[[Run], Part | Absent]) -> Callable[[Run], Part | Absent]:
    """A part that ranks models, made of each track of a run: two tracks share no table and no plot.

    Args:
        part: of the models of one track.
    """

    @wraps(part)
    def made(run: Run) -> Part | Absent:
        found = {track: part(one) for track, one in run.tracks.items()}
        parts = {track: one for track, one in found.items() if isinstance(one, Part)}
        first, *others = parts.values() or found.values()
        if len(found) == 1 or not isinstance(first, Part):
            return first
        blocks = [block for track, one in parts.items() for block in (Heading(SAID[track]), *one.blocks)]
        return replace(first, blocks=(*((Words(APART),) if others else ()), *blocks))

    return made


PARTS: tuple[Callable[[Run], Part | Absent], ...] = (
    apart(models),
    apart(learning),
    apart(curves),
    apart(segments),
    apart(slates),
    apart(baskets),
    apart(probabilities),
    apart(sparsity),
    examples,
    costs,
    data,
    repeating,
)
"""The parts in their order, each from what the run has written."""

UNREADABLE = (KeyError, TypeError, ValueError, IndexError, AttributeError)
"""What reading a part of a damaged document raises."""


def report_of(run: Run) -> Report:
    """The report of a run: what it came to, what to mind, all parts, and which parts are absent and why.

    Raises:
        ArtifactError: its results are damaged where a part reads them.
    """
    made = [_read(run, part.__name__, part) for part in PARTS]
    mind = [Words(one, "wrong") for one in _read(run, doubts.__name__, doubts)]
    source = run.content["experiment"]["data"]["source"]
    when = str((run.content.get("made") or {}).get("finished", ""))
    about = f"{source}; {run.content['split']['rule']}" + (f"; finished {moment(when)} UTC" if when else "")
    first = Words(f"{about}. No ids of users are in this report.", "soft")
    parts = [part for part in made if isinstance(part, Part)]
    lacking = [Words(f"{one.heading}: {one.why}.") for one in made if isinstance(one, Absent)]
    if lacking:
        parts.append(Part("absent", "Not in this report", tuple(lacking)))
    return Report(f"Run {run.name}", (first, *lead(run), *mind), tuple(parts))


def json_of(run: Run) -> dict[str, Any]:
    """The report for programs: what the run wrote, the tests, and what to mind."""
    return {
        "folder": str(run.folder),
        **run.content,
        "verdict": verdict(run),
        "standings": facts_of(run),
        "comparison": None if run.comparison is None else run.comparison.to_json(),
        "mind": doubts(run),
    }


def keep(folder: str | Path) -> Path:
    """Writes the page and the experiment that repeats the run into the run's folder; gives the page.

    Raises:
        ArtifactError: the folder is no run's, or its results are damaged.
    """
    run = read_run(folder)
    page = report_of(run).html()
    (run.folder / REPEAT).write_text(configuration(run.content["experiment"]), encoding="utf-8")
    (run.folder / REPORT).write_text(page, encoding="utf-8")
    return run.folder / REPORT


def _read(run: Run, name: str, read: Callable[[Run], T]) -> T:
    """What a part reads out of a run, which names the part where it cannot be read."""
    try:
        return read(run)
    except UNREADABLE as fault:
        said = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
        raise ArtifactError(
            f"{run.folder / RESULTS} is damaged (in what '{name}' reads: {said}): run the experiment anew."
        ) from fault
