"""The experiment of films on a small log that looks like MovieLens, and the commands of the page on its run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.examples.social_pages import ROOT, commands

from ensue import ladder
from ensue.cli import call
from ensue.events.simulate import demo_log
from ensue.experiment import read_experiment

SMALL = {"width": 8, "length": 20, "epochs": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the page, with a smaller network on fewer films."""
    asked = read_experiment(ROOT / "examples" / "films.toml")
    assert asked.data.source == "ml-100k"
    models = {**asked.models, "lstm": {**asked.models["lstm"], **SMALL}}
    out = tmp_path_factory.mktemp("films") / "run"
    ladder.run(replace(asked, models=models, out=str(out)), log=demo_log(users=80, items=120))
    return out


def test_the_ladder_has_a_network_and_what_is_above_recent_popularity(run: Path) -> None:
    found = json.loads((run / "run.json").read_text(encoding="utf-8"))
    figures = {one["label"]: one["test"]["all"]["metrics"]["ndcg@10"]["value"] for one in found["models"]}
    assert list(figures) == ["popular", "recent", "markov", "rules", "neighbours", "lstm"]
    assert found["split"]["leaks"] == ""


def test_answers_bear_titles_and_reasons(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the commands of the page, with two titles of this log in the place of those of the page."""
    titles = [title for title in ladder.load(run).catalogue.titles if title is not None][:2]
    asked = [words for words in commands("films.md", run) if words[0] == "recommend"]
    assert "--explain" in asked[0]
    for words in asked:
        words[words.index("--titles") + 1] = "; ".join(titles)
        words[1] = words[1].replace("runs/films", str(run))
        capsys.readouterr()
        assert call([*words, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert len(found["items"]) == 3
        assert all(row["title"] for row in found["items"])
        if "--explain" in words:
            assert len(found["explanations"]) == 3
