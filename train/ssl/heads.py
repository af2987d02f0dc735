"""The projection head that DINO and DINOv2 put on the backbone's tokens."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from radiodino.runtime.errors import InputError

_INITIAL_SPREAD = 0.02  # standard deviation of the MLP's initial weights
_SMALLEST_NORM = 1e-12
_SMALLEST_NORM_HALF = 1e-6  # 1e-12 is 0 in float16


class WeightNormLinear(nn.Module):
    """A linear layer without bias whose rows are directions times lengths: row k is g_k · v_k / ‖v_k‖.

    The parameters carry the names that PyTorch's older `weight_norm` gave them, those of the official checkpoints.

    Args:
        in_features: D, at least 1.
        out_features: K, at least 1.
        learn_length: whether the lengths are trained; otherwise they stay 1 and have no gradient.

    Attributes:
        weight_g: (K, 1), float32, the lengths, 1 to begin with.
        weight_v: (K, D), float32, the directions, to begin with uniform in ±1/√D, as a plain linear layer.
    """

    def __init__(self, in_features: int, out_features: int, learn_length: bool) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(out_features, 1), requires_grad=learn_length)
        self.weight_v = nn.Parameter(torch.empty(out_features, in_features))
        bound = 1 / math.sqrt(in_features)
        nn.init.uniform_(self.weight_v, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., K)."""
        # What PyTorch's own weight norm calls: one fused pass each way, less than half the time of the plain formula.
        return functional.linear(x, torch._weight_norm(self.weight_v, self.weight_g, 0))


class ProjectionHead(nn.Module):
    """MLP with GELU, L2 normalisation, weight-normed linear layer: tokens to the logits of the prototypes.

    DINO, section 3.2 and appendix C; the defaults are those of the official DINO and DINOv2 code. The head of
    DINOv2 is this one with `norm_last_layer=False`: its lengths are trained. Neither has batch norm. The two official
    heads differ in one number: the smallest norm that the bottleneck is divided by is 1e-12, in DINOv2 1e-6 for
    float16; so it is here, where DINO's value would be 0.

    Its state dict has the official names: `mlp.N.weight`, `mlp.N.bias` with N = 0, 2, 4 for three layers
    (`mlp.weight`, `mlp.bias` for one), `last_layer.weight_g`, `last_layer.weight_v`.

    Args:
        in_dim: size of a token of the backbone.
        out_dim: K, the number of prototypes.
        hidden_dim: width of the MLP.
        bottleneck_dim: size of the normalised vector.
        layers: linear layers of the MLP, at least 1.
        norm_last_layer: freeze the lengths of the last layer at 1, so that logits are cosines in [-1, 1].

    Raises:
        InputError: where a size is less than 1.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int = 65536,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        layers: int = 3,
        norm_last_layer: bool = True,
    ) -> None:
        super().__init__()
        sizes = {
            "in_dim": in_dim,
            "out_dim": out_dim,
            "hidden_dim": hidden_dim,
            "bottleneck_dim": bottleneck_dim,
            "layers": layers,
        }
        for name, size in sizes.items():
            if size < 1:
                raise InputError(f"a projection head needs {name} of at least 1, not {size}")
        widths = [in_dim, *[hidden_dim] * (layers - 1), bottleneck_dim]
        steps: list[nn.Module] = []
        for before, after in pairwise(widths):
            steps += [nn.Linear(before, after), nn.GELU()]
        steps.pop()  # the bottleneck is linear
        for layer in steps:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=_INITIAL_SPREAD)  # cut at ±2, 100 standard deviations
                nn.init.zeros_(layer.bias)
        self.mlp = steps[0] if layers == 1 else nn.Sequential(*steps)
        self.last_layer = WeightNormLinear(bottleneck_dim, out_dim, learn_length=not norm_last_layer)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (..., in_dim), floating point, to logits (..., out_dim), of the same dtype or autocast's."""
        x = self.mlp(x)
        smallest = _SMALLEST_NORM_HALF if x.dtype == torch.float16 else _SMALLEST_NORM
        logits: Tensor = self.last_layer(functional.normalize(x, dim=-1, eps=smallest))
        return logits
