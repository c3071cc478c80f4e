"""The page of the service, driven in a real browser: what somebody who tries it sees, hears and can do by keys."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient
from tests.serving.service_process import Service, running

from ensue.artifacts import save
from ensue.events.log import EventLog
from ensue.model import Conditions, Training, model_of
from ensue.serving.application import application
from ensue.serving.keys import new_key
from ensue.serving.page import FILES, PATHS, POLICY
from ensue.serving.settings import Settings

RING = "ABCDEFGHIJ"
BAD = "<img src=x onerror=\"document.title='taken'\">"
TITLES = {"A": "Amélie", "B": BAD, "C": "Casablanca", "D": "Dune", "E": "Dune: Part Two " + "and " * 40}


@dataclass
class Seen:
    """One tab, and all that went wrong in it."""

    page: Any
    origin: str
    faults: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def open(self) -> Any:
        self.page.goto(f"{self.origin}/")
        return self.page

    def choose(self, text: str) -> None:
        """By title or id, with the pointer."""
        self.page.fill("#search", text)
        self.page.locator("#found li[aria-selected]").first.click()

    @property
    def slate(self) -> list[str]:
        return [text.split(" ")[0] for text in self.page.locator("#slate .choose").all_inner_texts()]

    def first(self, text: str) -> None:
        """The best recommendation is this one, as soon as the answer is there."""
        expected().expect(self.page.locator("#slate .choose .name").first).to_have_text(text)


def expected() -> Any:
    return pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: it drives the page"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ring_frame: pl.DataFrame) -> Path:
    """A model of transitions on the ring: after A comes B; half of its items have titles, one of them hostile."""
    items = pl.DataFrame({"item": list(RING), "title": [TITLES.get(item) for item in RING]})
    training = Training.of(EventLog.of(ring_frame, items=items))
    made = tmp_path_factory.mktemp("page") / "markov"
    return save(model_of("markov").fit(training, Conditions()), made)


@pytest.fixture(scope="module")
def open_service(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(folder, folder=tmp_path_factory.mktemp("open")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = os.environ.get("ENSUE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        pytest.skip("there is no Chromium: install one, or name it by ENSUE_CHROMIUM")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []  # it refuses its sandbox to root
    with expected().sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=root)
        yield found
        found.close()


def tab(browser: Any, origin: str, **options: Any) -> Iterator[Seen]:
    context = browser.new_context(**options)
    context.set_default_timeout(20_000)
    expected().expect.set_options(timeout=20_000)
    seen = Seen(context.new_page(), origin)
    seen.page.on("console", lambda said: seen.faults.append(said.text) if said.type != "log" else None)
    seen.page.on("pageerror", lambda fault: seen.faults.append(str(fault)))
    context.on(
        "request",
        lambda asked: None if asked.url.startswith((origin, "data:")) else seen.foreign.append(asked.url),
    )
    yield seen
    context.close()
    assert not seen.foreign
    assert not seen.faults


@pytest.fixture
def seen(browser: Any, open_service: Service) -> Iterator[Seen]:
    yield from tab(browser, f"http://127.0.0.1:{open_service.port}")


def test_each_click_changes_what_comes_next(seen: Seen) -> None:
    page = seen.open()
    expected().expect(page.locator("#empty")).to_contain_text("Search a title and choose it")
    for text, after in (("amel", BAD), ("casa", "Dune"), ("F", "G")):
        seen.choose(text)
        seen.first(after)
    assert page.locator("#steps .name").all_inner_texts() == ["Amélie", "Casablanca", "F"]
    assert not page.locator("#empty").is_visible()
    page.locator("#slate .choose").first.click()
    seen.first("H")
    assert page.locator("#steps .name").all_inner_texts() == ["Amélie", "Casablanca", "F", "G"]
    page.get_by_role("button", name="Remove G").click()
    seen.first("G")
    expected().expect(page.get_by_role("button", name="Remove F")).to_be_focused()
    page.locator("#clear").click()
    expected().expect(page.locator("#empty")).to_be_visible()
    assert page.locator("#slate li").count() == 0


def test_the_page_says_why_an_item_is_there(seen: Seen, open_service: Service) -> None:
    page = seen.open()
    seen.choose("amel")
    page.locator("#k").select_option("5")
    seen.choose("I")
    seen.first("J")
    why = page.get_by_role("button", name="Why J?")
    why.click()
    panel = page.locator("#why-0")
    said = open_service.answer("explain", history=["A", "I"], item="J", k=5, exclude_seen=True)
    place = said["reasons"][0]["place_without"]
    assert place > 5
    expected().expect(panel).to_contain_text(f"event 2; without it place {place}")
    expected().expect(panel).to_contain_text(
        f"Without I it would be {BAD}, and this item would stand at place {place}"
    )
    expected().expect(panel).to_contain_text("Exact: this model’s score is a sum")
    assert why.get_attribute("aria-expanded") == "true"
    page.locator("#slate button[aria-controls='why-1']").click()
    assert not panel.is_visible()
    assert why.get_attribute("aria-expanded") == "false"


def test_it_says_which_model_answers_and_how_fast(seen: Seen, open_service: Service) -> None:
    page = seen.open()
    seen.choose("amel")
    seen.first(BAD)
    model = open_service.answer("recommend", history=["A"])["model"]
    shown = page.locator("#model").inner_text()
    assert model["name"] in shown
    assert model["version"] in shown
    assert re.search(r"\d ms\n?.*\d ms in all", shown, re.S)
    assert re.search(r"scores \d+\.\d\d", page.locator("#speed").inner_text())
    page.locator("#foot summary").click()
    assert '"history":["A"]' in page.locator("#request").inner_text()


def test_what_was_had_is_left_out_unless_it_is_wanted(seen: Seen) -> None:
    page = seen.open()
    seen.choose("amel")
    seen.choose("casa")
    expected().expect(page.locator("#slate li")).to_have_count(len(RING) - 2)
    page.locator("#unseen").uncheck()
    expected().expect(page.locator("#slate li")).to_have_count(len(RING))
    page.locator("#k").select_option("5")
    expected().expect(page.locator("#slate li")).to_have_count(5)


def test_a_title_is_text_and_nothing_else(seen: Seen) -> None:
    page = seen.open()
    seen.choose("<img")
    seen.choose("amel")
    page.locator("#unseen").uncheck()
    expected().expect(page.locator("#slate .name", has_text=BAD)).to_have_count(1)
    assert page.locator("#steps .name").first.inner_text() == BAD
    assert page.locator("img").count() == 0
    assert page.title() != "taken"


def test_everything_can_be_done_by_keys(seen: Seen) -> None:
    page = seen.open()
    expected().expect(page.locator("#starters button").first).to_be_visible()
    press = page.keyboard.press
    search = page.locator("#search")
    press("/")
    expected().expect(search).to_be_focused()
    page.keyboard.type("dune")
    expected().expect(page.locator("#found li")).to_have_count(2)
    assert search.get_attribute("aria-activedescendant") == "found-0"
    press("ArrowDown")
    assert search.get_attribute("aria-activedescendant") == "found-1"
    assert page.locator("#found-1").get_attribute("aria-selected") == "true"
    press("ArrowDown")  # round to the first
    press("Enter")
    seen.first(TITLES["E"].strip())
    assert search.get_attribute("aria-expanded") == "false"
    page.keyboard.type("c")
    expected().expect(search).to_have_attribute("aria-expanded", "true")
    press("Escape")
    expected().expect(search).to_have_attribute("aria-expanded", "false")
    press("Escape")
    assert search.input_value() == ""
    assert page.locator("#steps .name").all_inner_texts() == ["Dune"]
    names = []
    for _ in range(12):
        press("Tab")
        names.append(
            page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.id")
        )
    order = ["clear", "Remove Dune", "unseen", "k"]
    assert [name for name in names if name in order] == order
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    why = names.index(f"Why {TITLES['E']}?")
    for _ in range(len(names) - 1 - why):
        press("Shift+Tab")
    press("Enter")
    expected().expect(page.locator("#why-0")).to_contain_text("Dune")


def test_changes_are_told_to_those_who_hear_the_page(seen: Seen) -> None:
    page = seen.open()
    seen.choose("casa")
    live = page.locator("#live[aria-live=polite]")
    expected().expect(live).to_have_text("Casablanca added. 9 recommendations, first Dune")


def test_a_users_history_is_shown_and_answered_from_the_state(seen: Seen, open_service: Service) -> None:
    times = range(1_700_000_000, 1_700_000_000 + 60 * 20, 60)
    told = [{"user": "w/1", "item": RING[n % 6], "time": at} for n, at in enumerate(times)]
    before = open_service.answer("events", events=told)
    assert before["new"] == len(told)
    page = seen.open()
    page.locator("#somebody summary").click()
    page.fill("#user", "w/1")
    page.keyboard.press("Enter")
    expected().expect(page.locator("#history-title")).to_have_text("User w/1")
    assert page.locator("#history-count").inner_text() == str(len(told))
    assert page.locator("#steps li").count() == 12
    last = RING[(len(told) - 1) % 6]
    assert page.locator("#steps .name").last.inner_text() == TITLES.get(last, last)
    items = open_service.items(user="w/1", exclude_seen=True)
    expected().expect(page.locator("#slate .choose .name")).to_have_text(
        [TITLES.get(item, item) for item in items]
    )
    assert '"user":"w/1"' in (page.locator("#request").text_content() or "")
    page.locator("#earlier").click()
    assert page.locator("#steps li").count() == len(told)
    assert page.locator("#steps .place").first.inner_text() == "1"
    page.locator("#slate .choose").first.click()
    expected().expect(page.locator("#history-note")).to_contain_text("Nothing of it is told to the service")
    assert len(open_service.get("/v1/users/w%2F1")["events"]) == len(told)
    page.fill("#user", "nobody")
    page.keyboard.press("Enter")
    expected().expect(page.locator("#fault")).to_contain_text("Nothing is known of this one")
    seen.faults.clear()  # the browser itself reports the status 404


def test_a_fallback_is_said_in_words(seen: Seen, open_service: Service) -> None:
    open_service.answer("events", user="stranger", item="Z<b>", event="view", rating=4.5)
    page = seen.open()
    page.locator("#somebody summary").click()
    page.fill("#user", "stranger")
    page.locator("#user-form button").click()
    expected().expect(page.locator("#steps .unknown")).to_contain_text("view, rated 4.5")
    said = page.locator("#said")
    expected().expect(said).to_contain_text("this is what is popular")
    expected().expect(said).to_contain_text("Not known to the model, and left out of the history: Z<b>")


def test_a_service_that_is_away_is_told_with_a_way_on(seen: Seen) -> None:
    page = seen.open()
    seen.choose("amel")
    seen.first(BAD)
    page.context.set_offline(True)
    page.locator("#slate .choose").nth(1).click()
    fault = page.locator("#fault[role=alert]")
    expected().expect(fault).to_contain_text("The service does not answer. Look whether it is running")
    page.context.set_offline(False)
    fault.get_by_role("button", name="Ask again").click()
    expected().expect(fault).to_be_hidden()
    assert page.locator("#slate li").count() == len(RING) - 2
    seen.faults.clear()  # the browser itself reports that the network was away


def test_an_answer_that_was_overtaken_is_not_shown(seen: Seen) -> None:
    page = seen.open()
    held: list[Any] = []

    def slowly(route: Any) -> None:
        if not held and '"history":["A"]' in route.request.post_data:
            held.append(route)
        else:
            route.continue_()

    page.route("**/v1/recommend", slowly)
    seen.choose("amel")
    expected().expect(page.locator("#steps li")).to_have_count(1)
    seen.choose("casa")
    seen.first("Dune")
    held[0].continue_()
    page.wait_for_timeout(100)
    assert page.locator("#slate .choose .name").first.inner_text() == "Dune"
    seen.faults.clear()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1200, "dark")])
def test_it_fits_a_phone_and_both_themes(
    browser: Any, open_service: Service, width: int, scheme: str
) -> None:
    origin = f"http://127.0.0.1:{open_service.port}"
    for seen in tab(browser, origin, viewport={"width": width, "height": 844}, color_scheme=scheme):
        page = seen.open()
        for text in ("amel", "<img", "dune: part"):
            seen.choose(text)
        seen.first("F")
        page.locator("#unseen").uncheck()
        page.locator("#slate button[aria-controls='why-0']").click()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
        assert (page.evaluate(ground) < 128) == (scheme == "dark")
        page.locator("#theme").click()
        assert (page.evaluate(ground) < 128) == (scheme == "light")


def test_a_key_is_asked_for_where_the_service_wants_one(browser: Any, folder: Path, tmp_path: Path) -> None:
    key = new_key(tmp_path / "keys.json", "reader", ["read"])
    with running(folder, "--keys", tmp_path / "keys.json", folder=tmp_path / "log") as service:
        with service.fresh() as client:
            assert {client.get(path).status_code for path in PATHS} == {200}
            assert client.get("/v1/items").status_code == 401
        phone = {"width": 390, "height": 844}
        for seen in tab(browser, f"http://127.0.0.1:{service.port}", viewport=phone):
            page = seen.open()
            form = page.locator("#key-form")
            expected().expect(form).to_contain_text("This service asks for a key")
            expected().expect(page.locator("#key")).to_be_focused()
            page.keyboard.type("ensue_wrong")
            page.keyboard.press("Enter")
            expected().expect(page.locator("#key-wrong")).to_contain_text("This key is not good")
            assert page.evaluate("sessionStorage.length") == 0
            assert page.evaluate("document.documentElement.scrollWidth") == phone["width"]
            page.keyboard.type(key)
            page.keyboard.press("Enter")
            expected().expect(form).to_be_hidden()
            seen.choose("amel")
            seen.first(BAD)
            assert page.evaluate(
                "[sessionStorage.length, localStorage.length, document.cookie, location.search]"
            ) == [1, 0, "", ""]
            assert key not in page.content()
            seen.faults.clear()  # the browser itself reports the status 401


def test_the_page_may_only_reach_its_own_service(open_service: Service) -> None:
    for path in FILES:
        found = open_service.client.get(path)
        assert found.headers["content-security-policy"] == POLICY
        assert open_service.client.head(path).status_code == 200
    rules = dict(part.split(" ", 1) for part in POLICY.split("; "))
    assert {rules[name] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")} == {
        "'none'"
    }
    assert {rules[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}


def test_every_file_of_the_page_is_served_and_holds_no_way_to_put_in_html() -> None:
    inside = files("ensue.serving.page")
    served = {name for name, _ in FILES.values()}
    assert {one.name for one in inside.iterdir() if one.name.endswith((".html", ".css", ".js"))} == served
    for name in served:
        text = inside.joinpath(name).read_text(encoding="utf-8")
        assert not re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text
        )
        assert not re.findall(r"\son\w+=[\"']|<script>|<style|\sstyle=", text)
        assert not re.findall(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z]+\.[a-z]", text)


def test_a_service_can_do_without_the_page(folder: Path, tmp_path: Path) -> None:
    settings = Settings(str(folder), state=str(tmp_path / "state.db"), page=False)
    with TestClient(application(settings), base_url="http://localhost") as client:
        assert {client.get(path).status_code for path in PATHS} == {404}
        assert client.get("/v1/items").status_code == 200
