"""The race on validation: who drops out, who goes on, and for how many minutes; and the facts that speak for models."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue.events.log import EventLog
from ensue.events.simulate import MarkovSource
from ensue.experiment import Evaluating, Experiment
from ensue.ladder.rungs import validated
from ensue.model import Conditions, Training, model_of
from ensue.progress import Silent
from ensue.selecting import words
from ensue.selecting.facts import Facts, domain, entrants, facts, left_out
from ensue.selecting.race import Racing, of_each, race
from ensue.sequences import Sequences
from ensue.significance import interval
from ensue.splits import last_out, temporal

ASKED = Experiment(evaluation=Evaluating(exclude_seen=False))

# --------------------------------------------------------------------------------------------- the race


def test_minutes_double_from_round_to_round_and_what_is_left_goes_on() -> None:
    assert of_each(7.0, 0, 3, 4) == 7 * (1 / 7) / 4
    assert of_each(6.0, 1, 3, 2) == 6 * (2 / 6) / 2
    assert of_each(4.0, 2, 3, 1) == 4
    assert of_each(-1.0, 1, 2, 3) == 0


@pytest.fixture
def racing() -> Racing:
    """Popularity, a chain and rules, fitted on a first-order log and measured on validation."""
    parts = temporal(MarkovSource(items=30).log(150, 12))
    going = Racing(validated(parts.train, parts, ASKED), Conditions(), "ndcg@10")
    for name in ("popular", "markov", "rules"):
        going.run(name, model_of(name))
    return going


def test_the_worse_half_drops_out_where_it_is_surely_behind(racing: Racing) -> None:
    assert racing.drop(["popular", "markov", "rules"], 1) == ["markov", "rules"]
    gone = racing.dropped["popular"]
    assert (gone.after, gone.leader) == (1, "markov")
    best, own = (racing.fits[name].validation for name in ("markov", "popular"))
    assert best is not None and own is not None  # noqa: PT018
    assert gone.gap == interval(best.per_user["ndcg@10"] - own.per_user["ndcg@10"])
    said = words.dropped("popular", gone, "ndcg@10")
    assert f"ndcg@10 lower than markov by {gone.gap.value:.4f}" in said


def test_the_better_half_stays_however_far_it_is_behind_and_so_does_what_chance_may_explain(
    racing: Racing,
) -> None:
    assert racing.drop(["popular"], 1) == ["popular"]  # the better half of one is that one
    assert racing.drop(["markov", "rules"], 1) == ["markov", "rules"]
    assert racing.drop(["rules", "popular", "missing"], 1) == ["rules"]


def test_of_two_fits_the_better_on_validation_is_kept(racing: Racing) -> None:
    first = racing.fits["markov"]
    racing.run("markov", model_of("popular"))
    assert racing.fits["markov"] is first
    racing.run("popular", model_of("markov"))
    assert racing.fits["popular"].model.name == "markov"


def test_a_model_that_cannot_be_fitted_is_left_out_of_the_race_and_named(ring_frame: pl.DataFrame) -> None:
    parts = last_out(EventLog.of(ring_frame.drop("time")))
    training = validated(parts.train, parts, ASKED)
    found = race(
        {"recent": model_of("recent"), "markov": model_of("markov")}, training, Conditions(), "ndcg@10", 1.0
    )
    assert set(found.fits) == {"markov"}
    assert found.skipped["recent"].startswith("recent: this log has no times")


def test_a_network_that_ends_by_itself_is_not_trained_again(ring_log: EventLog) -> None:
    parts = last_out(ring_log)
    training = validated(parts.train, parts, ASKED)
    tiny = {"width": 4, "length": 8, "epochs": 1, "batch_tokens": 64}
    models = {"a": model_of("rnn", **tiny), "b": model_of("rnn", **tiny)}
    found = race(models, training, Conditions(), "ndcg@10", 30.0)
    assert found.rounds == (30 * (1 / 3) / 2,)
    assert set(found.fits) == {"a", "b"}
    assert found.limits == {"a": 5.0, "b": 5.0}


# -------------------------------------------------------------------------------------- facts and entrants


def known(**others: Any) -> Facts:
    """Facts of a log that networks are worth trying on."""
    plain: dict[str, Any] = {
        "by": "user", "events": 200_000, "users": 2000, "items": 500, "sequences": 2000, "typical": 80.0, "long": 300.0,
        "repeats": 0.0, "order": "matters", "said": "order matters", "young": None, "timed": True, "domain": "plain",
    }  # fmt: skip
    return Facts(**plain | others)


@pytest.fixture(scope="module")
def some_sequences() -> Sequences:
    """Two short sequences."""
    offsets = np.array([0, 3, 6], dtype=np.int64)
    return Sequences(np.array([0, 1, 2, 2, 1, 0], dtype=np.int32), offsets, pl.Series(["u", "v"]), 3)


@pytest.mark.parametrize(
    ("others", "there", "absent"),
    [
        (
            {},
            {"popular", "recent", "markov", "rules", "neighbours", "als", "gru", "transformer", "fast"},
            {"v-sknn"},
        ),
        ({"events": 9_999}, {"rules"}, {"gru", "transformer", "fast"}),
        ({"order": "not"}, {"gru", "neighbours"}, {"transformer", "fast"}),
        ({"timed": False}, {"popular"}, {"recent"}),
        ({"typical": 4.0}, {"v-sknn"}, set()),
        ({"domain": "shop"}, {"v-sknn"}, set()),
    ],
)
def test_facts_speak_for_models(
    others: dict[str, Any], there: set[str], absent: set[str], some_sequences: Sequences
) -> None:
    found = entrants(known(**others), some_sequences)
    labels = {one.label for one in found}
    assert there <= labels
    assert not absent & labels
    assert all(one.reason for one in found)
    assert bool(left_out(known(**others))) == ("events" in others)


@pytest.mark.parametrize(
    ("columns", "by", "kind"),
    [
        ({}, "user", "plain"),
        ({}, "session", "sessions"),
        ({"rating": [4.0, None]}, "user", "ratings"),
        ({"basket": ["b", "b"]}, "user", "baskets"),
        ({"event": ["view", "AddToCart"], "rating": [1.0, 2.0]}, "user", "shop"),
        ({"event": ["view", None]}, "user", "plain"),
    ],
)
def test_the_kind_of_a_log(columns: dict[str, Any], by: str, kind: str) -> None:
    log = EventLog.of(
        pl.DataFrame({"user": ["u", "u"], "item": ["a", "b"], "session": ["s", "s"], **columns})
    )
    assert domain(log, by) == kind


def test_facts_count_the_training_part() -> None:
    log = MarkovSource(items=20).log(100, 12)
    training = Training.of(log)
    found = facts(log, training.sequences, "user", exclude_seen=False, progress=Silent())
    assert (found.events, found.users, found.items) == (log.n_events, 100, log.n_items)
    assert found.typical == float(np.median(training.sequences.lengths))
    assert found.order == "matters"
    assert found.domain == "plain"
