"""The page of friends on a small city of the same shape, and over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.io import savemat
from tests.examples.social_pages import run_all
from tests.serving.service_process import running

from ensue.cli import call
from ensue.experiment import read_experiment

PEOPLE, CIRCLES = 60, 5
ASKED = 1_000_872
"""The user that the page asks about."""


def city(folder: Path) -> Path:
    """Circles of people who know each other and go to the same places; new friends are of the same circle."""
    rng = np.random.default_rng(1)
    circle = np.arange(PEOPLE) % CIRCLES
    pairs = np.array([(a, b) for a in range(PEOPLE) for b in range(a) if circle[a] == circle[b]])
    rng.shuffle(pairs)
    old, new = pairs[:160], pairs[:190]
    strangers = rng.integers(0, PEOPLE, (30, 2))
    old = np.concatenate([old, strangers[strangers[:, 0] != strangers[:, 1]]])
    who = np.repeat(np.arange(PEOPLE), 4)
    venue = circle[who] * 10 + rng.integers(0, 10, len(who))
    order = rng.permutation(len(who))
    visits = np.stack([who + 1, rng.integers(1, 169, len(who)), venue, venue % 7], axis=1)[order]
    cells = np.empty((len(np.unique(venue)), 1), dtype=object)
    cells[:, 0] = [f"venue{number}" for number in np.unique(venue)]
    folder.mkdir(parents=True)
    content = {
        "selected_checkins": visits.astype(np.float64),
        "selected_users_IDs": np.arange(ASKED, ASKED + PEOPLE)[:, None],
        "selected_venue_IDs": cells,
        "friendship_old": old + 1,
        "friendship_new": new + 1,
    }
    savemat(folder / "dataset_connected_NYC.mat", content)
    return folder / "dataset_connected_NYC.mat"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page has been followed."""
    folder = tmp_path_factory.mktemp("friends")
    city(folder / "data" / "foursquare-lbsn2vec")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        run_all("friends.md", folder / "data")
    return folder


def test_the_page_runs_and_a_mix_is_above_popularity(place: Path) -> None:
    found: dict[str, Any] = json.loads((place / "runs" / "friends" / "run.json").read_text(encoding="utf-8"))
    reached = {one["label"]: one["test"]["all"]["metrics"]["recall@10"]["value"] for one in found["models"]}
    assert list(reached) == ["popular", "mutual-friends", "profiles", "friend-walks", "together"]
    assert reached["together"] > reached["popular"] + 0.1
    assert found["split"]["rule"].startswith("friendships of when = after tested")
    assert found["models"][0]["test"]["exclude_seen"] is True


def test_the_tested_friendships_are_known_again(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`evaluate` finds the split of the run, though its log has an order of its own."""
    path = place / "data" / "foursquare-lbsn2vec" / "dataset_connected_NYC.mat"
    words = [
        "evaluate",
        str(place / "runs" / "friends"),
        "--events",
        str(path),
        "--format",
        "foursquare-friends",
    ]
    capsys.readouterr()
    assert call([*words, "--json"]) == 0
    told = capsys.readouterr()
    assert "flatter" not in told.err
    found = json.loads(told.out)
    run = json.loads((place / "runs" / "friends" / "run.json").read_text(encoding="utf-8"))
    best = next(one for one in run["models"] if one["label"] == run["best"])
    assert found["all"]["metrics"]["ndcg@10"]["value"] == best["test"]["all"]["metrics"]["ndcg@10"]["value"]


def test_a_service_never_answers_with_the_user_or_a_friend(place: Path, tmp_path: Path) -> None:
    """Not with a friend who was told of a moment ago either, nor where friends may be shown again."""
    kept = pl.read_parquet(place / "runs" / "friends" / "histories.parquet")
    user = str(ASKED)
    friends = set(kept.filter(pl.col("user") == user)["item"])
    with running(place / "runs" / "friends", folder=tmp_path) as service:
        everybody = set(service.items(user=user, k=100))
        assert everybody == set(kept["item"]) - friends - {user}
        assert user not in service.items(user=user, k=100, exclude_seen=False)
        assert user not in service.items(user=user, k=100, rules={"seen": {"items": "allow"}})
        assert user not in service.items(user=user, history=sorted(friends)[:2], k=100)
        new = sorted(everybody)[0]
        service.answer("events", user=user, item=new)
        assert set(service.items(user=user, k=100)) == everybody - {new}
        assert user not in service.items(user="somebody new", history=[user], k=100)


def test_both_lines_of_the_split_are_needed() -> None:
    """As the page says: without them friendships are drawn."""
    found = read_experiment(Path(__file__).resolve().parents[2] / "examples" / "friends.toml")
    assert (found.split.rule, found.split.column, found.split.tested) == ("friends", "when", "after")
