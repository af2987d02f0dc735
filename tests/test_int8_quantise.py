from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

from onnx import TensorProto, numpy_helper  # noqa: E402

from radiodino.export.cleanup import clean_up  # noqa: E402
from radiodino.export.divergence import stages  # noqa: E402
from radiodino.export.engine import open_graph  # noqa: E402
from radiodino.export.int8.activations import collect  # noqa: E402
from radiodino.export.int8.canonical import sum_orders, to_matrix  # noqa: E402
from radiodino.export.int8.layers import linear_layers  # noqa: E402
from radiodino.export.int8.own_weights import with_own_weights  # noqa: E402
from radiodino.export.int8.plan import PLAIN, Search, plan_quantisation  # noqa: E402
from radiodino.export.int8.quantise import quantise, write  # noqa: E402
from radiodino.export.int8.smooth import fold  # noqa: E402
from radiodino.export.int8.weights import is_pair_safe  # noqa: E402
from radiodino.export.task_network import Heads  # noqa: E402
from radiodino.export.trace import trace  # noqa: E402
from radiodino.train.segment.heads import build_head  # noqa: E402
from radiodino.train.weights.load import load_weights  # noqa: E402

SIZE = 64
BLOCK = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


def images(count, seed):
    """Smooth pictures, each of its own brightness and contrast, as network inputs."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(count, 1, 8, 8)).repeat(8, axis=2).repeat(8, axis=3)
    grey = coarse * random.uniform(0.3, 1.5, (count, 1, 1, 1)) + random.normal(size=(count, 1, 1, 1))
    return np.repeat(grey, 3, axis=1).astype(np.float32)


def cosine(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture(scope="module")
def embedder(toy):
    """A file that embeds: in its last block a query of the CLS token alone."""
    backbone, _ = load_weights(toy, "random", image_size=SIZE)
    return with_own_weights(clean_up(trace(backbone, SIZE, ("embedding",)), stages(backbone)))


@pytest.fixture(scope="module")
def tasks(toy_tasks):
    """A file that classifies and segments, whose convolutions have biases as trained ones do."""
    model = with_own_weights(onnx.load(toy_tasks))
    outputs = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}
    random = np.random.default_rng(5)
    for node in model.graph.node:
        if node.op_type == "Conv" and len(node.input) == 2:
            bias = random.normal(0, 0.2, outputs[node.input[1]]).astype(np.float32)
            node.input.append(node.input[1].replace("weight", "bias"))
            model.graph.initializer.append(numpy_helper.from_array(bias, node.input[2]))
    return model


@pytest.fixture(scope="module")
def calibration():
    return [images(20, 1), images(5, 2)]


@pytest.fixture(scope="module")
def held_out():
    return images(16, 3)


@pytest.fixture(scope="module")
def plan(embedder, calibration):
    return plan_quantisation(embedder, calibration)


@pytest.fixture(scope="module")
def quantised(plan):
    return write(plan)


@pytest.fixture(scope="module")
def tasks_plan(tasks, calibration):
    return plan_quantisation(tasks, calibration)


@pytest.fixture(scope="module")
def quantised_tasks(tasks_plan):
    return write(tasks_plan)


def with_outliers(model):
    """The same function, with what trained transformers have: a few channels far louder than all others.

    One channel of each LayerNorm and one of each attention's values is made 80 times as loud, and what reads it
    weighs it 80 times less.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    layers = linear_layers(changed)
    quiet = {}
    for index, place in enumerate(dict.fromkeys(layer.fold for layer in layers if layer.fold)):
        quiet[place] = np.ones(48, np.float32)
        quiet[place][(7 * index + 5) % 48] = 1 / 80
    fold(changed, layers, quiet)
    return changed


def test_the_layers_are_those_that_hold_the_work(embedder, toy):
    found = [layer.stage for layer in linear_layers(embedder)]
    last = f"blocks.{toy.depth - 1}"
    wanted = [f"blocks.{block}.{part}" for block in range(toy.depth - 1) for part in BLOCK]
    wanted += [f"{last}.{part}" for part in ("attn.q", "attn.kv", *BLOCK[1:])]
    assert sorted(found) == sorted(wanted)


