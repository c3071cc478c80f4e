"""Mistakes that have sunk published numbers, each planted where a user could make it: caught, or impossible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from ensue import ladder
from ensue.candidates import Candidates
from ensue.catalogue import Catalogue
from ensue.errors import DataError, LeakError, QueryError
from ensue.evaluation import evaluate
from ensue.events.audit import audit
from ensue.events.filtering import Filters
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.experiment import DEFAULT_LADDER, Experiment, Splitting
from ensue.model import Conditions, Training, fit
from ensue.models.counting.markov import Markov
from ensue.ranking import Parts, Recommender, Scores
from ensue.sequences import Queries
from ensue.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    at_times,
    check,
    check_learnt,
    last_out,
    split,
    temporal,
    tie_shuffled,
)
from ensue.suspicion import probe, suspicions
from ensue.tracks import TIME_AWARE, TIME_BLIND, track_of

ITEMS, USERS, STEPS = 12, 30, 11
MINUTE = 60_000_000


@dataclass(frozen=True)
class Planted:
    """A scoring that is one function."""

    rule: Callable[[Queries], Scores]

    def score(self, queries: Queries) -> Scores:
        return self.rule(queries)

    def parts(self) -> Parts:
        return Parts()


def moments(minutes: np.ndarray[Any, Any]) -> pl.Series:
    """Times, in minutes after the first."""
    return pl.Series("time", minutes * MINUTE).cast(pl.Datetime("us", "UTC"))


@pytest.fixture(scope="module")
def log() -> EventLog:
    """30 users walk round 12 items, from different places, at times that interleave; none repeats an item."""
    user, step = np.repeat(np.arange(USERS), STEPS), np.tile(np.arange(STEPS), USERS)
    return EventLog.of(
        pl.DataFrame(
            {
                "user": [f"u{n:02}" for n in user],
                "item": [f"i{n:02}" for n in (user + step) % ITEMS],
                "time": moments(1000 * step + user),
            }
        )
    )


@pytest.fixture(scope="module")
def parts(log: EventLog) -> Split:
    return temporal(log)


@dataclass(frozen=True)
class Told(Planted):
    """One that says that it reads when it is asked."""

    when_asked: ClassVar[bool] = True


def planted(parts: Split, rule: Callable[[Queries], Scores], *, seen: bool = False) -> Recommender:
    return Recommender(Catalogue.fit(parts.before_test), Planted(rule), "planted", exclude_seen=seen)


def chosen(queries: Queries, item: np.ndarray[Any, Any], score: float = 1.0) -> Scores:
    """Scores of 0, but for one item of each query."""
    scores = np.zeros((len(queries), queries.n_items))
    scores[np.arange(len(queries)), item] = score
    return scores


# ------------------------------------------------------------------------------------------ of a split


def test_a_training_event_after_the_cut(parts: Split) -> None:
    part = parts.part.copy()
    part[np.flatnonzero(part == TEST)[-1]] = TRAIN
    with pytest.raises(LeakError, match="1 train events are not earlier"):
        check(replace(parts, part=part))


def test_a_training_event_at_the_cut(log: EventLog) -> None:
    same = EventLog.of(log.frame.with_columns(time=pl.lit(5).cast(pl.Datetime("us", "UTC"))))
    part = np.where(np.arange(same.n_events) % 2, TEST, TRAIN).astype(np.uint8)
    with pytest.raises(LeakError, match=f"{int((part == TRAIN).sum())} train events are not earlier"):
        check(Split(same, part, "by hand"))
    with pytest.raises(DataError, match="nothing is left to train on"):
        temporal(same)


def test_parts_that_overlap(parts: Split) -> None:
    """An event has one part; who joins overlapping parts by hand has a model that the check refuses."""
    assert sum(parts.sizes.values()) == parts.log.n_events
    both = pl.concat([parts.before_test.frame, parts.log.where(parts.part == TEST).frame.head(3)])
    one = fit("popular", EventLog.of(both.drop("row")))
    with pytest.raises(LeakError, match="learnt from 3 events"):
        check_learnt(parts, one.catalogue)


def test_a_split_that_leaks_says_so(log: EventLog) -> None:
    for rule in ("last", "ratio", "users", "items"):
        assert "later" in split(log, rule).leaks
    assert split(log).leaks == ""


def test_a_held_out_user_in_training(log: EventLog) -> None:
    found = split(log, "users")
    part = found.part.copy()
    part[np.flatnonzero(part == TEST)[0]] = TRAIN
    with pytest.raises(LeakError, match="1 users stand in more than one part"):
        check(replace(found, part=part))


# --------------------------------------------------------------------------------------- of a question


def test_a_target_inside_its_own_history(log: EventLog) -> None:
    found = last_out(log)
    ends = np.where(found.part == TEST, np.arange(log.n_events), -1)
    assert len(replace(found, until=ends).examples("test", Catalogue.fit(log))) == USERS
    after = ends.copy()
    after[np.flatnonzero(found.part == TEST)[0]] += 1
    with pytest.raises(
        LeakError, match=f"1 of {USERS} targets would be asked with a history that holds the target"
    ):
        replace(found, until=after)


def test_a_history_that_reaches_into_the_future(parts: Split) -> None:
    asked = parts.examples("test", Catalogue.fit(parts.before_test))
    queries = asked.queries
    rest = asked[np.flatnonzero(queries.ends + 1 < len(queries.items))]
    with pytest.raises(LeakError, match="histories hold an event that is later than their question"):
        replace(rest, queries=replace(rest.queries, ends=rest.queries.ends + 2))


def test_targets_that_are_off_by_one(parts: Split) -> None:
    """Who knows the next item is always right, who repeats the last one never: no other shift gives that."""
    known = Catalogue.fit(parts.before_test)
    after = known.encode([f"i{(int(item[1:]) + 1) % ITEMS:02}" for item in known.ids])

    def following(queries: Queries) -> Scores:
        return chosen(queries, after[queries.last(1)[:, 0]])

    def again(queries: Queries) -> Scores:
        return chosen(queries, queries.last(1)[:, 0])

    assert evaluate(planted(parts, following), parts, metrics=("accuracy",)).value("accuracy") == 1.0
    assert evaluate(planted(parts, again), parts, metrics=("accuracy",)).value("accuracy") == 0.0
    shifted = parts.examples("test", known)
    late = replace(shifted, queries=replace(shifted.queries, ends=shifted.queries.ends + 1))
    assert evaluate(planted(parts, again), late, metrics=("accuracy",)).value("accuracy") == 1.0
    assert "histories that end one event too late" in probe(planted(parts, again), late)[0]


def test_a_target_that_is_padding(parts: Split) -> None:
    asked = parts.examples("test", Catalogue.fit(parts.before_test))
    with pytest.raises(DataError, match=f"Target {ITEMS} is no item of a catalogue of {ITEMS}"):
        replace(asked, targets=np.full_like(asked.targets, ITEMS))


def test_the_time_of_the_target_used_silently(parts: Split) -> None:
    """User n takes step s at minute 1000 s + n: whoever reads the time of the question knows the answer."""
    known = Catalogue.fit(parts.before_test)

    def told(queries: Queries) -> Scores:
        assert queries.time is not None
        at = queries.time[queries.ends - 1] if queries.at is None else queries.at
        wanted = [f"i{(t % 1000 + t // 1000) % ITEMS:02}" for t in (at // MINUTE).tolist()]
        return chosen(queries, known.encode(wanted))

    one, asked = planted(parts, told), parts.examples("test", known)
    assert evaluate(one, asked, metrics=("accuracy",)).value("accuracy") == 1.0
    with pytest.raises(LeakError, match="does not say that it reads them"):
        probe(one, asked, reads=())
    said = replace(one, scoring=Told(told))
    assert probe(said, asked, reads=("time",)) == ()
    assert (track_of(one), track_of(said)) == (TIME_BLIND, TIME_AWARE)


def test_an_answer_that_is_read_where_the_history_ends(parts: Split) -> None:
    def peeking(queries: Queries) -> Scores:
        return chosen(queries, queries.items[np.minimum(queries.ends, len(queries.items) - 1)])

    one = planted(parts, peeking)
    assert "has the model seen the answers" in suspicions(evaluate(one, parts))[0]
    with pytest.raises(LeakError, match="it has read the answers"):
        probe(one, parts.examples("test", one.catalogue))


# --------------------------------------------------------------------------------- of what is fitted


def test_a_model_fitted_on_the_whole_log(log: EventLog, parts: Split) -> None:
    """Its catalogue holds an item that comes in the test only, and counts of the test."""
    new = pl.DataFrame({"user": ["u00"], "item": ["new"], "time": moments(np.array([10**6]))})
    frame = pl.concat([log.frame.drop("row"), new])
    grown = EventLog.of(frame)
    found = at_times(grown, 9000 * MINUTE)
    whole, honest = fit("popular", grown), fit("popular", found.before_test)
    assert "new" in whole.catalogue.ids
    assert "new" not in honest.catalogue.ids
    tested = int((found.part == TEST).sum())
    for same_log in (True, False):
        with pytest.raises(LeakError, match=f"learnt from {tested} events on"):
            check_learnt(found, whole.catalogue, same_log=same_log)
        check_learnt(found, honest.catalogue, same_log=same_log)
    assert check(parts) == ()


def test_popularity_counted_on_test_events(parts: Split) -> None:
    """The items are those of training, and the counts are not."""
    honest = Catalogue.fit(parts.before_test)
    tested = honest.encode(parts.log.where(parts.part == TEST).frame["item"])
    counts = honest.counts + np.bincount(tested[:1], minlength=ITEMS)
    with pytest.raises(LeakError, match="learnt from 1 events on 1 items"):
        check_learnt(parts, replace(honest, counts=counts))


@dataclass(frozen=True, eq=False)
class Seen:
    """What one fit was given."""

    learnt: int
    asked: Examples | None


def ran(log: EventLog, out: Path, **changes: Any) -> ladder.Outcome:
    settings: dict[str, Any] = {"split": Splitting("temporal"), "models": {"markov": {}}, "out": str(out)}
    return ladder.run(Experiment(**{**settings, **changes}), log=log)


@pytest.fixture(scope="module", params=[True, False], ids=["refit", "no refit"])
def watched(
    log: EventLog, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Seen], ladder.Outcome, bool]:
    """What each fit of a run was given, what it came to, and whether it fits again before the test."""
    fits: list[Seen] = []
    own = Markov.fit

    def seeing(model: Markov, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        fits.append(Seen(len(training.sequences.items), training.validation))
        return own(model, training, conditions)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Markov, "fit", seeing)
        outcome = ran(log, tmp_path_factory.mktemp("run") / "run", refit=request.param)
    return fits, outcome, request.param


def test_an_epoch_chosen_on_the_test(log: EventLog, watched: tuple[list[Seen], ladder.Outcome, bool]) -> None:
    """What a fit may stop by is the validation part, and nothing of the test; a refit has nothing to choose by."""
    (first, *again), outcome, _ = watched
    assert all(one.asked is None for one in again)
    times, part = log.frame["time"].dt.epoch("us").to_numpy(), outcome.split.part
    assert first.asked is not None
    assert first.asked.queries.at is not None
    assert sorted(first.asked.queries.at.tolist()) == sorted(times[part == VALIDATION].tolist())
    assert first.asked.queries.at.max() < times[part == TEST].min()


def test_the_validation_part_learnt_from_unsaid(watched: tuple[list[Seen], ladder.Outcome, bool]) -> None:
    """A refit learns from it, and the artifact says from how many events; without one, nothing does."""
    fits, outcome, refits = watched
    sizes, parts = outcome.split.sizes, outcome.split
    expected = [sizes["train"], *([sizes["train"] + sizes["validation"]] if refits else [])]
    assert [one.learnt for one in fits] == expected
    served = outcome.recommender
    assert served.facts["learnt"]["events"] == expected[-1] == served.catalogue.counts.sum()
    check_learnt(parts, served.catalogue)
    if refits:
        with pytest.raises(
            LeakError, match=r"when the validation part is asked for .* fit it on split.train"
        ):
            check_learnt(parts, served.catalogue, "validation")
    else:
        check_learnt(parts, served.catalogue, "validation")


def test_a_filter_fitted_on_test_events(log: EventLog, tmp_path: Path) -> None:
    """An item that is rare in training and frequent in the test is not learnt from."""
    rare = [(f"u{n:02}", "rare", 20_000 + n) for n in range(USERS)] + [("u00", "rare", 50)]
    frame = pl.DataFrame(rare, schema=["user", "item", "time"], orient="row")
    frame = frame.with_columns(moments(frame["time"].to_numpy()))
    grown = EventLog.of(pl.concat([log.frame.drop("row"), frame.select("user", "item", "time")]))
    filters = Filters(min_item_events=3)
    outcome = ran(grown, tmp_path / "run", filters=filters)
    assert "rare" not in ladder.load(tmp_path / "run").catalogue.ids
    cold = outcome.rungs[0].test.counts.cold_targets
    assert cold == int((outcome.split.part[(grown.frame["item"] == "rare").to_numpy()] == TEST).sum()) > 20


def test_baselines_that_are_missing() -> None:
    assert {"popular", "recent", "markov", "rules"} <= set(DEFAULT_LADDER)


# ---------------------------------------------------------------------------------------- of a ranking


def test_only_the_last_items_excluded(log: EventLog) -> None:
    """The rules look at two items; all that a user has had is left out nonetheless."""
    one = fit("rules", log, last=2)
    history = [f"i{n:02}" for n in range(10)]
    assert set(one.recommend(history, k=ITEMS).items) == {"i10", "i11"}
    found = last_out(log)
    asked = evaluate(fit("rules", found.before_test, last=2), found, metrics=("recall@2",))
    assert asked.exclude_seen
    assert asked.value("recall@2") == 1.0, "two of the twelve are left after ten"


def test_seen_items_masked_with_zero(parts: Split) -> None:
    """Scores below 0 everywhere: an item masked with 0 would stand first."""

    def negative(queries: Queries) -> Scores:
        return np.tile(-np.arange(1.0, queries.n_items + 1), (len(queries), 1))

    one = planted(parts, negative, seen=True)
    history = one.catalogue.ids.head(4).to_list()
    assert one.recommend(history, k=ITEMS).items == tuple(one.catalogue.ids.to_list()[4:])
    found = evaluate(one, parts, metrics=("mrr",))
    ranks = []
    asked = parts.examples("test", one.catalogue)
    for query, target in enumerate(asked.targets.tolist()):
        seen = set(asked.queries[np.array([query])].pairs()[1].tolist())
        ranks.append(1 + sum(item not in seen for item in range(target)))
    per_user = [
        np.mean([1 / ranks[q] for q in np.flatnonzero(asked.groups == g)]) for g in set(asked.groups.tolist())
    ]
    assert found.value("mrr") == pytest.approx(np.mean(per_user))


def test_padding_or_a_mask_that_is_ranked(parts: Split) -> None:
    def padded(queries: Queries) -> Scores:
        return np.ones((len(queries), queries.n_items + 1))

    one = planted(parts, padded)
    with pytest.raises(QueryError, match="padding and mask are no items"):
        probe(one, parts.examples("test", one.catalogue))


def test_optimistic_ranks_of_ties(parts: Split) -> None:
    def constant(queries: Queries) -> Scores:
        return np.zeros((len(queries), queries.n_items))

    found = evaluate(planted(parts, constant), parts, metrics=("recall@1", "recall@6", "recall@7", "mrr"))
    # twelve items at one score: the rank of each is 1 + 11 / 2 = 6.5
    assert found.value("mrr") == pytest.approx(1 / 6.5)
    assert [found.value(name) for name in ("recall@1", "recall@6", "recall@7")] == [0.0, 0.0, 1.0]
    assert found.counts.tied_share == 1.0
    assert "hardly tells items apart" in suspicions(found)[0]
    assert any("tie with another candidate" in line for line in found.lines())


def test_scores_that_are_no_numbers(parts: Split) -> None:
    def broken(queries: Queries) -> Scores:
        return np.full((len(queries), queries.n_items), np.nan)

    with pytest.raises(QueryError, match="not finite"):
        evaluate(planted(parts, broken), parts)


def test_a_ranking_among_a_few_items_unsaid(parts: Split) -> None:
    one = fit("markov", parts.before_test)
    asked = parts.examples("test", one.catalogue)
    few = evaluate(one, asked, candidates=Candidates.sampled(asked, one.catalogue, 3, 0, one.exclude_seen))
    assert few.sampled is not None
    assert any("SAMPLED" in line for line in few.lines())
    assert evaluate(one, asked).sampled is None


# ------------------------------------------------------------------------------------------- of ties


def test_ties_in_the_order_of_item_ids() -> None:
    """Each user takes four neighbouring items at once, and the source lists them by id: the next one is the next id.

    A chain learns that, and a shuffle shows it.
    """
    rng = np.random.default_rng(2)
    taken = [f"i{first + n}" for first in rng.integers(0, 7, 200).tolist() for n in range(4)]
    frame = pl.DataFrame({"user": [f"u{n // 4:03}" for n in range(800)], "item": taken})
    tied = EventLog.of(frame.with_columns(time=pl.lit(0).cast(pl.Datetime("us", "UTC"))))
    assert audit(tied).tied_share == 1.0
    found = split(tied, "last")
    assert "stand in the order of their items' ids, which can be learnt" in found.notes[-1]
    shuffled = tie_shuffled(tied, seed=1)
    assert not any("order of their items' ids" in note for note in split(shuffled, "last").notes)
    scored = [
        evaluate(fit("markov", one.before_test), one, metrics=("recall@1",)).value("recall@1")
        for one in (split(tied, "last"), split(shuffled, "last"))
    ]
    assert scored[0] > scored[1] + 0.2


def test_a_name_that_stands_for_several_data_sets(log: EventLog) -> None:
    """What was read is told by its fingerprint: one event fewer, or ties in another order, is another log."""
    fewer = log.where(pl.int_range(pl.len()) != 7)
    one_time = EventLog.of(log.frame.with_columns(time=pl.lit(0).cast(pl.Datetime("us", "UTC"))))
    prints = {one.fingerprint() for one in (log, fewer, one_time, tie_shuffled(one_time))}
    assert len(prints) == 4
