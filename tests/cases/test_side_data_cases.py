"""c84: gaps in what is known of items and events; c86: a column that is not there. Both through networks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ensue import artifacts, runtime
from ensue.cli import call
from ensue.errors import ModelError
from ensue.events.log import EventLog
from ensue.model import Conditions, Training
from ensue.models.neural.rnn import LSTM
from ensue.progress import Silent, Task
from ensue.questions import Question
from ensue.ranking import Recommender

ITEMS = "ABCDEFGHIJ"
BRANDS = {"B": "acme", "C": "acme", "E": "blau", "F": "blau", "G": "acme", "I": "blau"}
PRICES = {"A": 10.5, "C": 7.0, "E": 3.2, "F": float("nan"), "G": 5.0, "H": 1.0, "I": 2.0}
MEAN = (10.5 + 7 + 3.2 + 5 + 1 + 2) / 6
DEVIATION = (sum((price - MEAN) ** 2 for price in (10.5, 7, 3.2, 5, 1, 2)) / 6) ** 0.5


@dataclass
class Told:
    """Progress that remembers what it was told."""

    lines: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Remembers a line."""
        self.lines.append(text)

    def task(self, name: str, total: float) -> AbstractContextManager[Task]:
        """A task that remembers when it began."""
        self.lines.append(f"task {name}")
        return Silent().task(name, total)


def log(**columns: list[object]) -> EventLog:
    """20 users take 8 steps each round A to J; items with gaps in brand and price, and no row at all for J.

    The brand of its item is a column of each event too, so that a request can tell one.
    """
    starts, steps = np.repeat(np.arange(20), 8), np.tile(np.arange(8), 20)
    items = [ITEMS[n % 10] for n in (starts + steps).tolist()]
    frame = pl.DataFrame(
        {
            "user": [f"u{n:02d}" for n in starts],
            "item": items,
            "time": (1_600_000_000 + 86_400 * starts + 60 * steps) * 1_000_000,
            "brand": [BRANDS.get(item) for item in items],
            "genre": [["x|y", "y", None][n % 3] for n in steps.tolist()],
        }
    ).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    known = pl.DataFrame(
        {
            "item": list(ITEMS[:9]),
            "brand": [BRANDS.get(item) for item in ITEMS[:9]],
            "price": [PRICES.get(item) for item in ITEMS[:9]],
            "genres": ["x|y", "y", None, "x", "z", "y", "", "x", "y"],
        }
    )
    return EventLog.of(frame.with_columns(**{name: pl.Series(v) for name, v in columns.items()}), known)


MODEL = LSTM(
    width=16,
    length=8,
    epochs=8,
    batch_tokens=64,
    learning_rate=2e-2,
    features=("brand", "price", "genres"),
    inputs=("brand",),
)


@pytest.fixture(scope="module")
def told() -> Told:
    return Told()


@pytest.fixture(scope="module")
def fitted(told: Told) -> Recommender:
    return MODEL.fit(Training.of(log(), exclude_seen=False), Conditions(progress=told))


