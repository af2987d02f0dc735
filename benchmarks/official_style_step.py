"""DINO's training step as the paper describes it, without this package's short cuts: the baseline.

Written from the algorithm (Caron et al. 2021, algorithm 1, section 3 and appendix C) and the published settings of
`main_dino.py`. Parameters carry the names of DINO's checkpoints, so the networks of `radiodino.train.pretrain.networks`
load here, and give the same loss and the same gradients.

What is as it was: a convolution embeds the patches, all tokens go through every block, attention is softmax(q kᵀ) v in
three operations, the loss goes through the pairs of views, and gradients are clipped and the teacher is updated
parameter by parameter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import get_variant
from radiodino.train.backbone import build_backbone
from radiodino.train.position_table import resize_position_table
from radiodino.train.pretrain.collapse import TrainingError
from radiodino.train.pretrain.networks import build_networks
from radiodino.train.pretrain.plan import Plan
from radiodino.train.pretrain.recipe import Recipe

PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""What autocast computes in; DINO's own code uses float16 with a scaled loss."""


class OfficialStyleHead(nn.Module):
    """Three linear layers with GELU, a vector of length 1, and a weight-normed linear layer without bias.

    Args:
        in_dim: size of a CLS token.
        recipe: for the other sizes.
    """

    def __init__(self, in_dim: int, recipe: Recipe) -> None:
        super().__init__()
        head = recipe.head
        self.mlp = nn.Sequential(
            nn.Linear(in_dim, head.hidden_dim),
            nn.GELU(),
            nn.Linear(head.hidden_dim, head.hidden_dim),
            nn.GELU(),
            nn.Linear(head.hidden_dim, head.bottleneck_dim),
        )
        last: Any = weight_norm(nn.Linear(head.bottleneck_dim, head.out_dim, bias=False))
        last.parametrizations.weight.original0.requires_grad = not head.norm_last_layer  # the lengths
        self.last_layer = last  # loads weight_g and weight_v of a checkpoint

    def forward(self, tokens: Tensor) -> Tensor:
        """CLS tokens (N, D) to logits (N, K)."""
        logits: Tensor = self.last_layer(functional.normalize(self.mlp(tokens), dim=-1))
        return logits


