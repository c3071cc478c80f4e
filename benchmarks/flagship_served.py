"""The flagship served: what `--preset accurate` comes to on MovieLens-1M, asked through the real service.

    ENSUE_DATA=... python benchmarks/flagship_served.py                    # about eight minutes
    ENSUE_DATA=... python benchmarks/flagship_served.py --seconds 3 --minutes 0.3 --forms blind
    ENSUE_DATA=... python benchmarks/flagship_served.py --kept FOLDER      # models are trained once, and found there
    ENSUE_DATA=... python benchmarks/flagship_served.py --layers int8      # with weights of 8 bits

Two forms, each trained for half a minute (how fast answers come does not depend on how long was learnt): "blind", and
"aware", which reads the gaps of a history and how long after its last event it is asked. Histories have 50 or 200
events and are sent along, those of the aware form with their times; or they are told before, and one more event comes.

A worker keeps the states of the network, so each row says which share of its answers began from a state that was kept
("from_kept", counted by the service itself): "first time" is each history once, none of it seen before; "again" is the
same histories over and over, as wrk draws them; "one more" is a history that was asked about, and one event. With 200
events the next one is beyond the window, which is then read anew. What the layers compute in ("fp32", or "int8") stands
before these; "judged" is how well test users are answered one by one. Lists and scores are compared with those of the
model in this process, which keeps nothing. The share of the mix is that of 1,000 users who come back again and again,
asked as fast as answers come ("mix"), and with pauses between ("mix, paced").

Explanations are asked for over HTTP; that they name what matters is measured by deletion on test questions. Load by wrk
on the same machine, as in serving.py. Rows go to results/flagship_served.json, in the place of earlier ones of the same
kind.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from ensue import runtime
from ensue.questions import Question
from ensue.serving.carried_states import CarriedStates
from load import BEGAN, EVERY, Asked, Running, service, wrk
from machine import machine
from serving import MIX, K, keep, libraries, starting

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "flagship_served.json"
FORMS: dict[str, dict[str, Any]] = {"blind": {}, "aware": {"asked": "wait", "inputs": ("gap",)}}
LENGTHS = (50, 200)
BEFORE = (50, 199, 200)
"""Events before one more comes; with the last of these it is one more than the window holds."""
HISTORY = (3.0, 10.0)
MIXED = (None, 25.0)
GOALS = {
    "history of 50, first time": HISTORY,
    "history of 50, again": HISTORY,
    "mix": MIXED,
    "mix, paced": MIXED,
}
"""Milliseconds that half, and 99 of 100, of the answers are to take at most; of the mix 1,000 a second too."""
PAUSE = 12
"""Milliseconds that a connection of the paced mix waits before it asks again: 16 ask a little over 1,000 a second."""
WALKED, EXPLAINED, QUESTIONS = 40, 3, 60
"""Users who get one more event, items that are explained of a history, and questions of the check by deletion."""
JUDGED, METRICS = 3_000, ("recall@10", "ndcg@10")
"""Test users who are judged one by one, and by what."""
WARMED, TRIES = 5, 20
"""Seconds of the mix before it is measured, and how often it is tried to hear of all workers."""


def main(arguments: list[str]) -> None:
    """Trains what is not there, asks, and keeps the rows."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--forms", default=",".join(FORMS), help=f"of {', '.join(FORMS)}")
    options.add_argument("--minutes", type=float, default=0.5, help="of training, for each form")
    options.add_argument("--layers", default="fp32,int8", help="in what the LSTM computes")
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
            for layers in chosen.layers.split(","):
                found = asked_of(
                    form, model, layers, folder / f"asked-{form}-{layers}", chosen.seconds, starts=not rows
                )
                name = form if layers == "fp32" else f"{form}, {layers}"
                rows += [
                    {"form": form, "layers": layers, **row, "what": f"{name}: {row['what']}"} for row in found
                ]
    for row in rows:
        row |= {"load_before": round(load, 2), "libraries": libraries(), **machine(1)}
    keep(rows, chosen.results, shown=False)
    show(rows)


def asked_of(
    form: str, model: Path, layers: str, folder: Path, seconds: int, starts: bool
) -> list[dict[str, Any]]:
    """All that is asked of one form, its starts too where these are wanted."""
    timed = form == "aware"
    asked = {length: Asked.of(model, folder / str(length), length, timed) for length in LENGTHS}
    rows = [starting(model, workers) for workers in (1, 2)] if starts else []
    for length in LENGTHS:
        rows += sent_along(model, layers, asked[length], length, seconds)
    for length in BEFORE:
        rows += one_more(model, layers, asked[min(one for one in LENGTHS if one >= length)], length)
    rows += [mixed(model, layers, asked[LENGTHS[0]], seconds, workers) for workers in (1, 2)]
    rows.append(mixed(model, layers, asked[LENGTHS[0]], seconds, 2, PAUSE))
    rows += [judged(model, layers, timed)]
    rows += [faithful(model)] if layers == "fp32" else []
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


