"""A prior inside the softmax: its arithmetic in every loss, what training asks of it, and what answers."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.test_prior_table import ROWS
from tests.test_resume import COURSE, BreaksAt, BrokenOffError, bits, training
from tests.test_transitions import sequences_of
from tests.test_updating import SMALL, both_weeks, events, ladder_of, saved, week1, week2
from torch import Tensor

from ensue import artifacts, read, runtime
from ensue.augment import augmentation_of
from ensue.batching import Stretches
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.feeding import Augmenting, Feed
from ensue.inputs import Inputs
from ensue.losses import CrossEntropy, blocks, loss_of
from ensue.model import Conditions, Training, model_of
from ensue.network import Batch
from ensue.new_items import extended
from ensue.prepared import open_training
from ensue.preparing import write
from ensue.prior import Prior, Told
from ensue.prior_table import Transitions
from ensue.ranking import Recommender
from ensue.scorer import Scorer
from ensue.sequences import Queries, Sequences
from ensue.transitions import transition_counts
from ensue.updating import update

N, D, M = 5, 3, 7
CPU = torch.device("cpu")
RULES: dict[str, Any] = {"prior": "rules", "prior_folds": 3}
RECENT = np.array([[0, N], [1, 0], [2, 1], [N, N], [4, 3], [0, 0], [0, 1]])


def told() -> Told:
    table = Transitions.counted(sequences_of([*ROWS, [3, 4, 0]]), 2, 2, 0.5, 4)
    prior = Prior(table.answering).double()
    with torch.no_grad():
        prior.alpha.fill_(0.6)
        prior.log_scale.fill_(math.log(7))
    return Told(prior, table, table.rows(RECENT))


def plainly(known: Told) -> Tensor:
    """`[M, N]` what is added, from the masses as the rules score them, with a graph."""
    mass = torch.from_numpy(known.table.mass(known.rows).toarray()).double()
    return known.prior.alpha * torch.log(1 + known.prior.log_scale.exp() * mass)


def problem() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Queries, table, bias, targets and weights."""
    chance = torch.Generator().manual_seed(0)
    leaves = [
        torch.randn(*shape, dtype=torch.float64, generator=chance).requires_grad_()
        for shape in ((M, D), (N, D), (N,))
    ]
    targets = torch.tensor([1, 2, 3, 0, 4, 2, 1])
    return *leaves, targets, torch.rand(M, dtype=torch.float64, generator=chance)  # type: ignore[return-value]


def test_the_addition_begins_as_what_the_table_says() -> None:
    """With alpha 1 and equal scores, items are as likely as one part in N and their mass."""
    table = Transitions.counted(sequences_of(ROWS), 2, 2, 0.5, 3)
    prior = Prior(table)
    mass = torch.tensor([0.0, 0.1, 0.4, 0.5, 0.0])
    shares = torch.softmax(prior(mass), dim=0)
    torch.testing.assert_close(shares, (1 / N + mass) / (N * 1 / N + 1.0))
    assert prior(torch.zeros(3)).tolist() == [0, 0, 0]


def test_every_way_of_asking_a_scorer_adds_the_same() -> None:
    queries, table, bias, targets, _ = problem()
    known = told()
    plain = Scorer(table, bias)
    scorer, added = plain.told(known), plainly(known)
    torch.testing.assert_close(scorer.logits(queries), plain.logits(queries) + added)
    some = torch.tensor([4, 1, 1])
    torch.testing.assert_close(scorer.some(queries, some), plain.some(queries, some) + added[:, some])
    each = torch.stack([targets, (targets + 1) % N], dim=1)
    torch.testing.assert_close(scorer.each(queries, each), plain.each(queries, each) + added.gather(1, each))
    own = added[torch.arange(M), targets]
    torch.testing.assert_close(scorer.own(queries, targets), plain.own(queries, targets) + own)
    places, mass = known.entries()
    flat = torch.zeros(M * N, dtype=torch.float64)
    flat[places] = known.prior(mass)
    assert len(places.unique()) == len(places)
    torch.testing.assert_close(flat.reshape(M, N), added)
    part = slice(2, 5)
    torch.testing.assert_close(scorer.of(part).logits(queries[part]), scorer.logits(queries)[part])
    assert plain.of(part) is plain


