"""Dropout: the share of zeros, means that stay, the same numbers from the same seed, and nothing outside training."""

from __future__ import annotations

import pytest
import torch

from ensue.dropout import Dropout


def test_so_many_entries_become_zero_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    share, count = 0.2, 400_000
    out = Dropout(share)(torch.ones(4, count // 4))
    zeros = float((out == 0).float().mean())
    real = round(share * 256) / 256
    assert zeros == pytest.approx(real, abs=5 * (real * (1 - real) / count) ** 0.5)
    assert float(out.max()) == pytest.approx(1 / (1 - real))
    assert float(out.mean()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("place", range(8))
def test_each_of_the_eight_decisions_of_a_draw_has_the_same_share(place: int) -> None:
    torch.manual_seed(1)
    out = Dropout(0.75)(torch.ones(80_000))[place::8]
    assert float((out == 0).float().mean()) == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / 10_000) ** 0.5)


def test_neighbours_are_dropped_independently_of_each_other() -> None:
    torch.manual_seed(2)
    kept = (Dropout(0.5)(torch.ones(160_001)) > 0).float()
    both = float((kept[1:] * kept[:-1]).mean())
    assert both == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 160_000) ** 0.5)


def test_gradients_flow_where_entries_were_kept_and_nowhere_else() -> None:
    torch.manual_seed(3)
    x = torch.randn(7, 5, requires_grad=True)
    out = Dropout(0.3)(x)
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x, out)
    assert bool((x.grad == 0).any())


def test_the_same_seed_drops_the_same_entries() -> None:
    x = torch.ones(1001)
    torch.manual_seed(4)
    once = Dropout(0.4)(x)
    more = Dropout(0.4)(x)
    torch.manual_seed(4)
    assert torch.equal(Dropout(0.4)(x), once)
    assert not torch.equal(once, more)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_outside_training_nothing_is_dropped(share: float) -> None:
    x = torch.randn(3, 4)
    assert Dropout(share).eval()(x) is x


def test_at_the_ends_all_or_nothing_is_dropped() -> None:
    x = torch.randn(50)
    assert Dropout(0.0)(x) is x
    assert torch.equal(Dropout(1.0)(x), torch.zeros(50))
    many = torch.ones(100_000)
    few, most = (
        Dropout(0.0015)(many),
        Dropout(0.999)(many),
    )  # nearer to none and to all than to 1/256 and 255/256
    assert 0 < (few == 0).float().mean() < 0.01
    assert 0 < (most != 0).float().mean() < 0.01
    assert float(most.mean()) == pytest.approx(1.0, abs=0.2)
