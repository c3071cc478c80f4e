"""A mixture is the weighted sum of its parts' shares, and its weights are the likeliest ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from ensue import artifacts, runtime
from ensue.errors import ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.experiment import described_model
from ensue.model import Training, model_of
from ensue.models.counting.mixture import Hidden, Mixture, MixtureScoring, best_weights
from ensue.sequences import Queries

HALF = ("personal", "popular")


def log_of(users: list[list[str]]) -> EventLog:
    rows = [
        (f"u{u}", item, f"{u}-{n}")
        for u, baskets in enumerate(users)
        for n, basket in enumerate(baskets)
        for item in basket
    ]
    return EventLog.of(pl.DataFrame(rows, schema=["user", "item", "basket"], orient="row"))


def drawn(users: int, seed: int = 0) -> EventLog:
    """Users who buy again what they bought, and now and then what everybody buys."""
    rng = np.random.default_rng(seed)
    own = [rng.choice(list("abcdefgh"), 3, replace=False) for _ in range(users)]
    return log_of(
        [["".join(rng.choice(mine, 2)) + str(rng.choice(list("abx"))) for _ in range(5)] for mine in own]
    )


def queries_of(log: EventLog, fitted: Any) -> Queries:
    training = Training.of(log)
    queries = training.sequences.queries()
    codes = fitted.catalogue.encode(training.catalogue.ids)
    return replace(queries, items=codes[queries.items], n_items=len(fitted.catalogue))


@given(
    st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=2, max_size=12),
    st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
)
def test_no_other_weights_are_likelier(shares: list[list[float]], other: list[float]) -> None:
    table = np.array(shares)
    weights = best_weights(table, np.ones(len(table), dtype=np.int64))
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    against = np.array(other) / sum(other)
    assert np.log(table @ weights).sum() >= np.log(table @ against).sum() - 1e-3


def test_weights_by_hand() -> None:
    """Three of four items are foreseen by the first part alone, one by the second: 3/4 and 1/4."""
    shares = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    assert best_weights(shares, [1, 1, 1, 1]) == pytest.approx([3 / 4, 1 / 4])
    # the three of one history count once together, as much as the one of the other
    assert best_weights(shares, [3, 1]) == pytest.approx([1 / 2, 1 / 2])
    # what no part foresees says nothing
    assert best_weights(np.vstack([shares, [0, 0]]), [1] * 5) == pytest.approx([3 / 4, 1 / 4])
    assert best_weights(np.zeros((1, 2)), [1]) == pytest.approx([1 / 2, 1 / 2])


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_scores_are_the_weighted_shares_over_the_candidates(exclude_seen: bool) -> None:
    log = drawn(20)
    training = Training.of(log, exclude_seen=exclude_seen)
    fitted = Mixture(HALF).fit(training)
    weights = fitted.facts["weights"]
    assert sum(weights.values()) == pytest.approx(1, abs=1e-3)
    assert isinstance(fitted.scoring, MixtureScoring)
    queries = training.sequences.queries()
    expected = np.zeros((len(queries), len(training.catalogue)))
    rows, items = queries.pairs()
    for name, weight in zip(HALF, fitted.scoring.weights, strict=True):
        part = np.array(model_of(name).fit(training).scores(queries))
        candidates = part.copy()
        if exclude_seen:
            candidates[rows, items] = 0
        expected += weight * part / candidates.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.scores(queries), expected, rtol=1e-9)


def test_what_was_taken_before_counts_where_repeats_are_answered() -> None:
    """Everybody buys their own two or three again, so nearly all weight is on the user's own frequency."""
    repeated = Mixture(HALF).fit(
        Training.of(log_of([["ab", "ab"], ["cd", "cd"], ["ef", "ef"]]), exclude_seen=False)
    )
    assert repeated.facts["weights"]["personal"] > 0.99
    news = Mixture(HALF).fit(
        Training.of(log_of([["ab", "x"], ["cd", "x"], ["ef", "x"], ["x"]]), exclude_seen=False)
    )
    assert news.facts["weights"]["popular"] > 0.9


