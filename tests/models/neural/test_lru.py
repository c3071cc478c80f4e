"""Linear recurrent units: the scan against the plain loop, the recurrence against its complex equations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from ensue.domain import Domain
from ensue.errors import ConfigError
from ensue.export import to_onnx
from ensue.inputs import Inputs
from ensue.models.neural.lru import LRU, LinearRecurrence, LRUBlock, LRUEncoder, scan
from ensue.network import Batch

Complex = NDArray[np.complex128]


def nothing(rows: int, steps: int) -> Batch:
    return Batch(torch.zeros(rows, steps, dtype=torch.int64), 1)


def loop(factor: Complex, inputs: Complex) -> Complex:
    """h_t = factor h_{t-1} + inputs_t, one step after the other."""
    state, states = np.zeros_like(inputs[:, 0]), []
    for step in range(inputs.shape[1]):
        state = factor * state + inputs[:, step]
        states.append(state)
    return np.stack(states, axis=1)


def pair(z: Complex) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(z.real.copy()), torch.from_numpy(z.imag.copy())


@given(steps=st.integers(1, 40), spare=st.integers(0, 3), seed=st.integers(0, 99))
def test_the_scan_is_the_loop(steps: int, spare: int, seed: int) -> None:
    """For any number of steps; levels beyond the necessary ones add nothing."""
    rng = np.random.default_rng(seed)
    factor = rng.uniform(0, 1, 3) * np.exp(1j * rng.uniform(0, 2 * np.pi, 3))
    inputs = rng.normal(size=(2, steps, 3)) + 1j * rng.normal(size=(2, steps, 3))
    levels = (steps - 1).bit_length()
    real, imaginary = scan(pair(factor), pair(inputs), levels)
    np.testing.assert_allclose(real.numpy() + 1j * imaginary.numpy(), loop(factor, inputs), atol=1e-12)
    more = scan(pair(factor), pair(inputs), levels + spare)
    assert torch.equal(more[0], real)
    assert torch.equal(more[1], imaginary)


def test_one_level_too_few_is_not_the_loop() -> None:
    """Each level is needed: with 5 steps and two levels, step 5 does not know step 1."""
    ones = np.ones((1, 5, 1), dtype=complex)
    real, _ = scan(pair(np.ones(1, dtype=complex)), pair(ones), 2)
    assert real[0, :, 0].tolist() == [1, 2, 3, 4, 4]


def test_the_recurrence_is_that_of_the_complex_equations(seeded: np.random.Generator) -> None:
    """lambda = exp(-exp(nu) + i exp(theta)); h = lambda h + exp(gamma) B x; y = Re(C h) + D x."""
    torch.manual_seed(0)
    layer = LinearRecurrence(4, 6, 0.3, 0.9).double()
    value = {name: tensor.detach().numpy() for name, tensor in layer.named_parameters()}
    x = seeded.normal(size=(2, 9, 4))
    factor = np.exp(-(np.exp(value["nu"]) + 1e-6) + 1j * np.exp(value["theta"]))
    b = value["take.weight"][:6] + 1j * value["take.weight"][6:]
    c = value["give.weight"][:, :6] - 1j * value["give.weight"][:, 6:]
    states = loop(factor, np.exp(value["gamma"]) * (x @ b.T))
    expected = (states @ c.T).real + value["through"] * x
    with torch.no_grad():
        np.testing.assert_allclose(layer(torch.from_numpy(x), 4).numpy(), expected, atol=1e-12)


def test_it_begins_evenly_on_the_ring() -> None:
    """|lambda|^2 is even between the squares of the radii, the angle between 0 and a full turn."""
    torch.manual_seed(0)
    layer, n = LinearRecurrence(2, 20_000, 0.5, 0.9), 20_000
    real, imaginary = (part.detach().double() for part in layer.factor())
    squared, angle = real**2 + imaginary**2, torch.atan2(imaginary, real) % (2 * math.pi)
    assert float(squared.min()) >= 0.5**2 - 1e-5
    assert float(squared.max()) <= 0.9**2 + 1e-5
    spread = (0.9**2 - 0.5**2) / 12**0.5
    assert float(squared.mean()) == pytest.approx((0.9**2 + 0.5**2) / 2, abs=4 * spread / n**0.5)
    assert float(angle.mean()) == pytest.approx(math.pi, abs=4 * (2 * math.pi / 12**0.5) / n**0.5)
    torch.testing.assert_close(layer.gamma.exp().double() ** 2, 1 - squared, atol=1e-5, rtol=0)


def test_white_noise_comes_out_of_the_recurrence_no_larger_than_its_input() -> None:
    """With gamma^2 = 1 - |lambda|^2, the states of long noise have the variance of B x (Orvieto et al., lemma 3.2)."""
    torch.manual_seed(0)
    layer = LinearRecurrence(8, 200, 0.9, 0.99)
    x = torch.randn(1, 2000, 8)
    with torch.no_grad():
        plain = sum((part**2).mean() for part in layer.take(x).chunk(2, dim=-1))
        states = scan(layer.factor(), layer.taken(x), 11)
    late = sum((part[:, 500:] ** 2).mean() for part in states)
    assert float(late / plain) == pytest.approx(1, abs=0.1)


@given(nu=st.floats(-1e4, 1e4), theta=st.floats(-50, 80))
def test_it_is_stable_whatever_the_parameters(nu: float, theta: float) -> None:
    """|lambda| < 1 in single precision, too: the states cannot grow without bound."""
    layer = LinearRecurrence(2, 1, 0.5, 0.9)
    with torch.no_grad():
        layer.nu.fill_(nu)
        layer.theta.fill_(theta)
        real, imaginary = layer.factor()
    size = math.hypot(float(real), float(imaginary))
    assert size <= math.exp(-1e-6) + 2**-24 < 1


@pytest.mark.parametrize(("r_min", "r_max"), [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_radii_at_their_bounds_begin_with_finite_numbers(r_min: float, r_max: float) -> None:
    layer = LinearRecurrence(2, 50, r_min, r_max)
    assert all(bool(torch.isfinite(parameter).all()) for parameter in layer.parameters())
    layer(torch.randn(1, 5, 2), 3).sum().backward()
    assert all(
        parameter.grad is not None and bool(torch.isfinite(parameter.grad).all())
        for parameter in layer.parameters()
    )


def test_the_gradient_through_the_scan_is_that_of_the_loop(seeded: np.random.Generator) -> None:
    torch.manual_seed(0)
    layer = LinearRecurrence(3, 4, 0.5, 0.9).double()
    x = torch.from_numpy(seeded.normal(size=(2, 7, 3)))
    layer(x, 3).square().sum().backward()
    found = [parameter.grad.clone() for parameter in layer.parameters() if parameter.grad is not None]
    layer.zero_grad()
    zeros = torch.zeros(2, 4, dtype=torch.float64)
    state, total = (zeros, zeros), torch.zeros((), dtype=torch.float64)
    for step in range(7):
        out, state = layer.step(x[:, step], state)
        total = total + out.square().sum()
    total.backward()
    expected = [parameter.grad for parameter in layer.parameters()]
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


def encoder_of(**settings: Any) -> LRUEncoder:
    torch.manual_seed(0)
    found = LRU(**settings).encoder().eval()
    assert isinstance(found, LRUEncoder)
    return found


@pytest.mark.parametrize(
    "settings", [{"blocks": 1}, {"blocks": 3, "hidden": 5}, {"r_min": 0.99, "r_max": 1.0}]
)
def test_stepping_is_the_whole(settings: dict[str, Any], seeded: np.random.Generator) -> None:
    encoder = encoder_of(width=4, length=60, **settings)
    inputs = torch.from_numpy(seeded.normal(size=(3, 60, 4))).float()
    with torch.no_grad():
        whole, state = encoder(inputs, nothing(3, 60)), encoder.begin(3)
        for step in range(60):
            assert all(len(part) == 3 for part in state)
            out, state = encoder.step(inputs[:, step], state, nothing(3, 1))
            torch.testing.assert_close(out, whole[:, step], atol=1e-5, rtol=0)


def test_a_state_knows_nothing_of_later_steps(seeded: np.random.Generator) -> None:
    encoder = encoder_of(width=4, length=8)
    inputs = torch.from_numpy(seeded.normal(size=(1, 8, 4))).float()
    other = inputs.clone()
    other[:, 5:] += torch.randn(3, 4)
    with torch.no_grad():
        before, after = encoder(inputs, nothing(1, 8)), encoder(other, nothing(1, 8))
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])


def test_a_block_norms_what_came_in_with_what_was_made_of_it() -> None:
    """x = norm(x + recurrence(x)); x = norm(x + feed-forward(x)), after a norm at the entrance (post-norm)."""
    encoder = encoder_of(width=4, length=3, blocks=1)
    x = torch.randn(2, 3, 4)
    block = encoder.blocks[0]
    assert isinstance(block, LRUBlock)

    def norm(y: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(y, (4,))

    with torch.no_grad():
        y = norm(x)
        y = norm(y + block.recurrence(y, 2))
        first, _, second = block.feed_forward.children()
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        inner = y @ first.weight.T + first.bias
        gelu = inner * (1 + torch.erf(inner / 2**0.5)) / 2
        expected = norm(y + gelu @ second.weight.T + second.bias)
        torch.testing.assert_close(encoder(x, nothing(2, 3)), expected, atol=1e-5, rtol=0)
        assert first.weight.shape == (16, 4)


def test_the_exported_graph_takes_any_number_of_steps(seeded: np.random.Generator) -> None:
    """Also a window that is no power of two, up to its last step."""
    torch.manual_seed(1)
    model = LRU(width=6, length=9, blocks=1, r_max=1.0)
    network = model.network(Domain.of(7)).eval()
    for parameter in (network.items.weight, *network.encoder.parameters()):
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    session = onnxruntime.InferenceSession(to_onnx(network, Inputs(length=9)))
    for rows, steps in [(1, 1), (4, 9), (3, 2), (2, 5)]:
        feed = {
            "items": seeded.integers(0, 7, (rows, steps)),
            "asked": np.full((rows, 1), steps - 1),
            "places": np.arange(rows),
        }
        with torch.no_grad():
            expected = network(*(torch.from_numpy(value) for value in feed.values()))
        np.testing.assert_allclose(session.run(["scores"], feed)[0], expected.numpy(), atol=1e-5)


def test_units_are_twice_the_width_unless_said_otherwise() -> None:
    assert encoder_of(width=4, length=3).begin(5)[0].shape == (5, 2, 8)
    assert encoder_of(width=4, length=3, hidden=3, blocks=4).begin(5)[1].shape == (5, 4, 3)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"blocks": 0}, "lru: blocks=0, hidden=0: blocks are at least 1; hidden"),
        ({"hidden": -1}, "lru: blocks=2, hidden=-1: blocks are at least 1; hidden"),
        ({"r_min": 0.9, "r_max": 0.5}, "lru: r_min=0.9, r_max=0.5: radii lie from 0 to 1, the lesser first."),
        ({"r_max": 1.1}, "lru: r_min=0.8, r_max=1.1: radii lie from 0 to 1"),
        ({"r_min": -0.1}, "lru: r_min=-0.1, r_max=0.99: radii lie from 0 to 1"),
        ({"r_min": float("nan")}, "lru: r_min=nan, r_max=0.99: radii lie from 0 to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as told:
        LRU(**settings)
    assert str(told.value).startswith(says)


def test_matrices_begin_with_the_published_variances() -> None:
    """B has 1 / (2 D) in each of its two parts, C has 1 / H, and the way past the states is standard normal."""
    torch.manual_seed(0)
    layer = LinearRecurrence(300, 500, 0.8, 0.99)  # 300,000 numbers: deviations within 1 % of theirs
    assert float(layer.take.weight.detach().std()) == pytest.approx((2 * 300) ** -0.5, rel=0.01)
    assert float(layer.give.weight.detach().std()) == pytest.approx(500**-0.5, rel=0.01)
    assert float(layer.through.detach().std()) == pytest.approx(1.0, rel=0.2)
    assert {name for name, _ in layer.named_parameters() if "bias" in name} == set()


def test_dropout_falls_on_what_each_part_adds(seeded: np.random.Generator) -> None:
    """With everything dropped a block adds nothing: what came in is left, normed twice."""
    block = LRUBlock(4, 6, 1.0, 0.8, 0.99).double().train()
    x, mixed = (torch.from_numpy(seeded.normal(size=(2, 3, 4))) for _ in range(2))
    left = nn.functional.layer_norm(nn.functional.layer_norm(x, (4,)), (4,))
    torch.testing.assert_close(block.finished(x, mixed), left)
