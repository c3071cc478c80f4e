"""A recurrent network's graph made to go on from a state, and to give the state that it ends with beside its answer."""

from __future__ import annotations

from typing import Any

CARRIED = {"LSTM": 2, "GRU": 1, "RNN": 1}
"""Operators with a state of one size, and how many vectors that state is."""

INPUT, OUTPUT = 5, 1
"""Where among the inputs and outputs of each of them its first vector of state has its place."""

BEFORE, AFTER = "before", "after"
"""What the inputs and outputs of the graph are called that hold states, each followed by its number."""

FLOAT = 1
"""What ONNX calls float32."""


def step_graph(model: Any, layers: int) -> bytes | None:
    """A network's graph for one history, with the state before its events as inputs and that after them as outputs.

    To what the graph takes and gives are added `before0`, `before1` and so on, and `after0`, `after1`, each
    `[1, 1, H]`: of each recurrent layer what it carries from event to event, of an LSTM the state and then the cell.
    Zeros before the first event are what the graph itself begins with.

    Args:
        model: the graph as the package `onnx` has it, of a network whose states depend on earlier events by its
            recurrent layers alone; it is changed.
        layers: how many of these the network has.

    Returns:
        The graph, weights inside; None if it does not hold as many recurrent operators.
    """
    graph = model.graph
    nodes = [node for node in graph.node if node.op_type in CARRIED and node.domain in ("", "ai.onnx")]
    if len(nodes) != layers:
        return None
    count = 0
    for node in nodes:
        hidden = next(one.i for one in node.attribute if one.name == "hidden_size")
        for place in range(CARRIED[node.op_type]):
            for names, at, listed, word in (
                (node.input, INPUT + place, graph.input, BEFORE),
                (node.output, OUTPUT + place, graph.output, AFTER),
            ):
                _put(names, at, f"{word}{count}")
                _declare(listed.add(), f"{word}{count}", hidden)
            count += 1
    return bytes(model.SerializeToString())


def _put(names: Any, place: int, name: str) -> None:
    """Puts a name in its place in the list of an operator's inputs or outputs, those left out before it as nothing."""
    while len(names) <= place:
        names.append("")
    names[place] = name


def _declare(value: Any, name: str, hidden: int) -> None:
    """Says what an input or output of a graph is: one vector of floats, for one direction and one history."""
    value.name = name
    value.type.tensor_type.elem_type = FLOAT
    for size in (1, 1, hidden):
        value.type.tensor_type.shape.dim.add().dim_value = size
