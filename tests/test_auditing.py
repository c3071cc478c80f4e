"""The whole audit: order on logs whose truth is known, advice from numbers, and nothing that says who did it."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensue.auditing import examine
from ensue.auditing.advice import POWER, sized
from ensue.auditing.order import Loss, OrderTest, order_test
from ensue.auditing.page import page_of
from ensue.events.log import TIME, EventLog
from ensue.events.simulate import simulate
from ensue.significance import Interval

TELLING = "owner-of-this-"


def shop(users: int = 60, length: int = 8, seed: int = 0) -> EventLog:
    """Users with telling ids who walk round a ring of 12 items, a day between two events, at one time in pairs."""
    rng = np.random.default_rng(seed)
    begin = np.repeat(rng.integers(12, size=users), length)
    step = np.tile(np.arange(length), users)
    frame = pl.DataFrame(
        {
            "user": [f"{TELLING}{n:03d}" for n in np.repeat(np.arange(users), length)],
            "item": [f"i{n:02d}" for n in (begin + step) % 12],
            "time": pl.Series((1_700_000_000 + 86_400 * (step // 2) + 7 * begin) * 1_000_000).cast(TIME),
            "rating": ((begin + step) % 5 + 1).astype(float),
        }
    )
    return EventLog.of(frame)


# ------------------------------------------------------------------------------------------- order


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), predictability=st.sampled_from([0.5, 0.8, 1.0]))
def test_a_chain_is_found_to_have_order_whatever_the_draw(seed: int, predictability: float) -> None:
    log = simulate("markov", users=150, length=10, seed=seed, items=20, predictability=predictability)
    whole, rows = order_test(log, seed=seed, copies=3)
    assert whole.verdict == "matters"
    assert rows is None, "times of a simulated user are all different"


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), exclude=st.booleans())
def test_noise_is_not_found_to_have_order_that_matters(seed: int, exclude: bool) -> None:
    log = simulate("orderless", users=200, length=10, seed=seed, items=40)
    assert order_test(log, exclude_seen=exclude, seed=seed)[0].verdict != "matters"


def test_noise_shows_no_order() -> None:
    whole, _ = order_test(simulate("orderless", users=400, length=10))
    assert whole.verdict == "not"
    assert whole.said.startswith("order does not show: without it ndcg@10 of ")


def test_a_sure_loss_is_that_of_a_chain_that_is_known() -> None:
    """The ring: in order the next item is certain; a shuffled walk of seven over twelve leaves it nearly unknown."""
    whole, _ = order_test(shop(), exclude_seen=False)
    chain = next(loss for loss in whole.losses if (loss.model, loss.metric) == ("markov", "ndcg@10"))
    assert chain.kept == 1.0
    assert chain.loss.value == pytest.approx(1.0 - sum(chain.copies) / len(chain.copies))
    assert chain.loss.low > 0.3


def test_the_order_of_rows_in_ties_is_tested_apart() -> None:
    log = shop(users=200)
    whole, rows = order_test(log)
    assert (whole.verdict, rows and rows.verdict) == ("matters", "matters")
    assert rows is not None
    assert rows.said.startswith("rows of equal time stand in an order that can be learnt")
    # the same with ties broken by chance: order still matters, that within ties shows no more
    by_chance = log.frame.with_columns(
        row=pl.Series(np.random.default_rng(1).permutation(log.n_events)).cast(pl.Int64)
    )
    mixed, left = order_test(EventLog.of(by_chance))
    assert mixed.verdict == "matters"
    assert left is not None
    assert left.verdict != "matters"
    # an order column breaks ties, so that there are none
    counted = log.frame.with_columns(order=pl.int_range(pl.len()))
    assert order_test(EventLog.of(counted))[1] is None


def test_the_same_seed_gives_the_same_test_and_the_log_stays_as_it_is() -> None:
    log = simulate("markov", users=80, length=6, items=10)
    before = log.fingerprint()
    assert order_test(log, seed=3) == order_test(log, seed=3)
    assert order_test(log, seed=3) != order_test(log, seed=4)
    assert log.fingerprint() == before


def test_few_users_say_nothing() -> None:
    whole, rows = order_test(shop(users=29))
    assert (whole.verdict, whole.losses, rows) == ("unknown", (), None)
    assert "29 users could be tested, 30 are needed" in whole.said


def test_a_log_larger_than_what_is_looked_at_is_sampled_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ensue.auditing.order.EVENTS", 8 * 40)
    monkeypatch.setattr("ensue.auditing.order.QUERIES", 35)
    monkeypatch.setattr("ensue.auditing.order.CELLS", 12)  # one query at a time changes nothing
    whole, _ = order_test(shop())
    assert "a sample of 40 of 60 sequences of two or more events (320 events)" in whole.what
    monkeypatch.setattr("ensue.auditing.order.CELLS", 6_000_000)
    again, _ = order_test(shop())
    assert "35 last items asked for" in again.what
    assert again.users == 35


def test_sessions_of_one_user_are_one_witness() -> None:
    log = shop(users=40)
    cut = EventLog.of(log.frame.with_columns(session=(pl.int_range(pl.len()) // 4).cast(pl.String)))
    whole, _ = order_test(cut, "session")
    assert "80 of 80 sequences" in whole.what
    assert whole.users == 40


def loss_of(kept: float, low: float, copies: tuple[float, ...]) -> Loss:
    mean = kept - sum(copies) / len(copies)
    return Loss("markov", "ndcg@10", kept, copies, Interval(mean, low, 2 * mean - low, None, 100))


def test_a_loss_is_sure_only_if_it_stands_out_from_the_copies_too() -> None:
    assert loss_of(0.5, 0.1, (0.30, 0.31, 0.29, 0.30, 0.30)).sure
    assert not loss_of(0.5, -0.1, (0.30, 0.31, 0.29, 0.30, 0.30)).sure
    assert not loss_of(0.5, 0.1, (0.10, 0.49, 0.10, 0.49, 0.30)).sure


# ------------------------------------------------------------------------------------------- advice


def advised(log: EventLog, option: str, **how: bool) -> list[tuple[str | bool, str]]:
    return [(one.value, one.reason) for one in examine(log, **how).audit.advice if one.option == option]  # type: ignore[arg-type]


def test_models_follow_from_order() -> None:
    ring = dict(advised(shop(), "models"))
    assert "markov, rules" in ring
    assert "order matters" in ring["markov, rules"]
    noise = dict(advised(simulate("orderless", users=400, length=30), "models"))
    assert "markov, rules" not in noise
    assert "order does not show" in noise["neighbours"]
    untested = dict(advised(shop(), "models", order=False))
    assert "whether order says anything is not known" in untested["rules"]


def test_short_histories_and_a_quick_catalogue_have_models_of_their_own() -> None:
    days = np.arange(600)
    fresh = pl.DataFrame(
        {
            "user": [f"u{n % 100}" for n in days],
            "item": [f"i{n // 20}" for n in days],  # every item is there for 20 days of one event
            "time": pl.Series(days * 86_400_000_000).cast(TIME),
        }
    )
    models = dict(advised(EventLog.of(fresh), "models"))
    assert "6 events" in models["v-sknn, stan"]  # 600 / 100
    assert "younger than a week" in models["recent"]
    assert "recent" not in dict(advised(simulate("markov", users=100, length=10), "models"))


def test_networks_wait_for_events() -> None:
    (value, reason), *_ = advised(shop(), "networks")
    assert value == "not yet"
    assert "480 events, fewer than 100,000" in reason


def test_what_a_test_can_see_is_its_standard_error_times_what_finds_it_four_times_of_five() -> None:
    log = shop()
    order = OrderTest("matters", (), "", 60, spread=0.3)
    found = sized(log, "last", "user", order)
    assert found.users == 60
    assert found.smallest == pytest.approx(POWER * 0.3 / 60**0.5)
    assert sized(log, "last", "user", None).smallest is None
    stamp = log.frame["time"].dt.epoch("us")
    late = log.frame.filter(stamp >= np.quantile(stamp.to_numpy(), 0.9))["user"].n_unique()
    assert sized(log, "temporal", "user", order).users == late < 60


def test_sessions_follow_the_valley_of_the_gaps() -> None:
    rng = np.random.default_rng(0)
    gaps = np.where(
        rng.random(4000) < 0.7, rng.lognormal(np.log(40), 0.7, 4000), rng.lognormal(np.log(90_000), 0.5, 4000)
    )
    times = np.cumsum(gaps.reshape(40, 100), axis=1).ravel()
    frame = pl.DataFrame(
        {
            "user": [f"u{n // 100}" for n in range(4000)],
            "item": [f"i{n}" for n in rng.integers(50, size=4000)],
            "time": pl.Series((times * 1e6).astype(np.int64)).cast(TIME),
        }
    )
    (value, reason), *_ = advised(EventLog.of(frame), "sessions", order=False)
    assert 300 < float(value) < 40_000
    assert "clear valley" in reason


# ------------------------------------------------------------------------------------------- output


def test_nothing_that_is_written_holds_an_id_of_a_user_or_of_a_session() -> None:
    frame = shop().frame
    again = pl.concat([frame, frame.head(3)]).drop("row").with_columns(pl.lit("x").alias("channel"))
    log = EventLog.of(again).with_sessions(3600)
    found = examine(log)
    assert next(one for one in found.faults if one.name == "duplicates").count == 3
    for text in (json.dumps(found.to_json()), page_of(found, log, "a log"), "\n".join(found.lines())):
        assert TELLING not in text
        assert "i00" in text or "duplicates" in text


def test_a_page_escapes_titles_ids_and_names_and_asks_nothing_of_the_network() -> None:
    log = shop()
    bad = "<script>alert('x')</script>"
    items = pl.DataFrame({"item": log.frame["item"].unique()}).with_columns(title=pl.lit(bad))
    spaced = log.frame.with_columns(
        item=pl.when(pl.int_range(pl.len()) == 5).then(pl.lit(" <b>i</b>")).otherwise("item")
    )
    titled = EventLog.of(spaced, items=items)
    page = page_of(examine(titled), titled, bad)
    assert "<script" not in page
    assert "<b>i" not in page
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in page
    assert "http://" not in page
    assert "https://" not in page
    assert page.count("<svg") == page.count("</svg>") == 5  # lengths, popularity, activity, gaps, ratings


def test_the_lines_stand_under_five_heads_and_the_values_are_plain() -> None:
    found = examine(shop(), order=False)
    heads = [line for line in found.lines() if not line.startswith(" ")]
    assert heads == [
        "What it is",
        "What is wrong",
        "What leaks",
        "Whether order says anything",
        "What follows",
    ]
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert stored["order"] is None
    assert stored["audit"]["events"] == 480
    assert {one["name"] for one in stored["faults"]} >= {"duplicates", "one-event users"}


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("uvw"),
            st.sampled_from("abAB "),
            st.integers(-(2**40), 2**45),
            st.none() | st.floats(-5, 200),
        ),
        min_size=1,
        max_size=12,
    ),
    st.booleans(),
)
def test_any_log_is_audited_to_the_end(rows: list[tuple[str, str, int, float | None]], timed: bool) -> None:
    schema = {"user": pl.String, "item": pl.String, "time": pl.Int64, "rating": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("time").cast(TIME))
    log = EventLog.of(frame if timed else frame.drop("time"))
    found = examine(log)
    json.dumps(found.to_json(), allow_nan=False)
    assert page_of(found, log, "any").endswith("</html>\n")
    assert all(0 <= one.count <= max(one.of, one.count) for one in (*found.faults, *found.leaks))
