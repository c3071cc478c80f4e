"""Netflix Prize and MIND, which are had after an agreement.

References:
    Bennett and Lanning (2007), The Netflix Prize, KDD Cup.
    Wu et al. (2020), MIND: A Large-scale Dataset for News Recommendation, doi:10.18653/v1/2020.acl-main.331.
"""

from __future__ import annotations

from ensue.events.datasets.dataset import Dataset

_NETFLIX = "https://www.kaggle.com/datasets/netflix-inc/netflix-prize-data"
_MIND = "https://msnews.github.io/"
_MIND_LICENCE = "Microsoft Research License Terms: research, not commercial"


def _mind(size: str, users: int | None) -> Dataset:
    """One size of MIND, its training part."""
    return Dataset(
        name=f"mind-{size}",
        what="clicks on news, November 2019; the training part",
        home=_MIND,
        licence=_MIND_LICENCE,
        terms=f"MIND is given under the Microsoft Research License Terms: {_MIND}",
        by_hand=f"agree to the terms at {_MIND}, download MIND{size}_train.zip and unpack it.",
        members=("behaviors.tsv", "news.tsv"),
        users=users,
    )


SETS = (
    Dataset(
        name="netflix-prize",
        what="film ratings, 1999-2005",
        home=_NETFLIX,
        licence="research; not to be passed on, not commercial",
        terms=f"The terms of the Netflix Prize stand in the data's README: {_NETFLIX}",
        by_hand=f"download it with an account of Kaggle from {_NETFLIX} and unpack it.",
        members=(*(f"combined_data_{part}.txt" for part in (1, 2, 3, 4)), "movie_titles.csv"),
        events=100_480_507,
        users=480_189,
        items=17_770,
    ),
    _mind("small", 50_000),
    _mind("large", None),
)
