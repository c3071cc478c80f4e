"""HetRec Last.fm: counts, taggings with dates, friendships."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from ensue.errors import ColumnError, DataError
from ensue.events.source import read

SEPARATOR = "\u2028"  # a line separator that is no end of a line here


def folder_of(folder: Path) -> Path:
    files = {
        "user_artists.dat": "userID\tartistID\tweight\r\n2\t51\t13883\r\n2\t52\t7\r\n3\t51\t1\r\n",
        "user_taggedartists.dat": (
            "userID\tartistID\ttagID\tday\tmonth\tyear\n2\t52\t1\t1\t4\t2009\n2\t52\t2\t1\t4\t2009\n"
            "2\t51\t9\t30\t11\t2008\n3\t51\t1\t31\t2\t2009\n"
        ),
        "user_friends.dat": "userID\tfriendID\n2\t3\n3\t2\n",
        "artists.dat": f'id\tname\turl\tpictureURL\n51\tA{SEPARATOR}"B\thttp://a\t\n52\tÉtude\thttp://b\thttp://c\n',
        "tags.dat": "tagID\ttagValue\n1\tmetal\n2\tsoft rock\n",
    }
    for name, text in files.items():
        folder.joinpath(name).write_bytes(text.encode())
    return folder


def test_counts_are_quantities_without_times(tmp_path: Path) -> None:
    for log in (read(folder_of(tmp_path)), read(tmp_path / "user_artists.dat")):
        assert log.reading.format == "lastfm"
        assert log.frame.select("user", "item", "quantity").rows() == [
            ("2", "51", 13883.0),
            ("2", "52", 7.0),
            ("3", "51", 1.0),
        ]
        assert not log.has_time
        assert log.items is not None
        assert log.items.rows() == [("51", f'A{SEPARATOR}"B'), ("52", "Étude")]
        assert any("says nothing about what came first" in note for note in log.reading.notes)


def test_taggings_have_days_and_bear_the_tag(tmp_path: Path) -> None:
    for log in (read(folder_of(tmp_path), format="lastfm-tags"), read(tmp_path / "user_taggedartists.dat")):
        assert log.reading.format == "lastfm-tags"
        assert [f"{time:%Y-%m-%d}" for time in log.frame["time"]] == [
            "2008-11-30",
            "2009-04-01",
            "2009-04-01",
        ]
        assert log.frame.select("item", "tagID", "tag").rows() == [
            ("51", "9", None),
            ("52", "1", "metal"),
            ("52", "2", "soft rock"),
        ]
        assert [(e.line, e.value) for e in log.reading.examples] == [(5, "2009-02-31")]


def test_taggings_with_stamps(tmp_path: Path) -> None:
    path = tmp_path / "user_taggedartists-timestamps.dat"
    path.write_text("userID\tartistID\ttagID\ttimestamp\n2\t52\t1\t1238536800000\n", encoding="utf-8")
    log = read(path)
    assert log.reading.format == "lastfm-tags"
    assert log.frame["time"].dt.epoch("s").to_list() == [1_238_536_800]


def test_friends_are_a_log_of_users_with_what_they_listen_to(tmp_path: Path) -> None:
    for log in (read(folder_of(tmp_path), format="lastfm-friends"), read(tmp_path / "user_friends.dat")):
        assert log.reading.format == "lastfm-friends"
        assert log.frame.select("user", "item").rows() == [("2", "3"), ("3", "2")]
        assert not log.has_time
        assert log.items is not None
        assert log.items.columns == ["item", "owner", "artists", "tags"]
        assert sorted(log.items.rows()) == [
            ("2", "2", ["51", "52"], ["1", "2", "9"]),
            ("3", "3", ["51"], ["1"]),
        ]


def test_friends_without_the_files_beside_have_no_features(tmp_path: Path) -> None:
    folder_of(tmp_path).joinpath("user_artists.dat").unlink()
    assert read(tmp_path, format="lastfm-friends").items is not None
    tmp_path.joinpath("user_taggedartists.dat").unlink()
    found = read(tmp_path, format="lastfm-friends").items
    assert found is not None
    assert found.columns == ["item", "owner"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path).joinpath("user_friends.dat").unlink()
    with pytest.raises(DataError, match=r"has no user_friends\.dat, which lastfm-friends needs"):
        read(tmp_path, format="lastfm-friends")
    with pytest.raises(ColumnError, match=r"user_artists\.dat lacks friendID"):
        read(tmp_path / "user_artists.dat", format="lastfm-friends")
    tmp_path.joinpath("artists.dat").unlink()
    assert read(tmp_path).items is None


@pytest.mark.data
def test_the_published_sizes(data_dir: Path) -> None:
    folder = data_dir / "hetrec2011-lastfm-2k"
    counts, tags = read(folder), read(folder, format="lastfm-tags")
    friends = read(folder, format="lastfm-friends")
    assert (counts.n_events, counts.n_users, counts.n_items) == (92_834, 1_892, 17_632)
    assert counts.items is not None
    assert counts.items.height == 17_632
    assert set(counts.frame["item"]) == set(counts.items["item"])
    assert (tags.n_events, tags.n_users) == (186_479, 1_892)
    assert tags.frame["tag"].null_count() == 0
    assert friends.n_events == 25_434 == 2 * 12_717
    pairs = friends.frame.select("user", "item")
    assert pairs.join(pairs, left_on=["user", "item"], right_on=["item", "user"], how="anti").is_empty()
    assert all(log.reading.set_aside == {} for log in (counts, tags, friends))
    assert counts.items.filter(pl.col("title").str.contains("\n")).is_empty()
