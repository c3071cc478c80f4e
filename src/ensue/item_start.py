"""Where item vectors begin: drawn by chance, or at what stands together in the sequences.

    S = C + C^T,  A = deg^-1/2 S deg^-1/2,  A ~ U diag(s) U^T,  vector of i = U_i sqrt(s), brought to the drawn length

with C the weighted counts of what follows what (`ensue.transitions`). Items that stand in the same company begin near
each other, which a network otherwise has to learn from few events each. Vectors go on being learnt from there.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.sequences import Sequences
from ensue.transitions import transition_counts

STARTS = ("drawn", "together")

WINDOW = 10
"""The largest distance at which two items stand together."""

SPREAD = 0.02
"""The standard deviation with which vectors are drawn."""

APART = 0.1
"""What is drawn beside, as a share of that: no two items begin at one place, and no direction is empty."""

TOLERANCE = 1e-3
"""How exact the directions are, as a share of the largest: they are a beginning."""


def together(sequences: Sequences, width: int, seed: int = 0) -> NDArray[np.float32]:
    """`[N, D]` vectors of the items, near each other where items stand together; drawn for items that stand alone.

    Args:
        sequences: that are trained on.
        width: `D`. Directions that the counts do not have are drawn.
        seed: of what is drawn.

    References:
        Levy, Goldberg, "Neural word embedding as implicit matrix factorization", NeurIPS 2014, section 5, for the
        symmetric square root; the normed counts as in spectral embedding (Ng, Jordan, Weiss, NeurIPS 2001).
    """
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh  # which loads 20 MB

    n = sequences.n_items
    rng = np.random.default_rng(seed)
    drawn = rng.normal(scale=SPREAD, size=(n, width))
    counts = transition_counts(sequences, WINDOW)
    both = sp.csr_array(counts + counts.T)
    degree = np.asarray(both.sum(axis=1)).ravel()
    known = degree > 0
    directions = min(width, int(known.sum()) - 2)
    if directions < 1:
        return drawn.astype(np.float32)
    root = np.where(known, degree, 1.0) ** -0.5
    begin = rng.normal(size=n)
    try:
        normed = sp.diags_array(root) @ both @ sp.diags_array(root)
        sizes, vectors = eigsh(normed, directions, v0=begin, tol=TOLERANCE)
    except ArpackNoConvergence as partly:
        sizes, vectors = np.real(partly.eigenvalues), np.real(partly.eigenvectors)  # what was found by then
    found = np.zeros((n, width))
    found[:, : len(sizes)] = vectors * np.sqrt(np.abs(sizes))
    found *= np.sign(np.take_along_axis(found, np.abs(found).argmax(axis=0)[None], axis=0))
    length = np.linalg.norm(found, axis=1, keepdims=True)
    placed = known & (length[:, 0] > 0)
    found = found / np.where(length > 0, length, 1.0) * (SPREAD * width**0.5) + APART * drawn
    return np.where(placed[:, None], found, drawn).astype(np.float32)
