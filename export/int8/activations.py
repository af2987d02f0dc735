"""What the layers of a graph read: exact ranges and a sample, collected once from the calibration images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..engine import Batch, cpu_backends, open_graph, with_outputs
from .canonical import Float
from .layers import LinearLayer

ROWS = 1024
"""Tokens, or places of a map, that are kept of each tensor, over all images together."""


@dataclass(frozen=True)
class TensorStatistics:
    """One tensor over all calibration images."""

    low: Float
    """(C,), the smallest value of each channel."""
    high: Float
    """(C,), the largest."""
    values: Float
    """(R, C), a sample: of each image the CLS token, where there is one, and others drawn at random."""


@dataclass(frozen=True)
class Statistics:
    """What the search needs to know of the calibration images."""

    tensors: dict[str, TensorStatistics]
    """Of every layer's input, and of the maps after every convolution."""
    rows: dict[str, Float]
    """By stage, a sample (G, R, K) of what the layer's weights are multiplied with."""
    images: int


def maps_after(layer: LinearLayer) -> tuple[str, ...]:
    """What a convolution returns, and the sum it is added to; nothing of a MatMul."""
    maps = (layer.output, layer.sum) if layer.kind == "Conv" else ()
    return tuple(name for name in maps if name is not None)


def collect(
    model: onnx.ModelProto,
    layers: Sequence[LinearLayer],
    batches: Sequence[Batch],
    seed: int = 0,
    images: int | None = None,
    progress: Callable[[str], None] = lambda _step: None,
) -> Statistics:
    """Run the calibration images through `model` in fp32, one by one, so that memory stays bounded.

    Args:
        model: fp32 with inferred types.
        layers: of it.
        batches: network inputs, each float32 (B, 3, S, S).
        seed: of the sample.
        images: in all batches; None counts them, for which each batch is asked for once more.
        progress: told of each batch.
    """
    if images is None:
        images = sum(len(batch) for batch in batches)
    share = -(-ROWS // images)
    watched = list(dict.fromkeys([layer.input for layer in layers] + [name for n in layers for name in maps_after(n)]))
    attributes = {node.name: node for node in model.graph.node}
    kernels = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    collector = _Collector(np.random.default_rng(seed), share)
    inputs = {value.name for value in model.graph.input}
    backend = open_graph(with_outputs(model, [name for name in watched if name not in inputs]), cpu_backends()[-1].name)
    for number, batch in enumerate(batches, 1):
        progress(f"collect ranges, batch {number} of {len(batches)}")
        for index in range(len(batch)):
            image = batch[index : index + 1]
            found = {**dict.fromkeys(inputs, image), **backend.run(image)}
            for name in watched:
                collector.tensor(name, found[name])
            for layer in layers:
                if layer.kind == "Conv":
                    window = _window(attributes[layer.node], kernels[layer.weight])
                    collector.patches(layer, found[layer.input], window)
    return collector.finish(layers, images)


@dataclass(frozen=True)
class _Window:
    """Where a convolution looks."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    """Top, left, bottom, right."""


def _window(node: onnx.NodeProto, shape: tuple[int, ...]) -> _Window:
    given: dict[str, Any] = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return _Window(
        kernel=(shape[2], shape[3]),
        strides=tuple(given.get("strides", (1, 1))),
        dilations=tuple(given.get("dilations", (1, 1))),
        pads=tuple(given.get("pads", (0, 0, 0, 0))),
    )


class _Collector:
    def __init__(self, random: np.random.Generator, share: int) -> None:
        self.random, self.share = random, share
        self.low: dict[str, Float] = {}
        self.high: dict[str, Float] = {}
        self.values: dict[str, list[Float]] = {}
        self.windows: dict[str, list[Float]] = {}

    def tensor(self, name: str, found: Batch) -> None:
        """Note one image's tensor, (1, …, C), or (1, C, H, W) of a map."""
        tokens = found.ndim != 4
        rows = found.reshape(-1, found.shape[-1]) if tokens else found[0].reshape(found.shape[1], -1).T
        low, high = rows.min(axis=0), rows.max(axis=0)
        self.low[name] = np.minimum(self.low.get(name, low), low)
        self.high[name] = np.maximum(self.high.get(name, high), high)
        count = min(self.share, len(rows))
        picked = self.random.choice(len(rows), count, replace=False)
        if tokens and 0 not in picked:  # the embedding is made of the CLS token
            picked[0] = 0
        self.values.setdefault(name, []).append(rows[np.sort(picked)])

    def patches(self, layer: LinearLayer, found: Batch, window: _Window) -> None:
        """Note what a convolution's weights are multiplied with at some places of one image, (G, R, K)."""
        top, left, bottom, right = window.pads
        padded = np.pad(found[0], ((0, 0), (top, bottom), (left, right)))
        (kernel_h, kernel_w), (step_h, step_w), (apart_h, apart_w) = window.kernel, window.strides, window.dilations
        height = (padded.shape[1] - apart_h * (kernel_h - 1) - 1) // step_h + 1
        width = (padded.shape[2] - apart_w * (kernel_w - 1) - 1) // step_w + 1
        places = self.random.choice(height * width, min(self.share, height * width), replace=False)
        y = (places // width * step_h)[:, None, None] + (np.arange(kernel_h) * apart_h)[None, :, None]
        x = (places % width * step_w)[:, None, None] + (np.arange(kernel_w) * apart_w)[None, None, :]
        taken = padded[:, y, x]  # (C, R, height, width of the kernel)
        grouped = taken.reshape(layer.groups, -1, *taken.shape[1:]).transpose(0, 2, 1, 3, 4)
        self.windows.setdefault(layer.stage, []).append(grouped.reshape(layer.groups, len(places), -1))

    def finish(self, layers: Sequence[LinearLayer], images: int) -> Statistics:
        tensors = {
            name: TensorStatistics(self.low[name], self.high[name], np.concatenate(values))
            for name, values in self.values.items()
        }
        rows: dict[str, NDArray[np.float32]] = {
            layer.stage: tensors[layer.input].values[None]
            if layer.kind == "MatMul"
            else np.concatenate(self.windows[layer.stage], axis=1)
            for layer in layers
        }
        return Statistics(tensors, rows, images)
