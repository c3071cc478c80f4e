"""States that are kept: bounded, of the last used, and an answer from them is the answer anew, whatever happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ensue.domain import Domain
from ensue.errors import ArtifactError
from ensue.export import steps_to_onnx, to_onnx
from ensue.inputs import Inputs
from ensue.models.neural.rnn import LSTM
from ensue.ranking import top_k
from ensue.retrieval import session_of
from ensue.runtime import GraphScoring
from ensue.sequences import Queries
from ensue.serving.carried_states import ENTRY, CarriedStates
from ensue.serving.stepping import BACK, Stepping, stepping

N, WINDOW, LAYERS, HIDDEN = 9, 24, 2, 5
SECOND = 1_000_000
NUMBERS = 2 * LAYERS * HIDDEN
ONE = 4 * NUMBERS + ENTRY
"""Bytes of a kept state of the network of these tests."""


def state(size: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.zeros(size, dtype=np.float32)


# --------------------------------------------------------------------------------------- what is kept

NAMES = st.sampled_from([bytes([letter]) for letter in b"abcdefg"])
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), NAMES, st.integers(1, 60)),
        st.tuples(st.just("find"), st.lists(NAMES, max_size=3), st.just(0)),
        st.tuples(st.just("wait"), st.just(b""), st.integers(1, 6)),
        st.tuples(st.just("expire"), st.just(b""), st.just(0)),
        st.tuples(st.just("clear"), st.just(b""), st.just(0)),
    ),
    max_size=40,
)


@given(CALLS, st.integers(0, 4 * ENTRY))
def test_those_used_last_are_there_within_the_bytes_and_the_lifetime(
    calls: Sequence[tuple[str, bytes | list[bytes], int]], most: int
) -> None:
    now, lifetime = 0.0, 10.0
    states = CarriedStates(most, lifetime, lambda: now)
    order: list[tuple[bytes, int, float]] = []  # name, numbers, last use; the oldest first
    found = missed = 0
    for what, name, number in calls:
        if what == "keep" and isinstance(name, bytes):
            states.keep(name, state(number))
            if 4 * number + ENTRY <= most:
                order = [one for one in order if one[0] != name] + [(name, number, now)]
            while sum(4 * one[1] + ENTRY for one in order) > most:
                order.pop(0)
        elif what == "find":
            there = {one[0]: one for one in order if one[2] >= now - lifetime}
            place = next((place for place, one in enumerate(name) if one in there), None)
            got = states.find(list(name))  # type: ignore[arg-type]
            assert (None if got is None else got[0]) == place
            if place is None or got is None:
                missed += 1
            else:
                found += 1
                used = there[name[place]]  # type: ignore[index]
                assert len(got[1]) == used[1]
                order.remove(used)
                order.append((used[0], used[1], now))
        elif what == "wait":
            now += number
        elif what == "expire":
            states.expire()
            order = [one for one in order if one[2] >= now - lifetime]
        else:
            states.clear()
            order = []
        assert len(states) == len(order)
        assert states.bytes == sum(4 * one[1] + ENTRY for one in order) <= most
    assert (states.continued, states.anew) == (found, missed)


def test_what_was_asked_for_stays_before_what_was_only_kept() -> None:
    states = CarriedStates(2 * (4 + ENTRY))
    for name in (b"a", b"b"):
        states.keep(name, state(1))
    assert states.find([b"a"]) is not None
    states.keep(b"c", state(1))
    assert states.find([b"b"]) is None
    assert states.find([b"a"]) is not None


def test_a_state_lives_as_long_as_it_is_asked_for() -> None:
    now = 0.0
    states = CarriedStates(10**6, 10.0, lambda: now)
    states.keep(b"a", state(1))
    states.keep(b"b", state(1))
    now = 8.0
    assert states.find([b"a"]) is not None
    now = 16.0
    assert states.find([b"b"]) is None, "too old, though nothing has dropped it yet"
    states.expire()
    assert len(states) == 1
    assert states.find([b"a"]) is not None


def test_what_a_state_takes_beside_its_numbers_is_counted() -> None:
    import tracemalloc

    states = CarriedStates(10**9)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for place in range(2_000):
        states.keep(place.to_bytes(16, "little"), state(NUMBERS).copy())
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken <= states.bytes


# ------------------------------------------------------------------------------------ answers from it


@pytest.fixture(scope="module")
def graphs() -> list[tuple[GraphScoring, bytes]]:
    """A network that reads gaps, another column and the wait; and the same with other weights."""
    torch.manual_seed(5)
    log = Queries.of([[0]], N)
    inputs = Inputs(("gap", "wait"), length=WINDOW)
    model = LSTM(width=4, hidden=HIDDEN, layers=LAYERS, length=WINDOW, inputs=("gap",), asked="wait")
    network = model.network(Domain.of(N))
    assert len(log) == 1
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    graph = to_onnx(network, inputs)
    steps = steps_to_onnx(network, graph)
    assert steps is not None
    found = []
    for factor in (1.0, -0.7):
        plain, going = (weighed(one, factor) for one in (graph, steps))
        found.append((GraphScoring(session_of(plain, 1), inputs, N), going))
    return found


def weighed(graph: bytes, factor: float) -> bytes:
    """A graph whose item vectors are multiplied by a number: another model."""
    model = onnx.load_model_from_string(graph)
    (table,) = (one for one in model.graph.initializer if one.name == "items.weight")
    table.CopyFrom(
        onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(table) * np.float32(factor), table.name)
    )
    return bytes(model.SerializeToString())


def kept_of(graphs: Sequence[tuple[GraphScoring, bytes]], states: CarriedStates) -> list[Stepping]:
    return [
        stepping(plain, steps, states, f"{place:064x}", Path("steps.onnx"))
        for place, (plain, steps) in enumerate(graphs)
    ]


@dataclass
class Told:
    """A history as a store has it: events in the order of their times."""

    events: list[tuple[int, int]] = field(default_factory=list)

    def asked(self, wait: int) -> Queries:
        times, items = (np.array(one, dtype=np.int64) for one in zip(*self.events, strict=True))
        at = np.array([times[-1] + wait * SECOND])
        return Queries(items.astype(np.int32), np.array([0]), np.array([len(items)]), N, time=times, at=at)


WHO = st.integers(0, 1)
DONE = st.lists(
    st.one_of(
        st.tuples(st.just("events"), WHO, st.lists(st.integers(0, N - 1), min_size=1, max_size=18)),
        st.tuples(st.just("late"), WHO, st.integers(0, N - 1)),
        st.tuples(st.just("taken out"), WHO, st.integers(0, 30)),
        st.tuples(st.just("erased"), WHO, st.just(0)),
        st.tuples(st.just("swap"), WHO, st.just(0)),
        st.tuples(st.just("ask"), WHO, st.integers(0, 10**6)),
        st.tuples(st.just("ask"), WHO, st.integers(0, 10**6)),
    ),
    min_size=5,
    max_size=30,
)


@given(DONE, st.sampled_from([0, 3 * ONE, 10**6]), st.integers(0, 2**32))
def test_an_answer_from_what_is_kept_is_the_answer_anew(
    graphs: list[tuple[GraphScoring, bytes]],
    done: Sequence[tuple[str, int, int | list[int]]],
    most: int,
    seed: int,
) -> None:
    """Events one by one and many, late ones, some that go, erasures, swaps, windows exceeded, little memory."""
    rng = np.random.default_rng(seed)
    states = CarriedStates(most)
    kept, answers, clock = kept_of(graphs, states), 0, 1_000 * SECOND
    histories = [Told(), Told()]
    for what, who, given_ in done:
        told = histories[who]
        if what == "events" and isinstance(given_, list):
            for item in given_:
                clock += int(rng.integers(0, 10**5)) * SECOND
                told.events.append((clock, item))
        elif what == "late" and isinstance(given_, int) and told.events:
            place = int(rng.integers(0, len(told.events)))
            told.events.insert(place, (told.events[place][0], given_))
        elif what == "taken out" and isinstance(given_, int) and told.events:
            del told.events[given_ % len(told.events)]
        elif what == "erased":
            told.events.clear()
            states.clear()
        elif what == "swap":
            answers = 1 - answers
        elif what == "ask" and isinstance(given_, int) and told.events:
            asked = told.asked(given_)
            anew, found = graphs[answers][0].score(asked), kept[answers].score(asked)
            np.testing.assert_allclose(found, anew, rtol=0, atol=1e-5)
            assert top_k(found[0], N).tolist() == top_k(anew[0], N).tolist()
            assert states.bytes <= most


def begun(kept: Stepping, told: Told, wait: int = 60) -> str:
    """Where an answer began, "kept" or "anew", once it is known to be that of the whole window."""
    before, asked = kept.carried.continued, told.asked(wait)
    np.testing.assert_allclose(kept.score(asked), GraphScoring.score(kept, asked), rtol=0, atol=1e-5)
    return "kept" if kept.carried.continued > before else "anew"


def test_it_goes_on_where_it_can_and_begins_anew_where_it_must(
    graphs: list[tuple[GraphScoring, bytes]],
) -> None:
    kept, other = kept_of(graphs, CarriedStates(10**6))
    told = Told([(SECOND * place, place % N) for place in range(5)])
    assert begun(kept, told) == "anew"
    assert begun(kept, told) == "kept", "asked again"
    assert begun(kept, told, wait=10**6) == "kept", "and at another time"
    assert begun(other, told) == "anew", "another model"
    told.events.append((SECOND * 5, 7))
    assert begun(kept, told) == "kept", "one more event"
    told.events += [(SECOND * (6 + place), 1) for place in range(BACK)]
    assert begun(kept, told) == "kept", "as many as are looked back over"
    late = Told([*told.events[:-2], (told.events[-2][0], 3), *told.events[-2:]])
    assert begun(kept, late) == "anew", "nothing was asked before what came late"
    assert begun(kept, Told(told.events[:-1])) == "kept", "the last one taken out"
    apart = Told(
        [(time + (place > 2) * 10**6 * SECOND, item) for place, (time, item) in enumerate(told.events)]
    )
    assert begun(kept, apart) == "anew", "the same items at other times"
    told.events += [(SECOND * 100, 2), (SECOND * 101, 2), (SECOND * 102, 2)]
    assert len(told.events) == WINDOW + 1
    assert begun(kept, told) == "anew", "the first event is out of the window"
    assert begun(kept, told) == "kept", "the same window again"


def test_more_events_than_are_looked_back_over_are_read_anew(
    graphs: list[tuple[GraphScoring, bytes]],
) -> None:
    kept = kept_of(graphs, CarriedStates(10**6))[0]
    told = Told([(0, 1)])
    kept.score(told.asked(1))
    told.events += [(SECOND, 2)] * (BACK + 1)
    assert begun(kept, told) == "anew"


def test_a_state_that_is_wrong_would_be_seen(graphs: list[tuple[GraphScoring, bytes]]) -> None:
    """The answer is made from the state that is kept, and from the question's own time."""
    kept = kept_of(graphs, CarriedStates(10**6))[0]
    told = Told([(0, 1), (SECOND, 2), (2 * SECOND, 3)])
    first, late = kept.score(told.asked(1)), kept.score(told.asked(10**6))
    assert np.abs(first - late).max() > 1e-3
    for name, (used, held) in kept.carried._held.items():
        kept.carried._held[name] = used, held + 1
    assert np.abs(kept.score(told.asked(1)) - first).max() > 1e-3


def test_several_questions_at_once_leave_nothing_behind(graphs: list[tuple[GraphScoring, bytes]]) -> None:
    kept = kept_of(graphs, CarriedStates(10**6))[0]
    asked = Queries.of([[1, 2, 3], [4]], N)
    np.testing.assert_allclose(kept.score(asked), graphs[0][0].score(asked), rtol=0, atol=1e-6)
    assert (len(kept.carried), kept.carried.anew) == (0, 0)


def test_a_graph_that_does_not_fit_is_refused(graphs: list[tuple[GraphScoring, bytes]]) -> None:
    plain, steps = graphs[0]
    model = onnx.load_model_from_string(steps)
    model.graph.input[-1].name = "state"
    model.graph.node[[node.op_type for node in model.graph.node].index("LSTM")].name = "x"
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == f"before{2 * LAYERS - 1}":
                node.input[place] = "state"
    for graph, said in (
        (model.SerializeToString(), "has other inputs and outputs than ours"),
        (b"nothing", "is no graph that ONNX Runtime can load"),
    ):
        with pytest.raises(ArtifactError, match=f"^folder/steps.onnx {said}"):
            stepping(plain, graph, CarriedStates(1), "00", Path("folder/steps.onnx"))
