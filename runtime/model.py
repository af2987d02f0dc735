"""An exported file, opened: images in, answers out, without PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from threading import Semaphore
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .backends import open_backend
from .backends.protocol import Backend, Job
from .engine_file import engine_info
from .errors import InputError, ModelFileError
from .image_tasks import ImageTasks
from .model_file import ModelFile, read_model_file
from .model_info import (
    TASKS,
    ClassifierInfo,
    LoadedInfo,
    ModelInfo,
    Output,
    SegmenterInfo,
    assumed_info,
    parse_model_info,
)
from .preprocessing import Preprocessor
from .stored_weights import has_half_weights, has_int8_weights, patch_size
from .tasks.heads import refuse_bad_heads
from .variants import get_variant

Array = NDArray[np.float32]


class Model(ImageTasks):
    """One exported Radio DINO file, ready to run; make it with `Model.load`.

    Attributes:
        info: what the file says of itself, and how this machine runs it.
        backend: the engine that runs it.
        preprocess: image → what `run` takes, as the file prescribes: the network's input, or where the engine
            normalises on its device, its 8-bit pixels.

    Any number of threads may use one model; `parallel` of their inferences run at a time.
    """

    def __init__(self, info: LoadedInfo, backend: Backend) -> None:
        self.info = info
        self.backend = backend
        prepared = Preprocessor(info.preprocessing)
        self.preprocess: Callable[[Image.Image], NDArray[np.float32 | np.uint8]]
        self.preprocess = prepared.pixels if backend.takes_pixels else prepared
        self._free = Semaphore(backend.parallel)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        *,
        backend: str = "auto",
        compute: str | None = None,
        threads: int | None = None,
        batch_size: int = 1,
        parallel: int = 1,
        cache: bool = True,
        assume_variant: str | None = None,
    ) -> Model:
        """Open an exported file.

        Args:
            path: the ``.onnx`` or ``.engine`` file that radiodino-export wrote.
            backend: ``auto`` (CUDA where it is really active, else OpenVINO, else ONNX Runtime), or one of
                ``cuda``, ``openvino``, ``onnxruntime``, ``ort-tensorrt``; an engine is run by
                ``tensorrt`` alone, which ``auto`` takes.
            compute: ``fp32``, ``bf16`` or ``fp16`` arithmetic; None follows the file: fp32 for an fp32 file; for an
                fp16 file fp16 on a GPU, bf16 on a CPU that has it in hardware unless the file classifies or segments,
                fp32 elsewhere; the float parts of an int8 file bf16 or fp32, as the CPU has it.
            threads: CPU threads of all inferences together, at least 1; None takes the physical cores this process may
                use.
            batch_size: images of one inference that the engine is prepared for, at least 1. Any number can be run; the
                first that this did not foresee costs OpenVINO a second compilation, and its memory.
            parallel: inferences that may run at the same time, at least 1, each with its memory and its part of the
                threads (no more than there are; one on a GPU). More of them do more in the same time where many images
                wait, and each takes longer.
            cache: whether an engine may keep its compiled model in `RADIODINO_HOME` for a faster next start.
            assume_variant: for a file that carries no metadata: the variant to take it for, with the model card's
                preprocessing.

        Raises:
            ModelFileError: the file is missing, damaged, altered, of another model or of an unknown schema.
            BackendError: what was asked for is not active on this machine.
            InputError: there is no such backend or variant.
        """
        if threads is not None and threads < 1:
            raise InputError(f"threads must be at least 1, not {threads}")
        for name, value in (("batch_size", batch_size), ("parallel", parallel)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        file = read_model_file(Path(path))
        if file.document is None and assume_variant is None:
            raise ModelFileError(
                f"{file.path} carries no radiodino metadata, so its preprocessing is unknown: make it with "
                "radiodino-export, or name its variant with --assume-variant"
            )
        if file.document is not None and assume_variant is not None:
            raise InputError(f"{file.path} says itself what it is: leave out --assume-variant")
        described = parse_model_info(file.document, file.path) if file.document is not None else None
        if described and described.task not in TASKS:
            raise ModelFileError(
                f"{file.path} is made for the task '{described.task}' and this radiodino knows {', '.join(TASKS)}: "
                "upgrade radiodino"
            )
        if described:
            refuse_bad_heads(described, file.path)
        precision = described.precision if described else _stored_precision(file)
        cache_key = file.sha256 if cache else None
        job = Job(
            file.path,
            precision,
            cache_key,
            compute,
            threads,
            one_image=batch_size == 1,
            parallel=parallel,
            is_engine=file.engine is not None,
            decides=bool(described and (described.classifier or described.segmenter)),
            bf16_residual=described.bf16_residual if described else False,
            images=batch_size,
            levels=Preprocessor(described.preprocessing).levels() if described and batch_size > 1 else None,
        )
        opened = open_backend(job, backend)
        info = described or _assume(file, opened, precision, assume_variant or "")
        _refuse_mismatch(file, info, opened)
        loaded = LoadedInfo(
            **{name: getattr(info, name) for name in ModelInfo.__dataclass_fields__},
            file_sha256=file.sha256,
            backend=opened.name,
            backend_version=opened.version,
            compute=opened.compute,
            engine=engine_info(file),
            assumed=described is None,
        )
        return cls(loaded, opened)

    @property
    def parallel(self) -> int:
        """Inferences that run at the same time, where as many threads ask for them."""
        return self.backend.parallel

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> dict[str, Array]:
        """The bare network.

        Args:
            batch: float32 array (B, 3, H, W), B ≥ 1, preprocessed (scaled to [0, 1], then normalised), finite. Where
                the engine normalises on its device (`Backend.takes_pixels`), a uint8 array too, of resized pixels.

        Returns:
            Each output by its name, float32: ``embedding`` (B, D) and what else the file was exported with.

        Raises:
            InputError: wrong type, dtype or shape, or a value that is not finite.
        """
        height, width = self.info.preprocessing.resize
        wanted = f"a float32 array (B, 3, {height}, {width})"
        pixels = self.backend.takes_pixels and isinstance(batch, np.ndarray) and batch.dtype == np.uint8
        if not pixels and (not isinstance(batch, np.ndarray) or batch.dtype != np.float32):
            found = f"{batch.dtype} array" if isinstance(batch, np.ndarray) else type(batch).__name__
            raise InputError(f"run() takes {wanted} of normalised values, not a {found}: give images to embed()")
        if batch.ndim != 4 or batch.shape[1:] != (3, height, width) or batch.shape[0] < 1:
            raise InputError(f"run() takes {wanted} with B ≥ 1, not {batch.shape}")
        if not pixels and not np.isfinite(batch).all():
            raise InputError("run() was given NaN or infinite values: check the preprocessing")
        with self._free:  # an engine's request holds one batch
            outputs = self.backend.run(np.ascontiguousarray(batch))
        for name, values in outputs.items():
            if not np.isfinite(values).all():
                raise ModelFileError(
                    f"output '{name}' holds NaN or infinite values in {self.backend.compute} on {self.backend.name}: "
                    "do not use it; choose --compute fp32"
                )
        return outputs

    def provenance(self) -> dict[str, Any]:
        """What is written into each result: which file, which weights, which arithmetic, for which use. JSON-able."""
        from importlib import metadata

        info = self.info
        heads: dict[str, ClassifierInfo | SegmenterInfo | None]
        heads = {"classifier": info.classifier, "segmenter": info.segmenter}
        return {
            "model_sha256": info.file_sha256,
            "variant": info.variant,
            "task": info.task,
            "precision": info.precision,
            "compute": info.compute,
            "backend": f"{info.backend} {info.backend_version}",
            **({"engine_of": {"sha256": info.engine.onnx_sha256, **asdict(info.engine.key)}} if info.engine else {}),
            "weights": {"kind": info.weights.kind, "name": info.weights.name, "sha256": info.weights.sha256},
            **{name: asdict(head) for name, head in heads.items() if head is not None},
            "notice": info.notice,
            "assumed_variant": info.assumed,
            "radiodino": metadata.version("radiodino"),
            "intended_use": info.intended_use,
        }


def _stored_precision(file: ModelFile) -> str:
    model = memoryview(file.path.read_bytes())
    if has_int8_weights(model):
        return "int8"
    return "fp16" if has_half_weights(model) else "fp32"


def _assume(file: ModelFile, backend: Backend, precision: str, name: str) -> ModelInfo:
    variant = get_variant(name)
    size = backend.input_shape[-1]
    expected = f"one input (B, 3, S, S) and an output 'embedding' (B, {variant.embedding_size})"
    patch = patch_size(memoryview(file.path.read_bytes()))
    if patch not in (None, variant.patch):
        raise ModelFileError(f"{file.path} is not '{name}': expected patches of {variant.patch} px, found {patch} px")
    square = len(backend.input_shape) == 4 and backend.input_shape[1] == 3 and backend.input_shape[2] == size > 0
    if not square or backend.output_shapes.get("embedding", ())[1:] != (variant.embedding_size,):
        raise ModelFileError(
            f"{file.path} is not '{name}': expected {expected}, found input {backend.input_shape} and "
            f"outputs {backend.output_shapes}"
        )
    outputs = tuple(Output(name=output, shape=shape) for output, shape in backend.output_shapes.items())
    return assumed_info(variant, precision=precision, image_size=size, outputs=outputs)


def _refuse_mismatch(file: ModelFile, info: ModelInfo, backend: Backend) -> None:
    """The document and the network must tell the same story."""
    declared = {output.name: output.shape for output in info.outputs}
    told = (3, *info.preprocessing.resize), declared, info.embedding_size, info.preprocessing.resize
    size = backend.output_shapes.get("embedding", (0,))[-1]
    if (backend.input_shape[1:], backend.output_shapes, size, (info.image_size,) * 2) != told:
        raise ModelFileError(
            f"the metadata of {file.path} do not fit its network (input {backend.input_shape}, outputs "
            f"{backend.output_shapes}): export it again"
        )
