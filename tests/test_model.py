from __future__ import annotations

import dataclasses
import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime import DecodingNotice, InputError, Model, ModelFileError, UnreadableImageError, Window
from radiodino.runtime.model_file import read_model_file, seal


@pytest.fixture(scope="module")
def model(toy_fp32):
    return Model.load(toy_fp32)


def cosine(a, b):
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_info_is_the_files_document_and_how_it_runs(model, toy_fp32):
    assert model.info.variant == "toy"
    assert model.info.precision == model.info.compute == "fp32"
    assert model.info.backend == model.backend.name
    assert model.info.file_sha256 == read_model_file(toy_fp32).sha256


def test_run_gives_every_output_in_float32(model):
    outputs = model.run(np.zeros((3, 3, 64, 64), np.float32))
    assert {name: values.shape for name, values in outputs.items()} == {
        "embedding": (3, 48),
        "patch_tokens": (3, 16, 48),
        "attention": (3, 3, 16),
    }
    assert {values.dtype for values in outputs.values()} == {np.dtype(np.float32)}
    assert (outputs["attention"] > 0).all()
    assert (outputs["attention"].sum(-1) < 1).all()


def test_outputs_own_their_memory(model):
    first = model.run(np.zeros((1, 3, 64, 64), np.float32))["embedding"]
    kept = first.copy()
    model.run(np.ones((1, 3, 64, 64), np.float32))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (np.zeros((1, 3, 64, 64), np.float64), "not a float64 array"),
        (np.zeros((1, 3, 64, 64), np.uint8), "give images to embed"),
        ([[0.0]], "not a list"),
        (np.zeros((3, 64, 64), np.float32), r"not \(3, 64, 64\)"),
        (np.zeros((1, 64, 64, 3), np.float32), r"not \(1, 64, 64, 3\)"),
        (np.zeros((1, 3, 224, 224), np.float32), r"\(B, 3, 64, 64\)"),
        (np.zeros((0, 3, 64, 64), np.float32), "B ≥ 1"),
        (np.full((1, 3, 64, 64), np.nan, np.float32), "NaN or infinite"),
        (np.full((1, 3, 64, 64), np.inf, np.float32), "NaN or infinite"),
    ],
)
def test_run_refuses_what_is_no_batch(model, batch, reason):
    with pytest.raises(InputError, match=reason):
        model.run(batch)


def test_embed_is_preprocess_and_run(model, images):
    expected = model.run(np.stack([model.preprocess(image) for image in images]))["embedding"]
    found = model.embed(images, batch_size=2)
    assert found.dtype == np.float32
    assert found.shape == (5, 48)
    assert np.allclose(found, expected, atol=1e-5)


def test_embed_takes_paths_bytes_streams_arrays_and_images_alike(model, images, tmp_path):
    image = images[1]
    path = tmp_path / "a.png"
    image.save(path)
    data = path.read_bytes()
    found = model.embed([str(path), path, data, io.BytesIO(data), np.asarray(image), image])
    assert found.shape == (6, 48)
    assert np.abs(found - found[0]).max() < 1e-5


def test_embed_takes_dicom_datasets(model):
    data = pytest.importorskip("pydicom.data")
    pydicom = pytest.importorskip("pydicom")
    path = data.get_testdata_file("CT_small.dcm", download=False)
    dataset = pydicom.dcmread(path)
    window = Window(40, 400)
    assert np.array_equal(model.embed(dataset, window=window), model.embed(path, window=window))
    assert model.embed([dataset], window=window).shape == (1, 48)


def test_what_was_decided_in_decoding_is_said(model):
    data = pytest.importorskip("pydicom.data")
    path = data.get_testdata_file("CT_small.dcm", download=False)
    with pytest.warns(DecodingNotice, match=r"CT_small\.dcm: it states no window"):
        model.embed(path)
    with pytest.warns(DecodingNotice, match="it states no window"):
        list(model.embed(iter([path])))


@pytest.mark.parametrize("task", ["embed", "classify", "segment", "explain"])
def test_a_blank_image_is_said_to_be_blank(toy_tasks, task):
    model = Model.load(toy_tasks, cache=False)
    black = np.zeros((30, 40), np.uint8)
    with pytest.warns(DecodingNotice, match="an image: blank: all its pixels are equal"):
        getattr(model, task)(black)
    with pytest.warns(DecodingNotice, match="blank"):
        list(getattr(model, task)(iter([black])))
    black[29, 39] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(model, task)(black)


def test_threads_may_share_a_model(model, images):
    expected = model.embed(images)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: model.embed(images), range(8)):
            assert np.array_equal(found, expected)


def test_an_iterator_gives_a_generator(model, images):
    vectors = model.embed(iter(images), batch_size=2)
    assert next(vectors).shape == (48,)
    assert sum(1 for _ in vectors) == 4


def test_a_generator_holds_only_a_few_batches(model, images):
    taken = []

    def endless():
        while True:
            taken.append(None)
            yield images[0]

    vectors = model.embed(endless(), batch_size=2)
    for _ in range(6):
        next(vectors)
    assert len(taken) < 30
    vectors.close()


def test_one_image_and_none(model, images):
    assert model.embed(images[0]).shape == (1, 48)
    assert model.embed([]).shape == (0, 48)


def test_frames_of_one_image_are_rows(model):
    stack = np.random.default_rng(0).integers(0, 256, (4, 32, 32), np.uint8)
    assert model.embed(stack).shape == (4, 48)
    assert np.allclose(model.embed(stack, frame=3), model.embed(stack)[2:3], atol=1e-5)


