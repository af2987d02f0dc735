from __future__ import annotations

import copy

import pytest

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import Variant

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from radiodino.train.backbone import build_backbone  # noqa: E402
from radiodino.train.position_table import resize_position_table  # noqa: E402
from radiodino.train.ssl.block import run_block  # noqa: E402
from radiodino.train.ssl.vit import forward_cls, forward_crops, forward_tokens  # noqa: E402

PLAIN = Variant("toy", "toy", 48, 3, 3, 16, 0.1, False, "dino", None, None)
SCALED = Variant("toy-scaled", "toy", 48, 3, 3, 14, 0.1, True, "dino", None, None)


def make_backbone(variant=PLAIN, grid=6, seed=0, **settings):
    """With weights of a size that shows in the results."""
    model = build_backbone(variant, grid * variant.patch, **settings)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.5 if parameter.ndim == 1 else 0.15
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return model


def make_images(count, size, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def gradients(model, images, forward):
    model.zero_grad()
    found = forward(model, images)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(9))
    (found * weights).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = float(value.abs().max()) or 1.0
        torch.testing.assert_close(found[name] / scale, value / scale, rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("variant", [PLAIN, SCALED], ids=lambda v: v.name)
def test_is_the_backbone_at_its_own_size(variant):
    model = make_backbone(variant)
    images = make_images(2, 6 * variant.patch)
    with torch.inference_mode():
        found = forward_tokens(model, images)
        assert found.shape == (2, 37, 48)
        torch.testing.assert_close(found, model.forward_features(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", [PLAIN, SCALED], ids=lambda v: v.name)
@pytest.mark.parametrize("grid", [1, 3, 4, 9])
def test_is_a_backbone_with_a_resized_table_at_other_sizes(variant, grid):
    model = make_backbone(variant)
    state = copy.deepcopy(model.state_dict())
    state["pos_embed"] = resize_position_table(state["pos_embed"], grid, "dino")
    other = build_backbone(variant, grid * variant.patch)
    other.load_state_dict(state)
    images = make_images(2, grid * variant.patch)
    with torch.inference_mode():
        torch.testing.assert_close(forward_tokens(model, images), other.forward_features(images), rtol=0, atol=1e-5)


def test_the_whole_table_learns_from_small_crops():
    """Resizing is linear: the table's gradient is that of the resized table times the matrix of the resizing."""
    model = make_backbone()
    state = copy.deepcopy(model.state_dict())
    state["pos_embed"] = resize_position_table(state["pos_embed"], 3, "dino")
    other = build_backbone(PLAIN, 3 * 16)
    other.load_state_dict(state)
    images = make_images(2, 3 * 16)
    resized = gradients(other, images, lambda m, x: m.forward_features(x))["pos_embed"]
    matrix = resize_position_table(torch.eye(37)[None], 3, "dino")[0]
    expected = matrix.T @ resized[0]
    found = gradients(model, images, forward_tokens)["pos_embed"][0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert (found.abs().amax(1) > 0).all()


def test_hidden_patches_are_replaced_by_the_mask_token_before_positions_are_added():
    """Hiding patches is showing one whose embedding is the token, at their places."""
    model = make_backbone()
    images, shown = make_images(2, 64), make_images(1, 16, seed=5)
    mask = torch.rand(2, 16, generator=torch.Generator().manual_seed(6)) < 0.4
    replaced = images.clone()
    for sample, place in mask.nonzero().tolist():
        row, column = 16 * (place // 4), 16 * (place % 4)
        replaced[sample, :, row : row + 16, column : column + 16] = shown[0]
    with torch.inference_mode():
        token = model.patch_embed.proj(shown).reshape(1, 48)
        expected = forward_tokens(model, replaced)
        for form in (token, token[0]):
            torch.testing.assert_close(forward_tokens(model, images, mask, form), expected, rtol=0, atol=1e-5)
        assert (forward_tokens(model, images) - expected).abs().max() > 0.1


def test_what_is_hidden_has_no_influence_and_the_mask_token_learns():
    model = make_backbone()
    images, token = make_images(1, 32), torch.randn(48, requires_grad=True)
    mask = torch.tensor([[True, False, False, False]])
    changed = images.clone()
    changed[..., :16, :16] = 7
    found = forward_tokens(model, images, mask, token)
    assert torch.equal(forward_tokens(model, changed, mask, token), found)
    found.sum().backward()
    assert token.grad.abs().max() > 0
    nothing = torch.zeros(1, 4, dtype=torch.bool)
    assert torch.equal(forward_tokens(model, images, nothing, token), forward_tokens(model, images))


@pytest.mark.parametrize("variant", [PLAIN, SCALED], ids=lambda v: v.name)
@pytest.mark.parametrize("grid", [6, 3])
def test_the_cls_token_alone_is_that_of_all_tokens_and_so_are_its_gradients(variant, grid):
    model = make_backbone(variant)
    images = make_images(3, grid * variant.patch)
    with torch.inference_mode():
        found, expected = forward_cls(model, images), forward_tokens(model, images)[:, 0]
    assert found.shape == (3, 48)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    whole = gradients(model, images, lambda m, x: forward_tokens(m, x)[:, 0])
    assert_same(gradients(model, images, forward_cls), whole)


@pytest.mark.parametrize("uniform", [False, True])
def test_stochastic_depth_in_training_is_the_same_for_the_cls_token_alone(uniform):
    model = make_backbone(drop_path=0.5, drop_path_uniform=uniform)
    images = make_images(8, 96)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        still = forward_cls(model, images)
        model.train()
        torch.manual_seed(1)
        found = forward_cls(model, images)
        torch.manual_seed(1)
        expected = forward_tokens(model, images)[:, 0]
        torch.manual_seed(2)
        other = forward_cls(model, images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (found - other).abs().max() > 0.1
    assert (found - still).abs().max() > 0.1


def test_a_backbone_of_one_block():
    model = make_backbone(Variant("toy", "toy", 48, 1, 3, 16, 0.1, False, "dino", None, None))
    images = make_images(2, 96)
    with torch.inference_mode():
        torch.testing.assert_close(forward_cls(model, images), model(images), rtol=0, atol=1e-5)


def test_crops_of_one_size_go_through_together_and_come_back_in_order():
    model = make_backbone()
    crops = [make_images(2, 96, 1), make_images(3, 48, 2), make_images(2, 96, 3), make_images(1, 48, 4)]
    passes = []

    def counted(block, tokens, kept, only_first):
        passes.append(tuple(tokens.shape))
        return run_block(block, tokens, kept, only_first)

    with torch.inference_mode():
        found = forward_crops(model, crops, counted)
        depth = len(model.blocks)
        assert passes == [(4, 37, 48)] * depth + [(4, 10, 48)] * depth
        assert [tuple(cls.shape) for cls in found] == [(2, 48), (3, 48), (2, 48), (1, 48)]
        for cls, crop in zip(found, crops, strict=True):
            torch.testing.assert_close(cls, forward_cls(model, crop), rtol=0, atol=1e-5)


def test_no_crops():
    assert forward_crops(make_backbone(), []) == []


def test_under_autocast_the_sum_over_the_blocks_stays_in_float32():
    model = make_backbone()
    types = []

    def noted(block, tokens, kept, only_first):
        types.append(tokens.dtype)
        return run_block(block, tokens, kept, only_first)

    images = make_images(2, 48)
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16):
            found = forward_cls(model, images, noted)
        expected = forward_cls(model, images)
    assert types == [torch.float32] * len(model.blocks)
    assert torch.nn.functional.cosine_similarity(found.float(), expected).min() > 0.999


def test_compiles_to_one_graph():
    model = make_backbone()
    images = make_images(2, 48)
    compiled = torch.compile(forward_cls, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(model, images), forward_cls(model, images), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(96, 48), (100, 100), (8, 8), (0, 0)])
def test_refuses_crops_that_are_no_square_of_patches(height, width):
    with pytest.raises(InputError, match=rf"multiple of the patch \(16 px\) .*, found {height} × {width} px"):
        forward_tokens(make_backbone(), torch.zeros(1, 3, height, width))


@pytest.mark.parametrize(
    ("mask", "token", "found"),
    [
        (torch.zeros(1, 9, dtype=torch.bool), None, "bool of shape (1, 9) and no token"),
        (torch.zeros(1, 8, dtype=torch.bool), torch.zeros(48), "bool of shape (1, 8) and a token"),
        (torch.zeros(1, 9), torch.zeros(48), "float32 of shape (1, 9) and a token"),
    ],
)
def test_refuses_masks_that_do_not_fit(mask, token, found):
    with pytest.raises(InputError, match=r"hidden patches need a mask of type bool and shape \(1, 9\)") as caught:
        forward_tokens(make_backbone(), torch.zeros(1, 3, 48, 48), mask, token)
    assert found in str(caught.value)
