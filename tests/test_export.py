from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("timm")
safetensors_torch = pytest.importorskip("safetensors.torch")

from radiodino.export import pipeline, precision  # noqa: E402
from radiodino.export.engine import cpu_backends  # noqa: E402
from radiodino.export.pipeline import export_model  # noqa: E402
from radiodino.export.settings import ExportSettings  # noqa: E402
from radiodino.export.trace import trace  # noqa: E402
from radiodino.export.verify import TOLERANCES, compare, cosines, verify  # noqa: E402
from radiodino.export.verify_file import verify_file  # noqa: E402
from radiodino.runtime import InputError, Model, OutputError, VerificationError, WeightsError  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402
from radiodino.train.weights.load import load_weights, sharpen_attention  # noqa: E402

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture
def settings(toy, tmp_path):
    return ExportSettings(toy, weights="random", image_size=64, output=tmp_path / "toy.onnx")


def original(image, backbone, size):
    """The model card's snippet, at `size`."""
    transforms = pytest.importorskip("torchvision.transforms")
    transform = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    with torch.no_grad():
        return backbone(transform(image.convert("RGB")).unsqueeze(0)).numpy()[0]


def sharp_weights(variant, path, size=224):
    """A checkpoint whose attention is far from uniform, and the model it is of."""
    backbone, _ = load_weights(variant, "random", image_size=size)
    # The logits of random weights grow with the embedding size: this makes them as large (sd 3) for every variant.
    sharpen_attention(backbone, 6 * (192 / variant.embedding_size) ** 0.5, layer_scale=0.5)
    safetensors_torch.save_file(backbone.state_dict(), path)
    return backbone


def test_the_same_export_is_the_same_file(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "trace", trace)
    first = export_model(settings)
    again = export_model(replace(settings, output=tmp_path / "again.onnx"))
    assert first.path.read_bytes() == again.path.read_bytes()
    assert first.sha256 == again.sha256
    assert first.size == first.path.stat().st_size
    assert sorted(os.listdir(tmp_path)) == ["again.onnx", "toy.onnx"]


def test_the_seed_is_part_of_it(settings):
    first = export_model(settings).info.weights
    second = export_model(replace(settings, seed=1, force=True)).info.weights
    assert first.sha256 != second.sha256
    assert (first.seed, second.seed) == (0, 1)


def test_one_self_describing_file(settings):
    exported = export_model(replace(settings, precision="fp16"))
    model = onnx.load(exported.path, load_external_data=False)
    assert all(tensor.data_location != onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)
    document = json.loads(next(entry.value for entry in model.metadata_props if entry.key == "radiodino"))
    assert document["precision"] == "fp16"
    assert document["preprocessing"] == {
        "mode": "RGB",
        "resize": [64, 64],
        "interpolation": "bilinear",
        "value_range": [0.0, 1.0],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    assert document["weights"]["kind"] == "random"
    assert document["verification"]["batches"] == [1, 2, 7]
    assert {found["compute"] for found in document["verification"]["comparisons"]} >= {"fp32", "fp16"}


def test_the_file_is_named_after_variant_and_precision(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(ExportSettings(VARIANTS["tiny"], precision="fp16").target) == "radiodino-tiny-fp16.onnx"
    assert export_model(replace(settings, output=None)).path.name == "radiodino-toy-fp32.onnx"


def test_an_existing_file_is_kept(settings):
    settings.output.write_text("precious")
    with pytest.raises(OutputError, match="--force"):
        export_model(settings)
    assert settings.output.read_text() == "precious"
    export_model(replace(settings, force=True))
    assert Model.load(settings.output).info.variant == "toy"


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"image_size": 65}, InputError, "use 64 or 80"),
        ({"outputs": ("logits",)}, InputError, "patch_tokens, attention"),
        ({"precision": "int4"}, InputError, "fp32, fp16, int8"),
        ({"weights": "published"}, WeightsError, "--weights FILE"),
        ({"weights": "/no/such/file.pth"}, WeightsError, "file.pth"),
    ],
)
def test_what_cannot_be_exported_is_refused(settings, change, error, reason):
    with pytest.raises(error, match=reason):
        export_model(replace(settings, **change))
    assert not settings.output.exists()


def test_outputs_are_optional(settings):
    exported = export_model(replace(settings, outputs=("attention",)))
    assert [output.name for output in exported.info.outputs] == ["embedding", "attention"]
    found = Model.load(exported.path).run(np.zeros((1, 3, 64, 64), np.float32))
    assert found.keys() == {"embedding", "attention"}


