"""A network that goes on from the state that it had: one question costs as many steps as there are new events."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensue.errors import ArtifactError
from ensue.inputs import USER, WAIT, Arrays
from ensue.ranking import Scores
from ensue.retrieval import session_of
from ensue.runtime import TOKENS, GraphScoring
from ensue.sequences import Queries
from ensue.serving.carried_states import CarriedStates, State
from ensue.step_graph import AFTER, BEFORE

BACK = 16
"""How many events back a state is looked for: so many may come, or be put right, between two questions."""

DIGEST = 16
"""Bytes of a digest: two histories with the same one are not to be expected, nor to be made."""

NOT_READ = (USER, WAIT)
"""Columns that are not of the events."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Stepping(GraphScoring):
    """The scores of a network's graph; those of a single question by steps from the last state that is there.

    They are the scores of the whole window anew, but for the last digits: a state is that after the very events that
    the window holds, from its first one on. So a history that is longer than the window, whose first event changes with
    each new one, is answered anew.

    Attributes:
        steps: session of the graph that goes on from a state.
        carried: where states are kept; other models may keep theirs there too.
        version: of the model, of one length for all models.
        sizes: numbers of each part of a state.
    """

    steps: Any
    carried: CarriedStates
    version: bytes
    sizes: tuple[int, ...]

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` float32 scores."""
        if len(queries) != 1:
            return super().score(queries)
        ((_, arrays),) = self.inputs.feeds(queries, TOKENS)
        scores = self._answer(arrays)
        if self.prior is not None:
            self.prior.add(scores, queries)
        return scores

    def _answer(self, arrays: Arrays) -> NDArray[np.float32]:
        """`[1, N]` scores of the graph after the events of one row."""
        events = {"items": arrays["items"]} | {
            name: arrays[name] for name in self.inputs.reads if name not in NOT_READ
        }
        others = {name: arrays[name] for name in self.inputs.reads if name in NOT_READ}
        last = arrays["items"].shape[1] - 1
        digests = self._digests(events, others.get(USER))
        found = self.carried.find(digests[1:])
        if found is None:
            place, state = 0, np.zeros(sum(self.sizes), dtype=np.float32)
        else:
            place, state = last - found[0], found[1]
        if place < last:
            _, state = self._run(
                {name: one[:, place:last] for name, one in events.items()} | others, state, 0
            )
            self.carried.keep(digests[1], state)
        scores, state = self._run({name: one[:, last:] for name, one in events.items()} | others, state, 1)
        self.carried.keep(digests[0], state)
        return scores

    def _run(
        self, arrays: Mapping[str, NDArray[Any]], state: State, asked: int
    ) -> tuple[NDArray[np.float32], State]:
        """`[asked, N]` the scores after some events, and the state then.

        Args:
            arrays: what is read of the events.
            state: before them.
            asked: 1, or 0 if there is no question yet, so that no item is scored.
        """
        feed: dict[str, NDArray[Any]] = {
            **arrays,
            "asked": np.array([[arrays["items"].shape[1] - 1]]),
            "places": np.zeros(asked, dtype=np.int64),
        }
        for place, part in enumerate(np.split(state, np.cumsum(self.sizes)[:-1])):
            feed[f"{BEFORE}{place}"] = part.reshape(1, 1, -1)
        names = ["scores", *(f"{AFTER}{place}" for place in range(len(self.sizes)))]
        scores, *after = self.steps.run(names, feed)
        return scores, np.concatenate([part.reshape(-1) for part in after])

    def _digests(self, events: Arrays, user: NDArray[Any] | None) -> list[bytes]:
        """Of all the events, of all but the last one, of all but the last two, and so on, as far as is looked back.

        Args:
            events: `[1, T]` each, all that is read of them.
            user: `[1]` who it is, where that is read.
        """
        rows = [
            np.ascontiguousarray(one[0]).view(np.uint8).reshape(one.shape[1], -1) for one in events.values()
        ]
        joined = np.concatenate(rows, axis=1) if len(rows) > 1 else rows[0]
        count, width = joined.shape
        content = joined.tobytes()
        first = max(count - BACK, 1)
        led = hashlib.blake2b(self.version, digest_size=DIGEST, key=self.carried.key)
        led.update(b"" if user is None else user.tobytes())
        led.update(content[: first * width])
        found = [led.digest()]
        for place in range(first, count):
            led.update(content[place * width : (place + 1) * width])
            found.append(led.digest())
        return found[::-1]


def stepping(
    plain: GraphScoring, graph: bytes, states: CarriedStates, checksum: str, where: Path
) -> Stepping:
    """A network that goes on from the state that it had.

    Args:
        plain: the network.
        graph: the one of its model that goes on from a state.
        states: where they are kept.
        checksum: of the model, in hexadecimal letters.
        where: the graph was read from.

    Raises:
        ArtifactError: the graph is none of ours.
    """
    try:
        steps = session_of(graph, 1)
    except Exception as fault:  # onnxruntime raises classes of its own that share no public parent
        raise ArtifactError(f"{where} is no graph that ONNX Runtime can load ({fault}).") from fault
    given, left = steps.get_inputs(), steps.get_outputs()
    known = len(plain.session.get_inputs()), len(plain.session.get_outputs())
    parts = [(node.name, node.shape) for node in (*given[known[0] :], *left[known[1] :])]
    sizes = [node.shape[-1] for node in given[known[0] :]]
    expected = [
        (f"{name}{place}", [1, 1, size]) for name in (BEFORE, AFTER) for place, size in enumerate(sizes)
    ]
    plainly = [node.name for node in (*given[: known[0]], *left[: known[1]])]
    if (
        plainly != [node.name for node in (*plain.session.get_inputs(), *plain.session.get_outputs())]
        or parts != expected
        or not sizes
        or not all(isinstance(size, int) for size in sizes)
    ):
        raise ArtifactError(f"{where} has other inputs and outputs than ours: save the model anew.")
    held = {one.name: getattr(plain, one.name) for one in fields(plain)}
    return Stepping(**held, steps=steps, carried=states, version=bytes.fromhex(checksum), sizes=tuple(sizes))
