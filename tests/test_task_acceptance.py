"""What real folders hold - cines, mixed modalities, CTs in a wrong window, photos - as classify, segment and explain
meet it: a sensible answer, with what must be known of it, or a refusal by name."""

from __future__ import annotations

import csv
import io
import json
import shutil
import warnings
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime import DecodingNotice, InputError, Model, Window
from radiodino.runtime.blank import BLANK
from radiodino.runtime.cli import main
from radiodino.runtime.decode import decode
from radiodino.runtime.dicom.frames import NO_WINDOW, NOT_WINDOWED
from radiodino.runtime.dicom.spacing import AT_DETECTOR, OTHER_REGIONS
from radiodino.runtime.pictures.explanation_picture import explanation_picture
from radiodino.runtime.pictures.segmentation_picture import segmentation_picture
from radiodino.runtime.pixels import FAINT
from radiodino.runtime.task_runs.picture_rows import remark

pydicom = pytest.importorskip("pydicom")
from pydicom.data import get_testdata_file  # noqa: E402

TASKS = ("classify", "segment", "explain")
NO_DICOM = "it is no DICOM file, for 'DICM' is missing at byte 128: export it anew in the DICOM file format"
NO_IMAGE = "it holds no pixel data, as reports and plans do"
NO_SEGMENTATION, NO_REPORT = (f"no DICOM {product}: it is no DICOM file" for product in ("segmentation", "report"))
FRAMES = 6
SOFT_TISSUE = Window(40, 400)
each_task = pytest.mark.parametrize("task", TASKS)


class Done(NamedTuple):
    """What a run wrote and said."""

    status: int
    out: str
    rows: dict[str, dict[str, str]]
    """By the name of the image or frame."""
    notices: dict[str, str]
    reasons: dict[str, str]
    """Why an input is not among the rows."""
    provenance: dict


@pytest.fixture
def run(command, here, toy_tasks):
    """Runs a task over inputs; it writes NAME.csv, or a folder NAME."""

    def run(task: str, *arguments: object) -> Done:
        table = Path("classify.csv") if task == "classify" else Path(task, f"{task}.csv")
        output = table if task == "classify" else task
        ended = command(main, task, *arguments, "-m", toy_tasks, "-o", output, "--force")
        assert ended.status in (0, 3), ended.err
        return Done(
            ended.status,
            ended.out,
            {row["filename"]: row for row in read(table)},
            {row["filename"]: row["notice"] for row in read(table.with_name(f"{table.name}.notices.csv"))},
            {row["filename"]: row["reason"] for row in read(table.with_name(f"{table.name}.errors.csv"))},
            json.loads(table.with_name(f"{table.name}.info.json").read_text(encoding="utf-8")),
        )

    return run


def read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def model(toy_tasks) -> Model:
    return Model.load(toy_tasks)


def scan(name: str, to: str | Path) -> Path:
    """A copy of one of pydicom's files."""
    Path(to).parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(get_testdata_file(f"{name}.dcm", download=False), to))


def cine(to: str | Path) -> Path:
    """The first frames of a cine of pydicom's: more than are read ahead of an input."""
    dataset = pydicom.dcmread(get_testdata_file("examples_ybr_color.dcm", download=False))
    frames = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames)
    dataset.PixelData = pydicom.encaps.encapsulate(list(islice(frames, FRAMES)))
    dataset.NumberOfFrames = FRAMES
    Path(to).parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(to)
    return Path(to)


