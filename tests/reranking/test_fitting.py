"""A re-ranker gets near the best order there is, sees no future, and finds nothing where there is nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import ensue
from ensue.errors import ConfigError, DataError, LeakError
from ensue.reranking import Events, Fitted, Reranking, Shown, fit, read_shown
from ensue.reranking.fitting import parted
from ensue.reranking.simulated import Simulated, simulate_lists
from ensue.sequences import MISSING_TIME


def test_the_re_ranker_gets_near_the_best_order_that_there_is(
    simulated: Simulated, shown: Shown, fitted: Fitted
) -> None:
    part = parted(shown, 0.2)
    assert part.cut is not None
    best = simulated.reachable("mrr", shown.begins >= part.cut)
    ours, engine = fitted.test.row("re-ranker"), fitted.test.row("engine")
    assert ours.over_lists["mrr"] > engine.over_lists["mrr"] + 0.8 * (best - engine.over_lists["mrr"])
    for row in fitted.test.rows[:-1]:
        assert row.against["mrr"].difference.value > 0
    assert engine.against["mrr"].difference.low > 0.15
    assert engine.p_values["mrr"] < 0.01


def test_lists_are_split_by_when_their_sessions_began(shown: Shown) -> None:
    part = parted(shown, 0.2)
    assert part.cut is not None
    assert part.after.begins.min() >= part.cut > part.before.begins.max()
    assert part.before.at.max() < part.cut
    assert part.events.time.max() < part.cut
    assert part.after.sessions == pytest.approx(0.2 * shown.sessions, abs=2)
    assert not set(part.before.groups) & set(part.after.groups)


def test_what_a_session_that_began_before_the_cut_holds_after_it_is_in_no_part(shown: Shown) -> None:
    part = parted(shown, 0.2)
    assert part.cut is not None
    early = int(np.flatnonzero(shown.begins < part.cut)[0])
    at = np.array(shown.at)
    at[early] = part.cut
    other = parted(replace(shown, at=at), 0.2)
    assert other.cut == part.cut
    assert len(other.before) == len(part.before) - 1
    assert len(other.after) == len(part.after)


def test_lists_that_are_in_no_part_are_counted(shown: Shown) -> None:
    """Sessions that go on for as long as the log, such as users: what they are shown after a cut is nobody's."""
    lines: list[str] = []
    begins = np.where(np.arange(len(shown)) % 2, shown.begins, shown.at.min())
    at = np.where(np.arange(len(shown)) % 2, shown.at, shown.at.max())
    found = fit(replace(shown, begins=begins, at=at), Reranking(models=()), lines.append)
    gone = next(line for line in lines if "in none of these parts" in line)
    assert int(gone.split(" of ")[0].replace(",", "")) > 0.2 * len(shown)
    assert "sessions that are shorter" in gone
    assert gone in found.notes


def test_without_times_sessions_are_drawn_and_that_is_said(shown: Shown) -> None:
    n = len(shown)
    blank = replace(shown, at=np.full(n, MISSING_TIME), begins=np.full(n, MISSING_TIME))
    part = parted(blank, 0.2, seed=3)
    assert part.cut is None
    assert not set(part.before.groups) & set(part.after.groups)
    assert not set(part.events.groups) & set(part.after.groups)
    assert (part.after.groups == parted(blank, 0.2, seed=3).after.groups).all()
    found = fit(blank, Reranking(families=("position",), models=()))
    assert any("were drawn" in note for note in found.notes)
    assert found.reranker.facts["until"] is None


