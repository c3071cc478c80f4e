"""What `ensue ads` prints: estimates of clicks beside each other, and values of policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ensue.ads import Figures, Judged, Value, Valued

FEW = 100
"""Below so many effective impressions a warning is given."""


def show_estimates(judged: Judged) -> None:
    """The table of estimates, the differences from the baselines, and the reliability of the model."""
    from ensue.cli import terminal

    right: dict[str, Any] = {"justify": "right"}
    heads = ("log-loss", "normalised entropy", "AUC", "calibration error", "predicted / clicked")
    made = terminal.table("estimate", *((head, right) for head in heads))
    for row in judged.rows:
        own = row.metrics
        cells = [_ranged(own["log_loss"]), _ranged(own["normalised_entropy"]), _ranged(own["auc"])]
        cells += [f"{row.calibration_error:.4f}\n(chance {row.by_chance:.4f})"]
        cells += [_ranged(own["predicted_to_clicked"])]
        terminal.row(made, [row.name, *cells])
    terminal.show(made)
    terminal.out()
    best = judged.rows[-1]
    for other, gaps in best.against.items():
        told = ", ".join(
            f"{name} {_ranged(gaps[key], '+', ' ')}"
            for name, key in (("log-loss", "log_loss"), ("AUC", "auc"))
        )
        terminal.out(f"{best.name} less {other}: {told}")
    terminal.out(
        f"over {judged.impressions:,} later impressions, {judged.clicks:,} of them clicked; 95 % intervals by a "
        f"bootstrap over {judged.groups:,} {judged.over}"
    )
    terminal.out()
    _show_reliability(best)


def _show_reliability(figures: Figures) -> None:
    from ensue.cli import terminal

    right: dict[str, Any] = {"justify": "right"}
    made = terminal.table(
        ("predicted", right),
        ("clicked", right),
        ("impressions", right),
        title=f"reliability of the {figures.name}",
    )
    told = figures.reliability
    for row in zip(told.confidence, told.accuracy, told.counts, strict=True):
        terminal.row(made, [f"{row[0]:.4f}", f"{row[1]:.4f}", f"{row[2]:,}"])
    terminal.show(made)


def show_values(own: Value, found: list[Valued], truth: Value | None) -> None:
    """The table of policies, and what the log's own brought."""
    from ensue.cli import terminal

    right: dict[str, Any] = {"justify": "right"}
    heads = ("IPS", "SNIPS", "DR", "effective", "mean w", "max w")
    made = terminal.table("policy", *((head, right) for head in heads))
    for one in found:
        cells = [_ranged(one[name]) for name in ("ips", "snips", "dr")]
        support = one.support
        cells += [f"{support.effective:,.0f}", f"{support.mean_weight:.3f}", f"{support.largest:.1f}"]
        terminal.row(made, [one.policy, *cells])
    terminal.show(made)
    terminal.out()
    terminal.out(
        "IPS: inverse propensity; SNIPS: self-normalised; DR: doubly robust; effective: so many impressions of the "
        "policy is the log worth; w: weights, whose mean should be 1; 95 % intervals"
    )
    for one in found:
        if one.support.effective < FEW:
            terminal.out(
                f"warning: for '{one.policy}' this log is worth {one.support.effective:,.0f} impressions only, since a "
                "few weigh most: neither its values nor their intervals can be relied on; --clip calms them"
            )
    terminal.out(
        f"the log's own policy: {_ranged(own, '', ' ')} a showing, over {found[0].support.impressions:,}"
    )
    if truth is not None:
        terminal.out(f"the other log's own policy brought {_ranged(truth, '', ' ')} a showing")


def _ranged(one: Any, sign: str = "", between: str = "\n") -> str:
    """A figure with its interval."""
    return f"{one.value:{sign}.4f}{between}({one.low:{sign}.4f} to {one.high:{sign}.4f})"
