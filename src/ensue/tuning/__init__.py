"""Tuning: the settings of models searched for on validation, under a budget, by several processes, and gone on with.

The test part is not in any trial: it is taken out of the log before the first one begins.
"""

from ensue.tuning.outcome import TUNED, TUNING, Tried, Tuned
from ensue.tuning.running import tune
from ensue.tuning.study import STUDY

__all__ = ["STUDY", "TUNED", "TUNING", "Tried", "Tuned", "tune"]
