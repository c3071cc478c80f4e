"""The re-ranker: an engine's list and what its reader has done in, the same candidates in a better order out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.errors import ArtifactError
from ensue.questions import Question
from ensue.reranking import per_list
from ensue.reranking.asking import Candidate, shown_of
from ensue.reranking.choice import Choice
from ensue.reranking.features import FAMILIES, Features, Vocabulary, features
from ensue.reranking.shown import Shown
from ensue.reranking.tables import Tables

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Reranked:
    """One candidate in its new place.

    Attributes:
        item: its id.
        score: the sum of its parts; 0 is the average candidate of the list.
        probability: that it is chosen, if one of the list is.
        was: its place in the list of the engine, from 1.
        parts: what each family of features adds to the score.
    """

    item: str
    score: float
    probability: float
    was: int
    parts: Mapping[str, float]

    def to_json(self, explain: bool = True) -> dict[str, Any]:
        """The candidate for programs."""
        row = {"item": self.item, "score": self.score, "probability": self.probability, "was": self.was}
        return row | ({"parts": dict(self.parts)} if explain else {})


@dataclass(frozen=True, eq=False)
class Reranker:
    """A fitted re-ranker, complete.

    Attributes:
        choice: weights of the features.
        names: `[F]` the features that the weights are of.
        tables: what training says of items.
        vocabulary: the kinds of events and the values of context that are told apart.
        families: which families of features are read.
        facts: what is known of its making.
        sources: folders of models that were there before it, by name.
    """

    choice: Choice
    names: tuple[str, ...]
    tables: Tables
    vocabulary: Vocabulary
    families: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.choice.weights) != len(self.names):
            raise ArtifactError(
                f"A re-ranker has {len(self.choice.weights)} weights for {len(self.names)} features: save it anew."
            )

    def scores(self, shown: Shown) -> Values:
        """`[C]` the score of each candidate: the higher, the earlier."""
        return self.choice.scores(self._features(shown).values, shown.offsets)

    def parts(self, shown: Shown) -> dict[str, Values]:
        """`[C]` what each family adds to the scores; they sum to them."""
        return self._answer(shown)[0]

    def rerank(
        self,
        question: Question | Sequence[str],
        candidates: Sequence[Candidate | str],
        context: Mapping[str, str] | None = None,
    ) -> list[Reranked]:
        """The candidates, the best first; of equals, the engine's order stays.

        Args:
            question: what was done before, oldest first. The kinds of the events are the column "event" of its context;
                an event that concerns no item has the id "".
            candidates: in the order of the engine.
            context: what else is known of the list, such as {"device": "mobile"}.

        Raises:
            QueryError: a candidate is named twice, or has no id.
        """
        asked = question if isinstance(question, Question) else Question(question)
        if not candidates:
            return []
        shown = shown_of(asked, candidates, context or {})
        parts, scores = self._answer(shown)
        chances = per_list.softmax(scores, shown.offsets)
        ids = shown.ids.gather(shown.items).to_list()
        return [
            Reranked(
                ids[place],
                float(scores[place]),
                float(chances[place]),
                place + 1,
                {family: float(values[place]) for family, values in parts.items()},
            )
            for place in per_list.order_of(shown.offsets, scores).tolist()
        ]

    def _answer(self, shown: Shown) -> tuple[dict[str, Values], Values]:
        """What each family adds, and the scores."""
        found = self._features(shown)
        each = self.choice.parts(found.values, shown.offsets)
        parts = {
            family: each[:, [one == family for one in found.families]].sum(axis=1)
            for family in FAMILIES
            if family in self.families
        }
        return parts, each.sum(axis=1)

    def _features(self, shown: Shown) -> Features:
        found = features(shown, self.tables, self.vocabulary, self.families)
        if found.names != self.names:
            raise ArtifactError(
                "This re-ranker was fitted by another version of ensue, whose features differ: fit it anew."
            )
        return found
