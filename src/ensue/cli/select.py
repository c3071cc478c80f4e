"""`ensue select`: which model to take for a log, and why no bigger one."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import Json, Source, gathered, names, number
from ensue.cli.plan import Choices, experiment

if TYPE_CHECKING:
    from ensue.selecting import Selection

RIGHT: dict[str, Any] = {"justify": "right"}


@gathered
def select(
    source: Source,
    choices: Choices,
    minutes: Annotated[
        float | None,
        typer.Option(
            parser=number,
            metavar="MINUTES",
            help="Training of all networks together; 0 is no limit. [default: 10]",
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="What to choose by, on validation. [default: ndcg@10]")
    ] = "",
    max_latency_ms: Annotated[
        float,
        typer.Option(
            parser=number,
            metavar="MS",
            show_default=False,
            help="Most that 99 in 100 answers may take. [default: no limit]",
        ),
    ] = 0.0,
    max_size_mb: Annotated[
        float,
        typer.Option(
            parser=number,
            metavar="MB",
            show_default=False,
            help="Most that the saved model may take. [default: no limit]",
        ),
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Choose a model for a log: by its facts, a race on validation, and what it costs.

    All models get a short budget; networks that are surely behind drop out, the others go on. Taken is the smallest
    model that no bigger one surely beats; what is big is measured, by the time of an answer and by size. The test is
    looked at once, for the model that is taken. LOG may be an experiment file (.toml). Without --models, which may name
    presets too, those race that the file names, or that the log speaks for.
    """
    from ensue import selecting
    from ensue.cli import progress, terminal
    from ensue.errors import ConfigError

    if choices.max_minutes is not None:
        raise ConfigError(
            "--max-minutes is for each network, and a race shares its time out: give --minutes."
        )
    asked = experiment(source, replace(choices, models=""), "-select")
    if metric:
        asked = replace(asked, evaluation=replace(asked.evaluation, choose_on=metric))
    done = selecting.select(
        asked,
        minutes=selecting.MINUTES if minutes is None else minutes,
        names=names(choices.models),
        limits=selecting.Limits(max_latency_ms, max_size_mb),
        progress=progress.shown(),
    )
    if as_json:
        terminal.emit({"folder": str(done.folder), **done.to_json()})
        return
    _show(done)


def _show(done: Selection) -> None:
    """Prints the words, the table of the front, and what to type next."""
    from ensue.cli import results, terminal
    from ensue.selecting import words

    if done.note:
        terminal.out(done.note)
    terminal.out()
    for line in done.reasons.values():
        terminal.out(line)
    terminal.out()
    name = results.titled(done.metric)
    made = terminal.table(
        ("model", {"overflow": "fold"}), (f"{name},\nvalidation", {}), ("work,\nms", RIGHT), ("p50,\nms", RIGHT),
        ("p99,\nms", RIGHT),
        ("size", RIGHT), ("front", {}),
    )  # fmt: skip
    for one in sorted(done.standings, key=lambda one: one.bigness):
        mine = one.label == done.choice.taken
        front = "taken" if mine else "yes" if one.label in done.choice.front else ""
        span = f"{one.value.value:.4f} ({one.value.low:.4f}-{one.value.high:.4f})"
        times = (one.latency.work, one.latency.p50, one.latency.p99)
        cells = [one.label, span, *(f"{time:.2f}" for time in times), words.size(one.size), front]
        terminal.row(made, cells, "bold" if mine else "")
    terminal.show(made)
    terminal.out(
        "work: processor time of one answer, by which models are small or big; p50, p99: by the clock."
    )
    terminal.out()
    tested = done.rung.test.intervals
    figures = ", ".join(
        f"{results.titled(found)} {tested[found].value:.4f} ({tested[found].low:.4f} to {tested[found].high:.4f})"
        for found in results.shown_metrics(list(tested))
    )
    terminal.out(f"{done.choice.taken} on the test, which no choice has seen: {figures}")
    terminal.out()
    terminal.out("Next, type:")
    terminal.out(f"  ensue run {shlex.quote(str(done.folder / 'selected.toml'))}", fold=False)
    terminal.out(f"  ensue recommend {shlex.quote(str(done.rung.folder))}", fold=False)
