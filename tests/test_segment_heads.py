from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("timm")

import torch
from torch.utils.flop_counter import FlopCounterMode

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import VARIANTS
from radiodino.train.backbone import build_backbone
from radiodino.train.segment.conv_norm import ConvNorm, fold_batch_norm
from radiodino.train.segment.heads import HEADS, build_head, parameter_count
from radiodino.train.segment.macs import backbone_macs

TABLE_10 = {"tiny": 0.65, "tiny-sp": 0.65, "small": 0.72, "small-sp": 0.70, "base": 0.80}
SMALL: dict = {"paper": {"channels": 8, "blocks": 2}, "lite": {}}


def head(kind, size=48, patch=16, **settings):
    return build_head(kind, size, patch, **{**SMALL[kind], **settings})


def used(built):
    """`built` after training batches, so that its batch norms have statistics of their own."""
    generator = torch.Generator().manual_seed(3)
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5, generator=generator)
    return built.eval()


def inputs(count, size=48, patch=16, side=64):
    generator = torch.Generator().manual_seed(count)
    tokens = torch.randn(count, (side // patch) ** 2, size, generator=generator)
    return tokens, torch.randn(count, 3, side, side, generator=generator)


@pytest.mark.parametrize("name", ["tiny", "small", "base"])
def test_the_papers_head_has_the_parameters_of_table_10(name):
    variant = VARIANTS[name]
    millions = parameter_count(build_head("paper", variant.embedding_size, variant.patch)) / 1e6
    assert abs(millions / TABLE_10[name] - 1) < 0.05


def test_the_patch_8_rows_of_table_10_do_not_follow_and_the_docstring_says_by_how_much():
    stated = HEADS["paper"].__doc__
    for name, table in TABLE_10.items():
        variant = VARIANTS[name]
        millions = parameter_count(build_head("paper", variant.embedding_size, variant.patch)) / 1e6
        assert f"{millions:.3f}    {table:9.2f}".split()[0] in stated
        assert f"{100 * (millions / table - 1):+.1f} %".replace("+", "") in stated
        if variant.patch == 8:
            assert millions < 0.95 * table


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("kind", HEADS)
def test_multiply_adds_are_those_that_torch_counts(name, kind):
    variant = VARIANTS[name]
    with torch.device("meta"):
        built = build_head(kind, variant.embedding_size, variant.patch).to("meta").eval()
        tokens = torch.empty(1, variant.grid(448) ** 2, variant.embedding_size)
        images = torch.empty(1, 3, 448, 448)
    with FlopCounterMode(display=False) as counter:
        built(tokens, images)
    assert counter.get_total_flops() == 2 * built.macs(448)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_lite_head_takes_at_least_20_times_fewer_multiply_adds(name):
    variant = VARIANTS[name]
    macs = {kind: build_head(kind, variant.embedding_size, variant.patch).macs(448) for kind in HEADS}
    assert 118e9 < macs["paper"] < 119e9
    assert 20 * macs["lite"] < macs["paper"]
    assert macs["lite"] < 0.06 * backbone_macs(variant, 448)


@pytest.mark.parametrize("name", ["tiny", "tiny-sp", "dinov2-small"])
def test_the_backbones_multiply_adds_are_those_that_torch_counts(name):
    variant = VARIANTS[name]
    with torch.device("meta"):
        backbone = build_backbone(variant)
        for block in backbone.blocks:
            block.attn.fused_attn = False  # the counter does not see the fused operator
        with FlopCounterMode(display=False) as counter:
            backbone.forward_features(torch.empty(1, 3, 224, 224))
    assert counter.get_total_flops() == 2 * backbone_macs(variant, 224)


def test_a_counter_of_another_maker_agrees():
    fvcore = pytest.importorskip("fvcore.nn")
    built = head("lite").eval()
    counted = fvcore.FlopCountAnalysis(built, inputs(1)).unsupported_ops_warnings(False).by_operator()
    assert counted["conv"] == built.macs(64)


@pytest.mark.parametrize(("patch", "side"), [(16, 64), (14, 56), (8, 64), (8, 24)])
@pytest.mark.parametrize("kind", HEADS)
def test_a_head_gives_one_logit_for_each_pixel(kind, patch, side):
    logits = head(kind, patch=patch).eval()(*inputs(3, patch=patch, side=side))
    assert logits.shape == (3, side, side)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("kind", HEADS)
def test_a_token_speaks_for_its_own_place(kind):
    built, (tokens, images) = head(kind, blocks=1 if kind == "paper" else (0, 0, 0)).eval(), inputs(1, side=128)
    changed = tokens.clone()
    changed[0, 3 * 8 + 5] += 5  # row 3, column 5
    with torch.no_grad():
        difference = (built(changed, images) - built(tokens, images))[0].abs()
    rows, columns = (
        math.floor(float(x.float().mean()) / 16)
        for x in torch.nonzero(difference > 0.2 * difference.max(), as_tuple=True)
    )
    assert (rows, columns) == (3, 5)
    assert difference[:16].max() < 1e-6


def test_the_papers_head_lays_a_token_out_as_its_patch():
    built, (tokens, images) = head("paper"), inputs(2)
    seen = []
    built.enter.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    with torch.no_grad():
        built.eval()(tokens, images)
        patches = built.project(tokens)
    expected = torch.empty(2, 1, 64, 64)
    for place in range(16):
        row, column = divmod(place, 4)
        expected[:, 0, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = patches[:, place].view(2, 16, 16)
    assert torch.equal(seen[0], expected)


def test_the_lite_head_looks_at_the_image_and_the_papers_does_not():
    for kind, looks in (("lite", True), ("paper", False)):
        built, (tokens, images) = head(kind).eval(), inputs(1)
        with torch.no_grad():
            assert torch.equal(built(tokens, images), built(tokens, images + 1)) != looks


@pytest.mark.parametrize("kind", HEADS)
def test_folded_batch_norm_changes_nothing_but_the_work(kind):
    built = used(head(kind))
    folded = fold_batch_norm(built)
    with torch.no_grad():
        expected, found = built(*inputs(2)), folded(*inputs(2))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, (ConvNorm, torch.nn.BatchNorm2d)) for module in folded.modules())
    assert any(isinstance(module, ConvNorm) for module in built.modules())


@pytest.mark.parametrize("kind", HEADS)
def test_weights_follow_from_the_seed_and_leave_the_random_state(kind):
    before = torch.random.get_rng_state()
    first, second, other = head(kind, seed=1), head(kind, seed=1), head(kind, seed=2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.leave.weight, second.leave.weight)
    assert not torch.equal(first.leave.weight, other.leave.weight)


@pytest.mark.parametrize("kind", HEADS)
def test_settings_build_the_same_head_again(kind):
    built = head(kind, patch=8)
    again = build_head(kind, **built.settings)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in built.state_dict().items()}


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="no segmentation head 'unet': choose one of paper, lite"):
        build_head("unet", 48, 16)
    for patch in (4, 32):
        with pytest.raises(InputError, match=f"patches of 5 to 16 px, not {patch}"):
            build_head("lite", 48, patch)


