"""Driver, GPUs and libraries of NVIDIA, told apart with stand-ins for the driver's libraries, and on this machine."""

from __future__ import annotations

import json
import struct
import sys

import pytest

from radiodino.runtime import doctor
from radiodino.runtime.elf import needed_libraries
from radiodino.runtime.nvidia import Gpu, nvidia
from radiodino.runtime.nvidia_libraries import cuda_libraries, tensorrt_library
from radiodino.runtime.nvidia_state import nvidia_lines, nvidia_state


class Cuda:
    """The calls of libcuda that are used, with the signatures of cuda.h."""

    def __init__(self, gpus=(), status=0, newest=12080):
        self.gpus, self.status, self.newest = gpus, status, newest

    def cuDriverGetVersion(self, version):  # noqa: N802
        version._obj.value = self.newest
        return 0

    def cuInit(self, flags):  # noqa: N802
        assert flags == 0
        return self.status

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = len(self.gpus)
        return 0

    def cuDeviceGet(self, device, ordinal):  # noqa: N802
        device._obj.value = 10 + ordinal
        return 0

    def cuDeviceGetName(self, name, length, device):  # noqa: N802
        name.value = self.gpus[device.value - 10][0].encode()
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device):  # noqa: N802
        value._obj.value = self.gpus[device.value - 10][1][{75: 0, 76: 1}[attribute]]
        return 0

    def cuDeviceTotalMem_v2(self, size, device):  # noqa: N802
        size._obj.value = self.gpus[device.value - 10][2]
        return 0

    def cuGetErrorName(self, status, name):  # noqa: N802
        name._obj.value = {803: b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}[status]
        return 0


class Management:
    def nvmlInit_v2(self):  # noqa: N802
        return 0

    def nvmlSystemGetDriverVersion(self, version, length):  # noqa: N802
        version.value = b"570.86.15"
        return 0

    def nvmlShutdown(self):  # noqa: N802
        return 0


class Versions:
    """Of the libraries that are asked for theirs."""

    @staticmethod
    def cudnnGetVersion():  # noqa: N802
        return 91002

    def cudaRuntimeGetVersion(self, version):  # noqa: N802
        version._obj.value = 12090
        return 0

    def getInferLibVersion(self):  # noqa: N802
        return 101301


def loader(**libraries):
    """As ctypes.CDLL: the libraries by the first part of their name; all others are missing."""

    def load(name):
        stem = name.rpartition("/")[2].partition(".")[0]
        if stem not in libraries:
            raise OSError(name)
        return libraries[stem]

    return load


H200 = ("NVIDIA H200", (9, 0), 150754820096)
T4 = ("Tesla T4", (7, 5), 15835660288)


def test_gpus_are_told_as_the_driver_tells_them():
    found = nvidia(loader(libcuda=Cuda([H200, T4]), **{"libnvidia-ml": Management()}))
    assert found.gpus == (Gpu("NVIDIA H200", "9.0", 143771, "570.86.15"), Gpu("Tesla T4", "7.5", 15102, "570.86.15"))
    assert (found.driver, found.cuda, found.problem) == ("570.86.15", "12.8", None)


def test_without_a_driver_the_sentence_says_so():
    found = nvidia(loader())
    assert (found.gpus, found.driver, found.cuda) == ((), None, None)
    assert "no NVIDIA driver" in found.problem


@pytest.mark.parametrize("library", [Cuda(), Cuda(status=100)])
def test_a_driver_without_a_gpu(library):
    found = nvidia(loader(libcuda=library))
    assert found.gpus == ()
    assert "finds no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES" in found.problem


def test_a_driver_that_does_not_start_names_the_error():
    found = nvidia(loader(libcuda=Cuda([H200], status=803)))
    assert "CUDA error 803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" in found.problem
    assert found.gpus == ()


def test_this_machine_is_told_one_way_or_the_other():
    found = nvidia()
    assert bool(found.gpus) != bool(found.problem)


# What ONNX Runtime for CUDA needs is read from its provider.


