"""The contract of models: descriptions that fit, by name or as themselves."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import polars as pl
import pytest

from ensue.errors import ColumnError, ConfigError
from ensue.events.log import EventLog
from ensue.model import Conditions, Training, fit, model_of, models
from ensue.models.counting.markov import Markov
from ensue.models.counting.rules import Rules
from ensue.ranking import Recommender
from ensue.sequences import Queries


def test_the_models_there_are() -> None:
    """What needs torch comes last, so that the others are found without it."""
    social = ("friend-walks", "mutual-friends")
    baskets = ("last-seen", "mixture", "personal", "repeats", "tifu-knn", "together", "up-cf")
    chains = ("als", "log-linear", "markov", "markov-time", "neighbours", "rules", "v-sknn", "stan")
    counting = (*social, *baskets, *chains, "newest", "popular", "recent", "profiles")
    recurrent = ("gru4rec", "lru", "rnn", "lstm", "gru")
    rating = ("bayesian", "blend", "svd", "svdpp")
    others = ("bert4rec", "fpmc", "hstu", "transformer", "transformer-xl", "xlnet")
    names = models.names()
    assert sorted(names[: len(counting)]) == sorted(counting)
    assert sorted(names[len(counting) :]) == sorted(rating + recurrent + others)


@pytest.mark.parametrize("name", models.names())
def test_every_model_says_what_it_is_and_of_what(name: str) -> None:
    kind = models.get(name)
    assert kind.name == name
    assert 10 < len(kind.summary) < 80
    assert kind.__doc__ is not None
    for field in fields(kind):
        owners = [
            cls.__doc__ or "" for cls in kind.__mro__ if field.name in vars(cls).get("__annotations__", {})
        ]
        assert any(f"        {field.name}: " in doc for doc in owners), (
            f"{name}.{field.name} is not documented"
        )


def test_a_model_holds_nothing_that_it_has_learnt(ring_log: EventLog) -> None:
    model = Rules(window=3)
    before = dict(vars(model))
    fitted = model.fit(Training.of(ring_log))
    assert isinstance(fitted, Recommender)
    assert vars(model) == before
    with pytest.raises(FrozenInstanceError):
        model.window = 4  # type: ignore[misc]


def test_a_model_by_its_name_is_the_model() -> None:
    assert model_of("markov") == Markov()
    assert model_of("rules", window=3, decay=0.5) == Rules(window=3, decay=0.5)
    assert model_of(Rules(window=3), last=2) == Rules(window=3, last=2)
    model = Rules(window=3)
    assert model_of(model) is model


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("markow", {}, f"no model is called 'markow'; there are {', '.join(models.names())}. "
         "Did you mean 'markov'?"),
        ("rules", {"windw": 3}, "The model rules has no setting 'windw'; it has window, last, decay. "
         "Did you mean 'window'?"),
        ("recent", {"order": 2}, "The model recent has no setting 'order'; it has days."),
        ("rules", {"decay": 2.0}, "rules: window=20, last=10, decay=2.0: window and last are at least 1, decay "
         "lies between 0 and 1."),
    ],
)  # fmt: skip
def test_a_wrong_model_gives_one_clear_line(name: str, settings: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError) as told:
        model_of(name, **settings)
    assert str(told.value) == says


def test_fit_takes_all_events_of_a_log(ring_log: EventLog) -> None:
    by_name = fit("rules", ring_log, window=2, exclude_seen=False)
    by_hand = Rules(window=2).fit(Training.of(ring_log, exclude_seen=False))
    queries = Queries.of([[0], [1, 2]], 10)
    assert (by_name.scores(queries) == by_hand.scores(queries)).all()
    assert by_name.settings == {"window": 2, "last": 10, "decay": 0.7}
    assert not by_name.exclude_seen
    assert by_name.catalogue.counts.sum() == ring_log.n_events


def test_sequences_are_of_users_or_of_sessions() -> None:
    """a then b in one session, c in the next: by user b is followed by c, by session by nothing."""
    frame = pl.DataFrame({"user": ["u"] * 3, "item": ["a", "b", "c"], "time": [0, 1, 100_000]})
    log = EventLog.of(frame.with_columns(pl.from_epoch("time").cast(pl.Datetime("us", "UTC"))))
    with pytest.raises(ColumnError, match="The log has no sessions"):
        fit("markov", log, by="session")
    by_user, by_session = fit("markov", log), fit("markov", log.with_sessions(1800), by="session")
    assert by_user.recommend(["b"], 1, exclude_seen=False).items == ("c",)
    assert by_session.recommend(["b"], 1, exclude_seen=False).items == ("a",)  # popularity, then by id


def test_conditions_are_plain_unless_said_otherwise() -> None:
    plain = Conditions()
    assert (plain.seed, plain.device, plain.threads) == (0, "auto", 0)
    assert (plain.checkpoints, plain.max_minutes, plain.steps, plain.horizon) == (None, 0.0, 0, 0)
