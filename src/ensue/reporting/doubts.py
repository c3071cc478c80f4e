"""What a reader of figures should mind: leaks, scores that are too good, tests that are too small, weak networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ensue.experiment import RMSE
from ensue.reporting.reading import ALIKE, Run, parameters

FEW_USERS = 100
MANY_COLD, MANY_TIED = 0.2, 0.05
BASELINES = ("popular", "recent", "markov", "rules")


def doubts(run: Run) -> list[str]:
    """Sentences, the gravest first; none if there is nothing to mind."""
    return [
        *_leaks(run),
        *_odd(run),
        *_tested(run),
        *(line for one in run.tracks.values() for line in _networks(one)),
        *_missing(run),
    ]


def _leaks(run: Run) -> Iterator[str]:
    if run.content["split"].get("leaks"):
        yield f"This split leaks: {run.content['split']['leaks']}."
    sampled = [rung["label"] for rung in run.rungs if rung["test"].get("sampled")]
    if sampled:
        yield f"Figures of {', '.join(sampled)} are sampled: they do not order models as full ranking does."
    if any(
        one.get("option") == "order" and one.get("value") is False
        for one in run.content["audit"].get("advice") or ()
    ):
        yield "The order of rows with equal times may say too much, or nothing: see the advice under the data."


def _odd(run: Run) -> Iterator[str]:
    """What the run itself found odd about its models."""
    for rung in run.rungs:
        yield from (f"{rung['label']}: {one}." for one in rung.get("warnings") or ())


def _tested(run: Run) -> Iterator[str]:
    counts = run.best["test"]["counts"]
    if counts["users"] < FEW_USERS:
        yield f"Only {counts['users']:,} {run.unit}s were tested: differences must be large to be told from chance."
    if counts["targets"] and counts["cold_targets"] / counts["targets"] > MANY_COLD:
        share = counts["cold_targets"] / counts["targets"]
        yield f"{share:.0%} of the targets are cold items, which no model here can hit; look at the warm figures too."
    for rung in run.rungs:
        own = rung["test"]["counts"]
        if (
            own["targets"]
            and own["tied_targets"] / own["targets"] > MANY_TIED
            and rung["label"] == run.best["label"]
        ):
            share = own["tied_targets"] / own["targets"]
            yield f"{share:.0%} of the targets of {rung['label']} tie with others; ties count by their middle rank."
    if run.best["validation"] is None:
        yield "Nothing was held out to choose on: the served model is the last of the ladder, not the best."


def _networks(run: Run) -> Iterator[str]:
    """Networks that earn no place: none is above the best model that counts, by more than chance."""
    counting = [rung for rung in run.rungs if parameters(rung["facts"]) is None]
    networks = [rung for rung in run.rungs if parameters(rung["facts"]) is not None]
    if not networks or not counting:
        return
    sign, beyond = (-1, "below") if run.leads == RMSE else (1, "above")
    best = max(counting, key=lambda rung: sign * float(run.figure(rung, run.leads)["value"]))
    for rung in networks:
        gap = sign * (run.figure(rung, run.leads)["value"] - run.figure(best, run.leads)["value"])
        if gap <= 0:
            yield (
                f"{rung['label']} is not {beyond} {best['label']}, which only counts: train it longer, or take "
                f"{best['label']}."
            )
        elif rung["label"] == run.highest and _p_value(run, best["label"]) >= ALIKE:
            yield (
                f"{rung['label']} is not told from {best['label']}, which only counts and is cheaper: the "
                "smaller model may do."
            )


def _p_value(run: Run, label: str) -> float:
    """Of the paired test against the highest; 0 where there is none, since nothing is known then."""
    others: list[Any] = [] if run.comparison is None else list(run.comparison.others)
    return next((float(one.p_value) for one in others if one.model == label), 0.0)


def _missing(run: Run) -> Iterator[str]:
    names = {rung["model"] for rung in run.rungs}
    if not names & set(BASELINES):
        yield f"No simple baseline stands beside: run {', '.join(BASELINES)} too, which takes seconds."
    for rung in run.rungs:
        minutes = (rung["facts"].get("first_fit") or rung["facts"]).get("stopped")
        if minutes:
            yield f"{rung['label']} stopped early: {minutes}."
