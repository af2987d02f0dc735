"""The builder: an ONNX network in, a serialised engine for this machine's card out.

Reference: https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api/index.html
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from radiodino.runtime.backends.compiled_cache import keep_compiled, load_compiled
from radiodino.runtime.backends.tensorrt import collecting_logger, tensorrt_module, why
from radiodino.runtime.engine_file import BatchProfile, EngineKey
from radiodino.runtime.errors import BackendError
from radiodino.runtime.home import home


def build_engine(network: bytes, profile: BatchProfile, key: EngineKey) -> bytes:
    """The serialised engine of `network`.

    The network is strongly typed: every tensor has the type that the ONNX graph gives it, and the builder chooses
    kernels, never a precision. TF32, which would drop 13 bits of an fp32 product's factors, is off.

    Args:
        network: a serialised ModelProto with one input (B, 3, S, S).
        profile: the numbers of images that it shall run.
        key: what this machine is, for the timings that are kept for the next build.

    Raises:
        MissingExtraError: TensorRT is not installed.
        BackendError: it cannot use the card, does not read the network, or finds no engine; with its first error.
    """
    trt = tensorrt_module()
    logger = collecting_logger(trt)
    try:
        builder = trt.Builder(logger)
    except (RuntimeError, TypeError) as error:  # the second from the bindings, where the library gives nothing
        raise _failed(trt, logger, "cannot use this card") from error
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse(network):
        said = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise _failed(trt, logger, "cannot read the network", said)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    image = definition.get_input(0)
    shape = tuple(image.shape)[1:]
    shapes = builder.create_optimization_profile()
    shapes.set_shape(image.name, *((count, *shape) for count in (profile.least, profile.usual, profile.most)))
    if config.add_optimization_profile(shapes) < 0:
        raise _failed(trt, logger, f"cannot build for batches of {profile}")
    kept = timing_cache_path(key)
    timings = _use_timings(config, kept)  # held here: it must outlive the build
    serialised = builder.build_serialized_network(definition, config)
    if serialised is None:
        raise _failed(trt, logger, "cannot build the engine")
    if timings is not None:
        keep_compiled(kept, bytes(config.get_timing_cache().serialize()))
    return bytes(serialised)


def timing_cache_path(key: EngineKey) -> Path:
    """Where the timings of kernels are kept: they hold for one card, TensorRT and driver, and for any network."""
    name = "-".join(re.sub(r"[^\w.]+", "-", part) for part in (key.device, key.compute_capability, key.driver))
    return home() / "tensorrt" / f"timings-{key.tensorrt}-{name}.bin"


def _use_timings(config: Any, kept: Path) -> Any:
    """Let the builder take the timings of earlier builds, where there are some that it accepts, and note its own.

    Returns:
        What it notes them in; None where it accepts none, and times anew.
    """
    for timings in (load_compiled(kept), b""):
        cache = None if timings is None else config.create_timing_cache(timings)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None


def _failed(trt: Any, logger: Any, what: str, said: list[str] | None = None) -> BackendError:
    reason = " ".join(said[0].split()) if said else why(logger)
    return BackendError(
        f"TensorRT {trt.__version__} {what}: {reason}; check the card and its free memory with nvidia-smi, or use the "
        "ONNX file with --backend cuda"
    )
