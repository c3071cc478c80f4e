"""Check-ins of Foursquare with friendships, by city.

References:
    Yang, Qu, Yang, Cudre-Mauroux (2019), Revisiting User Mobility and Social Relationships in LBSNs,
    doi:10.1145/3308558.3313635.
"""

from __future__ import annotations

from ensue.events.datasets.dataset import Dataset

_HOME = "https://sites.google.com/site/yangdingqi/home/foursquare-dataset"


def _city(name: str, title: str, events: int, items: int) -> Dataset:
    """The check-ins of one city."""
    file = f"dataset_connected_{title}.mat"
    return Dataset(
        name=f"foursquare-{name}",
        what=f"check-ins in {title} with friendships",
        home=_HOME,
        licence="none is stated; cite the paper",
        terms=f"No licence is stated for these check-ins; whoever uses them cites the paper named at {_HOME}",
        by_hand="take it from the data of LBSN2Vec (https://github.com/eXascaleInfolab/LBSN2Vec).",
        members=(file,),
        reads=file,
        events=events,
        items=items,
    )


SETS = (_city("nyc", "NYC", 105_961, 3_628), _city("jakarta", "Jakarta", 378_559, 8_826))
