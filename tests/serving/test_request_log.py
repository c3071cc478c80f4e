"""The request log: a line for each answer, no ids, bounded, and nothing left of who was erased."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from ensue.errors import ConfigError
from ensue.serving.request_log import RequestLog

KEY = bytes(range(32))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def entry(log: RequestLog, user: str, number: int = 0) -> dict[str, Any]:
    return {"who": log.pseudonym(user), "number": number}


def test_a_line_has_what_was_answered_and_a_pseudonym(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "requests.jsonl"
    log = RequestLog(path, KEY, 10_000)
    for user in ("anna", "bert", "anna"):
        log.add(entry(log, user) | {"items": ["A"]})
    found = lines(path)
    assert [one["items"] for one in found] == [["A"]] * 3
    assert found[0]["who"] == found[2]["who"] != found[1]["who"]
    assert "anna" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert found[0]["time"].endswith("+00:00")


def test_a_pseudonym_depends_on_the_key_and_on_what_somebody_is(tmp_path: Path) -> None:
    log, other = RequestLog(tmp_path / "a", KEY, 1), RequestLog(tmp_path / "b", KEY[::-1], 1)
    assert log.pseudonym() is None
    assert log.pseudonym("x") == RequestLog(tmp_path / "c", KEY, 1).pseudonym("x")
    names = {log.pseudonym("x"), log.pseudonym(session="x"), other.pseudonym("x"), log.pseudonym("y")}
    assert len(names) == 4


def test_who_is_erased_has_no_line_left(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = RequestLog(path, KEY, 10_000)
    for number in range(6):
        log.add(entry(log, "anna" if number % 2 else "bert", number))
    assert log.erase(user="anna") == 3
    assert [one["number"] for one in lines(path)] == [0, 2, 4]
    assert log.erase(user="anna") == 0
    assert log.erase(session="bert") == 0
    log.add(entry(log, "carl", 9))
    assert [one["number"] for one in lines(path)] == [0, 2, 4, 9]
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == [".requests.jsonl.lock", "requests.jsonl"]


def test_a_full_log_keeps_its_newer_half_in_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = RequestLog(path, KEY, 4_000)
    for number in range(200):
        log.add(entry(log, "anna", number))
        assert path.stat().st_size <= 4_000
    kept = [one["number"] for one in lines(path)]
    assert kept == list(range(kept[0], 200))
    assert len(kept) * len(path.read_text()) / len(kept) > 2_000 - 100


def test_writers_and_an_erasure_at_once_lose_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    writers = [RequestLog(path, KEY, 10**7) for _ in range(4)]
    before = 20_000  # lines, so that writing them anew takes a while
    path.write_text('{"who":"another"}\n' * before)

    def write(place: int) -> None:
        for number in range(400):
            writers[place].add(entry(writers[place], f"user{place}", number))

    threads = [threading.Thread(target=write, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    gone = 0
    while any(thread.is_alive() for thread in threads):
        gone += writers[0].erase(user="user3")
    for thread in threads:
        thread.join(60)
    gone += writers[0].erase(user="user3")
    found = lines(path)
    assert gone == 400
    assert len(found) == before + 3 * 400
    for place in range(3):
        own = [one["number"] for one in found if one["who"] == writers[0].pseudonym(f"user{place}")]
        assert own == list(range(400))


def test_an_answer_never_fails_since_it_could_not_be_written_down(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "sub" / "requests.jsonl", KEY, 1_000)
    (tmp_path / "sub" / "requests.jsonl").unlink()
    (tmp_path / "sub" / "requests.jsonl").mkdir()
    log.add(entry(log, "anna"))
    log.add(entry(log, "anna"))
    assert log.lost == 2
    with pytest.raises(ConfigError, match="request log"):
        RequestLog(tmp_path / "sub", KEY, 1)
