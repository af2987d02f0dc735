from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import IndexFileError
from radiodino.runtime.index.container import ContainerWriter, read_container

VALUES = np.arange(21, dtype=np.float32).reshape(7, 3)
PICTURES = np.arange(70, dtype=np.uint8)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("container") / "a.index"
    with ContainerWriter(path) as container:
        container.add("values", "<f4", (3,), [VALUES[:4], VALUES[4:]])
        container.add("empty", "<i8", (2,), [])
        container.add("pictures", "|u1", (), [PICTURES], checked=False)
        container.finish({"says": "é"})
    return path


@pytest.fixture(scope="module")
def altered(good):
    return good.with_name("altered.index")


def test_what_was_written_is_read_back(good):
    document, arrays = read_container(good)
    assert document == {"says": "é"}
    np.testing.assert_array_equal(arrays["values"], VALUES)
    np.testing.assert_array_equal(arrays["pictures"], PICTURES)
    assert arrays["empty"].shape == (0, 2)
    with pytest.raises(ValueError, match="read-only"):
        arrays["values"][0, 0] = 1


def test_pieces_do_not_matter(good, altered):
    with ContainerWriter(altered) as container:
        container.add("values", "<f4", (3,), [VALUES])
        container.add("empty", "<i8", (2,), [])
        container.add("pictures", "|u1", (), [PICTURES[:9], PICTURES[9:]], checked=False)
        container.finish({"says": "é"})
    assert altered.read_bytes() == good.read_bytes()


def test_a_chunk_of_another_shape_is_a_mistake(altered):
    with ContainerWriter(altered) as container, pytest.raises(ValueError, match="no chunk of rows"):
        container.add("values", "<f4", (4,), [VALUES])


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_refused(good, altered, data):
    """But of what has checksums of its own."""
    content = bytearray(good.read_bytes())
    first = content.index(PICTURES.tobytes())
    places = [place for place in range(len(content)) if not first <= place < first + len(PICTURES)]
    place = data.draw(st.sampled_from(places))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    altered.write_bytes(content)
    with pytest.raises(IndexFileError):
        read_container(altered)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_cut_and_any_addition_is_refused(good, altered, data):
    content = good.read_bytes()
    altered.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(IndexFileError):
        read_container(altered)
    altered.write_bytes(content + data.draw(st.binary(min_size=1, max_size=9)))
    with pytest.raises(IndexFileError):
        read_container(altered)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=300), with_magic=st.booleans())
def test_other_files_are_refused(altered, content, with_magic):
    altered.write_bytes((b"RadioDINO index\n" if with_magic else b"") + content)
    with pytest.raises(IndexFileError):
        read_container(altered)


def test_each_refusal_says_what_is_wrong(good, altered, tmp_path, monkeypatch):
    def sentence(path):
        with pytest.raises(IndexFileError) as caught:
            read_container(path)
        return str(caught.value)

    content = good.read_bytes()
    assert "there is no file" in sentence(tmp_path / "none.index")
    assert "Is a directory" in sentence(tmp_path) or "cannot read" in sentence(tmp_path)
    altered.write_bytes(b"text")
    assert "is no index of cases" in sentence(altered)
    altered.write_bytes(content[:40])
    assert "cut off" in sentence(altered)
    altered.write_bytes(content[:-1])
    assert "bytes are expected" in sentence(altered)
    altered.write_bytes(content[:64] + b"\1" + content[65:])
    assert "'values' differs" in sentence(altered)
    altered.write_bytes(content[:-1] + b"]")
    assert "its document differs" in sentence(altered)
    monkeypatch.setattr("radiodino.runtime.index.container.FORMAT", "radiodino.index/2")
    with ContainerWriter(altered) as container:
        container.finish({})
    monkeypatch.undo()
    assert "radiodino.index/2 and this radiodino reads radiodino.index/1" in sentence(altered)
