"""`ensue rerank`: an engine's lists in a better order, learnt from what was shown and chosen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensue.cli.options import Json, Seed, count, folder, mapping, names, number

if TYPE_CHECKING:
    from ensue.reranking import Evaluation, Reranker, Shown

app = typer.Typer(
    rich_markup_mode=None,
    help="Put an engine's lists in a better order, learnt from what was shown and chosen.",
)

LEAST = 0.0005
"""Parts of a score that are smaller are not told."""

Lists = Annotated[
    str,
    typer.Argument(
        metavar="LISTS",
        help="A session log of trivago, or a table with one row for each candidate: list, item, chosen, and perhaps "
        "position, score, price, session or user, time.",
    ),
]
Log = Annotated[
    str | None, typer.Option("--events", metavar="LOG", help="What was done, joined by session or user.")
]
Known = Annotated[
    str,
    typer.Option(
        metavar="choice|display",
        help="Of trivago: before a list counts all before its choice, or what lies before the last search, filter or "
        "change of order.",
    ),
]
Named = Annotated[
    list[str] | None,
    typer.Option(metavar="list=NAME,item=NAME,...", help="Columns of the lists that are called otherwise."),
]
Folder = Annotated[Path, typer.Argument(parser=folder, metavar="RERANKER", help="Folder of a re-ranker.")]


@app.command()
def fit(
    lists: Lists,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the re-ranker is saved.")],
    events: Log = None,
    known: Known = "choice",
    columns: Named = None,
    families: Annotated[
        str, typer.Option(metavar="NAME,NAME,...", help="What is looked at. [default: all that there is]")
    ] = "",
    models: Annotated[
        str,
        typer.Option(
            metavar="NAME|FOLDER,...",
            help="What is asked what comes next: models, or saved ones; '' for none.",
        ),
    ] = "rules,neighbours",
    test: Annotated[
        float, typer.Option(parser=number, metavar="SHARE", help="Of the sessions, the last are the test.")
    ] = 0.2,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Learn an order from lists and their choices, choose on validation, test once on later sessions, and save it."""
    from ensue.cli import progress, terminal
    from ensue.reranking import FAMILIES, Reranking, save
    from ensue.reranking import fit as learn

    say = progress.shown().say
    shown = _shown(lists, events, known, columns)
    for line in shown.lines():
        say(line)
    how = Reranking(
        families=tuple(names(families)) or tuple(FAMILIES), models=tuple(names(models)), test=test, seed=seed
    )
    found = learn(shown, how, say)
    save(found.reranker, out)
    if as_json:
        aside = {"read": {"lists": len(shown), "set_aside": dict(shown.set_aside)}}
        terminal.emit({"folder": str(out), **aside, **found.to_json()})
        return
    _show(found.test)
    for note in found.notes:
        terminal.out(note)
    terminal.out(f"The re-ranker is in {out}. Next, type:")
    terminal.out(f"  ensue rerank apply {out} REQUEST.json", fold=False)


@app.command()
def evaluate(
    reranker: Folder,
    lists: Lists,
    events: Log = None,
    known: Known = "choice",
    columns: Named = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure a saved re-ranker on lists of sessions that began after what it has learnt from."""
    from ensue.cli import terminal
    from ensue.reranking import evaluate as measure
    from ensue.reranking import load

    loaded = load(reranker)
    shown, notes = _later(_shown(lists, events, known, columns), loaded)
    found = measure(loaded, shown, seed=seed)
    if as_json:
        terminal.emit({**found.to_json(), "notes": notes})
        return
    _show(found)
    for note in notes:
        terminal.out(note)


@app.command()
def apply(
    reranker: Folder,
    request: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST.json",
            help="""'-' for standard input: {"candidates": [{"item": "a", "score": 1.5, "price": 80}, "b"], "shown":
            {"device": "mobile"}, "history": ["a"], "context": {"event": ["click"]}}; all but candidates may be left
            out.""",
        ),
    ],
    k: Annotated[int, typer.Option("-k", parser=count, metavar="N", help="How many at most; 0 for all.")] = 0,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each score is the sum of.")] = False,
    as_json: Json = False,
) -> None:
    """Put one list in order: candidates in, the same candidates out, the likeliest choice first."""
    from ensue.cli import terminal
    from ensue.reranking import load, read_request

    loaded = load(reranker)
    question, candidates, about = read_request(*_text(request))
    found = loaded.rerank(question, candidates, about)
    kept = found[:k] if k else found
    if as_json:
        terminal.emit({"items": [one.to_json(explain) for one in kept]})
        return
    right = {"justify": "right"}
    made = terminal.table("item", *((name, right) for name in ("was", "probability", "score")))
    for one in kept:
        terminal.row(made, [one.item, str(one.was), f"{one.probability:.4f}", f"{one.score:+.3f}"])
    terminal.show(made)
    for one in kept if explain else []:
        parts = sorted(one.parts.items(), key=lambda part: -abs(part[1]))
        said = ", ".join(f"{name} {value:+.3f}" for name, value in parts if abs(value) >= LEAST)
        terminal.out(f"{one.item}: {said or 'as the average candidate of the list'}")


def _shown(lists: str, events: str | None, known: str, columns: list[str] | None) -> Shown:
    from ensue.errors import ConfigError
    from ensue.reranking import read_shown

    if known not in ("choice", "display"):
        raise ConfigError(f"--known {known} is neither 'choice' nor 'display'.")
    return read_shown(
        lists, events, known="choice" if known == "choice" else "display", columns=mapping(columns or [])
    )


def _later(shown: Shown, reranker: Reranker) -> tuple[Shown, list[str]]:
    """The lists of sessions that the re-ranker has not learnt from, as far as times tell."""
    from datetime import datetime

    from ensue.errors import DataError
    from ensue.moments import microseconds

    until = reranker.facts.get("until")
    if until is None:
        return shown, [
            "the re-ranker does not say until when it has learnt: these lists may be among what it has"
        ]
    cut = microseconds(datetime.fromisoformat(str(until)))
    kept = shown.begins >= cut
    if not kept.any():
        raise DataError(
            f"All {len(shown):,} lists are of sessions that began before {until}, when its learning ended."
        )
    gone = int((~kept).sum())
    notes = [f"{gone:,} lists of sessions that began before {until}, until when it has learnt, are left out"]
    return shown[kept], notes if gone else []


def _text(request: str) -> tuple[str, str]:
    """What a request says, and where it stands."""
    import sys

    from ensue.errors import QueryError
    from ensue.reranking.asking import LARGEST

    if request == "-":
        return sys.stdin.read(LARGEST + 1), "standard input"
    try:
        with Path(request).expanduser().open(encoding="utf-8") as file:
            return file.read(LARGEST + 1).removeprefix("\ufeff"), request
    except UnicodeDecodeError as fault:
        raise QueryError(f"{request} is not text in UTF-8: {fault}.") from fault
    except OSError as fault:
        raise QueryError(f"{request} cannot be read: {fault.strerror}.") from fault


def _show(found: Evaluation) -> None:
    """The table, and what is to be known beside it."""
    from ensue.cli import terminal

    head, *rows = found.table()
    made = terminal.table(head[0], *((one, {"justify": "right"}) for one in head[1:]))
    for cells in rows:
        terminal.row(made, [cell.replace(" (", "\n(") for cell in cells])
    terminal.show(made)
    for line in found.lines():
        terminal.out(line)
