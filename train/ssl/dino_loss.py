"""DINO's loss: each student crop predicts the teacher's view of the image's other crops."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed
from torch.nn import functional

from radiodino.runtime.errors import InputError

# Values per thread that `soft_cross_entropy` works on at a time on a CPU: with its scratch copies they fit the cache.
_CHUNK = 2**16


@torch.no_grad()
def teacher_probabilities(logits: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """softmax((logits − centre) / temperature): the teacher's centred and sharpened distribution, without gradient.

    Args:
        logits: (..., K), floating point.
        centre: (1, K), float32, from the iterations before this one.
        temperature: above 0, dimensionless; DINO 0.04, or a warm-up to 0.07 (`schedules`).

    Returns:
        (..., K), float32, each row in [0, 1] and summing to 1.
    """
    return functional.softmax((_single(logits) - centre) / temperature, dim=-1)


def dino_loss(student_logits: Tensor, teacher_probabilities: Tensor, student_temperature: float = 0.1) -> Tensor:
    """Mean cross-entropy over all pairs of a teacher's and a student's crop except those of the same view.

    DINO, equation 3 and algorithm 1; 18 pairs for 2 global and 8 local crops. This is the definition, written pair
    by pair; `fused_dino_loss` gives the same number and gradient in less memory and, where K is large, less time.

    Args:
        student_logits: (S, B, K), floating point; the first T crops are the teacher's views, in its order.
        teacher_probabilities: (T, B, K), float32, T at most S, treated as constant.
        student_temperature: above 0, dimensionless; official default 0.1.

    Returns:
        (), float32, at least 0; ln K where every output is uniform, the sign of a collapse.

    Raises:
        InputError: where the shapes do not fit, there is no pair, or the temperature is not above 0.
    """
    pairs = _pairs(student_logits, teacher_probabilities, student_temperature)
    total = teacher_probabilities.new_zeros(())
    for crop, logits in enumerate(student_logits.unbind()):
        log_probabilities = functional.log_softmax(_single(logits) / student_temperature, dim=-1)
        for view, target in enumerate(teacher_probabilities.detach().unbind()):
            if view != crop:
                total = total - (target * log_probabilities).sum(dim=-1).mean()
    return total / pairs


def fused_dino_loss(student_logits: Tensor, teacher_probabilities: Tensor, student_temperature: float = 0.1) -> Tensor:
    """The same as `dino_loss`, with one cross-entropy per student crop instead of one per pair.

    Cross-entropy is linear in its target, so a crop's pairs are one cross-entropy with the sum of their targets:
    of all teacher views for a local crop, of the other views for a global one. No product of shape (B, K) is kept,
    and the gradient is made together with the loss (`soft_cross_entropy`). Not twice differentiable.

    Args, returns, raises: as `dino_loss`.
    """
    pairs = _pairs(student_logits, teacher_probabilities, student_temperature)
    return _crop_terms(student_logits, teacher_probabilities, student_temperature).sum() / pairs


class Dinov2Losses(NamedTuple):
    """What DINOv2 logs apart and adds up, each a scalar, float32."""

    global_crops: Tensor
    local_crops: Tensor


def dinov2_dino_losses(
    student_logits: Tensor, teacher_probabilities: Tensor, student_temperature: float = 0.1
) -> Dinov2Losses:
    """DINOv2's two terms on CLS tokens: pairs with global and with local student crops, over a common divisor.

    The divisor is 2 + max(2L, 1) for L local crops (official `ssl_meta_arch.py`). With local crops the terms add up
    to `dino_loss`; without, the official divisor is 3 where there are 2 pairs, and so it is here.

    Args:
        student_logits: (2 + L, B, K), floating point, the two global crops first.
        teacher_probabilities: (2, B, K), float32, in the order of the crops (not swapped), treated as constant.
        student_temperature: above 0, dimensionless; official default 0.1.

    Returns:
        The terms, to be added with weight 1; `local_crops` is 0 without local crops. Not twice differentiable.

    Raises:
        InputError: as `dino_loss`, or where the teacher's views are not two.
    """
    _pairs(student_logits, teacher_probabilities, student_temperature)
    views = len(teacher_probabilities)
    if views != 2:
        raise InputError(f"DINOv2's loss is defined for 2 global crops, not for {views}")
    divisor = 2 + max(2 * (len(student_logits) - 2), 1)
    terms = _crop_terms(student_logits, teacher_probabilities, student_temperature) / divisor
    return Dinov2Losses(terms[:2].sum(), terms[2:].sum())


def soft_cross_entropy(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """−Σ targets · log softmax(logits / temperature) over the last axis, and its gradient in the same sweep.

    On a CPU the rows are taken a few at a time, so that everything between the logits and the gradient stays in the
    cache; elsewhere a group at a time. The only large tensor kept is the gradient. Not twice differentiable.

    Args:
        logits: (G, N, K), floating point; reduced precision is computed in float32.
        targets: (G, N, K), float32, at least 0, of any sum, treated as constant; an expanded view is not copied.
        temperature: above 0, dimensionless.

    Returns:
        (G, N), float32, at least 0.
    """
    losses: Tensor = _SoftCrossEntropy.apply(logits, targets, temperature)
    return losses


@torch.no_grad()
def updated_centre(centre: Tensor, teacher_logits: Tensor, momentum: float = 0.9) -> Tensor:
    """Return momentum · centre + (1 − momentum) · mean of the teacher's logits over the batch of all ranks.

    DINO, equation 4. To be called after the loss of the same iteration: that loss uses the centre of the iterations
    before. (DINOv2 starts the update at once and applies it before the next use, which is the same.) Sum and number of
    the rows are reduced together, so ranks with unlike numbers of rows weigh as one joined batch does; the official
    code gives every rank the same weight, which differs only for iBOT's masked patches on several ranks.

    Args:
        centre: (1, K), float32; zeros to begin with.
        teacher_logits: (..., K), floating point, before centring: all global crops, or iBOT's masked patches. Where
            torch.distributed is initialised, all ranks call this together, also a rank without any row.
        momentum: in [0, 1]; official default 0.9.

    Returns:
        (1, K), float32, a new tensor; equal to `centre` where no rank has a row.

    Raises:
        InputError: where the sizes differ or the momentum is out of range.
    """
    if centre.ndim != 2 or len(centre) != 1 or centre.shape[-1] != teacher_logits.shape[-1]:
        raise InputError(
            f"the centre must have the shape (1, K) for logits (..., K), found {tuple(centre.shape)} for "
            f"{tuple(teacher_logits.shape)}: use the same out_dim for both"
        )
    if not 0 <= momentum <= 1:
        raise InputError(f"the centre's momentum must lie between 0 and 1, found {momentum}")
    rows = teacher_logits.reshape(-1, teacher_logits.shape[-1])
    total = torch.cat([rows.sum(dim=0, dtype=centre.dtype), centre.new_full((1,), len(rows))])
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(total)
    mean = total[:-1] / total[-1]
    return torch.where(total[-1] > 0, centre * momentum + mean * (1 - momentum), centre)


def _single(tensor: Tensor) -> Tensor:
    """`tensor` in float32 where it has less precision, else as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _pairs(student: Tensor, teacher: Tensor, temperature: float) -> int:
    """The number of pairs of different views, once the arguments are known to fit."""
    if student.ndim != 3 or teacher.ndim != 3 or student.shape[1:] != teacher.shape[1:]:
        raise InputError(
            f"the loss needs student logits (S, B, K) and teacher probabilities (T, B, K), found "
            f"{tuple(student.shape)} and {tuple(teacher.shape)}: stack the crops along the first axis"
        )
    crops, views = len(student), len(teacher)
    if not (1 <= views <= crops and crops > 1 and student.shape[1] > 0):
        raise InputError(
            f"the loss needs at least one teacher view, one more student crop and one image, found {views} views, "
            f"{crops} student crops and {student.shape[1]} images"
        )
    if not temperature > 0:
        raise InputError(f"the student's temperature must be above 0, found {temperature}")
    return views * (crops - 1)