class OfficialStyleNetwork(nn.Module):
    """Backbone and head behind a multi-crop wrapper: one pass of the backbone per size of crop, one of the head.

    Args:
        recipe: of the run.
        drop_path: stochastic depth of the last block, rising linearly from 0.
        fused_attention: whether attention is PyTorch's fused operation, which is younger than DINO.
    """

    def __init__(self, recipe: Recipe, drop_path: float, *, fused_attention: bool = False) -> None:
        super().__init__()
        variant = get_variant(recipe.variant)
        self.backbone = build_backbone(variant, recipe.crops.global_size, drop_path=drop_path)
        for block in cast(Any, self.backbone).blocks:
            block.attn.fused_attn = fused_attention
        self.head = OfficialStyleHead(variant.embedding_size, recipe)

    def forward(self, crops: Sequence[Tensor]) -> Tensor:
        """Logits (V · B, K) of V crops (B, 3, S, S) each, those of one size side by side."""
        tokens = []
        for size in dict.fromkeys(crop.shape[-1] for crop in crops):
            together = torch.cat([crop for crop in crops if crop.shape[-1] == size])
            tokens.append(self._cls_tokens(together))
        logits: Tensor = self.head(torch.cat(tokens))
        return logits

    def _cls_tokens(self, images: Tensor) -> Tensor:
        vit: Any = self.backbone
        patches = vit.patch_embed.proj(images)
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([vit.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + resize_position_table(vit.pos_embed, patches.shape[-1], "dino")
        for block in vit.blocks:
            tokens = block(tokens)
        found: Tensor = vit.norm(tokens)[:, 0]
        return found


def official_style_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    centre: Tensor,
    batch: int,
    student_temperature: float,
    teacher_temperature: float,
) -> Tensor:
    """Mean cross-entropy over the pairs of a teacher's view and another view of the student, pair by pair.

    Args:
        student_logits: (V · B, K), the teacher's views first.
        teacher_logits: (2 · B, K).
        centre: (1, K), float32.
        batch: B.
        student_temperature: above 0.
        teacher_temperature: above 0.

    Returns:
        (), float32.
    """
    student_views = torch.split(student_logits / student_temperature, batch)
    targets = functional.softmax((teacher_logits - centre) / teacher_temperature, dim=-1).detach()
    total, pairs = centre.new_zeros(()), 0
    for view, target in enumerate(torch.split(targets, batch)):
        for crop, logits in enumerate(student_views):
            if crop != view:
                # In float32, as autocast has it on a GPU.
                logs = functional.log_softmax(logits, dim=-1, dtype=torch.float32)
                total = total + torch.sum(-target * logs, dim=-1).mean()
                pairs += 1
    return total / pairs


class OfficialStyleStep:
    """One training step after another.

    Args:
        recipe: of DINO; sets the networks, their first weights (those of `build_networks`), and the loss.
        plan: learning rate, weight decay, momentum and temperature of each step.
        steps_per_epoch: says in which epoch a step is.
        device: where it computes.
        precision: one of `PRECISIONS`.
        fused_attention: see `OfficialStyleNetwork`.

    Attributes:
        loss: of the last step.

    Raises:
        InputError: where the recipe is not DINO's, or the precision is none that the device has.
    """

    def __init__(
        self,
        recipe: Recipe,
        plan: Plan,
        steps_per_epoch: int,
        device: torch.device,
        *,
        precision: str = "32-true",
        fused_attention: bool = False,
    ) -> None:
        if recipe.method != "dino":
            raise InputError(f"the official-style step is DINO's, not that of '{recipe.method}': use method dino")
        if precision not in PRECISIONS:
            raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, not '{precision}'")
        if precision == "16-mixed" and device.type != "cuda":
            raise InputError(f"precision 16-mixed needs a CUDA device, found {device.type}: use bf16-mixed or 32-true")
        self.recipe, self.plan, self.steps_per_epoch, self.device = recipe, plan, steps_per_epoch, device
        self.type = PRECISIONS[precision]
        weights = build_networks(recipe)[0].state_dict()
        self.student = OfficialStyleNetwork(recipe, recipe.drop_path, fused_attention=fused_attention).to(device)
        self.teacher = OfficialStyleNetwork(recipe, 0.0, fused_attention=fused_attention).to(device)
        for network in (self.student, self.teacher):
            network.load_state_dict(weights)
            network.train()
        self.teacher.requires_grad_(False)
        self.centre = torch.zeros(1, recipe.head.out_dim, device=device)
        # As the optimiser comes: on a GPU today's PyTorch updates parameters in groups, on a CPU one by one.
        self.optimiser = torch.optim.AdamW(_groups(self.student))
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "16-mixed")
        self.loss = math.nan

    def __call__(self, crops: Sequence[Tensor], step: int) -> None:
        """Learn from V crops (B, 3, S, S), the two global ones first.

        Raises:
            TrainingError: where the loss is not finite.
        """
        epoch = step // self.steps_per_epoch
        for group in self.optimiser.param_groups:
            group["lr"] = float(self.plan.rates[step])
            group["weight_decay"] = float(self.plan.decays[step]) if group["decayed"] else 0.0

        crops = [crop.to(self.device, non_blocking=True) for crop in crops]
        with self._autocast():
            teacher_logits = self.teacher(crops[:2])
            student_logits = self.student(crops)
            loss = official_style_loss(
                student_logits,
                teacher_logits,
                self.centre,
                len(crops[0]),
                self.recipe.teacher.student_temperature,
                float(self.plan.temperatures[step]),
            )
        self._update_centre(teacher_logits)
        self.loss = loss.item()
        if not math.isfinite(self.loss):
            raise TrainingError(f"the official-style step's loss is {self.loss} at step {step}: use precision 32-true")

        self.optimiser.zero_grad()
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.unscale_(self.optimiser)
        clip_one_by_one(self.student.parameters(), self.recipe.optimiser.clip)
        if epoch < self.recipe.optimiser.freeze_last_layer_epochs:
            for name, parameter in self.student.named_parameters():
                if "last_layer" in name:
                    parameter.grad = None
        self.scaler.step(self.optimiser)
        self.scaler.update()
        update_one_by_one(self.student.parameters(), self.teacher.parameters(), float(self.plan.momenta[step]))

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, self.type, enabled=self.type is not None)

    @torch.no_grad()
    def _update_centre(self, teacher_logits: Tensor) -> None:
        momentum = self.recipe.teacher.centre_momentum
        mean = teacher_logits.float().sum(dim=0, keepdim=True) / len(teacher_logits)
        self.centre = self.centre * momentum + mean * (1 - momentum)


@torch.no_grad()
def clip_one_by_one(parameters: Iterable[nn.Parameter], clip: float) -> None:
    """Scale each gradient whose norm is above `clip`, in place; 0 clips nothing."""
    for parameter in parameters:
        if parameter.grad is not None and clip:
            factor = clip / (parameter.grad.norm(2) + 1e-6)
            if factor < 1:
                parameter.grad.mul_(factor)


@torch.no_grad()
def update_one_by_one(student: Iterable[nn.Parameter], teacher: Iterable[nn.Parameter], momentum: float) -> None:
    """Set every parameter of the teacher, in place, to momentum · teacher + (1 − momentum) · student."""
    for of_student, of_teacher in zip(student, teacher, strict=True):
        of_teacher.mul_(momentum).add_((1 - momentum) * of_student)


def _groups(student: nn.Module) -> list[dict[str, Any]]:
    """What is decayed, and biases and 1-D parameters, which are not."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in student.named_parameters():
        if parameter.requires_grad:
            groups[parameter.ndim > 1 and not name.endswith(".bias")].append(parameter)
    return [{"params": parameters, "decayed": decayed} for decayed, parameters in groups.items()]
