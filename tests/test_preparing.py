"""Writing prepared training: in chunks as at once, in one step or not at all, and bounded in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.test_prepared import folder, histories, log, same, training, written

from ensue import preparing
from ensue.catalogue import Catalogue
from ensue.errors import DataError
from ensue.events.log import EventLog
from ensue.model import Training
from ensue.prepared import describe, open_training
from ensue.preparing import Writer, write
from ensue.sequences import Sequences
from ensue.splits import split

__all__ = ["folder", "log", "training", "written"]  # fixtures


def test_validation_is_bounded_and_evenly_spread(training: Training, tmp_path: Path) -> None:
    found = open_training(write(training, tmp_path / "data", validation_targets=5))
    assert found.validation is not None
    assert training.validation is not None
    last = len(training.validation) - 1
    chosen = [0, last // 4, last // 2, 3 * last // 4, last]
    assert histories(found) == [histories(training)[place] for place in chosen]
    assert found.validation.targets.tolist() == training.validation.targets[chosen].tolist()
    assert (
        found.validation.groups.tolist()
        == np.unique(training.validation.groups[chosen], return_inverse=True)[1].tolist()
    )
    held = {tuple(history[1]) for history in histories(found)}
    longest = [
        times for times in held if not any(times != other and times == other[: len(times)] for other in held)
    ]
    assert len(found.validation.queries.items) == sum(map(len, longest)), "events of no history are left out"


def test_prefixes_of_one_history_are_kept_once(tmp_path: Path) -> None:
    log = EventLog.of(pl.DataFrame({"user": ["u"] * 10 + ["v"] * 2, "item": [*"abcabcabca", *"ab"]}))
    parts = split(log, "ratio", test=0.4, validation=0.0)
    learnt = Training.of(parts.train)
    training = replace(learnt, validation=parts.examples("test", learnt.catalogue))
    found = open_training(write(training, tmp_path / "data"))
    assert found.validation is not None
    assert found.validation.queries.lengths.tolist() == [6, 7, 8, 9]
    assert len(found.validation.queries.items) == 9


def cut(sequences: Sequences, cuts: list[int]) -> list[Sequences]:
    """The sequences in chunks that end at these numbers of sequences."""
    chunks = []
    for first, last in zip([0, *cuts], [*cuts, len(sequences)], strict=True):
        begin, end = sequences.offsets[first], sequences.offsets[last]
        assert sequences.time is not None
        assert sequences.rating is not None
        assert sequences.users is not None
        chunks.append(
            Sequences(
                sequences.items[begin:end], sequences.offsets[first : last + 1] - begin, sequences.keys[first:last],
                sequences.n_items, sequences.time[begin:end], sequences.rating[begin:end],
                sequences.users[first:last],
                {name: values[begin:end] for name, values in sequences.context.items()},
            )
        )  # fmt: skip
    return chunks


@pytest.mark.parametrize("cuts", [[1], [3, 3, 10, 29], list(range(1, 30))])
def test_chunks_give_the_bytes_of_the_whole(
    training: Training, tmp_path: Path, cuts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "AT_ONCE", 16)
    one = write(training, tmp_path / "one", facts={"why": "a test"})
    assert (one / "context.00001.parquet").is_file(), "tables have several parts"
    same(open_training(one, whole=True).sequences, training.sequences)
    with Writer(tmp_path / "two") as writer:
        cuts = [min(place, len(training.sequences)) for place in cuts]
        for chunk in cut(training.sequences, cuts):
            writer.add(chunk)
        validation = training.validation
        two = writer.finish(
            training.catalogue, validation=validation, exclude_seen=False, facts={"why": "a test"}
        )
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())


def test_a_catalogue_can_be_fitted_at_the_end(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "AT_ONCE", 50)  # indices are changed in several stretches
    ids = pl.Series("item", [*(str(n) for n in range(12)), "never"])
    numbered = Catalogue(ids, np.zeros(13, dtype=np.int64))
    plain = Training.of(log)
    with Writer(tmp_path / "data") as writer:
        for chunk in cut(Sequences.of(log, numbered), [7, 20]):
            writer.add(chunk)
        catalogue, codes = writer.fitted(ids)
        assert codes.tolist() == plain.catalogue.encode(ids).tolist()
        writer.finish(catalogue, codes=codes)
    found = open_training(tmp_path / "data", whole=True)
    same(found.sequences, plain.sequences)
    same(found.catalogue.ids, plain.catalogue.ids)
    same(found.catalogue.counts, plain.catalogue.counts)


def test_chunks_that_do_not_fit_are_refused(training: Training, tmp_path: Path) -> None:
    sequences = training.sequences
    with Writer(tmp_path / "data") as writer:
        writer.add(sequences)
        for odd in (
            replace(sequences, time=None),
            replace(sequences, n_items=99),
            replace(sequences, context={}),
            replace(sequences, context={**sequences.context, "price": sequences.context["event"]}),
        ):
            with pytest.raises(DataError, match="all chunks must be alike"):
                writer.add(odd)
        with pytest.raises(DataError, match=r"outside 0\.\.11"):
            writer.add(replace(sequences, items=sequences.items + 1))
        with pytest.raises(DataError, match="must rise"):
            writer.add(replace(sequences, offsets=sequences.offsets + 1))
        with pytest.raises(DataError, match="has 1 items, and the chunks 12"):
            writer.finish(Catalogue(pl.Series(["a"]), np.ones(1, dtype=np.int64)))
        with pytest.raises(DataError, match=r"outside 0\.\.11 in the catalogue"):
            writer.finish(training.catalogue, codes=np.full(12, -1, dtype=np.int32))
    assert list(tmp_path.iterdir()) == [], "what is not finished leaves nothing"


def test_an_empty_folder_cannot_be_finished(tmp_path: Path, training: Training) -> None:
    with Writer(tmp_path / "data") as writer, pytest.raises(DataError, match="no event is left"):
        writer.finish(training.catalogue)
    assert list(tmp_path.iterdir()) == []


def test_a_prepared_folder_is_replaced_in_one_step_and_nothing_else_is(
    training: Training, log: EventLog, folder: Path, tmp_path: Path
) -> None:
    opened = open_training(folder).sequences
    read = opened.context["event"]
    write(Training.of(log), folder)
    assert describe(folder)["events"] == log.n_events
    for name in ("items", "offsets", "time", "rating", "keys"):  # what was open goes on from the old files
        same(getattr(opened, name), getattr(training.sequences, name))
    assert opened.context["event"] is read
    with pytest.raises(DataError, match=r"context\.00000\.parquet has been replaced since it was opened"):
        opened.context["price"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    with Writer(folder) as writer:
        writer.add(training.sequences)  # and never finished
    assert describe(folder)["events"] == log.n_events, "a fault leaves the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="something other than prepared data"):
        write(training, other)
    with pytest.raises(DataError, match="something other than prepared data"):
        write(training, other / "thesis.txt")


def test_a_folder_that_cannot_be_put_in_its_place_leaves_the_old_one(
    training: Training, log: EventLog, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = Path.replace

    def refused(self: Path, target: Path) -> Path:
        if target == folder and self.name != "replaced":
            raise OSError(28, "No space left on device")
        return move(self, target)

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(DataError, match=r"data cannot be written: No space left on device"):
        write(Training.of(log), folder)
    same(open_training(folder, whole=True).sequences, training.sequences)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


MEASURE = """
import re, sys, threading, time
from pathlib import Path
import numpy as np
import polars as pl
import torch
from ensue import prepared
from ensue.catalogue import Catalogue
from ensue.model import Conditions
from ensue.models.neural.rnn import LSTM
from ensue.preparing import Writer
from ensue.sequences import Sequences
from ensue.training import Trainer

