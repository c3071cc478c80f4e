"""One self-contained page of HTML: parts, a style for light and dark, and the rule that all text is escaped.

Text is `str`, and is escaped where it becomes `Html`; only the functions here and in `plots` make `Html`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1d232b;--soft:#5b6673;--line:#dde2e8;--card:#f6f8fa;--mark:#2f6fb0;
--warn:#a8480f;--good:#22703f}
@media(prefers-color-scheme:dark){:root{--ground:#14181d;--ink:#e4e8ed;--soft:#9aa5b1;--line:#323a44;--card:#1c2229;
--mark:#74aee6;--warn:#f0a268;--good:#79c795}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:break-word}
main{max-width:66rem;margin:0 auto;padding:1rem 1rem 3rem}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:1rem 0 .25rem}p{margin:.4rem 0}.soft{color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;margin:1rem 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.5rem .7rem}
.tile b{display:block;font-size:1.2rem;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:.85rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1rem}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem}
figcaption{font-size:.9rem;font-weight:600;margin-bottom:.3rem}figcaption span{font-weight:400;color:var(--soft)}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font:11px system-ui,sans-serif}
svg .bar{fill:var(--mark)}svg .trace{fill:none;stroke:var(--mark);stroke-width:2}
svg .axis{stroke:var(--line);fill:none}svg .even{stroke:var(--soft);stroke-dasharray:4 4;fill:none}
svg .note{stroke:var(--warn);stroke-dasharray:3 3;fill:none}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600}td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td code{font-size:.85em}.verdict{border-left:4px solid var(--mark);padding:.3rem .8rem;background:var(--card)}
.wrong{border-color:var(--warn)}.fine{border-color:var(--good)}
@media(max-width:34rem){table.stack thead{display:none}
table.stack tr{display:block;padding:.4rem 0;border-bottom:1px solid var(--line)}
table.stack td{display:block;border:0;padding:.05rem 0}table.stack td.number{text-align:left}
table.stack td[data-head]:not([data-head=""])::before{content:attr(data-head) ": ";color:var(--soft)}}
"""


class Html(str):
    """Text that is HTML already: made here, never read from a log."""

    __slots__ = ()


def text(value: object) -> Html:
    """A value as escaped text, fit for an attribute too; control characters become visible."""
    if isinstance(value, Html):
        return value
    shown = "".join(
        letter if letter.isprintable() or letter in " \n" else letter.encode("unicode_escape").decode()
        for letter in str(value)
    )
    return Html(html.escape(shown, quote=True))


def element(tag: str, *parts: object, **attributes: str) -> Html:
    """An element; parts that are no `Html` are escaped, and so are the values of attributes.

    Args:
        tag: its name.
        parts: what stands in it.
        attributes: an underscore at the end is left out (`class_`), others become hyphens.
    """
    said = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(value)}"' for name, value in attributes.items()
    )
    return Html(f"<{tag}{said}>{''.join(text(part) for part in parts)}</{tag}>")


def joined(parts: Iterable[object]) -> Html:
    """Parts one after the other."""
    return Html("\n".join(text(part) for part in parts))


def paragraph(*parts: object, kind: str = "") -> Html:
    """A paragraph; `kind` is a class of the style, such as "soft" or "verdict"."""
    return element("p", *parts, class_=kind) if kind else element("p", *parts)


def section(heading: str, *parts: object, anchor: str = "") -> Html:
    """A heading and what belongs to it; with an anchor, `contents` can lead to it."""
    place = {"id": anchor} if anchor else {}
    return element("section", element("h2", heading), joined(parts), **place)


def contents(entries: Sequence[tuple[str, str]]) -> Html:
    """Links to sections of the same page, as (anchor, heading)."""
    links = (element("li", element("a", heading, href=f"#{anchor}")) for anchor, heading in entries)
    return element("nav", element("ul", *links), aria_label="Contents")


def details(summary: str, *parts: object) -> Html:
    """What is shown once its summary is opened, by pointer or key."""
    return element("details", element("summary", summary), joined(parts))


def code(content: str, label: str) -> Html:
    """Text as it is typed; it scrolls, by keys too.

    Args:
        content: the text.
        label: what it is, for who cannot see it.
    """
    return element("pre", element("code", content), tabindex="0", role="region", aria_label=label)


def tiles(values: Sequence[tuple[str, str]]) -> Html:
    """Figures side by side, each with its name, as (name, figure)."""
    made = (
        element("div", element("b", figure), element("span", name), class_="tile") for name, figure in values
    )
    return element("div", *made, class_="tiles")


def table(
    heads: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[int] = (), label: str = ""
) -> Html:
    """A table that becomes a list of blocks on a narrow screen.

    Args:
        heads: names of the columns.
        rows: cells, escaped unless they are `Html`.
        numbers: places of the columns that hold numbers.
        label: what it is; a table with a label can be scrolled by keys where it is wider than the screen.
    """

    def kind(place: int) -> dict[str, str]:
        return {"class_": "number"} if place in numbers else {}

    head = element("tr", *(element("th", name, **kind(place)) for place, name in enumerate(heads)))
    body = joined(
        element("tr", *(element("td", cell, data_head=heads[i], **kind(i)) for i, cell in enumerate(row)))
        for row in rows
    )
    whole = element("table", element("thead", head), element("tbody", body), class_="stack")
    region = {"tabindex": "0", "role": "region", "aria_label": label} if label else {}
    return element("div", whole, class_="scroll", **region)


def page(title: str, *parts: object, style: str = "") -> str:
    """The whole document: it asks the network for nothing, and says so to the browser.

    Args:
        title: its name and first heading.
        parts: what stands in it.
        style: rules of CSS beyond those of every page.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        f"<title>{text(title)}</title>\n<style>{STYLE}{style}</style>\n</head>",
    ]
    body = element("main", element("h1", title), joined(parts))
    return "\n".join([*head, f"<body>\n{body}\n</body>\n</html>\n"])
