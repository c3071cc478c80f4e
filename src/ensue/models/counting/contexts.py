"""What follows each context of items, counted: a tree of contexts, one sparse table per length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError
from ensue.models.counting.transitions import entries, stored_counts
from ensue.ranking import POPULARITY_SHARE, Parts, Scores
from ensue.sequences import Queries, Sequences
from ensue.transitions import check_table

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Chain:
    """Counts of what followed each context of 1, 2, ... items.

    Attributes:
        tables: one for each length of context. The first is `[N, N]`: row a, column b counts b after a. An entry of
            a table is a run of items that was seen, and so a context of the next length: entry e of one table is row
            e of the next.
        items: `[N]` share of each item when nothing is known of what came before.
    """

    tables: tuple[sp.csr_array, ...]
    items: Floats


def chain(sequences: Sequences, order: int, continuation: bool) -> Chain:
    """The counts of a log's sequences, exact: contexts are looked up, never hashed.

    Args:
        sequences: training sequences; no context reaches over the end of one.
        order: the most items of a context.
        continuation: all but the longest contexts count distinct predecessors (an item, or the beginning of a
            sequence) instead of events; not with an objective.
    """
    n = sequences.n_items
    item = sequences.items.astype(np.int64)
    place = np.arange(len(item)) - np.repeat(sequences.offsets[:-1], sequences.lengths)
    run, runs = item, n  # the run of `length` items that ends at each event, as a number below `runs`
    weight = sequences.weight
    keys, counts = [], [np.bincount(item, weight, minlength=n)]
    for length in range(1, order + 1):
        ends = np.flatnonzero(place >= length)
        wanted = run[ends - 1] * n + item[ends]
        if length == order and not continuation and weight is None:
            found, count = np.unique(wanted, return_counts=True)  # quicker, and all that is needed
            first = inverse = np.zeros(0, dtype=np.int64)
        else:
            found, first, inverse, count = np.unique(
                wanted, return_index=True, return_inverse=True, return_counts=True
            )
        if weight is not None:  # a run that ends with no target counts nothing, and is a context nonetheless
            count = np.bincount(inverse, weight[ends], minlength=len(found))
        if continuation:
            counts[-1] = _predecessors(run, runs, run[ends[first]], place == length - 1)
        keys.append((found, runs))
        counts.append(count)
        if length < order:
            run, runs = np.full(len(item), -1, dtype=np.int64), len(found)
            run[ends] = inverse
    tables = tuple(
        _table(found, rows, n, count) for (found, rows), count in zip(keys, counts[1:], strict=True)
    )
    return Chain(tables, counts[0] / counts[0].sum())


def _predecessors(run: Ints, runs: int, longer: Ints, begins: NDArray[np.bool_]) -> Ints:
    """`[runs]` how many different items came before each run; the beginning of a sequence counts as one more.

    Args:
        run: `[E]` the run that ends at each event, -1 where there is none.
        runs: how many there are.
        longer: for each different run that is one item longer at its front, the run it ends with.
        begins: `[E]` whether the run that ends here begins its sequence.
    """
    found = np.bincount(longer, minlength=runs)
    found[run[begins]] += 1  # once, however many sequences begin with it
    return found


def _table(keys: Ints, rows: int, n: int, counts: Ints) -> sp.csr_array:
    indptr = np.searchsorted(keys, np.arange(rows + 1, dtype=np.int64) * n)
    shape = (rows, n)
    return sp.csr_array((counts.astype(np.float64), (keys % n).astype(np.int32), indptr), shape=shape)


@dataclass(frozen=True, eq=False)
class ChainScoring:
    """Scores from the longest context that was seen, and from the shorter ones what it leaves open.

    Attributes:
        chain: the counts.
        discount: what each count gives up to the shorter context.
        shares: the tables with `max(count - discount, 0) / total of the row`.
        passed: for each table and row, the weight of the shorter context's answer.
        keys: for each table but the last, `row x N + column` of its entries, ascending.
        followed: for each table and row, whether anything that counts followed.
    """

    chain: Chain
    discount: float
    shares: tuple[sp.csr_array, ...]
    passed: tuple[Floats, ...]
    keys: tuple[Ints, ...]
    followed: tuple[NDArray[np.bool_], ...]

    @property
    def scores_are(self) -> str | None:
        """Probabilities, if counts are discounted."""
        return "probabilities" if self.discount else None

    @classmethod
    def of(cls, chain: Chain, discount: float) -> ChainScoring:
        """The scoring of these counts."""
        shares, passed, keys, followed = [], [], [], []
        for table in chain.tables:
            total = np.asarray(table.sum(axis=1)).ravel()
            different = np.diff(table.indptr)
            seen = np.where(total > 0, total, 1.0)
            share = np.maximum(table.data - discount, 0.0) / np.repeat(seen, different)
            shares.append(sp.csr_array((share, table.indices, table.indptr), shape=table.shape))
            given: Floats = (discount * different).astype(np.float64)
            if (table.data < discount).any():  # a count gives up no more than it is
                less = np.minimum(table.data, discount)
                summed = sp.csr_array((less, table.indices, table.indptr), table.shape).sum(axis=1)
                given = np.asarray(summed, dtype=np.float64).ravel()
            passed.append(given / seen if discount else np.full(len(total), POPULARITY_SHARE))
            followed.append(total > 0)
            rows = np.repeat(np.arange(table.shape[0], dtype=np.int64), different)
            keys.append(rows * table.shape[1] + table.indices)
        return cls(chain, discount, tuple(shares), tuple(passed), tuple(keys), tuple(followed))

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` float64 scores; probabilities if counts are discounted."""
        scores: Scores = np.zeros((len(queries), len(self.chain.items)))
        for length, seen, row, weight in self._answering(queries):
            if length == 0:
                scores += weight[:, None] * self.chain.items
                break
            table = self.shares[length - 1]
            offsets = np.searchsorted(seen, np.arange(len(queries) + 1))
            chosen = sp.csr_array((weight, row, offsets), shape=(len(queries), table.shape[0]))
            scores += (chosen @ table).toarray()
        return scores

    def contributions(self, queries: Queries, items: Items) -> tuple[Floats, Floats]:
        """What each event adds to the score of an item, and what does not hang on the history; together the score.

        What a context of several items adds is parted equally among them, since it takes all of them.

        Args:
            queries: `Q` histories of at least one item.
            items: `[Q]` one item for each.

        Returns:
            `[E]` parts, of all events of all histories as in `Queries.pairs`, and `[Q]` the rest.
        """
        newest = np.cumsum(queries.lengths) - 1
        parts, rest = np.zeros(int(queries.lengths.sum())), np.zeros(len(queries))
        for length, seen, row, weight in self._answering(queries):
            if length == 0:
                rest = weight * self.chain.items[items]
                break
            added = weight * entries(self.shares[length - 1], row, items[seen]) / length
            for step in range(length):
                parts[newest[seen] - step] += added
        return parts, rest

    def _answering(self, queries: Queries) -> Iterator[tuple[int, Ints, Ints, Floats]]:
        """Which contexts answer, the longest first, and with what weight.

        Yields:
            `(items of the context, which queries have one that was seen, its row of the table, its weight)`; at last
            the context of no items, which all queries have.
        """
        recent = queries.last(len(self.shares)).astype(np.int64)
        weight = np.ones(len(queries))
        for level in reversed(range(len(self.shares))):
            row = self._context(recent[:, : level + 1])
            seen = np.flatnonzero(row >= 0)
            seen = seen[self.followed[level][row[seen]]]
            yield level + 1, seen, row[seen], weight[seen]
            unseen = 1.0 if level or self.discount else POPULARITY_SHARE
            passed = np.full(len(queries), unseen)
            passed[seen] = self.passed[level][row[seen]]
            weight = weight * passed
        everybody = np.arange(len(queries))
        yield 0, everybody, np.zeros_like(everybody), weight

    def _context(self, recent: Ints) -> Ints:
        """`[Q]` the row of each context of items, given most recent first; -1 for one that was not seen."""
        n = len(self.chain.items)
        row = np.where(recent[:, -1] < n, recent[:, -1], -1)
        for step in reversed(range(recent.shape[1] - 1)):
            keys = self.keys[recent.shape[1] - 2 - step]
            wanted = row * n + recent[:, step]
            entry = np.searchsorted(keys, wanted)
            found = row >= 0
            found[found] = entry[found] < len(keys)
            found[found] = keys[entry[found]] == wanted[found]
            row = np.where(found, entry, -1)
        return row

    def parts(self) -> Parts:
        """The counts; shares are worked out anew from them."""
        arrays: dict[str, NDArray[np.generic]] = {"items": self.chain.items}
        for level, table in enumerate(self.chain.tables, 1):
            arrays[f"{level}.counts"] = stored_counts(table.data)
            arrays[f"{level}.indices"] = table.indices.astype(np.int32)
            arrays[f"{level}.indptr"] = table.indptr.astype(np.int64)
        return Parts({"order": len(self.chain.tables), "discount": self.discount}, arrays)

    @classmethod
    def restored(cls, parts: Parts, catalogue: Catalogue) -> ChainScoring:
        """The scoring from its stored parts.

        Raises:
            ArtifactError: the arrays do not make a chain over the catalogue.
        """
        n = len(catalogue)
        items = parts.arrays["items"]
        if items.shape != (n,) or not np.isfinite(items).all():
            raise ArtifactError(
                f"The stored shares do not fit their {n} items: the artifact is damaged, save it anew."
            )
        rows, tables = n, []
        for level in range(1, int(parts.settings["order"]) + 1):
            counts, indices, indptr = (
                parts.arrays[f"{level}.{part}"] for part in ("counts", "indices", "indptr")
            )
            check_table(counts, indices, indptr, rows, n)
            tables.append(sp.csr_array((counts.astype(np.float64), indices, indptr), shape=(rows, n)))
            rows = len(counts)
        return cls.of(Chain(tuple(tables), items), float(parts.settings["discount"]))
