"""Columns of events as clients tell them: a number is the same as text, whole or with a point, beside what is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.serving.service_process import Service, problem, running

from ensue.cli import call

SMALL = "width = 8\nlength = 12\ndropout = 0.0\nlearning_rate = 0.03\nbatch_tokens = 64\nepochs = 6"
ITEMS = [f"i{n:02d}" for n in range(6)]
ROUTES: list[tuple[str, dict[str, Any]]] = [
    ("recommend", {"k": 6, "exclude_seen": False}),
    ("recommend", {"k": 2, "explain": True}),
    ("explain", {"item": "i01"}),
    ("rerank", {"candidates": ITEMS}),
    ("basket", {"basket": ["i01"]}),
]
NUMBERS = [2, 2.0, "2", "2.0"]
SHOPS = [3, 3.0, "3"]


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a log of text: a network reads prices, which are numbers, and shops, which are categories."""
    folder = tmp_path_factory.mktemp("priced")
    rows = [
        {
            "user_id": f"u{user:02d}",
            "item_id": ITEMS[(user + step) % 6],
            "timestamp": 1_700_000_000 + 5_000 * step + user,
            "price": "" if step == 4 else "1.5" if step % 2 else "3",
            "shop": str(1 + (user + step) % 3),
        }
        for user in range(12)
        for step in range(8)
    ]
    pl.DataFrame(rows).write_csv(folder / "log.csv")
    (folder / "priced.toml").write_text(
        f'out = "run"\n[data]\nsource = "log.csv"\n[split]\nrule = "last"\n[models.markov]\n'
        f'[models.lstm]\n{SMALL}\ninputs = ["price", "shop", "hour"]\n'
    )
    assert call(["run", str(folder / "priced.toml")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def service(priced: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with running(shutil.copytree(priced, folder / "run"), folder=folder) as found:
        yield found


@pytest.fixture
def network(service: Service) -> Service:
    """The service, the network answering."""
    service.answer("admin/swap", folder="lstm")
    return service


def told(service: Service, user: str, *contexts: dict[str, Any]) -> None:
    """Tells of one event of a user for each context, in turn."""
    for step, context in enumerate(contexts):
        time = 1_750_000_000 + 60 * step
        service.answer("events", user=user, item=ITEMS[step % 6], time=time, context=context)


def scores(service: Service, **who: Any) -> dict[str, float]:
    found = service.answer("recommend", **who, k=6, exclude_seen=False)["items"]
    return {row["item"]: row["score"] for row in found}


def test_a_number_beside_kept_text_is_answered_on_every_route(network: Service) -> None:
    told(network, "u00", {"price": 2.5, "shop": 2})
    for route, body in ROUTES:
        found = network.ask(route, user="u00", **body)
        assert found.status_code == 200, (route, found.text)


@pytest.mark.parametrize(("column", "same", "other"), [("price", NUMBERS, 7), ("shop", SHOPS, 1)])
def test_the_kept_history_goes_on_alike_however_a_number_is_written(
    network: Service, column: str, same: list[Any], other: Any
) -> None:
    """Each of the users has the same kept events but for the hour of none; the histories stand in text."""
    steps = [ITEMS[n % 6] for n in range(8)]
    kept = [
        {
            "item": item,
            "time": 1_700_000_000 + 5_000 * n,
            "context": {"price": "" if n == 4 else "1.5" if n % 2 else "3", "shop": str(1 + n % 3)},
        }
        for n, item in enumerate(steps)
    ]

    def after(value: Any) -> dict[str, float]:
        new = {"item": "i03", "time": 1_750_000_000, "context": {column: value}}
        return scores(network, history=[*kept, new], at=1_750_000_060)

    first = after(same[0])
    for value in same[1:]:
        assert after(value) == first
    assert after(other) != first, f"{column} reaches the network"


@pytest.mark.parametrize(("column", "same", "other"), [("price", NUMBERS, 7), ("shop", SHOPS, 1)])
def test_live_events_mean_the_same_however_a_number_is_written(
    network: Service, column: str, same: list[Any], other: Any
) -> None:
    """After whole numbers and after text, before fractions: each column of a history would have a type of its own."""
    found = []
    for before in (3, 3.0, "3"):
        for value in [*same, other]:
            user = f"live-{column}-{before!r}-{value!r}"
            told(network, user, {column: before}, {column: value}, {"price": 2.5})
            found.append((value, scores(network, user=user, at=1_750_000_600)))
    first = found[0][1]
    assert all(row == first for value, row in found if value != other)
    assert all(row != first for value, row in found if value == other)


def test_a_user_may_tell_whole_numbers_before_fractions(network: Service) -> None:
    told(network, "whole", {"price": 2}, {"price": 2.5})
    told(network, "points", {"price": 2.0}, {"price": 2.5})
    found = scores(network, user="whole", at=1_750_000_600)
    assert found == scores(network, user="points", at=1_750_000_600)
    steps = [
        {"item": item, "time": 1_750_000_000 + 60 * n, "context": {"price": price}}
        for n, (item, price) in enumerate([("i00", 2), ("i01", 2.5)])
    ]
    assert scores(network, history=steps, at=1_750_000_600) == found


def test_truths_among_numbers_are_the_numbers_that_they_are_alone(network: Service) -> None:
    def after(*prices: Any) -> dict[str, float]:
        steps = [{"item": "i01", "context": {"price": price}} for price in prices]
        return scores(network, history=steps, at=1_750_000_600)

    assert after(True, 2.5) == after(1.0, 2.5)
    assert after(True, "2.5") == after("1", "2.5")
    assert after(True, True) == after(1, 1)


@pytest.mark.parametrize("value", ["cheap", "1,5", "inf"])
def test_a_word_for_a_number_is_refused_where_it_comes_and_named_by_its_place(
    network: Service, value: str
) -> None:
    good = {"user": "secret-name", "item": "i01", "context": {"price": 2}}
    bad = good | {"context": {"price": value}}
    found = network.ask("events", events=[good, bad])
    assert problem(found) == (422, "invalid")
    message = found.json()["error"]["message"]
    assert "events[1]: context.price is no finite number" in message
    assert "None of the batch was taken." in message
    assert network.client.get("/v1/users/secret-name").status_code == 404
    history = [{"item": item, "context": {"price": price}} for item, price in (("i01", 2), ("i02", value))]
    for route, body in ROUTES[:-1]:
        found = network.ask(route, history=history, user="secret-name", **body)
        assert problem(found) == (422, "invalid")
        message += found.json()["error"]["message"]
        assert "history[1].context.price is no finite number" in found.json()["error"]["message"]
    assert value not in message
    assert "secret-name" not in message


@pytest.mark.parametrize("value", [[2.5], {"amount": 2.5}])
def test_what_is_no_value_at_all_is_refused_where_it_comes(network: Service, value: Any) -> None:
    found = network.ask("events", user="n", item="i01", context={"price": value})
    assert problem(found) == (422, "invalid")
    assert "events[0]: context.price is" in found.json()["error"]["message"]
    found = network.ask("recommend", history=["i01", {"item": "i02", "context": {"price": value}}])
    assert problem(found) == (422, "invalid")
    assert "history.1.Step.context.price" in found.json()["error"]["message"]


def test_a_number_that_no_column_holds_is_refused(network: Service) -> None:
    for name in ("price", "shop", "unread"):
        for beside in (2.5, "2", None):
            context = [{name: beside}, {name: 10**200}]
            found = network.ask("recommend", history=[{"item": "i01", "context": one} for one in context])
            assert problem(found) == (422, "invalid")
            assert f"history[1].context.{name} is no finite number" in found.json()["error"]["message"]


def test_words_are_taken_where_the_model_reads_none_or_reads_words(network: Service) -> None:
    context = {"shop": "a stall", "price": "", "weather": "fine"}
    told(network, "words", context, {"shop": 2, "weather": 3.5}, {"shop": True, "weather": None})
    network.answer("recommend", user="words")
    network.answer("recommend", history=[{"item": "i01", "context": context}, {"item": "i02"}])


def test_what_is_stored_and_cannot_be_read_counts_as_missing(service: Service) -> None:
    """Told while a model answered that reads no prices."""
    service.answer("admin/swap", folder="markov")
    told(service, "stored", {"price": 3}, {"price": "cheap"}, {"price": 2.5})
    service.answer("admin/swap", folder="lstm")
    told(service, "missing", {"price": 3}, {}, {"price": 2.5})
    expected = scores(service, user="missing", at=1_750_000_600)
    assert scores(service, user="stored", at=1_750_000_600) == expected
    for route, body in ROUTES:
        assert service.ask(route, user="stored", **body).status_code == 200


def test_who_answers_some_reads_what_is_told_too(service: Service) -> None:
    """Whoever may have to answer says what cannot be read; the shadow, which never answers, does not."""
    service.answer("admin/swap", folder="markov")
    word = {"user": "split", "item": "i01", "context": {"price": "cheap"}}
    service.answer("admin/beside", shadow="lstm")
    assert service.ask("events", **word).status_code == 200
    service.answer("admin/beside", shadow="", split="lstm", share=0.5)
    assert service.ask("events", **word).status_code == 422
    service.answer("admin/beside", split="")
