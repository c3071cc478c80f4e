"""What is learnt beside the next item: that two views of one history are alike, and those of two histories are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ensue.batching import Ints, Stretches
from ensue.errors import ConfigError, nearest
from ensue.feeding import Feed
from ensue.losses.contrastive import InfoNCE
from ensue.network import Batch, Network

if TYPE_CHECKING:
    from ensue.model import Conditions

VIEWS = ("augmented", "dropout", "target")


@dataclass(frozen=True)
class Contrast:
    """A second loss over two views of every row, by what the network answers at their ends.

    Rows that the same item follows are no negatives of each other, whatever the views; CL4SRec counts these too.

    Attributes:
        weight: how much of it is added to the loss of the next item.
        views: "augmented" (two augmentations of each row, as in CL4SRec), "dropout" (the same row twice, told apart by
            what is dropped), or "target" (the row and another one that the same item follows, as in DuoRec).
        temperature: divides the products.
        cosine: products are of views of unit length.

    References:
        Xie et al., "Contrastive learning for sequential recommendation" (CL4SRec), ICDE 2022, equation 12; Qiu et al.,
        "Contrastive learning for representation degeneration problem in sequential recommendation" (DuoRec), WSDM 2022,
        section 3.3.
    """

    weight: float = 0.1
    views: str = "dropout"
    temperature: float = 1.0
    cosine: bool = False

    def __post_init__(self) -> None:
        if self.views not in VIEWS:
            raise ConfigError(
                f"contrast: views='{self.views}' must be one of {', '.join(VIEWS)}.{nearest(self.views, VIEWS)}"
            )
        if not 0 < self.weight < float("inf"):
            raise ConfigError(
                f"contrast: weight={self.weight:g} must be above 0; leave contrast out for none."
            )
        InfoNCE(self.temperature, self.cosine)


class Contrasting:
    """The second loss of one fit.

    Args:
        contrast: what is compared, and how.
        feed: makes the batches.
        starts: `[W]` first input of each training window, among which rows with the same target are looked for.
        ends: `[W]` after its last input, where its last target stands; no two are equal.
    """

    def __init__(self, contrast: Contrast, feed: Feed, starts: Ints, ends: Ints) -> None:
        self.contrast, self.feed = contrast, feed
        self.loss = InfoNCE(contrast.temperature, contrast.cosine)
        targets = feed.sequences.items[ends]
        order = np.lexsort((ends, targets))
        self.starts, self.ends = starts[order], ends[order]
        _, self.first, self.counts = np.unique(targets[order], return_index=True, return_counts=True)
        self.group = np.repeat(np.arange(len(self.first)), self.counts)
        self.by_end = np.argsort(self.ends)

    def __call__(self, network: Network, stretches: Stretches) -> Tensor:
        """The weighted loss of one batch, a scalar.

        Args:
            network: in training.
            stretches: the rows of the batch.
        """
        if stretches.fresh is not None:
            raise ConfigError(
                "Rows that go on from batch to batch have no views to compare: leave contrast out."
            )
        feed = self.feed
        if self.contrast.views == "augmented":
            first, second = feed.views(stretches), feed.views(stretches)
        else:
            first = second = feed.whole(stretches)
            if self.contrast.views == "target":
                second = feed.whole(self.alike(stretches.ends))
        targets = torch.from_numpy(feed.sequences.items[stretches.ends].astype(np.int64)).to(feed.device)
        return self.contrast.weight * self.loss(_ends(network, first), _ends(network, second), targets)

    def alike(self, ends: Ints) -> Stretches:
        """For each row another window with the same last target, drawn evenly; the row itself where there is none."""
        window = self.by_end[np.searchsorted(self.ends, ends, sorter=self.by_end)]
        first, counts = self.first[self.group[window]], self.counts[self.group[window]]
        ahead = 1 + (self.feed.rng.random(len(ends)) * np.maximum(counts - 1, 1)).astype(np.int64)
        other = first + (window - first + ahead) % counts
        return Stretches(self.starts[other], self.ends[other])


def check_whole(described: Mapping[str, Any] | None, conditions: Conditions, batch_tokens: int) -> None:
    """Nothing, if one process computes each batch at once, since all of its rows are compared.

    Args:
        described: the settings of the contrast; None asks for nothing.
        conditions: of the fit.
        batch_tokens: the most of a batch.

    Raises:
        ConfigError: it is to be computed in parts, of which each would know its own rows only.
    """
    if described is None:
        return
    if conditions.processes > 1:
        raise ConfigError(
            f"processes={conditions.processes}: contrast compares all rows of a batch, so one process learns it: take "
            "processes=1 and as many threads as there are cores, or leave contrast out."
        )
    if 0 < conditions.tokens_at_once < batch_tokens:
        raise ConfigError(
            f"tokens_at_once={conditions.tokens_at_once}: contrast compares all rows of a batch, so a batch cannot be "
            f"computed in parts: take batch_tokens={conditions.tokens_at_once}, or leave contrast out."
        )


def contrast_of(described: Mapping[str, Any] | None) -> Contrast | None:
    """The contrast that a table of settings describes; None for None.

    Raises:
        ConfigError: an unknown setting, or a value that makes no sense.
    """
    if described is None:
        return None
    known = list(Contrast.__dataclass_fields__)
    for key in described:
        if key not in known:
            raise ConfigError(
                f"contrast has no setting '{key}'; it has {', '.join(known)}.{nearest(key, known)}"
            )
    return Contrast(**described)


def _ends(network: Network, batch: Batch) -> Tensor:
    """`[B, D]` what the network answers after the last event of each row."""
    real = batch.items != batch.n_items
    places = torch.arange(batch.items.shape[1], device=batch.items.device)
    last = torch.where(real, places, 0).amax(dim=1)
    return network.answers(batch, last[:, None], torch.arange(len(last), device=last.device))
