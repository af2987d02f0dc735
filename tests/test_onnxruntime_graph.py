"""Fused operators in the place of several: the same function in ONNX Runtime, and nothing else touched."""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import helper, numpy_helper  # noqa: E402

from radiodino.runtime import ModelFileError  # noqa: E402
from radiodino.runtime.backends import onnxruntime as backend_module  # noqa: E402
from radiodino.runtime.backends.onnxruntime import OnnxRuntimeBackend  # noqa: E402
from radiodino.runtime.backends.onnxruntime_graph import fusable, fused  # noqa: E402
from radiodino.runtime.backends.protocol import Job  # noqa: E402
from radiodino.runtime.graph_edit import Graph, producer  # noqa: E402
from radiodino.runtime.widen import widen  # noqa: E402

BATCHES = (1, 2, 7)
LAYERS = 8
"""Linear layers of the toy's two blocks."""


def network_inputs(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 3, 64, 64)).astype(np.float32)


def backend(path, precision="fp32", **options):
    return OnnxRuntimeBackend(Job(path, precision=precision, cache_key=None, compute=None, threads=2, **options))


def unfused(path, monkeypatch, precision="fp32"):
    with monkeypatch.context() as patch:
        patch.setattr(backend_module, "fused", lambda _model: None)
        return backend(path, precision)


def difference(found, wanted):
    """The largest of all outputs, relative to the output's largest value."""
    assert found.keys() == wanted.keys()
    return max(float(np.abs(found[name] - wanted[name]).max() / np.abs(wanted[name]).max()) for name in wanted)


def operators(serialised):
    """How often each operator that is not of the ONNX standard is in the graph."""
    return Counter(node.op_type for node in onnx.load_from_string(serialised).graph.node if node.domain)


def fused_operators(model):
    found = fused(memoryview(model if isinstance(model, bytes) else model.SerializeToString()))
    return operators(found[0]) if found else Counter()


def run(serialised, weights, inputs):
    options = onnxruntime.SessionOptions()
    options.add_external_initializers(
        list(weights), [onnxruntime.OrtValue.ortvalue_from_numpy(values) for values in weights.values()]
    )
    session = onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": inputs}), strict=True))


@pytest.fixture(scope="module")
def int8_models(toy, toy_tasks):
    """Two graphs in 8 bits: one whose attention has a scale, and one that has it in its weights and a last block for
    the CLS query alone."""
    pytest.importorskip("torch")
    pytest.importorskip("timm")
    from radiodino.export.cleanup import clean_up
    from radiodino.export.divergence import stages
    from radiodino.export.fold import folded
    from radiodino.export.int8.plan import PLAIN
    from radiodino.export.int8.quantise import quantise
    from radiodino.export.trace import trace
    from radiodino.train.weights.load import load_weights

    backbone, _ = load_weights(toy, "random", image_size=64)
    embedder = clean_up(trace(folded(backbone), 64, ("embedding",)), stages(backbone))
    images = [network_inputs(6, seed=3)]
    return {
        "scale": quantise(onnx.load(toy_tasks), images, search=PLAIN).model,
        "folded": quantise(embedder, images, search=PLAIN).model,
    }


@pytest.fixture(params=["scale", "folded"])
def int8_path(request, int8_models, tmp_path):
    path = tmp_path / f"{request.param}.onnx"
    onnx.save(int8_models[request.param], path)
    return path


@pytest.mark.parametrize("name", ["toy-fp32", "toy-fp16", "toy-tasks"])
def test_attention_is_fused_where_its_weights_are_not_returned(name, toy_fp32):
    data = (toy_fp32.parent / f"{name}.onnx").read_bytes()
    # The last block's softmax is one of the outputs.
    assert fused_operators(widen(memoryview(data))) == {"Attention": 1}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", ["toy-fp32", "toy-fp16", "toy-tasks"])
def test_in_fp32_the_function_is_the_same(name, batch, toy_fp32, monkeypatch):
    path, precision = toy_fp32.parent / f"{name}.onnx", "fp16" if "fp16" in name else "fp32"
    wanted = unfused(path, monkeypatch, precision).run(network_inputs(batch))
    assert difference(backend(path, precision).run(network_inputs(batch)), wanted) < 1e-5


def test_every_int8_layer_of_the_backbone_is_fused_with_its_bias(int8_models):
    # What becomes QAttention has the layer in it. The CLS query's block has one more: keys and values for themselves.
    assert fused_operators(int8_models["scale"]) == {"QAttention": 1, "MatMulIntegerToFloat": LAYERS - 1}
    assert fused_operators(int8_models["folded"]) == {"QAttention": 1, "MatMulIntegerToFloat": LAYERS}


