"""Each published layout is known by its own reader and by no other that is as particular."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from ensue.events.readers import all_readers, reader_for

RETAIL = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n1,A,x,1,2020-01-01,1,7,F\n"
SAMPLES = {
    "retail.csv": ("online-retail", RETAIL),
    "train.csv": (
        "trivago",
        "user_id,session_id,timestamp,step,action_type,reference,platform,city,device,current_filters,impressions,"
        "prices\nu,s,1,1,clickout item,1,NO,x,mobile,,,\n",
    ),
    "user_artists.dat": ("lastfm", "userID\tartistID\tweight\n2\t51\t1\n"),
    "user_taggedartists.dat": (
        "lastfm-tags",
        "userID\tartistID\ttagID\tday\tmonth\tyear\n2\t52\t1\t1\t4\t2009\n",
    ),
    "user_friends.dat": ("lastfm-friends", "userID\tfriendID\n2\t3\n"),
    "baskets.json": ("baskets-json", '{"1": [[1, 2], [3]]}'),
    "empty_first.json": ("baskets-json", '{"a": [], "b": [["x"]]}'),
    "order_products__train.csv": ("instacart", "order_id,product_id,add_to_cart_order,reordered\n1,2,3,1\n"),
    "behaviors.tsv": ("mind", "1\tU2\t11/12/2019 2:14:46 PM\t\tN5-0 N4-1\n"),
    "train-item-views.csv": (
        "diginetica",
        "session_id;user_id;item_id;timeframe;eventdate\n1;NA;2;3;2016-05-09\n",
    ),
    "train-purchases.csv": (
        "diginetica",
        "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n1;NA;3;2016-05-09;4;5\n",
    ),
    "yoochoose-clicks.dat": ("yoochoose", "1,2014-04-07T10:51:09.277Z,214536502,0\n"),
    "yoochoose-buys.dat": ("yoochoose", "1,2014-04-07T10:51:09.277Z,214536502,100,1\n"),
    "clicks_train_full.txt": ("session-rec", "SessionId\tItemId\tTime\n1\t2\t1396437466.94\n"),
    "events.csv": (
        "retailrocket",
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,1,view,2,\n",
    ),
    "men.csv": (
        "open-bandit",
        ",timestamp,item_id,position,click,propensity_score,user_feature_0\n0,2019-11-24,1,2,0,0.5,a\n",
    ),
    "ads.csv": ("avazu", "id,click,hour,C1,banner_pos,site_id,site_domain\n1,0,14102100,1005,0,a,b\n"),
}
OTHERS = {
    "plain.csv": "user_id,item_id,timestamp\na,x,1\n",
    "plain.tsv": "user_id\titem_id\ttime\n1\t2\t3\n",
    "u.data": "1\t2\t5\t881250950\n",
    "ratings.csv": "userId,movieId,rating,timestamp\n1,2,5.0,1000000001\n",
    "ratings.dat": "1::2::5::978300760\n",
    "lines.jsonl": '{"user_id": "a", "item_id": "b"}\n',
    "nested.json": '{"user": {"a": [[1]]}}\n',
    "lists.jsonl": '{"user": [1, 2], "items": [3]}\n',
    "dates.csv": "1,2014-04-07T10:51:09.277Z,214536502\n",
    "seq.txt": "1 2 3\n2 3 4 5\n",
}


def archive(text: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        info = tarfile.TarInfo("a.csv")
        info.size = len(text)
        packed.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def particular(path: Path) -> list[str]:
    return [reader.name for reader in all_readers() if reader.rank == 0 and reader.recognises(path)]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_known_by_its_own_reader_alone(tmp_path: Path, name: str) -> None:
    expected, text = SAMPLES[name]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert particular(path) == [expected]
    assert reader_for(path).name == expected
    marked = (
        tmp_path / f"other{path.suffix}"
    )  # neither the name nor a byte order mark nor ends of lines matter
    marked.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert particular(marked) == [expected]


def test_binary_samples_are_known_by_their_own_readers_alone(tmp_path: Path) -> None:
    city, other = tmp_path / "city.mat", tmp_path / "other.mat"
    savemat(city, {"selected_checkins": np.ones((1, 4)), "selected_users_IDs": np.ones((1, 1))})
    savemat(other, {"x": np.ones((1, 4))})
    assert (particular(city), particular(other)) == (["foursquare"], [])
    days, noise = tmp_path / "days.tar.gz", tmp_path / "noise.tar.gz"
    days.write_bytes(archive(RETAIL))
    noise.write_bytes(archive("a,b\n1,2\n"))
    assert (particular(days), particular(noise)) == (["online-retail"], [])


NEW = sorted(
    {expected for expected, _ in SAMPLES.values()} | {"criteo", "foursquare", "rechorus", "mind-history"}
)


@pytest.mark.parametrize("name", OTHERS)
def test_files_of_other_formats_are_left_to_their_readers(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(OTHERS[name], encoding="utf-8")
    assert not set(particular(path)) & set(NEW)
    assert not {reader.name for reader in all_readers() if reader.name in NEW and reader.recognises(tmp_path)}


@pytest.mark.parametrize(
    "junk", [b"\0\1\2", b"\xff\xfe\0", b"PK\x03\x04", b"\x1f\x8b\x08junk", b'{"a": [[', b"\n\n\n"]
)
def test_nothing_breaks_the_recognition(tmp_path: Path, junk: bytes) -> None:
    for name in ("a.csv", "a.json", "a.mat", "a.tar.gz", "train.csv", "events.csv"):
        tmp_path.joinpath(name).write_bytes(junk)
    for reader in all_readers():
        if reader.name in NEW and reader.folders:
            reader.recognises(tmp_path)
