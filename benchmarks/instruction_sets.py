"""An 8-bit file on the CPUs of others: older instruction sets must give the same embeddings.

    python -m radiodino.benchmarks.instruction_sets

Without VNNI a CPU adds products of bytes in 16 bits, saturating. The demonstration weights are written to two files,
with the pair-safe weights of every export and with unrestricted ones, which shows that a wrong sum would be seen. Each
is run by OpenVINO under its own limit of instruction sets (``ONEDNN_MAX_CPU_ISA``) and by both engines on an emulated
CPU (qemu-user, Debian's package qemu-user-static; left out with a word where there is none). Printed: how far the
embeddings of the probe images are from those of ONNX Runtime without optimisation, which computes such a file in float.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from radiodino.runtime import console as ending
from radiodino.runtime.errors import BackendError
from radiodino.runtime.extras import require
from radiodino.runtime.variants import get_variant

_CHILD = """
import sys
import numpy as np
engine, model, images, target = sys.argv[1:]
batch = np.load(images)
if engine.startswith("onnxruntime"):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    if engine.endswith("unoptimised"):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = [session.run(["embedding"], {"image": image[None]})[0] for image in batch]
else:
    import openvino
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    found = [compiled([image[None]])["embedding"] for image in batch]
np.save(target, np.concatenate(found))
"""


@dataclass(frozen=True)
class Cpu:
    """What a file is run on."""

    name: str
    engine: str
    """``onnxruntime``, ``onnxruntime unoptimised`` or ``openvino``."""
    isa: str | None = None
    """The most that OpenVINO may use, of oneDNN's names; None leaves it to the CPU."""
    emulated: str | None = None
    """A CPU of qemu-user; None runs on this one."""


REFERENCE = Cpu("in float", "onnxruntime unoptimised")
NATIVE = (Cpu("this CPU", "onnxruntime"), Cpu("this CPU", "openvino"))
LIMITED = (
    Cpu("at most AVX-512 without VNNI", "openvino", isa="AVX512_CORE"),
    Cpu("at most AVX2", "openvino", isa="AVX2"),
)
EMULATED = (
    Cpu("emulated Haswell (AVX2)", "onnxruntime", emulated="Haswell"),
    Cpu("emulated Haswell (AVX2)", "openvino", emulated="Haswell"),
)


def emulator() -> str | None:
    """The path of qemu-user for this architecture's own programs; None where it is not installed."""
    return shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")


def embeddings(model: Path, images: NDArray[np.float32], cpu: Cpu) -> NDArray[np.float32]:
    """The embeddings of `images`, one at a time, by a process of its own.

    Args:
        model: an ONNX file with an output ``embedding``.
        images: network inputs (B, 3, S, S).
        cpu: what it is run on.

    Raises:
        BackendError: the process failed, or there is no emulator for an emulated CPU.
    """
    command = [sys.executable, "-c", _CHILD, cpu.engine, str(model)]
    if cpu.emulated is not None:
        found = emulator()
        if found is None:
            raise BackendError(f"{cpu.name}: there is no qemu-user: install Debian's package qemu-user-static")
        command = [found, "-cpu", cpu.emulated, *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if cpu.isa is not None:
        environment["ONEDNN_MAX_CPU_ISA"] = cpu.isa
    with tempfile.TemporaryDirectory() as folder:
        given, target = Path(folder) / "images.npy", Path(folder) / "embeddings.npy"
        np.save(given, images)
        finished = subprocess.run([*command, str(given), str(target)], capture_output=True, text=True, env=environment)
        if finished.returncode != 0:
            last = (finished.stderr.strip().splitlines() or ["no message"])[-1]
            raise BackendError(f"{cpu.engine} on {cpu.name} ended with status {finished.returncode}: {last}")
        result: NDArray[np.float32] = np.load(target)
    return result


def main(
    variant: Annotated[str, typer.Option(help="Whose demonstration or random weights are judged.")] = "tiny",
    images: Annotated[int, typer.Option(help="Of the ten probe images; one of tiny takes a minute emulated.")] = 2,
    emulate: Annotated[bool, typer.Option(help="Whether CPUs are emulated too.")] = True,
) -> None:
    """Compare the embeddings of 8-bit files across instruction sets."""
    require("dev", "torch", "timm", "onnx", "openvino", "onnxruntime")
    from rich.table import Table

    from radiodino.export.cleanup import clean_up
    from radiodino.export.divergence import stages
    from radiodino.export.int8.activations import collect
    from radiodino.export.int8.layers import linear_layers
    from radiodino.export.int8.own_weights import with_own_weights
    from radiodino.export.int8.plan import Search, plan_from_statistics
    from radiodino.export.int8.quantise import write
    from radiodino.export.probe_images import probe_batches
    from radiodino.export.trace import trace
    from radiodino.export.verify import cosines
    from radiodino.train.weights.load import load_weights

    from .print_table import print_table

    backbone, _ = load_weights(get_variant(variant), "demo" if variant == "tiny" else "random")
    model = with_own_weights(clean_up(trace(backbone, 224, ("embedding",)), stages(backbone)))
    probes = np.concatenate(probe_batches(224))
    layers = linear_layers(model)
    statistics = collect(model, layers, [probes])
    emulated = EMULATED if emulate and emulator() else ()
    table = Table("weights", "engine", "CPU", "1 - worst cosine", "largest |Δ|")
    with tempfile.TemporaryDirectory() as folder:
        for scheme in ("pair-safe", "unrestricted"):
            path = Path(folder) / f"{scheme}.onnx"
            plan = plan_from_statistics(model, layers, statistics, Search(weights=scheme))
            path.write_bytes(write(plan).model.SerializeToString())
            wanted = embeddings(path, probes[:images], REFERENCE)
            for cpu in (*NATIVE, *LIMITED, *emulated):
                found = embeddings(path, probes[:images], cpu)
                worst = 1 - float(cosines(found, wanted).min())
                table.add_row(scheme, cpu.engine, cpu.name, f"{worst:.1e}", f"{np.abs(found - wanted).max():.1e}")
    print_table(table)
    if emulate and not emulated:
        typer.echo("no CPU was emulated: there is no qemu-user, install Debian's package qemu-user-static")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    ending.run(app)