def sent_along(model: Path, layers: str, asked: Asked, length: int, seconds: int) -> list[dict[str, Any]]:
    """Recommend by a history in the body, one request after the other: each once, and then again and again."""
    with service(model, 1, layers=layers) as running:
        with counted(running) as first, running.talking() as ask:
            once = [ask("/v1/recommend", {"history": asked.sent(one), "k": K})[0] for one in asked.histories]
        wrk(running.port, asked, 1, 1, 0, 1)
        with counted(running) as again:
            found = wrk(running.port, asked, seconds, 1, 0, 1)
        memory = [*running.memory().values()]
    return [
        {"what": f"history of {length}, first time", "workers": 1, **spread(once), **first},
        {"what": f"history of {length}, again", "workers": 1, **found, **again, "resident_mb": memory},
    ]


def one_more(model: Path, layers: str, asked: Asked, length: int) -> list[dict[str, Any]]:
    """A user who has asked gets one more event and asks again; so does one whose history is sent along; and why."""
    took: dict[str, list[float]] = {}
    shares: dict[str, dict[str, float]] = {}
    histories = [history[:length] for history in asked.histories[:WALKED]]
    some = replace(asked, users=asked.users[:WALKED], histories=histories)
    at = BEGAN + EVERY * (length + 10)
    same, apart = 0, 0.0
    anew = runtime.load(model, threads=1)
    with service(model, 1, layers=layers) as running, running.talking() as ask:

        def walk(name: str, path: str, bodies: Sequence[dict[str, Any]]) -> list[Any]:
            with counted(running) as share:
                answers = [ask(path, body) for body in bodies]
            took[name], shares[name] = [milliseconds for milliseconds, _ in answers], share
            return [answer for _, answer in answers]

        running.tell(some)
        by_user = [{"user": user, "k": K, "at": at} for user in some.users]
        walk("user, first time", "/v1/recommend", by_user)
        more = [asked.histories[-1 - place][0] for place in range(WALKED)]
        events = [
            {"user": user, "item": item, "time": BEGAN + EVERY * length}
            for user, item in zip(some.users, more, strict=True)
        ]
        walk("event", "/v1/events", events)
        answers = walk("user, one more", "/v1/recommend", by_user)
        for history, item, answer in zip(histories, more, answers, strict=True):
            expected = anew.recommend(question(asked, [*history, item], at), K)
            same += [row["item"] for row in answer["items"]] == list(expected.items)
            gaps = (abs(row["score"] - b) for row, b in zip(answer["items"], expected.scores, strict=True))
            apart = max(apart, *gaps)
        others = [asked.histories[-1 - WALKED - place][0] for place in range(WALKED)]
        grown = [asked.sent([*history, item]) for history, item in zip(histories, others, strict=True)]
        walk("sent, one more", "/v1/recommend", [{"history": one, "at": at, "k": K} for one in grown])
        if length in LENGTHS:
            said = [{"history": one, "at": at} for one in grown[:EXPLAINED]]
            best = [row["items"][0]["item"] for row in walk("best", "/v1/recommend", said)]
            walk("explain", "/v1/explain", [a | {"item": b} for a, b in zip(said, best, strict=True)])
            walk("explained list", "/v1/recommend", [one | {"k": K, "explain": True} for one in said])
        memory = [*running.memory().values()]
    names = {
        "user, first time": f"by user, {length} events, first time",
        "event": f"one more event told, {length} before",
        "user, one more": f"by user, {length} events and one more",
        "sent, one more": f"history of {length} and one more, sent along",
        "explain": f"explain one item, {length + 1}",
        "explained list": f"explain a list of {K}, {length + 1}",
    }
    rows = [
        {"what": what, "workers": 1, **spread(took[name]), **shares[name]}
        for name, what in names.items()
        if name in took
    ]
    rows[2] |= {
        "asked": WALKED,
        "same_lists": same,
        "largest_gap": float(f"{apart:.2g}"),
        "resident_mb": memory,
    }
    return rows


