"""What a report is made of, said once: each block gives itself as HTML and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ensue.report import comparing, markdown
from ensue.report import page as html
from ensue.report.page import Html

Kind = Literal["", "soft", "verdict", "wrong", "fine"]

STYLE = """
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.6rem 0;padding:0;font-size:.92rem}
a{color:var(--mark)}a:focus-visible,summary:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--mark);
outline-offset:2px}
section{scroll-margin-top:.5rem}
p.wrong{border-left:4px solid var(--warn);padding:.3rem .8rem;background:var(--card)}
p.fine{border-left:4px solid var(--good);padding:.3rem .8rem;background:var(--card)}
details{margin:.6rem 0}summary{cursor:pointer;color:var(--mark);padding:.25rem 0}
pre{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem;overflow-x:auto;
font-size:.85rem}
h3{margin-top:1.2rem}
@media(max-width:34rem){table.stack td{overflow-wrap:anywhere}table.stack td:first-child{font-weight:600}
table.stack td:first-child[data-head]:not([data-head=""])::before{content:none}}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.3rem .8rem .6rem}
.card h3{margin-top:.5rem}ol{margin:.3rem 0;padding-left:1.6rem}
@media print{details>*{display:block}nav{display:none}}
"""


class Block(Protocol):
    """One thing in a report."""

    def html(self) -> Html:
        """The block on a page."""
        ...

    def markdown(self) -> str:
        """The block in Markdown, "" for nothing."""
        ...


@dataclass(frozen=True)
class Words:
    """A paragraph.

    Attributes:
        said: the text.
        kind: how it is set: plainly, softly, as a verdict, as a warning or as good news.
    """

    said: str
    kind: Kind = ""

    def html(self) -> Html:
        """A paragraph of its kind."""
        return html.paragraph(self.said, kind=self.kind)

    def markdown(self) -> str:
        """A line; what is stressed becomes a quotation."""
        said = markdown.plain(self.said)
        return {"wrong": f"> **Mind:** {said}", "verdict": f"> {said}"}.get(self.kind, said)


@dataclass(frozen=True)
class Tiles:
    """Figures side by side.

    Attributes:
        values: (name, figure).
    """

    values: tuple[tuple[str, str], ...]

    def html(self) -> Html:
        """The tiles."""
        return html.tiles(self.values)

    def markdown(self) -> str:
        """All in one line."""
        return " · ".join(
            f"{markdown.plain(name)} **{markdown.plain(value)}**" for name, value in self.values
        )


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        name: what it shows.
        heads: names of the columns.
        rows: cells.
        numbers: places of the columns that hold numbers.
    """

    name: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.heads):
                raise ValueError(f"{len(row)} cells under {len(self.heads)} heads in '{self.name}'")

    def html(self) -> Html:
        """The table, without its name, which the screen reader is told."""
        return html.table(self.heads, self.rows, self.numbers, label=self.name)

    def markdown(self) -> str:
        """The table."""
        return markdown.table(self.heads, self.rows, self.numbers)


@dataclass(frozen=True)
class Pictures:
    """Plots side by side, and the tables that they were drawn from.

    Attributes:
        drawn: the plots.
        behind: the tables; a plot of what a table above says already has none.
        summary: what opens the tables.
    """

    drawn: tuple[Html, ...]
    behind: tuple[Grid, ...] = ()
    summary: str = "The figures behind the plots"

    def html(self) -> Html:
        """The plots, and the tables folded under them."""
        tables = [part for grid in self.behind for part in (html.element("h3", grid.name), grid.html())]
        folded = [html.details(self.summary, *tables)] if tables else []
        return html.joined([html.element("div", *self.drawn, class_="plots"), *folded])

    def markdown(self) -> str:
        """The tables, folded: Markdown shows no drawing without a file of its own."""
        tables = "\n\n".join(f"**{markdown.plain(grid.name)}**\n\n{grid.markdown()}" for grid in self.behind)
        return markdown.details(self.summary, tables) if tables else ""


@dataclass(frozen=True)
class Code:
    """Text as it is typed.

    Attributes:
        name: what it is.
        content: the text.
        language: its language, for Markdown.
    """

    name: str
    content: str
    language: str = ""

    def html(self) -> Html:
        """The text in a box."""
        return html.code(self.content, self.name)

    def markdown(self) -> str:
        """The text in a fence."""
        return markdown.code(self.content, self.language)


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown when they are asked for.

    Attributes:
        summary: what opens them.
        blocks: what is in it.
    """

    summary: str
    blocks: tuple[Block, ...]

    def html(self) -> Html:
        """The summary, and what is in it."""
        return html.details(self.summary, *(block.html() for block in self.blocks))

    def markdown(self) -> str:
        """The same."""
        return markdown.details(self.summary, _stacked(self.blocks))


@dataclass(frozen=True)
class Steps:
    """A numbered list.

    Attributes:
        rows: what stands in it.
    """

    rows: tuple[str, ...]

    def html(self) -> Html:
        """The list."""
        return html.element("ol", *(html.element("li", row) for row in self.rows))

    def markdown(self) -> str:
        """The list."""
        return "\n".join(f"{number}. {markdown.plain(row)}" for number, row in enumerate(self.rows, 1))


@dataclass(frozen=True)
class Cards:
    """Groups of blocks side by side.

    Attributes:
        groups: the blocks of each.
    """

    groups: tuple[tuple[Block, ...], ...]

    def html(self) -> Html:
        """The cards."""
        made = (html.element("div", *(one.html() for one in group), class_="card") for group in self.groups)
        return html.element("div", *made, class_="cards")

    def markdown(self) -> str:
        """One after the other."""
        return "\n\n".join(_stacked(group) for group in self.groups)


@dataclass(frozen=True)
class Heading:
    """A heading within a part.

    Attributes:
        said: the heading.
    """

    said: str

    def html(self) -> Html:
        """A heading of the third level."""
        return html.element("h3", self.said)

    def markdown(self) -> str:
        """The same."""
        return f"### {markdown.plain(self.said)}"


@dataclass(frozen=True)
class Part:
    """A part of a report, to which its contents lead.

    Attributes:
        anchor: its name in a link: small letters and hyphens.
        heading: its heading.
        blocks: what is in it.
    """

    anchor: str
    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes:
        title: its heading.
        lead: what stands before the first part.
        parts: the parts.
    """

    title: str
    lead: tuple[Block, ...]
    parts: tuple[Part, ...]

    def html(self) -> str:
        """One page that needs no network."""
        links = html.contents([(part.anchor, part.heading) for part in self.parts])
        sections = (
            html.section(part.heading, *(block.html() for block in part.blocks), anchor=part.anchor)
            for part in self.parts
        )
        lead = (block.html() for block in self.lead)
        return html.page(self.title, *lead, links, *sections, style=comparing.STYLE + STYLE)

    def markdown(self) -> str:
        """One text in Markdown."""
        parts = [
            f"## {markdown.plain(part.heading)}\n\n{_stacked(part.blocks)}".rstrip() for part in self.parts
        ]
        return "\n\n".join([f"# {markdown.plain(self.title)}", _stacked(self.lead), *parts]) + "\n"


def _stacked(blocks: Sequence[Block]) -> str:
    return "\n\n".join(made for block in blocks if (made := block.markdown()))
