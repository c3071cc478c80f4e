"""Every error that ensue raises on purpose, as one tree.

    EnsueError                 a user's mistake or a limit that was met; the command line prints one line, exits 2
    ├── DataError              the log, a file or its rows cannot be used as they are
    │   ├── ColumnError        a column is missing, unknown or of the wrong kind
    │   └── LeakError          a split, or what was fitted, knows what it is to be asked for
    ├── FetchError             a public data set could not be had from any of its sources
    ├── ConfigError            an experiment file or an option is wrong (all faults at once)
    ├── ModelError             a model cannot be fitted, or training had to stop
    ├── QueryError             a question to a recommender is wrong: k, history, user
    ├── ArtifactError          a saved model is damaged, of another version, or not one of ours
    ├── StateError             live histories cannot be read or written just now
    └── MissingExtraError      an optional part of the installation is needed and absent

A message says what is wrong (with the value), where, and what to do about it. Anything else that escapes
is a fault of ensue itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EnsueError(Exception):
    """A fault that the user can mend; its text is complete without a traceback."""

    exit_code = 2


class DataError(EnsueError):
    """The log, a file or its rows cannot be used as they are."""


class ColumnError(DataError):
    """A column is missing, unknown or of the wrong kind."""


class LeakError(DataError):
    """A split lets training see what is to be asked for, or a model has seen it."""


class FetchError(EnsueError):
    """A public data set could not be had from any of its sources."""


class ConfigError(EnsueError):
    """An experiment file or an option is wrong; the message lists all faults found."""


class ModelError(EnsueError):
    """A model cannot be fitted on this data, or its training had to stop."""


class QueryError(EnsueError):
    """A question to a recommender is wrong."""


class ArtifactError(EnsueError):
    """A saved model is damaged, of another version, or not one of ours."""


class StateError(EnsueError):
    """Live histories cannot be read or written: the store is full, locked, damaged or out of reach."""


class MissingExtraError(EnsueError):
    """An optional part of the installation is needed and absent."""


def nearest(word: object, known: Iterable[str]) -> str:
    """The end of a message: " Did you mean 'x'?" for the closest known word, or nothing.

    Args:
        word: what the user wrote, which need not be text.
        known: the words that would have been right.
    """
    names = list(known)
    by_fold = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(str(word).casefold(), list(by_fold), n=1, cutoff=0.6)
    return f" Did you mean '{by_fold[found[0]]}'?" if found else ""
