from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from radiodino.export.cleanup import clean_up  # noqa: E402
from radiodino.export.divergence import stages  # noqa: E402
from radiodino.export.engine import open_graph, with_outputs  # noqa: E402
from radiodino.export.task_network import cls_attention  # noqa: E402
from radiodino.export.trace import OPSET, trace  # noqa: E402
from radiodino.train.weights.load import load_weights, sharpen_attention  # noqa: E402


@pytest.fixture(scope="module")
def backbone(toy):
    model, _ = load_weights(toy, "random", image_size=64)
    sharpen_attention(model, 6)
    return model


@pytest.fixture(scope="module")
def cleaned(backbone):
    return clean_up(trace(backbone, 64, ("embedding", "attention")), stages(backbone))


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(0).standard_normal((3, 3, 64, 64)).astype(np.float32)


def test_nothing_of_the_making_machine_is_left(cleaned):
    assert str(__file__).rpartition("/tests/")[0].encode() not in cleaned.SerializeToString()
    for item in (*cleaned.graph.node, *cleaned.graph.initializer, *cleaned.graph.value_info):
        assert not item.metadata_props
        assert not item.doc_string
    assert b"site-packages" not in cleaned.SerializeToString()


def test_names_come_from_the_modules(cleaned):
    weights = {tensor.name for tensor in cleaned.graph.initializer}
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.1.mlp.fc1.weight"} <= weights
    names = [node.name for node in cleaned.graph.node]
    assert len(set(names)) == len(names)


def test_opset_batch_and_size(cleaned):
    assert [(entry.domain, entry.version) for entry in cleaned.opset_import] == [("", OPSET)]
    sizes = [d.dim_param or d.dim_value for d in cleaned.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 3, 64, 64]


def test_norms_and_gelus_are_one_operator_each(cleaned, toy):
    found = [node.op_type for node in cleaned.graph.node]
    assert found.count("LayerNormalization") == 2 * toy.depth + 1
    assert found.count("Gelu") == toy.depth
    assert not {"Erf", "ReduceMean", "Pow", "Cast", "Identity", "Dropout"} & set(found)


def test_each_stage_tensor_is_what_its_module_returns(cleaned, backbone, batch, toy):
    names = stages(backbone)
    found = open_graph(with_outputs(cleaned, names), "onnxruntime").run(batch)
    expected = {}
    for name in names:
        backbone.get_submodule(name).register_forward_hook(
            lambda _m, _i, output, name=name: expected.__setitem__(name, output.detach().numpy())
        )
    with torch.no_grad():
        backbone(torch.from_numpy(batch))
    assert found["blocks.1"].shape[1] == found["norm"].shape[1] == 1  # of the last block CLS alone
    for name in names:
        wanted = expected[name]
        wanted = wanted[:, : found[name].shape[1]] if wanted.ndim == 3 else wanted
        assert np.abs(found[name] - wanted).max() < 1e-4, name


def test_attention_is_the_last_blocks_softmax(cleaned, backbone, batch, toy):
    """Compared with the definition, written out: softmax(QK^T / sqrt(d)) of the CLS query (paper, section 3.2)."""
    found = open_graph(cleaned, "onnxruntime").run(batch)["attention"]
    with torch.no_grad():
        block = backbone.blocks[-1]
        entering = []
        hook = block.register_forward_pre_hook(lambda _m, inputs: entering.append(inputs[0]))
        backbone(torch.from_numpy(batch))
        hook.remove()
        tokens = block.norm1(entering[0])
        q, k, _ = block.attn.qkv(tokens).reshape(3, 17, 3, toy.heads, 16).permute(2, 0, 3, 1, 4)
        expected = (q @ k.transpose(-2, -1) / 16**0.5).softmax(-1)[:, :, 0, 1:].numpy()
    assert found.shape == (3, toy.heads, 16)
    assert np.abs(found - expected).max() < 1e-6
    assert found.std() > 0.01  # the fixture's attention is not uniform


def test_collecting_attention_leaves_the_model_as_it_was(backbone, batch):
    image = torch.from_numpy(batch)
    fused = backbone.blocks[-1].attn.fused_attn
    with torch.no_grad(), cls_attention(backbone) as collected:
        backbone(image)
    assert len(collected) == 1
    assert backbone.blocks[-1].attn.fused_attn == fused
    assert not backbone.blocks[-1].attn.attn_drop._forward_hooks
