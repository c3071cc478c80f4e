"""Last.fm listening counts of HetRec 2011.

References:
    Cantador, Brusilovsky, Kuflik (2011), Second Workshop on Information Heterogeneity and Fusion in Recommender
    Systems, doi:10.1145/2043932.2044016.
"""

from __future__ import annotations

from ensue.events.datasets.dataset import Dataset, Download

SETS = (
    Dataset(
        name="hetrec2011-lastfm-2k",
        what="artists listened to, with counts, tags and friends",
        home="https://grouplens.org/datasets/hetrec-2011/",
        licence="not commercial; cite Last.fm and HetRec 2011",
        terms=(
            "HetRec 2011 Last.fm was built at the Universidad Autonoma de Madrid from the web pages of Last.fm. It is "
            "for use that is not commercial; whoever uses it cites http://www.lastfm.com and HetRec 2011. The terms: "
            "https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-readme.txt"
        ),
        downloads=(
            Download("https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip", 2.5),
        ),
        roots=("", "hetrec2011-lastfm-2k/"),
        members=("user_artists.dat", "artists.dat"),
        extras=(
            *("user_friends.dat", "user_taggedartists.dat", "user_taggedartists-timestamps.dat"),
            *("tags.dat", "readme.txt"),
        ),
        users=1_892,
        items=17_632,
        events=92_834,
        content="5b098e766fca4d523edb7f18bbeb927027df221d107f24ecc70638c71d453e73",
        fingerprint="e03b288d89d087e0279e60f6f0863bff97c74e0aa9b7b4c8dcb0ebf4b5ab5919",
    ),
)