@pytest.mark.parametrize("batch", BATCHES)
def test_in_int8_the_function_is_the_same(int8_path, batch, monkeypatch):
    """But for values on the edge between two integers, of which rounding to fp32 may make one or the other."""
    wanted = unfused(int8_path, monkeypatch, "int8").run(network_inputs(batch))
    assert difference(backend(int8_path, "int8").run(network_inputs(batch)), wanted) < 2e-3


def test_runs_repeat_bit_for_bit(int8_path):
    opened = backend(int8_path, "int8")
    first, second = opened.run(network_inputs(3)), opened.run(network_inputs(3))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_prepared_for_one_image_the_function_is_the_same(int8_path):
    one, many = backend(int8_path, "int8", one_image=True), backend(int8_path, "int8")
    for batch in BATCHES:
        first, second = one.run(network_inputs(batch)), many.run(network_inputs(batch))
        assert all(np.array_equal(first[name], second[name]) for name in first)


def test_layers_that_stayed_float_are_fused_as_such(toy_tasks):
    from radiodino.export.int8.plan import PLAIN
    from radiodino.export.int8.quantise import quantise

    kept = frozenset({"blocks.0.attn.qkv", "blocks.1.mlp.fc1"})
    model = quantise(onnx.load(toy_tasks), [network_inputs(6, seed=3)], kept, PLAIN).model
    assert fused_operators(model) == {"Attention": 1, "MatMulIntegerToFloat": LAYERS - 2}


def test_a_file_that_is_judged_is_left_as_it_is(toy_fp32, monkeypatch):
    def fail(_model):
        raise AssertionError("fused")

    monkeypatch.setattr(backend_module, "fused", fail)
    backend(toy_fp32, optimised=False).run(network_inputs(1))
    with pytest.raises(ModelFileError, match="fused"):
        backend(toy_fp32)


def test_half_precision_is_left_as_it_is(toy_fp16, monkeypatch):
    monkeypatch.setattr(backend_module, "fused", None)
    job = Job(toy_fp16, precision="fp16", cache_key=None, compute="fp16", threads=1)
    OnnxRuntimeBackend(job).run(network_inputs(1))


def half_operators(serialised):
    """Types of the inputs of what CUDA is given in the place of several operators, and of its norms."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(serialised))
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in ("Attention", "LayerNormalization")]
    return {node.name: {kinds[name] for name in node.input if name in kinds} for node in nodes}


@pytest.fixture(scope="module")
def folded_half(toy):
    """An fp16 file as it is exported: norms' weights in the layers behind them, the last block for the CLS query."""
    pytest.importorskip("torch")
    pytest.importorskip("timm")
    from radiodino.export.cleanup import clean_up
    from radiodino.export.divergence import stages
    from radiodino.export.fold import folded
    from radiodino.export.half import to_half
    from radiodino.export.trace import trace
    from radiodino.train.weights.load import load_weights

    backbone, _ = load_weights(toy, "random", image_size=64)
    return to_half(clean_up(trace(folded(backbone), 64, ("embedding",)), stages(backbone)), set())


def test_for_cuda_attention_and_norms_are_fused_in_half_precision(folded_half):
    serialised = folded_half.SerializeToString()
    found, weights = fused(memoryview(serialised), cuda=True)
    assert operators(found) == {"Attention": 1}
    before, after = (
        Counter(node.op_type for node in onnx.load_from_string(model).graph.node) for model in (serialised, found)
    )
    # What stays: the input's, those around the last block's softmax and first norm, and that before the last norm.
    assert (before["Cast"], after["Cast"]) == (15, 7)
    assert before["LayerNormalization"] == after["LayerNormalization"] == 5
    assert all(values.dtype == np.float16 for values in weights.values())
    halves = [kinds for kinds in half_operators(found).values() if kinds == {onnx.TensorProto.FLOAT16}]
    assert len(halves) == 1 + 3


def test_for_cuda_the_function_is_the_same(folded_half):
    """What CUDA is given, computed on a CPU in fp32, against the file computed so: no weight and no axis is lost."""
    serialised = folded_half.SerializeToString()
    found, weights = fused(memoryview(serialised), cuda=True)
    model = onnx.load_from_string(found)
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    wanted = run(widen(memoryview(serialised)), {}, network_inputs(3))
    answers = run(widen(memoryview(model.SerializeToString())), {}, network_inputs(3))
    assert difference(answers, wanted) < 1e-5


