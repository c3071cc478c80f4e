"""`ensue data ...`: look at a log, fetch one, convert one, make one up."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensue.cli import prepare
from ensue.cli.options import By, Json, Seed, SessionGap, Source, Unit, gathered, settings, whole
from ensue.cli.shaping import Shaping
from ensue.errors import ConfigError

if TYPE_CHECKING:
    from ensue.events.log import EventLog

SLOW_EVENTS = 50_000
"""From so many events on an audit tells how far it is."""

NO_TEXT = ("Binary", "Duration", "Object")
"""Kinds of columns, beside nested ones, that no CSV can hold."""

app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)


@app.callback()
def data(context: typer.Context) -> None:
    """Look at a log, fetch a public one, convert or simulate."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
@gathered
def audit(
    source: Source,
    shaping: Shaping,
    by: By = Unit.user,
    session_gap: SessionGap = 0.0,
    order: Annotated[
        bool,
        typer.Option(
            "--order/--no-order", help="Test on shuffled copies whether the order of events matters."
        ),
    ] = True,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it as a page with plots too, which needs no network."),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Say what a log is, what is wrong with it, what leaks, whether order matters, and what follows.

    Nothing that is written holds the id of a user.
    """
    from ensue.auditing import examine
    from ensue.cli import progress, terminal
    from ensue.progress import Silent

    if html is not None and (html.is_dir() or not html.parent.is_dir()):
        raise ConfigError(f"{html} cannot be written: give a file in a folder that exists.")
    shape = shaping.shape(session_gap)
    log = shape.apply(_read(source))
    fitted = shape.filters.fit(log)
    how = progress.shown() if log.n_events >= SLOW_EVENTS else Silent()
    found = examine(log, by.value, order=order, seed=seed, progress=how)
    if html is not None:
        from ensue.auditing.page import page_of

        try:
            html.write_text(page_of(found, log, Path(source.log).name or source.log), encoding="utf-8")
        except OSError as fault:
            raise ConfigError(f"{html} cannot be written: {fault.strerror or fault}.") from fault
    if as_json:
        told = {"filters": fitted.to_json()} if fitted.steps else {}
        terminal.emit(
            {
                "fingerprint": log.fingerprint(),
                "reading": log.reading.to_json(),
                **found.to_json(),
                **told,
            }
        )
        return
    last = f"fingerprint: {log.fingerprint()}"
    for line in [*log.reading.lines(), *fitted.lines(), *found.lines(), last]:
        terminal.out(line)
    if html is not None:
        terminal.out(f"The page is {html}.")


@app.command()
def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which data set, such as ml-100k; all are listed without.")
    ] = "",
    folder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Take it from this folder, and from nowhere else.")
    ] = None,
    listing: Annotated[
        bool,
        typer.Option("--list", help="List all data sets (whose name has NAME in it), and which are here."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch a public data set, check it, and keep it in the cache.

    What cannot be downloaded, since it needs a login, is checked once its files are where the command says.
    """
    from ensue.cli import progress, terminal
    from ensue.events import datasets

    if listing or not name:
        if folder is not None:
            raise ConfigError("--folder needs a NAME: it says where the files of one data set are.")
        listed = [row for row in datasets.rows() if name.casefold() in row.dataset.name.casefold()]
        if as_json:
            terminal.emit({"datasets": [row.to_json() for row in listed]})
            return
        for line in datasets.lines(listed):
            terminal.out(line, fold=False)
        return
    log = datasets.fetch(name, folder, say=terminal.note, progress=progress.shown())
    where = str(folder or datasets.locate(name))
    if as_json:
        sizes = {"events": log.n_events, "users": log.n_users, "items": log.n_items}
        terminal.emit({"name": name, "folder": where, **sizes, "fingerprint": log.fingerprint()})
        return
    terminal.out(
        f"{name}: {log.n_events:,} events of {log.n_users:,} users on {log.n_items:,} items, in {where}."
    )
    known = datasets.DATASETS[name]
    checked = "Its checksum is right" if known.content else f"It has what is published ({known.published()})"
    terminal.out(f"{checked}. Use it by its name: ensue run {name}")


app.command()(prepare.prepare)


@app.command()
@gathered
def convert(
    source: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A file ending in .parquet or .csv.")],
    as_json: Json = False,
) -> None:
    """Write a log as one table, ids exactly as written.

    Columns have ensue's own names, and events stand in its order: by user, then time, then row in the source.
    """
    from ensue.cli import terminal

    _check_target(out)
    log = _read(source)
    write(log, out)
    reading = log.reading
    if as_json:
        found = {"file": str(out), "events": log.n_events, "fingerprint": log.fingerprint()}
        terminal.emit(found | {"rows_read": reading.rows_read, "set_aside": dict(reading.set_aside)})
        return
    if reading.set_aside:
        for line in reading.lines():
            terminal.note(line)
    terminal.out(f"{log.n_events:,} events are in {out}. Fingerprint: {log.fingerprint()}")
    if log.items is not None and "title" in log.items.columns:
        terminal.out("Titles are no part of the events, and were not written.")


@app.command()
def simulate(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which process: markov, long-range, drifting or orderless.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A file ending in .parquet or .csv.")],
    users: Annotated[
        int | None,
        typer.Option(parser=whole, metavar="N", help="How many users. [default: as the process has it]"),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(parser=whole, metavar="N", help="The longest history; the shortest is half of it."),
    ] = None,
    knobs: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KNOB=VALUE", help="A knob of the process; may be given again."),
    ] = None,
    seed: Seed = 0,
    prepared: Annotated[
        bool,
        typer.Option(
            "--prepared",
            help="OUT is a folder to train from, as `ensue data prepare` makes one; it may be larger than memory.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make up a log from a known process, and say how well it can be predicted.

    The best reachable scores are those of a model that knows the process: for the last event of each user, with
    nothing left out of the ranking. `ensue run OUT --split last --targets last --include-seen` compares with them.
    """
    from ensue.cli import terminal
    from ensue.events.simulate import source as process

    if prepared:
        prepare.simulated(name, out, users, length, settings(knobs or []), seed, as_json)
        return
    _check_target(out)
    made = process(name, **settings(knobs or []))
    log = made.log(users, length, seed)
    best = {metric: made.optimum(metric, length=length) for metric in ("accuracy", "recall@10", "ndcg@10")}
    write(log, out)
    if as_json:
        terminal.emit(
            {"file": str(out), "events": log.n_events, "fingerprint": log.fingerprint(), "best": best}
        )
        return
    terminal.out(f"{log.n_events:,} events of {log.n_users:,} users on {log.n_items:,} items are in {out}.")
    reachable = ", ".join(f"{metric} {value:.4f}" for metric, value in best.items())
    terminal.out(f"Best reachable for the last event of each user, with nothing left out: {reachable}")
    terminal.out("Next, type:")
    terminal.out(
        f"  ensue run {shlex.quote(str(out))} --split last --targets last --include-seen", fold=False
    )


def _read(source: Source) -> EventLog:
    from ensue import ladder
    from ensue.cli import terminal

    return ladder.load_log(source.data(source.log), terminal.note)


def _check_target(out: Path) -> None:
    """Nothing, if a table can be written there.

    Raises:
        ConfigError: it has another ending, or its folder does not exist.
    """
    if out.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{out} names no kind of table: let it end in .parquet or .csv.")
    if not out.parent.is_dir():
        raise ConfigError(f"There is no folder {out.parent}: make it first.")


def write(log: EventLog, out: Path) -> None:
    """Writes the canonical columns and the context of a log; reading the file gives a log of the same fingerprint."""
    import polars as pl

    frame = log.frame.drop("row", *(["time"] if not log.has_time else []))
    try:
        if out.suffix == ".parquet":
            frame.write_parquet(out)
            return
        odd = [
            name
            for name, kind in frame.schema.items()
            if kind.is_nested() or kind.base_type().__name__ in NO_TEXT
        ]
        if odd:
            raise ConfigError(
                f"A CSV cannot hold what is in {', '.join(odd)} ({frame.schema[odd[0]]}): let {out.name} end in "
                ".parquet."
            )
        if "time" in frame.columns:
            frame = frame.with_columns(pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
        frame.write_csv(out, quote_style="non_numeric")
    except OSError as fault:
        raise ConfigError(f"{out} cannot be written: {fault.strerror or fault}.") from fault
