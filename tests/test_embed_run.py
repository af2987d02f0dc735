from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radiodino.runtime.embed import run as module
from radiodino.runtime.embed.input_frames import SHORT
from radiodino.runtime.embed.journal import EMBEDDINGS, ROWS, partial_folder
from radiodino.runtime.embed.run import embed_run
from radiodino.runtime.embed.tally import Tally
from radiodino.runtime.errors import InputError, OutputError, UnreadableImageError
from radiodino.runtime.frame import Window
from radiodino.runtime.model_info import Preprocessing
from radiodino.runtime.preprocessing import Preprocessor

SIZE = 5


class Info:
    embedding_size = SIZE


class SmallModel:
    """A model without an engine: a row is five pixels from the middle. With `batch_matters` it also depends on the size
    of the batch and the place in it, as the last bits of a real engine's rows may."""

    info = Info()

    def __init__(
        self, *, batch_matters=False, interrupt_at=None, interruption=KeyboardInterrupt, sha256="ab" * 32, parallel=1
    ):
        self.parallel = parallel
        self._preprocess = Preprocessor(Preprocessing(resize=(8, 8)))
        self._batch_matters = batch_matters
        self._interrupt_at = interrupt_at
        self._interruption = interruption
        self._sha256 = sha256
        self._lock = threading.Lock()
        self.batches: list[int] = []
        self.prepared = 0
        self.most_ahead = 0

    def preprocess(self, image):
        with self._lock:
            self.prepared += 1
            self.most_ahead = max(self.most_ahead, self.prepared - sum(self.batches))
        return self._preprocess(image)

    def run(self, batch):
        assert batch.dtype == np.float32
        assert batch.shape[1:] == (3, 8, 8)
        with self._lock:
            if len(self.batches) == self._interrupt_at:
                raise self._interruption
            self.batches.append(len(batch))
        rows = batch.reshape(len(batch), -1)[:, 27 : 27 + SIZE].copy()
        if self._batch_matters:
            rows += np.float32(1e-3) * len(batch) + np.float32(1e-5) * np.arange(len(batch), dtype=np.float32)[:, None]
        return {"embedding": rows}

    def provenance(self):
        return {"model_sha256": self._sha256, "variant": "small", "compute": "fp32"}


def expected_row(image: Image.Image) -> np.ndarray:
    return SmallModel().run(SmallModel().preprocess(image)[None])["embedding"][0]


def picture(number: int, size: tuple[int, int] = (12, 9)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, size, np.uint8))


