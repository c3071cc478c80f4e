"""The parts of a report, one by one: each says what the run wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.reporting.conftest import LEARNT

from ensue.report.blocks import Grid, Part, Pictures
from ensue.reporting import Run, json_of, report_of
from ensue.reporting.learning import learning
from ensue.reporting.standing import costs, verdict
from ensue.run_folder import RESULTS

Change = Callable[[Callable[[dict[str, Any]], None]], Run]


def grids(part: Part) -> dict[str, Grid]:
    """The tables of a part by their names, those behind plots too."""
    found = {one.name: one for one in part.blocks if isinstance(one, Grid)}
    for one in part.blocks:
        if isinstance(one, Pictures):
            found |= {grid.name: grid for grid in one.behind}
    return found


def part_of(run: Run, anchor: str) -> Part:
    return next(part for part in report_of(run).parts if part.anchor == anchor)


def test_the_table_has_the_figures_that_the_run_wrote(run: Run) -> None:
    rows = {row[0]: row for row in grids(part_of(run, "models"))["Figures of all models"].rows}
    content = json.loads((run.folder / RESULTS).read_text())
    for model in content["models"]:
        found = model["test"]["all"]["metrics"]["ndcg@10"]
        name = f"{model['label']} (served)" if model["label"] == content["best"] else model["label"]
        assert rows[name][1] == f"{found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})"


def test_the_paired_tests_are_those_of_the_comparison(run: Run) -> None:
    found = grids(part_of(run, "models"))["Paired tests"]
    assert run.comparison is not None
    assert [row[0] for row in found.rows] == [one.model for one in run.comparison.others]
    for row, one in zip(found.rows, run.comparison.others, strict=True):
        assert row[3] == f"{one.p_value:.2g}"
        assert row[4] == ("told from it" if one.p_value < 0.05 else "not told from it")
    standings = {row["label"]: row["standing"] for row in json_of(run)["standings"]}
    assert standings == {"popular": "apart", "markov": "best", "rules": "alike"}


def test_the_verdict_names_what_is_served_and_what_is_not_told_from_it(run: Run) -> None:
    assert verdict(run).startswith("markov is served: NDCG@10 1.0000 (1.0000 to 1.0000) in the test.")
    assert "It is above popular by more than chance and is not told from rules" in verdict(run)


def test_the_verdict_says_when_another_model_is_highest_in_the_test(changed: Change) -> None:
    run = changed(lambda content: content.update(best="popular"))
    assert verdict(run).startswith("popular is served")
    assert "Highest in the test is markov, 1.0000; it is above popular" in verdict(run)
    assert [run.standing(label) for label in ("popular", "markov", "rules")] == ["apart", "best", "alike"]


def test_curves_are_told_at_the_usual_cut_offs(run: Run) -> None:
    found = grids(part_of(run, "cut-offs"))["recall at k"]
    assert found.heads == ("model", "k = 1", "k = 2", "k = 5", "k = 10", "k = 20", "k = 50", "k = 100")
    content = json.loads((run.folder / RESULTS).read_text())["models"][0]["test"]["curves"]["recall"]
    assert found.rows[0][1:5] == tuple(f"{content[k - 1]:.4f}" for k in (1, 2, 5, 10))


def test_segments_are_told_with_users_and_intervals(run: Run) -> None:
    found = grids(part_of(run, "segments"))
    content = json.loads((run.folder / RESULTS).read_text())["models"]
    rows = content[1]["test"]["segments"]["time"]
    time = found["Time of the question"]
    assert time.heads == ("part", "users", "popular", "markov", "rules")
    assert [row[0] for row in time.rows] == [row["label"] for row in rows]
    assert [row[1] for row in time.rows] == [f"{row['users']:,}" for row in rows]
    first = rows[0]["metrics"]["ndcg@10"]
    assert time.rows[0][3] == f"{first['value']:.4f} ({first['low']:.4f} to {first['high']:.4f})"


def test_parts_of_one_label_stay_apart(changed: Change) -> None:
    def alike(content: dict[str, Any]) -> None:
        for row in content["models"]:
            for part in row["test"]["segments"]["time"]:
                part["label"] = "the same minute"

    before = json.loads((changed(lambda content: None).folder / RESULTS).read_text())
    rows = grids(part_of(changed(alike), "segments"))["Time of the question"].rows
    parts = before["models"][1]["test"]["segments"]["time"]
    assert [row[:2] for row in rows] == [("the same minute", f"{part['users']}") for part in parts]
    assert [row[3][:6] for row in rows] == [f"{part['metrics']['ndcg@10']['value']:.4f}" for part in parts]


def test_slates_are_told_model_by_model(run: Run) -> None:
    found = grids(part_of(run, "slates"))["Slates beyond their hits"]
    assert found.heads == ("figure", "popular", "markov", "rules")
    content = json.loads((run.folder / RESULTS).read_text())["models"]
    own = content[0]["test"]["slates"]["figures"]["gini"]["value"]
    assert {row[0]: row[1] for row in found.rows}["Gini of exposure"] == f"{own:.4f}"
    assert "No figure for diversity within a slate: " in report_of(run).markdown()


def test_learning_curves_are_those_of_the_fit_that_was_judged(changed: Change) -> None:
    run = changed(lambda content: content["models"][2].update(facts=LEARNT))
    part = learning(run)
    drawn = report_of(run).html().split('aria-label="Validation by epoch')[1].split("Training loss")[0]
    assert ">2<" in drawn
    assert ">1.5<" not in drawn, "there is no epoch and a half"
    assert isinstance(part, Part)
    assert grids(part)["rules, by epoch"].rows == (
        ("1", "2.0000", "0.4000"), ("2", "1.5000", "0.5000"), ("3", "1.2500", "0.4500"),
    )  # fmt: skip
    said = report_of(run).markdown()
    assert "rules: best on validation after epoch 2 of 3." in said
    assert "still getting better" not in said
    assert "Validation by epoch: rules: 0.4 at 1, 0.5 at 2, 0.45 at 3" in report_of(run).html()


def test_training_that_ended_at_its_best_says_so(changed: Change) -> None:
    def last(content: dict[str, Any]) -> None:
        facts = json.loads(json.dumps(LEARNT))
        facts["first_fit"]["chosen"]["epoch"] = 3
        content["models"][2]["facts"] = facts

    assert (
        "rules: best on validation after epoch 3 of 3. It was still getting better"
        in report_of(changed(last)).markdown()
    )


def test_probabilities_are_told_where_a_model_has_some(changed: Change) -> None:
    found = {
        "scores_are": "logits", "targets": 40, "left_out": 0, "calibration_error": 0.125,
        "log_loss": {"value": 1.5, "low": 1.25, "high": 1.75, "error": 0.1, "users": 20},
        "reliability": [
            {"confidence": 0.25, "accuracy": 0.5, "count": 20}, {"confidence": 0.75, "accuracy": 1, "count": 20},
        ],
    }  # fmt: skip
    run = changed(lambda content: content["models"][2]["test"].update(probabilities=found))
    part = part_of(run, "probabilities")
    assert grids(part)["Probabilities"].rows == (("rules", "1.5000 (1.2500 to 1.7500)", "0.1250", "40"),)
    html = report_of(run).html()
    assert "rules: 0.5 at 0.25, 1 at 0.75" in html
    assert "as it should be: 0 at 0, 1 at 1" in html
    found["reliability"] = [{"confidence": 0.25, "accuracy": 0.125, "count": 40}]
    unsure = changed(lambda content: content["models"][2]["test"].update(probabilities=found))
    html = report_of(unsure).html()
    assert "as it should be: 0 at 0, 0.25 at 0.25" in html, "as far as the models go"


def test_less_to_learn_from_and_further_seeds_are_told_where_they_were_run(changed: Change) -> None:
    def more(content: dict[str, Any]) -> None:
        tests = {row["label"]: row["test"] for row in content["models"]}
        half = {"share": 0.5, "users": 10, "events": 210, "models": {"popular": tests["popular"]}}
        whole = {"share": 1.0, "users": 20, "events": 420, "models": tests}
        content["thinned"] = {"metric": "ndcg@10", "points": [whole, half]}
        one = {
            name: {"mean": 0.25, "deviation": 0.125, "values": []}
            for name in tests["popular"]["all"]["metrics"]
        }
        content["seeds"] = {"seeds": [3, 4], "models": {"rules": one}}

    run = changed(more)
    found = grids(part_of(run, "sparsity"))["With less to learn from"]
    assert found.heads == ("model", "0.5", "1")
    assert found.rows[-2:] == (("users learnt from", "10", "20"), ("their events", "210", "420"))
    own = grids(part_of(run, "models"))["Figures of all models"].rows
    assert found.rows[0] == ("popular", own[0][1], own[0][1])
    assert found.rows[1] == ("markov", "-", own[1][1])
    seeds = grids(part_of(run, "models"))["Over seeds"].rows
    assert seeds[0][:2] == ("rules", "0.2500 ± 0.1250")
    assert "over the seeds 3, 4" in report_of(run).markdown()


def test_less_to_learn_from_is_told_by_the_length_of_the_history_on_one_scale(changed: Change) -> None:
    def row(label: str, value: float) -> dict[str, Any]:
        return {"label": label, "metrics": {"ndcg@10": {"value": value, "low": value, "high": value + 0.02}}}

    def parted(test: dict[str, Any], short: float, long: float) -> dict[str, Any]:
        return {**test, "segments": {"whole_history": [row("1-4 events", short), row("5-9 events", long)]}}

    def more(content: dict[str, Any]) -> None:
        test = content["models"][0]["test"]
        half = {"popular": parted(test, 0.125, 0.0)}
        whole = {"popular": parted(test, 0.25, 0.5), "markov": test}
        content["thinned"] = {
            "metric": "ndcg@10",
            "points": [
                {"share": 1.0, "users": 20, "events": 420, "models": whole},
                {"share": 0.5, "users": 10, "events": 210, "models": half},
            ],
        }

    run = changed(more)
    found = grids(part_of(run, "sparsity"))
    assert list(found) == ["With less to learn from", "Histories of 1-4 events", "Histories of 5-9 events"]
    short, long = list(found.values())[1:]
    assert short.heads == ("model", "0.5", "1")
    assert short.rows == (
        ("popular", "0.1250 (0.1250 to 0.1450)", "0.2500 (0.2500 to 0.2700)"),
        ("markov", "-", "-"),
    )
    assert long.rows[0][1:] == ("0.0000 (0.0000 to 0.0200)", "0.5000 (0.5000 to 0.5200)")
    html = report_of(run).html()
    assert "Histories of 1-4 events: popular: 0.125 at 0.5, 0.25 at 1" in html
    plots = [one.partition("</figure>")[0] for one in html.split("<figcaption>Histories of ")[1:]]
    tops = [max(map(float, re.findall(r'text-anchor="end">([\d.]+)</text>', plot))) for plot in plots]
    assert tops == [0.6, 0.6], "one scale, which reaches the highest end of all intervals, 0.52"
    assert "### By the length of the history" in report_of(run).markdown()


def test_one_part_of_histories_alone_says_nothing_new(changed: Change) -> None:
    def more(content: dict[str, Any]) -> None:
        test = content["models"][0]["test"]
        row = {"label": "3 events", "metrics": {"ndcg@10": {"value": 0.5, "low": 0.4, "high": 0.6}}}
        parted = {**test, "segments": {"whole_history": [row]}}
        point = {"share": 1.0, "users": 20, "events": 420, "models": {"popular": parted}}
        content["thinned"] = {"metric": "ndcg@10", "points": [point]}

    assert list(grids(part_of(changed(more), "sparsity"))) == ["With less to learn from"]


def test_whole_baskets_are_told_with_repeats_and_new_items_apart(changed: Change) -> None:
    def figures(users: int, **values: float) -> dict[str, Any]:
        told = {
            name.replace("_", "@"): {"value": value, "low": value - 0.125, "high": value + 0.125}
            for name, value in values.items()
        }
        return {"users": users, "metrics": told}

    def more(content: dict[str, Any]) -> None:
        content["models"][0]["baskets"] = {
            "baskets": 1234, "items_a_basket": 2.5, "repeat_share": 0.625, "listed_repeats": 0.25,
            "all": figures(1000, recall_10=0.25, recall_20=0.375, ndcg_10=0.1875, hit_10=0.5),
            "repeats": figures(700, recall_10=0.5), "new": figures(900, recall_10=0.125),
        }  # fmt: skip
        content["models"][1]["baskets"] = {
            "baskets": 1234, "items_a_basket": 2.5, "repeat_share": 0.625, "listed_repeats": 1.0,
            "all": figures(1000, recall_10=0.5, recall_20=0.5, ndcg_10=0.25, hit_10=0.75),
            "repeats": figures(700, recall_10=0.75), "new": None,
        }  # fmt: skip
        content["models"][2]["baskets"] = None

    run = changed(more)
    found = grids(part_of(run, "baskets"))
    assert found["Whole baskets"].heads == ("model", "recall@10", "recall@20", "NDCG@10", "hit@10")
    assert found["Whole baskets"].rows == (
        ("popular", "0.2500 (0.1250 to 0.3750)", "0.3750", "0.1875 (0.0625 to 0.3125)", "0.5000"),
        ("markov", "0.5000 (0.3750 to 0.6250)", "0.5000", "0.2500 (0.1250 to 0.3750)", "0.7500"),
    )
    apart = found["Repeats and new items"]
    assert apart.heads == (
        "model", "recall@10 of repeats", "users who have repeats", "recall@10 of new items",
        "users who have new items", "repeats among the first 10",
    )  # fmt: skip
    assert apart.rows == (
        ("popular", "0.5000 (0.3750 to 0.6250)", "700", "0.1250 (0.0000 to 0.2500)", "900", "25.0%"),
        ("markov", "0.7500 (0.6250 to 0.8750)", "700", "-", "0", "100.0%"),
    )
    html = report_of(run).html()
    assert "1,234 baskets of 1,000 users, 2.5 items each; 62.5% of what is asked for are repeats" in html
    for drawn in ("recall@10: popular 0.2500", 'recall@10 of new items: popular 0.1250 (0.0000 to 0.2500)"'):
        assert f'aria-label="{drawn}' in html
    assert "Repeats among the first 10: popular 0.2500" in html
    assert "; share of repeats in the baskets 0.625" in html


def test_a_run_without_baskets_says_so(run: Run) -> None:
    assert "Whole baskets: this run does not ask for a next basket" in report_of(run).markdown()


def test_costs_that_were_measured_are_told(changed: Change) -> None:
    cost = {
        "artifact_bytes": 1_500_000, "latency_ms": {"p50": 0.5, "p99": 2.0, "answers": 9},
        "evaluated_users_per_second": 1234.0, "process_peak_mb": None, "process_peak_rise_mb": None,
    }  # fmt: skip
    run = changed(lambda content: content["models"][0].update(cost=cost))
    row = grids(costs(run))["Time and size of each model"].rows[0]
    assert row[3:] == ("-", "1.5 MB", "0.50 ms", "2.00 ms", "1,234", "-")
