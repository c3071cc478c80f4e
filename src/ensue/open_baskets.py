"""What else for an open basket: the question that CLI, HTTP and Python ask alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ensue.catalogue import Catalogue
from ensue.questions import Question, ids_of

BASKET = "basket"
OPEN = "open"
"""The id of the open basket in a question; ids of baskets are only told apart from their neighbours'."""


def open_question(past: Question, basket: Sequence[str], catalogue: Catalogue) -> Question:
    """The question what else, after a history and an open basket; leave the basket's items out of the answer.

    The order of the basket says nothing: its items are asked about in that of the catalogue, the most frequent last,
    and each once. They are there when it is asked, and nothing else is known of them: no ratings, no columns. Models
    that read baskets see that they lie together.

    Args:
        past: what was before, which may be nothing.
        basket: ids of items.
        catalogue: the items of the model.

    Raises:
        QueryError: the basket is no list of ids.
    """
    given = list(dict.fromkeys(ids_of(basket, "basket")))
    codes = catalogue.encode(given)
    ordered = [given[place] for place in np.lexsort((np.array(given, dtype=object), codes)).tolist()[::-1]]
    none: list[None] = [None] * len(ordered)
    before_it = [None] * len(past.history) if past.times is None and not past.history else past.times
    before = past.context.get(BASKET, [None] * len(past.history))
    # the basket of before that is called alike is another one
    named = [value if value != OPEN else f"{OPEN} before" for value in before]
    return replace(
        past,
        history=[*past.history, *ordered],
        times=None if before_it is None else [*before_it, *([past.at] * len(ordered))],
        ratings=None if past.ratings is None else [*past.ratings, *none],
        context={name: [*values, *none] for name, values in past.context.items()}
        | {BASKET: [*named, *([OPEN] * len(ordered))]},
    )