def tiff(path: Path, pages: int, first: int = 100) -> None:
    head, *rest = [picture(first + number) for number in range(pages)]
    head.save(path, save_all=True, append_images=rest)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twelve inputs: PNG files with labels, two that are damaged, a TIFF file of three and one of nine pages."""
    monkeypatch.chdir(tmp_path)
    for number in range(8):
        path = tmp_path / "d" / ("benign", "malignant")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    (tmp_path / "d/malignant/bad.png").write_bytes(b"no image")
    (tmp_path / "d/benign/3.dcm").write_bytes(b"")
    tiff(tmp_path / "d/benign/few.tif", 3)
    tiff(tmp_path / "d/malignant/4-many.tif", 9, 200)
    return tmp_path


ROW_NAMES = [
    *(f"d/benign/{number}.png" for number in (0, 2, 4, 6)),
    *(f"d/benign/few.tif#{page}" for page in (1, 2, 3)),
    *(f"d/malignant/{number}.png" for number in (1, 3)),
    *(f"d/malignant/4-many.tif#{page}" for page in range(1, 10)),
    *(f"d/malignant/{number}.png" for number in (5, 7)),
]


def expected_rows() -> np.ndarray:
    rows = []
    for name in ROW_NAMES:
        path, _, page = name.partition("#")
        start = 100 if "few" in path else 200
        rows.append(expected_row(picture(start + int(page) - 1) if page else picture(int(Path(path).stem))))
    return np.stack(rows)


def files(*names: str) -> dict[str, bytes]:
    """What a run left: every file that begins with one of the names."""
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.name.startswith(names) and path.is_file()}


def load(path: str) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as data:
        return dict(data)


def prefetching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("radiodino-prefetch")]


# ---- what a run does -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8, 64])
@pytest.mark.parametrize("workers", [1, 4])
def test_every_image_gets_its_row(folder, batch_size, workers):
    model = SmallModel()
    summary = embed_run(model, ["d"], "out.npz", batch_size=batch_size, workers=workers)
    table = load("out.npz")
    assert table["filenames"].tolist() == ROW_NAMES
    assert table["labels"].tolist() == [name.split("/")[1] for name in ROW_NAMES]
    np.testing.assert_array_equal(table["embeddings"], expected_rows())
    assert max(model.batches) <= batch_size
    assert (summary.inputs, summary.images, summary.rows, summary.unreadable, summary.resumed) == (12, 10, 20, 2, 0)
    assert summary.files == (Path("out.npz"), Path("out.npz.errors.csv"))
    assert summary.errors.total == 2
    assert summary.seconds > 0
    assert summary.rows_per_second > 0
    assert 0 < summary.inference_share < 1
    assert 0 < summary.waiting_share < 1
    assert set(os.listdir()) == {"d", "out.npz", "out.npz.errors.csv"}
    assert not prefetching()


def test_what_could_not_be_read_is_listed_with_its_reason(folder):
    summary = embed_run(SmallModel(), ["d"], "out.csv")
    with open("out.csv.errors.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["filename", "d/benign/3.dcm", "d/malignant/bad.png"]
    assert rows[1][1] == "the file is empty"
    assert summary.errors.counts == {row[1]: 1 for row in rows[1:]}
    lines = summary.lines()
    assert lines[-2:] == [f"ERROR    {name}: {reason}" for name, reason in rows[1:]]
    text = "\n".join(lines)
    assert "20 from 10 of 12 inputs" in text
    assert "out.csv, out.csv.errors.csv, out.csv.info.json" in text


def test_the_provenance_tells_model_settings_and_decoders(folder):
    import json

    embed_run(SmallModel(), ["d"], "out.csv", batch_size=3, window=Window(40, 400))
    provenance = json.loads(Path("out.csv.info.json").read_text())
    assert provenance["model_sha256"] == "ab" * 32
    assert provenance["options"] == {
        "batch_size": 3,
        "window": {"center": 40, "width": 400, "function": "LINEAR"},
        "frame": None,
    }
    assert provenance["decoders"]["pydicom"]


def test_notices_are_listed_and_counted(folder):
    """A window has no meaning for a PNG file, and decoding says so."""
    summary = embed_run(SmallModel(), ["d"], "out.csv", window=Window(40, 400))
    assert summary.notices.total == summary.rows
    assert Path("out.csv.notices.csv") in summary.files
    with open("out.csv.notices.csv", encoding="utf-8", newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["filename", *ROW_NAMES]
    (line,) = (line for line in summary.lines() if line.startswith("notice"))
    assert line.startswith("notice   20 × ")
    assert line.endswith(" (first d/benign/0.png)")


@pytest.mark.parametrize(("count", "more"), [(5, None), (6, 1), (9, 4)])
def test_the_first_that_cannot_be_read_are_named_and_the_rest_counted(folder, count, more):
    Path("e").mkdir()
    picture(1).save("e/good.png")
    for number in range(count):
        Path(f"e/{number}.png").touch()
    Path("e/0.png").write_bytes(b"no image")
    lines = [line for line in embed_run(SmallModel(), ["e"], Path("out.npz")).lines() if line.startswith("ERROR")]
    other = lines[0].removeprefix("ERROR    e/0.png: ")
    assert lines[1:5] == [f"ERROR    e/{number}.png: the file is empty" for number in range(1, 5)]
    rest = f"ERROR    … and {more} more in out.npz.errors.csv (most often {count - 1} × the file is empty; 1 × {other})"
    assert lines[5:] == ([rest] if more else [])
    assert len(Path("out.npz.errors.csv").read_text().splitlines()) == 1 + count


def test_a_tally_shows_the_first_and_the_most_frequent():
    tally = Tally.of((f"{number}.dcm", f"reason {number % 7}") for number in range(20))
    assert tally.total == 20
    assert list(tally.counts.items())[:2] == [("reason 0", 3), ("reason 1", 3)]
    assert list(tally.counts.values()) == [3, 3, 3, 3, 3, 3, 2]
    kinds = "; ".join(f"3 × reason {number}" for number in range(5))
    assert tally.first_lines(" in F") == [
        *(f"{number}.dcm: reason {number}" for number in range(5)),
        f"… and 15 more in F (most often {kinds})",
    ]
    assert tally.kind_lines(" in F") == [
        *(f"3 × reason {number} (first {number}.dcm)" for number in range(5)),
        "… and 2 more kinds in F",
    ]
    assert Tally.of([]).first_lines() == Tally.of([]).kind_lines() == []


def test_one_frame_of_each_file(folder):
    summary = embed_run(
        SmallModel(), ["d/benign/few.tif", "d/malignant/4-many.tif", "d/benign/0.png"], "out.npz", frame=5
    )
    table = load("out.npz")
    assert table["filenames"].tolist() == ["d/malignant/4-many.tif#5"]
    np.testing.assert_array_equal(table["embeddings"], [expected_row(picture(204))])
    assert summary.unreadable == 2


def test_a_multi_frame_dicom_with_a_window(tmp_path):
    from pydicom.data import get_testdata_file

    colour, ct = (get_testdata_file(name, download=False) for name in ("examples_ybr_color.dcm", "CT_small.dcm"))
    rows = {}
    for window in (None, Window(100, 50)):
        target = tmp_path / f"{bool(window)}.npz"
        embed_run(SmallModel(), [colour, ct], target, window=window, batch_size=7)
        rows[window] = load(str(target))
    assert rows[None]["filenames"].tolist() == [*(f"{colour}#{page}" for page in range(1, 31)), ct]
    assert len(np.unique(rows[None]["embeddings"][:30], axis=0)) > 20
    assert not np.array_equal(rows[None]["embeddings"][30], rows[Window(100, 50)]["embeddings"][30])


def test_zip_archives_and_image_sets(folder):
    images = np.stack([np.asarray(picture(number)) for number in range(4)])
    np.savez("set.npz", train_images=images[:3], train_labels=[[1], [0], [1]], test_images=images[3:])
    with zipfile.ZipFile("set.zip", "w") as archive:
        stream = io.BytesIO()
        picture(0).save(stream, "PNG")
        archive.writestr("benign/0.png", stream.getvalue())
    embed_run(SmallModel(), ["set.npz", "set.zip"], "out.npz")
    table = load("out.npz")
    names = [f"set.npz/train_images/{number}" for number in range(3)]
    assert table["filenames"].tolist() == [*names, "set.npz/test_images/0", "set.zip/benign/0.png"]
    assert table["labels"].tolist() == ["1", "0", "1", "", "benign"]
    np.testing.assert_array_equal(table["embeddings"], [expected_row(picture(n)) for n in (0, 1, 2, 3, 0)])


def test_what_was_left_out_of_the_list_is_said(folder):
    Path("d/notes.txt").touch()
    summary = embed_run(SmallModel(), ["d", "d/benign"], "out.npz")
    assert summary.notes == ("skipped as no images: 1 .txt", "reached twice and listed once: 1 images or folders")
    assert "note     skipped as no images: 1 .txt" in summary.lines()


def test_progress_counts_inputs(folder):
    told = []
    embed_run(SmallModel(), ["d"], "out.npz", batch_size=5, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 12), (5, 12), (10, 12), (12, 12)]


def test_a_file_of_which_a_later_frame_is_damaged_gives_no_row(folder):
    tiff(Path("whole.tif"), 9)
    data = Path("whole.tif").read_bytes()
    with Image.open("whole.tif") as image:
        image.seek(7)
        offset = image.tag_v2[273][0]
    Path("e").mkdir()
    picture(1).save("e/0.png")
    picture(2).save("e/2.png")
    # The eighth page is said to lie behind the end of the file.
    Path("e/1.tif").write_bytes(data.replace(offset.to_bytes(4, "little"), (10**8).to_bytes(4, "little")))
    summary = embed_run(SmallModel(), ["e"], "out.npz", batch_size=3)
    table = load("out.npz")
    assert table["filenames"].tolist() == ["e/0.png", "e/2.png"]
    np.testing.assert_array_equal(table["embeddings"], [expected_row(picture(1)), expected_row(picture(2))])
    assert summary.unreadable == 1


def test_many_frames_are_never_all_in_memory(folder):
    tiff(Path("long.tif"), 300)
    picture(1).save("short.png")
    model = SmallModel()
    batch_size, workers = 6, 2
    summary = embed_run(model, ["long.tif", "short.png"], "out.npz", batch_size=batch_size, workers=workers)
    assert summary.rows == 301
    assert load("out.npz")["filenames"][299] == "long.tif#300"
    ahead = SHORT + 1  # prepared in vain, before it was known to be long
    in_hand = workers  # each may hold one more that it cannot hand over yet
    assert model.most_ahead <= (batch_size + 1) + batch_size + 2 * ahead + in_hand


# ---- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"frame": 0}, "counted from 1"),
    ],
)
def test_wrong_arguments_are_refused(folder, options, message):
    with pytest.raises(InputError, match=message):
        embed_run(SmallModel(), ["d"], "out.npz", **options)
    assert not files("out")


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        ("there.csv", OutputError, "exists already: add --force"),
        ("missing/out.csv", OutputError, "does not exist"),
        ("d", InputError, "name an --output that ends in"),
        ("out.txt", InputError, r"\.npz, \.csv, \.parquet"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(folder, output, error, message):
    Path("there.csv").touch()
    with pytest.raises(error, match=message):
        embed_run(SmallModel(), ["not even there"], output)


def test_an_unfinished_run_is_refused_before_any_work(folder):
    interrupted(["d"], "out.npz", 2)
    with pytest.raises(OutputError, match=r"--resume .* --force"):
        embed_run(SmallModel(), ["not even there"], "out.npz")


def test_an_input_is_never_replaced(folder):
    np.savez("set.npz", images=np.zeros((2, 8, 8), np.uint8))
    before = Path("set.npz").read_bytes()
    with pytest.raises(InputError, match="is one of the inputs"):
        embed_run(SmallModel(), ["./set.npz"], Path("set.npz").absolute(), force=True)
    assert Path("set.npz").read_bytes() == before


@pytest.mark.parametrize("output", ["out.npz", "out.csv"])
def test_where_no_image_can_be_read_there_is_no_output(folder, output):
    named = r"none of the 2 images can be read: d/benign/3\.dcm: the file is empty; d/malignant/bad\.png: \S.*"
    with pytest.raises(InputError, match=named):
        embed_run(SmallModel(), ["d/benign/3.dcm", "d/malignant/bad.png"], output)
    assert os.listdir() == ["d"]


def test_where_none_of_many_can_be_read_the_first_are_named(folder):
    Path("e").mkdir()
    for number in range(8):
        Path(f"e/{number}.png").touch()
    with pytest.raises(InputError, match=r"e/4\.png: the file is empty; … and 3 more \(most often 8 × the file is"):
        embed_run(SmallModel(), ["e"], "out.npz")


def test_strict_ends_at_the_first_that_cannot_be_read(folder):
    model = SmallModel()
    with pytest.raises(UnreadableImageError, match=r"cannot read d/benign/3\.dcm: the file is empty"):
        embed_run(model, ["d"], "out.npz", batch_size=1, strict=True)
    assert sum(model.batches) == 2
    assert not files("out")
    assert not prefetching()
    with pytest.raises(UnreadableImageError):
        embed_run(SmallModel(), ["d"], "out.npz", batch_size=1, strict=True, resume=True)
    assert embed_run(SmallModel(), ["d"], "out.npz", batch_size=1, resume=True).resumed == 2


def test_strict_holds_for_what_was_resumed(folder):
    interrupted(["d"], "out.npz", 4, batch_size=1)
    with pytest.raises(UnreadableImageError, match=r"d/benign/3\.dcm"):
        embed_run(SmallModel(), ["d"], "out.npz", batch_size=1, strict=True, resume=True)


def test_force_replaces_all_that_an_earlier_run_wrote(folder):
    embed_run(SmallModel(), ["d"], "out.csv", window=Window(1, 2))
    assert len(files("out")) == 4
    embed_run(SmallModel(), ["d/benign/0.png"], "out.csv", force=True)
    assert set(files("out")) == {"out.csv", "out.csv.info.json"}
    assert len(Path("out.csv").read_text().splitlines()) == 2


# ---- interruptions ---------------------------------------------------------------------------------------------


def interrupted(inputs, output, at, *, batch_size=2, **options) -> str:
    """A run that is interrupted in its inference number `at`; its message."""
    with pytest.raises(KeyboardInterrupt) as caught:
        embed_run(SmallModel(interrupt_at=at), inputs, output, batch_size=batch_size, **options)
    return str(caught.value)


def test_an_interrupt_says_how_to_go_on(folder):
    message = interrupted(["d"], "out.npz", 3)
    expected = "interrupted; 4 of 12 inputs are done and kept in out.npz.partial: give the same command with --resume"
    assert message.startswith(expected)
    assert not files("out")
    assert not prefetching()
    told = []
    summary = embed_run(
        SmallModel(), ["d"], "out.npz", batch_size=2, resume=True, progress=lambda *now: told.append(now)
    )
    assert told[0] == (4, 12)
    assert summary.resumed == 4
    assert "resumed  4 inputs were done by an earlier run" in summary.lines()


@settings(max_examples=40, deadline=None)
@given(
    stops=st.lists(st.integers(0, 12), max_size=3),
    batch_size=st.integers(1, 7),
    parallel=st.integers(1, 3),
    suffix=st.sampled_from([".npz", ".csv"]),
    first=st.integers(1, 3),
)
def test_resumed_any_number_of_times_the_files_are_the_same(
    tmp_path_factory, stops, batch_size, parallel, suffix, first
):
    """Also with a model whose rows depend on the batch they are in."""
    here = tmp_path_factory.mktemp("resumed")
    tiff(here / "a.tif", first)
    for number in range(5):
        picture(number).save(here / f"b{number}.png")
    (here / "b3.jpg").write_bytes(b"damaged")
    tiff(here / "c.tif", 6)
    picture(9).save(here / "d.png")
    inputs, whole, output = [here], here / f"whole{suffix}", here / f"out{suffix}"
    options = {"batch_size": batch_size, "workers": 2}
    embed_run(SmallModel(batch_matters=True), inputs, whole, **options)
    for stop in stops:
        try:
            model = SmallModel(batch_matters=True, interrupt_at=stop, parallel=parallel)
            embed_run(model, inputs, output, resume=True, **options)
            break
        except KeyboardInterrupt:
            assert not output.exists()
    else:
        embed_run(SmallModel(batch_matters=True), inputs, output, resume=True, **options)
    for beside in ("", ".errors.csv"):
        assert output.with_name(output.name + beside).read_bytes() == whole.with_name(whole.name + beside).read_bytes()
    assert not partial_folder(output).exists()


@settings(max_examples=40, deadline=None)
@given(
    stop=st.integers(0, 9),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    batch_size=st.integers(1, 4),
    parallel=st.integers(1, 3),
)
def test_after_a_crash_at_any_byte_the_files_are_the_same(tmp_path_factory, stop, shares, batch_size, parallel):
    here = tmp_path_factory.mktemp("crashed")
    for number in range(9):
        picture(number).save(here / f"{number}.png")
    (here / "3.jpg").write_bytes(b"damaged")
    tiff(here / "6.tif", 5)
    whole, output = here / "whole.npz", here / "out.npz"
    embed_run(SmallModel(batch_matters=True), [here], whole, batch_size=batch_size)
    try:
        model = SmallModel(batch_matters=True, interrupt_at=stop, parallel=parallel)
        embed_run(model, [here], output, batch_size=batch_size)
        return
    except KeyboardInterrupt:
        pass
    for name, share in zip((ROWS, EMBEDDINGS), shares, strict=True):
        path = partial_folder(output) / name
        os.truncate(path, round(share * path.stat().st_size))
    embed_run(SmallModel(batch_matters=True), [here], output, batch_size=batch_size, resume=True)
    assert output.read_bytes() == whole.read_bytes()


def test_batches_are_in_inference_side_by_side(folder):
    """As many as the model allows, and what came before one that fails is kept."""
    meeting = threading.Barrier(2, timeout=20)

    class Pair(SmallModel):
        def run(self, batch):
            outputs = super().run(batch)
            if len(self.batches) <= 4:  # each of the first four waits for its neighbour
                meeting.wait()
            return outputs

    summary = embed_run(Pair(parallel=2), ["d"], "out.npz", batch_size=2)
    assert summary.rows == len(load("out.npz")["embeddings"])
    np.testing.assert_array_equal(load("out.npz")["embeddings"], expected_rows())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("radiodino")]


def test_what_was_in_inference_is_kept_where_a_later_image_ends_the_run(folder):
    """Strict ends while the batches before it are still being computed."""
    for number in range(8):
        picture(number).save(f"{number}.png")
    Path("8.png").write_bytes(b"damaged")
    slow = threading.Event()

    class Slow(SmallModel):
        def run(self, batch):
            slow.wait(0.05)
            return super().run(batch)

    inputs = [f"{number}.png" for number in range(9)]
    with pytest.raises(UnreadableImageError, match=r"8\.png"):
        embed_run(Slow(parallel=2), inputs, "kept.npz", batch_size=2, strict=True)
    lines = (partial_folder(Path("kept.npz")) / ROWS).read_bytes().splitlines()
    assert len(lines) == 8


@pytest.mark.parametrize("interruption", [RuntimeError, MemoryError, SystemExit])
def test_any_other_end_leaves_the_run_resumable(folder, interruption):
    with pytest.raises(interruption):
        embed_run(SmallModel(interrupt_at=3, interruption=interruption), ["d"], "out.npz", batch_size=2)
    assert not prefetching()
    summary = embed_run(SmallModel(), ["d"], "out.npz", batch_size=2, resume=True)
    assert summary.resumed == 4
    np.testing.assert_array_equal(load("out.npz")["embeddings"], expected_rows())


def test_an_interrupt_among_the_frames_of_a_long_file(folder):
    tiff(Path("long.tif"), 60)
    assert "0 of 1 inputs" in interrupted(["long.tif"], "out.npz", 5)
    assert not prefetching()
    assert embed_run(SmallModel(), ["long.tif"], "out.npz", resume=True, batch_size=2).rows == 60


def test_resume_without_an_unfinished_run_begins_one(folder):
    assert embed_run(SmallModel(), ["d"], "out.npz", resume=True).resumed == 0


def test_force_discards_an_unfinished_run(folder):
    interrupted(["d"], "out.npz", 3)
    assert embed_run(SmallModel(), ["d"], "out.npz", force=True).resumed == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"batch_size": 3}, "options.batch_size was 2 and is 3"),
        ({"window": Window(40, 400)}, r"options.window was None and is \{'center': 40"),
        ({"frame": 1}, "options.frame was None and is 1"),
        ({"model": SmallModel(sha256="cd" * 32)}, "model_sha256 was abab"),
        ({"inputs": ["d/benign"]}, "inputs.count was 12 and is 6"),
        ({"inputs": ["./d/benign", "d/malignant"]}, "inputs.names_sha256 was"),
    ],
)
def test_a_run_goes_on_only_with_the_same_settings(folder, change, named):
    interrupted(["d"], "out.npz", 3)
    arguments = {"model": SmallModel(), "inputs": ["d"], "batch_size": 2} | change
    with pytest.raises(OutputError, match=named):
        embed_run(output="out.npz", resume=True, **arguments)
    assert embed_run(SmallModel(), ["d"], "out.npz", batch_size=2, resume=True).resumed == 4


def replace_by_another_size(path: Path) -> None:
    picture(77, (30, 20)).save(path)


def replace_at_another_time(path: Path) -> None:
    """The same number of bytes, a moment later."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


