"""Why an item is in an answer: which events of the history drove its score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ensue.batching import Ints, Items
from ensue.catalogue import UNKNOWN
from ensue.errors import QueryError
from ensue.explaining.attribution import Attribution, attribute
from ensue.explaining.counterfactual import taken_away
from ensue.explaining.explanation import EXACT, FALLBACK, OCCLUSION, POPULAR, Explanation, Reason, Without
from ensue.explaining.leaving_out import Floats, Ranking, without_one
from ensue.questions import Question, ids_of, queries_of
from ensue.ranking import Recommender, checked_k, exclude_own
from ensue.sequences import Queries

OWN = "it belongs to whoever asks, and is in no answer to them"


def explain(
    recommender: Recommender,
    history: Sequence[str] | Question,
    item: str,
    k: int = 10,
    *,
    exclude: Iterable[str] = (),
    exclude_seen: bool | None = None,
    most: int = 5,
) -> Explanation:
    """Which events of a history drove the score of an item.

    Scores that are sums of what each event adds are taken apart exactly. Of others each event is left out in turn;
    what is lost then is the part of the event, and such parts do not add up.

    Args:
        recommender: what answers.
        history: item ids, oldest first, or a `Question` that tells more.
        item: id of the item, in the answer or not.
        k: length of the list that is spoken of.
        exclude: ids that no answer may hold.
        exclude_seen: leave items of the history out of the list; None takes the recommender's own rule.
        most: how many reasons are given.

    Raises:
        QueryError: the item is not in the catalogue, k is no number, or the history is not a list of ids.
    """
    explained = explain_items(
        recommender, history, [item], k, exclude=exclude, exclude_seen=exclude_seen, most=most
    )
    return explained[0]


def explain_items(
    recommender: Recommender,
    history: Sequence[str] | Question,
    items: Sequence[str],
    k: int = 10,
    *,
    exclude: Iterable[str] = (),
    exclude_seen: bool | None = None,
    most: int = 5,
) -> list[Explanation]:
    """One explanation for each of several items, such as those of a slate; see `explain`."""
    k = checked_k(k)
    catalogue = recommender.catalogue
    codes = catalogue.encode(ids_of(items, "items"))
    for item, code in zip(items, codes.tolist(), strict=True):
        if code == UNKNOWN:
            raise QueryError(
                f"The model knows no item '{item}', so there is nothing to explain: ask about an item of an answer."
            )
    if len(codes) == 0:
        return []
    asked = history if isinstance(history, Question) else Question(history)
    queries, coded = queries_of([asked], catalogue)
    banned = catalogue.encode(ids_of(exclude, "exclude"))
    seen = recommender.exclude_seen if exclude_seen is None else exclude_seen
    ranking = Ranking(recommender, seen, banned[banned != UNKNOWN])
    scores, places = ranking.standing(queries, queries, codes[None, :])
    shown = exclude_own(np.zeros((1, len(catalogue))), queries, catalogue)[0]
    own = [(OWN,) if np.isneginf(shown[code]) else () for code in codes.tolist()]
    standing = list(zip(items, codes.tolist(), scores[0].tolist(), places[0].tolist(), strict=True))
    if queries.lengths[0] == 0:
        note = "popular items: no item of the history is known, so nothing of it is a reason"
        return [
            Explanation(item, catalogue.titles[code], score, place, k, FALLBACK, notes=(note, *mine))
            for (item, code, score, place), mine in zip(standing, own, strict=True)
        ]
    found = attribute(ranking, queries, codes[None, :])
    events = np.flatnonzero(coded[0] != UNKNOWN)
    strongest = [_strongest(found.parts[:, column], most) for column in range(len(codes))]
    places_without = _places_without(ranking, queries, codes[None, :], found, strongest)
    history_items = list(asked.history)
    explained = []
    for column, (item, code, score, place) in enumerate(standing):
        reasons = tuple(
            Reason(
                int(events[event]),
                history_items[events[event]],
                catalogue.titles[int(queries.items[queries.starts[0] + event])],
                float(found.parts[event, column]),
                int(places_without[event, column]),
            )
            for event in strongest[column].tolist()
        )
        base = others = None
        if found.rest is not None:
            base = float(found.rest[0, column])
            others = float(found.parts[:, column].sum()) - sum(reason.part for reason in reasons)
            others = 0.0 if abs(others) < 1e-12 * abs(score) else others
        explained.append(
            Explanation(
                item,
                catalogue.titles[code],
                score,
                place,
                k,
                _method(found, column),
                reasons,
                base,
                others,
                _without(ranking, queries, code, place, k, found.parts[:, column], events, history_items),
                (*_notes(found, column, queries, code, seen), *own[column]),
            )
        )
    return explained


def _strongest(parts: Floats, most: int) -> Ints:
    """The events that raise the score, the strongest first, of equals the newest."""
    newest_first = np.argsort(-parts[::-1], kind="stable")
    order = len(parts) - 1 - newest_first
    return order[parts[order] > 0][:most]


def _places_without(
    ranking: Ranking, queries: Queries, codes: Items, found: Attribution, strongest: Sequence[Ints]
) -> Ints:
    """`[E, I]` where the items stand without each event that is named, 0 for others."""
    if found.places is not None:
        return found.places
    named = np.unique(np.concatenate(strongest))
    places = np.zeros(found.parts.shape, dtype=np.int64)
    if len(named):
        rows = np.zeros(len(named), dtype=np.int64)
        _, places[named] = ranking.standing(
            without_one(queries, rows, named), queries[rows], np.repeat(codes, len(named), axis=0)
        )
    return places


def _method(found: Attribution, column: int) -> str:
    if not found.adds_up:
        return OCCLUSION
    return EXACT if np.any(found.parts[:, column]) else POPULAR


def _notes(found: Attribution, column: int, queries: Queries, code: int, seen: bool) -> tuple[str, ...]:
    notes = []
    if _method(found, column) == POPULAR:
        notes.append("popular items: no event of the history adds to this score")
    if found.tried is not None and queries.lengths[0] > found.tried:
        notes.append(f"only the newest {found.tried} of {queries.lengths[0]:,} events were left out in turn")
    if not found.adds_up and queries.lengths[0] == 1:
        notes.append("without its one event popularity answers, whose scores are on another scale")
    if seen and code in queries.items:
        notes.append("it is in the history, whose items are left out of answers")
    return tuple(notes)


def _without(
    ranking: Ranking,
    queries: Queries,
    code: int,
    place: int,
    k: int,
    parts: Floats,
    events: Ints,
    history: Sequence[str],
) -> Without | None:
    found = taken_away(ranking, queries, code, place, k, parts)
    if found is None:
        return None
    gone, place_then, instead = found
    catalogue = ranking.recommender.catalogue
    own = [int(events[event]) for event in gone.tolist()]
    return Without(
        tuple(own),
        tuple(history[event] for event in own),
        tuple(catalogue.titles[int(item)] for item in queries.items[queries.starts[0] + gone]),
        place_then,
        None if instead == UNKNOWN else catalogue.decode([instead])[0],
        None if instead == UNKNOWN else catalogue.titles[instead],
    )
