"""The report of a run: what it says is what the run wrote, what is absent is said, and nobody is named."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.reporting.conftest import LEARNT, NASTY

from ensue.errors import ArtifactError
from ensue.experiment import experiment_of
from ensue.report.blocks import Grid, Part, Pictures
from ensue.report.page import text
from ensue.reporting import Run, json_of, keep, provenance, read_run, report_of
from ensue.reporting.doubts import doubts
from ensue.reporting.learning import learning
from ensue.reporting.reading import Absent, seconds, shown_metrics, size
from ensue.reporting.standing import costs, verdict
from ensue.run_folder import REPEAT, REPORT, RESULTS

Change = Callable[[Callable[[dict[str, Any]], None]], Run]

HEADINGS = [
    "Models", "Metric against k", "By kind of target", "What is recommended", "Examples", "Time, memory and size",
    "The data", "How to repeat it", "Not in this report",
]  # fmt: skip


def grids(part: Part) -> dict[str, Grid]:
    """The tables of a part by their names, those behind plots too."""
    found = {one.name: one for one in part.blocks if isinstance(one, Grid)}
    for one in part.blocks:
        if isinstance(one, Pictures):
            found |= {grid.name: grid for grid in one.behind}
    return found


def part_of(run: Run, anchor: str) -> Part:
    return next(part for part in report_of(run).parts if part.anchor == anchor)


def test_all_parts_are_there_and_what_is_absent_is_said_with_its_reason(run: Run) -> None:
    report = report_of(run)
    assert [part.heading for part in report.parts] == HEADINGS
    said = report.markdown()
    assert "Learning curves: no model of this run learns in epochs" in said


def test_a_run_that_measured_less_says_what_it_lacks(changed: Change) -> None:
    def less(content: dict[str, Any]) -> None:
        for row in content["models"]:
            row["cost"] = None
            for name in ("curves", "slates", "segments", "probabilities"):
                row["test"].pop(name)
        content.pop("samples")
        content.pop("made")

    run = changed(less)
    headings = [part.heading for part in report_of(run).parts]
    assert headings == [
        "Models",
        "Time, memory and size",
        "The data",
        "How to repeat it",
        "Not in this report",
    ]
    said = report_of(run).html()
    for absent in ("Metric against k: ", "By kind of target: ", "What is recommended: ", "Examples: "):
        assert absent in said
    assert "Memory, size and latency were not measured in this run." in said


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


def test_what_the_run_found_odd_is_told_in_its_own_words(changed: Change) -> None:
    def odd(content: dict[str, Any]) -> None:
        for row in content["models"]:
            row["warnings"] = ["it is odd"]

    said = mind(changed(odd))
    assert "markov: it is odd" in said


def test_examples_are_told_by_titles_and_a_script_in_one_stays_text(run: Run) -> None:
    samples = run.content["samples"]
    assert 1 <= len(samples) <= 4
    assert all(1 <= len(one["history"]) <= 5 and len(one["slate"]) == 5 for one in samples)
    html = report_of(run).html()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "Film A" in html
    assert not re.search(r"(?<!\\)<script", report_of(run).markdown())
    hit = [one for one in samples if one["rank"] == 1.0]
    assert hit
    assert hit[0]["slate"][0] == hit[0]["next"]
    for one in hit:
        assert f"<li>{text(one['next']['title'])} ← came next</li>" in html
    listed = [one for one in samples if one["next"]["item"] in [item["item"] for item in one["slate"]]]
    assert html.count("← came next") == len(listed)


def test_nobody_is_named_and_no_network_is_asked_for(run: Run) -> None:
    for said in (report_of(run).html(), report_of(run).markdown(), json.dumps(json_of(run))):
        assert not re.search(r"\bu\d\d\b", said)
    html = report_of(run).html()
    assert not re.search(r"https?://|(src|href)=\"(?!#)", html)
    assert "default-src &#x27;none&#x27;" in html or "default-src 'none'" in html
    assert html.count("<svg") == html.count("</svg>")
    assert html.count('role="img"') >= 8


def test_what_repeats_the_run_is_kept_beside_the_page(run_folder: Path) -> None:
    page = keep(run_folder)
    assert page == run_folder / REPORT
    assert page.read_text() == report_of(read_run(run_folder)).html()
    again = experiment_of(tomllib.loads((run_folder / REPEAT).read_text()))
    assert again.to_json() == read_run(run_folder).content["experiment"]
    assert f"ensue run {run_folder / REPEAT} --out {run_folder}-again" in page.read_text()


def test_versions_and_machine_are_told_without_a_name_of_the_machine(run: Run) -> None:
    import platform

    made = provenance()
    assert made["versions"]["python"] == platform.python_version()
    assert {"ensue", "numpy", "polars"} <= set(made["versions"])
    assert platform.node() not in json.dumps(made).split('"')
    found = grids(part_of(run, "repeat"))["Versions and machine"]
    assert {row[0]: row[1] for row in found.rows}["polars"] == made["versions"]["polars"]


def test_costs_that_were_measured_are_told(changed: Change) -> None:
    cost = {
        "artifact_bytes": 1_500_000, "latency_ms": {"p50": 0.5, "p99": 2.0, "answers": 9},
        "evaluated_users_per_second": 1234.0, "process_peak_mb": None, "process_peak_rise_mb": None,
    }  # fmt: skip
    run = changed(lambda content: content["models"][0].update(cost=cost))
    row = grids(costs(run))["Time and size of each model"].rows[0]
    assert row[3:] == ("-", "1.5 MB", "0.50 ms", "2.00 ms", "1,234", "-")


# ------------------------------------------------------------------------------------ what to mind


def mind(run: Run) -> str:
    return " ".join(doubts(run))


def test_a_model_that_hardly_tells_items_apart_is_minded_as_the_run_found_it(run: Run) -> None:
    """All items of the ring are as popular as each other."""
    found = {row["label"]: row["warnings"] for row in run.content["models"]}
    assert found["markov"] == []
    (told,) = found["popular"]
    assert f"popular: {told}." in mind(run)
    assert "Only 20 users were tested" in mind(run)


def test_leaks_cold_and_tied_targets_are_warned_of(changed: Change) -> None:
    def worse(content: dict[str, Any]) -> None:
        content["split"]["leaks"] = "training lies after the test of others"
        for row in content["models"]:
            row["test"]["counts"] |= {"users": 500, "targets": 1000, "cold_targets": 300, "tied_targets": 80}

    said = mind(changed(worse))
    assert "This split leaks: training lies after the test of others." in said
    assert "30% of the targets are cold items" in said
    assert "8% of the targets of markov tie" in said
    assert "Only" not in said


def test_a_network_that_earns_no_place_is_named(changed: Change) -> None:
    assert "rules is not told from markov" not in mind(changed(lambda content: None))

    def network(content: dict[str, Any]) -> None:
        content["models"][0]["facts"] = LEARNT

    assert "popular is not above markov, which only counts" in mind(changed(network))


def test_without_baselines_the_report_asks_for_them(changed: Change) -> None:
    def lonely(content: dict[str, Any]) -> None:
        content["models"] = [row | {"model": "lstm"} for row in content["models"]]

    assert "No simple baseline stands beside" in mind(changed(lonely))
    assert "No simple baseline" not in mind(changed(lambda content: None))


# ------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("models", 0, "label"), 5, "wrong kind"),
        (("models", 0, "test", "all", "metrics", "ndcg@10", "low"), None, "wrong kind"),
        (("models", 0, "test", "all", "metrics"), {}, "no figures"),
        (("models",), [], "no models"),
        (("best",), "nothing", "there is no model 'nothing'"),
        (("split",), None, "damaged"),
        (("models", 0, "fit_seconds"), True, "wrong kind"),
    ],
)
def test_damaged_results_are_refused_in_one_line(
    changed: Change, place: tuple[Any, ...], value: Any, told: str
) -> None:
    def break_it(content: dict[str, Any]) -> None:
        here: Any = content
        for step in place[:-1]:
            here = here[step]
        here[place[-1]] = value

    with pytest.raises(ArtifactError, match=re.escape(told)) as found:
        changed(break_it)
    assert "run the experiment anew" in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "value"), [("curves", {"recall": 5}), ("segments", {"time": [{}]}), ("slates", {"figures": {}})]
)
def test_a_part_that_cannot_be_read_names_itself(changed: Change, name: str, value: Any) -> None:
    run = changed(lambda content: content["models"][0]["test"].update({name: value}))
    with pytest.raises(ArtifactError, match=f"is damaged \\(in what '{name}' reads"):
        report_of(run)


def test_not_a_number_and_what_is_no_run_are_refused(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"holds no run\.json"):
        read_run(tmp_path)
    text = (run_folder / RESULTS).read_text()
    (tmp_path / RESULTS).write_text(text.replace('"seed": 3', '"seed": NaN', 1))
    with pytest.raises(ArtifactError, match="NaN is no figure"):
        read_run(tmp_path)


def test_without_figures_of_users_there_are_no_tests_and_the_reason_is_said(
    changed: Change, tmp_path: Path
) -> None:
    changed(lambda content: None)
    (tmp_path / "changed" / "figures.parquet").unlink()
    run = read_run(tmp_path / "changed")
    assert run.comparison is None
    assert "No paired tests: " in report_of(run).markdown()
    assert run.standing("popular") == "untested"
    assert run.highest == "markov"


def test_one_model_alone_is_reported_too(changed: Change) -> None:
    run = changed(lambda content: content.update(models=content["models"][1:2]))
    assert "No paired tests: there is one model" in report_of(run).markdown()


# ------------------------------------------------------------------------------------ words


def test_times_and_sizes_are_short() -> None:
    assert [seconds(value) for value in (0.123, 12.3, 754, 7_320)] == [
        "0.12 s",
        "12 s",
        "12 min 34 s",
        "2 h 2 min",
    ]
    assert [size(value) for value in (12, 1_200, 1_234_567)] == ["12 B", "1.2 kB", "1.2 MB"]


def test_metrics_that_are_usual_come_first_and_others_where_none_is() -> None:
    assert shown_metrics(["auc", "ndcg@10", "x"]) == ["ndcg@10", "auc"]
    assert shown_metrics(["a", "b", "c", "d", "e"]) == ["a", "b", "c", "d"]


def test_the_nasty_title_is_planted(run: Run) -> None:
    assert NASTY in json.dumps(run.content["samples"])
    assert not isinstance(learning(run), Part)
    assert isinstance(learning(run), Absent)
