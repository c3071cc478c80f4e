"""A graph whose LSTM layers have weights of 8 bits: a quarter of the memory to be read for each step."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

QUANTISED = "DynamicQuantizeLSTM"
"""What ONNX Runtime calls such a layer."""


def small_graph(graph: bytes) -> bytes | None:
    """The same graph with the weights of its LSTMs in 8 bits; None for one without.

    Each row of weights is rounded to 127 steps of its own, inputs and states to 255 that fit them as they come: so an
    answer depends a little on what is computed in one call, which is to be one history. Weights do not take all of
    their 8 bits, since processors without instructions for such products (VNNI) add two of them in 16 bits: with 255
    steps sums are cut off there, and scores off by more than ten times as much.

    Args:
        graph: weights inside.

    References:
        Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
        CVPR 2018, for rounding by steps; dynamic, of LSTMs, as ONNX Runtime's own operator has it.
    """
    if b"LSTM" not in graph:
        return None
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        folded, small = Path(folder) / "folded.onnx", Path(folder) / "small.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        # weights put together once and for all, which the exporter leaves to each call
        options.optimized_model_filepath = str(folded)
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        said = logging.getLogger()
        level = said.level
        said.setLevel(logging.ERROR)  # it advises on the root of all loggers what was done above
        try:
            quantize_dynamic(
                folded,
                small,
                op_types_to_quantize=["LSTM"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                reduce_range=True,
            )
        finally:
            said.setLevel(level)
        found = small.read_bytes()
    return found if QUANTISED.encode() in found else None
