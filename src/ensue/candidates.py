"""Drawn candidates: a target ranked among a few items instead of all, for figures that others report so.

Such figures are not comparable with full ranking and do not order models as it does (Krichene & Rendle, "On sampled
metrics for item recommendation", KDD 2020). They are asked for by name, and everything made of them says so.

Candidates are drawn once for a set of examples, and belong to no model: all models are asked about the same ones. As a
Parquet file they can be taken to other tools, or come from them. The file holds items alone, nothing of a user.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue import candidate_table
from ensue.batching import Ints, Items, ranges
from ensue.blocks import blocks
from ensue.catalogue import UNKNOWN, Catalogue
from ensue.drawing import DRAW_BYTES, distinct, tries
from ensue.errors import ConfigError, DataError, nearest
from ensue.splits import Examples

Scores = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

GIVEN = "given"
RULES = {"uniform": "drawn evenly", "popularity": "drawn by popularity", GIVEN: "from elsewhere"}
"""How items are chosen: each as likely as any other; in proportion to its training events, counted as at least 1; or
by somebody else, who wrote a file of them."""

BLOCK_BYTES = 64 * 2**20
EVENT_BYTES = 32
"""What one event of a history takes while its items are looked up (its row, its place and its item)."""


@dataclass(frozen=True)
class Sampling:
    """What a sampled figure must say of itself.

    Attributes:
        number: candidates that were asked for beside each target.
        seed: they were drawn by, or None where ensue did not draw them.
        by: "uniform", "popularity" or "given".
        exclude_seen: whether items of the history are no candidates, or None where nothing says so.
        fewer: queries that have fewer candidates, since the catalogue does not hold enough.
        fingerprint: of the targets and their candidates; the same for the same ones, whatever the model.
    """

    number: int
    seed: int | None
    by: str
    exclude_seen: bool | None
    fewer: int
    fingerprint: str

    def __str__(self) -> str:
        how = RULES[self.by] + ("" if self.seed is None else f", seed {self.seed}")
        return f"SAMPLED, not comparable with full ranking: each target among {self.number:,} items {how}"

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return dict(vars(self)) | {"comparable_with_full_ranking": False}

    def lines(self) -> list[str]:
        """What is to be known beside the figures."""
        return [
            f"{self.fewer:,} targets have fewer than {self.number:,} candidates: the catalogue does not hold enough",
            "warning: sampled figures do not order models as full ranking does; compare them only with others over the "
            f"same candidates ({self.fingerprint})",
        ]


@dataclass(frozen=True, eq=False)
class Candidates:
    """For each of `Q` examples the items that its target is ranked among.

    Attributes:
        items: `[Q, K]` catalogue indices, no item twice in a row, padded with `N` at the end.
        targets: `[Q]` ids of the targets, as written; no target is among its own candidates.
        catalogue: what the indices mean.
        number: how many were asked for.
        seed: they were drawn by, or None where ensue did not draw them.
        by: "uniform", "popularity" or "given".
        exclude_seen: whether items of the history are no candidates, or None where nothing says so.
    """

    items: Items
    targets: pl.Series
    catalogue: Catalogue
    number: int
    seed: int | None = None
    by: str = GIVEN
    exclude_seen: bool | None = None

    @classmethod
    def sampled(
        cls,
        examples: Examples,
        catalogue: Catalogue,
        number: int = 100,
        seed: int = 0,
        exclude_seen: bool = True,
        by: str = "uniform",
        *,
        block_bytes: int = BLOCK_BYTES,
    ) -> Candidates:
        """Candidates drawn without repetition for each example, never its own target.

        Args:
            examples: questions with known answers, in the indices of the catalogue.
            catalogue: the items to draw from.
            number: how many for each target; fewer where the catalogue does not hold enough.
            seed: same seed, same candidates, whatever the model.
            exclude_seen: draw no item of a query's whole history.
            by: "uniform", or "popularity" (in proportion to training events, counted as at least 1).
            block_bytes: most bytes that are taken at a time; it changes no candidate.

        Raises:
            ConfigError: the number or the seed is no such number, or there is no such rule.
            DataError: the examples are in the indices of another catalogue.
        """
        number, seed = _whole(number, 1, "number=100"), _whole(seed, 0, "seed=0")
        rules = [rule for rule in RULES if rule != GIVEN]
        if by not in rules:
            raise ConfigError(
                f"Candidates are not drawn by '{by}', but by {' or '.join(rules)}.{nearest(by, rules)}"
            )
        n_items = _n_items(examples, catalogue)
        weights = (
            np.maximum(catalogue.counts, 1).astype(np.float64) if by == "popularity" else np.ones(n_items)
        )
        width = min(number, n_items)
        items = np.full((len(examples), width), n_items, dtype=np.int32)
        for block, banned in _banned(examples, exclude_seen, tries(width, n_items) * DRAW_BYTES, block_bytes):
            rows = np.arange(block.start, block.stop, dtype=np.int64)
            items[block] = distinct(width, banned[:, :n_items], rows, seed, weights, block_bytes)
        most = int(np.count_nonzero(items < n_items, axis=1).max(initial=1))
        return cls(items[:, :most], examples.target_ids, catalogue, number, seed, by, exclude_seen)

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def sampling(self) -> Sampling:
        """How the candidates came about, for the figures made of them."""
        held = np.count_nonzero(self.items < len(self.catalogue), axis=1)
        fewer = int((held < self.number).sum())
        return Sampling(self.number, self.seed, self.by, self.exclude_seen, fewer, self._fingerprint())

    def among(self, scores: Scores, targets: Items, block: slice) -> Scores:
        """`[q, 1 + K]` scores of a block's targets and of their candidates; minus infinity where there is no item.

        Args:
            scores: `[q, N]` of every item.
            targets: `[q]` catalogue indices, -1 for a cold target.
            block: which queries these are.
        """
        wanted = np.concatenate([targets[:, None], self.items[block]], axis=1)
        held = (wanted != UNKNOWN) & (wanted < len(self.catalogue))
        found = np.take_along_axis(scores, np.where(held, wanted, 0), axis=1)
        found[~held] = -np.inf
        return found

    def check(
        self,
        examples: Examples,
        catalogue: Catalogue,
        exclude_seen: bool | None = None,
        *,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """Nothing, if these are candidates of these examples.

        Args:
            examples: what is asked.
            catalogue: of the model that is asked.
            exclude_seen: whether items of the history are out of the ranking; None takes the candidates' own rule.
            block_bytes: most bytes that are taken at a time.

        Raises:
            ConfigError: they were drawn by another rule for items of the history.
            DataError: they belong to other targets or to another catalogue, or some may be no candidates.
        """
        seen_out = self.exclude_seen if exclude_seen is None else exclude_seen
        if self.exclude_seen is not None and seen_out != self.exclude_seen:
            raise ConfigError(
                f"The candidates were drawn with exclude_seen={self.exclude_seen} and are ranked with exclude_seen="
                f"{seen_out}: take the same for both."
            )
        mend = "draw candidates for these examples anew"
        if len(self) != len(examples):
            raise DataError(
                f"There are candidates for {len(self):,} targets, and {len(examples):,} are asked: {mend}."
            )
        other = int((self.targets != examples.target_ids).sum())
        if other:
            raise DataError(
                f"The candidates belong to other targets in {other:,} of {len(self):,} queries: {mend}."
            )
        if self.catalogue is not catalogue and not self.catalogue.ids.equals(catalogue.ids):
            raise DataError(
                "The candidates are in the indices of another catalogue than the model's: write them to a file, and "
                "read it with the catalogue of this model."
            )
        n_items = _n_items(examples, catalogue)
        own, twice, seen = 0, 0, 0
        for block, banned in _banned(examples, True, self.items.shape[1] * DRAW_BYTES, block_bytes):
            items, targets = self.items[block], examples.targets[block]
            own += int((items == targets[:, None]).any(axis=1).sum())
            ascending = np.sort(items, axis=1)
            same = (ascending[:, 1:] == ascending[:, :-1]) & (ascending[:, 1:] < n_items)
            twice += int(same.any(axis=1).sum())
            found = np.take_along_axis(banned, items.astype(np.int64), axis=1) & (items != targets[:, None])
            seen += int(found.any(axis=1).sum())
        faults = {"their own target": own, "an item twice": twice}
        if seen_out:
            faults["items of the history, which are excluded"] = seen
        told = [
            f"{count:,} queries have {what} among the candidates" for what, count in faults.items() if count
        ]
        if told:
            raise DataError(f"{'; '.join(told)}: {mend}.")

    def frame(self, whose: Examples | None = None) -> pl.DataFrame:
        """One row for each example: its number from 0, the id of its target, and the ids of its candidates.

        Args:
            whose: the examples, if the user (or session) of each is wanted as a first column; this is personal data.
        """
        rows, columns = np.nonzero(self.items < len(self.catalogue))
        ids = self.catalogue.ids.gather(self.items[rows, columns].astype(np.int64)).cast(pl.String)
        held = (
            pl.DataFrame({"query": rows.astype(np.int64), "candidates": ids})
            .group_by("query")
            .agg("candidates")
        )
        frame = pl.DataFrame(
            {"query": np.arange(len(self), dtype=np.int64), "target": self.targets.cast(pl.String)}
        )
        frame = frame.join(held, on="query", how="left", maintain_order="left").with_columns(
            pl.col("candidates").fill_null(pl.lit([], dtype=candidate_table.COLUMNS["candidates"]))
        )
        if whose is None:
            return frame
        return frame.insert_column(0, whose.group_ids.gather(whose.groups).rename(whose.by))

    def write(self, path: Path | str) -> None:
        """Writes the table of `frame()` as Parquet, and how the candidates were drawn beside it.

        Raises:
            ConfigError: nothing can be written there.
        """
        drawn = {"number": self.number, "seed": self.seed, "by": self.by, "exclude_seen": self.exclude_seen}
        candidate_table.write(Path(path), self.frame(), drawn)

    @classmethod
    def read(cls, path: Path | str, examples: Examples, catalogue: Catalogue) -> Candidates:
        """Candidates from a file that `write` or another tool has made.

        Args:
            path: a Parquet file with the columns `query` (0, 1, ...), `target` (id) and `candidates` (list of ids).
            examples: what the candidates are for.
            catalogue: of the model that is asked.

        Raises:
            DataError: the file is no such table, or its candidates are not those of these examples.
        """
        name = Path(path).name
        frame, drawn = candidate_table.read(Path(path))
        try:
            lists = frame["candidates"]
            lengths = lists.list.len().to_numpy().astype(np.int64)
            ids = lists.filter(lists.list.len() > 0).explode()
            codes = catalogue.encode(ids)
            unknown = codes == UNKNOWN
            if unknown.any():
                first = ids.filter(pl.Series(unknown))[0]
                raise DataError(
                    f"{int(unknown.sum()):,} candidates, such as {first!r}, are not in the catalogue of the model"
                    " and cannot be ranked: draw candidates from what it was trained on."
                )
            most = int(lengths.max(initial=0))
            items = np.full((len(frame), max(most, 1)), len(catalogue), dtype=np.int32)
            items[ranges(np.zeros(len(frame), dtype=np.int64), lengths)] = codes
            found = cls(items, frame["target"], catalogue, **_described(drawn, most))
            found.check(examples, catalogue)
        except DataError as fault:
            raise DataError(f"{name}: {fault}") from None
        return found

    def _fingerprint(self) -> str:
        """The same for the same targets and candidates, also where a catalogue has its items in another order."""
        used, codes = np.unique(self.items, return_inverse=True)
        used = used[used < len(self.catalogue)]
        ids = self.catalogue.ids.gather(used.astype(np.int64)).cast(pl.String)
        order = ids.arg_sort().to_numpy()
        places = np.full(len(used) + 1, len(used), dtype="<i4")
        places[order] = np.arange(len(used))
        total = hashlib.sha256(json.dumps([ids.gather(order).to_list(), self.targets.to_list()]).encode())
        total.update(json.dumps(self.items.shape).encode())
        total.update(places[codes].tobytes())
        return total.hexdigest()[:16]


def _banned(examples: Examples, seen: bool, each: int, most: int) -> Iterator[tuple[slice, Mask]]:
    """Stretches of queries, and `[q, N + 1]` what may be no candidate of each: its target, and its history if seen."""
    queries, n_items = examples.queries, examples.queries.n_items
    costs: Ints = n_items + 1 + each + queries.lengths * EVENT_BYTES
    for block in blocks(costs, most):
        targets = examples.targets[block]
        banned = np.zeros((len(targets), n_items + 1), dtype=bool)
        warm = np.flatnonzero(targets != UNKNOWN)
        banned[warm, targets[warm]] = True
        if seen:
            banned[queries[block].pairs()] = True
        yield block, banned


def _n_items(examples: Examples, catalogue: Catalogue) -> int:
    """Size of the catalogue, if the examples are in its indices."""
    if examples.queries.n_items != len(catalogue):
        raise DataError(
            f"The examples count {examples.queries.n_items} items, the catalogue {len(catalogue)}: make the examples "
            "with this catalogue."
        )
    return len(catalogue)


def _described(drawn: dict[str, Any], most: int) -> dict[str, Any]:
    """How the candidates of a file were drawn, as fields; a file that says nothing is from elsewhere."""
    if not drawn:
        return {"number": most}
    kinds = {"number": int, "seed": int | None, "by": str, "exclude_seen": bool | None}
    whole = set(drawn) == set(kinds) and all(isinstance(drawn[name], kind) for name, kind in kinds.items())
    if not whole or drawn["by"] not in RULES or drawn["number"] < most:
        raise DataError("what it says of how its candidates were drawn is damaged: write it again.")
    return drawn


def _whole(value: object, least: int, example: str) -> int:
    """A whole number from `least` up."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        name = example.partition("=")[0]
        raise ConfigError(f"{name}={value!r} is no whole number from {least} up, such as {example}.")
    return int(value)
