"""An index of many items: what it finds, that it is made once, and that nothing but our own is ever opened."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import mmap
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensue import nearest
from ensue.errors import ArtifactError, MissingExtraError
from ensue.nearest import FRESH, LOCK, MANIFEST, Index, Shelf, index_of
from ensue.ranking import top_k
from ensue.retrieval import Learnt, Near, measured

if (
    importlib.util.find_spec("usearch") is None
):  # it is loaded by nobody but the module itself, which knows when
    pytest.skip("usearch is not installed", allow_module_level=True)

KEY = bytes(range(32))


def made(n: int = 400, width: int = 6, seed: int = 0) -> tuple[Any, Any]:
    """Vectors, and a number for each."""
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((n, width)).astype(np.float32),
        2 * rng.standard_normal(n).astype(np.float32),
    )


class Shelved:
    """An index that is kept in a folder, and what is told while it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.table = folder, made()
        self.said: list[str] = []
        folder.mkdir()

    def opened(self, key: bytes = KEY, model: str = "a model") -> Index:
        self.said.clear()
        found = index_of(*self.table, 1, Shelf(self.folder, model, key, self.said.append))
        assert found.best(np.ones(6, np.float32), 5).tolist() == self.best
        return found

    @property
    def best(self) -> list[int]:
        scores = self.table[0] @ np.ones(6, np.float32) + self.table[1]
        return [int(item) for item in top_k(scores, 5)]

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name != LOCK)

    @property
    def digest(self) -> str:
        return str(json.loads((self.folder / MANIFEST).read_text())["digest"])

    @property
    def index(self) -> Path:
        (found,) = self.folder.glob("index-*.usearch")
        return found


