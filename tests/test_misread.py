"""What is wrong with settings that somebody has written, in words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from pydantic import TypeAdapter, ValidationError

from ensue.errors import ConfigError
from ensue.experiment import experiment_of
from ensue.misread import fault_in, told
from ensue.serving.settings import settings_of

NONE = "there is no such key; known are"
STRICT = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class Inner:
    most: int = 1

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    either: int | str = 0

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


def errors(content: dict[str, Any]) -> list[Any]:
    with pytest.raises(ValidationError) as found:
        TypeAdapter(Outer).validate_json(json.dumps(content))
    return list(found.value.errors())


@pytest.mark.parametrize(
    ("content", "shown", "expected"),
    [
        ({"name": "a", "nmae": 1}, True, [f"nmae: {NONE} name, inner, either. Did you mean 'name'?"]),
        ({"name": "a", "inner": {"mots": 1}}, True, [f"inner.mots: {NONE} most. Did you mean 'most'?"]),
        ({"name": "a", "inner": {"most": "1"}}, True, ["inner.most = '1': input should be a valid integer."]),
        ({"name": "a", "inner": {"most": "1"}}, False, ["inner.most: input should be a valid integer."]),
        ({}, True, ["name is missing."]),
    ],
)  # fmt: skip
def test_a_fault_says_where_what_and_the_nearest_key(
    content: dict[str, Any], shown: bool, expected: list[str]
) -> None:
    assert [fault_in(error, Outer("x"), shown) for error in errors(content)] == expected


def test_the_kinds_that_a_value_may_be_of_are_no_place() -> None:
    error = {"type": "bad", "loc": ("split", "literal['a','b']"), "input": 3, "msg": "Input should be one"}
    assert told(error, [], "models.x") == "models.x.split = 3: input should be one."
    assert told({"type": "extra_forbidden", "loc": ("q",)}, []) == "q: there is no such key; known are none."


def test_experiments_and_services_tell_their_faults_in_these_words() -> None:
    with pytest.raises(ConfigError) as found:
        experiment_of({"seeed": 1, "split": {"tets": 0.1}, "models": {"lstm": {"widht": 3}}})
    lines = str(found.value).splitlines()
    assert lines[0] == "experiment has 3 faults:"
    assert lines[1].startswith("  split.tets: there is no such key; known are rule, test,")
    assert lines[1].endswith("Did you mean 'test'?")
    assert lines[2].startswith("  seeed: there is no such key; known are data, sequences,")
    assert lines[3].startswith("  models.lstm.widht: there is no such key; known are width,")
    with pytest.raises(ConfigError) as found:
        experiment_of({"models": {"lstm": {"layers": 0}, "mine": {"model": "lstm", "memory": 1}}})
    assert [line.split("=")[0] for line in str(found.value).splitlines()[1:]] == [
        "  models.lstm: hidden",
        "  models.mine: memory",
    ]
    with pytest.raises(ConfigError) as refused:
        settings_of({"bounds": {"hsitory": 3}, "port": "secret"})
    said = str(refused.value)
    assert "bounds.hsitory: there is no such key" in said
    assert "Did you mean 'history'?" in said
    assert "run is missing." in said
    assert "secret" not in said
