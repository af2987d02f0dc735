from __future__ import annotations

import json
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime.blank import is_blank
from radiodino.runtime.embed.journal import partial_folder
from radiodino.runtime.embed.run import embed_run
from radiodino.runtime.errors import IndexFileError, InputError, OutputError, UnreadableImageError
from radiodino.runtime.frame import Window
from radiodino.runtime.index import CaseIndex
from radiodino.runtime.index import writer as module
from radiodino.runtime.index.calibration import calibrate
from radiodino.runtime.index.contact_sheet import contact_sheet
from radiodino.runtime.index.found import find
from radiodino.runtime.index.knn_writer import KnnWriter
from radiodino.runtime.index.nearest import lengths
from radiodino.runtime.index.notes import index_notes, other_arithmetic, with_index_notes
from radiodino.runtime.index.pictures import picture
from radiodino.runtime.index.query import read_query
from radiodino.runtime.index.writer import IndexWriter
from radiodino.runtime.model_info import Preprocessing
from radiodino.runtime.preprocessing import Preprocessor

SIZE = 5
RED = (190, 10, 10)


class Info:
    embedding_size = SIZE


class SmallModel:
    """A model without an engine: a row is five pixels from the middle."""

    info = Info()
    parallel = 1

    def __init__(self, *, interrupt_at=None, sha256="ab" * 32):
        self.preprocess = Preprocessor(Preprocessing(resize=(8, 8)))
        self.batches = 0
        self._interrupt_at = interrupt_at
        self._sha256 = sha256
        self._lock = threading.Lock()

    def run(self, batch):
        if self.batches == self._interrupt_at:
            raise KeyboardInterrupt
        self.batches += 1
        return {"embedding": batch.reshape(len(batch), -1)[:, 27 : 27 + SIZE].copy()}

    def provenance(self):
        return {"model_sha256": self._sha256, "compute": "fp32", "backend": "small 1", "notice": "a small model"}


def save(path, seed, size=(30, 20)):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(path)


@pytest.fixture
def scans(here):
    for number in range(24):
        save(f"scans/{('benign', 'malignant')[number % 2]}/{number:02d}.png", number)
    return "scans"


def build(inputs, output="a.index", *, model=None, window=None, frame=None, resume=False, force=False, **settings):
    return embed_run(
        model or SmallModel(), [inputs], output, batch_size=4, window=window, frame=frame, resume=resume, force=force,
        workers=2, writer=IndexWriter(window, frame, **settings),
    )  # fmt: skip


def test_an_index_holds_what_a_table_holds(scans):
    summary = build(scans)
    embed_run(SmallModel(), [scans], "a.npz", batch_size=4)
    index = CaseIndex.open("a.index")
    with np.load("a.npz") as table:
        np.testing.assert_array_equal(index.embeddings, table["embeddings"])
        assert [index.case(row).name for row in range(24)] == table["filenames"].tolist()
        assert [index.case(row).label for row in range(24)] == table["labels"].tolist()
        assert json.loads(str(table["provenance"])) == index.provenance
    assert summary.files == (Path("a.index"),)
    assert not partial_folder(Path("a.index")).exists()
    assert (len(index), index.classes, index.notice) == (24, ("benign", "malignant"), "a small model")
    assert index.case(0).notice is index.case(0).frame is None
    assert index.calibration.measured == 24


def test_thumbnails_are_small_pictures_without_metadata(scans):
    save("scans/benign/wide.png", 99, (40, 400))
    build(scans, longest_side=50)
    index = CaseIndex.open("a.index")
    row = next(row for row in range(len(index)) if index.case(row).name.endswith("wide.png"))
    image = picture(index, row)
    assert image.size == (50, 5)
    assert not image.getexif()
    shown = np.asarray(picture(index, 0), np.float64)
    original = np.asarray(Image.open(index.case(0).name), np.float64)
    assert np.abs(shown - original).mean() < 20  # JPEG of noise
    assert index.folder is index.stamp(0) is None
    assert str(Path.cwd()).encode() not in Path("a.index").read_bytes()


