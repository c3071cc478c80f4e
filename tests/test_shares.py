"""How many processes train a network where that is left to its kind, and why."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.test_resume import BreaksAt, training

from ensue.cli.sharing import sharing
from ensue.cores import cores
from ensue.errors import ModelError
from ensue.experiment import Experiment, experiment_of
from ensue.members import shared
from ensue.model import Conditions, model_of
from ensue.models.neural.gru4rec import GRU4Rec
from ensue.models.neural.rnn import LSTM
from ensue.suiting import TOKENS_EACH, WORTH_SHARING, WORTH_STARTING, shares

DATA = training()
TARGETS = DATA.sequences.n_targets
LONG = ceil(WORTH_SHARING / TARGETS)
"""Epochs that are worth another process."""
SMALL: dict[str, Any] = {"width": 8, "length": 6, "patience": 3, "dropout": 0.0}


class Told(BreaksAt):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(float("inf"))
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def chosen(name: str, cores: int = 2, epochs: int = LONG, tokens: int = 1024, **more: Any) -> dict[str, Any]:
    model = model_of(name, epochs=epochs, batch_tokens=tokens, **SMALL)
    return {choice.name: choice.value for choice in shares(model, DATA.sequences, cores, **more)}


def reason(name: str, cores: int = 2, epochs: int = LONG, **more: Any) -> str:
    model = model_of(name, epochs=epochs, batch_tokens=1024, **SMALL)
    return " ".join(choice.reason for choice in shares(model, DATA.sequences, cores, **more)).strip()


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_what_computes_event_after_event_gets_a_process_of_one_thread_for_each_core(name: str) -> None:
    assert chosen(name) == {"processes": 2, "threads": 1}
    assert reason(name).startswith("2 processes of one thread each, since it computes event after event")


@pytest.mark.parametrize("name", ["transformer", "bert4rec", "hstu", "gru4rec"])
def test_all_others_stay_in_one_process_of_all_threads_without_a_word(name: str) -> None:
    assert chosen(name) == {"processes": 1}
    assert reason(name) == ""


def test_processes_are_begun_where_there_is_enough_to_do_and_the_time_for_it() -> None:
    assert chosen("lstm", epochs=LONG - 1) == {"processes": 1, "threads": 1}
    assert reason("lstm", epochs=LONG - 1).endswith(
        f"; {(LONG - 1) * TARGETS:,} targets are over too soon to begin 2 processes"
    )
    assert chosen("lstm", minutes=WORTH_STARTING)["processes"] == 2
    assert chosen("lstm", minutes=WORTH_STARTING / 2)["processes"] == 1
    assert reason("lstm", minutes=0.5).endswith("; 30 seconds are over too soon to begin 2 processes")
    enough = ceil(WORTH_SHARING / 1024)
    assert chosen("lstm", epochs=1, steps=enough)["processes"] == 2, "a refit makes steps, and not its epochs"
    assert chosen("lstm", steps=enough - 1)["processes"] == 1


@given(st.integers(1, 64), st.integers(1, 8192))
def test_never_more_processes_than_cores_nor_than_the_batch_has_shares_for(cores: int, tokens: int) -> None:
    found = chosen("lstm", cores=cores, tokens=tokens)
    assert found == {"processes": min(cores, max(tokens // TOKENS_EACH, 1)), "threads": 1}


def test_on_one_core_nothing_is_chosen_and_nothing_said() -> None:
    assert chosen("lstm", cores=1) == {"processes": 1, "threads": 1}
    assert reason("lstm", cores=1) == ""


def test_what_was_asked_for_stays() -> None:
    lstm = LSTM(epochs=LONG, batch_tokens=1024, **SMALL)
    asked = Conditions(processes=3, threads=5)
    assert shared(lstm, DATA, asked) is asked
    told = Told()
    found = shared(lstm, DATA, Conditions(processes=0, threads=5, progress=told))
    assert (found.processes, found.threads) == (min(cores(), 2), 5)
    assert len(told.lines) == (cores() > 1)
    assert shared(lstm, DATA, Conditions(processes=0, device="meta")).processes == 1, "no processor"


@pytest.mark.skipif(cores() < 2, reason="two processes want two cores")
def test_left_to_its_kind_it_learns_in_two_processes_and_goes_on_in_no_fewer(tmp_path: Path) -> None:
    lstm = LSTM(epochs=LONG, batch_tokens=1024, **SMALL).suited(DATA.sequences)
    told = Told()
    asked = Conditions(processes=0, progress=told, stop=lambda epochs, score: True, checkpoints=tmp_path)
    fitted = lstm.fit(DATA, asked)
    assert (fitted.facts["processes"], fitted.facts["epochs"]) == (2, 1)
    assert any("lstm: 2 processes of one thread each" in line for line in told.lines)
    with pytest.raises(ModelError, match="processes was 2 and is now 1"):
        lstm.fit(DATA, replace(asked, processes=1))


def test_what_is_small_or_cannot_be_shared_is_learnt_here() -> None:
    for model in (LSTM(epochs=1, batch_tokens=1024, **SMALL), GRU4Rec(epochs=1, batch_tokens=1024, **SMALL)):
        fitted = model.fit(DATA, Conditions(processes=0))
        assert (fitted.facts["processes"], fitted.facts["epochs"]) == (1, 1)


def test_an_experiment_says_how_many_only_where_it_was_told() -> None:
    assert Experiment().processes == 0
    assert "processes" not in Experiment().to_json(), "as experiments were kept before"
    two = experiment_of({"processes": 2})
    assert two.processes == two.to_json()["processes"] == 2
    with pytest.raises(Exception, match="processes = -1: must be a finite number from 0 up"):
        experiment_of({"processes": -1})


def test_the_option_takes_auto_or_a_number_from_1_up() -> None:
    assert (sharing("auto"), sharing("3")) == (0, 3)
    for wrong in ("0", "-1", "two", ""):
        with pytest.raises(Exception, match=wrong or "whole|number|''"):
            sharing(wrong)
