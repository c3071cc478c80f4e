"""Questions as they are typed: histories as ids, as titles, as a user whose history a run has kept, or as JSON."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ensue.errors import QueryError, nearest

if TYPE_CHECKING:
    from ensue.catalogue import Catalogue
    from ensue.questions import Question
    from ensue.ranking import Slate


def ids(text: str, option: str) -> list[str]:
    """Ids from "a,b,c", or from a JSON list where ids hold commas.

    Raises:
        QueryError: it begins like a JSON list and is none.
    """
    if text.lstrip().startswith("["):
        try:
            # a number becomes the digits as they are written, since ids are text
            found = json.loads(text, parse_int=str, parse_float=str)
        except json.JSONDecodeError:
            found = None
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise QueryError(f"""{option} {text} is no JSON list of ids, such as '["a,b", "c"]'.""")
        return found
    return [one.strip() for one in text.split(",") if one.strip()]


def titled(texts: Sequence[str], catalogue: Catalogue) -> tuple[list[str], list[str]]:
    """The ids of items by their titles, and what was decided on the way.

    Args:
        texts: titles or parts of titles.
        catalogue: the items of the model.

    Raises:
        QueryError: the model knows no titles, or no item has such a title; near ones are offered.
    """
    known = [title for title in catalogue.titles if title is not None]
    if not known:
        raise QueryError("The items of this model have no titles: give their ids, --history 'id,id,id'.")
    found, notes = [], []
    for text in texts:
        matches = catalogue.find(text)
        if not matches:
            raise QueryError(f"No title holds '{text}'.{_near(text, known)}")
        (chosen,) = catalogue.decode(matches[:1])
        found.append(chosen)
        title = catalogue.titles[matches[0]]
        if len(matches) > 1:
            others = [str(catalogue.titles[index]) for index in matches[1:4]]
            more = f" and {len(matches) - 4} more" if len(matches) > 4 else ""
            notes.append(
                f"'{text}' is taken as '{title}' (id {chosen}), the most frequent of {len(matches)}; "
                f"also: {'; '.join(others)}{more}"
            )
        elif title is not None and title.casefold() != text.casefold():
            notes.append(f"'{text}' is taken as '{title}' (id {chosen})")
    return found, notes


def _near(text: str, known: Sequence[str]) -> str:
    """Titles that look like a text, as the end of a message."""
    folded = {title.casefold(): title for title in known}
    close = difflib.get_close_matches(text.casefold(), list(folded), n=3, cutoff=0.5)
    return f" Near ones: {'; '.join(folded[one] for one in close)}." if close else ""


def of_user(folder: Path, user: str) -> Question | None:
    """What comes next for a user of the run, with all that the run has kept of the history; None if it knows no such.

    Where the run's sequences are sessions, the history is the user's last session, as in its evaluation.

    Raises:
        EnsueError: the run keeps no histories.
    """
    import polars as pl

    from ensue import ladder
    from ensue.questions import Question

    run = folder.parent.parent if folder.parent.name == ladder.MODELS else folder
    own = ladder.histories(run).filter(pl.col("user") == user)
    if own.is_empty():
        return None
    if "session" in own.columns:
        own = own.filter(pl.col("session") == own["session"][-1])
    held = {name: own[name].to_list() for name in own.columns if name not in ("user", "session")}
    items, times, ratings = held.pop("item"), held.pop("time", None), held.pop("rating", None)
    return Question(items, user, times, ratings, held)


def question(path: str, numbers: Collection[str] = ()) -> Question:
    """The question of a JSON file, or of standard input for "-".

    Args:
        path: of the file.
        numbers: columns of the context that the model reads as numbers.

    Raises:
        QueryError: it cannot be read, is no JSON, or is not a question; or a value of those columns is no number.
    """
    from ensue.asked import read_question
    from ensue.questions import NO_NUMBER, legible

    where = "standard input" if path == "-" else path
    try:
        text = sys.stdin.read() if path == "-" else Path(path).expanduser().read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise QueryError(f"{where} is not text in UTF-8: {fault}.") from fault
    except OSError as fault:
        raise QueryError(f"{where} cannot be read: {fault.strerror}.") from fault
    asked, odd = legible(read_question(text.removeprefix("\ufeff"), where), numbers)
    for name, place in odd:
        raise QueryError(f"{where}: context.{name}[{place}] {NO_NUMBER}")
    return asked


def unread(question: Question, names: Sequence[str]) -> list[str]:
    """What of a question's context a model does not read, in words.

    Args:
        question: as it was asked.
        names: the columns that the model reads.
    """
    has = f"it reads {', '.join(names)}" if names else "it reads no column of the events"
    return [
        f"this model does not read '{name}' of the context; {has}.{nearest(name, names)}".removesuffix(".")
        for name in question.context
        if name not in names
    ]


def unkept(question: Question, names: Sequence[str]) -> list[str]:
    """What a model reads and a run has not kept of a user's history, in words.

    Args:
        question: as it was made of what the run has kept.
        names: the columns that the model reads.
    """
    held: Mapping[str, object] = {"time": question.times, "rating": question.ratings, **question.context}
    return [
        f"this run has kept no '{name}' with its histories, which the model reads: it answers as if none were known"
        for name in names
        if held.get(name) is None
    ]


def lines(slate: Slate, asked: str) -> list[str]:
    """What has to be said of an answer, in words.

    Args:
        slate: the answer.
        asked: what was asked, such as "a new user".
    """
    said = []
    if slate.unknown:
        said.append(f"unknown to this model, and left out: {', '.join(slate.unknown)}")
    if slate.fallback:
        said.append(f"fallback: {asked}, so this is what everybody takes (popularity)")
    return said
