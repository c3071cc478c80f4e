"""Faults that users of recommenders have met in answers, saved models and ids; here none of them happens.

Each is tried through the command line, as a user would, and where it says more, from Python.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import ensue
from ensue.cli import call
from ensue.errors import QueryError

Ask = Callable[..., tuple[int, str, str]]

RING = "PQRSTUVW"
"""Eight items; each is always followed by the next, the last by the first."""

COUNTING = ("popular", "recent", "markov", "rules")
NETWORKS = ("lstm", "transformer")


def ring_rows(users: int = 24, steps: int = 12, favourite: str = "") -> list[tuple[str, str, int]]:
    """Walks round the ring, one event a minute; the favourite gets a visit of its own from everybody."""
    rows = [
        (f"user{user}", RING[(user + step) % len(RING)], 1_600_000_000 + 86_400 * user + 60 * step)
        for user in range(users)
        for step in range(steps)
    ]
    return rows + [(f"fan{user}", favourite, 1_600_000_000 + user) for user in range(users * len(favourite))]


def write_csv(
    path: Path, rows: Sequence[tuple[object, ...]], head: str = "user_id,item_id,timestamp"
) -> Path:
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs `ensue WORDS` in this process: exit status, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = call([str(word) for word in words])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A saved model of each kind on the ring; networks see the last ten events and learn for a moment only."""
    folder = tmp_path_factory.mktemp("models")
    log = write_csv(folder / "ring.csv", ring_rows())
    small = ["--set", "width=16", "--set", "length=10", "--set", "epochs=20", "--set", "batch_tokens=64"]
    small += ["--set", "learning_rate=0.02", "--set", "dropout=0.0"]

    def model(name: str) -> Path:
        place = folder / name
        if not place.exists():
            words = ["train", str(log), "--model", name, "--out", str(place)]
            assert call([*words, *(small if name in NETWORKS else [])]) == 0
        return place

    return model


def answer(ask: Ask, folder: Path, *words: object) -> Any:
    status, out, err = ask("recommend", folder, *words, "--json")
    assert status == 0, err
    return json.loads(out)


def items(found: Any) -> list[str]:
    return [row["item"] for row in found["items"]]


# ------------------------------------------------- c10, c12: ids come out exactly as they were written

ZEROS = [
    ("u", "0042", 1), ("u", "42", 2), ("0u", "042", 3), ("0u", "0042", 4), ("00u", "42.0", 5), ("00u", "42", 6),
    ("00u", "4.2e1", 7), ("00u", "NA", 8), ("0u", "null", 9), ("u", "nan", 10),
]  # fmt: skip


def test_codes_with_leading_zeros_stay_apart_in_every_output(ask: Ask, tmp_path: Path) -> None:
    log = write_csv(tmp_path / "codes.csv", ZEROS)
    codes = {"0042", "42", "042", "42.0", "4.2e1", "NA", "null", "nan"}
    assert ask("train", log, "--model", "markov", "--out", tmp_path / "m")[0] == 0
    found = answer(ask, tmp_path / "m", "--history", "0042", "-k", 20, "--include-seen")
    assert set(items(found)) == codes
    assert items(found)[0] == "42", (
        "what came after 0042; after 42.0 it was 42, too, after 42 it was nan or 4.2e1"
    )
    assert ask("data", "convert", log, tmp_path / "out.csv")[0] == 0
    written = [line.split(",")[1].strip('"') for line in (tmp_path / "out.csv").read_text().splitlines()[1:]]
    assert set(written) == codes
    audit = json.loads(ask("data", "audit", log, "--json")[1])["audit"]
    assert (audit["users"], audit["items"]) == (3, 8)


WIDE = [
    "9007199254740992",
    "9007199254740993",
    "18446744073709551616",
    "340282366920938463463374607431768211457",
]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_ids_wider_than_any_number_keep_their_last_digit(ask: Ask, tmp_path: Path, form: str) -> None:
    users = ["9223372036854775806", "9223372036854775807", "9223372036854775808"]
    rows = [
        (user, WIDE[(start + step) % 4], 100 + step) for start, user in enumerate(users) for step in range(4)
    ]
    log = tmp_path / f"wide.{form}"
    if form == "csv":
        write_csv(log, rows)
    else:
        lines = [
            f'{{"user_id": {user}, "item_id": {item}, "timestamp": {time}}}' for user, item, time in rows
        ]
        log.write_text("\n".join(lines) + "\n")
    assert ask("run", log, "--models", "markov", "--split", "last", "--out", tmp_path / "r")[0] == 0
    found = answer(ask, tmp_path / "r", "--history", WIDE[0], "-k", 9, "--include-seen")
    assert items(found)[0] == WIDE[1]
    assert set(items(found)) <= set(WIDE)
    assert all(isinstance(item, str) for item in items(found)), "no client rounds a text"
    kept = answer(ask, tmp_path / "r", "--user", users[1])
    assert kept["history"] == [WIDE[1], WIDE[2], WIDE[3], WIDE[0]]


