"""Scores of a large catalogue: the product of a state with the table of its items, kept as it is, smaller, or indexed.

Up to `APART` items the product is a part of a network's own graph. Above, the graph ends with the state, and the
product is made here, in one of four ways:

- *fp32*: with the table as it was learnt.
- *fp16*: with half floats, in half of the memory; all scores are those of the rounded table.
- *int8*: with a table of a quarter of the size, which takes about half the time, since reading the table is what takes
  it; then the best `RESCORED` items are scored anew with the table as it was learnt. All others stand below them, by
  what the small integers say. So an answer is exact as long as it is made of these: with very narrow rules, take fp32.
- *approximate*: with the items alone that an index finds near (see `ensue.nearest`), `RESCORED` of them, which are
  scored with the table as it was learnt. All others stand below them, in the order of the catalogue.

How far each agrees with the table as it was learnt is measured when it is made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Items
from ensue.errors import ArtifactError, ConfigError
from ensue.nearest import Index, Shelf, index_of
from ensue.product_graph import BLOCK, half_product, plain_product, small_product
from ensue.ranking import Scores, top_k_rows

APART = 100_000
"""Items above which the product is not a part of the graph."""

SMALL = 500_000
"""Items above which "auto" takes small integers."""

RESCORED = 1_000
"""The best items by small integers or an index, which are scored anew."""

KINDS = ("fp32", "fp16", "int8", "approximate")
"""The ways."""

PRODUCT = "product"
"""The entry of an artifact's settings that tells of a product that is not in its graph."""

MIDDLE = 64
"""The integer that stands for 0 in a state: of 7 bits, since sums of pairs of 8 bits overflow on some processors."""

LOOKED, ASKED = 10, 32
"""Places of a list, and states, by which it is measured how far a product agrees with the table as it was learnt."""

Table = NDArray[np.float32]


