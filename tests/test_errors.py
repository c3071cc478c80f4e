"""The error tree, and the end of a message that names the nearest known word."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue import errors
from ensue.errors import ConfigError, EnsueError, nearest
from ensue.model import model_of

TREE = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
]


@pytest.mark.parametrize("error", TREE)
def test_every_error_is_a_users_mistake_and_ends_with_2(error: type[EnsueError]) -> None:
    assert issubclass(error, EnsueError)
    assert error.exit_code == 2
    assert str(error("what, where, remedy")) == "what, where, remedy"


def test_the_tree_drawn_in_the_module_is_the_tree() -> None:
    lines = (errors.__doc__ or "").splitlines()
    drawn = {}
    path: list[str] = []
    for line in lines:
        stem = line.lstrip(" │├└─")
        name = stem.split(" ")[0]
        if name.endswith("Error") and (line.startswith("    ")):
            depth = (len(line) - len(stem) - 4) // 4
            path[depth:] = [name]
            drawn[name] = path[depth - 1] if depth else "Exception"
    assert drawn == {error.__name__: error.__base__.__name__ for error in TREE if error.__base__}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("epoch", " Did you mean 'epochs'?"),
        ("Epochs", " Did you mean 'epochs'?"),
        ("learningrate", " Did you mean 'learning_rate'?"),
        ("userid", " Did you mean 'UserID'?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_the_nearest_known_word(word: str, expected: str) -> None:
    assert nearest(word, ["epochs", "learning_rate", "UserID"]) == expected


def test_nothing_is_near_when_nothing_is_known() -> None:
    assert nearest("epochs", []) == ""


def test_what_is_no_text_is_told_as_any_other_wrong_word() -> None:
    assert nearest(None, ["none", "beside"]) == " Did you mean 'none'?"
    assert nearest(True, ["none", "beside"]) == ""
    with pytest.raises(ConfigError) as told:
        model_of("gru", prior=None)
    assert str(told.value) == "gru: prior='None' must be one of none, rules, beside. Did you mean 'none'?"


@given(st.lists(st.text(min_size=1), min_size=1, unique_by=str.casefold), st.data())
def test_a_known_word_is_nearest_to_itself_whatever_its_case(known: list[str], data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(known))
    assert nearest(word, iter(known)) == f" Did you mean '{word}'?"
    assert nearest(word.casefold(), known) == f" Did you mean '{word}'?"