# -------------------------------------------------------------- c38: a user of whom nothing is known


def test_nobody_gets_the_fallback_and_is_known_after_one_event(ask: Ask, tmp_path: Path) -> None:
    log = write_csv(tmp_path / "shop.csv", ring_rows(favourite="S"))
    words = ["run", log, "--models", "markov", "--split", "last", "--out", tmp_path / "r"]
    assert ask(*words)[0] == 0
    nobody = answer(ask, tmp_path / "r", "--user", "nobody", "-k", 5)
    assert nobody["fallback"] is True
    assert (len(nobody["items"]), items(nobody)[0]) == (5, "S")
    assert "the run has no user 'nobody'" in nobody["notes"][0]
    after = answer(ask, tmp_path / "r", "--history", "P", "-k", 5)
    assert after["fallback"] is False
    assert items(after)[0] == "Q"
    known = answer(ask, tmp_path / "r", "--user", "user3", "-k", 5)
    assert known["fallback"] is False
    assert known["history"] == [RING[(3 + step) % 8] for step in range(12)]
    another = answer(ask, tmp_path / "r", "--user", "nobody2", "-k", 5)
    assert items(another) == items(nobody), "strangers do not share a history"
    assert items(answer(ask, tmp_path / "r", "-k", 5)) == items(nobody)


# ------------------------------------------------------------------------------- c67: k out of range


@pytest.mark.parametrize(("k", "length"), [(0, 0), (1, 1), (7, 7), (8, 8), (9, 8), (1000, 8)])
@pytest.mark.parametrize("name", COUNTING)
def test_a_list_is_as_long_as_asked_or_as_there_are_items(
    ask: Ask, trained: Callable[[str], Path], name: str, k: int, length: int
) -> None:
    found = answer(ask, trained(name), "--history", "P", "-k", k, "--include-seen")
    assert len(found["items"]) == length
    assert len(set(items(found))) == length
    assert set(items(found)) <= set(RING)


@pytest.mark.parametrize(
    ("k", "said"), [("-1", "k=-1 is not a whole number"), ("ten", "'ten' is not"), ("2.5", "'2.5'")]
)
def test_a_list_of_an_impossible_length_is_refused(
    ask: Ask, trained: Callable[[str], Path], k: str, said: str
) -> None:
    status, out, err = ask("recommend", trained("markov"), "--history", "P", "-k", k)
    assert (status, out) == (2, "")
    assert said in err


def test_without_a_length_there_is_a_default(ask: Ask, trained: Callable[[str], Path]) -> None:
    assert len(answer(ask, trained("markov"), "--history", "P", "--include-seen")["items"]) == min(10, 8)


@pytest.mark.parametrize("k", ["ten", 2.5, None, True, -1])
def test_python_refuses_an_impossible_length_too(trained: Callable[[str], Path], k: Any) -> None:
    with pytest.raises(QueryError, match="is not a whole number from 0 up"):
        ensue.load(trained("markov")).recommend(["P"], k=k)


# --------------------------------------------------------------- c69: exclusions and the list's length


@pytest.mark.parametrize(
    "name", [*COUNTING, *(pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS)]
)
def test_what_is_excluded_is_replaced_by_what_is_free(
    ask: Ask, trained: Callable[[str], Path], name: str
) -> None:
    folder = trained(name)
    first = answer(ask, folder, "--history", "P", "-k", 3)
    best = items(first)[:2]
    other = answer(ask, folder, "--history", "P", "-k", 3, "--exclude", ",".join(best))
    assert len(other["items"]) == 3
    assert not set(best) & set(items(other))
    again = answer(ask, folder, "--history", "P", "-k", 3, "--exclude", f"nope,{best[0]},{best[0]}")
    assert len(again["items"]) == 3
    assert best[0] not in items(again)
    assert again["unknown"] == ["nope"]
    assert again["notes"] == ["unknown to this model, and left out: nope"]
    few = answer(ask, folder, "--history", "P", "-k", 3, "--exclude", "Q,R,S,T,U")
    assert set(items(few)) <= {"P", "V", "W"}
    assert len(few["items"]) == 3
    none = answer(ask, folder, "--history", "P", "-k", 3, "--exclude", ",".join(RING))
    assert none["items"] == []