def remove_and_link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize("replace", [replace_by_another_size, replace_at_another_time, remove_and_link_to_nowhere])
@pytest.mark.parametrize("name", ["d/benign/0.png", "d/malignant/7.png"])
def test_a_run_does_not_go_on_where_a_file_was_replaced(folder, replace, name):
    """Whether it was done already or not."""
    interrupted(["d"], "out.npz", 3)
    replace(Path(name))
    changed = r"out\.npz\.partial holds .* the inputs changed since .* \(inputs\.sizes_and_times_sha256 was .*--force"
    with pytest.raises(OutputError, match=changed):
        embed_run(SmallModel(), ["d"], "out.npz", batch_size=2, resume=True)
    assert embed_run(SmallModel(), ["d"], "out.npz", batch_size=2, force=True).resumed == 0


@pytest.mark.parametrize("typed", ["set.npz", "set.zip"])
def test_a_run_does_not_go_on_where_an_archive_was_replaced(folder, typed):
    def save(first: int) -> None:
        np.savez("set.npz", images=np.stack([np.asarray(picture(first + number)) for number in range(4)]))
        with zipfile.ZipFile("set.zip", "w") as archive:
            for number in range(4):
                stream = io.BytesIO()
                picture(first + number).save(stream, "PNG")
                archive.writestr(f"{number}.png", stream.getvalue())
        os.utime(typed, (first, first))

    save(0)
    interrupted([typed], "out.csv", 1)
    save(50)
    with pytest.raises(OutputError, match=r"the inputs changed since .* --force"):
        embed_run(SmallModel(), [typed], "out.csv", batch_size=2, resume=True)
    save(0)
    assert embed_run(SmallModel(), [typed], "out.csv", batch_size=2, resume=True).resumed == 2


