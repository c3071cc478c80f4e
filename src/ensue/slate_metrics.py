"""What slates are like beyond their hits: coverage, novelty, diversity, popularity bias, repeats.

One slate for each user counts: the one before the user's last target, by the rule that serves (the same exclusion of
seen items, ties in catalogue order). So a user with many targets does not outvote the others, and a catalogue is not
covered by asking the same person a hundred times.

A figure is a frozen dataclass with a `word`; writing one is all that it takes to be reported. It gives a value for
each user, of which the mean is reported with its interval, or one value of all slates together.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Items
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError, nearest
from ensue.item_similarity import unit_vectors
from ensue.significance import Interval, interval

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

K = 10
"""Items of a slate."""

HEAD = 0.2
"""The share of the catalogue, most popular first, that is its head."""

_ENTRIES = 4_000_000
"""Numbers that one block of users' summed item vectors holds at most: 32 MB."""


@dataclass(frozen=True, eq=False)
class Slates:
    """One slate for each of `U` users, and what its figures need.

    Attributes:
        items: `[U, K]` item indices, best first; `N` where fewer could be served.
        targets: `[U]` the item that came next, -1 for a cold one.
        listed: `[U]` whether training popularity, by the same rule for seen items, lists that item among its first K.
        seen: `[U, K]` whether a listed item is in the user's own history.
        head_events: `[U]` events of the history on items of the head.
        events: `[U]` events of the history.
        catalogue: what was recommended from.
        excluding: whether items of the history were left out.
    """

    items: Items
    targets: Items
    listed: Mask
    seen: Mask
    head_events: Values
    events: Values
    catalogue: Catalogue
    excluding: bool

    def __len__(self) -> int:
        return len(self.items)

    @property
    def held(self) -> Mask:
        """`[U, K]` places of the slates that hold an item."""
        return self.items < len(self.catalogue)

    def mean(self, per_item: NDArray[Any]) -> Values:
        """`[U]` mean of `[N]` values over the items of each slate, NaN for an empty one."""
        padded = np.append(per_item.astype(np.float64), 0.0)
        sizes = self.held.sum(axis=1)
        summed: Values = padded[self.items].sum(axis=1) / np.where(sizes > 0, sizes, np.nan)
        return summed

    @property
    def exposure(self) -> Values:
        """`[N]` in how many slates each item is."""
        counted = np.bincount(self.items[self.held], minlength=len(self.catalogue))
        return counted.astype(np.float64)


def head(catalogue: Catalogue) -> Mask:
    """`[N]` whether an item is one of the most popular in training: the first `HEAD` of the catalogue, rounded up."""
    first = int(np.ceil(HEAD * len(catalogue)))
    held = np.zeros(len(catalogue), dtype=bool)
    held[popularity_order(catalogue)[:first]] = True
    return held


def popularity_order(catalogue: Catalogue) -> NDArray[np.int64]:
    """`[N]` items by their training events, most first, ties in catalogue order: what the fallback lists."""
    return np.argsort(-catalogue.counts, kind="stable").astype(np.int64)


@dataclass(frozen=True)
class SlateMetric(ABC):
    """A figure of slates.

    Attributes:
        word: its name.
        digits: that are shown.
    """

    word: ClassVar[str]
    digits: ClassVar[int] = 3

    @abstractmethod
    def of(self, slates: Slates) -> Values | float | str:
        """`[U]` a value for each user, NaN where there is none; one for all slates; or why there is none."""


@dataclass(frozen=True)
class Coverage(SlateMetric):
    """Share of the catalogue that is in at least one slate; with U slates it cannot exceed U x K / N.

    References:
        Ge, Delgado-Battenfeld & Jannach, "Beyond accuracy", RecSys 2010, sec. 2.2 (catalogue coverage).
    """

    word: ClassVar[str] = "coverage"

    def of(self, slates: Slates) -> float:
        """From 0 to 1."""
        return float((slates.exposure > 0).mean())


