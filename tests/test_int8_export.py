"""Int8 exports from the settings to the answers: one file, two engines, any batch, and nothing left behind."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from radiodino.export.cli import main  # noqa: E402
from radiodino.export.int8 import gate, passes  # noqa: E402
from radiodino.export.int8.limits import GateLimits  # noqa: E402
from radiodino.export.pipeline import export_model  # noqa: E402
from radiodino.export.recorded_cosines import refuse_other_than_recorded  # noqa: E402
from radiodino.export.settings import ExportSettings  # noqa: E402
from radiodino.export.verify import TOLERANCES, cosines, tolerance_of  # noqa: E402
from radiodino.export.verify_file import verify_file  # noqa: E402
from radiodino.runtime import BackendError, InputError, Model, VerificationError  # noqa: E402
from radiodino.runtime.backends import statuses  # noqa: E402
from radiodino.runtime.cli import main as run_main  # noqa: E402
from radiodino.runtime.compute import PRECISIONS, choose_compute  # noqa: E402
from radiodino.runtime.model_info import Preprocessing  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402
from radiodino.train.classify.checkpoint import save_classifier  # noqa: E402
from radiodino.train.classify.classifier import Classifier, new_head  # noqa: E402
from radiodino.train.segment.heads import build_head  # noqa: E402
from radiodino.train.segment.segmenter import Segmenter, save_segmenter  # noqa: E402
from radiodino.train.weights.load import WeightsSource, load_weights, sharpen_attention  # noqa: E402

pytestmark = pytest.mark.usefixtures("traced_once", "_toy_in_the_family")
SIZE = 64


@pytest.fixture(autouse=True, scope="module")
def _toy_in_the_family(toy):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "toy", toy)
        yield


def scan(number, bright):
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (4 + number % 5, 5), np.uint8))
    smooth = np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32)
    return Image.fromarray((smooth * 0.5 + 100 * bright + random.normal(0, 9, smooth.shape)).clip(0, 255).astype("u1"))


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A folder with 24 images in two labels."""
    folder = tmp_path_factory.mktemp("scans") / "set"
    for number in range(24):
        label = folder / ("malignant" if number % 2 else "benign")
        label.mkdir(parents=True, exist_ok=True)
        scan(number, number % 2).save(label / f"{number}.png")
    return str(folder)


