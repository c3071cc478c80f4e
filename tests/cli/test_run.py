"""`ensue run`, `demo` and `compare`: from a log to a table, a saved run and the next command."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

Ask = Callable[..., tuple[int, str, str]]

TINY = """
seed = 3
out = "result"
[data]
source = "ring.csv"
[models.markov]
[models.near]
model = "rules"
window = 3
[models.small]
model = "transformer"
width = 8
epochs = 1
"""


@pytest.fixture
def tiny(tmp_path: Path, ring_csv: Path) -> Path:
    """An experiment file with its log beside it."""
    (tmp_path / "ring.csv").write_bytes(ring_csv.read_bytes())
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path / "tiny.toml"


def test_a_run_ends_with_table_best_samples_and_the_next_command(
    ask: Ask, ring_csv: Path, tmp_path: Path
) -> None:
    status, out, err = ask("run", ring_csv, "--models", "popular,markov", "--out", tmp_path / "r", "-k", 3)
    assert status == 0
    for head in ("model", "NDCG@10", "recall@10", "MRR@10", "AUC", "warm"):
        assert head in out
    assert "markov *" in out
    assert "* the best, chosen on validation: NDCG@10 1.0000" in out
    assert "Headline: all " in out
    assert "A user of the log" in out
    assert "A user never seen" in out
    assert "fallback: nothing is known of this user" in out
    assert "Columns: user = user_id, item = sku, time = ts." in err
    assert "advice: exclude_seen = false" in err
    assert "split: global temporal" in err
    assert (tmp_path / "r" / "run.json").is_file()
    assert (tmp_path / "r" / "models" / "markov" / "model.json").is_file()


def test_every_command_that_is_offered_works(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    out = ask("run", ring_csv, "--models", "markov", "--out", folder)[1]
    offered = [line.strip() for line in out.split("Next, type:\n")[1].splitlines() if line.strip()]
    assert len(offered) == 4
    for command in offered:
        words = shlex.split(command)
        assert words[0] == "ensue"
        assert ask(*words[1:])[0] == 0, command


def test_lines_fit_in_80_columns(
    ask: Ask, ring_run: Path, titled_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in (["compare", titled_run], ["recommend", titled_run], ["models"], ["doctor"]):
        status, out, _ = ask(*words)
        assert status == 0
        assert max(len(line) for line in out.splitlines() if "─" in line or "  " in line.strip()) <= 80


def test_json_is_all_there_is_on_standard_output(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    status, out, err = ask("run", ring_csv, "--models", "popular,markov", "--out", tmp_path / "r", "--json")
    assert status == 0
    found = json.loads(out)
    assert found["best"] == "markov"
    assert [row["label"] for row in found["models"]] == ["popular", "markov"]
    assert found["folder"] == str(tmp_path / "r")
    assert [sample["fallback"] for sample in found["recommendations"]] == [False, False, True]
    assert "Rows: 420 read" in err
    assert not re.search(r"\bu\d\d\b", out), "no user is named to programs"


def test_an_experiment_file_is_used_and_options_override_it(ask: Ask, tiny: Path) -> None:
    status, out, _ = ask("run", tiny, "--json", "--split", "last", "--targets", "last", "--include-seen")
    assert status == 0
    found = json.loads(out)
    assert found["folder"] == str(tiny.parent / "result")
    asked = found["experiment"]
    assert asked["seed"] == 3
    assert (asked["split"]["rule"], asked["evaluation"]["targets"]) == ("last", "last")
    assert asked["evaluation"]["exclude_seen"] is False
    small = next(row for row in found["models"] if row["label"] == "small")
    assert (small["model"], small["settings"]["width"], small["settings"]["epochs"]) == ("transformer", 8, 1)
    assert small["facts"]["first_fit"]["parameters"] > 0


def test_models_that_are_named_keep_their_settings_of_the_file(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    out = ask("run", tiny, "--models", "near,popular", "--out", tmp_path / "other", "--seed", 5, "--json")[1]
    found = json.loads(out)
    assert list(found["experiment"]["models"]) == ["near", "popular"]
    assert found["models"][0]["settings"] == {"window": 3, "last": 10, "decay": 0.7}
    assert found["experiment"]["seed"] == 5


def test_a_log_beside_an_experiment_file_is_the_log_that_is_read(
    ask: Ask, tiny: Path, tmp_path: Path
) -> None:
    log = tmp_path / "other.csv"
    log.write_text("user,item,time\n" + "".join(f"u{n % 5},i{n % 3},{n}\n" for n in range(60)))
    out = ask("run", log, "--config", tiny, "--models", "markov", "--json")[1]
    assert json.loads(out)["audit"]["events"] == 60


def test_a_column_given_as_an_option_joins_those_of_the_file(ask: Ask, tmp_path: Path) -> None:
    rows = "".join(f"u{n % 5},i{n % 3},x,{n}\n" for n in range(60))
    (tmp_path / "log.csv").write_text("wer,was,egal,wann\n" + rows)
    (tmp_path / "e.toml").write_text(
        '[data]\nsource = "log.csv"\ncolumns = { user = "wer", item = "egal" }\n[models.markov]\n'
    )
    words = ["run", tmp_path / "e.toml", "--out", tmp_path / "r", "--columns", "item=was,time=wann", "--json"]
    status, out, err = ask(*words)
    assert status == 0, err
    assert json.loads(out)["data"]["reading"]["columns"] == {"user": "wer", "item": "was", "time": "wann"}


def test_reading_options_reach_the_reader(ask: Ask, tmp_path: Path) -> None:
    log = tmp_path / "odd.txt"
    log.write_text("wer|was|wann|wertung\n" + "".join(f"u{n % 5}|i{n % 3}|{n}000|4,5\n" for n in range(60)))
    words: list[object] = [
        "--columns",
        "user=wer,item=was,time=wann",
        "--columns",
        "rating=wertung",
        "--delimiter",
        "|",
    ]
    words += ["--decimal", ",", "--time-unit", "ms", "--models", "markov", "--out", tmp_path / "r", "--json"]
    status, out, err = ask("run", log, *words)
    assert status == 0, err
    found = json.loads(out)
    assert found["audit"]["ratings"] == [4.5, 4.5, 1]
    assert found["data"]["reading"]["time_unit"] == "ms"


def test_sessions_are_cut_and_a_user_is_asked_about_by_the_last_one(ask: Ask, tmp_path: Path) -> None:
    """Two visits of four clicks each, an hour apart: the history of a user is the second visit."""
    rows = [
        (f"u{user}", "ABCDEFGH"[visit * 4 + step], 7200 * user + 3600 * visit + step)
        for user in range(30) for visit in range(2) for step in range(4)
    ]  # fmt: skip
    log = tmp_path / "visits.csv"
    log.write_text("user,item,time\n" + "".join(f"{user},{item},{time}\n" for user, item, time in rows))
    words = ["--by", "session", "--session-gap", 1800, "--models", "markov", "--out", tmp_path / "r"]
    status, _, err = ask("run", log, *words)
    assert status == 0, err
    assert "sequences by session: 60" in err
    answer = json.loads(ask("recommend", tmp_path / "r", "--user", "u7", "--json")[1])
    assert answer["history"] == ["E", "F", "G", "H"]


def test_a_model_that_cannot_run_is_left_out_and_named(ask: Ask, tmp_path: Path) -> None:
    log = tmp_path / "order.csv"
    log.write_text("user,item\n" + "".join(f"u{n // 6},i{n % 6}\n" for n in range(60)))
    status, out, _ = ask("run", log, "--models", "recent,markov", "--out", tmp_path / "r")
    assert status == 0
    assert "recent was left out: recent: this log has no times" in out


def test_comparing_a_run_shows_its_table_and_tests_against_the_best(ask: Ask, ring_run: Path) -> None:
    status, out, err = ask("compare", ring_run)
    assert (status, err) == (0, "")
    assert "markov *" in out
    assert "Highest NDCG@10 in the test: markov, 1.0000" in out
    assert "p (Holm)" in out
    found = json.loads(ask("compare", ring_run, "--json")[1])
    tests = found["comparison"]
    assert tests["metric"] == "ndcg@10"
    assert [row["model"] for row in tests["others"]][-1] == "popular"
    values = {row["label"]: row["test"]["all"]["metrics"]["ndcg@10"]["value"] for row in found["models"]}
    assert tests["others"][-1]["value"] == pytest.approx(values["popular"])
    assert tests["others"][-1]["difference"]["value"] == pytest.approx(1.0 - values["popular"])


def test_comparing_a_log_runs_the_models_first(ask: Ask, ring_csv: Path, tmp_path: Path) -> None:
    status, out, _ = ask("compare", ring_csv, "--models", "popular,rules", "--out", tmp_path / "r", "--json")
    assert status == 0
    found = json.loads(out)
    tests = found["comparison"]
    assert {tests["best"], *(row["model"] for row in tests["others"])} == {"popular", "rules"}


def test_the_choice_on_validation_is_defended_where_the_test_says_otherwise(
    ask: Ask, ring_run: Path, tmp_path: Path
) -> None:
    assert "The run serves" not in ask("compare", ring_run)[1]
    shutil.copytree(ring_run, tmp_path / "r")
    stored = json.loads((tmp_path / "r" / "run.json").read_text())
    (tmp_path / "r" / "run.json").write_text(json.dumps(stored | {"best": "popular"}))
    out = ask("compare", tmp_path / "r")[1]
    assert "popular *" in out
    assert "The run serves popular, which was best on validation" in out


def test_figures_of_users_are_kept_without_their_ids_and_in_no_order_of_theirs(
    ask: Ask, tmp_path: Path, seeded: np.random.Generator
) -> None:
    drawn = seeded.integers(9, size=(40, 6)).tolist()
    rows = [
        f"u{user:02d},i{item},{user + 50 * step}"
        for user, own in enumerate(drawn)
        for step, item in enumerate(own)
    ]
    log = tmp_path / "noise.csv"
    log.write_text("\n".join(["user,item,time", *rows]) + "\n")
    out = ask("run", log, "--models", "popular,markov", "--split", "last", "--out", tmp_path / "r", "--json")[
        1
    ]
    table = pl.read_parquet(tmp_path / "r" / "figures.parquet")
    assert table.columns == ["popular ndcg@10", "markov ndcg@10"]
    assert len(table) == 40
    assert table["popular ndcg@10"].n_unique() > 2
    assert table.equals(table.sort(table.columns))
    for row in json.loads(out)["models"]:
        value = row["test"]["all"]["metrics"]["ndcg@10"]["value"]
        assert table[f"{row['label']} ndcg@10"].mean() == pytest.approx(value)


def test_one_model_cannot_be_compared_and_its_run_is_offered(ask: Ask, ring_run: Path) -> None:
    status, _, err = ask("compare", ring_run / "models" / "markov")
    assert status == 2
    assert f"give {ring_run}." in err


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"models": [], "best": "x", "experiment": {"seed": 0}}']
)
def test_a_damaged_run_is_refused(ask: Ask, tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    status, _, err = ask("compare", tmp_path)
    assert status == 2
    assert "is damaged" in err


def test_the_demo_on_simulated_data_shows_the_whole_way(ask: Ask, tmp_path: Path) -> None:
    words = ["demo", "--data", "simulated", "--models", "popular,markov", "--out", tmp_path / "demo"]
    status, out, _ = ask(*words)
    assert status == 0
    assert "* the best, chosen on validation" in out
    assert "A user of the log" in out
    assert "A history typed as" in out
    assert "A user never seen" in out
    assert out.rstrip().endswith("ensue run YOUR_LOG.csv")
    found = json.loads(ask(*words, "--json")[1])
    assert len(found["recommendations"]) == 3


def test_the_demo_on_a_folder_of_ones_own(ask: Ask, tmp_path: Path, ring_csv: Path) -> None:
    status, out, _ = ask("demo", "--data", ring_csv.parent, "--models", "markov", "--out", tmp_path / "demo")
    assert status == 0
    assert "markov *" in out


def test_offline_with_nothing_to_fetch_the_demo_offers_what_works(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENSUE_OFFLINE", "1")
    monkeypatch.setenv("ENSUE_CACHE", str(tmp_path / "empty"))
    monkeypatch.delenv("ENSUE_DATA", raising=False)
    status, out, err = ask("demo", "--out", tmp_path / "demo")
    assert (status, out) == (2, "")
    assert "--data simulated" in err
    assert "--data FOLDER" in err
    assert not (tmp_path / "demo").exists()


def test_a_folder_that_looks_like_movielens_100k_and_is_not_is_refused(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("1\t2\t3\t4\n1\t3\t3\t5\n")
    status, _, err = ask("demo", "--data", tmp_path, "--out", tmp_path / "demo")
    assert status == 2
    assert "is not 'ml-100k'" in err


@pytest.mark.data
def test_the_demo_on_movielens_names_films(ask: Ask, data_dir: Path, tmp_path: Path) -> None:
    words = ["--models", "popular,markov,rules", "--out", tmp_path / "demo"]
    status, out, _ = ask("demo", "--data", data_dir / "ml-100k", *words)
    assert status == 0
    assert "Star Wars (1977) > Fargo (1996)" in out
    assert "Return of the Jedi (1983)" in out
    assert "rules *" in out


def test_a_run_in_the_folder_of_another_leaves_none_of_its_models(
    ask: Ask, ring_csv: Path, tmp_path: Path
) -> None:
    for names in ("popular,markov", "markov,rules"):
        assert ask("run", ring_csv, "--models", names, "--out", tmp_path / "r")[0] == 0
    assert sorted(place.name for place in (tmp_path / "r" / "models").iterdir()) == ["markov", "rules"]


def test_what_is_said_of_a_table_is_true_of_one_user_and_of_a_split_that_leaks(
    ask: Ask, tmp_path: Path
) -> None:
    log = tmp_path / "one.csv"
    log.write_text("user,item,time\n" + "".join(f"u,i{step % 7},{10**9 + step}\n" for step in range(30)))
    status, out, err = ask("run", log, "--models", "popular", "--out", tmp_path / "r")
    assert status == 0, err
    assert "targets of 1 user, whose figures tell nothing of others: there is no interval." in out
    assert "This split leaks" not in out
    assert not re.search(r"\d\.\d{3}-\d\.\d{3}", out)
    log.write_text(log.read_text() + "".join(f"v,i{step % 5},{10**9 + step}\n" for step in range(20)))
    out = ask("run", log, "--models", "popular", "--split", "last", "--out", tmp_path / "s")[1]
    assert "targets of 2 users, each user weighing the same" in out
    assert "This split leaks: training holds events" in out


def test_a_test_of_items_that_nobody_had_before_says_so(ask: Ask, tmp_path: Path) -> None:
    log = tmp_path / "new.csv"
    rows = [f"u{user},i{user}-{step},{10**9 + 100 * step + user}\n" for user in range(9) for step in range(9)]
    log.write_text("user,item,time\n" + "".join(rows))
    out = ask("run", log, "--models", "popular", "--split", "temporal", "--out", tmp_path / "r")[1]
    assert "Training has seen none of them: all count as misses, and nothing here tells models apart." in out