def test_changed_inputs_and_settings_are_told_apart(folder):
    interrupted(["d"], "out.npz", 3)
    with pytest.raises(OutputError, match="the settings changed since"):
        embed_run(SmallModel(), ["d"], "out.npz", batch_size=3, resume=True)
    with pytest.raises(OutputError, match="the inputs and settings changed since"):
        embed_run(SmallModel(), ["d/benign"], "out.npz", batch_size=3, resume=True)


def test_a_file_that_stays_unreadable_is_no_change(folder):
    Path("d/benign/00.png").symlink_to("nowhere")
    interrupted(["d"], "out.npz", 3)
    assert embed_run(SmallModel(), ["d"], "out.npz", batch_size=2, resume=True).unreadable == 3


def test_strict_workers_and_force_are_no_such_settings(folder):
    picture(1).save("1.png")
    picture(2).save("2.png")
    interrupted(["1.png", "2.png"], "out.npz", 1, batch_size=1)
    options = {"batch_size": 1, "resume": True, "strict": True, "workers": 3, "force": True}
    assert embed_run(SmallModel(), ["1.png", "2.png"], "out.npz", **options).resumed == 1


def test_output_and_state_inside_the_input_folder(folder):
    """Neither is taken for an image, so that the list stays the same."""
    interrupted(["d"], "d/benign/out.npz", 3)
    summary = embed_run(SmallModel(), ["d"], "d/benign/out.npz", batch_size=2, resume=True)
    assert summary.resumed == 4
    assert load("d/benign/out.npz")["filenames"].tolist() == ROW_NAMES