def test_other_image_sizes_bake_the_resized_position_table(settings, toy):
    for size in (32, 96):
        exported = export_model(replace(settings, image_size=size, force=True))
        backbone, _ = load_weights(toy, "random", image_size=size)
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8))
        found = Model.load(exported.path, compute="fp32").embed(image)[0]
        assert np.abs(found - original(image, backbone, size)).max() < 1e-4


# A candidate that is wrong is not written


def broken(convert):
    """The fp16 pass with a mistake: one block's weights are not what they were."""

    def convert_wrongly(model, keep):
        half = convert(model, keep)
        for tensor in half.graph.initializer:
            if tensor.name == "blocks.1.mlp.fc1.weight":
                values = onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(-values, tensor.name))
        return half

    return convert_wrongly


def test_a_failing_fp16_candidate_is_not_written_and_says_where(settings, toy, tmp_path, monkeypatch):
    weights = tmp_path / "sharp.safetensors"
    sharp_weights(toy, weights, 64)
    monkeypatch.setattr(precision, "to_half", broken(precision.to_half))
    with pytest.raises(VerificationError, match=r"'embedding' .*cosine.* diverges first after 'blocks\.1'"):
        export_model(replace(settings, precision="fp16", weights=str(weights)))
    assert os.listdir(tmp_path) == ["sharp.safetensors"]


@pytest.mark.parametrize("too_far", [False, True])
def test_the_residual_stream_is_bf16_only_where_that_was_verified(settings, monkeypatch, too_far):
    bf16 = "bf16" in {compute for status in cpu_backends() for compute in status.arithmetic.supported}
    tried = []

    def strict(candidate, stored, *rest):
        """As verify, but with a bf16 residual stream nothing in bf16 passes."""
        bf16_residual = Model.load(candidate, cache=False).info.bf16_residual
        tried.append(bf16_residual)
        fails = too_far and bf16_residual
        return [
            replace(comparison, passed=not (fails and comparison.compute == "bf16"))
            for comparison in verify(candidate, stored, *rest)
        ]

    monkeypatch.setattr(pipeline, "verify", strict)
    written = export_model(replace(settings, precision="fp16")).info
    assert written.bf16_residual is (bf16 and not too_far)
    assert tried == ([False] if not bf16 else [True, False] if too_far else [True])
    assert not export_model(replace(settings, force=True)).info.bf16_residual  # nothing of an fp32 file is bf16


def test_a_failing_fp32_candidate_is_not_written(settings, tmp_path, monkeypatch):
    trace = pipeline.trace

    def trace_wrongly(*arguments):
        model = trace(*arguments)
        for tensor in model.graph.initializer:
            if tensor.name.endswith("pos_embed"):
                values = onnx.numpy_helper.to_array(tensor) * np.float32(2)
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        return model

    monkeypatch.setattr(pipeline, "trace", trace_wrongly)
    with pytest.raises(VerificationError, match=r"relative error .* diverges first after 'blocks\.0'"):
        export_model(settings)
    assert not os.listdir(tmp_path)


@pytest.fixture
def wild(toy, tmp_path):
    """Weights whose values leave the half range inside the second block, and come back."""
    backbone, _ = load_weights(toy, "random", image_size=64)
    state = backbone.state_dict()
    state["blocks.1.mlp.fc1.weight"] = state["blocks.1.mlp.fc1.weight"] * 1e6
    state["blocks.1.mlp.fc2.weight"] = state["blocks.1.mlp.fc2.weight"] / 1e6
    path = tmp_path / "wild.safetensors"
    safetensors_torch.save_file(state, path)
    return str(path)


def test_operators_beyond_the_half_range_stay_fp32_and_the_export_holds(settings, wild):
    exported = export_model(replace(settings, precision="fp16", weights=wild))
    assert any(name.startswith("blocks.1.mlp") for name in exported.kept_float)
    assert not any(name.startswith("blocks.0.") for name in exported.kept_float)


