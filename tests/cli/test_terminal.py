"""What reaches a terminal, a pipe and a file, by the real command in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ensue.cli import MEMORY, progress, settle, terminal

ENSUE = [sys.executable, "-m", "ensue"]


def test_a_command_gives_memory_back_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"OMP_WAIT_POLICY": "ACTIVE"})
    settle()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert {name: os.environ[name] for name in MEMORY} == MEMORY
    own = dict.fromkeys(MEMORY, "own")
    monkeypatch.setattr(os, "environ", dict(own))
    settle()
    assert {name: os.environ[name] for name in MEMORY} == own


def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """`ensue WORDS` in a process of its own, its output in pipes."""
    return subprocess.run(
        [*ENSUE, *map(str, words)], capture_output=True, timeout=120, env=os.environ | (env or {})
    )


def on_terminal(
    *words: object, columns: int = 80, env: dict[str, str] | None = None, command: Sequence[str] = ENSUE
) -> str:
    """What `ensue WORDS` (or another command) writes on a terminal of this width."""
    pty = pytest.importorskip("pty")
    fcntl, struct, termios = (pytest.importorskip(name) for name in ("fcntl", "struct", "termios"))
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    own = {"TERM": "xterm-256color"} | (env or {})
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    child = subprocess.Popen(
        [*command, *map(str, words)], stdin=follower, stdout=follower, stderr=follower, env=inherited | own
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(leader)
    assert child.wait(timeout=60) == 0, seen.decode()
    return seen.decode().replace("\r\n", "\n")


def test_the_module_and_the_command_are_one() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.fullmatch(rb"ensue \d+\.\d+\.\d+\n", done.stdout)


def test_without_words_the_help_is_shown() -> None:
    done = run()
    assert done.returncode == 0
    assert done.stdout == run("--help").stdout
    for verb in ("demo", "run", "data", "train", "evaluate", "recommend", "compare", "models", "doctor"):
        assert f"\n  {verb} ".encode() in done.stdout


def test_in_a_pipe_there_is_no_control_character_and_no_bar(ring_csv: Path, tmp_path: Path) -> None:
    done = run("run", ring_csv, "--models", "markov", "--out", tmp_path / "r")
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"\r" not in done.stdout + done.stderr
    assert "\u2501" not in done.stderr.decode()


def test_a_reader_that_goes_away_ends_the_command_quietly(ring_run: Path) -> None:
    command = " ".join(f"'{word}'" for word in [*ENSUE, "compare", str(ring_run), "--json"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -c 1; echo; echo ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.split("\n")[1] in ("141", "0")  # 0 where all fitted into the pipe before head went


SLOW = """
import sys, time
from ensue import ladder
from ensue.cli import main

def waiting(*_):
    sys.stderr.write("reading\\n")
    sys.stderr.flush()
    time.sleep(60)

ladder.load_log = waiting
sys.argv = ["ensue", "data", "audit", "x.csv"]
main()
"""


def test_an_interrupted_command_says_one_line() -> None:
    child = subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stderr is not None
    assert child.stderr.readline() == b"reading\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (130, b"", b"interrupted\n")


def test_a_terminal_that_knows_no_such_letter_gets_an_escape(titled_run: Path) -> None:
    done = run("recommend", titled_run, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert b"Caf\\xe9" in done.stdout
    answer = run("recommend", titled_run, "--json", env={"PYTHONIOENCODING": "ascii"})
    assert "[b]Café[/b] (1992)" in [row["title"] for row in json.loads(answer.stdout)["items"]]


WORK = """
import time
from ensue.cli import progress

shown = progress.shown()
with shown.task("lstm", 200) as task:
    for step in range(80):  # and then it stops early
        time.sleep(0.005)
        task.advance(1, "loss 2.3")
    shown.say("a choice was made")
"""


def test_on_a_terminal_there_are_bars_with_rate_time_and_note() -> None:
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", on_terminal("-c", WORK, command=[sys.executable]))
    assert re.search(r"lstm [\u2501\u2578\u257a]+ +[1-9]\d? % +[\d,.]+/s 0?0:0\d+ loss 2\.3", seen), (
        "on the way"
    )
    assert re.search(r"lstm \u2501+ 100 % +[\d,.]+/s 0?0:0\d+ loss 2\.3", seen), "at the end"
    assert "a choice was made" in seen


def test_on_a_terminal_lines_are_folded_at_its_width(ring_csv: Path, tmp_path: Path) -> None:
    seen = on_terminal("run", ring_csv, "--models", "markov", "--out", tmp_path / "r", columns=72)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    longest = max(len(line) for line in plain.split("\n") if "/" not in line)
    assert 60 < longest <= 72, "but for paths and what is to be copied"


def test_with_no_color_the_same_is_told_in_plain_lines(ring_csv: Path, tmp_path: Path) -> None:
    seen = on_terminal("run", ring_csv, "--models", "markov", "--out", tmp_path / "r", env={"NO_COLOR": "1"})
    assert "\x1b" not in seen
    assert "markov *" in seen


def test_what_is_to_be_copied_is_never_broken(ring_csv: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("a long name of a folder " * 4).strip()
    seen = on_terminal("run", ring_csv, "--models", "markov", "--out", folder, columns=60)
    assert f"  ensue compare '{folder}'\n" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)


# --------------------------------------------------------------------------------------- in this process


def test_lines_tell_begin_and_end_with_the_last_note(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress.shown()
    with shown.task("lstm", 10) as task:
        task.advance(4, "loss 2.0")
        task.advance(6)
    shown.say("a choice")
    begin, end, said = capsys.readouterr().err.splitlines()
    assert begin == "lstm ..."
    assert re.fullmatch(r"lstm: done after \d+\.\d s \(loss 2\.0\)", end)
    assert said == "a choice"


def test_long_work_tells_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", -1.0)
    with progress.Lines().task("lstm", 10) as task:
        task.advance(4)
    assert re.search(r"lstm: 40% after \d+\.\d s\n", capsys.readouterr().err)


def test_bars_may_be_nested_and_early_stops_fill_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    bars = progress.Bars()
    with bars.task("outer", 2) as outer, bars.task("inner", 100) as inner:
        display = bars.display
        assert display is not None
        inner.advance(30, "a note")
        outer.advance()
        bars.say("above")
    assert bars.display is None
    assert [task.percentage for task in display.tasks] == [100.0, 100.0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Café 東京　x", "Café 東京　x"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb", "a\\u202eb"),
        ("tab\there", "tab\\there"),
        ("new\nline", "new\\nline"),
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
        ("a\u00a0b", "a\u00a0b"),
    ],
)
def test_only_what_could_harm_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert terminal.plain(text) == shown
