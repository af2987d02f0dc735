"""How each kind of file is opened by its engine; an engine is imported in its own process alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError

from .opening import Opening

Batch = NDArray[np.float32 | np.uint8]
Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Runner:
    """An opened model."""

    run: Callable[[Batch], Outputs]
    """Returns when the outputs are there."""
    version: str
    compute: str
    imported: float
    """Moment (`time.perf_counter`) at which the engine's libraries were loaded."""
    read: Callable[[str], tuple[Batch, float]] | None = None
    """From the path of an image to network input (1, 3, S, S), and the moment at which it was decoded and not yet
    resized; None where the way to the network is left to the user."""


def runtime(opening: Opening, images: int) -> Runner:
    """A file of radiodino-export in an engine of the runtime, as `radiodino.runtime.Model` prepares it."""
    from radiodino.runtime import Model
    from radiodino.runtime.decode import decode

    if opening.engine == "openvino":
        import openvino  # noqa: F401  # what a backend would import itself, so that it counts as import
    else:
        import onnxruntime  # noqa: F401
    imported = time.perf_counter()
    model = Model.load(
        Path(opening.file),
        backend=opening.engine,
        compute=opening.compute,
        threads=opening.threads,
        batch_size=images,
        cache=False,
    )

    def read(path: str) -> tuple[Batch, float]:
        frame = next(decode(path))
        decoded = time.perf_counter()
        return model.preprocess(frame.image)[np.newaxis], decoded

    # Of `model.run` the checks of its input and outputs are left out, as peers have none.
    return Runner(model.backend.run, model.backend.version, model.backend.compute, imported, read)


def pytorch(opening: Opening, _images: int) -> Runner:
    """A module that was pickled by this package, eager or, for the engine ``…-compile``, compiled.

    An image is read as the model card does it, with PIL and torchvision.
    """
    import timm  # noqa: F401  # what the module is made of, so that it counts as import
    import torch

    from . import original_network  # noqa: F401

    imported = time.perf_counter()
    torch.set_num_threads(opening.threads)
    device, compute = torch.device(opening.device), opening.compute or "fp32"
    if device.type == "cuda":  # fp32 is what is said
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[compute]
    network = torch.load(opening.file, weights_only=False).eval().to(device, kind)
    if opening.engine.endswith("-compile"):
        network = torch.compile(network)

    def run(batch: Batch) -> Outputs:
        with torch.inference_mode():
            found = network(torch.from_numpy(batch).to(device, kind))
        return {name: value.float().cpu().numpy() for name, value in zip(opening.outputs, found, strict=True)}

    size = int(np.load(opening.batch, mmap_mode="r").shape[-1])
    return Runner(run, torch.__version__.partition("+")[0], compute, imported, _card(size))


def _card(size: int) -> Callable[[str], tuple[Batch, float]] | None:
    """The model card's snippet up to the network; None where torchvision is not installed."""
    if find_spec("torchvision") is None:
        return None
    from ..model_card import card_transform, open_image

    transform = card_transform(size)

    def read(path: str) -> tuple[Batch, float]:
        image = open_image(Path(path))
        decoded = time.perf_counter()
        batch: Batch = transform(image).unsqueeze(0).numpy()
        return batch, decoded

    return read


def plain_onnxruntime(opening: Opening, _images: int) -> Runner:
    """Any ONNX file in ONNX Runtime as it comes, its threads apart."""
    import onnxruntime

    imported = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = opening.threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(opening.file, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name

    def run(batch: Batch) -> Outputs:
        return dict(zip(opening.outputs, session.run(None, {entry: batch}), strict=True))

    return Runner(run, str(onnxruntime.__version__), opening.compute or "fp32", imported)


def plain_openvino(opening: Opening, _images: int) -> Runner:
    """Any model in OpenVINO as it comes, told the arithmetic, the threads, and to answer soon."""
    import openvino

    imported = time.perf_counter()
    hint = {"fp32": "f32", "bf16": "bf16"}[opening.compute or "fp32"]
    options = {
        "INFERENCE_PRECISION_HINT": hint,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": opening.threads,
    }
    compiled = openvino.Core().compile_model(opening.file, "CPU", options)
    request = compiled.create_infer_request()

    def run(batch: Batch) -> Outputs:
        found = request.infer([batch], share_inputs=True)
        return {name: np.array(found[port]) for port, name in enumerate(opening.outputs)}

    return Runner(run, str(openvino.__version__).split("-", 1)[0], opening.compute or "fp32", imported)


def torch_product(opening: Opening, _images: int) -> Runner:
    """The batch, a square matrix, times another one, on the device where PyTorch is told to compute."""
    import torch

    imported = time.perf_counter()
    device, compute = torch.device(opening.device), opening.compute or "fp32"
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[compute]
    torch.backends.cuda.matmul.allow_tf32 = False
    left = torch.from_numpy(np.load(opening.batch)).to(device, kind)
    right = left.clone()

    def run(_batch: Batch) -> Outputs:
        found = left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return {"product": found[:1, :1].float().cpu().numpy()}

    return Runner(run, torch.__version__.partition("+")[0], compute, imported)


OPENERS: dict[str, Callable[[Opening, int], Runner]] = {
    "runtime": runtime,
    "pytorch": pytorch,
    "onnxruntime": plain_onnxruntime,
    "openvino": plain_openvino,
    "torch product": torch_product,
}


def open_runner(opening: Opening, images: int) -> Runner:
    """Open what `opening` names.

    Args:
        opening: see there.
        images: of the batch that it will be given.

    Raises:
        RadioDinoError: what the engine or the file says against it.
    """
    if opening.opener not in OPENERS:
        raise InputError(f"there is no opener '{opening.opener}': choose {', '.join(OPENERS)}")
    return OPENERS[opening.opener](opening, images)
