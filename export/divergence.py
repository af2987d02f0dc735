"""Where a failing export departs from its original: stage by stage, in the order of execution."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from .engine import Batch, open_graph, with_outputs
from .verify import Tolerance, cosines


def stages(depth: int) -> list[str]:
    """The modules of a ViT whose results are compared, as paths below the backbone."""
    return ["patch_embed", *(f"blocks.{index}" for index in range(depth)), "norm"]


def first_divergence(
    model: onnx.ModelProto, backbone: nn.Module, batch: Batch, backend: str, compute: str, tolerance: Tolerance
) -> str:
    """One phrase that names the first stage outside `tolerance`.

    Args:
        model: the candidate; its stage tensors are named by `radiodino.export.cleanup.clean_up`.
        backbone: the PyTorch original.
        batch: network input, float32 (B, 3, S, S).
        backend: where it failed.
        compute: the arithmetic in which it failed.
        tolerance: what the outputs were judged by.
    """
    produced = {name for node in model.graph.node for name in node.output}
    names = [name for name in stages(len(backbone.blocks)) if name in produced]  # type: ignore[arg-type]
    wanted = _stage_results(backbone, names, batch)
    precision = "fp16" if any(t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer) else "fp32"
    found = open_graph(with_outputs(model, names), backend, compute, precision).run(batch)
    for name in names:
        result, original = (values.reshape(len(batch), -1) for values in (found[name], wanted[name]))
        cosine = cosines(result, original).min()
        error = np.abs(result - original).max() / np.abs(original).max()
        outside = not np.isfinite(result).all()
        outside |= tolerance.cosine is not None and cosine < tolerance.cosine
        outside |= tolerance.relative_error is not None and error > tolerance.relative_error
        if outside:
            return f"it diverges first after '{name}' (cosine {cosine:.6f}, relative error {error:.1e})"
    return "every stage before the outputs is within tolerance"


def _stage_results(backbone: nn.Module, names: list[str], batch: Batch) -> dict[str, Batch]:
    results: dict[str, Tensor] = {}

    def remember(name: str) -> object:
        return backbone.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output: results.__setitem__(name, output)
        )

    hooks = [remember(name) for name in names]
    try:
        with torch.inference_mode():
            backbone(torch.from_numpy(batch))
    finally:
        for hook in hooks:
            hook.remove()  # type: ignore[attr-defined]
    return {name: result.numpy() for name, result in results.items()}
