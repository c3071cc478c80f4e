"""What was evaluated is what is served: the same lists, whoever is asked in whichever way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.service_process import Service, running

from ensue import ladder
from ensue.questions import Question
from ensue.ranking import Recommender
from ensue.run_folder import histories

NAMES = ("popular", "markov", "rules", "lstm")


@pytest.fixture(scope="module")
def online(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("online")
    with running(shutil.copytree(trained, folder / "run"), folder=folder) as found:
        yield found


@pytest.mark.parametrize("name", NAMES)
def test_lists_of_the_service_are_those_that_are_evaluated(online: Service, trained: Path, name: str) -> None:
    """The recommender is the one that `evaluate` ranks with; its slates are asked for all kept histories."""
    online.answer("admin/swap", folder=name)
    recommender: Recommender = ladder.load(trained / "models" / name)
    kept = histories(trained)
    for user in kept["user"].unique(maintain_order=True)[:6]:
        items = kept.filter(kept["user"] == user)["item"].to_list()
        for length in (len(items), 5, 1):
            history = items[-length:]
            expected = recommender.recommend(Question(history), 6)
            found = online.answer("recommend", history=history, k=6)
            assert [row["item"] for row in found["items"]] == list(expected.items)
            assert [row["score"] for row in found["items"]] == pytest.approx(expected.scores, rel=1e-6)
        by_user = online.answer("recommend", user=user, k=6)["items"]
        assert by_user == online.answer("recommend", history=items, k=6)["items"]


@pytest.mark.parametrize("name", NAMES)
def test_told_one_by_one_is_the_same_as_told_at_once(online: Service, name: str) -> None:
    online.answer("admin/swap", folder=name)
    walked = "ADGJBEH"
    for step, item in enumerate(walked, 1):
        online.answer("events", user=f"walker-{name}", item=item)
        told = online.answer("recommend", user=f"walker-{name}", k=5)
        once = online.answer("recommend", history=list(walked[:step]), k=5)
        assert (told["items"], told["fallback"]) == (once["items"], once["fallback"])
