"""Going on from a saved model with new events, in place of training anew.

Old items keep their place in the catalogue, new ones come after them. A network learns further from its weights; a
counting model counts kept and new events together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue import artifacts, ladder
from ensue.catalogue import Catalogue
from ensue.errors import DataError, EnsueError, ModelError
from ensue.events import kinds
from ensue.events.log import EventLog
from ensue.events.sessions.continued import go_on
from ensue.events.sessions.rule import Sessions
from ensue.events.shaping import Shape
from ensue.model import Conditions, Model, Training, model_of
from ensue.objective import NONE, Objective
from ensue.ranking import Parts, Recommender
from ensue.sequences import Sequences, unit_column
from ensue.splits import LEAKS, TEST, TRAIN, Split
from ensue.suiting import TYPE

NEW = "new event"
"""A column that marks new events while they are sorted in."""

KEPT_EACH = 20
"""Kept sequences of others, at most, for each one with new events, that a network learns from again."""

SAME = ("user", "item", "time")
"""What tells an event from every other one."""

RATE, ALONE = "learning_rate", 0.25
"""The setting of a network, and the share of it that it goes on with where no histories were kept, lest it forgets."""

FEWEST = 30
"""Held out events below which nothing is found out by them: a network then learns for a fixed number of steps."""

HELD_OUT = 10
"""One in so many sequences with new events is held out, to find for how long to learn."""


@dataclass(frozen=True, eq=False)
class Update:
    """A model that has gone on.

    Attributes:
        recommender: what it is now.
        events: new events that it has learnt from.
        known: events of the log that were left out, since the model had learnt from their time already.
        new_items: ids of items that it did not know, in the order in which they were added.
        new_users: users of new events of whom no history was kept; None where no histories were kept.
        histories: what was kept with the new events after it, to be kept beside the new model; None where nothing was.
        unused: why kept histories were not used; "" where they were, or where there are none.
    """

    recommender: Recommender
    events: int
    known: int
    new_items: tuple[str, ...]
    new_users: int | None
    histories: pl.DataFrame | None = field(default=None, repr=False)
    unused: str = ""

    def lines(self) -> list[str]:
        """What happened, for people."""
        shown = ", ".join(self.new_items[:5]) + (", ..." if len(self.new_items) > 5 else "")
        items = _counted(len(self.new_items), "new item") + (f" ({shown})" if self.new_items else "")
        users = "" if self.new_users is None else f" and {_counted(self.new_users, 'new user')}"
        said = [
            f"{_counted(self.events, 'new event')} learnt, with {items}{users}; every old item keeps its place"
        ]
        if self.known:
            said.append(
                f"{_counted(self.known, 'event')} left out: not later than what the model had learnt from"
            )
        if self.new_users is None:
            why = self.unused or "no histories were kept"
            said.append(
                f"{why}: new events are read without what came before them, and what they do not show again may be "
                "forgotten"
            )
        return said

    def to_json(self) -> dict[str, Any]:
        """What happened, for programs; it holds no id of a user."""
        return {
            "events": self.events,
            "known": self.known,
            "new_items": list(self.new_items),
            "new_users": self.new_users,
        }


def update(folder: str | Path, log: EventLog, conditions: Conditions = Conditions()) -> Update:
    """A saved model gone on with new events.

    A network reads each new event after its user's kept history, and learns from kept sequences of others, lest it
    forgets: all of them, up to `KEPT_EACH` for each one with new events. For how long is found with a tenth of the new
    sequences held out; then it learns from all. Where nothing was kept it learns slowly. A counting model is fitted on
    kept and new events together. A session that goes on, by the model's own rule, is joined with its new events.

    Args:
        folder: a run (its best model is taken) or a model; histories are found in the run.
        log: new events; those not later than the end of the model's training are left out.
        conditions: seed, progress, device and limits.

    Raises:
        ArtifactError: the folder is no model, or damaged.
        DataError: no event is new, or a value or column is not of the kind that was kept.
        ModelError: the model cannot go on: it counts and no histories were kept, or its vectors cannot grow.
    """
    place = ladder.model_folder(folder)
    artifact = artifacts.read(place)
    said = artifact.description
    learnt = said["facts"].get("learnt") or {}
    sequences = learnt.get("sequences", {})
    by = sequences.get("by", "user")
    shape, objective = Shape.learnt(sequences), Objective.learnt(learnt)
    kept, unused = _kept(place), ""
    if kept is not None and by == "session":
        unused = _unused(kept, shape.sessions, learnt.get("until"))
        kept = None if unused else kept
    settings = dict(said["settings"])
    if kept is None and RATE in settings:
        settings[RATE] *= ALONE
    model = model_of(said["model"], **settings)
    if kept is None and not model.goes_on:
        why = (
            f"{unused}; fit it anew on all of them"
            if unused
            else (
                "none of before were kept beside it: fit it anew on all of them, or run with keep_histories = true"
            )
        )
        raise ModelError(f"{model.name} counts events, and {why}.")
    after = by == "session" and kept is not None  # then they are cut once those before them are known
    log = (replace(shape, sessions=Sessions()) if after else shape).apply(log, conditions.progress.say)
    new = _later(log if after else objective.heard(log), learnt.get("until"))
    known = objective.heard(log).n_events - objective.heard(new).n_events
    if kept is not None and not new.has_time:  # order is all that both have
        kept = kept.drop("time", strict=False)
    past = None
    if kept is not None:
        _refuse_lacking(kept, new, ("session",) if after else ())
        kept, fresh = kinds.alike(kept, new.frame, but=(*SAME, "session"))
        new = replace(new, frame=fresh)
        past = _without(kept, new)
        if after:
            past, cut = go_on(shape.sessions, past, new)
            conditions.progress.say(cut.reading.notes[-1])
            new = objective.heard(cut)
    items = pl.concat([artifact.catalogue.ids, new.frame["item"]])
    usable = (
        None if past is None else past.filter(pl.col("item").is_in(items.implode()))
    )  # the rest stays cold
    whole = _joined(usable, new, model, by)
    catalogue = _extended(artifact.catalogue, new, None if model.goes_on else whole, objective)
    parts = Parts(said["scoring"], artifact.arrays, artifact.graph, artifact.tables)
    counted = None
    if past is not None and getattr(model, "prior", "none") != "none":
        counted = _counted_only(past, whole, catalogue, by)
    seen = said["exclude_seen"]
    fitted = _gone_on(model, parts, whole, catalogue, by, seen, conditions, counted, objective)
    now = learnt | {"log": None, "split": None, "until": _until(new, learnt), "events": whole.n_events}
    facts = {**fitted.facts, "learnt": now, "updated_from": said["facts"].get("learnt")}
    histories, new_users = None, None
    if kept is not None and past is not None:
        users = new.frame["user"].unique()
        new_users = int((~users.is_in(kept["user"].unique().implode())).sum())
        histories = pl.concat([past, new.frame.select(past.columns)])
        if "time" in histories.columns:
            histories = histories.sort("user", "time", maintain_order=True)
    return Update(
        replace(fitted, settings=said["settings"], facts=facts),
        new.n_events,
        known,
        tuple(catalogue.ids[len(artifact.catalogue) :].to_list()),
        new_users,
        histories,
        unused,
    )


def _gone_on(
    model: Model,
    parts: Parts,
    log: EventLog,
    catalogue: Catalogue,
    by: str,
    seen: bool,
    conditions: Conditions,
    counted: Sequences | None = None,
    objective: Objective = NONE,
) -> Recommender:
    """The model that has learnt from a log whose new events are marked, for as long as held out sequences say."""
    marked = log.frame[NEW]
    log = replace(log, frame=log.frame.drop(NEW))
    whole = Training(Sequences.of(log, catalogue, by), catalogue, exclude_seen=seen, counted=counted)
    whole = whole.towards(objective)
    if not model.goes_on:
        return model.fit(whole, conditions)
    if whole.sequences.n_targets == 0:
        what = f"target ({objective.words})" if objective else "event"
        raise DataError(
            f"No new {what} has one before it, so there is nothing that comes next to learn from."
        )
    held = _held_out(unit_column(log, by), marked)
    split = Split(
        log, np.where(held, TEST, TRAIN).astype(np.uint8), "a tenth of the new sequences", by, LEAKS
    )
    split = objective.aimed(split)
    tested = split.part.copy()
    tested[held & ~marked.to_numpy()] = TRAIN  # what was kept is history, and no question
    examples = replace(split, part=tested).examples("test", catalogue)
    part = Training(Sequences.of(split.train, catalogue, by), catalogue, examples, seen, counted)
    part = part.towards(objective)
    if len(examples) < FEWEST or part.sequences.n_targets == 0:
        conditions.progress.say(
            f"{model.name}: too few new events to find out how long to go on (fewer than {FEWEST} held out)"
        )
        return model.go_on(parts, whole, conditions)
    conditions.progress.say(
        f"{model.name}: how long to go on is found on {_counted(len(examples), 'event')} of sequences held out"
    )
    first = model.go_on(parts, part, conditions)
    step = first.facts["chosen"]["step"]
    if step == 0:
        conditions.progress.say(f"{model.name}: its weights are best left as they are")
    return model.go_on(parts, whole, replace(conditions, steps=step or -1, horizon=first.facts["horizon"]))


def _held_out(keys: pl.Series, marked: pl.Series) -> NDArray[np.bool_]:
    """`[E]` the events of every tenth sequence with new events, and of at least one where there are two."""
    new = keys.filter(marked).unique(maintain_order=True)
    chosen = new.gather_every(HELD_OUT) if len(new) >= HELD_OUT else new.head(1 if len(new) > 1 else 0)
    held: NDArray[np.bool_] = keys.is_in(chosen.implode()).to_numpy()
    return held


def _later(log: EventLog, until: str | None) -> EventLog:
    """The events that are later than what a model has learnt from."""
    if until is None or not log.has_time:
        return log
    new = log.where(pl.col("time") > datetime.fromisoformat(until))
    if new.n_events == 0:
        raise DataError(
            f"No event of this log is later than {until}, where the model's training ends: nothing is new."
        )
    return new


def _until(new: EventLog, learnt: Mapping[str, Any]) -> str | None:
    """The time of the last event that the model has learnt from now."""
    last = new.frame["time"].max() if new.has_time else None
    return last.isoformat() if isinstance(last, datetime) else learnt.get("until")


def _kept(place: Path) -> pl.DataFrame | None:
    """The histories that the run of a model has kept, or None."""
    try:
        return ladder.histories(place.parent.parent if place.parent.name == ladder.MODELS else place)
    except EnsueError:
        return None


def _unused(kept: pl.DataFrame, rule: Sessions, until: str | None) -> str:
    """Why no session of a run's histories can go on, and what to do; "" where each can.

    Args:
        kept: the histories.
        rule: by which the sessions were cut.
        until: the end of the model's training; None where its log had no times.
    """
    wanted = ["session", *(["time"] if until is not None else []), *rule.columns]
    lacking = [name for name in wanted if name not in kept.columns]
    if not lacking:
        return ""
    return (
        f"the kept histories lack {', '.join(lacking)}, by which sessions go on (run the "
        "experiment anew, and it is kept)"
    )


def _refuse_lacking(kept: pl.DataFrame, new: EventLog, but: Collection[str] = ()) -> None:
    """Raises an error for a column that the histories hold and the new log does not have."""
    lacking = [name for name in kept.columns if name not in new.frame.columns and name not in but]
    if lacking:
        raise DataError(
            f"The kept histories have {', '.join(lacking)}, which the model goes by, and the new log does not: give it."
        )


def _without(kept: pl.DataFrame, new: EventLog) -> pl.DataFrame:
    """The kept events that the new log does not bring again: a run also keeps those that it was tested on."""
    if "time" not in kept.columns:  # nothing tells an event from another one of the same item
        return kept
    return kept.join(new.frame.select(SAME), on=SAME, how="anti", maintain_order="left")


def _extended(catalogue: Catalogue, new: EventLog, whole: EventLog | None, objective: Objective) -> Catalogue:
    """The catalogue with new items after its own; events counted are those of a whole log, else old and new ones.

    Targets of a whole log are counted where it is learnt from.
    """
    items = new.frame.select("item").unique(maintain_order=True)
    if new.items is not None:
        items = items.join(new.items, on="item", how="left", maintain_order="left")
    known = catalogue.features
    if known is not None:
        items = items.filter(~pl.col("item").is_in(catalogue.ids.implode()))
        items = items.select("item", *(name for name in items.columns[1:] if name in known))
        known, items = kinds.alike(known, items, but=("item",), of="the new items")
        catalogue = replace(catalogue, features=known)
    grown = catalogue.extend(items if known is not None else items.select("item"))
    codes = grown.encode((new if whole is None else whole).frame["item"])
    counts = np.bincount(codes, minlength=len(grown))
    if whole is not None:
        return replace(grown, counts=counts, targets=None)
    targets = grown.targets
    if targets is not None:
        targets = targets + np.bincount(codes, objective.weights_of(new.frame[TYPE]), minlength=len(grown))
    return replace(grown, counts=grown.counts + counts, targets=targets)


def _joined(kept: pl.DataFrame | None, new: EventLog, model: Model, by: str) -> EventLog:
    """New events, marked, after the kept ones of their users (or sessions); and kept ones of others.

    A model that counts needs all of these; one that goes on, up to `KEPT_EACH` for each one with new events, evenly
    spread, lest it forgets them. Where histories were kept without times, their order is all that is used of either.
    """
    fresh = new.frame.with_columns(pl.lit(True).alias(NEW))
    if kept is None:
        return EventLog.of(fresh, new.items)
    if model.goes_on:
        keys = fresh[by].unique()
        others = kept[by].unique(maintain_order=True)
        others = others.filter(~others.is_in(keys.implode()))
        spread = others.gather_every(max(-(-len(others) // max(KEPT_EACH * len(keys), 1)), 1))
        kept = kept.filter(pl.col(by).is_in(pl.concat([keys, spread]).implode()))
    common = [name for name in new.frame.columns if name in kept.columns]
    both = [kept.select(*common).with_columns(pl.lit(False).alias(NEW)), fresh.select(*common, NEW)]
    return EventLog.of(pl.concat(both), new.items)


def _counted_only(kept: pl.DataFrame, whole: EventLog, catalogue: Catalogue, by: str) -> Sequences:
    """The kept sequences that are not learnt from again, for models that also count.

    Args:
        kept: what was kept, less what the new log brings again.
        whole: what is learnt from.
        catalogue: an item that is not in it was never learnt, and is left out.
        by: what a sequence is, "user" or "session".
    """
    frame = whole.frame
    others = kept.filter(
        ~pl.col(by).is_in(frame[by].unique().implode()), pl.col("item").is_in(catalogue.ids.implode())
    )
    common = [name for name in frame.columns if name in kept.columns]
    return Sequences.of(EventLog.of(others.select(common)), catalogue, by)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
