"""The two tracks of answers, which are never ranked with each other: those that read when they are asked, and others.

When a question is asked, a service knows; papers that ask about order alone do not tell. The figures of a model that
reads it stand in a table of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ensue.errors import ConfigError
from ensue.inputs import Inputs
from ensue.ranking import Recommender

TIME_BLIND, TIME_AWARE = "time-blind", "time-aware"

SAID = {
    TIME_BLIND: "time-blind: does not read when the question is asked",
    TIME_AWARE: "time-aware: reads when the question is asked",
}
"""What each track is, in words."""

APART = "Time-aware and time-blind models are asked different questions: their figures are not to be ranked together."


def track_of(recommender: Recommender) -> str:
    """The track of a recommender: "time-aware" where it reads when it is asked, else "time-blind"."""
    return TIME_AWARE if when_asked(recommender.scoring) else TIME_BLIND


def when_asked(scoring: object) -> bool:
    """Whether a scoring reads when it is asked.

    A network says it by its inputs, a counting model by `when_asked` of its scoring; one that is made of others reads
    what they read.

    Args:
        scoring: of any kind.
    """
    inputs = getattr(scoring, "inputs", None)
    if isinstance(inputs, Inputs):
        return inputs.when_asked
    parts = (*getattr(scoring, "members", ()), *getattr(scoring, "scorings", ()))
    return bool(getattr(scoring, "when_asked", False)) or any(when_asked(part) for part in parts)


def track_in(rung: Mapping[str, Any]) -> str:
    """The track of a model of a run, by what the run has written of it; of before tracks were told, "time-blind".

    Args:
        rung: the model, as in run.json.
    """
    return TIME_AWARE if rung["test"].get("track") == TIME_AWARE else TIME_BLIND


def by_track(rungs: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The models of a run by their tracks, in the order of the run; tracks that no model is in are left out.

    Args:
        rungs: the models, as in run.json.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for rung in rungs:
        found.setdefault(track_in(rung), []).append(rung)
    return found


def labels_by_track(tracks: Mapping[str, str]) -> dict[str, list[str]]:
    """The labels of each track, in the order in which they are given.

    Args:
        tracks: that of each model, by label.

    >>> labels_by_track({"markov": "time-blind", "stan": "time-aware", "rules": "time-blind"})
    {'time-blind': ['markov', 'rules'], 'time-aware': ['stan']}
    """
    found: dict[str, list[str]] = {}
    for label, track in tracks.items():
        found.setdefault(track, []).append(label)
    return found


def refuse_mixed(tracks: Mapping[str, str], what: str) -> None:
    """Nothing, if models are all of one track.

    Args:
        tracks: that of each model, by label.
        what: is to rank them, such as "a race".

    Raises:
        ConfigError: they are of both; it says which are which.
    """
    kinds = labels_by_track(tracks)
    if len(kinds) > 1:
        kinds = {kind: kinds[kind] for kind in SAID}
        both = "; ".join(f"{SAID[kind]}: {', '.join(labels)}" for kind, labels in kinds.items())
        raise ConfigError(
            f"{what} is among models of one track, and these are of two ({both}): name those of one (--models), and "
            "take the other in a call of its own."
        )