def test_without_thumbnails_the_originals_are_shown_while_they_are_what_was_indexed(scans):
    build(scans, longest_side=0)
    index = CaseIndex.open("a.index")
    name = index.case(0).name
    assert index.thumbnail(0) is None
    np.testing.assert_array_equal(np.asarray(picture(index, 0)), np.asarray(Image.open(name)))
    os.utime(name, ns=(1, 1))
    assert picture(index, 0) == "the original has changed"
    Path(name).unlink()
    assert picture(index, 0) == "the original is gone"
    other = index.case(1).name
    before = os.stat(other)
    Path(other).write_bytes(b"x" * before.st_size)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert picture(index, 1) == "the original cannot be read"


def test_images_of_an_archive_need_thumbnails(scans):
    with zipfile.ZipFile("scans.zip", "w") as archive:
        for path in sorted(Path(scans).rglob("*.png")):
            archive.write(path)
    build("scans.zip")
    assert isinstance(picture(CaseIndex.open("a.index"), 3), Image.Image)
    build("scans.zip", longest_side=0, force=True)
    assert picture(CaseIndex.open("a.index"), 3) == "no picture in the index"


def pages(path, count, seed=0):
    random = np.random.default_rng(seed)
    images = [Image.fromarray(random.integers(0, 256, (20, 20), np.uint8)) for _ in range(count)]
    images[0].save(path, save_all=True, append_images=images[1:])
    return images


def test_frames_are_cases_of_one_file_and_no_neighbours_of_each_other_in_the_calibration(here):
    Path("d/x").mkdir(parents=True)
    images = pages("d/x/many.tiff", 10)
    for number in range(20):
        save(f"d/x/one{number:02d}.png", number, (20, 20))
    build("d")
    index = CaseIndex.open("a.index")
    assert [index.case(row).name for row in (0, 9, 10)] == ["d/x/many.tiff#1", "d/x/many.tiff#10", "d/x/one00.png"]
    assert [index.case(row).frame for row in (0, 9, 10)] == [1, 10, None]
    embeddings = np.asarray(index.embeddings)
    files = np.array([0] * 10 + list(range(1, 21)))
    assert index.calibration == calibrate(embeddings, lengths(embeddings, ""), files)[0]
    assert index.calibration != calibrate(embeddings, lengths(embeddings, ""), np.arange(30))[0]
    build("d", longest_side=0, force=True)
    np.testing.assert_array_equal(np.asarray(picture(CaseIndex.open("a.index"), 4)), np.asarray(images[4]))


def test_an_unreadable_image_is_listed_beside_the_index(scans):
    Path("scans/benign/00.png").write_bytes(b"text")
    summary = build(scans)
    assert summary.unreadable == 1
    assert len(CaseIndex.open("a.index")) == 23
    assert "00.png" in Path("a.index.errors.csv").read_text(encoding="utf-8")


def test_notices_are_kept(here):
    Image.fromarray(np.full((9, 9), 100, np.uint16)).save("faint.png")
    build("faint.png")
    notice = CaseIndex.open("a.index").case(0).notice
    assert "16-bit" in notice
    assert notice.endswith("; blank: all its pixels are equal")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_is_blank_where_all_its_pixels_are_equal(mode):
    image = Image.new(mode, (30, 20), 77)
    assert is_blank(image)
    for place in ((29, 19), (0, 0), (7, 13)):
        other = image.copy()
        other.putpixel(place, 78)
        assert not is_blank(other)
    assert is_blank(Image.new(mode, (1, 1)))


def test_an_interrupted_build_goes_on(scans):
    build(scans, "whole.index")
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        build(scans, model=SmallModel(interrupt_at=3))
    assert not Path("a.index").exists()
    with pytest.raises(OutputError, match="unfinished run"):
        build(scans)
    assert build(scans, resume=True).resumed == 12
    assert Path("a.index").read_bytes() == Path("whole.index").read_bytes()


