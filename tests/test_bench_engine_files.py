"""What radiodino-bench measures TensorRT on, built on a faked card."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from radiodino.benchmarks.bench.engine_files import engine_of
from radiodino.benchmarks.bench.exports import ExportedFile
from radiodino.runtime import Model
from radiodino.runtime.engine_file import BatchProfile, engine_info
from radiodino.runtime.model_file import read_model_file


def test_an_engine_is_built_once_for_each_batch_and_keeps_its_remarks(tmp_path, toy_fp16, gpu):
    file = ExportedFile(tmp_path / "fp16.onnx", ("as it is",))
    shutil.copy(toy_fp16, file.path)
    steps: list[str] = []
    found = [engine_of(file, batch_size, steps.append) for batch_size in (1, 2, 1)]
    assert [one.path.name for one in found] == ["fp16-1.engine", "fp16-2.engine", "fp16-1.engine"]
    assert {one.remarks for one in found} == {file.remarks}
    assert sum(step.startswith("build the engine") for step in steps) == 2
    info = engine_info(read_model_file(found[1].path))
    assert info is not None
    assert info.profile == BatchProfile(least=2, usual=2, most=2)
    assert Model.load(found[1].path, backend="tensorrt").info.compute == "fp16"
