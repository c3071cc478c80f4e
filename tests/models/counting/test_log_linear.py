"""A log-linear mix: its scale, its weights, and that it is stored whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue import artifacts, runtime
from ensue.errors import ArtifactError, ConfigError
from ensue.events.log import EventLog
from ensue.model import Conditions, Training, refit
from ensue.models.counting.log_linear import LogLinear, LogLinearScoring, scaled
from ensue.models.counting.markov import Markov
from ensue.models.counting.popular import Popular
from ensue.ranking import Parts
from ensue.sequences import Queries
from ensue.splits import last_out

CHAIN = ({"model": "markov"}, {"model": "popular"})
row = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6)


def ring(users: int, items: int = 6, steps: int = 9) -> EventLog:
    """Each item is followed by the next, so that the chain knows all and popularity nothing."""
    rows = [(f"u{user}", f"i{(user + step) % items}") for user in range(users) for step in range(steps)]
    return EventLog.of(pl.DataFrame(rows, schema=["user", "item"], orient="row"))


def noise(users: int, items: int = 8, steps: int = 12) -> EventLog:
    """Drawn apart from each other, the first items far more often."""
    chance = 0.5 ** np.arange(items)
    drawn = np.random.default_rng(3).choice(items, (users, steps), p=chance / chance.sum())
    rows = [(f"u{user}", f"i{item}") for user in range(users) for item in drawn[user].tolist()]
    return EventLog.of(pl.DataFrame(rows, schema=["user", "item"], orient="row"))


def training_of(log: EventLog) -> Training:
    parts = last_out(log)
    known = Training.of(parts.train, exclude_seen=False)
    return replace(known, validation=parts.examples("validation", known.catalogue))


@given(row, st.floats(0.01, 100.0), st.floats(-100.0, 100.0))
def test_the_scale_of_a_member_depends_on_no_unit_and_no_zero(
    scores: list[float], unit: float, zero: float
) -> None:
    found = np.array([scores])
    spread = max(scores) - min(scores)
    if 0 < spread < 1e-3:
        return  # a matter of rounding
    one, other = scaled(found), scaled(found * unit + zero)
    np.testing.assert_allclose(one, other, atol=1e-6)
    order = np.argsort(scores, kind="stable")
    assert (np.diff(one[0][order]) >= 0).all()
    assert one.min() == 0


def test_the_scale_is_the_logarithm_of_shares_of_the_mean() -> None:
    """1, 2 and 6 less the least are 0, 1 and 5, of the mean 2."""
    found = scaled(np.array([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]]))
    assert found[0] == pytest.approx(np.log1p([0, 1 / 2, 5 / 2]))
    assert found[1] == pytest.approx([0, 0, 0])


def test_scores_are_weighted_sums_of_the_members() -> None:
    training = training_of(ring(12))
    fitted = LogLinear(CHAIN, (2.0, 0.5)).fit(training)
    members = [model.fit(training).scores for model in (Markov(), Popular())]
    queries = Queries.of([[0], [1, 2]], 6)
    expected = 2.0 * scaled(members[0](queries)) + 0.5 * scaled(members[1](queries))
    np.testing.assert_allclose(fitted.scores(queries), expected)


def test_weights_go_to_the_member_that_foresees_the_targets() -> None:
    order = LogLinear(CHAIN).fit(training_of(ring(40)))
    chance = LogLinear(CHAIN).fit(training_of(noise(60)))
    assert order.settings["weights"][0] > 1
    assert order.settings["weights"][1] < 0.1, "in a ring all items are as popular"
    assert chance.settings["weights"][1] > chance.settings["weights"][0]
    assert min(chance.settings["weights"]) >= 0


def test_weights_are_the_likeliest_ones() -> None:
    """A little more or less of either makes the validation targets less likely, by the penalised likelihood."""
    training = training_of(noise(60))
    fitted = LogLinear(CHAIN).fit(training)
    assert training.validation is not None
    queries, targets = training.validation.queries, training.validation.targets

    def value(weights: list[float]) -> float:
        scores = LogLinear(CHAIN, tuple(weights)).fit(training).scores(queries)
        chance = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        found = np.log(chance[np.arange(len(targets)), targets]).sum()
        return float(found - 0.5 * np.square(weights).sum())

    weights = fitted.settings["weights"]
    for place in (0, 1):
        for change in (-0.1, 0.1):
            moved = list(weights)
            moved[place] = max(moved[place] + change, 0.0)
            assert value(moved) <= value(weights) + 1e-6


def test_a_refit_keeps_the_weights_and_without_validation_all_are_one() -> None:
    training = training_of(ring(12))
    first = LogLinear(CHAIN).fit(training)
    again = refit(LogLinear(CHAIN), first, replace(training, validation=None), Conditions())
    assert again.settings["weights"] == first.settings["weights"]
    plain = LogLinear(CHAIN).fit(replace(training, validation=None))
    assert plain.settings["weights"] == [1.0, 1.0]


def test_it_is_stored_with_all_members_and_says_what_they_read(tmp_path: Path) -> None:
    members = ({"model": "markov", "order": 2}, {"model": "up-cf", "neighbours": 3}, {"model": "markov"})
    fitted = LogLinear(members, (1.0, 2.0, 0.5)).fit(training_of(ring(12)))
    loaded = runtime.load(artifacts.save(fitted, tmp_path / "model"))
    queries = Queries.of([[0], [1, 2], [3, 4, 5]], 6)
    assert (loaded.scores(queries) == fitted.scores(queries)).all()
    assert isinstance(loaded.scoring, LogLinearScoring)
    assert loaded.scoring.reads == ("basket",)
    parts = fitted.scoring.parts()
    with pytest.raises(ArtifactError, match="not those of the mix"):
        LogLinear(members).restore(parts, fitted.catalogue)
    short = Parts({"members": parts.settings["members"][:2]}, parts.arrays)
    with pytest.raises(ArtifactError, match="not those of the mix"):
        LogLinear(members, (1.0, 2.0, 0.5)).restore(short, fitted.catalogue)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"members": ()}, "members names no model"),
        ({"members": ({"order": 2},)}, "the member {'order': 2} names no model"),
        ({"members": ({"model": "lstm"},)}, "lstm is no model that counts"),
        ({"members": ({"model": "log-linear"},)}, "log-linear is no model that counts"),
        ({"members": ({"model": "markov", "odrer": 2},)}, "has no setting 'odrer'"),
        ({"weights": (1.0,)}, "1 weights for 2 members"),
        ({"weights": (1.0, -1.0)}, r"weights=\[1.0, -1.0\] must be numbers from 0 up"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        LogLinear(**settings)


def test_targets_that_the_ranking_leaves_out_say_nothing() -> None:
    """Half of the targets were seen before, and would speak for the member that names what was seen."""
    rng = np.random.default_rng(1)
    rows = []
    for user in range(60):
        item = int(rng.integers(30))
        own: list[int] = []
        for _ in range(12):
            item = int(rng.choice(own)) if own and rng.random() < 0.5 else (item + 1) % 30
            own.append(item)
            rows.append((f"u{user}", f"i{item}"))
    parts = last_out(EventLog.of(pl.DataFrame(rows, schema=["user", "item"], orient="row")))
    known = Training.of(parts.train, exclude_seen=True)
    examples = parts.examples("validation", known.catalogue)
    queries = examples.queries
    seen = np.array(
        [
            target in queries.items[a:b]
            for target, a, b in zip(examples.targets, queries.starts, queries.ends, strict=True)
        ]
    )
    assert 0 < seen.sum() < len(seen)
    model = LogLinear(members=({"model": "last-seen"}, {"model": "markov"}, {"model": "popular"}))
    some = replace(known, validation=examples[np.flatnonzero(~seen)])
    assert model.fit(replace(known, validation=examples)).settings == model.fit(some).settings
    none = replace(known, validation=examples[np.flatnonzero(seen)])
    scoring = model.fit(none).scoring
    assert isinstance(scoring, LogLinearScoring)
    assert scoring.weights == pytest.approx([1.0, 1.0, 1.0])
