"""`ensue recommend`: what comes next, in the user's own ids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensue.cli.options import Json, folder, whole
from ensue.errors import QueryError

if TYPE_CHECKING:
    from ensue.objective import Objective
    from ensue.questions import Question
    from ensue.ranking import Recommender


_NOTHING_KNOWN = "this model knows no item of the history"
_K = 10
"""How many items are recommended where nothing is said."""


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
        str | None,
        typer.Option(
            metavar="ID",
            help="A user whose history the run has kept, with what its models read of the events.",
        ),
    ] = None,
    basket: Annotated[
        str | None,
        typer.Option(
            metavar="ID,ID,...",
            help="An open basket, in no order: what else? What --user or --history gives comes before it.",
        ),
    ] = None,
    question: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.json",
            help="""A question with all that is known, '-' for standard input: {"history": ["a", "b"], "user": "u",
            "times": [...], "ratings": [...], "context": {"city": [...]}, "at": "2024-01-31T08:00Z"}; lists have one
            entry for each event, null for none; all but history may be left out.""",
        ),
    ] = None,
    all_users: Annotated[
        Path | None,
        typer.Option(
            "--all",
            metavar="OUT",
            help="Write the answers for all users whose histories the run has kept to this file (.parquet or .csv).",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="When it is asked, such as 2024-01-31T08:00; UTC without an offset."
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("-k", parser=whole, metavar="N", help="How many items at most. [default: 10]"),
    ] = None,
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
    rules: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Rules for the answer, as the table [rules] of this file: availability, cap, price, diversity, ...",
        ),
    ] = None,
    ratings: Annotated[
        bool, typer.Option("--ratings", help="Say which rating is expected of each item, too.")
    ] = False,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="ID,ID,...", help="Say which ratings are expected of these items, and recommend nothing."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say which events of the history each item is there for.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Recommend what comes next after a history.

    Without a history the answer is what everybody takes, and says so.
    """
    from ensue import ladder
    from ensue.asked import moment
    from ensue.cli import asking, slates, terminal
    from ensue.inputs import numbers_of
    from ensue.open_baskets import open_question

    given = {
        "--history": history,
        "--history-id": history_id,
        "--titles": titles,
        "--user": user,
        "--question": question,
        "--all": all_users,
    }
    used = [option for option, value in given.items() if value is not None]
    if len(used) > 1:
        raise QueryError(f"{' and '.join(used)} all give a history: use one of them.")
    if rate is not None and (
        k is not None or exclude or exclude_seen is not None or rules or ratings or explain
    ):
        raise QueryError(
            "--rate recommends nothing: leave out -k, --exclude, --exclude-seen/--include-seen, --rules, --ratings "
            "and --explain."
        )
    k = _K if k is None else k
    when = None if at is None else moment(at, "--at")
    recommender = ladder.load(run)
    if all_users is not None:
        if rules is not None or explain or basket is not None or ratings or rate is not None:
            raise QueryError(
                "--all writes plain answers: leave out --rules, --explain, --basket, --ratings and --rate."
            )
        excluded = asking.ids(exclude, "--exclude")
        written = slates.write_all(recommender, run, all_users, k, excluded, exclude_seen, when)
        if as_json:
            terminal.emit({"model": recommender.model, "file": str(all_users), **written})
            return
        terminal.out(
            f"{written['rows']:,} recommendations of {recommender.model} for {written['users']:,} users are in "
            f"{all_users}."
        )
        return
    if question is None:
        why, asked, notes = _typed(recommender, run, history, history_id, titles, user)
    else:
        asked = _objective(recommender).question(asking.question(question, numbers_of(recommender.scoring)))
        why = _NOTHING_KNOWN if asked.history else "the history is empty"
        notes = asking.unread(asked, ladder.reads(recommender))
    if when is not None and asked.at is not None:
        raise QueryError("--at and 'at' of the question both say when it is asked: use one of them.")
    asked = asked if when is None else replace(asked, at=when)
    opened = [] if basket is None else asking.ids(basket, "--basket")
    if basket is not None:
        asked = open_question(asked, opened, recommender.catalogue)
        why = _NOTHING_KNOWN if asked.history else why
    if rate is not None:
        slates.show_ratings(recommender, asked, asking.ids(rate, "--rate"), notes, as_json)
        return
    excluded = [*asking.ids(exclude, "--exclude"), *opened]
    slate, ruled = slates.answer(recommender, asked, k, excluded, exclude_seen, rules)
    expected = slates.expected(recommender, asked, slate) if ratings else None
    explained = slates.explained(recommender, asked, slate, k, excluded, exclude_seen) if explain else None
    if as_json:
        answer = slate.to_json()
        for row, rating in zip(answer["items"], expected or (), strict=False):
            row["rating"] = rating
        terminal.emit(
            {
                "model": recommender.model,
                "history": list(asked.history),
                **answer,
                "notes": notes + asking.lines(slate, why) + ruled,
            }
            | ({} if explained is None else {"explanations": [one.to_json() for one in explained]})
        )
        return
    for line in notes + ruled:
        terminal.out(line)
    terminal.out(f"{len(slate)} recommendations of {recommender.model}:")
    slates.show(slate, why, k, expected)
    if explained is not None:
        slates.show_explanations(explained)


def _objective(recommender: Recommender) -> Objective:
    """Which types of events stand in the histories of a model."""
    from ensue.objective import Objective

    return Objective.learnt(recommender.facts.get("learnt") or {})


def _typed(
    recommender: Recommender,
    run: Path,
    history: str | None,
    history_id: list[str] | None,
    titles: str | None,
    user: str | None,
) -> tuple[str, Question, list[str]]:
    """Why an answer would be a fallback, the question, and what was decided on the way."""
    from ensue import ladder
    from ensue.cli import asking
    from ensue.questions import Question

    if history is not None or history_id is not None:
        past = history_id or [] if history is None else asking.ids(history, "--history")
        return (_NOTHING_KNOWN if past else "the history is empty"), Question(past), []
    if titles is not None:
        texts = [text.strip() for text in titles.split(";") if text.strip()]
        found, notes = asking.titled(texts, recommender.catalogue)
        return "the history is empty", Question(found), notes
    if user is None:
        return "no history was given", Question([]), []
    asked = asking.of_user(run, user)
    if asked is None:
        return f"the run has no user '{user}'", Question([]), []
    shown = ", ".join(asked.history[-5:])
    note = f"history of {user}: {len(asked.history):,} items, the last: {shown}"
    return _NOTHING_KNOWN, asked, [note, *asking.unkept(asked, ladder.reads(recommender))]
