"""Attention maps against an attention written out in loops, and DINO's mass threshold against its formula."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("timm")

import torch

from radiodino.runtime.errors import InputError
from radiodino.train.backbone import build_backbone
from radiodino.train.explain.attention_maps import cls_attention, keep_mass
from radiodino.train.weights.load import sharpen_attention


@pytest.fixture(scope="module")
def backbone(toy):
    torch.manual_seed(3)
    model = build_backbone(toy, 48)
    sharpen_attention(model, 8)
    return model


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))


def oracle(model, images, heads):
    """The last block's attention of the CLS query, in float64, one number at a time."""
    model = copy.deepcopy(model).double()
    with torch.no_grad():
        tokens = model._pos_embed(model.patch_embed(images.double()))
        for block in model.blocks[:-1]:
            tokens = block(tokens)
    last = model.blocks[-1]
    weight, bias = (part.detach().numpy() for part in (last.attn.qkv.weight, last.attn.qkv.bias))
    gain, shift = (part.detach().numpy() for part in (last.norm1.weight, last.norm1.bias))
    maps = []
    for image in tokens.numpy():
        normed = [(row - row.mean()) / math.sqrt(row.var() + 1e-6) * gain + shift for row in image]
        width, size = len(gain), len(gain) // heads
        for head in range(heads):
            rows = slice(head * size, (head + 1) * size)
            query = weight[:width][rows] @ normed[0] + bias[:width][rows]
            logits = []
            for row in normed:
                key = weight[width : 2 * width][rows] @ row + bias[width : 2 * width][rows]
                logits.append(sum(a * b for a, b in zip(query, key, strict=True)) / math.sqrt(size))
            raised = [math.exp(logit - max(logits)) for logit in logits]
            maps.append([one / sum(raised) for one in raised[1:]])
    grid = math.isqrt(tokens.shape[1] - 1)
    return np.array(maps).reshape(len(images), heads, grid, grid)


def test_the_maps_are_those_of_a_slow_attention_in_float64(backbone, images, toy):
    expected = oracle(backbone, images, toy.heads)
    found = cls_attention(backbone, images)
    assert found.shape == (2, toy.heads, 3, 3)
    assert found.dtype == torch.float32
    assert expected.std() > 0.02  # a map that is all but uniform would prove little
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-6)


def test_with_layer_scale_and_another_patch(toy):
    variant = replace(toy, patch=14, layer_scale=True)
    torch.manual_seed(4)
    model = build_backbone(variant, 28)
    sharpen_attention(model, 8, layer_scale=0.5)
    images = torch.randn(1, 3, 28, 28)
    np.testing.assert_allclose(cls_attention(model, images).numpy(), oracle(model, images, 3), atol=2e-6)


def test_the_maps_are_the_rows_of_unfused_attention_without_the_cls_column(backbone, images):
    attention = backbone.blocks[-1].attn
    taken = []
    handle = attention.attn_drop.register_forward_hook(lambda _module, _inputs, output: taken.append(output))
    fused, attention.fused_attn = attention.fused_attn, False
    try:
        with torch.no_grad():
            backbone(images)
    finally:
        handle.remove()
        attention.fused_attn = fused
    rows = taken[0][:, :, 0]
    found = cls_attention(backbone, images).flatten(2)
    torch.testing.assert_close(found, rows[..., 1:], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.sum(-1), 1 - rows[..., 0], atol=1e-6, rtol=1e-5)  # not normalised anew
    assert float(found.sum(-1).max()) < 1


def test_nothing_is_left_behind(backbone, images):
    with torch.no_grad():
        before = backbone(images)
    assert not cls_attention(backbone, images).requires_grad
    assert not backbone.blocks[-1].attn._forward_pre_hooks
    with torch.no_grad():
        assert torch.equal(backbone(images), before)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 1, 48, 48), (3, 48, 48)])
def test_images_of_another_shape_are_refused(backbone, shape):
    with pytest.raises(InputError, match=r"\(N, 3, 48, 48\).*image_size"):
        cls_attention(backbone, torch.zeros(shape))


def test_training_mode_is_refused(toy):
    with pytest.raises(InputError, match=r"\.eval\(\)"):
        cls_attention(build_backbone(toy, 32).train(), torch.zeros(1, 3, 32, 32))


def test_the_kept_mass_in_closed_form():
    maps = torch.tensor([[[0.5, 0.3], [0.15, 0.05]], [[0.05, 0.15], [0.3, 0.5]]])
    assert keep_mass(maps, 0.6).tolist() == [[[True, True], [False, False]], [[False, False], [True, True]]]
    assert keep_mass(maps, 0.4).sum() == 2  # the strongest alone
    assert keep_mass(maps, 1).all()
    assert torch.equal(keep_mass(0.3 * maps, 0.6), keep_mass(maps, 0.6))  # a share of the patches' own sum


@given(st.lists(st.integers(1, 10**6), min_size=9, max_size=9, unique=True), st.floats(0.05, 0.95))
def test_the_kept_mass_is_that_of_dinos_formula(values, mass):
    flat = np.array(values, np.float64) / sum(values)
    order = np.argsort(flat)
    reached = np.cumsum(flat[order])
    expected = np.zeros(9, bool)
    expected[order] = reached > 1 - mass  # visualize_attention: rising, then cut
    assume(np.abs(reached - (1 - mass)).min() > 1e-9)  # else rounding decides
    assert keep_mass(torch.from_numpy(flat).reshape(3, 3), mass).flatten().tolist() == expected.tolist()


@given(
    st.lists(st.floats(0, 1), min_size=16, max_size=16).filter(lambda values: sum(values) > 1e-3), st.floats(0.05, 1)
)
def test_the_fewest_patches_that_hold_the_mass_are_kept(values, mass):
    maps = torch.tensor(values, dtype=torch.float64).reshape(4, 4)
    kept = keep_mass(maps, mass)
    total = float(maps.sum())
    assert float(maps[kept].sum()) >= mass * total - 1e-9
    assert float(maps[kept].sum() - maps[kept].min()) < mass * total + 1e-9
    assert bool((~kept).sum() == 0) or float(maps[kept].min()) >= float(maps[~kept].max())


@pytest.mark.parametrize("mass", [0.0, -1.0, 1.01, math.nan])
def test_a_mass_that_is_no_share_is_refused(mass):
    with pytest.raises(InputError, match=r"DINO's own is 0\.6"):
        keep_mass(torch.ones(1, 2, 2), mass)


@pytest.mark.parametrize("maps", [torch.zeros(1, 2, 2), -torch.ones(1, 2, 2), torch.full((1, 2, 2), math.nan)])
def test_maps_without_mass_are_refused(maps):
    with pytest.raises(InputError, match="sum above 0"):
        keep_mass(maps)
