"""`ensue data ...`: look at a log, fetch one, convert one, make one up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensue.cli.options import Json, Source, Unit, gathered, number
from ensue.errors import ConfigError

if TYPE_CHECKING:
    from ensue.events.log import EventLog

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
    by: Annotated[Unit, typer.Option(help="What a sequence is.")] = Unit.user,
    session_gap: Annotated[
        float,
        typer.Option(parser=number, metavar="SECONDS", help="Cut sessions where more time passes than this."),
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Say what is in a log, and what defaults follow from it."""
    from ensue.cli import terminal
    from ensue.events.audit import audit as measure

    log = _read(source)
    if session_gap:
        log = log.with_sessions(session_gap)
    found = measure(log, by.value)
    if as_json:
        terminal.emit(
            {"fingerprint": log.fingerprint(), "reading": log.reading.to_json(), "audit": found.to_json()}
        )
        return
    for line in [*log.reading.lines(), *found.lines(), f"fingerprint: {log.fingerprint()}"]:
        terminal.out(line)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which data set: ml-100k.")],
    folder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Take it from this folder, and from nowhere else.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch a public data set, check it, and keep it in the cache."""
    from ensue.cli import terminal
    from ensue.events import datasets

    log = datasets.fetch(name, folder, say=terminal.note)
    where = str(folder or datasets.locate(name))
    if as_json:
        sizes = {"events": log.n_events, "users": log.n_users, "items": log.n_items}
        terminal.emit({"name": name, "folder": where, **sizes, "fingerprint": log.fingerprint()})
        return
    terminal.out(
        f"{name}: {log.n_events:,} events of {log.n_users:,} users on {log.n_items:,} items, in {where}."
    )
    terminal.out("Its checksum is right. Use it by its name: ensue run " + name)


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
    if as_json:
        terminal.emit({"file": str(out), "events": log.n_events, "fingerprint": log.fingerprint()})
        return
    terminal.out(f"{log.n_events:,} events are in {out}. Fingerprint: {log.fingerprint()}")
    if log.items is not None and "title" in log.items.columns:
        terminal.out("Titles are no part of the events, and were not written.")


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
        if "time" in frame.columns:
            frame = frame.with_columns(pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
        frame.write_csv(out, quote_style="non_numeric")
    except OSError as fault:
        raise ConfigError(f"{out} cannot be written: {fault.strerror or fault}.") from fault
