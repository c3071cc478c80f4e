"""Check-ins and friendships in MATLAB files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from ensue.errors import DataError
from ensue.events.source import read


def write(folder: Path, name: str = "city.mat", **changed: Any) -> Path:
    cells = np.empty((2, 1), dtype=object)
    cells[:, 0] = ["4ace", "3fd6"]
    content: dict[str, Any] = {
        "selected_checkins": np.array([[2, 39, 700, 5], [1, 168, 12, 6], [2, 1, 12, 6]], dtype=np.float64),
        "selected_users_IDs": np.array([[19], [2152056]]),
        "selected_venue_IDs": cells,
        "friendship_old": np.array([[1, 2]]),
        "friendship_new": np.array([[1, 2], [2, 1]]),
    }
    savemat(folder / name, content | changed, do_compression=True)
    return folder / name


def test_check_ins_bear_the_original_ids_in_the_order_of_the_file(tmp_path: Path) -> None:
    for log in (read(write(tmp_path)), read(tmp_path)):
        assert log.reading.format == "foursquare"
        assert log.frame.select("user", "item", "hour of week", "category").rows() == [
            ("19", "4ace", 168, "6"),
            ("2152056", "3fd6", 39, "5"),
            ("2152056", "4ace", 1, "6"),
        ]
        assert not log.has_time
        assert log.items is not None
        assert sorted(log.items.rows()) == [("3fd6", "5"), ("4ace", "6")]


def test_friends_before_and_after_in_both_directions(tmp_path: Path) -> None:
    path = write(tmp_path)
    both = [("19", "2152056"), ("2152056", "19")]
    for when in ("before", "after"):
        log = read(path, format=f"foursquare-friends-{when}")
        assert log.frame.select("user", "item").rows() == both
        assert log.items is not None
        assert sorted(log.items.rows()) == [("19", "19", ["12"]), ("2152056", "2152056", ["700", "12"])]


def test_new_friends_are_told_from_old_ones_and_what_was_there_is_not_new(tmp_path: Path) -> None:
    ids = np.array([[1], [2], [3]])
    after = np.array([[2, 1], [3, 2], [2, 3], [2, 2]])
    path = write(
        tmp_path, selected_users_IDs=ids, friendship_old=np.array([[1, 2], [1, 3]]), friendship_new=after
    )
    log = read(path, format="foursquare-friends")
    assert sorted(log.frame.select("user", "item", "when").rows()) == [
        ("1", "2", "before"),
        ("1", "3", "before"),
        ("2", "1", "before"),
        ("2", "3", "after"),
        ("3", "1", "before"),
        ("3", "2", "after"),
    ]
    assert "1 friendships were there before and after, and count as of before" in log.reading.notes
    assert log.reading.set_aside == {"friendship of a user with themselves": 1}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"selected_users_IDs": np.array([[19]])}, "names users beyond its list of 1"),
        ({"selected_checkins": np.array([[1, 2, 3]])}, r"in another shape than \[rows, 4\]"),
        ({"selected_checkins": np.array([[1.5, 2, 3, 4]])}, "that are not whole"),
        ({"selected_checkins": np.array([[1, 2, 3, 4]])}, "has 2 ids for 1 venues"),
    ],
)
def test_content_that_does_not_fit_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, **changed))


def test_a_broken_file_and_several_cities_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    write(tmp_path, "other.mat")
    with pytest.raises(DataError, match=r"holds city\.mat, other\.mat: give one file"):
        read(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"city\.mat is a broken MATLAB file"):
        read(path, format="foursquare")
    savemat(path, {"x": np.zeros(3)})
    with pytest.raises(DataError, match=r"city\.mat lacks selected_checkins"):
        read(path, format="foursquare")


@pytest.mark.data
@pytest.mark.parametrize(
    ("city", "events", "users", "venues"),
    [("NYC", 105_961, 4_024, 3_628), ("Jakarta", 378_559, 6_395, 8_826)],
)
def test_the_published_sizes(data_dir: Path, city: str, events: int, users: int, venues: int) -> None:
    path = data_dir / "foursquare-lbsn2vec" / f"dataset_connected_{city}.mat"
    log, friends = read(path), read(path, format="foursquare-friends")
    assert (log.n_events, log.n_items) == (events, venues)
    assert friends.n_users == friends.n_items == users
    assert set(log.frame["user"]) <= set(friends.frame["user"])
    assert log.frame["hour of week"].is_between(1, 168).all()
