"""The page on ads: its commands, on a small log of the same shape; and the samples where they are."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from ensue.ads import ClickModel, impressions_of, run_ads
from ensue.cli import ads, terminal
from ensue.events.source import read

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "examples" / "ads.md"
SMALL = {"--users": "150", "--visits": "14"}


def _commands() -> list[list[str]]:
    """The words of each command of the page that needs no public data, on a small log."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [shlex.split(line) for line in lines if "$ENSUE_DATA" not in line]
    for words in found:
        for option, value in SMALL.items():
            if option in words:
                words[words.index(option) + 1] = value
    return found


def _ran(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert words[:2] == ["ensue", "ads"]
    command = typer.main.get_command(ads.app)
    try:
        with command.make_context("ensue ads", words[2:]) as context:
            command.invoke(context)
    except Exception as fault:  # noqa: BLE001 - as the command line ends
        terminal.failed(fault)
        pytest.fail(f"{shlex.join(words)}: {capsys.readouterr().err}")
    return capsys.readouterr().out


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(PROJECT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    question = re.search(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert question is not None
    (tmp_path / "question.json").write_text(question.group(1), encoding="utf-8")
    return tmp_path


def test_the_commands_of_the_page_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = {words[2]: _ran(words, capsys) for words in _commands()}
    assert list(outputs) == ["simulate", "fit", "slate", "value"]
    assert "click model with history" in " ".join(outputs["fit"].split())
    assert "reliability" in outputs["fit"]
    assert "DR: doubly robust" in " ".join(outputs["value"].split())
    assert "SNIPS" in outputs["value"]
    assert outputs["slate"].count("\n") > 3
    assert (place / "ads-model" / "ads.json").is_file()
    known = json.loads((place / "ads-model" / "ads.json").read_text(encoding="utf-8"))
    assert known["settings"]["history"] is True


@pytest.mark.data
def test_the_sample_of_avazu_is_mostly_copies(data_dir: Path) -> None:
    columns = {"user": "id", "item": "C14", "event": "click", "time": ""}
    log = read(data_dir / "avazu-sample", format="delimited", columns=columns)
    assert "2495 of 2994 impressions repeat" in impressions_of(log).notes[0]
    shown = impressions_of(log, distinct=True)
    assert (len(shown), int(shown.clicked.sum())) == (499, 87)
    done = run_ads(shown, ClickModel(without=("hour", "device_id", "device_ip"), l2=10.0))
    assert done.judged["click model"].metrics["auc"].value > 0.55
