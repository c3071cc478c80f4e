"""One rule in one home: what belongs to a user is never shown to that user, whoever answers and however it is asked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue import artifacts, runtime
from ensue.catalogue import Catalogue
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.events.readers.friendships import people
from ensue.everybody import slates_of_all
from ensue.explaining import explain_items
from ensue.model import Training, model_of
from ensue.questions import Question, queries_of
from ensue.ranking import Recommender, exclude_own
from ensue.rules import Ruling, read_rules, recommend
from ensue.sequences import Queries
from ensue.splits import friends_out

PEOPLE = "abcdefgh"
MODELS = ("popular", "mutual-friends", "friend-walks", "profiles", "markov", "neighbours", "log-linear")
friendships = st.sets(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)).filter(lambda p: p[0] < p[1]), min_size=3
)


def log_of(friends: set[tuple[str, str]]) -> EventLog:
    rows = [turned for pair in sorted(friends) for turned in (pair, pair[::-1])]
    frame = pl.DataFrame(rows, schema=["user", "item"], orient="row")
    return EventLog.of(frame, people(frame["item"].unique(maintain_order=True)))


@settings(max_examples=10)
@given(friendships, st.sampled_from(MODELS), st.booleans())
def test_nobody_is_recommended_themselves_or_a_friend(
    friends: set[tuple[str, str]], name: str, seen: bool
) -> None:
    """By each way to ask: alone, with rules, and all at once."""
    log = log_of(friends)
    fitted = model_of(name).fit(Training.of(log, exclude_seen=seen))
    ruling = Ruling(read_rules({"seen": {"items": "allow"}}), fitted.catalogue)
    everybody = {one for pair in friends for one in pair}
    table = slates_of_all(fitted, log.frame.select("user", "item"), 20)
    for user in sorted(everybody):
        mine = {other for pair in friends if user in pair for other in pair} - {user}
        expected = everybody - {user} - (mine if seen else set())
        asked = Question(sorted(mine), user=user)
        assert set(fitted.recommend(asked, 20).items) == expected
        assert set(fitted.recommend(asked, 20, exclude_seen=False).items) == everybody - {user}
        assert set(recommend(fitted, ruling, asked, 20)[0].items) == everybody - {user}
        assert set(table.filter(pl.col("user") == user)["item"]) == expected
    stranger = fitted.recommend(Question([], user="stranger"), 20)
    assert set(stranger.items) == everybody, "who has no history gets popularity, less what is theirs"
    new = fitted.recommend(Question([], user=sorted(everybody)[0]), 20)
    assert set(new.items) == everybody - {sorted(everybody)[0]}


def owned(owners: list[str | None]) -> Catalogue:
    ids = pl.Series("item", [f"i{place}" for place in range(len(owners))])
    table = pl.DataFrame({"item": ids, "owner": pl.Series(owners, dtype=pl.String)})
    return Catalogue(ids, np.ones(len(owners), dtype=np.int64), table)


owners = st.lists(st.sampled_from(["u", "v", None]), min_size=1, max_size=6)
askers = st.lists(st.sampled_from(["u", "v", "w", None]), min_size=1, max_size=5)


@given(owners, askers)
def test_exactly_the_own_items_are_left_out_and_scores_stay_as_they_were(
    of: list[str | None], asking: list[str | None]
) -> None:
    """An item may be of somebody who is none of the items: a post of its author."""
    n = len(of)
    scores = np.arange(len(asking) * n, dtype=np.float64).reshape(len(asking), n)
    before = scores.copy()
    queries = Queries.of([[0]] * len(asking), n)
    queries = Queries(
        queries.items, queries.starts, queries.ends, n, users=pl.Series(asking, dtype=pl.String)
    )
    found = exclude_own(scores, queries, owned(of))
    for row, user in enumerate(asking):
        for item, owner in enumerate(of):
            own = user is not None and user == owner
            assert found[row, item] == (-np.inf if own else before[row, item])
    assert (scores == before).all(), "whoever gave the scores keeps them"


def test_where_nothing_is_owned_or_nobody_is_known_nothing_is_copied() -> None:
    scores, queries = np.zeros((1, 2)), Queries.of([[0]], 2)
    named = Queries(queries.items, queries.starts, queries.ends, 2, users=pl.Series(["u"]))
    plain = Catalogue(pl.Series(["x", "y"]), np.ones(2, dtype=np.int64))
    for asked, catalogue in ((queries, owned(["u", "v"])), (named, plain), (named, owned([None, None]))):
        assert exclude_own(scores, asked, catalogue) is scores


def test_oneself_is_no_candidate_in_an_evaluation_and_none_of_a_saved_model(tmp_path: Path) -> None:
    """Walks come back to where they began: without the rule, the first place of all."""
    rng = np.random.default_rng(1)
    pairs = {(f"p{a:02d}", f"p{b:02d}") for a, b in rng.integers(0, 20, (80, 2)).tolist() if a < b}
    parts = friends_out(log_of(pairs))
    training = Training.of(parts.before_test)
    fitted = model_of("friend-walks").fit(training)
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    bare = Recommender(Catalogue(training.catalogue.ids, training.catalogue.counts), fitted.scoring, "walks")
    examples = parts.examples("test", training.catalogue)
    one, same, without = (
        evaluate(model, examples, metrics=("mrr",)).value("mrr") for model in (fitted, loaded, bare)
    )
    assert one == same > without
    users = examples.queries.users
    assert users is not None
    row = training.catalogue.encode(users)
    assert np.isneginf(loaded.scores(examples.queries)[np.arange(len(row)), row]).all()


@pytest.mark.parametrize("model", ["mutual-friends", "log-linear"])
def test_scores_of_oneself_move_no_others(model: str) -> None:
    log = log_of({("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("a", "e")})
    fitted = model_of(model).fit(Training.of(log))
    alone = fitted.recommend(Question(["b", "e"], user="a"), 9, exclude_seen=False)
    nobody = fitted.recommend(Question(["b", "e"]), 9, exclude_seen=False)
    kept = [pair for pair in zip(nobody.items, nobody.scores, strict=True) if pair[0] != "a"]
    assert list(zip(alone.items, alone.scores, strict=True)) == kept


@pytest.mark.parametrize("name", ["mutual-friends", "als", "popular", "profiles"])
def test_oneself_is_explained_in_numbers_and_said_to_be_in_no_answer(name: str) -> None:
    """The score is that of the model, from which a rule alone keeps the item: minus infinity is no JSON."""
    if name == "als":
        pytest.importorskip("implicit")
    log = log_of({("a", "b"), ("b", "c"), ("a", "d"), ("c", "d"), ("b", "e")})
    fitted = model_of(name).fit(Training.of(log))
    asked = Question(["b", "d"], user="a")
    (found,) = explain_items(fitted, asked, ["a"])
    json.dumps(found.to_json(), allow_nan=False)
    nobody = fitted.scores(queries_of([Question(["b", "d"])], fitted.catalogue)[0])
    assert found.score == pytest.approx(nobody[0, fitted.catalogue.encode(["a"])[0]])
    assert "it belongs to whoever asks, and is in no answer to them" in found.notes
    if found.adds_up:
        parts = sum(reason.part for reason in found.reasons) + (found.base or 0) + (found.others or 0)
        assert parts == pytest.approx(found.score, abs=1e-6)
    (other,) = explain_items(fitted, asked, ["c"])
    assert not any("belongs" in note for note in other.notes)
    (unknown,) = explain_items(fitted, Question([], user="a"), ["a"])
    assert np.isfinite(unknown.score)
    assert "belongs" in unknown.notes[-1]