@pytest.fixture(scope="module")
def saved(fitted: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifacts.save(fitted, tmp_path_factory.mktemp("gaps") / "model")


@pytest.fixture(scope="module")
def served(saved: Path) -> Recommender:
    return runtime.load(saved)


def columns_of(lines: list[str]) -> list[str]:
    """The lines that tell of columns."""
    return [line for line in lines if ": reads " in line or "unseen" in line]


# -------------------------------------------------------------------------- c84: gaps in side data


def test_c84_gaps_do_not_stop_training_nor_take_items_out(fitted: Recommender) -> None:
    assert np.isfinite([epoch["loss"] for epoch in fitted.facts["history"]]).all()
    assert sorted(fitted.catalogue.ids.to_list()) == list(ITEMS), "J has no row, and is an item like others"


def test_c84_the_steps_are_answered_and_a_missing_brand_does_no_harm(served: Recommender) -> None:
    assert served.recommend(["A"], 3).items[0] == "B"
    for history in (["A"], ["D", "F"], ["J"]):
        assert len(served.recommend(history, 3)) == 3
    unseen = served.recommend(Question(["A"], context={"brand": ["never-seen"]}), 3)
    assert len(unseen) == 3


def test_c84_missing_unseen_known_and_padding_are_four_things(
    fitted: Recommender, served: Recommender
) -> None:
    asked = {value: Question(["C"], context={"brand": [value]}) for value in ("acme", None, "never-seen")}
    scores = {value: served.recommend(question, 10).scores for value, question in asked.items()}
    assert len(set(scores.values())) == 3, "known, missing and unseen are read differently"
    assert served.recommend(["C"], 10).scores == scores[None], "a column that is not told is missing"
    beside = served.recommend_many([asked["never-seen"], Question(list("ABCDEF"))], 10)
    np.testing.assert_allclose(beside[0].scores, scores["never-seen"], atol=1e-5)
    assert beside[0].items == served.recommend(asked["never-seen"], 10).items, "padding says nothing"


def test_c84_the_rules_are_said_before_training_begins(told: Told, fitted: Recommender) -> None:
    said = columns_of(told.lines[: told.lines.index("task lstm")])
    gaps = 20 * 8 - sum(item in BRANDS for item in log().frame["item"])
    assert said == [
        f"lstm: reads brand: category of 2 values, {gaps} of 160 missing, with a code of their own",
        "lstm: reads of items brand: category of 2 values, 4 of 10 missing, with a code of their own",
        f"lstm: reads of items price: number of mean {MEAN:.4g} and deviation {DEVIATION:.4g}, "
        "4 of 10 missing, read as the mean with a mark of their own",
        "lstm: reads of items genres: several of 3 values parted at '|', 3 of 10 missing, with a vector of their "
        "own; recognised by the '|' in its text, unless a kind is given",
        "lstm: a value that training did not know is read as unseen, which is told from missing",
    ]


def test_c84_what_was_asked_for_is_not_said_to_be_recognised() -> None:
    told = Told()
    asked = ({"column": "genres", "kind": "values"}, {"column": "price", "kind": "number"})
    model = replace(MODEL, inputs=(), features=asked, epochs=1)
    model.fit(Training.of(log()), Conditions(progress=told))
    lines = [line for line in told.lines if "genres" in line]
    assert lines == [
        "lstm: reads of items genres: several of 3 values parted at '|', 3 of 10 missing, with a vector of their own"
    ]


def test_c84_a_network_of_items_alone_says_nothing_of_columns() -> None:
    told = Told()
    replace(MODEL, inputs=(), features=(), epochs=1).fit(Training.of(log()), Conditions(progress=told))
    assert columns_of(told.lines) == []


def test_c84_the_price_rule_is_kept_for_serving(saved: Path) -> None:
    """What is saved reads a new item by the prices of training, and a missing one by their mean and a mark."""
    described = artifacts.describe(saved)["scoring"]["features"]
    (price,) = [entry for entry in described if entry["name"] == "price"]
    assert price["encoding"]["mean"] == pytest.approx(MEAN)
    assert price["encoding"]["deviation"] == pytest.approx(DEVIATION)
    assert (price["gaps"], price["rows"]) == (4, 10)


# ------------------------------------------------------------------- c86: a column that is not there


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"inputs": ("brnad",)},
            r"no column 'brnad' to read; it has brand, genre, user\. Did you mean 'brand'\?",
        ),
        (
            {"features": ("pric",)},
            r"no column 'pric'; there are: item, brand, price, genres\. Did you mean 'price'\?",
        ),
        ({"features": ({"column": "price", "kind": "vector"},)}, r"'price' is Float64; a vector is a list"),
        ({"inputs": ("seen",)}, r"'seen' is Datetime.*, neither a category nor a number"),
        (
            {"loss": "mean-squared-error"},
            r"has no ratings, and the loss mean-squared-error learns from nothing else; "
            r"its other columns: brand, genre, seen\. Say which one it is \(--columns rating=NAME\)",
        ),
    ],
)
def test_c86_a_column_that_is_not_there_stops_the_model_before_it_trains(
    settings: dict[str, object], message: str
) -> None:
    told = Told()
    seen = log().frame["time"].to_list()
    events = log(seen=seen) if "seen" in message else log()
    model = replace(MODEL, **({"inputs": (), "features": ()} | settings))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=f"^lstm: .*{message}"):
        model.fit(Training.of(events), Conditions(progress=told))
    assert not any(line.startswith("task") for line in told.lines), "nothing was begun"


def test_c86_a_model_without_its_column_is_left_out_of_a_run_and_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The others run; alone it is an error, and says so in one line without a stack trace."""
    log().frame.drop("row").write_csv(tmp_path / "log.csv")
    lines = '[data]\nsource = "log.csv"\n[models.lstm]\ninputs = ["brnad"]\n'
    (tmp_path / "alone.toml").write_text(lines)
    (tmp_path / "both.toml").write_text(lines + "[models.popular]\n")
    assert call(["run", str(tmp_path / "alone.toml"), "--out", str(tmp_path / "a")]) == 2
    err = capsys.readouterr().err
    assert "Did you mean 'brand'?" in err
    assert "Traceback" not in err
    assert call(["run", str(tmp_path / "both.toml"), "--out", str(tmp_path / "b")]) == 0
    assert "lstm: left out. lstm: the log has no column 'brnad' to read" in capsys.readouterr().err


def test_c86_features_of_a_log_without_a_table_of_items_are_refused() -> None:
    bare = EventLog.of(log().frame)
    with pytest.raises(ModelError, match="lstm: nothing is known of the items of this log"):
        replace(MODEL, inputs=()).fit(Training.of(bare))
