from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import os
import pathlib
import pickle
import random
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError, MissingExtraError, WeightsError
from radiodino.runtime.variants import VARIANTS, Variant

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
safetensors_torch = pytest.importorskip("safetensors.torch")

from radiodino.train.backbone import build_backbone, entry_shapes  # noqa: E402
from radiodino.train.checkpoint import backbone_state, find_checkpoint, read_checkpoint  # noqa: E402
from radiodino.train.position_table import resize_position_table  # noqa: E402

DINO = Variant("toy", "toy", 48, 2, 3, 16, 0.1, False, "timm", None, None)
DINOV2 = Variant("toy-v2", "toy", 48, 4, 3, 14, 0.1, True, "dino", None, None)
SIZE = {"toy": 64, "toy-v2": 56}  # 4 x 4 patches


def make_state(variant, size=None, seed=0):
    """A state dict of timm's model whose every value matters to the output."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in entry_shapes(variant, size or SIZE.get(variant.name, 224)).items():
        noise = torch.randn(shape, generator=generator)
        state[name] = 0.1 * noise if len(shape) > 1 else 0.5 + 0.2 * noise
    return state


def run(state, variant, size=None):
    model = build_backbone(variant, size or SIZE[variant.name])
    model.load_state_dict(state, strict=True)
    images = torch.randn(2, 3, size or SIZE[variant.name], size or SIZE[variant.name], generator=torch.manual_seed(7))
    with torch.inference_mode():
        return model(images)


def load(raw, variant=DINO, **options):
    return backbone_state(raw, variant, image_size=SIZE[variant.name], **options)


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def dino_head(prefix=""):
    return {
        f"{prefix}mlp.0.weight": torch.randn(8, 48),
        f"{prefix}mlp.0.bias": torch.randn(8),
        f"{prefix}last_layer.weight_g": torch.ones(5, 1),
        f"{prefix}last_layer.weight_v": torch.randn(5, 8),
    }


def dino_training(state, student):
    """What the official main_dino.py saves: both networks, the student in DistributedDataParallel."""
    weight = torch.nn.Parameter(torch.randn(3, 3))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    optimizer.param_groups[0]["lr"] = np.float64(3e-4)  # its schedules are numpy arrays
    optimizer.param_groups[0]["weight_decay"] = np.float64(0.04)
    return {
        "student": {**prefixed(student, "module.backbone."), **dino_head("module.head.")},
        "teacher": {**prefixed(state, "backbone."), **dino_head("head.")},
        "optimizer": optimizer.state_dict(),
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small", patch_size=16, lr=0.0005, dist_url="env://", use_fp16=True),
        "dino_loss": {"center": torch.zeros(1, 5)},
        "fp16_scaler": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 3},
    }


def dinov2_chunked(state, chunks=2):
    """DINOv2 with block_chunks: each chunk counts its blocks on from the last one's."""
    per_chunk = DINOV2.depth // chunks
    renamed = {}
    for name, value in state.items():
        if name.startswith("blocks."):
            index, rest = name.removeprefix("blocks.").split(".", 1)
            name = f"blocks.{int(index) // per_chunk}.{index}.{rest}"
        renamed[name] = value
    return renamed


def dinov2_teacher(state):
    backbone = {**dinov2_chunked(state), "mask_token": torch.zeros(1, 48)}
    return {
        "teacher": {
            **prefixed(backbone, "backbone."),
            **dino_head("dino_head."),
            **dino_head("ibot_head."),
        }
    }


def authors_whole_network(state, student):
    """All of DINOv2's training module under 'teacher', which the authors' code reads."""
    return {
        "teacher": {
            **prefixed(student, "student.backbone."),
            **dino_head("student.dino_head."),
            **prefixed(state, "teacher.backbone."),
            **dino_head("teacher.dino_head."),
            "dino_loss.center": torch.zeros(1, 5),
            "ibot_patch_loss.center": torch.zeros(1, 1, 5),
        }
    }


