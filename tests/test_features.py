from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from radiodino.runtime.errors import (  # noqa: E402
    BackendError,
    InputError,
    ModelFileError,
    OutputError,
    RadioDinoError,
    WeightsError,
)
from radiodino.runtime.model import Model  # noqa: E402
from radiodino.runtime.model_info import Preprocessing  # noqa: E402
from radiodino.runtime.preprocessing import Preprocessor  # noqa: E402
from radiodino.runtime.wire import bytes_field  # noqa: E402
from radiodino.train.data.open_images import open_images  # noqa: E402
from radiodino.train.features.announce import announce  # noqa: E402
from radiodino.train.features.device import choose_device  # noqa: E402
from radiodino.train.features.exported import ExportedSource  # noqa: E402
from radiodino.train.features.extract import extract_features  # noqa: E402
from radiodino.train.features.network import NetworkSource  # noqa: E402
from radiodino.train.features.open import SourceOptions, open_source  # noqa: E402
from radiodino.train.features.pixels import PixelSource  # noqa: E402
from radiodino.train.features.request import SourceRequest  # noqa: E402
from radiodino.train.features.save import prepare_out, save_features  # noqa: E402
from radiodino.train.features.texts import numbers, shares, whole_numbers, words  # noqa: E402
from radiodino.train.position_table import resize_position_table  # noqa: E402
from radiodino.train.weights.load import load_weights  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture
def options(toy):
    return SourceOptions(variant=toy, accelerator="cpu", image_size=64)


@pytest.fixture
def folder(tmp_path, images):
    """Five images of different modes and sizes in a folder."""
    (tmp_path / "images").mkdir()
    for index, image in enumerate(images):
        image.save(tmp_path / "images" / f"{index}.png")
    return tmp_path / "images"


def as_pixels(images, size):
    """What the image cache makes of images, in three channels."""
    resized = [image.resize((size, size), Image.Resampling.BILINEAR).convert("RGB") for image in images]
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in resized])


def flat(size=3 * 16 * 16, **changes):
    """A source whose embedding is the network's input."""
    settings = {"name": "flat", "size": size, "image_size": 16, "network_size": 16, "provenance": {}, "device": CPU}
    return NetworkSource(torch.nn.Flatten(), **{**settings, **changes})


# --- networks ---------------------------------------------------------------------------------------------------------


def test_networks_are_fed_the_very_bits_of_the_model_card(images):
    expected = np.stack([Preprocessor(Preprocessing(resize=(16, 16)))(image) for image in images])
    assert np.array_equal(flat().embed(as_pixels(images, 16)), expected.reshape(5, -1))
    grey = as_pixels(images[:3], 16)[:, :1]
    assert np.array_equal(flat().embed(grey), expected[:3].reshape(3, -1))


def test_another_mean_and_deviation_are_obeyed_and_said(images):
    half = (0.5, 0.5, 0.5)
    source = flat(mean=half, std=half)
    expected = as_pixels(images, 16).astype(np.float32) / 127.5 - 1
    assert np.allclose(source.embed(as_pixels(images, 16)), expected.reshape(5, -1), atol=1e-6)
    assert source.describe()["preprocessing"]["mean"] == half


def test_read_only_pixels_are_neither_changed_nor_refused(images):
    pixels = as_pixels(images, 16)
    kept = pixels.copy()
    pixels.flags.writeable = False
    flat().embed(pixels)
    assert np.array_equal(pixels, kept)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 3, 16, 16), np.float32),
        np.zeros((1, 2, 16, 16), np.uint8),
        np.zeros((1, 3, 16, 8), np.uint8),
        np.zeros((3, 16, 16), np.uint8),
        np.zeros((0, 3, 16, 16), np.uint8),
    ],
)
@pytest.mark.parametrize("source", [flat, lambda: PixelSource(16)])
def test_other_arrays_are_refused(source, pixels):
    with pytest.raises(InputError, match=r"expected images as uint8 \(B, 1 or 3, 16, 16\), found"):
        source().embed(pixels)


def test_a_backbone_embeds_as_its_module_does(toy, options, images):
    source = open_source("random", options)
    module, weights = load_weights(toy, "random", image_size=64)
    inputs = np.stack([Preprocessor(Preprocessing(resize=(64, 64)))(image) for image in images])
    with torch.inference_mode():
        expected = module(torch.from_numpy(inputs)).numpy()
    found = source.embed(as_pixels(images, 64))
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
    assert (source.size, source.image_size, source.name) == (48, 64, "toy random")
    told = json.loads(json.dumps(source.describe()))
    assert (told["kind"], told["sha256"], told["precision"]) == ("random", weights.sha256, "fp32")
    assert told["preprocessing"]["resize"] == [64, 64]
    assert "cut_to_first" not in told["preprocessing"]


