"""How a service is set up, and what it refuses to be."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from ensue.errors import ConfigError
from ensue.retrieval import KINDS
from ensue.serving.settings import Bounds, Settings, checked, is_loopback, read_settings, settings_of


def test_settings_come_from_a_table_and_what_is_given_beside_wins(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(
        '[serve]\nrun = "runs/a"\nport = 9000\nbounds = {k = 20, rate = 2.5}\n'
        '[rules.availability]\ndeny = ["x"]\n'
    )
    found = read_settings(path, port=9001)
    assert (found.run, found.port, found.bounds.k, found.bounds.rate) == ("runs/a", 9001, 20, 2.5)
    assert found.bounds.body == Bounds().body
    assert found.rules == {"availability": {"deny": ["x"]}}
    assert found.store == str(Path("runs/a/state.db"))


def test_a_table_is_one_of_those_there_are() -> None:
    assert settings_of({"run": "r"}).table == "auto"
    for kind in ("auto", *KINDS):
        assert settings_of({"run": "r", "table": kind}).table == kind
    with pytest.raises(ConfigError, match="table: input should be 'auto', 'fp32', 'fp16', 'int8' or 'approx"):
        settings_of({"run": "r", "table": "int4"})


def test_all_faults_are_told_at_once() -> None:
    faulty = {"run": "r", "ports": 1, "workers": "two", "bounds": {"kk": 3}}
    with pytest.raises(ConfigError) as raised:
        settings_of(faulty)
    told = str(raised.value)
    assert "ports: there is no such key" in told
    assert "Did you mean 'port'?" in told
    assert "bounds.kk: there is no such key" in told
    assert "workers" in told


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"run": ""}, "run: name the folder"),
        ({"run": "r", "port": 70_000}, "port = 70000"),
        ({"run": "r", "workers": 0}, "workers = 0"),
        ({"run": "r", "states": -1}, "states = -1"),
        ({"run": "r", "bounds": {"rate": -1.0}}, "bounds.rate = -1.0"),
        ({}, "run is missing"),
        *(({"run": "r", "bounds": {one.name: 0}}, one.name) for one in fields(Bounds) if one.name != "rate"),
    ],
)
def test_numbers_that_cannot_be_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings_of(given)


@pytest.mark.parametrize("content", ["serve = 3", "[serve", "\x00"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "serve.toml").write_text(content)
    with pytest.raises(ConfigError, match=r"serve\.toml"):
        read_settings(tmp_path / "serve.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings(tmp_path / "none.toml")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_the_machine_itself_needs_no_keys(host: str) -> None:
    assert is_loopback(host)
    assert checked(Settings("r", host=host)).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "", "127.0.0.1.example.org"])  # noqa: S104
def test_any_other_address_needs_keys(host: str) -> None:
    with pytest.raises(ConfigError, match="ensue keys new"):
        checked(Settings("r", host=host))
    assert checked(Settings("r", host=host, keys="keys.json")).host == host


def test_live_histories_lie_where_no_new_model_replaces_them(tmp_path: Path) -> None:
    run, model = tmp_path / "run", tmp_path / "run" / "models" / "a"
    model.mkdir(parents=True)
    (model / "model.json").touch()
    assert Settings(str(run)).store == str(run / "state.db")
    assert Settings(str(model)).store == str(run / "models" / "a.state.db")
    assert Settings(str(run), state="other.db").store == "other.db"


def test_models_are_taken_from_the_run_or_from_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "run" / "models" / "a").mkdir(parents=True)
    assert Settings(str(tmp_path / "run")).models_root == tmp_path / "run" / "models"
    assert Settings(str(tmp_path / "run" / "models" / "a")).models_root == tmp_path / "run" / "models"
    assert Settings("r", models="m").models_root == Path("m")
