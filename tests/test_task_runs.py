"""radiodino-run classify, segment and explain: tables, masks, pictures, DICOM objects; interrupted and gone on with."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime import InputError, Model, OutputError, UnreadableImageError
from radiodino.runtime.cli import main
from radiodino.runtime.decode import decode
from radiodino.runtime.embed import run as run_module
from radiodino.runtime.task_runs.picture_run import picture_run
from radiodino.runtime.task_runs.picture_table import segmentation_table
from radiodino.runtime.task_runs.segmentation_rows import SegmentationRows

NOTICE = "random weights: "


@pytest.fixture(scope="module")
def model(toy_tasks):
    return Model.load(toy_tasks)


def picture(number: int, size=(40, 30)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, size, np.uint8))


@pytest.fixture
def scans(here) -> Path:
    """Five images, two of them of one name in different folders, and a TIFF file of three pages."""
    for name in ("benign/1", "benign/2", "malignant/1", "malignant/3"):
        path = here / "scans" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(len(list(path.parent.iterdir())), (40 + len(name), 30)).save(path)
    head, *rest = (picture(10 + page) for page in range(3))
    head.save(here / "scans/malignant/2.tif", save_all=True, append_images=rest)
    return here / "scans"


NAMES = [
    "scans/benign/1.png",
    "scans/benign/2.png",
    "scans/malignant/1.png",
    *(f"scans/malignant/2.tif#{page}" for page in (1, 2, 3)),
    "scans/malignant/3.png",
]
FILES = ["benign_1", "benign_2", "malignant_1", *(f"malignant_2#{page}" for page in (1, 2, 3)), "malignant_3"]
SOURCES = ["benign/1.png", "benign/2.png", "malignant/1.png", "malignant/2.tif", "malignant/3.png"]


def table(path) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def answers(model, method, **options):
    return [found for name in SOURCES for found in getattr(model, method)(Path("scans") / name, **options)]


def contents(folder="out") -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def interrupt_at(monkeypatch, batch: int):
    """Models of this test are interrupted at their nth batch."""
    run, count = Model.run, iter(range(1000))

    def interrupted(self, values):
        if next(count) == batch:
            raise KeyboardInterrupt
        return run(self, values)

    monkeypatch.setattr(Model, "run", interrupted)


# ---- classify


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_classes_become_a_table(command, model, scans, toy_tasks, suffix):
    if suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
    output = f"out{suffix}"
    ended = command(main, "classify", scans.name, "-m", toy_tasks, "-o", output)
    assert ended.status == 0
    assert ended.out.splitlines()[-1].startswith(f"WARNING  {NOTICE}")
    expected = answers(model, "classify")
    if suffix == ".json":
        document = json.loads(Path(output).read_text(encoding="utf-8"))
        rows, provenance = document["images"], document["provenance"]
        probabilities = [[row["probabilities"][name] for name in expected[0].classes] for row in rows]
        logits = [[row["logits"][name] for name in expected[0].classes] for row in rows]
    elif suffix == ".csv":
        rows, provenance = table(output), json.loads(Path(f"{output}.info.json").read_text(encoding="utf-8"))
        header = ["filename", "label", "frame", "class"]
        header += [f"{kind}_{name}" for kind in ("probability", "logit") for name in expected[0].classes]
        assert list(rows[0]) == header
    else:
        read = parquet.read_table(output)
        rows, provenance = read.to_pylist(), json.loads(read.schema.metadata[b"radiodino"])
    if suffix != ".json":
        probabilities = [[float(row[f"probability_{name}"]) for name in expected[0].classes] for row in rows]
        logits = [[float(row[f"logit_{name}"]) for name in expected[0].classes] for row in rows]
    assert [row["filename"] for row in rows] == NAMES
    assert [row["label"] for row in rows] == [name.split("/")[1] for name in NAMES]
    assert [str(row["frame"] or "") for row in rows] == [name.partition("#")[2] for name in NAMES]
    assert [row["class"] for row in rows] == [found.label for found in expected]
    assert np.allclose(probabilities, [found.probabilities for found in expected], atol=1e-5)
    assert np.allclose(logits, [found.logits for found in expected], atol=1e-3)
    assert provenance["classifier"]["sha256"] == model.info.classifier.sha256
    assert provenance["classifier"]["training_set"] == model.info.classifier.training_set
    assert provenance["notice"].startswith(NOTICE)
    assert "not for diagnosis" in provenance["intended_use"]
    assert provenance["options"]["result"] == "classify"


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_an_interrupted_table_goes_on(command, scans, toy_tasks, monkeypatch, suffix):
    arguments = ["classify", scans.name, "-m", toy_tasks, "--batch-size", 2, "-o"]
    assert command(main, *arguments, f"whole{suffix}").status == 0
    with monkeypatch.context() as patched:
        interrupt_at(patched, 2)
        ended = command(main, *arguments, f"out{suffix}")
    assert ended.status == 130
    assert "give the same command with --resume" in ended.err
    assert "2 of 5 inputs are done" in ended.err
    ended = command(main, *arguments, f"out{suffix}", "--resume")
    assert ended.status == 0
    assert "2 inputs were done by an earlier run" in ended.out
    assert Path(f"out{suffix}").read_bytes() == Path(f"whole{suffix}").read_bytes()


def test_embeddings_do_not_go_on_as_classes(command, refused, scans, toy_tasks, monkeypatch):
    with monkeypatch.context() as patched:
        interrupt_at(patched, 0)
        assert command(main, "embed", scans.name, "-m", toy_tasks, "-o", "out.csv").status == 130
    assert "embedding_size was 48 and is 6" in refused(
        main, "classify", scans.name, "-m", toy_tasks, "-o", "out.csv", "--resume"
    )


def test_what_cannot_be_read_is_listed(command, scans, toy_tasks):
    (scans / "benign/2.png").write_bytes(b"text")
    for arguments in (["classify", "-o", "out.csv"], ["segment", "-o", "seg"], ["explain", "-o", "exp"]):
        assert command(main, *arguments, scans.name, "-m", toy_tasks).status == 3
    for written in ("out.csv", "seg/segment.csv", "exp/explain.csv"):
        assert len(table(written)) == 6
        assert table(f"{written}.errors.csv")[0]["filename"] == "scans/benign/2.png"


@pytest.mark.parametrize("task", ["classify", "segment", "explain"])
def test_strict_ends_at_the_first(refused, scans, toy_tasks, task):
    (scans / "benign/1.png").write_bytes(b"text")
    output = "out.csv" if task == "classify" else "out"
    assert "benign/1.png" in refused(main, task, scans.name, "-m", toy_tasks, "-o", output, "--strict")


@pytest.mark.parametrize("task", ["classify", "segment", "explain"])
def test_nothing_readable_leaves_nothing(refused, here, toy_tasks, task):
    (here / "bad.png").write_bytes(b"text")
    output = "out.csv" if task == "classify" else "out"
    assert "none of the 1 images can be read" in refused(main, task, "bad.png", "-m", toy_tasks, "-o", output)
    assert {path.name for path in here.iterdir()} == {"bad.png"}


# ---- segment


def test_masks_have_the_images_own_size(command, model, scans, toy_tasks):
    ended = command(main, "segment", scans.name, "-m", toy_tasks, "-o", "out")
    assert ended.status == 0
    assert "out/masks, out/overlays" in ended.out
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "masks", "overlays", "segment.csv", "segment.csv.info.json",
    ]  # fmt: skip
    rows, expected = table("out/segment.csv"), answers(model, "segment")
    assert [row["filename"] for row in rows] == NAMES
    assert [row["mask"] for row in rows] == [f"masks/{name}.png" for name in FILES]
    assert {path.stem for path in Path("out/masks").iterdir()} == set(FILES)
    assert {path.stem for path in Path("out/overlays").iterdir()} == set(FILES)
    for row, found in zip(rows, expected, strict=True):
        with Image.open(Path("out") / row["mask"]) as mask:
            pixels = np.asarray(mask)
        assert mask.mode == "L"
        assert set(np.unique(pixels)) <= {0, 255}
        # another batch moves the last bits of a probability, and so perhaps a pixel at the threshold
        assert np.count_nonzero((pixels > 0) != found.mask) <= 2
        assert float(row["share"]) == pytest.approx((pixels > 0).mean())
        assert (int(row["height"]), int(row["width"])) == pixels.shape == found.mask.shape
        assert float(row["threshold"]) == found.threshold
        assert (row["marks"], row["class"]) == ("lesion", found.classification.label)
        assert row["area_mm2"] == row["row_spacing_mm"] == ""
        assert float(row["probability_benign"]) == pytest.approx(float(found.classification.probabilities[0]), abs=1e-5)
        with Image.open(Path("out") / row["overlay"]) as overlay:
            assert min(overlay.size) > 400
            assert overlay.info == {}
    provenance = json.loads(Path("out/segment.csv.info.json").read_text(encoding="utf-8"))
    assert provenance["segmenter"]["sha256"] == model.info.segmenter.sha256
    assert provenance["options"]["result"] == "segment"
    assert provenance["notice"].startswith(NOTICE)


def test_dicom_has_an_area(command, here, toy_tasks):
    data = pytest.importorskip("pydicom.data")
    shutil.copy(data.get_testdata_file("CT_small.dcm", download=False), here / "ct.dcm")
    arguments = ["segment", "ct.dcm", "-m", toy_tasks, "-o", "out", "--window", 40, 400]
    assert command(main, *arguments).status == 0
    (row,) = table("out/segment.csv")
    assert float(row["area_mm2"]) == pytest.approx(float(row["share"]) * (128 * 0.661468) ** 2, rel=1e-5)
    assert float(row["row_spacing_mm"]) == pytest.approx(0.661468)


def test_what_must_be_known_of_the_scale_is_a_notice(command, here, toy_tasks):
    pydicom = pytest.importorskip("pydicom")
    data = pytest.importorskip("pydicom.data")
    dataset = pydicom.dcmread(data.get_testdata_file("CT_small.dcm", download=False))
    del dataset.PixelSpacing
    dataset.ImagerPixelSpacing = [0.1, 0.2]
    dataset.save_as(here / "x.dcm")
    assert command(main, "segment", "x.dcm", "-m", toy_tasks, "-o", "out", "--window", 40, 400).status == 0
    (notice,) = table("out/segment.csv.notices.csv")
    assert "measured at the detector" in notice["notice"]
    assert command(main, "classify", "x.dcm", "-m", toy_tasks, "-o", "out.csv", "--window", 40, 400).status == 0
    assert not Path("out.csv.notices.csv").exists()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interrupted_folder_goes_on(command, scans, toy_tasks, monkeypatch, at):
    arguments = ["segment", scans.name, "-m", toy_tasks, "--batch-size", 2]
    assert command(main, *arguments, "-o", "whole").status == 0
    with monkeypatch.context() as patched:
        interrupt_at(patched, at)
        assert command(main, *arguments, "-o", "out").status == 130
    done = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.png")}
    assert bool(done) == (at > 0)
    assert command(main, *arguments, "-o", "out", "--resume").status == 0
    assert contents("out") == contents("whole")
    kept = {path for path, time in done.items() if path.stat().st_mtime_ns == time}
    assert kept == {path for path in done if path.stem.startswith("benign")}  # the first group, which was recorded


def test_a_mask_that_was_deleted_is_made_again(command, scans, toy_tasks, monkeypatch):
    arguments = ["segment", scans.name, "-m", toy_tasks, "--batch-size", 2, "-o", "out"]
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "Results", None)  # ends the run when all images are done
        with pytest.raises(TypeError):
            command(main, *arguments)
    before = contents("out")
    Path("out/masks/malignant_1.png").unlink()
    ended = command(main, *arguments, "--resume")
    assert "2 inputs were done by an earlier run" in ended.out
    after = contents("out")
    assert {name: after[name] for name in before if name.endswith(".png")} == {
        name: data for name, data in before.items() if name.endswith(".png")
    }
    assert len(table("out/segment.csv")) == 7


def test_a_file_whose_later_page_is_damaged_leaves_no_masks(command, here, toy_tasks):
    """Its first pages were segmented before the damage was found."""
    head, *rest = (picture(page, (300, 300)) for page in range(9))
    head.save(here / "a.tif", save_all=True, append_images=rest, compression="tiff_adobe_deflate")
    with Image.open("a.tif") as image:
        image.seek(7)
        offset = image.tag_v2[273][0]  # where the data of the eighth page begin
    data = bytearray(Path("a.tif").read_bytes())
    data[offset : offset + 2000] = bytes(2000)
    Path("a.tif").write_bytes(data)
    pages = decode("a.tif")
    assert [next(pages).number for _ in range(7)] == [1, 2, 3, 4, 5, 6, 7]  # more than are held before any is run
    with pytest.raises(UnreadableImageError):
        next(pages)
    picture(1).save("b.png")
    assert command(main, "segment", "a.tif", "b.png", "-m", toy_tasks, "-o", "out", "--batch-size", 2).status == 3
    assert {path.name for path in Path("out").rglob("*.png")} == {"b.png"}
    assert [row["filename"] for row in table("out/segment.csv")] == ["b.png"]


def test_members_of_archives_and_sets_are_inputs(command, here, toy_tasks, png):
    with zipfile.ZipFile("set.zip", "w") as archive:
        archive.writestr("a/1.png", png(7))
        archive.writestr("b/1.png", png(9))
    np.savez("set.npz", images=np.zeros((2, 8, 8), np.uint8), labels=np.zeros(2, int))
    assert command(main, "segment", "set.zip", "set.npz", "-m", toy_tasks, "-o", "out").status == 0
    assert [row["mask"] for row in table("out/segment.csv")] == [
        "masks/set.zip_a_1.png",
        "masks/set.zip_b_1.png",
        "masks/set.npz_images_0.png",
        "masks/set.npz_images_1.png",
    ]


def test_results_are_replaced_only_on_demand(command, refused, scans, toy_tasks):
    arguments = ["segment", "-m", toy_tasks, "-o", "out"]
    assert command(main, *arguments, scans.name).status == 0
    assert "exists already: add --force" in refused(main, *arguments, "scans/benign")
    Path("out/notes.txt").write_text("mine")
    assert command(main, *arguments, "scans/benign", "--force").status == 0
    assert {path.stem for path in Path("out").rglob("*.png")} == {"1", "2"}  # no mask of the earlier run is left
    assert Path("out/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_files_of_another_origin_are_never_touched(refused, scans, toy_tasks, force):
    Path("out/masks").mkdir(parents=True)
    Path("out/masks/truth.png").write_bytes(b"mine")
    assert "out/masks holds files already: choose another --output" in refused(
        main, "segment", scans.name, "-m", toy_tasks, "-o", "out", *force
    )
    Path("out/segment.csv").write_bytes(b"mine too")
    refused(main, "segment", scans.name, "-m", toy_tasks, "-o", "out", *force)
    assert contents("out") == {"masks/truth.png": b"mine", "segment.csv": b"mine too"}


def test_masks_cannot_replace_the_inputs(command, refused, scans, toy_tasks):
    assert command(main, "segment", scans.name, "-m", toy_tasks, "-o", "out").status == 0
    before = contents("out")
    for inputs in ("out/masks", "out/masks/benign_1.png"):
        assert "holds inputs" in refused(main, "segment", inputs, "-m", toy_tasks, "-o", "out", "--force")
    assert {name: data for name, data in contents("out").items() if name.endswith(".png")} == {
        name: data for name, data in before.items() if name.endswith(".png")
    }


def test_the_output_is_a_folder(refused, scans, toy_tasks):
    Path("file").write_text("x")
    assert "file is a file: name a folder" in refused(main, "segment", scans.name, "-m", toy_tasks, "-o", "file")
    Path("out").mkdir()
    Path("out/masks").write_text("x")
    assert "masks is a file" in refused(main, "segment", scans.name, "-m", toy_tasks, "-o", "out")


def test_a_wrong_input_leaves_no_folder(refused, here, toy_tasks):
    assert "no readable file or folder none" in refused(main, "segment", "none", "-m", toy_tasks, "-o", "out")
    assert not Path("out").exists()


def test_a_full_disk_keeps_what_was_done(model, scans, monkeypatch):
    def maker():
        return SegmentationRows(model.info, Path("out"))

    def run(made, **options):
        head = model.info.segmenter
        table_writer = segmentation_table(made, head, model.info.classifier)
        return picture_run(model, ["scans"], Path("out"), table_writer, batch_size=2, **options)

    full = maker()
    write, count = full.write, iter(range(100))

    def failing(*arguments):
        if next(count) == 5:
            raise OutputError("cannot write: No space left on device")
        write(*arguments)

    monkeypatch.setattr(full, "write", failing)
    with pytest.raises(OutputError, match=r"No space left.*2 of 5 inputs are done.*--resume"):
        run(full)
    assert run(maker(), resume=True).resumed == 2
    assert len(table("out/segment.csv")) == 7


def test_few_images_are_in_memory(model, here, monkeypatch):
    """As many frames as two groups and the threads hold, however long the list."""
    for number in range(16):
        picture(number, (8, 8)).save(here / f"{number:02}.png")
    maker = SegmentationRows(model.info, Path("out"))
    preprocess, row = model.preprocess, maker.row
    ahead, most = [0], [0]

    def counted(image):
        ahead[0] += 1
        most[0] = max(most[0], ahead[0])
        return preprocess(image)

    def released(*arguments):
        ahead[0] -= 1
        return row(*arguments)

    monkeypatch.setattr(model, "preprocess", counted)
    monkeypatch.setattr(maker, "row", released)
    writer = segmentation_table(maker, model.info.segmenter, model.info.classifier)
    picture_run(model, ["*.png"], Path("out"), writer, batch_size=2, workers=2)
    assert 0 < most[0] <= 2 + (2 + 2) + 2


# ---- explain


@pytest.mark.parametrize("kind", ["cam", "attention"])
@pytest.mark.parametrize("maps", [None, "png", "npy"])
def test_heat_maps_are_pictures_and_files(command, model, scans, toy_tasks, kind, maps):
    wanted = ["--maps", maps] if maps else []
    assert command(main, "explain", scans.name, "-m", toy_tasks, "-o", "out", "--kind", kind, *wanted).status == 0
    rows, expected = table("out/explain.csv"), answers(model, "explain", kind=kind)
    assert ("map" in rows[0]) == (maps is not None)
    for row, found in zip(rows, expected, strict=True):
        assert (row["kind"], row["map_class"]) == (kind, found.label or "")
        assert row["class"] == found.classification.label
        with Image.open(Path("out") / row["overlay"]) as overlay:
            assert overlay.width > 600  # the image as it was, and beside it the map
        if maps == "npy":
            assert np.allclose(np.load(Path("out") / row["map"]), found.heat, atol=1e-3)
        elif maps == "png":
            with Image.open(Path("out") / row["map"]) as image:
                values = np.asarray(image)
            assert image.mode.startswith("I;16")
            assert values.shape == found.heat.shape
            assert np.allclose(values / 65535, found.heat, atol=1e-3)
    assert json.loads(Path("out/explain.csv.info.json").read_text())["options"]["kind"] == kind


def test_a_map_can_be_of_another_class(command, scans, toy_tasks):
    arguments = ["explain", scans.name, "-m", toy_tasks, "-o", "out"]
    assert command(main, *arguments, "--class", "malignant").status == 0
    assert {row["map_class"] for row in table("out/explain.csv")} == {"malignant"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["explain", "--kind", "saliency"], "choose cam or attention"),
        (["explain", "--maps", "jpg"], "choose png or npy"),
        (["explain", "--class", "cyst"], "no class 'cyst'"),
        (["explain", "--kind", "attention", "--class", "benign"], "leave out the class"),
        (["segment", "--frame", "0"], "frame"),
        (["segment", "--batch-size", "0"], "batch_size"),
        (["classify"], ".csv, .json, .parquet"),
    ],
)
def test_wrong_arguments_are_one_sentence(refused, scans, toy_tasks, arguments, sentence):
    assert sentence in refused(main, *arguments, scans.name, "-m", toy_tasks, "-o", "out")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("task", "cure"), [("classify", "--task classify"), ("segment", "--task segment"), ("explain", "--outputs cam")]
)
def test_a_file_without_the_head_is_refused(refused, scans, toy_fp32, task, cure):
    options = ["--kind", "cam"] if task == "explain" else []
    assert cure in refused(main, task, scans.name, "-m", toy_fp32, "-o", "out.csv", *options)
    assert not Path("out.csv").exists()


def test_a_file_that_only_embeds_can_explain_its_attention(command, scans, toy_fp32):
    assert command(main, "explain", scans.name, "-m", toy_fp32, "-o", "out").status == 0
    rows = table("out/explain.csv")
    assert list(rows[0]) == ["filename", "label", "frame", "kind", "map_class", "width", "height", "overlay"]
    assert {(row["kind"], row["map_class"]) for row in rows} == {("attention", "")}


# ---- DICOM objects


@pytest.fixture
def dicoms(here) -> Path:
    pytest.importorskip("highdicom")
    data = pytest.importorskip("pydicom.data")
    (here / "d").mkdir()
    for name in ("CT_small.dcm", "SC_rgb_rle_2frame.dcm"):
        shutil.copy(data.get_testdata_file(name, download=False), here / "d" / name)
    picture(1).save(here / "d/photo.png")
    return here / "d"


def test_masks_become_dicom_segmentations(command, dicoms, toy_tasks):
    import pydicom

    arguments = ["segment", "d", "-m", toy_tasks, "-o", "out", "--dicom-seg", "--window", 40, 400]
    assert command(main, *arguments).status == 0
    assert {path.name for path in Path("out/dicom-seg").iterdir()} == {"CT_small.dcm", "SC_rgb_rle_2frame.dcm"}
    notices = {row["filename"]: row["notice"] for row in table("out/segment.csv.notices.csv")}
    assert "no DICOM segmentation: it is no DICOM file" in notices["d/photo.png"]
    found = pydicom.dcmread("out/dicom-seg/CT_small.dcm")
    assert found.Modality == "SEG"
    with Image.open("out/masks/CT_small.png") as mask:
        assert np.array_equal(found.pixel_array.reshape(128, 128) > 0, np.asarray(mask) > 0)
    assert pydicom.dcmread("out/dicom-seg/SC_rgb_rle_2frame.dcm").NumberOfFrames == 2


def test_classes_become_dicom_reports(command, dicoms, toy_tasks):
    import pydicom

    arguments = ["classify", "d", "-m", toy_tasks, "-o", "out.json", "--report", "--window", 40, 400]
    assert command(main, *arguments).status == 0
    assert {path.name for path in Path("out.json.reports").iterdir()} == {"CT_small.dcm", "SC_rgb_rle_2frame.dcm"}
    assert pydicom.dcmread("out.json.reports/CT_small.dcm").Modality == "SR"
    assert "no DICOM report: it is no DICOM file" in Path("out.json.notices.csv").read_text()
    assert command(main, *arguments).status == 2
    assert command(main, *arguments, "--force").status == 0


def test_reports_are_resumed_with_their_table(command, dicoms, toy_tasks, monkeypatch):
    arguments = ["classify", "d", "-m", toy_tasks, "-o", "out.csv", "--report", "--batch-size", 1]
    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        assert command(main, *arguments).status == 130
    made = Path("out.csv.reports/CT_small.dcm")
    before = made.read_bytes()
    ended = command(main, *arguments, "--resume")
    assert ended.status == 0
    assert "2 inputs were done" in ended.out
    assert made.read_bytes() == before


# ---- the command line


def test_the_commands_load_nothing_before_they_run():
    code = (
        "import sys, radiodino.runtime.cli\n"
        "print([name for name in sys.modules if 'pictures' in name or 'task_runs' in name or 'pydicom' in name])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_a_maker_needs_the_frame(model):
    from radiodino.runtime.embed.input_frames import ReadyFrame
    from radiodino.runtime.inputs.item import Item

    with pytest.raises(ValueError, match="as it was decoded"):
        SegmentationRows(model.info, Path("out")).row(Item("a", "", "a"), ReadyFrame(None, None, np.zeros(1)), {})


def test_input_error_is_a_radiodino_error(model, scans):
    with pytest.raises(InputError, match="batch_size"):
        picture_run(
            model,
            ["scans"],
            Path("out"),
            segmentation_table(SegmentationRows(model.info, Path("out")), model.info.segmenter, None),
            batch_size=0,
        )
    assert not Path("out").exists()


def test_none_of_it_needs_pytorch(scans, toy_tasks):
    code = (
        "import json, sys; from radiodino.runtime.cli import main\n"
        "sys.argv = ['radiodino-run', 'segment', 'scans', '-m', sys.argv[1], '-o', 'out']\n"
        "try: main()\n"
        "except SystemExit as ended: print(json.dumps([ended.code, *sorted(sys.modules)]))"
    )
    ended = subprocess.run([sys.executable, "-c", code, toy_tasks], capture_output=True, text=True, check=True)
    status, *loaded = json.loads(ended.stdout.splitlines()[-1])
    assert status == 0
    assert not {"torch", "timm", "onnx", "scipy", "sklearn", "matplotlib", "highdicom"} & set(loaded)
