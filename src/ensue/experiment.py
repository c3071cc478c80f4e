"""One TOML file is one reproducible experiment: what is read, how it is split, which models run.

The file is checked against the dataclasses below before any work begins, and all its faults are told at once.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ensue.errors import ConfigError, EnsueError, MissingExtraError
from ensue.events.cleaning import Cleaning
from ensue.events.filtering import Filters
from ensue.events.sessions.rule import Sessions
from ensue.events.shaping import Shape, with_gap
from ensue.metrics import metric
from ensue.misread import fault_in, told
from ensue.model import Model, models
from ensue.objective import NONE, Objective
from ensue.rules import read_rules

if TYPE_CHECKING:
    from ensue.catalogue import Catalogue
    from ensue.splits import Examples, Split

STRICT = {"extra": "forbid", "strict": True}
LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
ANSWERING = ("rules", "serve")
"""Tables of a file that are for `ensue recommend --rules` and `ensue serve --config`."""
AUTO, RMSE, USUAL = "auto", "rmse", "ndcg@10"
"""What a best model is chosen by: RMSE if all models answer with ratings, else the usual metric of rankings."""
DEFAULT_LADDER = ("popular", "recent", "markov", "rules", "lstm", "transformer")


@dataclass(frozen=True)
class Data:
    """Where the log comes from.

    Attributes:
        source: a file or folder, the name of a public data set ("ml-100k"), or "simulated".
        format: name of a reader; recognised if empty.
        columns: canonical column -> name in the source, for those that are not recognised.
        delimiter: of delimited text; found out if empty.
        quoting: False takes double quotes as plain characters.
        decimal: mark before the fraction, "." or ",".
        time_unit: of the time column; recognised if empty.
        items: file that tells of the items, a row for each; "" takes what the source tells of them.
    """

    source: str = ""
    format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ""
    quoting: bool = True
    decimal: str = "."
    time_unit: str = ""
    items: str = ""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


@dataclass(frozen=True)
class Sequencing:
    """What a sequence is.

    Attributes:
        by: "user", or "session".
        session_gap: cut sessions where more than this many seconds pass, as `gap` of the sessions says it too; 0 leaves
            it to them.
    """

    by: Literal["user", "session"] = "user"
    session_gap: float = 0.0

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


@dataclass(frozen=True)
class Splitting:
    """How the log is split.

    Attributes:
        rule: "temporal", "last", "ratio", "basket", "users", "items", "days", "given", "friends", or "auto" to follow
            the audit.
        test: share of the events (temporal), of each user's events (ratio), of the users, or of the items that is
            tested.
        validation: share of what is left that models are chosen on; 0 keeps nothing for it.
        seed: of the draw of users, items or friendships.
        days: sessions of how many last days are tested (days).
        straddling: whether a session that straddles a cut goes by its "start" or its "end" (days).
        windows: for a back-test by time, how many tests follow each other, each with a share `test` of the events; 0 is
            none.
        window: which of them this run is, from 1; 0 leaves it to the back-test, which runs them all.
        sliding: whether training begins later with each window.
        column: of the log; it says "train", "validation" or "test" of each event (given; "" is "part"), or tells what
            is tested (friends; "" draws a share `test` of the friendships).
        tested: its value for what is tested (friends).
    """

    rule: Literal[
        "auto", "temporal", "last", "ratio", "basket", "users", "items", "days", "given", "friends"
    ] = "auto"
    test: float = 0.1
    validation: float = 0.1
    seed: int = 0
    days: float = 1.0
    straddling: Literal["start", "end"] = "start"
    windows: int = 0
    window: int = 0
    sliding: bool = False
    column: str = ""
    tested: str = ""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    def faults(self) -> list[str]:
        """What cannot be, one sentence each."""
        found = [
            f"split.{name} = {value:g}: must be a share from 0 up to 1."
            for name, value in (("test", self.test), ("validation", self.validation))
            if not 0 <= value < 1
        ]
        found += [
            f"split.{name} = {value}: must be a whole number from 0 up."
            for name, value in (("seed", self.seed), ("windows", self.windows), ("window", self.window))
            if value < 0
        ]
        if not 0 < self.days < inf:
            found.append(f"split.days = {self.days:g}: must be a number of days above 0.")
        if self.windows and self.rule not in ("auto", "temporal"):
            found.append(
                f"split.windows = {self.windows}: a back-test is by time, and split.rule = '{self.rule}' is not."
            )
        if self.windows * self.test >= 1:
            found.append(
                f"split.windows = {self.windows} of split.test = {self.test:g} of the events each: nothing is left to "
                "learn from."
            )
        if self.window > self.windows:
            found.append(f"split.window = {self.window}: there are split.windows = {self.windows} of them.")
        return found


@dataclass(frozen=True)
class Evaluating:
    """How models are measured.

    Attributes:
        targets: "successive" (every event of the test part), "last" (the last of each user), "random" (one of each) or
            "completion" (one hidden item of each user's last basket, the rest of it open).
        target_seed: of the draw of random targets, and of hidden items; that of the run changes no question.
        exclude_seen: true, false, or "auto" to follow the audit's share of repeats.
        metrics: names such as "ndcg@10"; the usual ones if empty.
        choose_on: the metric on validation by which the best model is chosen; "rmse" takes the lowest. "auto" is
            "rmse" where all models answer with ratings, else "ndcg@10".
        cold_items: whether items of the table of items that training has no event of are candidates, too: for models
            that score an item by what is known of it. Otherwise such a target is a miss.
    """

    targets: Literal["successive", "last", "random", "completion"] = "successive"
    target_seed: int = 0
    exclude_seen: bool | Literal["auto"] = "auto"
    metrics: tuple[str, ...] = ()
    choose_on: str = AUTO
    cold_items: bool = False

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    def examples(self, parts: Split, part: str, catalogue: Catalogue) -> Examples:
        """What is asked for of one part of a split.

        Args:
            parts: the split.
            part: "validation" or "test".
            catalogue: the items that the model knows.
        """
        return parts.examples(part, catalogue, self.targets, seed=self.target_seed)


@dataclass(frozen=True)
class Experiment:
    """A whole run: everything that its result depends on, but for the data and the version.

    Attributes:
        data: where the log comes from.
        sequences: what a sequence is.
        events: what is done about duplicates, returns, repeats and ties in time.
        filters: which events count, and which users and items are learnt from.
        sessions: how the log is cut into sessions.
        objective: which types of events stand in histories, which are asked for, and how much each counts in training.
        split: how the log is split.
        evaluation: how models are measured.
        models: label -> settings of a model; the entry `model` names it where the label does not. Empty takes the
            ladder from popularity to a Transformer.
        out: folder of the run.
        seed: same seed, same bits on one machine.
        refit: fit the tested models anew on training and validation together.
        max_minutes: how long one network may train; 0 is no limit. Meeting it makes a result depend on the machine.
        processes: how many train a network together; 0 goes by its kind and by how many cores there are, on which a
            result then depends.
        keep_histories: keep users' histories beside the models, so that `ensue recommend RUN --user ID` answers.
    """

    data: Data = Data()
    sequences: Sequencing = Sequencing()
    events: Cleaning = field(default_factory=Cleaning)
    filters: Filters = field(default_factory=Filters)
    sessions: Sessions = field(default_factory=Sessions)
    objective: Objective = field(default_factory=Objective)
    split: Splitting = Splitting()
    evaluation: Evaluating = Evaluating()
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    out: str = ""
    seed: int = 0
    refit: bool = True
    max_minutes: float = 10.0
    processes: int = 0
    keep_histories: bool = True

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    @property
    def shape(self) -> Shape:
        """What is done with the log before it is split."""
        return Shape(self.events, self.filters, with_gap(self.sessions, self.sequences.session_gap))

    def to_json(self) -> dict[str, Any]:
        """The experiment as plain values; `experiment_of` makes the same one of them."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if self.objective == NONE:  # as experiments were kept before there were objectives,
            del plain["objective"]
        if not self.processes:  # a choice of them,
            del plain["processes"]
        if not self.evaluation.target_seed:  # or of this one
            del plain["evaluation"]["target_seed"]
        return plain


def read_experiment(path: str | Path) -> Experiment:
    """The experiment of a TOML file; a relative source or folder is meant from the file's own folder.

    Tables for those who answer, `[rules]` and `[serve]`, may stand in the file too; rules are checked, and not applied.

    Raises:
        ConfigError: the file is missing, is not TOML, or has faults; all of them are listed.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise ConfigError(f"There is no experiment file {path}.") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} is not TOML: {fault}.") from fault
    except OSError as fault:
        raise ConfigError(f"{path} cannot be read: {fault.strerror}.") from fault
    if "rules" in content:
        read_rules(content["rules"], f"{path}: rules")
    own = {name: table for name, table in content.items() if name not in ANSWERING}
    experiment = experiment_of(own, str(path))
    beside = path.parent / experiment.data.source
    data = (
        replace(experiment.data, source=str(beside))
        if beside.exists() and experiment.data.source
        else experiment.data
    )
    out = str(path.parent / experiment.out) if experiment.out else ""
    return replace(experiment, data=data, out=out)


def experiment_of(content: Mapping[str, Any], where: str = "experiment") -> Experiment:
    """The experiment of plain values, as TOML or JSON gives them.

    Raises:
        ConfigError: all faults at once: unknown keys with the nearest known one, values of a wrong kind, models and
            metrics that do not exist.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        experiment = TypeAdapter(Experiment).validate_json(json.dumps(content, default=str))
        faults: list[str] = []
    except ValidationError as found:
        faults = [
            fault_in(error, Experiment())
            for error in found.errors()
            if "is-instance[Expr]" not in error["loc"]
        ]
        experiment = None
    described = content.get("models", {})
    if isinstance(described, Mapping):
        for label, settings in described.items():
            if isinstance(settings, Mapping):
                faults += _model_faults(str(label), settings)
    faults += _metric_faults(_metrics_named(content.get("evaluation")))
    if experiment is not None:
        faults += _range_faults(experiment)
    if faults or experiment is None:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise ConfigError(f"{where} has {len(faults)} {'fault' if len(faults) == 1 else 'faults'}:\n{listed}")
    return experiment


def described_model(label: str, settings: Mapping[str, Any]) -> Model:
    """The model of one entry of `[models]`.

    Raises:
        ConfigError: there is no such model, or its settings have faults (all of them are listed).
        MissingExtraError: the model may be among those that this installation cannot import.
    """
    faults, model = _read_model(label, settings)
    if model is None:
        raise ConfigError("\n".join(faults))
    return model


def _model_faults(label: str, settings: Mapping[str, Any]) -> list[str]:
    """The faults of one entry. That it needs an extra is none: the rest of the experiment can run without it."""
    try:
        return _read_model(label, settings)[0]
    except MissingExtraError:
        return []


def _read_model(label: str, settings: Mapping[str, Any]) -> tuple[list[str], Model | None]:
    from pydantic import TypeAdapter, ValidationError

    if not LABEL.fullmatch(label):
        return [f"models.{label}: a label is a folder's name: letters, digits, '-', '_' and '.' only."], None
    own = dict(settings)
    name = own.pop("model", label)
    try:
        kind = models.get(str(name))
        return [], TypeAdapter(kind).validate_json(json.dumps(own, default=str))
    except ValidationError as found:
        known = [entry.name for entry in fields(kind)]
        return [told(error, known, f"models.{label}") for error in found.errors()], None
    except MissingExtraError:
        raise
    except EnsueError as fault:
        said = str(fault).removeprefix(f"{name}: ")  # the place names it already
        return [f"models.{label}: {said}"], None


def _metrics_named(evaluation: Any) -> list[str]:
    """The metrics of a table `[evaluation]`, whatever else is wrong with it."""
    if not isinstance(evaluation, Mapping):
        return []
    metrics = evaluation.get("metrics")
    named = list(metrics) if isinstance(metrics, list | tuple) else []
    chosen = evaluation.get("choose_on")
    named += [chosen] if chosen not in (AUTO, RMSE) else []
    return [name for name in named if isinstance(name, str)]


def _metric_faults(names: Iterable[str]) -> list[str]:
    faults = []
    for name in names:
        try:
            metric(name)
        except EnsueError as fault:
            faults.append(f"evaluation: {fault}")
    return faults


def _range_faults(experiment: Experiment) -> list[str]:
    """Numbers of the right kind that cannot be."""
    low = {
        "seed": experiment.seed,
        "evaluation.target_seed": experiment.evaluation.target_seed,
        "max_minutes": experiment.max_minutes,
        "processes": experiment.processes,
        "sequences.session_gap": experiment.sequences.session_gap,
    }
    try:
        gap_is_fine = 0 <= experiment.sequences.session_gap < inf
        shaped = (experiment if gap_is_fine else replace(experiment, sequences=Sequencing())).shape.faults()
    except ConfigError as fault:
        shaped = [f"sequences.session_gap, sessions.gap: {fault}"]
    return [
        *shaped,
        *experiment.split.faults(),
        *experiment.objective.faults(),
        *(
            f"{name} = {value:g}: must be a finite number from 0 up."
            for name, value in low.items()
            if not 0 <= value < inf
        ),
    ]
