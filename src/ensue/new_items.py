"""Items that came after training: a network that reads features scores them, though nobody has taken them yet."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import torch

from ensue.errors import ModelError
from ensue.export import TorchScoring
from ensue.item_features import FeatureItems
from ensue.network import Network
from ensue.ranking import Recommender
from ensue.scorer import Head


def extended(recommender: Recommender, items: pl.DataFrame) -> Recommender:
    """The same recommender over a catalogue that holds new items as well; every old one keeps its place.

    Args:
        recommender: a network as it was fitted, with `features`.
        items: a table with the column `item` and the columns that the features are read from; those already known are
            left as they are.

    Raises:
        ModelError: the model does not work out vectors of items from their features, or scores by a table of its own.
        DataError: an item has no id, or ids are not text.
    """
    scoring = recommender.scoring
    if not isinstance(scoring, TorchScoring) or not isinstance(scoring.network.items, FeatureItems):
        raise ModelError(
            f"{recommender.model} knows items by their events alone, so it cannot score new ones: fit a network with "
            "features=[...], and extend it as it was fitted."
        )
    if any(head.table is not None for head in heads_of(scoring.network)):
        raise ModelError(
            f"{recommender.model} scores by a table of its own, in which new items have no row: fit it tied."
        )
    catalogue = recommender.catalogue.extend(items)
    if catalogue.features is None or scoring.features is None:
        raise ModelError(f"{recommender.model} has no features of its items: fit it with features=[...].")
    network = copy.deepcopy(scoring.network)
    vectors = network.items
    if isinstance(vectors, FeatureItems):
        vectors.extended(scoring.features.arrays(catalogue.features))
    more = len(catalogue) - len(recommender.catalogue)
    for head in heads_of(network):
        if head.bias is not None:
            head.bias = torch.nn.Parameter(torch.cat([head.bias.detach(), head.bias.new_zeros(more)]))
        if head.counts is not None:
            head.counts = torch.cat([head.counts, head.counts.new_zeros(more)])
    if network.prior is not None:
        network.prior.table = network.prior.table.extended(more)
    return replace(recommender, catalogue=catalogue, scoring=replace(scoring, network=network))


def heads_of(network: Network) -> Iterator[Head]:
    """What scores items: as what comes next, and by the ratings that are expected, where these are learnt beside."""
    yield network.head
    if network.beside is not None:
        yield network.beside.head
