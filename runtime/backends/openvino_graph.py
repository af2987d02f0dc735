"""What is changed in a graph before OpenVINO compiles it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

_BLOCK = re.compile(r"blocks\.(\d+)")


def keep_residual_in_bf16(model: Any) -> None:
    """Let a transformer's residual stream be bf16 as all else is, where the graph is computed in bf16.

    OpenVINO leaves in fp32 what lies between a graph's outputs and the nearest product of matrices, and by way of the
    residual additions that reaches back to the first block: two conversions for each of them, a tenth of the time. A
    product with the identity after the last block is where it stops; it changes no value.

    Args:
        model: an `openvino.Model`, read and not compiled; one that radiodino-export did not write is left as it is.
    """
    from openvino import opset13 as operators

    tips: dict[int, Any] = {}
    for node in model.get_ordered_ops():
        for output in node.outputs():
            tips |= {int(found[1]): output for name in output.get_names() if (found := _BLOCK.fullmatch(name))}
    if not tips:
        return
    tip = tips[max(tips)]
    readers = tip.get_target_inputs()
    size = tip.get_partial_shape()[-1].get_length()
    identity = operators.constant(np.eye(size, dtype=tip.get_element_type().to_dtype()))
    product = operators.matmul(tip, identity, False, False).output(0)
    for reader in readers:
        reader.replace_source_output(product)
