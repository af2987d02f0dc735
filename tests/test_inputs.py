from __future__ import annotations

import os
from pathlib import Path

import pytest

from radiodino.runtime.decode import decode
from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs.listing import list_inputs

pytestmark = pytest.mark.usefixtures("here")  # inputs are typed relative to a folder of their own


def test_files_are_called_as_typed(touch, names):
    touch("a.png", "d/b.dcm")
    absolute = str(Path("a.png").resolve())
    assert names("d/b.dcm", "a.png") == ["d/b.dcm", "a.png"]
    assert names(absolute) == [absolute]
    assert names("./d//./b.dcm") == ["d/b.dcm"]
    assert names("d/../a.png") == ["d/../a.png"]
    assert list_inputs([Path("a.png")])[0].load() == Path("a.png")


def test_the_folder_one_stands_in_has_no_prefix(monkeypatch, touch, names):
    touch("d/a/1.png", "d/2.png")
    monkeypatch.chdir("d")
    assert names(".") == ["2.png", "a/1.png"]
    assert list_inputs(["."])[0].load() == Path("2.png")
    assert names("..") == ["../d/2.png", "../d/a/1.png"]


def test_what_is_no_image_is_skipped_counted_and_said(touch):
    touch("d/1.dcm", "d/IM0001", "d/x.1.2.840", "d/unknown.xyz")
    touch("d/notes.TXT", "d/meta.json", "d/more.json", "d/DICOMDIR", "d/README", "d/.hidden.png", "d/.git/a.png")
    touch("d/__MACOSX/._a.png", "d/set.zip", "d/n/set.npz", "d/out.csv.partial/embeddings.f32", "d/a.tar.gz")
    listing = list_inputs(["d"])
    assert [item.name for item in listing] == ["d/1.dcm", "d/IM0001", "d/unknown.xyz", "d/x.1.2.840"]
    assert listing.skipped == {"hidden": 3, ".json": 2, ".txt": 1, "DICOMDIR": 1, "README": 1, "unfinished run": 1}
    assert listing.archives == ("d/a.tar.gz", "d/n/set.npz", "d/set.zip")
    assert listing.notes() == [
        "skipped as no images: 3 hidden, 2 .json, 1 .txt, 1 DICOMDIR, 1 README, 1 unfinished run",
        "not opened, as they lie inside a folder or an archive: d/a.tar.gz, d/n/set.npz, d/set.zip "
        "(name them as inputs to read them)",
    ]


def test_many_archives_are_said_shortly(touch):
    touch("d/1.png", *(f"d/{number}.zip" for number in range(9)))
    assert "d/2.zip and 6 more (name" in list_inputs(["d"]).notes()[0]


def test_nothing_left_out_nothing_said(touch):
    touch("d/1.png")
    assert list_inputs(["d"]).notes() == []


def test_a_typed_file_is_listed_whatever_it_is_called(touch, names):
    touch(".hidden.png", "notes.txt", "DICOMDIR")
    assert names(".hidden.png", "notes.txt", "DICOMDIR") == [".hidden.png", "notes.txt", "DICOMDIR"]


def test_a_listing_is_a_sequence(touch):
    touch("d/1.png", "d/2.png", "d/3.png")
    listing = list_inputs(["d"])
    assert len(listing) == 3
    assert [item.name for item in listing[1:]] == ["d/2.png", "d/3.png"]
    assert listing[2] in listing


@pytest.mark.parametrize(
    ("typed", "expected", "twice"),
    [
        (["d/1.png", "./d/1.png"], ["d/1.png"], 1),
        (["d", "d/sub"], ["d/1.png", "d/sub/2.png"], 1),
        (["d/sub", "d"], ["d/sub/2.png", "d/1.png"], 1),
        (["d", "d/1.png"], ["d/1.png", "d/sub/2.png"], 1),
        (["d/1.png", "d"], ["d/1.png", "d/sub/2.png"], 1),
        (["d/*.png", "d"], ["d/1.png", "d/sub/2.png"], 1),
        (["d", "d/**/*.png"], ["d/1.png", "d/sub/2.png"], 2),
        (["d", "d/"], ["d/1.png", "d/sub/2.png"], 1),
        (["d", "d/notes.txt"], ["d/1.png", "d/sub/2.png", "d/notes.txt"], 0),
        (["d/.h.png", "d", "d/.h.png"], ["d/.h.png", "d/1.png", "d/sub/2.png"], 1),
    ],
)
def test_the_same_file_reached_twice_is_listed_once_and_said(typed, expected, twice, touch):
    touch("d/1.png", "d/sub/2.png", "d/notes.txt", "d/.h.png")
    listing = list_inputs(typed)
    assert [item.name for item in listing] == expected
    assert listing.twice == twice
    assert (f"listed once: {twice} images" in " ".join(listing.notes())) == bool(twice)


def test_the_same_file_by_relative_and_absolute_path(touch, names):
    touch("d/1.png")
    assert names("d/1.png", os.path.abspath("d"), os.path.abspath("d/1.png")) == ["d/1.png"]


def test_a_file_with_glob_characters_in_its_name_is_that_file(touch, names):
    touch("scan[1].png", "scan1.png")
    assert names("scan[1].png") == ["scan[1].png"]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ([], "no inputs were given"),
        ([""], "empty text"),
        (["missing.png"], r"no readable file or folder missing\.png: check the path"),
        (["a\0b"], "no readable file or folder"),
        (["empty"], "no images in the folder empty: check"),
        (["side"], r"no images in the folder side \(2 skipped as no images\): check"),
        (["side/*.png"], r"nothing matches side/\*\.png: check"),
        (["side/*"], r"nothing matches side/\* \(1 skipped as no images\)"),
        (["missing/*.png"], "there is no readable folder missing"),
        (["dangling"], "neither a readable file nor a folder"),
        (["ok.png", "missing.png"], "missing.png"),
    ],
)
def test_what_cannot_be_listed_is_one_sentence_with_the_cure(typed, message, touch):
    os.makedirs("empty/deeper")
    touch("side/a.txt", "side/.b.png", "ok.png")
    os.symlink("nowhere", "dangling")
    with pytest.raises(InputError, match=message):
        list_inputs(typed)


def test_an_input_named_like_a_frame_of_another_is_refused(touch, names):
    touch("d/scan.dcm", "d/scan.dcm#3", "d/x#7", "d/#1")
    with pytest.raises(InputError, match=r"d/scan\.dcm#3 is named like a frame of d/scan\.dcm"):
        list_inputs(["d"])
    os.remove("d/scan.dcm")
    assert "d/scan.dcm#3" in names("d")


def test_bytes_that_are_no_utf8_are_written_so_that_they_can_be(touch, png):
    touch("d/1.png")
    with open(b"d/\xff.png", "wb") as file:
        file.write(png())
    listing = list_inputs(["d"])
    assert [item.name for item in listing] == ["d/1.png", r"d/\udcff.png"]
    assert len(list(decode(listing[1].load()))) == 1
    touch(r"d/\udcff.png")
    with pytest.raises(InputError, match="two inputs would be called"):
        list_inputs(["d"])
