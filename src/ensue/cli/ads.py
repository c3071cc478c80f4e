"""`ensue ads ...`: learn how likely clicks are, judge other ways to choose ads, fill a slate."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensue.cli.options import Json, Seed, Source, count, folder, gathered, names, number
from ensue.errors import ConfigError

if TYPE_CHECKING:
    from ensue.ads import AdExperiment, Figures, Impressions, Judged, Value, Valued
    from ensue.progress import Progress

app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)

FEW = 100
"""Below so many effective impressions a warning is given."""

LARGEST = 4_000_000
"""Bytes of a question."""


@app.callback()
def ads(context: typer.Context) -> None:
    """Click probabilities, slates of ads, and what another policy would have brought."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learning:
    """How clicks are learnt."""

    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml", help="Tables [shown], [model], [caps], [exploration]; options win."
        ),
    ] = None
    numbers: Annotated[
        str, typer.Option(metavar="NAME,...", help="Columns whose text is a number; * stands for any text.")
    ] = ""
    without: Annotated[str, typer.Option(metavar="NAME,...", help="Columns that are not read.")] = ""
    crosses: Annotated[
        str, typer.Option(metavar="'A x B',...", help="Pairs of columns that are read together.")
    ] = ""
    history: Annotated[
        bool | None,
        typer.Option("--history/--no-history", help="Read what the person was shown and clicked before."),
    ] = None
    test: Annotated[
        float | None,
        typer.Option(parser=number, metavar="SHARE", help="Judge on the last share of the impressions."),
    ] = None
    separate: Annotated[
        bool | None,
        typer.Option("--separate/--together", help="Clicks are rows of their own, after what was shown."),
    ] = None
    distinct: Annotated[
        bool | None,
        typer.Option(
            "--distinct/--all", help="Keep the first of impressions that are alike in every column."
        ),
    ] = None

    def changed(self, asked: AdExperiment) -> AdExperiment:
        """The experiment with what was given in place of what it says."""
        listed = {"numbers": self.numbers, "without": self.without, "crosses": self.crosses}
        model: dict[str, Any] = {name: tuple(names(text)) for name, text in listed.items() if text}
        if self.history is not None:
            model["history"] = self.history
        given = {"test": self.test, "separate": self.separate, "distinct": self.distinct}
        shown: dict[str, Any] = {name: one for name, one in given.items() if one is not None}
        return dataclasses.replace(
            asked,
            model=dataclasses.replace(asked.model, **model),
            shown=dataclasses.replace(asked.shown, **shown),
        )


@app.command()
@gathered
def fit(
    source: Source,
    learning: Learning,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Save the click model here. [default: it is not]")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Learn how likely clicks are, and judge it on later impressions beside the click rates.

    LOG holds one row for each ad that was shown (event "click" or "impression", "1" or "0"), or is an experiment file
    (.toml) whose table [data] names it.
    """
    from ensue.ads import run_ads, save
    from ensue.cli import progress, terminal

    told = progress.shown()
    asked, impressions, fingerprint = _read(source, learning, told)
    done = run_ads(impressions, asked.model, test=asked.shown.test, seed=seed or asked.seed, progress=told)
    if out is not None:
        facts = {"test": done.judged.to_json(), "fingerprint": fingerprint}
        save(done.clicks, done.train.known_ads(), out, settings=asked.model.settings(), facts=facts)
    if as_json:
        terminal.emit(done.to_json() | {"folder": None if out is None else str(out)})
        return
    _show(done.judged)
    if out is not None:
        terminal.out(f"The click model is in {out}. Next: ensue ads slate {out} QUESTION.json", fold=False)


@app.command()
@gathered
def value(
    source: Source,
    learning: Learning,
    of: Annotated[
        str,
        typer.Option(
            metavar="LOG", help="Judge the policy that wrote this log, by its shares at each position."
        ),
    ] = "",
    by: Annotated[str, typer.Option(metavar="COLUMN", help="What its shares depend on.")] = "position",
    epsilon: Annotated[
        float, typer.Option(parser=number, metavar="CHANCE", help="Of drawing uniformly, of 'by value'.")
    ] = 0.1,
    clip: Annotated[
        float, typer.Option(parser=number, metavar="W", help="The largest weight. [default: none]")
    ] = 0.0,
    bids: Annotated[bool, typer.Option("--bids", help="A click is worth its bid, not 1.")] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Say what other ways to choose ads would have brought, from the logged chances of what was shown.

    Uniform choice and choice by value, learnt on the earlier impressions, are judged on the later ones; with --of, the
    policy of another log on all of them. IPS, self-normalised IPS and doubly robust stand beside each other.
    """
    from ensue.ads import ByValue, Exploration, Halves, Past, Shares, Uniform, on_policy, value_of
    from ensue.cli import progress, terminal

    told = progress.shown()
    asked, impressions, _ = _read(source, learning, told)
    for note in impressions.notes:
        told.say(note)
    past = Past.of(impressions)
    most = clip or float("inf")
    truth: Value | None = None
    if of:
        _, other, _ = _read(dataclasses.replace(source, log=of), learning, told)
        policies: list[Any] = [Shares.of(_with(other, by).frame, by, "that of the other log"), Uniform()]
        estimate: Any = Halves.fit(asked.model, impressions, past)
        judged_on = _with(impressions, by)
        truth = on_policy(other.clicked * _worth(other, bids), other.groups, seed=seed)
    else:
        train, judged_on = impressions.parted(asked.shown.test)
        estimate = asked.model.fit(train, past, told)
        exploration = asked.exploration if asked.exploration.draws else Exploration(epsilon=epsilon)
        policies = [Uniform(), ByValue(estimate, exploration, bids=bids)]
    own, found = value_of(policies, judged_on, past, estimate, bids=bids, clip=most, seed=seed)
    if as_json:
        more = {} if truth is None else {"other_log": truth.to_json()}
        terminal.emit({"on_policy": own.to_json(), "policies": [one.to_json() for one in found]} | more)
        return
    _show_values(own, found, truth)


@app.command()
@gathered
def simulate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where the CSV is written.", show_default=False)
    ],
    users: Annotated[int, typer.Option(parser=count, metavar="N", help="People.")] = 2000,
    visits: Annotated[int, typer.Option(parser=count, metavar="N", help="Ads that each is shown.")] = 30,
    seed: Seed = 0,
) -> None:
    """Write a log of ads that was made up: people with interests, ads that tire, bids, logged propensities."""
    from ensue.ads import AdSource
    from ensue.cli import terminal

    log = AdSource().log(users, visits, seed)
    try:
        log.frame.drop("row").write_csv(file)
    except OSError as fault:
        raise ConfigError(f"{file} cannot be written: {fault.strerror or fault}.") from fault
    terminal.out(
        f"{file}: {log.n_events:,} impressions of {log.n_users:,} people. Next: ensue ads fit {file}"
    )


