"""ONNX graphs of one product, written byte by byte: what serves has ONNX Runtime, and not the package `onnx`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET, CONTRIB, FORMAT = 20, "com.microsoft", 8
"""Versions of the operators and of the file, and the name of the operators that ONNX Runtime adds."""

KINDS = {"float32": 1, "uint8": 2, "int8": 3, "float16": 10}
"""What ONNX calls the types of numbers."""

INT = 2
"""What it calls a setting that is a whole number."""

BLOCK = 4_096
"""Items whose half floats are widened at a time: what they make, at width 64 one MB, is multiplied out of the cache."""


def plain_product(table: NDArray[np.float32], bias: NDArray[np.float32] | None) -> bytes:
    """A graph from `states [Q, D]` to `scores [Q, N]`: the product with a table, and a number for each item.

    Args:
        table: `[N, D]`.
        bias: `[N]`, or None.
    """
    held = [_tensor("table", np.ascontiguousarray(table.T))]
    nodes = [_node("MatMul", ["states", "table"], ["scores" if bias is None else "product"])]
    if bias is not None:
        held.append(_tensor("bias", bias))
        nodes.append(_node("Add", ["product", "bias"], ["scores"]))
    states = _value("states", "float32", ["Q", table.shape[1]])
    return _model(nodes, held, [states], _value("scores", "float32", ["Q", len(table)]))


def half_product(n_items: int, width: int, bias: NDArray[np.float32] | None) -> bytes:
    """A graph from `states [Q, D]`, and the table in half floats, to `scores [Q, N]`.

    ONNX Runtime has no product of half floats for the processors of most servers: of a table inside the graph it would
    make one of floats at its start, and keep both. So the table is handed to each call, as `half0 [D, BLOCK]`, `half1`
    and so on, without a copy; each block is widened when its turn comes, and no more than one is there as floats.

    Args:
        n_items: `N`.
        width: `D`.
        bias: `[N]`, or None.
    """
    nodes, given = [], [_value("states", "float32", ["Q", width])]
    parts = []
    for place, begin in enumerate(range(0, n_items, BLOCK)):
        half, wide, part = f"half{place}", f"wide{place}", f"part{place}"
        given.append(_value(half, "float16", [width, min(BLOCK, n_items - begin)]))
        nodes.append(_node("Cast", [half], [wide], whole={"to": KINDS["float32"]}))
        nodes.append(_node("MatMul", ["states", wide], [part]))
        parts.append(part)
    nodes.append(_node("Concat", parts, ["scores" if bias is None else "product"], whole={"axis": 1}))
    held = []
    if bias is not None:
        held.append(_tensor("bias", bias))
        nodes.append(_node("Add", ["product", "bias"], ["scores"]))
    return _model(nodes, held, given, _value("scores", "float32", ["Q", n_items]))


def small_product(
    table: NDArray[np.int8], scales: NDArray[np.float32], middle: int, bias: NDArray[np.float32] | None
) -> bytes:
    """A graph from a state of small integers `state [1, D]` and its scale to `scores [1, N]`.

    Args:
        table: `[N, D]` small integers.
        scales: `[N]` what one step of each row is worth.
        middle: the integer that stands for 0 in a state.
        bias: `[N]`, or None.
    """
    held = [
        _tensor("table", np.ascontiguousarray(table.T)),
        _tensor("scales", scales),
        _tensor("middle", np.array(middle, dtype=np.uint8)),
    ]
    taken = ["state", "table", "scale", "scales", "middle", ""]
    if bias is not None:
        held.append(_tensor("bias", bias))
        taken.append("bias")
    nodes = [_node("MatMulIntegerToFloat", taken, ["scores"], CONTRIB)]
    given = [_value("state", "uint8", [1, table.shape[1]]), _value("scale", "float32", [])]
    return _model(nodes, held, given, _value("scores", "float32", [1, len(table)]))


def _model(nodes: Iterable[bytes], held: Iterable[bytes], given: Iterable[bytes], found: bytes) -> bytes:
    graph = b"".join(
        [
            *(_part(1, node) for node in nodes),
            _part(2, b"product"),
            *(_part(5, tensor) for tensor in held),
            *(_part(11, value) for value in given),
            _part(12, found),
        ]
    )
    operators = [_part(1, b"") + _number(2, OPSET), _part(1, CONTRIB.encode()) + _number(2, 1)]
    return _number(1, FORMAT) + _part(7, graph) + b"".join(_part(8, one) for one in operators)


def _node(
    kind: str,
    taken: Iterable[str],
    given: Iterable[str],
    domain: str = "",
    whole: Mapping[str, int] | None = None,
) -> bytes:
    """An operation; `whole` are its settings that are whole numbers."""
    names = [*(_part(1, name.encode()) for name in taken), *(_part(2, name.encode()) for name in given)]
    set_to = [
        _part(5, _part(1, name.encode()) + _number(3, value) + _number(20, INT))
        for name, value in (whole or {}).items()
    ]
    return b"".join(names) + _part(4, kind.encode()) + b"".join(set_to) + _part(7, domain.encode())


def _tensor(name: str, array: NDArray[Any]) -> bytes:
    sizes = b"".join(_number(1, size) for size in array.shape)
    return sizes + _number(2, KINDS[array.dtype.name]) + _part(8, name.encode()) + _part(9, array.tobytes())


def _value(name: str, kind: str, sizes: Sequence[int | str]) -> bytes:
    dims = b"".join(
        _part(1, _part(2, size.encode()) if isinstance(size, str) else _number(1, size)) for size in sizes
    )
    return _part(1, name.encode()) + _part(2, _part(1, _number(1, KINDS[kind]) + _part(2, dims)))


def _number(key: int, value: int) -> bytes:
    return _varint(key << 3) + _varint(value)


def _part(key: int, content: bytes) -> bytes:
    return _varint(key << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
