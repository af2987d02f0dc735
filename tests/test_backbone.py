from __future__ import annotations

import subprocess
import sys

import pytest

from radiodino.runtime.errors import InputError, MissingExtraError
from radiodino.runtime.variants import VARIANTS, Variant

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

from radiodino.train.backbone import build_backbone, entry_shapes  # noqa: E402

TOY = Variant("toy", "toy", 48, 2, 3, 16, 0.1, False, "timm", None, None)
TOY_SCALED = Variant("toy-scaled", "toy", 48, 2, 3, 14, 0.1, True, "dino", None, None)

# What the family's members are called in timm, and what has to be said beside the name.
NAMED = {
    "tiny": ("vit_tiny_patch16_224", {}),
    "tiny-sp": ("vit_tiny_patch16_224", {"patch_size": 8}),
    "small": ("vit_small_patch16_224", {}),
    "small-sp": ("vit_small_patch8_224", {}),
    "base": ("vit_base_patch16_224", {}),
    "dinov2-small": ("vit_small_patch14_dinov2", {"img_size": 224}),
}


def shapes_of(model):
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def named_model(architecture, **said):
    """A model of timm's, with random weights that are drawn faster than timm does."""
    with torch.device("meta"):
        model = timm.create_model(architecture, num_classes=0, global_pool="token", **said)
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.02, generator=generator)
    return model


