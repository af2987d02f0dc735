"""A convolution with batch normalisation, and the two as one convolution once training is over."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_M = TypeVar("_M", bound=nn.Module)


class ConvNorm(nn.Module):
    """A 2-D convolution without bias that keeps the side (divided by the stride), then batch normalisation.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: side of the kernel, odd.
        stride: of the convolution.
        groups: see `torch.nn.Conv2d`; as many as `inputs` makes it depthwise.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, outputs, H / stride, W / stride) of maps (N, inputs, H, W)."""
        found: Tensor = self.norm(self.conv(maps))
        return found


def fold_batch_norm(module: _M) -> _M:
    """A copy of `module` in evaluation mode whose `ConvNorm` are single convolutions: the same function, less work.

    Args:
        module: any module; it is left as it is.
    """
    folded = copy.deepcopy(module).eval()
    for parent in list(folded.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ConvNorm):
                setattr(parent, name, fuse_conv_bn_eval(child.conv, child.norm))
    return folded
