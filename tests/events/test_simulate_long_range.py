"""The long-range source: its histories, and its scores against a whole enumeration of what can happen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ensue.events.log import EventLog
from ensue.events.simulate import LongRangeSource
from ensue.events.simulate.process import Knowing, Targets
from ensue.events.simulate.reachable import gains
from ensue.splits import last_out

METRICS = ("recall@3", "ndcg@3", "mrr@3", "accuracy")
LONG = LongRangeSource(keys=5, noise=3, distance=4, predictability=0.7)


def histories(log: EventLog) -> list[list[str]]:
    return [part["item"].to_list() for _, part in log.frame.group_by("user", maintain_order=True)]


def agrees(values: list[float], expected: float) -> bool:
    """Whether a mean lies within four standard errors of what is expected."""
    return bool(abs(np.mean(values) - expected) <= 4 * np.std(values) / len(values) ** 0.5 + 1e-12)


def plan(n: int, long: LongRangeSource = LONG) -> str:
    """The kinds of a history of n events: K a first key, k one stated again, n noise, c the cue, a an answer."""
    noise, block = "n" * (long.distance - 3), long.distance + 2
    return "KK" + "n" * (n % block) + noise + "caa" + ("kk" + noise + "caa") * (n // block - 1)


def kind_of(item: str) -> str:
    return {"key": "k", "noise": "n", "cue": "c", "answer": "a"}[item.partition("-")[0]]


def test_histories_are_made_of_blocks_and_answers_follow_their_keys() -> None:
    right = []
    for history in histories(LONG.log(400, 30, seed=2)):
        kinds = plan(len(history))
        assert "".join(map(kind_of, history)) == kinds.lower()
        keys = [item.removeprefix("key-") for item in history[:2]]
        assert [i.removeprefix("key-") for i in history if kind_of(i) == "k"] == keys * (
            kinds.count("a") // 2
        )
        answers = [i.removeprefix("answer-") for i in history if kind_of(i) == "a"]
        right += [answer == keys[place % 2] for place, answer in enumerate(answers)]
        assert history[-1 - LONG.distance] == f"key-{keys[1]}"
    assert agrees([float(r) for r in right], 0.7 + 0.3 / 5)


def test_leave_last_out_asks_for_answers_with_earlier_answers_in_training() -> None:
    log = LongRangeSource().log(50)
    parted = last_out(log)
    for part in (1, 2):
        asked_for = log.where(parted.part == part).frame
        assert asked_for.height == 50
        assert asked_for["item"].str.starts_with("answer-").all()
    answers = parted.train.frame.filter(pl.col("item").str.starts_with("answer-"))
    assert answers["user"].n_unique() == 50


def law_of(kind: str, key: str, long: LongRangeSource) -> dict[str, float]:
    """The law of the next item by its kind; `key` is the one that it repeats or answers, or "" if that is not known."""
    mine = [item for item in long.item_ids if kind_of(item) == kind.lower()]
    p = {"k": 1.0, "a": long.predictability}.get(kind, 0.0) if key else 0.0
    return {item: (1 - p) / len(mine) + p * item.endswith(f"-{key}") for item in mine}


def told(kinds: str, step: int, knowing: Knowing) -> str:
    """All that is known of the kind of a step before it is seen."""
    return {"history": kinds[:step], "last item": kinds[step - 1].lower(), "nothing": ""}[knowing]


def enumerated(
    knowing: Knowing, targets: Targets, length: int, long: LongRangeSource = LONG
) -> dict[str, dict[str, float]]:
    """By what is told: probability of meeting it with each item next, over every length and every step there is.

    The key that is repeated or answered is taken to be key-0.
    """
    met: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(long.item_ids, 0.0))
    lengths = range(max(-(-length // 2), 2 * (long.distance + 2)), length + 1)
    for n in lengths:
        kinds = plan(n, long)
        steps = [n - 1] if targets == "last" else range(1, n)
        for step in steps:
            law = law_of(kinds[step], "0" if knowing == "history" else "", long)
            for item, q in law.items():
                met[told(kinds, step, knowing)][item] += q / len(steps) / len(lengths)
    return met


BOUNDS: dict[Knowing, Callable[..., float]] = {
    "history": LongRangeSource.optimum,
    "last item": LongRangeSource.best_first_order,
    "nothing": LongRangeSource.best_popularity,
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("targets", ["last", "successive"])
@pytest.mark.parametrize("knowing", BOUNDS)
@pytest.mark.parametrize("distance", [3, 4])
def test_scores_are_those_of_the_whole_enumeration(
    distance: int, knowing: Knowing, targets: Targets, name: str
) -> None:
    long = replace(LONG, distance=distance)
    gain = gains(name, len(long.item_ids))
    best = sum(
        gain @ sorted(law.values(), reverse=True) for law in enumerated(knowing, targets, 27, long).values()
    )
    assert BOUNDS[knowing](long, name, targets=targets, length=27) == pytest.approx(float(best))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("targets", ["last", "successive"])
@pytest.mark.parametrize("knowing", BOUNDS)
def test_an_oracle_with_that_knowledge_reaches_the_score(
    knowing: Knowing, targets: Targets, name: str
) -> None:
    found = []
    ranking = {
        what: sorted(law, key=lambda item: (-law[item], item))
        for what, law in enumerated(knowing, targets, 27).items()
    }
    gain = gains(name, len(LONG.item_ids))
    for history in histories(LONG.log(800, 27, seed=4)):
        kinds, keys = plan(len(history)), [item[-1] for item in history[:2]]
        steps = [len(history) - 1] if targets == "last" else range(1, len(history))
        of_user = []
        for step in steps:
            item, key = history[step], keys[kinds[:step].lower().count(kinds[step].lower()) % 2]
            if knowing == "history" and kinds[step] in "ka":  # the user's key changes its name with key-0
                item = item[:-1] + {key: "0", "0": key}.get(item[-1], item[-1])
            of_user.append(gain[ranking[told(kinds, step, knowing)].index(item)])
        found.append(float(np.mean(of_user)))
    assert agrees(found, BOUNDS[knowing](LONG, name, targets=targets, length=27))


def test_closed_forms_are_their_arithmetic() -> None:
    sixteen = LongRangeSource(keys=16, predictability=0.9)
    assert sixteen.optimum("recall@10") == pytest.approx(0.9 + 0.1 * 10 / 16)
    assert sixteen.optimum("mrr@2") == pytest.approx(0.9 + 0.1 * (1 + 1 / 2) / 16)
    assert sixteen.optimum("recall@20") == pytest.approx(1)
    assert sixteen.best_first_order("recall@10") == sixteen.best_popularity("recall@10") == 10 / 16
    assert LongRangeSource(predictability=0.0).optimum("accuracy") == pytest.approx(1 / 16)
    assert LongRangeSource(predictability=1.0).optimum("accuracy") == 1.0
