"""Different items in one list: maximal marginal relevance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ensue.errors import ConfigError
from ensue.rules.columns import Columns
from ensue.rules.rule import Diversifying

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class Diversity(Diversifying):
    """Each place of the list goes to the item with the largest `relevance x score - (1 - relevance) x likeness`.

    Scores are taken from 0 to 1 over the candidates; likeness is the cosine to the most similar item above.

    Attributes:
        relevance: how much the score counts, from 0 to 1; 1 changes nothing.
        columns: of the items, which say how alike they are: categories and vectors. None names all that do.

    References:
        Carbonell, Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing
        summaries", SIGIR 1998, section 2.
    """

    name: ClassVar[str] = "diversity"

    relevance: float = 0.7
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.relevance <= 1:
            raise ConfigError(f"diversity: relevance={self.relevance:g} must lie from 0 to 1.")

    def weight(self) -> float:
        """How much the score counts."""
        return self.relevance

    def vectors(self, columns: Columns) -> csr_array:
        """`[N, D]` one-hot categories and directions of vectors, of length 1."""
        return columns.vectors(self.columns)