@pytest.fixture(scope="module")
def weights(toy, tmp_path_factory):
    """A checkpoint whose attention is far from uniform."""
    from safetensors.torch import save_file

    backbone, _ = load_weights(toy, "random", image_size=SIZE)
    sharpen_attention(backbone, 6)
    path = tmp_path_factory.mktemp("weights") / "sharp.safetensors"
    save_file(backbone.state_dict(), path)
    return str(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Exports a file once: `made("name", settings)`; in a fixture of each test, so that its graph is traced once."""
    found = {}

    def made(name, settings):
        if name not in found:
            settings = replace(settings, output=tmp_path_factory.mktemp(name) / f"{name}.onnx")
            found[name] = settings, export_model(settings)
        return found[name]

    return made


@pytest.fixture
def static(toy, scans, weights, made, traced_once):
    """The settings and the outcome of a static int8 export."""
    return made("static", ExportSettings(toy, weights, precision="int8", image_size=SIZE, calibration=(scans,)))


@pytest.fixture
def dynamic(toy, weights, made, traced_once):
    return made("dynamic", ExportSettings(toy, weights, precision="int8-dynamic", image_size=SIZE))[1]


@pytest.fixture(scope="module")
def unseen():
    return np.stack(
        [
            (np.asarray(scan(number, number % 2), np.float32) / 255 - 0.45)[None].repeat(3, 0) / 0.225
            for number in range(100, 116)
        ]
    )


ENGINES = [
    (status.name, compute)
    for status in statuses()
    for compute in (status.arithmetic.supported if status.arithmetic else ())
    if status.name != "cuda" and compute != "fp16"
]
each_engine = pytest.mark.parametrize(("engine", "compute"), ENGINES)


# What the file says


def test_the_file_says_how_it_was_quantised(static, scans):
    _, exported = static
    info = Model.load(exported.path).info
    assert (info.schema, info.precision) == (4, "int8")
    told = info.quantisation
    assert (told.method, told.kept_float, told.kept_share) == ("static", (), 0)
    assert "blocks.0.attn.qkv" in {layer.name for layer in told.layers}
    assert 0 < told.float_share < 0.6
    assert (told.calibration.count, told.calibration.held_out) == (12, 12)
    assert told.calibration.sources == ("set",)
    assert os.path.dirname(scans) not in exported.path.read_bytes().decode("latin-1")
    assert any("few images: 12" in note for note in told.notes)
    ways = {(result.engine.partition(" ")[0], result.compute, result.optimised) for result in told.gate}
    assert ways == {(*way, True) for way in ENGINES} | {("onnxruntime", "fp32", False)}
    assert all(result.passed for result in told.gate)
    assert {"mean cosine", "smallest cosine", "same nearest label"} <= {m.name for m in told.gate[0].measures}


def test_weights_are_stored_in_8_bits(static, toy):
    model = onnx.load(static[1].path)
    in_8_bits = sum(
        np.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8
    )
    assert in_8_bits > toy.depth * 12 * toy.embedding_size**2


def test_the_same_export_is_the_same_file(static, tmp_path):
    settings, exported = static
    again = export_model(replace(settings, output=tmp_path / "again.onnx"))
    assert again.path.read_bytes() == exported.path.read_bytes()
    assert os.listdir(tmp_path) == ["again.onnx"]


def test_other_images_are_another_calibration(static, tmp_path):
    settings, exported = static
    other = export_model(replace(settings, output=tmp_path / "other.onnx", calibration_seed=1, calibration_count=8))
    assert other.info.quantisation.calibration.count == 8
    assert other.info.quantisation.calibration.sha256 != exported.info.quantisation.calibration.sha256


def test_the_file_is_verified_again(static, dynamic, weights):
    for exported in (static[1], dynamic):
        comparisons = verify_file(exported.path, weights)
        assert {(found.backend.partition(" ")[0], found.compute) for found in comparisons} == set(ENGINES)
        assert all(found.passed for found in comparisons)


def test_other_numbers_than_those_recorded_are_refused(static):
    comparisons = static[1].comparisons
    recorded = static[1].info.verification["comparisons"]
    refuse_other_than_recorded(comparisons, recorded)
    refuse_other_than_recorded(comparisons, [])  # there is nothing to compare with
    saturated = [replace(found, cosine=found.cosine - 0.02) for found in comparisons]
    with pytest.raises(VerificationError, match="this processor or engine computes its 8-bit layers otherwise"):
        refuse_other_than_recorded(saturated, recorded)


def test_every_precision_has_tolerances_for_what_it_is_computed_in():
    for status in statuses():
        for precision in PRECISIONS if status.arithmetic and status.name != "cuda" else ():
            compute = choose_compute(status.name, status.arithmetic, precision=precision, requested=None)
            assert (precision, compute) in TOLERANCES
            for output in ("embedding", "logits", "probabilities", "mask", "attention", "cam", "patch_tokens"):
                assert tolerance_of(precision, compute, output)


# One file, any engine, any batch


def test_the_engines_agree(static, unseen):
    found = {
        way: Model.load(static[1].path, backend=way[0], compute=way[1]).run(unseen)["embedding"] for way in ENGINES
    }
    assert len(found) > 1
    for a in found.values():
        for b in found.values():
            assert cosines(a, b).min() >= 0.999


@each_engine
def test_an_image_does_not_depend_on_those_beside_it(static, unseen, engine, compute):
    model = Model.load(static[1].path, backend=engine, compute=compute)
    whole = model.run(unseen)["embedding"]
    alone = np.concatenate([model.run(unseen[index : index + 1])["embedding"] for index in range(len(unseen))])
    assert cosines(alone, whole).min() >= 1 - 1e-3
    if compute == "fp32":
        assert np.abs(alone - whole).max() <= 1e-3


@each_engine
def test_a_run_is_repeated_to_the_bit(static, unseen, engine, compute):
    model = Model.load(static[1].path, backend=engine, compute=compute)
    first = model.run(unseen)["embedding"]
    assert np.array_equal(model.run(unseen)["embedding"], first)
    again = Model.load(static[1].path, backend=engine, compute=compute)
    assert np.array_equal(again.run(unseen)["embedding"], first)


def test_what_follows_the_file_is_the_arithmetic_of_its_float_parts(static):
    for status in statuses():
        if status.arithmetic and status.name != "cuda":
            assert Model.load(static[1].path, backend=status.name).info.compute == status.arithmetic.for_half


def test_results_say_int8(static, command, scans, tmp_path):
    table = tmp_path / "embeddings.csv"
    ended = command(run_main, "embed", scans, "--model", static[1].path, "-o", table)
    assert ended.status == 0
    assert ", int8, computing in int8 and " in ended.err
    assert Model.load(static[1].path).provenance()["precision"] == "int8"
    shown = json.loads(command(run_main, "info", static[1].path).out)
    assert shown["quantisation"]["calibration"]["count"] == 12


def test_the_doctor_says_what_an_int8_file_computes_in(command):
    assert "an int8 file in int8 and" in command(run_main, "doctor").out
    told = json.loads(command(run_main, "doctor", "--json").out)
    assert {"fp32", "bf16"} >= {entry.get("int8_file_computes_in", "fp32") for entry in told["backends"]}


def test_an_int8_file_is_for_cpus(static, dynamic):
    for exported in (static[1], dynamic):
        with pytest.raises(BackendError, match="made for CPUs: export with --fp16 for a GPU"):
            Model.load(exported.path, backend="cuda")
        with pytest.raises(BackendError, match="not computed in fp16"):
            Model.load(exported.path, backend="onnxruntime", compute="fp16")


# Without images


def test_dynamic_int8_is_for_onnxruntime(dynamic, unseen):
    told = Model.load(dynamic.path)
    assert told.info.backend == "onnxruntime"  # though openvino stands before it
    quantisation = told.info.quantisation
    assert (quantisation.method, quantisation.calibration, quantisation.gate) == ("dynamic", None, ())
    assert any("depends a little" in note for note in quantisation.notes)
    asked = Model.load(dynamic.path, backend="openvino")
    assert cosines(asked.run(unseen)["embedding"], told.run(unseen)["embedding"]).min() >= 0.999


def test_dynamic_int8_holds_the_gates_cosines_on_the_probe_images(dynamic):
    assert min(found.cosine for found in dynamic.comparisons) >= 0.995
    limits = GateLimits()
    tolerance = TOLERANCES["int8-dynamic", "fp32"]
    assert (tolerance.mean_cosine, tolerance.cosine) == (limits.mean_cosine, limits.min_cosine)


def test_dynamic_int8_multiplies_whole_numbers(dynamic):
    nodes = onnx.load(dynamic.path).graph.node
    operators = [node.op_type for node in nodes]
    products = [node for node in nodes if node.op_type == "MatMulInteger"]
    assert operators.count("MatMulInteger") == len(dynamic.info.quantisation.layers)
    assert operators.count("DynamicQuantizeLinear") == len({node.input[0] for node in products})


# With heads


@pytest.fixture(scope="module")
def heads(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    backbone, _ = load_weights(toy, "random", image_size=SIZE)
    sharpen_attention(backbone, 6)
    common = {
        "variant": "toy",
        "image_size": SIZE,
        "preprocessing": json.loads(json.dumps(asdict(Preprocessing(resize=(SIZE, SIZE))))),
        "training_set": {"name": "busi.zip"},
        "weights": asdict(WeightsSource("published", "hf_hub:toy", "ab" * 32, "MIT", "", None)),
    }
    linear = new_head(toy.embedding_size, 2, 3)
    with torch.no_grad():
        linear.weight *= 20
    classify = {"task": "classify", "classes": ["benign", "malignant"], "temperature": 1.0, "thresholds": None}
    document = common | classify | {"metrics": {}, "recipe": {"freeze_backbone": True}}
    save_classifier(folder / "classifier.pth", Classifier(backbone, linear), document)
    torch.manual_seed(0)
    head = build_head("lite", toy.embedding_size, toy.patch, channels=(16, 8, 8), blocks=(1, 1, 1), detail=4)
    segment = {"task": "segment", "schema": 1, "patch": 16, "classes": ["lesion"], "threshold": 0.5}
    document = common | segment | {"head": {"kind": head.kind, **head.settings}, "test_metrics": {}}
    save_segmenter(folder / "segmenter.pth", Segmenter(backbone, head), document)
    return str(folder / "classifier.pth"), str(folder / "segmenter.pth")


def test_heads_are_judged_too(toy, heads, scans, tmp_path):
    output = tmp_path / "tasks.onnx"
    exported = export_model(
        ExportSettings(
            toy,
            heads,
            "classify+segment",
            precision="int8",
            calibration=(scans,),
            outputs=("attention", "cam"),
            output=output,
        )
    )
    names = {measure.name for measure in exported.info.quantisation.gate[0].measures}
    assert {"same class", "accuracy of the class, change", "Dice of masks"} <= names
    assert any(layer.name.startswith("segment_head.") for layer in exported.info.quantisation.layers)
    assert not any(layer.name.startswith("head") for layer in exported.info.quantisation.layers)
    assert all(found.passed for found in verify_file(output, heads))
    answers = {engine: Model.load(output, backend=engine).classify(scan(1, 1)) for engine, _ in ENGINES}
    assert len({answer[0].label for answer in answers.values()}) == 1


# Nothing that is wrong is written, and nothing is left behind


def test_what_the_gate_refuses_is_not_written(static, tmp_path, monkeypatch):
    plan_quantisation = passes.plan_quantisation

    def coarse(*arguments):
        plan = plan_quantisation(*arguments)
        layers = [
            replace(planned, input_range=replace(planned.input_range, scale=planned.input_range.scale * 300))
            for planned in plan.layers
        ]
        return replace(plan, layers=tuple(layers))

    monkeypatch.setattr(passes, "plan_quantisation", coarse)
    with pytest.raises(VerificationError, match=r"even with \d+ of its \d+ layers in float.*was not written"):
        export_model(replace(static[0], output=tmp_path / "toy.onnx"))
    assert not os.listdir(tmp_path)


def test_layers_that_went_back_to_float_are_told(static, tmp_path, monkeypatch, command):
    plan_quantisation = passes.plan_quantisation

    def one_coarse(*arguments):
        plan = plan_quantisation(*arguments)
        first, *others = plan.layers
        coarse = replace(first, input_range=replace(first.input_range, scale=first.input_range.scale * 300))
        return replace(plan, layers=(coarse, *others))

    monkeypatch.setattr(passes, "plan_quantisation", one_coarse)
    settings = static[0]
    output = tmp_path / "toy.onnx"
    ended = command(
        main, "--variant", "toy", "--weights", settings.weights, "--image-size", SIZE, "--int8", "--calibration",
        settings.calibration[0], "-o", output,
    )  # fmt: skip
    assert ended.status == 0
    assert "float    put back so that the gate holds: blocks.0.attn.qkv, " in ended.out
    told = Model.load(output).info.quantisation
    assert told.kept_float == ("blocks.0.attn.qkv",)
    assert 0.05 < told.kept_share < told.float_share
    assert "blocks.0.attn.qkv" not in {layer.name for layer in told.layers}


def test_a_dynamic_file_that_differs_is_not_written(toy, weights, tmp_path, monkeypatch):
    rounded = passes.dynamic._rounded

    def wrongly(weight, layer):
        values, scales = rounded(weight, layer)
        return (-values if layer.stage == "blocks.1.mlp.fc1" else values), scales

    monkeypatch.setattr(passes.dynamic, "_rounded", wrongly)
    output = tmp_path / "toy.onnx"
    with pytest.raises(VerificationError, match=r"after 'blocks\.1'.*--int8 and --calibration"):
        export_model(ExportSettings(toy, weights, precision="int8-dynamic", image_size=SIZE, output=output))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("step", ["read calibration", "collect ranges", "judge"])
def test_an_interrupted_export_leaves_nothing_behind(static, tmp_path, monkeypatch, step):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def interrupt(told):
        if told.startswith(step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_model(replace(static[0], output=tmp_path / "toy.onnx"), interrupt)
    assert os.listdir(tmp_path) == ["temporary"]
    assert not os.listdir(temporary)


def test_an_interrupt_while_an_engine_computes_leaves_nothing_behind(static, tmp_path, monkeypatch, command):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def interrupted(*_arguments, **_settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(gate.Gate, "judge", interrupted)
    settings = static[0]
    ended = command(
        main, "--variant", "toy", "--weights", settings.weights, "--image-size", SIZE, "--int8", "--calibration",
        settings.calibration[0], "-o", tmp_path / "toy.onnx",
    )  # fmt: skip
    assert ended.status == 130
    assert "Traceback" not in ended.out + ended.err
    assert os.listdir(tmp_path) == ["temporary"]
    assert not os.listdir(temporary)


# The command


def test_an_export_says_what_it_quantised_and_how_it_was_judged(command, here, scans, weights):
    ended = command(
        main, "--variant", "toy", "--weights", weights, "--image-size", SIZE, "--int8", "--calibration", scans,
        "--min-cosine", "0.996",
    )  # fmt: skip
    assert ended.status == 0
    assert (here / "radiodino-toy-int8.onnx").is_file()
    assert "no layer had to be put back" in ended.out
    assert "12 to calibrate on, 12 to judge by, of set (seed 0, SHA-256 " in ended.out
    assert "note     few images" in ended.err
    assert "smallest cosine" in ended.out
    assert "0.996" in ended.out
    told = Model.load(here / "radiodino-toy-int8.onnx").info.quantisation
    assert {m.limit for r in told.gate for m in r.measures if m.name == "smallest cosine"} == {0.996}


def test_a_dynamic_export_says_its_limits(command, here, weights):
    ended = command(main, "--variant", "toy", "--weights", weights, "--image-size", SIZE, "--int8-dynamic")
    assert ended.status == 0
    assert (here / "radiodino-toy-int8-dynamic.onnx").is_file()
    assert "note     only ONNX Runtime gains by it" in ended.err


TOY = ("--variant", "toy", "--weights", "random", "--image-size", str(SIZE))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--int8"], "name some of the kind that the file is for with --calibration"),
        (["--int8", "--fp16"], "--fp16 and --int8 exclude each other"),
        (["--int8", "--int8-dynamic"], "exclude each other"),
        (["--fp16", "--calibration", "x"], "belong to --int8, not to fp16"),
        (["--int8-dynamic", "--calibration", "x"], "belong to --int8, not to int8-dynamic"),
        (["--calibration-seed", "3"], "belong to --int8, not to fp32"),
        (["--int8", "--calibration", "x", "--calibration-count", "3"], "must be at least 8, better 200, not 3"),
        (["--int8", "--calibration", "x", "--min-cosine", "0.9"], "--min-cosine can only be tightened"),
        (["--int8", "--calibration", "no-such-folder"], "there is no readable file or folder no-such-folder"),
    ],
)
def test_errors_are_one_sentence(refused, here, arguments, sentence):
    assert sentence in refused(main, *TOY, *arguments)
    assert not list(here.iterdir())


def test_garbage_is_refused_before_the_network_is_traced(refused, here):
    (here / "black").mkdir()
    for number in range(10):
        Image.new("L", (40, 50), number).save(here / "black" / f"{number}.png")
    sentence = refused(main, *TOY, "--int8", "--calibration", "black")
    assert "all 10 calibration images that can be read are blank" in sentence
    assert os.listdir(here) == ["black"]


def test_settings_without_images_are_refused(toy):
    with pytest.raises(InputError, match="--calibration"):
        ExportSettings(toy, "random", precision="int8", image_size=SIZE).check()
