from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

from radiodino.train.ssl.heads import ProjectionHead  # noqa: E402
from radiodino.train.ssl.parameter_groups import (  # noqa: E402
    apply_schedules,
    dino_parameter_groups,
    dinov2_parameter_groups,
    dinov2_rules,
)

DEPTH = 3


@pytest.fixture(scope="module")
def student():
    """Backbone and head, LayerScale and registers included."""
    backbone = timm.create_model(
        "vit_tiny_patch16_224",
        num_classes=0,
        img_size=32,
        embed_dim=12,
        depth=DEPTH,
        num_heads=3,
        init_values=1e-5,
        reg_tokens=2,
    )
    head = ProjectionHead(12, 20, 8, 6)
    return torch.nn.ModuleDict({"backbone": backbone, "head": head})


def names_of(module, group):
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return [names[id(parameter)] for parameter in group["params"]]


def test_dino_does_not_decay_biases_and_vectors(student):
    decayed, kept = dino_parameter_groups(student.named_parameters())
    expected_decayed, expected_kept = [], []
    for name, parameter in student.named_parameters():
        if name == "head.last_layer.weight_g":
            continue  # frozen
        vector = name.rpartition(".")[2] in ("bias", "gamma") or "norm" in name
        assert vector == (parameter.ndim == 1)
        (expected_kept if vector else expected_decayed).append(name)
    assert names_of(student, decayed) == expected_decayed
    assert names_of(student, kept) == expected_kept
    assert {"backbone.cls_token", "backbone.pos_embed", "head.last_layer.weight_v"} <= set(expected_decayed)
    assert (decayed["wd_multiplier"], kept["wd_multiplier"], kept["weight_decay"]) == (1, 0, 0)


def test_dino_leaves_frozen_parameters_out_and_decays_learned_lengths():
    head = ProjectionHead(4, 5, 3, 2, norm_last_layer=False)
    assert "last_layer.weight_g" in names_of(head, dino_parameter_groups(head.named_parameters())[0])
    head.requires_grad_(False)
    assert [group["params"] for group in dino_parameter_groups(head.named_parameters())] == [[], []]


def test_a_bias_is_not_decayed_whatever_its_shape():
    odd = torch.nn.Parameter(torch.zeros(2, 2))
    decayed, kept = dino_parameter_groups([("x.bias", odd), ("x.weight", torch.nn.Parameter(torch.zeros(2, 2)))])
    assert kept["params"] == [odd]
    assert len(decayed["params"]) == 1


def test_dinov2_rules_parameter_by_parameter(student):
    rules = dinov2_rules([name for name, _ in student.named_parameters()])
    assert len(rules) == len(list(student.named_parameters()))
    expected = {
        "backbone.cls_token": (0.9**4, 1, False),
        "backbone.pos_embed": (0.9**4, 1, False),
        "backbone.reg_token": (0.9**4, 1, False),
        "backbone.patch_embed.proj.weight": (0.9**4 * 0.2, 1, False),
        "backbone.patch_embed.proj.bias": (0.9**4 * 0.2, 0, False),
        "backbone.blocks.0.attn.qkv.weight": (0.9**3, 1, False),
        "backbone.blocks.0.norm1.weight": (0.9**3, 0, False),
        "backbone.blocks.1.ls1.gamma": (0.9**2, 0, False),
        "backbone.blocks.2.mlp.fc1.bias": (0.9, 0, False),
        "backbone.blocks.2.mlp.fc2.weight": (0.9, 1, False),
        "backbone.norm.weight": (1, 0, False),
        "head.mlp.0.weight": (1, 1, False),
        "head.mlp.4.bias": (1, 0, False),
        "head.last_layer.weight_g": (1, 1, True),
        "head.last_layer.weight_v": (1, 1, True),
    }
    for name, rule in expected.items():
        found = rules[name]
        assert (found.lr_multiplier, found.wd_multiplier, found.is_last_layer) == pytest.approx(rule), name


def test_dinov2_rules_of_tokens_that_a_wrapper_holds_and_of_many_blocks():
    rules = dinov2_rules(["mask_token", "register_tokens", *(f"blocks.{index}.x.weight" for index in range(12))], 0.5)
    assert rules["mask_token"].lr_multiplier == rules["register_tokens"].lr_multiplier == 0.5**13
    assert [rules[f"blocks.{index}.x.weight"].lr_multiplier for index in range(12)] == [
        0.5 ** (12 - index) for index in range(12)
    ]


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone._orig_mod."])
def test_a_prefix_changes_no_rule(student, prefix):
    names = [name for name, _ in student["backbone"].named_parameters()]
    plain = dinov2_rules(names)
    assert dinov2_rules([prefix + name for name in names]) == {prefix + name: rule for name, rule in plain.items()}


def test_dinov2_groups_hold_every_trained_parameter_once_under_its_rule(student):
    groups = dinov2_parameter_groups(student.named_parameters())
    rules = dinov2_rules([name for name, _ in student.named_parameters()])
    seen = []
    for group in groups:
        for name in names_of(student, group):
            rule = rules[name]
            assert group["lr_multiplier"] == rule.lr_multiplier
            assert group["wd_multiplier"] == rule.wd_multiplier
            assert group["is_last_layer"] == rule.is_last_layer
            seen.append(name)
    trained = [name for name, parameter in student.named_parameters() if parameter.requires_grad]
    assert sorted(seen) == sorted(trained)
    assert len(seen) == len(set(seen))
    assert len(groups) == len({rules[name] for name in trained})


def test_dinov2_counts_frozen_blocks_too(student):
    backbone = student["backbone"]
    backbone.blocks[-1].requires_grad_(False)
    try:
        groups = dinov2_parameter_groups(backbone.named_parameters())
        first = next(g for g in groups if any(p is backbone.blocks[0].attn.qkv.weight for p in g["params"]))
        assert first["lr_multiplier"] == pytest.approx(0.9**DEPTH)
        assert not any(p is backbone.blocks[-1].attn.qkv.weight for g in groups for p in g["params"])
    finally:
        backbone.blocks[-1].requires_grad_(True)


def test_schedules_reach_every_group(student):
    optimiser = torch.optim.AdamW(dinov2_parameter_groups(student.named_parameters()))
    apply_schedules(optimiser.param_groups, lr=0.1, weight_decay=0.4, last_layer_lr=0.0)
    for group in optimiser.param_groups:
        assert group["lr"] == (0 if group["is_last_layer"] else 0.1 * group["lr_multiplier"])
        assert group["weight_decay"] == 0.4 * group["wd_multiplier"]


def test_dino_takes_the_schedules_as_they_are(student):
    optimiser = torch.optim.AdamW(dino_parameter_groups(student.named_parameters()))
    apply_schedules(optimiser.param_groups, lr=0.1, weight_decay=0.4, last_layer_lr=0.1)
    assert [(group["lr"], group["weight_decay"]) for group in optimiser.param_groups] == [(0.1, 0.4), (0.1, 0.0)]


def test_a_last_layer_of_rate_zero_stands_still(student):
    head = student["head"]
    optimiser = torch.optim.AdamW(dinov2_parameter_groups(head.named_parameters()))
    apply_schedules(optimiser.param_groups, lr=0.1, weight_decay=0.4, last_layer_lr=0.0)
    before = {name: parameter.detach().clone() for name, parameter in head.named_parameters()}
    head(torch.randn(4, 12)).square().sum().backward()
    optimiser.step()
    assert torch.equal(head.last_layer.weight_v, before["last_layer.weight_v"])
    assert not torch.equal(head.mlp[0].weight, before["mlp.0.weight"])
