"""An int8 network's float parts in half precision (``--best``), decided in the graph as everything is.

The float parts of an int8 file are fp32, which a CPU computes as fast as anything it has; a card computes them several
times faster in half. The pass is that of fp16 files, over the graph with its QuantizeLinear and DequantizeLinear:
scales become half too, which the fused kernels ask for, and a classifier's linear head stays fp32 as there. A layer
that rounds by a scale below half's normal range stays fp32 as a whole.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from ..engine import Batch
from ..half import nodes_between, to_half
from ..ranges import largest_values, nodes_beyond_half


def with_half_float_parts(network: bytes, batches: list[Batch]) -> bytes:
    """`network` with the same integers and float parts in half precision.

    Args:
        network: a serialised ModelProto of a static int8 file.
        batches: network inputs on which operators are found whose values leave the half range.
    """
    model = onnx.load_from_string(network)
    del model.metadata_props[:]  # the document and the seal are of the file it was
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    keep = nodes_beyond_half(model, largest_values(model, batches)) | layers_of_small_scales(model)
    if "probabilities" in (value.name for value in model.graph.output):
        keep |= nodes_between(model, "embedding", "probabilities")
    half: bytes = to_half(model, keep).SerializeToString()
    return half


def layers_of_small_scales(model: onnx.ModelProto) -> set[str]:
    """The names of the nodes of layers that round by a scale which half precision cannot hold to its 11 bits."""
    least = float(np.finfo(np.float16).smallest_normal)
    scales = {
        tensor.name: float(np.abs(numpy_helper.to_array(tensor)).min())
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }
    makers = {name: node for node in model.graph.node for name in node.output}
    found: set[str] = set()
    for node in model.graph.node:
        rounded = [makers[name] for name in node.input if name in makers and makers[name].op_type == _DEQUANTIZE]
        if any(scales.get(maker.input[1], least) < least for maker in rounded):
            quantisers = [makers[maker.input[0]] for maker in rounded if maker.input[0] in makers]
            found.update(part.name for part in (node, *rounded, *quantisers))
    return found


_DEQUANTIZE = "DequantizeLinear"
