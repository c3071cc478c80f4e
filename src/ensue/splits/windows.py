"""Back-testing: several temporal splits one after the other, as if a model had been trained anew each time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensue.errors import ConfigError, DataError
from ensue.events.log import EventLog
from ensue.splits.by_time import at_times, times
from ensue.splits.checking import check
from ensue.splits.parts import Split
from ensue.splits.shares import checked_share, stamp


def rolling(
    log: EventLog,
    *,
    windows: int = 3,
    test: float = 0.1,
    validation: float = 0.1,
    sliding: bool = False,
    by: str = "user",
) -> list[Split]:
    """Successive global temporal splits of one log, their tests adjacent and disjoint, the last as `temporal` has it.

    The test of each holds a share of all events. Later events are unused. Training is all that lies before the
    validation; or, sliding, only as many events before the test as the first split has, earlier ones being in
    histories alone.

    Args:
        log: the events.
        windows: how many splits.
        test: share of all events in each test.
        validation: share of what lies before a test.
        sliding: whether training begins later each time.
        by: what a sequence is.

    Returns:
        `[windows]` splits, the earliest test first.

    Raises:
        ColumnError: the log has no times.
        ConfigError: the windows leave nothing to train on.
        DataError: a part would be empty, since too many events share a time.
    """
    checked_share(test, "test")
    checked_share(validation, "validation")
    if windows < 1 or test * windows >= 1:
        raise ConfigError(
            f"windows={windows} of {test:g} of the events each leave nothing to train on: take 1 window or more, and "
            "less than 1 in all."
        )
    time = times(log)
    edges = [float(np.quantile(time, 1 - test * (windows - window))) for window in range(windows)]
    found = []
    for window, test_from in enumerate(edges):
        begin = float(np.quantile(time, test * window)) if sliding and window else None
        until = edges[window + 1] if window + 1 < windows else None
        earlier = time[(time < test_from) & (time >= (-np.inf if begin is None else begin))]
        if len(earlier) == 0:
            raise DataError(
                f"No event lies before {stamp(test_from)}, where window {window + 1} of {windows} begins: take fewer "
                "windows, or a smaller test."
            )
        cut = float(np.quantile(earlier, 1 - validation)) if validation else test_from
        parts = at_times(log, test_from, cut, by=by, train_from=begin, test_until=until)
        name = f"window {window + 1} of {windows}, {parts.name}"
        found.append(replace(parts, name=name, notes=(*parts.notes, *check(parts))))
    return found
