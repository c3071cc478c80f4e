"""`ensue recommend` and `evaluate`: a saved model answers in the user's own ids, and is measured anew."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ask = Callable[..., tuple[int, str, str]]


def answer(ask: Ask, *words: object) -> Any:
    """The JSON answer of `ensue recommend`."""
    status, out, err = ask("recommend", *words, "--json")
    assert status == 0, err
    assert err == ""
    return json.loads(out)


def items(found: Any) -> list[str]:
    return [row["item"] for row in found["items"]]


def test_a_run_and_its_best_model_give_the_same_answer(ask: Ask, ring_run: Path) -> None:
    best = answer(ask, ring_run, "--history", "B,C,D", "-k", 3)
    assert best == answer(ask, ring_run / "models" / "markov", "--history", "B,C,D", "-k", 3)
    assert (best["model"], items(best)[0], best["fallback"]) == ("markov", "E", False)


def test_a_history_can_be_typed_in_three_ways(ask: Ask, ring_run: Path) -> None:
    typed = answer(ask, ring_run, "--history", " B , C ")
    assert typed["history"] == ["B", "C"]
    assert answer(ask, ring_run, "--history", '["B", "C"]') == typed
    assert answer(ask, ring_run, "--history-id", "B", "--history-id", "C") == typed


def test_two_histories_are_one_too_many(ask: Ask, ring_run: Path) -> None:
    status, _, err = ask("recommend", ring_run, "--history", "A", "--user", "u00")
    assert status == 2
    assert "--history and --user all give a history" in err


def test_unknown_ids_are_named_and_the_rest_answers(ask: Ask, ring_run: Path) -> None:
    status, out, _ = ask("recommend", ring_run, "--history", "zzz,D", "-k", 1)
    assert status == 0
    assert "unknown to this model, and left out: zzz" in out
    assert " 1  E " in out


def test_a_history_of_unknown_ids_only_falls_back_and_says_why(ask: Ask, ring_run: Path) -> None:
    out = ask("recommend", ring_run, "--history", "x,y")[1]
    assert "unknown to this model, and left out: x, y" in out
    assert "fallback: this model knows no item of the history, so this is what everybody takes" in out


def test_seen_items_can_be_left_out_or_let_in(ask: Ask, ring_run: Path) -> None:
    assert "A" in items(answer(ask, ring_run, "--history", "A,B"))
    assert not {"A", "B"} & set(items(answer(ask, ring_run, "--history", "A,B", "--exclude-seen")))


def test_titles_find_items_in_any_case_and_say_what_was_taken(ask: Ask, titled_run: Path) -> None:
    found = answer(ask, titled_run, "--titles", "the long walk (1990); CAFÉ")
    assert found["history"] == ["1", "3"]
    assert found["notes"] == ["'CAFÉ' is taken as '[b]Café[/b] (1992)' (id 3)"]


def test_of_several_titles_the_most_frequent_is_taken_and_the_others_are_said(
    ask: Ask, titled_run: Path
) -> None:
    found = answer(ask, titled_run, "--titles", "walk")
    assert found["history"] == ["1"]
    assert found["notes"] == [
        "'walk' is taken as 'The Long Walk (1990)' (id 1), the most frequent of 2; also: The Short Walk (1991)"
    ]


def test_a_title_that_is_not_there_offers_near_ones(ask: Ask, titled_run: Path) -> None:
    status, _, err = ask("recommend", titled_run, "--titles", "The Lung Walk (1990)")
    assert status == 2
    assert "No title holds 'The Lung Walk (1990)'. Near ones: The Long Walk (1990)" in err


def test_a_model_without_titles_asks_for_ids(ask: Ask, ring_run: Path) -> None:
    status, _, err = ask("recommend", ring_run, "--titles", "A")
    assert status == 2
    assert "have no titles: give their ids, --history" in err


def test_titles_are_shown_as_they_are_written(ask: Ask, titled_run: Path) -> None:
    out = ask("recommend", titled_run)[1]
    assert "[b]Café[/b] (1992)" in out, "a title is no markup"


def test_a_run_that_keeps_no_histories_says_so(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        f'keep_histories = false\n[data]\nsource = "{ring_csv.as_posix()}"\n[models.markov]\n'
    )
    status, out, _ = ask("run", tmp_path / "x.toml", "--out", tmp_path / "r")
    assert status == 0
    assert "A user of the log" not in out
    status, _, err = ask("recommend", tmp_path / "r", "--user", "u00")
    assert status == 2
    assert "keeps no histories" in err


# ------------------------------------------------------------------------------------------- evaluate


def measured(ask: Ask, *words: object) -> Any:
    """The JSON of `ensue evaluate`."""
    status, out, err = ask("evaluate", *words, "--json")
    assert status == 0, err
    return json.loads(out)


def test_on_the_log_of_the_run_evaluation_repeats_the_table(ask: Ask, ring_run: Path, ring_csv: Path) -> None:
    stored = json.loads((ring_run / "run.json").read_text())["models"]
    for row in stored:
        found = measured(ask, ring_run / "models" / row["label"], "--events", ring_csv)
        assert found["all"] == row["test"]["all"]
        assert (found["warning"], found["warnings"]) == ("", row["warnings"])


def test_a_run_by_leave_last_out_repeats_its_table_too(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    out = ask("run", ring_csv, "--models", "rules", "--split", "last", "--out", tmp_path / "r", "--json")[1]
    (row,) = json.loads(out)["models"]
    found = measured(ask, tmp_path / "r", "--events", ring_csv)
    assert found["all"] == row["test"]["all"]
    assert found["counts"]["targets"] == 20, (
        "one for each user, although no event is later than all of training"
    )


def test_on_a_later_log_every_event_with_an_earlier_one_is_asked_for(
    ask: Ask, ring_run: Path, tmp_path: Path
) -> None:
    later = tmp_path / "later.csv"
    later.write_text("user,item,time\nv,A,1900000000\nv,B,1900000001\nv,Z,1900000002\nw,C,1900000000\n")
    found = measured(ask, ring_run, "--events", later, "--metrics", "recall@1")
    assert (found["counts"]["targets"], found["counts"]["cold_targets"]) == (2, 1)
    assert found["all"]["metrics"]["recall@1"]["value"] == (1 + 0) / 2
    assert found["warm"]["metrics"]["recall@1"]["value"] == 1.0
    assert "where the model's training ends" in found["protocol"]


def test_of_a_log_that_goes_on_only_the_later_events_are_tested(
    ask: Ask, ring_run: Path, ring_csv: Path, tmp_path: Path
) -> None:
    longer = tmp_path / "longer.csv"
    longer.write_text(ring_csv.read_text() + "u00,B,1900000000\nu00,C,1900000001\n")
    found = measured(ask, ring_run, "--events", longer, "--metrics", "recall@1")
    tested = json.loads((ring_run / "run.json").read_text())["models"][0]["test"]["counts"]["targets"]
    assert found["counts"]["targets"] == tested + 2
    assert found["warning"] == ""


def test_a_model_on_what_it_has_learnt_from_is_warned_about(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    ask("train", ring_csv, "--model", "markov", "--out", tmp_path / "m")
    status, out, err = ask("evaluate", tmp_path / "m", "--events", ring_csv)
    assert status == 0
    assert "warning: the model has learnt from events of this very log" in out
    assert "warning: " in err


def test_a_split_can_be_asked_for(ask: Ask, ring_run: Path, ring_csv: Path) -> None:
    found = measured(ask, ring_run, "--events", ring_csv, "--split", "last")
    assert found["counts"]["targets"] == 20
    assert found["protocol"].startswith("leave last out")
    assert "flatter" in found["warning"]


def test_the_last_event_of_each_user_can_be_asked_for(ask: Ask, ring_run: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.csv"
    later.write_text("user,item,time\nv,A,1900000000\nv,B,1900000001\nv,Z,1900000002\n")
    found = measured(ask, ring_run, "--events", later, "--targets", "last", "--metrics", "recall@1")
    assert (found["counts"]["targets"], found["counts"]["cold_targets"]) == (1, 1)


def test_a_metric_that_does_not_exist_is_refused_before_anything_is_read(ask: Ask, ring_run: Path) -> None:
    status, _, err = ask("evaluate", ring_run, "--events", "nowhere.csv", "--metrics", "ndgc@10")
    assert status == 2
    assert err.count("\n") == 1
    assert "Did you mean 'ndcg@10'?" in err


@pytest.mark.parametrize("k", [0, 3])
def test_the_number_of_rows_is_the_number_asked_for(ask: Ask, ring_run: Path, k: int) -> None:
    out = ask("recommend", ring_run, "--history", "A", "-k", k)[1]
    assert out.startswith(f"{k} recommendations of markov:")
    assert len([line for line in out.splitlines() if re.match(r" +\d+  [A-J] ", line)]) == k
    assert ("no item was asked for" in out) == (k == 0)


def test_a_history_of_everything_leaves_nothing_and_says_so(ask: Ask, ring_run: Path) -> None:
    status, out, _ = ask("recommend", ring_run, "--history", ",".join("ABCDEFGHIJ"), "--exclude-seen")
    assert status == 0
    assert "no item is left to recommend: all are in the history, or excluded" in out