@pytest.fixture
def kept(tmp_path: Path) -> Shelved:
    found = Shelved(tmp_path / "model")
    found.opened()
    return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digests of the files that usearch was let open."""
    found: list[str] = []
    whole = nearest._restored

    def restored(mapped: mmap.mmap, sizes: tuple[int, int]) -> Index | None:
        found.append(hashlib.sha256(mapped).hexdigest())
        return whole(mapped, sizes)

    monkeypatch.setattr(nearest, "_restored", restored)
    return found


@pytest.mark.parametrize("biased", [True, False])
def test_what_is_found_is_scored_exactly_and_all_else_stands_below(biased: bool) -> None:
    table, bias = made(2_000, 16)
    learnt = Learnt(table, bias if biased else None)
    product = Near(learnt, index_of(learnt.table, learnt.bias, 1), rescored=200)
    states = made(20, 16, seed=1)[0]
    scores = product.scores(states)
    assert scores.dtype == np.float32
    for state, row in zip(states, scores, strict=True):
        found = np.flatnonzero(row > row.min())
        assert len(found) == 200
        plain = (table[found].astype(np.float64) @ state.astype(np.float64)) + (bias[found] if biased else 0)
        np.testing.assert_allclose(row[found], plain, rtol=1e-5, atol=1e-5)
        assert row[found].min() > row.min() == np.nextafter(row[found].min(), np.float32(-np.inf))
    known = measured(product, learnt, states)
    assert known.agreement > 0.95
    assert known.kind == "approximate"


def test_the_share_of_the_best_that_is_found_is_measured() -> None:
    table, bias = made(2_000, 16)
    learnt, states = Learnt(table, bias), made(20, 16, seed=1)[0]
    few = Near(learnt, index_of(table, bias, 1), rescored=10)
    best = [set(top_k(table @ state + bias, 10).tolist()) for state in states]
    found = [set(few.first(state, 10).tolist()) for state in states]
    share = sum(len(one & other) for one, other in zip(best, found, strict=True)) / (10 * len(states))
    assert measured(few, learnt, states).before == pytest.approx(share)
    assert share < 1.0


def test_fewer_items_than_are_looked_for_are_all_found() -> None:
    table, bias = made(7)
    product = Near(Learnt(table, bias), index_of(table, bias, 1))
    state = np.zeros(6, np.float32)
    np.testing.assert_allclose(product.scores(state[None])[0], bias, rtol=1e-6)


def test_an_index_is_made_once_and_then_mapped(kept: Shelved) -> None:
    assert kept.said[0].startswith(f"{kept.folder} keeps no index: an index of 400 items is made")
    assert kept.said[1:] == ["index: 100 % of 400 items"]
    made_at = kept.index.stat().st_mtime_ns
    found = kept.opened()
    assert kept.said == []
    assert found.mapped is not None
    assert found.bytes == len(found.mapped) == kept.index.stat().st_size
    assert kept.index.stat().st_mtime_ns == made_at
    assert kept.files == [kept.index.name, MANIFEST]


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [flipped, cut, emptied, Path.unlink])
def test_a_damaged_index_is_not_opened_and_made_anew(kept: Shelved, harm: Any, opened: list[str]) -> None:
    harm(kept.index)
    opened.clear()
    kept.opened()
    assert "is damaged" in kept.said[0] or "cannot be read" in kept.said[0]
    assert opened == [kept.digest]  # of the new one
    kept.opened()
    assert kept.said == []


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", '{"seal": 1}', "[" * 100_000, '{"model": "a model"', "\udcff", " " * 70_000],
)  # fmt: skip
def test_a_damaged_manifest_has_the_index_made_anew(kept: Shelved, content: str) -> None:
    (kept.folder / MANIFEST).write_bytes(content.encode("utf-8", "surrogateescape"))
    kept.opened()
    assert f"{MANIFEST} is damaged" in kept.said[0]
    assert kept.files == [kept.index.name, MANIFEST]


@pytest.mark.parametrize("name", ["model", "items", "width", "digest"])
def test_no_entry_of_a_manifest_can_be_changed(kept: Shelved, name: str) -> None:
    path = kept.folder / MANIFEST
    said = json.loads(path.read_text())
    said[name] = said[name] + (1 if isinstance(said[name], int) else "x")
    path.write_text(json.dumps(said))
    kept.opened()
    assert "is not sealed by this service" in kept.said[0]


def test_an_index_that_came_from_elsewhere_is_not_opened(
    kept: Shelved, tmp_path: Path, opened: list[str]
) -> None:
    foreign = Shelved(tmp_path / "foreign")
    foreign.table = made(seed=5)
    foreign.opened(key=b"theirs")
    opened.clear()
    for path in foreign.folder.iterdir():
        (kept.folder / path.name).write_bytes(path.read_bytes())
    kept.opened()
    assert "is not sealed by this service" in kept.said[0]
    assert opened == [kept.digest] != [foreign.digest]


def test_an_index_of_another_model_is_made_anew(kept: Shelved) -> None:
    kept.table = made(seed=9)
    kept.opened(model="another model")
    assert "is of another model" in kept.said[0]
    assert kept.files == [kept.index.name, MANIFEST]
    kept.table = made(n=300)
    kept.opened(model="another model")
    assert "is of another model" in kept.said[0]


def test_what_a_killed_process_left_is_in_nobodys_way(kept: Shelved, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    (kept.folder / MANIFEST).unlink()  # killed when the index was in place and the manifest was not
    (kept.folder / "index-0123456789abcdef.usearch").write_bytes(b"of an earlier one")
    (kept.folder / FRESH).symlink_to(precious)
    kept.opened()
    assert "keeps no index" in kept.said[0]
    assert kept.files == [kept.index.name, MANIFEST]
    assert precious.read_text() == "as it was"


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    kept = Shelved(tmp_path / "model")
    (kept.folder / LOCK).mkdir()
    with pytest.raises(ArtifactError, match="cannot hold an index of its items"):
        kept.opened()
    (kept.folder / LOCK).rmdir()
    (kept.folder / MANIFEST).mkdir()
    with pytest.raises(ArtifactError, match="cannot hold an index of its items"):
        kept.opened()
    assert FRESH not in kept.files


def test_of_many_who_need_it_at_once_one_makes_it(tmp_path: Path) -> None:
    kept = Shelved(tmp_path / "model")
    said: list[str] = []
    shelf = Shelf(kept.folder, "a model", KEY, said.append)
    found: list[Index] = []
    threads = [
        threading.Thread(target=lambda: found.append(index_of(*kept.table, 1, shelf))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    assert len([line for line in said if "is made" in line]) == 1


def test_a_process_that_has_made_an_index_can_answer_by_a_graph() -> None:
    code = """
import numpy as np
from ensue.retrieval import Learnt, Near, Plain
from ensue.nearest import index_of
table = np.eye(5, dtype=np.float32)
near = Near(Learnt(table), index_of(table, None, 1))
assert (near.scores(table) == Plain(Learnt(table)).scores(table)).all()
"""
    found = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert found.returncode == 0


def test_without_usearch_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ensue\[ann\]'"):
        index_of(*made(), 1)
