"""A run as its report reads it: from its folder alone, without data, models or training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensue import run_folder
from ensue.errors import ArtifactError
from ensue.experiment import RMSE
from ensue.leading import figure, leading
from ensue.report.comparing import Standing
from ensue.significance import Comparison
from ensue.tracks import by_track

ALIKE = 0.05
"""From this p-value on (Holm-corrected), a model is not told from the best."""

TESTED = 200_000
"""The most users' figures that are tested for a report; `ensue compare` tests any number."""

USUAL = ("ndcg@10", "recall@10", "mrr@10", "auc")
NAMES = {"rmse": "RMSE", "ndcg": "NDCG", "mrr": "MRR", "map": "MAP", "auc": "AUC", "f1": "F1"}


@dataclass(frozen=True)
class Absent:
    """A part that a run has nothing for.

    Attributes:
        heading: of the part.
        why: the reason, as the end of a sentence.
    """

    heading: str
    why: str


@dataclass(frozen=True, eq=False)
class Run:
    """What a run has left behind.

    Attributes:
        folder: where it lies.
        content: of run.json.
        comparison: the paired tests against the model that is best in the test, among those of the track of the
            model that is served; None where there are none.
        why: why there are none, or "".
    """

    folder: Path
    content: Mapping[str, Any]
    comparison: Comparison | None
    why: str = ""

    @property
    def name(self) -> str:
        """What it is called: the name of its folder."""
        return self.folder.resolve().name

    @property
    def rungs(self) -> Sequence[Mapping[str, Any]]:
        """The models, in the order of the experiment."""
        found: Sequence[Mapping[str, Any]] = self.content["models"]
        return found

    @property
    def best(self) -> Mapping[str, Any]:
        """The model that was best on validation, and is served."""
        return next(rung for rung in self.rungs if rung["label"] == self.content["best"])

    @property
    def tracks(self) -> Mapping[str, Run]:
        """The run by tracks, each with the models and the tests of its own: two tracks are never ranked together."""
        parted = by_track(self.rungs)
        if len(parted) == 1:
            return dict.fromkeys(parted, self)
        whole = self.content
        return {
            track: _tested(self.folder, {**whole, "models": rungs}, rungs) for track, rungs in parted.items()
        }

    @property
    def metrics(self) -> list[str]:
        """The metrics to show: the usual ones, or the first four where none of them was measured."""
        return shown_metrics(list(self.rungs[0]["test"]["all"]["metrics"]))

    @property
    def metric(self) -> str:
        """The metric of rankings that leads: the tested one, else the one models were chosen by, else the first."""
        measured = self.rungs[0]["test"]["all"]["metrics"]
        tested = None if self.comparison is None else self.comparison.metric
        wanted = (tested, self.content["experiment"]["evaluation"]["choose_on"], self.metrics[0])
        return next(str(name) for name in wanted if name in measured)

    @property
    def leads(self) -> str:
        """The figure that models are told by: RMSE where they were chosen by that, else the metric that leads."""
        return RMSE if leading(self.content) == RMSE else self.metric

    @property
    def unit(self) -> str:
        """Whom figures are averaged over: "user" or "session"."""
        return str(self.content["experiment"]["sequences"]["by"])

    def figure(self, rung: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        """A headline figure of a model, with its interval."""
        return figure(rung, name)

    @property
    def highest(self) -> str:
        """The label of the model that is highest in the test on the figure that leads, or lowest on RMSE."""
        if self.comparison is not None:
            return self.comparison.best
        among = by_track(self.rungs)
        served = next((own for own in among.values() if self.content["best"] in _labels(own)), self.rungs)
        best = min if self.leads == RMSE else max
        return str(best(served, key=lambda rung: float(self.figure(rung, self.leads)["value"]))["label"])

    def standing(self, label: str) -> Standing:
        """How a model stands to the one that is best in the test."""
        if label == self.highest:
            return "best"
        tests = {} if self.comparison is None else {one.model: one.p_value for one in self.comparison.others}
        if label not in tests:
            return "untested"
        return "alike" if tests[label] >= ALIKE else "apart"


def read_run(folder: str | Path) -> Run:
    """A run from its folder.

    Raises:
        ArtifactError: the folder is no run's, or its results are damaged.
    """
    folder = Path(folder)
    content = run_folder.results(folder)
    parted = by_track(content["models"])
    served = next(rungs for rungs in parted.values() if content["best"] in _labels(rungs))
    return _tested(folder, content, served)


def _tested(folder: Path, content: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> Run:
    """A run with the paired tests among some of its models, which are of one track."""
    if len(among) < 2:
        return Run(folder, content, None, "there is one model, and nothing to compare it with")
    if among[0]["test"]["counts"]["users"] * len(among) > TESTED:
        return Run(folder, content, None, f"ensue compare {folder} makes the paired tests of so many users")
    try:
        seed = content["experiment"]["seed"]
        return Run(folder, content, run_folder.comparison(folder, seed, _labels(among)))
    except ArtifactError as fault:
        return Run(folder, content, None, str(fault))


def _labels(rungs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [rung["label"] for rung in rungs]


def shown_metrics(measured: Sequence[str]) -> list[str]:
    """Which metrics a table has: the usual ones, or the first four where none of them was measured."""
    usual = [name for name in USUAL if name in measured]
    return usual or list(measured[:4])


def titled(name: str) -> str:
    """The name of a metric as a head.

    >>> titled("ndcg@10"), titled("recall@10")
    ('NDCG@10', 'recall@10')
    """
    word, sign, rest = name.partition("@")
    return NAMES.get(word, word) + sign + rest


def chosen(name: str, value: float) -> str:
    """By what figure on validation the best model was chosen.

    >>> chosen("ndcg@10", 0.125), chosen("rmse", 0.875)
    ('NDCG@10 0.1250', 'RMSE 0.8750, the lowest')
    """
    return f"{titled(name)} {value:.4f}" + (", the lowest" if name == RMSE else "")


def between(found: Mapping[str, Any]) -> str:
    """A figure with its interval, in a table's cell."""
    return f"{found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})"


def seconds(value: float) -> str:
    """A time for a table.

    >>> [seconds(value) for value in (0.123, 12.3, 754, 7_300)]
    ['0.12 s', '12 s', '12 min 34 s', '2 h 2 min']
    """
    if value < 60:
        return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def parameters(facts: Mapping[str, Any]) -> int | None:
    """How many numbers a network has learnt; None for a model that counts."""
    found = facts.get("parameters") or (facts.get("first_fit") or {}).get("parameters")
    return None if found is None else int(found)


def size(value: float) -> str:
    """Bytes for people.

    >>> size(1_234_567)
    '1.2 MB'
    """
    for unit, letters in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:.1f} {letters}"
    return f"{value:.0f} B"