def test_the_work_of_a_layer_is_counted_for_one_image(embedder):
    found = {layer.stage: layer.multiply_adds for layer in linear_layers(embedder)}
    tokens = (SIZE // 16) ** 2 + 1
    assert found["blocks.0.attn.qkv"] == tokens * 48 * 144
    assert found["blocks.0.mlp.fc2"] == tokens * 192 * 48
    assert found["blocks.1.attn.q"] == 48 * 48  # of the CLS token alone


def test_a_heads_convolutions_are_layers_where_they_have_channels(tasks):
    layers = {layer.stage: layer for layer in linear_layers(tasks)}
    convolutions = [stage for stage in layers if stage.startswith("segment_head.")]
    in_graph = [node for node in tasks.graph.node if node.op_type == "Conv" and "segment_head" in node.input[1]]
    assert 0 < len(convolutions) < len(in_graph)
    assert "segment_head.look" not in layers  # reads the image
    assert "segment_head.leave" not in layers  # makes the map
    depthwise = [layer for layer in layers.values() if layer.groups > 1]
    assert depthwise
    assert all(layer.kind == "Conv" for layer in depthwise)
    assert not any("head.weight" in layer.weight and not layer.stage.startswith("segment") for layer in layers.values())


def test_layers_that_read_one_norm_share_what_is_folded_into_it(embedder):
    layers = {layer.stage: layer for layer in linear_layers(embedder)}
    assert layers["blocks.1.attn.q"].fold == layers["blocks.1.attn.kv"].fold != ()
    assert [columns.initializer for columns in layers["blocks.0.mlp.fc1"].fold] == [
        "blocks.0.norm2.weight",
        "blocks.0.norm2.bias",
    ]
    assert [(c.initializer, c.first) for c in layers["blocks.0.attn.proj"].fold] == [
        ("blocks.0.attn.qkv.weight", 96),
        ("blocks.0.attn.qkv.bias", 96),
    ]
    assert layers["blocks.1.attn.proj"].fold[0].first == 48  # of k and v
    assert layers["blocks.0.mlp.fc2"].fold == ()  # GELU stands before it


def test_random_weights_share_what_is_equal_and_get_their_own(toy_tasks):
    traced = onnx.load(toy_tasks)
    shared = Counter(name for node in traced.graph.node if node.op_type == "LayerNormalization" for name in node.input)
    assert max(shared.values()) > 1
    found = with_own_weights(traced)
    names = {tensor.name for tensor in found.graph.initializer}
    assert {"blocks.1.norm2.weight", "blocks.1.norm2.bias", "blocks.1.attn.proj.bias"} <= names
    kinds = ("LayerNormalization", "Add", "MatMul", "Conv")
    reads = Counter(n for node in found.graph.node if node.op_type in kinds for n in node.input if n in names)
    assert max(reads.values()) == 1
    batch = images(2, 0)
    before, after = (open_graph(graph, "onnxruntime").run(batch) for graph in (traced, found))
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", ["embedder", "tasks"])
def test_folding_leaves_the_function_as_it_was(request, name, held_out):
    model = request.getfixturevalue(name)
    random = np.random.default_rng(4)
    layers = linear_layers(model)
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    places = dict.fromkeys(layer.fold for layer in layers if layer.fold)
    assert len(places) == 6  # two norms and the values of two blocks
    fold(folded, layers, {place: random.uniform(0.02, 50, 48).astype(np.float32) for place in places})
    before, after = (open_graph(graph, "onnxruntime").run(held_out) for graph in (model, folded))
    for output, wanted in before.items():
        assert np.abs(after[output] - wanted).max() < 2e-5 * max(1.0, np.abs(wanted).max())


def test_a_norm_that_another_reads_is_not_folded_into(embedder):
    changed = onnx.ModelProto()
    changed.CopyFrom(embedder)
    norm = next(node for node in changed.graph.node if node.name.startswith("blocks.0.norm2"))
    extra = next(value for value in changed.graph.value_info if value.name == norm.output[0])
    changed.graph.output.append(extra)
    layers = {layer.stage: layer for layer in linear_layers(changed)}
    assert layers["blocks.0.mlp.fc1"].fold == ()
    assert layers["blocks.0.attn.qkv"].fold != ()


def test_statistics_hold_the_exact_ends_of_every_channel(embedder, calibration):
    layers = linear_layers(embedder)
    statistics = collect(embedder, layers, calibration)
    name = layers[0].input
    value = next(value for value in embedder.graph.value_info if value.name == name)
    probe = onnx.ModelProto()
    probe.CopyFrom(embedder)
    probe.graph.output.append(value)
    found = open_graph(probe, "onnxruntime").run(np.concatenate(calibration))[name].reshape(-1, 48)
    tensor = statistics.tensors[name]
    assert statistics.images == 25
    assert tensor.low == pytest.approx(found.min(axis=0), abs=1e-5)
    assert tensor.high == pytest.approx(found.max(axis=0), abs=1e-5)
    assert tensor.values.shape == (25 * 17, 48)  # fewer tokens than are wanted: all of them


def test_the_sampled_windows_are_what_a_convolution_multiplies(tasks, calibration):
    layers = linear_layers(tasks)
    statistics = collect(tasks, layers, calibration)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in tasks.graph.initializer}
    for layer in layers:
        if layer.kind != "Conv" or layer.output.endswith("Relu"):
            continue
        outputs = statistics.rows[layer.stage] @ to_matrix(tensors[layer.weight], layer)
        outputs = outputs.transpose(1, 0, 2).reshape(outputs.shape[1], -1)
        outputs = outputs + (tensors[layer.bias] if layer.bias else 0)
        known = statistics.tensors[layer.output]
        assert (outputs > known.low - 1e-3).all()
        assert (outputs < known.high + 1e-3).all()


