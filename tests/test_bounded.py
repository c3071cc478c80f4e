"""A log prepared part by part from disk: the very folder that it gives in memory, whatever the parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ensue import bounded, ladder, prepared, preparing, quantiles
from ensue.errors import ColumnError, DataError
from ensue.events.audit import audit
from ensue.events.log import EventLog
from ensue.events.sessions.rule import Sessions
from ensue.events.source import Stream, read
from ensue.events.spilled import Spilled, spill
from ensue.model import Training
from ensue.splits import split as split_by


def made(seed: int = 0, users: int = 24, *, time: bool = True, extra: bool = True) -> pl.DataFrame:
    """Events of users and items with odd names, many times tied, in no order."""
    rng = np.random.default_rng(seed)
    count = users * 12
    frame = pl.DataFrame(
        {
            "user": [f"ü{n}" if n % 3 else f"{n:03}" for n in (rng.random(count) ** 2 * users).astype(int)],
            "item": [f"i{n}" for n in rng.geometric(0.08, count)],
        }
    )
    if time:
        frame = frame.with_columns(
            timestamp=pl.Series(rng.integers(1_600_000_000, 1_600_400_000, count) // 50 * 50)
        )
    if extra:
        frame = frame.with_columns(
            rating=pl.Series(rng.integers(1, 6, count).astype(str)).replace("3", ""),
            event=pl.Series(rng.choice(["view", "buy"], count)),
            session=pl.Series(rng.integers(0, 40, count).astype(str)),
            shop=pl.Series([f"s{n % 5}" for n in range(count)]),
        )
    return frame


def written(frame: pl.DataFrame, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    frame.write_csv(folder / "log.csv")
    return folder / "log.csv"


def spilled(path: Path, folder: Path, *, rows: int = 50, events: int = 100) -> Spilled:
    folder.mkdir()
    return spill(Stream(path, rows=rows), folder, events=events)


def in_memory(log: EventLog, out: Path, wanted: bounded.Wanted) -> dict[str, Any]:
    """What the folder says of itself when the whole log is at hand."""
    log = log if wanted.sessions is None else wanted.sessions.apply(log)
    found = audit(log, wanted.by)
    seen = bool(found.advised("exclude_seen")) if wanted.exclude_seen is None else wanted.exclude_seen
    rule = str(found.advised("split")) if wanted.split == "auto" else wanted.split
    said = dict(wanted.said or {"by": wanted.by, "session_gap": 0.0})
    if rule == "none":
        training, words = Training.of(log, wanted.by, seen), "every event"
        learnt = ladder.learnt(log, log, said)
    else:
        shares: dict[str, Any] = (
            {"validation": False} if rule == "last" else {"test": wanted.share, "validation": 0.0}
        )
        parts = split_by(log, rule, by=wanted.by, **shares)
        training, words = Training.of(parts.train, wanted.by, seen), parts.name
        training = replace(training, validation=parts.examples("test", training.catalogue))
        learnt = ladder.learnt(log, parts.train, said)
    preparing.write(
        training, out, split=words, facts={"learnt": learnt}, validation_targets=wanted.validation_targets
    )
    return prepared.describe(out)


@pytest.mark.parametrize("events", [60, 10_000])
@pytest.mark.parametrize(
    "wanted",
    [
        bounded.Wanted(),
        bounded.Wanted(split="temporal", share=0.25),
        bounded.Wanted(split="last"),
        bounded.Wanted(split="ratio", share=0.3, exclude_seen=True),
        bounded.Wanted(split="none"),
        bounded.Wanted(split="last", by="session"),
        bounded.Wanted(split="temporal", by="session", sessions=Sessions(gap=3600)),
    ],
    ids=lambda wanted: f"{wanted.split}-{wanted.by}-{'cut' if wanted.sessions else 'given'}",
)
def test_the_same_folder_to_the_last_byte(
    tmp_path: Path, wanted: bounded.Wanted, events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = replace(wanted, validation_targets=8)
    monkeypatch.setattr(quantiles, "GATHERED", 5)
    path = written(made(), tmp_path / "in")
    whole = in_memory(read(path), tmp_path / "whole", wanted)
    disk = spilled(path, tmp_path / "disk", events=events)
    assert (disk.n_parts == 1) == (events == 10_000)
    bounded.prepare(disk, tmp_path / "parts", wanted)
    assert prepared.describe(tmp_path / "parts") == whole
    opened = prepared.open_training(tmp_path / "parts", whole=True)
    assert len(opened.sequences) == whole["sequences"]


def test_a_log_without_times_keeps_its_order(tmp_path: Path) -> None:
    path = written(made(time=False, extra=False), tmp_path / "in")
    wanted = bounded.Wanted()
    whole = in_memory(read(path), tmp_path / "whole", wanted)
    bounded.prepare(spilled(path, tmp_path / "disk"), tmp_path / "parts", wanted)
    assert prepared.describe(tmp_path / "parts") == whole
    with pytest.raises(ColumnError, match="no times"):
        bounded.prepare(spilled(path, tmp_path / "more"), tmp_path / "out", bounded.Wanted(split="temporal"))


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_the_log(tmp_path: Path, seed: int) -> None:
    path = written(made(seed), tmp_path / "in")
    log, disk = read(path), spilled(path, tmp_path / "disk", rows=7, events=20)
    parts = [disk.part(number) for number in range(disk.n_parts)]
    assert disk.n_parts > 3
    together = pl.concat([part.frame for part in parts])
    assert together.drop("row").equals(log.frame.drop("row"))
    assert disk.fingerprint() == log.fingerprint()
    assert disk.reading.set_aside == log.reading.set_aside
    assert not set(parts[0].frame["user"]) & set(parts[1].frame["user"])


def test_a_name_of_a_session_that_two_users_share_is_made_unique_in_every_part(tmp_path: Path) -> None:
    rows = "user,item,session\n" + "".join(f"u{n},a,{'s' if n in (0, 9) else n}\n" for n in range(10))
    tmp_path.joinpath("log.csv").write_text(rows)
    disk = spilled(tmp_path / "log.csv", tmp_path / "disk", rows=1, events=1)
    assert disk.n_parts == 10
    assert disk.part(4).frame["session"].to_list() == ["u4#4"]
    assert read(tmp_path / "log.csv").frame["session"].to_list()[4] == "u4#4"


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    tmp_path.joinpath("log.csv").write_text("user,item,timestamp\na,x,5\nb,y,5\n")
    disk = spilled(tmp_path / "log.csv", tmp_path / "disk")
    with pytest.raises(DataError, match="left to learn from"):
        bounded.prepare(disk, tmp_path / "out", bounded.Wanted(split="temporal"))
    assert not (tmp_path / "out").exists()