def test_values_beyond_the_half_range_are_found_where_they_begin(settings, wild, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "nodes_beyond_half", lambda *_: set())
    with np.errstate(over="ignore"), pytest.raises(VerificationError, match=r"diverges first after 'blocks\.1'"):
        export_model(replace(settings, precision="fp16", weights=wild))
    assert os.listdir(tmp_path) == ["wild.safetensors"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_never_pass(value):
    wanted = [{"embedding": np.ones((2, 4), np.float32)}]
    found = [{"embedding": np.full((2, 4), value, np.float32)}]
    for tolerance in TOLERANCES.values():
        assert not compare("engine", "fp32", "embedding", found, wanted, tolerance).passed


def test_tolerances_are_as_promised():
    wanted = [{"embedding": np.array([[1.0, 10.0]], np.float32)}]
    for error, passed in ((0.9e-3, True), (1.1e-3, False)):  # 1e-4 of the largest activation, 10
        found = [{"embedding": np.array([[1.0, 10.0 + error]], np.float32)}]
        assert compare("e", "fp32", "embedding", found, wanted, TOLERANCES["fp32", "fp32"]).passed is passed
    wanted = [{"embedding": np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)}]
    for compute, limit in (("fp32", 0.9999), ("fp16", 0.9999), ("bf16", 0.9995)):
        for cosine, passed in ((limit + 2e-5, True), (limit - 2e-5, False)):
            worst = [cosine, np.sqrt(1 - cosine**2)]
            found = [{"embedding": np.array([[1.0, 0.0], worst], np.float32)}]
            assert compare("e", compute, "embedding", found, wanted, TOLERANCES["fp16", compute]).passed is passed


def test_cosines_are_of_rows():
    a = np.array([[3.0, 4.0], [1.0, 0.0], [np.nan, 1.0]])
    b = np.array([[6.0, 8.0], [0.0, 2.0], [1.0, 1.0]])
    assert np.allclose(cosines(a, b), [1, 0, 0])


# Verification later


@pytest.fixture
def _toy_in_the_family(toy, monkeypatch):
    monkeypatch.setitem(VARIANTS, "toy", toy)


@pytest.mark.usefixtures("_toy_in_the_family")
def test_a_file_is_verified_again(settings):
    export_model(replace(settings, precision="fp16", seed=3, outputs=("attention",)))
    comparisons = verify_file(settings.output)
    assert all(found.passed for found in comparisons)
    assert {found.output for found in comparisons} == {"embedding", "attention"}


@pytest.mark.usefixtures("_toy_in_the_family")
def test_verification_needs_the_very_weights(settings, toy, tmp_path):
    weights = tmp_path / "sharp.safetensors"
    sharp_weights(toy, weights, 64)
    export_model(replace(settings, weights=str(weights)))
    with pytest.raises(InputError, match=r"sharp\.safetensors.*--weights"):
        verify_file(settings.output)
    assert all(found.passed for found in verify_file(settings.output, str(weights)))
    other = tmp_path / "other.safetensors"
    safetensors_torch.save_file(load_weights(toy, "random", image_size=64)[0].state_dict(), other)
    with pytest.raises(WeightsError, match="SHA-256"):
        verify_file(settings.output, str(other))


# The family


@pytest.fixture(scope="module")
def on_real_images(tmp_path_factory, data_dir, real_images):
    """A variant, a checkpoint of it, real images, and their embeddings by the model card's snippet."""
    found = {}

    def on_real_images(name):
        if name not in found:
            variant, images = VARIANTS[name], real_images
            if name != "tiny":  # which alone is taken whole
                variant, images = replace(variant, depth=4), real_images[::20]
            weights = tmp_path_factory.mktemp(name) / "sharp.safetensors"
            backbone = sharp_weights(variant, weights)
            found[name] = variant, weights, images, np.stack([original(image, backbone, 224) for image in images])
        return found[name]

    return on_real_images


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["tiny", "dinov2-small"])
def test_embeddings_equal_the_model_cards_snippet_on_real_images(name, precision, tmp_path, on_real_images):
    variant, weights, images, wanted = on_real_images(name)
    exported = export_model(
        ExportSettings(variant, weights=str(weights), precision=precision, output=tmp_path / "model.onnx")
    )
    found = Model.load(exported.path).embed(images)
    assert cosines(found, wanted).min() >= (0.999999 if precision == "fp32" else 0.9995)


@pytest.mark.parametrize("name", ["tiny-sp", "small", "small-sp", "base"])
def test_every_variant_exports(name, tmp_path, images):
    """The two left out here are exported above. Two blocks each: the rest repeat them, as the whole tiny does."""
    variant = replace(VARIANTS[name], depth=2)
    exported = export_model(ExportSettings(variant, weights="random", precision="fp16", output=tmp_path / "model.onnx"))
    backbone, _ = load_weights(variant, "random")
    found = Model.load(exported.path).embed(images[:2])
    wanted = np.stack([original(image, backbone, 224) for image in images[:2]])
    assert cosines(found, wanted).min() >= 0.9995
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    assert 1.99 * parameters < exported.size < 2 * parameters + 600_000  # equal tensors are stored once