def test_the_plan_is_the_same_every_time(embedder, calibration, quantised):
    again = quantise(embedder, calibration)
    assert again.model.SerializeToString() == quantised.model.SerializeToString()
    assert again.layers == quantised.layers


def test_the_model_given_is_left_as_it_was(embedder, calibration):
    before = embedder.SerializeToString()
    quantise(embedder, calibration)
    assert embedder.SerializeToString() == before


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_embeddings_stay_what_they_were(embedder, quantised, held_out, backend):
    wanted = open_graph(embedder, backend).run(held_out)["embedding"]
    found = open_graph(quantised.model, backend).run(held_out)["embedding"]
    assert cosine(found, wanted).min() > 0.999


def test_matrix_products_read_no_zero_points_and_their_biases_make_up_for_it(plan, quantised, held_out):
    model = quantised.model
    makers = {name: node for node in model.graph.node for name in node.output}
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1].endswith("/rounded")]
    assert len(products) == len(plan.layers)
    restored = [makers[node.input[0]] for node in products]
    assert {int(tensors[node.input[2]]) for node in restored} == {0}
    assert any(tensors[makers[node.input[0]].input[2]] for node in restored), "no range of this network is asymmetric"

    with_zero_points = onnx.ModelProto()  # the plain form of the same function
    with_zero_points.CopyFrom(model)
    shifts = {}
    for node in with_zero_points.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in makers:
            node.input[2] = makers[node.input[0]].input[2]
            shifts[node.output[0]] = float(tensors[node.input[1]]) * float(tensors[node.input[2]])
    replaced = {}
    for planned in plan.layers:
        product = next(node for node in products if node.name == planned.layer.node)
        columns = planned.weight.restored().sum(axis=1, dtype=np.float64).ravel()
        replaced[planned.layer.bias] = tensors[planned.layer.bias] + shifts[product.input[0]] * columns
        np.testing.assert_allclose(replaced[planned.layer.bias], planned.bias, atol=1e-4)
    for tensor in with_zero_points.graph.initializer:
        if tensor.name in replaced:
            tensor.CopyFrom(numpy_helper.from_array(replaced[tensor.name].astype(np.float32), tensor.name))
    wanted, found = (open_graph(each, "onnxruntime").run(held_out) for each in (with_zero_points, model))
    assert cosine(found["embedding"], wanted["embedding"]).min() > 0.99999


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_masks_and_classes_stay_what_they_were(tasks, quantised_tasks, held_out, backend):
    wanted, found = (open_graph(model, backend).run(held_out) for model in (tasks, quantised_tasks.model))
    assert cosine(found["embedding"], wanted["embedding"]).min() > 0.999
    assert np.abs(found["probabilities"] - wanted["probabilities"]).max() < 0.1  # its head's weights are large
    assert np.abs(found["mask"] - wanted["mask"]).max() < 0.1  # of single pixels at steep edges
    assert np.abs(found["mask"] - wanted["mask"]).mean() < 2e-3


