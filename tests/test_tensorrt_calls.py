"""The recorded signatures are those of the real bindings, where these are installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
RECORDED = json.loads((DATA / "gpu_calls.json").read_text())


@pytest.fixture(scope="module")
def gpu_calls():
    spec = importlib.util.spec_from_file_location("gpu_calls", DATA / "gpu_calls.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _same(common, recorded, read):
    both = common(recorded, read)
    assert both["calls"] == recorded["calls"]


def test_tensorrt_has_the_recorded_calls(gpu_calls):
    trt = pytest.importorskip("tensorrt", reason="TensorRT is not installed")
    _same(gpu_calls.common, RECORDED["tensorrt"], gpu_calls.read_tensorrt(trt))


def test_cuda_has_the_recorded_calls(gpu_calls):
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    _same(gpu_calls.common, RECORDED["cuda"], gpu_calls.read_cuda(runtime))


def test_the_table_is_of_the_versions_that_the_extra_allows():
    tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on

    project = DATA.parent.parent / "pyproject.toml"
    if not project.exists():
        pytest.skip("the tests are not in a clone, which has the extra's versions")
    extra = tomllib.loads(project.read_text())["project"]["optional-dependencies"]["tensorrt"]
    oldest = dict(requirement.split(">=") for requirement in extra)
    for name, part in (("tensorrt", "tensorrt"), ("cuda-python", "cuda")):
        assert RECORDED[part]["versions"][0].startswith(oldest[name])


def test_a_call_that_no_version_has_cannot_pass_for_one(gpu_calls):
    part = RECORDED["tensorrt"]
    other = {**part, "calls": {**part["calls"], "Builder.create_network": ["(flags: str) -> INetworkDefinition"]}}
    with pytest.raises(AssertionError, match=r"Builder\.create_network"):
        gpu_calls.common(part, other)
