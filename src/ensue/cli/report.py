"""`ensue report`: a run as one page, as Markdown, as JSON, or handed to a tracker of experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensue.cli.options import Json, folder


def report(
    run: Annotated[Path, typer.Argument(parser=folder, metavar="RUN", help="Folder of a run.")],
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the page here. [default: report.html in the folder of the run]"
        ),
    ] = None,
    markdown: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Write Markdown here, '-' for standard output: for a pull request."
        ),
    ] = "",
    mlflow: Annotated[
        str,
        typer.Option(metavar="URI", help="Log the run to the MLflow server at this address."),
    ] = "",
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write event files that TensorBoard shows.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the report of a run: one page that needs no network.

    It is made from what the run has written, without data and without training.
    """
    from ensue import reporting
    from ensue.cli import terminal

    found = reporting.read_run(run)
    whole = reporting.report_of(found)
    done: list[str] = []
    if markdown and markdown != "-":
        done.append(_write(Path(markdown), whole.markdown()))
    if html is not None:
        done.append(_write(html, whole.html()))
    elif not (markdown or mlflow or tensorboard or as_json):
        done.append(f"wrote {reporting.keep(run)}")
    if mlflow:
        from ensue.reporting.to_mlflow import to_mlflow

        done.append(f"logged to MLflow as run {to_mlflow(found, mlflow)}")
    if tensorboard is not None:
        from ensue.reporting.to_tensorboard import to_tensorboard

        written = to_tensorboard(found, tensorboard)
        done.append(
            f"wrote events of {len(written)} models; see them with: tensorboard --logdir {tensorboard}"
        )
    if as_json:
        terminal.emit(reporting.json_of(found))
    elif markdown == "-":
        terminal.out(whole.markdown().rstrip("\n"), fold=False)
    for line in done:
        (terminal.note if as_json or markdown == "-" else terminal.out)(line)


def _write(path: Path, text: str) -> str:
    """Writes a file, and says so.

    Raises:
        ConfigError: it cannot be written there.
    """
    from ensue.errors import ConfigError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as fault:
        raise ConfigError(f"{path} cannot be written: {fault.strerror}.") from fault
    return f"wrote {path}"
