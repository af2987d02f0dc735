from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError, OutputError
from radiodino.train.data import manifest as module
from radiodino.train.data.listing import list_data
from radiodino.train.data.manifest import Row, is_manifest, read_manifest, write_manifest
from radiodino.train.data.split_manifest import write_splits

_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_rows = st.builds(Row, _text.filter(bool), _text, st.sampled_from(["", "train", "val", "test"]))


@pytest.fixture
def files(here, touch, pack):
    touch("d/a/1.png", "d/a/2.png", "d/b/3.png")
    pack("d/set.zip", {"benign/1.png": b"x", "normal/2.png": b"y", "notes.txt": b"z"})
    images = np.arange(20, dtype=np.uint8).reshape(5, 2, 2)
    np.savez(here / "d" / "set.npz", train_images=images, test_images=images, train_labels=np.arange(5))
    return here


def written(text, name="d/m.csv"):
    Path(name).write_text(text, encoding="utf-8")
    return name


@settings(deadline=None, max_examples=40)
@given(st.lists(_rows, min_size=1, max_size=10))
def test_what_is_written_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "round.csv"
    write_manifest(path, rows, overwrite=True)
    assert list(read_manifest(str(path))) == rows


@settings(deadline=None, max_examples=40)
@given(st.lists(_rows, min_size=1, max_size=10), st.booleans())
def test_parquet_is_read_as_csv_is(tmp_path_factory, rows, dictionary):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = str(tmp_path_factory.getbasetemp() / "round.parquet")
    columns = {name: [getattr(row, name) or None for row in rows] for name in ("path", "label", "split")}
    parquet.write_table(pyarrow.table({name: pyarrow.array(c, pyarrow.string()) for name, c in columns.items()}), path,
                        use_dictionary=dictionary)  # fmt: skip
    assert list(read_manifest(path)) == rows


def test_parquet_takes_whole_numbers_and_refuses_others(here):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"path": ["a", "b"], "label": [1, 2]}), "m.parquet")
    assert [row.label for row in read_manifest("m.parquet")] == ["1", "2"]
    parquet.write_table(pyarrow.table({"path": ["a"], "label": [1.5]}), "m.parquet")
    with pytest.raises(InputError, match=r"row 2 of m.parquet holds 1.5: save .* text, or labels as whole numbers"):
        list(read_manifest("m.parquet"))
    Path("m.parquet").write_bytes(b"none")
    with pytest.raises(InputError, match=r"m.parquet is no readable Parquet table"):
        list(read_manifest("m.parquet"))
    with pytest.raises(InputError, match=r"cannot read the manifest n.parquet .*: check the path"):
        list(read_manifest("n.parquet"))


def test_files_archives_and_image_sets_in_one_manifest(files):
    written(
        "label,path,split\nx,a/2.png,train\ny,./b/3.png,valid\nz,set.zip/benign/1.png,validation\n"
        "w,set.npz/train_images/3,TEST\nv,set.npz/test_images/0,\n,set.npz/train_images/1,\n"
    )
    listing = list_data(["d/m.csv"])
    assert [(i.item.name, i.label, i.split, i.key) for i in listing] == [
        ("d/a/2.png", "x", "train", "a/2.png"),
        ("d/b/3.png", "y", "val", "b/3.png"),
        ("d/set.zip/benign/1.png", "z", "val", "set.zip/benign/1.png"),
        ("d/set.npz/train_images/1", "", "train", "set.npz/train_images/1"),
        ("d/set.npz/train_images/3", "w", "test", "set.npz/train_images/3"),
        ("d/set.npz/test_images/0", "v", "test", "set.npz/test_images/0"),
    ]
    assert listing.sources() == ["m.csv", "m.csv", "set.zip", *["set.npz"] * 3]
    assert listing[2].item.load().read() == b"x"
    assert listing[4].item.load().tolist() == [[12, 13], [14, 15]]


