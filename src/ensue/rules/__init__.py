"""Rules after the model: what may be in an answer, what is pushed, and how mixed it is. One small class each."""

from ensue.rules.answering import recommend
from ensue.rules.availability import Availability, Listed
from ensue.rules.boost import Boost
from ensue.rules.cap import Cap
from ensue.rules.declared import read_rules, read_rules_file
from ensue.rules.diversity import Diversity
from ensue.rules.freshness import Freshness, Newer, with_first_seen
from ensue.rules.price import Price
from ensue.rules.rule import Request, Rule
from ensue.rules.ruling import Ruled, Rules, Ruling
from ensue.rules.seen import Seen

__all__ = [
    "Availability",
    "Boost",
    "Cap",
    "Diversity",
    "Freshness",
    "Listed",
    "Newer",
    "Price",
    "Request",
    "Rule",
    "Ruled",
    "Rules",
    "Ruling",
    "Seen",
    "read_rules",
    "read_rules_file",
    "recommend",
    "with_first_seen",
]
