"""Faults that people met in practice with baskets, as inputs of our own: none of them may come back."""

from __future__ import annotations

import json
from pathlib import Path

from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.events.source import read
from ensue.model import Training, model_of
from ensue.splits import split

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


def test_c87_the_last_basket_is_a_set_that_its_user_is_asked_for(tmp_path: Path) -> None:
    log = read(as_lines(tmp_path))
    parts = split(log, "basket", validation=False)
    assert "1 of 3 users have a single basket or none" in parts.notes[0]
    training = Training.of(parts.train, exclude_seen=False)
    asked = parts.examples("test", training.catalogue)
    targets: dict[str, list[str]] = {}
    for row, target in enumerate(asked.target_ids):
        targets.setdefault(asked.group_ids[int(asked.groups[row])], []).append(target)
    assert {user: sorted(items) for user, items in targets.items()} == {
        "c1": ["bread", "eggs"],
        "c3": ["eggs", "milk"],
    }
    queries = asked.queries
    histories = [
        sorted(training.catalogue.decode(queries.items[begin:end]))
        for begin, end in zip(queries.starts, queries.ends, strict=True)
    ]
    assert histories == [["bread", "milk", "milk"]] * 2 + [["milk"]] * 2  # nothing of the basket itself
    found = evaluate(model_of("popular").fit(training), asked, metrics=("recall@2",), exclude_seen=False)
    # training counts: milk 3 (c1 twice, c3), bread 1, eggs 1 (c2); what ties shares a mid-rank of 2.5, beyond 2
    assert found.value("recall@2") == (0 / 2 + 1 / 2) / 2


def test_an_item_that_is_twice_in_a_basket_is_asked_for_once(tmp_path: Path) -> None:
    path = tmp_path / "baskets.csv"
    rows = ["u,1,a,1", "u,2,b,2", "u,2,c,2", "u,2,b,2", "u,3,a,3", "u,3,a,3", "v,,a,1"]
    path.write_text("user_id,basket_id,item_id,timestamp\n" + "\n".join(rows) + "\n", "utf-8")
    log = read(path)
    parts = split(log, "basket")
    assert parts.sizes == {"train": 1 + 1, "validation": 3, "test": 2}
    training = Training.of(parts.train)
    assert parts.examples("validation", training.catalogue).target_ids.to_list() == ["b", "c"]
    test = parts.examples("test", training.catalogue)
    assert test.target_ids.to_list() == ["a"]
    assert parts.n_targets("validation") == 2
    assert len(parts.before_test.frame) == 5
