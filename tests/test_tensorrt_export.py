"""From weights to an engine on a faked card: fp16, int8, and int8 with float parts in half precision."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, numpy_helper  # noqa: E402

from radiodino.export.cli import main  # noqa: E402
from radiodino.export.tensorrt.float_parts import layers_of_small_scales, with_half_float_parts  # noqa: E402
from radiodino.runtime import Model  # noqa: E402
from radiodino.runtime.engine_file import engine_bytes, engine_info  # noqa: E402
from radiodino.runtime.model_file import read_model_file, seal  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402

pytestmark = pytest.mark.usefixtures("traced_once", "here")
TOY = ("--variant", "toy", "--weights", "random", "--image-size", "64", "--format", "tensorrt")
LAYERS = 9
"""Of the toy's, in 8 bits."""


@pytest.fixture(autouse=True)
def _toy_in_the_family(toy, monkeypatch):
    monkeypatch.setitem(VARIANTS, "toy", toy)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A folder with 24 images in two labels."""
    folder = tmp_path_factory.mktemp("scans") / "set"
    for number in range(24):
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(0, 256, (4 + number % 5, 5), np.uint8))
        smooth = np.asarray(coarse.resize((64, 64), Image.Resampling.BICUBIC), np.float32)
        label = folder / ("malignant" if number % 2 else "benign")
        label.mkdir(parents=True, exist_ok=True)
        Image.fromarray((smooth * 0.5 + 100 * (number % 2)).clip(0, 255).astype("u1")).save(label / f"{number}.png")
    return str(folder)


def network_of(path):
    """The network that the fake built an engine from: its engine ends with it."""
    data = engine_bytes(path)
    size = int.from_bytes(data[6:10], "little")
    return data[10 + size :]


def test_an_export_gives_the_onnx_file_and_the_engine_beside_it(command, gpu, here):
    ended = command(main, *TOY, "--fp16", "--batch", "4")
    assert ended.status == 0, ended.err
    assert sorted(path.name for path in here.iterdir()) == ["radiodino-toy-fp16.engine", "radiodino-toy-fp16.onnx"]
    path = here / "radiodino-toy-fp16.engine"
    found = engine_info(read_model_file(path))
    assert (found.compute, str(found.profile), found.best) == ("fp16", "4,4,4", False)
    assert found.verification["reference"].startswith("PyTorch ")
    assert all(entry["compute"] == "fp16" and entry["passed"] for entry in found.verification["comparisons"])
    assert network_of(path) == path.with_suffix(".onnx").read_bytes()
    assert str(path.name) in ended.out
    assert "4 to 4 images at once" in ended.out


def test_it_is_verified_again(command, refused, gpu, here):
    command(main, *TOY, "--fp16")
    ended = command(main, "verify", "radiodino-toy-fp16.engine")
    assert ended.status == 0
    assert "tensorrt 10.9.0.34" in ended.out
    gpu.distort = np.float32(-1)
    assert "the engine differs from PyTorch" in refused(main, "verify", "radiodino-toy-fp16.engine")


def test_an_engine_with_other_answers_is_not_written(refused, gpu, here):
    gpu.distort = np.linspace(0.8, 1.2, 48, dtype=np.float32)
    said = refused(main, *TOY, "--fp16")
    assert "the engine differs from PyTorch" in said
    assert "radiodino-toy-fp16.engine was not written" in said
    assert [path.name for path in here.iterdir()] == ["radiodino-toy-fp16.onnx"]  # which is right


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--int8"], "--calibration"),
        (["--best"], "--calibration"),
        (["--int8-dynamic"], "TensorRT has no dynamic int8"),
        (["--best", "--fp16"], "exclude each other"),
        (["--batch", "0"], "MIN,OPT,MAX"),
        (["--output", "m.onnx"], "NAME.engine"),
        (["--format", "plan"], "choose onnx or tensorrt"),
        (["--format", "onnx", "--batch", "4"], "--batch is of --format tensorrt"),
        (["--format", "onnx", "--best"], "--best is of --format tensorrt"),
    ],
)
def test_mistakes_are_said_before_any_work(refused, gpu, here, arguments, sentence):
    assert sentence in refused(main, *TOY, *arguments)
    assert not list(here.iterdir())


def test_an_existing_engine_is_not_replaced_unasked(refused, gpu, here):
    (here / "m.engine").write_bytes(b"mine")
    assert "exists already" in refused(main, *TOY, "--fp16", "-o", "m.engine")
    assert [path.name for path in here.iterdir()] == ["m.engine"]


def test_without_a_card_nothing_is_begun(refused, gpu, here):
    gpu.found = type(gpu.found)(None, None, (), "no NVIDIA driver: libcuda is not found")
    assert "TensorRT needs an NVIDIA card: no NVIDIA driver" in refused(main, *TOY, "--fp16")
    assert not list(here.iterdir())


# 8 bits


def int8_layers(network):
    """Of the products with weights, how many round both sides to 8 bits, by the type of what they give."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(network))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    makers = {name: node for node in model.graph.node for name in node.output}
    found = {}
    for node in model.graph.node:
        inputs = [makers.get(name) for name in node.input[:2]]
        if node.op_type == "MatMul" and all(maker and maker.op_type == "DequantizeLinear" for maker in inputs):
            kind = TensorProto.DataType.Name(types[node.output[0]])
            found[kind] = found.get(kind, 0) + 1
    return found


