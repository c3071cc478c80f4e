"""V-SKNN and STAN against a plain reading of their definitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, inf, sqrt
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ArtifactError, ConfigError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting import session_index
from ensue.models.counting.session_knn import STAN, VSKNN
from ensue.ranking import Recommender
from ensue.sequences import Queries

DAY = 86_400_000_000
ITEMS = "abcdef"
Sessions = list[tuple[str, int]]
"""Items of each user, and the day on which they were taken, all at one time."""

sessions = st.lists(
    st.tuples(st.text(ITEMS, min_size=1, max_size=8), st.integers(0, 9)), min_size=1, max_size=9
)
a_history = st.text(ITEMS, min_size=1, max_size=8)


def training_of(sessions: Sessions, times: bool = True) -> Training:
    rows = [
        (f"u{n:02d}", item, day * DAY, place)
        for n, (items, day) in enumerate(sessions)
        for place, item in enumerate(items)
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "time", "order"], orient="row")
    timed = frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    return Training.of(EventLog.of(timed if times else frame.drop("time")))


def scores_of(recommender: Recommender, history: str, at: int | None = None) -> dict[str, float]:
    """Scores after a history, asked on a day."""
    known = [item for item in history if item in set(recommender.catalogue.ids)]
    queries = Queries.of([recommender.catalogue.encode(known)], len(recommender.catalogue))
    if at is not None:
        queries = replace(queries, at=np.array([at * DAY]))
    return dict(zip(recommender.catalogue.ids, recommender.scores(queries)[0].tolist(), strict=True))


def different(items: Sequence[str]) -> list[str]:
    """Each item once, where it came last."""
    return list(reversed(list(dict.fromkeys(reversed(items)))))


def compared(sessions: Sessions, history: Sequence[str], sample: int) -> list[tuple[list[str], int]]:
    """The sessions that share an item, oldest first, the last `sample` of them."""
    by_age = sorted(sessions, key=lambda session: session[1])
    sharing = [(different(items), day) for items, day in by_age if set(items) & set(history)]
    return sharing[-sample:] if sample else sharing


def nearest(similar: list[float], k: int) -> list[int]:
    """Places of the k largest to single precision, the later of equals first."""
    return sorted(range(len(similar)), key=lambda n: (np.float32(similar[n]), n), reverse=True)[:k]


def popularity(sessions: Sessions) -> dict[str, float]:
    events = "".join(items for items, _ in sessions)
    return {item: 1e-9 * events.count(item) / len(events) for item in set(events)}


def read_vsknn(model: VSKNN, sessions: Sessions, history: str) -> dict[str, float]:
    scores = popularity(sessions)
    current = different([item for item in history if item in scores][-model.last :])
    others = compared(sessions, current, model.sample)
    weight = {item: ((place + 1) / len(current)) ** model.decay for place, item in enumerate(current)}
    similar = [sum(weight[item] for item in items if item in weight) for items, _ in others]
    for n in nearest(similar, model.neighbours):
        items = others[n][0]
        shared = items.index(next(item for item in reversed(current) if item in items))
        for item in items[shared + 1 : shared + 1 + model.reach] if model.reach else items:
            scores[item] += similar[n]
    return scores


def read_stan(model: STAN, sessions: Sessions, history: str, at: int) -> dict[str, float]:
    """Up to a factor of all neighbours together: the age of the youngest of them is 0."""
    scores = popularity(sessions)
    current = different([item for item in history if item in scores][-model.last :])
    others = compared(sessions, current, model.sample)
    weight = {item: exp(-(len(current) - 1 - place) / model.lambda1) for place, item in enumerate(current)}
    similar = [
        sum(weight[item] for item in items if item in weight) / sqrt(len(current) * len(items))
        for items, _ in others
    ]
    chosen = nearest(similar, model.neighbours)
    ages = {n: max(at - others[n][1], 0) for n in chosen}
    for n in chosen:
        items = others[n][0]
        shared = items.index(next(item for item in reversed(current) if item in items))
        for place, item in enumerate(items):
            side = 1.0 if place > shared else model.backward if place < shared else 0.0
            w2 = exp(-(ages[n] - min(ages.values())) / model.lambda2)
            scores[item] += similar[n] * w2 * side * exp(-abs(place - shared) / model.lambda3)
    return scores


@given(
    sessions,
    a_history,
    st.integers(1, 9),
    st.integers(0, 6),
    st.integers(1, 8),
    st.sampled_from([0.0, 1.0, 2.5]),
    st.integers(0, 4),
)
def test_vsknn_is_its_definition(
    sessions: Sessions, history: str, k: int, sample: int, last: int, decay: float, reach: int
) -> None:
    model = VSKNN(k, sample, last, decay, reach)
    if set(history) & set(popularity(sessions)):
        found = scores_of(model.fit(training_of(sessions)), history)
        assert found == pytest.approx(read_vsknn(model, sessions, history), rel=1e-9)


@given(
    sessions,
    a_history,
    st.integers(1, 9),
    st.integers(0, 6),
    st.integers(1, 8),
    st.sampled_from([(1.0, 2.0, 3.0), (5.0, 0.5, 1.0), (inf, inf, inf), (0.001, 50.0, 2.0)]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 12),
)
def test_stan_is_its_definition(
    sessions: Sessions,
    history: str,
    k: int,
    sample: int,
    last: int,
    lambdas: tuple[float, float, float],
    backward: float,
    at: int,
) -> None:
    model = STAN(k, sample, last, *lambdas, backward)
    if set(history) & set(popularity(sessions)):
        found = scores_of(model.fit(training_of(sessions)), history, at)
        assert found == pytest.approx(read_stan(model, sessions, history, at), rel=1e-6)


def weighted(sessions: Sessions, seed: int) -> tuple[Training, list[list[float]]]:
    """Training whose events count 0, 1/2 or 1 as targets, and how much each event of each session does."""
    rng = np.random.default_rng(seed)
    counts = [rng.choice([0.0, 0.5, 1.0], len(items)).tolist() for items, _ in sessions]
    training = training_of(sessions)
    weight = np.array([value for own in counts for value in own], dtype=np.float32)
    return replace(training, sequences=replace(training.sequences, weight=weight)), counts


@given(sessions, a_history, st.integers(0, 3), st.integers(0, 9))
def test_an_item_of_a_neighbour_counts_as_its_event_does(
    sessions: Sessions, history: str, reach: int, seed: int
) -> None:
    """All sessions answer: what shares an item is found by all events, and what it adds is told by the targets."""
    training, counts = weighted(sessions, seed)
    expected = popularity(sessions)
    current = different([item for item in history if item in expected][-8:])
    if not current:
        return
    weight = {item: (place + 1) / len(current) for place, item in enumerate(current)}
    for (text, _), own in zip(sessions, counts, strict=True):
        items = different(text)
        if set(items) & set(current):
            similarity = sum(weight[item] for item in items if item in weight)
            shared = items.index(next(item for item in reversed(current) if item in items))
            for item in items[shared + 1 : shared + 1 + reach] if reach else items:
                most = max(value for other, value in zip(text, own, strict=True) if other == item)
                expected[item] += similarity * most
    found = VSKNN(neighbours=99, sample=0, last=8, decay=1.0, reach=reach).fit(training)
    assert scores_of(found, history) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("model", [VSKNN(neighbours=3), STAN(neighbours=3)])
@given(data=sessions, history=a_history, seed=st.integers(0, 9))
def test_parts_add_up_and_are_stored_with_an_objective_too(
    model: VSKNN | STAN, data: Sessions, history: str, seed: int
) -> None:
    training, _ = weighted(data, seed)
    fitted = model.fit(training)
    codes = fitted.catalogue.encode(list(history))
    codes = codes[codes >= 0]
    if not len(codes):
        return
    queries = Queries.of([codes] * len(fitted.catalogue), len(fitted.catalogue))
    items = np.arange(len(fitted.catalogue), dtype=np.int32)
    scores = fitted.scores(queries)
    parts, rest = fitted.scoring.contributions(queries, items)  # type: ignore[attr-defined]
    sums = parts.reshape(len(items), -1).sum(axis=1) + rest
    np.testing.assert_allclose(sums, scores[0], rtol=1e-9, atol=1e-12)
    again = model.restore(fitted.scoring.parts(), fitted.catalogue)
    np.testing.assert_array_equal(again.score(queries), scores)
    halved = replace(
        training, sequences=replace(training.sequences, weight=np.full(len(training.sequences.items), 0.5))
    )
    plain = model.fit(training_of(data)).scores(queries)
    shares = 1e-9 * fitted.catalogue.share
    np.testing.assert_allclose(model.fit(halved).scores(queries) - shares, (plain - shares) / 2, rtol=1e-9)


def test_stored_weights_that_do_not_fit_are_refused() -> None:
    fitted = VSKNN().fit(weighted([("abc", 1), ("bcd", 2)], 0)[0])
    parts = fitted.scoring.parts()
    for broken in (parts.arrays["weight"][1:], -parts.arrays["weight"] - 1, parts.arrays["weight"] * np.nan):
        damaged = replace(parts, arrays={**parts.arrays, "weight": broken})
        with pytest.raises(ArtifactError, match="do not fit their 4 items"):
            VSKNN().restore(damaged, fitted.catalogue)


def test_vsknn_by_hand() -> None:
    """Of the history a b, b weighs 1 and a 1/2: "abcd" has 3/2, "bd" 1, "ae" 1/2; the two nearest answer."""
    data: Sessions = [("abcd", 1), ("bd", 2), ("ae", 3)]
    share = {item: 1e-9 * n / 8 for item, n in {"a": 2, "b": 2, "c": 1, "d": 2, "e": 1}.items()}

    def found(reach: int) -> dict[str, float]:
        return scores_of(VSKNN(neighbours=2, reach=reach).fit(training_of(data)), "ab")

    published = {"a": 3 / 2, "b": 3 / 2 + 1, "c": 3 / 2, "d": 3 / 2 + 1, "e": 0}
    assert found(0) == pytest.approx({item: published[item] + share[item] for item in share})
    filtered = {"a": 0, "b": 0, "c": 3 / 2, "d": 1, "e": 0}  # what stands directly after b
    assert found(1) == pytest.approx({item: filtered[item] + share[item] for item in share})


def test_stan_by_hand() -> None:
    """History a b on day 5. "acb" (day 3) shares both, "bd" (day 5) b; the age of the older is 2 days more."""
    model = STAN(lambda1=2.0, lambda2=4.0, lambda3=8.0, backward=1.0)
    found = scores_of(model.fit(training_of([("acb", 3), ("bd", 5)])), "ab", at=5)
    first = (1 + exp(-1 / 2)) / sqrt(2 * 3) * exp(-2 / 4)
    second = 1 / sqrt(2 * 2)
    expected = {"a": first * exp(-2 / 8), "b": 0.0, "c": first * exp(-1 / 8), "d": second * exp(-1 / 8)}
    share = {"a": 1 / 5, "b": 2 / 5, "c": 1 / 5, "d": 1 / 5}
    assert found == pytest.approx({item: expected[item] + 1e-9 * share[item] for item in share})


def test_an_onward_neighbour_counts_only_what_came_later() -> None:
    data: Sessions = [("abc", 1)]
    found = scores_of(STAN(backward=0.0).fit(training_of(data)), "b")
    assert found["a"] < 1e-8 < found["c"]


def test_a_question_without_a_time_is_asked_at_its_last_event_or_when_training_ended() -> None:
    training = training_of([("ab", 1), ("ac", 6), ("d", 9)])
    recommender = STAN(lambda2=1.0).fit(training)
    codes = training.catalogue.encode(["a"])
    plain = Queries.of([codes], len(training.catalogue))
    timed = replace(plain, time=np.array([3 * DAY]))
    order = list(training.catalogue.ids)

    def ratio(queries: Queries) -> float:
        scores = recommender.scores(queries)[0]
        return float(scores[order.index("b")] / scores[order.index("c")])

    assert ratio(plain) == pytest.approx(exp(-(9 - 1)) / exp(-(9 - 6)), rel=1e-6)
    assert ratio(timed) == pytest.approx(exp(-(3 - 1)) / 1, rel=1e-6)  # one that is still to end has no age
    assert ratio(replace(timed, at=np.array([8 * DAY]))) == pytest.approx(exp(-7) / exp(-2), rel=1e-6)


def test_neighbours_still_answer_long_after_training() -> None:
    """10,000 days at lambda2 = 1 would leave e^-10000 of each weight, which is 0 in any arithmetic."""
    recommender = STAN(lambda2=1.0).fit(training_of([("ab", 1), ("ac", 6), ("ddd", 6)]))
    found = scores_of(recommender, "a", at=10_000)
    assert found["c"] > found["b"] > found["d"]


def test_without_times_neighbours_do_not_age() -> None:
    data: Sessions = [("ab", 1), ("ac", 900)]
    found = scores_of(STAN(lambda2=0.1).fit(training_of(data, times=False)), "a", at=1000)
    assert found["b"] == found["c"] > 1e-8


def test_without_times_the_last_of_the_log_are_compared() -> None:
    data: Sessions = [("ab", 900), ("ac", 1)]
    found = scores_of(VSKNN(sample=1).fit(training_of(data, times=False)), "a")
    assert found["b"] < 1e-8 < found["c"]


def test_what_no_neighbour_holds_is_ordered_by_popularity() -> None:
    training = training_of([("ab", 1), ("dde", 1), ("e", 1), ("e", 1), ("f", 1)])
    for model in (VSKNN(), STAN()):
        assert model.fit(training).recommend(["a"], 4, exclude_seen=True).items == ("b", "e", "d", "f")


@pytest.mark.parametrize("model", [VSKNN(3, 4, 5), VSKNN(reach=0), STAN(3, 4, 5), STAN(backward=0.0)])
@pytest.mark.parametrize("at_once", [1, 9, 40])
def test_blocks_and_company_change_nothing(
    model: VSKNN | STAN, at_once: int, monkeypatch: pytest.MonkeyPatch, seeded: np.random.Generator
) -> None:
    data = [
        ("".join(seeded.choice(list(ITEMS), seeded.integers(1, 9))), int(seeded.integers(9)))
        for _ in range(25)
    ]
    training = training_of(data)
    n = len(training.catalogue)
    recommender = model.fit(training)
    histories = [seeded.integers(0, n, length).tolist() for length in (1, 2, 3, 5, 8, 13, 1, 2, 30)]
    together = recommender.scores(Queries.of(histories, n))
    monkeypatch.setattr(session_index, "AT_ONCE", at_once)
    np.testing.assert_array_equal(recommender.scores(Queries.of(histories, n)), together)
    alone = np.concatenate([recommender.scores(Queries.of([history], n)) for history in histories])
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("model", [VSKNN(3, 4, 5, 2.0, 2), STAN(3, 4, 5, 1.0, 2.0, 3.0, 0.1)])
@pytest.mark.parametrize("times", [True, False])
def test_a_restored_model_gives_the_same_bits(
    model: VSKNN | STAN, times: bool, seeded: np.random.Generator
) -> None:
    data = [("".join(seeded.choice(list(ITEMS), 6)), int(seeded.integers(9))) for _ in range(12)]
    first = model.fit(training_of(data, times))
    again = replace(first, scoring=type(model)().restore(first.scoring.parts(), first.catalogue))
    for history in ("a", "fcab", "abcdefabcdef"):
        assert scores_of(again, history, 7) == scores_of(first, history, 7)


def test_what_is_stored_names_no_user() -> None:
    parts = VSKNN().fit(training_of([("ab", 1), ("cba", 2)])).scoring.parts()
    assert set(parts.arrays) == {"items", "offsets", "ended"}
    assert all(array.dtype.kind == "i" for array in parts.arrays.values())
    assert set(parts.settings) == {"neighbours", "sample", "last", "decay", "reach"}


@pytest.mark.parametrize("kind", [VSKNN, STAN])
@pytest.mark.parametrize("settings", [{"neighbours": 0}, {"sample": -1}, {"last": 0}, {"last": 501}])
def test_settings_that_make_no_sense_are_refused(
    kind: type[VSKNN] | type[STAN], settings: dict[str, int]
) -> None:
    with pytest.raises(ConfigError, match="neighbours is at least 1, sample at least 0"):
        kind(**settings)


@pytest.mark.parametrize("settings", [{"reach": -1}, {"decay": -0.5}, {"decay": inf}])
def test_vsknn_refuses_what_makes_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="both are numbers from 0 up"):
        VSKNN(**settings)


@pytest.mark.parametrize("name", ["lambda1", "lambda2", "lambda3"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_lambdas_are_above_0(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"stan: {name}=.* must be above 0; inf takes no decay"):
        STAN(**dict[str, Any]({name: value}))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_backward_is_a_share(value: float) -> None:
    with pytest.raises(ConfigError, match=r"stan: backward=.* must lie from 0 to 1"):
        STAN(backward=value)
