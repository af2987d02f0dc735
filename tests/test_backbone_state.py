from __future__ import annotations

import dataclasses

import pytest

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import VARIANTS, Variant

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
safetensors_torch = pytest.importorskip("safetensors.torch")

from radiodino.train.backbone import build_backbone, entry_shapes  # noqa: E402
from radiodino.train.position_table import resize_position_table  # noqa: E402
from radiodino.train.weights.backbone_state import backbone_state  # noqa: E402
from radiodino.train.weights.read_checkpoint import read_checkpoint  # noqa: E402

DINO = Variant("toy", "toy", 48, 2, 3, 16, 0.1, False, "timm", None, None)
DINOV2 = Variant("toy-v2", "toy", 48, 4, 3, 14, 0.1, True, "dino", None, None)
SIZE = {"toy": 64, "toy-v2": 56}  # 4 x 4 patches


def make_state(variant, size=None):
    shapes = entry_shapes(variant, size or SIZE.get(variant.name, 224))
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def load(raw, variant=DINO):
    return backbone_state(raw, variant, image_size=SIZE[variant.name])


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
    build_backbone(DINOV2, 224).load_state_dict(found, strict=True)


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
