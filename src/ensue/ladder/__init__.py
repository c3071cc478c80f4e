"""The ladder: every model of an experiment fitted, chosen on validation, refitted, saved, and tested as saved."""

from ensue.ladder.logs import SIMULATED, load_log, reading
from ensue.ladder.outcome import Outcome, Rung
from ensue.ladder.rungs import learnt, reads
from ensue.ladder.running import run
from ensue.run_folder import FIGURES, HISTORIES, MODELS, RESULTS, comparison, histories, load, model_folder

__all__ = [
    "FIGURES",
    "HISTORIES",
    "MODELS",
    "RESULTS",
    "SIMULATED",
    "Outcome",
    "Rung",
    "comparison",
    "histories",
    "learnt",
    "load",
    "load_log",
    "model_folder",
    "reading",
    "reads",
    "run",
]
