"""Prepared training: the same as in memory to the last bit, bounded in memory, and every damage noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue import prepared
from ensue.errors import DataError
from ensue.events.log import EventLog
from ensue.model import Conditions, Training
from ensue.prepared import DESCRIPTION, HISTORIES, ITEMS, QUESTIONS, checksum_of, describe, open_training
from ensue.preparing import write
from ensue.splits import split

Edit = Callable[[Path], object]


def full_log(users: int = 30, items: int = 12, seed: int = 0) -> EventLog:
    """Events with every kind of column: times, ratings with gaps, types, a number, a category; 3 to 9 for each user."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 10, users)
    n = int(lengths.sum())
    rating = np.where(rng.random(n) < 0.2, np.nan, rng.integers(1, 6, n))
    frame = pl.DataFrame(
        {
            "user": pl.Series(np.repeat(np.arange(users), lengths)).cast(pl.String),
            "item": pl.Series(rng.integers(0, items, n)).cast(pl.String),
            "time": pl.Series(1_700_000_000_000_000 + 60_000_000 * np.arange(n)).cast(
                pl.Datetime("us", "UTC")
            ),
            "rating": pl.Series(rating).fill_nan(None),
            "event": pl.Series(rng.choice(["view", "buy"], n)),
            "price": pl.Series(rng.random(n)),
            "shop": pl.Series(rng.choice(["a", "b"], n)).cast(pl.Categorical),
        }
    )
    known = pl.DataFrame(
        {"item": [str(n) for n in range(items)], "title": [f"Film {n}" for n in range(items)]}
    )
    return EventLog.of(frame, known)


@pytest.fixture(scope="module")
def log() -> EventLog:
    return full_log()


@pytest.fixture(scope="module")
def training(log: EventLog) -> Training:
    """With a validation part that has a cold item in it or not, and all columns."""
    parts = split(log, "temporal", test=0.2, validation=0.0)
    learnt = Training.of(parts.train, exclude_seen=False)
    return replace(learnt, validation=parts.examples("test", learnt.catalogue))