def gradients(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    return [value, *torch.autograd.grad(value, leaves)]


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_the_whole_softmax_is_torchs_and_so_are_its_gradients(
    smoothing: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Block by block or at once; alpha and scale among what is learnt."""
    monkeypatch.setattr(blocks, "LOGITS_AT_ONCE", rows * N)
    queries, table, bias, targets, weights = problem()
    known = told()
    leaves = [queries, table, bias, *known.prior.parameters()]
    loss = CrossEntropy(smoothing)
    found = gradients(loss(queries, targets, weights, Scorer(table, bias, 2.0).told(known)), leaves)
    each = torch.nn.functional.cross_entropy(
        2.0 * queries @ table.T + bias + plainly(known), targets, reduction="none", label_smoothing=smoothing
    )
    expected = gradients((weights * each).sum() / weights.sum(), leaves)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert all(abs(float(gradient)) > 1e-3 for gradient in expected[-2:])


@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize("shared", [True, False])
def test_a_softmax_over_all_negatives_is_the_whole_one(
    shared: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "LOGITS_AT_ONCE", rows * N * (1 if shared else D))
    queries, table, bias, targets, weights = problem()
    known = told()
    leaves = [queries, table, bias, *known.prior.parameters()]
    scorer = Scorer(table, bias).told(known)
    sampled = loss_of({"name": "sampled-softmax", "negatives": N, "shared": shared})
    found = gradients(sampled(queries, targets, weights, scorer), leaves)
    torch.testing.assert_close(found, gradients(CrossEntropy()(queries, targets, weights, scorer), leaves))


def test_a_batch_without_any_mass_still_has_a_gradient_of_zero() -> None:
    """Every process of a team then has the same parameters to average."""
    queries, table, bias, targets, weights = problem()
    known = replace(told(), rows=np.full((M, 2), -1))
    for loss in (CrossEntropy(), loss_of("sampled-softmax")):
        value = loss(queries, targets, weights, Scorer(table, bias).told(known))
        assert [float(g) for g in torch.autograd.grad(value, list(known.prior.parameters()))] == [0, 0]


def feed_of(sequences: Sequences, table: Transitions, *augmented: str) -> Feed:
    augmenting = Augmenting(tuple(map(augmentation_of, augmented)), 1.0)
    return Feed(sequences, Inputs(length=4), CPU, augmenting, prior=table)


def items_of(table: Transitions, rows: np.ndarray, fold: int) -> list[list[int]]:
    """The items whose rows are asked; all of them of this fold."""
    asked = rows[rows >= 0]
    assert (asked // table.n_items == fold).all()
    return [[int(row) % table.n_items for row in step if row >= 0] for step in rows]


def test_a_batch_asks_about_the_last_items_of_the_sequence_in_the_table_without_its_user() -> None:
    sequences = sequences_of([[0, 1], [2, 3, 4, 1, 0], [3, 3]])
    table = Transitions.counted(sequences, 2, 3, 0.5, 2)
    batch = feed_of(sequences, table).batch(Stretches(np.array([4, 7]), np.array([6, 8])))
    assert batch.asked is not None
    histories = batch.asked.histories
    assert [histories.items[a:b].tolist() for a, b in zip(histories.starts, histories.ends, strict=True)] == [
        [2, 3, 4], [2, 3, 4, 1], [3], []
    ]  # fmt: skip
    # the first row begins with the third event of its sequence, and looks back to what came before it
    assert items_of(table, batch.asked.rows[0], 1) == [[4, 3, 2], [1, 4, 3]]
    assert items_of(table, batch.asked.rows[1], 0) == [[3], []]
    assert (batch.asked.rows[1, 1] == -1).all()


def test_an_augmented_row_asks_about_its_own_items_and_nothing_that_is_masked() -> None:
    sequences = sequences_of([[0, 1, 2, 3, 4]])
    table = Transitions.counted(sequences, 2, 5, 0.5, 2)
    feed = feed_of(sequences, table, "mask")
    feed.begin(np.random.default_rng(2))
    batch = feed.batch(Stretches(np.array([0]), np.array([4])))
    assert batch.asked is not None
    shown = [int(item) for item in batch.items[0]]
    assert N in shown
    expected = [[item for item in shown[step::-1] if item < N] for step in range(4)]
    assert items_of(table, batch.asked.rows[0], 0) == expected


def test_hidden_places_ask_about_what_came_before_them() -> None:
    """Of a row with the items 0 to 3 and 4 after them, place p asks about p - 1, and the first about nothing."""
    items, later = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[1, 2, 3, 4]])
    log = EventLog.of(pl.DataFrame({"user": ["u"] * 5, "item": list("abcde")}))
    for name, settings in (
        ("bert4rec", {"mask_share": 1.0, "last_share": 0.0}),
        ("xlnet", {"predicted": 1.0}),
    ):
        model = model_of(name, **COURSE, **settings)
        network = model.network(model.domain(Training.of(log)))  # type: ignore[attr-defined]
        found = network.train().sought(Batch(items, N, later=later))
        places = dict(zip(found.targets.tolist(), found.places.tolist(), strict=True))
        assert places == {item: item - 1 for item in range(0 if name == "bert4rec" else 1, 5)}


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
