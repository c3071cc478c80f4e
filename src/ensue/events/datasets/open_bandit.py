"""Open Bandit: recommendations that were shown, with the chance of each.

References:
    Saito, Aihara, Matsutani, Narita (2021), Open Bandit Dataset and Pipeline, NeurIPS Datasets and Benchmarks.
"""

from __future__ import annotations

from ensue.events.datasets.dataset import Dataset

_HOME = "https://research.zozo.com/data.html"
_ITEMS = {"all": 80, "men": 34, "women": 46}
_EVENTS = {
    ("random", "all"): 1_374_327,
    ("random", "men"): 452_949,
    ("random", "women"): 864_585,
    ("bts", "all"): 12_168_084,
    ("bts", "men"): 4_077_727,
    ("bts", "women"): 7_765_497,
}

SETS = tuple(
    Dataset(
        name=f"open-bandit/{policy}-{campaign}",
        what=f"fashion shown and clicked, campaign '{campaign}', by the policy '{policy}', November 2019",
        home=_HOME,
        licence="CC BY 4.0",
        terms=f"The Open Bandit Dataset is given under CC BY 4.0 by ZOZO: {_HOME}",
        by_hand=f"download it from {_HOME} (11 GB) and unpack it; the files are in its folder {policy}/{campaign}.",
        members=(f"{campaign}.csv", "item_context.csv"),
        events=events,
        items=_ITEMS[campaign],
    )
    for (policy, campaign), events in _EVENTS.items()
)
