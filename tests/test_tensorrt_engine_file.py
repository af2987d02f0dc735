"""An engine's file: one container, sealed, refused wherever it was not built for, with the command that cures it."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiodino.export.cli import main as export_main
from radiodino.export.tensorrt.batches import parse_batches
from radiodino.runtime.cli import main as run_main
from radiodino.runtime.engine_file import (
    BatchProfile,
    EngineInfo,
    EngineKey,
    engine_bytes,
    engine_info,
    parse_engine_info,
    rebuild_command,
    refuse_elsewhere,
)
from radiodino.runtime.errors import InputError, ModelFileError
from radiodino.runtime.model_file import read_model_file, seal, seal_engine
from radiodino.runtime.wire import bytes_field

HERE = EngineKey(tensorrt="10.9.0.34", device="NVIDIA Toy 1", compute_capability="9.0", driver="570.1")
ENGINE = bytes(range(256)) * 40


def info(**changes) -> EngineInfo:
    known = {
        "key": HERE, "profile": BatchProfile(least=1, usual=4, most=16), "compute": "fp16", "best": False,
        "onnx_name": "a model.onnx", "onnx_sha256": "0" * 64, "verification": {"passed": True},
    }  # fmt: skip
    return EngineInfo(**{**known, **changes})


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a model.engine"
    path.write_bytes(seal_engine(ENGINE, info().to_json(), '{"schema": 4}'))
    return path


def test_engine_and_both_documents_are_read_back(path):
    file = read_model_file(path)
    assert (engine_bytes(path), engine_info(file), file.document) == (ENGINE, info(), '{"schema": 4}')


def test_an_onnx_file_is_no_engine(toy_fp16):
    assert engine_info(read_model_file(toy_fp16)) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(position=st.integers(0), bit=st.integers(0, 7), keep=st.integers(0))
def test_any_flipped_bit_and_any_truncation_is_seen(path, position, bit, keep):
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[position % len(data)] ^= 1 << bit
    for altered in (bytes(flipped), data[: keep % len(data)], data + b"\x08\x01"):
        other = path.with_name("altered.engine")
        other.write_bytes(altered)
        with pytest.raises(ModelFileError):
            read_model_file(other)


@pytest.mark.parametrize(
    "data",
    [
        seal(bytes_field(1001, ENGINE), "{}"),  # without its document
        seal(bytes_field(7, b"graph") + bytes_field(1001, ENGINE), "{}"),
        seal_engine(ENGINE, "{}", "{}").replace(bytes_field(1001, ENGINE), bytes_field(7, ENGINE)),
    ],
)
def test_half_an_engine_file_is_none(tmp_path, data):
    path = tmp_path / "m.engine"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"neither an ONNX model nor an engine|altered"):
        read_model_file(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no JSON", "is damaged"),
        ("[]", "schema None"),
        (json.dumps({**asdict(info()), "schema": 2}), "schema 2 and this radiodino reads 1"),
        (json.dumps({**asdict(info()), "best": "yes"}), "entry 'best' is of the wrong type"),
        (json.dumps({**asdict(info()), "more": 1}), "entry 'more' is unknown"),
    ],
)
def test_a_document_that_does_not_fit_is_named(text, reason):
    with pytest.raises(ModelFileError, match=reason) as refused:
        parse_engine_info(text, "m.engine")
    assert "radiodino-export engine" in str(refused.value)


def test_it_is_accepted_where_it_was_built(path):
    refuse_elsewhere(path, info(), HERE)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"tensorrt": "10.16.1.11"}, "TensorRT was 10.9.0.34 and is 10.16.1.11"),
        ({"device": "NVIDIA Toy 2"}, "the card was NVIDIA Toy 1 and is NVIDIA Toy 2"),
        ({"compute_capability": "8.9"}, "its compute capability was 9.0 and is 8.9"),
        ({"driver": "580.2"}, "the driver was 570.1 and is 580.2"),
    ],
)
def test_each_part_of_the_key_is_a_reason_to_refuse(path, changed, reason):
    with pytest.raises(ModelFileError) as refused:
        refuse_elsewhere(path, info(), replace(HERE, **changed))
    said = str(refused.value)
    assert f"({reason})" in said
    assert rebuild_command(path, info()) in said
    assert f"put a model.onnx, with the SHA-256 {'0' * 64}, beside it" in said  # where it is not


def test_another_onnx_file_beside_it_is_a_reason_to_refuse(path, toy_fp16):
    beside = path.with_name("a model.onnx")
    beside.write_bytes(toy_fp16.read_bytes())
    sha256 = read_model_file(beside).sha256
    refuse_elsewhere(path, info(onnx_sha256=sha256), HERE)
    with pytest.raises(ModelFileError, match=f"a model.onnx beside it had the SHA-256 0+ and has {sha256}"):
        refuse_elsewhere(path, info(), HERE)


@pytest.mark.parametrize("best", [False, True])
def test_the_command_that_is_named_is_one(path, monkeypatch, best):
    """Split as a shell does, it is understood as it was meant, spaces in names and all."""
    from radiodino.export import cli

    said = []
    monkeypatch.setattr(cli, "_build_engine", lambda settings, _reference: said.append(settings))
    program, *arguments = shlex.split(rebuild_command(path, info(best=best)))
    assert program == "radiodino-export"
    cli.app(arguments, standalone_mode=False)
    (understood,) = said
    assert (understood.onnx, understood.target) == (path.with_name("a model.onnx"), path)
    assert (understood.profile, understood.best, understood.force) == (info().profile, best, True)


def test_info_shows_the_engine(command, toy_fp16, tmp_path):
    path = tmp_path / "m.engine"
    path.write_bytes(seal_engine(ENGINE, info().to_json(), read_model_file(toy_fp16).document))
    ended = command(run_main, "info", path)
    assert ended.status == 0
    shown = json.loads(ended.out)
    assert shown["engine"]["key"] == asdict(HERE)
    assert (shown["variant"], shown["engine"]["profile"]["most"]) == ("toy", 16)


def test_batches_are_parsed():
    assert parse_batches("1,4, 16") == BatchProfile(least=1, usual=4, most=16)
    assert parse_batches("8") == BatchProfile(least=8, usual=8, most=8)
    assert str(parse_batches("1,4,16")) == "1,4,16"


@pytest.mark.parametrize("text", ["", "1,2", "a,b,c", "0,1,2", "4,2,8", "1,9,8", "-1,1,1", "1,2,3,4", "1.5"])
def test_other_batches_are_refused(text):
    with pytest.raises(InputError, match="MIN,OPT,MAX"):
        parse_batches(text)


def test_where_there_is_neither_card_nor_tensorrt_it_is_said(refused, toy_fp16, tmp_path, monkeypatch):
    """No fake here: on a machine with both, this is another test's matter."""
    from radiodino.runtime.backends import tensorrt

    if tensorrt.status().arithmetic:
        pytest.skip("this machine has an NVIDIA card and TensorRT")
    assert tensorrt.status().problem
    path = tmp_path / "m.onnx"
    path.write_bytes(toy_fp16.read_bytes())
    said = refused(export_main, "engine", path)
    assert tensorrt.status().problem in said
    assert not path.with_suffix(".engine").exists()
