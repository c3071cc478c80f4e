"""Item vectors that are worked out of what is known of an item, so that one nobody has taken yet has a vector too."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ensue.features import FeatureArrays, Features, filled
from ensue.item_vectors import ItemVectors


class FeatureItems(ItemVectors):
    """The sum of an item's own vector, if it has one, and of what its features say.

    A category adds a learnt vector; several categories the mean of theirs; a number a line; a given vector (of a text
    or an image) a linear map of it. What is missing adds a vector of its own, and what training never saw adds nothing.
    While training, some items are met without their own vectors, so that features learn to stand alone.

    Args:
        own: item vectors that are learnt one by one; None goes by features alone.
        features: how columns are read.
        arrays: the features of the `N` items.
        width: `D`.
        hidden: share of the items that are met without their own vectors while training.

    References:
        Hiding what is learnt of single items: Volkovs, Yu, Poutanen, "DropoutNet", NeurIPS 2017, section 4.
    """

    def __init__(
        self, own: ItemVectors | None, features: Features, arrays: FeatureArrays, width: int, hidden: float
    ) -> None:
        super().__init__(_items(arrays), width)
        self.own, self.hidden = own, hidden
        self.names = tuple(features.entries)
        self.tables, self.lines = nn.ModuleDict(), nn.ModuleDict()
        self.absent = nn.ParameterDict()
        for place, (name, feature) in enumerate(features.entries.items()):
            key = f"{place}"
            if feature.encoding is not None and feature.encoding.is_category:
                self.tables[key] = nn.Embedding(feature.known.size, width)
            else:
                self.lines[key] = nn.Linear(feature.width or 1, width, bias=False)
            if name not in arrays.categories:
                self.absent[key] = nn.Parameter(torch.zeros(width))
            self._keep(key, name, arrays)
        with torch.no_grad():
            for place, feature in enumerate(features.entries.values()):
                key = f"{place}"
                weight = (self.tables if key in self.tables else self.lines)[key].get_parameter("weight")
                nn.init.normal_(weight, std=0.02)
                if key in self.tables:
                    weight[feature.known.unseen_code :] = (
                        0  # what is missing is learnt from here, what is unseen stays
                    )

    def _keep(self, key: str, name: str, arrays: FeatureArrays) -> None:
        """The values of one feature as tensors that move with the network and are no weights."""
        held: Mapping[str, Tensor]
        if name in arrays.categories:
            held = {"codes": torch.from_numpy(arrays.categories[name])}
        elif name in arrays.values:
            values = arrays.values[name]
            held = {"codes": torch.from_numpy(values.codes), "offsets": torch.from_numpy(values.offsets)}
        elif name in arrays.numbers:
            numbers, lacking = (torch.from_numpy(part)[:, None] for part in filled(arrays.numbers[name]))
            held = {"values": numbers, "missing": lacking}
        else:
            vectors = arrays.vectors[name]
            missing = torch.from_numpy(vectors.missing)[:, None].float()
            held = {"values": torch.from_numpy(vectors.values), "missing": missing}
        for part, tensor in held.items():
            self.register_buffer(f"{part}_{key}", tensor, persistent=False)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """`[N, D]` the vectors of all items, worked out anew."""
        parts = [self._said(f"{place}") for place in range(len(self.names))]
        total = torch.stack(parts).sum(dim=0)
        if self.own is None:
            return total
        own = self.own.weight
        if len(own) < self.n_items:
            own = torch.cat([own, own.new_zeros(self.n_items - len(own), self.width)])
        if self.training and self.hidden:
            own = own * (torch.rand(self.n_items, 1, device=own.device) >= self.hidden)
        return total + own

    def _said(self, key: str) -> Tensor:
        """`[N, D]` what one feature says of every item."""
        if f"offsets_{key}" in self._buffers:
            codes, offsets = self.get_buffer(f"codes_{key}"), self.get_buffer(f"offsets_{key}")
            table = self.tables[key].get_parameter("weight")
            mean = nn.functional.embedding_bag(codes, table, offsets[:-1], mode="mean")
            none: Tensor = (offsets[1:] == offsets[:-1])[:, None] * self.absent[key]
            return mean + none
        if key in self.tables:
            said: Tensor = self.tables[key](self.get_buffer(f"codes_{key}"))
            return said
        values, missing = self.get_buffer(f"values_{key}"), self.get_buffer(f"missing_{key}")
        line: Tensor = self.lines[key](values)
        given: Tensor = line * (1 - missing) + missing * self.absent[key]
        return given

    def rows(self, items: Tensor) -> Tensor:
        """`[..., D]` the vectors of some items."""
        return nn.functional.embedding(items, self.weight)

    def extended(self, arrays: FeatureArrays) -> None:
        """Takes in items that came later: they are at the end of `arrays`, and have no vectors of their own."""
        self.n_items = _items(arrays)
        for place, name in enumerate(self.names):
            self._keep(f"{place}", name, arrays)


def _items(arrays: FeatureArrays) -> int:
    """`N`."""
    for codes in arrays.categories.values():
        return len(codes)
    for values in arrays.values.values():
        return len(values.offsets) - 1
    for numbers in arrays.numbers.values():
        return len(numbers)
    return len(next(iter(arrays.vectors.values())).values)