def test_a_checkpoint_and_its_student_are_told_apart(toy, options, tmp_path):
    teacher, student = (load_weights(toy, "random", seed=seed)[0].state_dict() for seed in (1, 2))
    torch.save({"teacher": teacher, "student": student}, tmp_path / "checkpoint.pth")
    pixels = np.full((1, 1, 64, 64), 90, np.uint8)
    first = open_source(str(tmp_path), options)
    second = open_source(str(tmp_path), dataclasses.replace(options, checkpoint_key="student"))
    assert first.describe()["kind"] == "file"
    assert first.describe()["detail"] != second.describe()["detail"]
    assert first.name != second.name
    assert not np.allclose(first.embed(pixels), second.embed(pixels))


def test_images_are_of_224_px_by_default(toy):
    assert open_source("random", SourceOptions(variant=toy, accelerator="cpu")).image_size == 224


def test_a_size_between_patches_is_refused_unless_it_is_to_be_cut(toy, options, images):
    with pytest.raises(InputError, match="image size 56 is not a multiple of the patch"):
        open_source("random", dataclasses.replace(options, image_size=56))
    with pytest.raises(InputError, match="image size 15"):
        open_source("random", dataclasses.replace(options, image_size=15, cut=True))
    source = open_source("random", dataclasses.replace(options, image_size=56, cut=True))
    assert source.describe()["preprocessing"]["cut_to_first"] == (48, 48)

    # As the official code: a convolution over all 56 px, and the position table resized to the patches it gives.
    module, _ = load_weights(toy, "random", image_size=224)
    inputs = torch.from_numpy(np.stack([Preprocessor(Preprocessing(resize=(56, 56)))(image) for image in images]))
    with torch.inference_mode():
        patches = module.patch_embed.proj(inputs).flatten(2).transpose(1, 2)
        assert patches.shape[1] == 9
        tokens = torch.cat([module.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        tokens = tokens + resize_position_table(module.pos_embed, 3, toy.position_interpolation)
        for block in module.blocks:
            tokens = block(tokens)
        expected = module.norm(tokens)[:, 0].numpy()
    np.testing.assert_allclose(source.embed(as_pixels(images, 56)), expected, atol=2e-6)


def test_bf16_is_close_and_said(options, images):
    half = open_source("random", dataclasses.replace(options, precision="bf16"))
    full = open_source("random", options)
    one, other = half.embed(as_pixels(images, 64)), full.embed(as_pixels(images, 64))
    assert one.dtype == np.float32
    assert not np.array_equal(one, other)
    np.testing.assert_allclose(one, other, atol=0.15)
    assert half.describe()["precision"] == "bf16"
    with pytest.raises(InputError, match="no precision 'fp8'"):
        open_source("random", dataclasses.replace(options, precision="fp8"))


def test_devices(monkeypatch):
    assert choose_device("cpu") == CPU
    with pytest.raises(InputError, match="no accelerator 'tpu': choose one of auto, cpu, cuda"):
        choose_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(BackendError, match="no CUDA device here: choose --accelerator cpu"):
        choose_device("cuda")


# --- exported files ---------------------------------------------------------------------------------------------------


def test_an_exported_file_gives_what_the_runtime_gives_for_the_files(toy_fp32, folder, options):
    source = open_source(str(toy_fp32), options)
    cache = open_images([str(folder)], 64)
    found = extract_features(source, cache, batch_size=8)
    model = Model.load(toy_fp32, backend=source.describe()["device"].partition(" ")[0])
    expected = model.embed(sorted(folder.iterdir()), batch_size=8)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    for image, pixels in zip(sorted(folder.iterdir()), cache.pixels, strict=True):  # nothing was resized twice
        again = model.preprocess(Image.fromarray(pixels.transpose(1, 2, 0)))
        assert np.array_equal(again, model.preprocess(Image.open(image)))
    told = json.loads(json.dumps(source.describe()))
    assert (told["kind"], told["weights_kind"], told["sha256"]) == ("exported", "random", model.info.file_sha256)
    assert source.device.endswith("in fp32")


def test_an_exported_file_takes_grey_images_and_its_own_size(toy_fp32, images):
    source = open_source(str(toy_fp32), SourceOptions(accelerator="cpu"))
    assert source.image_size == 64
    pixels = as_pixels(images[:3], 64)
    np.testing.assert_allclose(source.embed(pixels[:, :1]), source.embed(pixels), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"image_size": 112}, InputError, "takes images of 64 px alone and 112 px were asked for: ask for 64 px"),
        ({"accelerator": "tpu"}, InputError, "no accelerator 'tpu'"),
        ({"precision": "fp64"}, InputError, "no arithmetic 'fp64'"),
    ],
)
def test_what_an_exported_file_cannot_do_is_refused(toy_fp32, options, changes, kind, sentence):
    with pytest.raises(kind, match=sentence):
        open_source(str(toy_fp32), dataclasses.replace(options, **changes))


