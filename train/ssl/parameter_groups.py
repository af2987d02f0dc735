"""Which parameters are decayed, and how fast each learns: groups for the optimiser.

Every group holds, besides its parameters, the same three entries, so that one function applies the schedules to the
groups of either method.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from torch import Tensor

_BLOCK = re.compile(r"(?:^|\.)blocks\.(\d+)\.")
# What stands before the first block; "reg_token" is timm's name for what DINOv2 calls "register_tokens".
_BEFORE_THE_BLOCKS = ("pos_embed", "patch_embed", "mask_token", "cls_token", "reg_token", "register_tokens")
_NOT_DECAYED = ("norm", "gamma")


@dataclass(frozen=True)
class Rule:
    """How the schedules apply to a parameter.

    Attributes:
        lr_multiplier: factor of the learning rate, above 0.
        wd_multiplier: factor of the weight decay, 0 or 1.
        is_last_layer: whether it belongs to a head's last layer, which has a learning rate of its own.
    """

    lr_multiplier: float = 1.0
    wd_multiplier: float = 1.0
    is_last_layer: bool = False


class Group(TypedDict, total=False):
    """A group of parameters as torch's optimisers take it; `lr` and `weight_decay` are set by `apply_schedules`."""

    params: list[Tensor]
    lr_multiplier: float
    wd_multiplier: float
    is_last_layer: bool
    lr: float
    weight_decay: float


def dino_parameter_groups(named_parameters: Iterable[tuple[str, Tensor]]) -> list[Group]:
    """DINO's two groups: what is decayed, and biases and 1-D parameters, which are not.

    So norms, biases and LayerScale are not decayed; `cls_token` and `pos_embed` are, and so is the last layer's
    `weight_g` where it is trained, because its shape is (K, 1). Parameters without `requires_grad` are left out.

    Args:
        named_parameters: as `student.named_parameters()` yields them, backbone and head.

    Returns:
        Two groups, decayed first, each in the order of the parameters; a group may be empty.
    """
    decayed = _group(Rule())
    kept = _group(Rule(wd_multiplier=0.0))
    kept["weight_decay"] = 0.0
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            group = kept if name.endswith(".bias") or parameter.ndim == 1 else decayed
            group["params"].append(parameter)
    return [decayed, kept]


def dinov2_rules(
    names: Iterable[str], layer_decay: float = 0.9, patch_embed_multiplier: float = 0.2
) -> dict[str, Rule]:
    """DINOv2's rule for each parameter of a vision transformer with timm's names, of a head, or of both together.

    With n blocks, block i learns at layer_decay ** (n − i), what comes before the blocks (patch embedding, position
    table, tokens) at layer_decay ** (n + 1), everything else, such as the final norm and the heads, at 1; the patch
    embedding at `patch_embed_multiplier` of that. Not decayed: names that end in ".bias" or contain "norm" or
    "gamma". Last layer: names that contain "last_layer"; its `weight_g` is decayed.

    Args:
        names: all names of the module, frozen parameters included: the number of blocks is read from them.
        layer_decay: above 0; official default 0.9.
        patch_embed_multiplier: above 0; official default 0.2.
    """
    names = list(names)
    blocks = {name: int(found[1]) for name in names if (found := _BLOCK.search(name))}
    depth = 1 + max(blocks.values(), default=-1)
    rules = {}
    for name in names:
        layer = blocks.get(name, depth) + 1
        if any(part in name for part in _BEFORE_THE_BLOCKS):
            layer = 0
        multiplier = layer_decay ** (depth + 1 - layer)
        rules[name] = Rule(
            lr_multiplier=multiplier * patch_embed_multiplier if "patch_embed" in name else multiplier,
            wd_multiplier=0.0 if name.endswith(".bias") or any(part in name for part in _NOT_DECAYED) else 1.0,
            is_last_layer="last_layer" in name,
        )
    return rules


def dinov2_parameter_groups(
    named_parameters: Iterable[tuple[str, Tensor]], layer_decay: float = 0.9, patch_embed_multiplier: float = 0.2
) -> list[Group]:
    """DINOv2's groups: parameters with the same rule (`dinov2_rules`) together, in the order of first appearance.

    Parameters without `requires_grad` are left out. The official code makes the groups of each sub-module (backbone,
    heads) by themselves and lists them one after another; all in one call, equal rules of different sub-modules share
    a group, which trains the same. Which implementation the optimiser uses (`foreach`, `fused`) is left to it.

    Args:
        named_parameters: as `module.named_parameters()` yields them.
        layer_decay: see `dinov2_rules`.
        patch_embed_multiplier: see `dinov2_rules`.
    """
    parameters = dict(named_parameters)
    rules = dinov2_rules(parameters, layer_decay, patch_embed_multiplier)
    groups: dict[Rule, Group] = {}
    for name, parameter in parameters.items():
        if parameter.requires_grad:
            rule = rules[name]
            groups.setdefault(rule, _group(rule))["params"].append(parameter)
    return list(groups.values())


def apply_schedules(groups: Iterable[Group], lr: float, weight_decay: float, last_layer_lr: float) -> None:
    """Set the learning rate and the weight decay of every group, in place, for the next step of the optimiser.

    Args:
        groups: `optimizer.param_groups`, made by one of the functions above.
        lr: the schedule's learning rate, at least 0.
        weight_decay: the schedule's weight decay, at least 0.
        last_layer_lr: learning rate of the heads' last layers; DINO's is `lr`, DINOv2's is 0 at first
            (`schedules.frozen_start`).
    """
    for group in groups:
        group["lr"] = (last_layer_lr if group["is_last_layer"] else lr) * group["lr_multiplier"]
        group["weight_decay"] = weight_decay * group["wd_multiplier"]


def _group(rule: Rule) -> Group:
    return Group(
        params=[],
        lr_multiplier=rule.lr_multiplier,
        wd_multiplier=rule.wd_multiplier,
        is_last_layer=rule.is_last_layer,
    )
