"""Columns as codes: known, unseen and missing are three things, and nothing is fitted but on training."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ensue.encodings import (
    CALENDAR,
    MOST,
    MOST_USERS,
    Encoding,
    Encodings,
    calendar,
    kind_of,
    vocabularies,
)
from ensue.errors import ArtifactError, ColumnError, ConfigError

words = st.text(st.characters(codec="utf-8") | st.sampled_from(" 0.7é"), min_size=1, max_size=5)
columns = st.lists(st.none() | words, max_size=20)
floats = st.floats(-1e6, 1e6)


def text(values: Sequence[str | None]) -> pl.Series:
    return pl.Series("value", values, dtype=pl.String)


def numbers(values: Sequence[float | None]) -> pl.Series:
    return pl.Series("value", values, dtype=pl.Float64)


# ------------------------------------------------------------------------------------------ categories


def test_known_unseen_and_missing_are_three_codes() -> None:
    brand = Encoding.fit("brand", text(["blau", "acme", None, "acme", "", "cora"]))
    assert brand.kind == "category"
    assert brand.vocabulary.to_list() == ["acme", "blau", "cora"], "by frequency, then by text"
    assert brand.codes(text(["acme", "blau", "cora"])).tolist() == [0, 1, 2]
    assert brand.codes(text(["never", "ACME", "acme "])).tolist() == [3, 3, 3], "unseen is C"
    assert brand.codes(text([None, ""])).tolist() == [4, 4], "missing is C + 1"
    assert (brand.unseen_code, brand.missing_code, brand.size) == (3, 4, 3 + 2)
    assert (brand.rows, brand.gaps, brand.left_out) == (6, 2, 0)
    assert brand.note == "brand: category of 3 values, 2 of 6 missing, with a code of their own"


def test_a_whole_number_is_the_category_that_it_is_in_text_however_it_is_written() -> None:
    shop = Encoding.fit("shop", text(["1", "2", "2", "2.5"]))
    for values in (["2", "1", "2.5", None], [2.0, 1.0, 2.5, float("nan")]):
        assert shop.codes(pl.Series("shop", values)).tolist() == [0, 1, 2, 4]
    assert shop.codes(pl.Series("shop", [2, 1, 4, None])).tolist() == [0, 1, 3, 4]
    with pytest.raises(ColumnError, match="a category is text or a whole number"):
        Encoding.fit("shop", numbers([1, 2]), "category")


@given(columns)
def test_codes_lead_back_to_the_values_exactly_as_written(values: list[str | None]) -> None:
    found = Encoding.fit("column", text(values))
    codes = found.codes(text(values))
    assert codes.dtype == np.int64
    assert found.decode(codes).to_list() == values
    assert found.size == len({value for value in values if value is not None}) + 2
    assert all(
        (code == found.missing_code) == (value is None) for code, value in zip(codes, values, strict=True)
    )
    assert found.unseen_code not in codes


@given(columns, columns)
def test_more_frequent_values_come_first_and_values_outside_training_are_unseen(
    values: list[str | None], others: list[str | None]
) -> None:
    found = Encoding.fit("column", text(values))
    known = found.vocabulary.to_list()
    keys = [(-values.count(value), value.encode()) for value in known]
    assert keys == sorted(keys)
    for code, value in zip(found.codes(text(others)).tolist(), others, strict=True):
        expected = len(known) + 1 if value is None else known.index(value) if value in known else len(known)
        assert code == expected


def test_values_that_look_alike_stay_apart() -> None:
    strange = ["007", "7", "07", "7.0", "1e3", "NA", "null", "nan", "None", " 7", "7 ", "é", "e\u0301"]
    found = Encoding.fit("column", text(strange))
    assert found.size == len(strange) + 2
    assert found.decode(found.codes(text(strange))).to_list() == strange


def test_the_rarest_categories_beyond_the_most_are_unseen_and_counted() -> None:
    values = ["a"] * 3 + ["c"] * 2 + ["b"] * 2 + ["z", "y"]
    found = Encoding.fit("column", text(values), most=3)
    assert found.vocabulary.to_list() == ["a", "b", "c"]
    assert found.left_out == 2
    assert found.codes(text(["a", "b", "c", "y", "z"])).tolist() == [0, 1, 2, 3, 3]
    assert found.note == "column: category of 3 values, 2 rarer ones counted as unseen"


def test_users_keep_more_codes_than_other_columns() -> None:
    many = pl.Series([f"{n}" for n in range(MOST + 5)])
    assert Encoding.fit("page", many).left_out == 5
    assert Encoding.fit("user", many).left_out == 0
    assert (MOST, MOST_USERS) == (10_000, 100_000)


def test_whole_numbers_truth_values_and_enums_are_categories_of_their_text() -> None:
    zone = Encoding.fit("zone", pl.Series([7, 7, 12]), "category")
    assert zone.vocabulary.to_list() == ["7", "12"]
    assert zone.codes(text(["7", "07"])).tolist() == [0, 2], "a request may send the digits as text"
    member = Encoding.fit("member", pl.Series([True, True, False, None]))
    assert member.codes(pl.Series([False, True, None])).tolist() == [1, 0, 3]
    shade = Encoding.fit("shade", pl.Series(["red", "red", "blue"]).cast(pl.Categorical))
    assert shade.codes(text(["blue"])).tolist() == [1]


def test_a_column_without_any_value_has_the_codes_unseen_and_missing() -> None:
    for empty in (pl.Series([None, None]), pl.Series([], dtype=pl.String)):
        found = Encoding.fit("column", empty)
        assert found.size == 2
        assert found.codes(text([None, "a"])).tolist() == [1, 0]


def test_decoding_refuses_what_is_no_code() -> None:
    found = Encoding.fit("column", text(["a"]))
    assert found.decode([0, 1, 2]).to_list() == ["a", None, None]
    for wrong in ([-1], [3]):
        with pytest.raises(IndexError, match=r"outside 0\.\.2 of column 'column'"):
            found.decode(wrong)
    with pytest.raises(ConfigError, match="do not lead back"):
        Encoding.fit("column", text(["a"]), "hashed").decode([0])


# ------------------------------------------------------------------------------------------------ hashed


def test_hashed_values_share_few_buckets_and_missing_has_a_code_of_its_own() -> None:
    found = Encoding.fit("page", text(["a", None]), "hashed", buckets=16)
    assert found.size == 16 + 2
    many = pl.Series([f"page {n}" for n in range(2000)])
    codes = found.codes(many)
    assert set(codes.tolist()) == set(range(16)), "every bucket is used, and none is called unseen"
    counts = np.bincount(codes)
    # 2000 / 16 = 125 are expected in each, with a deviation of sqrt(125 x 15/16) = 10.8
    assert np.abs(counts - 125).max() < 5 * 10.8
    assert found.codes(text([None, ""])).tolist() == [17, 17]
    assert found.codes(many.reverse()).tolist() == codes.tolist()[::-1]
    assert len(found.vocabulary) == 0


def test_a_bucket_is_the_same_in_every_process_and_version() -> None:
    found = Encoding.fit("page", text([]), "hashed", buckets=1000)
    # the first 8 bytes of BLAKE2b("a", 8 bytes), least significant first, mod 1000
    from hashlib import blake2b

    bucket = int.from_bytes(blake2b(b"a", digest_size=8).digest(), "little") % 1000
    assert found.codes(text(["a"])).tolist() == [bucket]
    program = (
        "import polars as pl; from ensue.encodings import Encoding; "
        "print(Encoding.fit('p', pl.Series(['x']), 'hashed', buckets=1000).codes(pl.Series(['a']))[0])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(run.stdout) == bucket


# ----------------------------------------------------------------------------------------------- numbers


def test_numbers_are_standardised_and_missing_is_told_from_the_mean_and_from_nought() -> None:
    price = Encoding.fit("price", numbers([1, 3, None, float("nan"), 8]))
    mean, deviation = (1 + 3 + 8) / 3, ((3**2 + 1**2 + 4**2) / 3) ** 0.5
    assert (price.mean, price.gaps, price.rows) == (4, 2, 5)
    assert price.deviation == pytest.approx(deviation)
    found = price.codes(numbers([8, 4, 0, None, float("nan")]))
    assert found.dtype == np.float32
    assert found[:3].tolist() == pytest.approx([(8 - mean) / deviation, 0, (0 - mean) / deviation])
    assert np.isnan(found[3:]).all()
    assert (price.size, price.is_category) == (0, False)
    assert "mean 4 and deviation 2.944, 2 of 5 missing" in price.note


@example([0.0, 2.0**-1040])
@given(st.lists(floats, min_size=1, max_size=20))
def test_standardised_training_numbers_have_mean_0_and_deviation_1_or_are_all_0(values: list[float]) -> None:
    found = Encoding.fit("x", numbers(values)).codes(numbers(values)).astype(np.float64)
    if not np.std(values):
        assert found.tolist() == [0] * len(values)
    else:
        assert found.mean() == pytest.approx(0, abs=1e-3)
        assert found.std() == pytest.approx(1, abs=1e-3)


def test_a_constant_column_divides_by_nothing() -> None:
    found = Encoding.fit("x", numbers([0.1] * 7 + [None]))
    assert found.codes(numbers([0.1, 1.1])).tolist() == pytest.approx([0, 1])
    empty = Encoding.fit("x", numbers([None, None]))
    assert empty.codes(numbers([2.5])).tolist() == [2.5]


def test_integers_are_numbers_however_few_unless_asked() -> None:
    assert Encoding.fit("stars", pl.Series([1, 2, 2])).kind == "number"
    assert Encoding.fit("stars", pl.Series([1, 2, 2]), "category").kind == "category"
    kinds = [
        kind_of("x", series)
        for series in (text(["a"]), pl.Series([True]), pl.Series([1.5]), pl.Series([None]), pl.Series([3]))
    ]
    assert kinds == ["category", "category", "number", "category", "number"]


def test_numbers_written_as_text_are_read_when_numbers_are_asked_for() -> None:
    price = Encoding.fit("price", text(["1", "3", ""]), "number")
    assert (price.mean, price.deviation, price.gaps) == (2, 1, 1)
    assert price.codes(text(["5"])).tolist() == [3]
    with pytest.raises(ColumnError, match="'price' holds 'cheap', no finite number"):
        price.codes(text(["5", "cheap"]))


def test_extreme_numbers_stay_finite_and_infinite_ones_are_refused() -> None:
    found = Encoding.fit("x", numbers([0, 1e-30])).codes(numbers([1e30, -1e30]))
    assert np.isfinite(found).all()
    with pytest.raises(ColumnError, match="holds 'inf', no finite number"):
        Encoding.fit("x", numbers([1, float("inf")]))
    with pytest.raises(ColumnError, match="too far to scale"):
        Encoding.fit("x", numbers([-1.7e308, 1.7e308]))


# -------------------------------------------------------------------------------------------------- time


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
)
def test_the_calendar_is_that_of_python(moment: datetime) -> None:
    time = np.array([(moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)], dtype=np.int64)
    found = [calendar(part, time)[0] for part in ("hour", "weekday", "month")]
    assert found == [moment.hour, moment.weekday(), moment.month - 1]


def test_calendar_fields_are_read_from_the_time_and_missing_times_are_missing() -> None:
    times = pl.Series([datetime(2024, 2, 29, 23, 59, tzinfo=UTC), None], dtype=pl.Datetime("us", "UTC"))
    found = Encodings.fit({"time": times}, ["month", "hour", "weekday"])
    codes = found.codes({"time": times}, 2)
    assert {name: list(map(int, values)) for name, values in codes.items()} == {
        "month": [1, 12 + 1],
        "hour": [23, 24 + 1],
        "weekday": [3, 7 + 1],
    }
    assert [found[name].size for name in CALENDAR] == [26, 9, 14]
    assert found.codes({}, 3)["hour"].tolist() == [25, 25, 25]


def test_a_column_named_as_a_calendar_field_is_itself() -> None:
    found = Encodings.fit({"hour": pl.Series(["early", "late"]), "time": pl.Series([0, 0])}, ["hour"])
    assert found["hour"].vocabulary.to_list() == ["early", "late"]
    born = Encoding.fit("born", pl.Series([date(1999, 12, 31)]), "month")
    assert born.codes(pl.Series([date(1999, 12, 31)])).tolist() == [11]


# ---------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (pl.Series([1.5]), "category", "a category is text or a whole number"),
        (pl.Series([datetime(2024, 1, 1, tzinfo=UTC)]), None, "ask for hour, weekday, month"),
        (pl.Series([["a"]]), None, "lists and vectors are features of items"),
        (pl.Series([date(2024, 1, 1)]), "number", "a number is needed"),
        (pl.Series(["a"]), "hour", "a time is needed"),
    ],
)
def test_a_type_that_does_not_fit_is_refused(values: pl.Series, kind: str | None, message: str) -> None:
    with pytest.raises(ColumnError, match=f"'column'.*{message}"):
        Encoding.fit("column", values, kind)


def test_what_is_not_there_is_named_with_what_is() -> None:
    log = {"device": text(["a"]), "country": text(["b"])}
    with pytest.raises(
        ConfigError, match=r"no column 'devcie'; there are: device, country\. Did you mean 'device'"
    ):
        Encodings.fit(log, ["devcie"])
    found = Encodings.fit(log, ["device"])
    with pytest.raises(ConfigError, match=r"no field 'country'; there are: device\."):
        found["country"]
    with pytest.raises(ConfigError, match="kind is given for 'contry', but the fields are device"):
        Encodings.fit(log, ["device"], {"contry": "hashed"})
    with pytest.raises(ConfigError, match=r"cannot be read as 'categry'.*Did you mean 'category'"):
        Encodings.fit(log, ["device"], {"device": "categry"})
    with pytest.raises(ConfigError, match="most=-1 is below 0"):
        Encoding.fit("device", log["device"], most=-1)
    with pytest.raises(ConfigError, match="buckets=0 below 1"):
        Encoding.fit("device", log["device"], "hashed", buckets=0)


# ----------------------------------------------------------------------------------------------- storage


def fitted() -> Encodings:
    log = {
        "device": text(["tv", "phone", None, "phone"]),
        "price": numbers([1, 2, None, 0.1]),
        "page": text(["a", "b", "c", "d"]),
        "time": pl.Series([0, 1, 2, 3]),
    }
    return Encodings.fit(log, ["price", "device", "page", "hour"], {"page": "hashed"}, buckets=50)


def test_encodings_are_the_same_after_json_and_parquet(tmp_path: Any) -> None:
    before = fitted()
    before.table().write_parquet(tmp_path / "values.parquet")
    described = json.loads(json.dumps(before.to_json()))
    after = Encodings.restored(described, pl.read_parquet(tmp_path / "values.parquet"))
    asked = {
        "device": text(["phone", "fridge", None]),
        "price": numbers([1.5, None, 3]),
        "page": text(["a", "new", None]),
        "time": pl.Series([None, 10**10, 0]),
    }
    assert list(after.entries) == ["price", "device", "page", "hour"]
    for name, codes in before.codes(asked, 3).items():
        np.testing.assert_array_equal(after.codes(asked, 3)[name], codes)
        assert after[name].missing(2).dtype == codes.dtype
    assert before.table().columns == ["field", "value"]
    assert before.table().rows() == [("device", "phone"), ("device", "tv")], "in the order of the codes"
    assert "phone" not in json.dumps(before.to_json()), "values are in the table alone"
    assert Encodings.restored([], Encodings().table()).entries == {}


def test_a_column_that_is_not_sent_is_missing_throughout() -> None:
    found = fitted().codes({"device": text(["tv"])}, 1)
    assert found["device"].tolist() == [1]
    assert np.isnan(found["price"]).tolist() == [True]
    assert found["page"].tolist() == [50 + 1]
    assert fitted()["device"].missing(2).tolist() == [3, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"categories": 3},
        {"deviation": 0.0},
        {"mean": float("nan")},
        {"mean": "much"},
        {"buckets": 7},
        {"more": 1},
        {"name": "another"},
    ],
)
def test_a_damaged_description_is_refused(change: dict[str, Any]) -> None:
    before = Encodings.fit({"device": text(["tv", "phone"])}, ["device"])
    with pytest.raises(ArtifactError, match="save the model anew"):
        Encodings.restored([before.to_json()[0] | change], before.table())


def test_a_description_with_another_table_is_refused() -> None:
    before = Encodings.fit({"device": text(["tv", "phone"])}, ["device"])
    with pytest.raises(ArtifactError, match="'device' is damaged"):
        Encodings.restored(before.to_json(), before.table().head(1))
    with pytest.raises(ArtifactError, match="columns 'field' and 'value'"):
        Encodings.restored(before.to_json(), pl.DataFrame({"field": ["a"]}))
    with pytest.raises(ArtifactError, match="list of tables"):
        Encodings.restored({"device": 1}, before.table())
    twice = pl.DataFrame({"field": ["device"] * 2, "value": ["tv", "tv"]})
    with pytest.raises(ArtifactError, match="'device' is damaged"):
        Encodings.restored(before.to_json(), twice)
    assert list(vocabularies(before.table())) == ["device"]
