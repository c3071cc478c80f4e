"""c82: items given together are one history in order; two events and one call have the same answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from ensue.cli import call
from ensue.events.log import EventLog
from ensue.export import TorchScoring
from ensue.inputs import Inputs
from ensue.model import Model, Training, model_of
from ensue.models.neural.rnn import LSTM
from ensue.network import Batch
from ensue.ranking import Recommender
from ensue.sequences import Queries

STEPS = (("A", "P"), ("B", "Q"))
"""The first of two items decides the third: A X leads to P, and B X to Q."""


def log() -> EventLog:
    """300 users of three events each, one second apart: half A X P, half B X Q."""
    rows = [
        (f"u{n:03d}", item, 1000 * n + place)
        for n in range(300)
        for place, item in enumerate((STEPS[n % 2][0], "X", STEPS[n % 2][1]))
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    return EventLog.of(frame.with_columns((pl.col("time") * 1_000_000).cast(pl.Datetime("us", "UTC"))))


MODELS: tuple[Model, ...] = (
    model_of("markov", order=2),
    LSTM(width=8, length=3, epochs=8, batch_tokens=96, learning_rate=2e-2),
)


@pytest.fixture(scope="module", params=MODELS, ids=lambda model: str(model.name))
def recommender(request: pytest.FixtureRequest) -> Recommender:
    model: Model = request.param
    return model.fit(Training.of(log(), exclude_seen=False))


def test_the_first_of_two_items_decides_and_so_does_their_order(recommender: Recommender) -> None:
    both = recommender.recommend(["A", "X"], 2)
    assert both.items[0] == "P"
    assert recommender.recommend(["B", "X"], 2).items[0] == "Q", "the last item alone cannot tell"
    assert recommender.recommend(["X", "A"], 2).items != both.items


def test_items_of_one_call_and_of_two_events_have_the_same_answer(recommender: Recommender) -> None:
    """A history that grows is asked after each event; all of them together in one call are asked as well."""
    growing: list[str] = []
    slates = []
    for item in ("A", "X"):
        growing = [*growing, item]
        slates.append(recommender.recommend(growing, 4))
    together = recommender.recommend_many([["A"], ["A", "X"], ["X", "A"]], 4)
    assert [slate.items for slate in together[:2]] == [slate.items for slate in slates]
    np.testing.assert_allclose(together[1].scores, slates[1].scores, rtol=1e-5)
    assert together[1].items[0] == "P"
    assert together[2].items != together[1].items


def advanced(recommender: Recommender, items: list[str]) -> np.ndarray[Any, Any]:
    """`[N]` scores after the events, one handed to the network after the other."""
    assert isinstance(recommender.scoring, TorchScoring)
    network = recommender.scoring.network
    codes = torch.from_numpy(recommender.catalogue.encode(items).astype(np.int64))
    with torch.inference_mode():
        state = network.begin(1)
        for code in codes:
            answer, state = network.step(Batch(code.reshape(1, 1), len(recommender.catalogue)), state)
        return network.scores(answer, network.scorer())[0].numpy()


def test_a_network_that_is_told_two_events_answers_as_for_both_at_once(recommender: Recommender) -> None:
    if recommender.model != "lstm":
        pytest.skip("a counting model keeps no state")
    best = {}
    for items in (["A", "X"], ["X", "A"]):
        codes = recommender.catalogue.encode(items)
        whole = recommender.scores(Queries.of([codes], len(recommender.catalogue)))[0]
        stepped = advanced(recommender, items)
        np.testing.assert_allclose(stepped, whole, atol=1e-5)
        best[items[0]] = recommender.catalogue.decode([int(stepped.argmax())])
    assert best["A"] == ["P"]
    assert recommender.scoring.inputs == Inputs(length=3)  # type: ignore[attr-defined]  # items are all it reads


def test_the_command_line_gives_one_list_for_one_order(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log().frame.select("user", "item", "time").write_parquet(tmp_path / "log.parquet")

    def out(*words: object) -> str:
        assert call([str(word) for word in words]) == 0
        return capsys.readouterr().out

    out("train", tmp_path / "log.parquet", "--model", "markov", "--set", "order=2", "--out", tmp_path / "m")

    def ask(*words: object) -> Any:
        return json.loads(out("recommend", tmp_path / "m", *words, "--json"))

    together = ask("--history", "A,X", "-k", 2)
    assert together["items"][0]["item"] == "P"
    assert ask("--history-id", "A", "--history-id", "X", "-k", 2) == together
    times = ["1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z"]
    (tmp_path / "q.json").write_text(json.dumps({"history": ["A", "X"], "user": "n", "times": times}))
    assert ask("--question", tmp_path / "q.json", "-k", 2) == together
    assert ask("--history", "X,A", "-k", 2)["items"] != together["items"]