def test_for_cuda_norms_whose_weights_are_no_halves_stay(folded_half):
    changed = onnx.ModelProto()
    changed.CopyFrom(folded_half)
    norms = [node for node in changed.graph.node if node.op_type == "LayerNormalization"]
    for norm in norms:
        norm.input[1] = replace_constant(changed, norm.name, np.full(48, 1 + 2**-20, np.float32))
    found, _ = fused(memoryview(changed.SerializeToString()), cuda=True)
    assert operators(found) == {"Attention": 1}
    kept = [kinds for kinds in half_operators(found).values() if kinds == {onnx.TensorProto.FLOAT}]
    assert len(kept) == len(norms)


def test_for_cuda_int8_is_left_as_it_is(int8_models):
    for model in int8_models.values():
        found = fused(memoryview(model.SerializeToString()), cuda=True)
        assert found is None or not operators(found[0]) & Counter({"QAttention": 1, "MatMulIntegerToFloat": 1})


def test_what_would_be_fused_is_told(toy_fp32, folded_half):
    assert len(fusable(memoryview(toy_fp32.read_bytes()))) == 1
    for cuda in (False, True):
        assert fusable(memoryview(folded_half.SerializeToString()), cuda=cuda) == {"blocks.0.attn/Softmax"}
        assert fusable(memoryview(b""), cuda=cuda) == frozenset()


def test_files_of_other_tools_are_not_read(toy_fp32):
    model = onnx.load(toy_fp32)
    model.producer_name = "pytorch"
    model.graph.node[0].op_type = "\0"
    assert fused(memoryview(model.SerializeToString())) is None
    model.ClearField("producer_name")
    assert fused(memoryview(model.SerializeToString())) is None


def test_without_attention_there_is_nothing_to_fuse():
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 4]) for name in "xy"]
    node = helper.make_node("Softmax", ["x"], ["y"])
    model = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]), producer_name="radiodino")
    assert fused(memoryview(model.SerializeToString())) is None


def test_a_damaged_file_is_the_files_fault(toy_fp32, tmp_path):
    path = tmp_path / "cut.onnx"
    for data in (toy_fp32.read_bytes()[:5000], b"", b"\xff" * 40):
        path.write_bytes(data)
        with pytest.raises(ModelFileError, match=r"cut\.onnx"):
            backend(path)


def node_of(model, name):
    return next(node for node in model.graph.node if node.output[0] == f"blocks.0.attn/{name}")


def replace_constant(model, name, value):
    tensor = numpy_helper.from_array(np.asarray(value), f"{name}/changed")
    model.graph.initializer.append(tensor)
    return tensor.name


def _other_axis(model):
    node_of(model, "Softmax").attribute[0].i = 2


def _other_heads_order(model):
    node_of(model, "Transpose_3").attribute[0].ints[:] = [0, 1, 2, 3]


def _keys_not_transposed(model):
    keys = node_of(model, "Transpose_2")
    keys.attribute[0].ints[:] = [0, 1, 2, 3]
    keys.input[0] = "blocks.0.attn/turned"
    turned = helper.make_node("Transpose", ["blocks.0.attn/Squeeze_2"], keys.input[:], perm=[0, 1, 3, 2])
    model.graph.node.insert(list(model.graph.node).index(keys), turned)


def _keys_and_values_swapped(model):
    values, keys = node_of(model, "MatMul_2"), node_of(model, "Transpose_2")
    values.input[1], keys.input[0] = keys.input[0], values.input[1]


def _query_and_key_swapped(model):
    query, keys = node_of(model, "Mul"), node_of(model, "Transpose_2")
    query.input[0], keys.input[0] = keys.input[0], query.input[0]


def _scale_by_channel(model):
    scale = node_of(model, "Mul")
    scale.input[1] = replace_constant(model, scale.input[1], np.linspace(0.1, 0.3, 16, dtype=np.float32))


def _weights_changed_after_the_softmax(model):
    weighted = node_of(model, "MatMul_2")
    model.graph.node.insert(
        list(model.graph.node).index(weighted), helper.make_node("Relu", weighted.input[:1], ["relu"])
    )
    weighted.input[0] = "relu"


def _fewer_heads(model):
    split, joined = node_of(model, "Reshape"), node_of(model, "Reshape_2")
    split.input[1] = replace_constant(model, split.input[1], np.array([-1, 17, 3, 2, 24]))
    # 17 · 48 numbers in another order
    joined.input[1] = replace_constant(model, joined.input[1], np.array([-1, 17, 48]))


_CHANGES = [
    _other_axis,
    _other_heads_order,
    _keys_not_transposed,
    _keys_and_values_swapped,
    _query_and_key_swapped,
    _scale_by_channel,
    _weights_changed_after_the_softmax,
]