def _crop_terms(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """(S,): for each student crop the sum over its pairs of the cross-entropy's mean over the batch."""
    views, local = len(teacher), len(student) - len(teacher)
    teacher = teacher.detach()
    others = [[view for view in range(views) if view != crop] for crop in range(views)]
    targets = torch.stack([teacher[index].sum(dim=0) for index in others])
    of_global, of_local = torch.split(student, [views, local])
    terms = [soft_cross_entropy(of_global, targets, temperature)]
    if local:
        terms.append(soft_cross_entropy(of_local, teacher.sum(dim=0).expand_as(of_local), temperature))
    return torch.cat(terms).mean(dim=1)


class _SoftCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
        groups, rows, width = logits.shape
        losses = logits.new_empty((groups, rows), dtype=targets.dtype)
        # float16 lacks the range for a gradient that is not yet multiplied by the scale of the loss.
        kept = torch.float32 if logits.dtype == torch.float16 else logits.dtype
        gradient = torch.empty_like(logits, dtype=kept) if ctx.needs_input_grad[0] else None
        step = max(rows, 1)
        if logits.device.type == "cpu":
            threads = torch.get_num_threads()
            step = max(threads, _CHUNK * threads // width)
        for group in range(groups):
            for first in range(0, rows, step):
                part = (group, slice(first, first + step))
                target = targets[part]
                logs = functional.log_softmax(_single(logits[part]) / temperature, dim=-1)
                losses[part] = -(target * logs).sum(dim=-1)
                if gradient is not None:  # (softmax · sum of target - target) / temperature
                    weight = target.sum(dim=-1, keepdim=True) / temperature
                    gradient[part] = logs.exp_().mul_(weight).sub_(target, alpha=1 / temperature)
        if gradient is not None:
            ctx.save_for_backward(gradient)
            ctx.dtype = logits.dtype
        return losses

    @staticmethod
    def backward(ctx: Any, losses_gradient: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # with create_graph; the gradient is a constant here, which would go unnoticed
            raise NotImplementedError("the fused loss has no second derivative: use dino_loss")
        (gradient,) = ctx.saved_tensors
        scaled = torch.empty_like(gradient, dtype=ctx.dtype)
        return torch.mul(gradient, losses_gradient.unsqueeze(-1), out=scaled), None, None
