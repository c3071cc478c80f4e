"""Features of items: what lacks is told from what is new and from nought, and nothing forgets what it was fitted on."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError, ColumnError, ConfigError
from ensue.events.log import EventLog
from ensue.experiment import described_model, experiment_of, read_experiment
from ensue.features import Feature, Features, Values, filled
from ensue.model import model_of
from ensue.wanted import Wanted

PRICES = {"A": 10.5, "C": 7.0, "E": 3.2, "G": 5.0, "H": 1.0, "I": 2.0}
MEAN = (10.5 + 7 + 3.2 + 5 + 1 + 2) / 6
DEVIATION = (sum((price - MEAN) ** 2 for price in PRICES.values()) / 6) ** 0.5


def gappy() -> pl.DataFrame:
    """Items A to J of a catalogue: brands and prices with gaps, and no row at all for J."""
    table = pl.DataFrame(
        {
            "item": list("ABCDEFGHI"),
            "brand": [None, "acme", "acme", None, "blau", "blau", "acme", None, "blau"],
            "price": [10.5, None, 7, None, 3.2, float("nan"), 5, 1, 2],
        }
    )
    log = EventLog.of(pl.DataFrame({"user": ["u"] * 10, "item": list("ABCDEFGHIJ")}), table)
    features = Catalogue.fit(log).features
    assert features is not None
    return features


def lists(values: Values) -> list[list[int]]:
    bounds = values.offsets.tolist()
    return [values.codes[a:b].tolist() for a, b in pairwise(bounds)]


# ----------------------------------------------------------------------------------- gaps in side data


def test_a_missing_brand_an_unseen_brand_and_a_known_one_are_three_codes() -> None:
    items = gappy()
    found = Features.fit(items, ["brand"])
    acme, blau, unseen, missing = 0, 1, 2, 3  # three items each: equal counts stand by text
    assert found.arrays(items).categories["brand"].tolist() == [
        missing, acme, acme, missing, blau, blau, acme, missing, blau, missing,
    ]  # fmt: skip
    new = pl.DataFrame({"brand": ["never-seen", None, "", "acme"]})
    assert found.arrays(new).categories["brand"].tolist() == [unseen, missing, missing, acme]
    assert found["brand"].note == "brand: category of 2 values, 4 of 10 missing, with a code of their own"


def test_a_missing_price_is_neither_nought_nor_any_other_price_and_the_rule_is_said() -> None:
    items = gappy()
    found = Features.fit(items, ["price"])
    numbers = found.arrays(items).numbers["price"]
    for item, number in zip("ABCDEFGHIJ", numbers.tolist(), strict=True):
        if item in PRICES:
            assert number == pytest.approx((PRICES[item] - MEAN) / DEVIATION, rel=1e-5)
        else:
            assert np.isnan(number)
    values, mark = filled(numbers)
    assert mark.tolist() == [float(item not in PRICES) for item in "ABCDEFGHIJ"]
    assert values[mark == 1].tolist() == [0] * 4, "0 is the training mean here"
    free = filled(found.arrays(pl.DataFrame({"price": [0.0, MEAN]})).numbers["price"])
    assert free[0].tolist() == pytest.approx([(0 - MEAN) / DEVIATION, 0], abs=1e-6)
    assert free[1].tolist() == [0, 0], "an item of the mean price has no mark, one without a price has"
    assert found.notes == (
        "price: number of mean 4.783 and deviation 3.22, 4 of 10 missing, read as the mean with a mark of their own",
    )


def test_no_item_is_left_out_for_its_gaps() -> None:
    items = gappy()
    found = Features.fit(items, ["brand", "price"]).arrays(items)
    assert len(found.categories["brand"]) == len(found.numbers["price"]) == 10


def test_items_of_training_decide_and_new_items_change_nothing() -> None:
    items = gappy()
    found = Features.fit(items, ["price", "brand"])
    before = found.to_json()
    new = found.arrays(pl.DataFrame({"price": [1000.0, None], "brand": ["cora", "blau"]}))
    assert new.numbers["price"][0] == pytest.approx((1000 - MEAN) / DEVIATION, rel=1e-5)
    assert np.isnan(new.numbers["price"][1])
    assert new.categories["brand"].tolist() == [2, 1]
    assert found.to_json() == before


# --------------------------------------------------------------------------------------- several values


def test_several_values_in_one_text_are_parted_and_an_item_without_any_has_none() -> None:
    items = pl.DataFrame({"genres": ["Action|Comedy", "Drama", None, "", "Action||Action", "|"]})
    found = Features.fit(items, ["genres"])
    assert found["genres"].kind == "values"
    assert found["genres"].known.vocabulary.to_list() == ["Action", "Comedy", "Drama"]
    assert lists(found.arrays(items).values["genres"]) == [[0, 1], [2], [], [], [0], []]
    new = pl.DataFrame({"genres": ["Drama|Western|Action", "Action | Comedy"]})
    assert lists(found.arrays(new).values["genres"]) == [[2, 3, 0], [3, 3]], "spaces are part of a value"
    assert found.notes == (
        "genres: several of 3 values parted at '|', 3 of 6 missing, with a vector of their own",
    )


def test_lists_are_several_values_of_text_or_of_whole_numbers() -> None:
    items = pl.DataFrame({"tags": [["b", "a"], [], None, ["a", None, ""]], "codes": [[7, 12], [7], None, []]})
    found = Features.fit(items, ["tags", "codes"])
    assert {feature.kind for feature in found.entries.values()} == {"values"}
    arrays = found.arrays(items)
    assert lists(arrays.values["tags"]) == [[1, 0], [], [], [0]]
    assert lists(arrays.values["codes"]) == [[0, 1], [0], [], []]
    assert lists(found.arrays(pl.DataFrame({"tags": ["a", None], "codes": ["7", "8"]})).values["codes"]) == [
        [0],
        [2],
    ]


def test_a_column_may_come_as_lists_later_or_lack_all_values() -> None:
    found = Features.fit(pl.DataFrame({"genres": ["x|y", "y"]}), ["genres"])
    assert lists(found.arrays(pl.DataFrame({"genres": [["x", "z"], None]})).values["genres"]) == [[1, 2], []]
    assert lists(found.arrays(pl.DataFrame({"genres": [None, None]})).values["genres"]) == [[], []]
    assert (
        lists(found.arrays(pl.DataFrame({"genres": []}, schema={"genres": pl.String})).values["genres"]) == []
    )


def test_text_is_parted_by_rule_or_as_told() -> None:
    items = pl.DataFrame({"title": ["a|b", "c"], "shop": ["x;y", "y"], "plain": ["p", "q"]})
    kinds = {name: feature.kind for name, feature in Features.fit(items, items.columns).entries.items()}
    assert kinds == {"title": "values", "shop": "category", "plain": "category"}
    told = Features.fit(
        items,
        [
            {"column": "title", "separator": ""},
            {"column": "shop", "separator": ";"},
            {"column": "plain", "kind": "values"},
        ],
    )
    kinds = {name: feature.kind for name, feature in told.entries.items()}
    assert kinds == {"title": "category", "shop": "values", "plain": "values"}
    assert lists(told.arrays(items).values["shop"]) == [[1, 0], [0]]
    asked = Features.fit(items, [{"column": "title", "kind": "category"}])
    assert asked["title"].known.vocabulary.to_list() == ["a|b", "c"]


@given(st.lists(st.none() | st.lists(st.sampled_from("abcd"), max_size=4), min_size=1, max_size=10))
def test_each_item_keeps_its_own_values_once_and_in_their_order(rows: list[list[str] | None]) -> None:
    items = pl.DataFrame({"tags": rows}, schema={"tags": pl.List(pl.String)})
    found = Features.fit(items, ["tags"])
    words = found["tags"].known.vocabulary.to_list()
    read = [[words[code] for code in codes] for codes in lists(found.arrays(items).values["tags"])]
    assert read == [list(dict.fromkeys(row or [])) for row in rows]
    assert found["tags"].gaps == sum(not row for row in rows)
    joined = pl.DataFrame({"tags": [None if row is None else "|".join(row) for row in rows]})
    text = Features.fit(joined, [{"column": "tags", "kind": "values"}])
    assert lists(text.arrays(joined).values["tags"]) == lists(found.arrays(items).values["tags"])


# ---------------------------------------------------------------------------------------------- vectors


@pytest.mark.parametrize("kind", [pl.List(pl.Float64), pl.List(pl.Float32), pl.Array(pl.Float32, 2)])
def test_vectors_are_divided_by_their_mean_length_and_missing_ones_are_marked(kind: pl.DataType) -> None:
    items = pl.DataFrame({"image": pl.Series([[3.0, 4.0], None, [0.0, 1.0]], dtype=kind)})
    found = Features.fit(items, ["image"])
    scale = (5 + 1) / 2
    assert (found["image"].kind, found["image"].width, found["image"].scale) == ("vector", 2, scale)
    arrays = found.arrays(items).vectors["image"]
    assert arrays.values.dtype == np.float32
    assert arrays.values.tolist() == pytest.approx(
        np.array([[3 / scale, 4 / scale], [0, 0], [0, 1 / scale]], dtype=np.float32)
    )
    assert arrays.missing.tolist() == [False, True, False]
    assert found.notes == (
        "image: vector of 2 numbers, divided by 3, 1 of 3 missing, with a vector of their own",
    )


def test_a_vector_of_noughts_is_not_a_missing_one() -> None:
    items = pl.DataFrame({"image": [[0.0, 0.0], []]}, schema={"image": pl.List(pl.Float64)})
    found = Features.fit(items, ["image"])
    assert found["image"].scale == 1
    assert found.arrays(items).vectors["image"].missing.tolist() == [False, True]
    none = found.arrays(pl.DataFrame({"image": [None]})).vectors["image"]
    assert (none.values.shape, none.missing.tolist()) == ((1, 2), [True])


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0, 2.0], [1.0]], r"vector of 1 numbers in row 2, where 2 are expected"),
        ([[1.0, 2.0], None, [1.0, None]], "gap or an infinite number in row 3"),
        ([[1.0, float("nan")]], "gap or an infinite number in row 1"),
        ([[1.0, float("inf")]], "gap or an infinite number in row 1"),
        ([None, []], "no vector in training"),
    ],
)
def test_odd_vectors_are_refused_with_their_row(vectors: list[Any], message: str) -> None:
    items = pl.DataFrame({"image": vectors}, schema={"image": pl.List(pl.Float64)})
    with pytest.raises(ColumnError, match=f"'image'.*{message}"):
        Features.fit(items, ["image"])


def test_a_later_vector_of_another_length_is_refused() -> None:
    found = Features.fit(pl.DataFrame({"image": [[1.0, 2.0]]}), ["image"])
    with pytest.raises(ColumnError, match="3 numbers in row 2, where 2 are expected"):
        found.arrays(pl.DataFrame({"image": [[1.0, 2.0], [1.0, 2.0, 3.0]]}))


# ---------------------------------------------------------------------------------------------- refusals


def test_what_is_not_there_is_named_with_what_is() -> None:
    items = gappy()
    with pytest.raises(
        ConfigError, match=r"no column 'bran'; there are: item, brand, price\. Did you mean 'brand'"
    ):
        Features.fit(items, ["bran"])
    found = Features.fit(items, ["brand"])
    with pytest.raises(ConfigError, match=r"no column 'brand'; there are: Brand\. Did you mean 'Brand'"):
        found.arrays(pl.DataFrame({"Brand": ["acme"]}))
    with pytest.raises(ConfigError, match=r"no feature 'price'; there are: brand"):
        found["price"]
    with pytest.raises(ConfigError, match="'brand' is wanted twice"):
        Features.fit(items, ["brand", {"column": "brand", "kind": "category"}])
    with pytest.raises(ConfigError, match=r"no column 'pric'.*Did you mean 'price'"):
        Features.fit(items, [{"column": "pric", "kind": "number"}])


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (
            {"column": "genres", "seperator": ";"},
            r"table of 'genres' has no key 'seperator', only column, kind, sep",
        ),
        ({"column": "genres", "seperator": ";"}, r"Did you mean 'separator'\?"),
        (
            {"column": "genres", "kind": "vektor"},
            r"'genres' cannot be read as 'vektor'.*Did you mean 'vector'",
        ),
        ({"column": "genres", "kind": 3}, r"kind = 3 of 'genres' is no text"),
        ({"column": "genres", "separator": None}, r"separator = None of 'genres' is no text"),
        ({"column": ["genres"]}, r"column = \['genres'\] .* is no text"),
        (
            {"kind": "values"},
            r"\{'kind': 'values'\} is neither the name of a column nor a table that names one",
        ),
        (7, r"7 is neither the name of a column"),
        (
            {"column": "genres", "kind": "category", "separator": ";"},
            "asked for as 'category': leave one of the two",
        ),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused_with_its_fault(described: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Wanted.of(described)
    with pytest.raises(ConfigError, match=f"(?s)lstm: features: .*{message}"):
        model_of("lstm", features=(described,))


def test_a_separator_asks_for_several_values_whatever_the_column_holds() -> None:
    """No text of training holds it, and one of a later item does."""
    found = Features.fit(pl.DataFrame({"tags": ["a", "b"]}), [{"column": "tags", "separator": ";"}])
    assert found["tags"].kind == "values"
    assert lists(found.arrays(pl.DataFrame({"tags": ["b;a"]})).values["tags"]) == [[1, 0]]
    with pytest.raises(
        ColumnError, match="'year' is Int64; several values are a list of text, or text with a"
    ):
        Features.fit(pl.DataFrame({"year": [1999]}), [{"column": "year", "separator": ";"}])


# ------------------------------------------------------------------------------------ features of a network

TABLES: list[Any] = ["brand", {"column": "genres", "kind": "values", "separator": ";"}]


def test_tables_are_settings_in_json_and_in_an_experiment_file(tmp_path: Any) -> None:
    model = model_of("lstm", features=TABLES)
    assert model.settings()["features"] == TABLES == json.loads(json.dumps(model.settings()))["features"]
    assert model_of("lstm", **model.settings()) == model
    path = tmp_path / "x.toml"
    path.write_text(
        '[data]\nsource = "x.csv"\n[models.lstm]\n'
        'features = ["brand", { column = "genres", kind = "values", separator = ";" }]\n'
    )
    experiment = read_experiment(path)
    assert described_model("lstm", experiment.models["lstm"]) == model
    assert experiment_of(experiment.to_json()).models == experiment.models


def test_a_fault_in_a_table_of_an_experiment_file_is_named_before_anything_is_read(tmp_path: Any) -> None:
    path = tmp_path / "x.toml"
    path.write_text(
        '[data]\nsource = "x.csv"\n[models.lstm]\nfeatures = [{ column = "genres", seperator = ";" }]\n'
    )
    with pytest.raises(
        ConfigError, match=r"models\.lstm: features: The table of 'genres' has no key 'seperator'"
    ):
        read_experiment(path)
    path.write_text('[data]\nsource = "x.csv"\n[models.lstm]\nfeatures = [3]\n')
    with pytest.raises(ConfigError, match=r"models\.lstm\.features\.0.* = 3"):
        read_experiment(path)


@pytest.mark.parametrize("given", ["genres", {"column": "genres"}])
def test_features_that_are_no_list_are_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"lstm: features=.*genres.* must be a list, such as "):
        model_of("lstm", features=given)


def test_a_column_is_named_once_by_name_or_by_table() -> None:
    with pytest.raises(ConfigError, match=r"features=\['genres', 'genres'\] names a column twice"):
        model_of("lstm", features=("genres", {"column": "genres", "separator": ";"}))


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        (pl.Series([1.5]), "values", "several values are a list of text"),
        (pl.Series([[1.5]]), "values", "several values are a list of text"),
        (pl.Series(["a"]), "vector", "a vector is a list of numbers"),
        (pl.Series([["a"]]), "vector", "a vector is a list of numbers"),
        (pl.Series([["a"]]), "category", "a category is text or a whole number"),
    ],
)
def test_a_type_that_does_not_fit_is_refused(column: pl.Series, kind: str, message: str) -> None:
    with pytest.raises(ColumnError, match=f"'x'.*{message}"):
        Feature.fit("x", column, kind)


# ----------------------------------------------------------------------------------------------- storage


def varied() -> pl.DataFrame:
    return gappy().with_columns(
        genres=pl.Series(["a|b", None, "", "b||b", "c", "a", "b", "b", "b", "z"]),
        image=pl.Series([[1.0, 0.5]] * 4 + [None, []] + [[3.0, 4.0]] * 4),
        year=pl.Series(["1999", "", None, "2001", "2001", "2001", "2001", "2001", "2001", "2001"]),
    )


NAMES = ["image", "genres", "price", "brand", "year"]


def test_features_are_the_same_after_json_and_parquet(tmp_path: Any) -> None:
    before = Features.fit(varied(), [*NAMES[:-1], {"column": "year", "kind": "number"}])
    before.table().write_parquet(tmp_path / "values.parquet")
    described = json.loads(json.dumps(before.to_json()))
    after = Features.restored(described, pl.read_parquet(tmp_path / "values.parquet"))
    assert list(after.entries) == NAMES
    assert after.notes == before.notes
    new = pl.DataFrame(
        {
            "brand": ["cora", None], "price": [None, 6.5], "genres": ["b|q", None],
            "image": [None, [0.5, 0.5]], "year": ["2010", ""],
        }
    )  # fmt: skip
    for frame in (varied(), new):
        one, two = before.arrays(frame), after.arrays(frame)
        np.testing.assert_array_equal(one.categories["brand"], two.categories["brand"])
        np.testing.assert_array_equal(one.numbers["price"], two.numbers["price"])
        np.testing.assert_array_equal(one.numbers["year"], two.numbers["year"])
        assert lists(one.values["genres"]) == lists(two.values["genres"])
        np.testing.assert_array_equal(one.vectors["image"].values, two.vectors["image"].values)
        np.testing.assert_array_equal(one.vectors["image"].missing, two.vectors["image"].missing)


@pytest.mark.parametrize(
    "change", [{"kind": "other"}, {"scale": 0.0}, {"width": 0}, {"more": 1}, {"scale": "x"}]
)
def test_a_damaged_description_is_refused(change: dict[str, Any]) -> None:
    before = Features.fit(varied(), NAMES)
    described = before.to_json()
    with pytest.raises(ArtifactError, match="save the model anew"):
        Features.restored([described[0] | change, *described[1:]], before.table())
    with pytest.raises(ArtifactError, match="'genres' is damaged"):
        Features.restored(described, before.table().filter(pl.col("value") != "a"))
    with pytest.raises(ArtifactError, match="list of tables"):
        Features.restored("brand", before.table())