@dataclass(frozen=True)
class Made:
    """How scores are made of states, and what is known of it.

    Attributes:
        kind: of `KINDS`.
        bytes: of the table that each answer reads, or of the index.
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


@dataclass(frozen=True, eq=False)
class Learnt:
    """The vectors of the items as they were learnt.

    Attributes:
        table: `[N, D]`.
        bias: `[N]` what is added to the product of each item, or None.
    """

    table: Table
    bias: Table | None = None

    def __len__(self) -> int:
        return len(self.table)

    def scores(self, state: Table, items: NDArray[np.integer]) -> Table:
        """`[K]` scores of some items: products in double precision, so that equal vectors have equal scores."""
        rows = self.table[items].astype(np.float64)
        found = np.einsum("kd,d->k", rows, state.astype(np.float64))
        if self.bias is not None:
            found += self.bias[items]
        rounded: Table = found.astype(np.float32)
        return rounded

    def best(self, state: Table, k: int) -> Items:
        """`[k]` the best items for a state."""
        scores = self.table @ state
        if self.bias is not None:
            scores += self.bias
        found: Items = top_k_rows(scores[None], k)[0]
        return found


class Product(Protocol):
    """The scores of all items for states."""

    made: Made

    def scores(self, states: Table) -> Scores:
        """`[Q, N]` float32 scores for `[Q, D]` states."""
        ...

    def first(self, state: Table, k: int) -> NDArray[np.integer]:
        """`[k]` the best items for a state, before any is scored anew."""
        ...


class Plain:
    """The product with the table as it was learnt.

    Args:
        learnt: `N` items.
        threads: cores for one product; 0 leaves it to ONNX Runtime.
    """

    def __init__(self, learnt: Learnt, threads: int = 1) -> None:
        self.made = Made("fp32", learnt.table.nbytes)
        self._session = session_of(plain_product(learnt.table, learnt.bias), threads)

    def scores(self, states: Table) -> Scores:
        """`[Q, N]` float32 scores."""
        found: Scores = self._session.run(["scores"], {"states": states})[0]
        return found

    def first(self, state: Table, k: int) -> Items:
        """See `Product.first`."""
        best: Items = top_k_rows(self.scores(state[None]), k)[0]
        return best


class Half(Plain):
    """The product with the table in half floats; the one as it was learnt is not held.

    Args:
        learnt: `N` items.
        threads: cores for one product; 0 leaves it to ONNX Runtime.

    Raises:
        ConfigError: half floats cannot hold a vector.
    """

    def __init__(self, learnt: Learnt, threads: int = 1) -> None:
        self._halves: dict[str, NDArray[np.float16]] = {}
        for begin in range(0, len(learnt), BLOCK):
            with np.errstate(over="ignore"):
                half = np.ascontiguousarray(learnt.table[begin : begin + BLOCK].T, dtype=np.float16)
            if not np.isfinite(half).all():
                raise ConfigError(
                    'Some vectors of items are beyond half floats: take table = "fp32" or "int8".'
                )
            self._halves[f"half{len(self._halves)}"] = half
        self.made = Made("fp16", sum(half.nbytes for half in self._halves.values()))
        graph = half_product(len(learnt), learnt.table.shape[1], learnt.bias)
        self._session = session_of(graph, threads)

    def scores(self, states: Table) -> Scores:
        """`[Q, N]` float32 scores."""
        found: Scores = self._session.run(["scores"], {"states": states, **self._halves})[0]
        return found


class Rescored(ABC):
    """A product whose best items are scored anew with the table as it was learnt; all others stand below them.

    Args:
        learnt: `N` items.
        rescored: how many are scored anew.
    """

    made: Made

    def __init__(self, learnt: Learnt, rescored: int = RESCORED) -> None:
        self._learnt, self._rescored = learnt, min(rescored, len(learnt))

    def scores(self, states: Table) -> Scores:
        """`[Q, N]` float32 scores; those of the best items are exact, and no other stands above them."""
        if len(states) == 1:
            return self._one(states[0])[None]
        found = np.empty((len(states), len(self._learnt)), dtype=np.float32)
        for row, state in zip(found, states, strict=True):
            row[:] = self._one(state)
        return found

    @abstractmethod
    def first(self, state: Table, k: int) -> NDArray[np.integer]:
        """See `Product.first`."""

    @abstractmethod
    def _one(self, state: Table) -> Scores:
        """`[N]` scores for one state."""


class Small(Rescored):
    """The product in small integers.

    Args:
        learnt: `N` items.
        threads: cores for one product; 0 leaves it to ONNX Runtime.
        rescored: how many are scored anew.
    """

    def __init__(self, learnt: Learnt, threads: int = 1, rescored: int = RESCORED) -> None:
        super().__init__(learnt, rescored)
        table = learnt.table
        scales = np.maximum(np.abs(table).max(axis=1), np.finfo(np.float32).tiny) / np.float32(127)
        small = np.empty(table.shape, dtype=np.int8)
        for begin in range(0, len(table), APART):  # in parts, so that no second table of floats is there
            part = slice(begin, begin + APART)
            np.rint(table[part] / scales[part, None], out=small[part], casting="unsafe")
        self.made = Made("int8", small.nbytes)
        self._session = session_of(small_product(small, scales, MIDDLE, learnt.bias), threads)

    def first(self, state: Table, k: int) -> Items:
        """See `Product.first`."""
        best: Items = top_k_rows(self._small(state), k)[0]
        return best

    def _small(self, state: Table) -> Scores:
        scale = np.float32(max(float(np.abs(state).max()), 1e-30) / (MIDDLE - 1))
        integers = (np.rint(state / scale) + MIDDLE).astype(np.uint8)[None]
        found: Scores = self._session.run(["scores"], {"state": integers, "scale": np.array(scale)})[0]
        return found

    def _one(self, state: Table) -> Scores:
        scores = self._small(state)
        best = top_k_rows(scores, self._rescored)[0]
        exact = self._learnt.scores(state, best)
        row: Scores = scores[0]
        np.minimum(row, _below(exact), out=row)
        row[best] = exact
        return row


class Near(Rescored):
    """The product with the items alone that an index finds.

    Args:
        learnt: `N` items.
        index: of them.
        rescored: how many it is asked for.
    """

    def __init__(self, learnt: Learnt, index: Index, rescored: int = RESCORED) -> None:
        super().__init__(learnt, rescored)
        self._index = index
        self.made = Made("approximate", index.bytes)

    def first(self, state: Table, k: int) -> NDArray[np.int64]:
        """See `Product.first`."""
        return self._index.best(state, self._rescored)[:k]

    def _one(self, state: Table) -> Scores:
        best = self._index.best(state, self._rescored)
        exact = self._learnt.scores(state, best)
        row = np.full(len(self._learnt), _below(exact), dtype=np.float32)
        row[best] = exact
        return row


def _below(exact: Table) -> np.float32:
    """A score that stands below all of these."""
    least = exact.min() if len(exact) else np.float32(0)
    return np.float32(np.nextafter(least, np.float32(-np.inf)))


def measured(product: Product, learnt: Learnt, states: Table) -> Made:
    """What is known of a product, with how far its best items are those by the table as it was learnt.

    Args:
        product: of these items.
        learnt: `N` items.
        states: `[Q, D]` for which it is measured.
    """
    k = min(LOOKED, len(learnt))
    same = before = 0
    for state in states:
        best = set(learnt.best(state, k).tolist())
        before += len(best & set(product.first(state, k).tolist()))
        same += len(best & set(top_k_rows(product.scores(state[None]), k)[0].tolist()))
    asked = max(len(states), 1) * k
    return replace(product.made, agreement=same / asked, before=before / asked)


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
    """In which of the ways a product is made.

    Args:
        asked: one of them, or "auto", which goes by the size: small integers above `SMALL` items.
        n_items: `N`.

    Raises:
        ConfigError: there is no such way.
    """
    if asked not in ("auto", *KINDS):
        raise ConfigError(f"table = {asked!r}: must be auto, {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
    return asked if asked != "auto" else "int8" if n_items > SMALL else "fp32"


def learnt_of(said: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], n_items: int) -> Learnt:
    """The vectors that an artifact tells of.

    Args:
        said: names of its `table`, and of its `bias` or None; whether it is a `cosine`.
        arrays: of the artifact.
        n_items: `N`.

    Raises:
        ArtifactError: they do not fit the artifact.
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
    return Learnt(table, bias)


def product_of(
    learnt: Learnt, kind: str, threads: int, states: Callable[[], Table], shelf: Shelf | None = None
) -> Product:
    """A product, made and measured.

    Args:
        learnt: `N` items.
        kind: of `KINDS`.
        threads: cores for one product, and to make an index.
        states: some, by which it is measured.
        shelf: where an index is kept; None keeps none.

    Raises:
        ArtifactError: an index cannot be kept there.
        ConfigError: half floats cannot hold a vector.
        MissingExtraError: what makes an index is not installed.
    """
    if kind == "fp32":
        return Plain(learnt, threads)
    product: Half | Small | Near
    if kind == "fp16":
        product = Half(learnt, threads)
    elif kind == "int8":
        product = Small(learnt, threads)
    else:
        product = Near(learnt, index_of(learnt.table, learnt.bias, threads, shelf))
    product.made = measured(product, learnt, states())
    return product
