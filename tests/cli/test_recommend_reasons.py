"""`ensue recommend --explain` and `--rules`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ask = Callable[..., tuple[int, str, str]]


def answer(ask: Ask, *words: object) -> Any:
    """The JSON answer of `ensue recommend`."""
    status, out, err = ask("recommend", *words, "--json")
    assert status == 0, err
    return json.loads(out)


def test_each_item_is_explained_in_the_order_of_the_answer(ask: Ask, ring_run: Path) -> None:
    words = [ring_run, "--history", "A,zzz,B", "-k", 3]
    found = answer(ask, *words, "--explain")
    assert [one["item"] for one in found["explanations"]] == [row["item"] for row in found["items"]]
    first = found["explanations"][0]
    assert (first["item"], first["place"], first["k"], first["adds_up"]) == ("C", 1, 3, True)
    assert first["score"] == found["items"][0]["score"]
    assert [(reason["event"], reason["item"]) for reason in first["reasons"]] == [(2, "B")]
    assert "explanations" not in answer(ask, *words)
    assert answer(ask, ring_run, "-k", 0, "--explain")["explanations"] == []


def test_reasons_are_printed_with_titles(ask: Ask, titled_run: Path) -> None:
    status, out, _ = ask("recommend", titled_run, "--history", "1", "-k", 1, "--explain")
    assert status == 0
    after = out.split("why each is there:")[1]
    assert "The Short Walk (1991) (2): place 1" in after
    assert "by The Long Walk (1990) (1); without it place" in after


def test_a_fallback_is_explained_as_one(ask: Ask, ring_run: Path) -> None:
    out = ask("recommend", ring_run, "-k", 2, "--explain")[1]
    assert out.count("popular items: no item of the history is known") == 2


def test_rules_of_a_file_shape_the_answer(ask: Ask, titled_run: Path, tmp_path: Path) -> None:
    plain = [row["item"] for row in answer(ask, titled_run, "--include-seen")["items"]]
    assert plain == ["1", "2", "3"]
    (tmp_path / "shop.toml").write_text(
        '[rules.availability]\ndeny = ["99"]\n[rules.cap]\ncolumn = "genres"\nmost = 1\n'
        '[rules.boost]\nitems = ["3"]\nfactor = 50.0\n'
    )
    found = answer(ask, titled_run, "--rules", tmp_path / "shop.toml", "-k", 3)
    assert [row["item"] for row in found["items"]] == ["3", "1"], "3 is pushed, and 2 is a drama as 1 is"
    assert "listed by the rules, and unknown to this model: 99" in found["notes"]
    assert any(note.startswith("1 of 3 places could not be filled") for note in found["notes"])
    printed = ask("recommend", titled_run, "--rules", tmp_path / "shop.toml", "-k", 3)[1]
    assert "1 of 3 places could not be filled" in printed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rules.cap]\ncolumn = 'genre'\nmost = 1\n", "no column 'genre'"),
        ("[rules.caps]\nmost = 1\n", "there is no such rule"),
        ("x = 1\n", "has no table [rules]"),
    ],
)
def test_faults_of_rules_are_told_in_one_go(
    ask: Ask, titled_run: Path, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "shop.toml").write_text(text)
    status, out, err = ask("recommend", titled_run, "--rules", tmp_path / "shop.toml")
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