@pytest.fixture(scope="module")
def _kept():
    return {}


@pytest.fixture
def int8(command, gpu, here, scans, _kept):
    """The ONNX file of an export with --int8, which is made once, engine and all."""
    path = here / "radiodino-toy-int8-symmetric.onnx"
    if not _kept:
        ended = command(main, *TOY, "--int8", "--calibration", scans)
        assert ended.status == 0, ended.err
        _kept.update({name: path.with_suffix(name).read_bytes() for name in (".onnx", ".engine")})
    for name, data in _kept.items():
        path.with_suffix(name).write_bytes(data)
    return path


def test_int8_leaves_the_float_parts_as_they_are(int8):
    engine = int8.with_suffix(".engine")
    found = engine_info(read_model_file(engine))
    assert (found.compute, found.best) == ("fp32", False)
    assert network_of(engine) == int8.read_bytes()
    assert int8_layers(network_of(engine)) == {"FLOAT": LAYERS}
    assert found.verification["reference"].startswith("PyTorch ")


def test_best_makes_the_float_parts_half(command, gpu, here, scans):
    ended = command(main, *TOY, "--best", "--calibration", scans)
    assert ended.status == 0, ended.err
    path = here / "radiodino-toy-int8-symmetric.engine"
    found = engine_info(read_model_file(path))
    assert (found.compute, found.best) == ("fp16", True)
    assert int8_layers(network_of(path)) == {"FLOAT16": LAYERS}
    file = Model.load(path.with_suffix(".onnx"), backend="onnxruntime")
    images = np.random.default_rng(0).standard_normal((3, 3, 64, 64)).astype(np.float32)
    engine = Model.load(path)
    assert (engine.info.precision, engine.info.compute) == ("int8", "fp16")
    a, b = engine.run(images)["embedding"], file.run(images)["embedding"]
    assert 0 < np.abs(a - b).max() < 0.05 * np.abs(b).max()


def test_best_is_built_from_the_onnx_file_alone_too(int8, command):
    engine = int8.with_suffix(".engine")
    assert command(main, "engine", int8, "--best", "--force").status == 0
    assert engine_info(read_model_file(engine)).compute == "fp16"
    assert int8_layers(network_of(engine)) == {"FLOAT16": LAYERS}


def test_an_int8_engine_must_be_as_near_as_the_file_was(int8, refused, gpu):
    """Within the wide tolerances of int8 on the probe images, and still wrong."""
    gpu.distort = np.linspace(0.6, 1.4, 48, dtype=np.float32)
    said = refused(main, "engine", int8, "--force")
    assert "had 1.00000 where the file was made" in said
    assert f"its 8-bit layers otherwise, so {int8.with_suffix('.engine')} was not written" in said


def test_an_int8_file_for_cpus_is_refused(int8, refused, gpu):
    file = read_model_file(int8)
    document = json.loads(file.document)
    document["quantisation"]["limits"] = []
    model = onnx.load(int8)
    del model.metadata_props[:]
    int8.write_bytes(seal(model.SerializeToString(), json.dumps(document)))
    assert "TensorRT takes symmetric 8 bits alone" in refused(main, "engine", int8, "--force")


def test_layers_whose_scales_half_cannot_hold_stay_fp32(int8):
    model = onnx.load(int8)
    layer = next(node for node in model.graph.node if node.op_type == "MatMul" and "fc1" in node.name)
    makers = {name: node for node in model.graph.node for name in node.output}
    scale = makers[layer.input[1]].input[1]
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == scale)
    values = numpy_helper.to_array(tensor).copy()
    values[0] = 1e-6
    tensor.CopyFrom(numpy_helper.from_array(values, scale))
    assert layer.name in layers_of_small_scales(model)
    images = [np.random.default_rng(1).standard_normal((2, 3, 64, 64)).astype(np.float32)]
    half = with_half_float_parts(model.SerializeToString(), images)
    assert int8_layers(half) == {"FLOAT": 1, "FLOAT16": LAYERS - 1}
    kept = next(tensor for tensor in onnx.load_from_string(half).graph.initializer if tensor.name == scale)
    assert np.array_equal(numpy_helper.to_array(kept), values)


def test_operators_beyond_half_stay_fp32(int8):
    images = np.full((1, 3, 64, 64), 3e5, np.float32)  # no image: values that half cannot hold
    for values, kind in ((images, TensorProto.FLOAT), (images * 1e-5, TensorProto.FLOAT16)):
        model = onnx.load_from_string(with_half_float_parts(int8.read_bytes(), [values]))
        convolution = next(node for node in model.graph.node if node.op_type == "Conv")
        weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        assert weights[convolution.input[1]] == kind
        assert not model.metadata_props  # they are of the file that it was


def test_a_classifiers_linear_head_stays_fp32(toy_tasks):
    images = [np.random.default_rng(1).standard_normal((1, 3, 64, 64)).astype(np.float32)]
    model = onnx.load_from_string(with_half_float_parts(toy_tasks.read_bytes(), images))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    kinds = {node.op_type: {types.get(name) for name in node.input} for node in model.graph.node}
    assert kinds["Gemm"] <= {TensorProto.FLOAT, None}
    assert TensorProto.FLOAT16 in kinds["Gelu"]
