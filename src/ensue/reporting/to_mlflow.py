"""A run as MLflow keeps runs: one for the whole, one under it for each model, with the page as an artifact.

The client alone is used (`mlflow-skinny`), and none of its global state.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ensue.errors import ConfigError, MissingExtraError
from ensue.reporting.origin import configuration
from ensue.reporting.reading import Run
from ensue.reporting.standing import verdict
from ensue.reporting.tracked import named, tracked
from ensue.reporting.writing import report_of
from ensue.tracks import track_in

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

LONGEST, AT_ONCE = 500, 100
"""Letters of a value and parameters of one call that every MLflow takes."""


def to_mlflow(run: Run, uri: str) -> str:
    """Logs a run: its models' settings, figures and learning curves, the page and the configuration.

    Args:
        run: what is logged.
        uri: of the tracking server, such as "http://localhost:5000" or "file:///path".

    Returns:
        The id that MLflow gave to the whole.

    Raises:
        MissingExtraError: the client of MLflow is not installed.
        ConfigError: the server cannot be reached, or refuses.
    """
    os.environ.setdefault(
        "MLFLOW_DISABLE_TELEMETRY", "true"
    )  # the run is for this server, and for nobody else
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as fault:
        raise MissingExtraError(
            "MLflow is written to by its client, which is missing: pip install 'ensue[mlflow]'."
        ) from fault
    try:
        return _logged(MlflowClient(tracking_uri=uri), run)
    except (MlflowException, OSError) as fault:
        first = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise ConfigError(f"MLflow at {uri} cannot be logged to: {first}") from fault


def _logged(client: MlflowClient, run: Run) -> str:
    name = f"ensue {run.content['experiment']['data']['source']}"
    known = client.get_experiment_by_name(name)
    place = client.create_experiment(name) if known is None else known.experiment_id
    whole = client.create_run(
        place, run_name=run.name, tags={"best": run.best["label"], "verdict": verdict(run)}
    )
    parent = str(whole.info.run_id)
    client.log_text(parent, report_of(run).html(), "report.html")
    client.log_text(parent, configuration(run.content["experiment"]), "experiment.toml")
    _log(client, parent, dict(run.content["experiment"]["evaluation"]), list(tracked(run.best)))
    for rung in run.rungs:
        tags = {"mlflow.parentRunId": parent, "model": rung["model"], "track": track_in(rung)}
        made = client.create_run(place, run_name=rung["label"], tags=tags).info.run_id
        _log(client, made, rung.get("settings") or {}, list(tracked(rung)))
        client.set_terminated(made)
    client.set_terminated(parent)
    return parent


def _log(
    client: MlflowClient, run_id: str, settings: Mapping[str, Any], figures: list[tuple[str, float, int]]
) -> None:
    """Parameters and figures of one of MLflow's runs, in as few calls as there may be."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    params = [Param(named(key), str(value)[:LONGEST]) for key, value in settings.items()]
    metrics = [Metric(key, value, now, step) for key, value, step in figures]
    for begin in range(0, len(params), AT_ONCE):
        client.log_batch(run_id, params=params[begin : begin + AT_ONCE])
    for begin in range(0, len(metrics), AT_ONCE):
        client.log_batch(run_id, metrics=metrics[begin : begin + AT_ONCE])
