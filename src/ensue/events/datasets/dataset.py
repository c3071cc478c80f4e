"""What a public data set is: where it comes from, under which terms, and what must come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_UNITS = {"K": 1_000, "M": 1_000_000, "B": 1_000_000_000}

Count = int | str | None
"""A published number: exact; as it was rounded, such as "16.2K"; or not known."""


@dataclass(frozen=True)
class Download:
    """One file of a publisher.

    Attributes:
        url: where it lies.
        mib: about how large it is; 0 where the publisher does not say.
        file: the name it is kept by; "" for a zip archive, whose files are taken out.
        md5: whether the publisher keeps its MD5 beside it, in a file of the same name that ends in .md5.
    """

    url: str
    mib: float = 0
    file: str = ""
    md5: bool = False

    @property
    def most(self) -> int:
        """More bytes than this are not what was meant."""
        return int((4 * self.mib + 16 if self.mib else 16 * 1024) * (1 << 20))


@dataclass(frozen=True)
class Dataset:
    """A public data set as it must come out, whatever the source.

    Attributes:
        name: also the name of its folder.
        what: what it holds, in a few words.
        home: the page of its publisher.
        licence: its terms in a few words.
        terms: what is shown before the first fetch.
        members: its files, the log first; of an archive these are taken.
        extras: files that are taken if they are there, and missed by nobody.
        downloads: where they come from; none where a login or an agreement is needed.
        by_hand: how to come by the files where they are not downloaded.
        roots: the folders in which an archive may hold the files, "" for none.
        events: number of rows as published; `users` and `items` likewise, of the events that are kept.
        content: `digest` of the events sorted by user, item and time: what is in it; "" where nobody knows it.
        fingerprint: `EventLog.fingerprint`: with the order of the rows, which decides between equal times.
        reads: the file that is read; "" for the folder.
        further: more places to try, each with its name and what puts the files into a folder.
    """

    name: str
    what: str
    home: str
    licence: str
    terms: str
    members: tuple[str, ...]
    extras: tuple[str, ...] = ()
    downloads: tuple[Download, ...] = ()
    by_hand: str = ""
    roots: tuple[str, ...] = ()
    events: Count = None
    users: Count = None
    items: Count = None
    content: str = ""
    fingerprint: str = ""
    reads: str = ""
    further: tuple[tuple[str, Callable[[Dataset, Path], None]], ...] = ()

    @property
    def hosts(self) -> frozenset[str]:
        """The servers that may be asked for it."""
        return frozenset(urlsplit(download.url).hostname or "" for download in self.downloads)

    @property
    def mib(self) -> float:
        """About how much is downloaded; 0 where nobody says."""
        sizes = [download.mib for download in self.downloads]
        return sum(sizes) if all(sizes) else 0

    def counts(self) -> Iterator[tuple[str, Count]]:
        """What was published: the name of each number, and the number."""
        yield "users", self.users
        yield "items", self.items
        yield "events", self.events

    def published(self) -> str:
        """The known numbers as text, for a message."""
        known = [f"{shown(count)} {what}" for what, count in self.counts() if count is not None]
        return ", ".join(known) or "nothing: no counts of it are published"


def agree(found: int, published: Count) -> bool:
    """Whether a number is the published one, as far as that was written out.

    Example:
        >>> agree(16_216, "16.2K"), agree(16_251, "16.2K"), agree(641, 641), agree(5, None)
        (True, False, True, True)
    """
    if published is None:
        return True
    if isinstance(published, int):
        return found == published
    digits, unit = published[:-1], _UNITS[published[-1]]
    step = unit / 10.0 ** len(digits.partition(".")[2])
    return abs(found - float(digits) * unit) <= step / 2 + 1e-6


def shown(published: Count) -> str:
    """A published number as text.

    Example:
        >>> shown(1_682), shown("16.2K"), shown(None)
        ('1,682', '16.2K', '?')
    """
    return "?" if published is None else f"{published:,}" if isinstance(published, int) else published