def test_files_without_our_metadata_are_refused(tmp_path, options):
    (tmp_path / "foreign.onnx").write_bytes(bytes_field(7, b""))
    with pytest.raises(ModelFileError, match=r"carries no radiodino metadata.*radiodino-export"):
        open_source(str(tmp_path / "foreign.onnx"), options)
    with pytest.raises(ModelFileError, match="there is no file"):
        open_source(str(tmp_path / "none.onnx"), options)


@pytest.mark.parametrize("changes", [{"interpolation": "bicubic"}, {"resize": (64, 32)}])
def test_files_with_another_way_of_resizing_are_refused(toy_fp32, changes):
    model = Model.load(toy_fp32)
    preprocessing = dataclasses.replace(model.info.preprocessing, **changes)
    changed = Model(dataclasses.replace(model.info, preprocessing=preprocessing), model.backend)
    with pytest.raises(ModelFileError, match=r"squares by 'bilinear': embed them with radiodino-run"):
        ExportedSource(changed, "x.onnx")


# --- pixels -----------------------------------------------------------------------------------------------------------


def test_pixels_are_grey_values_as_pil_has_them(images):
    source = open_source("pixels:16", SourceOptions())
    pixels = as_pixels(images, 16)
    expected = [
        np.asarray(Image.fromarray(p.transpose(1, 2, 0)).convert("L"), np.float32).ravel() / 255 for p in pixels
    ]
    found = source.embed(pixels)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.stack(expected).astype(np.float32))
    assert np.array_equal(source.embed(pixels[:3, :1]), found[:3])
    assert (source.size, source.image_size, source.describe()["kind"]) == (256, 16, "pixels")


@pytest.mark.parametrize(
    ("text", "size", "sentence"),
    [
        ("pixels:0", None, "side from 1 to 512"),
        ("pixels:513", None, "side from 1 to 512"),
        ("pixels:x", None, "no side in pixels: use pixels:32"),
        ("pixels:", None, "no side in pixels"),
        ("pixels:16", 32, "takes images of 16 px alone and 32 px were asked for"),
    ],
)
def test_impossible_pixels_are_refused(text, size, sentence):
    with pytest.raises(InputError, match=sentence):
        open_source(text, SourceOptions(image_size=size))


# --- texts, requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no/such/run", "no file or folder no/such/run"),
        ("", "no weights are named"),
        ("preset:bert", "no preset 'bert'"),
    ],
)
def test_what_is_not_there_is_said(text, sentence, options):
    with pytest.raises(RadioDinoError, match=sentence):
        open_source(text, options)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (SourceRequest(()), "name what to evaluate with --weights: a run folder"),
        (SourceRequest(("a", "b"), ("tiny",) * 3), "3 variants were given for 2 weights"),
        (SourceRequest(("a", "b"), ("tiny", "huge")), "no variant 'huge'"),
        (SourceRequest(("a", "b", "a")), "--weights a was given twice"),
        (SourceRequest(("a",), options=SourceOptions(pretrained=True)), "--pretrained is for"),
        (SourceRequest(("timm:a",), options=SourceOptions(checkpoint_key="k")), "--checkpoint-key is for"),
    ],
)
def test_requests_that_do_not_fit_are_refused(request_, sentence):
    with pytest.raises(InputError, match=sentence):
        request_.check()


def test_one_variant_serves_all_and_several_one_each():
    request = SourceRequest(("a", "pixels:8"), ("small",))
    request.check()
    assert [(name, options.variant.name) for name, options in request.each()] == [("a", "small"), ("pixels:8", "small")]
    request = SourceRequest(("a", "a"), ("small", "base"), SourceOptions(seed=3))
    request.check()
    assert [(options.variant.name, options.seed) for _, options in request.each()] == [("small", 3), ("base", 3)]


def test_sources_of_one_size_are_refused_another_beforehand(toy_fp32):
    request = SourceRequest(("no/such/run", "timm:resnet18", "pixels:8"))
    request.refuse_sizes([8])
    with pytest.raises(InputError, match="pixels:8 takes images of 8 px alone"):
        request.refuse_sizes([8, 16])
    with pytest.raises(InputError, match="of 64 px alone"):
        SourceRequest((str(toy_fp32),)).refuse_sizes([224])


