"""Keys: only hashes are kept, in a file that is nobody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ensue.errors import ConfigError
from ensue.serving.keys import Keys, drop_key, new_key, read_keys


def test_a_key_is_found_by_its_text_and_the_text_is_kept_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "keys.json"
    shop, admin = new_key(path, "shop", ["read", "write"]), new_key(path, "ops", ["admin"])
    keys = read_keys(path)
    found = keys.find(shop)
    assert found is not None
    assert (found.name, found.scopes) == ("shop", frozenset({"read", "write"}))
    assert keys.find(admin) == keys.held[1]
    for wrong in ("", shop[:-1], shop + "x", shop.upper(), "ensue_"):
        assert keys.find(wrong) is None
    assert shop not in path.read_text()
    assert len(shop) > 40
    assert sorted(one.name for one in path.parent.iterdir()) == ["keys.json"]


def test_every_key_is_compared_whether_another_has_matched_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    texts = [new_key(path, name, ["read"]) for name in "abc"]
    keys = read_keys(path)
    compared: list[bytes] = []
    whole = __import__("hmac").compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return bool(whole(one, other))

    monkeypatch.setattr("ensue.serving.keys.hmac.compare_digest", counting)
    for text in (texts[0], texts[2], "none of them"):
        compared.clear()
        keys.find(text)
        assert compared == [key.digest for key in keys.held]


def test_two_keys_with_the_same_text_would_have_other_hashes(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    new_key(path, "a", ["read"])
    new_key(path, "b", ["read"])
    salts = [key.salt for key in read_keys(path).held]
    assert salts[0] != salts[1]


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_the_file_is_readable_by_its_owner_alone_and_refused_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    new_key(path, "a", ["read"])
    assert path.stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="chmod 600"):
            read_keys(path)


def test_a_key_is_dropped_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    text = new_key(path, "a", ["read"])
    new_key(path, "b", ["read"])
    drop_key(path, "a")
    assert read_keys(path).find(text) is None
    with pytest.raises(ConfigError, match="has no key 'a': it has b"):
        drop_key(path, "a")
    drop_key(path, "b")
    with pytest.raises(ConfigError, match="holds no key"):
        read_keys(path)


@pytest.mark.parametrize(("name", "scopes"), [("a", ["read"]), ("c", ["root"]), ("c", [])])
def test_a_name_is_given_once_and_scopes_must_exist(tmp_path: Path, name: str, scopes: list[str]) -> None:
    path = tmp_path / "keys.json"
    new_key(path, "a", ["read"])
    with pytest.raises(ConfigError):
        new_key(path, name, scopes)
    assert len(read_keys(path).held) == 1


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"keys": 3}', '{"keys": [{}]}', "[" * 100_000, '{"keys": [{"name": "a"'],
)  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"keys\.json"):
        read_keys(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "none.json")


def test_no_keys_find_nothing() -> None:
    assert Keys().find("x") is None
