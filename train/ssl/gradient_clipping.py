"""Limits on the student's gradients between the backward pass and the optimiser's step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from radiodino.runtime.errors import InputError

_SMALL = 1e-6  # beside the norm, so that a gradient of zeros is not divided by 0


@torch.no_grad()
def clip_each_parameter(parameters: Iterable[Tensor], clip: float) -> Tensor:
    """Scale, in place, each parameter's gradient by clip / (norm + 1e-6) where that is below 1.

    DINO's way (official default 3.0): every parameter is a group of its own, so a large gradient in one leaves the
    others as they are. With a gradient scaler, unscale first.

    Args:
        parameters: those without a gradient are passed over.
        clip: largest L2 norm of one parameter's gradient, above 0.

    Returns:
        (number of gradients,), float32: the norms before clipping, in the order of the parameters. Not finite where
        a gradient is not finite; then that gradient is no cleaner afterwards, and the caller has to look.

    Raises:
        InputError: where `clip` is not above 0.
    """
    _refuse(clip)
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros(0)
    norms = torch.stack(torch._foreach_norm(gradients, 2))
    torch._foreach_mul_(gradients, (clip / (norms + _SMALL)).clamp(max=1).unbind())
    return norms


def clip_each_module(modules: Mapping[str, Iterable[nn.Parameter]], clip: float) -> dict[str, Tensor]:
    """Scale, in place, all gradients of a sub-module by clip / (their joint norm + 1e-6) where that is below 1.

    DINOv2's way (official default 3.0): backbone, head and, where it is separate, patch head are clipped one by one.

    Args:
        modules: the parameters of each sub-module, by its name; those without a gradient are passed over.
        clip: largest joint L2 norm of a sub-module's gradients, above 0.

    Returns:
        For each name the joint norm before clipping, (), float32; not finite where a gradient is not finite.

    Raises:
        InputError: where `clip` is not above 0.
    """
    _refuse(clip)
    return {name: nn.utils.clip_grad_norm_(parameters, clip) for name, parameters in modules.items()}


def cancel_gradients(named_parameters: Iterable[tuple[str, Tensor]], epoch: int, frozen_epochs: int = 1) -> None:
    """Drop the gradients of the head's last layer during the first epochs, so that the optimiser passes it over.

    DINO's way (official default: the first epoch), after clipping. A dropped gradient means no step, no weight decay
    and no moments for that parameter. DINOv2 sets the last layer's learning rate to 0 instead, under which the
    moments are gathered: see `schedules.frozen_start`.

    Args:
        named_parameters: as `student.named_parameters()` yields them; the last layer's names contain "last_layer".
        epoch: the current epoch, from 0.
        frozen_epochs: gradients are dropped while `epoch` is below this.
    """
    if epoch >= frozen_epochs:
        return
    for name, parameter in named_parameters:
        if "last_layer" in name:
            parameter.grad = None


def _refuse(clip: float) -> None:
    if not clip > 0:
        raise InputError(f"gradients are clipped to a norm above 0, not {clip}: leave the clipping out to have none")