def test_a_finished_journal_only_needs_its_table(folder, monkeypatch):
    def no_table(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_table", no_table)
    with pytest.raises(KeyboardInterrupt, match="12 of 12 inputs are done"):
        embed_run(SmallModel(), ["d"], "out.npz", batch_size=5)
    monkeypatch.undo()
    os.chdir(folder)
    model = SmallModel()
    summary = embed_run(model, ["d"], "out.npz", batch_size=5, resume=True)
    assert summary.resumed == 12
    assert model.batches == []
    assert summary.rows_per_second == summary.waiting_share == summary.inference_share == 0
    np.testing.assert_array_equal(load("out.npz")["embeddings"], expected_rows())


# ---- a full disk -----------------------------------------------------------------------------------------------

FULL_DISK = """
import resource, sys
import numpy as np
from radiodino.runtime.embed.run import embed_run
from radiodino.runtime.errors import OutputError
from radiodino.runtime.model_info import Preprocessing
from radiodino.runtime.preprocessing import Preprocessor

class Model:
    class info:
        embedding_size = 192
    preprocess = Preprocessor(Preprocessing(resize=(8, 8)))
    parallel = 2
    def run(self, batch):
        return {"embedding": batch.reshape(len(batch), -1).copy()}
    def provenance(self):
        return {"variant": "wide"}

limit = int(sys.argv[1])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    print(embed_run(Model(), ["set.npz"], sys.argv[2], batch_size=4, resume=True, workers=2).resumed)
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize(("limit", "what"), [(20_000, "out.csv.partial"), (40_000, "out.csv")])
def test_a_full_disk_is_one_sentence_and_the_run_can_go_on(tmp_path, limit, what):
    """First while the rows are recorded (768 bytes each), then while the table is written (some 2 kB each)."""
    pytest.importorskip("resource")
    images = np.stack([np.asarray(picture(number, (8, 8))) for number in range(50)])
    np.savez(tmp_path / "set.npz", images=images)

    def run(limit: int, output: str) -> str:
        command = [sys.executable, "-c", FULL_DISK, str(limit), output]
        finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert finished.stderr == ""
        return finished.stdout.strip()

    message = run(limit, "out.csv")
    assert message.startswith(f"cannot write {what}: File too large; ")
    assert message.endswith("kept in out.csv.partial: give the same command with --resume to go on")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv.partial", "set.npz"]
    done = int(message.partition("; ")[2].split()[0])
    assert int(run(0, "out.csv")) == done
    assert 20 <= done <= 50
    assert run(0, "whole.csv") == "0"
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


# ---- with an engine --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_with_an_engine_rows_are_those_of_embed(folder, toy_fp16, backend):
    pytest.importorskip(backend)
    from radiodino.runtime import Model

    model = Model.load(toy_fp16, backend=backend)
    embed_run(model, ["d"], "out.npz", batch_size=4)
    table = load("out.npz")
    direct = np.concatenate(
        [model.embed(name.partition("#")[0], frame=1 if "#" in name else None) for name in ROW_NAMES]
    )
    is_first = np.array(["#" not in name or name.endswith("#1") for name in ROW_NAMES])
    embeddings = table["embeddings"][is_first]
    norms = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(direct[is_first], axis=1)
    assert ((embeddings * direct[is_first]).sum(1) / norms).min() > 0.9999
    assert str(table["provenance"]).count(model.info.file_sha256) == 1


def test_with_an_engine_a_resumed_run_has_the_same_bits(folder, toy_fp16):
    pytest.importorskip("onnxruntime")
    from radiodino.runtime import Model

    model = Model.load(toy_fp16, backend="onnxruntime")
    embed_run(model, ["d"], "whole.npz", batch_size=4)

    def interrupting(done, total):
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_run(model, ["d"], "out.npz", batch_size=4, progress=interrupting)
    assert embed_run(model, ["d"], "out.npz", batch_size=4, resume=True).resumed == 8
    assert Path("out.npz").read_bytes() == Path("whole.npz").read_bytes()


def test_real_images(data_dir, tmp_path, toy_fp16):
    pytest.importorskip("onnxruntime")
    from radiodino.runtime import Model

    model = Model.load(toy_fp16, backend="onnxruntime")
    summary = embed_run(model, [str(data_dir / "busi_256.zip")], tmp_path / "out.npz", batch_size=16)
    assert (summary.rows, summary.unreadable, summary.notices.total) == (624, 0, 0)
    labels, counts = np.unique(load(str(tmp_path / "out.npz"))["labels"], return_counts=True)
    assert dict(zip(labels.tolist(), counts.tolist(), strict=True)) == {"benign": 350, "malignant": 168, "normal": 106}
