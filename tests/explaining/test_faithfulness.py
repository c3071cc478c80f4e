"""Taking out the events that are named first takes more of the score and of the place than taking out any."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue.batching import Items
from ensue.catalogue import Catalogue
from ensue.errors import QueryError
from ensue.events.simulate import source
from ensue.examples import Examples
from ensue.explaining import faithfulness
from ensue.explaining.leaving_out import Floats, Ranking
from ensue.model import fit
from ensue.ranking import Parts, Recommender, Scores, Scoring
from ensue.sequences import Queries
from ensue.splits import split


@dataclass(frozen=True, eq=False)
class Opaque:
    """Another scoring, which no longer says what its scores are made of."""

    scoring: Scoring

    def score(self, queries: Queries) -> Scores:
        return self.scoring.score(queries)

    def parts(self) -> Parts:
        return self.scoring.parts()


@pytest.fixture(scope="module", params=["markov", "rules", "v-sknn"])
def asked(request: pytest.FixtureRequest) -> tuple[Recommender, Examples]:
    """A model of a log in which the last event tells what comes next, and what it is asked."""
    parts = split(source("markov", items=30, predictability=0.8).log(users=80, length=8), "last")
    recommender = fit(request.param, parts.train)
    return recommender, parts.examples("test", recommender.catalogue)


def at_random(ranking: Ranking, queries: Queries, items: Items) -> Floats:
    return np.random.default_rng(3).random(int(queries.lengths.sum()))


@pytest.mark.parametrize("opaque", [False, True])
def test_what_is_named_first_matters_more(asked: tuple[Recommender, Examples], opaque: bool) -> None:
    recommender, examples = asked
    if opaque:
        recommender = replace(recommender, scoring=Opaque(recommender.scoring))
    found = faithfulness(recommender, examples)
    assert found.holds
    assert found.score.low > 0
    assert found.rank.low > 0
    assert (found.queries, found.left_out, found.score.n) == (80, 0, 80)
    assert "explanations name what matters, over 80 questions of 80 users" in found.lines()[-1]


def test_events_named_at_random_are_found_out(asked: tuple[Recommender, Examples]) -> None:
    found = faithfulness(*asked, naming=at_random)
    assert not found.holds
    assert found.score.low <= 0 <= found.score.high
    assert "NOT SHOWN" in found.lines()[-1]


def test_the_drop_is_the_score_less_the_score_without(asked: tuple[Recommender, Examples]) -> None:
    recommender, examples = asked
    some = examples[np.array([4])]
    begin, end = int(some.queries.starts[0]), int(some.queries.ends[0])
    history = some.queries.items[begin:end].tolist()

    def first_event(ranking: Ranking, queries: Queries, items: Items) -> Floats:
        return np.array([1.0] + [0.0] * (len(history) - 1))

    def score(events: list[int], item: int) -> float:
        return float(recommender.scores(Queries.of([events], 30))[0, item])

    whole = recommender.scores(Queries.of([history], 30))[0]
    whole[history] = -np.inf
    item = int(whole.argmax())
    found = faithfulness(recommender, some, naming=first_event, repeats=400)
    assert found.named[0] == pytest.approx(score(history, item) - score(history[1:], item), abs=1e-12)
    drops = [score(history, item) - score(history[:n] + history[n + 1 :], item) for n in range(len(history))]
    assert found.random[0] == pytest.approx(np.mean(drops), abs=4 * float(np.std(drops)) / 20 + 1e-9)


@dataclass(frozen=True, eq=False)
class OneTells:
    """Item 0 is worth 1 to whoever had item 1, and 0 to others."""

    def score(self, queries: Queries) -> Scores:
        rows, items = queries.pairs()
        scores = np.zeros((len(queries), queries.n_items))
        scores[rows[items == 1], 0] = 1.0
        return scores

    def parts(self) -> Parts:
        return Parts()


def test_users_count_alike_however_many_questions_they_ask() -> None:
    """Three questions of one user lose 1 by what is named and half of that by chance; one of another loses nothing."""
    catalogue = Catalogue(pl.Series("item", list("abcd")), np.array([1, 2, 3, 4]))
    recommender = Recommender(catalogue, OneTells(), "one tells", exclude_seen=False)
    queries = Queries.of([[1, 2], [2, 1], [1, 3], [2, 3], [2]], 4)
    ids = pl.Series(["u", "v"])
    targets = np.zeros(5, dtype=np.int32)
    examples = Examples(queries, targets, np.array([0, 0, 0, 1, 1]), ids, pl.Series(["a"] * 5), "as given")
    found = faithfulness(recommender, examples, repeats=2000)
    assert (found.queries, found.left_out, found.score.n) == (4, 1, 2)
    assert found.score.value == pytest.approx((1 - 1 / 2 + 0) / 2, abs=0.03)
    assert found.named[0] == 3 / 4


def test_same_seed_same_figures_and_a_part_is_drawn(asked: tuple[Recommender, Examples]) -> None:
    once, again = (faithfulness(*asked, most=30, seed=5).to_json() for _ in range(2))
    assert once == again
    assert once["queries"] == 30
    assert once != faithfulness(*asked, most=30, seed=6).to_json()


@pytest.mark.parametrize("settings", [{"events": 0}, {"most": 0}, {"repeats": 0}, {"events": 50}])
def test_what_cannot_be_asked_is_refused(
    asked: tuple[Recommender, Examples], settings: dict[str, Any]
) -> None:
    with pytest.raises(QueryError, match=r"at least 1|No history has more than 50"):
        faithfulness(*asked, **settings)
