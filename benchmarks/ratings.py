"""Expected ratings on public data: biases, SVD, SVD++, Bayesian factorisation, a sequence model, and their blend.

    ENSUE_DATA=folder python benchmarks/ratings.py [u1] [ml-100k] [ml-1m]

u1 is the split of MovieLens-100K that came with it: the whole base of a user is learnt from and stands in its history,
whatever its times, in an order that is drawn, and a tenth of it, drawn evenly, is the validation. The others are global
in time: the last tenth of the log is tested, each rating after all that its user rated before, and the tenth before it
validates. Users without any rating before the cut are in it, with the ratings that they have given by the time of the
question.

Settings in GRIDS are chosen by the RMSE on validation, one model at a time; the weights of the blend are, too. Then
every model is fitted anew on training and validation, saved nowhere, and tested once. The rows of single models are
those of the blend's members, so nothing is fitted twice; seconds are of the process, on one thread.

Intervals are over users. "against" is the difference of users' RMSE to each other row, with p by sign flips, corrected
by Holm within a data set. Writes benchmarks/results/ratings.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ensue import read
from ensue.events.log import EventLog
from ensue.expected_ratings import rmse
from ensue.model import Conditions, Training, model_of, refit
from ensue.models.ratings.blend import Blend
from ensue.models.ratings.blend_scoring import BlendScoring
from ensue.progress import Silent
from ensue.ranking import Recommender
from ensue.rating_evaluation import Errors, RatingEvaluation, evaluate_ratings
from ensue.significance import holm, paired
from ensue.splits import Split, split
from ensue.splits.given import given, together
from machine import machine

RESULTS = Path(__file__).resolve().parent / "results" / "ratings.json"
BEST_KNOWN = {"u1": 0.8808}
"""A Bayesian factorisation machine with the days of the ratings and features of users and films."""

SEQUENCE: dict[str, Any] = {
    "model": "gru", "loss": "mean-squared-error", "inputs": ["rating"], "width": 32, "bias": True, "dropout": 0.3,
    "epochs": 8, "batch_tokens": 1024, "learning_rate": 0.01, "weight_decay": 0.05, "validation_targets": 4000,
}  # fmt: skip

GRIDS: dict[str, list[dict[str, Any]]] = {
    "svd": [{"regularization": strength} for strength in (0.09, 0.13, 0.18)],
    "svdpp": [{"regularization": strength} for strength in (0.09, 0.13, 0.18)],
    "bayesian": [{}],
    "gru": [SEQUENCE],
}
"""What is tried on validation; the settings of `bayesian` and `gru` were chosen on that of u1."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="*", default=["u1", "ml-100k", "ml-1m"])
    data = Path(os.environ["ENSUE_DATA"])
    for name in parser.parse_args().data:
        rows = measured(name, parts_of(name, data))
        old = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
        rows = [row for row in old if row["data"] != name] + rows
        RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


def parts_of(name: str, data: Path) -> Split:
    """The split of a data set."""
    if name != "u1":
        return split(read(data / name), "temporal")
    base, test = (_lines(data / "ml-100k" / file) for file in ("u1.base", "u1.test"))
    return given(together(base, test))


def _lines(path: Path) -> EventLog:
    """Lines of user, item, rating and time, in an order that is drawn, since that of u1 was: the test is any fifth."""
    log = read(
        path,
        format="delimited",
        delimiter="\t",
        columns={"user": "1", "item": "2", "rating": "3", "time": "4"},
    )
    return EventLog.of(log.frame.drop("time", "row").sample(fraction=1.0, shuffle=True, seed=0))


