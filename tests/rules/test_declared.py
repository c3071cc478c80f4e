"""Rules from TOML: all faults at once, and what is read can be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ensue.errors import ConfigError
from ensue.rules import (
    Boost,
    Cap,
    Diversity,
    Freshness,
    Listed,
    Price,
    Rules,
    Seen,
    read_rules,
    read_rules_file,
)
from ensue.rules.declared import _adapter

SHOP = """
[other]
anything = 1

[rules.availability]
deny = ["007", "8"]

[rules.price]
most = 50

[rules.freshness]
days = 30
column = "released"
missing = "drop"

[[rules.cap]]
column = "brand"
most = 2

[[rules.cap]]
column = "genre"
most = 3

[rules.boost]
column = "maker"
values = ["us"]
factor = 1.2

[rules.seen]
items = "repeats"

[rules.diversity]
relevance = 0.8
columns = ["genre"]
"""

READ = Rules(
    (
        Listed(deny=("007", "8")),
        Price(most=50.0),
        Freshness(days=30.0, column="released", missing="drop"),
        Cap(column="brand", most=2),
        Cap(column="genre", most=3),
        Boost(column="maker", values=("us",), factor=1.2),
        Seen(items="repeats"),
        Diversity(relevance=0.8, columns=("genre",)),
    )
)


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(SHOP)
    assert read_rules_file(tmp_path / "shop.toml") == READ
    assert read_rules({}) == Rules()


def test_what_is_written_is_read_again() -> None:
    assert read_rules(READ.to_json()) == READ


def test_all_faults_are_told_at_once() -> None:
    declared: dict[str, Any] = {
        "availability": {"deny": [7], "alow": []},
        "prise": {"most": 1},
        "price": {"least": 2, "most": 1},
        "cap": [{"column": "genre", "most": 2}, {"column": "genre"}, 7],
        "seen": [{"items": "exclude"}, {"items": "allow"}],
        "diversity": {"relevance": "high"},
    }
    with pytest.raises(ConfigError) as told:
        read_rules(declared, "shop.toml: rules")
    lines = str(told.value).splitlines()
    assert lines[0] == f"shop.toml: rules has {len(lines) - 1} faults:"
    text = "\n".join(lines)
    for said in (
        "rules.availability.deny.0 = 7: input should be a valid string.",
        "rules.availability.alow: there is no such key; known are allow, deny. Did you mean 'allow'?",
        "rules.prise: there is no such rule; known are ",
        "Did you mean 'price'?",
        "rules.price: price: least=2.0, most=1.0",
        "rules.cap[1].most: is missing.",
        "rules.cap[2] = 7: must be a table of settings.",
        "rules.seen stands 2 times: it can stand only once.",
        "rules.diversity.relevance = 'high'",
    ):
        assert said in text
    assert len(lines) == 1 + 8


@pytest.mark.parametrize(
    ("text", "said"),
    [("rules = 3", "must be a table of rules"), ("x = 1", "has no table"), ("x = ", "is not TOML")],
)
def test_a_file_without_rules_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_rules_file(tmp_path / "x.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_rules_file(tmp_path / "nowhere.toml")


def test_a_rule_that_can_stand_once_is_replaced_and_others_are_joined() -> None:
    both = READ.also(Rules((Seen(items="allow"), Cap(column="shop", most=1))))
    assert both.rules[-2:] == (Seen(items="allow"), Cap(column="shop", most=1))
    assert Seen(items="repeats") not in both.rules
    assert len(both.rules) == len(READ.rules) + 1


def test_what_checks_a_kind_of_rule_is_made_once() -> None:
    """To make it takes as long as many answers, and each request may bring rules."""
    read_rules({"availability": [{"deny": ["a"]}, {"deny": ["b"]}]})
    made = _adapter.cache_info().misses
    found = read_rules({"availability": [{"deny": [str(number)]} for number in range(40)]})
    assert len(found.rules) == 40
    assert _adapter.cache_info().misses == made
