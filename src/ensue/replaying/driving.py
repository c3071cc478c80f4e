"""Drives a model through a test as it serves: told of each event when it happened, asked before each target."""

from __future__ import annotations

import tempfile
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensue.batching import Ints
from ensue.errors import ConfigError
from ensue.evaluation import evaluate
from ensue.events.log import EventLog
from ensue.examples import Examples
from ensue.figures import Figures, Measured
from ensue.metrics import MRR, NDCG, Metric, Ranked, Recall
from ensue.progress import Progress, Silent
from ensue.ranking import checked_k
from ensue.replaying.outcome import Agreement, Available, Cost, Replay
from ensue.replaying.standing import Places, cut, standing
from ensue.replaying.telling import Arriving, Telling, in_time
from ensue.rules import Availability, Rules, Ruling, recommend
from ensue.sequences import times_of, units
from ensue.serving.served import Served, served
from ensue.serving.state import Store, open_store
from ensue.splits import TEST, Split, check_learnt
from ensue.splits.completion import COMPLETION
from ensue.splits.targets import with_history

DEPTH = 100
"""Items of each slate, in which the target is looked for."""


def replay(
    model: Served | str | Path,
    over: Split | EventLog,
    *,
    k: int = 10,
    available: bool = False,
    limit: int = 0,
    targets: str = "successive",
    target_seed: int = 0,
    store: Store | str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Replay:
    """What a model reaches that is asked as it serves, beside what `evaluate` says of it.

    The store of live histories takes over what lies before the first question, and is told all later events in the
    order of time. Before each target the model is asked by the code that serves: the history from the store, the
    question, the slate. No rules are applied, since evaluation knows none.

    Args:
        model: as it is served, or the folder of a run, whose best model it is, or of a model.
        over: every event of its test part is a target; of a log, every event that the model's objective asks for.
        k: cut-off of recall, NDCG and MRR.
        available: ask a second time with the items withdrawn that had not come yet.
        limit: questions at most, evenly spread over all; 0 asks all.
        targets: which events of the test are asked for: "successive" (every one), "last" of each sequence or "random".
        target_seed: of the random ones.
        store: of the histories, holding nothing yet, or its address; None takes a file that goes afterwards.
        seed: of the bootstrap.
        progress: who is told how far it is.

    Raises:
        ConfigError: k, limit or targets cannot be, or the store holds something.
        DataError: there is nothing to predict, or an event cannot be told.
        ColumnError: available items are asked for, and the log has no times.
        LeakError: the model was fitted on the whole log, tested events included.
        StateError: the store cannot be used.
    """
    answering = model if isinstance(model, Served) else served(model, Rules(), Availability())
    split = over if isinstance(over, Split) else answering.objective.aimed(_whole(over, answering.by))
    told = progress or Silent()
    recommender = answering.recommender
    if checked_k(k) < 1 or limit < 0:
        raise ConfigError(f"k={k}, limit={limit}: take k from 1 up, and a limit from 0 up, 0 being none.")
    check_learnt(split, recommender.catalogue, same_log=False)
    asked = _questions(split, answering, limit, targets, target_seed)
    depth = max(k, DEPTH)
    metrics: tuple[Metric, ...] = (Recall(k), NDCG(k), MRR(k))
    offline = evaluate(recommender, asked.examples, metrics=metrics, seed=seed, progress=told)
    stands = standing(recommender, asked.examples, told)
    arriving = None
    if available:
        first = _time_of_first(split.log, asked)
        arriving = Arriving(split.log, recommender.catalogue, first)
    with _opened(store) as opened:
        walked = _walk(answering, split, asked, opened, depth, k, arriving, told)
    same, near = stands.agrees(walked.ranks, depth)
    groups = asked.examples.groups
    low, high = (_values(cut(one, depth), groups, metrics, seed) for one in (stands.most, stands.least))
    p50, p99 = np.percentile(1000 * walked.seconds, (50, 99)).tolist()
    return Replay(
        offline=offline,
        online=_figures(walked.ranks, groups, metrics, seed),
        low=low,
        high=high,
        agreement=Agreement(
            same=int(same.sum()),
            close=int((near & ~same).sum()),
            differ=int((~near).sum()),
            tied=int(stands.tied.sum()),
            histories=int((walked.lengths != asked.lengths).sum()),
            ahead=walked.ahead,
        ),
        cost=Cost(p50, p99, len(same) / max(walked.took, 1e-9), walked.events),
        available=None
        if arriving is None
        else Available(_figures(walked.then, groups, metrics, seed), arriving.withdrawn, walked.shown),
    )


@dataclass(frozen=True, eq=False)
class _Questions:
    """Whom to ask, when.

    Attributes:
        examples: the same questions for evaluation.
        before: `[Q]` how many events, in the order of time, have happened when each is asked.
        lengths: `[Q]` events of the histories, those of unknown items too.
        who: `[Q]` users, or sessions.
        at: `[Q]` when, None of a log without times.
    """

    examples: Examples
    before: Ints
    lengths: Ints
    who: Sequence[str]
    at: Sequence[datetime | None]


@dataclass(frozen=True, eq=False)
class _Walked:
    """What came of it: places of the targets, `then` with what was there, and the cost."""

    ranks: Places
    then: Places
    lengths: Ints
    seconds: NDArray[np.float64]
    took: float
    events: int
    ahead: int
    shown: int


def _whole(log: EventLog, by: str) -> Split:
    return Split(log, np.full(log.n_events, TEST, dtype=np.uint8), "every event", by)


def _questions(split: Split, answering: Served, limit: int, targets: str, seed: int) -> _Questions:
    """The questions of the test part, in the order of its examples."""
    if targets == COMPLETION:
        raise ConfigError(
            "Open baskets are not replayed, since a store holds what is bought: take targets 'successive'."
        )
    examples = split.examples("test", answering.recommender.catalogue, targets, seed=seed)
    unit = units(split.log, split.by)
    places, ends, sequence, _ = with_history(unit, split.asked("test"), split.until, targets, seed)
    if 0 < limit < len(places):
        chosen = np.unique(np.linspace(0, len(places) - 1, limit).astype(np.int64))
        places, ends, sequence = places[chosen], ends[chosen], sequence[chosen]
        protocol = f"{examples.protocol}, {len(chosen):,} of {len(examples):,} questions, evenly spread"
        examples = replace(examples[chosen], protocol=protocol)
    turn = in_time(split.log)
    happened = np.empty_like(turn)
    happened[turn] = np.arange(len(turn))
    return _Questions(
        examples,
        happened[unit.order[ends]],
        ends - unit.offsets[sequence],
        unit.keys.gather(sequence).to_list(),
        split.log.frame["time"].gather(unit.order[places]).to_list(),
    )


def _time_of_first(log: EventLog, asked: _Questions) -> int:
    """Microseconds at which the first question is asked."""
    time = times_of(log)
    return 0 if time is None else int(time[in_time(log)[asked.before.min()]])


@contextmanager
def _opened(store: Store | str | None) -> Iterator[Store]:
    """A store that holds nothing."""
    if store is None:
        with tempfile.TemporaryDirectory(prefix="ensue-replay-") as folder:
            own = open_store(str(Path(folder) / "state.db"))
            try:
                yield own
            finally:
                own.close()
        return
    found = open_store(store) if isinstance(store, str) else store
    try:
        counts = found.counts()
        if counts.histories or counts.kept or counts.erased:
            raise ConfigError(
                f"The store for the replay holds {counts.histories:,} live and {counts.kept:,} kept events already, "
                "which would be mixed with those of the log: name one that holds nothing."
            )
        yield found
    finally:
        if isinstance(store, str):
            found.close()


def _walk(
    answering: Served,
    split: Split,
    asked: _Questions,
    store: Store,
    depth: int,
    k: int,
    arriving: Arriving | None,
    progress: Progress,
) -> _Walked:
    """Tells and asks, in the order of time."""
    recommender, n = answering.recommender, len(asked.who)
    plain = Ruling(Rules(), answering.ruling.columns)
    then = None if arriving is None else Ruling(Rules(), plain.columns, arriving.availability)
    ranks, standing_then, seconds = np.full(n, np.inf), np.full(n, np.inf), np.empty(n)
    lengths, shown = np.empty(n, dtype=np.int64), 0
    targets, by_user = asked.examples.target_ids.to_list(), split.by == "user"
    telling = Telling(split.log, split.by, store, answering.reads)
    first = int(asked.before.min())
    progress.say(f"the store takes over {first:,} events of before the first question")
    telling.keep(first)
    times = times_of(split.log)
    now = None if times is None else times[in_time(split.log)]
    began_all = clock.perf_counter()
    with progress.task(f"replaying {recommender.model}", n) as task:
        for place in np.argsort(asked.before, kind="stable").tolist():
            before = int(asked.before[place])
            telling.until(before)
            who = asked.who[place]
            began = clock.perf_counter()
            history = store.history(user=who) if by_user else store.history(session=who)
            told = history.question(who if by_user else None, asked.at[place], answering.reads)
            question = answering.objective.question(told)
            slate, _ = recommend(recommender, plain, question, depth)
            seconds[place] = clock.perf_counter() - began
            lengths[place] = len(history)
            ranks[place] = _place(slate.items, targets[place])
            if arriving is not None and then is not None and now is not None:
                arriving.now(int(now[before]))
                slate_then, _ = recommend(recommender, then, question, depth)
                standing_then[place] = _place(slate_then.items, targets[place])
                shown += arriving.missing(slate.items[:k])
            task.advance()
    took = clock.perf_counter() - began_all
    events = int(asked.before.max()) - first
    return _Walked(ranks, standing_then, lengths, seconds, took, events, telling.ahead, shown)


def _place(items: Sequence[str], target: str) -> float:
    """The place of an item in a slate, from 1; infinity if it is not there."""
    return items.index(target) + 1 if target in items else np.inf


def _measured(ranks: Places, groups: Ints, metrics: Sequence[Metric], seed: int) -> Measured:
    ranked = Ranked.single(
        ranks, np.zeros(len(ranks), dtype=np.int64)
    )  # none of the metrics reads candidates
    return Measured(groups, {one.name: one.per_query(ranked) for one in metrics}, seed=seed)


def _figures(ranks: Places, groups: Ints, metrics: Sequence[Metric], seed: int) -> Figures:
    return _measured(ranks, groups, metrics, seed).over(np.ones(len(ranks), dtype=np.bool_))


def _values(ranks: Places, groups: Ints, metrics: Sequence[Metric], seed: int) -> Mapping[str, float]:
    """The means over users alone."""
    found = _measured(ranks, groups, metrics, seed).over(np.ones(len(ranks), dtype=np.bool_), draws=1)
    return {one.name: found.value(one.name) for one in metrics}
