"""Questions about steps of the rows of a batch, in the shape that networks and their graphs take."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from torch import Tensor


def asked(rows: Tensor, steps: Tensor, count: int = 0) -> tuple[Tensor, Tensor]:
    """`([B, Q], [Q])`: every row is asked after all steps, and each question reads its own place.

    Args:
        rows: `[Q]` which row of the batch each question reads.
        steps: `[Q]` after which step of it.
        count: `B`, where rows at the end are not asked about.
    """
    count = max(count, int(rows.max()) + 1)
    return steps.expand(count, -1), rows * len(steps) + torch.arange(len(rows))


def assert_steps_are_the_whole(graph: bytes, steps: bytes | None, n_items: int, length: int) -> None:
    """A history in two parts, the second from the state after the first, has the scores of the whole one.

    Args:
        graph: as it is exported.
        steps: the same, going on from a state.
        n_items: `N`.
        length: the window.
    """
    assert steps is not None
    whole, parts = onnxruntime.InferenceSession(graph), onnxruntime.InferenceSession(steps)
    items = np.random.default_rng(2).integers(0, n_items, (1, length))
    sizes = [node.shape for node in parts.get_inputs()[3:]]
    names = [node.name for node in parts.get_outputs()[1:]]
    for cut in range(length):
        state = [np.zeros(size, dtype=np.float32) for size in sizes]
        for part in (items[:, :cut], items[:, cut:]):
            if part.shape[1]:
                feed = {"items": part, "asked": np.array([[part.shape[1] - 1]]), "places": np.array([0])}
                feed |= {f"before{place}": held for place, held in enumerate(state)}
                scores, *state = parts.run(["scores", *names], feed)
        anew = {"items": items, "asked": np.array([[length - 1]]), "places": np.array([0])}
        np.testing.assert_allclose(scores, whole.run(["scores"], anew)[0], rtol=0, atol=1e-5)
