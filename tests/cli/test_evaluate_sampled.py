"""`ensue evaluate --sampled`: asked for by name, the same for every model, and marked wherever it is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

Ask = Callable[..., tuple[int, str, str]]

MARK = "SAMPLED, not comparable with full ranking: each target among 4 items"


def measured(ask: Ask, *words: object) -> Any:
    """The JSON of `ensue evaluate`."""
    status, out, err = ask("evaluate", *words, "--include-seen", "--json")
    assert status == 0, err
    return json.loads(out)


def test_sampled_figures_are_marked_on_the_screen_and_in_json(
    ask: Ask, ring_run: Path, ring_csv: Path
) -> None:
    words = (ring_run, "--events", ring_csv, "--include-seen", "--sampled", "4", "--seed", "3")
    status, out, err = ask("evaluate", *words)
    assert status == 0
    assert f"{MARK} drawn evenly, seed 3" in out
    assert f"warning: {MARK} drawn evenly, seed 3" in err
    assert "SAMPLED metric" in out
    found = measured(ask, ring_run, "--events", ring_csv, "--sampled", "4", "--sampled-by", "popularity")
    assert (found["sampled"]["number"], found["sampled"]["by"]) == (4, "popularity")
    assert found["warning"] == f"{MARK} drawn by popularity, seed 0"
    assert found["sampled"]["exclude_seen"] is False


def test_seen_items_are_drawn_as_the_ranking_has_them(ask: Ask, ring_run: Path, ring_csv: Path) -> None:
    for words, excluded in ((["--exclude-seen"], True), (["--include-seen"], False)):
        status, out, err = ask("evaluate", ring_run, "--events", ring_csv, "--sampled", 2, "--json", *words)
        assert status == 0, err
        found = json.loads(out)
        assert found["sampled"]["exclude_seen"] is found["exclude_seen"] is excluded
        # with 10 items the whole ring is seen after 10 steps
        assert (found["sampled"]["fewer"] > 0) is excluded
    unsaid = json.loads(ask("evaluate", ring_run, "--events", ring_csv, "--sampled", 2, "--json")[1])
    assert unsaid["sampled"]["exclude_seen"] is unsaid["exclude_seen"]


def test_every_item_is_ranked_unless_sampling_is_asked_for(ask: Ask, ring_run: Path, ring_csv: Path) -> None:
    found = measured(ask, ring_run, "--events", ring_csv)
    assert found["sampled"] is None
    assert found["warning"] == ""


def test_a_file_is_written_once_and_reused_for_another_model(
    ask: Ask, ring_run: Path, ring_csv: Path, tmp_path: Path
) -> None:
    path = tmp_path / "c.parquet"
    words = ("--events", ring_csv, "--candidates", path)
    markov, popular = ring_run / "models" / "markov", ring_run / "models" / "popular"
    first = measured(ask, markov, *words, "--sampled", 4, "--seed", 5)
    written = path.read_bytes()
    second = measured(ask, popular, *words)
    assert path.read_bytes() == written
    assert first["sampled"] == second["sampled"]
    assert first["sampled"]["seed"] == 5
    assert first["all"] != second["all"]
    assert measured(ask, markov, *words)["all"]["metrics"]["ndcg@10"]["value"] == pytest.approx(
        first["all"]["metrics"]["ndcg@10"]["value"]
    )
    assert pl.read_parquet(path).columns == ["query", "target", "candidates"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--candidates", "new.parquet"), "There is no file"),
        (("--sampled", "0"), "number=0 is no whole number from 1 up"),
        (("--sampled", "-3"), "'-3' is below 0"),
        (
            ("--sampled", "3", "--candidates", "c.parquet"),
            "holds 4 candidates for each target, and --sampled asks",
        ),
        (("--exclude-seen", "--candidates", "c.parquet"), "exclude_seen=False and are ranked with"),
        (("--targets", "last", "--candidates", "c.parquet"), "c.parquet: There are candidates for"),
        (("--candidates", "broken.parquet"), "broken.parquet is no Parquet file"),
        (("--sampled", "3", "--candidates", "nowhere/c.parquet"), "cannot be written"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    ask: Ask,
    ring_run: Path,
    ring_csv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.parquet").write_text("query,target\n")
    if "c.parquet" in more:
        measured(ask, ring_run, "--events", ring_csv, "--sampled", 4, "--candidates", "c.parquet")
    kept = () if "--exclude-seen" in more else ("--include-seen",)
    status, out, err = ask("evaluate", ring_run, "--events", ring_csv, *kept, *more)
    assert (status, out) == (2, "")
    assert said in err.replace("\n", " ")
