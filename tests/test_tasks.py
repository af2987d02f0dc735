"""What the runtime's Python interface says of an image: class, mask, heat map."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import radiodino.runtime
from radiodino.runtime import (
    Classification,
    DecodingNotice,
    Explanation,
    InputError,
    Model,
    ModelFileError,
    Segmentation,
    UnreadableImageError,
)
from radiodino.runtime.model_file import read_model_file
from radiodino.runtime.model_info import INTENDED_USE, Output, parse_model_info
from radiodino.runtime.tasks.classification import LARGEST, THRESHOLD, decide
from radiodino.runtime.tasks.explanation import SCALING
from radiodino.runtime.tasks.geometry import area_mm2, resize_back
from radiodino.runtime.tasks.heads import refuse_bad_heads

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))
METHODS = ["classify", "segment", "explain"]


@pytest.fixture(scope="module")
def model(toy_tasks):
    return Model.load(toy_tasks)


@pytest.fixture(scope="module")
def embedder(toy_fp32):
    return Model.load(toy_fp32)


class Engine:
    """An engine that answers every image alike, with what it was given."""

    name, version, compute, threads = "fake", "1", "fp32", None
    parallel = 1
    takes_pixels = False
    input_shape = (-1, 3, 64, 64)

    def __init__(self, **outputs):
        self.outputs = outputs
        self.output_shapes = {name: (-1, *np.shape(values)) for name, values in outputs.items()}
        self.batches = []

    def run(self, batch):
        self.batches.append(len(batch))
        return {name: np.stack([np.asarray(values, np.float32)] * len(batch)) for name, values in self.outputs.items()}


def answering(model, *, classifier=None, segmenter=None, **outputs) -> Model:
    """A model of the same file that answers `outputs`, its heads changed."""
    whole = {
        "embedding": np.zeros(48),
        "logits": np.zeros(3),
        "probabilities": [0.2, 0.5, 0.3],
        "mask": np.zeros((64, 64)),
        "attention": np.full((3, 16), 0.05),
        "cam": np.zeros((3, 16)),
        **outputs,
    }
    info = dataclasses.replace(
        model.info,
        classifier=dataclasses.replace(model.info.classifier, **(classifier or {})),
        segmenter=dataclasses.replace(model.info.segmenter, **(segmenter or {})),
    )
    return Model(info, Engine(**whole))


# ---- one pass gives everything


def test_all_answers_are_of_the_same_outputs(model, images):
    outputs = model.run(np.stack([model.preprocess(image) for image in images]))
    classified, segmented = model.classify(images, 5), model.segment(images, 5)
    explained = model.explain(images, 5, kind="attention")
    for index, (one, two, three) in enumerate(zip(classified, segmented, explained, strict=True)):
        assert isinstance(one, Classification)
        assert np.allclose(one.probabilities, outputs["probabilities"][index], atol=1e-5)
        assert np.allclose(one.logits, outputs["logits"][index], atol=1e-4)
        assert np.allclose(one.embedding, outputs["embedding"][index], atol=1e-4)
        assert one.probabilities.dtype == one.logits.dtype == one.embedding.dtype == np.float32
        for other in (two.classification, three.classification):
            assert other.label == one.label
            assert np.allclose(other.probabilities, one.probabilities, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_runs_once_whatever_is_asked(model, images, method):
    fake = answering(model)
    assert len(getattr(fake, method)(images, 2)) == 5
    assert fake.backend.batches == [2, 2, 1]


@pytest.mark.parametrize("method", METHODS)
def test_the_files_notice_goes_with_every_answer(model, images, method):
    (found,) = getattr(model, method)(images[0])
    assert found.notice == model.info.notice
    assert found.notice.startswith("random weights")


# ---- inputs, as those of embed()


@pytest.mark.parametrize("method", METHODS)
def test_an_iterator_gives_a_generator_of_few_batches(model, images, method):
    taken = []
    fake = answering(model)

    def endless():
        while True:
            taken.append(None)
            yield images[0]

    answers = getattr(fake, method)(endless(), batch_size=2)
    assert not taken
    for done in range(1, 8):
        next(answers)
        assert sum(fake.backend.batches) == 2 * math.ceil(done / 2)  # one batch at a time
        assert len(taken) <= 2 * math.ceil(done / 2) + 4  # two batches are read ahead
    answers.close()


@pytest.mark.parametrize("method", METHODS)
def test_frames_of_one_image_are_answers_of_their_own(model, images, method):
    stack = np.random.default_rng(0).integers(0, 256, (4, 32, 20), np.uint8)
    assert len(getattr(model, method)(stack)) == 4
    assert len(getattr(model, method)(stack, frame=3)) == 1
    assert getattr(model, method)([]) == []
    with pytest.raises(InputError, match="several frames"):
        getattr(model, method)([images[0], stack])


@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_read_is_named(model, images, tmp_path, method):
    (tmp_path / "bad.png").write_bytes(b"text")
    with pytest.raises(UnreadableImageError, match=r"bad\.png"):
        getattr(model, method)([images[0], tmp_path / "bad.png"])
    with pytest.raises(InputError, match="takes images, not int"):
        getattr(model, method)(3)
    with pytest.raises(InputError, match="batch_size must be at least 1, not 0"):
        getattr(model, method)(images, 0)


@pytest.mark.parametrize(
    ("method", "cure"), [("classify", "--task classify"), ("segment", "--task segment"), ("explain", None)]
)
def test_a_file_without_the_head_is_refused_with_the_cure(embedder, images, method, cure):
    if cure is None:  # the toy that embeds gives attention, and no cam
        assert embedder.explain(images[0])[0].kind == "attention"
        with pytest.raises(ModelFileError, match=r"no cam: export one with .*--outputs cam --task classify"):
            embedder.explain(images[0], kind="cam")
        bare = Model(dataclasses.replace(embedder.info, outputs=embedder.info.outputs[:1]), embedder.backend)
        with pytest.raises(ModelFileError, match=r"neither cam nor attention.*--outputs attention"):
            bare.explain(images[0])
    else:
        with pytest.raises(ModelFileError, match=f"task 'embed' and does not {method}.*{cure}"):
            getattr(embedder, method)(images[0])


# ---- classes


def test_the_largest_probability_is_said(model, images):
    (found,) = answering(model).classify(images[0])
    assert (found.label, found.index, found.decided_by) == ("malignant", 1, LARGEST)
    assert found.classes == ("benign", "malignant", "normal")
    assert found.probability == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("second", "said"), [(0.3, "b"), (np.nextafter(np.float32(0.3), np.float32(0)), "a"), (0.45, "b"), (0.1, "a")]
)
def test_of_two_classes_the_threshold_decides(model, images, second, said):
    head = {"classes": ("a", "b"), "thresholds": {"b": 0.3}}
    fake = answering(
        model, classifier=head, logits=np.zeros(2), probabilities=[1 - second, second], cam=np.zeros((2, 16))
    )
    (found,) = fake.classify(images[0])
    assert (found.label, found.decided_by) == (said, THRESHOLD)
    assert found.probability == pytest.approx(second if said == "b" else 1 - second)


@given(values=st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3))
def test_of_equal_probabilities_the_first_counts(toy_tasks, values):
    head = parse_model_info(read_model_file(toy_tasks).document, "file").classifier
    index, _ = decide(np.array(values, np.float32), head)
    assert values[index] == max(values)
    assert index == values.index(max(values))


# ---- masks


@settings(deadline=None)
@given(size=SIZES, side=st.integers(1, 40), seed=st.integers(0, 99))
def test_resizing_back_keeps_shape_and_range(size, side, seed):
    values = np.random.default_rng(seed).random((side, side), np.float32)
    found = resize_back(values, size)
    assert found.shape == size
    assert found.dtype == np.float32
    assert values.min() <= found.min()
    assert found.max() <= values.max()


@settings(deadline=None)
@given(size=SIZES, side=st.integers(1, 40), value=st.floats(0, 1, width=32))
def test_a_constant_stays_constant(size, side, value):
    assert (resize_back(np.full((side, side), value, np.float32), size) == np.float32(value)).all()


@settings(deadline=None)
@given(side=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_same_size_changes_nothing(side, seed):
    values = np.random.default_rng(seed).random((side, side), np.float32)
    assert np.array_equal(resize_back(values, (side, side)), values)


@settings(deadline=None)
@given(size=st.tuples(st.integers(16, 90), st.integers(16, 90)), seed=st.integers(0, 99))
def test_resizing_back_knows_up_and_left(size, seed):
    values = np.random.default_rng(seed).random((8, 8), np.float32)
    assert np.allclose(resize_back(values[::-1], size), resize_back(values, size)[::-1], atol=1e-6)
    assert np.allclose(resize_back(values.T, size[::-1]), resize_back(values, size).T, atol=1e-6)
    assert np.allclose(resize_back(values, (8 * size[0], 8 * size[1])).mean(), values.mean(), atol=0.02)


def test_a_mask_lies_where_the_network_saw_it(model):
    """A rectangle of the network's square becomes the same part of the image, wider or higher."""
    mask = np.zeros((64, 64), np.float32)
    mask[16:48, 8:24] = 1
    fake = answering(model, mask=mask)
    for height, width in ((128, 64), (64, 256), (200, 300)):
        (found,) = fake.segment(Image.new("L", (width, height)))
        assert found.mask.shape == found.probability.shape == (height, width)
        assert found.mask.dtype == bool
        rows, columns = np.nonzero(found.mask)
        assert np.allclose([rows.min(), rows.max() + 1], [height / 4, height * 3 / 4], atol=1 + height / 128)
        assert np.allclose([columns.min(), columns.max() + 1], [width / 8, width * 3 / 8], atol=1 + width / 128)
        assert found.share == pytest.approx(0.125, abs=0.02)


