"""Negatives: which items a target is compared with, and how often each of them is drawn.

The one place where they are drawn, from torch's own generator, so that a seeded run draws the same. Nothing is ever
drawn again until it fits, so every draw ends, whatever the data. The rules for all sources:

- A query's own target is no negative of it: where it is among what was drawn, it is masked for that query (an
  accidental hit), and the query has one negative fewer.
- Any other item may be a negative, also one that the user has had: a loss is not shown the history. A user who has
  had every item is therefore trained like any other.
- Only items of the catalogue are drawn, never padding.
- A query may be left without a negative, always so in a catalogue of one item. Each loss says what it is then; it is
  a finite number, and 0 unless the loss also looks at the target alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ensue.scorer import Scorer

SOURCES = ("even", "popular", "batch", "mixed")
"""Where negatives come from.

- even: every item is as likely as any other.
- popular: an item is drawn in proportion to a power of its training events, counted as at least one.
- batch: the targets of the batch's queries, each as often as it is there.
- mixed: those of the batch, and as many again by popularity.
"""


@dataclass(frozen=True)
class Negatives:
    """Items that were drawn, and how often each of them is drawn on average.

    Attributes:
        items: `[K]` shared by all queries, or `[M, K]` drawn for each.
        expected: as `items`: the mean number of times that this item is drawn for a query whose target it is not.
    """

    items: Tensor
    expected: Tensor

    @property
    def shared(self) -> bool:
        """Whether all queries are compared with the same items."""
        return self.items.dim() == 1


def draw(
    number: int,
    targets: Tensor,
    weights: Tensor,
    scorer: Scorer,
    *,
    source: str = "even",
    power: float = 1.0,
    shared: bool = True,
) -> Negatives:
    """Negatives for a batch of queries.

    With at least as many as the catalogue has, an even or popular draw is every item once. Below that, one item is
    drawn from each of as many equal parts of the distribution: as likely as if they were drawn apart from each other,
    and better spread.

    Args:
        number: how many are drawn from a source.
        targets: `[M]`.
        weights: `[M]`; a query of weight 0 lends its target to nobody.
        scorer: knows the training counts; without them all items count the same.
        source: one of `SOURCES`.
        power: 0 draws evenly, 1 in proportion to the training events.
        shared: the same items for all queries; otherwise each has its own.

    References:
        The mix: Hidasi, Karatzoglou, "Recurrent neural networks with top-k gains for session-based recommendations",
        CIKM 2018, section 2 (mini-batch targets and additional samples by a power of their support).
    """
    n, device = scorer.n_items, targets.device
    if not shared and source == "even":
        return _others_evenly(number, targets, n)
    lead = () if shared else (len(targets),)
    counts = torch.ones(n, device=device) if scorer.counts is None else scorer.counts.to(device).clamp(min=1)
    drawn: list[Tensor] = []
    chances: list[Callable[[Tensor], Tensor]] = []
    if source in ("batch", "mixed"):
        lent = targets[weights > 0]
        among = len(lent)
        if among > number:
            lent = lent[torch.randperm(among, device=device)[:number]]
        share = counts.double() / counts.double().sum()
        each = len(lent) * max(among - 1, 1) / among
        drawn.append(lent)
        chances.append(lambda items: each * share[items])
    if source != "batch":
        mass = torch.ones_like(counts) if source == "even" else counts
        items, expected = _by_mass(number, mass.double() ** power, lead)
        drawn.append(items)
        chances.append(lambda items: expected[items])
    items = torch.cat(drawn, dim=-1)
    return Negatives(items, torch.stack([chance(items) for chance in chances]).sum(dim=0))


def _places(lead: tuple[int, ...], number: int, device: torch.device) -> Tensor:
    """`[*lead, number]` one place in each of the intervals [0, 1), [1, 2), ..."""
    chance = torch.rand(*lead, number, dtype=torch.float64, device=device)
    return chance + torch.arange(number, dtype=torch.float64, device=device)


def _by_mass(number: int, mass: Tensor, lead: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Items `[*lead, K]` in proportion to their mass `[N]`, and how often each item is drawn on average `[N]`."""
    n = len(mass)
    if number >= n:
        return torch.arange(n, device=mass.device).expand(*lead, n), torch.ones_like(mass)
    expected = mass * (number / mass.sum())
    places = _places(lead, number, mass.device)
    items = torch.searchsorted(expected.cumsum(0), places, right=True)
    return items.clamp_(max=n - 1), expected


def _others_evenly(number: int, targets: Tensor, n_items: int) -> Negatives:
    """Each query's own negatives, evenly from all items but its target; the only item there is, if there is but one."""
    others = n_items - 1
    if others == 0:
        items = targets[:, None]
    elif number >= others:
        items = torch.arange(others, device=targets.device).expand(len(targets), others)
    else:
        places = _places((len(targets),), number, targets.device) * (others / number)
        items = places.long().clamp_(max=others - 1)
    if others:
        items = items + (items >= targets[:, None])
    expected = items.new_full(items.shape, items.shape[1] / max(others, 1), dtype=torch.float64)
    return Negatives(items, expected)
