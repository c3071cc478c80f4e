"""What the wait says: how a network's states change with the time from the last event to the question."""

from __future__ import annotations

from torch import Tensor, nn

from ensue.inputs import GAPS

ASKED = ("none", "wait")
"""What networks can read of the moment of a question."""

UNTOLD = 0.1
"""Share of training targets whose wait is not told, so that a question without a time has an answer of its own."""


class Waiting(nn.Module):
    """States as they are for a question that comes after some wait: `[M, D]` to `[M, D]`.

    Each bucket of waits stretches and shifts the state, beginning with no change. A gated layer of the state and the
    wait on top of it learnt ML-100K by heart sooner, and no better.

    Args:
        width: `D`.

    References:
        Perez et al., "FiLM: visual reasoning with a general conditioning layer", AAAI 2018, arXiv:1709.07871.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Embedding(GAPS + 1, 2 * width)
        nn.init.zeros_(self.change.weight)

    def forward(self, states: Tensor, waits: Tensor) -> Tensor:
        """The states, each changed by its wait.

        Args:
            states: `[M, D]`.
            waits: `[M]` buckets, as `inputs.waits` gives them.
        """
        stretch, shift = self.change(waits).chunk(2, dim=-1)
        changed: Tensor = states * (1 + stretch) + shift
        return changed
