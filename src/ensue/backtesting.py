"""A whole experiment again and again: one run for each of several tests that follow each other in time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from ensue.tracks import APART, SAID, labels_by_track
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
        leaders: track -> label of its model that was best in the test, by the metric that models are chosen on.
        figures: label -> metric -> headline value.
        tracks: label -> track; two tracks are not ranked together.
    """

    name: str
    sizes: Mapping[str, int]
    folder: str
    chosen: str
    leaders: Mapping[str, str]
    figures: Mapping[str, Mapping[str, float]]
    tracks: Mapping[str, str]

    @property
    def best(self) -> str:
        """The label of the model that was best in the test, among those of the track of the chosen one."""
        return self.leaders[self.tracks[self.chosen]]

    @classmethod
    def of(cls, outcome: Outcome) -> Window:
        """The figures of a run, without its events."""
        wanted, figures = outcome.experiment.evaluation.choose_on, outcome.figures
        tracks = {rung.label: rung.test.track for rung in outcome.rungs}
        first = next(iter(figures.values()))
        metric = wanted if wanted in first else next(iter(first))
        sign = -1 if metric == RMSE else 1
        leaders = {
            track: max(labels, key=lambda label: sign * figures[label][metric])
            for track, labels in labels_by_track(tracks).items()
        }
        split, folder = outcome.split, outcome.folder.name
        return cls(split.name, split.sizes, folder, outcome.best, leaders, figures, tracks)


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
    def tracks(self) -> dict[str, list[str]]:
        """The labels of each track, in the order of the experiment."""
        return labels_by_track(
            {label: track for window in self.windows for label, track in window.tracks.items()}
        )

    @property
    def agree(self) -> bool:
        """Whether one model, or one of each track, is the best in every window."""
        return all(len(self._leaders(track)) == 1 for track in self.tracks)

    def _leaders(self, track: str) -> set[str | None]:
        """The best models of a track; None for a window without any of it."""
        return {window.leaders.get(track) for window in self.windows}

    def to_json(self) -> dict[str, Any]:
        """The back-test for programs; no user's id is in it."""
        return {
            "ensue": __version__,
            "metric": self.metric,
            "agree": self.agree,
            "tracks": self.tracks,
            "windows": [
                {
                    "split": window.name,
                    "sizes": dict(window.sizes),
                    "folder": window.folder,
                    "chosen": window.chosen,
                    "best": window.best,
                    "leaders": dict(window.leaders),
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
        """The back-test as plain text: a table of the metric, and whether the windows agree; for each track its own."""
        tracks = self.tracks
        if len(tracks) == 1:
            ((track, labels),) = tracks.items()
            return self._lines(track, labels)
        told: list[str] = []
        for track, labels in tracks.items():
            told += [f"{SAID[track].capitalize()}:", *self._lines(track, labels), ""]
        return [*told, APART]

    def _lines(self, track: str, labels: Sequence[str]) -> list[str]:
        """The table of one track, and whether the windows agree about it."""
        number, spreads = len(self.windows), self.spreads
        numbered = [f"window {place + 1}" for place in range(number)]
        table = [("model", f"{self.metric}, mean", "min", "max", *numbered)]
        for label in labels:
            spread = spreads[label][self.metric]
            cells = [f"{value:.4f}" for value in (spread.mean, min(spread.values), max(spread.values))]
            ran = [window.figures.get(label, {}).get(self.metric) for window in self.windows]
            table.append((label, *cells, *("-" if value is None else f"{value:.4f}" for value in ran)))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        bests = [window.leaders.get(track, "none") for window in self.windows]
        told = "; ".join(f"{place} {best}" for place, best in enumerate(bests, start=1))
        same = (
            f"{bests[0]} is the best in all {number} windows"
            if len(set(bests)) == 1
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