def test_a_residual_head_adds_what_is_rounded(toy, calibration, held_out):
    """An addition in float would cost more than the convolutions around it."""
    backbone, _ = load_weights(toy, "random", image_size=SIZE)
    head = build_head("paper", toy.embedding_size, toy.patch, channels=8, blocks=2).eval()
    model = clean_up(trace(backbone, SIZE, ("embedding", "mask"), Heads(segmenter=head)), stages(backbone, head))
    found = quantise(model, calibration[1:])
    makers = {name: node for node in found.model.graph.node for name in node.output}
    additions = [
        node for node in found.model.graph.node if node.name.startswith("segment_head") and node.op_type == "Add"
    ]
    residual = [node for node in additions if all(name in makers for name in node.input)]
    assert len(residual) == 2
    assert {makers[name].op_type for node in residual for name in node.input} == {"DequantizeLinear"}
    (leave,) = [node for node in found.model.graph.node if "segment_head.leave.weight" in node.input]
    assert makers[leave.input[0]].op_type == "DequantizeLinear"
    masks = [open_graph(each, "openvino").run(held_out)["mask"] > 0.5 for each in (model, found.model)]
    assert 2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum()) > 0.98


def test_engines_agree_and_batches_do_not_matter(quantised, held_out):
    onnxruntime, openvino = (open_graph(quantised.model, name) for name in ("onnxruntime", "openvino"))
    together = onnxruntime.run(held_out)["embedding"]
    assert cosine(together, openvino.run(held_out)["embedding"]).min() > 0.999
    alone = np.concatenate([onnxruntime.run(held_out[i : i + 1])["embedding"] for i in range(len(held_out))])
    assert np.abs(alone - together).max() < 1e-3
    assert np.array_equal(together, onnxruntime.run(held_out)["embedding"])


@pytest.fixture(scope="module")
def loud(embedder):
    return with_outliers(embedder)


def test_outliers_are_the_same_function(embedder, loud, held_out):
    before, after = (open_graph(graph, "onnxruntime").run(held_out)["embedding"] for graph in (embedder, loud))
    assert np.abs(before - after).max() < 1e-4


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_outliers_break_plain_ranges_and_not_these(loud, calibration, held_out, backend):
    wanted = open_graph(loud, backend).run(held_out)["embedding"]
    plain = open_graph(quantise(loud, calibration, search=PLAIN).model, backend).run(held_out)["embedding"]
    ours = open_graph(quantise(loud, calibration).model, backend).run(held_out)["embedding"]
    assert cosine(plain, wanted).min() < 0.995
    assert cosine(ours, wanted).min() > 0.998
    assert cosine(ours, wanted).mean() > 0.999


def test_where_there_are_outliers_they_are_moved_into_the_weights(loud, calibration):
    plan = plan_quantisation(loud, calibration)
    smoothed = {planned.layer.stage for planned in plan.layers if planned.alpha is not None}
    assert smoothed >= {
        planned.layer.stage for planned in plan.layers if planned.layer.stage.endswith((".qkv", ".fc1"))
    }
    assert not any(stage.endswith(".fc2") for stage in smoothed)


def test_layers_kept_float_are_float(plan):
    kept = {"blocks.0.mlp.fc1", "blocks.1.attn.q"}
    found = write(plan, kept)
    types = {tensor.name: tensor.data_type for tensor in found.model.graph.initializer}
    for planned in plan.layers:
        wanted = TensorProto.FLOAT if planned.layer.stage in kept else TensorProto.INT8
        assert types[planned.layer.weight] == wanted
    assert {choice.stage for choice in found.layers if not choice.quantised} == kept
    total = sum(planned.layer.multiply_adds for planned in plan.layers)
    assert found.float_share == pytest.approx((17 * 48 * 192 + 48 * 48) / total)


