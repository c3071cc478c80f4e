"""How alike items are by what is known of them: cosines of their categories and vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ensue.catalogue import Catalogue
from ensue.errors import ColumnError
from ensue.features import Feature, FeatureArrays, Features

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NAMES = ("item", "title")
"""Columns that name an item: what no two items share says nothing of their likeness."""


def unit_vectors(catalogue: Catalogue) -> csr_array | None:
    """`[N, D]` a vector of length 1 for each item, whose products are cosines; of length 0 where nothing is known.

    Categories count as one-hot, several of them as many, and a vector of a text or an image by its direction, end to
    end. Columns are left out that are numbers or times, and those whose values belong to fewer than two items each on
    average, as titles and descriptions do.

    Returns:
        None where no column of the catalogue's features tells how alike items are.
    """
    import scipy.sparse as sp

    frame = catalogue.features
    if frame is None:
        return None
    entries: dict[str, Feature] = {}
    for column in frame:
        if column.name in NAMES:
            continue
        try:
            feature = Feature.fit(column.name, column)
        except ColumnError:  # dates and the like have no kind of their own
            continue
        if feature.kind in ("category", "values", "vector"):
            entries[column.name] = feature
    arrays = Features(entries).arrays(frame)
    blocks = [*_one_hot(arrays, entries, len(frame)), *_directions(arrays)]
    if not blocks:
        return None
    stacked = sp.csr_array(sp.hstack(blocks, format="csr"))
    lengths = np.sqrt(np.asarray(stacked.multiply(stacked).sum(axis=1)).ravel())
    known = sp.diags_array(1.0 / np.where(lengths > 0, lengths, 1.0))
    return sp.csr_array(known @ stacked)


def _one_hot(arrays: FeatureArrays, entries: dict[str, Feature], n: int) -> list[Any]:
    """`[N, C]` of each column of categories that items share: 1 where an item has one."""
    import scipy.sparse as sp

    found: list[Any] = []
    flat = {name: (np.arange(n + 1, dtype=np.int64), codes) for name, codes in arrays.categories.items()}
    flat |= {name: (values.offsets, values.codes) for name, values in arrays.values.items()}
    for name, (offsets, codes) in flat.items():
        size = entries[name].known.unseen_code
        rows = np.repeat(np.arange(n), np.diff(offsets))
        held = codes < size
        number = int(held.sum())
        if number >= 2 * size > 0:
            found.append(sp.csr_array((np.ones(number), (rows[held], codes[held])), shape=(n, size)))
    return found


def _directions(arrays: FeatureArrays) -> list[Any]:
    """`[N, V]` of each column of vectors: of length 1, or of 0 where an item has none."""
    import scipy.sparse as sp

    found: list[Any] = []
    for vectors in arrays.vectors.values():
        values = vectors.values.astype(np.float64)
        lengths = np.sqrt((values**2).sum(axis=1, keepdims=True))
        found.append(sp.csr_array(values / np.where(lengths > 0, lengths, 1.0)))
    return found