OF_DINO = {
    "timm": lambda state, _: (state, "top level, no prefix"),
    "timm with a classifier": lambda state, _: (
        {**state, "head.weight": torch.zeros(1000, 48), "head.bias": torch.zeros(1000)},
        "top level, no prefix; without head",
    ),
    "torchvision's fc": lambda state, _: (
        {**state, "fc.weight": torch.zeros(2, 48)},
        "top level, no prefix; without fc",
    ),
    "authors": lambda state, _: ({"teacher": prefixed(state, "backbone.")}, "teacher, prefix backbone."),
    "authors, whole network": lambda state, student: (
        authors_whole_network(state, student),
        "teacher, prefix teacher.backbone.; without dino_head",
    ),
    "DINO training": lambda state, student: (
        dino_training(state, student),
        "teacher, prefix backbone.; without head",
    ),
    "student alone": lambda state, _: (
        {"student": prefixed(state, "module.backbone."), "epoch": 1},
        "student, prefix module.backbone.",
    ),
    "model": lambda state, _: ({"model": state, "epoch": 3}, "model, no prefix"),
    "state_dict of DataParallel": lambda state, _: (
        {"state_dict": prefixed(state, "module.")},
        "state_dict, prefix module.",
    ),
    "compiled": lambda state, _: (prefixed(state, "_orig_mod."), "top level, prefix _orig_mod."),
    "compiled in parallel": lambda state, _: (
        {"teacher": {**prefixed(state, "module._orig_mod.backbone."), **dino_head("module._orig_mod.head.")}},
        "teacher, prefix module._orig_mod.backbone.; without head",
    ),
    "lightning": lambda state, student: (
        {
            "state_dict": {
                **prefixed(state, "teacher.backbone."),
                **prefixed(student, "student.backbone."),
                "projection_head_student.weight": torch.zeros(3),
                "criterion.center": torch.zeros(3),
            },
            "global_step": 5,
        },
        "state_dict, prefix teacher.backbone.",
    ),
    "model. and a projection head": lambda state, _: (
        {"state_dict": {**prefixed(state, "model.backbone."), "projection_head.layers.0.weight": torch.zeros(2)}},
        "state_dict, prefix model.backbone.; without projection_head",
    ),
    "dictionaries in dictionaries": lambda state, student: (
        {"model": {"teacher": {"backbone": state}, "student": {"backbone": student}}},
        "model.teacher.backbone, no prefix",
    ),
}

