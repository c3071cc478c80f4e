"""Blocks of questions answered side by side, a core for each.

A network's graph keeps several cores busy, and what comes before and after it (ids, exclusions, the best of each row)
does not: where there are many questions, whole blocks run beside each other, and one is read while another is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol, TypeVar


class Answering(Protocol):
    """What answers: a recommender, whose scoring knows how many calls it can compute side by side."""

    @property
    def scoring(self) -> Any:
        """A fitted model; one with `abreast` has `alone`, the same on one core."""
        ...


Asker = TypeVar("Asker", bound=Answering)
Part = TypeVar("Part")
Found = TypeVar("Found")

WORTH_PARTING, PARTS_EACH = 256, 4
"""Questions for each core from which they are parted, and the fewest parts that each core then has."""


def cores_of(recommender: Answering, questions: int) -> int:
    """How many blocks of so many questions are answered side by side.

    Args:
        recommender: whose scoring says in `abreast` how many cores it has for calls of its own; one without has one.
        questions: how many there are.
    """
    cores: int = getattr(recommender.scoring, "abreast", 1)
    return cores if questions >= WORTH_PARTING * cores else 1


def most_at_once(most: int, whole: int, cores: int) -> int:
    """The largest block, so that no more than `most` is held at once and no core waits long at the end.

    Args:
        most: that all cores may hold at once: questions, or what they take.
        whole: all of it that there is.
        cores: as `cores_of` says.
    """
    fair = whole if cores == 1 else -(-whole // (cores * PARTS_EACH))
    return max(min(most // cores, fair), 1)


def abreast(
    recommender: Asker, parts: Iterable[Part], work: Callable[[Asker, Part], Found], cores: int
) -> Iterator[Found]:
    """What is made of each part, in the order of the parts; what goes wrong in one is raised here.

    Args:
        recommender: what answers.
        parts: of the questions; each is a block that one core works on.
        work: takes the recommender that answers on its core, and a part.
        cores: as `cores_of` says.
    """
    if cores == 1:
        for part in parts:
            yield work(recommender, part)
        return
    alone: Asker = replace(recommender, scoring=recommender.scoring.alone())  # type: ignore[type-var]
    with ThreadPoolExecutor(cores) as pool:
        yield from pool.map(lambda part: work(alone, part), parts)
