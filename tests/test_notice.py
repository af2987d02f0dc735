"""What must be said of the weights is in every result that the runtime writes, and is printed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from radiodino.runtime import Model
from radiodino.runtime.cli import main
from radiodino.runtime.model_file import read_model_file, seal
from radiodino.runtime.notice import NOTICES, notice_of


def with_weights(path, kind, target):
    """The exported file at `path` as if made of weights of `kind`."""
    text = read_model_file(path).document
    body = path.read_bytes()[: -len(seal(b"", text))]
    assert seal(body, text) == path.read_bytes()
    document = json.loads(text)
    document["weights"] |= {"kind": kind, "name": f"weights of kind {kind}"}
    target.write_bytes(seal(body, json.dumps(document | {"schema": 2, "notice": notice_of(kind)})))
    return target


@pytest.fixture(params=["demo", "random"])
def noticed(request, toy_fp32, tmp_path):
    """A file with a notice, and the notice."""
    return with_weights(toy_fp32, request.param, tmp_path / "noticed.onnx"), NOTICES[request.param]


@pytest.fixture
def plain(toy_fp32, tmp_path):
    return with_weights(toy_fp32, "published", tmp_path / "plain.onnx")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)).save(path)
    return path


def provenance(table):
    """What a table of any format says of how it was made."""
    if table.suffix == ".csv":
        return json.loads(table.with_name(f"{table.name}.info.json").read_text(encoding="utf-8"))
    if table.suffix == ".npz":
        with np.load(table) as arrays:
            return json.loads(str(arrays["provenance"]))
    parquet = pytest.importorskip("pyarrow.parquet")
    return json.loads(parquet.read_schema(table).metadata[b"radiodino"])


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet"])
def test_every_table_carries_it(command, noticed, plain, image, tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    model, notice = noticed
    for file, wanted in ((model, notice), (plain, None)):
        table = tmp_path / f"{file.stem}{suffix}"
        assert command(main, "embed", image, "--model", file, "-o", table).status == 0
        assert provenance(table)["notice"] == wanted


def test_it_is_printed_before_and_after_a_run(command, noticed, plain, image, tmp_path):
    model, notice = noticed
    ended = command(main, "embed", image, "--model", model, "-o", tmp_path / "out.csv")
    assert ended.err.splitlines().count(f"WARNING  {notice}") == 1
    assert ended.out.splitlines()[-1] == f"WARNING  {notice}"
    assert "WARNING" not in "".join(command(main, "embed", image, "--model", plain, "-o", tmp_path / "plain.csv")[1:])


def test_info_shows_it(command, noticed, plain):
    model, notice = noticed
    ended = command(main, "info", model)
    assert json.loads(ended.out)["notice"] == notice
    assert f"WARNING  {notice}" in ended.err
    ended = command(main, "info", plain)
    assert json.loads(ended.out)["notice"] is None
    assert ended.err == ""


def test_info_shows_it_of_files_that_were_made_before_there_were_notices(command, toy_fp16):
    ended = command(main, "info", toy_fp16)
    assert json.loads(ended.out)["schema"] == 1
    assert json.loads(ended.out)["notice"] == NOTICES["random"]
    assert f"WARNING  {NOTICES['random']}" in ended.err


def test_the_python_interface_has_it(noticed, plain):
    model, notice = noticed
    assert Model.load(model).info.notice == Model.load(model).provenance()["notice"] == notice
    assert Model.load(plain).info.notice is None
    assert Model.load(plain).provenance()["notice"] is None


def test_a_run_with_other_weights_does_not_go_on_with_one(
    command, refused, noticed, plain, image, tmp_path, monkeypatch
):
    """The notice is part of what decides a run."""
    from radiodino.runtime.embed import run

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run, "write_table", interrupted)
        assert command(main, "embed", image, "--model", plain, "-o", tmp_path / "out.csv").status == 130
    model, _ = noticed
    assert "notice was None" in refused(main, "embed", image, "--model", model, "-o", tmp_path / "out.csv", "--resume")
