"""`ensue report`: the page, Markdown and JSON of a run, and the page that every run writes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Ask = Callable[..., tuple[int, str, str]]


def test_every_run_writes_its_page_and_what_repeats_it(ring_run: Path) -> None:
    page = (ring_run / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "markov is served" in page
    assert not re.search(r"\bu\d\d\b", page)
    assert "[models.markov]" in (ring_run / "experiment.toml").read_text()


def test_the_command_that_repeats_a_run_gives_the_same_figures(
    ask: Ask, ring_run: Path, tmp_path: Path
) -> None:
    assert ask("run", ring_run / "experiment.toml", "--out", tmp_path / "again")[0] == 0
    runs = [json.loads((folder / "run.json").read_text()) for folder in (ring_run, tmp_path / "again")]
    assert [row["test"]["all"] for row in runs[0]["models"]] == [
        row["test"]["all"] for row in runs[1]["models"]
    ]


def test_the_page_is_written_where_it_is_wanted(ask: Ask, ring_run: Path, tmp_path: Path) -> None:
    status, out, _ = ask("report", ring_run, "--html", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    assert status == 0
    assert out == f"wrote {tmp_path / 'r.md'}\nwrote {tmp_path / 'r.html'}\n"
    assert (tmp_path / "r.html").read_text().endswith("</html>\n")
    assert (tmp_path / "r.md").read_text().startswith("# Run ring\n")


def test_without_options_the_page_of_the_run_is_written_anew(
    ask: Ask, ring_run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(ring_run, folder)
    (folder / "report.html").unlink()
    status, out, _ = ask("report", folder)
    assert (status, out) == (0, f"wrote {folder / 'report.html'}\n")
    assert (folder / "report.html").is_file()


def test_markdown_on_standard_output_is_all_there_is(ask: Ask, ring_run: Path, tmp_path: Path) -> None:
    status, out, err = ask("report", ring_run, "--markdown", "-", "--html", tmp_path / "r.html")
    assert status == 0
    assert out.startswith("# Run ring\n")
    assert "| markov (served) | 1.0000 (1.0000 to 1.0000) |" in out
    assert err == f"wrote {tmp_path / 'r.html'}\n"


def test_json_holds_the_run_the_tests_and_what_to_mind(ask: Ask, ring_run: Path) -> None:
    status, out, err = ask("report", ring_run, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["best"] == "markov"
    assert found["comparison"]["best"] == "markov"
    assert {row["label"]: row["standing"] for row in found["standings"]}["markov"] == "best"
    assert any("were tested" in one for one in found["mind"])


def test_titles_of_films_are_in_the_examples(titled_run: Path) -> None:
    assert "The Long Walk (1990)" in (titled_run / "report.html").read_text()


def test_no_histories_are_shown_where_none_are_to_be_kept(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text(
        f'keep_histories = false\nout = "r"\n[data]\nsource = "{ring_csv}"\n[models.markov]\n[models.popular]\n'
    )
    assert ask("run", tmp_path / "e.toml")[0] == 0
    assert json.loads((tmp_path / "r" / "run.json").read_text())["samples"] == []
    assert "Examples: this run kept no histories" in (tmp_path / "r" / "report.html").read_text()


@pytest.mark.parametrize("place", ["no/such/folder/r.html", "."])
def test_a_place_that_cannot_be_written_is_told_in_one_line(
    ask: Ask, ring_run: Path, tmp_path: Path, place: str
) -> None:
    status, _, err = ask("report", ring_run, "--html", tmp_path / place)
    assert status == 2
    assert "cannot be written" in err
    assert err.count("\n") == 1


def test_what_is_no_run_is_refused(ask: Ask, ring_run: Path, tmp_path: Path) -> None:
    for place in (tmp_path, ring_run / "models" / "markov"):
        status, _, err = ask("report", place)
        assert status == 2
        assert "is no folder of a run" in err


def test_what_filters_took_out_of_training_is_in_the_report(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    words = ("--models", "popular", "--split", "last", "--min-user-events", 2, "--out", folder)
    status, _, err = ask("run", ring_csv, *words)
    assert status == 0
    assert "no report" not in err
    step = json.loads((folder / "run.json").read_text())["filters"]["before_test"][0]
    left, before = step["after"]["users"], step["before"]["users"]
    status, out, _ = ask("report", folder, "--markdown", "-")
    assert status == 0
    assert f"{left:,} of {before:,} users" in out
    assert "Learnt from, of all before the test: " in out
    assert "(min_user_events = 2)" in out.replace("\\", "")