def test_paths_may_be_absolute_or_lead_upwards(files):
    written(f"path\n{files}/d/a/1.png\n{files}/d/set.zip/benign/1.png\n", "d/m.csv")
    assert [image.key for image in list_data(["d/m.csv"])] == ["a/1.png", "set.zip/benign/1.png"]
    Path("m").mkdir()
    written("path\n../d/a/1.png\n../d/set.zip/benign/1.png\n", "m/m.csv")
    assert [image.key for image in list_data(["m/m.csv"])] == ["d/a/1.png", "set.zip/benign/1.png"]
    assert [image.key for image in list_data([str(files / "m" / "m.csv")])] == ["d/a/1.png", "set.zip/benign/1.png"]


def test_a_folder_may_be_called_like_an_archive(here, touch):
    touch("set.zip/a/1.png")
    written("path\nset.zip/a/1.png\n", "m.csv")
    assert [image.item.source for image in list_data(["m.csv"])] == ["set.zip/a/1.png"]


def test_folders_and_archives_are_listed_once_and_files_not_asked_for(files, monkeypatch):
    written("path\n" + "".join(f"{name}\n" for name in ("a/1.png", "b/3.png", "a/2.png")))
    calls = Counter()
    for name in ("scandir", "stat", "lstat"):
        original = getattr(os, name)
        monkeypatch.setattr(
            os,
            name,
            lambda path, *a, _o=original, _n=name, **k: (calls.update([(_n, str(path))]), _o(path, *a, **k))[1],
        )
    assert len(list_data(["d/m.csv"])) == 3
    assert {count for (name, _), count in calls.items() if name == "scandir"} == {1}
    assert not [path for _, path in calls if path.endswith(".png")]


def test_radimagenets_own_tables(here, touch):
    touch("radiology_ai/CT/abd/normal/1.png", "radiology_ai/MR/knee/acl/2.png")
    text = "filename,label\nradiology_ai/CT/abd/normal/1.png,normal\nradiology_ai/MR/knee/acl/2.png,acl\n"
    for name, split in (("RadiologyAI_val.csv", "val"), ("mine.csv", "")):
        listing = list_data([written(text, name)])
        assert [(image.label, image.split) for image in listing] == [("normal", split), ("acl", split)]
        assert listing[0].key == "radiology_ai/CT/abd/normal/1.png"


