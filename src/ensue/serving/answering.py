"""One question answered by one model, with what each stage has cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import polars as pl

from ensue.expected_ratings import rate, rates
from ensue.explaining import explain_items
from ensue.questions import Question
from ensue.ranking import Recommender, Slate
from ensue.rules import read_rules, recommend
from ensue.serving.problems import Problem
from ensue.serving.schemas import Recommend
from ensue.serving.served import Served

SHOWN = 50
"""Entries of a feature that is a list."""


def answered(served: Served, asked: Recommend, question: Question, k: int) -> dict[str, Any]:
    """The answer to a request, as JSON has it.

    Args:
        served: who answers.
        asked: the request.
        question: of it.
        k: how many items.

    Raises:
        ConfigError: its rules have faults.
        QueryError: its history has.
        Problem: ratings are wanted of a model that has learnt none.
    """
    began = time.perf_counter()
    ruling = served.ruling
    if asked.rules:
        ruling = ruling.also(read_rules(asked.rules, "rules"))
    ready = time.perf_counter()
    slate, ruled = recommend(
        served.recommender, ruling, question, k, exclude=asked.exclude, exclude_seen=asked.exclude_seen
    )
    done = time.perf_counter()
    found: dict[str, Any] = {
        "items": listed(served, slate, asked.titles, asked.features),
        "fallback": slate.fallback,
        "unknown": list(slate.unknown),
        "model": served.to_json(),
    }
    if ruled.notes:
        found["notes"] = list(ruled.notes)
    if asked.ratings:
        rating_of(served)
        expected = rate(served.recommender, question, slate.items)
        for row in found["items"]:
            row["rating"] = round(expected[row["item"]], 4)
    if asked.explain:
        whys = explain_items(
            served.recommender,
            question,
            slate.items,
            max(k, 1),
            exclude=asked.exclude,
            exclude_seen=asked.exclude_seen,
        )
        for row, why in zip(found["items"], whys, strict=True):
            row["why"] = why.to_json()
    if asked.timings:
        cost = {name: round(value, 4) for name, value in ruled.cost.items()}
        whole = 1000 * (done - ready)
        found["milliseconds"] = {
            "rules": round(1000 * (ready - began), 4),
            "scores": round(whole - sum(ruled.cost.values()), 4),
            **cost,
            "explain": round(1000 * (time.perf_counter() - done), 4) if asked.explain else 0.0,
        }
    return found


def rating_of(served: Served) -> Recommender:
    """The model as one that answers with ratings.

    Raises:
        Problem: it has learnt none.
    """
    found = rates(served.recommender)
    if found is None:
        raise Problem(
            422,
            "no-ratings",
            f"The model {served.label} has learnt no ratings: train one with a loss of ratings, or with ratings beside "
            "next items (objective.rating).",
        )
    return found


def plain(value: Any) -> Any:
    """A value of a table as JSON has it, lists cut to a length that can be shown."""
    if isinstance(value, list | pl.Series):
        return [plain(one) for one in value[:SHOWN]]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def listed(served: Served, slate: Slate, titles: bool, features: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The items of an answer with what is wanted of them."""
    rows: list[dict[str, Any]] = []
    table = served.recommender.catalogue.features
    held = [name for name in features if table is not None and name in table.columns]
    codes = served.recommender.catalogue.encode(slate.items if held else ()).tolist()
    for place, (item, score, title) in enumerate(zip(slate.items, slate.scores, slate.titles, strict=True)):
        row: dict[str, Any] = {"item": item, "score": score}
        if titles and title is not None:
            row["title"] = title
        if held and table is not None:
            row["features"] = {name: plain(table[name][codes[place]]) for name in held}
        rows.append(row)
    return rows