OF_DINOV2 = {
    "timm": lambda state: (state, "top level, no prefix"),
    "official": lambda state: (
        {**state, "mask_token": torch.zeros(1, 48)},
        "top level, no prefix; without mask_token",
    ),
    "chunked": lambda state: (dinov2_chunked(state), "top level, no prefix"),
    "one chunk": lambda state: (dinov2_chunked(state, chunks=1), "top level, no prefix"),
    "training teacher": lambda state: (
        dinov2_teacher(state),
        "teacher, prefix backbone.; without dino_head, ibot_head, mask_token",
    ),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("form", OF_DINO)
def test_every_form_of_a_dino_checkpoint_is_the_same_function(form, zipped, tmp_path):
    state, student = make_state(DINO), make_state(DINO, seed=1)
    saved, place = OF_DINO[form](state, student)
    torch.save(saved, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    found, chosen = load(read_checkpoint(tmp_path / "a.pth"))
    assert chosen == place
    assert all(torch.equal(found[name], state[name]) for name in state)
    assert torch.equal(run(found, DINO), run(state, DINO))


@pytest.mark.parametrize("form", OF_DINOV2)
def test_every_form_of_a_dinov2_checkpoint_is_the_same_function(form, tmp_path):
    state = make_state(DINOV2)
    saved, place = OF_DINOV2[form](state)
    torch.save(saved, tmp_path / "a.pth")
    found, chosen = load(read_checkpoint(tmp_path / "a.pth"), DINOV2)
    assert chosen == place
    assert torch.equal(run(found, DINOV2), run(state, DINOV2))


def test_the_toy_functions_tell_teacher_and_student_apart():
    assert not torch.allclose(run(make_state(DINO), DINO), run(make_state(DINO, seed=1), DINO), atol=0.1)


@pytest.mark.parametrize("name", ["tiny", "dinov2-small"])
def test_a_real_timm_model_through_a_real_file(name, tmp_path):
    architecture = {"tiny": "vit_tiny_patch16_224", "dinov2-small": "vit_small_patch14_dinov2"}[name]
    reference = timm.create_model(architecture, num_classes=0, global_pool="token", img_size=224).eval()
    safetensors_torch.save_file(reference.state_dict(), tmp_path / "model.safetensors")
    state, chosen = backbone_state(read_checkpoint(tmp_path), VARIANTS[name])
    model = build_backbone(VARIANTS[name])
    model.load_state_dict(state, strict=True)
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(model(images), reference(images))
    assert chosen == "top level, no prefix"


# --- choosing


def test_the_student_is_taken_when_asked_for():
    state, student = make_state(DINO), make_state(DINO, seed=1)
    found, chosen = load(dino_training(state, student), checkpoint_key="student")
    assert chosen == "student, prefix module.backbone.; without head"
    assert torch.equal(found["cls_token"], student["cls_token"])
    found, chosen = load(authors_whole_network(state, student), checkpoint_key="student")
    assert chosen == "teacher, prefix student.backbone.; without dino_head"
    assert torch.equal(found["cls_token"], student["cls_token"])


def test_another_key_can_be_asked_for():
    state, averaged = make_state(DINO), make_state(DINO, seed=1)
    raw = {"model": state, "model_ema": averaged}
    with pytest.raises(WeightsError, match=r"2 backbones \(model, no prefix; model_ema, no prefix\), expected one"):
        load(raw)
    found, chosen = load(raw, checkpoint_key="model_ema")
    assert chosen == "model_ema, no prefix"
    assert torch.equal(found["cls_token"], averaged["cls_token"])


@pytest.mark.parametrize("key", ["student", "teacher", "state_dict", "nonsense"])
def test_a_key_that_is_not_there_is_refused(key):
    with pytest.raises(WeightsError, match=f"x.pth holds no backbone under '{key}', found top level, no prefix"):
        load(make_state(DINO), checkpoint_key=key, source="x.pth")


def test_a_teacher_without_a_backbone_is_not_replaced_by_the_student():
    raw = dino_training(make_state(DINO), make_state(DINO))
    raw["teacher"] = dino_head("head.")
    with pytest.raises(WeightsError, match=r"no backbone under 'teacher', found student, prefix module\.backbone\."):
        load(raw)
    flat = {**prefixed(make_state(DINO), "student."), **dino_head("teacher.head.")}
    with pytest.raises(WeightsError, match="no backbone under 'teacher', found top level, prefix student"):
        load(flat)


def test_a_damaged_teacher_is_not_replaced_by_the_student():
    raw = dino_training(make_state(DINO), make_state(DINO))
    del raw["teacher"]["backbone.patch_embed.proj.weight"]
    with pytest.raises(WeightsError, match=r"lacks 1 of the 30 entries of 'toy' \(patch_embed\.proj\.weight\)"):
        load(raw)


def test_a_dictionary_that_contains_itself_ends():
    raw = {"model": make_state(DINO)}
    raw["model"]["model"] = raw["model"]
    with pytest.raises(WeightsError, match="backbones"):
        load(raw)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ({}, "no tensors"),
        ({"epoch": 3, "args": None}, "no tensors"),
        ({"conv1.weight": torch.zeros(3), 7: torch.zeros(1)}, "found conv1.weight"),
        ({"embeddings.cls_token_x": torch.zeros(1)}, "found embeddings.cls_token_x"),
        ({f"layer{index}.weight": torch.zeros(1) for index in range(9)}, "layer2.weight and 6 more"),
    ],
)
def test_says_when_there_is_no_vision_transformer(raw, found):
    with pytest.raises(WeightsError, match=r"expected entries such as patch_embed\.proj\.weight") as caught:
        load(raw)
    assert found in str(caught.value)


