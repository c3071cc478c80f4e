"""What is traced is put into operations that the exporter knows, and computes what it did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ensue import export
from ensue.domain import Domain
from ensue.inputs import Inputs
from ensue.lowering import lowered
from ensue.models.neural.transformer_xl import TransformerXL

aten = torch.ops.aten
KNOWN = {
    aten.t.default,
    aten.bitwise_and.Tensor,
    aten.bitwise_or.Tensor,
    aten._to_copy.default,
    aten.neg.default,
    aten.add.Tensor,
    aten.gt.Scalar,
    aten.mul.Tensor,
    aten.slice.Tensor,
    aten.sym_size.int,
}


class Program(nn.Module):
    """A function as the exporter wants it."""

    def __init__(self, do: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.do = do

    def forward(self, x: Tensor) -> Tensor:
        return self.do(x)


def traced(do: Callable[[Tensor], Tensor], example: Tensor) -> ExportedProgram:
    return torch.export.export(Program(do), (example,), dynamic_shapes=({0: Dim("B", min=1)},))


def known(call: Any) -> bool:
    return call in KNOWN


@pytest.mark.parametrize(
    "do",
    [
        lambda x: x.T,
        lambda x: (x > 0) & (x > 1),
        lambda x: (x > 0) | (x > 1),
        lambda x: x.to(torch.float32),
        lambda x: 7 - x,
        lambda x: x.shape[0] - x,
        lambda x: x[:, :] * 2,
        lambda x: x[:, 1:] * 2,
    ],
    ids=["transposed", "and", "or", "another kind", "from a number", "from a size", "whole", "a part"],
)
def test_an_operation_by_its_other_name_computes_the_same(do: Callable[[Tensor], Tensor]) -> None:
    x = torch.tensor([[3, -1], [0, 2], [5, 1]])
    program = traced(do, x)
    assert lowered(program, known)
    program.graph_module.graph.lint()
    program.graph_module.recompile()
    asked = torch.tensor([[1, 4], [2, -2]])
    (found,) = program.graph_module(asked)
    assert found.dtype == do(asked).dtype
    assert torch.equal(found, do(asked))


def test_a_slice_of_the_whole_is_left_out_and_one_of_a_part_is_not() -> None:
    for do, left in ((lambda x: x[:, :] * 2, 0), (lambda x: x[:, 1:] * 2, 1)):
        program = traced(do, torch.zeros(3, 2))
        lowered(program, known)
        assert sum(node.target is aten.slice.Tensor for node in program.graph_module.graph.nodes) == left


def test_what_is_not_known_and_what_changes_its_input_is_taken_apart() -> None:
    assert not lowered(traced(lambda x: x.cosh(), torch.zeros(3, 2)), known)
    assert not lowered(traced(lambda x: (x * 2).mul_(3), torch.zeros(3, 2)), lambda call: True)


@pytest.mark.filterwarnings("ignore:The use of `x.T` on tensors of dimension other than 2")
def test_what_turns_around_three_dimensions_has_no_other_name() -> None:
    assert not lowered(traced(lambda x: x.T * 2, torch.zeros(3, 2, 2)), known)


def test_a_graph_answers_bit_by_bit_as_what_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    n, length = 9, 8
    torch.manual_seed(4)
    network = TransformerXL(width=8, length=length, segment=2, memory=4, blocks=1).network(Domain.of(n))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    rng = np.random.default_rng(6)
    fed = {
        "items": rng.integers(0, n, (3, length)),
        "asked": rng.integers(0, length, (3, 2)),
        "places": np.arange(6),
    }

    def scores() -> Any:
        graph = export.to_onnx(network, Inputs(length=length))
        return onnxruntime.InferenceSession(graph).run(None, fed)[0]

    found: list[bool] = []

    def told(program: ExportedProgram, known: Callable[[Any], bool]) -> bool:
        found.append(lowered(program, known))
        return found[-1]

    monkeypatch.setattr(export, "lowered", told)
    short = scores()
    monkeypatch.setattr(export, "lowered", lambda *given: False)
    assert np.array_equal(short, scores())
    assert found == [True]
