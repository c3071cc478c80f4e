"""The log that an experiment names, read as it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ensue.errors import ConfigError
from ensue.events import datasets
from ensue.events.log import EventLog
from ensue.events.simulate import demo_log
from ensue.events.source import read
from ensue.experiment import Data

SIMULATED = "simulated"


def load_log(data: Data, say: Callable[[str], None] | None = None) -> EventLog:
    """The log that an experiment names: a path, a public data set, or a simulated one.

    Raises:
        ConfigError: a table of items is given for a log that has its own.
    """
    made = data.source == SIMULATED or (data.source in datasets.DATASETS and not Path(data.source).exists())
    if made and data.items:
        raise ConfigError(f"{data.source} tells of its items itself: leave data.items (--items) out.")
    if data.source == SIMULATED:
        return demo_log()
    if data.source in datasets.DATASETS and not Path(data.source).exists():
        return datasets.fetch(data.source, say=say)
    return read(data.source, **reading(data))


def reading(data: Data) -> dict[str, Any]:
    """How the source of an experiment is read, as `read` takes it."""
    return {
        "format": data.format or None,
        "columns": data.columns or None,
        "delimiter": data.delimiter or None,
        "quoting": data.quoting,
        "decimal": data.decimal,
        "time_unit": data.time_unit or None,
        "items": data.items or None,
    }
