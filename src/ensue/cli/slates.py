"""Recommendations on the screen: one table for an answer, and the samples at the end of a run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensue.cli import asking, terminal

if TYPE_CHECKING:
    from datetime import datetime

    from ensue.explaining import Explanation
    from ensue.ladder import Outcome
    from ensue.questions import Question
    from ensue.ranking import Recommender, Slate

ENDINGS = (".parquet", ".csv")
"""What the answers for all users are written as."""
FILMS = ("Star Wars (1977)", "Fargo (1996)")
"""The history that is typed as titles, where the catalogue has them."""


@dataclass(frozen=True)
class Sample:
    """A question with its answer.

    Attributes:
        kind: "user of the log", "typed history" or "new user".
        what: the question in words, for the user's own terminal.
        history: ids, oldest first.
        slate: the answer.
        asked: why there is a fallback, if there is one.
        command: what asks the same.
    """

    kind: str
    what: str
    history: Sequence[str]
    slate: Slate
    asked: str
    command: str

    def to_json(self) -> dict[str, Any]:
        """The sample for programs; it names no user."""
        return {"question": self.kind, "history": list(self.history), **self.slate.to_json()}


def samples(outcome: Outcome, recommender: Recommender, k: int) -> list[Sample]:
    """Answers of the best model for a user of the log, for a typed history, and for somebody new."""
    folder = shlex.quote(str(outcome.folder))
    log = outcome.log.frame
    begin = f"ensue recommend {folder}"
    found = []
    user = str(log["user"][log["time"].arg_max() or 0])  # whoever acted last
    question = asking.of_user(outcome.folder, user) if outcome.experiment.keep_histories else None
    if question is not None:
        command = f"{begin} --user {shlex.quote(user)} -k {k}"
        what = f"A user of the log: {user}" + (", who acted last" if outcome.log.has_time else "")
        found.append(
            Sample(
                "user of the log",
                what,
                question.history,
                recommender.recommend(question, k),
                "no item is known",
                command,
            )
        )
    history, texts = _typed(recommender)
    option = (
        f"--titles {shlex.quote('; '.join(texts))}" if texts else f"--history {shlex.quote(listed(history))}"
    )
    what = "A history typed as titles" if texts else "A history typed as ids"
    command = f"{begin} {option} -k {k}"
    found.append(
        Sample("typed history", what, history, recommender.recommend(history, k), "no item is known", command)
    )
    empty = recommender.recommend([], k)
    found.append(
        Sample("new user", "A user never seen", [], empty, "nothing is known of this user", f"{begin} -k {k}")
    )
    return found


def _typed(recommender: Recommender) -> tuple[list[str], list[str]]:
    """A history to show how one is typed: ids, and their titles (none where items have no titles)."""
    catalogue = recommender.catalogue
    films = [catalogue.find(film) for film in FILMS]
    chosen = [matches[0] for matches in films if matches]
    if len(chosen) < len(FILMS):
        chosen = list(range(min(2, len(catalogue))))
    texts = [catalogue.titles[index] for index in chosen]
    plain = [text for text in texts if text is not None and ";" not in text]
    same = [catalogue.find(text)[:1] for text in plain]
    usable = len(plain) == len(chosen) and same == [[index] for index in chosen]
    return catalogue.decode(chosen), plain if usable else []


def listed(history: Sequence[str]) -> str:
    """A history as --history takes it: "a,b", or a JSON list where an id needs it."""
    import json

    odd = any("," in item or item != item.strip() or item.startswith("[") for item in history)
    return json.dumps(list(history), ensure_ascii=False) if odd else ",".join(history)


def show_samples(found: Sequence[Sample], recommender: Recommender, k: int) -> None:
    """Prints each sample with the end of its history."""
    for sample in found:
        terminal.out()
        terminal.out(sample.what)
        if sample.history:
            shown = [named(recommender, item) for item in sample.history[-3:]]
            before = f"... ({len(sample.history) - 3:,} before) > " if len(sample.history) > 3 else ""
            terminal.out(f"  history: {before}{' > '.join(shown)}")
        show(sample.slate, sample.asked, k)


def named(recommender: Recommender, item: str) -> str:
    """An item by its title where it has one, else by its id."""
    (index,) = recommender.catalogue.encode([item]).tolist()
    title = recommender.catalogue.titles[index] if index >= 0 else None
    return title if title is not None else item


def show(slate: Slate, asked: str, k: int, ratings: Sequence[float] | None = None) -> None:
    """Prints an answer of at most k items, their expected ratings too if there are any, and what is to be said."""
    for line in asking.lines(slate, asked):
        terminal.out(f"  {line}")
    if not slate.items:
        terminal.out(
            "  no item is left to recommend: all are in the history, or excluded"
            if k
            else "  no item was asked for"
        )
        return
    titles = any(title is not None for title in slate.titles)
    heads: list[str | tuple[str, dict[str, Any]]] = [
        ("rank", {"justify": "right"}),
        ("id", {"overflow": "fold"}),
    ]
    heads += [("title", {"overflow": "fold"})] if titles else []
    heads += [("score", {"justify": "right"}), *([("rating", {"justify": "right"})] if ratings else [])]
    made = terminal.table(*heads)
    for place, (item, title, score) in enumerate(zip(slate.items, slate.titles, slate.scores, strict=True)):
        cells = [str(place + 1), item, *([title or ""] if titles else []), f"{score:.4g}"]
        terminal.row(made, [*cells, *([f"{ratings[place]:.2f}"] if ratings else [])])
    terminal.show(made)


def expected(recommender: Recommender, asked: Question, slate: Slate) -> list[float]:
    """The ratings that are expected of the items of an answer.

    Raises:
        QueryError: the model has learnt no ratings.
    """
    from ensue.expected_ratings import rate

    found = rate(recommender, asked, slate.items)
    return [round(found[item], 4) for item in slate.items]


def show_ratings(
    recommender: Recommender, asked: Question, items: Sequence[str], notes: Sequence[str], as_json: bool
) -> None:
    """Prints which ratings are expected of some items, and which of them the model does not know.

    Raises:
        QueryError: the model has learnt no ratings.
    """
    from ensue.expected_ratings import rate

    found = rate(recommender, asked, items)
    unknown = [item for item in items if item not in found]
    if as_json:
        rows = [{"item": item, "rating": round(found[item], 4)} for item in items if item in found]
        terminal.emit({"model": recommender.model, "ratings": rows, "unknown": unknown, "notes": list(notes)})
        return
    for line in notes:
        terminal.out(line)
    if unknown:
        terminal.out(f"unknown to this model, and left out: {', '.join(unknown)}")
    terminal.out(f"{len(items) - len(unknown)} ratings that {recommender.model} expects:")
    made = terminal.table(
        ("id", {"overflow": "fold"}), ("title", {"overflow": "fold"}), ("rating", {"justify": "right"})
    )
    for item in items:
        if item in found:
            name = named(recommender, item)
            terminal.row(made, [item, "" if name == item else name, f"{found[item]:.2f}"])
    terminal.show(made)


def answer(
    recommender: Recommender,
    asked: Question,
    k: int,
    exclude: Sequence[str],
    exclude_seen: bool | None,
    rules: Path | None,
) -> tuple[Slate, list[str]]:
    """The answer to a question, by the rules of a TOML file where one is given, and what these say of it.

    Raises:
        EnsueError: the question or the rules have faults.
    """
    if rules is None:
        return recommender.recommend(asked, k, exclude=exclude, exclude_seen=exclude_seen), []
    from ensue.rules import Ruling, read_rules_file, recommend

    ruling = Ruling(read_rules_file(rules), recommender.catalogue)
    slate, ruled = recommend(recommender, ruling, asked, k, exclude=exclude, exclude_seen=exclude_seen)
    unknown = ruling.unknown()
    more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
    listed = f"listed by the rules, and unknown to this model: {', '.join(unknown[:5])}{more}"
    return slate, ([listed] if unknown else []) + list(ruled.notes)


def write_all(
    recommender: Recommender,
    run: Path,
    out: Path,
    k: int,
    exclude: Sequence[str],
    exclude_seen: bool | None,
    at: datetime | None,
) -> dict[str, int]:
    """Writes the answers for all users whose histories a run has kept; how many users and rows there are.

    Raises:
        EnsueError: the run has kept no histories, or the file cannot be written.
    """
    from ensue import ladder
    from ensue.errors import QueryError
    from ensue.everybody import slates_of_all

    if out.suffix not in ENDINGS:
        raise QueryError(f"{out} must end in {' or '.join(ENDINGS)}: by that it is told what to write.")
    whole = run.parent.parent if run.parent.name == ladder.MODELS else run
    table = slates_of_all(
        recommender, ladder.histories(whole), k, exclude=exclude, exclude_seen=exclude_seen, at=at
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        table.write_csv(out) if out.suffix == ".csv" else table.write_parquet(out)
    except OSError as fault:
        raise QueryError(f"{out} cannot be written: {fault.strerror or fault}.") from fault
    return {"users": table["user"].n_unique(), "rows": table.height}


def explained(
    recommender: Recommender,
    asked: Question,
    slate: Slate,
    k: int,
    exclude: Sequence[str],
    exclude_seen: bool | None,
) -> list[Explanation]:
    """Why each item of an answer is there; places are those of the model, before any rules."""
    from ensue.explaining import explain_items

    return explain_items(recommender, asked, slate.items, k, exclude=exclude, exclude_seen=exclude_seen)


def show_explanations(found: Sequence[Explanation]) -> None:
    """Prints why each item is there."""
    if found:
        terminal.out()
        terminal.out("why each is there:")
    for one in found:
        for line in one.lines():
            terminal.out(line)