def question(asked: Asked, history: Sequence[str], at: int) -> Question:
    """What is asked over HTTP of a user who was told of with times, or of such a history sent along."""
    times = [datetime.fromtimestamp(BEGAN + EVERY * place, UTC) for place in range(len(history))]
    timed = asked.timed
    return Question(
        history, times=times if timed else None, at=datetime.fromtimestamp(at, UTC) if timed else None
    )


def mixed(
    model: Path, layers: str, asked: Asked, seconds: int, workers: int, pause: int = 0
) -> dict[str, Any]:
    """The mix of serving.py at 16 connections, once each user has been heard of; all that it can take, or paced."""
    with service(model, workers, layers=layers) as running:
        running.tell(asked)
        wrk(running.port, asked, WARMED, 16, *MIX)
        with counted(running) as share:
            found = wrk(running.port, asked, seconds, 16, *MIX, pause)
        memory = [*running.memory().values()]
    return {
        "what": "mix, paced" if pause else "mix",
        "workers": workers,
        **found,
        **share,
        "resident_mb": memory,
    }


@contextmanager
def counted(running: Running) -> Iterator[dict[str, float]]:
    """Which share of the network's answers within the block began from a state that was kept."""
    before, share = states(running), dict[str, float]()
    yield share
    kept, anew = (after - one for after, one in zip(states(running), before, strict=True))
    if kept + anew:
        share["from_kept"] = round(kept / (kept + anew), 4)


def states(running: Running) -> tuple[float, float]:
    """Answers of all workers that began from a state that was kept, and those that began anew."""
    found: dict[str, tuple[float, float]] = {}
    for _ in range(TRIES):  # connections that are open at the same time are shared among the workers
        clients = [HTTPConnection("127.0.0.1", running.port, timeout=60) for _ in range(4 * running.workers)]
        for client in clients:
            client.request("GET", "/metrics")
            lines = client.getresponse().read().decode().splitlines()
            told = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
            name = next(line for line in told if line.startswith("ensue_process{"))
            kept, anew = (float(told[f'ensue_states_total{{from="{one}"}}']) for one in ("kept", "anew"))
            found[name] = kept, anew
        for client in clients:
            client.close()
        if len(found) == running.workers:
            break
    assert len(found) == running.workers, "a worker has told nothing of itself"
    return sum(kept for kept, _ in found.values()), sum(anew for _, anew in found.values())


@dataclass(frozen=True)
class Singly:
    """A scoring that is asked one question after the other, as a service is."""

    scoring: Any
    scores_are: str = "logits"

    def score(self, queries: Any) -> Any:
        """`[Q, N]` scores."""
        import numpy as np

        return np.concatenate(
            [self.scoring.score(queries[place : place + 1]) for place in range(len(queries))]
        )


def judged(model: Path, layers: str, timed: bool) -> dict[str, Any]:
    """Recall and NDCG at 10 over test users, each asked by itself, as the service would answer."""
    import numpy as np

    from ensue import evaluate, read
    from ensue.rules import Availability, Rules
    from ensue.serving.served import served
    from ensue.splits import last_out

    recommender = served(
        model, Rules(), Availability(), states=CarriedStates(10**8), layers=layers
    ).recommender
    split = last_out(read(Path(os.environ["ENSUE_DATA"]) / "ml-1m"))
    examples = split.examples("test", recommender.catalogue)
    examples = examples[np.arange(min(JUDGED, len(examples)))]
    began = time.perf_counter()
    found = evaluate(replace(recommender, scoring=Singly(recommender.scoring)), examples, metrics=METRICS)
    seconds = time.perf_counter() - began
    values = {name: round(found.value(name), 4) for name in METRICS}
    return {"what": "judged", "workers": 1, "users": len(examples), "seconds": round(seconds, 1), **values}


def faithful(model: Path) -> dict[str, Any]:
    """Whether taking out the events named first loses more than taking out others, over test questions."""
    import numpy as np

    from ensue import read
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
        "ndcg@10": lambda row: f"recall@10 {row['recall@10']}, NDCG@10 {row['ndcg@10']}",
        "from_kept": lambda row: f"{row['from_kept']:.0%} from kept states",
        "holds": lambda row: f"holds: {row['holds']}, score {row['score']['low']:.3g} up",
        "broken": lambda row: f"refused {row['refused']}, broken {row['broken']}",
    }
    for row in rows:
        also = [how(row) for name, how in told.items() if name in row]
        for goal, (half, most) in GOALS.items():
            if row["what"].endswith(f": {goal}"):
                met = (half is None or row["p50_ms"] <= half) and (row["p99_ms"] <= most)
                met = met and (not goal.startswith("mix") or row["requests_per_second"] >= 1_000)
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
