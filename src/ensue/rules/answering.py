"""A recommender's answer that keeps to rules, in the user's own ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ensue.catalogue import UNKNOWN
from ensue.questions import Question, ids_of, queries_of
from ensue.ranking import Recommender, Slate, check_scores, checked_k
from ensue.rules.rule import Request
from ensue.rules.ruling import Ruled, Ruling
from ensue.sequences import MISSING_TIME


def recommend(
    recommender: Recommender,
    ruling: Ruling,
    history: Sequence[str] | Question,
    k: int = 10,
    *,
    exclude: Iterable[str] = (),
    exclude_seen: bool | None = None,
) -> tuple[Slate, Ruled]:
    """What comes next after a history, as the rules would have it; and how they were applied.

    Args:
        recommender: what answers.
        ruling: rules made ready for its catalogue.
        history: item ids, oldest first, or a `Question` that tells more.
        k: how many items at most.
        exclude: ids that must not be in the answer.
        exclude_seen: leave out items of the history, where no rule speaks of them; None takes the recommender's own.

    Raises:
        QueryError: k is not a whole number from 0 up, or the history is not a list of ids.
    """
    catalogue = recommender.catalogue
    asked = history if isinstance(history, Question) else Question(history)
    queries, coded = queries_of([asked], catalogue)
    excluded, not_known = ruling.columns.codes(ids_of(exclude, "exclude"))
    at = MISSING_TIME if queries.at is None else int(queries.at[0])
    request = Request(
        checked_k(k),
        np.unique(queries.items),
        excluded,
        recommender.exclude_seen if exclude_seen is None else exclude_seen,
        None if at == MISSING_TIME else at,
    )
    scores = np.array(recommender.scores(queries))
    check_scores(scores)
    ruled = ruling.apply(scores[0], request)
    unknown = [item for item, code in zip(asked.history, coded[0].tolist(), strict=True) if code == UNKNOWN]
    slate = Slate(
        tuple(catalogue.decode(ruled.items)),
        tuple(ruled.scores.tolist()),
        tuple(catalogue.titles[item] for item in ruled.items.tolist()),
        len(queries.items) == 0,
        tuple(dict.fromkeys([*unknown, *not_known])),
    )
    return slate, ruled
