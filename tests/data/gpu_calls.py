"""The signatures of the TensorRT and CUDA calls that the project makes, read from the real Python bindings.

They stand in gpu_calls.json with the versions that they were read from and are the same in, so that calls can be
checked where neither library is installed. The bindings' own packages (tensorrt-cu12-bindings, cuda-bindings) hold
them, TensorRT's in docstrings, and are enough to read them:

    python tests/data/gpu_calls.py OLDER.json NEWER.json > gpu_calls.json     what both have
    python tests/data/gpu_calls.py > THIS.json                                what is installed here has
"""

import json
import re
import sys
from pathlib import Path

TENSORRT = {
    "Builder": ["__init__", "build_serialized_network", "create_builder_config", "create_network",
                "create_optimization_profile"],
    "IBuilderConfig": ["add_optimization_profile", "clear_flag", "create_timing_cache", "get_timing_cache",
                       "set_timing_cache"],
    "ICudaEngine": ["create_execution_context", "get_tensor_dtype", "get_tensor_mode", "get_tensor_name",
                    "get_tensor_shape"],
    "IExecutionContext": ["execute_async_v3", "set_device_memory", "set_input_shape", "set_tensor_address"],
    "ILogger": ["__init__", "log"],
    "INetworkDefinition": ["get_input"],
    "IOptimizationProfile": ["set_shape"],
    "ITimingCache": ["serialize"],
    "OnnxParser": ["__init__", "get_error", "parse"],
    "ParserError": ["desc"],
    "Runtime": ["__init__", "deserialize_cuda_engine"],
}  # fmt: skip
PROPERTIES = {
    "ICudaEngine": ["device_memory_size_v2", "num_io_tensors"],
    "ITensor": ["name", "shape"],
    "OnnxParser": ["num_errors"],
}
MEMBERS = {
    "BuilderFlag": ["TF32"],
    "DataType": ["FLOAT"],
    "ExecutionContextAllocationStrategy": ["USER_MANAGED"],
    "ILogger.Severity": ["ERROR", "INTERNAL_ERROR"],
    "NetworkDefinitionCreationFlag": ["STRONGLY_TYPED"],
    "TensorIOMode": ["INPUT"],
}
CUDA = [
    "cudaFree", "cudaFreeHost", "cudaGraphDestroy", "cudaGraphExecDestroy", "cudaGraphInstantiate", "cudaGraphLaunch",
    "cudaMalloc", "cudaMallocHost", "cudaMemcpyAsync", "cudaStreamBeginCapture", "cudaStreamCreateWithFlags",
    "cudaStreamDestroy", "cudaStreamEndCapture", "cudaStreamSynchronize",
]  # fmt: skip
CUDA_MEMBERS = {
    "cudaError_t": ["cudaSuccess"],
    "cudaMemcpyKind": ["cudaMemcpyDeviceToHost", "cudaMemcpyHostToDevice"],
    "cudaStreamCaptureMode": ["cudaStreamCaptureModeThreadLocal"],
}
CUDA_CONSTANTS = ["cudaStreamNonBlocking"]


def read_tensorrt(trt):
    """The signatures of the module ``tensorrt``, each overload without ``self``."""
    calls = {}
    for owner, names in TENSORRT.items():
        for name in names:
            text = getattr(getattr(trt, owner), name).__doc__
            calls[f"{owner}.{name}"] = sorted(map(_plain, re.findall(rf"^(?:\d+\. )?{name}(\(self: .*)$", text, re.M)))
    for owner, names in PROPERTIES.items():
        for name in names:
            assert isinstance(getattr(getattr(trt, owner), name), property)
    for path, names in MEMBERS.items():
        owner = trt
        for part in path.split("."):
            owner = getattr(owner, part)
        assert set(names) <= set(owner.__members__)
    return {"versions": [trt.__version__], "calls": calls, "properties": PROPERTIES, "members": MEMBERS}


def read_cuda(runtime):
    """The signatures of ``cuda.bindings.runtime``."""
    calls = {}
    for name in CUDA:
        lines = getattr(runtime, name).__doc__.splitlines()
        returns = "\n".join(lines).partition("Returns\n")[2].partition("See Also")[0]
        made = re.findall(r"^\s*(\w+) : ", returns, re.M)
        calls[name] = [lines[0].removeprefix(name), *made]
    # The reference of 12.8 does not name what it makes beside the error code.
    calls["cudaGraphInstantiate"] = [calls["cudaGraphInstantiate"][0], "pGraphExec"]
    for owner, names in CUDA_MEMBERS.items():
        assert set(names) <= set(getattr(runtime, owner).__members__)
    assert all(isinstance(getattr(runtime, name), int) for name in CUDA_CONSTANTS)
    from importlib.metadata import version

    return {
        "versions": [version("cuda-bindings")],
        "calls": calls,
        "members": CUDA_MEMBERS,
        "constants": CUDA_CONSTANTS,
    }


def _plain(signature):
    """`signature` in words that all versions share."""
    for pattern, word in (
        (r"tensorrt(_bindings)?\.tensorrt\.", ""),
        (r"typing\.SupportsInt", "int"),
        (r"typing_extensions\.Buffer", "buffer"),
        (r"nvonnxparser::I", ""),
        (r"\(self: \w+(, )?", "("),
    ):
        signature = re.sub(pattern, word, signature)
    return signature


def common(one, other):
    """What two versions have alike; a call of which they share no form is an error."""
    assert one.keys() == other.keys()
    calls = {name: [form for form in forms if form in other["calls"][name]] for name, forms in one["calls"].items()}
    assert all(calls.values()), [name for name, forms in calls.items() if not forms]
    return {**one, "versions": one["versions"] + other["versions"], "calls": calls}


def main(files):
    if files:
        first, *others = (json.loads(Path(name).read_text()) for name in files)
        for other in others:
            first = {part: common(first[part], other[part]) for part in first}
    else:
        import tensorrt
        from cuda.bindings import runtime

        first = {"tensorrt": read_tensorrt(tensorrt), "cuda": read_cuda(runtime)}
    print(json.dumps(first, indent=1))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
