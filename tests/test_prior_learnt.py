"""Models that learn with a prior: what they answer, how they go on and are updated, and what they choose or refuse."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.test_resume import COURSE, BreaksAt, BrokenOffError, bits, training
from tests.test_transitions import sequences_of
from tests.test_updating import SMALL, both_weeks, events, ladder_of, saved, week1, week2

from ensue import artifacts, read, runtime
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.model import Conditions, Training, model_of
from ensue.network import Batch
from ensue.new_items import extended
from ensue.prepared import open_training
from ensue.preparing import write
from ensue.prior import Told
from ensue.prior_table import Transitions
from ensue.ranking import Recommender
from ensue.sequences import Queries, Sequences
from ensue.transitions import transition_counts
from ensue.updating import update

RULES: dict[str, Any] = {"prior": "rules", "prior_folds": 3}


def fitted(
    name: str, data: Training, conditions: Conditions = Conditions(seed=3), **settings: Any
) -> Recommender:
    return model_of(name, **COURSE | RULES | settings).fit(data, conditions)


def rows_of(data: Training) -> Queries:
    return data.sequences.head(12).queries()


SERVED: dict[str, dict[str, Any]] = {
    "transformer": {"blocks": 1},
    "bert4rec": {"blocks": 1},
    "xlnet": {"blocks": 1},
    "gru4rec": {},
    "fpmc": {},
    "hstu": {"blocks": 1},
}
"""A prior stands outside the graph: of the blocks inside, one is enough, and exported in half the time."""


@pytest.mark.parametrize("name", SERVED)
def test_what_is_served_is_what_was_measured(name: str, tmp_path: Path) -> None:
    data = training()
    recommender = fitted(name, data, epochs=2, **SERVED[name])
    loaded = runtime.load(artifacts.save(recommender, tmp_path / "model"), threads=1)
    np.testing.assert_allclose(
        loaded.scores(rows_of(data)), recommender.scores(rows_of(data)), rtol=0, atol=1e-5
    )
    scoring = recommender.scoring
    assert isinstance(scoring, TorchScoring)
    assert scoring.network.prior is not None
    assert float(scoring.network.prior.alpha.detach()) != 1
    assert recommender.facts["prior"]["alpha"] == float(scoring.network.prior.alpha.detach())
    scoring.network.prior = None
    without = scoring.score(rows_of(data))
    assert np.abs(recommender.scores(rows_of(data)) - without).max() == 0
    assert np.abs(loaded.scores(rows_of(data)) - without).max() > 0.01


def test_an_event_at_a_time_scores_as_the_whole_history() -> None:
    """What is carried is the network's state and the last items."""
    data = training()
    scoring = fitted("transformer", data).scoring
    assert isinstance(scoring, TorchScoring)
    network = scoring.network.eval()
    assert network.prior is not None
    history = data.sequences.items[:6]
    state, table = network.begin(1), network.prior.table
    with torch.no_grad():
        for end in range(1, len(history) + 1):
            event = Batch(torch.from_numpy(history[end - 1 : end].astype(np.int64))[None], table.n_items)
            answer, state = network.step(event, state)
            recent = Queries.of([history[:end]], table.n_items).last(table.last)
            known = Told(network.prior, table, table.rows(recent), Queries.of([history[:end]], table.n_items))
            scorer = network.scorer().told(known)
            whole = scoring.score(Queries.of([history[:end]], table.n_items))
            np.testing.assert_allclose(scorer.logits(answer).numpy(), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("loss", ["cross-entropy", "bpr"])
def test_broken_off_and_gone_on_is_as_if_never_stopped(loss: str, tmp_path: Path) -> None:
    data = training()
    whole = fitted("transformer", data, loss=loss)
    kept = Conditions(seed=3, checkpoints=tmp_path, checkpoint_minutes=1e-9)
    with pytest.raises(BrokenOffError):
        fitted("transformer", data, replace(kept, progress=BreaksAt(whole.facts["steps"] // 2)), loss=loss)
    assert bits(fitted("transformer", data, kept, loss=loss)) == bits(whole)


def test_two_processes_learn_what_one_learns() -> None:
    data = training()
    one, two = (
        bits(fitted("transformer", data, Conditions(seed=3, processes=number), dropout=0.0, epochs=2))
        for number in (1, 2)
    )
    for name in one:
        if "." in name:
            np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-5, err_msg=name)
    assert one["prior.alpha"] != [1.0]


def test_events_in_files_count_the_same(tmp_path: Path) -> None:
    data = training()
    write(data, tmp_path / "data")
    mapped = open_training(tmp_path / "data")
    assert bits(fitted("lstm", mapped, epochs=1)) == bits(fitted("lstm", data, epochs=1))


def test_a_new_item_is_scored_and_the_old_ones_keep_their_prior(
    ring_frame: pl.DataFrame, tmp_path: Path
) -> None:
    kinds = pl.DataFrame({"item": list("ABCDEFGHIJ"), "kind": list("abcdefghij")})
    data = Training.of(EventLog.of(ring_frame, items=kinds), exclude_seen=False)
    plain = fitted("lstm", data, features=("kind",))
    more = extended(plain, pl.DataFrame({"item": ["K"], "kind": ["d"]}))
    old = plain.scores(Queries.of([[1, 2]], 10))
    for grown in (more, runtime.load(artifacts.save(more, tmp_path / "model"), threads=1)):
        np.testing.assert_allclose(grown.scores(Queries.of([[1, 2]], 11))[:, :10], old, rtol=0, atol=1e-5)
    assert np.isfinite(more.scores(Queries.of([[10]], 11))).all()


def test_the_table_follows_the_data_with_the_reason_said() -> None:
    said: list[str] = []
    short, long = sequences_of([[0] * 50] * 4), sequences_of([[0] * 51] * 4)
    model = model_of("transformer", prior="rules")
    for sequences, expected in ((short, (10, 5, 0.5)), (long, (20, 10, 0.7))):
        chosen = model.suited(sequences, said.append)  # type: ignore[attr-defined]
        assert (chosen.prior_window, chosen.prior_last, chosen.prior_decay) == expected
    assert (
        "transformer: a prior of pairs within 10 steps asks the last 5 items, each for 0.5 of the one after it, since "
        "95 % of the sequences have at most 50 events, which is short"
    ) in said
    assert (
        "transformer: the prior also adds to items of the history, since 98.0% of the events bring an item of their "
        "sequence again"
    ) in said
    rare = sequences_of([list(range(5))] * 30, n=5)
    assert model.suited(rare, said.append).prior_repeats is False  # type: ignore[attr-defined]
    own = model_of(model, prior_last=3).suited(short)  # type: ignore[attr-defined]
    assert (own.prior_window, own.prior_last, own.prior_decay) == (10, 3, 0.5)
    off = model_of("transformer").suited(short, said.append)  # type: ignore[attr-defined]
    assert (off.prior, off.prior_window) == ("none", 0)


def test_no_more_items_are_asked_than_the_window_has() -> None:
    model = model_of(
        "lstm", **COURSE | RULES | {"length": 4, "prior_window": 3, "prior_last": 9, "prior_decay": 1.0}
    )
    table = model.transitions(training())  # type: ignore[attr-defined]
    assert table is not None
    assert table.last == 4


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"prior": "rulse"}, "prior='rulse' must be one of none, rules, beside. Did you mean 'rules'?"),
        ({"prior_folds": 1}, "prior_folds=1 must be at least 2"),
        ({"prior_decay": 1.5}, "prior_decay=1.5 must lie from 0, for automatic, to 1"),
        ({"prior_window": -1}, "prior_window=-1 must be at least 1, or 0 for automatic"),
        (
            {"prior": "rules", "loss": "mean-squared-error"},
            "says which item comes next and not how it is rated",
        ),
    ],
)
def test_a_prior_that_makes_no_sense_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as fault:
        model_of("lstm", **settings)
    assert says in str(fault.value)