def test_an_unknown_wrapper_is_not_guessed_at():
    with pytest.raises(WeightsError, match=r"no vision transformer.*found visual\.cls_token, "):
        load(prefixed(make_state(DINO), "visual."))


# --- what must fit


@pytest.mark.parametrize(
    ("of", "wanted", "message"),
    [
        (
            "small",
            "tiny",
            "these weights are of 'small' (embedding 384, patch 16), not 'tiny' (embedding 192, patch 16): "
            "use --variant small",
        ),
        ("small-sp", "small", "these weights are of 'small-sp' (embedding 384, patch 8), not 'small' (embedding 384, "),
        ("tiny", "tiny-sp", "these weights are of 'tiny' (embedding 192, patch 16), not 'tiny-sp' (embedding 192, pat"),
        (
            "dinov2-small",
            "small",
            "these weights are of 'dinov2-small' (embedding 384, patch 14, with LayerScale), not 'small' "
            "(embedding 384, patch 16, without LayerScale)",
        ),
    ],
)
def test_says_which_variant_the_weights_are_of(of, wanted, message):
    state = {name: torch.zeros(()).expand(shape) for name, shape in entry_shapes(VARIANTS[of]).items()}
    with pytest.raises(WeightsError) as caught:
        backbone_state({"teacher": prefixed(state, "backbone.")}, VARIANTS[wanted], source="w.pth")
    assert str(caught.value).startswith(f"w.pth: {message}")


def test_says_when_the_weights_are_of_no_variant():
    with pytest.raises(WeightsError) as caught:
        load(make_state(dataclasses.replace(DINO, depth=3)))
    assert str(caught.value) == (
        "the checkpoint: these weights (embedding 48, patch 16, depth 3) are of no variant of the family, expected "
        "'toy' (embedding 48, patch 16, depth 2): use other weights"
    )


def test_missing_entries_are_named():
    state = make_state(DINO)
    for name in ("blocks.0.mlp.fc1.bias", "norm.weight", "norm.bias", "cls_token"):
        del state[name]
    with pytest.raises(WeightsError, match=r"lacks 4 of the 30 entries of 'toy' \(cls_token, .* and 1 more\)"):
        load(state)


@pytest.mark.parametrize("missing", list(entry_shapes(DINO, 64)))
def test_no_entry_may_be_missing(missing):
    state = make_state(DINO)
    del state[missing]
    with pytest.raises(WeightsError, match=r"lacks 1 of the 30 entries|of no variant"):
        load(state)


@pytest.mark.parametrize("extra", ["fc_norm.weight", "blocks.0.ls3.gamma", "header.weight", "adapter", "pos_embedding"])
@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_unexpected_entries_are_named(extra, prefix):
    raw = {**prefixed(make_state(DINO), prefix), prefix + extra: torch.zeros(48)}
    with pytest.raises(WeightsError, match=f"has 1 entries that 'toy' does not have .*{extra}"):
        load(raw)


def test_unexpected_entries_beside_the_backbone_are_named():
    raw = {"teacher": {**prefixed(make_state(DINO), "backbone."), "adapter.weight": torch.zeros(48)}}
    with pytest.raises(WeightsError, match=r"has 1 entries that 'toy' does not have \(adapter\.weight\)"):
        load(raw)


