"""What an exporter has no words for in a traced network, said in operations that it has.

The exporter of torch 2.13 traces a program twice more to take apart whatever it cannot translate, which is most of the
time of an export. The programs of our networks hold a few operations of that kind, each of which is another one by
another name; where nothing else is left, what was traced can be translated as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

aten = torch.ops.aten

CHECKS = frozenset(
    {
        aten.sym_constrain_range_for_size.default,
        aten._assert_async.default,
        aten._assert_async.msg,
        aten._assert_scalar.default,
        aten._assert_tensor_metadata.default,
    }
)
"""What the exporter leaves out."""

RENAMED = {
    aten.numpy_T.default: aten.t.default,
    aten.__and__.Tensor: aten.bitwise_and.Tensor,
    aten.__or__.Tensor: aten.bitwise_or.Tensor,
}


def lowered(program: ExportedProgram, known: Callable[[Any], bool]) -> bool:
    """Whether every operation of a program can be translated as it is, once those with other names have them.

    Args:
        program: traced; operations are renamed in place, which changes nothing of what it computes.
        known: whether the exporter translates an operation.

    Returns:
        False where it is to be taken apart: it holds an operation that is not known, or one that changes its input in
        place, which a graph cannot.
    """
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.op == "call_function":
            _rename(graph, node)
    calls = [node.target for node in graph.nodes if node.op not in ("placeholder", "output", "get_attr")]
    return all((call in CHECKS or known(call)) and not _changes(call) for call in calls)


def _changes(call: Any) -> bool:
    schema = getattr(call, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _rename(graph: Graph, node: Node) -> None:
    """One operation by its other name, if it has one."""
    target = node.target
    arguments: tuple[Any, ...] = node.args
    if target in RENAMED and (target is not aten.numpy_T.default or _order(arguments[0]) == 2):
        node.target = RENAMED[target]
    elif target is aten.to.dtype and len(arguments) == 2 and not node.kwargs:
        node.target, node.args, node.kwargs = aten._to_copy.default, arguments[:1], {"dtype": arguments[1]}
    elif target is aten.rsub.Scalar and len(arguments) == 2 and isinstance(arguments[0], Node):
        with graph.inserting_before(node):
            minus = graph.call_function(aten.neg.default, arguments[:1])
        minus.meta = dict(arguments[0].meta)
        node.target, node.args = aten.add.Tensor, (minus, arguments[1])
    elif target is aten.slice.Tensor and arguments[2:] in ((0, sys.maxsize), (None, sys.maxsize)):
        node.replace_all_uses_with(arguments[0])  # the whole of it
        graph.erase_node(node)


def _order(tensor: Any) -> int:
    """How many dimensions what a node gives has."""
    return int(tensor.meta["val"].dim())
