"""What is bought together: Ta-Feng, Online Retail and Instacart.

References:
    Li, Jullien, Ariannezhad, de Rijke (2023), A Next Basket Recommendation Reality Check, doi:10.1145/3587153.
    Chen, Sain, Guo (2012), Data mining for the online retail industry, doi:10.1057/dbm.2012.17.
"""

from __future__ import annotations

from ensue.events.datasets.dataset import Dataset

_TAFENG = "https://github.com/liming-7/A-Next-Basket-Recommendation-Reality-Check"
_RETAIL = "https://archive.ics.uci.edu/dataset/352/online+retail"
_INSTACART = "https://www.kaggle.com/c/instacart-market-basket-analysis"

SETS = (
    Dataset(
        name="tafeng",
        what="baskets of a grocer, in their order",
        home=_TAFENG,
        licence="none is stated",
        terms=f"No licence of Ta-Feng is stated; this form of it comes with a paper: {_TAFENG}",
        by_hand=f"take it from the data of {_TAFENG}.",
        members=("tafeng_merged.json",),
        extras=("tafeng_future.json",),
        users=13_858,
        items=11_997,
    ),
    Dataset(
        name="uci-online-retail",
        what="invoice lines of a gift shop with returns, 2010-11",
        home=_RETAIL,
        licence="CC BY 4.0",
        terms=f"Online Retail is given under CC BY 4.0 by Daqing Chen: {_RETAIL}",
        by_hand=f"download the spreadsheet from {_RETAIL} and save its sheet as CSV.",
        members=("online-retail.csv",),
        events=541_909,
        users=4_372,
    ),
    Dataset(
        name="instacart",
        what="orders of a grocer with the order in the cart, 2017",
        home=_INSTACART,
        licence="terms of the competition, not commercial",
        terms=f"The terms of Instacart's data stand on the page of the competition: {_INSTACART}",
        by_hand=f"accept the rules of the competition at {_INSTACART}, download its files and unpack them.",
        members=(
            *("orders.csv", "order_products__prior.csv", "order_products__train.csv"),
            *("products.csv", "aisles.csv", "departments.csv"),
        ),
        events=32_434_489 + 1_384_617,
        users=206_209,
    ),
)