def test_byte_order_mark_index_column_and_empty_lines_are_taken(files):
    written("\ufeff,path\n0,a/1.png\n\n1,a/2.png\n")
    assert len(list_data(["d/m.csv"])) == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no column path: expected the columns path, .* found none"),
        ("name,label\na,b\n", "has no column path: .* found name, label"),
        ("path;label\na;b\n", "has no column path: .* found path;label"),
        ("path,labels\na,b\n", "has the unknown column labels: expected path"),
        ("path,labels,age\na,b,1\n", "has the unknown columns labels, age: expected path"),
        ("path,path\na,b\n", "has the column path twice"),
        ("path,filename\na,b\n", "has the column path twice"),
        ("path,label\na,b,c\n", "row 2 of d/m.csv has 3 fields, expected 2"),
        ("path,label\n,b\n", "row 2 of d/m.csv names no image"),
        ("path,split\na,dev\n", "row 2 of d/m.csv has the split 'dev': expected train, val or test"),
        ("path\n", "names no images: give one row for each"),
        ("path\na/1.png\na/1.png\n", "names d/a/1.png twice"),
        ("path\na/1.png\nb/../a/1.png\n", "names d/b/../a/1.png twice"),
        ("path\nset.zip/benign/1.png\nset.zip/benign/1.png\n", "names d/set.zip/benign/1.png twice"),
        ("path\nset.zip\n", "names the archive d/set.zip as an image: name the images in it"),
        ("path\na/1.png\na/4.png\nc/1.png\na\nset.zip/no.png\n", "4 of the 5 images that d/m.csv names are missing: "
         "a/4.png, c/1.png, a and 1 more; expected them relative to its folder"),
        ("path\nset.zip/notes.txt\n", "1 of the 1 images that d/m.csv names are missing: set.zip/notes.txt"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(files, text, sentence):
    with pytest.raises(InputError, match=sentence):
        list_data([written(text)])


def test_a_manifest_that_cannot_be_read(files):
    with pytest.raises(InputError, match=r"cannot read the manifest d/n.csv \(No such file"):
        list_data(["d/n.csv"])
    Path("d/m.csv").write_bytes("path\nä.png\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"d/m.csv is no text in UTF-8: save it as 'CSV UTF-8'"):
        list_data(["d/m.csv"])
    Path("d/m.csv").write_text("path\n" + "a" * 200_000 + "\n")
    with pytest.raises(InputError, match=r"d/m.csv is no readable CSV table"):
        list_data(["d/m.csv"])


def test_a_damaged_archive_is_an_error(files):
    Path("d/set.zip").write_bytes(b"none")
    with pytest.raises(InputError, match="no readable zip archive"):
        list_data([written("path\nset.zip/1.png\n")])


def test_pyarrow_is_asked_for(here, monkeypatch):
    Path("m.parquet").write_bytes(b"")

    def missing(extra, *modules):
        raise InputError(f"{modules} of {extra}")

    monkeypatch.setattr(module, "require", missing)
    with pytest.raises(InputError, match=r"pyarrow.* of parquet"):
        list_data(["m.parquet"])


def test_two_manifests_that_disagree_are_refused(files):
    written("path,split\na/1.png,train\na/2.png,train\n", "d/train.csv")
    written("path,split\nb/3.png,test\na/1.png,test\n", "d/test.csv")
    with pytest.raises(InputError, match=r"d/a/1.png is of the split train in one input and of test in another"):
        list_data(["d/train.csv", "d/test.csv"])


@pytest.mark.parametrize(
    ("typed", "expected"), [("m.csv", True), ("M.PARQUET", True), ("*.csv", False), ("d.csv", False), ("a.png", False)]
)
def test_what_is_a_manifest(here, typed, expected):
    Path("d.csv").mkdir()
    assert is_manifest(typed) is expected


def test_writing_refuses_what_could_not_be_read(here):
    with pytest.raises(InputError, match=r"m.txt must end in .csv"):
        write_manifest(Path("m.txt"), [], overwrite=False)
    with pytest.raises(InputError, match="no name in UTF-8"):
        write_manifest(Path("m.csv"), [Row("\udcff.png")], overwrite=False)
    assert not list(here.iterdir())
    write_manifest(Path("m.csv"), [Row("a")], overwrite=False)
    with pytest.raises(OutputError, match="exists already"):
        write_manifest(Path("m.csv"), [Row("a")], overwrite=False)


@pytest.mark.parametrize("folder", [".", "out", "d"])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_split_that_is_written_down_is_read_back(files, folder, absolute):
    Path("out").mkdir()
    typed = ["d/a", "d/b/3.png", "d/set.zip", "d/set.npz"]
    listing, _ = list_data([str(files / one) if absolute else one for one in typed]).completed(fractions=(0.5, 0, 0.5))
    path = Path(folder) / "splits.csv"
    write_splits(listing, path, overwrite=False)
    again = list_data([str(path)])
    assert [(os.path.realpath(i.item.file), i.label, i.split) for i in again] == [
        (os.path.realpath(i.item.file), i.label, i.split) for i in listing
    ]
    assert [image.key.rpartition("/")[2] for image in again] == [image.key.rpartition("/")[2] for image in listing]
    first = Path(path).read_text().splitlines()[1]
    assert first.startswith(str(files) if absolute else {".": "d/a/", "out": "../d/a/", "d": "a/"}[folder])


def test_names_that_are_no_utf8_are_not_written(here, touch):
    touch(os.fsdecode(b"d/\xff.png"))
    listing = list_data(["d"])
    with pytest.raises(InputError, match="no name in UTF-8"):
        write_splits(listing, Path("m.csv"), overwrite=False)