@pytest.mark.parametrize("name", ["register_tokens", "reg_token"])
def test_register_tokens_are_refused(name):
    state = {**make_state(DINOV2), name: torch.zeros(1, 4, 48)}
    with pytest.raises(WeightsError, match=rf"register tokens \('{name}', shape \(1, 4, 48\)\)"):
        load(state, DINOV2)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("patch_embed.proj.weight", (48, 1, 16, 16)),  # of grey images
        ("patch_embed.proj.weight", (48, 768)),
        ("patch_embed.proj.weight", (48, 3, 15, 16)),
        ("blocks.1.attn.qkv.weight", (48, 48)),
        ("norm.bias", (1, 48)),
        ("pos_embed", (1, 17, 24)),
        ("pos_embed", (17, 48)),
        ("cls_token", (1, 2, 48)),
    ],
)
def test_a_wrong_shape_is_named(name, shape):
    state = {**make_state(DINO), name: torch.zeros(shape)}
    with pytest.raises(WeightsError) as caught:
        load(state)
    assert f"'{name}' has the shape {shape}, 'toy' needs {entry_shapes(DINO, 64)[name]}" in str(caught.value)


def test_a_position_table_without_a_square_of_patches_is_refused():
    state = {**make_state(DINO), "pos_embed": torch.zeros(1, 16, 48)}
    with pytest.raises(WeightsError, match=r"square number n of patches after the CLS entry, found \(1, 16, 48\)"):
        load(state)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["pos_embed", "blocks.1.mlp.fc2.weight", "norm.bias"])
def test_values_that_are_not_finite_are_refused(name, value):
    state = make_state(DINO)
    state[name].view(-1)[-1] = value
    with pytest.raises(WeightsError, match=f"1 of the {state[name].numel()} values of '{name}' are not finite"):
        load(state)


def test_values_that_overflow_float32_are_refused():
    state = {name: value.double() for name, value in make_state(DINO).items()}
    state["norm.bias"][0] = 1e300
    with pytest.raises(WeightsError, match=r"values of 'norm\.bias' are not finite in float32"):
        load(state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32_and_are_recorded(dtype):
    state = {name: value.to(dtype) for name, value in make_state(DINO).items()}
    found, chosen = load(state)
    assert chosen == f"top level, no prefix; {str(dtype).removeprefix('torch.')} converted to float32"
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert all(torch.equal(found[name], state[name].float()) for name in state)


def test_mixed_precisions_are_recorded():
    state = make_state(DINO)
    state["norm.bias"] = state["norm.bias"].half()
    state["norm.weight"] = state["norm.weight"].bfloat16()
    assert load(state)[1] == "top level, no prefix; bfloat16 and float16 converted to float32"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (torch.zeros(48, dtype=torch.int8), "int8 (strided)"),
        (torch.zeros(48, dtype=torch.complex64), "complex64 (strided)"),
        (torch.zeros(48).to_sparse(), "float32 (sparse_coo)"),
    ],
)
def test_weights_that_are_not_dense_floats_are_refused(value, found):
    with pytest.raises(WeightsError) as caught:
        load({**make_state(DINO), "norm.bias": value})
    assert f"'norm.bias' is stored as {found}" in str(caught.value)


def test_blocks_chunked_with_numbers_of_their_own_are_refused():
    state = make_state(DINOV2)
    raw = {}
    for name, value in state.items():
        if name.startswith("blocks."):
            index, rest = name.removeprefix("blocks.").split(".", 1)
            name = f"blocks.{int(index) // 2}.{int(index) % 2}.{rest}"
        raw[name] = value
    with pytest.raises(WeightsError, match=r"holds 'blocks\.0\.norm1\.weight' a second time as 'blocks\.1\.0\.norm1"):
        load(raw, DINOV2)


def test_the_checkpoint_is_not_changed():
    raw = dinov2_teacher({name: value.half() for name, value in make_state(DINOV2, 112).items()})
    before = {name: value.clone() for name, value in raw["teacher"].items()}
    load(raw, DINOV2)
    assert list(raw["teacher"]) == list(before)
    assert all(torch.equal(raw["teacher"][name], before[name]) for name in before)
    assert raw["teacher"]["backbone.pos_embed"].dtype == torch.float16


