"""TensorRT, CUDA and a card, as far as the project calls them, in NumPy and ONNX Runtime.

Every call is recorded and checked against gpu_calls.json: its name, the number of its arguments and their types. What
an engine computes is what ONNX Runtime computes of the network it was built from; memory is of NumPy arrays, and a
copy from or to what was not allocated, or was freed, fails, as does what CUDA does not allow while it captures.
"""

import ctypes
import enum
import json
import sys
import weakref
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

CALLS = json.loads((Path(__file__).parent / "gpu_calls.json").read_text())
_INTEGERS = {"int", "size_t", "unsigned int", "unsigned long long"}


class FakeGpu:
    """One machine with a card.

    Attributes:
        calls: (name, arguments) of every call, in their order.
        failing: name of a call → how it fails: the name of a CUDA error, or what TensorRT returns.
        distort: what an engine's outputs are multiplied with.
        alive: what is allocated: address → (kind, memory); streams and graphs by their handle.
    """

    def __init__(self, monkeypatch, *, tensorrt="10.9.0.34", device="NVIDIA Toy 1", capability="9.0", driver="570.1"):
        from radiodino.runtime.backends import tensorrt as backend
        from radiodino.runtime.nvidia import Gpu, Nvidia

        self.calls, self.failing, self.alive, self.distort = [], {}, {}, 1.0
        self.capturing = None
        self.handles = 0
        self.strict_timings = None
        self.found = Nvidia(driver, "12.8", (Gpu(device, capability, 24000, driver),), None)
        monkeypatch.setattr(backend, "nvidia", lambda: self.found)
        self.tensorrt, self.runtime = _tensorrt(self, tensorrt), _cuda(self)
        bindings, cuda = ModuleType("cuda.bindings"), ModuleType("cuda")
        cuda.bindings, bindings.runtime = bindings, self.runtime
        modules = {"tensorrt": self.tensorrt, "cuda": cuda, "cuda.bindings": bindings}
        for name, module in {**modules, "cuda.bindings.runtime": self.runtime}.items():
            monkeypatch.setitem(sys.modules, name, module)

    def named(self, *names):
        """The arguments of the calls of these names."""
        return [arguments for name, arguments in self.calls if name in names]

    def order(self, *names):
        """The names of those of the calls that have these names, in their order."""
        return [name for name, _ in self.calls if name in names]

    def memory(self, address, size, kind):
        """The bytes at `address`, which must be allocated and of `kind`; None where they are not."""
        for start, (found, memory) in self.alive.items():
            if found == kind and start <= address and address + size <= start + memory.nbytes:
                return memory[address - start : address - start + size]
        return None

    def do(self, work):
        """Do what is enqueued, or note it where a stream captures."""
        if self.capturing is None:
            work()
        else:
            self.capturing.append(work)


def _parameters(signature):
    inside = signature[1 : signature.rindex(")")]
    return inside.split(", ") if inside else []


def _fits(value, kind):
    if kind in _INTEGERS:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "buffer":
        return isinstance(value, bytes | bytearray | memoryview)
    if kind == "Dims":
        return isinstance(value, tuple | list) and all(isinstance(size, int) for size in value)
    if kind in ("str", "bool", "tuple", "list"):
        return type(value).__name__ == kind
    return any(kind.split(".")[-1] == base.__name__ for base in type(value).__mro__)


def _recorded(gpu, owner, names):
    """Wrap the methods of a fake class so that each call is recorded, checked, and fails where it shall."""
    for method in names:
        name = f"{owner.__name__}.{method}"
        forms = CALLS["tensorrt"]["calls"][name]  # a method that the real class lacks cannot be faked
        faked = getattr(owner, method)

        def wrapped(self, *arguments, _do=faked, _name=name, _forms=forms):
            gpu.calls.append((_name, arguments))
            for form in _forms:
                wanted = _parameters(form)
                kinds = [part.split(": ")[1].split(" = ")[0] for part in wanted]
                needed = sum(" = " not in part for part in wanted)
                if needed <= len(arguments) <= len(wanted) and all(
                    _fits(value, kind) for value, kind in zip(arguments, kinds, strict=False)
                ):
                    break
            else:
                raise AssertionError(f"{_name}{arguments} fits none of {_forms}")
            if _name in gpu.failing:
                failing = gpu.failing[_name]
                if isinstance(failing, Exception):
                    raise failing
                return failing
            return _do(self, *arguments)

        setattr(owner, method, wrapped)
    return owner


