from __future__ import annotations

import dataclasses

import pytest

from radiodino.runtime.errors import WeightsError
from radiodino.runtime.variants import VARIANTS, Variant

torch = pytest.importorskip("torch")

from radiodino.train.backbone import entry_shapes  # noqa: E402
from radiodino.train.weights.backbone_state import backbone_state  # noqa: E402

DINO = Variant("toy", "toy", 48, 2, 3, 16, 0.1, False, "timm", None, None)
DINOV2 = Variant("toy-v2", "toy", 48, 4, 3, 14, 0.1, True, "dino", None, None)
SIZE = {"toy": 64, "toy-v2": 56}  # 4 x 4 patches


def make_state(variant, size=None):
    shapes = entry_shapes(variant, size or SIZE.get(variant.name, 224))
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def load(raw, variant=DINO):
    return backbone_state(raw, variant, image_size=SIZE[variant.name])


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


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