# --- the position table


@pytest.mark.parametrize("variant", [DINO, DINOV2], ids=lambda variant: variant.name)
@pytest.mark.parametrize("patches", [1, 3, 7])
def test_another_grid_is_resized_as_the_variant_says(variant, patches):
    state = make_state(variant)
    found, chosen = backbone_state(state, variant, image_size=patches * variant.patch)
    expected = resize_position_table(state["pos_embed"], patches, variant.position_interpolation)
    assert torch.equal(found["pos_embed"], expected)
    assert chosen == (
        f"top level, no prefix; position table resized from 4x4 to {patches}x{patches} "
        f"({variant.position_interpolation})"
    )
    build_backbone(variant, patches * variant.patch).load_state_dict(found, strict=True)


def test_official_dinov2_at_518_px_becomes_224_px():
    state = make_state(DINOV2, 518)
    assert state["pos_embed"].shape == (1, 1 + 37 * 37, 48)
    found, chosen = backbone_state({**state, "mask_token": torch.zeros(1, 48)}, DINOV2)
    assert torch.equal(found["pos_embed"], resize_position_table(state["pos_embed"], 16, "dino"))
    assert chosen.endswith("position table resized from 37x37 to 16x16 (dino)")
    run(found, DINOV2, 224)


def test_timm_agrees_on_a_resized_table(tmp_path):
    """timm's own loading of the same file at 448 px."""
    state = make_state(dataclasses.replace(DINO, depth=12), 224)
    torch.save(state, tmp_path / "a.pth")
    reference = timm.create_model(
        "vit_tiny_patch16_224",
        embed_dim=48,
        img_size=448,
        num_classes=0,
        pretrained=True,
        pretrained_cfg_overlay={"file": str(tmp_path / "a.pth"), "custom_load": False},
    )
    found, _ = backbone_state(read_checkpoint(tmp_path / "a.pth"), dataclasses.replace(DINO, depth=12), image_size=448)
    assert all(torch.equal(found[name], value) for name, value in reference.state_dict().items())


def test_refuses_a_size_that_is_no_multiple_of_the_patch():
    with pytest.raises(InputError, match="image size 60 is not a multiple"):
        backbone_state(make_state(DINO), DINO, image_size=60)


# --- files


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt", ".safetensors", ""])
@pytest.mark.parametrize("writer", ["torch.save", "safetensors"])
def test_the_content_decides_not_the_suffix(writer, suffix, tmp_path):
    file = tmp_path / f"weights{suffix}"
    state = make_state(DINO)
    if writer == "safetensors":
        safetensors_torch.save_file(state, file)
    else:
        torch.save(state, file)
    raw = read_checkpoint(file)
    assert set(raw) == set(state)
    assert all(torch.equal(raw[name], state[name]) for name in state)


def test_a_safetensors_header_that_looks_like_a_pickle_is_read(tmp_path):
    """A header of 640 bytes begins 80 02, as a pickle does."""
    for padding in range(700):
        data = safetensors_torch.save({"a": torch.ones(2)}, metadata={"x": "y" * padding})
        if data[:2] == b"\x80\x02":
            break
    else:
        pytest.fail("no header of 640 bytes came about")
    (tmp_path / "a").write_bytes(data)
    assert torch.equal(read_checkpoint(tmp_path / "a")["a"], torch.ones(2))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "checkpoint.pth", "epoch3.ckpt", "a.PT"])
def test_a_folder_with_one_checkpoint(name, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / ".hidden.pth").write_bytes(b"x")
    (tmp_path / "logs.pth").mkdir()
    torch.save({"a": torch.ones(1)}, tmp_path / name)
    assert find_checkpoint(tmp_path) == tmp_path / name
    assert set(read_checkpoint(tmp_path)) == {"a"}