def _tensorrt(gpu, version):
    module = ModuleType("tensorrt")
    module.__version__ = version

    class Severity(enum.Enum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    class ILogger:
        ready = False

        def __init__(self):
            self.ready = True

        def log(self, severity, msg):
            raise NotImplementedError

    _recorded(gpu, ILogger, ["__init__", "log"])
    ILogger.Severity = Severity

    def told(logger):
        assert logger.ready, "ILogger.__init__ was not called"
        return logger

    class NetworkDefinitionCreationFlag(enum.IntEnum):
        STRONGLY_TYPED = 1

    class BuilderFlag(enum.Enum):
        TF32 = 7

    class DataType(enum.Enum):
        FLOAT, HALF = range(2)

    class TensorIOMode(enum.Enum):
        NONE, INPUT, OUTPUT = range(3)

    class ExecutionContextAllocationStrategy(enum.Enum):
        STATIC, ON_PROFILE_CHANGE, USER_MANAGED = range(3)

    class IHostMemory(bytes):
        pass

    class ITensor:
        def __init__(self, name, shape):
            self.name, self.shape = name, shape

    class ParserError:
        def __init__(self, text):
            self.text = text

        def desc(self):
            return self.text

    class ITimingCache:
        def __init__(self, data):
            self.data = data

        def serialize(self):
            return IHostMemory(self.data)

    class IOptimizationProfile:
        def __init__(self):
            self.shapes = {}

        def set_shape(self, name, least, usual, most):
            self.shapes[name] = (least, usual, most)

    class INetworkDefinition:
        network = None

        def get_input(self, index):
            (entry,) = _session(self.network).get_inputs()
            assert index == 0
            return ITensor(entry.name, _shape(entry))

    class IBuilderConfig:
        def __init__(self):
            self.flags, self.profiles, self.cache = {BuilderFlag.TF32}, [], None

        def clear_flag(self, flag):
            self.flags.discard(flag)

        def add_optimization_profile(self, profile):
            self.profiles.append(profile)
            return len(self.profiles) - 1

        def create_timing_cache(self, data):
            return ITimingCache(bytes(data))

        def set_timing_cache(self, cache, ignore_mismatch):
            accepted = not (cache.data and gpu.strict_timings)
            if accepted:
                self.cache = weakref.ref(cache)  # the real one does not keep it either
            return accepted

        def get_timing_cache(self):
            return self.cache()

    class OnnxParser:
        def __init__(self, network, logger):
            self.network, self.logger, self.errors = network, told(logger), []

        @property
        def num_errors(self):
            return len(self.errors)

        def get_error(self, index):
            return ParserError(self.errors[index])

        def parse(self, model):
            self.errors = _unread(model)
            self.network.network = bytes(model)
            return not self.errors

    class Builder:
        def __init__(self, logger):
            self.logger = told(logger)

        def create_network(self, flags=0):
            assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
            return INetworkDefinition()

        def create_builder_config(self):
            return IBuilderConfig()

        def create_optimization_profile(self):
            return IOptimizationProfile()

        def build_serialized_network(self, network, config):
            assert not config.flags
            (profile,) = config.profiles
            if config.cache is not None:
                config.cache().data += b"timings;"
            head = json.dumps(profile.shapes).encode()
            return IHostMemory(b"ENGINE" + len(head).to_bytes(4, "little") + head + network.network)

    class Runtime:
        def __init__(self, logger):
            self.logger = told(logger)

        def deserialize_cuda_engine(self, data):
            if data[:6] != b"ENGINE":
                self.logger.log(Severity.ERROR, "Error Code 1: Serialization\n(magic tag does not match)")
                return None
            return ICudaEngine(data, self.logger)

    class ICudaEngine:
        device_memory_size_v2 = 1 << 10

        def __init__(self, data, logger):
            size = int.from_bytes(data[6:10], "little")
            self.shapes, self.network, self.logger = json.loads(data[10 : 10 + size]), data[10 + size :], logger
            session = _session(self.network)
            self.tensors = {entry.name: _shape(entry) for entry in (*session.get_inputs(), *session.get_outputs())}

        @property
        def num_io_tensors(self):
            return len(self.tensors)

        def get_tensor_name(self, index):
            return list(self.tensors)[index]

        def get_tensor_mode(self, name):
            return TensorIOMode.INPUT if name in self.shapes else TensorIOMode.OUTPUT

        def get_tensor_shape(self, name):
            return self.tensors[name]

        def get_tensor_dtype(self, name):
            return DataType.FLOAT

        def create_execution_context(self, strategy=ExecutionContextAllocationStrategy.STATIC):
            return IExecutionContext(self, strategy)

    class IExecutionContext:
        def __init__(self, engine, strategy):
            self.engine, self.addresses, self.shape, self.warm = engine, {}, None, False
            assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
            self.scratch = None

        def set_device_memory(self, memory, size):
            assert gpu.memory(memory, size, "device") is not None
            assert size >= self.engine.device_memory_size_v2
            self.scratch = memory

        def set_input_shape(self, name, shape):
            least, _, most = self.engine.shapes[name]
            if not all(low <= size <= high for low, size, high in zip(least, shape, most, strict=True)):
                self.engine.logger.log(Severity.ERROR, f"{shape} does not lie in the profile")
                return False
            self.shape = shape
            return True

        def set_tensor_address(self, name, memory):
            self.addresses[name] = memory
            return name in self.engine.tensors

        def execute_async_v3(self, stream_handle):
            assert self.addresses.keys() == self.engine.tensors.keys()
            assert self.scratch is not None
            assert self.warm or gpu.capturing is None, "a shape's first run cannot be captured"
            assert stream_handle in gpu.alive
            self.warm, shape = True, self.shape

            def compute():
                (entry,) = self.engine.shapes
                size = 4 * int(np.prod(shape))
                images = gpu.memory(self.addresses[entry], size, "device").view(np.float32).reshape(shape)
                session = _session(self.engine.network)
                names = [output.name for output in session.get_outputs()]
                for name, values in zip(names, session.run(names, {entry: images}), strict=True):
                    values = np.ascontiguousarray(values, np.float32)
                    if name == "embedding":
                        values = values * gpu.distort
                    target = gpu.memory(self.addresses[name], values.nbytes, "device")
                    target[:] = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)

            gpu.do(compute)
            return True

    for kind in (
        Builder, IBuilderConfig, ICudaEngine, IExecutionContext, INetworkDefinition, IOptimizationProfile, ITimingCache,
        OnnxParser, ParserError, Runtime,
    ):  # fmt: skip
        wanted = [name.split(".")[1] for name in CALLS["tensorrt"]["calls"] if name.split(".")[0] == kind.__name__]
        setattr(module, kind.__name__, _recorded(gpu, kind, wanted))
    for kind in (
        ILogger, NetworkDefinitionCreationFlag, BuilderFlag, DataType, TensorIOMode, ExecutionContextAllocationStrategy,
    ):  # fmt: skip
        setattr(module, kind.__name__, kind)
    return module


