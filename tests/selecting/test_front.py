"""The front of accuracy, latency and size, the refusal of what is not told from chance, and the words for both."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.ladder.costs import Latency
from ensue.selecting import Limits, words
from ensue.selecting.front import QUICK, STEP, SURE, Standing, choose, front, within
from ensue.significance import interval


def standing(
    label: str, values: Any, ms: float = 0.1, size: int = 1000, p99: float | None = None
) -> Standing:
    """A model with these validation figures, one for each user, and these costs."""
    per_user = np.asarray(values, dtype=np.float64)
    timed = Latency(ms, ms, ms if p99 is None else p99, 100)
    return Standing(label, per_user, interval(per_user), timed, size)


# ------------------------------------------------------------------------------------------- the front


def test_a_model_that_is_worse_in_one_and_better_in_none_is_not_on_the_front() -> None:
    found = front(
        [
            standing("large", [0.5, 0.5], size=90 * STEP),
            standing("slow", [0.6, 0.6], ms=9 * QUICK, size=90 * STEP),
            standing("worse", [0.4, 0.4], ms=9 * QUICK, size=90 * STEP),
            standing("small", [0.1, 0.1]),
        ]
    )
    assert [one.label for one in found] == ["small", "large", "slow"]


def test_of_models_that_are_alike_the_first_is_kept() -> None:
    alike = [standing("first", [0.5]), standing("second", [0.5], ms=0.9 * QUICK, size=STEP)]
    assert [one.label for one in front(alike)] == ["first"]


def test_what_is_big_is_latency_in_doublings_then_size_in_steps() -> None:
    assert standing("a", [0.0], ms=0.01, size=1).bigness == (0, 1)
    assert standing("a", [0.0], ms=1.99 * QUICK, size=STEP + 1).bigness == (0, 2)
    assert standing("a", [0.0], ms=4 * QUICK).bigness == (2, 1)


models_of_any_kind = st.lists(
    st.builds(
        lambda base, noise, ms, size, seed: standing(
            "", base + noise * np.random.default_rng(seed).normal(size=30), ms, size
        ),
        st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([0.0, 0.05, 0.5]), st.floats(0.01, 100),
        st.integers(1, 10**7), st.integers(0, 5),
    ),
    min_size=1, max_size=6,
).map(lambda found: [replace(one, label=f"m{place}") for place, one in enumerate(found)])  # fmt: skip


@given(models_of_any_kind)
def test_the_laws_of_front_and_choice(standings: list[Standing]) -> None:
    best = front(standings)
    choice = choose(standings)
    labels = [one.label for one in best]
    assert choice.front == tuple(labels)
    assert [one.bigness for one in best] == sorted(one.bigness for one in best)

    def as_good(a: Standing, b: Standing) -> bool:
        return a.value.value >= b.value.value and all(
            x <= y for x, y in zip(a.bigness, b.bigness, strict=True)
        )

    for one in standings:  # what is off the front has one on it that is nowhere worse; what is on it has none
        better = [other for other in best if other is not one and as_good(other, one)]
        assert bool(better) == (one.label not in labels)
    taken = labels.index(choice.taken)
    means = {one.label: one.value.value for one in best}
    for place, label in enumerate(labels):
        beaten = any(
            means[bigger] > means[label] and choice.sure[label, bigger] < SURE
            for bigger in labels[place + 1 :]
        )
        assert beaten or place >= taken
        assert not beaten or place != taken
    assert set(choice.gains) == {one.label for one in standings} - {choice.taken}


# ---------------------------------------------------------------------------------- what is refused, and why


def test_a_bigger_model_is_refused_in_words_where_its_gain_may_be_chance(seeded: np.random.Generator) -> None:
    rules = seeded.random(200)
    gain = seeded.normal(size=200)
    gain = 0.1 * (gain - gain.mean()) + 0.0012
    both = [
        standing("transformer", rules + gain, ms=4.0, size=20_000_000),
        standing("rules", rules, ms=0.1, size=10**6),
    ]
    choice = choose(both)
    assert (choice.taken, choice.front) == ("rules", ("rules", "transformer"))
    span = interval(gain)
    assert words.not_taken("transformer", choice, {one.label: one for one in both}, "ndcg@10") == (
        f"transformer: +0.0012 ndcg@10 against rules ({span.low:+.4f} to {span.high:+.4f}): not told from chance; "
        "it is 40 times slower and 20 times larger, so rules"
    )
    assert "no bigger model surely beats it" in words.taken(
        choice, {one.label: one for one in both}, "ndcg@10"
    )


def test_a_bigger_model_is_taken_where_its_gain_is_sure(seeded: np.random.Generator) -> None:
    small = seeded.random(200)
    both = [standing("gru", small + 0.05, ms=4.0, size=10**6), standing("markov", small)]
    choice = choose(both)
    assert choice.taken == "gru"
    assert words.not_taken("markov", choice, {one.label: one for one in both}, "recall@10") == (
        "markov: -0.0500 recall@10 against gru (-0.0500 to -0.0500); it is 40 times quicker and 1,000 times smaller, "
        "but gru beats it by 0.0500, which is more than chance (p = 0.0002)"
    )


def test_a_model_between_is_taken_if_the_smallest_is_surely_beaten_and_the_biggest_gains_nothing_on_it(
    seeded: np.random.Generator,
) -> None:
    noise = seeded.normal(size=(2, 100))
    noise -= noise.mean(axis=1, keepdims=True)
    base = seeded.random(100)
    small, middle, big = base, base + 0.10 + 0.02 * noise[0], base + 0.101 + 0.02 * noise[1]
    found = choose(
        [standing("c", big, size=9 * STEP), standing("a", small), standing("b", middle, size=5 * STEP)]
    )
    assert found.taken == "b"
    assert set(found.surer) == {"a"}


def test_a_smaller_model_that_may_be_as_good_as_the_middle_one_is_not_taken_where_the_biggest_beats_it() -> (
    None
):
    """B is not told from A, C is told from A and not from B: B is the smallest that nothing surely beats."""
    users = np.arange(100)
    a = np.zeros(100)
    b = np.where(users % 2, 0.6, -0.5)  # + 0.05, very uneven
    c = np.full(100, 0.06)
    found = choose([standing("a", a), standing("b", b, size=5 * STEP), standing("c", c, size=9 * STEP)])
    assert found.taken == "b"


def test_what_many_comparisons_make_unsure_says_so() -> None:
    rng = np.random.default_rng(3)
    base, noise = rng.random(100), rng.normal(size=100)
    gain = 0.1 * (noise - noise.mean()) / noise.std()
    some = [
        standing("a", base),
        *(standing(f"m{n}", base + gain + 0.0215 + n * 1e-4, size=(n + 2) * STEP) for n in range(6)),
    ]
    choice = choose(some)
    assert choice.taken == "a"
    told = words.not_taken("m0", choice, {one.label: one for one in some}, "ndcg@10")
    assert choice.gains["m0"].difference.low > 0
    assert re.search(
        r"not told from chance once 21 pairs are tested \(p = 0\.\d+, 0\.05 is asked for\)", told
    )


def test_a_dominated_model_names_what_is_nowhere_worse() -> None:
    both = [standing("big", [0.1, 0.3], size=9 * STEP), standing("small", [0.2, 0.2])]
    told = words.not_taken("big", choose(both), {one.label: one for one in both}, "ndcg@10")
    assert told.endswith("; small is at least as accurate, and about as quick and as small, or more so")


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ((4.0, 2000), (0.1, 100), "it is 40 times slower and 20 times larger"),
        ((1.0, 100), (1.2, 120), "it is as quick and as large"),
        ((1.0, 100), (2.5, 100_000), "it is 2.5 times quicker and 1,000 times smaller"),
    ],
)
def test_costs_in_words(one: tuple[float, int], other: tuple[float, int], said: str) -> None:
    assert words.costly(standing("a", [0.0], *one), standing("b", [0.0], *other)) == said


def test_limits_are_of_the_slowest_answers_and_of_megabytes() -> None:
    some = [
        standing("slow", [0.5], ms=1.0, p99=7.0),
        standing("large", [0.5], size=3_000_000),
        standing("fits", [0.1]),
    ]
    allowed, broken = within(some, Limits(latency_ms=5.0, size_mb=2.0))
    assert [one.label for one in allowed] == ["fits"]
    assert broken == {
        "slow": "1 in 100 answers takes 7 ms or more, and 5 are allowed",
        "large": "it takes 3 MB, and 2 are allowed",
    }
    assert within(some, Limits())[1] == {}
