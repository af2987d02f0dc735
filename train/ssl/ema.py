"""The teacher: an exponential moving average of the student."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from radiodino.runtime.errors import InputError


@torch.no_grad()
def update_teacher(student_parameters: Iterable[Tensor], teacher_parameters: Iterable[Tensor], momentum: float) -> None:
    """Set every teacher parameter, in place, to momentum · teacher + (1 − momentum) · student.

    Called once per iteration, after the optimiser's step (DINO, algorithm 1). Parameters only, as the official code
    does, frozen ones included: buffers are neither averaged nor copied. A vision transformer and the projection head
    have no buffers; a module with batch norm would keep the teacher's own running statistics.

    Args:
        student_parameters: as `student.parameters()` yields them.
        teacher_parameters: as many, of the same shapes, in the same order.
        momentum: in [0, 1]; 0 copies the student, 1 leaves the teacher as it is.

    Raises:
        InputError: where the momentum is out of range, or the two sets of parameters do not match.
    """
    if not 0 <= momentum <= 1:
        raise InputError(f"the teacher's momentum must lie between 0 and 1, found {momentum}")
    student, teacher = list(student_parameters), list(teacher_parameters)
    if [p.shape for p in student] != [p.shape for p in teacher]:
        raise InputError(
            f"student and teacher must have the same parameters in the same order, found {len(student)} and "
            f"{len(teacher)} tensors or shapes that differ: build both from the same settings"
        )
    if student:
        torch._foreach_lerp_(teacher, student, 1 - momentum)
