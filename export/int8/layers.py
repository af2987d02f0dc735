"""Which layers of a graph are computed in 8 bits: those that hold the multiplications.

The linear layers of the backbone's blocks and the convolutions of a segmentation head. Left in float are the patch
embedding, which sees the image itself; attention, softmax, LayerNorm and GELU, which cost much accuracy or win nothing;
a classifier's linear head, whose logits decide; and convolutions from or to a few channels, which hold little work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import onnx
from onnx import NodeProto, TensorProto

_BACKBONE, _HEAD = "blocks.", "segment_head."
"""How the names of their weights begin, see `radiodino.export.cleanup`."""
_FEWEST_CHANNELS = 8
_KEEPS_CHANNELS = frozenset({"Gather", "Slice"})
"""They choose tokens: what a channel was scaled by before, it is scaled by after."""


@dataclass(frozen=True)
class Columns:
    """A part of an initializer's last axis."""

    initializer: str
    first: int


@dataclass(frozen=True)
class LinearLayer:
    """One layer that can be computed in 8 bits."""

    stage: str
    """Its name for people: the module's path, such as ``blocks.3.mlp.fc1``."""
    node: str
    """The name of its MatMul or Conv."""
    kind: str
    """``MatMul`` or ``Conv``."""
    input: str
    """The tensor that it reads, (…, K) for a MatMul and (B, C, H, W) for a Conv."""
    output: str
    """The tensor that follows: after the bias, and after a convolution's ReLU where that alone reads it."""
    weight: str
    """Initializer: (K, N) of a MatMul, (N, C / groups, height, width) of a Conv."""
    bias: str | None
    """Initializer (N,): of the Add that follows a MatMul, or the Conv's own."""
    groups: int
    """Of a convolution, 1 for a MatMul."""
    multiply_adds: int
    """For one image."""
    sum: str | None = None
    """Of a convolution that ends a residual block: the tensor after the addition, and after its ReLU."""
    fold: tuple[Columns, ...] = ()
    """What a scale for each channel of the input can be divided out of exactly, as many columns as the input has
    channels; empty where there is no such place. Layers with one fold share the scale."""


def linear_layers(model: onnx.ModelProto) -> tuple[LinearLayer, ...]:
    """The layers of `model` that can be computed in 8 bits, in its order.

    Args:
        model: fp32 with inferred types, as `radiodino.export.cleanup.clean_up` gives it; what is told of biases and
            folds holds for it, and may be changed only after `radiodino.export.int8.own_weights.with_own_weights`.
    """
    graph = _Graph(model)
    layers = [layer for node in model.graph.node if (layer := graph.layer(node)) is not None]
    folds = graph.folds(layers)
    return tuple(_with_fold(layer, folds.get(layer.stage, ())) for layer in layers)


def _with_fold(layer: LinearLayer, fold: tuple[Columns, ...]) -> LinearLayer:
    return LinearLayer(**{**vars(layer), "fold": fold})


class _Graph:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.dims = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
        values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
        floats = [value for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT]
        self.shapes = {value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in floats}
        self.outputs = {value.name for value in model.graph.output}
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in dict.fromkeys(node.input):
                self.readers.setdefault(name, []).append(node)

    def layer(self, node: NodeProto) -> LinearLayer | None:
        """What `node` is, None where it is no such layer."""
        weight = node.input[1] if len(node.input) > 1 else ""
        if node.op_type == "MatMul" and weight.startswith(_BACKBONE) and len(self.dims.get(weight, ())) == 2:
            return self._linear(node, weight)
        if node.op_type == "Conv" and weight.startswith(_HEAD) and weight in self.dims:
            return self._convolution(node, weight)
        return None

    def _linear(self, node: NodeProto, weight: str) -> LinearLayer:
        bias, output = None, node.output[0]
        follower = self._only_reader(output)
        if follower is not None and follower.op_type == "Add":
            others = [name for name in follower.input if name != output]
            if others and self.dims.get(others[0]) == self.dims[weight][1:]:
                bias, output = others[0], follower.output[0]
        tokens = prod(self.shapes[node.output[0]][1:-1])
        return LinearLayer(
            stage=weight.removesuffix(".weight"),
            node=node.name,
            kind="MatMul",
            input=node.input[0],
            output=output,
            weight=weight,
            bias=bias,
            groups=1,
            multiply_adds=tokens * prod(self.dims[weight]),
        )

    def _convolution(self, node: NodeProto, weight: str) -> LinearLayer | None:
        dims = self.dims[weight]
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        if min(dims[0], dims[1] * groups) < _FEWEST_CHANNELS:
            return None
        output = node.output[0]
        follower = self._only_reader(output)
        if follower is not None and follower.op_type == "Relu":
            output = follower.output[0]
        return LinearLayer(
            stage=weight.removesuffix(".weight"),
            node=node.name,
            kind="Conv",
            input=node.input[0],
            output=output,
            weight=weight,
            bias=node.input[2] if len(node.input) > 2 else None,
            groups=groups,
            multiply_adds=prod(self.shapes[node.output[0]][2:]) * prod(dims),
            sum=self._sum(output),
        )

    def _sum(self, name: str) -> str | None:
        follower = self._only_reader(name)
        if follower is None or follower.op_type != "Add" or set(follower.input) & set(self.dims):
            return None
        total = str(follower.output[0])
        follower = self._only_reader(total)
        return str(follower.output[0]) if follower is not None and follower.op_type == "Relu" else total

    def _only_reader(self, name: str) -> NodeProto | None:
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def folds(self, layers: list[LinearLayer]) -> dict[str, tuple[Columns, ...]]:
        """By stage, where a scale of its input's channels can be divided out."""
        by_node = {layer.node: layer for layer in layers}
        found: dict[str, tuple[Columns, ...]] = {}
        for name, maker in self.makers.items():
            if maker.op_type == "LayerNormalization" and len(maker.input) == 3:
                ends = list(self._ends(name))
                if ends and all(end in by_node for end in ends):  # whoever else reads it would see the scale
                    fold: tuple[Columns, ...] = (Columns(maker.input[1], 0), Columns(maker.input[2], 0))
                    found.update({by_node[end].stage: fold for end in ends})
        by_stage = {layer.stage: layer for layer in layers}
        for layer in layers:
            if layer.stage.endswith(".attn.proj"):
                fold = self._value_columns(by_stage, layer)
                if fold:
                    found[layer.stage] = fold
        return found

    def _ends(self, name: str) -> Iterator[str]:
        """The names of the nodes that read a tensor's channels; empty names for the graph's own outputs."""
        if name in self.outputs:
            yield ""
        for reader in self.readers.get(name, []):
            if reader.op_type in _KEEPS_CHANNELS and reader.input[0] == name:
                yield from self._ends(reader.output[0])
            else:
                yield reader.name

    def _value_columns(self, by_stage: dict[str, LinearLayer], projection: LinearLayer) -> tuple[Columns, ...]:
        """Where the values are made that attention averages: softmax mixes tokens, never channels.

        The last K columns of qkv (of k and v, of v alone), K being the channels of the projection's input.
        """
        channels = self.dims[projection.weight][0]
        attention = projection.stage.removesuffix("proj")
        for name, parts in (("qkv", 3), ("kv", 2), ("v", 1)):
            layer = by_stage.get(attention + name)
            if layer is not None and self.dims[layer.weight][1] == parts * channels:
                first = (parts - 1) * channels
                bias = () if layer.bias is None else (Columns(layer.bias, first),)
                return (Columns(layer.weight, first), *bias)
        return ()