def test_nothing_later_than_a_list_changes_its_score(shown: Shown, fitted: Fitted) -> None:
    """Events after a list, and the choices of all, are turned upside down: its scores stay."""
    part = shown[np.arange(100, 160)]
    events, last = shown.events, int(part.ends.max())
    later = np.ones(len(events), dtype=bool)
    for start, end in zip(part.starts, part.ends, strict=True):
        later[start:end] = False
    assert later[:last].any()
    turned = Events(
        np.where(later, (events.items + 7) % len(shown.ids), events.items).astype(np.int32),
        pl.Series("kind", np.where(later, "photo", events.kinds.to_numpy())),
        events.time,
        events.groups,
    )
    other = replace(part, events=turned, chosen=part.offsets[:-1].copy())
    assert (fitted.reranker.scores(part) == fitted.reranker.scores(other)).all()


def test_what_lies_after_the_cut_changes_nothing_that_was_learnt(
    simulated: Simulated, fitted: Fitted
) -> None:
    cut = datetime.fromisoformat(str(fitted.reranker.facts["until"]))
    lists = simulated.lists.with_columns(
        chosen=pl.when(pl.from_epoch("time", "s").dt.replace_time_zone("UTC") >= cut)
        .then((pl.col("position") == 10).cast(pl.Int64))
        .otherwise("chosen")
    )
    other = fit(read_shown(lists, simulated.events)).reranker
    assert (other.choice.weights == fitted.reranker.choice.weights).all()
    assert (other.tables.clicks == fitted.reranker.tables.clicks).all()


def test_where_choices_are_chance_nothing_is_found() -> None:
    noise = simulate_lists(600, seed=5)
    drawn = np.random.default_rng(8).integers(1, 11, size=len(noise.chances))
    lists = noise.lists.with_columns(
        chosen=(pl.col("position") == pl.Series(np.repeat(drawn, 10))).cast(pl.Int64)
    )
    gap = fit(read_shown(lists, noise.events)).test.row("engine").against["mrr"].difference
    assert gap.low < 0.03
    assert abs(gap.value) < 0.06


def test_settings_that_cannot_be_are_refused(shown: Shown) -> None:
    for how, words in (
        ({"test": 1.0}, "test=1.0"),
        ({"strengths": ()}, "strengths"),
        ({"most_lists": 1}, "most_lists"),
    ):
        with pytest.raises(ConfigError, match=words):
            Reranking(**how)
    with pytest.raises(ConfigError, match=r"no family of features 'prices'.*'price'"):
        fit(shown, Reranking(families=("prices",), models=()))
    with pytest.raises(DataError, match="cannot be split"):
        fit(shown[np.arange(1)], Reranking(models=()))


def test_the_newest_lists_alone_are_learnt_from_where_there_are_too_many(shown: Shown) -> None:
    found = fit(shown, Reranking(families=("position", "score"), models=(), most_lists=50))
    assert found.reranker.facts["lists"] == 50


def test_a_saved_model_is_asked_unless_it_has_seen_the_test(
    tmp_path: Path, simulated: Simulated, shown: Shown, fitted: Fitted
) -> None:
    cut = datetime.fromisoformat(str(fitted.reranker.facts["until"]))
    log = ensue.read(simulated.events)
    early = log.where(log.frame["time"] < cut - timedelta(days=10))
    for name, until in (("past", cut - timedelta(days=10)), ("future", datetime(2030, 1, 1, tzinfo=UTC))):
        learnt = {"learnt": {"until": until.isoformat()}}
        ensue.save(ensue.fit("markov", early), tmp_path / name, facts=learnt)
    how = Reranking(families=("position", "models"), models=(str(tmp_path / "past"),))
    found = fit(shown, how)
    assert list(found.reranker.tables.models) == ["past"]
    assert any(row.order == "past alone" for row in found.test.rows)
    with pytest.raises(LeakError, match="The model future has learnt from events up to 2030"):
        fit(shown, Reranking(models=(str(tmp_path / "future"),)))


def test_without_events_the_lists_alone_are_learnt_from(simulated: Simulated) -> None:
    found = fit(read_shown(simulated.lists))
    assert found.reranker.tables.models == {}
    assert any("no model is asked" in note for note in found.notes)
    assert found.test.row("engine").against["mrr"].difference.value > 0
