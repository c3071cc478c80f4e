"""The contrastive loss, by hand and by its laws."""

from __future__ import annotations

import math

import pytest
import torch

from ensue.errors import ConfigError
from ensue.losses.contrastive import InfoNCE

FIRST = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
SECOND = torch.tensor([[1.0, 1.0], [0.5, 1.0], [3.0, 0.0]])


def by_hand(alike: list[int], temperature: float, cosine: bool) -> float:
    views = [*FIRST.tolist(), *SECOND.tolist()]
    if cosine:
        views = [[x / math.hypot(*view) for x in view] for view in views]
    alike, total = alike * 2, 0.0
    for here, view in enumerate(views):
        partner = (here + 3) % 6
        shares = {
            there: math.exp(sum(a * b for a, b in zip(view, other, strict=True)) / temperature)
            for there, other in enumerate(views)
            if there == partner or alike[there] != alike[here]
        }
        total -= math.log(shares[partner] / sum(shares.values()))
    return total / 6


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("cosine", [False, True])
def test_each_view_finds_its_partner_among_the_other_rows(temperature: float, cosine: bool) -> None:
    found = InfoNCE(temperature, cosine)(FIRST, SECOND)
    assert float(found) == pytest.approx(by_hand([0, 1, 2], temperature, cosine))


def test_rows_with_the_same_target_are_no_negatives() -> None:
    found = InfoNCE()(FIRST, SECOND, torch.tensor([7, 4, 7]))
    assert float(found) == pytest.approx(by_hand([7, 4, 7], 1.0, False))
    assert float(found) < float(InfoNCE()(FIRST, SECOND))


def test_the_order_of_views_and_of_rows_changes_nothing() -> None:
    plain = InfoNCE(0.5)(FIRST, SECOND)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(InfoNCE(0.5)(SECOND, FIRST), plain)
    torch.testing.assert_close(InfoNCE(0.5)(FIRST[order], SECOND[order]), plain)


def test_one_row_has_no_negatives() -> None:
    assert float(InfoNCE()(FIRST[:1], SECOND[:1])) == 0.0
    assert float(InfoNCE()(FIRST, SECOND, torch.tensor([5, 5, 5]))) == 0.0


def test_the_gradient_is_that_of_finite_differences() -> None:
    views = [FIRST.double().requires_grad_(), SECOND.double().requires_grad_()]
    for cosine in (False, True):
        loss = InfoNCE(0.7, cosine)
        assert torch.autograd.gradcheck(
            lambda a, b, loss=loss: loss(a, b, torch.tensor([7, 4, 7])), views, fast_mode=False
        )


def test_extreme_views_give_finite_numbers() -> None:
    views = [(1e2 * FIRST).requires_grad_(), (-1e2 * SECOND).requires_grad_()]
    value = InfoNCE()(*views)
    assert all(bool(torch.isfinite(x).all()) for x in (value, *torch.autograd.grad(value, views)))


def test_a_temperature_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="temperature=0 of the contrastive loss must be above 0"):
        InfoNCE(0.0)
