"""Rules made ready for one catalogue, and applied to scores: filters, boosts, then the choice among the best."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints, Items
from ensue.catalogue import Catalogue
from ensue.errors import ConfigError
from ensue.ranking import top_k
from ensue.rules.availability import Availability, Listed
from ensue.rules.boost import Boost
from ensue.rules.columns import Columns
from ensue.rules.filling import fill
from ensue.rules.rule import AskedFilter, Boosting, Capping, Ceiling, Diversifying, Filter, Request, Row, Rule
from ensue.rules.seen import Seen

POOL, LEAST_POOL = 10, 100
"""Candidates for each place of a list, and the fewest of all, among which caps and diversity choose."""

_WIDER = 8
"""How many times more candidates are looked at when a list could not be filled."""


@dataclass(frozen=True)
class Rules:
    """Wishes about answers, in the order in which they are applied within their stage."""

    rules: tuple[Rule, ...] = ()

    def also(self, others: Rules) -> Rules:
        """These and others; a rule that can stand once only is replaced."""
        replaced = {type(rule) for rule in others.rules if rule.single}
        kept = tuple(rule for rule in self.rules if type(rule) not in replaced)
        return Rules(kept + others.rules)

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """The rules by name, as `read_rules` takes them."""
        found: dict[str, list[dict[str, Any]]] = {}
        for rule in self.rules:
            plain = {name: value for name, value in asdict(rule).items() if value is not None}
            found.setdefault(rule.name, []).append(plain)
        return found


@dataclass(frozen=True, eq=False)
class Ruled:
    """A list that keeps to the rules.

    Attributes:
        items: `[K]` item indices, at most as many as were asked for.
        scores: `[K]` of each, boosts included.
        cost: milliseconds of each stage: "filters", "boosts", "ranking".
        notes: what has to be said, such as "3 of 10 places could not be filled".
    """

    items: Ints
    scores: NDArray[np.float64]
    cost: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Ruling:
    """Rules made ready for one catalogue: what can be worked out before anybody asks is.

    Args:
        rules: the wishes.
        catalogue: the items, or their columns where those have been worked out.
        availability: what is withdrawn, read anew with every answer.

    Raises:
        ConfigError: a rule names columns or values that the items do not have; all such faults are told.

    Example:
        >>> import numpy as np, polars as pl
        >>> from ensue.catalogue import Catalogue
        >>> from ensue.rules import Listed, Request, Rules, Ruling
        >>> catalogue = Catalogue(pl.Series("item", ["a", "b", "c"]), np.array([3, 2, 1]))
        >>> ruling = Ruling(Rules((Listed(deny=("b",)),)), catalogue)
        >>> ruling.apply(np.array([0.1, 0.9, 0.5]), Request(k=2)).items.tolist()
        [2, 0]
    """

    def __init__(
        self, rules: Rules, catalogue: Catalogue | Columns, availability: Availability | None = None
    ) -> None:
        columns = catalogue if isinstance(catalogue, Columns) else Columns(catalogue)
        self._set(rules, columns, availability, {})

    def also(self, rules: Rules) -> Ruling:
        """These rules with those of one request; nothing of these is worked out again."""
        if not rules.rules:
            return self
        both = object.__new__(Ruling)
        both._set(self.rules.also(rules), self.columns, self.availability, self._made)
        return both

    def _set(
        self, rules: Rules, columns: Columns, availability: Availability | None, made: Mapping[int, Any]
    ) -> None:
        """Makes the rules ready.

        Args:
            rules: all of them.
            columns: of the items.
            availability: what is withdrawn.
            made: what has been worked out for rules, by their identities.
        """
        self.rules, self.columns, self.availability = rules, columns, availability
        self._made, faults = _made(rules, columns, made)
        if faults:
            told = "\n".join(f"  {fault}" for fault in faults)
            raise ConfigError(
                f"the rules have {len(faults)} {'fault' if len(faults) == 1 else 'faults'} for these items:\n{told}"
            )
        self._asked = [self._made[id(rule)] for rule in rules.rules if isinstance(rule, AskedFilter)]
        self._boosts = [self._made[id(rule)] for rule in rules.rules if isinstance(rule, Boosting)]
        self._caps = [(self._made[id(rule)], rule.most) for rule in rules.rules if isinstance(rule, Capping)]
        mixing = [rule for rule in rules.rules if isinstance(rule, Diversifying) and rule.weight() < 1]
        self._mix = [(self._made[id(rule)], rule.weight()) for rule in mixing[-1:]]
        banned = np.zeros(len(columns.catalogue), dtype=np.bool_)
        for rule in rules.rules:
            if isinstance(rule, Filter):
                banned |= self._made[id(rule)]
        few = int(banned.sum()) * 8 < len(banned)
        self._banned: Items | Ceiling = np.flatnonzero(banned).astype(np.int32) if few else Ceiling(banned)
        self._own_seen = any(isinstance(rule, Seen) for rule in rules.rules)
        self._withdrawn: tuple[int, Items] = (-1, np.zeros(0, dtype=np.int32))

    def unknown(self) -> tuple[str, ...]:
        """Ids that are allowed, denied or boosted and that the catalogue does not hold; they change nothing."""
        named: list[str] = []
        for rule in self.rules.rules:
            if isinstance(rule, Listed):
                named += [*(rule.allow or ()), *rule.deny]
            elif isinstance(rule, Boost):
                named += rule.items
        return self.columns.codes(named)[1]

    def apply(self, scores: Row, request: Request) -> Ruled:
        """The best items that the rules let through.

        Args:
            scores: `[N]` of one question; what filters leave out is set to minus infinity in place, and nothing else
                is changed.
            request: what is asked.

        Returns:
            Exactly k items where so many are free; caps may leave places empty, and a note says so.
        """
        began = time.perf_counter()
        self._leave_out(scores, request)
        filtered = time.perf_counter()
        row = scores
        if self._boosts:
            row = scores.copy()
            for boost in self._boosts:
                boost(row, request)
        boosted = time.perf_counter()
        best = self._best(row, request.k)
        cost = {
            "filters": 1000 * (filtered - began),
            "boosts": 1000 * (boosted - filtered),
            "ranking": 1000 * (time.perf_counter() - boosted),
        }
        return Ruled(best, row[best].astype(np.float64), cost, self._said(row, len(best), request.k))

    def apply_many(self, scores: NDArray[np.floating[Any]], requests: Sequence[Request]) -> list[Ruled]:
        """One list for each row of `[Q, N]` scores; see `apply`."""
        return [self.apply(row, request) for row, request in zip(scores, requests, strict=True)]

    def _leave_out(self, row: Row, request: Request) -> None:
        if isinstance(self._banned, Ceiling):
            self._banned.lower(row)
        else:
            row[self._banned] = -np.inf
        row[self._withdrawn_now()] = -np.inf
        for leave_out in self._asked:
            leave_out(row, request)
        if request.exclude_seen and not self._own_seen:
            row[request.history] = -np.inf
        row[request.exclude] = -np.inf

    def _withdrawn_now(self) -> Items:
        """The items that are withdrawn at this moment; looked up anew when the version has changed."""
        if self.availability is None:
            return self._withdrawn[1]
        version, ids = self.availability.state
        known = self._withdrawn
        if known[0] != version:
            known = (version, self.columns.codes(ids)[0])
            self._withdrawn = known  # one assignment: other threads see the old pair or the new one
        return known[1]

    def _best(self, row: Row, k: int) -> Ints:
        if not self._caps and not self._mix:
            return top_k(row, k)
        size = max(POOL * k, LEAST_POOL)
        while True:
            pool = top_k(row, size)
            caps = [(groups[pool], most) for groups, most in self._caps]
            mix = [(vectors[pool], weight) for vectors, weight in self._mix]
            places = fill(row[pool], k, caps, *mix[-1:])
            if len(places) == k or len(pool) < size:
                return pool[places]
            size *= _WIDER

    def _said(self, row: Row, held: int, k: int) -> tuple[str, ...]:
        if held >= k:
            return ()
        free = int(np.count_nonzero(row > -np.inf))
        why = f"the filters leave {free:,} items" if free <= held else "the caps let no more items in"
        return (f"{k - held} of {k} places could not be filled: {why}",)


def _made(rules: Rules, columns: Columns, made: Mapping[int, Any]) -> tuple[dict[int, Any], list[str]]:
    """What each rule works out of the items, by its identity; and what is wrong with those that cannot."""
    found: dict[int, Any] = {}
    faults = []
    for rule in rules.rules:
        if id(rule) in made:
            found[id(rule)] = made[id(rule)]
            continue
        try:
            found[id(rule)] = _worked_out(rule, columns)
        except ConfigError as fault:
            said = str(fault)
            faults.append(said if said.startswith(rule.name) else f"{rule.name}: {said}")
    return found, faults


def _worked_out(rule: Rule, columns: Columns) -> Any:
    if isinstance(rule, Filter):
        return rule.banned(columns)
    if isinstance(rule, AskedFilter | Boosting):
        return rule.ready(columns)
    if isinstance(rule, Capping):
        return rule.groups(columns)
    return rule.vectors(columns) if isinstance(rule, Diversifying) else None
