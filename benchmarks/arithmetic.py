"""How much of the machine's arithmetic the training of the full-softmax Transformer uses.

    ENSUE_DATA=folder python benchmarks/arithmetic.py [--seconds 20]

MovieLens-1M without each user's last two events, 2 blocks, width 64, windows of 200, 2,048 tokens a batch. Counted is
useful arithmetic alone, twice the multiplications of a target, forward and backward (three times the forward pass):

    blocks x (12 D^2 + 2 D x steps seen on average) + N D       multiplications a target

Padding, masked halves of attention, softmax, norms, dropout and the optimiser are not counted, and cost time. Beside
the share of a large matrix product's rate stands that of the product of a block of states with the item table, the
largest product that there is here. Writes benchmarks/results/arithmetic.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from ensue import read
from ensue.losses.blocks import rows_at_once
from ensue.model import Conditions, Training, model_of
from ensue.optimisation import apart
from ensue.splits import last_out
from ensue.training import Trainer
from machine import machine
from measured import FILES

RESULTS = Path(__file__).resolve().parent / "results" / "arithmetic.json"
LARGE, PARTS = 2048, 5


def main() -> None:
    """Measures rates and training on one thread and on two, in turn, and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of training, for each number of threads")
    asked = parser.parse_args()
    split = last_out(read(Path(os.environ["ENSUE_DATA"]) / FILES["ml-1m"]))
    training = Training.of(split.train)
    model = model_of("transformer", batch_tokens=2048).suited(training.sequences)
    conditions = Conditions()
    with apart(conditions):
        trainer = Trainer(model, training, conditions)
    rows = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        large = _rate(LARGE, LARGE, LARGE)
        small = _rate(rows_at_once(len(training.catalogue)), model.width, len(training.catalogue))
        speed, seen = _trained(trainer, asked.seconds)
        operations = 6 * (model.blocks * (12 * model.width**2 + 2 * model.width * seen))
        operations += 6 * len(training.catalogue) * model.width
        used = speed * operations / 1e9
        row = {
            "threads": threads,
            "large_product_gflops": round(large, 1),
            "table_product_gflops": round(small, 1),
            "targets_per_second": round(speed),
            "operations_per_target": round(operations),
            "useful_gflops": round(used, 1),
            "share_of_large_product": round(used / large, 3),
            "share_of_table_product": round(used / small, 3),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    RESULTS.write_text(json.dumps({"machine": machine(threads=2), "rows": rows}, indent=1))


def _rate(rows: int, inner: int, columns: int) -> float:
    """GFLOP/s of a single-precision product, the median of several tries."""
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    times = max(int(2e9 / (rows * inner * columns)), 1)
    tries = []
    for _ in range(PARTS):
        began = time.perf_counter()
        for _ in range(times):
            a @ b
        tries.append(2 * rows * inner * columns * times / (time.perf_counter() - began) / 1e9)
    return sorted(tries)[PARTS // 2]


def _trained(trainer: Trainer, seconds: float) -> tuple[float, float]:
    """Targets a second, the median of several stretches, and how many steps a target sees on average."""
    trainer.network.train()
    speeds, seen, counted = [], 0.0, 0
    plan: Any = iter(())
    for part in range(PARTS + 1):
        began, targets = time.perf_counter(), 0
        while time.perf_counter() - began < (1.0 if part == 0 else seconds / PARTS):
            stretches = next(plan, None)
            if stretches is None:
                plan = trainer.plan(0)
                continue
            targets += trainer.learn(stretches)[1]
            lengths = (stretches.ends - stretches.starts).astype(float)
            seen, counted = seen + float((lengths * (lengths + 1) / 2).sum()), counted + int(lengths.sum())
        if part:
            speeds.append(targets / (time.perf_counter() - began))
    return sorted(speeds)[PARTS // 2], seen / counted


if __name__ == "__main__":
    main()
