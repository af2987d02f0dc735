"""Where a failing export departs from its original: stage by stage, in the order of execution."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from .engine import Batch, open_graph, with_outputs
from .original import Original
from .verify import Tolerance, cosines


def stages(backbone: nn.Module, segment_head: nn.Module | None = None) -> dict[str, nn.Module]:
    """The modules whose results are compared, by their path in the traced graph.

    Args:
        backbone: a timm VisionTransformer.
        segment_head: of `radiodino.train.segment.heads.HEADS`; of its lists of blocks each block counts.
    """
    vit = cast(Any, backbone)
    found = {"patch_embed": vit.patch_embed}
    found |= {f"blocks.{index}": block for index, block in enumerate(vit.blocks)}
    found["norm"] = vit.norm
    if segment_head is not None:
        for name, child in segment_head.named_children():
            parts = child.named_children() if isinstance(child, (nn.Sequential, nn.ModuleList)) else ()
            inner = {f"segment_head.{name}.{number}": part for number, part in parts}
            found |= inner or {f"segment_head.{name}": child}
    return found


def first_divergence(
    model: onnx.ModelProto, original: Original, batch: Batch, backend: str, compute: str, tolerance: Tolerance
) -> str:
    """One phrase that names the first stage outside `tolerance`.

    Args:
        model: the candidate; its stage tensors are named by `radiodino.export.cleanup.clean_up`.
        original: the PyTorch original.
        batch: network input, float32 (B, 3, S, S).
        backend: where it failed.
        compute: the arithmetic in which it failed.
        tolerance: what the embedding was judged by.
    """
    modules = stages(original.backbone, original.heads.segmenter)
    names = [name for node in model.graph.node for name in node.output if name in modules]  # in order of execution
    wanted = _stage_results(original, {name: modules[name] for name in names}, batch)
    precision = "fp16" if any(t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer) else "fp32"
    found = open_graph(with_outputs(model, names), backend, compute, precision).run(batch)
    for name in names:
        true = wanted[name]
        if true.ndim == 3:  # tokens, of which the candidate's last block may have the CLS token alone
            true = true[:, : found[name].shape[1]]
        result, true = (values.reshape(len(batch), -1) for values in (found[name], true))
        cosine = cosines(result, true).min()
        error = np.abs(result - true).max() / np.abs(true).max()
        outside = not np.isfinite(result).all()
        outside |= tolerance.cosine is not None and cosine < tolerance.cosine
        outside |= tolerance.relative_error is not None and error > tolerance.relative_error
        if outside:
            return f"it diverges first after '{name}' (cosine {cosine:.6f}, relative error {error:.1e})"
    return "every stage before the outputs is within tolerance"


def _stage_results(original: Original, modules: dict[str, nn.Module], batch: Batch) -> dict[str, Batch]:
    results: dict[str, Tensor] = {}

    def remember(name: str, module: nn.Module) -> Any:
        return module.register_forward_hook(lambda _module, _inputs, output: results.__setitem__(name, output))

    hooks = [remember(name, module) for name, module in modules.items()]
    network = original.backbone if original.segmenter is None else original.segmenter
    try:
        with torch.inference_mode():
            network(torch.from_numpy(batch))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: result.numpy() for name, result in results.items()}
