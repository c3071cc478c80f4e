"""Candidates of another engine in a better order: the model's opinion, and the engine's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ensue.catalogue import UNKNOWN
from ensue.questions import Question, queries_of
from ensue.ranking import check_scores
from ensue.reranking import Candidate as Proposed
from ensue.reranking import Reranker
from ensue.serving.schemas import Candidate, Rerank
from ensue.serving.served import Served


def reranked(served: Served, asked: Rerank, question: Question, withdrawn: frozenset[str]) -> dict[str, Any]:
    """The candidates, best first.

    Both opinions are compared by place: an item's share of the candidates below it. Candidates that the model does not
    know keep the middle of what it says, so that the engine's opinion decides about them.

    Args:
        served: the model.
        asked: candidates, with scores or in the engine's order.
        question: whose order it is.
        withdrawn: ids of items that are in no answer.
    """
    candidates = [one if isinstance(one, Candidate) else Candidate(item=one) for one in asked.candidates]
    gone = [one.item for one in candidates if one.item in withdrawn]
    candidates = [one for one in candidates if one.item not in withdrawn]
    items = [one.item for one in candidates]
    if not items:
        return {"items": [], "unknown": [], "withdrawn": gone}
    recommender = served.recommender
    codes = recommender.catalogue.encode(items)
    queries, _ = queries_of([question], recommender.catalogue)
    scores = recommender.scores(queries)
    check_scores(scores)
    known = codes != UNKNOWN
    own = np.full(len(items), np.nan)
    own[known] = scores[0][codes[known]]
    model, engine = _shares(own), _shares(_engine(candidates))
    both = asked.weight * model + (1 - asked.weight) * engine
    order = np.lexsort((-engine, -both))
    k = len(items) if asked.k is None else asked.k
    titles = recommender.catalogue.titles
    rows = []
    for place in order[:k].tolist():
        row: dict[str, Any] = {"item": items[place], "score": float(both[place])}
        if asked.titles and known[place] and titles[codes[place]] is not None:
            row["title"] = titles[codes[place]]
        rows.append(row)
    unknown = [item for item, there in zip(items, known, strict=True) if not there]
    return {"items": rows, "unknown": unknown, "withdrawn": gone}


def learnt_order(
    reranker: Reranker, asked: Rerank, question: Question, withdrawn: frozenset[str]
) -> dict[str, Any]:
    """The candidates as a re-ranker orders them, with their probabilities, and what each score is the sum of.

    Args:
        reranker: what answers; the weight of the request is the model's matter, and is not looked at.
        asked: candidates, with scores and prices or in the engine's order.
        question: what was done before.
        withdrawn: ids of items that are in no answer.
    """
    listed = [one if isinstance(one, Candidate) else Candidate(item=one) for one in asked.candidates]
    kept = [Proposed(one.item, one.score, one.price) for one in listed if one.item not in withdrawn]
    rows = [one.to_json(asked.explain) for one in reranker.rerank(question, kept, asked.shown)]
    codes = reranker.tables.catalogue.encode([one.item for one in kept]).tolist()
    return {
        "items": rows if asked.k is None else rows[: asked.k],
        "unknown": [one.item for one, code in zip(kept, codes, strict=True) if code == UNKNOWN],
        "withdrawn": [one.item for one in listed if one.item in withdrawn],
    }


def _engine(candidates: list[Candidate]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What the engine thinks: its scores, or its order where it gives none."""
    scores = [one.score for one in candidates]
    if all(score is None for score in scores):
        return -np.arange(len(scores), dtype=np.float64)
    return np.array([np.nan if score is None else score for score in scores], dtype=np.float64)


def _shares(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """`[C]` the share of the others that lie below each value, equal ones half; one half where there is no value."""
    found = np.full(len(values), 0.5)
    held = ~np.isnan(values)
    count = int(held.sum())
    if count > 1:
        ordered = np.sort(values[held])
        below = np.searchsorted(ordered, values[held], side="left")
        equal = np.searchsorted(ordered, values[held], side="right") - below - 1
        found[held] = (below + equal / 2) / (count - 1)
    return found
