"""The flagship served: what `--preset accurate` comes to on MovieLens-1M, asked through the real service.

    ENSUE_DATA=... python benchmarks/flagship_served.py                    # about five minutes
    ENSUE_DATA=... python benchmarks/flagship_served.py --seconds 3 --minutes 0.3 --forms blind
    ENSUE_DATA=... python benchmarks/flagship_served.py --kept FOLDER      # models are trained once, and found there

Two forms, each trained for half a minute (how fast answers come does not depend on how long was learnt): "blind", and
"aware", which reads the gaps of a history and how long after its last event it is asked. Histories have 50 or 200
events and are sent along, those of the aware form with their times; or they are told before, and one more event comes:
then the answer by user is compared with that for the whole history sent along. Explanations are asked for over HTTP;
that they name what matters is measured by deletion on test questions. Load by wrk on the same machine, as in
serving.py. Rows go to results/flagship_served.json, in the place of earlier ones of the same kind.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from load import BEGAN, EVERY, Asked, service, wrk
from machine import machine
from serving import MIX, K, keep, libraries, starting

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "flagship_served.json"
FORMS: dict[str, dict[str, Any]] = {"blind": {}, "aware": {"asked": "wait", "inputs": ("gap",)}}
LENGTHS = (50, 200)
GOALS = {"history of 50": (3.0, 10.0), "mix": (None, 25.0)}
"""Milliseconds that half, and 99 of 100, of the answers are to take at most; of the mix 1,000 a second too."""
WALKED, EXPLAINED, QUESTIONS = 40, 3, 60
"""Users who get one more event, items that are explained of a history, and questions of the check by deletion."""


def main(arguments: list[str]) -> None:
    """Trains what is not there, asks, and keeps the rows."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--forms", default=",".join(FORMS), help=f"of {', '.join(FORMS)}")
    options.add_argument("--minutes", type=float, default=0.5, help="of training, for each form")
    options.add_argument("--seconds", type=int, default=5, help="of each load")
    options.add_argument("--kept", type=Path, help="where trained models are found, and put")
    options.add_argument("--results", type=Path, default=RESULTS)
    chosen = options.parse_args(arguments)
    if shutil.which("wrk") is None:
        raise SystemExit("The load is made by wrk, which is not installed.")
    if "ENSUE_DATA" not in os.environ:
        raise SystemExit("This needs MovieLens-1M: set ENSUE_DATA to the folder of public data sets.")
    load = os.getloadavg()[0]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for form in chosen.forms.split(","):
            model = (chosen.kept or folder) / form
            if not model.exists():
                words = [sys.executable, __file__, "--train", form, str(model), str(chosen.minutes)]
                subprocess.run(words, check=True)
            found = asked_of(form, model, folder / f"asked-{form}", chosen.seconds, starts=not rows)
            rows += [{"form": form, **row, "what": f"{form}: {row['what']}"} for row in found]
    for row in rows:
        row |= {"load_before": round(load, 2), "libraries": libraries(), **machine(1)}
    keep(rows, chosen.results, shown=False)
    show(rows)


def asked_of(form: str, model: Path, folder: Path, seconds: int, starts: bool) -> list[dict[str, Any]]:
    """All that is asked of one form, its starts too where these are wanted."""
    timed = form == "aware"
    asked = {length: Asked.of(model, folder / str(length), length, timed) for length in LENGTHS}
    rows = [starting(model, workers) for workers in (1, 2)] if starts else []
    for length in LENGTHS:
        rows.append(sent_along(model, asked[length], length, seconds))
        rows += one_more(model, asked[length], length)
    rows += [mixed(model, asked[LENGTHS[0]], seconds, workers) for workers in (1, 2)]
    rows.append(faithful(model))
    return [row | {"items": asked[LENGTHS[0]].catalogue} for row in rows]


# ------------------------------------------------------------------------------------------ the model


def trained(form: str, folder: Path, minutes: float) -> None:
    """What the preset comes to on MovieLens-1M without the last two events of each user, as its form wants it."""
    from ensue import read, save
    from ensue.model import Conditions, Training, model_of
    from ensue.presets import preset
    from ensue.splits import last_out

    split = last_out(read(Path(os.environ["ENSUE_DATA"]) / "ml-1m"))
    training = Training.of(split.train)
    training = replace(training, validation=split.examples("validation", training.catalogue))
    chosen = preset("accurate", training.sequences)
    model = model_of(chosen.model, **(dict(chosen.settings) | FORMS[form]))
    conditions = Conditions(device="cpu", threads=os.cpu_count() or 1, max_minutes=minutes)
    folder.parent.mkdir(parents=True, exist_ok=True)
    save(model.fit(training, conditions), folder)


# -------------------------------------------------------------------------------------------------- rows


def sent_along(model: Path, asked: Asked, length: int, seconds: int) -> dict[str, Any]:
    """Recommend by a history in the body, one request after the other."""
    with service(model, 1) as running:
        wrk(running.port, asked, 2, 1, 0, 1)
        found = wrk(running.port, asked, seconds, 1, 0, 1)
        memory = [*running.memory().values()]
    return {"what": f"history of {length}", "workers": 1, **found, "resident_mb": memory}