def test_the_threshold_belongs_to_the_mask(model):
    for value, marked in ((0.3, True), (np.nextafter(np.float32(0.3), np.float32(0)), False)):
        fake = answering(model, segmenter={"threshold": 0.3}, mask=np.full((64, 64), value, np.float32))
        (found,) = fake.segment(Image.new("L", (50, 40)))
        assert (found.share, found.threshold) == (float(marked), 0.3)
        assert found.mask.all() == found.mask.any() == marked


@given(
    pixels=st.integers(0, 2**26),
    rows=st.floats(0.01, 10),
    columns=st.floats(0.01, 10),
)
def test_an_area_is_pixels_times_spacing(pixels, rows, columns):
    assert area_mm2(pixels, (rows, columns)) == pytest.approx(pixels * rows * columns)
    assert area_mm2(pixels, None) is None


def test_a_dicom_mask_has_an_area(model):
    data = pytest.importorskip("pydicom.data")
    path = data.get_testdata_file("CT_small.dcm", download=False)
    fake = answering(model, mask=np.ones((64, 64)))
    with pytest.warns(DecodingNotice, match="no window"):
        (found,) = fake.segment(path)
    assert found.mask.shape == (128, 128)
    assert found.spacing == (0.661468, 0.661468)
    assert found.area_mm2 == pytest.approx((128 * 0.661468) ** 2)
    assert found.spacing_notice is None


