"""`ensue serve` and `ensue keys`: what they refuse, and what they say."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

Ask = Callable[..., tuple[int, str, str]]


def test_strangers_may_not_ask_without_keys(ask: Ask, ring_run: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5"):  # noqa: S104 - that is what is refused
        status, out, err = ask("serve", ring_run, "--host", host)
        assert (status, out) == (2, "")
        assert "no keys are asked for" in err
        assert "ensue keys new" in err


def test_a_service_needs_a_run(ask: Ask, tmp_path: Path) -> None:
    status, _, err = ask("serve")
    assert status == 2
    assert "ensue serve runs/NAME" in err
    status, _, err = ask("serve", tmp_path / "none")
    assert status == 2
    assert "is no saved model" in err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[serve]\nport = 'x'\nrun = 'r'\n", "port"),
        ("[serve]\nrunn = 'r'\n", "Did you mean 'run'?"),
        ("[serve]\nrun = 'r'\nhost = '0.0.0.0'\n", "no keys are asked for"),
    ],
)
def test_a_faulty_file_is_told_in_one_message(ask: Ask, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "serve.toml").write_text(content)
    status, _, err = ask("serve", "--config", tmp_path / "serve.toml")
    assert status == 2
    assert said in err


def test_rules_that_the_items_cannot_follow_are_told_before_anything_listens(
    ask: Ask, ring_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "serve.toml").write_text("[rules.cap]\ncolumn = 'genre'\nmost = 2\n")
    words = ["serve", ring_run, "--state", tmp_path / "state.db", "--config", tmp_path / "serve.toml"]
    status, _, err = ask(*words)
    assert status == 2
    assert "the items have no column 'genre'" in err


def test_keys_are_made_listed_and_dropped(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    status, text, err = ask("keys", "new", path, "--name", "shop", "--scope", "write,read")
    assert status == 0
    assert text.strip().startswith("ensue_")
    assert text.strip() not in path.read_text() + err
    assert "kept nowhere" in err
    assert ask("keys", "list", path)[1] == "shop: read, write\n"
    assert ask("keys", "new", path, "--name", "shop")[0] == 2
    assert ask("keys", "new", path, "--name", "other", "--scope", "all")[0] == 2
    assert ask("keys", "drop", path, "nobody")[0] == 2
    assert ask("keys", "drop", path, "shop")[0] == 0
    assert ask("keys", "list", path)[0] == 2


def test_a_port_that_is_taken_is_told(ask: Ask, ring_run: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, _, err = ask("serve", ring_run, "--state", tmp_path / "state.db", "--port", port)
    assert status == 2
    assert f"127.0.0.1:{port} cannot be listened at" in err


def test_a_run_that_is_no_longer_whole_is_refused(ask: Ask, ring_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(ring_run, tmp_path / "run")
    (run / "histories.parquet").write_bytes(b"no table")
    status, _, err = ask("serve", run)
    assert status == 2
    assert "histories.parquet cannot be read" in err
