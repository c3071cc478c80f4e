"""Re-ranking: an engine's candidates, its scores, and what their reader has done in; a better order out.

    from ensue.reranking import fit, read_shown

    shown = read_shown("lists.parquet", "events.parquet")
    fitted = fit(shown)
    fitted.reranker.rerank(["hotel-7"], ["hotel-3", "hotel-7", "hotel-9"])

No network is learnt here; a saved one can be asked beside the rest.
"""

from ensue.reranking.asking import Candidate, read_request
from ensue.reranking.evaluating import Evaluation, Order, compared, evaluate
from ensue.reranking.features import FAMILIES
from ensue.reranking.fitting import Fitted, Reranking, fit
from ensue.reranking.reading import read_shown
from ensue.reranking.reranker import Reranked, Reranker
from ensue.reranking.saving import load, save
from ensue.reranking.shown import Events, Shown

__all__ = [
    "FAMILIES",
    "Candidate",
    "Evaluation",
    "Events",
    "Fitted",
    "Order",
    "Reranked",
    "Reranker",
    "Reranking",
    "Shown",
    "compared",
    "evaluate",
    "fit",
    "load",
    "read_request",
    "read_shown",
    "save",
]
