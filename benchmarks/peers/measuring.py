"""What all runners share: how they are asked, the clock of training, latencies, peak memory, the line they print.

A runner is a program of its own in its peer's environment, so this file needs nothing but the standard library.

A useful target is one pair of a position with history and the item that really came next there, of real data. Padding
is none. A pair that is trained again in the next epoch counts again. How each runner counts is said in its docstring.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

WIDTH, BLOCKS, HEADS, DROPOUT = 64, 2, 2, 0.2
"""Of every Transformer, ours and theirs."""
EMBEDDING, UNITS = 128, 64
"""Of every LSTM."""
BATCH, RATE, K = 128, 1e-3, 10
REQUESTS, UNTIMED_REQUESTS = 100, 10
"""How many single requests are timed, and how many are made before."""
SOME, TIMES = 1_000, 3
"""Users that are answered together, as in a nightly run, and how often that is timed."""
EVALUATED_AFTER = 2.0
"""Seconds of training before a model is asked: its answers are not judged here, only how long they take."""


@dataclass(frozen=True)
class Asked:
    """What a runner is to do.

    Attributes:
        file: user, item and place in the order of the user's events, sorted; made by `prepared.py`.
        data: its name.
        length: the most events of a history that a model sees.
        what: "training", "evaluation" or "until".
        seconds: of training that are timed; until a mark is reached, the most of them.
        threads: cores that may be used.
        model: which of ours; peers have one.
        mark: the NDCG@10 that is to be reached.
        targets: user and the item that came next, of those that are asked for it; made by `prepared.py`.
    """

    file: Path
    data: str
    length: int
    what: str
    seconds: float
    threads: int
    model: str
    mark: float = 0.0
    targets: Path | None = None


def asked() -> Asked:
    """The command line of a runner. `compare.py` has set its cores before it was started."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--data", default="")
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--what", choices=("training", "evaluation", "until"), default="training")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", choices=("transformer", "lstm"), default="transformer")
    parser.add_argument("--mark", type=float, default=0.0)
    parser.add_argument("--targets", type=Path)
    found = parser.parse_args()
    return Asked(**vars(found) | {"data": found.data or found.file.stem})


