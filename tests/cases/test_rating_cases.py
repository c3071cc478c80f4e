"""Faults that users of recommenders have met with ratings; here none of them happens."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ensue.events.log import EventLog
from ensue.expected_ratings import GLOBAL
from ensue.model import Conditions, Model, Training, model_of
from ensue.progress import Silent
from ensue.rating_evaluation import evaluate_ratings
from ensue.splits import examples_at

SCALES = {
    "from -1 to 1": ([-1.0, -0.5, 0.0, 0.5, 1.0], [0.02, 0.03, 0.05, 0.1, 0.8], 0.5),
    "half stars": ([n / 2 for n in range(1, 11)], [0.1] * 10, 0.5),
    "from 0 to 100": ([n * 5.0 for n in range(21)], [1 / 21] * 21, 5.0),
    "any number": (list(np.round(np.random.default_rng(1).normal(0, 7, 40), 3)), [1 / 40] * 40, 0.0),
}
NETWORK = {
    "width": 8,
    "epochs": 6,
    "batch_tokens": 128,
    "learning_rate": 0.02,
    "inputs": ("rating",),
    "bias": True,
}
MODELS: dict[str, Model] = {
    "mse": model_of("gru", loss="mean-squared-error", **NETWORK),
    "ordinal": model_of("gru", loss="ordinal-cross-entropy", **NETWORK),
    "svd": model_of("svd", factors=2, iterations=30),
    "svdpp": model_of("svdpp", factors=2, iterations=30),
    "bayesian": model_of("bayesian", factors=2, draws=30, kept=5),
}  # fmt: skip


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def ratings_of(levels: list[float], chances: list[float]) -> EventLog:
    """Twelve users and ten items: each item has a level of its own at which most of its ratings lie."""
    rng = np.random.default_rng(5)
    own = rng.choice(sorted(levels), 10, p=np.array(chances)[np.argsort(levels)])
    own[:2] = min(levels), max(levels)
    rows = []
    for user in range(12):
        for time, item in enumerate(rng.permutation(10)):
            level = own[item] if rng.random() < 0.9 else rng.choice(levels)
            rows.append((f"u{user}", f"i{item}", time, float(level)))
    frame = pl.DataFrame(rows, schema=["user", "item", "time", "rating"], orient="row")
    return EventLog.of(frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", MODELS)
def test_c46_any_scale_is_found_kept_and_beaten(name: str, scale: str) -> None:
    levels, chances, step = SCALES[scale]
    log = ratings_of(levels, chances)
    training = Training.of(log, exclude_seen=False)
    heard = Heard()
    fitted = MODELS[name].fit(training, Conditions(progress=heard))
    given = log.frame["rating"].to_numpy()
    found = fitted.facts["scale"]
    assert (found["lowest"], found["highest"]) == pytest.approx((given.min(), given.max()))
    assert found["step"] == pytest.approx(step)
    words = f"ratings from {given.min():g} to {given.max():g}"
    assert name in ("mse", "ordinal") or any(words in line for line in heard.lines)
    queries = training.sequences.queries()
    scores = fitted.scores(queries)
    tiny = 1e-5 * (given.max() - given.min())
    assert given.min() - tiny <= scores.min() <= scores.max() <= given.max() + tiny
    assert np.ptp(scores) > 0.05 * np.ptp(given), "more than one end of the scale is expected"
    examples = examples_at(log, np.arange(log.n_events), training.catalogue)
    measured = evaluate_ratings(fitted, examples, training=log)
    assert measured.value("rmse") < measured.baselines[GLOBAL].warm.value("rmse")
    assert any("ratings from" in line for line in measured.lines())
