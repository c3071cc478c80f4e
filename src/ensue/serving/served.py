"""One model as it is served: loaded, checked, warmed up, and never changed afterwards."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ensue import artifacts, runtime
from ensue.errors import ArtifactError
from ensue.events.sessions.rule import Sessions
from ensue.inputs import TIME, USER, WAIT, Inputs, numbers_of
from ensue.objective import NONE, Objective
from ensue.ranking import Recommender
from ensue.retrieval import Made
from ensue.rules import Availability, Rules, Ruling
from ensue.run_folder import model_folder
from ensue.runtime import GraphScoring
from ensue.serving.carried_states import CarriedStates
from ensue.serving.stepping import stepping
from ensue.serving.titles import Titles
from ensue.suiting import TYPE

told = logging.getLogger("ensue.serving")

WARM = 3
"""Answers that are made before anybody asks: the first ones of a network take longer."""

WHOLE = Sessions()
"""The rule that cuts nothing."""


@dataclass(frozen=True, eq=False)
class Served:
    """A model that answers.

    Attributes:
        folder: where it was read from, resolved; later changes there do not reach it.
        label: its name in its run.
        version: the same for the same content, of 12 letters.
        recommender: what answers.
        ruling: rules of all answers, made ready for its catalogue.
        titles: finds its items by what they are called.
        by: what a sequence of its training was, "user" or "session".
        reads: columns of events beside the items that its answers depend on.
        seconds: that loading it took.
        facts: what is known of its making.
        objective: which types of events stand in its histories.
        sessions: how those of its training were cut.
        numbers: columns of events that it reads as numbers.
    """

    folder: Path
    label: str
    version: str
    recommender: Recommender
    ruling: Ruling
    titles: Titles
    by: str = "user"
    reads: frozenset[str] = frozenset()
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    objective: Objective = NONE
    sessions: Sessions = WHOLE
    numbers: frozenset[str] = frozenset()

    @property
    def timed(self) -> bool:
        """Whether it must be told when it is asked."""
        return not self.reads.isdisjoint((TIME, WAIT))

    def to_json(self) -> dict[str, Any]:
        """What an answer says of who made it."""
        return {"name": self.label, "version": self.version}

    @property
    def made(self) -> Made | None:
        """How its scores are made where its catalogue is large; None where that is a part of its graph."""
        product = getattr(self.recommender.scoring, "product", None)
        return None if product is None else product.made

    def described(self) -> dict[str, Any]:
        """What the list of models says of it."""
        return {
            **self.to_json(),
            "model": self.recommender.model,
            "items": len(self.recommender.catalogue),
            "folder": self.folder.name,
            "by": self.by,
            "seconds_to_load": round(self.seconds, 3),
        } | ({} if self.made is None else self.made.to_json())


def served(
    folder: str | Path,
    rules: Rules,
    availability: Availability,
    threads: int = 1,
    table: str = "auto",
    seal: bytes = b"",
    states: CarriedStates | None = None,
    layers: str = "fp32",
) -> Served:
    """A model read from a folder, made ready and asked a few times.

    Args:
        folder: of a run, whose best model it is, or of a model.
        rules: of all answers.
        availability: what is withdrawn.
        threads: cores that a network may use for one answer.
        table: how the table of a large catalogue is kept, see `runtime.load`.
        seal: by which an index that is kept is known again, see there.
        states: where a recurrent network keeps what it carries from event to event; None keeps nothing.
        layers: in what an LSTM computes, "fp32" or "int8"; a model that has no graph for the latter says so.

    Raises:
        ArtifactError: it is no model, damaged, or cannot answer.
        ConfigError: the rules name columns that its items do not have.
    """
    began = time.monotonic()
    place = model_folder(folder).resolve()
    recommender, description = _loaded(place, threads, table, seal, states, layers)
    catalogue = recommender.catalogue
    facts = description.get("facts", {})
    learnt = facts.get("learnt", {})
    sequences, objective = learnt.get("sequences", {}), Objective.learnt(learnt)
    found = Served(
        folder=place,
        label=str(facts.get("label", recommender.model)),
        version=str(description.get("checksum", ""))[:12],
        recommender=recommender,
        ruling=Ruling(rules, catalogue, availability),
        titles=Titles(catalogue),
        by=str(sequences.get("by", "user")),
        reads=frozenset(_reads(recommender)) | ({TYPE} if objective.inputs else frozenset()),
        seconds=time.monotonic() - began,
        facts=facts,
        objective=objective,
        sessions=Sessions.learnt(sequences),
        numbers=numbers_of(recommender.scoring),
    )
    if found.made is not None:
        told.info(
            "%d items: table %s, %.0f MB, %.1f %% of the best 10 as with the table as it was learnt (%.1f %% before "
            "any is scored anew)",
            len(catalogue), found.made.kind, found.made.bytes / 1e6, 100 * found.made.agreement,
            100 * found.made.before,
        )  # fmt: skip
    first = catalogue.decode([0])
    try:
        for length in range(1, WARM + 1):
            recommender.recommend(first * length, 1, exclude_seen=False)
        recommender.recommend_many(
            [first, first], 1, exclude_seen=False
        )  # several are asked of another graph
    except Exception as fault:  # each kind of model fails in its own way
        raise ArtifactError(
            f"{place} can be loaded and cannot answer ({type(fault).__name__}: {fault}); save it anew."
        ) from fault
    return found


def _loaded(
    place: Path, threads: int, table: str, seal: bytes, states: CarriedStates | None, layers: str
) -> tuple[Recommender, Mapping[str, Any]]:
    """A model and what is said of it, both of one moment, even if another takes its place meanwhile."""
    for _ in range(artifacts.TRIES):
        description = artifacts.describe(place)
        recommender = runtime.load(place, threads=threads, table=table, seal=seal, say=told.info)
        name = (
            artifacts.SMALL
            if layers == "int8" and artifacts.SMALL in description["files"]
            else artifacts.STEPS
        )
        try:
            steps = artifacts.steps_of(place, description, name)
        except ArtifactError:
            if artifacts.describe(place) == description:
                raise
            continue
        if artifacts.describe(place) != description:
            continue
        if layers == "int8" and name == artifacts.STEPS and isinstance(recommender.scoring, GraphScoring):
            told.warning(
                "%s has no %s, so its layers are computed in fp32", recommender.model, artifacts.SMALL
            )
        if states is None and name == artifacts.SMALL:
            states = CarriedStates(0)  # nothing is kept, but each question still goes by that graph
        if states is None or steps is None or not isinstance(recommender.scoring, GraphScoring):
            return recommender, description
        where, checksum = place / name, str(description["checksum"])
        scoring = stepping(recommender.scoring, steps, states, checksum, where)
        return replace(recommender, scoring=scoring), description
    raise ArtifactError(f"{place} changes all the time: swap it in once it is written.")


def _reads(recommender: Recommender) -> tuple[str, ...]:
    """The columns of events that its answers depend on, who asks left out."""
    inputs = getattr(recommender.scoring, "inputs", None)
    found = inputs.reads if isinstance(inputs, Inputs) else getattr(recommender.scoring, "reads", ())
    return tuple(name for name in found if name != USER)
