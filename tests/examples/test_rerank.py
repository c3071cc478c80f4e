"""The commands of docs/examples/rerank.md, on a simulated log in trivago's layout; its figures, on the real slice."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from ensue.cli import rerank
from ensue.events.readers.trivago import HEADER
from ensue.reranking import fit, read_shown
from ensue.reranking.simulated import simulate_lists

PAGE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "rerank.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("ensue rerank ")
    for block in re.findall(r"```console\n(.*?)```", TEXT, flags=re.S)
    for line in block.strip().splitlines()
]
FIT, DISPLAY, APPLY = COMMANDS
REQUEST = re.findall(r"```json\n(.*?)```", TEXT, flags=re.S)[0]


def trivago(folder: Path) -> Path:
    """Simulated sessions as trivago writes them: what is done, and click-outs that show their list."""
    made = simulate_lists(500, seed=1)
    number = pl.col("item").str.replace("h", "5")
    lists = (
        made.lists.with_columns(item=number)
        .group_by("list", maintain_order=True)
        .agg(
            pl.col("session", "time", "order").first(),
            reference=pl.col("item").filter(pl.col("chosen") == 1).first(),
            impressions=pl.col("item").str.join("|"),
            prices=pl.col("price").round(0).cast(pl.Int64).cast(pl.String).str.join("|"),
        )
    )
    shown = lists.select(
        pl.col("session").alias("session_id"),
        pl.col("time").alias("timestamp"),
        pl.lit("clickout item").alias("action_type"),
        "reference",
        pl.when(pl.col("order") == "by price").then(pl.lit("Sort by Price")).alias("current_filters"),
        "impressions",
        "prices",
    )
    done = made.events.select(
        pl.col("session").alias("session_id"),
        pl.col("time").dt.epoch("s").alias("timestamp"),
        ("interaction item " + pl.col("event")).alias("action_type"),
        number.alias("reference"),
    )
    frame = (
        pl.concat([shown, done], how="diagonal")
        .sort("session_id", "timestamp")
        .with_columns(
            user_id="session_id",
            step=pl.int_range(1, pl.len() + 1).over("session_id"),
            platform=pl.lit("NO"),
            city=pl.lit("Oslo"),
            device=pl.lit("mobile"),
        )
    )
    (folder / "trivago-100k").mkdir()
    frame.select(HEADER).write_parquet(folder / "trivago-100k" / "slice.parquet")
    return folder


def asked(command: str, data: Path, folder: Path, *more: str) -> Result:
    """A command of the page, its folders here."""
    words = [word.replace("$ENSUE_DATA", str(data)) for word in shlex.split(command)]
    own = ("rerank-choice", "rerank-display", "request.json")
    placed = [str(folder / word) if word in own else word for word in words]
    return CliRunner().invoke(rerank.app, [*placed, *more], catch_exceptions=False)


def test_the_commands_of_the_page_put_lists_in_a_better_order(tmp_path: Path) -> None:
    data = trivago(tmp_path)
    found = asked(FIT, data, tmp_path, "--json")
    assert found.exit_code == 0
    said = json.loads(found.stdout)
    engine = said["test"]["rows"][0]
    assert engine["order"] == "engine"
    assert engine["re-ranker less this"]["mrr"]["difference"]["low"] > 0.1
    (tmp_path / "request.json").write_text(REQUEST, encoding="utf-8")
    answer = json.loads(asked(APPLY, data, tmp_path, "--json").stdout)["items"]
    part = {one["item"]: one["parts"]["history"] for one in answer}
    assert part["5003"] > 1 > 0 > max(part["5001"], part["5002"])  # it was looked at, and they were not
    assert {one["item"]: one["was"] for one in answer} == {"5001": 1, "5002": 2, "5003": 3}
    assert sum(answer[0]["parts"].values()) == pytest.approx(answer[0]["score"])
    table = asked(APPLY, data, tmp_path, "-k", "2").stdout
    assert "5003" in table
    head, parts = 2, 2
    assert len(table.strip().splitlines()) == head + 2 + parts
    assert table.splitlines()[-1].partition(":")[0] in ("5001", "5002", "5003")


def test_what_was_done_on_the_list_itself_counts_in_one_account_alone(tmp_path: Path) -> None:
    data = trivago(tmp_path)
    assert asked(DISPLAY, data, tmp_path).exit_code == 0
    known = [read_shown(data / "trivago-100k", known=account) for account in ("choice", "display")]
    assert (known[0].ends > known[0].starts).any()
    assert (known[1].ends == known[1].starts).all()  # nobody searched, filtered or changed the order
    later = asked(f"evaluate rerank-display {data / 'trivago-100k'}", data, tmp_path / "gone", "--json")
    assert later.exit_code != 0
    evaluate = f"evaluate {tmp_path / 'rerank-display'} {data / 'trivago-100k'} --known display"
    again = asked(evaluate, data, tmp_path, "--json")
    rows = json.loads(again.stdout)
    assert rows["rows"][-1]["order"] == "re-ranker"
    assert "are left out" in rows["notes"][0]


@pytest.mark.data
@pytest.mark.slow
def test_the_figures_of_the_page_come_out_again(data_dir: Path) -> None:
    found = fit(read_shown(data_dir / "trivago-100k")).test
    gap = found.row("engine").against["mrr"].difference
    assert f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})" in TEXT
    for row in found.rows:
        one = row.figures["mrr"]
        assert f"{one.value:.4f} ({one.low:.4f} to {one.high:.4f})" in TEXT
