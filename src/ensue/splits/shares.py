"""Shares of a log, and times in words: what several rules of splitting say alike."""

from __future__ import annotations

import numpy as np

from ensue.errors import ConfigError


def checked_share(value: float, name: str) -> float:
    """The share, once it is known to be one.

    Raises:
        ConfigError: it is not from 0 up to 1.
    """
    if not 0 <= value < 1:
        raise ConfigError(
            f"{name}={value:g} is not a share of the log: take a number from 0 up to 1, such as 0.1."
        )
    return value


def stamp(microseconds: float) -> str:
    """A time for people, in UTC."""
    return str(np.datetime64(int(microseconds), "us").astype("datetime64[s]")).replace("T", " ") + " UTC"