def test_an_interrupt_among_the_thumbnails_keeps_the_embeddings(scans, monkeypatch):
    build(scans, "whole.index")

    def interrupted(self, indexed):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module.ThumbnailMaker, "of", interrupted)
        with pytest.raises(KeyboardInterrupt, match="24 of 24 inputs are done"):
            build(scans)
    assert not list(Path.cwd().glob(".a.index*"))
    model = SmallModel()
    build(scans, model=model, resume=True)
    assert model.batches == 0
    assert Path("a.index").read_bytes() == Path("whole.index").read_bytes()


def test_an_image_that_changed_meanwhile_is_an_error(scans, monkeypatch):
    original = IndexWriter._write

    def changed(self, *arguments):
        Path("scans/benign/02.png").write_bytes(b"text")
        original(self, *arguments)

    monkeypatch.setattr(IndexWriter, "_write", changed)
    with pytest.raises(UnreadableImageError, match=r"02\.png.*it was readable when it was embedded"):
        build(scans)
    assert not Path("a.index").exists()

    def other_frames(self, *arguments):
        pages("scans/benign/02.png", 1)
        pages("many.tiff", 2)
        Path("many.tiff").rename("scans/benign/02.png")
        original(self, *arguments)

    monkeypatch.setattr(IndexWriter, "_write", other_frames)
    save("scans/benign/02.png", 2)
    with pytest.raises(UnreadableImageError, match=r"02\.png: its frames are others"):
        build(scans, force=True)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"output": "a.zip"}, "does not end in .index"),
        ({"longest_side": 15}, "16 to 1024 pixels, not 15"),
        ({"longest_side": 2000}, "16 to 1024 pixels, not 2000"),
        ({"longest_side": -1}, "16 to 1024 pixels, not -1"),
        ({"percentile": 0}, "above 0 and below 100"),
        ({"percentile": 100}, "above 0 and below 100"),
        ({"percentile": float("nan")}, "above 0 and below 100"),
    ],
)
def test_wrong_settings(scans, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        build(scans, **settings)
    assert not list(Path.cwd().glob("a.*"))


def test_an_index_is_replaced_with_force_alone(scans):
    build(scans)
    before = Path("a.index").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        build(scans)
    build(scans, longest_side=20, force=True)
    assert Path("a.index").read_bytes() != before


def test_a_damaged_thumbnail_is_refused(scans):
    build(scans)
    content = bytearray(Path("a.index").read_bytes())
    content[content.rindex(b"\xff\xd8\xff") + 100] ^= 1
    Path("a.index").write_bytes(content)
    index = CaseIndex.open("a.index")
    index.thumbnail(0)
    with pytest.raises(IndexFileError, match=r"23\.png in a\.index is damaged"):
        index.thumbnail(23)


def test_embeddings_of_another_file_are_refused(scans):
    build(scans)
    index = CaseIndex.open("a.index")
    index.refuse_other_model("ab" * 32, "a.onnx")
    with pytest.raises(IndexFileError, match=r"abababababab.*cdcdcdcdcdcd.*not comparable"):
        index.refuse_other_model("cd" * 32, "b.onnx")


def test_an_index_of_a_later_version_is_refused_by_what_it_lacks(scans, monkeypatch):
    original = module.ContainerWriter.finish
    monkeypatch.setattr(module.ContainerWriter, "finish", lambda self, document: original(self, {**document, "new": 1}))
    build(scans)
    with pytest.raises(IndexFileError, match="'new' is unknown"):
        CaseIndex.open("a.index")


def test_classification_needs_labels(here, scans):
    build(scans)
    index = CaseIndex.open("a.index")
    votes = index.classify(np.asarray(index.embeddings[:3]), (1, 5))
    assert [index.classes[place] for place in votes.predictions[1]] == [index.case(row).label for row in range(3)]
    for ks in ((), (0,), (25,)):
        with pytest.raises(InputError, match="k must lie from 1 to the 24"):
            index.classify(np.asarray(index.embeddings[:3]), ks)
    build("scans/benign", "b.index")
    with pytest.raises(InputError, match=r"12 of the 12 cases of b\.index have no label"):
        CaseIndex.open("b.index").classify(np.asarray(index.embeddings[:3]), (1,))
    Path("one").mkdir()
    Path("scans/benign").rename("one/benign")
    build("one", "c.index")
    with pytest.raises(InputError, match="have the label 'benign'"):
        KnnWriter(CaseIndex.open("c.index"), (1,), None)


def test_the_window_of_the_index_is_that_of_queries(here):
    save("a.png", 1)
    build("a.png", window=Window(40, 400))
    assert CaseIndex.open("a.index").window == Window(40, 400)
    build("a.png", force=True)
    assert CaseIndex.open("a.index").window is None


def test_what_users_are_told(scans):
    summary = with_index_notes(build(scans))
    assert summary.notes[0] == "24 cases, 2 labels: benign, malignant"
    assert "are called unlike these" in summary.notes[1]
    assert "24 images is rough" in summary.notes[2]
    index = CaseIndex.open("a.index")
    assert other_arithmetic(index, SmallModel().provenance()) is None
    found = other_arithmetic(index, {"compute": "bf16", "backend": "other 2"})
    assert "in fp32 on small 1, this in bf16 on other 2" in found
    build("scans/benign", "b.index")
    assert "takes an index of 20 images" in index_notes(CaseIndex.open("b.index"))[1]
    Path("scans/malignant/copy.png").write_bytes(Path("scans/benign/00.png").read_bytes())
    build(scans, "c.index")
    assert "2 of these 25 have copies" in index_notes(CaseIndex.open("c.index"))[-1]


def query_of(path, index):
    return find(index, read_query(SmallModel(), path, window=None, frame=None), 5, "a small model")


def has_colour(image, colour):
    return (np.asarray(image) == colour).all(axis=2).any()


def test_a_search_finds_the_image_itself(scans):
    build(scans)
    found = query_of("scans/malignant/07.png", CaseIndex.open("a.index"))
    assert found.neighbours[0].case.name == "scans/malignant/07.png"
    assert found.neighbours[0].similarity == pytest.approx(1)
    assert len(found.neighbours) == 5
    assert not found.beyond
    assert found.warning is None
    document = found.document({})
    assert document["unlike"] is False
    assert [each["rank"] for each in document["neighbours"]] == [1, 2, 3, 4, 5]
    assert document["note"] == "Research use only, not for diagnosis; a small model"
    json.dumps(document)


def test_a_contact_sheet_shows_query_neighbours_and_notices(scans):
    build(scans)
    index = CaseIndex.open("a.index")
    save("other.png", 5, (60, 90))
    sheet = contact_sheet(query_of("other.png", index))
    assert sheet.mode == "RGB"
    assert has_colour(sheet, RED)
    taller = contact_sheet(find(index, read_query(SmallModel(), "other.png", window=None, frame=None), 24, "x " * 200))
    assert taller.height > sheet.height
    one = contact_sheet(find(index, read_query(SmallModel(), "other.png", window=None, frame=None), 1, None))
    assert one.width < sheet.width


def test_a_contact_sheet_says_where_there_is_no_picture(scans):
    build(scans, longest_side=0)
    for path in Path(scans).rglob("*.png"):
        path.unlink()
    save("other.png", 5)
    assert has_colour(contact_sheet(query_of("other.png", CaseIndex.open("a.index"))), (230, 230, 230))


def test_a_query_is_one_image(scans):
    pages("many.tiff", 2)
    model = SmallModel()
    for image, error, sentence in (
        ("scans", InputError, "scans holds 24 images"),
        ("many.tiff", InputError, "choose one with --frame"),
        ("none.png", InputError, "no readable file"),
    ):
        with pytest.raises(error, match=sentence):
            read_query(model, image, window=None, frame=None)
    Path("text.png").write_bytes(b"text")
    with pytest.raises(UnreadableImageError, match=r"text\.png"):
        read_query(model, "text.png", window=None, frame=None)
    assert read_query(model, "many.tiff", window=None, frame=2).embedding.shape == (1, SIZE)
