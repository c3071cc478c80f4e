"""A log in which two items tell the third, and an experiment on it whose models are to be tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ensue.events.log import EventLog
from ensue.experiment import Evaluating, Experiment, Splitting

SPLIT = Splitting(rule="ratio", test=0.2, validation=0.2)
DAY = 86_400_000_000
TINY = {"width": 32, "batch_tokens": 512, "prior": "none", "temperature": 0.0, "blocks": 1, "epochs": 4}


def planted(users: int = 40, length: int = 20) -> EventLog:
    """After two items the third is known, after one it is not: a, b, a, c, a, b, a, c from any place on."""
    rows = [(f"u{u}", "abac"[(u + step) % 4], step) for u in range(users) for step in range(length)]
    frame = pl.DataFrame(rows, schema=["user", "item", "step"], orient="row")
    return EventLog.of(
        frame.select("user", "item", time=(pl.col("step") * DAY).cast(pl.Datetime("us", "UTC")))
    )


@pytest.fixture(scope="module")
def log() -> EventLog:
    return planted()


def asked(out: Path, models: dict[str, dict[str, Any]], **more: Any) -> Experiment:
    settled = Evaluating(exclude_seen=False, choose_on="ndcg@2")
    return Experiment(split=SPLIT, evaluation=settled, models=models, out=str(out), **more)
