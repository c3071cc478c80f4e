"""A trained network that answers: through torch, and as an ONNX graph that needs neither torch nor ensue."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from ensue import retrieval
from ensue.artifacts import FEATURES, PRIOR, VOCABULARY
from ensue.batching import SCORING_TOKENS
from ensue.errors import MissingExtraError, ModelError
from ensue.features import Features
from ensue.inputs import USER, WAIT, Inputs
from ensue.item_vectors import ItemTable
from ensue.lowering import lowered
from ensue.network import Batch, Network
from ensue.ranking import Parts, Scores
from ensue.retrieval import PRODUCT
from ensue.sequences import Queries
from ensue.small_graph import small_graph
from ensue.step_graph import step_graph

OPSET = 23


@dataclass(frozen=True, eq=False)
class TorchScoring:
    """A trained network's scores through torch: for validation, and the oracle of the exported graph."""

    network: Network
    inputs: Inputs
    features: Features | None = None
    scores_are: ClassVar[str] = "logits"

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` float32 scores."""
        scores = self.plain(queries)
        if self.network.prior is not None:
            self.network.prior.leaning().add(scores, queries)
        return scores

    def plain(self, queries: Queries) -> Scores:
        """`[Q, N]` float32 scores of the network alone, without a prior."""
        scorer = self.network.scorer
        return self._after(queries, lambda: partial(self.network.scores, scorer=scorer()))

    def ratings(self, queries: Queries) -> Scores:
        """`[Q, N]` float32 ratings that are expected beside the next item.

        Raises:
            ModelError: the network has learnt no ratings beside.
        """
        beside = self.network.beside
        if beside is None:
            raise ModelError("This network has learnt no ratings beside next items: take objective.rating.")
        return self._after(queries, lambda: partial(beside, scorer=beside.scorer(self.network.items)))

    def _after(self, queries: Queries, reading: Callable[[], Callable[[Tensor], Tensor]]) -> Scores:
        """`[Q, N]` what is read of the states after each history; made where no gradient is kept."""
        network = self.network
        device = next(network.parameters()).device
        scores = np.empty((len(queries), network.items.n_items), dtype=np.float32)
        was_training = network.training
        network.eval()
        with torch.inference_mode():
            read = reading()
            for which, arrays in self.inputs.feeds(queries, SCORING_TOKENS):
                fed = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
                fields = {name: fed[name] for name in self.inputs.reads}
                batch = Batch(fed["items"], network.items.n_items, fields)
                answers = network.answers(batch, fed["asked"], fed["places"])
                scores[which] = read(answers).cpu().numpy()
        network.train(was_training)
        return scores

    def parts(self) -> Parts:
        """The exported graph, the weights by name, what the network reads, and the graphs that go on from a state."""
        self.network.cpu()
        arrays = {name: tensor.detach().numpy() for name, tensor in self.network.state_dict().items()}
        settings, tables = self.inputs.to_json(), {}
        if self.inputs.encodings.entries:
            tables[VOCABULARY] = self.inputs.encodings.table()
        if self.features is not None:
            settings["features"] = self.features.to_json()
            tables[FEATURES] = self.features.table()
        if (product := product_apart(self.network)) is not None:
            settings[PRODUCT] = product
        if self.network.prior is not None:
            leaning = self.network.prior.leaning()
            settings[PRIOR] = leaning.to_json()
            arrays |= leaning.arrays()
        graph = to_onnx(self.network, self.inputs)
        steps = steps_to_onnx(self.network, graph)
        return Parts(settings, arrays, graph, tables, steps, None if steps is None else small_graph(steps))


def product_apart(network: Network) -> dict[str, Any] | None:
    """What tells of a product with the items that is not a part of the graph; None for one that is.

    It is where the items are many and the table is a plain one, and nothing but the product makes the answer.
    """
    head, plain = network.head, type(network.items) is ItemTable
    others = (network.prior, network.rating, network.beside)
    if network.items.n_items <= retrieval.APART or any(one is not None for one in others):
        return None
    if head.table is None and not plain:
        return None
    return {
        "table": "items.weight" if head.table is None else "head.table",
        "bias": None if head.bias is None else "head.bias",
        "cosine": head.temperature > 0,
    }


class _States(nn.Module):
    """The part of a network before the product: `[Q, D]` what the vectors of the items are multiplied by."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, items: Tensor, asked: Tensor, places: Tensor, *fields: Tensor) -> Tensor:
        """See `Network.forward`."""
        network = self.network
        batch = Batch(items, network.items.n_items, dict(zip(network.reads, fields, strict=True)))
        return network.scorer().prepared(network.answers(batch, asked, places))


def to_onnx(network: Network, inputs: Inputs) -> bytes:
    """The network's `forward` as an ONNX graph, weights inside.

    Inputs `items [B, T]`, `asked [B, S]`, `places [Q]` (int64), and what the network reads beside them: `user [B]`,
    `wait [B, S]`, any other column `[B, T]`; output `scores [Q, N]` (float32), to which a prior is still to be added,
    and of a network that has learnt them `ratings [Q, N]`, those that are expected. Padding is `N`. Where
    `product_apart` says so, the output is `states [Q, D]` in place of the scores.

    Args:
        network: trained; item vectors that are composed go in as the plain table that they make.
        inputs: what it reads, and the most steps that it will be asked about, `T <= length`.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        ModelError: the exporter froze the size of a batch.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as fault:
        raise MissingExtraError(
            "Saving a network needs onnx and onnxscript: pip install 'ensue[train]'."
        ) from fault
    was_training, items = network.training, network.items
    network = network.eval()
    length = inputs.length
    width = min(3, length)
    missing = inputs.nothing(2, width, 4)
    example = (
        torch.zeros((2, width), dtype=torch.int64),
        torch.tensor([[0, width - 1, 0, 0], [0, 0, 0, 0]]),
        torch.tensor([1, 4, 5, 0, 2]),
        *(torch.from_numpy(missing[name]) for name in inputs.reads),
    )
    rows, steps, slots, asked = (Dim(name, min=1) for name in "BTSQ")
    shapes = {USER: {0: rows}, WAIT: {0: rows, 1: slots}}
    fields = tuple(shapes.get(name, {0: rows, 1: steps}) for name in inputs.reads)
    apart = product_apart(network) is not None
    outputs = ["states"] if apart else ["scores"] if network.beside is None else ["scores", "ratings"]
    _forget_kernels()
    network.items = items.frozen()
    with _quiet(), _lightly(), torch.no_grad():
        program = torch.onnx.export(
            _States(network) if apart else network,
            example,
            input_names=["items", "asked", "places", *inputs.reads],
            output_names=outputs,
            dynamic_shapes=(
                {0: rows, 1: steps},
                {0: rows, 1: slots},
                {0: asked},
                *((fields,) if fields else ()),
            ),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    network.items = items
    network.train(was_training)
    if program is None:
        raise MissingExtraError("This torch cannot export to ONNX: install the version in constraints.txt.")
    graph = program.model_proto
    sizes = [size for tensor in graph.graph.input for size in tensor.type.tensor_type.shape.dim]
    if any(size.HasField("dim_value") for size in sizes) and length > 1:
        raise ModelError(
            "The exported graph answers batches of one size only: install the versions in constraints.txt."
        )
    return bytes(graph.SerializeToString())


def steps_to_onnx(network: Network, graph: bytes) -> bytes | None:
    """The exported graph made to go on from a state, for one history (see `step_graph`); None where there is no such.

    It is there for networks whose state has one size, however long the history; not where the product with the items
    is apart, since it would hold the vectors of a large catalogue once more.

    Args:
        network: as it was exported.
        graph: what `to_onnx` made of it.
    """
    layers = getattr(network.encoder, "carrying", 0)
    if not layers or product_apart(network) is not None:
        return None
    import onnx

    return step_graph(onnx.load_model_from_string(graph), layers)


def _forget_kernels() -> None:
    """Makes the exporter's own kernels of recurrent layers, which leave `T` open, count in every export.

    It swaps them in for the time of an export, and torch 2.13 remembers those of before, with which a second export in
    one process would freeze `T` at the example's.
    """
    for layer in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        layer._dispatch_cache.clear()


@contextlib.contextmanager
def _lightly() -> Iterator[None]:
    """What the exporter does in vain left out, for the time of an export.

    In each one torch 2.13 parses its 500 translations into ONNX anew, and traces twice more what it could translate as
    it is. And it asks of every operation by which lines of which files it came about, and writes that into the graph,
    which would tell where the caller's programs lie.
    """
    try:
        from torch.fx import config
        from torch.onnx._internal.exporter import _fx_passes as passes
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        read, traces = vars(ONNXRegistry)["from_torchlib"], config.do_not_emit_stack_traces
        taken_apart = passes.decompose_with_registry
    except (ImportError, KeyError, AttributeError):  # another torch: it exports as slowly as it likes
        yield
        return

    def apart(program: Any, registry: Any) -> Any:
        return program if lowered(program, registry.is_registered) else taken_apart(program, registry)

    config.do_not_emit_stack_traces = True
    once = staticmethod(partial(_read_once, ONNXRegistry.from_torchlib))
    ONNXRegistry.from_torchlib = once  # type: ignore[method-assign]
    passes.decompose_with_registry = apart  # type: ignore[assignment]
    try:
        yield
    finally:
        passes.decompose_with_registry = taken_apart
        ONNXRegistry.from_torchlib = read  # type: ignore[method-assign]
        config.do_not_emit_stack_traces = traces


@cache
def _read_once(read: Callable[[int], Any], opset_version: int) -> Any:
    return read(opset_version)


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """The exporter's own chatter kept off the user's terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
