"""Public data sets by name: found on this machine or fetched, checked, and kept in a cache.

A module of this folder with a tuple `SETS` is found by itself.
"""

from __future__ import annotations

import importlib
import pkgutil

from ensue.events.datasets.dataset import Dataset, Download
from ensue.events.datasets.fetching import DATASETS, cache_folder, fetch, locate
from ensue.events.datasets.listing import Row, lines, rows
from ensue.events.datasets.movielens import ML_100K
from ensue.events.datasets.wheel import from_wheel

__all__ = [
    "DATASETS",
    "ML_100K",
    "TERMS",
    "Dataset",
    "Download",
    "Row",
    "cache_folder",
    "fetch",
    "from_wheel",
    "lines",
    "locate",
    "rows",
]

TERMS = ML_100K.terms

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    for _one in getattr(importlib.import_module(f"{__name__}.{_module}"), "SETS", ()):
        DATASETS[_one.name] = _one
