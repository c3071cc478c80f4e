"""A small simulated log of ads, what was learnt of it, and `ensue ads` as a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer

from ensue.ads import AdSource, ClickModel, Impressions, Past, impressions_of, save
from ensue.ads.click_model import Clicks
from ensue.ads.simulated import Drawn
from ensue.cli import ads, terminal
from ensue.events.log import EventLog

AskAds = Callable[..., tuple[int, str, str]]
MODEL = ClickModel(l2=10.0)


def log_of(rows: list[tuple[str, str, int, str]], **more: Sequence[Any]) -> EventLog:
    """A log of (user, ad, seconds, event)."""
    frame = pl.DataFrame(rows, schema=["user", "item", "seconds", "event"], orient="row")
    frame = frame.with_columns(time=(pl.col("seconds") * 1_000_000).cast(pl.Datetime("us", "UTC"))).drop(
        "seconds"
    )
    return EventLog.of(frame.with_columns(pl.Series(name, values) for name, values in more.items()))


@pytest.fixture(scope="session")
def drawn() -> Drawn:
    return AdSource(campaigns=4, ads=3).drawn(users=300, visits=25)


@pytest.fixture(scope="session")
def impressions(drawn: Drawn) -> Impressions:
    return impressions_of(drawn.log)


@pytest.fixture(scope="session")
def past(impressions: Impressions) -> Past:
    return Past.of(impressions)


@pytest.fixture(scope="session")
def parts(impressions: Impressions) -> tuple[Impressions, Impressions]:
    return impressions.parted(0.25)


@pytest.fixture(scope="session")
def clicks(parts: tuple[Impressions, Impressions], past: Past) -> Clicks:
    return MODEL.fit(parts[0], past)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory, clicks: Clicks, impressions: Impressions) -> Path:
    """A saved model; read it, and change nothing in it."""
    folder = tmp_path_factory.mktemp("ads") / "clicks"
    return save(clicks, impressions.known_ads(), folder, settings=MODEL.settings(), facts={"why": "a test"})


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> AskAds:
    """Runs `ensue ads WORDS` in this process: exit status, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        command = typer.main.get_command(ads.app)
        status = 0
        try:
            with command.make_context("ensue ads", [str(word) for word in words]) as context:
                command.invoke(context)
        except typer.Exit as end:
            status = end.exit_code
        except Exception as fault:  # noqa: BLE001 - as the command line ends
            status = terminal.failed(fault)
        return (status, *capsys.readouterr())

    return run
