"""Exact graph surgery: the same function in fewer operators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from radiodino.export.cleanup import clean_up  # noqa: E402
from radiodino.export.cls_query import NEEDS_PATCHES, ClsQueryBlock, cls_query_only  # noqa: E402
from radiodino.export.divergence import stages  # noqa: E402
from radiodino.export.engine import open_graph  # noqa: E402
from radiodino.export.fold import folded  # noqa: E402
from radiodino.export.settings import OUTPUTS  # noqa: E402
from radiodino.export.task_network import TaskNetwork  # noqa: E402
from radiodino.export.trace import trace  # noqa: E402
from radiodino.train.backbone import build_backbone  # noqa: E402


@pytest.fixture(params=[False, True], ids=["plain", "LayerScale"])
def backbone(toy, request):
    """With every weight, norms and scales among them, far from where it begins."""
    model = build_backbone(replace(toy, layer_scale=request.param), 64)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator) + 0.2 * (weight.ndim == 1))
    return model


@pytest.fixture
def images():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((3, 3, 64, 64)).astype(np.float32))


def difference(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max())


def test_folded_weights_are_the_same_function(backbone, images):
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with torch.no_grad():
        wanted, found = backbone.forward_features(images), folded(backbone).forward_features(images)
    assert difference(found, wanted) < 1e-5
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())


def test_in_double_precision_nothing_is_left_of_the_difference(backbone, images):
    backbone = backbone.double()
    with torch.no_grad():
        wanted, found = backbone(images.double()), folded(backbone)(images.double())
    assert difference(found, wanted) < 1e-12


def test_no_factor_is_left_to_compute(backbone):
    model = clean_up(trace(folded(backbone), 64, ("embedding",)), stages(backbone))
    constants = {tensor.name for tensor in model.graph.initializer}
    scaled = [n for n in model.graph.node if n.op_type == "Mul" and constants.intersection(n.input)]
    assert not scaled
    values = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    norms = [n for n in model.graph.node if n.op_type == "LayerNormalization"]
    for norm in norms[:-1]:
        assert (values[norm.input[1]] == 1).all()
        assert (values[norm.input[2]] == 0).all()


def test_the_last_block_for_the_cls_query_alone(backbone, images):
    with torch.no_grad():
        wanted = backbone(images)
        with cls_query_only(backbone, ("embedding",)):
            assert isinstance(backbone.blocks[-1], ClsQueryBlock)
            tokens = backbone.forward_features(images)
            found = backbone(images)
        again = backbone(images)
    assert tokens.shape == (3, 1, wanted.shape[1])
    assert difference(found, wanted) < 1e-5
    assert torch.equal(again, wanted)  # the block is back in its place


@pytest.mark.parametrize("output", sorted(NEEDS_PATCHES))
def test_outputs_made_of_patches_keep_the_whole_block(backbone, output):
    with cls_query_only(backbone, ("embedding", output)):
        assert not isinstance(backbone.blocks[-1], ClsQueryBlock)


def test_every_other_output_needs_the_cls_token_alone():
    assert set(OUTPUTS) - NEEDS_PATCHES == {"embedding", "logits", "probabilities", "attention"}


def test_attention_is_that_of_the_whole_block(backbone, images):
    with torch.no_grad():
        network = TaskNetwork(backbone, ("embedding", "attention"))
        wanted = network(images)
        with cls_query_only(backbone, network.outputs):
            found = network(images)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert difference(one, other) < 1e-5


def test_the_graph_multiplies_less(backbone, images, toy):
    """Of the last block only keys and values are computed for every token."""
    whole = clean_up(trace(backbone, 64, ("embedding", "patch_tokens")), stages(backbone))
    alone = clean_up(trace(backbone, 64, ("embedding",)), stages(backbone))
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in alone.graph.value_info}
    assert shapes["blocks.1"][1:] == [1, toy.embedding_size]
    assert shapes["blocks.0"][1:] == [17, toy.embedding_size]
    results = [open_graph(model, "onnxruntime").run(images.numpy())["embedding"] for model in (whole, alone)]
    assert np.abs(results[0] - results[1]).max() < 1e-5 * np.abs(results[0]).max()
