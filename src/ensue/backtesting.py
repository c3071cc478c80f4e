"""A whole experiment again and again: one run for each of several tests that follow each other in time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.experiment import RMSE, Experiment
from ensue.ladder import Outcome, load_log, run
from ensue.progress import Progress, Silent
from ensue.run_folder import BACKTEST
from ensue.spreads import Spread
from ensue.version import __version__

WINDOWS = 3
"""How many tests, where an experiment does not say."""


@dataclass(frozen=True)
class Window:
    """What one run came to.

    Attributes:
        name: the split, in words.
        sizes: events in each part.
        folder: of the run, within that of the back-test.
        chosen: label of the model that was best on validation.
        best: label of the model that was best in the test, by the metric that models are chosen on.
        figures: label -> metric -> headline value.
    """

    name: str
    sizes: Mapping[str, int]
    folder: str
    chosen: str
    best: str
    figures: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, outcome: Outcome) -> Window:
        """The figures of a run, without its events."""
        wanted = outcome.experiment.evaluation.choose_on
        figures = {rung.label: {n: rung.test.value(n) for n in rung.test.metrics} for rung in outcome.rungs}
        rated = {rung.label: rung.ratings.value(RMSE) for rung in outcome.rungs if rung.ratings is not None}
        if wanted == RMSE and len(rated) == len(figures):
            figures = {label: {RMSE: rated[label]} | found for label, found in figures.items()}
        first = next(iter(figures.values()))
        metric = wanted if wanted in first else next(iter(first))
        sign = -1 if metric == RMSE else 1
        best = max(figures, key=lambda label: sign * figures[label][metric])
        return cls(outcome.split.name, outcome.split.sizes, outcome.folder.name, outcome.best, best, figures)


@dataclass(frozen=True)
class Backtest:
    """How models did in each of several tests that follow each other in time.

    Attributes:
        windows: the runs, the earliest test first.
        folder: where they lie.
        metric: by which the best model of a window is told.
    """

    windows: tuple[Window, ...]
    folder: Path
    metric: str

    @property
    def spreads(self) -> dict[str, dict[str, Spread]]:
        """Label -> metric -> its values; a model that was left out of a window has fewer of them."""
        labels = dict.fromkeys(label for window in self.windows for label in window.figures)
        found: dict[str, dict[str, Spread]] = {}
        for label in labels:
            ran = [window.figures[label] for window in self.windows if label in window.figures]
            shared = [name for name in ran[0] if all(name in figures for figures in ran)]
            found[label] = {name: Spread(tuple(figures[name] for figures in ran)) for name in shared}
        return found

    @property
    def agree(self) -> bool:
        """Whether one model is the best in every window."""
        return len({window.best for window in self.windows}) == 1

    def to_json(self) -> dict[str, Any]:
        """The back-test for programs; no user's id is in it."""
        return {
            "ensue": __version__,
            "metric": self.metric,
            "agree": self.agree,
            "windows": [
                {
                    "split": window.name,
                    "sizes": dict(window.sizes),
                    "folder": window.folder,
                    "chosen": window.chosen,
                    "best": window.best,
                    "figures": {label: dict(found) for label, found in window.figures.items()},
                }
                for window in self.windows
            ],
            "models": {
                label: {name: spread.to_json() for name, spread in found.items()}
                for label, found in self.spreads.items()
            },
        }

    def lines(self) -> list[str]:
        """The back-test as plain text: a table of the metric, and whether the windows agree."""
        number = len(self.windows)
        numbered = [f"window {place + 1}" for place in range(number)]
        table = [("model", f"{self.metric}, mean", "min", "max", *numbered)]
        for label, found in self.spreads.items():
            spread = found[self.metric]
            cells = [f"{value:.4f}" for value in (spread.mean, min(spread.values), max(spread.values))]
            ran = [window.figures.get(label, {}).get(self.metric) for window in self.windows]
            table.append((label, *cells, *("-" if value is None else f"{value:.4f}" for value in ran)))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        told = "; ".join(f"{place} {window.best}" for place, window in enumerate(self.windows, start=1))
        same = (
            f"{self.windows[0].best} is the best in all {number} windows"
            if self.agree
            else f"the windows do not agree which model is the best: {told}"
        )
        return [*("  ".join(map(str.ljust, row, widths)).rstrip() for row in table), same]


def backtest(
    experiment: Experiment, progress: Progress | None = None, log: EventLog | None = None
) -> Backtest:
    """One run of an experiment for each of its windows, in folders of their own, and what they come to together.

    Window n is kept in `<out>/window-n`, a run as any other; what they come to in `<out>/backtest.json`.

    Args:
        experiment: what to do; `split.windows` says how many windows (3 where it says 0), `split.test` how much of the
            log each tests.
        progress: who is told how far it is.
        log: the events, if they are in memory already.

    Raises:
        ConfigError: the split is not by time, names one window, or there is no folder for the results.
        EnsueError: a run fails.
    """
    progress = progress or Silent()
    windows = experiment.split.windows or WINDOWS
    planned = replace(experiment.split, windows=windows)
    faults = planned.faults()
    if planned.window:
        faults.append(f"split.window = {planned.window} is one run; a back-test runs them all: leave it out.")
    if not experiment.out:
        faults.append('The experiment names no folder for its results: give out = "runs/NAME" or --out.')
    if faults:
        raise ConfigError("\n".join(faults))
    log = load_log(experiment.data, progress.say) if log is None else log
    folder, found = Path(experiment.out), []
    for number in range(1, windows + 1):
        progress.say(f"window {number} of {windows}")
        one = replace(planned, window=number)
        outcome = run(replace(experiment, split=one, out=str(folder / f"window-{number}")), progress, log)
        found.append(Window.of(outcome))
    wanted = outcome.experiment.evaluation.choose_on
    known = [
        name for name in found[0].figures[found[0].best] if all(_measured(window, name) for window in found)
    ]
    done = Backtest(tuple(found), folder, wanted if wanted in known else known[0])
    text = json.dumps(done.to_json(), indent=1, ensure_ascii=False)
    (folder / BACKTEST).write_text(text, encoding="utf-8")
    return done


def _measured(window: Window, name: str) -> bool:
    """Whether a metric was measured of all models of a window."""
    return all(name in figures for figures in window.figures.values())
