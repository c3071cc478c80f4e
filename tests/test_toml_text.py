"""What is written as TOML is read back as the same values."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.experiment import Experiment, experiment_of
from ensue.toml_text import toml_of

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
PLAIN = TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_any_plain_values_come_back_the_same(content: dict[str, Any]) -> None:
    assert tomllib.loads(toml_of(content)) == content


def test_none_is_left_out_wherever_it_stands() -> None:
    written = toml_of({"a": None, "b": 1, "c": {"d": None, "e": [{"f": None, "g": 2}]}})
    assert tomllib.loads(written) == {"b": 1, "c": {"e": [{"g": 2}]}}


def test_what_toml_has_no_word_for_is_refused() -> None:
    with pytest.raises(TypeError, match="not TOML serializable"):
        toml_of({"a": {1, 2}})


def test_an_experiment_comes_back_the_same() -> None:
    wanted = Experiment(
        out="runs/é ü",
        seed=7,
        models={"rules": {"window": 3}, "odd-name_1": {"model": "recent", "days": 2.5}},
    )
    assert experiment_of(tomllib.loads(toml_of(wanted.to_json()))) == wanted
