"""Every registered model, small enough to fit in a moment. A new file under `ensue.models` joins by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensue import artifacts, export, runtime
from ensue.events.log import EventLog
from ensue.lowering import lowered
from ensue.model import Model, Training, models
from ensue.models.ratings.rating_model import RatingModel
from ensue.neural_model import NeuralModel
from ensue.ranking import Recommender
from ensue.sequences import Queries

NAMES = tuple(name for name in models.names() if not issubclass(models.get(name), RatingModel))
NETWORKS = tuple(name for name in NAMES if issubclass(models.get(name), NeuralModel))

SMALL = {
    "width": 16,
    "length": 12,
    "dropout": 0.1,
    "epochs": 8,
    "patience": 8,
    "batch_tokens": 64,
    "learning_rate": 1e-2,
}
"""Settings that let any network learn the ring in under a second."""


OWN: dict[str, dict[str, Any]] = {
    "bert4rec": {"epochs": 100, "patience": 100, "last_share": 0.9},
    "xlnet": {"epochs": 30, "patience": 30},
    "transformer-xl": {"segment": 4, "memory": 8},
}
"""What some networks need beside: those that train a share of the places need more passes."""


def small(name: str) -> Model:
    """The model of this name; a network with small settings, a counting model as it is."""
    kind = models.get(name)
    return kind(**SMALL | OWN.get(name, {})) if name in NETWORKS else kind()


@pytest.fixture(scope="session", params=NAMES)
def model(request: pytest.FixtureRequest) -> Model:
    """Every model in turn."""
    return small(request.param)


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in NETWORKS},
    "transformer, learnt positions": ("transformer", {"positions": "learnt"}),
    "lstm, two wider layers": ("lstm", {"layers": 2, "hidden": 24}),
    "transformer, with a prior": ("transformer", {"prior": "rules"}),
    "gru, with a prior beside it": ("gru", {"prior": "beside"}),
}
"""Every network, and forms of it that compute in another way."""


@pytest.fixture(scope="session", params=VARIANTS)
def network_model(request: pytest.FixtureRequest) -> NeuralModel:
    """Every network in turn, in each of its forms."""
    name, settings = VARIANTS[request.param]
    found = replace(small(name), **settings)
    assert isinstance(found, NeuralModel)
    return found


@pytest.fixture(scope="session")
def fit(ring_log: EventLog) -> Callable[[Model], Recommender]:
    """Gives any model fitted on the ring, without exclusion; each is fitted once."""
    made: dict[str, Recommender] = {}

    def fit(model: Model) -> Recommender:
        if str(model) not in made:
            made[str(model)] = model.fit(Training.of(ring_log, exclude_seen=False))
        return made[str(model)]

    return fit


@pytest.fixture(scope="session")
def shelf(
    fit: Callable[[Model], Recommender], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Recommender, Path]]:
    """Gives any model by name, fitted on the ring, with the folder it is saved in; an export takes seconds."""
    place = tmp_path_factory.mktemp("shelf")

    @cache
    def saved(name: str) -> tuple[Recommender, Path]:
        recommender = fit(small(name))
        with (
            pytest.MonkeyPatch.context() as patch
        ):  # an export that takes longer than it must is told at once
            patch.setattr(export, "lowered", _lowered)
            return recommender, artifacts.save(recommender, place / name)

    return saved


def _lowered(program: Any, known: Callable[[Any], bool]) -> bool:
    assert lowered(program, known), "a network holds an operation that is neither translated nor renamed"
    return True


@pytest.fixture(scope="session")
def fitted(model: Model, fit: Callable[[Model], Recommender]) -> Recommender:
    """The model, fitted on the ring."""
    return fit(model)


@pytest.fixture(scope="session")
def tolerance(model: Model) -> float:
    """How far scores may differ that ought to be equal: counting models give the same bits, networks 1e-5."""
    return 1e-5 if isinstance(model, NeuralModel) else 0.0


@pytest.fixture(scope="session")
def loaded(model: Model, shelf: Callable[[str], tuple[Recommender, Path]]) -> Recommender:
    """The model, fitted on the ring, saved and loaded: what is evaluated and served."""
    return runtime.load(shelf(model.name)[1], threads=1)


@pytest.fixture(scope="session")
def queries(ring_log: EventLog) -> Queries:
    """Forty histories of 1 to 30 items in any order; 12 is the window of the small networks."""
    rng = np.random.default_rng(5)
    n = ring_log.n_items
    lengths = [1, 2, 11, 12, 13, 30, *rng.integers(1, 31, 34)]
    return Queries.of([rng.integers(0, n, length) for length in lengths], n)
