"""How much of the machine's arithmetic the training of the full-softmax Transformer uses.

    ENSUE_DATA=folder python benchmarks/arithmetic.py [--seconds 20] [--tokens 2048,4096,8192]

MovieLens-1M without each user's last two events, 2 blocks, width 64, windows of 200, so many tokens a batch. Counted is
useful arithmetic alone, twice the multiplications of a target, forward and backward (three times the forward pass):

    blocks x (12 D^2 + 2 D x steps seen on average) + N D       multiplications a target

Padding, masked halves of attention, softmax, norms, dropout and the optimiser are not counted, and cost time. Beside
the share of a large matrix product's rate stands that of the product of a block of states with the item table, the
largest product that there is here. A core of a rented machine is not always as fast: products and training take turns,
and the shares are medians over the turns. Last come two processes of one thread each, that share batches twice as large
as the largest: `fit` as it is, beside products on two threads. Writes benchmarks/results/arithmetic.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as the commands of ensue do on a quiet machine

import torch

from ensue import read
from ensue.losses.blocks import rows_at_once
from ensue.model import Conditions, Training, model_of
from ensue.optimisation import apart
from ensue.progress import Silent, Task
from ensue.splits import last_out
from ensue.training import Trainer
from machine import machine
from measured import FILES

RESULTS = Path(__file__).resolve().parent / "results" / "arithmetic.json"
LARGE, PARTS, TRIES = 2048, 9, 5


def main() -> None:
    """Measures rates and training on one thread and on two, in turn, and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of training, for each row")
    parser.add_argument("--tokens", default="2048,4096,8192", help="of a batch, one after the other")
    asked = parser.parse_args()
    split = last_out(read(Path(os.environ["ENSUE_DATA"]) / FILES["ml-1m"]))
    training = Training.of(split.train)
    rows = []
    for tokens in map(int, asked.tokens.split(",")):
        model = model_of("transformer", batch_tokens=tokens).suited(training.sequences)
        conditions = Conditions()
        with apart(conditions):
            trainer = Trainer(model, training, conditions)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            turns = [_turn(trainer, model, asked.seconds / PARTS) for _ in range(PARTS + 1)]
            row = _row(tokens, threads, turns[1:])  # the first warms up
            seen = _trained(trainer, 1.0)[1]
            rows.append(row)
            print(json.dumps({name: value for name, value in row.items() if name != "turns"}), flush=True)
    model = model_of("transformer", batch_tokens=2 * tokens, epochs=10_000, patience=10_000)
    turns = [_shared(model, training, seen, asked.seconds / 3) for _ in range(4)]
    rows.append(_row(2 * tokens, 2, turns[1:]) | {"processes": 2})
    print(json.dumps({name: value for name, value in rows[-1].items() if name != "turns"}), flush=True)
    RESULTS.write_text(json.dumps({"machine": machine(threads=2), "rows": rows}, indent=1))


def _row(tokens: int, threads: int, turns: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over the turns, and the turns."""
    row: dict[str, Any] = {"tokens": tokens, "threads": threads}
    row |= {name: round(statistics.median(turn[name] for turn in turns), 3) for name in turns[0]}
    return row | {"turns": [{name: round(value, 3) for name, value in turn.items()} for turn in turns]}


def _turn(trainer: Trainer, model: Any, seconds: float) -> dict[str, float]:
    """A stretch of training between two looks at the products, whose mean it is held against."""
    items = trainer.sequences.n_items
    before = _products(model.width, items)
    speed, seen = _trained(trainer, seconds)
    return _held(model, items, speed, seen, before)


class _Loop(Silent):
    """Takes the time of the last task of a fit, which is the training loop."""

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        """The loop."""
        self.began = time.perf_counter()
        with super().task(name, total) as task:
            yield task
        self.seconds = time.perf_counter() - self.began


def _shared(model: Any, training: Training, seen: float, seconds: float) -> dict[str, float]:
    """Training by two processes of one thread each, between two looks at the products on two threads.

    Args:
        model: with the batch that both share.
        training: what is learnt from.
        seen: how many steps a target sees on average.
        seconds: of training.
    """
    items, loop = training.sequences.n_items, _Loop()
    torch.set_num_threads(2)
    before = _products(model.width, items)
    conditions = Conditions(progress=loop, device="cpu", threads=1, processes=2, max_minutes=seconds / 60)
    found = model.fit(training, conditions)
    targets = sum(epoch["targets"] for epoch in found.facts["history"])
    torch.set_num_threads(2)
    return _held(model, items, targets / loop.seconds, seen, before)


def _held(model: Any, items: int, speed: float, seen: float, before: tuple[float, float]) -> dict[str, float]:
    """A stretch of training held against the products before and after it."""
    after = _products(model.width, items)
    large, small = ((first + last) / 2 for first, last in zip(before, after, strict=True))
    operations = 6 * (model.blocks * (12 * model.width**2 + 2 * model.width * seen))
    operations += 6 * items * model.width
    used = speed * operations / 1e9
    return {
        "large_product_gflops": large,
        "table_product_gflops": small,
        "targets_per_second": speed,
        "operations_per_target": operations,
        "useful_gflops": used,
        "share_of_large_product": used / large,
        "share_of_table_product": used / small,
    }


def _products(width: int, items: int) -> tuple[float, float]:
    """Rates of a large product, and of that of a block of states with the item table."""
    return _rate(LARGE, LARGE, LARGE), _rate(rows_at_once(items), width, items)


def _rate(rows: int, inner: int, columns: int) -> float:
    """GFLOP/s of a single-precision product, the median of several tries."""
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    times = max(int(2e9 / (rows * inner * columns)), 1)
    tries = []
    for _ in range(TRIES):
        began = time.perf_counter()
        for _ in range(times):
            a @ b
        tries.append(2 * rows * inner * columns * times / (time.perf_counter() - began) / 1e9)
    return sorted(tries)[TRIES // 2]


def _trained(trainer: Trainer, seconds: float) -> tuple[float, float]:
    """Targets a second of a stretch, and how many steps a target sees on average."""
    trainer.network.train()
    seen, targets = 0.0, 0
    plan: Any = iter(())
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        stretches = next(plan, None)
        if stretches is None:
            plan = trainer.plan(0)
            continue
        targets += trainer.learn(stretches)[1]
        lengths = (stretches.ends - stretches.starts).astype(float)
        seen += float((lengths * (lengths + 1) / 2).sum())
    return targets / (time.perf_counter() - began), seen / targets


if __name__ == "__main__":
    main()
