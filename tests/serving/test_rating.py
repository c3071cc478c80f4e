"""Expected ratings over HTTP, by the command line and in Python: the same of a model that has learnt them beside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.serving.service_process import Service, running

import ensue
from ensue.cli import call
from ensue.errors import QueryError

SMALL = "width = 8\nlength = 8\ndropout = 0.0\nlearning_rate = 0.03\nbatch_tokens = 64\nepochs = 8"
LIKED = {"A": 1.0, "B": 5.0, "C": 1.0, "D": 5.0, "E": 3.0}


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a ring of five items whose ratings go by the item: counts, ratings beside next items, ratings alone."""
    folder = tmp_path_factory.mktemp("rated")
    rows = [
        {"user_id": f"u{user}", "item_id": item, "timestamp": 100 * step + user, "rating": LIKED[item]}
        for user in range(15)
        for step in range(8)
        for item in ["ABCDE"[(user + step) % 5]]
    ]
    pl.DataFrame(rows).write_csv(folder / "log.csv")
    (folder / "both.toml").write_text(
        f'out = "run"\n[data]\nsource = "log.csv"\n[split]\nrule = "last"\n[evaluation]\nexclude_seen = false\n'
        f"[objective]\nrating = 1.0\n[models.popular]\n[models.lstm]\n{SMALL}\n[models.svd]\n"
    )
    assert call(["run", str(folder / "both.toml")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def service(rated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with running(shutil.copytree(rated, folder / "run") / "models" / "lstm", folder=folder) as found:
        yield found


def test_ratings_learnt_beside_are_told_over_http_as_in_python_and_on_the_command_line(
    service: Service, rated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ensue.load(rated / "models" / "lstm")
    found = ensue.rate(model, ["D", "E", "A"], ["B", "nope", "C", "B"])
    assert list(found) == ["B", "C"]
    assert found["B"] > 3.5 > 2.5 > found["C"], "what was learnt, and no scores of next items"
    told = service.answer("rating", history=["D", "E", "A"], items=["B", "nope", "C", "B"])
    rows = [{"item": item, "rating": round(found[item], 4)} for item in ("B", "C", "B")]
    assert (told["ratings"], told["unknown"], told["model"]["name"]) == (rows, ["nope"], "lstm")
    words = ["recommend", str(rated / "models" / "lstm"), "--history", "D,E,A", "--rate", "B,nope,C,B"]
    capsys.readouterr()
    assert call([*words, "--json"]) == 0
    typed = json.loads(capsys.readouterr().out)
    assert (typed["ratings"], typed["unknown"]) == (rows, ["nope"])
    assert call(words) == 0
    shown = capsys.readouterr().out
    assert "3 ratings that lstm expects" in shown
    assert f"{found['C']:.2f}" in shown


def test_recommendations_have_ratings_where_they_are_wanted(
    service: Service, rated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = service.answer("recommend", history=["D", "E", "A"], k=5)
    assert all("rating" not in row for row in plain["items"])
    with_ratings = service.answer("recommend", history=["D", "E", "A"], k=5, ratings=True)
    told = {row["item"]: row.pop("rating") for row in with_ratings["items"]}
    assert with_ratings["items"] == plain["items"], "nothing else is another"
    expected = service.answer("rating", history=["D", "E", "A"], items=list(told))
    assert told == {row["item"]: row["rating"] for row in expected["ratings"]}
    words = ["recommend", str(rated / "models" / "lstm"), "--history", "D,E,A", "-k", "5", "--ratings"]
    capsys.readouterr()
    assert call([*words, "--json"]) == 0
    typed = json.loads(capsys.readouterr().out)
    assert {row["item"]: row["rating"] for row in typed["items"]} == told
    assert call(words) == 0
    assert "rating" in capsys.readouterr().out


def test_a_model_of_ratings_rates_and_one_without_says_what_to_train(
    service: Service, rated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratings = ensue.rate(ensue.load(rated / "models" / "svd"), ["A"], ["B", "C"])
    assert ratings["B"] > 3 > ratings["C"]
    popular = ensue.load(rated / "models" / "popular")
    with pytest.raises(
        QueryError, match=r"popular has learnt no ratings: fit a model of ratings such as bayesian"
    ):
        ensue.rate(popular, ["A"], ["B"])
    with pytest.raises(QueryError, match="items is the text"):
        ensue.rate(ensue.load(rated / "models" / "svd"), ["A"], "B")
    capsys.readouterr()
    for option in (["--ratings"], ["--rate", "B"]):
        assert call(["recommend", str(rated / "models" / "popular"), "--history", "A", *option]) == 2
        assert "has learnt no ratings" in capsys.readouterr().err


@pytest.mark.parametrize(
    "beside",
    [
        ["--rules", "nofile.toml"],
        ["--explain"],
        ["--ratings"],
        ["--exclude", "C"],
        ["--exclude-seen"],
        ["--include-seen"],
        ["-k", "0"],
        ["-k", "10"],
    ],
    ids=" ".join,
)
def test_ratings_of_given_items_take_no_option_of_recommendations(
    rated: Path, capsys: pytest.CaptureFixture[str], beside: list[str]
) -> None:
    capsys.readouterr()
    words = ["recommend", str(rated / "models" / "lstm"), "--history", "D,E", "--rate", "B"]
    assert call([*words, *beside]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "--rate recommends nothing: leave out" in said.err
    assert beside[0].replace("--include-seen", "--exclude-seen/--include-seen") in said.err


def test_an_open_basket_counts_for_the_ratings_of_given_items(
    rated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: str) -> dict[str, float]:
        capsys.readouterr()
        assert call(["recommend", str(rated / "models" / "lstm"), *words, "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        return {row["item"]: row["rating"] for row in answer.get("ratings") or answer["items"]}

    asked = ["--history", "D,E", "--basket", "A"]
    found = told(*asked, "--rate", "B,C")
    assert found != told("--history", "D,E", "--rate", "B,C")
    listed = told(*asked, "--ratings", "--include-seen")
    assert found == {item: listed[item] for item in found}
