"""Small valid samples of every format that is read."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.io import savemat

Writer = Callable[[Path], Path]


def listed(named: dict[str, str | bytes], pick: str = "") -> Writer:
    """Writes files; gives the folder, or one of them."""

    def write(folder: Path) -> Path:
        for name, text in named.items():
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder / pick if pick else folder

    return write


OLD = {"reviewerID": "A1", "asin": "0001", "helpful": [1, 2], "overall": 4.0, "unixReviewTime": 1_393_545_600}
NEW = {"rating": 5.0, "asin": "B2", "parent_asin": "B1", "user_id": "AE", "timestamp": 1_602_133_857_705}
PRODUCT = {
    "title": "T",
    "parent_asin": "B1",
    "price": 3.5,
    "categories": ["a", "b"],
    "details": {"Brand": "x"},
}
RETAIL = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    '1001,A,"CUP, RED",2,2020-01-02 09:00:00,1.5,7,France\nC1002,A,CUP,-1,2020-01-02 10:00:00,1.5,7,France\n'
    "1003,B,PLATE,1,2020-01-03 10:00:00,1,8,Spain\n"
)
TRIVAGO = (
    "user_id,session_id,timestamp,step,action_type,reference,platform,city,device,current_filters,impressions,prices\n"
    'u,s,1541500000,1,clickout item,11,NO,"Oslo, Norway",mobile,,10|11,80|90\n'
    'u,s,1541500009,2,interaction item image,12,NO,"Oslo, Norway",mobile,,,\n'
)
MOVIES = 'movieId,title,genres\n1,"American, The (é)",Drama|War\n2,B,Comedy\n'
AVAZU = "id,click,hour,C1,banner_pos,site_id,site_domain\n1,0,14102100,1005,0,a,b\n"
CRITEO = ["Id", "Label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27))]


def lines(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(one) + "\n" for one in objects)


def mat(folder: Path) -> Path:
    cells = np.empty((2, 1), dtype=object)
    cells[:, 0] = ["4ace", "3fd6"]
    content: dict[str, Any] = {
        "selected_checkins": np.array([[2, 39, 700, 5], [1, 168, 12, 6], [2, 1, 12, 6]], dtype=np.float64),
        "selected_users_IDs": np.array([[19], [2152056]]),
        "selected_venue_IDs": cells,
        "friendship_old": np.array([[1, 2]]),
        "friendship_new": np.array([[1, 2], [2, 1]]),
    }
    savemat(folder / "city.mat", content, do_compression=True)
    return folder / "city.mat"


def tar(folder: Path) -> Path:
    with tarfile.open(folder / "days.tar.gz", "w:gz") as out:
        info = tarfile.TarInfo("days/2020-01-02.csv")
        info.size = len(RETAIL.encode())
        out.addfile(info, io.BytesIO(RETAIL.encode()))
    return folder / "days.tar.gz"


def parquet(folder: Path) -> Path:
    table = {
        "user_id": ["a", "b", "a"],
        "item_id": [1, 2, 3],
        "timestamp": [10, 20, 30],
        "tags": [["x"], [], ["y"]],
    }
    pl.DataFrame(table).write_parquet(folder / "log.parquet")
    return folder / "log.parquet"


def trivago_parquet(folder: Path) -> Path:
    frame = pl.read_csv(io.StringIO(TRIVAGO), infer_schema=False)
    frame.with_columns(pl.col("timestamp", "step").cast(pl.Int64)).write_parquet(folder / "slice.parquet")
    return folder / "slice.parquet"


def sqlite(folder: Path) -> Path:
    with closing(sqlite3.connect(folder / "shop.db")) as made:
        made.execute("CREATE TABLE events (user_id INTEGER, item_id TEXT, ts INTEGER, price REAL, note)")
        made.execute(
            "INSERT INTO events VALUES (7, '007', 20, 1.5, NULL), (7, 'é', 10, NULL, 'x'), (8, 'b', 5, 2, 3)"
        )
        made.commit()
    return folder / "shop.db"


SAMPLES: dict[str, tuple[Writer, ...]] = {
    "avazu": (
        listed(
            {"a.csv": "id,click,hour,C1,banner_pos,site_id,site_domain\n1,0,14102100,1005,0,a,b\n"}, "a.csv"
        ),
    ),
    "criteo": (listed({"a.csv": f"{','.join(CRITEO)}\n{','.join('1' * len(CRITEO))}\n"}, "a.csv"),),
    "baskets-json": (
        listed({"x_merged.json": '{"7": [[1, 2], [2]], "007": [[3], [1, 1, 4]]}'}),
        listed(
            {"x_history.json": '{"7": [[-1], [1, 2], [-1]]}', "x_future.json": '{"7": [[-1], [2], [-1]]}'}
        ),
    ),
    "diginetica": (
        listed(
            {
                "train-item-views.csv": "sessionId;userId;itemId;timeframe;eventdate\n"
                "1;NA;x;9000;2016-05-09\n2;NA;y;10;2016-05-10\n",
                "train-purchases.csv": "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n"
                "2;31;86400;2016-05-10;77;x\n",
                "product-categories.csv": "itemId;categoryId\nx;1\ny;2\n",
                "products.csv": "itemId;pricelog2;product.name.tokens\nx;10;1,2\n",
            }
        ),
    ),
    "foursquare": (mat,),
    "foursquare-friends": (mat,),
    "foursquare-friends-after": (mat,),
    "foursquare-friends-before": (mat,),
    "friends": (listed({"friends.csv": "one,other\n1,2\n2,1\n3,1\n"}, "friends.csv"),),
    "instacart": (
        listed(
            {
                "orders.csv": "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,"
                "days_since_prior_order\n"
                "90,1,prior,2,3,07,15.0\n91,1,prior,1,2,08,\n92,1,train,3,1,09,30.0\n",
                "order_products__prior.csv": "order_id,product_id,add_to_cart_order,reordered\n"
                "90,a,2,1\n90,b,1,0\n91,a,1,0\n",
                "order_products__train.csv": "order_id,product_id,add_to_cart_order,reordered\n92,b,1,0\n",
                "products.csv": 'product_id,product_name,aisle_id,department_id\na,"Milk, whole",1,2\nb,Eggs,1,9\n',
                "aisles.csv": "aisle_id,aisle\n1,dairy\n",
                "departments.csv": "department_id,department\n2,fresh\n",
            }
        ),
    ),
    **dict.fromkeys(
        ("lastfm", "lastfm-tags", "lastfm-friends"),
        (
            listed(
                {
                    "user_artists.dat": "userID\tartistID\tweight\r\n2\t51\t13883\r\n2\t52\t7\r\n3\t51\t1\r\n",
                    "user_taggedartists.dat": "userID\tartistID\ttagID\tday\tmonth\tyear\n"
                    "2\t52\t1\t1\t4\t2009\n3\t51\t1\t31\t1\t2009\n",
                    "user_friends.dat": "userID\tfriendID\n2\t3\n3\t2\n",
                    "artists.dat": "id\tname\turl\tpictureURL\n51\tA\u2028B\thttp://a\t\n52\tÉtude\thttp://b\thttp://c\n",
                    "tags.dat": "tagID\ttagValue\n1\tmetal\n",
                }
            ),
        ),
    ),
    **dict.fromkeys(
        ("mind", "mind-history"),
        (
            listed(
                {
                    "behaviors.tsv": "1\tU2\t11/12/2019 2:14:46 PM\tN1 N2\tN5-0 N4-1\n"
                    "2\tU1\t11/12/2019 12:00:00 AM\t\tN7-1\n",
                    "news.tsv": 'N4\tsports\tgolf\tA "title"\tAbstract\thttp://a\t[]\t[]\n',
                }
            ),
        ),
    ),
    "movielens-100k": (
        listed(
            {
                "u.data": "1\t2\t5\t881250950\n1\t1\t3\t881250949\n2\t1\t3\t881250949\n",
                "u.item": f"1|Cafe (1995)|01-Jan-1995||http://a|{'|'.join('0' * 18 + '1')}\n",
            }
        ),
    ),
    "movielens-dat": (
        listed(
            {
                "ratings.dat": "1::2::5::978300760\n1::1::3.5::978300759\n2::1::3::978300759\n",
                "movies.dat": "1::Café: A Tale (1999)::Drama|Comedy\n2::Two :: Colons::Drama\n".encode(
                    "latin-1"
                ),
            }
        ),
    ),
    "movielens-csv": (
        listed(
            {
                "ratings.csv": "userId,movieId,rating,timestamp\r\n1,2,5.0,1000000001\r\n1,1,0.5,1000000000\r\n",
                "movies.csv": MOVIES,
            }
        ),
    ),
    "movielens-tags": (
        listed(
            {"tags.csv": 'userId,movieId,tag,timestamp\n1,2,"a, b",1000000001\n', "movies.csv": MOVIES},
            "tags.csv",
        ),
        listed({"tags.dat": "1::2::a::b::1000000001\n2::2::c::1000000001\n"}, "tags.dat"),
    ),
    "netflix": (
        listed(
            {
                "combined_data_1.txt": "1:\n20,5,2004-02-01\n07,1,2003-01-31\n3:\n20,3,2004-01-31\n",
                "movie_titles.csv": "1,2001,Alpha, or the First\n3,NULL,Beta\n",
            }
        ),
    ),
    "netflix-probe": (
        listed({"probe.txt": "1:\n30\n20\n10:\n20\n"}),
        listed({"qualifying.txt": "1:\n30,2005-01-02\n20,2004-01-02\n"}),
    ),
    "online-retail": (
        listed({"retail.csv": RETAIL}, "retail.csv"),
        listed({"a.csv": RETAIL, "b.csv": RETAIL}),
        tar,
    ),
    "open-bandit": (
        listed(
            {
                "all.csv": ",timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0\n"
                "0,2019-11-24 00:00:17.004101+00:00,79,2,0,0.0125,f0,0.0\n"
                "1,2019-11-24 00:00:18.5+00:00,14,1,1,0.05,f1,2.0\n",
                "item_context.csv": ",item_id,item_feature_0,item_feature_1\n0,79,-0.5,ab\n1,14,0.25,cd\n",
            }
        ),
    ),
    "rechorus": (
        listed(
            {
                "train.csv": "user_id\titem_id\ttime\n1\t5\t965779200\n2\t6\t965779201\n",
                "dev.csv": "user_id\titem_id\ttime\tneg_items\n1\t6\t965779300\t[7, 8]\n",
                "test.csv": "user_id\titem_id\ttime\tneg_items\n1\t7\t965779400\t[5, 8]\n",
                "item_meta.csv": "item_id\ti_category\tr_complement\n5\t3\t[6, 7]\n6\t0\t[7]\n",
            }
        ),
    ),
    "retailrocket": (
        listed(
            {
                "events.csv": "timestamp,visitorid,event,itemid,transactionid\n1433221332117,25,view,35,\n"
                "1433224214164,99,transaction,24,4000\n1433221999827,99,addtocart,24,\n",
                "item_properties_part1.csv": "timestamp,itemid,property,value\n"
                "2000,35,categoryid,11\n1000,24,available,1\n",
                "item_properties_part2.csv": "timestamp,itemid,property,value\n3000,24,available,0\n",
                "category_tree.csv": "categoryid,parentid\n11,12\n12,13\n13,\n",
            }
        ),
    ),
    "session-rec": (
        listed(
            {"clicks_train_full.txt": "SessionId\tItemId\tTime\n3\t30\t1396437466.94\n4\t31\t1396437467.5\n"}
        ),
    ),
    "trivago": (
        listed({"train.csv": TRIVAGO, "item_metadata.csv": "item_id,properties\n11,a|b\n"}),
        trivago_parquet,
    ),
    "yoochoose": (
        listed(
            {
                "yoochoose-clicks.dat": "2,2014-04-07T10:51:09.277Z,214,0\n1,2014-04-07T10:54:09.868Z,215,S\n",
                "yoochoose-buys.dat": "1,2014-04-07T10:55:00.000Z,215,12462,2\n",
            }
        ),
    ),
    "amazon": (
        listed({"Toys_5.json": lines(OLD, {**OLD, "reviewerID": "A2"})}, "Toys_5.json"),
        listed({"Toys_5.json": f"{OLD!r}\n{ {**OLD, 'reviewerID': 'A2'}!r}\n"}, "Toys_5.json"),
        listed({"A.jsonl": lines(NEW, {**NEW, "user_id": "AF"}), "meta_A.jsonl": lines(PRODUCT)}),
    ),
    "amazon-csv": (
        listed(
            {"A.csv": "user_id,parent_asin,rating,timestamp\nu,i,5.0,1602133857705\nv,i,1.0,1602133857706\n"},
            "A.csv",
        ),
    ),
    "parquet": (parquet,),
    "sqlite": (sqlite,),
    "jsonlines": (
        listed(
            {"a.jsonl": lines(*({"user_id": u, "item_id": 5, "time": 10, "more": [1, {}]} for u in "aab"))},
            "a.jsonl",
        ),
    ),
    "sequences": (listed({"a.txt": "u a b c\nv b c\nw c a b a\n"}, "a.txt"),),
    "delimited": (
        listed(
            {"a.csv": 'user_id,item_id,timestamp,"ra,ting"\na,"x ""y""",10,1.5\nb,"x\ny",20,\na,z,30,2\n'},
            "a.csv",
        ),
        listed(
            {
                "a.tsv": "user\titem\ttime\tsession\n1\t2\t2020-01-01T10:00:00+02:00\ts\n"
                "1\t3\t2020-01-01T10:00:01Z\ts\n"
            },
            "a.tsv",
        ),
    ),
}
"""Name of a format -> what writes a small valid sample of it."""