def elf(*names, header=b"\x7fELF\x02\x01"):
    """The smallest ELF file that asks for libraries."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    places = [1 + sum(len(name) + 1 for name in names[:index]) for index in range(len(names))]
    start, address = 64 + 2 * 56, 0x1000
    dynamic = b"".join(struct.pack("<QQ", 1, place) for place in places)
    dynamic += struct.pack("<QQ", 5, address + start) + struct.pack("<QQ", 0, 0)
    offset = start + len(strings)
    top = bytearray(64)
    top[:6] = header
    struct.pack_into("<Q", top, 32, 64)
    struct.pack_into("<HH", top, 54, 56, 2)
    whole = offset + len(dynamic)
    segments = struct.pack("<IIQQQQQQ", 1, 4, 0, address, address, whole, whole, 1)
    segments += struct.pack("<IIQQQQQQ", 2, 4, offset, address + offset, 0, len(dynamic), len(dynamic), 8)
    return bytes(top) + segments + strings + dynamic


NEEDED = ("libcublas.so.12", "libcudart.so.12", "libcudnn.so.9", "libcurand.so.10", "libstdc++.so.6")


@pytest.fixture
def site(tmp_path):
    """A folder of Python packages with ONNX Runtime for CUDA in it."""
    provider = tmp_path / "onnxruntime" / "capi" / "libonnxruntime_providers_cuda.so"
    provider.parent.mkdir(parents=True)
    provider.write_bytes(elf(*NEEDED))
    return tmp_path


def test_needed_libraries_are_read_from_the_file(tmp_path):
    path = tmp_path / "library.so"
    path.write_bytes(elf(*NEEDED))
    assert needed_libraries(path) == NEEDED
    path.write_bytes(elf())
    assert needed_libraries(path) == ()


@pytest.mark.skipif(sys.platform != "linux", reason="ELF is Linux's")
def test_needed_libraries_of_a_real_file():
    import _ctypes

    if not hasattr(_ctypes, "__file__"):
        pytest.skip("this Python has no extension modules")
    from pathlib import Path

    assert any(name.startswith("libc.so") for name in needed_libraries(Path(_ctypes.__file__)))


@pytest.mark.parametrize("data", [b"", b"MZ", elf("a", header=b"\x7fELF\x01\x01"), elf("a")[:150]])
def test_what_is_no_such_file_is_refused(tmp_path, data):
    path = tmp_path / "library.so"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="ELF"):
        needed_libraries(path)


def test_libraries_are_found_by_the_loader_or_among_pythons_packages(site):
    packaged = site / "nvidia" / "cudnn" / "lib" / "libcudnn.so.9"
    packaged.parent.mkdir(parents=True)
    packaged.touch()

    def load(name):
        if name in ("libcudart.so.12", "libcublas.so.12", str(packaged)):
            return Versions()
        raise OSError(name)

    found = {library.name: library for library in cuda_libraries(load, [str(site)])}
    assert list(found) == list(NEEDED[:4])
    assert (found["libcudart.so.12"].version, found["libcudart.so.12"].where) == ("12.9", "system")
    assert (found["libcudnn.so.9"].version, found["libcudnn.so.9"].where) == ("9.10.2", str(packaged.parent))
    assert (found["libcublas.so.12"].version, found["libcublas.so.12"].where) == (None, "system")
    assert found["libcurand.so.10"].where is None
    assert "pip install nvidia-curand-cu12" in found["libcurand.so.10"].cure


def test_without_onnxruntime_for_cuda_nothing_is_said_to_be_needed(tmp_path, site):
    assert cuda_libraries(loader(), [str(tmp_path / "empty")]) == ()
    (site / "onnxruntime" / "capi" / "libonnxruntime_providers_cuda.so").write_bytes(b"damaged")
    assert cuda_libraries(loader(), [str(site)]) == ()


def test_tensorrt_is_found_or_cured():
    library, _ = tensorrt_library(loader(libnvinfer=Versions()), [])
    assert (library.version, library.where, library.cure) == ("10.13.1", "system", None)
    library, _ = tensorrt_library(loader(), [])
    assert (library.version, library.where) == (None, None)
    assert "TensorRT" in library.cure


# What doctor says.


def test_doctor_names_what_is_there_and_what_is_missing(site):
    load = loader(libcuda=Cuda([H200]), libcudart=Versions(), libcublas=Versions(), **{"libnvidia-ml": Management()})
    text = "\n".join(nvidia_lines(nvidia_state(load, [str(site)])))
    assert "570.86.15, runs CUDA up to 12.8" in text
    assert "NVIDIA H200, compute capability 9.0, 140.4 GiB" in text
    assert "libcudart.so.12   12.9 (system)" in text
    assert "libcudnn.so.9     missing: pip install nvidia-cudnn-cu12" in text
    assert "libnvinfer.so.10  missing" in text


def test_doctor_says_what_will_be_known_with_onnxruntime_for_cuda(tmp_path):
    text = "\n".join(nvidia_lines(nvidia_state(loader(libcuda=Cuda([H200])), [str(tmp_path)])))
    assert "is known once onnxruntime-gpu is installed" in text
    assert "driver            unknown" in text


def test_without_a_gpu_doctor_says_one_sentence(tmp_path):
    (line,) = nvidia_lines(nvidia_state(loader(), [str(tmp_path)]))
    assert "no NVIDIA driver" in line


def test_doctor_speaks_of_nvidia_on_this_machine():
    found = json.loads(json.dumps(doctor.examine()))
    said = doctor.describe(found)
    assert "\nNVIDIA\n" in said
    assert (found["nvidia"]["problem"] or found["nvidia"]["gpus"][0]["name"]) in said