@pytest.mark.parametrize("change", _CHANGES)
def test_what_is_not_quite_an_attention_is_left_as_it_is(change, toy_fp32):
    model = onnx.load(toy_fp32)
    before = run(model.SerializeToString(), {}, network_inputs(2))
    change(model)
    del model.graph.value_info[:]
    assert not fused_operators(model)
    after = run(model.SerializeToString(), {}, network_inputs(2))
    if change is not _keys_not_transposed and change is not _weights_changed_after_the_softmax:
        assert difference(after, before) > 1e-5  # or the change would be none


@pytest.mark.parametrize("change", [None, _fewer_heads])
def test_what_is_an_attention_of_any_heads_is_fused(change, toy_fp32):
    model = onnx.load(toy_fp32)
    if change:
        change(model)
        del model.graph.value_info[:]
    serialised = model.SerializeToString()
    edited, weights = fused(memoryview(serialised))
    assert operators(edited) == {"Attention": 1}
    inputs = network_inputs(2)
    assert difference(run(edited, weights, inputs), run(serialised, {}, inputs)) < 1e-5


def test_a_scale_that_integers_would_not_hold_exactly_is_left(int8_models):
    model = onnx.ModelProto()
    model.CopyFrom(int8_models["scale"])
    scale = node_of(model, "Mul")
    scale.input[1] = replace_constant(model, scale.input[1], np.float32(0.3))
    assert fused_operators(model) == {"MatMulIntegerToFloat": LAYERS}  # the attention's own layer among them
    scale.input[1] = replace_constant(model, scale.input[1], np.float32(0.125))
    assert fused_operators(model)["QAttention"] == 1


def test_weights_of_one_scale_are_left(int8_models):
    model = onnx.ModelProto()
    model.CopyFrom(int8_models["scale"])
    for node in model.graph.node:
        if node.output[0] == "blocks.0.mlp.fc1.weight/rounded":
            node.input[1] = replace_constant(model, node.input[1], np.float32(0.01))
            node.input[2] = replace_constant(model, node.input[2], np.int8(0))
            del node.attribute[:]
    assert fused_operators(model) == {"QAttention": 1, "MatMulIntegerToFloat": LAYERS - 2}


def test_inner_tensors_can_still_be_returned(toy_fp32, tmp_path, monkeypatch):
    """As a divergence is looked for: what is returned is not fused away."""
    model = onnx.load(toy_fp32)
    inner = ["blocks.0.attn/Softmax", "blocks.0.attn.qkv/Add", "blocks.0"]
    model.graph.output.extend(value for value in model.graph.value_info if value.name in inner)
    path = tmp_path / "inner.onnx"
    onnx.save(model, path)
    opened = backend(path)
    assert set(inner) <= set(opened.output_shapes)
    wanted = unfused(path, monkeypatch).run(network_inputs(2))
    assert difference(opened.run(network_inputs(2)), wanted) < 1e-5


def test_what_is_written_over_an_open_file_is_not_computed_with(int8_path):
    opened = backend(int8_path, "int8")
    wanted = opened.run(network_inputs(2))
    size = int8_path.stat().st_size
    with int8_path.open("r+b") as stream:
        stream.write(b"\x55" * size)
    gc.collect()
    spoilt = [np.full(size // 4, np.nan, np.float32) for _ in range(8)]  # in memory that was given back
    found = opened.run(network_inputs(2))
    assert len(spoilt) == 8
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_unchanged_a_graph_is_written_as_it_was(toy_tasks):
    data = toy_tasks.read_bytes()
    written, weights = Graph(memoryview(data)).write()
    before, after = onnx.load_from_string(data), onnx.load_from_string(written)
    assert all(values.flags.owndata and values.flags.aligned for values in weights.values())
    for tensor in after.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    del before.graph.value_info[:]
    for tensor in (*before.graph.initializer, *after.graph.initializer):
        tensor.ClearField("doc_string")  # present and empty
    assert after.graph == before.graph
    assert list(after.metadata_props) == list(before.metadata_props)
    assert list(after.opset_import) == list(before.opset_import)
    assert producer(memoryview(data)) == "radiodino"


def test_what_nothing_depends_on_is_not_written(toy_tasks):
    model = onnx.load(toy_tasks)
    count = len(model.graph.node)
    model.graph.node.append(helper.make_node("Neg", ["embedding"], ["unread"]))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(3), "unread constant"))
    data = model.SerializeToString()
    written = onnx.load_from_string(Graph(memoryview(data)).write()[0])
    assert len(written.graph.node) == count
    assert "unread constant" not in {tensor.name for tensor in written.graph.initializer}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_graph_or_a_value_error(data):
    for model in (data, b"\x3a" + bytes([min(len(data), 127)]) + data[:127]):  # alone, and as the field of the graph
        with suppress(ValueError):
            Graph(memoryview(model))
