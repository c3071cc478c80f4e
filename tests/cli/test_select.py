"""`ensue select`: the words, the table of the front, the experiment that is written, and its limits."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

Ask = Callable[..., tuple[int, str, str]]
COUNTING = "popular,markov,rules"


def test_a_selection_ends_with_words_front_test_and_the_next_commands(
    ask: Ask, ring_csv: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "a choice"
    status, out, err = ask("select", ring_csv, "--split", "last", "--models", COUNTING, "--out", folder)
    assert status == 0, err
    assert "markov is taken: ndcg@10 1.0000 (1.0000 to 1.0000) on validation" in out
    assert re.search(r"^popular: -0\.\d{4} ndcg@10 against markov ", out, re.MULTILINE)
    assert re.search(r"^markov +1\.0000 \(1\.0000-1\.0000\) .* taken", out, re.MULTILINE)
    assert "markov on the test, which no choice has seen: NDCG@10 1.0000 " in out
    offered = [line.strip() for line in out.split("Next, type:\n")[1].splitlines() if line.strip()]
    assert len(offered) == 2
    for command in offered:
        words = shlex.split(command)
        assert words[0] == "ensue"
        assert ask(*words[1:])[0] == 0, command
    assert json.loads((folder / "selected" / "run.json").read_text())["best"] == "markov"


def test_programs_get_facts_front_and_reasons_and_no_user(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    words = ["--split", "last", "--models", COUNTING, "--metric", "recall@1"]
    words += ["--out", str(tmp_path / "r"), "--json"]
    status, out, _ = ask("select", ring_csv, *words)
    assert status == 0
    found = json.loads(out)
    assert (found["taken"], found["metric"]) == ("markov", "recall@1")
    assert found["facts"]["items"] == 10
    assert set(found["reasons"]) == {"popular", "markov", "rules"}
    assert found["front"][-1] == "markov"
    assert found["test"]["label"] == "markov"
    assert not re.search(r"\bu\d\d\b", out)
    assert json.loads((tmp_path / "r" / "selection.json").read_text()) == {
        key: value for key, value in found.items() if key != "folder"
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--models", "markow"], "Did you mean 'markov'?"),
        (["--metric", "ndgc@10"], "ndcg"),
        (["--max-minutes", "3"], "give --minutes"),
        (["--models", "popular", "--max-size-mb", "0.00001"], "No model stays within the limits"),
        (["--max-latency-ms", "-1"], "'-1' is not a number from 0 up"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    ask: Ask, ring_csv: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    status, out, err = ask("select", ring_csv, "--out", tmp_path / "r", *words)
    assert (status, out) == (2, "")
    assert said in err