def test_frames_among_images_need_a_choice(model, images):
    stack = np.random.default_rng(0).integers(0, 256, (4, 32, 32), np.uint8)
    with pytest.raises(InputError, match="several frames"):
        model.embed([images[0], stack])
    with pytest.raises(InputError, match="several frames"):
        list(model.embed(iter([images[0], stack])))


def test_an_unreadable_image_is_named(model, images, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"this is text")
    with pytest.raises(UnreadableImageError, match=r"broken\.png"):
        model.embed([images[0], broken])


@pytest.mark.parametrize("images", [3, None, 2.5])
def test_what_is_no_image_is_refused(model, images):
    with pytest.raises(InputError, match="takes images"):
        model.embed(images)


def test_batch_size_and_threads_must_be_positive(model, toy_fp32, images):
    with pytest.raises(InputError, match="batch_size"):
        model.embed(images, batch_size=0)
    with pytest.raises(InputError, match="threads"):
        Model.load(toy_fp32, threads=0)


def test_batches_do_not_change_a_row(model, images):
    together = model.embed(images * 3, batch_size=15)
    alone = np.concatenate([model.embed(image) for image in images * 3])
    assert np.abs(together - alone).max() < 1e-4 * np.abs(alone).max()


def test_fp16_agrees_with_fp32(toy_fp16, toy_fp32, images):
    half, full = Model.load(toy_fp16), Model.load(toy_fp32)
    for a, b in zip(half.embed(images), full.embed(images), strict=True):
        assert cosine(a, b) > 0.999


def test_provenance_names_file_weights_and_arithmetic(model):
    found = model.provenance()
    assert found["model_sha256"] == model.info.file_sha256
    assert found["compute"] == "fp32"
    assert found["weights"]["kind"] == "random"
    assert found["notice"].startswith("random weights: ")
    assert "not for diagnosis" in found["intended_use"]


# Files that must not be opened


def stripped(path, tmp_path):
    """The same network as another tool would have saved it."""
    onnx = pytest.importorskip("onnx")
    network = onnx.load(path)
    del network.metadata_props[:]
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(network.SerializeToString())
    return foreign


def test_a_file_without_metadata_is_refused(toy_fp32, tmp_path):
    with pytest.raises(ModelFileError, match="--assume-variant"):
        Model.load(stripped(toy_fp32, tmp_path))


def test_assume_variant_refuses_a_network_that_is_another(toy_fp32, tmp_path):
    with pytest.raises(ModelFileError, match=r"is not 'tiny': expected .*192"):
        Model.load(stripped(toy_fp32, tmp_path), assume_variant="tiny")


def test_assume_variant_refuses_other_patches(toy_fp32, toy, tmp_path, monkeypatch):
    from radiodino.runtime import variants

    monkeypatch.setitem(variants.VARIANTS, "toy-sp", dataclasses.replace(toy, name="toy-sp", patch=8))
    with pytest.raises(ModelFileError, match="is not 'toy-sp': expected patches of 8 px, found 16 px"):
        Model.load(stripped(toy_fp32, tmp_path), assume_variant="toy-sp")


def test_assume_variant_is_refused_where_the_file_speaks(toy_fp32):
    with pytest.raises(InputError, match="leave out --assume-variant"):
        Model.load(toy_fp32, assume_variant="tiny")


def test_assume_variant_takes_the_model_cards_preprocessing(toy_fp32, toy, tmp_path, monkeypatch, images):
    from radiodino.runtime import variants

    monkeypatch.setitem(variants.VARIANTS, "toy", toy)
    assumed = Model.load(stripped(toy_fp32, tmp_path), assume_variant="toy")
    assert assumed.info.assumed
    assert assumed.info.precision == "fp32"
    assert assumed.info.weights.kind == "unknown"
    assert assumed.provenance()["assumed_variant"] is True
    assert np.array_equal(assumed.embed(images), Model.load(toy_fp32).embed(images))


def test_metadata_of_another_network_are_refused(toy_fp32, tmp_path):
    file = read_model_file(toy_fp32)
    body = stripped(toy_fp32, tmp_path).read_bytes()
    lying = tmp_path / "lying.onnx"
    lying.write_bytes(seal(body, file.document.replace("48", "192")))
    with pytest.raises(ModelFileError, match="do not fit its network"):
        Model.load(lying)


def test_a_future_schema_is_refused(toy_fp32, tmp_path):
    body = stripped(toy_fp32, tmp_path).read_bytes()
    future = tmp_path / "future.onnx"
    future.write_bytes(seal(body, read_model_file(toy_fp32).document.replace('"schema": 1', '"schema": 99')))
    with pytest.raises(ModelFileError, match=r"schema 99 .*upgrade"):
        Model.load(future)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_damaged_network_is_refused_by_every_engine(toy_fp32, tmp_path, backend):
    onnx = pytest.importorskip("onnx")
    network = onnx.load(toy_fp32)
    document = next(entry.value for entry in network.metadata_props if entry.key == "radiodino")
    del network.metadata_props[:]
    network.graph.node[5].op_type = "NoSuchOperator"
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(seal(network.SerializeToString(), document))
    with pytest.raises(ModelFileError, match="cannot open"):
        Model.load(damaged, backend=backend)


def test_output_that_is_not_finite_is_refused(toy_fp32, monkeypatch):
    model = Model.load(toy_fp32)
    run = model.backend.run
    monkeypatch.setattr(
        model.backend, "run", lambda batch: {name: values * np.nan for name, values in run(batch).items()}
    )
    with pytest.raises(ModelFileError, match="do not use it"):
        model.embed(Image.new("L", (8, 8)))
