"""Answers to look at: the end of the history in its order, what came next, its rank, and the slate that is served."""

from __future__ import annotations

import pytest

from ensue.events.log import EventLog
from ensue.model import fit
from ensue.ranking import Recommender
from ensue.reporting import samples
from ensue.splits import Split, split

RING = "ABCDEFGHIJ"


@pytest.fixture(scope="module")
def parts(ring_log: EventLog) -> Split:
    return split(ring_log, "last")


@pytest.fixture(scope="module")
def markov(parts: Split) -> Recommender:
    return fit("markov", parts.before_test, exclude_seen=False)


def test_an_answer_shows_the_end_of_a_history_and_what_follows(parts: Split, markov: Recommender) -> None:
    found = samples(markov, parts.examples("test", markov.catalogue, "last"), count=3, k=4)
    assert len(found) == 3
    for one in found:
        history = [item["item"] for item in one["history"]]
        begin = RING.index(history[0])
        assert history == [RING[(begin + step) % 10] for step in range(5)]  # round the ring, oldest first
        assert one["before"] == 21 - 1 - 5  # 21 steps, the last is the target
        assert one["next"] == {"item": RING[(begin + 5) % 10]}
        assert one["rank"] == 1.0
        assert len(one["slate"]) == 4
        assert one["slate"][0] == one["next"]


def test_seen_items_are_left_out_as_they_are_when_served(parts: Split) -> None:
    recommender = fit("markov", parts.before_test, exclude_seen=True)
    examples = parts.examples("test", recommender.catalogue, "last")
    for one in samples(recommender, examples):  # everybody has seen the whole ring
        assert one["slate"] == []
        assert one["rank"] is None


def test_few_examples_are_all_shown_and_none_gives_none(parts: Split, markov: Recommender) -> None:
    import numpy as np

    examples = parts.examples("test", markov.catalogue, "last")
    assert len(samples(markov, examples[np.arange(2)], count=4)) == 2
    assert samples(markov, examples[np.arange(0)]) == []
    assert len(samples(markov, examples, count=5)) == 5