def test_an_image_without_scale_has_no_area(model, images):
    (found,) = model.segment(images[0])
    assert (found.area_mm2, found.spacing, found.spacing_notice) == (None, None, None)
    assert isinstance(found, Segmentation)
    assert found.label == "lesion"


def test_what_must_be_known_of_the_scale_is_said_where_it_matters(model, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    data = pytest.importorskip("pydicom.data")
    dataset = pydicom.dcmread(data.get_testdata_file("CT_small.dcm", download=False))
    del dataset.PixelSpacing
    dataset.ImagerPixelSpacing = [0.1, 0.2]
    with pytest.warns(DecodingNotice) as said:
        (found,) = model.segment(dataset)
    assert any("measured at the detector" in str(warning.message) for warning in said)
    assert found.spacing == (0.1, 0.2)
    assert "detector" in found.spacing_notice
    with pytest.warns(DecodingNotice) as said:
        model.classify(dataset)
    assert not any("detector" in str(warning.message) for warning in said)


# ---- heat maps


def test_a_cam_is_of_the_class_that_is_said(model, images):
    (found,) = model.explain(images[2])
    assert isinstance(found, Explanation)
    assert (found.kind, found.label) == ("cam", found.classification.label)
    assert found.scaling == SCALING["cam"]
    assert found.heat.shape == (300, 200)
    assert found.heat.dtype == np.float32
    assert found.patches.shape == (4, 4)


def test_a_cam_shows_what_softmax_sees(model, images):
    """The same added to the weights of every class changes no probability, so it may change no map."""
    random = np.random.default_rng(0)
    cam = random.normal(size=(3, 16)).astype(np.float32)
    (plain,) = answering(model, cam=cam).explain(images[0], label="normal")
    (moved,) = answering(model, cam=cam + random.normal(size=16) * 10).explain(images[0], label="normal")
    assert np.allclose(plain.patches, moved.patches, atol=1e-5)
    assert np.allclose(plain.patches.ravel(), cam[2] - cam.mean(0), atol=1e-6)
    assert np.allclose(plain.heat, moved.heat, atol=1e-5)


def test_evidence_against_a_class_is_zero(model, images):
    cam = np.zeros((3, 16))
    cam[1, 5], cam[1, 6], cam[1, 7] = 6, 3, -6
    (found,) = answering(model, cam=cam).explain(Image.new("L", (4, 4)), label="malignant")
    assert found.heat.ravel()[[5, 6, 7, 0]].tolist() == [1, 0.5, 0, 0]
    (nothing,) = answering(model).explain(images[0])
    assert not nothing.heat.any()


def test_attention_is_the_mean_over_the_heads(model):
    attention = np.full((3, 16), 0.01)
    attention[0, 3] = 0.31
    attention[1, 2] = 0.16
    (found,) = answering(model, attention=attention).explain(Image.new("L", (4, 4)), kind="attention")
    assert found.label is None
    assert np.allclose(found.patches.ravel()[[3, 2, 0]], [0.11, 0.06, 0.01])
    assert np.allclose(found.heat.ravel()[[3, 2, 0]], [1, 0.5, 0], atol=1e-6)
    (flat,) = answering(model, attention=np.full((3, 16), 0.05)).explain(Image.new("L", (9, 9)), kind="attention")
    assert not flat.heat.any()


@settings(deadline=None, max_examples=25)
@given(size=SIZES, seed=st.integers(0, 99), kind=st.sampled_from(["cam", "attention"]))
def test_heat_lies_within_0_and_1(model, size, seed, kind):
    random = np.random.default_rng(seed)
    fake = answering(model, cam=random.normal(size=(3, 16)), attention=random.random((3, 16)))
    (found,) = fake.explain(Image.new("L", size[::-1]), kind=kind)
    assert found.heat.shape == size
    assert 0 <= found.heat.min() <= found.heat.max() <= 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": "grad-cam"}, "choose cam or attention"),
        ({"label": "cyst"}, "no class 'cyst': choose one of benign, malignant, normal"),
        ({"kind": "attention", "label": "benign"}, "leave out the class"),
    ],
)
def test_what_cannot_be_explained_is_refused(model, images, options, reason):
    with pytest.raises(InputError, match=reason):
        model.explain(images[0], **options)


