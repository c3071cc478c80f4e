"""One TOML file is one reproducible experiment with ads: what is read, what is learnt, how a choice explores."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from ensue.ads.click_model import ClickModel
from ensue.ads.exploring import NOTHING, Exploration
from ensue.ads.impressions import CLICKS, SHOWS, Impressions, impressions_of
from ensue.errors import ConfigError, nearest
from ensue.events.log import EventLog
from ensue.experiment import Data

STRICT = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class Shown:
    """Which events are what.

    Attributes:
        clicks: types of event that are a click.
        shows: types that are a showing without one.
        separate: whether clicks are rows of their own, later than those of what was shown.
        distinct: keep the first of impressions that are alike in every column.
        columns: names of the columns "campaign", "bid" and "propensity", where they have others.
        test: the last share of the impressions, which everything is judged on.
    """

    clicks: tuple[str, ...] = CLICKS
    shows: tuple[str, ...] = SHOWS
    separate: bool = False
    distinct: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    test: float = 0.25

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    def __post_init__(self) -> None:
        if not 0 < self.test < 1:
            raise ConfigError(f"shown.test={self.test:g} must be a share between 0 and 1.")

    def impressions(self, log: EventLog) -> Impressions:
        """The impressions of a log."""
        return impressions_of(
            log,
            clicks=self.clicks,
            shows=self.shows,
            separate=self.separate,
            distinct=self.distinct,
            columns=dict(self.columns),
        )


@dataclass(frozen=True)
class AdExperiment:
    """What is read, learnt and judged; each field is a table of the TOML.

    Attributes:
        data: the log, as in any experiment.
        shown: which of its events are what.
        model: of clicks.
        exploration: of the choice by value that is judged; questions name theirs, as they do caps.
        seed: of the bootstrap.
    """

    data: Data = field(default_factory=Data)
    shown: Shown = field(default_factory=Shown)
    model: ClickModel = field(default_factory=ClickModel)
    exploration: Exploration = NOTHING
    seed: int = 0

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


def ad_experiment_of(content: Mapping[str, Any], where: str) -> AdExperiment:
    """The experiment of plain values.

    Args:
        content: as TOML gives it.
        where: what messages call it.

    Raises:
        ConfigError: all faults at once.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(AdExperiment).validate_json(json.dumps(content, default=str))
    except ValidationError as found:
        listed = "\n".join(f"  {_told(error)}" for error in found.errors())
        raise ConfigError(f"{where} has faults:\n{listed}") from None


def read_ad_experiment(path: str | Path) -> AdExperiment:
    """The experiment of a TOML file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has faults.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as fault:
        raise ConfigError(f"{path} cannot be read: {fault.strerror}.") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} is not TOML: {fault}.") from fault
    return ad_experiment_of(content, str(path))


def _told(error: Any) -> str:
    place = ".".join(str(step) for step in error["loc"])
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        tables = {"data": Data, "shown": Shown, "model": ClickModel, "exploration": Exploration}
        inside = tables.get(str(error["loc"][0]), AdExperiment) if len(error["loc"]) > 1 else AdExperiment
        known = [one.name for one in fields(inside)]
        return f"{place}: there is no such key; known are {', '.join(known)}.{nearest(str(error['loc'][-1]), known)}"
    said = str(error["msg"])
    return f"{place}: {said[:1].lower()}{said[1:]}."
