"""Why an item was recommended: the events of the history that drove its score, and whether that is what matters."""

from ensue.explaining.explanation import Explanation, Reason, Without
from ensue.explaining.faithfulness import Faithfulness, faithfulness
from ensue.explaining.why import explain, explain_items

__all__ = ["Explanation", "Faithfulness", "Reason", "Without", "explain", "explain_items", "faithfulness"]
