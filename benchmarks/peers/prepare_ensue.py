"""ensue from a log to the folder that its models train from, as `ensue data prepare LOG OUT` makes it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from measuring import Stopwatch, peak_megabytes, prepared_line

from ensue import bounded, prepared
from ensue.events.source import Stream
from ensue.events.spilled import spill

with tempfile.TemporaryDirectory(dir=Path(sys.argv[1]).parent) as folder:
    work, out = Path(folder) / "work", Path(folder) / "out"
    work.mkdir()
    with Stopwatch() as taken:
        log = spill(Stream(sys.argv[1]), work)
        bounded.prepare(log, out, bounded.Wanted(split="none"))
    said = prepared.describe(out)
prepared_line("ensue", said["sequences"], said["events"], taken, peak_megabytes())
