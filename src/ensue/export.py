"""A network as an ONNX graph: one self-contained file that answers without torch and without ensue."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings

import torch
from torch.export import Dim

from ensue.errors import MissingExtraError
from ensue.network import Network

OPSET = 20


def to_onnx(network: Network) -> bytes:
    """The network's `forward` as an ONNX graph, weights inside.

    Inputs `items [B, T]`, `rows [Q]`, `steps [Q]` (int64); output `scores [Q, N]` (float32). Padding is `N`.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as fault:
        raise MissingExtraError("Saving a network needs onnx and onnxscript: pip install 'ensue[train]'.") from fault
    was_training = network.training
    network = network.eval()
    example = (
        torch.zeros((2, 3), dtype=torch.int64),
        torch.tensor([0, 1, 1, 0]),
        torch.tensor([2, 0, 1, 1]),
    )
    rows, steps, asked = Dim("B", min=1), Dim("T", min=1), Dim("Q", min=1)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network,
            example,
            input_names=["items", "rows", "steps"],
            output_names=["scores"],
            dynamic_shapes=({0: rows, 1: steps}, {0: asked}, {0: asked}),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    network.train(was_training)
    if program is None:
        raise MissingExtraError("This torch cannot export to ONNX: install the version in constraints.txt.")
    return bytes(program.model_proto.SerializeToString())


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