def held():
    with open("/proc/self/status") as status:
        return int(re.search(r"RssAnon:\\s+(\\d+)", status.read())[1]) / 1024

class Peak:
    def __enter__(self):
        self.before = self.most = held()
        self.going = True
        self.watch = threading.Thread(target=self.look)
        self.watch.start()
        return self
    def look(self):
        while self.going:
            self.most = max(self.most, held())
            time.sleep(0.002)
    def __exit__(self, *fault):
        self.going = False
        self.watch.join()
        self.more = max(self.most, held()) - self.before

def chunk(number, users=1000, length=100, items=500):
    rng = np.random.default_rng(number)
    n = users * length
    keys = pl.Series(np.arange(number * users, (number + 1) * users)).cast(pl.String)
    time = np.arange(n, dtype=np.int64) + number * n
    picked = rng.integers(0, items, n, dtype=np.int32)
    return Sequences(picked, np.arange(users + 1) * length, keys, items, time, users=keys)

def prepare(folder, chunks):
    with Peak() as peak, Writer(folder) as writer:
        for number in range(chunks):
            writer.add(chunk(number))
        catalogue, codes = writer.fitted(pl.Series([str(n) for n in range(500)]))
        writer.finish(catalogue, codes=codes)
    return peak.more

def learn(folder):
    model = LSTM(width=16, length=50, loss={"name": "sampled-softmax", "negatives": 128}, epochs=1, patience=1,
                 optimizer="adamw", batch_tokens=1024)
    with Peak() as peak:
        trainer = Trainer(model, prepared.open_training(folder), Conditions(device="cpu"))
        plan = trainer.plan(0)
        for _ in range(10):
            trainer.learn(next(plan))
    return peak.more

torch.set_num_threads(1)
place = Path(sys.argv[1])
prepare(place / "first", 2), learn(place / "first")  # what is loaded and set up once is no part of the figures
print(*(f"{take(place / name, *more):.2f}" for name, chunks in (("small", 2), ("large", 20))
        for take, more in ((prepare, (chunks,)), (learn, ()))))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured through /proc")
def test_memory_does_not_grow_with_the_events(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, timeout=120,
        env=os.environ | {"POLARS_MAX_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    small, _, large, learnt = map(float, done.stdout.split())
    items, times = 4 * 2_000_000 / 2**20, 8 * 2_000_000 / 2**20  # MiB: 7.6 and 15.3
    assert large - small < (items + times) / 2, "a chunk, and a stretch of items that get other indices"
    assert learnt < 0.8 * items, "two arrays of 40,000 windows, 20,000 keys, and batches"
