"""DINO and DINOv2 as the loop sees them: parameter groups, the loss of a step, clipping, and the centres."""

from __future__ import annotations

import random
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from radiodino.runtime.variants import get_variant

from ..ssl.dino_loss import dinov2_dino_losses, fused_dino_loss, teacher_probabilities, updated_centre
from ..ssl.gradient_clipping import cancel_gradients, clip_each_module, clip_each_parameter
from ..ssl.ibot_loss import ibot_loss, patch_weights
from ..ssl.koleo_loss import koleo_loss
from ..ssl.masks import draw_masks
from ..ssl.parameter_groups import dino_parameter_groups, dinov2_parameter_groups
from ..ssl.sinkhorn_knopp import sinkhorn_knopp
from .networks import Dinov2Outputs
from .recipe import Recipe


class Method(Protocol):
    """What the loop asks of a method."""

    centres: dict[str, Tensor]
    """Its state beside the networks'."""

    def groups(self, student: nn.Module) -> list[Any]:
        """The parameter groups for the optimiser."""

    def loss(
        self, student: nn.Module, teacher: nn.Module, crops: list[Tensor], temperature: float, seed: int
    ) -> Tensor:
        """The loss of one step.

        Args:
            student: as the devices run it.
            teacher: without gradients.
            crops: global (2, B, 3, S, S), then local (L, B, 3, s, s), if any.
            temperature: the teacher's, of this step.
            seed: of this step, the same on all processes.
        """

    def clip(self, student: nn.Module, epoch: int) -> None:
        """Clip the gradients, in place, and freeze what does not learn yet."""

    def update_centres(self) -> None:
        """To be called after the step: the centre of a step is that of the steps before it."""


class Dino:
    """Cross-entropy between the teacher's view of a global crop and the student's of every other (DINO, eq. 1)."""

    def __init__(self, recipe: Recipe, device: torch.device, rank: int = 0, ranks: int = 1) -> None:
        self.recipe, self.rank, self.ranks = recipe, rank, ranks
        self.centres = {"cls": torch.zeros(1, recipe.head.out_dim, device=device)}
        self._pending: dict[str, Tensor] = {}

    def groups(self, student: nn.Module) -> list[Any]:
        """See `Method`."""
        return list(dino_parameter_groups(student.named_parameters()))

    def loss(
        self, student: nn.Module, teacher: nn.Module, crops: list[Tensor], temperature: float, seed: int
    ) -> Tensor:
        """See `Method`."""
        del seed  # nothing is drawn here
        with torch.no_grad():
            logits = teacher(crops[:1])
        self._pending = {"cls": logits}
        targets = teacher_probabilities(logits, self.centres["cls"], temperature)
        return fused_dino_loss(student(crops), targets, self.recipe.teacher.student_temperature)

    def clip(self, student: nn.Module, epoch: int) -> None:
        """See `Method`."""
        if self.recipe.optimiser.clip:
            clip_each_parameter(student.parameters(), self.recipe.optimiser.clip)
        cancel_gradients(student.named_parameters(), epoch, self.recipe.optimiser.freeze_last_layer_epochs)

    def update_centres(self) -> None:
        """See `Method`."""
        for name, logits in self._pending.items():
            self.centres[name] = updated_centre(self.centres[name], logits, self.recipe.teacher.centre_momentum)
        self._pending = {}


class Dinov2(Dino):
    """DINO's terms, hidden patches (iBOT) and a spread of the CLS tokens (KoLeo); DINOv2, section 4."""

    def __init__(self, recipe: Recipe, device: torch.device, rank: int = 0, ranks: int = 1) -> None:
        super().__init__(recipe, device, rank, ranks)
        self.centres["patch"] = torch.zeros(1, recipe.head.out_dim, device=device)

    def groups(self, student: nn.Module) -> list[Any]:
        """See `Method`."""
        o = self.recipe.optimiser
        return list(dinov2_parameter_groups(student.named_parameters(), o.layer_decay, o.patch_embed_factor))

    def loss(
        self, student: nn.Module, teacher: nn.Module, crops: list[Tensor], temperature: float, seed: int
    ) -> Tensor:
        """See `Method`."""
        recipe, patches = self.recipe, self.recipe.patches
        masks = self._masks(crops[0], seed).to(crops[0].device)
        with torch.no_grad():
            wanted: Dinov2Outputs = teacher(crops[:1], masks, hide=False)
        found: Dinov2Outputs = student(crops, masks)

        if patches.centring == "centring":
            self._pending = {"cls": wanted.logits, "patch": wanted.patch_logits}
            targets = teacher_probabilities(wanted.logits, self.centres["cls"], temperature)
            patch_targets = teacher_probabilities(wanted.patch_logits, self.centres["patch"], temperature)
        else:
            targets = sinkhorn_knopp(wanted.logits.flatten(0, 1), temperature).view(wanted.logits.shape)
            patch_targets = sinkhorn_knopp(wanted.patch_logits, temperature)

        student_temperature = recipe.teacher.student_temperature
        image_terms = dinov2_dino_losses(found.logits, targets, student_temperature)
        loss = image_terms.global_crops + image_terms.local_crops
        loss = loss + patches.ibot_weight * ibot_loss(
            found.patch_logits, patch_targets, patch_weights(masks), len(masks), student_temperature
        )
        if patches.koleo_weight:
            loss = loss + patches.koleo_weight * koleo_loss(found.cls_tokens)
        return loss

    def clip(self, student: nn.Module, epoch: int) -> None:
        """See `Method`; the last layers are frozen by their learning rate, so that `epoch` does not matter."""
        del epoch
        if self.recipe.optimiser.clip:
            modules: dict[str, list[nn.Parameter]] = {}
            for name, parameter in student.named_parameters():
                part = name.partition(".")[0]
                modules.setdefault("backbone" if part == "mask_token" else part, []).append(parameter)
            clip_each_module(modules, self.recipe.optimiser.clip)

    def _masks(self, wide: Tensor, seed: int) -> Tensor:
        """This rank's masks (2 · B, N), drawn for the images of all ranks, so that their number does not matter."""
        recipe, batch = self.recipe, wide.shape[1]
        drawn = draw_masks(
            2 * batch * self.ranks,
            get_variant(recipe.variant).grid(wide.shape[-1]),
            random.Random(seed),  # noqa: S311 (not for secrets)
            ratio=recipe.patches.mask_ratio,
            probability=recipe.patches.mask_probability,
        )
        mine = slice(self.rank * batch, (self.rank + 1) * batch)
        return drawn.mask.view(2, batch * self.ranks, -1)[:, mine].flatten(0, 1)


METHODS = {"dino": Dino, "dinov2": Dinov2}
