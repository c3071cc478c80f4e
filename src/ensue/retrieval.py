"""Scores of a large catalogue: the product of a state with the table of its items, kept as it is or in small integers.

Up to `APART` items the product is a part of a network's own graph. Above, the graph ends with the state, and the
product is made here, in one of two ways:

- *fp32*: with the table as it was learnt.
- *int8*: with a table of a quarter of the size, which takes about half the time, since reading the table is what takes
  it; then the best `RESCORED` items are scored anew with the table as it was learnt. All others stand below them, by
  what the small integers say. So an answer is exact as long as it is made of these: with very narrow rules, take fp32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ensue.errors import ArtifactError, ConfigError
from ensue.product_graph import plain_product, small_product
from ensue.ranking import Scores, top_k_rows

APART = 100_000
"""Items above which the product is not a part of the graph."""

SMALL = 500_000
"""Items above which "auto" takes small integers."""

RESCORED = 1_000
"""The best items by small integers, which are scored anew."""

PRODUCT = "product"
"""The entry of an artifact's settings that tells of a product that is not in its graph."""

MIDDLE = 64
"""The integer that stands for 0 in a state: of 7 bits, since sums of pairs of 8 bits overflow on some processors."""

LOOKED, ASKED = 10, 32
"""Places of a list, and states, by which it is measured how far small integers agree with the table."""

Table = NDArray[np.float32]


@dataclass(frozen=True)
class Made:
    """How scores are made of states, and what is known of it.

    Attributes:
        kind: "fp32" or "int8".
        bytes: of the table that each answer reads.
        agreement: share of the best 10 items that are the same as with the table as it was learnt; 1 of that itself.
        before: the same before the best ones are scored anew.
    """

    kind: str
    bytes: int
    agreement: float = 1.0
    before: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "table": self.kind,
            "bytes": self.bytes,
            "agreement": round(self.agreement, 4),
            "agreement_before_rescoring": round(self.before, 4),
        }


class Product(Protocol):
    """The scores of all items for states."""

    made: Made

    def scores(self, states: Table) -> Scores:
        """`[Q, N]` float32 scores for `[Q, D]` states."""
        ...


class Plain:
    """The product with the table as it was learnt.

    Args:
        table: `[N, D]`.
        bias: `[N]` or None.
        threads: cores for one product; 0 leaves it to ONNX Runtime.
    """

    def __init__(self, table: Table, bias: Table | None = None, threads: int = 1) -> None:
        self.made = Made("fp32", table.nbytes)
        self._session = session_of(plain_product(table, bias), threads)

    def scores(self, states: Table) -> Scores:
        """`[Q, N]` float32 scores."""
        found: Scores = self._session.run(["scores"], {"states": states})[0]
        return found


class Rescored:
    """The product in small integers, the best items scored anew with the table as it was learnt.

    Args:
        table: `[N, D]`.
        bias: `[N]` or None.
        threads: cores for one product; 0 leaves it to ONNX Runtime.
        rescored: how many are scored anew.
    """

    def __init__(
        self, table: Table, bias: Table | None = None, threads: int = 1, rescored: int = RESCORED
    ) -> None:
        self._table, self._bias, self._rescored = table, bias, min(rescored, len(table))
        scales = np.maximum(np.abs(table).max(axis=1), np.finfo(np.float32).tiny) / np.float32(127)
        small = np.empty(table.shape, dtype=np.int8)
        for begin in range(0, len(table), APART):  # in parts, so that no second table of floats is there
            part = slice(begin, begin + APART)
            np.rint(table[part] / scales[part, None], out=small[part], casting="unsafe")
        self.made = Made("int8", small.nbytes)
        self._session = session_of(small_product(small, scales, MIDDLE, bias), threads)

    def scores(self, states: Table) -> Scores:
        """`[Q, N]` float32 scores; those of the best items are exact, and no other stands above them."""
        if len(states) == 1:
            return self._one(states[0])[None]
        found = np.empty((len(states), len(self._table)), dtype=np.float32)
        for row, state in zip(found, states, strict=True):
            row[:] = self._one(state)
        return found

    def _small(self, state: Table) -> Scores:
        scale = np.float32(max(float(np.abs(state).max()), 1e-30) / (MIDDLE - 1))
        integers = (np.rint(state / scale) + MIDDLE).astype(np.uint8)[None]
        found: Scores = self._session.run(["scores"], {"state": integers, "scale": np.array(scale)})[0]
        return found

    def _one(self, state: Table) -> Scores:
        scores = self._small(state)
        best = top_k_rows(scores, self._rescored)[0]
        exact = self.exact(state, best)
        row: Scores = scores[0]
        np.minimum(row, np.nextafter(exact.min(), np.float32(-np.inf)), out=row)
        row[best] = exact
        return row

    def exact(self, state: Table, items: NDArray[np.integer]) -> Table:
        """`[K]` scores of some items: products in double precision, so that equal vectors have equal scores."""
        rows = self._table[items].astype(np.float64)
        found = np.einsum("kd,d->k", rows, state.astype(np.float64))
        if self._bias is not None:
            found += self._bias[items]
        rounded: Table = found.astype(np.float32)
        return rounded

    def measure(self, states: Table) -> None:
        """Measures on some states how far the best items are the same as with the table as it was learnt."""
        k = min(LOOKED, len(self._table))
        table, bias = self._table, 0 if self._bias is None else self._bias
        same = before = 0
        for state in states:
            plain = set(top_k_rows((table @ state + bias)[None], k)[0].tolist())
            before += len(plain & set(top_k_rows(self._small(state), k)[0].tolist()))
            same += len(plain & set(top_k_rows(self._one(state)[None], k)[0].tolist()))
        asked = max(len(states), 1) * k
        self.made = Made("int8", self.made.bytes, same / asked, before / asked)


def session_of(graph: bytes, threads: int) -> Any:
    """A session of ONNX Runtime.

    Args:
        graph: checked, or our own.
        threads: cores for one call; 0 leaves it to ONNX Runtime.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # threads that wait for work by turning in circles take the time of other processes
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def kind_of(asked: str, n_items: int) -> str:
    """Whether a table is kept as it was learnt or in small integers.

    Args:
        asked: "auto" goes by the size: small integers above `SMALL` items.
        n_items: `N`.

    Raises:
        ConfigError: there is no such kind.
    """
    if asked not in ("auto", "fp32", "int8"):
        raise ConfigError(f"table = {asked!r}: must be auto, fp32 or int8.")
    return asked if asked != "auto" else "int8" if n_items > SMALL else "fp32"


def restored(
    said: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], n_items: int, kind: str, threads: int
) -> Product:
    """The product that an artifact tells of.

    Args:
        said: names of its `table`, and of its `bias` or None; whether it is a `cosine`.
        arrays: of the artifact.
        n_items: `N`.
        kind: "fp32" or "int8".
        threads: cores for one product.

    Raises:
        ArtifactError: it does not fit the artifact.
    """
    table, name = arrays.get(str(said.get("table"))), said.get("bias")
    bias = None if name is None else arrays.get(str(name))
    if table is None or table.ndim != 2 or len(table) != n_items or table.dtype != np.float32:
        raise ArtifactError("The table of items is missing or does not fit; copy or save the model anew.")
    if name is not None and (bias is None or bias.shape != (n_items,) or bias.dtype != np.float32):
        raise ArtifactError(
            "The numbers of the items are missing or do not fit; copy or save the model anew."
        )
    if said.get("cosine"):
        table = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    return (Rescored if kind == "int8" else Plain)(table, bias, threads)