def counted(recommender: Recommender) -> np.ndarray:
    """`[N, N]` what its prior has counted."""
    assert isinstance(recommender.scoring, TorchScoring)
    assert recommender.scoring.network.prior is not None
    return recommender.scoring.network.prior.table.counts(len(recommender.catalogue)).toarray()


def in_order(log: EventLog, recommender: Recommender) -> np.ndarray:
    """`[N, N]` the counts of a whole log, in the indices of a recommender."""
    sequences = Sequences.of(log, recommender.catalogue)
    return transition_counts(sequences, recommender.settings["prior_window"]).toarray()


def test_an_update_counts_what_is_new_beside_what_it_had_counted(tmp_path: Path) -> None:
    """No histories were kept: the stored table is all that is left of the first week."""
    place = saved("lstm", tmp_path / "model", prior="rules", **SMALL)
    found = update(place, week2(), Conditions(seed=1))
    np.testing.assert_allclose(
        counted(found.recommender), in_order(EventLog.of(both_weeks()), found.recommender), rtol=1e-5
    )
    again = runtime.load(artifacts.save(found.recommender, tmp_path / "new"), threads=1)
    queries = Queries.of([again.catalogue.encode(["J", "K"])], 12)
    np.testing.assert_allclose(again.scores(queries), found.recommender.scores(queries), rtol=0, atol=1e-5)


def test_an_update_counts_all_that_was_kept_and_what_is_new(tmp_path: Path) -> None:
    """Of those that were kept, some are learnt from again and all are counted, once."""
    folder = ladder_of(tmp_path, {"lstm": SMALL | {"prior": "rules"}})
    more = events([("u00", item) for item in "KL"] + [("x", item) for item in "JKLA"], day=1)
    found = update(folder / "models" / "lstm", more, Conditions(seed=1))
    columns = ["user", "item", "time"]
    everything = EventLog.of(pl.concat([week1().frame.select(columns), more.frame.select(columns)]))
    np.testing.assert_allclose(counted(found.recommender), in_order(everything, found.recommender), rtol=1e-5)


@pytest.mark.skipif(
    "ENSUE_DATA" not in os.environ, reason="ENSUE_DATA says where the data lies; it is not set"
)
@pytest.mark.parametrize("most", [0, 64])
def test_the_table_of_real_events_is_that_of_the_rules(most: int) -> None:
    log = read(Path(os.environ["ENSUE_DATA"]) / "ml-100k")
    data = Training.of(log)
    table = Transitions.counted(data.sequences, 20, 10, 0.7, 10, most)
    scores = model_of("rules").fit(data).scores(data.sequences.head(20).queries())
    mass = table.mass(table.rows(data.sequences.head(20).queries().last(10))).toarray()
    if most == 0:
        np.testing.assert_allclose(mass, scores, rtol=1e-4, atol=1e-7)
    assert (mass <= scores * (1 + 1e-4) + 1e-7).all()
    assert mass.sum() > 0.5 * scores.sum()
