"""ensue: from an event log to "what comes next", honestly evaluated and served.

    import ensue

    log = ensue.read("events.csv")
    split = ensue.split(log)
    recommender = ensue.fit("markov", split.before_test)
    print(ensue.evaluate(recommender, split))
    print(recommender.recommend(["item-1", "item-7"], k=5).items)

The names below are imported when they are first used, so that `import ensue` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ensue.version import __version__

_HOMES = {
    "EventLog": "ensue.events.log",
    "Objective": "ensue.objective",
    "Recommender": "ensue.ranking",
    "audit": "ensue.events.audit",
    "compare": "ensue.comparing",
    "evaluate": "ensue.evaluation",
    "evaluate_ratings": "ensue.rating_evaluation",
    "explain": "ensue.explaining",
    "fetch": "ensue.events.datasets",
    "fit": "ensue.model",
    "load": "ensue.run_folder",
    "models": "ensue.model",
    "rate": "ensue.expected_ratings",
    "read": "ensue.events.source",
    "run": "ensue.ladder.running",
    "save": "ensue.artifacts",
    "select": "ensue.selecting",
    "simulate": "ensue.events.simulate",
    "split": "ensue.splits",
    "tune": "ensue.tuning",
}

__all__ = [
    "EventLog",
    "Objective",
    "Recommender",
    "__version__",
    "audit",
    "compare",
    "evaluate",
    "evaluate_ratings",
    "explain",
    "fetch",
    "fit",
    "load",
    "models",
    "rate",
    "read",
    "run",
    "save",
    "select",
    "simulate",
    "split",
    "tune",
]

if TYPE_CHECKING:
    from ensue.artifacts import save as save
    from ensue.comparing import compare as compare
    from ensue.evaluation import evaluate as evaluate
    from ensue.events.audit import audit as audit
    from ensue.events.datasets import fetch as fetch
    from ensue.events.log import EventLog as EventLog
    from ensue.events.simulate import simulate as simulate
    from ensue.events.source import read as read
    from ensue.expected_ratings import rate as rate
    from ensue.explaining import explain as explain
    from ensue.ladder.running import run as run
    from ensue.model import fit as fit
    from ensue.model import models as models
    from ensue.objective import Objective as Objective
    from ensue.ranking import Recommender as Recommender
    from ensue.rating_evaluation import evaluate_ratings as evaluate_ratings
    from ensue.run_folder import load as load
    from ensue.selecting import select as select
    from ensue.splits import split as split
    from ensue.tuning import tune as tune


def __getattr__(name: str) -> Any:
    """A public name, imported from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ensue' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
