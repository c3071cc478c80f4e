"""The report of a run, from its folder alone: one page, one text in Markdown, one document for programs."""

from __future__ import annotations

from ensue.reporting.provenance import provenance
from ensue.reporting.reading import Run, read_run
from ensue.reporting.sampling import samples
from ensue.reporting.writing import json_of, keep, report_of

__all__ = ["Run", "json_of", "keep", "provenance", "read_run", "report_of", "samples"]
