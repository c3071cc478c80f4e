"""What is typed becomes what is meant."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from ensue.cli.asking import ids
from ensue.cli.options import Reading, gathered, mapping, names, settings
from ensue.cli.slates import listed
from ensue.errors import ConfigError, QueryError


def test_columns_may_be_given_together_or_apart() -> None:
    together = mapping(["user=uid,item=sku,time=ts"])
    assert (
        together
        == mapping(["user=uid", "item=sku", "time=ts"])
        == {"user": "uid", "item": "sku", "time": "ts"}
    )


def test_a_column_that_is_left_out_has_an_empty_name() -> None:
    assert mapping(["rating="]) == {"rating": ""}


def test_a_column_name_may_hold_a_sign_of_equality() -> None:
    assert mapping(["user=a=b"]) == {"user": "a=b"}


def test_a_piece_without_a_sign_is_refused_with_an_example() -> None:
    with pytest.raises(ConfigError, match=r"--columns: 'uid' is not NAME=COLUMN, such as user=customer_id"):
        mapping(["item=sku,uid"])


def test_settings_have_the_types_of_toml() -> None:
    found = settings(
        ["width=64", "dropout=0.3", "tied=false", "loss=cross-entropy", 'other={ name = "bpr", k = 2 }']
    )
    assert found == {
        "width": 64, "dropout": 0.3, "tied": False, "loss": "cross-entropy", "other": {"name": "bpr", "k": 2},
    }  # fmt: skip
    assert type(found["width"]) is int


def test_names_are_trimmed_and_empty_ones_left_out() -> None:
    assert names(" markov, rules,,") == ["markov", "rules"]


@given(st.lists(st.text(min_size=1), max_size=6))
def test_any_ids_can_be_typed_as_a_json_list(history: list[str]) -> None:
    assert ids(json.dumps(history), "--history") == history


@given(
    st.lists(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6)
)
def test_what_is_offered_to_type_gives_the_same_ids(history: list[str]) -> None:
    assert ids(listed(history), "--history") == history


def test_numbers_in_a_json_list_stay_as_they_are_written() -> None:
    assert ids("[9007199254740993, 1.0, 1e3]", "--history") == ["9007199254740993", "1.0", "1e3"]


@pytest.mark.parametrize("text", ["[1", '["a", ["b"]]', "[null]", "[true]"])
def test_what_begins_like_a_list_and_is_none_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="is no JSON list of ids"):
        ids(text, "--history")


def test_a_group_of_options_reaches_the_verb_as_one_value() -> None:
    seen = []

    @gathered
    def verb(reading: Reading, number: Annotated[int, typer.Option()] = 3) -> None:
        """Does something."""
        seen.append((reading, number))

    app = typer.Typer()
    app.command()(verb)
    command = typer.main.get_command(app)
    command.main(
        ["--columns", "user=a", "--no-quoting", "--delimiter", "\\t", "--number", "4"], standalone_mode=False
    )
    ((reading, number),) = seen
    assert number == 4
    assert reading.content() == {"columns": {"user": "a"}, "delimiter": "\t", "quoting": False}


def test_what_is_not_given_is_not_in_the_content() -> None:
    assert Reading().content() == {}
