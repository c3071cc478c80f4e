"""How fast the service answers, under which load, in how much memory, and whether anything fails in the long run.

    ENSUE_DATA=... python benchmarks/serving.py                   # speed on ML-1M, about three minutes
    ENSUE_DATA=... python benchmarks/serving.py --soak 30         # half an hour of load, swaps, erasures

The model is a Transformer of width 64 with 2 blocks that was trained for a few dozen steps: its speed is that of a
well trained one. `--run FOLDER` takes a model that is there. The load is made by wrk on the same machine, which takes
some of its cores; its connections are kept alive, and each sends its next request when the answer to the one before has
come, so times are those of a closed loop. The mix is 50 % recommend by user, from the service's own state, 30 %
recommend by a history of 50 events in the body, and 20 % events. Rows are added to results/serving.json, where they
take the place of earlier ones of the same kind.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from load import EVENTS, USERS, Asked, service, wrk
from machine import machine

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "serving.json"
K = 10
MIX = (0.5, 0.3)
"""Shares of recommend by user and by history; the others are events."""
SOAKED, PAUSE = 8, 50
"""Connections of the soak, and milliseconds that each waits between two requests: at most 160 requests a second."""
LIBRARIES = ("onnxruntime", "fastapi", "uvicorn", "httptools", "uvloop", "orjson")


def main(arguments: list[str]) -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--run", type=Path, help="a model that is there, instead of training one")
    options.add_argument("--seconds", type=int, default=30, help="of each load")
    options.add_argument("--soak", type=float, default=0.0, metavar="MINUTES")
    options.add_argument("--results", type=Path, default=RESULTS)
    chosen = options.parse_args(arguments)
    if shutil.which("wrk") is None:
        raise SystemExit("The load is made by wrk, which is not installed.")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        load = os.getloadavg()[0]
        model = folder / "models" / "a"
        shutil.copytree(chosen.run, model) if chosen.run else train(model)
        asked = Asked.of(model, folder / "asked")
        if chosen.soak:
            rows = [soak(model, asked, chosen.soak)]
        else:
            rows = [
                *(starting(model, workers) for workers in (1, 2)),
                one_connection(model, asked, chosen.seconds),
                *(mixed(model, asked, chosen.seconds, workers) for workers in (1, 2)),
                in_process(model, asked),
            ]
    for row in rows:
        row |= {
            "items": asked.catalogue,
            "load_before": round(load, 2),
            "libraries": libraries(),
            **machine(1),
        }
    keep(rows, chosen.results)


# ------------------------------------------------------------------------------------------ what is asked


def train(folder: Path, items: int = 0) -> None:
    """A small Transformer in a process of its own, so that this one holds no torch."""
    words = [sys.executable, __file__, "--train", str(folder), str(items)]
    subprocess.run(words, check=True)


def trained(folder: Path, items: int) -> None:
    """Trains it on ML-1M, or on a synthetic log in which every item of so many is seen."""
    import numpy as np
    import polars as pl

    from ensue import read, save
    from ensue.events.log import EventLog
    from ensue.model import Conditions, Training, model_of

    if items:
        order = np.random.default_rng(7).permutation(items)
        frame = pl.DataFrame({"user": np.arange(items) // EVENTS, "item": order, "time": np.arange(items)})
        timed = pl.from_epoch("time", "s").dt.replace_time_zone("UTC").dt.cast_time_unit("us")
        log = EventLog.of(frame.with_columns(pl.col("user", "item").cast(pl.String), timed))
        shape = {"length": EVENTS, "batch_tokens": 1024}
        steps = 2
    else:
        log = read(Path(os.environ["ENSUE_DATA"]) / "ml-1m")
        shape, steps = {"length": 200}, 40
    model = model_of("transformer", width=64, blocks=2, heads=2, positions="learnt", temperature=0.0, **shape)
    recommender = model.fit(
        Training.of(log), Conditions(steps=steps, device="cpu", threads=os.cpu_count() or 1)
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    save(recommender, folder)


# -------------------------------------------------------------------------------------------------- rows


def starting(model: Path, workers: int, times: int = 3) -> dict[str, Any]:
    """Seconds until the first worker can answer, the median of some starts."""
    seconds = []
    for _ in range(times):
        with service(model, workers) as running:
            seconds.append(running.seconds)
            time.sleep(2)  # the other workers come a little later
            memory = sorted(running.memory().values())
    return {
        "what": "start",
        "workers": workers,
        "seconds": round(sorted(seconds)[times // 2], 3),
        "resident_mb": memory,
    }


def one_connection(model: Path, asked: Asked, seconds: int) -> dict[str, Any]:
    """Recommend by a history of 50 events in the body, one request after the other."""
    with service(model, 1) as running:
        status, answer = running.ask("POST", "/v1/recommend", {"history": asked.histories[0], "k": K})
        assert (status, len(answer["items"]), answer["fallback"]) == (200, K, False), answer
        wrk(running.port, asked, 2, 1, 0, 1)
        found = wrk(running.port, asked, seconds, 1, 0, 1)
        return {
            "what": "history, one connection",
            "workers": 1,
            **found,
            "resident_mb": [*running.memory().values()],
        }


def mixed(model: Path, asked: Asked, seconds: int, workers: int) -> dict[str, Any]:
    """The mix at 16 connections."""
    with service(model, workers) as running:
        running.tell(asked)
        wrk(running.port, asked, 2, 16, *MIX)
        found = wrk(running.port, asked, seconds, 16, *MIX)
        return {"what": "mix", "workers": workers, **found, "resident_mb": [*running.memory().values()]}


def in_process(model: Path, asked: Asked) -> dict[str, Any]:
    """Without HTTP, on one thread: single answers for 50 events, and 1,000 users at once."""
    from ensue import runtime

    recommender = runtime.load(model, threads=1)
    for history in asked.histories[:20]:
        recommender.recommend(history, K)
    single = []
    for history in asked.histories[: max(min(USERS, 10_000_000 // asked.catalogue), 20)]:
        began = time.perf_counter()
        recommender.recommend(history, K)
        single.append(1000 * (time.perf_counter() - began))
    many = asked.histories[: max(min(USERS, 100_000_000 // asked.catalogue), 20)]
    began = time.perf_counter()
    recommender.recommend_many(many, K)
    seconds = time.perf_counter() - began
    single.sort()
    return {
        "what": "in process",
        "peer": "ensue",
        "requests": len(single),
        "p50_ms": round(single[len(single) // 2], 3),
        "p99_ms": round(single[int(0.99 * len(single))], 3),
        "batch_users": len(many),
        "batch_seconds": round(seconds, 3),
        "users_per_second": round(len(many) / seconds, 1),
    }


def soak(model: Path, asked: Asked, minutes: float) -> dict[str, Any]:
    """The mix for a long time, while models are swapped and users are erased and told of again."""
    shutil.copytree(model, model.with_name("b"))
    counts = {"swaps": 0, "erasures": 0, "failed": 0}
    faults: list[str] = []
    over: list[dict[str, Any]] = []
    ended = threading.Event()
    with service(model, 2) as running:
        running.tell(asked)

        def done(kind: str, method: str, path: str, body: Any = None) -> None:
            counts[kind] += 1
            try:
                status, answer = running.ask(method, path, body)
            except OSError as fault:
                status, answer = 0, type(fault).__name__
            if status != 200:
                counts["failed"] += 1
                faults.append(f"{kind}: {status} {str(answer)[:200]}")

        def swaps(place: int) -> None:
            done("swaps", "POST", "/v1/admin/swap", {"folder": "ba"[place % 2]})

        def erasures(place: int) -> None:
            name = asked.users[place % USERS].replace(" ", "%20")
            done("erasures", "DELETE", f"/v1/users/{name}")

        def samples(place: int) -> None:
            over.append(
                {"seconds": round(time.monotonic() - began), "resident_mb": [*running.memory().values()]}
            )

        began = time.monotonic()
        every = [(10.0, swaps), (1.0, erasures), (max(minutes / 3, 1.0), samples)]
        others = [threading.Thread(target=again, args=(ended, pause, act)) for pause, act in every]
        for other in others:
            other.start()
        try:
            found = wrk(running.port, asked, 60 * minutes, SOAKED, *MIX, pause=PAUSE)
        finally:
            ended.set()
            for other in others:
                other.join()
        alive = running.process.poll() is None
    return {
        "what": "soak", "workers": 2, "minutes": minutes, "pause_ms": PAUSE, **found, **counts, "alive": alive,
        "faults": faults[:5], "memory": over, "growth_mb_per_minute": growth(over),
    }  # fmt: skip


def again(ended: threading.Event, pause: float, act: Callable[[int], None]) -> None:
    """Does something once every so often, until it is over."""
    place = 0
    while not ended.wait(pause):
        act(place)
        place += 1


def growth(over: Sequence[dict[str, Any]]) -> float | None:
    """Slope of the memory of all workers over the second half of the time, in megabytes a minute."""
    import numpy as np

    half = over[len(over) // 2 :]
    if len(half) < 3:
        return None
    minutes = [one["seconds"] / 60 for one in half]
    return round(float(np.polyfit(minutes, [sum(one["resident_mb"]) for one in half], 1)[0]), 3)


def libraries() -> dict[str, str]:
    """The versions of what serves; what is not installed is not there."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def keep(rows: Sequence[dict[str, Any]], path: Path, shown: bool = True) -> None:
    """Puts rows in the place of earlier ones of the same kind, and prints them unless they are shown otherwise.

    Of one kind are those of one processor, too: an answer from a slower one stands beside that from a faster.
    """

    def kind(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["what"], row.get("workers"), row["items"], row.get("vectors")

    before = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    kept = [row for row in before if kind(row) not in {kind(one) for one in rows}]
    path.write_text(json.dumps({"rows": [*kept, *rows]}, indent=1) + "\n", encoding="utf-8")
    for row in rows if shown else ():
        told = {
            name: value for name, value in row.items() if name not in ("memory", "libraries", *machine(1))
        }
        print(json.dumps(told))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        trained(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(sys.argv[1:])
