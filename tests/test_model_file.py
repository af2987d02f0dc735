from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import ModelFileError
from radiodino.runtime.model_file import read_model_file, seal
from radiodino.runtime.wire import bytes_field, varint_field

BODY = varint_field(1, 10) + bytes_field(2, b"test") + bytes_field(7, b"\x0a\x00" * 50)


def write(path, data):
    path.write_bytes(data)
    return path


def test_document_and_digest_are_read_back(tmp_path):
    data = seal(BODY, '{"ü": 1}')
    file = read_model_file(write(tmp_path / "m.onnx", data))
    assert file.document == '{"ü": 1}'
    assert file.sha256 == hashlib.sha256(data).hexdigest()


def test_a_file_of_another_tool_has_no_document(tmp_path):
    file = read_model_file(write(tmp_path / "m.onnx", BODY))
    assert file.document is None
    assert file.sha256 == hashlib.sha256(BODY).hexdigest()


def test_the_sealed_file_is_an_ordinary_onnx_model(toy_fp16):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(toy_fp16)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key for entry in model.metadata_props} == {"radiodino", "radiodino.seal"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(position=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_seen(tmp_path, position, bit):
    data = bytearray(seal(BODY, '{"schema": 1}'))
    data[position % len(data)] ^= 1 << bit
    try:
        file = read_model_file(write(tmp_path / "m.onnx", bytes(data)))
    except ModelFileError:
        return
    # A flip in an entry's key makes the entry another one: then the file counts as one without a document.
    assert file.document is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(keep=st.integers(0))
def test_any_truncation_is_seen(tmp_path, keep):
    data = seal(BODY, '{"schema": 1}')
    kept = data[: keep % len(data)]
    if kept == BODY:  # cut exactly where our entries begin: a valid model of another tool
        assert read_model_file(write(tmp_path / "m.onnx", kept)).document is None
        return
    with pytest.raises(ModelFileError):
        read_model_file(write(tmp_path / "m.onnx", kept))


def test_anything_appended_is_seen(tmp_path):
    with pytest.raises(ModelFileError, match="altered"):
        read_model_file(write(tmp_path / "m.onnx", seal(BODY, "{}") + varint_field(5, 1)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "is empty"), (b"hello, this is text\n", "no ONNX model"), (varint_field(1, 10), "no ONNX model")],
)
def test_what_is_no_model_is_named(tmp_path, data, reason):
    with pytest.raises(ModelFileError, match=reason):
        read_model_file(write(tmp_path / "m.onnx", data))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ModelFileError, match="there is no file"):
        read_model_file(tmp_path / "none.onnx")
    with pytest.raises(ModelFileError, match="cannot read"):
        read_model_file(tmp_path)