def alone(model: Model, task: str, image: object, **options: object) -> list:
    """What the model says of one image, or of its frames, given alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DecodingNotice)
        return getattr(model, task)(image, **options)


def is_said(row: dict[str, str], found) -> bool:
    """Whether a row of a table says what the model does."""
    classified = getattr(found, "classification", found)
    if not np.allclose(probabilities(row), classified.probabilities, atol=1e-4):
        return False
    if hasattr(found, "area_mm2"):
        area = "" if found.area_mm2 is None else pytest.approx(found.area_mm2, rel=0.01, abs=1)
        if (float(row["area_mm2"]) if row["area_mm2"] else "") != area:
            return False
    shape = found.mask.shape if hasattr(found, "mask") else found.heat.shape if hasattr(found, "heat") else None
    return shape is None or shape == (int(row["height"]), int(row["width"]))


def probabilities(row: dict[str, str]) -> list[float]:
    return [float(value) for name, value in row.items() if name.startswith("probability_")]


# ---- several frames


@each_task
def test_a_cine_is_answered_frame_by_frame(run, model, task):
    cine("cine.dcm")
    whole, one = run(task, "cine.dcm"), run(task, "cine.dcm", "--frame", 5)
    assert list(whole.rows) == [f"cine.dcm#{number}" for number in range(1, FRAMES + 1)]
    assert [row["frame"] for row in whole.rows.values()] == [str(number) for number in range(1, FRAMES + 1)]
    assert all(map(is_said, whole.rows.values(), alone(model, task, "cine.dcm")))
    assert len({tuple(probabilities(row)) for row in whole.rows.values()}) > 3
    assert list(one.rows) == ["cine.dcm#5"]
    assert is_said(one.rows["cine.dcm#5"], alone(model, task, "cine.dcm", frame=5)[0])
    assert one.provenance["options"]["frame"] == 5
    if task != "classify":
        assert {path.name for path in Path(task, "overlays").iterdir()} == {"cine#5.png"}  # those of the first are gone


@each_task
def test_a_frame_that_is_not_there_is_refused_by_name(run, refused, toy_tasks, task):
    cine("d/cine.dcm")
    scan("CT_small", "d/ct.dcm")
    done = run(task, "d", "--frame", 2)
    assert (done.status, list(done.rows)) == (3, ["d/cine.dcm#2"])
    assert done.reasons == {"d/ct.dcm": "frame 2 was asked for, but it holds one frame: choose frame 1 or none"}
    said = refused(main, task, "d/cine.dcm", "--frame", 7, "-m", toy_tasks, "-o", "out.csv")
    assert "d/cine.dcm" in said
    assert "frame 7 was asked for, but it holds 6 frames: choose one from 1 to 6" in said


def test_a_cine_among_other_images_needs_a_choice_in_python(model, here):
    """In a table each frame has a row; a list of answers has one place for each image."""
    files = [cine(here / "cine.dcm"), scan("CT_small", here / "ct.dcm")]
    for task in TASKS:
        with pytest.raises(InputError, match=r"cine\.dcm has several frames and is one image among others: choose one"):
            alone(model, task, files)
        assert len(alone(model, task, files[:1], frame=3)) == 1


@pytest.mark.parametrize(("chosen", "numbers"), [([], range(1, FRAMES + 1)), (["--frame", 5], [5])])
def test_the_masks_of_a_cine_become_frames_of_one_segmentation(run, chosen, numbers):
    highdicom = pytest.importorskip("highdicom")
    source = pydicom.dcmread(cine("cine.dcm"), stop_before_pixels=True)
    done = run("segment", "cine.dcm", "--dicom-seg", *chosen)
    assert done.notices == {}
    found = highdicom.seg.segread("segment/dicom-seg/cine.dcm")
    assert found.NumberOfFrames == len(numbers)
    assert found.StudyInstanceUID == source.StudyInstanceUID
    pixels = found.get_pixels_by_source_frame(source.SOPInstanceUID, list(numbers))
    for number, marked in zip(numbers, pixels, strict=True):
        with Image.open(f"segment/masks/cine#{number}.png") as mask:
            assert np.array_equal(marked[..., 0] > 0, np.asarray(mask) > 0)


def test_the_classes_of_a_cine_become_parts_of_one_report(run):
    highdicom = pytest.importorskip("highdicom")
    cine("cine.dcm")
    done = run("classify", "cine.dcm", "--report")
    report = highdicom.sr.srread("classify.csv.reports/cine.dcm")
    said = {
        f"cine.dcm#{group.source_images[0].referenced_frame_numbers[0]}": group.get_qualitative_evaluations()[0]
        for group in report.content.get_image_measurement_groups()
    }
    assert {name: found.value.meaning for name, found in said.items()} == {
        name: row["class"] for name, row in done.rows.items()
    }


def test_frames_in_space_keep_place_and_area(run):
    """Four 16-bit slices as one enhanced MR file."""
    highdicom = pytest.importorskip("highdicom")
    slices = []
    for place in range(4):
        one = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False))
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        one.ImagePositionPatient = [-83.9063, -91.2, 6.6406 + 5 * place]
        one.InstanceNumber = place + 1
        one.PixelData = np.roll(one.pixel_array, 9 * place, axis=0).tobytes()
        del one.AcquisitionDate, one.AcquisitionTime  # older releases of highdicom trip over them
        slices.append(one)
    uid = pydicom.uid.generate_uid
    highdicom.legacy.LegacyConvertedEnhancedMRImage(slices, uid(), 5, uid(), 1).save_as("mr.dcm")
    done = run("segment", "mr.dcm", "--dicom-seg")
    assert list(done.rows) == [f"mr.dcm#{number}" for number in range(1, 5)]
    source, found = pydicom.dcmread("mr.dcm"), pydicom.dcmread("segment/dicom-seg/mr.dcm")
    spacing = [float(distance) for distance in slices[0].PixelSpacing]
    for row in done.rows.values():
        assert [float(row[f"{way}_spacing_mm"]) for way in ("row", "column")] == pytest.approx(spacing, rel=1e-5)
        assert float(row["area_mm2"]) == pytest.approx(float(row["share"]) * 64 * 64 * np.prod(spacing), rel=1e-4)
    assert found.FrameOfReferenceUID == source.FrameOfReferenceUID
    groups = found.PerFrameFunctionalGroupsSequence
    assert len(groups) == 4
    for group, marked in zip(groups, found.pixel_array, strict=True):
        number = int(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        own = source.PerFrameFunctionalGroupsSequence[number - 1].PlanePositionSequence[0]
        assert group.PlanePositionSequence[0].ImagePositionPatient == own.ImagePositionPatient
        with Image.open(f"segment/masks/mr#{number}.png") as mask:
            assert np.array_equal(marked > 0, np.asarray(mask) > 0)


# ---- mixed modalities


PICTURES = {
    "ct/ct.dcm": NO_WINDOW,
    "mr/mr.dcm": None,
    "nm/whole_body.dcm": NO_WINDOW,
    "us/palette.dcm": None,
    "us/colour.dcm": None,
    "xray/chest.dcm": None,
    "other/photo.jpg": None,
    "other/raw16.png": FAINT,
}
"""What can be read, and what must be known of it."""
REFUSED = {
    "ct/cut_short.dcm": "the file is truncated within its pixel data",
    "ct/empty.dcm": "the file is empty",
    "ct/plan.dcm": NO_IMAGE,
    "ct/structures.dcm": NO_DICOM,
    "other/ecg.dcm": NO_IMAGE,
    "other/report.dcm": NO_IMAGE,
    "us/no_dicom.dcm": NO_DICOM,
}


@pytest.fixture
def mixed(here) -> Path:
    """Eight images of CT, MR, nuclear medicine, ultrasound, X-ray and a camera; seven files that are none; a note."""
    files = {
        "ct/ct": "CT_small",
        "mr/mr": "MR_small",
        "nm/whole_body": "JPGExtended",
        "us/palette": "examples_palette",
        "us/colour": "examples_rgb_color",
        "ct/cut_short": "MR_truncated",
        "ct/plan": "rtplan",
        "ct/structures": "rtstruct",
        "other/ecg": "waveform_ecg",
        "other/report": "reportsi",
    }
    for name, source in files.items():
        scan(source, f"mixed/{name}.dcm")
    Path("mixed/xray").mkdir()
    xray = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    xray.Modality, xray.PhotometricInterpretation = "DX", "MONOCHROME1"
    xray.WindowCenter, xray.WindowWidth = 100, 1500
    del xray.PixelSpacing
    xray.ImagerPixelSpacing = [0.2, 0.2]
    xray.save_as("mixed/xray/chest.dcm")
    photo().save("mixed/other/photo.jpg")
    Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)).save("mixed/other/raw16.png")
    Path("mixed/ct/empty.dcm").write_bytes(b"")
    Path("mixed/us/no_dicom.dcm").write_bytes(b"no image at all" * 20)
    Path("mixed/notes.txt").write_text("for people")
    return here / "mixed"


def photo(width: int = 320, height: int = 240) -> Image.Image:
    """A colourful picture without noise, as cameras take them."""
    y, x = np.mgrid[:height, :width]
    channels = (255 * x / width, 255 * y / height, 127 + 127 * np.sin(x / 19) * np.cos(y / 13))
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


@each_task
def test_a_folder_of_mixed_modalities(run, model, mixed, task):
    done = run(task, "mixed")
    assert done.status == 3
    assert set(done.rows) == {f"mixed/{name}" for name in PICTURES}
    for name, row in done.rows.items():
        assert row["label"] == name.split("/")[1]
        assert is_said(row, alone(model, task, name)[0]), name  # whatever lay beside it
    scale = {"xray/chest.dcm": AT_DETECTOR, "us/palette.dcm": OTHER_REGIONS} if task != "classify" else {}
    assert done.notices == {
        f"mixed/{name}": notice for name, notice in {**PICTURES, **scale}.items() if notice is not None
    }
    assert done.reasons == {f"mixed/{name}": reason for name, reason in REFUSED.items()}
    for name, reason in list(done.reasons.items())[:5]:  # the others are counted
        assert f"ERROR    {name}: {reason}" in done.out
    assert "skipped as no images: 1 .txt" in done.out


@each_task
def test_a_window_given_for_ct_is_not_used_on_colour_and_that_is_said(run, model, mixed, task):
    plain, done = run(task, "mixed"), run(task, "mixed", "--window", 40, 400)
    grey = {f"mixed/{name}" for name in ("ct/ct.dcm", "mr/mr.dcm", "nm/whole_body.dcm", "xray/chest.dcm")}
    for name, row in done.rows.items():
        assert (NOT_WINDOWED in done.notices.get(name, "")) == (name not in grey)
        assert NO_WINDOW not in done.notices.get(name, "")
        expected = alone(model, task, name, window=SOFT_TISSUE)[0] if name in grey else alone(model, task, name)[0]
        assert is_said(row, expected), name
    assert probabilities(done.rows["mixed/ct/ct.dcm"]) != probabilities(plain.rows["mixed/ct/ct.dcm"])
    assert done.provenance["options"]["window"] == vars(SOFT_TISSUE)


def test_of_mixed_modalities_dicom_alone_becomes_dicom(run, mixed):
    pytest.importorskip("highdicom")
    segmented, classified = run("segment", "mixed", "--dicom-seg"), run("classify", "mixed", "--report")
    for name in ("mixed/other/photo.jpg", "mixed/other/raw16.png"):
        assert NO_SEGMENTATION in segmented.notices[name]
        assert NO_REPORT in classified.notices[name]
    for folder, done in (("segment/dicom-seg", segmented), ("classify.csv.reports", classified)):
        made = {path.stem for path in Path(folder).iterdir()}
        missing = {name for name, notice in done.notices.items() if "no DICOM" in notice}
        assert made == {name.removeprefix("mixed/").replace("/", "_")[:-4] for name in set(done.rows) - missing}
        assert {"ct_ct", "mr_mr", "us_palette", "us_colour"} <= made


# ---- a 16-bit CT in a wrong window


@each_task
@pytest.mark.parametrize(("center", "grey"), [(9000, 0), (-9000, 255)])
def test_a_window_that_shows_nothing_is_said(run, task, center, grey):
    scan("CT_small", "ct.dcm")
    done = run(task, "ct.dcm", "--window", center, 10)
    assert done.status == 0
    assert done.notices == {"ct.dcm": BLANK}
    assert f"notice   1 × {BLANK} (first ct.dcm)" in done.out
    assert done.provenance["options"]["window"] == vars(Window(center, 10))
    (seen,) = decode("ct.dcm", window=Window(center, 10))
    assert seen.image.getextrema() == (grey, grey)
    right = run(task, "ct.dcm", "--window", 40, 400)
    assert right.notices == {}
    assert probabilities(right.rows["ct.dcm"]) != probabilities(done.rows["ct.dcm"])


def test_a_picture_of_nothing_says_so(run, model):
    """Below the picture, where one looks, not in the table alone."""
    scan("CT_small", "ct.dcm")
    nothing = Window(9000, 10)
    (seen,) = decode("ct.dcm", window=nothing)
    (mask,), (heat,) = (alone(model, task, "ct.dcm", window=nothing) for task in ("segment", "explain"))
    for task, expected in (
        ("segment", lambda said: segmentation_picture(seen.image, mask, said)),
        ("explain", lambda said: explanation_picture(seen.image, heat, spacing=seen.spacing, remark=said)),
    ):
        done = run(task, "ct.dcm", "--window", 9000, 10)
        with Image.open(Path(task, done.rows["ct.dcm"]["overlay"])) as picture:
            assert picture.size == expected(remark(BLANK)).size != expected(None).size  # a line more


@each_task
def test_a_ct_whose_own_window_is_none_is_refused_with_the_cure(run, refused, toy_tasks, here, task):
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.WindowCenter, dataset.WindowWidth = 40, 0
    dataset.save_as("ct.dcm")
    said = refused(main, task, "ct.dcm", "-m", toy_tasks, "-o", "out.csv")
    assert "ct.dcm" in said
    assert "its own window is incomplete or not a valid one: set one with --window C W" in said
    assert run(task, "ct.dcm", "--window", 40, 400).status == 0


@each_task
@pytest.mark.parametrize(
    ("center", "width", "sentence"), [(40, 0, "must be at least 1, but is 0"), ("nan", 400, "needs finite numbers")]
)
def test_what_is_no_window_is_refused(refused, toy_tasks, here, task, center, width, sentence):
    scan("CT_small", "ct.dcm")
    output = here / "out.csv"
    assert sentence in refused(main, task, "ct.dcm", "--window", center, width, "-m", toy_tasks, "-o", output)
    assert not output.exists()


# ---- an 8-bit photo


@each_task
def test_a_photo_is_answered_as_it_is_and_measured_in_pixels_alone(run, model, task):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "MARKER"  # to be turned for people, and a description
    photo(900, 600).save("photo.jpg", quality=95, dpi=(300, 300), exif=exif)
    done = run(task, "photo.jpg")
    assert (done.status, done.notices, done.reasons) == (0, {}, {})
    (row,) = done.rows.values()
    with Image.open("photo.jpg") as opened:
        pixels = np.asarray(opened)  # as the model card opens it, not turned
    assert is_said(row, alone(model, task, pixels)[0])
    if task != "classify":
        assert (row["width"], row["height"]) == ("900", "600")
    if task == "segment":
        assert row["area_mm2"] == row["row_spacing_mm"] == row["column_spacing_mm"] == ""  # dots per inch measure none
        with Image.open(Path(task, row["mask"])) as mask:
            assert mask.size == (900, 600)
    for path in Path.cwd().rglob("*"):
        assert not path.is_file() or path.name == "photo.jpg" or b"MARKER" not in path.read_bytes()


@each_task
def test_a_grey_photo_is_one_of_equal_channels(run, task):
    grey = photo().convert("L")
    grey.save("l.png")
    Image.merge("RGB", (grey,) * 3).save("rgb.png")
    alpha = io.BytesIO()
    Image.merge("LA", (grey, Image.new("L", grey.size, 9))).save(alpha, "PNG")
    Path("la.png").write_bytes(alpha.getvalue())
    done = run(task, "l.png", "rgb.png", "la.png")
    assert len({tuple(np.round(probabilities(row), 5)) for row in done.rows.values()}) == 1
    assert done.notices == {}