def one_more(model: Path, asked: Asked, length: int) -> list[dict[str, Any]]:
    """A known user gets one more event and asks; the whole history sent along is to have the same answer; and why."""
    took: dict[str, list[float]] = {"event": [], "user": [], "whole": [], "explain": [], "explained list": []}
    same, apart = 0, 0.0
    some = replace(asked, users=asked.users[:WALKED], histories=asked.histories[:WALKED])
    with service(model, 1) as running, running.talking() as ask:
        running.tell(some)
        at = BEGAN + EVERY * (length + 10)  # both are asked at the same moment
        for place, (user, history) in enumerate(zip(some.users, some.histories, strict=True)):
            item = asked.histories[-1 - place][0]
            event = {"user": user, "item": item, "time": BEGAN + EVERY * length}
            took["event"].append(ask("/v1/events", event)[0])
            milliseconds, kept = ask("/v1/recommend", {"user": user, "k": K, "at": at})
            took["user"].append(milliseconds)
            whole = {"history": asked.sent([*history, item]), "at": at}
            milliseconds, anew = ask("/v1/recommend", {**whole, "k": K})
            took["whole"].append(milliseconds)
            same += [row["item"] for row in kept["items"]] == [row["item"] for row in anew["items"]]
            gaps = (abs(a["score"] - b["score"]) for a, b in zip(kept["items"], anew["items"], strict=True))
            apart = max(apart, *gaps)
            if place < EXPLAINED:
                best = anew["items"][0]["item"]
                took["explain"].append(ask("/v1/explain", {**whole, "item": best})[0])
                took["explained list"].append(ask("/v1/recommend", {**whole, "k": K, "explain": True})[0])
        memory = [*running.memory().values()]
    answers = {"asked": WALKED, "same_lists": same, "largest_gap": float(f"{apart:.2g}")}
    names = {
        "event": "one more event told",
        "user": f"by user after it, {length} before",
        "whole": f"whole history anew, {length + 1}",
        "explain": f"explain one item, {length + 1}",
        "explained list": f"explain a list of {K}, {length + 1}",
    }
    rows = [{"what": names[name], "workers": 1, **spread(values)} for name, values in took.items()]
    rows[0]["what"] += f", {length} before"
    rows[1] |= answers | {"resident_mb": memory}
    return rows


def mixed(model: Path, asked: Asked, seconds: int, workers: int) -> dict[str, Any]:
    """The mix of serving.py at 16 connections."""
    with service(model, workers) as running:
        running.tell(asked)
        wrk(running.port, asked, 2, 16, *MIX)
        found = wrk(running.port, asked, seconds, 16, *MIX)
        memory = [*running.memory().values()]
    return {"what": "mix", "workers": workers, **found, "resident_mb": memory}


def faithful(model: Path) -> dict[str, Any]:
    """Whether taking out the events named first loses more than taking out others, over test questions."""
    import numpy as np

    from ensue import read, runtime
    from ensue.explaining import faithfulness
    from ensue.splits import last_out

    recommender = runtime.load(model, threads=1)
    split = last_out(read(Path(os.environ["ENSUE_DATA"]) / "ml-1m"))
    examples = split.examples("test", recommender.catalogue)
    queries = examples.queries
    examples = replace(
        examples, queries=replace(queries, starts=np.maximum(queries.starts, queries.ends - LENGTHS[0]))
    )
    began = time.perf_counter()
    found = faithfulness(recommender, examples, most=QUESTIONS)
    seconds = time.perf_counter() - began
    return {"what": "faithfulness", "workers": 1, "seconds": round(seconds, 1), **found.to_json()}


def spread(milliseconds: Sequence[float]) -> dict[str, Any]:
    """Half of them took no longer, and 99 of 100."""
    import numpy as np

    half, most = np.quantile(milliseconds, (0.5, 0.99)).tolist()
    return {"requests": len(milliseconds), "p50_ms": round(half, 3), "p99_ms": round(most, 3)}


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The rows as a short table."""
    said: list[tuple[str, ...]] = [("what", "workers", "p50 ms", "p99 ms", "a second", "MB", "also")]
    told: dict[str, Callable[[dict[str, Any]], str]] = {
        "seconds": lambda row: f"{row['seconds']:g} s",
        "same_lists": lambda row: (
            f"{row['same_lists']} of {row['asked']} lists alike, {row['largest_gap']:g}"
        ),
        "holds": lambda row: f"holds: {row['holds']}, score {row['score']['low']:.3g} up",
        "broken": lambda row: f"refused {row['refused']}, broken {row['broken']}",
    }
    for row in rows:
        also = [how(row) for name, how in told.items() if name in row]
        for goal, (half, most) in GOALS.items():
            if row["what"].endswith(f": {goal}"):
                met = (half is None or row["p50_ms"] <= half) and (row["p99_ms"] <= most)
                met = met and (goal != "mix" or row["requests_per_second"] >= 1_000)
                also.append("goal met" if met else "GOAL NOT MET")
        figures = (row.get(name, "") for name in ("p50_ms", "p99_ms", "requests_per_second"))
        memory = "/".join(f"{one:.0f}" for one in row.get("resident_mb", ()))
        said.append((row["what"], str(row["workers"]), *map(str, figures), memory, "; ".join(also)))
    widths = [max(map(len, column)) for column in zip(*said, strict=True)]
    for line in said:
        print("  ".join(map(str.ljust, line, widths)).rstrip())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        trained(sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
    else:
        main(sys.argv[1:])
