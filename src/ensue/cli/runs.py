"""`ensue runs`: the runs of a folder, one of them again, or two side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ensue.cli.options import Json, folder

LIST = "list"


class Listing(TyperGroup):
    """A group of commands that lists where no other of them is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes `ensue runs FOLDER` for `ensue runs list FOLDER`."""
        helping = any(word in ("-h", "--help") for word in args[:1])
        if not helping and (not args or args[0] not in self.commands):
            args = [LIST, *args]
        found: list[str] = super().parse_args(ctx, args)
        return found


app = typer.Typer(
    cls=Listing,
    rich_markup_mode=None,
    help="List the runs of a folder, show one again, or lay two side by side.",
    epilog="`ensue runs` and `ensue runs FOLDER` list.",
)

Run = Annotated[Path, typer.Argument(parser=folder, metavar="RUN", help="Folder of a run.")]


@app.command(LIST)
def listed(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where runs are kept.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs of a folder, the latest first."""
    from ensue.cli import results, terminal
    from ensue.runs import runs_of
    from ensue.tracks import SAID

    found = runs_of(folder)
    if as_json:
        terminal.emit(found.to_json())
        return
    tracks = dict.fromkeys(row.track for row in found.rows)
    for track in tracks:
        if len(tracks) > 1:
            terminal.out(f"{SAID[track].capitalize()}:")
        right: dict[str, Any] = {"justify": "right"}
        made = terminal.table(
            ("run", {"overflow": "fold"}), ("data", {"overflow": "fold"}), "split", "finished (UTC)", "best",
            "in the test", ("sec.", right),
        )  # fmt: skip
        for row in (row for row in found.rows if row.track == track):
            figure = f"{results.titled(row.metric)} {row.value:.4f}\n({row.low:.4f} to {row.high:.4f})"
            when = row.finished[:16].replace("T", " ")
            took = results.seconds(row.seconds)
            terminal.row(
                made, [row.folder, row.source, row.split, when, f"{row.best}\nof {row.models}", figure, took]
            )
        terminal.show(made)
    if not found.rows:
        terminal.out(f"There is no run in {folder}. Make one: ensue run LOG --out {folder}/NAME")
    for place, why in found.skipped.items():
        terminal.note(f"skipped {place}: {why}")


@app.command()
def show(run: Run, as_json: Json = False) -> None:
    """Show the table of a run again."""
    from ensue.cli import results, terminal
    from ensue.run_folder import results as read

    found = read(run)
    if as_json:
        terminal.emit({"folder": str(run), **found})
    else:
        results.show(found, str(run))


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(parser=folder, metavar="A", help="Folder of a run.")],
    b: Annotated[Path, typer.Argument(parser=folder, metavar="B", help="Folder of another.")],
    metric: Annotated[
        str, typer.Option(help="What to compare. [default: what the first was chosen on]")
    ] = "",
    as_json: Json = False,
) -> None:
    """Lay two runs side by side: settings that differ, and figures."""
    from ensue.cli import results, terminal
    from ensue.runs import UNPAIRED, difference

    found = difference(a, b, metric)
    if as_json:
        terminal.emit(found.to_json())
        return
    if found.settings:
        made = terminal.table("setting", (str(a), {"overflow": "fold"}), (str(b), {"overflow": "fold"}))
        for one in found.settings:
            terminal.row(made, [one.key, _written(one.a), _written(one.b)])
        terminal.show(made)
    else:
        terminal.out("Both have the same settings.")
    terminal.out()
    name = results.titled(found.metric)
    made = terminal.table(("model", {"overflow": "fold"}), f"{name}\nof {a}", f"{name}\nof {b}", "difference")
    for pair in found.pairs:
        gap = pair.difference
        said = "-" if gap is None else f"{gap[0]:+.4f}\n({gap[1]:+.4f} to {gap[2]:+.4f})"
        said = "none" if pair.a == pair.b else said
        terminal.row(made, [pair.label, _figure(pair.a), _figure(pair.b), said])
    terminal.show(made)
    terminal.out()
    terminal.out(UNPAIRED if found.same else f"The figures cannot be compared: {found.why}.")


def _figure(found: Mapping[str, Any] | None) -> str:
    return "-" if found is None else f"{found['value']:.4f}\n({found['low']:.4f} to {found['high']:.4f})"


def _written(value: Any) -> str:
    """A setting as a file has it."""
    import json

    return (
        "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
