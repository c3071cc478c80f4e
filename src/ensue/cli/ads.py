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
    from ensue.ads import AdExperiment, Exploration, Impressions, Value
    from ensue.progress import Progress

app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)

LARGEST = 4_000_000
"""Bytes of a question."""

EPSILON = 0.1

AdSeed = Annotated[
    int | None,
    typer.Option(parser=count, metavar="N", help="Of the intervals. [default: 0, or as in the file]"),
]


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
        typer.Option(metavar="FILE.toml", help="Tables [shown], [model], [exploration]; options win."),
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
    seed: AdSeed = None,
    as_json: Json = False,
) -> None:
    """Learn how likely clicks are, and judge it on later impressions beside the click rates.

    LOG holds one row for each ad that was shown (event "click" or "impression", "1" or "0"), or is an experiment file
    (.toml) whose table [data] names it.
    """
    from ensue.ads import run_ads, save
    from ensue.cli import ad_tables, progress, terminal

    told = progress.shown()
    asked, impressions, fingerprint = _read(source, learning, told, seed)
    done = run_ads(impressions, asked.model, test=asked.shown.test, seed=asked.seed, progress=told)
    if out is not None:
        facts = {"test": done.judged.to_json(), "fingerprint": fingerprint}
        save(done.clicks, done.train.known_ads(), out, settings=asked.model.settings(), facts=facts)
    if as_json:
        terminal.emit(done.to_json() | {"folder": None if out is None else str(out)})
        return
    ad_tables.show_estimates(done.judged)
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
    by: Annotated[
        str, typer.Option(metavar="COLUMN", help="What its shares depend on. [default: position]")
    ] = "",
    epsilon: Annotated[
        float | None,
        typer.Option(
            parser=number,
            metavar="CHANCE",
            help=f"Of drawing uniformly, of 'by value'. [default: {EPSILON:g}, or as in the file]",
        ),
    ] = None,
    clip: Annotated[
        float | None, typer.Option(parser=number, metavar="W", help="The largest weight. [default: none]")
    ] = None,
    bids: Annotated[bool, typer.Option("--bids", help="A click is worth its bid, not 1.")] = False,
    seed: AdSeed = None,
    as_json: Json = False,
) -> None:
    """Say what other ways to choose ads would have brought, from the logged chances of what was shown.

    Uniform choice and choice by value, learnt on the earlier impressions, are judged on the later ones; with --of, the
    policy of another log on all of them. IPS, self-normalised IPS and doubly robust stand beside each other.
    """
    from ensue.ads import ByValue, Halves, Past, Shares, Uniform, on_policy, value_of
    from ensue.cli import ad_tables, progress, terminal

    _refuse_unread(of, by, epsilon, learning)
    told = progress.shown()
    asked, impressions, _ = _read(source, learning, told, seed)
    exploration = _exploration(asked, epsilon)
    for note in impressions.notes:
        told.say(note)
    past = Past.of(impressions)
    most = float("inf") if clip is None else clip
    truth: Value | None = None
    if of:
        by = by or "position"
        alike = learning
        if not of.endswith(".toml"):
            alike = dataclasses.replace(learning, config=_written(source, learning))
        _, other, _ = _read(dataclasses.replace(source, log=of), alike, told, seed)
        policies: list[Any] = [Shares.of(_with(other, by).frame, by, "that of the other log"), Uniform()]
        estimate: Any = Halves.fit(asked.model, impressions, past)
        judged_on = _with(impressions, by)
        truth = on_policy(other.clicked * _worth(other, bids), other.groups, seed=asked.seed)
    else:
        train, judged_on = impressions.parted(asked.shown.test)
        estimate = asked.model.fit(train, past, told)
        policies = [Uniform(), ByValue(estimate, exploration, bids=bids)]
    own, found = value_of(policies, judged_on, past, estimate, bids=bids, clip=most, seed=asked.seed)
    if as_json:
        more = {} if truth is None else {"other_log": truth.to_json()}
        terminal.emit({"on_policy": own.to_json(), "policies": [one.to_json() for one in found]} | more)
        return
    ad_tables.show_values(own, found, truth)


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


def _refuse_unread(of: str, by: str, epsilon: float | None, learning: Learning) -> None:
    """Refuses options that would change nothing: with another log there is no choice by value, and no test."""
    given = {"--epsilon": epsilon is not None, "--test": learning.test is not None}
    wrong = [name for name, there in given.items() if there and of] + (["--by"] if by and not of else [])
    if wrong:
        raise ConfigError(f"{wrong[0]} changes nothing {'with' if of else 'without'} --of: leave it out.")


def _exploration(asked: AdExperiment, epsilon: float | None) -> Exploration:
    """What 'by value' explores: as typed, else as in the file, else a little."""
    if epsilon is None and asked.exploration.epsilon == 0 == asked.exploration.draws:
        epsilon = EPSILON
    return asked.exploration if epsilon is None else dataclasses.replace(asked.exploration, epsilon=epsilon)


def _written(source: Source, learning: Learning) -> Path | None:
    """The experiment file, if there is one."""
    if not source.log.endswith(".toml"):
        return learning.config
    if learning.config not in (None, Path(source.log)):
        raise ConfigError(f"{source.log} and --config are two experiment files: give one.")
    return Path(source.log)


def _read(
    source: Source, learning: Learning, told: Progress, seed: int | None
) -> tuple[AdExperiment, Impressions, str]:
    """What is asked, the impressions of its log, and the fingerprint of that."""
    from ensue import ladder
    from ensue.ads import AdExperiment, read_ad_experiment

    written = _written(source, learning)
    asked = AdExperiment() if written is None else read_ad_experiment(written)
    given = source.content() | ({} if written == Path(source.log) else {"source": source.log})
    asked = dataclasses.replace(asked, data=dataclasses.replace(asked.data, **given))
    asked = asked if seed is None else dataclasses.replace(asked, seed=seed)
    asked = learning.changed(asked)
    log = ladder.load_log(asked.data, told.say)
    for line in log.reading.lines():
        told.say(line)
    return asked, asked.shown.impressions(log), log.fingerprint()


def _with(impressions: Impressions, by: str) -> Impressions:
    """Impressions of which a column is known before they are shown."""
    from ensue.errors import ColumnError

    known = [*impressions.features, *(["campaign"] if "campaign" in impressions.frame.columns else [])]
    if by not in known:
        raise ColumnError(
            f"The log has no column '{by}' that shares may depend on: give --by one of {', '.join(known) or 'its own'}."
        )
    return impressions


def _worth(impressions: Impressions, bids: bool) -> Any:
    from ensue.errors import ColumnError

    if bids and "bid" not in impressions.frame.columns:
        raise ColumnError("The log has no column of the bid of what was shown: leave --bids out.")
    return impressions.frame["bid"].to_numpy() if bids else 1.0


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
