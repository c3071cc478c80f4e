"""The Markov chain of any order against a plain reading of its definition."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import ArtifactError, ConfigError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.models.counting.markov import Markov
from ensue.ranking import Parts, Recommender
from ensue.sequences import Queries
from ensue.transitions import row_shares, transition_counts

ITEMS = "abcd"
logs = st.lists(st.text(ITEMS, min_size=1, max_size=14), min_size=1, max_size=5)
a_history = st.text(ITEMS, min_size=1, max_size=8)


def training_of(sequences: list[str]) -> Training:
    rows = [(f"u{n}", item) for n, sequence in enumerate(sequences) for item in sequence]
    return Training.of(EventLog.of(pl.DataFrame(rows, schema=["user", "item"], orient="row")))


def scores_of(recommender: Recommender, history: str) -> dict[str, float]:
    codes = recommender.catalogue.encode([item for item in history if item in set(recommender.catalogue.ids)])
    row = recommender.scores(Queries.of([codes], len(recommender.catalogue)))[0]
    return dict(zip(recommender.catalogue.ids, row.tolist(), strict=True))


def found(model: Markov, sequences: list[str], history: str) -> dict[str, float]:
    return scores_of(model.fit(training_of(sequences)), history)


def counted(sequences: list[str], context: str, continuation: bool) -> dict[str, int]:
    """How often each item follows a context, or after how many different things the two stand."""
    before: dict[str, list[str]] = {}
    for sequence in sequences:
        for end in range(len(context), len(sequence)):
            if sequence[end - len(context) : end] == context:
                start = end - len(context)
                before.setdefault(sequence[end], []).append(sequence[start - 1] if start else "beginning")
    return {item: len(set(places) if continuation else places) for item, places in before.items()}


def read_plainly(
    sequences: list[str], context: str, order: int, discount: float, continuation: bool
) -> dict[str, float]:
    """The definition, word by word."""
    counts = counted(sequences, context, continuation and len(context) < order)
    total = sum(counts.values())
    if not context:
        return {item: count / total for item, count in counts.items()}
    shorter = read_plainly(sequences, context[1:], order, discount, continuation)
    if not counts:
        passed = 1.0 if discount or len(context) > 1 else 1e-9
    else:
        passed = discount * len(counts) / total if discount else 1e-9
    return {
        item: (max(counts[item] - discount, 0) / total if item in counts else 0.0) + passed * shorter[item]
        for item in shorter
    }


@given(logs, a_history, st.integers(1, 5), st.sampled_from([0.0, 0.4, 0.9]), st.booleans())
def test_a_chain_is_its_definition(
    sequences: list[str], history: str, order: int, discount: float, continuation: bool
) -> None:
    known = "".join(item for item in history if item in "".join(sequences))
    if known:
        expected = read_plainly(sequences, known[-order:], order, discount, continuation)
        result = found(Markov(order, discount, continuation), sequences, known)
        assert result == pytest.approx(expected, rel=1e-12, abs=1e-30)


@given(logs, a_history)
def test_the_defaults_are_the_shares_of_the_first_order_to_the_bit(
    sequences: list[str], history: str
) -> None:
    training = training_of(sequences)
    n = len(training.catalogue)
    codes = training.catalogue.encode(list(history))
    if codes[-1] >= 0:
        table = row_shares(transition_counts(training.sequences, window=1)).toarray()
        expected = table[codes[-1]] + 1e-9 * training.catalogue.share
        scores = Markov().fit(training).scores(Queries.of([codes[codes >= 0]], n))
        np.testing.assert_array_equal(scores[0], expected)


def test_second_order_by_hand() -> None:
    """After "a b" came c once and d once; after b came c twice, d once and a once; e came never after either."""
    sequences = ["abc", "abd", "bce", "ba"]
    events = {"a": 3, "b": 4, "c": 2, "d": 1, "e": 1}
    assert found(Markov(order=2), sequences, "ab") == pytest.approx(
        {
            "a": 1e-9 * 1 / 4 + 1e-18 * events["a"] / 11,
            "b": 1e-18 * events["b"] / 11,
            "c": 1 / 2 + 1e-9 * 2 / 4,
            "d": 1 / 2 + 1e-9 * 1 / 4,
            "e": 1e-18 * events["e"] / 11,
        },
        rel=1e-12,
    )


def test_discounted_by_hand() -> None:
    """a is followed by b twice and by c once: 0.5 of each of the two counts goes to all items by popularity."""
    result = found(Markov(discount=0.5), ["abab", "ac"], "a")
    passed = 2 * 0.5 / 3
    assert result == pytest.approx(
        {"a": passed * 3 / 6, "b": 1.5 / 3 + passed * 2 / 6, "c": 0.5 / 3 + passed * 1 / 6}
    )


def test_continuation_counts_places_and_not_events() -> None:
    """c is frequent but only ever follows b; a follows b, c and the beginning: where nothing is known, a leads."""
    sequences = ["bcbcbcbc", "abca", "ba"]
    unseen = found(Markov(order=1, continuation=True), [*sequences, "z"], "z")
    places = {"a": 3, "b": 3, "c": 1, "z": 1}  # b follows c, a and the beginning
    assert unseen == pytest.approx({item: 1e-9 * count / 8 for item, count in places.items()})


@given(logs, a_history, st.integers(1, 4), st.floats(0.05, 0.95), st.booleans())
def test_discounted_scores_are_probabilities(
    sequences: list[str], history: str, order: int, discount: float, continuation: bool
) -> None:
    if any(item in "".join(sequences) for item in history):
        result = found(Markov(order, discount, continuation), sequences, history)
        assert sum(result.values()) == pytest.approx(1.0)
        assert min(result.values()) > 0


@pytest.mark.parametrize("discount", [0.0, 0.7])
def test_a_context_never_seen_is_answered_as_by_the_shorter_chain(
    discount: float, seeded: np.random.Generator
) -> None:
    sequences = ["".join(seeded.choice(list(ITEMS), 30)) for _ in range(4)] + ["x", "xaxb"]
    training = training_of(sequences)
    history = training.catalogue.encode(list("xcxa"))  # "xa" was seen, "cxa" was not
    question = Queries.of([history], len(training.catalogue))
    longer, shorter = (Markov(order, discount).fit(training).scores(question) for order in (4, 2))
    np.testing.assert_array_equal(longer, shorter)


def test_a_history_shorter_than_the_order_is_asked_as_it_is() -> None:
    sequences = ["abcabd", "bcda"]
    assert found(Markov(order=5), sequences, "ab") == found(Markov(order=2), sequences, "ab")


def test_only_the_last_items_of_the_order_count() -> None:
    recommender = Markov(order=3, discount=0.5).fit(training_of(["abcdabca", "dcbadcbb"]))
    assert scores_of(recommender, "ddddabc") == scores_of(recommender, "abc") != scores_of(recommender, "bc")


def test_contexts_are_told_apart_however_long(seeded: np.random.Generator) -> None:
    """Two sequences that differ in their first item only end differently: order 12 knows, order 11 does not."""
    middle = "".join(seeded.choice(list("cdef"), 10))
    sequences = [f"a{middle}gx", f"b{middle}gy"]
    for first, last in ("ax", "by"):
        assert found(Markov(order=12), sequences, f"{first}{middle}g")[last] > 0.9
        assert found(Markov(order=11), sequences, f"{first}{middle}g")[last] < 0.6


def test_no_context_reaches_over_the_end_of_a_sequence() -> None:
    result = found(Markov(order=2), ["ab", "cd"], "bc")
    assert result["d"] > 0.9  # after c
    assert found(Markov(), ["ab", "cd"], "b")["c"] < 1e-8


def test_scores_do_not_depend_on_the_company(seeded: np.random.Generator) -> None:
    training = training_of(["".join(seeded.choice(list(ITEMS), 40)) for _ in range(5)])
    recommender = Markov(order=3, discount=0.3).fit(training)
    histories = [seeded.integers(0, 4, length).tolist() for length in (1, 2, 3, 4, 9, 20)]
    together = recommender.scores(Queries.of(histories, 4))
    alone = np.concatenate([recommender.scores(Queries.of([history], 4)) for history in histories])
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("model", [Markov(), Markov(3), Markov(4, 0.6, True)])
def test_a_restored_chain_gives_the_same_bits(model: Markov, seeded: np.random.Generator) -> None:
    training = training_of(["".join(seeded.choice(list(ITEMS), 25)) for _ in range(4)])
    scoring = model.fit(training).scoring
    again = model.restore(scoring.parts(), training.catalogue)
    questions = Queries.of([seeded.integers(0, 4, length).tolist() for length in range(1, 12)], 4)
    np.testing.assert_array_equal(again.score(questions), scoring.score(questions))


@pytest.mark.parametrize("name", ["items", "1.indices", "2.counts", "2.indptr"])
def test_a_damaged_chain_is_refused(name: str) -> None:
    training = training_of(["abcab", "cab"])
    parts = Markov(2).fit(training).scoring.parts()
    damaged = Parts(parts.settings, {**parts.arrays, name: parts.arrays[name][:-1]})
    with pytest.raises(ArtifactError, match="the artifact is damaged, save it anew"):
        Markov(2).restore(damaged, training.catalogue)


@pytest.mark.parametrize("settings", [{"order": 0}, {"discount": -0.1}, {"discount": 1.0}])
def test_a_chain_refuses_what_makes_no_sense(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="order is at least 1, discount lies from 0 up to 1"):
        Markov(**settings)  # type: ignore[arg-type]
