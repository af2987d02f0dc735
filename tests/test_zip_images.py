from __future__ import annotations

import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime.decode import decode
from radiodino.runtime.errors import InputError, UnreadableImageError
from radiodino.runtime.inputs import zip_images
from radiodino.runtime.inputs.listing import list_inputs

pytestmark = pytest.mark.usefixtures("here")  # inputs are typed relative to a folder of their own


def test_an_archive_typed_twice(names, pack):
    pack("a.zip", {"1.png": b"x"})
    assert names("a.zip", "./a.zip") == ["a.zip/1.png"]


def test_a_zip_is_listed_as_its_folder_would_be(pack):
    members = {"b/2.png": b"2", "b-c/1.png": b"1", "a.png": b"a", "b/deep/3.png": b"3", "b/notes.txt": b"", "x/.h": b""}
    members |= {"__MACOSX/b/._2.png": b"", "inner.zip": b"", "folder/": b""}
    pack("s.zip", members)
    listing = list_inputs(["s.zip"])
    assert [(item.name, item.label) for item in listing] == [
        ("s.zip/a.png", ""),
        ("s.zip/b/2.png", "b"),
        ("s.zip/b/deep/3.png", "b"),
        ("s.zip/b-c/1.png", "b-c"),
    ]
    assert listing.skipped == {"hidden": 2, ".txt": 1}
    assert listing.archives == ("s.zip/inner.zip",)
    assert [item.load().read() for item in listing] == [b"a", b"2", b"3", b"1"]
    assert listing[0].file == "s.zip"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_by_many_threads_at_once(compression, pack):
    contents = {f"{number:03}.bin": os.urandom(20 + 997 * number) for number in range(60)}
    pack("s.zip", contents, compression)
    listing = list_inputs(["s.zip"])
    wrong = []

    def read(start):
        for item in [*listing[start:], *listing[:start]] * 3:
            if item.load().read() != contents[item.name.removeprefix("s.zip/")]:
                wrong.append(item.name)

    threads = [threading.Thread(target=read, args=(7 * index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_member_is_decoded_as_the_file_would_be(data_dir):
    listing = list_inputs([str(data_dir / "busi_256.zip")])
    assert len(listing) == 624
    assert {item.label for item in listing} == {"benign", "malignant", "normal"}
    with zipfile.ZipFile(data_dir / "busi_256.zip") as archive:
        for item in listing[::100]:
            (frame,) = decode(item.load())
            direct = Image.open(archive.open(item.name.partition(".zip/")[2]))
            np.testing.assert_array_equal(np.asarray(frame.image), np.asarray(direct.convert(frame.image.mode)))


def test_a_member_is_known_as_dicom_by_its_suffix_as_a_file_is(touch, pack):
    for name in ("s.zip", "scan.dcm"):
        pack("s.zip", {"scan.dcm": b"no preamble here"})
        touch("scan.dcm")
        with pytest.raises(UnreadableImageError, match="it is no DICOM file"):
            list(decode(list_inputs([name])[0].load()))


def test_a_dicom_member_is_decoded_as_the_file_would_be(pack):
    from pydicom.data import get_testdata_file

    data = Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes()
    pack("s.zip", {"IM1": data})
    Path("IM1").write_bytes(data)
    packed, plain = (list(decode(list_inputs([name])[0].load())) for name in ("s.zip", "IM1"))
    assert packed[0].notice == plain[0].notice
    np.testing.assert_array_equal(np.asarray(packed[0].image), np.asarray(plain[0].image))


def test_of_two_members_of_one_name_the_later_counts():
    with zipfile.ZipFile("s.zip", "w") as archive:
        archive.writestr("1.png", b"old")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("1.png", b"new")
    listing = list_inputs(["s.zip"])
    assert listing.twice == 1
    assert [item.load().read() for item in listing] == [b"new"]


def test_a_member_that_unpacks_to_too_much_is_unreadable(monkeypatch, pack, unreadable):
    monkeypatch.setattr(zip_images, "MEMBER_LIMIT", 1 << 20)
    pack("s.zip", {"bomb.png": bytes((1 << 20) + 1), "fine.png": bytes(1 << 20)})
    bomb, fine = list_inputs(["s.zip"])
    assert "larger than 1 MiB" in unreadable(bomb)
    assert len(fine.load().read()) == 1 << 20


def test_a_member_that_promises_more_than_the_limit_is_unreadable(pack, unreadable, altered):
    pack("s.zip", {"bomb.png": bytes(100_000)})
    size, promised = (100_000).to_bytes(4, "little"), ((256 << 20) + 1).to_bytes(4, "little")
    altered("s.zip", size, promised, Path("s.zip").read_bytes().count(size) - 1)
    assert "larger than 256 MiB" in unreadable(list_inputs(["s.zip"])[0])


LITTLE_MEMORY = """
import resource
from radiodino.runtime.errors import UnreadableImageError
from radiodino.runtime.inputs.listing import list_inputs
big, small = list_inputs(["s.zip"])
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), resource.RLIM_INFINITY))
try:
    big.load()
except UnreadableImageError as error:
    print(error.reason, len(small.load().read()))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs to know how much memory is taken")
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_is_too_large_for_the_memory_is_unreadable_and_the_others_are_not(pack, compression):
    pack("s.zip", {"1.png": bytes(100 << 20), "2.png": b"two"}, compression)
    run = subprocess.run([sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True, check=True)
    assert run.stdout == "there is too little memory to unpack it: unpack the archive 3\n"


def test_a_member_that_is_longer_than_it_says_is_unreadable(pack, unreadable, altered):
    """The table of contents claims 10 bytes of what unpacks to 100 million; no more than 11 are unpacked."""
    pack("s.zip", {"bomb.png": bytes(100_000_000)})
    size = (100_000_000).to_bytes(4, "little")
    altered("s.zip", size, (10).to_bytes(4, "little"), Path("s.zip").read_bytes().count(size) - 1)
    assert "checksum" in unreadable(list_inputs(["s.zip"])[0])


def test_an_encrypted_member_is_unreadable_and_the_others_are_not(pack, unreadable):
    pack("s.zip", {"1.png": b"one", "2.png": b"two"})
    data = bytearray(Path("s.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    Path("s.zip").write_bytes(data)
    first, second = list_inputs(["s.zip"])
    assert "encrypted" in unreadable(first)
    assert second.load().read() == b"two"


def test_a_member_packed_in_another_way_is_unreadable(pack, unreadable):
    pytest.importorskip("bz2")
    pack("s.zip", {"1.png": b"one" * 100}, zipfile.ZIP_BZIP2)
    assert "method 12: pack the archive again with 'deflate'" in unreadable(list_inputs(["s.zip"])[0])


def test_a_damaged_member_is_unreadable_and_the_others_are_not(pack, unreadable, altered):
    pack("s.zip", {"1.png": b"A" * 50, "2.png": b"B" * 50}, zipfile.ZIP_STORED)
    altered("s.zip", b"A" * 50, b"A" * 49 + b"X")
    first, second = list_inputs(["s.zip"])
    assert "checksum" in unreadable(first)
    assert second.load().read() == b"B" * 50


def test_an_archive_without_images_is_an_error_of_the_input(pack):
    pack("s.zip", {"notes.txt": b"", "folder/": b""})
    with pytest.raises(InputError, match=r"no images in the archive s\.zip \(1 skipped"):
        list_inputs(["s.zip"])
    pack("e.zip", {})
    with pytest.raises(InputError, match=r"no images in the archive e\.zip: check"):
        list_inputs(["e.zip"])