# ---- the file


def heads(model, **changes):
    return dataclasses.replace(model.info, **changes)


def bad(model, head, **changes):
    return heads(model, **{head: dataclasses.replace(getattr(model.info, head), **changes)})


def shaped(model, name, shape):
    outputs = tuple(o if o.name != name else dataclasses.replace(o, shape=shape) for o in model.info.outputs)
    return heads(model, outputs=outputs)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: heads(m, classifier=None), "task is 'classify"),
        (lambda m: heads(m, segmenter=None), "task is 'classify"),
        (lambda m: heads(m, task="embed"), "task is 'embed'"),
        (lambda m: heads(m, task="segment", classifier=None), "cam without a classification head"),
        (lambda m: bad(m, "classifier", classes=("a",)), "two or more different"),
        (lambda m: bad(m, "classifier", classes=("a", "a", "b")), "two or more different"),
        (lambda m: bad(m, "classifier", classes=("a", "b")), r"'logits' is \(-1, 3\) and not \(-1, 2\)"),
        (lambda m: bad(m, "classifier", temperature=0.0), "temperature is 0"),
        (lambda m: bad(m, "classifier", temperature=math.nan), "temperature is nan"),
        (lambda m: bad(m, "classifier", thresholds={"normal": 0.5}), "second of two classes"),
        (lambda m: bad(m, "segmenter", threshold=1.5), "threshold of the mask is 1.5"),
        (lambda m: bad(m, "segmenter", threshold=math.nan), "threshold of the mask is nan"),
        (lambda m: shaped(m, "mask", (-1, 32, 32)), r"not \(-1, 64, 64\)"),
        (lambda m: shaped(m, "probabilities", (-1, 4)), r"'probabilities' is \(-1, 4\)"),
        (lambda m: shaped(m, "cam", (-1, 2, 16)), "there are 3 classes"),
        (lambda m: shaped(m, "cam", (-1, 3, 9)), "there are 16 patches"),
        (lambda m: shaped(m, "attention", (-1, 3, 9)), "there are 16 patches"),
    ],
)
def test_heads_that_cannot_be_are_refused(model, change, reason):
    with pytest.raises(ModelFileError, match=f"not consistent .*{reason}.*export it again"):
        refuse_bad_heads(change(model), "file")