class Both(torch.nn.Module):
    """Both heads on the same tokens, so that one export serves for two."""

    def __init__(self):
        super().__init__()
        self.paper = fold_batch_norm(used(head("paper", blocks=1)))
        self.lite = fold_batch_norm(used(head("lite", blocks=(1, 1, 1))))

    def forward(self, tokens, images):
        return self.paper(tokens, images), self.lite(tokens, images)


def test_heads_export_in_both_precisions_with_a_dynamic_batch():
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from radiodino.export.cleanup import clean_up
    from radiodino.export.half import to_half
    from radiodino.export.trace import OPSET

    both, batch = Both().eval(), torch.export.Dim("batch")
    program = torch.onnx.export(
        both, inputs(2), dynamo=True, dynamic_shapes=({0: batch}, {0: batch}), opset_version=OPSET,
        input_names=["tokens", "image"], output_names=["paper", "lite"], optimize=True, verbose=False,
    )  # fmt: skip
    fp32 = clean_up(program.model_proto, ())
    kinds = {node.op_type for node in fp32.graph.node}
    assert kinds <= {"Add", "Conv", "DepthToSpace", "MatMul", "Relu", "Reshape", "Resize", "Squeeze", "Transpose"}
    # Resize takes its factors in float32 whatever its precision.
    fp16 = to_half(fp32, {node.name for node in fp32.graph.node if node.op_type == "Resize"})
    for model, tolerance in ((fp32, 1e-4), (fp16, 2e-2)):
        session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        for count in (1, 3):
            tokens, images = inputs(count)
            with torch.no_grad():
                expected = [logits.numpy() for logits in both(tokens, images)]
            found = session.run(None, {"tokens": tokens.numpy(), "image": images.numpy()})
            for one, other in zip(found, expected, strict=True):
                assert one.shape == (count, 64, 64)
                np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())