@dataclass(frozen=True)
class Gini(SlateMetric):
    """How unequally exposure is spread over all items of the catalogue: 0 all alike, towards 1 all on one.

    It is the mean difference between two items' exposures over twice their mean.

    References:
        Fleder & Hosanagar, "Blockbuster culture's next rise or fall", Management Science 2009, sec. 3.
    """

    word: ClassVar[str] = "gini"

    def of(self, slates: Slates) -> float | str:
        """From 0 to 1."""
        exposure = np.sort(slates.exposure)
        n, total = len(exposure), exposure.sum()
        if total == 0:
            return "no slate holds an item"
        places = 2 * np.arange(1, n + 1) - n - 1
        return float((places * exposure).sum() / (n * total))


@dataclass(frozen=True)
class Novelty(SlateMetric):
    """Mean self-information of the listed items in bits, -log2 of an item's share of the training events.

    An item without a training event counts as if it had one.

    References:
        Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 2010, eq. 7; Vargas
        & Castells, RecSys 2011, eq. 8.
    """

    word: ClassVar[str] = "novelty"
    digits: ClassVar[int] = 2

    def of(self, slates: Slates) -> Values | str:
        """Bits, for each user."""
        counts = slates.catalogue.counts
        if not counts.any():
            return "no training event is counted"
        return slates.mean(-np.log2(np.maximum(counts, 1) / counts.sum()))


