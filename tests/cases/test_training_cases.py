"""Faults that people met in practice while training, as inputs of our own: none of them may come back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

MEASURED = """
import json, resource, sys
from pathlib import Path
import numpy as np, polars as pl, torch
torch.set_num_threads(1)
from ensue.catalogue import Catalogue
from ensue.model import Conditions, Training, model_of
from ensue.sequences import Sequences

lengths, items, settings = json.loads(sys.argv[1])
lengths = np.repeat(*np.array(lengths).T)
rng = np.random.default_rng(0)
events = rng.integers(0, items, lengths.sum()).astype(np.int32)
catalogue = Catalogue(pl.Series("item", np.arange(items).astype(str)), np.bincount(events, minlength=items))
keys = pl.Series(np.arange(len(lengths)).astype(str))
sequences = Sequences(events, np.concatenate([[0], np.cumsum(lengths)]), keys, items)
said = []
class Told:
    from contextlib import contextmanager
    @contextmanager
    def task(self, name, total):
        yield self
    def advance(self, amount=1, note=""):
        pass
    def say(self, text):
        said.append(text)
fitted = model_of("transformer", **settings).fit(Training(sequences, catalogue), Conditions(progress=Told()))
status = Path("/proc/self/status")  # ru_maxrss also holds what the program that started this one had
lines = status.read_text().splitlines() if status.exists() else []
own = [line.split()[1] for line in lines if line.startswith("VmHWM")]
peak = int(own[0]) if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
targets = [epoch["targets"] for epoch in fitted.facts["history"]]
print(json.dumps({"targets": targets, "megabytes": peak // 1024, "said": said, "loss": fitted.settings["loss"]}))
"""


def measured(lengths: list[tuple[int, int]], items: int, **settings: Any) -> dict[str, Any]:
    """What a training in a process of its own trained, and its peak of memory."""
    asked = json.dumps([lengths, items, settings])
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, asked], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_c58_every_prefix_of_a_long_history_is_trained_in_bounded_memory() -> None:
    """One user with 60,000 events and 200 with 5: all prefixes, padded, would take 60,799 x 200 numbers and more."""
    found = measured([(60_000, 1), (5, 200)], 500, length=200, epochs=1, width=16, ema=0.0)
    assert found["targets"] == [59_999 + 200 * 4]
    assert found["megabytes"] < 1500


def test_c60_half_a_million_items_are_trained_by_a_rule_that_is_said() -> None:
    """Logits of 128 rows of 20 places and 500,000 items would be 5,120,000,000 bytes; the table is 128 MB."""
    found = measured([(20, 400)], 500_000, epochs=1)
    assert found["targets"] == [400 * 19]
    assert found["loss"]["name"] == "sampled-softmax"
    rule = "transformer: a softmax over 1,024 drawn items, since 500,000 items are more than 50,000"
    assert rule in found["said"]
    assert found["megabytes"] < 2000
