"""Candidates in files: what is written of them, what is taken from other tools, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.test_candidates import asked, catalogue_of, many, scored

from ensue.candidates import Candidates
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, DataError
from ensue.evaluation import evaluate


def test_a_file_holds_items_alone_and_gives_the_same_figures(tmp_path: Path) -> None:
    examples = many(25, 30)
    answers = scored(list(range(30)), exclude_seen=True)
    drawn = Candidates.sampled(examples, answers.catalogue, 27, seed=8)
    drawn.write(tmp_path / "c.parquet")
    table = pl.read_parquet(tmp_path / "c.parquet")
    assert table.schema == {"query": pl.Int64(), "target": pl.String(), "candidates": pl.List(pl.String())}
    assert table["target"].to_list() == examples.target_ids.to_list()
    first = [f"i{item:02d}" for item in drawn.items[0].tolist() if item < 30]
    assert table["candidates"][0].to_list() == first
    assert b"secret" not in (tmp_path / "c.parquet").read_bytes()

    found = Candidates.read(tmp_path / "c.parquet", examples, answers.catalogue)
    assert np.array_equal(found.items, drawn.items)
    assert found.sampling == drawn.sampling
    assert found.sampling.fewer > 0
    one, other = (evaluate(answers, examples, candidates=c) for c in (drawn, found))
    assert one.to_json() == other.to_json()


def test_a_model_with_its_items_in_another_order_is_asked_about_the_same_candidates(tmp_path: Path) -> None:
    examples = many(25, 30)
    drawn = Candidates.sampled(examples, catalogue_of(30), 27)
    drawn.write(tmp_path / "c.parquet")
    turned = Catalogue(catalogue_of(30).ids.reverse(), np.ones(30, dtype=np.int64))
    flipped = replace(
        examples,
        queries=replace(examples.queries, items=(29 - examples.queries.items).astype(np.int32)),
        targets=np.where(examples.targets < 0, -1, 29 - examples.targets).astype(np.int32),
    )
    found = Candidates.read(tmp_path / "c.parquet", flipped, turned)
    assert not np.array_equal(found.items, drawn.items)
    assert found.frame().equals(drawn.frame())
    assert found.sampling == drawn.sampling


def test_users_are_in_the_table_only_when_they_are_asked_for() -> None:
    examples = many(3, 30)
    drawn = Candidates.sampled(examples, catalogue_of(30), 4)
    assert drawn.frame().columns == ["query", "target", "candidates"]
    table = drawn.frame(whose=examples)
    assert table.columns == ["user", "query", "target", "candidates"]
    assert table["user"].to_list() == ["secret-0", "secret-1", "secret-2"]


def test_candidates_of_another_tool_are_taken_in_any_order_of_rows(tmp_path: Path) -> None:
    examples = asked([[5], [5]], [2, 1], 6)
    rows = {
        "query": [1, 0],
        "target": ["i01", "i02"],
        "candidates": [["i03"], ["i04", "i00"]],
        "user": ["x", "y"],
    }
    pl.DataFrame(rows, schema_overrides={"query": pl.UInt8}).write_parquet(tmp_path / "other.parquet")
    found = Candidates.read(tmp_path / "other.parquet", examples, catalogue_of(6))
    assert found.items.tolist() == [[4, 0], [3, 6]]
    assert str(found.sampling).endswith("each target among 2 items from elsewhere")
    assert (found.number, found.seed, found.by, found.exclude_seen) == (2, None, "given", None)
    assert found.sampling.fewer == 1
    answers = scored([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    for exclude_seen in (True, False):
        result = evaluate(answers, examples, metrics=["mrr"], exclude_seen=exclude_seen, candidates=found)
        assert result.per_user["mrr"].tolist() == [1 / 2, 1]


GOOD: dict[str, Any] = {"query": [0, 1], "target": ["i02", "i01"], "candidates": [["i03"], ["i04", "i00"]]}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            GOOD | {"candidates": [["i03"], ["i04", "x9"]]},
            "1 candidates, such as 'x9', are not in the catalogue",
        ),
        (GOOD | {"target": ["i02", "i00"]}, "other targets in 1 of 2 queries"),
        (GOOD | {"candidates": [["i03"], ["i01"]]}, "1 queries have their own target among the candidates"),
        (GOOD | {"candidates": [["i03", "i03"], ["i04"]]}, "1 queries have an item twice"),
        (GOOD | {"query": [0, 0]}, "the queries are not 0 to 1, each once"),
        (GOOD | {"query": [1, 2]}, "the queries are not 0 to 1, each once"),
        (GOOD | {"query": [0, None]}, "the queries are not 0 to 1, each once"),
        (GOOD | {"query": ["0", "1"]}, "the column 'query' is of type String"),
        (GOOD | {"target": [2, 1]}, "the column 'target' is of type Int64"),
        (GOOD | {"candidates": [[3], [4]]}, "the column 'candidates' is of type List(Int64)"),
        (GOOD | {"candidates": [["i03"], ["i04", None]]}, "a candidate or a list of them is missing"),
        (GOOD | {"candidates": [["i03"], None]}, "a candidate or a list of them is missing"),
        (GOOD | {"target": ["i02", None]}, "a target, a candidate or a list of them is missing"),
        ({"query": [0], "target": ["i02"], "candidates": [["i03"]]}, "for 1 targets, and 2 are asked"),
        ({"query": [0, 1], "target": ["i02", "i01"]}, "has no column 'candidates', but query, target"),
    ],
)
def test_a_file_that_does_not_fit_is_one_clear_error(tmp_path: Path, table: Any, said: str) -> None:
    pl.DataFrame(table).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(DataError) as fault:
        Candidates.read(tmp_path / "c.parquet", asked([[5], [5]], [2, 1], 6), catalogue_of(6))
    assert str(fault.value).startswith("c.parquet")
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    "note",
    [
        "[1]",
        "{",
        '{"number": 2}',
        '{"number": 1, "seed": 0, "by": "uniform", "exclude_seen": true}',
        '{"number": 2, "seed": 0, "by": "magic", "exclude_seen": true}',
        '{"number": 2, "seed": "0", "by": "uniform", "exclude_seen": true}',
    ],
)
def test_a_damaged_note_of_how_candidates_were_drawn_is_not_believed(tmp_path: Path, note: str) -> None:
    pl.DataFrame(GOOD).write_parquet(tmp_path / "c.parquet", metadata={"ensue.candidates": note})
    with pytest.raises(DataError, match="write it again"):
        Candidates.read(tmp_path / "c.parquet", asked([[5], [5]], [2, 1], 6), catalogue_of(6))


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("a,b\n"), Path.mkdir])
def test_what_is_no_parquet_file_is_one_clear_error(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"^c.parquet (cannot be read|is no Parquet file)"):
        Candidates.read(tmp_path / "c.parquet", many(2, 6), catalogue_of(6))


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    drawn = Candidates.sampled(many(2, 6), catalogue_of(6), 2)
    with pytest.raises(ConfigError, match="cannot be written"):
        drawn.write(tmp_path / "nowhere" / "c.parquet")