def test_a_folder_with_several_checkpoints_is_ambiguous(tmp_path):
    for name in ("model.safetensors", "pytorch_model.bin", "b.pth", "a.pt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(
        WeightsError, match=r"holds 4 checkpoints \(a\.pt, b\.pth, model\.safetensors and 1 more\), expected one"
    ):
        read_checkpoint(tmp_path)


def test_a_folder_without_a_checkpoint(tmp_path):
    (tmp_path / "readme.md").write_text("nothing")
    with pytest.raises(WeightsError, match=r"holds no checkpoint \(\*\.safetensors, \*\.pth"):
        read_checkpoint(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(WeightsError, match=r"there is no file or folder .*absent\.pth"):
        read_checkpoint(tmp_path / "absent.pth")


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b"])
def test_a_name_that_cannot_be(name):
    with pytest.raises(WeightsError, match=r"cannot look up .*; give the path of a checkpoint|there is no file"):
        read_checkpoint(pathlib.Path(name))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="reads a file of the Linux kernel as root")
@pytest.mark.skipif(not pathlib.Path("/proc/self/mem").exists(), reason="no /proc here")
def test_a_file_that_cannot_be_read():
    with pytest.raises(WeightsError, match="cannot read /proc/self/mem: Input/output error"):
        read_checkpoint(pathlib.Path("/proc/self/mem"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>sign in</html>", "is a web page, not weights"),
        (b"\n  <html>", "is a web page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
        (b"\x00" * 100, "is damaged or no checkpoint"),
        (b"\x08\x07\x12\x07pytorch", "is damaged or no checkpoint"),
        (b"x", "is damaged or no checkpoint"),
        (b"PK\x03\x04", "is damaged, truncated or no checkpoint"),
        (b"\x80\x02", "is damaged, truncated or no checkpoint"),
        (b"\x80", "is damaged, truncated or no checkpoint"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{", "is a damaged or truncated safetensors file"),
        (b"\xff" * 8 + b"{", "is a damaged or truncated safetensors file"),
        (pickle.dumps({"a": 1}, protocol=2), "is damaged, truncated or no checkpoint"),
        (pickle.dumps({"a": 1}, protocol=4), "is damaged, truncated or no checkpoint"),
    ],
)
def test_what_is_no_checkpoint_ends_in_one_sentence(content, message, tmp_path):
    file = tmp_path / "w.pth"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_checkpoint(file)
    assert str(caught.value).startswith("w.pth ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [torch.ones(3), [torch.ones(3)], 5, None], ids=["tensor", "list", "number", "none"])
def test_what_is_no_dictionary_is_refused(value, tmp_path):
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=f"of type {type(value).__name__}, expected a dictionary of tensors"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.fixture(scope="module")
def sound_files():
    state = {"teacher": prefixed(make_state(DINO), "backbone.")}
    files = {"safetensors": safetensors_torch.save({"a": torch.arange(12.0), "b": torch.ones(3, 3)})}
    for name, zipped in (("zip", True), ("legacy", False)):
        stream = io.BytesIO()
        torch.save(state, stream, _use_new_zipfile_serialization=zipped)
        files[name] = stream.getvalue()
    return files


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_every_truncation_ends_in_one_sentence(form, sound_files, tmp_path):
    whole = sound_files[form]
    file = tmp_path / "w.pth"
    lengths = {1, 2, 8, 9, 20, 40, len(whole) - 1, *random.Random(0).sample(range(1, len(whole)), 25)}
    for length in sorted(lengths):
        file.write_bytes(whole[:length])
        with pytest.raises(WeightsError) as caught:
            read_checkpoint(file)
        assert "\n" not in str(caught.value)
    file.write_bytes(whole)
    assert read_checkpoint(file)


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_never_ends_in_another_error(form, data, sound_files, tmp_path):
    content = bytearray(sound_files[form])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(content), 3000) - 1))
        content[place] = data.draw(st.integers(0, 255))
    (tmp_path / "w.pth").write_bytes(content)
    with contextlib.suppress(WeightsError):
        state, _ = backbone_state(read_checkpoint(tmp_path / "w.pth"), DINO, image_size=64)
        assert {name: tuple(value.shape) for name, value in state.items()} == entry_shapes(DINO, 64)


# --- pickles that would do more than hold tensors

EXECUTED = []


def execute(value):
    EXECUTED.append(value)
    return value


class Attack:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


class AttackByState:
    """Runs on being given its state."""

    def __setstate__(self, state):
        execute(state)

    def __getstate__(self):
        return {"a": 1}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("where", ["beside the teacher", "in the arguments", "as a weight", "instead of all"])
@pytest.mark.parametrize("attack", ["os.system", "eval", "function", "state", "dtype", "getattr"])
def test_a_malicious_pickle_is_refused_and_does_not_run(attack, where, zipped, tmp_path):
    marker = tmp_path / "executed"
    payload = {
        "os.system": Attack(os.system, f"touch {marker}"),
        "eval": Attack(eval, f"open({str(marker)!r}, 'w')"),
        "function": Attack(execute, 1),
        "state": AttackByState(),
        "dtype": Attack(np.frombuffer, b"abcd"),
        "getattr": Attack(getattr, os, "system"),
    }[attack]
    saved = dino_training(make_state(DINO), make_state(DINO))
    if where == "beside the teacher":
        saved["extra"] = payload
    elif where == "in the arguments":
        saved["args"] = argparse.Namespace(lr=payload)
    elif where == "as a weight":
        saved["teacher"]["backbone.cls_token"] = payload
    else:
        saved = payload
    file = tmp_path / "w.pth"
    try:
        torch.save(saved, file, _use_new_zipfile_serialization=zipped)
    except TypeError:  # a module cannot be pickled: name it as pickle would
        assert attack == "getattr"
        saved = pickle.dumps(1)
        file.write_bytes(b"\x80\x02c__builtin__\ngetattr\ncos\nsystem\nX\x01\x00\x00\x00a\x86R.")
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(file)
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    assert EXECUTED == []
    if attack not in {"getattr"}:
        assert "w.pth is refused, because it asks for " in str(caught.value)


def test_the_payloads_of_these_tests_do_run_where_pickles_are_trusted(tmp_path):
    torch.save({"a": Attack(os.system, f"touch {tmp_path / 'executed'}")}, tmp_path / "w.pth")
    torch.load(tmp_path / "w.pth", weights_only=False)
    assert (tmp_path / "executed").exists()


def test_reading_allows_nothing_afterwards(tmp_path):
    torch.save({"args": argparse.Namespace(a=1)}, tmp_path / "w.pth")
    before = set(torch.serialization.get_safe_globals())
    assert read_checkpoint(tmp_path / "w.pth")["args"].a == 1
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "w.pth", weights_only=True)


@pytest.mark.parametrize(
    "value",
    [np.float64(0.1), np.float32(0.1), np.int64(3), np.bool_(True), np.str_("a"), np.datetime64("2020-01-01")],
    ids=lambda value: type(value).__name__,
)
def test_numpy_scalars_are_skipped(value, tmp_path):
    torch.save({"epoch": value, "a": torch.ones(1)}, tmp_path / "w.pth")
    raw = read_checkpoint(tmp_path / "w.pth")
    assert torch.equal(raw["a"], torch.ones(1))
    assert not isinstance(raw["epoch"], np.generic)


def test_a_whole_module_is_refused_with_the_cure(tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"asks for torch\.nn\.modules\.linear\.Linear .* save its state dict alone"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("module", ["torch", "safetensors"])
def test_a_missing_module_is_named_with_its_extra(module, tmp_path, monkeypatch):
    safetensors_torch.save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{module} is not installed: .*radiodino\[export\]"):
        read_checkpoint(tmp_path / "w.safetensors")
