"""Folders that look like runs: every command that takes a run says what they hold, and what to name instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def looked_alike(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files by which a selection and a back-test are known."""
    place = tmp_path_factory.mktemp("alike")
    for name, file in (("selection", "selection.json"), ("back-test", "backtest.json")):
        (place / name).mkdir()
        (place / name / file).write_text("{}")
    (place / "selection" / "models" / "rules").mkdir(parents=True)
    return {"selection": place / "selection", "back-test": place / "back-test"}


@pytest.mark.parametrize(
    "verb", [("compare",), ("report",), ("runs", "show"), ("recommend",)], ids=lambda words: words[-1]
)
def test_a_folder_that_is_no_run_is_named_for_what_it_is(
    ask: Ask, looked_alike: dict[str, Path], verb: tuple[str, ...]
) -> None:
    remedies = {"selection": ("selected.toml", "models/rules is its model"), "back-test": ("window-1",)}
    for kind, folder in looked_alike.items():
        status, out, err = ask(*verb, folder)
        assert (status, out) == (2, "")
        assert f"it holds a {kind}" in err
        assert all(words in err for words in remedies[kind])
        assert len(err.splitlines()) == 1
