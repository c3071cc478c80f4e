"""Faults that users of recommenders have met in training and answering; here none of them happens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ensue.catalogue import Catalogue
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.events.source import read
from ensue.export import TorchScoring
from ensue.model import Model, Training, model_of
from ensue.models.neural.rnn import LSTM
from ensue.models.neural.transformer import Transformer
from ensue.neural_model import NeuralModel
from ensue.ranking import Recommender
from ensue.sequences import Queries
from ensue.splits import last_out

NETWORKS: tuple[NeuralModel, ...] = (
    LSTM(width=16, length=10, epochs=12, batch_tokens=64, learning_rate=1e-2),
    Transformer(width=16, length=10, epochs=12, batch_tokens=64, learning_rate=1e-2),
)
MODELS: tuple[Model, ...] = (model_of("markov"), model_of("rules"), *NETWORKS)

by_name = pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.name))
networks = pytest.mark.parametrize("model", NETWORKS, ids=lambda model: str(model.name))


def walks(ring: list[str], lengths: list[int]) -> list[tuple[str, str, int]]:
    """Rows of (user, item, second): user n walks round the ring from its n-th item."""
    return [
        (f"u{n:03d}", ring[(n + step) % len(ring)], 1000 * n + step)
        for n, length in enumerate(lengths)
        for step in range(length)
    ]


def csv_of(rows: list[tuple[str, str, int]], path: Path) -> Path:
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    frame.write_csv(path, quote_style="non_numeric")
    return path


def log_of(rows: list[tuple[str, str, int]]) -> EventLog:
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    return EventLog.of(frame.with_columns((pl.col("time") * 1_000_000).cast(pl.Datetime("us", "UTC"))))


def fitted(model: Model, log: EventLog) -> Recommender:
    return model.fit(Training.of(log, exclude_seen=False))


LETTERS = list("ABCDEFGHIJ")

# ------------------------------------------------- c28: the last sequences of an epoch are trained too


@networks
@pytest.mark.parametrize("batch", [1, 3, 5, 6])
def test_every_event_is_trained_whatever_the_batch(model: NeuralModel, batch: int) -> None:
    """6 sequences of 33 events hold 27 targets, and a batch of `batch` sequences of the longest uses all of them."""
    lengths = [3, 10, 2, 7, 2, 9]
    log = log_of(walks(LETTERS, lengths))
    facts = fitted(replace(model, batch_tokens=batch * 9, epochs=1), log).facts
    assert facts["targets_per_epoch"] == facts["history"][0]["targets"] == sum(lengths) - len(lengths) == 27


@by_name
def test_every_event_is_evaluated_whatever_the_block(model: Model) -> None:
    lengths = [3, 10, 2, 7, 2, 9]
    log = log_of(walks(LETTERS, lengths))
    recommender = fitted(model, log)
    parts = replace(last_out(log), part=np.full(log.n_events, 2, dtype=np.uint8))
    examples = parts.examples("test", recommender.catalogue)
    for block_bytes in (1, 800, 2**26):
        found = evaluate(recommender, examples, metrics=("recall@10",), block_bytes=block_bytes)
        assert found.counts.targets == 27
        assert found.value("recall@10") == 1.0  # all ten items are listed


# -------------------------------------------------------- c39: ids that look like something else


RESERVED = ["null", "0", "<pad>", "-1", "NaN", "1", "[MASK]", "None", "NA", "<unk>", "[PAD]", "nan"]


@by_name
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_ids_that_look_reserved_are_items_like_others(model: Model, kind: str, tmp_path: Path) -> None:
    rows = walks(RESERVED, [14] * 36)
    path = tmp_path / f"events.{kind}"
    if kind == "csv":
        csv_of(rows, path)
    else:
        lines = (json.dumps({"user": user, "item": item, "time": time}) for user, item, time in rows)
        path.write_text("\n".join(lines), encoding="utf-8")
    log = read(path)
    assert log.n_events == 36 * 14
    recommender = fitted(model, log)
    assert sorted(recommender.catalogue.ids) == sorted(RESERVED)
    for item, following in zip(RESERVED, [*RESERVED[1:], RESERVED[0]], strict=True):
        slate = recommender.recommend([item], 12)
        assert slate.items[0] == following
        assert sorted(slate.items) == sorted(RESERVED)
        assert not slate.fallback
    targets = np.array(recommender.catalogue.encode(RESERVED))
    assert sorted(targets.tolist()) == list(range(12))  # each is ranked, and none is missing


# ------------------------------------------------------------------ c41: few ids, with huge values


@by_name
def test_a_table_is_as_large_as_there_are_items_not_as_their_ids(model: Model, tmp_path: Path) -> None:
    ids = ["18446744073709551616", "5", "2147483648", "70000", "18446744073709551617", "22"]
    recommender = fitted(model, read(csv_of(walks(ids, [9] * 24), tmp_path / "log.csv")))
    assert sorted(recommender.catalogue.ids) == sorted(ids)
    for item, following in zip(ids, [*ids[1:], ids[0]], strict=True):
        assert recommender.recommend([item], 1).items == (following,)
    if isinstance(model, NeuralModel):
        assert isinstance(recommender.scoring, TorchScoring)
        assert recommender.scoring.network.items.weight.shape == (6, 16)
        assert recommender.facts["parameters"] < 10_000
    else:
        assert recommender.scores(Queries.of([[0]], 6)).shape == (1, 6)


# ------------------------------------------- c42: padding and company change the scores of a session


@by_name
def test_a_session_scores_the_same_alone_in_company_and_padded(model: Model) -> None:
    recommender = fitted(model, log_of(walks(LETTERS, [16] * 20)))
    sessions = [list("D"), list("GH"), list("BCDEF"), list("EFGHIJABCDEF"), list("JABCDEF")]
    catalogue = recommender.catalogue
    queries = Queries.of([catalogue.encode(session) for session in sessions], len(catalogue))
    together = recommender.scores(queries)
    alone = np.concatenate([recommender.scores(queries[q : q + 1]) for q in range(5)])
    long = Queries.of(
        [*[catalogue.encode(session) for session in sessions], catalogue.encode(LETTERS * 9)], 10
    )
    in_other_company = recommender.scores(long)[:5]
    other_order = recommender.scores(queries[np.array([4, 2, 0, 3, 1])])[np.array([2, 4, 1, 3, 0])]
    for scores in (alone, in_other_company, other_order):
        np.testing.assert_allclose(scores, together, rtol=0, atol=1e-5)
    slates = recommender.recommend_many(sessions, 10)
    assert [slate.items for slate in slates] == [recommender.recommend(s, 10).items for s in sessions]


# --------------------------------------------------------------------------- c54: a last batch of one


@networks
@pytest.mark.parametrize("batch", [32, 1])
def test_a_batch_of_one_is_trained_evaluated_and_answered(model: NeuralModel, batch: int) -> None:
    log = log_of(walks(LETTERS, [8] * 33))
    recommender = fitted(replace(model, batch_tokens=batch * 7, epochs=4), log)
    per_epoch = -(-33 // batch)
    assert recommender.facts["steps"] == 4 * per_epoch
    sessions = [["A", "B"], *[[LETTERS[n % 10]] for n in range(32)]]
    together = recommender.recommend_many(sessions, 5)
    assert len(together) == 33
    assert together[0].items == recommender.recommend(["A", "B"], 5).items
    one = log_of([("t", "A", 1), ("t", "B", 2), ("t", "C", 3)])
    examples = last_out(one).examples("test", recommender.catalogue)
    assert evaluate(recommender, examples, metrics=("recall@10",)).value("recall@10") == 1.0


# ------------------------------------------- c80: a session that is longer than what the model looks at


@by_name
def test_of_a_long_session_the_last_ten_items_answer(model: Model) -> None:
    recommender = fitted(model, log_of(walks(LETTERS, [40] * 20)))
    jumps = [LETTERS[7 * step % 10] for step in range(490)]
    for session in (LETTERS[3:] + LETTERS[:4], jumps + LETTERS[4:] + LETTERS[:4], LETTERS * 50):
        assert len(session) in (11, 500)
        whole = recommender.recommend(session, 3)
        last = recommender.recommend(session[-10:], 3)
        assert whole.items == last.items
        assert whole.scores == pytest.approx(last.scores, abs=1e-5)
        assert whole.items[0] == LETTERS[(LETTERS.index(session[-1]) + 1) % 10]


@networks
def test_the_ends_of_long_histories_are_trained(model: NeuralModel) -> None:
    """ "Y" follows "X" only as the last event of histories much longer than the window."""
    rows = [
        (f"u{n}", item, 1000 * n + step)
        for n in range(12)
        for step, item in enumerate([LETTERS[(n + s) % 10] for s in range(37)] + ["X", "Y"])
    ]
    assert fitted(model, log_of(rows)).recommend(list("ABCX"), 1).items == ("Y",)
    catalogue = Catalogue.fit(log_of(rows))
    assert len(catalogue) == 12
