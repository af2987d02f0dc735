from __future__ import annotations

import os
import shutil

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from radiodino.runtime.variants import Variant  # noqa: E402
from radiodino.train.backbone import build_backbone  # noqa: E402
from radiodino.train.ssl.block import compiled_block, draw_kept, run_block  # noqa: E402

PLAIN = Variant("toy", "toy", 48, 2, 3, 16, 0.1, False, "dino", None, None)
SCALED = Variant("toy-scaled", "toy", 48, 2, 3, 16, 0.1, True, "dino", None, None)
KINDS = pytest.mark.parametrize("variant", [PLAIN, SCALED], ids=lambda v: v.name)


def make_block(variant=PLAIN, dtype=torch.float64, drop_path=0.0):
    """With weights of a size that shows in the results."""
    block = build_backbone(variant, 32, drop_path=drop_path).blocks[-1].to(dtype)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in block.parameters():
            spread = 0.5 if parameter.ndim == 1 else 0.15
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator).to(dtype))
    return block


def make_tokens(batch=3, count=10, dtype=torch.float64):
    return torch.randn(batch, count, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def ones(tokens):
    return tokens.new_ones(2, len(tokens), 1, 1)


def gradients(block, tokens, function):
    """Of the tokens and of every parameter, for a fixed weighting of the results."""
    tokens = tokens.clone().requires_grad_()
    block.zero_grad()
    found = function(tokens)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (found * weights.to(found.dtype)).sum().backward()
    return {"tokens": tokens.grad, **{name: p.grad.clone() for name, p in block.named_parameters()}}


def assert_same(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = float(value.abs().max()) or 1.0
        torch.testing.assert_close(found[name] / scale, value / scale, rtol=0, atol=tolerance, msg=name)


@KINDS
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_is_timms_block(variant, dtype, tolerance):
    block, tokens = make_block(variant, dtype), make_tokens(dtype=dtype)
    found = run_block(block, tokens, ones(tokens), False)
    torch.testing.assert_close(found, block(tokens), rtol=tolerance, atol=tolerance)
    assert found.dtype == dtype
    assert (found - tokens).abs().max() > 0.1


@KINDS
def test_gradients_are_those_of_timms_block(variant):
    block, tokens = make_block(variant), make_tokens()
    for layer in block.modules():
        if hasattr(layer, "fused_attn"):
            layer.fused_attn = False  # the plain formula
    expected = gradients(block, tokens, block)
    assert_same(gradients(block, tokens, lambda t: run_block(block, t, ones(t), False)), expected, 1e-12)


@KINDS
@pytest.mark.parametrize("count", [1, 10])
def test_the_first_token_alone_is_that_of_the_whole_and_so_are_its_gradients(variant, count):
    block, tokens = make_block(variant), make_tokens(count=count)
    found = run_block(block, tokens, ones(tokens), True)
    assert found.shape == (3, 1, 48)
    torch.testing.assert_close(found, run_block(block, tokens, ones(tokens), False)[:, :1], rtol=1e-12, atol=1e-12)
    expected = gradients(block, tokens, lambda t: run_block(block, t, ones(t), False)[:, :1])
    assert_same(gradients(block, tokens, lambda t: run_block(block, t, ones(t), True)), expected, 1e-12)


@pytest.mark.parametrize("only_first", [False, True])
def test_each_branch_of_each_image_is_weighted(only_first):
    block, tokens = make_block(SCALED), make_tokens(4)
    kept = torch.tensor([[0.0, 2.0, 0.0, 1.5], [0.0, 0.0, 2.0, 1.5]], dtype=torch.float64).view(2, 4, 1, 1)
    between = tokens + kept[0] * block.ls1(block.attn(block.norm1(tokens)))
    expected = between + kept[1] * block.ls2(block.mlp(block.norm2(between)))
    found = run_block(block, tokens, kept, only_first)
    torch.testing.assert_close(found, expected[:, :1] if only_first else expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(found[0], tokens[0, : found.shape[1]])  # both branches left out


def test_nothing_is_left_out_in_evaluation():
    tokens = make_tokens(dtype=torch.bfloat16)
    kept = draw_kept(make_block(drop_path=0.5).eval(), tokens)
    assert kept.shape == (2, 3, 1, 1)
    assert kept.dtype == torch.bfloat16
    assert (kept == 1).all()


def test_stochastic_depth_leaves_out_whole_branches_and_keeps_the_mean():
    block = make_block(drop_path=0.25).train()
    tokens = torch.zeros(4000, 1, 48)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kept = draw_kept(block, tokens)
    assert kept.shape == (2, 4000, 1, 1)
    assert sorted(kept.unique().tolist()) == pytest.approx([0, 1 / 0.75])
    error = 5 * (0.25 / 0.75 / 4000) ** 0.5  # five standard deviations of a branch's mean
    assert kept.mean(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1], abs=error)
    assert not torch.equal(kept[0], kept[1])  # each branch has a draw of its own


def test_stochastic_depth_follows_the_global_generator():
    block, tokens = make_block(drop_path=0.5).train(), torch.zeros(64, 1, 48)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        first = draw_kept(block, tokens)
        second = draw_kept(block, tokens)
        torch.manual_seed(3)
        again = draw_kept(block, tokens)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("drop_path", "training"), [(0.0, True), (0.5, False)])
def test_nothing_is_drawn_where_nothing_is_left_out(drop_path, training):
    block = make_block(drop_path=drop_path).train(training)
    before = torch.get_rng_state()
    assert (draw_kept(block, make_tokens()) == 1).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_two_branches_may_differ():
    block, tokens = make_block(drop_path=0.5).train(), torch.zeros(200, 1, 48)
    block.drop_path1 = torch.nn.Identity()
    kept = draw_kept(block, tokens)
    assert (kept[0] == 1).all()
    assert 0 < int((kept[1] == 0).sum()) < 200


@pytest.mark.skipif(
    not any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "c++", "clang++", "cl") if name),
    reason="torch.compile needs a C++ compiler",
)
def test_a_compiled_block_is_the_same():
    from torch._dynamo.utils import counters

    block, tokens = make_block(dtype=torch.float32), make_tokens(dtype=torch.float32)
    kept = torch.tensor([[1.0, 0.0, 2.0], [2.0, 1.0, 0.0]]).view(2, 3, 1, 1)
    compiled = compiled_block()
    expected = gradients(block, tokens, lambda t: run_block(block, t, kept, False))
    assert_same(gradients(block, tokens, lambda t: compiled(block, t, kept, False)), expected, 1e-5)
    compilations = counters["stats"]["unique_graphs"]
    other = build_backbone(PLAIN, 32, drop_path=0.3).blocks[0]
    tokens.requires_grad_()
    torch.testing.assert_close(
        compiled(other, tokens, kept, False), run_block(other, tokens, kept, False), rtol=0, atol=1e-5
    )
    assert counters["stats"]["unique_graphs"] == compilations > 0  # once for every block
