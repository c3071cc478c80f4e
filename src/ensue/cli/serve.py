"""`ensue serve` and `ensue keys`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ensue.cli.options import count, names


def serve(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Folder of a run, whose best model answers, or of one model.")
    ] = "",
    host: Annotated[str | None, typer.Option(help="Address to listen at. [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(parser=count, metavar="N", help="Port to listen at. [default: 8000]")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(parser=count, metavar="N", help="Processes that share it. [default: 1]")
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|redis://...",
            help="Where live histories are kept. [default: state.db in RUN, or beside a model]",
        ),
    ] = None,
    keys: Annotated[
        str | None, typer.Option(metavar="FILE", help="Ask for keys of this file, see `ensue keys`.")
    ] = None,
    ads: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Answer about ads too, from a model of `ensue ads fit`."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="How the table of a large catalogue is kept: auto, fp32, fp16, int8, or approximate, whose index is "
            "made at the first start. [default: auto]",
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="In what an LSTM computes the answer to one question: fp32, or int8, several times as fast. "
            "[default: fp32]",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="TOML", help="File with a table [serve], and [rules] of all answers."),
    ] = None,
    request_log: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Keep what is answered, under pseudonyms, for later evaluation."),
    ] = None,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Log the route, status and time of each request.")
    ] = False,
) -> None:
    """Serve a trained model over HTTP, with a page to try it.

    Other machines can reach it only where --host says so, and then keys are needed.
    """
    from ensue.cli import terminal
    from ensue.errors import ConfigError, MissingExtraError
    from ensue.serving.settings import checked, read_settings, settings_of

    given: dict[str, Any] = {
        name: value
        for name, value in {
            "run": run or None, "host": host, "port": port, "workers": workers, "state": state, "keys": keys,
            "request_log": request_log, "ads": ads, "table": table, "layers": layers,
        }.items()
        if value is not None
    }  # fmt: skip
    if not run and config is None:
        raise ConfigError("Name the folder of a run: ensue serve runs/NAME.")
    settings = checked(
        settings_of(given, "The command line") if config is None else read_settings(config, **given)
    )
    try:
        from ensue.serving.running import run as start
    except ModuleNotFoundError as fault:
        if str(fault.name).startswith("ensue"):
            raise
        raise MissingExtraError(
            f"Serving needs {fault.name}, which is not installed: pip install 'ensue[serve]'."
        ) from fault
    start(
        settings, log_requests, lambda port: terminal.note(f"http://{settings.host}:{port}  (Ctrl-C ends it)")
    )


keys = typer.Typer(name="keys", help="Keys of those who may ask the service.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file of keys; only hashes are kept in it.")]


@keys.command("new")
def new(
    file: File,
    name: Annotated[str, typer.Option(help="What the key is called.")] = "default",
    scope: Annotated[
        str, typer.Option(metavar="A,B,...", help="What it may do: read, write, admin.")
    ] = "read,write",
) -> None:
    """Make a key, print it this once, and keep its hash."""
    from ensue.cli import terminal
    from ensue.serving.keys import new_key

    terminal.out(new_key(file, name, names(scope)), fold=False)
    terminal.note(f"Kept as '{name}' in {file}. The key itself is kept nowhere: copy it now.")


@keys.command("list")
def listed(file: File) -> None:
    """List keys by name, with what they may do."""
    from ensue.cli import terminal
    from ensue.serving.keys import SCOPES, read_keys

    for key in read_keys(file).held:
        terminal.out(f"{key.name}: {', '.join(scope for scope in SCOPES if scope in key.scopes)}")


@keys.command("drop")
def drop(
    file: File, name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is called.")]
) -> None:
    """Take a key back; services that run refuse it within a second."""
    from ensue.cli import terminal
    from ensue.serving.keys import drop_key

    drop_key(file, name)
    terminal.note(f"'{name}' is no longer good: services that run refuse it within a second.")
