"""What a report is made of, as HTML and as Markdown: the same content, and none of it markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.report import markdown, page
from ensue.report.blocks import (
    Block,
    Cards,
    Code,
    Folded,
    Grid,
    Heading,
    Part,
    Pictures,
    Report,
    Steps,
    Tiles,
    Words,
)
from ensue.report.plots import bars

NASTY = "<script>alert(1)</script>"
GRID = Grid("A table", ("name", "value"), (("a|b", "1"), ("c", "2")), (1,))


class Tags(HTMLParser):
    """Which elements a page has, and whether all of them are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name == "href" and value]
        if tag not in ("meta", "path", "circle", "rect", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


def read(html: str) -> Tags:
    found = Tags()
    found.feed(html)
    return found


def every(said: str) -> tuple[Block, ...]:
    """One block of each kind, with this text wherever text may stand."""
    grid = Grid(said, (said, said), ((said, said),), (1,))
    words = Words(said)
    return (
        words, Words(said, "wrong"), Words(said, "verdict"), Tiles(((said, said),)), grid, Heading(said),
        Pictures((bars(said, [(said, 1.0)]),), (grid,), said), Code(said, said, "toml"), Folded(said, (words, grid)),
        Steps((said, said)), Cards(((words,), (grid,))),
    )  # fmt: skip


@settings(max_examples=15)
@given(st.text(max_size=15))
def test_any_text_may_stand_in_any_block(said: str) -> None:
    report = Report(said, every(said), (Part("one", said, every(said)),))
    assert read(report.html()).open == []
    assert "script" not in read(report.html()).seen
    report.markdown()


def test_a_script_stays_text_in_both() -> None:
    report = Report(NASTY, every(NASTY), (Part("one", NASTY, every(NASTY)),))
    assert "<script" not in report.html()
    assert report.html().count("&lt;script&gt;alert(1)&lt;/script&gt;") > 20
    outside = [part for number, part in enumerate(report.markdown().split("```")) if number % 2 == 0]
    assert not [part for part in outside if re.search(r"(?<!\\)<script", part)]


def test_contents_lead_to_parts_of_the_page_and_nowhere_else() -> None:
    made = read(Report("R", (), (Part("one", "One", ()), Part("two", "Two", (GRID,)))).html())
    assert made.links == ["#one", "#two"]
    assert set(made.ids) == {"one", "two"}


def test_what_scrolls_can_be_reached_by_keys() -> None:
    for block in (GRID, Code("Configuration", "a = 1")):
        assert 'tabindex="0"' in block.html()
        assert 'role="region"' in block.html()
        assert "aria-label=" in block.html()
    assert "tabindex" not in page.table(("a",), [("b",)])


def test_a_table_has_as_many_cells_as_heads() -> None:
    with pytest.raises(ValueError, match="1 cells under 2 heads in 'T'"):
        Grid("T", ("a", "b"), (("1", "2"), ("3",)))


def test_a_table_in_markdown_has_a_rule_and_as_many_cells_in_each_row() -> None:
    assert GRID.markdown() == "| name | value |\n| --- | ---: |\n| a\\|b | 1 |\n| c | 2 |"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("0.1033 (0.09 to 0.12)", "0.1033 (0.09 to 0.12)"),
        ("# no heading", "\\# no heading"),
        ("1. no list", "1\\. no list"),
        ("- no list", "\\- no list"),
        ("-0.5", "-0.5"),
        ("a\nb", "a b"),
        ("*_`[x](y)", "\\*\\_\\`\\[x\\](y)"),
        ("&lt;", "&amp;lt;"),
        ("\x1b[31m", "\\\\x1b\\[31m"),
    ],
)
def test_signs_of_markup_are_escaped_where_they_would_be_markup(said: str, shown: str) -> None:
    assert markdown.plain(said) == shown


def test_a_fence_is_longer_than_any_in_it() -> None:
    made = markdown.code("a\n````\nb", "toml")
    assert made == "`````toml\na\n````\nb\n`````"


def test_details_have_a_summary_that_is_text() -> None:
    assert (
        markdown.details("a <b>", "content")
        == "<details><summary>a &lt;b&gt;</summary>\n\ncontent\n\n</details>"
    )
    assert Pictures((bars("B", [("a", 1.0)]),)).markdown() == ""


def test_markdown_says_what_the_page_says() -> None:
    report = Report("R", (Words("Mind this", "wrong"),), (Part("p", "Part", (GRID, Steps(("x", "y")))),))
    assert report.markdown().splitlines()[:5] == ["# R", "", "> **Mind:** Mind this", "", "## Part"]
    assert "1. x\n2. y" in report.markdown()
