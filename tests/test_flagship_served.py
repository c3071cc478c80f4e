"""The flagship behind the real service, in small: one more event, explanations and the exported graph.

It is the time-aware form, which reads all that the time-blind one does; that one is served in tests/serving.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from tests.serving.service_process import Service, running

from ensue import artifacts, runtime
from ensue.events.simulate import source
from ensue.examples import Examples
from ensue.explaining import faithfulness
from ensue.model import Conditions, Training, model_of
from ensue.presets import preset
from ensue.questions import Question
from ensue.ranking import Recommender
from ensue.sequences import Queries
from ensue.splits import last_out
from ensue.tracks import TIME_AWARE, track_of

AWARE: dict[str, Any] = {"asked": "wait", "inputs": ("gap",)}
SMALL: dict[str, Any] = {"width": 8, "hidden": 16, "epochs": 2, "batch_tokens": 256, "learning_rate": 0.02}
USERS, LONG = 30, 56
"""More than 50 events each: by that the preset takes what it takes for long histories."""
BEGAN = 1_700_000_000


@dataclass(frozen=True)
class Form:
    """The preset in small, as it was fitted, as it was saved, and as it is served."""

    fitted: Recommender
    loaded: Recommender
    examples: Examples
    service: Service

    @property
    def every(self) -> int:
        """Seconds from one event to the next, as they are in training."""
        asked = self.examples.queries
        assert asked.at is not None
        assert asked.time is not None
        return int(np.median(asked.at - asked.time[asked.ends - 1]) / 1e6)


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    folder = tmp_path_factory.mktemp("flagship")
    split = last_out(source("markov", items=90, predictability=0.9).log(users=USERS, length=LONG))
    training = Training.of(split.train)
    training = replace(training, validation=split.examples("validation", training.catalogue))
    chosen = preset("accurate", training.sequences)
    assert (chosen.model, chosen.settings["hidden"], chosen.settings["prior"]) == ("lstm", 512, "beside")
    assert chosen.settings["item_start"] == "together"
    model = model_of(chosen.model, **dict(chosen.settings) | SMALL | AWARE)
    fitted = model.fit(training, Conditions(threads=1))
    saved = artifacts.save(fitted, folder / "model")
    with running(saved, "--state", folder / "state.db", folder=folder) as service:
        examples = split.examples("test", training.catalogue)
        yield Form(fitted, runtime.load(saved), examples, service)


def test_the_exported_graph_answers_as_torch_does(form: Form) -> None:
    asked = form.examples.queries
    assert track_of(form.loaded) == TIME_AWARE
    np.testing.assert_allclose(form.loaded.scores(asked), form.fitted.scores(asked), rtol=0, atol=1e-4)
    alone = Queries.of([asked.items[asked.starts[0] : asked.ends[0]]], asked.n_items)  # and without any time
    np.testing.assert_allclose(form.loaded.scores(alone), form.fitted.scores(alone), rtol=0, atol=1e-4)


def test_one_more_event_is_the_whole_history_anew(form: Form) -> None:
    """Told one by one, past the preset's window too: each answer is that of the whole history in this process.

    Up to the window the service goes on from the state that it has kept; one more, and the window is read anew.
    """
    items = form.loaded.catalogue.ids.to_list()
    walked = [items[place * 7 % len(items)] for place in range(form.fitted.settings["length"] + 3)]
    length, before = len(walked) - 3, begun(form)
    asked_at: list[list[float]] = []
    parts = ((0, 30), (30, 31), (31, 32), (32, length - 1), (length - 1, length), (length, len(walked)))
    for (begin, end), began in zip(parts, ("anew", "kept", "kept", "anew", "kept", "anew"), strict=True):
        events = [
            {"user": "walker", "item": walked[place], "time": BEGAN + form.every * place}
            for place in range(begin, end)
        ]
        form.service.answer("events", events=events)
        at = BEGAN + form.every * end
        kept = form.service.answer("recommend", user="walker", k=10, at=at)
        before[began] += 1
        assert begun(form) == before, f"after {end} events"
        times = [datetime.fromtimestamp(BEGAN + form.every * place, UTC) for place in range(end)]
        question = Question(walked[:end], times=times, at=datetime.fromtimestamp(at, UTC))
        anew = form.loaded.recommend(question, 10)
        assert len(kept["items"]) == 10
        assert not kept["fallback"]
        assert [row["item"] for row in kept["items"]] == list(anew.items)
        scores = [row["score"] for row in kept["items"]]
        assert scores == pytest.approx(anew.scores, abs=1e-5)
        asked_at.append(scores)
    assert asked_at[1] != asked_at[2], "the event that came changed the answer"


def begun(form: Form) -> dict[str, int]:
    """How many answers have begun from a state that was kept, and how many anew."""
    lines = form.service.client.get("/metrics").text.splitlines()
    told = dict(line.rsplit(" ", 1) for line in lines if line.startswith("ensue_states_total{"))
    return {began: int(float(told[f'ensue_states_total{{from="{began}"}}'])) for began in ("kept", "anew")}


def test_a_late_event_and_an_erasure_are_seen_at_once(form: Form) -> None:
    items = form.loaded.catalogue.ids.to_list()
    told = [{"user": "late", "item": items[place], "time": BEGAN + 10 * place} for place in range(8)]
    at = BEGAN + 1_000
    form.service.answer("events", events=[*told[:3], *told[4:]])
    without = form.service.answer("recommend", user="late", k=10, at=at)
    form.service.answer("events", events=[told[3]])
    found = form.service.answer("recommend", user="late", k=10, at=at)
    times = [datetime.fromtimestamp(BEGAN + 10 * place, UTC) for place in range(8)]
    question = Question(items[:8], times=times, at=datetime.fromtimestamp(at, UTC))
    anew = form.loaded.recommend(question, 10)
    assert [row["item"] for row in found["items"]] == list(anew.items)
    assert [row["score"] for row in found["items"]] == pytest.approx(anew.scores, abs=1e-5)
    assert [row["score"] for row in without["items"]] != pytest.approx(anew.scores, abs=1e-5)
    form.service.client.delete("/v1/users/late")
    assert "ensue_states_held 0.0" in form.service.client.get("/metrics").text
    assert form.service.answer("recommend", user="late", k=10, at=at)["fallback"]


def test_when_it_is_asked_matters(form: Form) -> None:
    items = form.loaded.catalogue.ids.to_list()[:20]
    steps = [{"item": item, "time": BEGAN + form.every * place} for place, item in enumerate(items)]
    soon, late = (
        [row["score"] for row in form.service.answer("recommend", history=steps, at=at)["items"]]
        for at in (BEGAN + form.every * len(items), datetime(2030, 1, 1, tzinfo=UTC).isoformat())
    )
    assert soon != late


def test_explanations_name_what_matters(form: Form) -> None:
    queries = form.examples.queries
    short = replace(queries, starts=np.maximum(queries.starts, queries.ends - 12))
    found = faithfulness(form.loaded, replace(form.examples, queries=short), repeats=3)
    assert found.queries == USERS
    assert found.holds, found.lines()
    steps = form.loaded.catalogue.ids.to_list()[:12]
    best = form.service.items(history=steps)[0]
    why = form.service.answer("explain", history=steps, item=best)
    assert (why["place"], why["method"]) == (1, "leaving one event out")
    assert why["reasons"]
    reason = why["reasons"][0]
    without = steps[: reason["event"]] + steps[reason["event"] + 1 :]
    rows = form.service.answer("recommend", history=without, k=80, exclude=steps)["items"]
    score = {row["item"]: row["score"] for row in rows}[best]
    assert why["score"] - score == pytest.approx(reason["part"], abs=1e-4), (
        "the part is what is lost without it"
    )
