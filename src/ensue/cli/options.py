"""Options that several verbs share, gathered into dataclasses so that each is written once."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ensue.errors import ConfigError

if TYPE_CHECKING:
    from ensue.experiment import Data


def whole(text: str) -> int:
    """A whole number as it was typed.

    Raises:
        BadParameter: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a whole number") from None


def count(text: str) -> int:
    """A whole number from 0 up as it was typed.

    Raises:
        BadParameter: it is none.
    """
    found = whole(text)
    if found < 0:
        raise typer.BadParameter(f"'{text}' is below 0")
    return found


def number(text: str) -> float:
    """A finite number from 0 up as it was typed.

    Raises:
        BadParameter: it is none.
    """
    try:
        found = float(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a number") from None
    if not 0 <= found < float("inf"):
        raise typer.BadParameter(f"'{text}' is not a number from 0 up")
    return found


def folder(text: str) -> Path:
    """A folder that exists.

    Raises:
        BadParameter: there is none.
    """
    found = Path(text).expanduser()
    if not found.is_dir():
        raise typer.BadParameter(f"there is no folder '{text}'")
    return found


TargetEvents = Annotated[
    str,
    typer.Option(
        metavar="A,B,...",
        help="Event types that are asked for, such as purchase. [default: all, or as in training]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON only to standard output.")]
Seed = Annotated[int, typer.Option(parser=count, metavar="N", help="Same seed, same bits on one machine.")]


class Preset(StrEnum):
    """Settings from the data."""

    fast = "fast"
    accurate = "accurate"


class Precision(StrEnum):
    """What networks compute in."""

    auto = "auto"
    single = "single"
    bf16 = "bf16"
    fp16 = "fp16"


class Rule(StrEnum):
    """How a log is split."""

    temporal = "temporal"
    last = "last"
    ratio = "ratio"
    basket = "basket"
    users = "users"
    items = "items"
    days = "days"
    given = "given"
    friends = "friends"
    auto = "auto"


class Targets(StrEnum):
    """Which events of the test part are asked about."""

    successive = "successive"
    last = "last"
    random = "random"
    completion = "completion"


Days = Annotated[
    float | None,
    typer.Option(
        parser=number, metavar="N", help="Of --split days: how many last days are tested. [default: 1]"
    ),
]
TargetSeed = Annotated[
    int | None,
    typer.Option(
        parser=count,
        metavar="N",
        help="Draws random targets, and hidden items. [default: 0, or as in the run]",
    ),
]


class Unit(StrEnum):
    """What a sequence is."""

    user = "user"
    session = "session"


By = Annotated[Unit, typer.Option(help="What a sequence is.")]
SessionGap = Annotated[
    float,
    typer.Option(parser=number, metavar="SECONDS", help="Cut sessions where more time passes than this."),
]
ExcludeSeen = Annotated[
    bool | None,
    typer.Option(
        "--exclude-seen/--include-seen",
        help="Leave items of the history out of the answers. [default: as the audit advises]",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to read a log."""

    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="user=NAME,item=NAME,...",
            help="Columns that are not recognised by their names; 'rating=' says that there is none.",
        ),
    ] = None
    format: Annotated[str, typer.Option(help="Name of the format, if it is not recognised.")] = ""
    delimiter: Annotated[str, typer.Option(help="Between the fields of delimited text.")] = ""
    no_quoting: Annotated[
        bool, typer.Option("--no-quoting", help="Take double quotes as plain characters.")
    ] = False
    decimal: Annotated[str, typer.Option(help="Mark before the fraction: '.' or ','.")] = ""
    time_unit: Annotated[
        str, typer.Option(help="'s', 'ms', 'us', 'ns', 'iso', 'date' or a pattern like '%d/%m/%Y'.")
    ] = ""
    items: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="What is known of the items, a row for each: titles, prices, kinds."
        ),
    ] = ""

    def content(self) -> dict[str, Any]:
        """What was given, as the table `[data]` of an experiment file."""
        given = {
            "format": self.format,
            "columns": mapping(self.columns or []),
            "delimiter": self.delimiter.replace("\\t", "\t"),
            "decimal": self.decimal,
            "time_unit": self.time_unit,
            "items": self.items,
        }
        return {name: value for name, value in given.items() if value} | (
            {"quoting": False} if self.no_quoting else {}
        )

    def given(self) -> list[str]:
        """The options that were given, as they are typed."""
        typed = {"quoting": "no-quoting"}
        return [f"--{typed.get(name, name.replace('_', '-'))}" for name in self.content()]

    def data(self, log: str) -> Data:
        """A log as an experiment names it."""
        from ensue.experiment import Data

        return Data(source=log, **self.content())


@dataclass(frozen=True, kw_only=True)
class Source(Reading):
    """A log, and how to read it."""

    log: Annotated[
        str,
        typer.Argument(
            metavar="LOG",
            help="A file (CSV, TSV, JSON lines, Parquet; plain or gzip), a folder, 'ml-100k' or 'simulated'.",
            show_default=False,
        ),
    ]


def mapping(texts: list[str]) -> dict[str, str]:
    """Canonical column -> name in the source, from texts such as "user=uid,item=sku".

    Raises:
        ConfigError: a piece has no "=".
    """
    found = {}
    for piece in (piece for text in texts for piece in text.split(",")):
        name, sign, source = piece.partition("=")
        if not sign:
            raise ConfigError(f"--columns: '{piece}' is not NAME=COLUMN, such as user=customer_id.")
        found[name.strip()] = source.strip()
    return found


def settings(texts: list[str]) -> dict[str, Any]:
    """Settings of a model from texts such as "width=64"; values are read as TOML, else as text.

    Raises:
        ConfigError: a piece has no "=".
    """
    import tomllib

    found: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"--set: '{text}' is not NAME=VALUE, such as width=64.")
        try:
            found[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name.strip()] = value.strip()
    return found


def names(text: str) -> list[str]:
    """The parts of a list such as "markov,rules"."""
    return [name for name in (part.strip() for part in text.split(",")) if name]


def gathered(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb for typer: each parameter that is a dataclass becomes the options that are its fields."""
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, type[Any]] = {}
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(verb).parameters.items():
        kind = hints[name]
        if not dataclasses.is_dataclass(kind):
            parameters[name] = parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY)
            continue
        groups[name] = kind  # type: ignore[assignment]
        own = get_type_hints(kind, include_extras=True)
        for entry in dataclasses.fields(kind):
            default = inspect.Parameter.empty if entry.default is dataclasses.MISSING else entry.default
            parameters[entry.name] = inspect.Parameter(
                entry.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=own[entry.name]
            )

    def command(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{entry.name: values.pop(entry.name) for entry in dataclasses.fields(kind)})
        verb(**values)

    command.__name__, command.__doc__, command.__module__ = verb.__name__, verb.__doc__, verb.__module__
    command.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    command.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return command