# ------------------------------------------------------------- c80: a history longer than the model sees


@pytest.mark.parametrize(
    "name", ["markov", "rules", *(pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS)]
)
def test_of_a_long_history_the_newest_events_answer(
    ask: Ask, trained: Callable[[str], Path], name: str
) -> None:
    folder = trained(name)
    jumps = [RING[3 * step % 8] for step in range(480)]
    end = [RING[step % 8] for step in range(6, 16)]  # V W P Q R S T U V W: ten events, then comes P
    found = answer(ask, folder, "--history", ",".join(jumps + end), "-k", 3, "--include-seen")
    alone = answer(ask, folder, "--history", ",".join(end), "-k", 3, "--include-seen")
    assert items(found) == items(alone)
    assert [row["score"] for row in found["items"]] == pytest.approx(
        [row["score"] for row in alone["items"]], abs=1e-5
    )
    assert items(found)[0] == "P", "the top item follows the last event"


# ----------------------------------------------------------- c63: a model is moved to another machine


@pytest.mark.parametrize("name", ["markov", pytest.param("transformer", marks=pytest.mark.slow)])
def test_a_saved_model_needs_nothing_but_its_folder(
    ask: Ask, trained: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    asked = [["--history", "P"], ["--history", "R,S"], []]
    before = [answer(ask, trained(name), *words, "-k", 5) for words in asked]
    moved = tmp_path / "elsewhere" / "the model"
    shutil.copytree(trained(name), moved)
    for path in moved.iterdir():
        assert str(trained(name).parent).encode() not in path.read_bytes(), "no path of the old machine"
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HOME": str(tmp_path)}
    for words, old in zip(asked, before, strict=True):
        done = subprocess.run(
            [sys.executable, "-m", "ensue", "recommend", str(moved), *words, "-k", "5", "--json"],
            capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        new = json.loads(done.stdout)
        assert items(new) == items(old)
        assert [row["score"] for row in new["items"]] == pytest.approx(
            [row["score"] for row in old["items"]], abs=1e-4
        )


# --------------------------------------------------------------------- c86: a column that is not there


def test_a_column_that_is_not_there_is_named_with_those_that_are(ask: Ask, tmp_path: Path) -> None:
    rows = [("u1", "a", 1), ("u1", "b", 2), ("u2", "a", 1), ("u2", "c", 3)]
    log = write_csv(tmp_path / "odd.csv", rows, "who,what,stamp_ts")
    status, out, err = ask("run", log, "--out", tmp_path / "r")
    assert (status, out) == (2, "")
    assert "No column for the user in odd.csv: found who, what, stamp_ts." in err
    assert "--columns user=" in err
    assert "Traceback" not in err
    assert not (tmp_path / "r").exists(), "no work was begun"

    status, _, err = ask("data", "audit", log, "--columns", "user=who,item=what")
    assert status == 2
    assert "'stamp_ts' looks like one" in err
    assert "--columns time=stamp_ts" in err

    status, _, err = ask("data", "audit", log, "--columns", "user=who,item=what,time=stmp_ts")
    assert status == 2
    assert "Did you mean 'stamp_ts'?" in err

    status, out, _ = ask("data", "audit", log, "--columns", "user=who,item=what,time=stamp_ts", "--json")
    assert status == 0
    assert json.loads(out)["audit"]["events"] == 4


def test_a_key_that_does_not_exist_is_refused_with_the_right_one(ask: Ask, tmp_path: Path) -> None:
    write_csv(tmp_path / "odd.csv", [("u1", "a", 1)])
    (tmp_path / "shop.toml").write_text(
        '[data]\nsource = "odd.csv"\ncolumns = { user = "u" }\ntime_unitt = "s"\n'
    )
    status, out, err = ask("run", tmp_path / "shop.toml")
    assert (status, out) == (2, "")
    assert "data.time_unitt: there is no such key" in err
    assert "Did you mean 'time_unit'?" in err
    status, _, err = ask("data", "audit", tmp_path / "odd.csv", "--columns", "timestmap=ts")
    assert status == 2
    assert "'timestmap', did you mean 'time' (whose usual names include 'timestamp')?" in err