@pytest.fixture(scope="module")
def written(training: Training, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder to look at; change nothing in it."""
    return write(
        training, tmp_path_factory.mktemp("prepared") / "data", split="by time", facts={"why": "a test"}
    )


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A prepared folder to damage."""
    return Path(shutil.copytree(written, tmp_path / "data"))


def same(one: Any, other: Any, where: str = "training") -> None:
    """Fails unless two values are equal through and through: fields, types and bits."""
    if one is None or other is None:
        assert one is other, where
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, where
        np.testing.assert_array_equal(one, other, where)
    elif isinstance(one, pl.Series):
        assert one.dtype == other.dtype, where
        assert one.equals(other, null_equal=True), where
    elif isinstance(one, pl.DataFrame):
        assert one.equals(other), where
    elif hasattr(one, "__dataclass_fields__"):
        for entry in fields(one):
            same(getattr(one, entry.name), getattr(other, entry.name), f"{where}.{entry.name}")
    elif hasattr(one, "keys"):
        assert list(one) == list(other), where
        for name in one:
            same(one[name], other[name], f"{where}[{name}]")
    else:
        assert one == other, where


def histories(training: Training) -> list[tuple[Any, ...]]:
    """What each validation query is asked after: its events with all that is known of them."""
    assert training.validation is not None
    queries = training.validation.queries
    assert queries.time is not None
    assert queries.rating is not None
    return [
        (
            queries.items[begin:end].tolist(),
            queries.time[begin:end].tolist(),
            np.nan_to_num(queries.rating[begin:end], nan=-1).tolist(),
            {name: values[begin:end].to_list() for name, values in queries.context.items()},
        )
        for begin, end in zip(queries.starts.tolist(), queries.ends.tolist(), strict=True)
    ]


def test_what_is_opened_is_what_was_written(training: Training, written: Path) -> None:
    found = open_training(written, whole=True)
    same(found.sequences, training.sequences)
    same(found.catalogue, training.catalogue)
    assert found.exclude_seen is False
    assert set(found.sequences.context) == {"event", "price", "shop"}
    assert histories(found) == histories(training)
    assert found.validation is not None
    assert training.validation is not None
    for name in ("targets", "target_ids", "target_ratings", "protocol", "left_out", "without_history", "by"):
        same(getattr(found.validation, name), getattr(training.validation, name), name)
    for name in ("at", "users", "n_items"):
        same(getattr(found.validation.queries, name), getattr(training.validation.queries, name), name)
    named = [one.validation.group_ids.gather(one.validation.groups).to_list() for one in (found, training)]  # type: ignore[union-attr]
    assert named[0] == named[1]


def test_arrays_stay_in_their_files_and_cannot_be_written_to(written: Path) -> None:
    found = open_training(written).sequences
    for array in (found.items, found.offsets, found.time, found.rating):
        assert array is not None
        base = array
        while not isinstance(base, np.memmap):
            assert base.base is not None, "copied into memory"
            base = base.base
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_columns_are_read_when_they_are_asked_for(written: Path) -> None:
    context = open_training(written).sequences.context
    assert isinstance(context, prepared.Columns)
    assert "price" in context
    assert "colour" not in context
    assert list(context) == ["event", "price", "shop"]
    assert context.held == {}, "naming a column reads none"
    assert context["price"] is context["price"]
    assert list(context.held) == ["price"]
    with pytest.raises(KeyError):
        context["colour"]


def test_the_description_says_what_is_there(training: Training, written: Path) -> None:
    said = describe(written)
    assert said["events"] == len(training.sequences.items)
    assert said["sequences"] == len(training.sequences)
    assert said["items"] == len(training.catalogue)
    assert said["columns"]["context"] == {"event": "String", "price": "Float64", "shop": "Categorical"}
    assert said["split"] == "by time"
    assert said["facts"] == {"why": "a test"}
    assert set(said["files"]) | {DESCRIPTION} == {path.name for path in written.iterdir()}
    assert said["files"]["time.npy"]["bytes"] == 128 + 8 * said["events"]


def test_a_log_with_order_only_keeps_no_columns(tmp_path: Path) -> None:
    log = EventLog.of(pl.DataFrame({"user": ["u", "u", "v", "v"], "item": ["b", "a", "b", "a"]}))
    found = open_training(write(Training.of(log), tmp_path / "data"), whole=True)
    assert found.sequences.time is None
    assert found.sequences.rating is None
    assert len(found.sequences.context) == 0
    assert found.validation is None
    assert found.sequences.users is found.sequences.keys, "users that are the keys are held once"
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == sorted(
        [DESCRIPTION, ITEMS, "items.npy", "offsets.npy", "keys.00000.parquet"]
    )


def test_sessions_keep_their_users(log: EventLog, tmp_path: Path) -> None:
    training = Training.of(log.with_sessions(120), "session")
    found = open_training(write(training, tmp_path / "data"))
    same(found.sequences, training.sequences)
    assert found.sequences.users is not None
    assert not found.sequences.keys.equals(found.sequences.users)


# ----------------------------------------------------------------------------------------------------------- damage


def flip(path: Path, place: int = -1) -> None:
    """Changes one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


def linked(path: Path) -> None:
    """Puts a link to the same content in the place of a file."""
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


FILES = (
    *("items.npy", "offsets.npy", "time.npy", "rating.npy", ITEMS, QUESTIONS, HISTORIES),
    *("keys.00000.parquet", "context.00000.parquet"),
)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (Path.unlink, "is missing or cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), r"has \d+ bytes, not \d+"),
        (lambda path: path.write_bytes(b""), "has 0 bytes, not"),
        (flip, "has been changed or damaged"),
        (linked, "is a link or no plain file"),
        (lambda path: (path.unlink(), path.mkdir()), "is a link or no plain file"),
    ],
    ids=["missing", "truncated", "empty", "changed", "linked", "folder"],
)
def test_a_damaged_file_is_named(folder: Path, name: str, damage: Edit, what: str) -> None:
    damage(folder / name)
    with pytest.raises(DataError, match=f"{name} {what}"):
        open_training(folder)


def edited(folder: Path, change: Callable[[dict[str, Any]], object], *, seal: bool = True) -> None:
    """Changes the description, with a checksum that fits or without."""
    said = json.loads((folder / DESCRIPTION).read_text())
    change(said)
    if seal:
        said["checksum"] = checksum_of(said)
    (folder / DESCRIPTION).write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda said: said.update(format=2), "is of format 2; this ensue reads up to 1"),
        (lambda said: said.update(format=True), "has no format number"),
        (lambda said: said.update(format=0), "has no format number"),
        (lambda said: said.pop("split"), "no proper entry 'split'"),
        (lambda said: said.update(events="1"), "no proper entry 'events'"),
        (lambda said: said.update(columns={}), "no proper entry 'columns'"),
        (lambda said: said["files"].pop("time.npy"), "lists the files"),
        (lambda said: said["files"].pop("keys.00000.parquet"), "lists the files"),
        (lambda said: said["files"].update({"keys.../../x": {}}), "lists the files"),
        (lambda said: said["files"]["items.npy"].pop("sample"), "has no checksum of items.npy"),
        (lambda said: said["files"].update({"items.npy": 3}), "has no checksum of items.npy"),
        (lambda said: said.update(events=said["events"] + 1), "not an array of"),
        (lambda said: said.update(sequences=said["sequences"] - 1), "not an array of"),
        (lambda said: said.update(items=99), "holds 12 items, and prepared.json says 99"),
        (lambda said: said["validation"].pop("by"), "questions.parquet does not fit"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder: Path, change: Any, what: str) -> None:
    edited(folder, change)
    with pytest.raises(DataError, match=what):
        open_training(folder)


def test_a_description_that_was_changed_is_refused(folder: Path) -> None:
    edited(folder, lambda said: said.update(exclude_seen=True), seal=False)
    with pytest.raises(DataError, match=r"prepared\.json has been changed or damaged"):
        open_training(folder)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "has no format number"),
        (b" " * (16 * 2**20 + 1), "is larger than"),
    ],
    ids=["half", "bytes", "deep", "list", "large"],
)
def test_a_description_that_is_none_is_refused(folder: Path, content: bytes, what: str) -> None:
    (folder / DESCRIPTION).write_bytes(content)
    with pytest.raises(DataError, match=what):
        open_training(folder)


def test_a_place_without_a_description_is_no_prepared_folder(folder: Path, tmp_path: Path) -> None:
    assert prepared.is_prepared(folder)
    (folder / DESCRIPTION).unlink()
    for place in (folder, tmp_path, tmp_path / "nowhere", folder / "items.npy"):
        assert not prepared.is_prepared(place)
        with pytest.raises(DataError, match="no prepared folder"):
            open_training(place)


def rewritten(folder: Path, name: str, array: Any) -> None:
    """Another array in the place of one, with a description that fits it."""
    with (folder / name).open("wb") as handle:
        np.save(handle, array, allow_pickle=True)
    sums = {"bytes": (folder / name).stat().st_size, "sha256": prepared.sha256_of(folder / name)}
    edited(
        folder,
        lambda said: said["files"].update({name: sums | {"sample": prepared.sample_of(folder / name)}}),
    )


def test_an_array_of_objects_is_never_loaded(folder: Path) -> None:
    rewritten(folder, "items.npy", np.array([print] * 3, dtype=object))
    with pytest.raises(DataError, match=r"items\.npy cannot be mapped"):
        open_training(folder)


def test_an_array_of_another_kind_is_refused(folder: Path, training: Training) -> None:
    rewritten(folder, "items.npy", training.sequences.items.astype(np.int64))
    with pytest.raises(DataError, match=r"items\.npy is not an array of \d+ numbers of type int32"):
        open_training(folder)


def test_indices_outside_their_bounds_are_found_when_everything_is_looked_at(
    folder: Path, training: Training
) -> None:
    items, offsets = training.sequences.items.copy(), training.sequences.offsets.copy()
    items[5] = len(training.catalogue)
    rewritten(folder, "items.npy", items)
    open_training(folder)
    with pytest.raises(DataError, match=r"items\.npy holds an index outside 0\.\.11"):
        open_training(folder, whole=True)
    rewritten(folder, "items.npy", training.sequences.items)
    offsets[1], offsets[2] = offsets[2], offsets[1]
    rewritten(folder, "offsets.npy", offsets)
    with pytest.raises(DataError, match=r"offsets\.npy falls"):
        open_training(folder, whole=True)
    rewritten(folder, "offsets.npy", training.sequences.offsets + 1)
    with pytest.raises(DataError, match=r"offsets\.npy runs from 1 to"):
        open_training(folder)


def test_a_large_file_is_looked_at_in_samples_and_wholly_on_demand(
    folder: Path, monkeypatch: pytest.MonkeyPatch, training: Training, tmp_path: Path
) -> None:
    monkeypatch.setattr(prepared, "BLOCK", 16)
    monkeypatch.setattr(prepared, "BLOCKS", 2)
    large = write(training, tmp_path / "large")
    open_training(large)
    flip(large / "time.npy", 200)
    open_training(large)  # neither the first nor the last block
    with pytest.raises(DataError, match=r"time\.npy has been changed"):
        open_training(large, whole=True)
    flip(large / "time.npy", 200)
    open_training(large, whole=True)
    flip(large / "time.npy", -3)
    with pytest.raises(DataError, match=r"time\.npy has been changed"):
        open_training(large)
    flip(large / "time.npy", -3)
    flip(large / HISTORIES, (large / HISTORIES).stat().st_size // 2)
    with pytest.raises(DataError, match=r"histories\.parquet has been changed"):
        open_training(large)  # what is read whole is checked whole


def test_a_column_that_is_lost_after_the_opening_is_named(folder: Path) -> None:
    context = open_training(folder).sequences.context
    (folder / "context.00000.parquet").unlink()
    with pytest.raises(DataError, match=r"context\.00000\.parquet cannot be read"):
        context["price"]


# --------------------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("inputs", [(), ("gap", "event", "rating", "price")], ids=["items", "columns"])
def test_learning_from_files_gives_the_bits_of_learning_from_memory(
    training: Training, written: Path, inputs: tuple[str, ...]
) -> None:
    from ensue.models.neural.transformer import Transformer

    model = Transformer(width=8, length=6, epochs=2, batch_tokens=64, inputs=inputs)
    conditions = Conditions(seed=3, device="cpu")
    one, two = model.fit(training, conditions), model.fit(open_training(written), conditions)
    assert one.facts["history"] == two.facts["history"]
    queries = training.sequences.queries()
    np.testing.assert_array_equal(one.scoring.score(queries), two.scoring.score(queries))


def test_counting_models_learn_from_files(training: Training, written: Path) -> None:
    from ensue.models.counting.markov import Markov

    queries = training.sequences.queries()
    one, two = (Markov().fit(source).scoring for source in (training, open_training(written)))
    np.testing.assert_array_equal(one.score(queries), two.score(queries))