def test_lists_on_the_command_line():
    assert whole_numbers("5,1,5", "--k") == (5, 1)
    assert numbers("0.1,1e-3", "--c") == (0.1, 0.001)
    assert shares("0.5,0.25,0.25") == (0.5, 0.25, 0.25)
    assert words("train, val,train") == ("train", "val")
    for function, text, sentence in (
        (lambda text: whole_numbers(text, "--k"), "1;5", "--k takes whole numbers"),
        (lambda text: numbers(text, "--c"), "x", "--c takes numbers"),
        (shares, "0.5,0.5", "--fractions takes three shares"),
    ):
        with pytest.raises(InputError, match=sentence):
            function(text)


# --- many images ------------------------------------------------------------------------------------------------------


def test_features_come_in_order_whatever_the_batch(options, folder):
    source = open_source("random", options)
    cache = open_images([str(folder)], 64)
    told = []
    whole = extract_features(source, cache, progress=lambda done, total: told.append((done, total)))
    assert whole.shape == (5, 48)
    assert told == [(5, 5)]
    for batch_size in (1, 2, 5):
        np.testing.assert_allclose(extract_features(source, cache, batch_size=batch_size), whole, atol=1e-5)
    some = extract_features(source, cache, indices=np.array([4, 0]), batch_size=1)
    np.testing.assert_allclose(some, whole[[4, 0]], atol=1e-5)
    assert extract_features(source, cache, indices=np.array([], np.int64)).shape == (0, 48)


def test_images_of_another_size_and_empty_batches_are_refused(options, folder):
    source = open_source("random", options)
    with pytest.raises(InputError, match="takes images of 64 px, found 32 px"):
        extract_features(source, open_images([str(folder)], 32))
    with pytest.raises(InputError, match="at least 1, not 0"):
        extract_features(source, open_images([str(folder)], 64), batch_size=0)


def test_features_that_are_not_finite_are_refused_with_the_image(folder):
    class Broken(torch.nn.Module):
        def forward(self, images):
            found = images.mean(dim=(2, 3))
            found[-1] = torch.inf
            return found

    source = NetworkSource(
        Broken(), name="broken", size=3, image_size=16, network_size=16, provenance={}, device=CPU
    )  # fmt: skip
    cache = open_images([str(folder)], 16)
    with pytest.raises(WeightsError, match=r"broken gives NaN or infinite values for .*1\.png"):
        extract_features(source, cache, batch_size=2)


def test_weights_that_are_not_the_authors_are_said_aloud(options, toy_fp32, capsys):
    for text in ("random", str(toy_fp32)):
        announce(open_source(text, options))
        assert "WARNING  random weights" in capsys.readouterr().err
    demo = NetworkSource(
        torch.nn.Identity(), name="d", size=3, image_size=16, network_size=16, provenance={"kind": "demo"}, device=CPU
    )
    announce(demo)
    assert "WARNING  demonstration weights" in capsys.readouterr().err
    announce(PixelSource(8))
    said = capsys.readouterr().err
    assert "64 features of 8 px images, on cpu" in said
    assert "WARNING" not in said


def test_features_are_kept_with_what_belongs_to_them(tmp_path):
    features = np.arange(6, dtype=np.float32).reshape(2, 3)
    save_features(
        tmp_path / "f.npz",
        {"embeddings": features},
        filenames=["a/1.png", "b/ü.png"],
        labels=["a", "b"],
        splits=["train", "test"],
        provenance={"kind": "random"},
    )
    with np.load(tmp_path / "f.npz", allow_pickle=False) as kept:
        assert np.array_equal(kept["embeddings"], features)
        assert kept["filenames"].tolist() == ["a/1.png", "b/ü.png"]
        assert kept["labels"].tolist() == ["a", "b"]
        assert kept["splits"].tolist() == ["train", "test"]
        assert json.loads(str(kept["provenance"])) == {"kind": "random"}
    with pytest.raises(OutputError, match="does not exist"):
        save_features(tmp_path / "no" / "f.npz", {}, filenames=[], labels=[], splits=[], provenance={})


def test_what_cannot_be_written_is_said_beforehand(tmp_path):
    prepare_out(tmp_path / "new" / "out", tmp_path / "new" / "out" / "f.npz")
    assert (tmp_path / "new" / "out").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot make the folder"):
        prepare_out(tmp_path / "file")
    with pytest.raises(InputError, match=r"must end in \.npz"):
        prepare_out(tmp_path, tmp_path / "f.csv")
    with pytest.raises(OutputError, match="name a file in a folder that exists"):
        prepare_out(tmp_path, tmp_path / "no" / "f.npz")


def test_commands_do_not_import_torch_before_they_run():
    code = (
        "import sys, radiodino.train.commands.knn, radiodino.train.commands.probe; "
        "print([name for name in ('torch', 'sklearn', 'timm', 'matplotlib') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
