"""HSTU against a loop over heads, steps and keys, and against the equations of its paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ensue.domain import Domain
from ensue.errors import ConfigError
from ensue.events.log import EventLog
from ensue.export import TorchScoring, to_onnx
from ensue.inputs import Inputs
from ensue.model import Training
from ensue.models.neural.hstu import (
    BUCKETS,
    EDGES,
    HSTU,
    HSTUEncoder,
    HSTULayer,
    TimedHSTUEncoder,
    time_buckets,
)
from ensue.network import Batch
from ensue.sequences import MISSING_TIME, Queries, Sequences

SECOND, MINUTE, DAY = 1_000_000, 60_000_000, 86_400_000_000
B, T, D, LENGTH = 2, 5, 6, 8


def events(time: torch.Tensor) -> Batch:
    """A batch of which an encoder reads the times alone."""
    return Batch(torch.zeros_like(time), 1, {"time": time})


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(B, T, D)))


@pytest.fixture
def times() -> torch.Tensor:
    """Two rows of times, seconds to weeks apart; one event of the second has none."""
    gaps = torch.tensor([[0, 3, 40, 7200, 900_000], [5, 5, 0, 86_400, 2]]) * SECOND
    time = 1_600_000_000 * SECOND + gaps.cumsum(dim=1)
    time[1, 2] = MISSING_TIME
    return time


def spread(encoder: nn.Module) -> None:
    """Biases as large as products, so that a test can see them."""
    for layer in encoder.modules():
        if isinstance(layer, HSTULayer):
            nn.init.normal_(layer.by_distance)
            if layer.by_time is not None:
                nn.init.normal_(layer.by_time)


def bucket_of(microseconds: int) -> int:
    """floor(log(max(seconds, 1)) / 0.301), at most the last bucket."""
    return min(int(math.log(max(microseconds / 1e6, 1.0)) / 0.301), BUCKETS - 1)


@pytest.mark.parametrize(("heads", "timed"), [(1, True), (2, True), (3, True), (2, False)])
def test_a_layer_is_a_triple_loop(heads: int, timed: bool, inputs: torch.Tensor, times: torch.Tensor) -> None:
    """Equations 1 to 3: U, V, Q, K = silu(f1(n(x))); sum of silu(q k + bias) v / steps seen; f2(n(AV) * U)."""
    torch.manual_seed(0)
    encoder = (TimedHSTUEncoder if timed else HSTUEncoder)(D, LENGTH, 1, heads, 0.5).double().eval()
    spread(encoder)
    layer = encoder.layers[0]
    assert isinstance(layer, HSTULayer)
    size = D // heads

    def silu(x: float) -> float:
        return x / (1 + math.exp(-x))

    with torch.no_grad():
        found = encoder(inputs, events(times))
        projected = layer.project(nn.functional.layer_norm(inputs, (D,)))
        u, v, q, k = (projected / (1 + torch.exp(-projected))).split(D, dim=2)
        mixed = torch.zeros(B, T, D, dtype=torch.float64)
        for row in range(B):
            for head in range(heads):
                own = slice(head * size, (head + 1) * size)
                for step in range(T):
                    for key in range(step + 1):
                        now, then = int(times[row, step]), int(times[row, key])
                        bias = float(layer.by_distance[step - key])
                        if layer.by_time is not None:
                            unknown = MISSING_TIME in (now, then)
                            bias += float(layer.by_time[BUCKETS if unknown else bucket_of(now - then)])
                        weight = silu(float(q[row, step, own] @ k[row, key, own]) + bias) / (step + 1)
                        mixed[row, step, own] += weight * v[row, key, own]
        out = inputs + layer.out(nn.functional.layer_norm(mixed, (D,)) * u)
        expected = nn.functional.layer_norm(out, (D,))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@given(st.integers(0, 700 * 365 * DAY))
def test_buckets_follow_the_logarithm_of_the_seconds(between: int) -> None:
    zero = torch.zeros(1, dtype=torch.int64)
    found = int(time_buckets(zero + between, zero, torch.tensor(EDGES)))
    assert EDGES[found] <= between
    assert found == BUCKETS - 1 or between < EDGES[found + 1]
    assert found == bucket_of(between) or between in EDGES


def test_buckets_by_hand() -> None:
    """Up to 1 second 0; log(60) / 0.301 = 13.6; log(86400) / 0.301 = 37.8; 600 years: the last."""
    between = torch.tensor([0, SECOND, MINUTE, DAY, 700 * 365 * DAY])
    zero = torch.zeros_like(between)
    assert time_buckets(between, zero, torch.tensor(EDGES)).tolist() == [0, 0, 13, 37, BUCKETS - 1]
    missing = torch.full_like(between, MISSING_TIME)
    for one, other in ((between, missing), (missing, between), (missing, missing)):
        assert time_buckets(one, other, torch.tensor(EDGES)).tolist() == [BUCKETS] * 5


def test_every_edge_begins_its_bucket() -> None:
    """Where single precision cannot tell, whole microseconds do."""
    edges = torch.tensor(EDGES[1:])
    zero = torch.zeros_like(edges)
    assert time_buckets(edges, zero, torch.tensor(EDGES)).tolist() == list(range(1, BUCKETS))
    assert time_buckets(edges - 1, zero, torch.tensor(EDGES)).tolist() == list(range(BUCKETS - 1))


def timed_encoder() -> TimedHSTUEncoder:
    torch.manual_seed(0)
    encoder = TimedHSTUEncoder(D, LENGTH, 2, 2, 0.3).double().eval()
    spread(encoder)
    return encoder


def test_only_the_time_between_events_counts(inputs: torch.Tensor, times: torch.Tensor) -> None:
    encoder = timed_encoder()
    known = times != MISSING_TIME
    with torch.no_grad():
        base = encoder(inputs, events(times))
        moved = encoder(inputs, events(torch.where(known, times + 123 * DAY, times)))
        first = times[:, :1]
        stretched = encoder(inputs, events(torch.where(known, first + (times - first) * 10, times)))
        unknown = encoder(inputs, events(torch.full_like(times, MISSING_TIME)))
    assert torch.equal(base, moved)
    for other in (stretched, unknown):
        assert (base - other)[:, 1:].abs().amax(dim=2).min() > 1e-4


def test_what_a_step_sees_of_time_lies_before_it(inputs: torch.Tensor, times: torch.Tensor) -> None:
    encoder = timed_encoder()
    later = times.clone()
    later[:, 3:] += DAY
    with torch.no_grad():
        base, other = encoder(inputs, events(times)), encoder(inputs, events(later))
    assert torch.equal(base[:, :3], other[:, :3])
    assert (base - other)[:, 3].abs().max() > 1e-4


@pytest.mark.parametrize("kind", [HSTUEncoder, TimedHSTUEncoder])
@given(known=st.integers(1, 7), seed=st.integers(0, 100))
def test_no_step_sees_a_later_one(kind: Callable[..., HSTUEncoder], known: int, seed: int) -> None:
    torch.manual_seed(seed)
    encoder = kind(D, LENGTH, 2, 2, 0.0).eval()
    spread(encoder)
    x, time = torch.randn(2, LENGTH, D), torch.randint(0, 30 * DAY, (2, LENGTH)).sort(dim=1).values
    y, changed = x.clone(), time.clone()
    y[:, known:], changed[:, known:] = torch.randn(2, LENGTH - known, D), 31 * DAY
    with torch.no_grad():
        whole, other, part = (
            encoder(a, events(b)) for a, b in ((x, time), (y, changed), (x[:, :known], time[:, :known]))
        )
    torch.testing.assert_close(whole[:, :known], other[:, :known], rtol=0, atol=1e-6)
    torch.testing.assert_close(whole[:, :known], part, rtol=0, atol=1e-6)


def test_a_longer_window_changes_no_short_history(inputs: torch.Tensor, times: torch.Tensor) -> None:
    """The mean is over the steps that are seen, and a distance has the same bias in any window."""
    encoder = timed_encoder()
    longer = TimedHSTUEncoder(D, 5 * LENGTH, 2, 2, 0.3).double().eval()
    for name, weight in longer.state_dict().items():
        weight[: len(encoder.state_dict()[name])] = encoder.state_dict()[name]
    with torch.no_grad():
        expected = encoder(inputs, events(times))
        torch.testing.assert_close(longer(inputs, events(times)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [HSTUEncoder, TimedHSTUEncoder])
def test_step_by_step_is_all_at_once(kind: Callable[..., HSTUEncoder], times: torch.Tensor) -> None:
    torch.manual_seed(0)
    encoder = kind(D, T, 2, 2, 0.3).eval()
    spread(encoder)
    x = torch.randn(B, T, D)
    with torch.no_grad():
        whole = encoder(x, events(times))
        state = encoder.begin(B)
        for step in range(T):
            out, state = encoder.step(x[:, step], state, events(times[:, step : step + 1]))
            torch.testing.assert_close(out, whole[:, step], rtol=0, atol=1e-5)


def test_rows_at_different_steps_share_a_batch(times: torch.Tensor) -> None:
    torch.manual_seed(0)
    encoder = timed_encoder().float()
    x = torch.randn(1, T, D)
    time = times[:1]
    with torch.no_grad():
        whole = encoder(x, events(time))[0]
        state = encoder.begin(1)
        for step in range(3):
            _, state = encoder.step(x[:, step], state, events(time[:, step : step + 1]))
        both = tuple(torch.cat(pair) for pair in zip(state, encoder.begin(1), strict=True))
        out, _ = encoder.step(torch.stack([x[0, 3], x[0, 0]]), both, events(time[0, [3, 0], None]))
    torch.testing.assert_close(out, whole[[3, 0]], rtol=0, atol=1e-5)


def test_a_full_cache_forgets_its_oldest_step() -> None:
    """One layer sees keys and values of inputs alone, so the last L steps and their times decide."""
    torch.manual_seed(0)
    encoder = TimedHSTUEncoder(D, 3, 1, 2, 0.0).eval()
    spread(encoder)
    x, time = torch.randn(2, 8, D), torch.randint(0, 30 * DAY, (2, 8)).sort(dim=1).values
    with torch.no_grad():
        state = encoder.begin(2)
        for step in range(8):
            out, state = encoder.step(x[:, step], state, events(time[:, step : step + 1]))
        expected = encoder(x[:, -3:], events(time[:, -3:]))[:, -1]
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


def log_of(users: int, days: np.ndarray, items: np.ndarray) -> EventLog:
    steps = days.shape[1]
    return EventLog.of(
        pl.DataFrame(
            {
                "user": [f"{user:02d}" for user in np.repeat(np.arange(users), steps)],
                "item": items.ravel(),
                "time": (days * DAY).astype(np.int64).ravel(),
            }
        ).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    )


def test_what_the_time_between_events_tells_is_learnt() -> None:
    """After a short gap comes S, after a long one L; items and order say nothing of which."""
    rng = np.random.default_rng(0)
    users, steps = 60, 12
    long = rng.random((users, steps)) < 0.5
    days = np.cumsum(np.where(long, 30.0, 0.01), axis=1) + 1
    items = np.full((users, steps), "M", dtype="<U1")
    items[:, 2::2] = np.where(long[:, 1:-1:2], "L", "S")
    log = log_of(users, days, items)
    small: dict[str, Any] = {"width": 16, "length": 12, "dropout": 0.0, "epochs": 45, "batch_tokens": 256}
    ends = np.where(np.arange(users) % 2, 6, 8)
    right = {}
    for time in ("buckets", "none"):
        fitted = HSTU(**small, time=time, learning_rate=1e-2).fit(Training.of(log, exclude_seen=False))
        queries = Sequences.of(log, fitted.catalogue).queries()
        scores = fitted.scores(replace(queries, ends=queries.starts + ends))
        found = np.array(fitted.catalogue.ids)[scores.argmax(axis=1)]
        right[time] = float((found == items[np.arange(users), ends]).mean())
    assert right["buckets"] == 1.0
    assert right["none"] < 0.8


def test_automatic_time_follows_the_log() -> None:
    heard: list[str] = []
    items = np.array([list("ABCD")] * 3)
    timed = log_of(3, np.arange(12.0).reshape(3, 4), items)
    training = Training.of(timed)
    assert HSTU().suited(training.sequences, heard.append).time == "buckets"
    assert heard[-1] == "hstu: time buckets, since the log has times"
    order = EventLog.of(timed.frame.select("user", "item"))
    assert HSTU().suited(Training.of(order).sequences, heard.append).time == "none"
    assert heard[-1] == "hstu: time none, since the log has no times"
    assert HSTU(time="none").suited(training.sequences).time == "none"
    assert HSTU(length=4, time="none").encoder().reads == ()
    assert HSTU(length=4).encoder().reads == ("time",)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"heads": 3}, "hstu: 3 heads do not divide a width of 64"),
        ({"time": "bucket"}, "hstu: time='bucket' must be auto or buckets or none. Did you mean 'buckets'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, int | str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        HSTU(**settings)  # type: ignore[arg-type]


def test_the_exported_graph_answers_as_torch_does() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = HSTU(width=8, length=6).network(Domain.of(9)).eval()
    spread(network)
    nn.init.normal_(network.items.weight)
    inputs = Inputs(network.reads, length=6)
    session = onnxruntime.InferenceSession(to_onnx(network, inputs), providers=["CPUExecutionProvider"])
    queries = Queries.of([rng.integers(0, 9, size).tolist() for size in (1, 2, 3, 5, 6, 9, 6, 1)], 9)
    moments = np.sort(rng.integers(0, 400 * DAY, len(queries.items)))
    moments[rng.random(len(moments)) < 0.2] = MISSING_TIME
    scores = []
    for known in (queries, replace(queries, time=moments)):
        expected = TorchScoring(network, inputs).score(known)
        for tokens in (1, 10_000):
            for which, arrays in inputs.feeds(known, tokens):
                found = session.run(["scores"], arrays)[0]
                np.testing.assert_allclose(found, expected[which], rtol=0, atol=1e-5)
        scores.append(expected)
    assert np.abs(scores[0] - scores[1]).max() > 1e-3


def test_a_ring_is_learnt_with_times_and_answered_without(ring_log: EventLog) -> None:
    """Differences that are not known have a bias of their own, which training on known ones leaves near zero."""
    small: dict[str, Any] = {
        "width": 16,
        "length": 12,
        "dropout": 0.1,
        "epochs": 8,
        "patience": 8,
        "batch_tokens": 64,
    }
    fitted = HSTU(**small, learning_rate=1e-2).fit(Training.of(ring_log, exclude_seen=False))
    ring = "ABCDEFGHIJ"
    for length in (1, 5, 11, 40):
        history = [ring[step % 10] for step in range(length)]
        assert fitted.recommend(history, 1, exclude_seen=False).items == (ring[length % 10],)


def test_dropout_falls_on_what_a_layer_adds(inputs: torch.Tensor, times: torch.Tensor) -> None:
    """With everything dropped layers add nothing: the last norm of what came in is left."""
    encoder = TimedHSTUEncoder(D, LENGTH, 2, 2, 1.0).double().train()
    torch.testing.assert_close(encoder(inputs, events(times)), nn.functional.layer_norm(inputs, (D,)))
