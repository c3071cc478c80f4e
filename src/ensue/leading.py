"""Which figure of a run leads, and where each model has it: RMSE where models were chosen by that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ensue.experiment import RMSE


def leading(content: Mapping[str, Any]) -> str:
    """The figure that a run is told by: the one that its models were chosen on, or the first that was measured.

    Args:
        content: of the run's run.json.
    """
    chosen, known = str(content["experiment"]["evaluation"]["choose_on"]), measured(content["models"])
    return chosen if chosen in known else known[0]


def measured(rungs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures that there are of every one of some models: metrics of rankings, and RMSE where all are rated.

    Args:
        rungs: the models, as in run.json.
    """
    rated = all(rung.get("ratings") for rung in rungs)
    return [*rungs[0]["test"]["all"]["metrics"], *([RMSE] if rated else [])]


def figure(rung: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A headline figure of a model with its interval: of rankings over all targets, of RMSE over warm ratings.

    Args:
        rung: the model, as in run.json.
        name: of the figure.
    """
    group = rung["ratings"]["warm"] if name == RMSE else rung["test"]["all"]
    found: Mapping[str, Any] = group["metrics"][name]
    return found
