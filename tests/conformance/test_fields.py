"""Every hyperparameter does something, and goes through JSON and TOML and back."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.experiment import described_model
from ensue.model import Conditions, Model, Training, model_of
from ensue.neural_model import NeuralModel
from ensue.ranking import Recommender
from ensue.sequences import Queries
from ensue.splits import split

BOUNDS = {"patience": 12, "validation_targets": 2}
"""Fields that decide how long a fit goes on and by what it is judged, and after how many epochs that shows."""


OTHER: dict[Any, Any] = {
    "cross-entropy": "sampled-softmax",
    "adamic-adar": "common",
    "columns": ("item",),
    "members": ({"model": "rules"}, {"model": "popular"}),
    "weights": (1.0, 0.0),
    "bpr": "cross-entropy",
    "bpr-max": "cross-entropy",
    "learnt positions": "rotary",
    "rotary": "learnt",
    "pre-norm": "gated",
    "post-norm": "gated",
    "gelu": "swiglu",
    "tanh": "relu",
    "permuted": "natural",
    "learnt item_vectors": "hashed",
    "none prior": "rules",
    "none asked": "wait",
    "drawn item_start": "together",
    "None prior_repeats": False,
    "None prior_weight": 2.0,
    "none": "adapter",
    "embedding": "none",
    "inputs": ("gap",),
    "features": ("kind",),
    "augment": ("crop",),
    "contrast": {"weight": 0.5},
    "auto": "none",
    "auto loss": "bpr",
    "auto optimizer": "sgd",
    "None ema": 0.0,
    "adamw": "sgd",
    "cosine": "constant",
    "category": "kind",
    "segment": "city",
    "parts": ("personal", "popular"),
    "settings_of": {"personal": {"decay": 0.5}},
    "asks": "item",
}
"""Another value for a field or for a value that is no number."""

NUMBERS = {"most": 2, "sample": 5, "neighbours": 2, "r_max": 0.9, "prior_top": 2, "prior_decay": 0.9}
"""Numbers that have to be far smaller, or near, to say something on little data."""

TOGETHER: dict[str, dict[str, Any]] = {
    # the log has no baskets, so that no two items share one
    **{f"together {name}": {"ahead": 1} for name in ("last", "shrinkage", "popularity", "most")},
    "settings_of": {"parts": ("personal", "popular")},
    "id_dropout": {"features": ("kind",)},
    "augment_share": {"augment": ("crop",)},
    "ahead_share": {"ahead": 5},
    "prior_weight": {"prior": "rules"},
    "prior_window": {"prior": "rules"},
    "prior_last": {"prior": "rules"},
    "prior_decay": {"prior": "rules"},
    "prior_top": {"prior": "rules"},
    "prior_folds": {"prior": "rules"},
    "prior_repeats": {"prior": "rules"},
    "discount": {"order": 2},
    "continuation": {"order": 2, "discount": 0.5},
}
"""Fields that say something only where others do too."""


def other_value(name: str, value: Any) -> Any:
    """A value of the same kind, far from this one."""
    if name in NUMBERS:
        return NUMBERS[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return 3 if value == 0 else value // 2 or 2
    if isinstance(value, float):
        return 0.5 if value != 0.5 else 0.25
    for key in (name, f"{value} {name}", value):
        if isinstance(key, str) and key in OTHER:
            return OTHER[key]
    raise AssertionError(f"other_value knows none like {name}={value!r}: add one for the new field")


@pytest.fixture(scope="module")
def training() -> Training:
    """A ring with a tenth of its steps at random, over 60 days, and what comes last of it for validation."""
    rng = np.random.default_rng(2)
    users, events, items = 24, 20, 12
    steps = np.where(rng.random((users, events)) < 0.1, rng.integers(0, items, (users, events)), 1)
    walks = (np.cumsum(steps, axis=1) + np.arange(users)[:, None]) % items
    time = np.arange(users * events).reshape(events, users).T * (60 * 86_400_000_000 // (users * events))
    frame = pl.DataFrame(
        {"user": np.repeat(np.arange(users), events).astype(str), "item": walks.ravel().astype(str)}
    )
    kinds = pl.DataFrame({"item": [str(n) for n in range(items)], "kind": list("abcabcabcabc")})
    log = EventLog.of(
        frame.with_columns(
            pl.Series("time", time.ravel()).cast(pl.Datetime("us", "UTC")).alias("time"),
            city=pl.Series(["here", "there"] * (users * events // 2)),
        ),
        items=kinds,
    )
    parts = split(log, "ratio", test=0.1, validation=0.2)
    known = Training.of(parts.train, exclude_seen=False)
    return replace(known, validation=parts.examples("validation", known.catalogue))


def facts_of(recommender: Recommender) -> dict[str, Any]:
    return {name: value for name, value in recommender.facts.items() if name != "seconds"}


def test_every_field_has_an_effect(model: Model, training: Training) -> None:
    """What all networks share is tried on one of them, what a model has of its own on that model."""
    rng = np.random.default_rng(3)
    n = len(training.catalogue)
    queries = Queries.of([rng.integers(0, n, length).tolist() for length in range(1, 30)], n)
    queries = training.sequences.queries() if not isinstance(model, NeuralModel) else queries
    tried = [field.name for field in fields(model) if field.name not in BOUNDS]
    if isinstance(model, NeuralModel):
        # fewer steps, since it is fitted once for each field
        model = replace(model, batch_tokens=256, epochs=4, patience=4)
        shared = {field.name for field in fields(NeuralModel)}
        tried = tried if model.name == "lstm" else [name for name in tried if name not in shared]
    bases: dict[str, Any] = {}
    for name in tried:
        begun = replace(model, **TOGETHER.get(f"{model.name} {name}", TOGETHER.get(name, {})))
        base = bases.setdefault(str(begun), None)
        if base is None:
            base = bases[str(begun)] = begun.fit(training, Conditions(seed=1)).scores(queries)
        value = other_value(name, getattr(begun, name))
        other = replace(begun, **{name: value}).fit(training, Conditions(seed=1))
        assert not np.array_equal(other.scores(queries), base), f"{model.name}.{name} has no effect"


@pytest.mark.parametrize(("name", "epochs"), BOUNDS.items())
def test_every_bound_has_an_effect(
    network_model: NeuralModel, training: Training, name: str, epochs: int
) -> None:
    """At a high rate of learning, validation soon has its ups and downs."""
    model = replace(network_model, batch_tokens=256, epochs=epochs, patience=epochs, learning_rate=0.1)
    least: dict[str, Any] = {name: 1}
    first, second = (
        facts_of(each.fit(training, Conditions(seed=1))) for each in (model, replace(model, **least))
    )
    assert first != second


def test_settings_go_through_json_and_back(model: Model) -> None:
    plain = json.loads(json.dumps(model.settings()))
    assert model_of(model.name, **plain) == model
    assert described_model(model.name, plain) == model


def test_a_setting_that_does_not_exist_is_refused(model: Model) -> None:
    with pytest.raises(ConfigError, match="has no setting 'wdth'"):
        model_of(model.name, wdth=3)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("width", 0, "width=0 must be at least 1"),
        ("length", -1, "length=-1 must be at least 1, or 0 for automatic"),
        ("epochs", -2, "epochs=-2 must be at least 1, or 0 for automatic"),
        ("batch_tokens", -1, "batch_tokens=-1 must be at least 1, or 0 for automatic"),
        ("dropout", 1.0, "dropout=1 must lie from 0 up to 1"),
        ("ema", -0.1, "ema=-0.1 must lie from 0 up to 1"),
        ("temperature", -1.0, "temperature=-1 must not be negative"),
        ("learning_rate", 0.0, "learning_rate=0 must be above 0"),
        ("learning_rate", float("nan"), "learning_rate=nan must be above 0"),
        ("loss", "cross-entropie", "Did you mean 'cross-entropy'?"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(
    network_model: NeuralModel, name: str, value: Any, says: str
) -> None:
    with pytest.raises(ConfigError) as told:
        replace(network_model, **{name: value})
    assert says in str(told.value)