def test_the_last_basket_is_hidden_from_the_parts_and_asked_for() -> None:
    training = Training.of(log_of([["ab", "c"], ["d"], ["a", "b", "dda"]]), exclude_seen=False)
    decode = training.catalogue.decode
    hidden = Hidden.of(training, "basket", 10, 0)
    queries = hidden.queries
    histories = [decode(queries.items[a:b]) for a, b in zip(queries.starts, queries.ends, strict=True)]
    assert histories == [["a", "b"], ["a", "b"]]
    assert hidden.counts.tolist() == [1, 2]
    assert sorted(decode(hidden.targets[1:])) == ["a", "d"]
    rest = hidden.training.sequences
    assert rest.lengths.tolist() == [2, 1, 2]
    assert rest.context["basket"].to_list() == ["0-0", "0-0", "1-0", "2-0", "2-1"]
    counts = dict(zip(decode(range(4)), hidden.training.catalogue.counts.tolist(), strict=True))
    assert counts == {"a": 2, "b": 2, "c": 0, "d": 1}
    assert hidden.said == "the last basket of 2 histories"


def test_one_item_of_the_last_basket_is_hidden_and_the_rest_is_open() -> None:
    training = Training.of(log_of([["ab", "c"], ["a", "bbd"], ["ab"]]), exclude_seen=False)
    decode, seen = training.catalogue.decode, set()
    for seed in range(20):
        hidden = Hidden.of(training, "item", 10, seed)
        assert hidden.counts.tolist() == [
            1
        ]  # a basket of one item leaves nothing open, a first one has no history
        (target,) = decode(hidden.targets)
        kept = decode(hidden.queries.items[hidden.queries.starts[0] : hidden.queries.ends[0]])
        assert kept == (["a", "d"] if target == "b" else ["a", "b", "b"])
        seen.add(target)
    assert seen == {"b", "d"}


def test_of_many_histories_some_are_asked_and_all_are_cut() -> None:
    training = Training.of(drawn(30), exclude_seen=False)
    few = Hidden.of(training, "basket", 5, 3)
    assert len(few.queries) == len(few.counts) == 5
    assert few.counts.sum() == len(few.targets)
    assert len(few.training.sequences.items) == len(
        Hidden.of(training, "basket", 99, 3).training.sequences.items
    )
    whole = {tuple(sorted(part)) for part in np.split(few.targets, np.cumsum(few.counts)[:-1])}
    every = Hidden.of(training, "basket", 99, 3)
    assert whole <= {tuple(sorted(part)) for part in np.split(every.targets, np.cumsum(every.counts)[:-1])}


def test_open_items_are_no_candidates_of_a_mixture_for_open_baskets() -> None:
    """Of an open basket a b, popularity is shared by the others alone."""
    log = log_of([["abc", "abc"], ["abd", "abd"], ["abc", "abd"]])
    training = Training.of(log, exclude_seen=False)
    fitted = Mixture(("popular",), asks="item").fit(training)
    a, b, c, d = training.catalogue.encode(list("abcd"))
    asked = replace(Queries.of([[c, a, b]], 4), context={"basket": pl.Series(["1", "2", "2"])})
    scores = fitted.scores(asked)[0]
    assert scores[[c, d]] == pytest.approx([1 / 2, 1 / 2])  # both three times in training
    assert Mixture(("popular",)).fit(training).scores(asked)[0].sum() == pytest.approx(1)


@tries(max_examples=10, deadline=None)
@given(st.sampled_from(["basket", "item"]), st.booleans())
def test_it_is_saved_with_all_its_parts(asks: str, exclude_seen: bool) -> None:
    import tempfile

    model = Mixture(
        ("own", "tifu-knn", "together"),
        {"own": {"model": "personal", "decay": 0.5}},
        asks=asks,  # type: ignore[arg-type]
    )
    log = drawn(10)
    fitted = model.fit(Training.of(log, exclude_seen=exclude_seen))
    with tempfile.TemporaryDirectory() as folder:
        loaded = runtime.load(artifacts.save(fitted, Path(folder) / "model"))
    queries = queries_of(log, fitted)
    assert (loaded.scores(queries) == fitted.scores(queries)).all()
    assert isinstance(loaded.scoring, MixtureScoring)
    assert loaded.scoring.model == model
    assert loaded.scoring.reads == ("basket",)
    assert loaded.facts["weights"] == fitted.facts["weights"]


