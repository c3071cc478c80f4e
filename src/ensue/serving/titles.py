"""Items found by what they are called, in any case and with or without accents."""

from __future__ import annotations

import unicodedata

from ensue.catalogue import Catalogue

LONGEST = 200
"""Letters of what is looked for; longer ones are cut."""


def folded(text: str) -> str:
    """Text without case and accents, its spaces single."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(letter for letter in plain if not unicodedata.combining(letter)).split())


class Titles:
    """All titles of a catalogue, or its ids where there are none, in one text that is searched.

    Args:
        catalogue: its items, most frequent first.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._names: list[str] | None = None

    def find(self, wanted: str, limit: int) -> list[int]:
        """Indices of items: first those whose name begins with it, then those that hold it; the most frequent first.

        Args:
            wanted: a title or id, or a part of one.
            limit: how many at most.
        """
        text = folded(wanted[:LONGEST])
        if self._names is None:
            ids = self._catalogue.ids.to_list()
            titles = self._catalogue.titles
            self._names = [folded(title or item) for title, item in zip(titles, ids, strict=True)]
        exact = [] if not wanted else [int(code) for code in self._catalogue.encode([wanted]) if code >= 0]
        begins: list[int] = []
        holds: list[int] = []
        for index, name in enumerate(self._names):
            if name.startswith(text):
                begins.append(index)
                if len(begins) >= limit:
                    break
            elif len(holds) < limit and text in name:
                holds.append(index)
        return list(dict.fromkeys([*exact, *begins, *holds]))[:limit]
