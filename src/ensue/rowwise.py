"""Steps for large tables: one number of memory per row, and only the rows that were looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ensue.item_vectors import ItemVectors
from ensue.scorer import Head
from ensue.side import Users
from ensue.steppers import Stateful, Stepper


def lookup_tables(network: nn.Module) -> list[nn.Parameter]:
    """The tables of a network, of which a batch looks up some rows: item vectors, head, users, categories.

    Args:
        network: any; in the order of its parameters.
    """
    owners = [m for m in network.modules() if isinstance(m, nn.Embedding | ItemVectors | Head | Users)]
    tables = {id(p) for owner in owners for p in owner.parameters(recurse=False) if p.dim() == 2}
    return [p for p in network.parameters() if id(p) in tables]


class RowwiseAdagrad(Stateful):
    """Adagrad in which the entries of a row share one sum of squares, the mean over the row of each gradient's.

    For row r of a table with gradient g: `s_r += mean(g_r^2)`, then `w_r -= rate x g_r / (sqrt(s_r) + epsilon)`. A row
    without a gradient is left as it is, whether the gradient is sparse or dense.

    Args:
        tables: `[rows, D]` parameters.
        learning_rate: of the rest of the network, set for each step as "lr".
        factor: times this is the rate of the tables.
        epsilon: added to the root.

    References:
        Duchi, Hazan, Singer, JMLR 12, 2011, for Adagrad; by rows in Mudigere et al., "Software-hardware co-design for
        fast and scalable training of deep learning recommendation models", ISCA 2022.
    """

    def __init__(
        self, tables: Sequence[nn.Parameter], learning_rate: float, factor: float = 1.0, epsilon: float = 1e-8
    ) -> None:
        super().__init__([{"params": tables, "factor": factor, "epsilon": epsilon}], learning_rate)

    def _begun(self, parameter: Tensor) -> dict[str, Tensor]:
        return {"squares": parameter.new_zeros(len(parameter))}

    def _follow(self, group: Mapping[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        pace = group["lr"] * group["factor"]
        for table, gradient in zip(parameters, gradients, strict=True):
            _step(table, gradient, self.state_of(table)["squares"], pace, group["epsilon"])


def _step(table: Tensor, gradient: Tensor, squares: Tensor, pace: float, epsilon: float) -> None:
    if gradient.is_sparse:
        gradient = gradient.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        squares.index_add_(0, rows, values.square().mean(dim=1))
        table.index_add_(0, rows, values / (squares[rows].sqrt() + epsilon)[:, None], alpha=-pace)
    else:
        squares += gradient.square().mean(dim=1)
        table.addcdiv_(gradient, (squares.sqrt() + epsilon)[:, None], value=-pace)


class Together:
    """Several optimisers that act as one, each on parameters of its own.

    Args:
        parts: the optimisers; places in the state are counted through all of them.
    """

    def __init__(self, parts: Sequence[Stepper]) -> None:
        self.parts = list(parts)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all parts, to be changed in place."""
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        """One step of each part."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of all parts as one."""
        state: dict[int, Any] = {}
        groups: list[dict[str, Any]] = []
        before = 0
        for part, count in zip(self.parts, self._counts(), strict=True):
            own = part.state_dict()
            state |= {before + place: entry for place, entry in own["state"].items()}
            groups += [
                group | {"params": [before + place for place in group["params"]]}
                for group in own["param_groups"]
            ]
            before += count
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from such a state.

        Args:
            state_dict: what `state_dict` gave for the same network.
        """
        groups = list(state_dict["param_groups"])
        before = 0
        for part, count in zip(self.parts, self._counts(), strict=True):
            own, groups = groups[: len(part.param_groups)], groups[len(part.param_groups) :]
            part.load_state_dict(
                {
                    "state": {
                        place - before: entry
                        for place, entry in state_dict["state"].items()
                        if before <= place < before + count
                    },
                    "param_groups": [
                        group | {"params": [place - before for place in group["params"]]} for group in own
                    ],
                }
            )
            before += count

    def _counts(self) -> list[int]:
        return [sum(len(group["params"]) for group in part.param_groups) for part in self.parts]