def measured(name: str, parts: Split) -> list[dict[str, Any]]:
    """One row for each model on one split."""
    training = Training.of(parts.train)
    training = replace(training, validation=parts.examples("validation", training.catalogue))
    chosen, tried, spent = [], {}, {}
    for label, grid in GRIDS.items():
        if len(grid) == 1:
            chosen.append({"model": label, **grid[0]})
            continue
        scores = [trial(label, settings, training) for settings in grid]
        tried[label] = [{**settings, "rmse": score} for settings, score in zip(grid, scores, strict=True)]
        best = min(range(len(grid)), key=scores.__getitem__)
        chosen.append({"model": label, **grid[best]})
    began = time.process_time()
    blend = Blend(of=tuple(chosen))
    first = blend.fit(training, Conditions(progress=Timed(spent), threads=1))
    blended = refit(
        blend, first, Training.of(parts.before_test), Conditions(progress=Timed(spent), threads=1)
    )
    spent["blend"] = time.process_time() - began
    examples = parts.examples("test", blended.catalogue)
    found: dict[str, Errors] = {}
    rows: list[dict[str, Any]] = []
    for label, recommender in {**members(blended), "blend": blended}.items():
        began = time.process_time()
        evaluation = evaluate_ratings(recommender, examples, training=parts.before_test)
        seconds = time.process_time() - began
        if not found:
            found |= {base: judged.warm for base, judged in evaluation.baselines.items()}
            rows += [{"model": base, **figures(errors)} for base, errors in found.items()]
        found[label] = evaluation.warm
        row = {"model": label, **figures(evaluation.warm), "rmse with cold": evaluation.all.value("rmse")}
        rows.append(row | {"seconds": round(seconds, 1), **about(label, first, recommender, evaluation)})
        print(name, label, f"{evaluation.value('rmse'):.4f}", f"{seconds:.1f} s", flush=True)
    facts = {"data": name, "split": parts.name, "best known": BEST_KNOWN.get(name), "machine": machine()}
    facts |= {"seconds of all fits": round(spent["blend"], 1), "tried on validation": tried}
    return [facts | row | {"against": against(row["model"], found)} for row in rows]


def trial(label: str, settings: dict[str, Any], training: Training) -> float:
    """The RMSE on validation of a model with some settings."""
    fitted = model_of(label, **settings).fit(training, Conditions(threads=1))
    score = rmse(fitted, training.validation)  # type: ignore[arg-type]
    print(label, settings, f"{score:.4f} on validation", flush=True)
    return score


class Timed(Silent):
    """Says what is said with the seconds of the process."""

    def __init__(self, spent: dict[str, float]) -> None:
        self.spent = spent

    def say(self, text: str) -> None:
        print(f"  {time.process_time():.0f} s: {text}", flush=True)


def members(blended: Recommender) -> dict[str, Recommender]:
    """The models of a blend, each by itself."""
    scoring = blended.scoring
    assert isinstance(scoring, BlendScoring)
    return {
        told["model"]: replace(blended, scoring=member, model=told["model"], settings=told["settings"])
        for member, told in zip(scoring.members, scoring.described, strict=True)
    }


def figures(errors: Errors) -> dict[str, Any]:
    """RMSE and MAE with their intervals."""
    return errors.to_json()


def about(
    label: str, first: Recommender, recommender: Recommender, found: RatingEvaluation
) -> dict[str, Any]:
    """What a row says of how its model was made."""
    names, errors = first.facts["members"], first.facts["rmse_of_members"]
    known = dict(zip(names, errors, strict=True))
    weights = first.settings["weights"]
    return {
        "settings": dict(recommender.settings),
        "counts": found.counts.to_json(),
        "rmse on validation": known.get(label),
        "weights": weights if label == "blend" else None,
    }


def against(label: str, found: dict[str, Errors]) -> dict[str, Any]:
    """The difference of users' RMSE to every other row, below 0 the row is better, with Holm's correction."""
    if label not in (*GRIDS, "blend"):
        return {}
    others = [other for other in found if other != label]
    tests = [paired(found[label].per_user, found[other].per_user) for other in others]
    corrected = holm([test.p_value for test in tests])
    return {
        other: {**test.to_json(), "p_value_holm": p}
        for other, test, p in zip(others, tests, corrected, strict=True)
    }


if __name__ == "__main__":
    main()
