"""Which models answer, now: swapped, withdrawn from, split and shadowed without a request that fails."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from ensue.errors import ArtifactError, EnsueError, QueryError
from ensue.rules import Availability, Rules, read_rules
from ensue.run_folder import model_folder
from ensue.serving.carried_states import CarriedStates
from ensue.serving.control import Change, Control, Wanted
from ensue.serving.served import Served, served
from ensue.serving.settings import Settings

told = logging.getLogger("ensue.serving")

MOST_WITHDRAWN = 1_000_000
"""Items that may be withdrawn at a time."""


@dataclass(frozen=True)
class Models:
    """The models of one moment.

    Attributes:
        current: answers.
        shadow: is asked beside it, and never answers.
        split: answers some of those who ask.
        share: how many of them, from 0 to 1.
    """

    current: Served
    shadow: Served | None = None
    split: Served | None = None
    share: float = 0.0


class Host:
    """The models of one process, as all processes want them.

    Models take the place of others by one assignment, once they have been loaded, checked and asked; a request keeps
    the ones that it began with.

    Args:
        settings: of the service.
        control: what all processes share.

    Raises:
        ArtifactError: the model of the settings cannot be loaded.
        ConfigError: the rules have faults.
    """

    def __init__(self, settings: Settings, control: Control) -> None:
        self.settings, self.control = settings, control
        self.rules: Rules = read_rules(settings.rules, "[rules]")
        self.states = CarriedStates(settings.states)
        self._forgetting = False
        self._lock = Lock()
        wanted = control.read()
        self.availability = Availability(wanted.withdrawn)
        self.models = Models(self._first(wanted))
        self.wanted = wanted
        self._follow(wanted)

    @property
    def current(self) -> Served:
        """The model that answers."""
        return self.models.current

    @property
    def numbers(self) -> frozenset[str]:
        """Columns of events that a model which may have to answer reads as numbers."""
        models = self.models
        return models.current.numbers | (frozenset() if models.split is None else models.split.numbers)

    def for_whom(self, who: str | None) -> Served:
        """The model that answers somebody: always the same one while the split stays.

        Args:
            who: user or session; None is nobody who is known.
        """
        models = self.models
        if models.split is None or who is None or place_of(who) >= models.share:
            return models.current
        return models.split

    def swap(self, folder: str) -> Served:
        """Puts another model in place, in every process.

        Raises:
            ArtifactError: it is outside the folder of models, or cannot answer; the old one stays.
        """
        return self._put(self._load(self.inside(folder)))

    def rollback(self) -> Served:
        """Puts the model before in place again, in every process.

        Raises:
            ArtifactError: there is none, it can no longer be loaded, or its folder holds another model now.
        """
        self.look()
        wanted = self.wanted
        if not wanted.previous:
            raise ArtifactError("No model was swapped in, so there is none to go back to.")
        fresh = self._load(Path(wanted.previous))
        if fresh.version != wanted.previous_version:
            raise ArtifactError(
                f"The folder '{fresh.folder.name}' of the model before holds another model now, version "
                f"{fresh.version}: swap it in by its name if it is wanted."
            )
        return self._put(fresh)

    def beside(self, shadow: str | None = None, split: str | None = None, share: float = 0.0) -> None:
        """Has another model asked beside the one that answers, or answer some; None changes nothing, "" ends it.

        Raises:
            ArtifactError: it is outside the folder of models, or cannot answer.
        """
        given = {name: one for name, one in {"shadow": shadow, "split": split}.items() if one is not None}
        loaded = {name: self._load(self.inside(folder)) for name, folder in given.items() if folder}
        folders = {name: str(loaded[name].folder) if name in loaded else "" for name in given}

        def changed(wanted: Wanted) -> Wanted:
            found = replace(
                wanted, shadow=folders.get("shadow", wanted.shadow), split=folders.get("split", wanted.split)
            )
            return found if split is None else replace(found, share=share if split else 0.0)

        self._changed(changed, {one.folder: one for one in loaded.values()})

    def withdraw(self, items: list[str]) -> None:
        """Takes items out of all answers, in every process.

        Raises:
            QueryError: more would be withdrawn than are kept in mind.
        """

        def changed(wanted: Wanted) -> Wanted:
            withdrawn = tuple(dict.fromkeys([*wanted.withdrawn, *items]))
            if len(withdrawn) > MOST_WITHDRAWN:
                raise QueryError(
                    f"More than {MOST_WITHDRAWN:,} items would be withdrawn: restore some first."
                )
            return replace(wanted, withdrawn=withdrawn)

        self._changed(changed)

    def restore(self, items: list[str]) -> None:
        """Lets items into answers again, in every process."""
        gone = set(items)
        self._changed(
            lambda wanted: replace(wanted, withdrawn=tuple(i for i in wanted.withdrawn if i not in gone))
        )

    def inside(self, folder: str) -> Path:
        """A folder of the folder of models, by its name or its path.

        Raises:
            ArtifactError: it lies elsewhere, or is none.
        """
        try:
            root = self.settings.models_root.resolve()
            place = (root / folder).resolve()
            if place == root or not place.is_relative_to(root):
                raise ArtifactError(
                    "The model lies outside the folder that models are taken from: name one inside it."
                )
            there = place.is_dir()
        except (OSError, ValueError):  # too long, or no path at all
            there = False
        if not there:
            raise ArtifactError(
                "There is no such folder among the models: GET /v1/admin/models lists what there is."
            )
        return place

    def forget(self) -> None:
        """Drops what networks carry, in every process, since somebody was erased.

        A question that was on its way meanwhile may have left a state behind: it goes with the next look.
        """
        self._forgetting = True
        self.states.clear()
        self._changed(lambda wanted: replace(wanted, erasures=wanted.erasures + 1))

    def look(self) -> None:
        """Takes over what other processes have changed."""
        if self._forgetting:
            self._forgetting = False
            self.states.clear()
        if self.control.revision() != self.wanted.revision:
            with self._lock:
                self._follow(self.control.read())

    def _first(self, wanted: Wanted) -> Served:
        """The model that was swapped in last, if it is still among the models; else the one of the settings."""
        if wanted.model:
            try:
                own = model_folder(self.settings.run).resolve()
                place = own if own == Path(wanted.model) else self.inside(wanted.model)
                found = self._load(place)
            except EnsueError as fault:
                told.warning("the model that was swapped in last cannot be loaded: %s", fault)
            else:
                told.info("%s %s answers, which was swapped in last", found.label, found.version)
                return found
        return self._load(self.settings.run)

    def _load(self, folder: str | Path) -> Served:
        table = self.settings.table
        seal = self.control.secret() if table == "approximate" else b""
        states = self.states if self.settings.states else None
        return served(
            folder,
            self.rules,
            self.availability,
            self.settings.threads,
            table,
            seal,
            states,
            self.settings.layers,
        )

    def _put(self, fresh: Served) -> Served:
        def changed(wanted: Wanted) -> Wanted:
            before = self.current
            return replace(
                wanted,
                model=str(fresh.folder), version=fresh.version,
                previous=str(before.folder), previous_version=before.version,
            )  # fmt: skip

        self._changed(changed, {fresh.folder: fresh})
        return fresh

    def _changed(self, change: Change, loaded: Mapping[Path, Served] | None = None) -> None:
        with self._lock:
            self._follow(self.control.change(change), loaded or {})

    def _follow(self, wanted: Wanted, loaded: Mapping[Path, Served] | None = None) -> None:
        """Does what is wanted; a model that cannot be loaded here leaves the old one in place.

        Args:
            wanted: of every process.
            loaded: models that have just been loaded, by their folders.
        """
        if wanted.erasures != self.wanted.erasures:
            self.states.clear()
        before, now = self.availability.state[1], frozenset(wanted.withdrawn)
        self.availability.withdraw(*(now - before))
        self.availability.restore(*(before - now))
        ready = loaded or {}
        models = self.models
        current = self._wanted(models.current, wanted.model, ready, wanted.version) or models.current
        self.models = Models(
            current,
            self._wanted(models.shadow, wanted.shadow, ready),
            self._wanted(models.split, wanted.split, ready),
            wanted.share,
        )
        self.wanted = wanted

    def _wanted(
        self, held: Served | None, folder: str, ready: Mapping[Path, Served], version: str = ""
    ) -> Served | None:
        """The model of a folder: the one that is held if it is this one, else loaded now; None for none."""
        if not folder:
            return None
        place = Path(folder)
        if place in ready:
            return ready[place]
        if held is not None and held.folder == place and version in ("", held.version):
            return held
        try:
            found = self._load(place)
        except EnsueError as fault:
            told.warning("a model that is wanted cannot be loaded here, the one before stays: %s", fault)
            return held
        if version not in ("", found.version):
            told.warning("%s holds version %s, and %s is wanted", place.name, found.version, version)
        return found


def place_of(who: str) -> float:
    """Where somebody stands between 0 and 1, always the same and evenly spread."""
    digest = hashlib.blake2b(
        who.encode("utf-8", "surrogatepass"), digest_size=8, person=b"ensue-split"
    ).digest()
    return int.from_bytes(digest, "big") / 2**64