@dataclass(frozen=True)
class Diversity(SlateMetric):
    """1 - mean cosine between the items of a slate, by their categories and vectors; items without any left out.

    References:
        Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005, sec. 3.3; Smyth &
        McClave, ICCBR 2001.
    """

    word: ClassVar[str] = "diversity"

    def of(self, slates: Slates) -> Values | str:
        """From 0, all alike, to 1 (2 where vectors are opposed), for each user; NaN with fewer than two such items."""
        import scipy.sparse as sp

        vectors = unit_vectors(slates.catalogue)
        if vectors is None:
            return "the items have no categories or vectors by which they could be alike"
        known = np.append(np.diff(vectors.indptr) > 0, False)[slates.items]
        number = known.sum(axis=1).astype(np.float64)
        squares = np.empty(len(slates))
        step = max(_ENTRIES // vectors.shape[1], 1)
        for begin in range(0, len(slates), step):
            items, held = slates.items[begin : begin + step], known[begin : begin + step]
            offsets = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
            chosen = sp.csr_array(
                (np.ones(offsets[-1]), items[held], offsets), shape=(len(items), len(slates.catalogue))
            )
            total = sp.csr_array(chosen @ vectors)
            squares[begin : begin + step] = np.asarray(total.multiply(total).sum(axis=1)).ravel()
        # the squared length of a sum of n unit vectors is n plus all their products
        pairs = np.where(number > 1, number * (number - 1), np.nan)
        found: Values = 1 - (squares - number) / pairs
        return found


@dataclass(frozen=True)
class Serendipity(SlateMetric):
    """Share of users whose target is listed where training popularity does not list it: hits that are no foregone ones.

    References:
        Ge, Delgado-Battenfeld & Jannach, "Beyond accuracy", RecSys 2010, sec. 3.2: what is useful and not in the list
        of a primitive model. Here useful is the one target, and the scale is that of the hit rate.
    """

    word: ClassVar[str] = "serendipity"
    digits: ClassVar[int] = 4

    def of(self, slates: Slates) -> Values:
        """1 or 0 for each user."""
        hit = (slates.items == slates.targets[:, None]).any(axis=1)
        found: Values = (hit & ~slates.listed).astype(np.float64)
        return found


@dataclass(frozen=True)
class Popularity(SlateMetric):
    """Average recommended popularity (ARP): mean number of training events of the listed items.

    References:
        Abdollahpouri, Burke & Mobasher, "Managing popularity bias in recommender systems with personalized re-ranking",
        FLAIRS 2019, eq. 5; Yin et al., VLDB 2012.
    """

    word: ClassVar[str] = "popularity"
    digits: ClassVar[int] = 1

    def of(self, slates: Slates) -> Values:
        """Training events, for each user."""
        return slates.mean(slates.catalogue.counts)


@dataclass(frozen=True)
class HeadShare(SlateMetric):
    """Share of the recommendations that are among the most popular 20 % of the catalogue."""

    word: ClassVar[str] = "head_share"

    def of(self, slates: Slates) -> Values:
        """From 0 to 1, for each user."""
        return slates.mean(head(slates.catalogue))


@dataclass(frozen=True)
class HeadShareOfHistories(SlateMetric):
    """The same share of the users' own histories, which a recommender without popularity bias would keep.

    References:
        Abdollahpouri et al., "The unfairness of popularity bias in recommendation", RMSE workshop at RecSys 2019.
    """

    word: ClassVar[str] = "head_share_of_histories"

    def of(self, slates: Slates) -> Values:
        """From 0 to 1, for each user with a history."""
        found: Values = slates.head_events / np.where(slates.events > 0, slates.events, np.nan)
        return found


@dataclass(frozen=True)
class RepeatShare(SlateMetric):
    """Share of the recommendations that are in the user's own history."""

    word: ClassVar[str] = "repeat_share"

    def of(self, slates: Slates) -> Values | str:
        """From 0 to 1, for each user."""
        if slates.excluding:
            return "items of the history are left out of the slates"
        sizes = slates.held.sum(axis=1)
        found: Values = slates.seen.sum(axis=1) / np.where(sizes > 0, sizes, np.nan)
        return found


@dataclass(frozen=True, eq=False)
class SlateFigures:
    """The figures of all slates.

    Attributes:
        k: items of a slate.
        users: slates, one for each user.
        figures: a mean over users with its interval, or one value of all slates, by the word of the figure.
        reasons: why there is no figure, by its word.
        reach: the most that coverage can be with so many slates.
    """

    k: int
    users: int
    figures: Mapping[str, Interval | float]
    reasons: Mapping[str, str]
    reach: float

    def value(self, word: str) -> float | None:
        """A figure, such as "coverage"; None where there is none, see `reasons`.

        Raises:
            ConfigError: there is no such figure.
        """
        if word in self.reasons:
            return None
        if word not in self.figures:
            have = [*self.figures, *self.reasons]
            raise ConfigError(
                f"There is no figure '{word}' of slates: take one of {', '.join(have)}.{nearest(word, have)}"
            )
        found = self.figures[word]
        return found.value if isinstance(found, Interval) else found

    def to_json(self) -> dict[str, Any]:
        """The figures for programs."""
        plain = {
            word: found.to_json() if isinstance(found, Interval) else {"value": found}
            for word, found in self.figures.items()
        }
        return {
            "k": self.k,
            "users": self.users,
            "asked": "the last target of each user",
            "coverage_reach": self.reach,
            "figures": plain,
            "no_figure": dict(self.reasons),
        }

    def lines(self) -> list[str]:
        """The figures in one line."""
        known = families()
        told = [f"{word} {self.value(word):.{known[word].digits}f}" for word in self.figures if word in known]
        return [f"slates of {self.k} before the last target of {self.users:,} users: {', '.join(told)}"]


def slate_figures(slates: Slates, seed: int = 0) -> SlateFigures:
    """Every figure of slates that exists.

    Args:
        slates: one for each user, at least one.
        seed: of the bootstrap.
    """
    figures: dict[str, Interval | float] = {}
    reasons: dict[str, str] = {}
    for word, kind in families().items():
        found = kind().of(slates)
        if isinstance(found, str):
            reasons[word] = found
        elif isinstance(found, float):
            figures[word] = found
        elif np.isnan(found).all():
            reasons[word] = "no slate has a value"
        else:
            figures[word] = interval(found[~np.isnan(found)], seed=seed)
    k = slates.items.shape[1]
    return SlateFigures(k, len(slates), figures, reasons, min(len(slates) * k / len(slates.catalogue), 1.0))


def families() -> dict[str, type[SlateMetric]]:
    """Every figure of slates that exists, by its word, in the order of their definition."""
    return {kind.word: kind for kind in _concrete(SlateMetric)}


def _concrete(kind: type[SlateMetric]) -> Iterator[type[SlateMetric]]:
    """A class and all below it, without those that are only drafts."""
    if not inspect.isabstract(kind):
        yield kind
    for below in kind.__subclasses__():
        yield from _concrete(below)
