"""The report of a run as a whole: what is absent is said, nobody is named, what is odd is minded, damage is refused."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.reporting.conftest import LEARNT, NASTY
from tests.reporting.test_parts import Change, grids, part_of

from ensue.errors import ArtifactError
from ensue.experiment import experiment_of
from ensue.report.blocks import Part
from ensue.report.page import text
from ensue.reporting import Run, json_of, keep, provenance, read_run, report_of
from ensue.reporting.doubts import doubts
from ensue.reporting.learning import learning
from ensue.reporting.reading import Absent, seconds, shown_metrics, size
from ensue.run_folder import REPEAT, REPORT, RESULTS

HEADINGS = [
    "Models", "Metric against k", "By kind of target", "What is recommended", "Examples", "Time, memory and size",
    "The data", "How to repeat it", "Not in this report",
]  # fmt: skip


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