def scatter(model, seed=0):
    """Give the parameters of LayerNorm and LayerScale and the biases values that matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.copy_(0.5 + 0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def test_every_variant_of_the_table_has_a_named_counterpart():
    assert set(NAMED) == set(VARIANTS)


@pytest.mark.parametrize("name", list(VARIANTS))
def test_is_the_named_timm_architecture(name):
    architecture, said = NAMED[name]
    named = scatter(named_model(architecture, **said)).eval()
    with torch.device("meta"):
        ours = build_backbone(VARIANTS[name])

    assert list(ours.state_dict()) == list(named.state_dict())
    assert shapes_of(ours) == shapes_of(named) == entry_shapes(VARIANTS[name])
    millions = sum(parameter.numel() for parameter in ours.parameters()) / 1e6
    assert millions == pytest.approx(VARIANTS[name].parameters, rel=0.02)
    ours.load_state_dict(named.state_dict(), strict=True, assign=True)
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, found = named(images), ours(images)
    assert expected.shape == (1, VARIANTS[name].embedding_size)
    assert expected.std() > 0.01
    assert torch.equal(found, expected)


@pytest.mark.parametrize("variant", [VARIANTS["tiny-sp"], TOY, TOY_SCALED], ids=lambda variant: variant.name)
def test_entry_shapes_are_those_of_the_built_model(variant):
    model = build_backbone(variant, 112)
    assert list(entry_shapes(variant, 112).items()) == list(shapes_of(model).items())


@pytest.mark.parametrize("variant", [TOY, TOY_SCALED], ids=lambda variant: variant.name)
def test_the_details_that_numbers_depend_on(variant):
    model = build_backbone(variant, 112)
    assert not any(module.training for module in model.modules())
    norms = [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) == 2 * variant.depth + 1
    assert {norm.eps for norm in norms} == {1e-6}
    gelus = [module for module in model.modules() if isinstance(module, torch.nn.GELU)]
    assert [gelu.approximate for gelu in gelus] == ["none"] * variant.depth
    assert all(block.attn.num_heads == variant.heads for block in model.blocks)
    assert ("blocks.0.ls1.gamma" in model.state_dict()) is variant.layer_scale


def test_the_embedding_is_the_cls_token_after_the_final_norm():
    model = scatter(build_backbone(TOY, 64))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        tokens = model.forward_features(images)
        assert tokens.shape == (2, 1 + 16, 48)
        assert torch.equal(model(images), tokens[:, 0])


def test_is_a_vision_transformer_by_an_independent_reckoning():
    """The whole forward pass in float64 from its published description, without torch.nn or timm."""
    model = scatter(build_backbone(TOY_SCALED, 28))
    weights = {name: value.double() for name, value in model.state_dict().items()}
    image = torch.randn(3, 28, 28, dtype=torch.float64)

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    kernel = weights["patch_embed.proj.weight"]
    patches = [image[:, 14 * row : 14 * row + 14, 14 * col : 14 * col + 14] for row in range(2) for col in range(2)]
    tokens = torch.stack([(kernel * patch).sum((1, 2, 3)) + weights["patch_embed.proj.bias"] for patch in patches])
    x = torch.cat([weights["cls_token"][0], tokens]) + weights["pos_embed"][0]
    for index in range(2):
        block = f"blocks.{index}"
        q, k, v = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").split(48, dim=1)
        heads = [
            torch.softmax(q[:, part] @ k[:, part].T / 16**0.5, dim=1) @ v[:, part]
            for part in (slice(0, 16), slice(16, 32), slice(32, 48))
        ]
        x = x + weights[f"{block}.ls1.gamma"] * linear(torch.cat(heads, dim=1), f"{block}.attn.proj")
        hidden = linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        x = x + weights[f"{block}.ls2.gamma"] * linear(hidden, f"{block}.mlp.fc2")
    expected = norm(x, "norm")[0]

    with torch.inference_mode():
        found = model(image.float()[None])[0]
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_other_sizes_change_the_position_table_alone():
    at_224, at_448 = shapes_of(build_backbone(TOY)), shapes_of(build_backbone(TOY, 448))
    assert at_224.pop("pos_embed") == (1, 197, 48)
    assert at_448.pop("pos_embed") == (1, 785, 48)
    assert at_224 == at_448


@pytest.mark.parametrize(("uniform", "rates"), [(False, [0.0, 0.15, 0.3]), (True, [0.3, 0.3, 0.3])])
def test_stochastic_depth_has_the_rates_of_dino_or_dinov2(uniform, rates):
    model = build_backbone(Variant("toy", "toy", 48, 3, 3, 16, 0.1, False, "timm", None, None), 64)
    torch.manual_seed(3)
    plain = build_backbone(TOY, 64)
    torch.manual_seed(3)
    built = build_backbone(TOY, 64, drop_path=0.3, drop_path_uniform=uniform)
    assert all(torch.equal(value, built.state_dict()[name]) for name, value in plain.state_dict().items())
    assert list(built.state_dict()) == list(plain.state_dict())
    three = build_backbone(
        Variant("toy", "toy", 48, 3, 3, 16, 0.1, False, "timm", None, None),
        64,
        drop_path=0.3,
        drop_path_uniform=uniform,
    )
    for path in ("drop_path1", "drop_path2"):
        found = [getattr(getattr(block, path), "drop_prob", 0.0) for block in three.blocks]
        assert found == pytest.approx(rates)
        assert not any(hasattr(getattr(block, path), "drop_prob") for block in model.blocks)


def test_stochastic_depth_leaves_out_branches_of_whole_images_in_training_only():
    model = scatter(build_backbone(TOY, 64, drop_path=0.5, drop_path_uniform=True))
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)).expand(200, -1, -1, -1)
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        assert torch.equal(model(images)[0], model(images)[-1])
        model.train()
        torch.manual_seed(2)
        kinds = torch.unique((model(images) * 1000).round(), dim=0)
    assert len(kinds) == 2**4  # two branches in each of two blocks, there or not


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_refuses_a_rate_that_is_no_probability_below_1(rate):
    with pytest.raises(InputError, match=r"drop_path must be at least 0 and below 1, found .*: use 0\.1 as"):
        build_backbone(TOY, 64, drop_path=rate)


@pytest.mark.parametrize("size", [0, -16, 56, 225])
def test_refuses_a_size_that_is_no_multiple_of_the_patch(size):
    with pytest.raises(InputError, match=f"image size {size} is not a multiple of the patch"):
        build_backbone(TOY, size)
    with pytest.raises(InputError, match=f"image size {size} is not a multiple of the patch"):
        entry_shapes(TOY, size)


def test_the_model_refuses_images_of_another_size():
    with pytest.raises(AssertionError, match="224"):
        build_backbone(TOY)(torch.zeros(1, 3, 208, 208))


@pytest.mark.parametrize("module", ["torch", "timm"])
def test_a_missing_module_is_named_with_its_extra(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{module} is not installed: .*radiodino\[export\]"):
        build_backbone(TOY)


def test_importing_the_package_imports_no_heavy_module():
    code = (
        "import sys, radiodino.train.backbone, radiodino.train.position_table\n"
        "import radiodino.train.weights.read_checkpoint\n"
        "import radiodino.train.weights.backbone_state, radiodino.train.weights.load, radiodino.train.published.fetch\n"
        "print(sorted({'torch', 'timm', 'safetensors', 'huggingface_hub'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