def _cuda(gpu):
    module = ModuleType("cuda.bindings.runtime")
    errors = ("cudaSuccess", "cudaErrorMemoryAllocation", "cudaErrorIllegalAddress", "cudaErrorInvalidValue")
    module.cudaError_t = enum.Enum("cudaError_t", errors)
    module.cudaMemcpyKind = enum.Enum("cudaMemcpyKind", CALLS["cuda"]["members"]["cudaMemcpyKind"])
    module.cudaStreamCaptureMode = enum.Enum("cudaStreamCaptureMode", ["cudaStreamCaptureModeThreadLocal"])
    module.cudaStreamNonBlocking = 1
    done = module.cudaError_t.cudaSuccess

    class Handle:
        def __init__(self, kind, content=None):
            gpu.handles += 1
            self.number = gpu.handles
            gpu.alive[self.number] = (kind, np.zeros(0, np.uint8))
            self.content = content

        def __int__(self):
            return self.number

    def allocate(kind):
        def made(size):
            memory = np.full(size, 0xEE, np.uint8)  # never zeros by chance
            gpu.alive[memory.ctypes.data] = (kind, memory)
            return done, memory.ctypes.data

        return made

    def free(kind):
        def freed(made):
            assert gpu.alive.pop(int(made))[0] == kind
            return (done,)

        return freed

    def copy(dst, src, count, kind, stream):
        to_device = kind is module.cudaMemcpyKind.cudaMemcpyHostToDevice
        kinds = ("device", "pinned") if to_device else ("pinned", "device")

        def move():
            assert gpu.memory(dst, count, kinds[0]) is not None
            assert gpu.memory(src, count, kinds[1]) is not None
            ctypes.memmove(dst, src, count)

        assert stream in gpu.alive
        gpu.do(move)
        return (done,)

    def begin(stream, mode):
        assert gpu.capturing is None
        gpu.capturing = []
        return (done,)

    def end(stream):
        noted, gpu.capturing = gpu.capturing, None
        return done, Handle("graph", noted)

    def launch(ready, stream):
        assert gpu.alive[int(ready)][0] == "ready"
        for work in ready.content:
            work()
        return (done,)

    def synchronise(stream):
        assert gpu.capturing is None, "a stream that captures cannot be waited for"
        assert stream in gpu.alive
        return (done,)

    functions = SimpleNamespace(
        cudaMalloc=allocate("device"),
        cudaMallocHost=allocate("pinned"),
        cudaFree=free("device"),
        cudaFreeHost=free("pinned"),
        cudaStreamCreateWithFlags=lambda flags: (done, Handle("stream")),
        cudaStreamDestroy=free("stream"),
        cudaStreamSynchronize=synchronise,
        cudaMemcpyAsync=copy,
        cudaStreamBeginCapture=begin,
        cudaStreamEndCapture=end,
        cudaGraphInstantiate=lambda graph, flags: (done, Handle("ready", graph.content)),
        cudaGraphLaunch=launch,
        cudaGraphDestroy=free("graph"),
        cudaGraphExecDestroy=free("ready"),
    )
    for name, (signature, *made) in CALLS["cuda"]["calls"].items():
        faked = getattr(functions, name)

        def checked(*arguments, _do=faked, _name=name, _signature=signature, _made=tuple(made)):
            gpu.calls.append((_name, arguments))
            wanted = _parameters(_signature)
            assert len(arguments) == len(wanted), (_name, arguments, _signature)
            for value, part in zip(arguments, wanted, strict=True):
                kind = part.split(": ")[1] if ": " in part else part.rpartition(" ")[0]
                fits = _fits(value, kind) if kind else isinstance(value, int | Handle)
                assert fits, (_name, value, part)
            if _name in gpu.failing:
                if _name == "cudaStreamEndCapture":
                    gpu.capturing = None
                return (module.cudaError_t[gpu.failing[_name]], *(None for _ in _made))
            results = _do(*arguments)
            assert len(results) == 1 + len(_made), _name
            return results

        setattr(module, name, checked)
    return module


_SESSIONS = {}


def _session(network):
    """ONNX Runtime's session of a network; one for each, as the same is opened often."""
    import onnxruntime

    key = hash(bytes(network))
    if key not in _SESSIONS:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        _SESSIONS[key] = onnxruntime.InferenceSession(bytes(network), options, providers=["CPUExecutionProvider"])
    return _SESSIONS[key]


def _shape(entry):
    return tuple(size if isinstance(size, int) else -1 for size in entry.shape)


def _unread(model):
    """Why the real parser would not read `model`."""
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load_from_string(bytes(model)).graph
        _session(model)
    except Exception as error:  # of either
        return [f"In parser.cpp:\n{str(error).splitlines()[0]}"]
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = tensors[node.input[2]]
            if zero.data_type != onnx.TensorProto.INT8 or numpy_helper.to_array(zero).any():
                return [f"{node.name}: TensorRT only supports symmetric quantization"]
    return []
