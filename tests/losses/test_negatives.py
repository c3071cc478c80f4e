"""Drawing negatives: how often, of what, never the target, never padding, and always to an end."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ensue.losses.negatives import SOURCES, Negatives, draw
from ensue.scorer import Scorer

N = 7
COUNTS = torch.tensor([50.0, 20.0, 10.0, 10.0, 5.0, 1.0, 0.0])


def drawn(
    number: int, targets: Tensor, *, source: str = "even", power: float = 1.0, shared: bool = True
) -> Negatives:
    scorer = Scorer(torch.zeros(N, 2), counts=COUNTS)
    return draw(number, targets, torch.ones(len(targets)), scorer, source=source, power=power, shared=shared)


WAYS = [
    (source, shared)
    for source in SOURCES
    for shared in (True, False)
    if shared or source in ("even", "popular")
]


@pytest.mark.parametrize(("source", "shared"), WAYS)
@pytest.mark.parametrize("number", [1, 3, N - 1, N, 100])
def test_what_is_drawn_are_items(source: str, shared: bool, number: int) -> None:
    torch.manual_seed(0)
    targets = torch.tensor([0, 6, 3])
    for _ in range(20):
        found = drawn(number, targets, source=source, shared=shared)
        assert found.items.dtype == torch.int64
        assert found.items.shape == found.expected.shape
        assert bool(((found.items >= 0) & (found.items < N)).all())
        assert bool((found.expected > 0).all())
        if not shared:
            assert len(found.items) == len(targets)


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize(
    ("source", "power"), [("even", 1.0), ("popular", 1.0), ("popular", 0.5), ("popular", 0.0)]
)
def test_each_item_is_drawn_as_often_as_is_said(source: str, power: float, number: int) -> None:
    """And as its share of the training events to a power says, an item without events counting as one with one."""
    torch.manual_seed(1)
    rounds = 1500
    times, said = torch.zeros(N), torch.zeros(N, dtype=torch.float64)
    for _ in range(rounds):
        found = drawn(number, torch.tensor([0]), source=source, power=power)
        times += torch.bincount(found.items, minlength=N)
        said[found.items] = found.expected
    mass = torch.tensor([50, 20, 10, 10, 5, 1, 1]).double() ** (power if source == "popular" else 0.0)
    expected = number * mass / mass.sum()
    torch.testing.assert_close(said, expected)
    # At most one more or less than expected in each draw, so the standard error is below 0.5 / sqrt(rounds).
    assert (times / rounds - expected).abs().max() < 4 * 0.5 / rounds**0.5


@pytest.mark.parametrize("source", ["even", "popular"])
@pytest.mark.parametrize("number", [N, 100])
def test_as_many_as_there_are_items_are_all_items_once(source: str, number: int) -> None:
    found = drawn(number, torch.tensor([0, 1]), source=source)
    assert sorted(found.items.tolist()) == list(range(N))
    assert found.expected.tolist() == [1.0] * N


def test_a_query_with_its_own_even_negatives_never_meets_its_target() -> None:
    torch.manual_seed(2)
    targets = torch.arange(N).repeat_interleave(500)
    for number in (1, 2, N - 1, N):
        found = drawn(number, targets, shared=False)
        assert not bool((found.items == targets[:, None]).any())
        times = torch.zeros(N, N).index_put_(
            (targets[:, None].expand_as(found.items), found.items),
            torch.ones(found.items.shape),
            accumulate=True,
        )
        said = min(number, N - 1) / (N - 1)
        assert found.expected.unique().tolist() == pytest.approx([said])
        expected = said * (1 - torch.eye(N))
        assert (times / 500 - expected).abs().max() < 4.5 * 0.5 / 500**0.5
        if number >= N - 1:
            assert torch.equal(times / 500, 1 - torch.eye(N))


def test_queries_draw_apart_from_each_other_only_if_not_shared() -> None:
    torch.manual_seed(3)
    targets = torch.full((50,), 6)
    assert drawn(2, targets).items.shape == (2,)
    assert len(drawn(2, targets, shared=False).items.unique(dim=0)) > 5
    assert len(drawn(2, targets, source="popular", shared=False).items.unique(dim=0)) > 5


def test_the_batch_lends_its_targets_with_their_repeats() -> None:
    """4 queries: another one has item j with the share p_j, so item j is met 3 p_j times on average."""
    found = drawn(9, torch.tensor([2, 2, 0, 5]), source="batch")
    assert found.items.tolist() == [2, 2, 0, 5]
    assert found.expected.tolist() == pytest.approx([3 * n / 97 for n in (10, 10, 50, 1)])


def test_no_more_of_the_batch_than_were_asked_for() -> None:
    torch.manual_seed(4)
    found = drawn(2, torch.tensor([2, 2, 0, 5]), source="batch")
    assert len(found.items) == 2
    assert set(found.items.tolist()) <= {0, 2, 5}
    each = [2 * 3 / 4 * {0: 50, 2: 10, 5: 1}[item] / 97 for item in found.items.tolist()]
    assert found.expected.tolist() == pytest.approx(each)


def test_the_batch_is_met_as_often_as_is_said() -> None:
    """Targets by their training shares: seen from one query, item j is among the others' as often as said."""
    torch.manual_seed(5)
    share = COUNTS.clamp(min=1) / 97
    for number in (3, 100):
        met, said = torch.zeros(N), torch.zeros(N, dtype=torch.float64)
        for _ in range(1500):
            targets = torch.multinomial(share, 8, replacement=True)
            found = drawn(number, torch.cat([torch.tensor([6]), targets[1:]]), source="batch")
            met += torch.bincount(found.items, minlength=N)
            said[found.items] = found.expected
        # Up to 7 are met of an item; by binomials, the standard deviation is below sqrt(7) / 2.
        assert (met / 1500 - said)[:6].abs().max() < 4 * (7**0.5 / 2) / 1500**0.5


def test_a_query_of_no_weight_lends_nothing() -> None:
    scorer = Scorer(torch.zeros(N, 2))
    found = draw(9, torch.tensor([2, 4, 0]), torch.tensor([1.0, 0.0, 1.0]), scorer, source="batch")
    assert found.items.tolist() == [2, 0]
    assert found.expected.tolist() == pytest.approx([1 / N, 1 / N])


def test_the_mix_adds_up_both_chances() -> None:
    torch.manual_seed(6)
    found = drawn(3, torch.tensor([1, 1, 4, 0]), source="mixed", power=0.5)
    assert len(found.items) == 3 + 3
    mass = torch.tensor([50, 20, 10, 10, 5, 1, 1]).double()
    by_popularity = 3 * mass.sqrt() / mass.sqrt().sum()
    by_batch = 3 * 3 / 4 * mass / mass.sum()
    torch.testing.assert_close(found.expected, (by_popularity + by_batch)[found.items])


@pytest.mark.parametrize(("source", "shared"), WAYS)
def test_a_catalogue_of_one_item_has_no_negative(source: str, shared: bool) -> None:
    targets = torch.zeros(4, dtype=torch.int64)
    scorer = Scorer(torch.zeros(1, 2))
    found = draw(3, targets, torch.ones(4), scorer, source=source, shared=shared)
    assert set(found.items.flatten().tolist()) == {0}, "only the target itself, which every loss masks"
    assert bool(torch.isfinite(found.expected).all())


@pytest.mark.parametrize(("source", "shared"), WAYS)
def test_the_generator_of_torch_decides(source: str, shared: bool) -> None:
    targets = torch.arange(N).repeat(3)
    draws = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        draws.append(drawn(2, targets, source=source, shared=shared).items.tolist())
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