def test_with_all_layers_kept_float_the_function_is_as_it_was(embedder, plan, held_out):
    nothing = write(plan, {planned.layer.stage for planned in plan.layers})
    assert not [node for node in nothing.model.graph.node if "Quantize" in node.op_type]
    assert nothing.float_share == 1
    before, after = (open_graph(graph, "onnxruntime").run(held_out)["embedding"] for graph in (embedder, nothing.model))
    assert np.abs(before - after).max() < 1e-5


def test_a_layer_that_is_none_is_refused(plan):
    with pytest.raises(ValueError, match=r"blocks\.9\.mlp\.fc1"):
        write(plan, {"blocks.9.mlp.fc1"})


def test_every_weight_is_pair_safe(tasks_plan):
    tensors = {tensor.name: tuple(tensor.dims) for tensor in tasks_plan.model.graph.initializer}
    for planned in tasks_plan.layers:
        assert is_pair_safe(planned.weight.values, sum_orders(planned.layer, tensors[planned.layer.weight]))


def test_a_tensor_is_rounded_once_however_many_read_it(quantised_tasks):
    rounded = Counter(node.input[0] for node in quantised_tasks.model.graph.node if node.op_type == "QuantizeLinear")
    assert max(rounded.values()) == 1
    kinds = {(domain.domain, domain.version) for domain in quantised_tasks.model.opset_import}
    assert kinds == {("", 20)}


def test_the_bias_of_a_product_stays_float_and_that_of_a_convolution_does_not(quantised_tasks):
    types = {tensor.name: tensor.data_type for tensor in quantised_tasks.model.graph.initializer}
    assert types["blocks.0.mlp.fc1.bias"] == TensorProto.FLOAT
    assert types["segment_head.enter.bias"] == TensorProto.INT32


def optimised_operators(model, tmp_path):
    """How often ONNX Runtime runs each operator."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def test_onnx_runtime_computes_every_layer_in_integers(tasks_plan, quantised_tasks, tmp_path):
    operators = optimised_operators(quantised_tasks.model, tmp_path)
    kinds = Counter(planned.layer.kind for planned in tasks_plan.layers)
    assert operators["MatMulIntegerToFloat"] == kinds["MatMul"]
    assert operators["QLinearConv"] == kinds["Conv"]


@pytest.mark.parametrize("compute", ["fp32", "bf16"])
def test_openvino_computes_every_layer_in_integers(tasks_plan, quantised_tasks, compute):
    import openvino

    core = openvino.Core()
    hint = {"fp32": "f32", "bf16": "bf16"}[compute]
    if compute == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    read = core.read_model(quantised_tasks.model.SerializeToString())
    compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    kinds = Counter(planned.layer.kind for planned in tasks_plan.layers)
    found: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        about = node.get_rt_info()
        if about["primitiveType"].astype(str).upper().endswith("_I8"):
            found[about["layerType"].astype(str)] += 1
    assert found["FullyConnected"] == kinds["MatMul"]
    assert found["Convolution"] == kinds["Conv"]


def test_bias_correction_lowers_the_mean_error(embedder, calibration):
    shifts = []
    for correct in (False, True):
        plan = plan_quantisation(embedder, calibration, Search(correct_bias=correct, alphas=()))
        model = write(plan, {p.layer.stage for p in plan.layers} - {"blocks.0.attn.qkv"}).model
        probes = []
        for graph in (embedder, model):
            probe = onnx.ModelProto()
            probe.CopyFrom(graph)
            names = [value for value in graph.graph.value_info if value.name == "blocks.0.attn.qkv/Add"]
            probe.graph.output.extend(names)
            probes.append(open_graph(probe, "onnxruntime").run(np.concatenate(calibration))["blocks.0.attn.qkv/Add"])
        shifts.append(np.abs((probes[0] - probes[1]).mean(axis=(0, 1))).mean())
    assert shifts[1] < 0.3 * shifts[0]
