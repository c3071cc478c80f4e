"""Sessions in shops and on a travel site, which their publishers give to those who log in.

References:
    Ben-Shimon, Tsikinovsky, Friedmann, Shapira, Rokach, Hoerle (2015), RecSys Challenge 2015 and the YOOCHOOSE Dataset,
    doi:10.1145/2792838.2798723.
    Knees et al. (2019), RecSys Challenge 2019: Session-based Hotel Recommendations, doi:10.1145/3298689.3346974.
"""

from __future__ import annotations

from ensue.events.datasets.dataset import Dataset

_RETAILROCKET = "https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset"
_YOOCHOOSE = "https://www.kaggle.com/datasets/chadgostopp/recsys-challenge-2015"
_DIGINETICA = "https://competitions.codalab.org/competitions/11161"
_TRIVAGO = "https://recsys.trivago.cloud/challenge/dataset/"

SETS = (
    Dataset(
        name="retailrocket",
        what="views, carts and purchases of a shop, 2015",
        home=_RETAILROCKET,
        licence="CC BY-NC-SA 4.0, as its page states",
        terms=f"The terms of Retailrocket's data stand on its page: {_RETAILROCKET}",
        by_hand=f"download it with an account of Kaggle from {_RETAILROCKET} and unpack it.",
        members=("events.csv",),
        extras=("item_properties_part1.csv", "item_properties_part2.csv", "category_tree.csv"),
        events=2_756_101,
        users=1_407_580,
        items=235_061,
    ),
    Dataset(
        name="yoochoose",
        what="clicks and purchases in sessions, 2014 (RecSys Challenge 2015)",
        home=_YOOCHOOSE,
        licence="CC BY-NC-ND 4.0, as is usually quoted",
        terms=f"The terms of the RecSys Challenge 2015 stand in the data's README: {_YOOCHOOSE}",
        by_hand="it comes as a 7z archive, from those who keep the RecSys Challenge 2015; unpack it.",
        members=("yoochoose-clicks.dat", "yoochoose-buys.dat"),
        events=33_003_944 + 1_150_753,
        users=9_249_729,
    ),
    Dataset(
        name="diginetica",
        what="views and purchases in sessions, 2016 (CIKM Cup 2016)",
        home=_DIGINETICA,
        licence="terms of the CIKM Cup 2016",
        terms=f"The terms of the CIKM Cup 2016 stand on its page: {_DIGINETICA}",
        by_hand=f"download it as a participant of the CIKM Cup 2016, track 2, from {_DIGINETICA}, and unpack it.",
        members=("train-item-views.csv", "train-purchases.csv", "product-categories.csv"),
        extras=("products.csv",),
        events=1_235_380 + 18_025,
    ),
    Dataset(
        name="trivago",
        what="hotel searches in sessions, 2018 (RecSys Challenge 2019)",
        home=_TRIVAGO,
        licence="terms of the RecSys Challenge 2019",
        terms=f"The terms of the RecSys Challenge 2019 stand on its page: {_TRIVAGO}",
        by_hand=f"download it under the terms of the RecSys Challenge 2019 from {_TRIVAGO} and unpack it.",
        members=("train.csv",),
        extras=("item_metadata.csv",),
        reads="train.csv",
        events=15_932_992,
    ),
)
