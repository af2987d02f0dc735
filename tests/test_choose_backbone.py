from __future__ import annotations

import argparse

import numpy as np
import pytest

from radiodino.runtime.errors import WeightsError
from radiodino.runtime.variants import Variant

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from radiodino.train.backbone import build_backbone, entry_shapes  # noqa: E402
from radiodino.train.weights.backbone_state import backbone_state  # noqa: E402
from radiodino.train.weights.read_checkpoint import read_checkpoint  # noqa: E402

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


@pytest.mark.parametrize("empty", [{}, {"backbone": {}}])
def test_an_empty_teacher_is_not_replaced_by_the_student(empty):
    with pytest.raises(WeightsError, match="no backbone under 'teacher', found student, no prefix"):
        load({"student": make_state(DINO), "teacher": empty})


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


# --- naming


def test_unexpected_entries_beside_the_backbone_are_named():
    raw = {"teacher": {**prefixed(make_state(DINO), "backbone."), "adapter.weight": torch.zeros(48)}}
    with pytest.raises(WeightsError, match=r"has 1 entries that 'toy' does not have \(adapter\.weight\)"):
        load(raw)


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
