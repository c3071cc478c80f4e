"""Instacart: order lines with their orders, in the order of the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensue.errors import DataError
from ensue.events.source import read


def folder_of(folder: Path) -> Path:
    files = {
        "orders.csv": (
            "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order\n"
            "90,1,prior,2,3,07,15.0\n91,1,prior,1,2,08,\n92,1,train,3,1,09,30.0\n93,2,prior,1,0,10,\n94,2,test,2,0,10,7\n"
        ),
        "order_products__prior.csv": (
            "order_id,product_id,add_to_cart_order,reordered\n90,a,2,1\n90,b,1,0\n91,a,1,0\n93,c,10,0\n93,a,9,0\n99,a,1,0\n"
        ),
        "order_products__train.csv": "order_id,product_id,add_to_cart_order,reordered\n92,c,1,0\n92,b,x,1\n",
        "products.csv": 'product_id,product_name,aisle_id,department_id\na,"Milk, whole",1,2\nb,Eggs,1,9\n',
        "aisles.csv": "aisle_id,aisle\n1,dairy\n",
        "departments.csv": "department_id,department\n2,fresh\n",
    }
    for name, text in files.items():
        folder.joinpath(name).write_text(text, encoding="utf-8")
    return folder


def test_lines_are_in_the_order_of_orders_and_of_the_cart(tmp_path: Path) -> None:
    for log in (read(folder_of(tmp_path)), read(tmp_path / "orders.csv")):
        assert log.reading.format == "instacart"
        assert log.frame.select("user", "item", "basket", "order").rows() == [
            ("1", "a", "91", 1),
            ("1", "b", "90", 2),
            ("1", "a", "90", 3),
            ("1", "c", "92", 4),
            ("2", "a", "93", 1),
            ("2", "c", "93", 2),
        ]
        assert log.frame["days_since_prior_order"].to_list() == ["", "15.0", "15.0", "30.0", "", ""]
        assert [(e.line, e.reason, e.value) for e in log.reading.examples] == [
            (7, "order that is not in orders.csv, or twice", "99"),
            (3, "place in the orders that is not a whole number", "x"),
        ]
        assert log.reading.rows_read == 6 + 2
        assert any(
            "orders without a line in these files, as those of the test set: 1" in n
            for n in log.reading.notes
        )


def test_products_have_names_aisles_and_departments(tmp_path: Path) -> None:
    items = read(folder_of(tmp_path)).items
    assert items is not None
    assert items.columns == ["item", "title", "aisle", "department"]
    assert items.rows() == [("a", "Milk, whole", "dairy", "fresh"), ("b", "Eggs", "dairy", None)]


def test_one_file_of_lines_is_read_alone(tmp_path: Path) -> None:
    log = read(folder_of(tmp_path) / "order_products__train.csv")
    assert log.frame.select("user", "item", "basket").rows() == [("1", "c", "92")]
    tmp_path.joinpath("orders.csv").unlink()
    with pytest.raises(DataError, match=r"Instacart needs orders\.csv"):
        read(tmp_path / "order_products__train.csv")


@pytest.mark.data
def test_the_subset_as_its_readme_has_it(data_dir: Path) -> None:
    log = read(data_dir / "instacart-subset")
    assert (log.n_events, log.n_users, log.n_items) == (8_976, 64, 2_861)
    assert log.frame["basket"].n_unique() == 1_000 - 27
    assert log.reading.set_aside == {}
    assert log.items is not None
    assert log.frame["item"].is_in(log.items["item"].implode()).all()
