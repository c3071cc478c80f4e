"""Keys: only hashes are kept, in a file that is nobody else's."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from ensue.errors import ConfigError
from ensue.serving.keys import KeyRing, Keys, drop_key, new_key, read_keys


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


def test_a_file_whose_keys_have_all_been_taken_back_takes_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    new_key(path, "a", ["read"])
    drop_key(path, "a")
    text = new_key(path, "b", ["read"])
    assert read_keys(path).find(text) is not None


def test_a_ring_follows_its_file_and_never_lets_everybody_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old = new_key(path, "old", ["read"])
    ring = KeyRing(path)
    fresh = new_key(path, "fresh", ["admin"])
    assert ring.find(fresh) is None  # not before it is looked at
    ring.look()
    found = ring.find(fresh)
    assert found is not None
    assert found.scopes == {"admin"}
    drop_key(path, "old")
    ring.look()
    assert ring.find(old) is None
    drop_key(path, "fresh")
    ring.look()
    assert ring.asks
    assert (ring.find(fresh), ring.keys.held) == (None, ())


def test_a_change_that_no_clock_tells_of_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    text = new_key(path, "a", ["read"])
    ring, before = KeyRing(path), path.stat()
    ring.look()
    path.write_bytes(path.read_bytes().replace(b"read", b"rite"))  # in place, of the same size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    ring.look()
    found = ring.find(text)
    assert found is not None
    assert found.scopes == {"rite"}


@pytest.mark.parametrize("harm", ["half", "gone", "open to others", "nonsense", "too long"])
def test_a_file_that_cannot_be_read_leaves_the_keys_of_before_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    path = tmp_path / "keys.json"
    text = new_key(path, "a", ["read"])
    content, ring = path.read_bytes(), KeyRing(path)
    if harm == "half":
        path.write_bytes(content[: len(content) // 2])
    elif harm == "gone":
        path.unlink()
    elif harm == "open to others":
        path.chmod(0o644)
    elif harm == "nonsense":
        path.write_text(f'{{"keys": [{{"name": "{text}", "scopes": ["read"], "salt": "{text}"}}]}}')
    else:
        path.write_bytes(content + b" " * 1_000_000)
    with caplog.at_level(logging.INFO, "ensue.serving"):
        for _ in range(3):
            ring.look()
            assert ring.find(text) is not None
    (record,) = caplog.records
    assert "the keys of before stay good" in record.message
    assert text not in caplog.text
    assert content.hex()[:40] not in caplog.text
    path.unlink(missing_ok=True)
    other = new_key(path, "b", ["read"])
    ring.look()
    assert (ring.find(text), ring.find(other)) == (None, ring.keys.held[0])


def test_a_service_that_asks_for_no_key_looks_at_nothing() -> None:
    ring = KeyRing()
    ring.look()
    assert not ring.asks
