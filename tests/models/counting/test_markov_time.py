"""The Markov chain in continuous time against a plain reading of its definition."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import exp, floor, log2
from statistics import median

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ensue.calibration import scale_of
from ensue.errors import ArtifactError, ConfigError, ModelError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting.markov_time import GapScoring, MarkovTime
from ensue.ranking import Parts, Recommender
from ensue.sequences import Queries

SECOND = 1_000_000
Events = list[tuple[str, int]]
"""Items of one user and the seconds since the event before."""

logs = st.lists(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5000)), min_size=1, max_size=10),
    min_size=1,
    max_size=4,
)
widths = st.sampled_from([0.5, 1.0, 3.0])


def training_of(sequences: list[Events]) -> Training:
    rows = []
    for n, events in enumerate(sequences):
        moment = 1_700_000_000 * SECOND
        for item, gap in events:
            moment += gap * SECOND
            rows.append((f"u{n}", item, moment))
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    return Training.of(EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))))


def asked(recommender: Recommender, item: str, gap: int | None) -> dict[str, float]:
    """Scores after an item, so many seconds ago."""
    catalogue = recommender.catalogue
    queries = Queries.of([catalogue.encode([item])], len(catalogue))
    if gap is not None:
        queries = replace(queries, time=np.array([7 * SECOND]), at=np.array([(7 + gap) * SECOND]))
    return dict(zip(catalogue.ids, recommender.scores(queries)[0].tolist(), strict=True))


def read_plainly(
    sequences: list[Events], item: str, gap: float | None, bucket: float, bandwidth: float, prior: float
) -> dict[str, float]:
    """The definition, word by word; the gap in seconds."""
    steps = [(a, b, log2(1 + seconds)) for events in sequences for (a, _), (b, seconds) in pairwise(events)]
    everything = [each for events in sequences for each, _ in events]
    place = median(x for _, _, x in steps) if gap is None and steps else log2(1 + max(gap or 0, 0))

    def kernel(x: float) -> float:
        middle = (floor(x / bucket) + 0.5) * bucket
        return exp(-((place - middle) ** 2) / (2 * bandwidth**2))

    found = {}
    for other in set(everything):
        share = everything.count(other) / len(everything)
        plain = (sum(a == item and b == other for a, b, _ in steps) + prior * share) / (
            sum(a == item for a, _, _ in steps) + prior
        )
        near = sum(kernel(x) for a, b, x in steps if a == item and b == other)
        found[other] = (near + prior * plain) / (sum(kernel(x) for a, _, x in steps if a == item) + prior)
    return found


@given(logs, st.one_of(st.none(), st.integers(-10, 9000)), widths, widths, widths)
def test_the_chain_is_its_definition(
    sequences: list[Events], gap: int | None, bucket: float, bandwidth: float, prior: float
) -> None:
    training = training_of(sequences)
    recommender = MarkovTime(bucket, bandwidth, prior).fit(training)
    for item in training.catalogue.ids:
        expected = read_plainly(sequences, item, gap, bucket, bandwidth, prior)
        result = asked(recommender, item, gap)
        assert result == pytest.approx(expected, rel=1e-9)
        assert sum(result.values()) == pytest.approx(1.0)


def test_by_hand() -> None:
    """After a, b came within 1 second and c after 1023: in doublings 1 and 10, in buckets with middles 1.5 and 10.5."""
    recommender = MarkovTime(bucket=1.0, bandwidth=2.0, prior=0.5).fit(
        training_of([[("a", 0), ("b", 1)], [("a", 0), ("c", 1023)]])
    )
    near, far = exp(-((1 - 1.5) ** 2) / 8), exp(-((1 - 10.5) ** 2) / 8)
    plain = {"a": 0.5 * 2 / 4 / 2.5, "b": (1 + 0.5 / 4) / 2.5, "c": (1 + 0.5 / 4) / 2.5}
    total = near + far + 0.5
    assert asked(recommender, "a", 1) == pytest.approx(
        {
            "a": 0.5 * plain["a"] / total,
            "b": (near + 0.5 * plain["b"]) / total,
            "c": (far + 0.5 * plain["c"]) / total,
        }
    )


def test_the_gap_decides() -> None:
    recommender = MarkovTime().fit(training_of([[("a", 0), ("b", 2)], [("a", 0), ("c", 86_400)]] * 5))
    soon, late = asked(recommender, "a", 3), asked(recommender, "a", 50_000)
    assert soon["b"] > 0.7 > soon["c"]
    assert late["c"] > 0.7 > late["b"]


def test_a_very_wide_kernel_is_a_plain_smoothed_chain() -> None:
    events = [[("a", 0), ("b", 2), ("a", 9), ("c", 400), ("a", 1), ("b", 3)]]
    recommender = MarkovTime(bandwidth=1e9, prior=2.0).fit(training_of(events))
    plain = (2 + 2 * 2 / 6) / (3 + 2)  # b followed a twice of three times; 2 of 6 events are b
    assert asked(recommender, "a", 5)["b"] == pytest.approx((2 + 2 * plain) / (3 + 2))
    assert asked(recommender, "a", 5) == pytest.approx(asked(recommender, "a", 5000))


def test_a_question_without_a_time_is_asked_at_the_median_gap() -> None:
    recommender = MarkovTime().fit(
        training_of([[("a", 0), ("b", 3), ("c", 63), ("a", 4000)]])  # gaps 3, 63 and 4000 seconds
    )
    assert asked(recommender, "a", None) == pytest.approx(asked(recommender, "a", 63))
    catalogue = recommender.catalogue
    only_at = replace(Queries.of([catalogue.encode(["a"])], 3), at=np.array([0]))
    np.testing.assert_array_equal(
        recommender.scores(only_at)[0], list(asked(recommender, "a", None).values())
    )


def test_a_gap_below_nothing_counts_as_nothing() -> None:
    recommender = MarkovTime().fit(training_of([[("a", 0), ("b", 1), ("a", 900), ("c", 900)]]))
    assert asked(recommender, "a", -500) == asked(recommender, "a", 0) != asked(recommender, "a", 900)


def test_the_gap_is_counted_from_the_last_event_of_the_history() -> None:
    recommender = MarkovTime().fit(training_of([[("a", 0), ("b", 2)], [("a", 0), ("c", 5000)]]))
    codes = recommender.catalogue.encode(["b", "a", "c"])
    queries = Queries(
        codes,
        np.array([0]),
        np.array([2]),  # the last event lies after the history
        3,
        time=np.array([0, 100 * SECOND, 101 * SECOND]),
        at=np.array([102 * SECOND]),
    )
    np.testing.assert_array_equal(recommender.scores(queries)[0], list(asked(recommender, "a", 2).values()))


def test_without_times_there_are_no_gaps() -> None:
    log = EventLog.of(pl.DataFrame({"user": ["u", "u"], "item": ["a", "b"]}))
    with pytest.raises(ModelError, match="this log has no times, so no gap is known; take the model markov"):
        MarkovTime().fit(Training.of(log))


def test_a_restored_chain_gives_the_same_bits() -> None:
    training = training_of([[("a", 0), ("b", 3), ("c", 63), ("a", 4000), ("b", 0)], [("c", 1), ("a", 2)]])
    model = MarkovTime(0.5, 1.5, 2.0)
    first = model.fit(training)
    again = replace(first, scoring=model.restore(first.scoring.parts(), training.catalogue))
    for gap in (None, 0, 5, 5000):
        assert asked(again, "a", gap) == asked(first, "a", gap)


@pytest.mark.parametrize("name", ["counts", "indices", "indptr", "offsets", "middles"])
def test_a_damaged_chain_is_refused(name: str) -> None:
    training = training_of([[("a", 0), ("b", 3), ("c", 63), ("a", 4000)]])
    parts = MarkovTime().fit(training).scoring.parts()
    damaged = Parts(parts.settings, {**parts.arrays, name: parts.arrays[name][:-1]})
    with pytest.raises(ArtifactError, match="the artifact is damaged, save it anew"):
        MarkovTime().restore(damaged, training.catalogue)


def test_a_kernel_without_a_width_is_refused() -> None:
    training = training_of([[("a", 0), ("b", 3)]])
    parts = MarkovTime().fit(training).scoring.parts()
    damaged = Parts({**parts.settings, "bandwidth": 0.0}, parts.arrays)
    with pytest.raises(ArtifactError, match="make no kernel"):
        MarkovTime().restore(damaged, training.catalogue)


@pytest.mark.parametrize("name", ["bucket", "bandwidth", "prior"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_settings_are_numbers_above_0(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"markov-time: {name}=.* must be a number above 0, such as 1"):
        MarkovTime(**{name: value})


def test_its_probabilities_are_told_as_such() -> None:
    """So that an evaluation says whether they mean what they say."""
    fitted = MarkovTime().fit(
        training_of([[("a", 1), ("b", 5), ("c", 900), ("a", 3)], [("b", 2), ("a", 70)]])
    )
    assert scale_of(fitted) == "probabilities"
    for gap in (None, 0, 60):
        assert sum(asked(fitted, "a", gap).values()) == pytest.approx(1)


def test_a_question_adds_up_nothing_of_other_items() -> None:
    """What follows each item after each gap is added up once, and not for every answer."""
    import tracemalloc

    n, buckets = 1000, 100
    rows = n * buckets
    columns = np.random.default_rng(0).integers(0, n, rows)
    counts = sp.csr_array((np.ones(rows), columns, np.arange(rows + 1)), shape=(rows, n))
    middles = np.tile(np.arange(buckets) + 0.5, n)
    scoring = GapScoring(counts, np.arange(0, rows + 1, buckets), middles, 1.0, 2.0, 1.0, np.full(n, 1 / n))
    queries = Queries.of([[1, 2, 3]], n)
    scoring.score(queries)
    tracemalloc.start()
    scoring.score(queries)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * rows / 4