def test_it_is_described_in_toml() -> None:
    said = {"parts": ["own", "popular"], "settings_of": {"own": {"model": "personal", "decay": 0.5}}}
    found = described_model("mixture", said)
    assert isinstance(found, Mixture)
    assert [type(one).__name__ for one in found.described()] == ["Personal", "Popular"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"parts": ()}, "name at least one model, each once"),
        ({"parts": ("popular", "popular")}, "name at least one model, each once"),
        ({"asks": "cart"}, "asks='cart': take 'basket' or 'item'"),
        ({"most": 0}, "most=0 must be at least 1"),
        ({"settings_of": {"als": {}}}, "settings_of has 'als', which is none of the parts"),
        ({"parts": ("mixture",)}, "'mixture' is no part of a mixture"),
        ({"parts": ("personal",), "settings_of": {"personal": {"decya": 1.0}}}, "no setting 'decya'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Mixture(**settings)


def test_scores_below_zero_are_no_shares() -> None:
    pytest.importorskip("implicit")
    training = Training.of(drawn(20), exclude_seen=False)
    with pytest.raises(ModelError, match="'als' gives scores below 0, which are no shares: leave it out"):
        Mixture(("als", "popular"), {"als": {"factors": 8}}).fit(training)


def weights_of(model: Mixture, log: EventLog) -> Any:
    """Of a mixture that leaves out what was taken before."""
    scoring = model.fit(Training.of(log, exclude_seen=True)).scoring
    assert isinstance(scoring, MixtureScoring)
    return scoring.weights


def test_what_the_ranking_leaves_out_says_nothing_of_the_parts() -> None:
    """Two of three hidden items were taken before: with them out of the ranking, the third alone is asked about."""
    users = [["a", "b", "c", "abd"], ["b", "a", "d", "bac"], ["c", "d", "a", "cdb"]] * 5
    log = log_of(users)
    model = Mixture(parts=("personal", "popular", "markov"))
    hidden = Hidden.of(Training.of(log, exclude_seen=True), "basket", 5000, 0)
    fitted = [one.fit(hidden.training).scoring for one in model.described()]
    learner = MixtureScoring(model, tuple(fitted), np.full(3, 1 / 3), False)
    kept = hidden.only(learner.can_be_answered(hidden))
    assert len(hidden.targets) == 45
    assert kept.counts.tolist() == [1] * 15
    queries = kept.queries
    for row, target in enumerate(kept.targets):
        assert target not in queries.items[queries.starts[row] : queries.ends[row]]
    shares = learner.foreseen(kept)
    assert (shares <= 1 + 1e-9).all()
    assert weights_of(model, log) == pytest.approx(best_weights(shares, kept.counts))
    whole = MixtureScoring(model, tuple(fitted), np.full(3, 1 / 3), True)
    assert whole.can_be_answered(hidden).all()


def test_without_anything_to_foresee_the_parts_count_alike() -> None:
    log = log_of([["a", "b", "ab"], ["b", "a", "ba"]])
    assert weights_of(Mixture(parts=("personal", "popular")), log) == pytest.approx([0.5, 0.5])


def test_questions_with_one_history_at_two_times_are_two_questions() -> None:
    """A part that reads when it is asked answers each of them by its own time, in a batch as alone."""
    day = 86_400 * 1_000_000
    rows = [(f"u{u}", item, n * (1 + u) * day) for u in range(6) for n, item in enumerate("abcab"[u % 3 :])]
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    log = EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))
    fitted = Mixture(parts=("markov-time", "popular")).fit(Training.of(log, exclude_seen=False))
    asked = Queries.of([fitted.catalogue.encode(["a"])], len(fitted.catalogue))
    twice = replace(asked[np.array([0, 0])], time=np.array([0]), at=np.array([day, 40 * day]))
    alone = np.concatenate([fitted.scores(twice[row : row + 1]) for row in (0, 1)])
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    np.testing.assert_allclose(fitted.scores(twice), alone, rtol=0, atol=1e-12)
