"""What an ONNX file holds that an engine would not fuse or not read, told from the graph."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from radiodino.export.cli import main  # noqa: E402
from radiodino.export.lint.lint import lint_file  # noqa: E402
from radiodino.export.lint.targets import TARGETS  # noqa: E402
from radiodino.runtime.errors import InputError, ModelFileError  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
GPU = ("tensorrt", "cuda")


def findings(path, target):
    return [(found.rule, found.nodes) for found in lint_file(path, target).findings]


def whole(path, target, rule):
    (found,) = [each for each in lint_file(path, target).results if each.rule == rule]
    assert not found.findings
    return found.whole


def rules(path, target):
    return sorted({rule for rule, _ in findings(path, target)})


# Our own exports: all six variants come down to three networks, as patch and LayerScale are all that differ.


def networks():
    shrunk = {
        replace(one, name="toy", paper_name="toy", embedding_size=48, depth=2, heads=3, parameters=0.1,
                position_interpolation="timm", published=None, licence=None)
        for one in VARIANTS.values()
    }  # fmt: skip
    return sorted(shrunk, key=lambda one: one.patch)


@pytest.fixture(scope="module", params=networks(), ids=lambda one: f"patch {one.patch}")
def exported(request, tmp_path_factory):
    """The files of one network in every precision."""
    pytest.importorskip("torch")
    pytest.importorskip("timm")
    from radiodino.export.cleanup import clean_up
    from radiodino.export.divergence import stages
    from radiodino.export.fold import folded
    from radiodino.export.half import to_half
    from radiodino.export.int8.dynamic import dynamic_layers, to_dynamic
    from radiodino.export.int8.layers import linear_layers
    from radiodino.export.int8.plan import PLAIN
    from radiodino.export.int8.quantise import quantise
    from radiodino.export.trace import trace
    from radiodino.train.weights.load import load_weights

    size = 2 * request.param.patch
    backbone, _ = load_weights(request.param, "random", image_size=size)
    fp32 = clean_up(trace(folded(backbone), size, ("embedding",)), stages(backbone))
    batches = [np.random.default_rng(0).standard_normal((3, 3, size, size)).astype(np.float32)]
    models = {
        "fp32": fp32,
        "fp16": to_half(fp32, set()),
        "int8": quantise(fp32, batches, search=PLAIN).model,
        "symmetric": quantise(fp32, batches, search=replace(PLAIN, symmetric=True)).model,
        "dynamic": to_dynamic(fp32, dynamic_layers(linear_layers(fp32))),
    }
    folder = tmp_path_factory.mktemp("exported")
    for name, model in models.items():
        onnx.save(model, folder / f"{name}.onnx")
    return {name: folder / f"{name}.onnx" for name in models}


def test_float_files_are_clean_for_every_target(exported):
    for precision in ("fp32", "fp16"):
        for target in TARGETS:
            assert findings(exported[precision], target) == [], (precision, target)


def test_all_that_should_be_in_one_piece_is_counted(exported):
    assert whole(exported["fp16"], "tensorrt", "attention") == "2 in one piece"
    assert whole(exported["fp16"], "cuda", "attention") == "1 in one piece, 1 of one query, which gains nothing"
    assert whole(exported["fp16"], "cuda", "layer norm") == "5 as one operator"
    assert whole(exported["fp16"], "cuda", "gelu") == "2 as one operator"
    assert whole(exported["fp32"], "cuda", "float64") == "none"
    assert whole(exported["fp16"], "cuda", "shapes") == "fixed but for the batch"


def test_int8_files_are_for_cpus_unless_they_are_symmetric(exported):
    assert findings(exported["int8"], "cpu") == []
    (found,) = lint_file(exported["int8"], "tensorrt").findings
    assert found.rule == "quantisation"
    assert "zero point of 0" in found.reason
    assert all(name.endswith(("/quantised", "/rounded", "/shifted")) for name in found.nodes)
    assert findings(exported["symmetric"], "tensorrt") == []
    assert whole(exported["symmetric"], "tensorrt", "quantisation") == "9 products in 8 bits"
    for name in ("int8", "symmetric"):
        assert rules(exported[name], "cuda") == ["attention", "quantisation"]


def test_dynamic_int8_is_for_cpus_alone(exported):
    assert rules(exported["dynamic"], "cpu") == ["attention"]  # behind layers that ONNX Runtime has no fused form for
    for target in GPU:
        assert "operators" in rules(exported["dynamic"], target)


def test_files_with_heads_are_clean(toy_tasks, toy_fp16):
    """But for the softmax whose weights are returned, which no engine can keep to itself."""
    for target in TARGETS:
        assert {rule for rule, _ in findings(toy_tasks, target)} == {"attention"}
        assert {rule for rule, _ in findings(toy_fp16, target)} == {"attention"}
    assert len(findings(toy_tasks, "tensorrt")) == 1


def test_a_symmetric_segmentation_head_leaves_its_biases_in_float(toy_tasks, tmp_path):
    pytest.importorskip("openvino")
    from radiodino.export.int8.plan import PLAIN
    from radiodino.export.int8.quantise import quantise

    batches = [np.random.default_rng(0).standard_normal((3, 3, 64, 64)).astype(np.float32)]
    model = onnx.load(toy_tasks)
    outputs = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}
    for node in model.graph.node:
        if node.op_type == "Conv" and len(node.input) == 2:  # as trained ones have
            node.input.append(node.input[1].replace("weight", "bias"))
            bias = numpy_helper.from_array(np.full(outputs[node.input[1]], 0.1, np.float32), node.input[2])
            model.graph.initializer.append(bias)
    kinds = {}
    for symmetric in (False, True):
        path = tmp_path / f"{symmetric}.onnx"
        onnx.save(quantise(model, batches, search=replace(PLAIN, symmetric=symmetric)).model, path)
        found = lint_file(path, "tensorrt").findings
        kinds[symmetric] = [one.reason for one in found if one.rule == "quantisation"]
    assert any("32-bit" in reason for reason in kinds[False])
    assert kinds[True] == []


# Graphs that are not as they should be.


def saved(tmp_path, nodes, *, shape=("batch", 4, 4), constants=(), opset=20, outputs=("y",), kind=FLOAT, domains=()):
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in domains)]
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=imports).SerializeToString())
    return path


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output], name=f"{operator}:{output}", **attributes)


def attention(*, scale=True, extra=(), last="MatMul"):
    scores = [node("MatMul", ["x", "x"], "scores"), *([node("Mul", ["scores", "half"], "scaled")] if scale else [])]
    return [*scores, node("Softmax", ["scaled" if scale else "scores"], "weights", axis=-1),
            node(last, ["weights", "x"], "y"), *extra]  # fmt: skip


HALVED = {"half": np.float32(0.5)}


def test_any_plain_attention_is_fused_by_tensorrt_and_none_but_ours_by_the_runtime(tmp_path):
    path = saved(tmp_path, attention(), constants=HALVED)
    assert whole(path, "tensorrt", "attention") == "1 in one piece"
    for target in ("cuda", "cpu"):
        assert findings(path, target) == [("attention", ("MatMul:scores", "Softmax:weights", "MatMul:y"))]


def test_an_attention_operator_is_whole(tmp_path):
    path = saved(tmp_path, [node("Attention", ["x", "x", "x"], "y", q_num_heads=1, kv_num_heads=1)], opset=23)
    assert rules(path, "tensorrt") == ["operators"]  # of an opset that not every TensorRT 10 reads
    (result,) = [each for each in lint_file(path, "cuda").results if each.rule == "attention"]
    assert result.whole == "1 in one piece"


def test_a_broken_attention_names_its_nodes(tmp_path):
    path = saved(tmp_path, attention(last="Add"), constants=HALVED)
    assert findings(path, "tensorrt") == [("attention", ("MatMul:scores", "Softmax:weights"))]
    path = saved(tmp_path, [node("Relu", ["x"], "r"), node("Softmax", ["r"], "w"), node("MatMul", ["w", "x"], "y")])
    assert findings(path, "tensorrt") == [("attention", ("Softmax:w", "MatMul:y"))]


def test_weights_that_others_read_are_named(tmp_path):
    path = saved(tmp_path, attention(extra=[node("Relu", ["weights"], "z")]), constants=HALVED, outputs=("y", "z"))
    (found,) = lint_file(path, "tensorrt").findings
    assert "Relu:z" in found.reason
    path = saved(tmp_path, attention(), constants=HALVED, outputs=("y", "weights"))
    (found,) = lint_file(path, "tensorrt").findings
    assert "an output of the graph" in found.reason


def test_a_softmax_of_a_classifier_is_no_attention(tmp_path):
    path = saved(tmp_path, [node("Softmax", ["x"], "y")])
    assert findings(path, "tensorrt") == []


def norm_in_pieces(*, reciprocal=False):
    nodes = [
        node("ReduceMean", ["x"], "mean", keepdims=1),
        node("Sub", ["x", "mean"], "centred"),
        node("Mul", ["centred", "centred"], "squares"),
        node("ReduceMean", ["squares"], "variance", keepdims=1),
        node("Sqrt", ["variance"], "deviation"),
    ]
    if reciprocal:
        return [*nodes, node("Reciprocal", ["deviation"], "inverse"), node("Mul", ["centred", "inverse"], "y")]
    return [*nodes, node("Div", ["centred", "deviation"], "y")]


@pytest.mark.parametrize("reciprocal", [False, True])
def test_a_norm_in_pieces_is_found(tmp_path, reciprocal):
    path = saved(tmp_path, norm_in_pieces(reciprocal=reciprocal))
    assert findings(path, "cpu") == [("layer norm", ("Mul:y" if reciprocal else "Div:y",))]


def gelu(before="Div"):
    return [
        node(before, ["x", "root"], "scaled"), node("Erf", ["scaled"], "erf"), node("Add", ["erf", "one"], "sum"),
        node("Mul", ["x", "sum"], "y"),
    ]  # fmt: skip


CONSTANTS = {"root": np.float32(2**0.5), "one": np.float32(1)}


def test_gelu_by_erf_is_fused_and_an_erf_alone_is_not(tmp_path):
    assert whole(saved(tmp_path, gelu(), constants=CONSTANTS), "tensorrt", "gelu") == "1 in the form that is fused"
    path = saved(tmp_path, [*gelu()[:2], node("Relu", ["erf"], "y")], constants=CONSTANTS)
    assert findings(path, "tensorrt") == [("gelu", ("Erf:erf",))]


def test_float64_is_named_wherever_it_is(tmp_path):
    nodes = [node("Cast", ["x"], "wide", to=TensorProto.DOUBLE), node("Mul", ["wide", "two"], "y")]
    path = saved(tmp_path, nodes, constants={"two": np.float64(2)})
    (found,) = [one for one in lint_file(path, "cpu").findings if one.rule == "float64"]
    assert set(found.nodes) == {"wide", "two", "y"}


def casts(*pairs):
    return [node("Cast", [source], output, to=kind) for source, output, kind in pairs]


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        ([*casts(("x", "a", HALF), ("a", "b", FLOAT)), node("Relu", ["b"], "y")], {"Cast:b"}),
        ([*casts(("x", "a", FLOAT)), node("Relu", ["a"], "y")], {"Cast:a"}),
        ([*casts(("c", "a", HALF), ("x", "h", HALF)), node("Add", ["h", "a"], "y")], {"Cast:a"}),
        ([*casts(("x", "a", HALF), ("x", "b", HALF)), node("Add", ["a", "b"], "y")], {"Cast:a", "Cast:b"}),
        ([*casts(("x", "a", HALF)), node("Transpose", ["a"], "t"), *casts(("t", "y", FLOAT))], {"Cast:a"}),
        ([*casts(("x", "a", HALF)), node("Relu", ["a"], "r"), *casts(("r", "y", FLOAT))], set()),
    ],
    ids=["of a cast", "to its own type", "of a constant", "twice", "around data that moves", "around arithmetic"],
)
def test_needless_casts_are_named(tmp_path, nodes, named):
    found = findings(saved(tmp_path, nodes, constants={"c": np.float32(1)}), "cuda")
    assert {rule for rule, _ in found} <= {"casts"}
    assert {name for _, names in found for name in names} == named


ZERO = np.int8(0)


def quantised(*, zero=ZERO, weight_scale=None, weight_zero=None, axis=1, both=True):
    """x · w in 8 bits, w (4, 6)."""
    scale = np.full(6, 0.1, np.float32) if weight_scale is None else weight_scale
    constants = {
        "s": np.float32(0.1), "z": zero, "w": np.ones((4, 6), np.int8), "ws": scale,
        "wz": np.zeros(scale.shape, np.int8) if weight_zero is None else weight_zero, "wf": np.ones((4, 6), np.float32),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], "q"),
        node("DequantizeLinear", ["q", "s", "z"], "d"),
        node("DequantizeLinear", ["w", "ws", "wz"], "wd", axis=axis),
        node("MatMul", ["d", "wd" if both else "wf"], "y"),
    ]
    return nodes if both else [*nodes[:2], nodes[3]], constants


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, []),
        ({"zero": np.uint8(128)}, [("quantisation", ("QuantizeLinear:q", "DequantizeLinear:d"))]),
        ({"zero": np.int8(3)}, [("quantisation", ("QuantizeLinear:q", "DequantizeLinear:d"))]),
        ({"weight_zero": np.ones(6, np.int8)}, [("quantisation", ("DequantizeLinear:wd",))]),
        ({"weight_scale": np.float32(0.1)}, [("quantisation", ("DequantizeLinear:wd",))]),
        ({"weight_scale": np.full(4, 0.1, np.float32), "axis": 0}, [("quantisation", ("DequantizeLinear:wd",))]),
        ({"both": False}, [("quantisation", ("MatMul:y",))]),
    ],
    ids=["as it should be", "unsigned", "zero point", "zero point of weights", "one scale", "other axis", "one side"],
)
def test_quantisation_is_checked_where_it_counts(tmp_path, change, named):
    nodes, constants = quantised(**change)
    assert findings(saved(tmp_path, nodes, constants=constants), "tensorrt") == named


def test_an_input_in_float_beside_weights_in_8_bits_is_named(tmp_path):
    nodes, constants = quantised()
    nodes[3].input[0] = "x"
    path = saved(tmp_path, nodes[2:], constants=constants)
    assert findings(path, "tensorrt") == [("quantisation", ("MatMul:y",))]


def test_an_input_that_is_rounded_for_others_too_is_not_rounded_for_nothing(tmp_path):
    nodes, constants = quantised()
    nodes.append(node("MatMul", ["d", "wf"], "z"))
    assert findings(saved(tmp_path, nodes, constants=constants, outputs=("y", "z")), "tensorrt") == []


def test_cpus_take_zero_points(tmp_path):
    nodes, constants = quantised(zero=np.uint8(128))
    assert findings(saved(tmp_path, nodes, constants=constants), "cpu") == []


def test_quantize_without_a_zero_point_is_unsigned(tmp_path):
    nodes, constants = quantised()
    nodes[:2] = [node("QuantizeLinear", ["x", "s"], "q"), node("DequantizeLinear", ["q", "s"], "d")]
    path = saved(tmp_path, nodes, constants=constants)
    assert findings(path, "tensorrt") == [("quantisation", ("QuantizeLinear:q", "DequantizeLinear:d"))]


def test_only_the_batch_may_be_open(tmp_path):
    path = saved(tmp_path, [node("Relu", ["x"], "y")], shape=("batch", 3, "height", "width"))
    (found,) = lint_file(path, "tensorrt").findings
    assert (found.rule, found.nodes) == ("shapes", ("x",))
    assert "axis 2, 3" in found.reason


def test_operators_and_opsets_that_are_not_read(tmp_path):
    path = saved(tmp_path, [node("Det", ["x"], "y")])
    assert findings(path, "cpu") == []
    for target in GPU:
        assert findings(path, target) == [("operators", ("Det:y",))]
    path = saved(tmp_path, [node("FastGelu", ["x"], "y", domain="com.microsoft")], domains=["com.microsoft"])
    assert findings(path, "cuda") == []
    assert findings(path, "tensorrt") == [("operators", ("FastGelu:y",))]
    path = saved(tmp_path, [node("Relu", ["x"], "y")], opset=22)
    for target in TARGETS:
        assert findings(path, target) == [("operators", ())]


# The command.


def test_the_command_ends_with_what_it_found(tmp_path, command):
    clean = saved(tmp_path, [node("Relu", ["x"], "y")])
    ended = command(main, "lint", clean, "--target", "tensorrt")
    assert (ended.status, ended.out.splitlines()[-1]) == (0, "clean")
    broken = saved(tmp_path, norm_in_pieces())
    ended = command(main, "lint", broken, "--target", "cuda")
    assert ended.status == 1
    assert "layer norm: a LayerNorm in pieces: export it with opset 17 or newer: Div:y" in ended.out


def test_json_names_every_node(tmp_path, command):
    nodes = [node("Det", ["x"], f"y{number}") for number in range(9)]
    path = saved(tmp_path, nodes, outputs=[f"y{number}" for number in range(9)])
    ended = command(main, "lint", path, "--target", "tensorrt", "--json")
    assert ended.status == 1
    found = json.loads(ended.out)
    assert found["clean"] is False
    (rule,) = [each for each in found["results"] if each["findings"]]
    assert len(rule["findings"][0]["nodes"]) == 9
    said = command(main, "lint", path, "--target", "tensorrt").out
    assert "and 5 more" in said


def test_user_errors(tmp_path, refused, toy_fp32):
    assert "no target 'tpu'" in refused(main, "lint", toy_fp32, "--target", "tpu")
    assert "gone.onnx cannot be read" in refused(main, "lint", tmp_path / "gone.onnx", "--target", "cpu")
    for data in (b"\xff" * 40, b"no model", b""):
        path = tmp_path / "other.onnx"
        path.write_bytes(data)
        assert "is no ONNX model" in refused(main, "lint", path, "--target", "cpu")
    with pytest.raises(InputError, match="choose tensorrt, cuda, cpu"):
        lint_file(toy_fp32, "gpu")
    with pytest.raises(ModelFileError):
        lint_file(tmp_path / "gone.onnx", "cpu")