@app.command()
@gathered
def slate(
    model: Annotated[
        Path,
        typer.Argument(parser=folder, metavar="FOLDER", help="A click model that `ensue ads fit` saved."),
    ],
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="A file of JSON, or - for standard input.")
    ] = "-",
    as_json: Json = False,
) -> None:
    """Fill a slate: by bid x probability, within caps, with a share of exploration.

    QUESTION is what POST /v1/ads takes: {"history": [{"ad": "A", "event": "click"}], "k": 2, "caps": [...]}.
    """
    from ensue.ads import answer, load, question_of
    from ensue.cli import terminal

    asked = question_of(_content(question))
    if asked.user is not None:
        from ensue.errors import QueryError

        raise QueryError("user: only a service knows whose events were told; send a history here.")
    found = answer(load(model), asked)
    if as_json:
        terminal.emit(found)
        return
    heads = ("probability", "expected value", "price", "propensity")
    made = terminal.table("ad", *((head, {"justify": "right"}) for head in heads))
    for one in found["ads"]:
        figures = (one[head.replace(" ", "_")] for head in heads)
        terminal.row(made, [one["ad"], *(f"{figure:.4f}" for figure in figures)])
    terminal.show(made)
    left = found["left_out"]
    terminal.out(f"left out: {left['capped']} by caps, {left['below_reserve']} below the reserve")
    if found["unknown"]:
        terminal.out(f"unknown to the model: {len(found['unknown'])} ads")


def _read(source: Source, learning: Learning, told: Progress) -> tuple[AdExperiment, Impressions, str]:
    """What is asked, the impressions of its log, and the fingerprint of that."""
    from ensue import ladder
    from ensue.ads import AdExperiment, read_ad_experiment

    written = source.log if source.log.endswith(".toml") else learning.config
    asked = AdExperiment() if written is None else read_ad_experiment(written)
    given = source.content() | ({} if written == source.log else {"source": source.log})
    asked = dataclasses.replace(asked, data=dataclasses.replace(asked.data, **given))
    asked = learning.changed(asked)
    log = ladder.load_log(asked.data, told.say)
    for line in log.reading.lines():
        told.say(line)
    return asked, asked.shown.impressions(log), log.fingerprint()


def _with(impressions: Impressions, column: str) -> Impressions:
    from ensue.errors import ColumnError

    if column not in impressions.frame.columns:
        raise ColumnError(
            f"The log has no column '{column}': give --by one of {', '.join(impressions.features)}."
        )
    return impressions


def _worth(impressions: Impressions, bids: bool) -> Any:
    return _with(impressions, "bid").frame["bid"].to_numpy() if bids else 1.0


def _content(place: str) -> bytes:
    from ensue.errors import QueryError

    try:
        if place == "-":
            found = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with Path(place).open("rb") as handle:
                found = handle.read(LARGEST + 1)
    except OSError as fault:
        raise QueryError(f"{place} cannot be read: {fault.strerror}.") from fault
    if len(found) > LARGEST:
        raise QueryError(f"{place} is larger than {LARGEST:,} bytes: this is no question about ads.")
    return found


def _show(judged: Judged) -> None:
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


def _show_values(own: Value, found: list[Valued], truth: Value | None) -> None:
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