@pytest.mark.parametrize(
    ("thresholds", "reason"),
    [
        ({"b": 0.5}, None),
        ({"a": 0.5}, "second"),
        ({"a": 0.5, "b": 0.5}, "second"),
        ({"b": 2.0}, "threshold is 2"),
        ({}, "s"),
    ],
)
def test_a_threshold_is_for_the_second_of_two_classes(model, thresholds, reason):
    two = tuple(
        Output(
            name=o.name, shape={"logits": (-1, 2), "probabilities": (-1, 2), "cam": (-1, 2, 16)}.get(o.name, o.shape)
        )
        for o in model.info.outputs
    )
    head = dataclasses.replace(model.info.classifier, classes=("a", "b"), thresholds=thresholds)
    info = heads(model, outputs=two, classifier=head)
    if reason is None:
        refuse_bad_heads(info, "file")
    else:
        with pytest.raises(ModelFileError, match=reason):
            refuse_bad_heads(info, "file")


def test_the_provenance_names_the_heads(model, embedder):
    import json

    found = json.loads(json.dumps(model.provenance()))
    for name, head in (("classifier", model.info.classifier), ("segmenter", model.info.segmenter)):
        assert found[name]["sha256"] == head.sha256
        assert found[name]["training_set"] == head.training_set
        assert found[name]["name"] == head.name
    assert found["task"] == "classify+segment"
    assert not {"classifier", "segmenter"} & set(embedder.provenance())


def test_the_intended_use_fits_all_outputs():
    assert "not for diagnosis" in INTENDED_USE
    for word in ("features", "classes", "masks", "maps"):
        assert word in INTENDED_USE


def test_the_names_are_exported():
    for name in ("Classification", "Segmentation", "Explanation"):
        assert name in radiodino.runtime.__all__
