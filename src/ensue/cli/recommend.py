"""`ensue recommend`: what comes next, in the user's own ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensue.cli.options import Json, folder, whole
from ensue.errors import QueryError

if TYPE_CHECKING:
    from ensue.ranking import Recommender


def recommend(
    run: Annotated[
        Path,
        typer.Argument(
            parser=folder, metavar="RUN", help="Folder of a run (its best model answers) or of a model."
        ),
    ],
    history: Annotated[
        str | None,
        typer.Option(
            metavar="ID,ID,...", help="""Items so far, oldest first; or a JSON list: '["a,b","c"]'."""
        ),
    ] = None,
    history_id: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="One item so far; give it again for the next.")
    ] = None,
    titles: Annotated[
        str | None,
        typer.Option(metavar="TITLE; TITLE", help="Items so far by their titles, or parts of them."),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="A user whose history the run has kept.")
    ] = None,
    k: Annotated[int, typer.Option("-k", parser=whole, metavar="N", help="How many items at most.")] = 10,
    exclude: Annotated[
        str, typer.Option(metavar="ID,ID,...", help="Items that must not be in the answer.")
    ] = "",
    exclude_seen: Annotated[
        bool | None,
        typer.Option(
            "--exclude-seen/--include-seen",
            help="Leave out items of the history. [default: as the model was evaluated]",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Recommend what comes next after a history.

    Without a history the answer is what everybody takes, and says so.
    """
    from ensue import ladder
    from ensue.cli import asking, slates, terminal

    given = {"--history": history, "--history-id": history_id, "--titles": titles, "--user": user}
    used = [option for option, value in given.items() if value is not None]
    if len(used) > 1:
        raise QueryError(f"{' and '.join(used)} all give a history: use one of them.")
    recommender = ladder.load(run)
    asked, past, notes = _history(recommender, run, history, history_id, titles, user)
    slate = recommender.recommend(
        past, k, exclude=asking.ids(exclude, "--exclude"), exclude_seen=exclude_seen
    )
    if as_json:
        terminal.emit(
            {
                "model": recommender.model,
                "history": past,
                **slate.to_json(),
                "notes": notes + asking.lines(slate, asked),
            }
        )
        return
    for line in notes:
        terminal.out(line)
    terminal.out(f"{len(slate)} recommendations of {recommender.model}:")
    slates.show(slate, asked, k)


def _history(
    recommender: Recommender,
    run: Path,
    history: str | None,
    history_id: list[str] | None,
    titles: str | None,
    user: str | None,
) -> tuple[str, list[str], list[str]]:
    """Why an answer would be a fallback, the ids of the history, and what was decided on the way."""
    from ensue.cli import asking

    unknown = "this model knows no item of the history"
    if history is not None or history_id is not None:
        past = history_id or [] if history is None else asking.ids(history, "--history")
        return (unknown if past else "the history is empty"), past, []
    if titles is not None:
        texts = [text.strip() for text in titles.split(";") if text.strip()]
        return "the history is empty", *asking.titled(texts, recommender.catalogue)
    if user is None:
        return "no history was given", [], []
    kept = asking.kept(run, user)
    if kept is None:
        return f"the run has no user '{user}'", [], []
    shown = ", ".join(kept[-5:])
    return unknown, kept, [f"history of {user}: {len(kept):,} items, the last: {shown}"]
