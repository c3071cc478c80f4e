"""What a tuning came to: its trials, the best settings, and the experiment that uses them, as a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ensue.events.readers.sql import without_secrets
from ensue.experiment import Experiment
from ensue.toml_text import toml_of
from ensue.tracks import TIME_BLIND
from ensue.version import __version__

TUNED, TUNING = "tuned.toml", "tuning.json"
"""The experiment with the best settings, and all trials, in the folder of a tuning."""

DONE, STOPPED, FAILED, LOST = "done", "stopped early", "failed", "lost"
"""What becomes of a trial."""


@dataclass(frozen=True)
class Tried:
    """One trial.

    Attributes:
        number: from 0, in the order in which they were begun.
        label: which model.
        state: "done", "stopped early" (it had fallen behind), "failed" or "lost" (its process was ended).
        value: the metric on validation; of a trial that was stopped early, the last score before that.
        settings: what was drawn; all else is as in the experiment.
        seconds: how long it took.
        epochs: of a network, how many were trained.
        fault: why it failed, or "".
        track: of its model: "time-aware" where it reads when it is asked.
    """

    number: int
    label: str
    state: str
    value: float | None
    settings: Mapping[str, Any]
    seconds: float | None = None
    epochs: int = 0
    fault: str = ""
    track: str = TIME_BLIND

    def to_json(self) -> dict[str, Any]:
        """The trial for programs."""
        return {
            "trial": self.number,
            "model": self.label,
            "state": self.state,
            "value": self.value,
            "settings": dict(self.settings),
            "seconds": self.seconds,
            "epochs": self.epochs,
            "fault": self.fault,
            "track": self.track,
        }


@dataclass(frozen=True, eq=False)
class Tuned:
    """What a tuning came to.

    Attributes:
        experiment: what to run now: every model with the best settings that were found for it.
        metric: by which trials were compared, on validation.
        trials: all of them, in the order of their numbers.
        importance: label -> setting -> its share in what made trials good, the largest first; empty for few trials.
        folder: where it all lies.
        minutes: how long a network of one trial could train; 0 is no limit.
        split: how the log was split, in words.
    """

    experiment: Experiment
    metric: str
    trials: tuple[Tried, ...]
    importance: Mapping[str, Mapping[str, float]]
    folder: Path
    minutes: float
    split: str

    @property
    def ranked(self) -> list[Tried]:
        """The trials that were done, the best first; of equals the earlier."""
        done = [trial for trial in self.trials if trial.state == DONE and trial.value is not None]
        return sorted(done, key=lambda trial: (-(trial.value or 0.0), trial.number))

    @property
    def tracks(self) -> dict[str, list[Tried]]:
        """The trials that were done by their tracks, which are not ranked together; each the best first."""
        found: dict[str, list[Tried]] = {}
        for trial in sorted(self.ranked, key=lambda trial: list(self.experiment.models).index(trial.label)):
            found.setdefault(trial.track, [])  # the track of the first model comes first
        for trial in self.ranked:
            found[trial.track].append(trial)
        return found

    @property
    def best(self) -> Tried:
        """The best trial; where there are two tracks, of that of the first model."""
        return next(iter(self.tracks.values()))[0]

    def began(self, best: Tried) -> Tried:
        """The first trial that was done of the same model: as it was before, if that went well.

        Args:
            best: a trial.
        """
        return min((one for one in self.ranked if one.label == best.label), key=lambda trial: trial.number)

    def to_json(self) -> dict[str, Any]:
        """The tuning for programs; no user's id is in it."""
        return {
            "ensue": __version__,
            "folder": str(self.folder),
            "metric": self.metric,
            "split": self.split,
            "minutes_a_trial": self.minutes,
            "best": self.best.to_json(),
            "best_of_track": {track: found[0].to_json() for track, found in self.tracks.items()},
            "experiment": without_password(self.experiment).to_json(),
            "importance": {label: dict(found) for label, found in self.importance.items()},
            "trials": [trial.to_json() for trial in self.trials],
        }

    def toml(self) -> str:
        """The experiment with the best settings, as a file of the folder: `ensue run FOLDER/tuned.toml`."""
        counts = {
            state: sum(trial.state == state for trial in self.trials) for state in (DONE, STOPPED, FAILED)
        }
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        head = [
            f"# Written by `ensue tune` ({__version__}): {said}.",
            *(
                f"# Best on validation{f', {track}' * (len(self.tracks) > 1)}: trial {best.number}, {best.label}, "
                f"{self.metric} {best.value or 0.0:.4f}."
                for track, (best, *_) in self.tracks.items()
            ),
            "# No trial has seen the test part. Run it: ensue run " + TUNED,
        ]
        return "\n".join(head) + "\n\n" + toml_of(plain(self.experiment, self.folder))


def plain(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """What an experiment file in a folder says: what differs from the defaults, its log as seen from there.

    Args:
        experiment: with paths as seen from here.
        folder: where the file will lie.
    """
    source = without_password(experiment).data.source
    if source and Path(source).exists():
        source = _seen_from(folder, Path(source))
    own = replace(experiment, data=replace(experiment.data, source=source), out="run").to_json()
    default = Experiment().to_json()
    content: dict[str, Any] = {
        name: value for name, value in own.items() if not isinstance(value, dict) and value != default[name]
    }
    for name, value in own.items():
        if isinstance(value, dict) and name != "models":
            given = {key: found for key, found in value.items() if found != default[name].get(key)}
            content |= {name: given} if given else {}
    return content | {"models": {label: _filled(settings) for label, settings in own["models"].items()}}


def without_password(experiment: Experiment) -> Experiment:
    """An experiment as it may be kept and passed on.

    Args:
        experiment: as it was asked for.
    """
    source = without_secrets(experiment.data.source)
    return replace(experiment, data=replace(experiment.data, source=source))


def _filled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that TOML can say: it knows no null, and nothing is left to the data by saying nothing."""
    return {name: value for name, value in settings.items() if value is not None}


def _seen_from(folder: Path, path: Path) -> str:
    """A path as seen from a folder; as it is where no way leads there (another drive)."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return str(path.resolve())
