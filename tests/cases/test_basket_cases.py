"""Faults that people met in practice with baskets, as inputs of our own: none of them may come back."""

from __future__ import annotations

import json
from pathlib import Path

from ensue.events.log import EventLog
from ensue.events.source import read

BOUGHT = {
    "c1": [["milk", "bread"], ["milk"], ["eggs", "bread"]],
    "c2": [["eggs"]],
    "c3": [["milk"], ["milk", "eggs"]],
}
TIMES = {"c1": [10, 20, 30], "c2": [15], "c3": [5, 25]}


def baskets(log: EventLog) -> dict[str, list[set[str]]]:
    found: dict[str, list[set[str]]] = {}
    for (user, _), part in log.frame.group_by("user", "basket", maintain_order=True):
        found.setdefault(str(user), []).append(set(part["item"]))
    return found


def as_lines(folder: Path) -> Path:
    path = folder / "baskets.csv"
    lines = [
        f"{user},{number},{item},{TIMES[user][number - 1]}\n"
        for user, all_of_them in BOUGHT.items()
        for number, basket in enumerate(all_of_them, start=1)
        for item in basket
    ]
    path.write_text("user_id,basket_id,item_id,timestamp\n" + "".join(lines), encoding="utf-8")
    return path


def as_document(folder: Path) -> Path:
    path = folder / "baskets.json"
    path.write_text(
        json.dumps({user: [[-1], *all_of_them, [-1]] for user, all_of_them in BOUGHT.items()}), "utf-8"
    )
    return path


def test_c87_no_basket_is_empty_and_no_mark_is_one(tmp_path: Path) -> None:
    for make in (as_lines, as_document):
        log = read(make(tmp_path))
        found = baskets(log)
        assert found == {
            user: [set(basket) for basket in all_of_them] for user, all_of_them in BOUGHT.items()
        }
        assert sum(len(all_of_them) for all_of_them in found.values()) == 6
        assert log.n_events == 2 + 1 + 2 + 1 + 1 + 2
        assert all(basket for all_of_them in found.values() for basket in all_of_them)
        assert set(log.frame["item"]) == {"milk", "bread", "eggs"}
        last = {user: sorted(found[user][-1]) for user in found if len(found[user]) > 1}
        assert last == {"c1": ["bread", "eggs"], "c3": ["eggs", "milk"]}


def test_c87_marks_are_counted_and_a_basket_that_is_empty_is_said(tmp_path: Path) -> None:
    log = read(as_document(tmp_path))
    assert log.reading.set_aside == {}
    assert any(f"which are no baskets: {2 * len(BOUGHT)}" in note for note in log.reading.notes)
    path = tmp_path / "holes.json"
    path.write_text(json.dumps({"c1": [["milk", "bread"], [], ["eggs"]]}), encoding="utf-8")
    log = read(path)
    assert baskets(log) == {"c1": [{"milk", "bread"}, {"eggs"}]}
    assert log.reading.set_aside == {"empty basket": 1}