def hold_to(threads: int) -> None:
    """Keeps this process to so many cores, and what it starts, whose libraries read how many threads to make."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
    os.environ.update(dict.fromkeys((*names, "TF_NUM_INTRAOP_THREADS"), str(threads)))
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[-threads:])


def histories(file: Path) -> dict[str, list[str]]:
    """The items of each user, oldest first."""
    found: dict[str, list[str]] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            found.setdefault(row["user"], []).append(row["item"])
    return found


class Clock:
    """Times training from the end of the warm-up steps until its seconds are over.

    Beside the time it takes the processor time of all threads: much less than seconds times threads says that other
    programs held the cores, or that a library leaves them idle.

    Args:
        seconds: that are timed at least; the step under way when they end is counted whole.
        warmup: steps before, in which memory is first taken and kernels are first chosen.
    """

    def __init__(self, seconds: float, warmup: int = 2) -> None:
        self.limit, self.warmup = seconds, warmup
        self.steps, self.targets, self.seconds, self.cpu_seconds = 0, 0, 0.0, 0.0
        self.began, self.cpu_began = time.perf_counter(), time.process_time()

    def step(self, targets: int) -> bool:
        """Told of a finished step and its useful targets; whether the time is over."""
        now, cpu = time.perf_counter(), time.process_time()
        if self.warmup:
            self.warmup -= 1
            self.began, self.cpu_began = now, cpu
            return False
        self.steps += 1
        self.targets += targets
        self.seconds, self.cpu_seconds = now - self.began, cpu - self.cpu_began
        return self.seconds >= self.limit

    def __deepcopy__(self, memo: dict[int, Any]) -> Clock:
        return self  # one clock, though a library copies what holds it


class Course:
    """A training that is judged after each epoch, until it reaches a mark or its time is over.

    Only training is timed, and not what judges it: NDCG@10 of one item for each user, among all items that are not in
    the user's history. An item that nobody has had before is a miss.

    Args:
        asked: what was to be done.
    """

    def __init__(self, asked: Asked) -> None:
        self.mark, self.limit = asked.mark, asked.seconds
        self.targets: dict[str, str] = {}
        if asked.targets is not None:
            self.targets = {user: items[-1] for user, items in histories(asked.targets).items()}
        self.seconds, self.cpu_seconds = 0.0, 0.0
        self.curve: list[tuple[float, float, float]] = []

    def trained(self, taken: Stopwatch) -> None:
        """Told of training that has been done."""
        self.seconds += taken.seconds
        self.cpu_seconds += taken.cpu_seconds

    def judged(self, score: float) -> bool:
        """Told of a figure on what has been trained so far; whether the mark is reached, or the time over."""
        self.curve.append((round(self.seconds, 2), round(self.cpu_seconds, 2), round(score, 4)))
        return score >= self.mark or self.seconds >= self.limit

    def score(self, slates: Mapping[str, Sequence[str]]) -> float:
        """NDCG@10 of the ten best items of each user; who has none counts as a miss."""
        gains = 0.0
        for user, target in self.targets.items():
            slate = list(slates.get(user, ()))[:K]
            gains += 1 / math.log2(slate.index(target) + 2) if target in slate else 0.0
        return gains / max(len(self.targets), 1)


class Stopwatch:
    """`with Stopwatch() as taken: ...`, and then its time, and the processor time of all threads."""

    def __init__(self) -> None:
        self.seconds, self.cpu_seconds = 0.0, 0.0

    def __enter__(self) -> Stopwatch:
        self.began, self.cpu_began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.began
        self.cpu_seconds = time.process_time() - self.cpu_began


def trained(asked: Asked, peer: str, model: str, clock: Clock, epoch: int, loss: str, **more: Any) -> None:
    """Prints the line of a training.

    Args:
        asked: what was to be done.
        peer: its name.
        model: what was trained.
        clock: that timed it.
        epoch: useful targets of one pass over the data, as this peer makes it.
        loss: that was trained, in words.
        more: what else to print.
    """
    rate = clock.targets / clock.seconds if clock.seconds else 0.0
    _print(
        asked,
        peer,
        model,
        loss=loss,
        targets=clock.targets,
        steps=clock.steps,
        seconds=round(clock.seconds, 3),
        cpu_seconds=round(clock.cpu_seconds, 3),
        targets_per_second=round(rate, 1),
        targets_per_epoch=epoch,
        seconds_per_epoch=round(epoch / rate, 1) if rate else None,
        extrapolated=clock.targets < epoch,
        **more,
    )


def reached(asked: Asked, peer: str, model: str, course: Course, loss: str, **more: Any) -> None:
    """Prints the line of a training until a mark: when it was first reached, and the whole curve.

    Args:
        asked: what was to be done.
        peer: its name.
        model: what was trained.
        course: that timed and judged it.
        loss: that was trained, in words.
        more: what else to print.
    """
    there = next((point for point in course.curve if point[2] >= course.mark), None)
    _print(
        asked,
        peer,
        model,
        loss=loss,
        mark=course.mark,
        reached=there is not None,
        seconds=None if there is None else there[0],
        cpu_seconds=None if there is None else there[1],
        best=max((point[2] for point in course.curve), default=0.0),
        curve=course.curve,
        users=len(course.targets),
        **more,
    )


def answered(
    asked: Asked,
    peer: str,
    model: str,
    users: int,
    taken: Stopwatch,
    latencies: Sequence[float],
    ways: Mapping[str, Sequence[float]] = MappingProxyType({}),
    **more: Any,
) -> None:
    """Prints the line of an evaluation.

    Args:
        asked: what was to be done.
        peer: its name.
        model: what answered.
        users: that were answered at once.
        taken: what that took.
        latencies: of single requests, in seconds.
        ways: the same of other ways to ask, by name.
        more: what else to print.
    """
    _print(
        asked,
        peer,
        model,
        users=users,
        seconds=round(taken.seconds, 3),
        cpu_seconds=round(taken.cpu_seconds, 3),
        users_per_second=round(users / taken.seconds, 1),
        requests=len(latencies),
        **percentiles(latencies),
        other_ways={name: percentiles(taken) for name, taken in ways.items()},
        **more,
    )


def percentiles(latencies: Sequence[float]) -> dict[str, float]:
    """The median and the 99th percentile, in milliseconds."""
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return {"p50_ms": round(1000 * cuts[49], 3), "p99_ms": round(1000 * cuts[98], 3)}


def latencies(answer: Callable[[int], object]) -> list[float]:
    """Seconds that each of `REQUESTS` requests takes, given by number; some are made before and not timed."""
    taken = []
    for number in range(UNTIMED_REQUESTS + REQUESTS):
        began = time.perf_counter()
        answer(number)
        taken.append(time.perf_counter() - began)
    return taken[UNTIMED_REQUESTS:]


def together(users: Sequence[str], answer: Callable[[list[str]], object]) -> dict[str, float]:
    """What it takes to answer a thousand users together: the least of some times, after one that is not timed."""
    chosen = spread(users, min(SOME, len(users)))
    taken = []
    for _ in range(TIMES + 1):
        with Stopwatch() as watch:
            answer(chosen)
        taken.append(watch)
    best = min(taken[1:], key=lambda one: one.seconds)
    return {
        "together": len(chosen),
        "together_seconds": round(best.seconds, 4),
        "together_cpu_seconds": round(min(one.cpu_seconds for one in taken[1:]), 4),
    }


def spread(users: Sequence[str], count: int = UNTIMED_REQUESTS + REQUESTS) -> list[str]:
    """Some users, those of the single requests if no number is given, evenly over all."""
    return [users[number * len(users) // count] for number in range(count)]


def peak_megabytes() -> float:
    """The most memory that this process ever held; not that of the program which started it."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024**2 if sys.platform == "darwin" else 1024)


def _print(asked: Asked, peer: str, model: str, **found: Any) -> None:
    package, *libraries = PACKAGES[peer]
    row = {
        "peer": peer,
        "version": version(package),
        "model": model,
        "data": asked.data,
        "length": asked.length,
        "threads": asked.threads,
        **found,
        "peak_rss_mb": round(peak_megabytes(), 1),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in libraries},
    }
    print(json.dumps(row), flush=True)


PACKAGES = {
    "ensue": ("ensue", "torch", "onnxruntime"),
    "rectools": ("rectools", "torch", "pytorch-lightning"),
    "replay": ("replay-rec", "torch", "lightning"),
    "recbole": ("recbole", "torch", "numpy"),
    "keras": ("keras", "tensorflow-cpu"),
}
"""What is installed of each peer, and the libraries whose versions count."""


def prepared_line(peer: str, sequences: int, events: int, taken: Stopwatch, peak: float) -> None:
    """Prints the line of a preparation.

    Args:
        peer: its name.
        sequences: that came out.
        events: that went in.
        taken: how long it took.
        peak: the most memory of the process, in megabytes.
    """
    row = {
        "peer": peer,
        "version": version(PACKAGES[peer][0]),
        "sequences": sequences,
        "events": events,
        "seconds": round(taken.seconds, 2),
        "cpu_seconds": round(taken.cpu_seconds, 2),
        "events_per_second": round(events / taken.seconds),
        "peak_rss_mb": round(peak, 1),
    }
    print(json.dumps(row), flush=True)
