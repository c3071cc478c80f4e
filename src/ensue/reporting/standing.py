"""Which model is best, how sure that is, and what each of them reached and took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ensue.experiment import RMSE
from ensue.report import comparing
from ensue.report.blocks import Block, Grid, Heading, Part, Pictures, Tiles, Words
from ensue.reporting.reading import ALIKE, Run, between, chosen, parameters, seconds, size, titled
from ensue.significance import Comparison
from ensue.tracks import APART, SAID, track_in


def lead(run: Run) -> list[Block]:
    """What the run came to, in a sentence and a few figures."""
    counts, by = run.best["test"]["counts"], run.unit
    name = run.leads
    found = run.figure(run.best, name)
    took = sum(rung["fit_seconds"] + rung["test_seconds"] for rung in run.rungs)
    cold = counts["cold_targets"] / counts["targets"] if counts["targets"] else 0.0
    tiles = (
        (f"{titled(name)}, {run.best['label']}", f"{found['value']:.4f}"),
        (f"{by}s tested", f"{counts['users']:,}"),
        ("targets", f"{counts['targets']:,}"),
        ("of them cold", f"{cold:.1%}"),
        ("models", f"{len(run.rungs):,}"),
        ("fitted and tested in", seconds(took)),
    )
    return [Words(verdict(run), "verdict"), Tiles(tiles)]


def verdict(run: Run) -> str:
    """Which model is served, what it reached, and which others are not told from the best in the test."""
    best, name = run.best["label"], run.leads
    found = run.figure(run.best, name)
    over = f" over {run.best['ratings']['warm']['targets']:,} warm ratings" if name == RMSE else ""
    said = [f"{best} is served: {titled(name)} {between(found)}{over} in the test."]
    if run.best["validation"] is None:
        said.append("There was nothing to choose on, so it is the last of the ladder.")
    elif len(run.rungs) > 1:
        by = run.content["experiment"]["evaluation"]["choose_on"]
        said.append(f"It was best on validation ({chosen(by, run.best['validation'])}).")
    if run.comparison is not None and run.comparison.metric == name:  # an older run tested rankings always
        said.append(_told(run.comparison, best, run.unit))
    others = sum(track_in(rung) != track_in(run.best) for rung in run.rungs)
    if others:
        said.append(
            f"It is {track_in(run.best)}; {others} of the other track stand in a table of their own. {APART}"
        )
    return " ".join(said)


def _told(found: Comparison, served: str, unit: str) -> str:
    """How the best model in the test stands to the others, in words."""
    alike = [one.model for one in found.others if one.p_value >= ALIKE]
    apart = [one.model for one in found.others if one.p_value < ALIKE]
    end, beyond = ("Lowest", "below") if found.lowest else ("Highest", "above")
    who = "It" if found.best == served else f"{end} in the test is {found.best}, {found.value:.4f}; it"
    told = [f"is {beyond} {_listed(apart)} by more than chance"] if apart else []
    told += [f"is not told from {_listed(alike)}"] if alike else []
    return (
        f"{who} {' and '.join(told)} (paired tests over {unit}s, Holm-corrected, {ALIKE:.0%})."
        if told
        else ""
    )


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}. "


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def models(run: Run) -> Part:
    """All models: plots of the first metrics with intervals, the table, and the tests."""
    drawn = tuple(
        comparing.forest(
            titled(name),
            [_estimate(run, rung, name) for rung in run.rungs],
            note=f"with 95 % intervals over {run.unit}s",
        )
        for name in _sure(run)
    )  # fmt: skip
    counts, by = run.rungs[0]["test"]["counts"], run.unit
    said = (
        f"Over all {counts['targets']:,} targets of {counts['users']:,} {by}s, each {by} weighing the same; "
        f"{run.rungs[0]['test']['protocol']}. {_sentence(SAID[track_in(run.rungs[0])])}"
    )
    if run.leads == RMSE:
        said += f"RMSE is over {run.rungs[0]['ratings']['warm']['targets']:,} warm ratings, each weighing the same. "
    cold = counts["cold_targets"]
    said += (
        f"Training never saw {cold:,} of the targets: they count as misses, and 'warm' leaves them out."
        if cold
        else "Training has seen every target."
    )
    skipped = [Words(f"{label} was left out: {why}", "soft") for label, why in run.content["skipped"].items()]
    return Part(
        "models",
        "Models",
        (Words(said), Pictures(drawn), _table(run), *skipped, *_tests(run), *_seeds(run), *_ratings(run)),
    )


def _listing(run: Run) -> list[str]:
    """The figures of a table: the metrics, and before them RMSE where that leads."""
    return [*([RMSE] if run.leads == RMSE else []), *run.metrics]


def _sure(run: Run) -> list[str]:
    """Those that are shown with their intervals: two metrics, and RMSE where it leads."""
    return _listing(run)[: 3 if run.leads == RMSE else 2]


def _estimate(run: Run, rung: Mapping[str, Any], name: str) -> comparing.Estimate:
    """A figure of a model; how it stands is known of the one that was tested alone."""
    found = run.figure(rung, name)
    tested = run.leads if run.comparison is None else run.comparison.metric
    standing: comparing.Standing = run.standing(rung["label"]) if name == tested else "untested"
    return comparing.Estimate(rung["label"], found["value"], found["low"], found["high"], standing)


def _table(run: Run) -> Grid:
    rows, shown, sure = [], _listing(run), _sure(run)
    for rung in run.rungs:
        test = rung["test"]
        name = f"{rung['label']} (served)" if rung["label"] == run.content["best"] else rung["label"]
        warm = "-" if not test.get("warm") else f"{test['warm']['metrics'][run.metric]['value']:.4f}"
        figures = [
            between(run.figure(rung, one)) if one in sure else f"{run.figure(rung, one)['value']:.4f}"
            for one in shown
        ]
        rows.append((name, *figures, warm))
    heads = ("model", *(titled(name) for name in shown), f"warm {titled(run.metric)}")
    return Grid("Figures of all models", heads, tuple(rows), tuple(range(1, len(heads))))


def _tests(run: Run) -> list[Block]:
    found = run.comparison
    if found is None:
        return [Words(f"No paired tests: {run.why}.", "soft")]
    rows = tuple(
        (
            one.model,
            f"{one.value:.4f}",
            f"{one.paired.difference.value:.4f} "
            f"({one.paired.difference.low:.4f} to {one.paired.difference.high:.4f})",
            f"{one.p_value:.2g}",
            "told from it" if one.p_value < ALIKE else "not told from it",
            f"{one.paired.differing:,} of {one.paired.difference.n:,}",
        )
        for one in found.others
    )
    heads = (
        "model",
        titled(found.metric),
        f"{'above' if found.lowest else 'below'} {found.best} by",
        "p (Holm)",
        "verdict",
        f"{run.unit}s that differ",
    )
    said = (
        f"{found.best} has the {'lowest' if found.lowest else 'highest'} {titled(found.metric)} in the test, "
        f"{found.value:.4f}. p: how often chance alone gives such a gap (paired sign-flip test over {run.unit}s), "
        "corrected for all tests made (Holm)."
    )
    return [
        Heading("How sure the differences are"),
        Words(said),
        Grid("Paired tests", heads, rows, (1, 2, 3, 5)),
    ]


def _seeds(run: Run) -> list[Block]:
    """What networks reached with other seeds, where they were run with several."""
    found = run.content.get("seeds")
    if not found:
        return []
    shown = [name for name in _listing(run) if all(name in by for by in found["models"].values())]
    rows = tuple(
        (label, *(f"{by[name]['mean']:.4f} ± {by[name]['deviation'] or 0:.4f}" for name in shown))
        for label, by in found["models"].items()
        if label in [rung["label"] for rung in run.rungs]
    )
    if not rows:
        return []
    heads = ("model", *(titled(name) for name in shown))
    said = (
        f"Means and standard deviations over the seeds {', '.join(map(str, found['seeds']))}; all other figures are of "
        "the first. Models that count have no seed."
    )
    grid = Grid("Over seeds", heads, rows, tuple(range(1, len(heads))))
    return [Heading("Over seeds"), Words(said), grid]


def _ratings(run: Run) -> list[Block]:
    """How far off expected ratings are, of the models that have some."""
    rated = [rung for rung in run.rungs if rung.get("ratings")]
    if not rated:
        return []
    rows = []
    for rung in rated:
        warm = rung["ratings"]["warm"]
        others = rung["ratings"]["baselines"].items()
        beside = ", ".join(f"{name} {one['warm']['metrics']['rmse']['value']:.4f}" for name, one in others)
        found = warm["metrics"]
        rows.append(
            (
                rung["label"],
                between(found["rmse"]),
                f"{found['mae']['value']:.4f}",
                f"{warm['targets']:,}",
                beside,
            )
        )
    heads = ("model", "RMSE", "MAE", "targets", "RMSE of the baselines")
    return [Heading("Expected ratings"), Grid("Expected ratings", heads, tuple(rows), (1, 2, 3))]


def costs(run: Run) -> Part:
    """What each model took: time, and, where the run has measured them, memory, size and latency."""
    measured = any(rung.get("cost") for rung in run.rungs)
    heads = ["model", "fit, choose, refit", "test", "parameters"]
    heads += (
        ["on disk", "one answer: median", "99th percentile", "users a second", "memory"] if measured else []
    )
    rows = []
    for rung in run.rungs:
        known, cost = parameters(rung["facts"]), rung.get("cost") or {}
        cells = [rung["label"], seconds(rung["fit_seconds"]), seconds(rung["test_seconds"])]
        cells.append("-" if known is None else f"{known:,}")
        if measured:
            wait = cost.get("latency_ms") or {}
            cells += [
                _shown(cost.get("artifact_bytes"), size),
                _shown(wait.get("p50"), "{:.2f} ms".format),
                _shown(wait.get("p99"), "{:.2f} ms".format),
                _shown(cost.get("evaluated_users_per_second"), "{:,.0f}".format),
                _shown(cost.get("process_peak_mb"), "{:,.0f} MB".format),
            ]
        rows.append(tuple(cells))
    said = (
        "One answer: ten items for one history, from the saved model. Users a second: in the test. Memory: the most "
        "that the process had held when the model was fitted, for the log and for models before it too."
        if measured
        else "Memory, size and latency were not measured in this run."
    )
    grid = Grid("Time and size of each model", tuple(heads), tuple(rows), tuple(range(1, len(heads))))
    return Part("cost", "Time, memory and size", (grid, Words(said, "soft")))


def _shown(value: float | None, how: Callable[[float], str]) -> str:
    return "-" if value is None else how(value)


def facts_of(run: Run) -> list[dict[str, Any]]:
    """The leading figure of each model, for programs."""
    return [
        {
            "label": rung["label"],
            "track": track,
            **one.figure(rung, one.leads),
            "standing": one.standing(rung["label"]),
        }
        for track, one in run.tracks.items()
        for rung in one.rungs
    ]
