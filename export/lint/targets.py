"""What is checked for each engine, with the sources.

- TensorRT: which operators and opsets its ONNX parser reads is listed in
  https://github.com/onnx/onnx-tensorrt/blob/main/docs/operators.md (opset 9 to 20 by every TensorRT 10); that 8-bit
  values have zero points of 0, in https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-quantized-types.html;
  which attentions are fused, in
  https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/transformers-fused-attention.html.
- ONNX Runtime: https://github.com/microsoft/onnxruntime/blob/main/docs/OperatorKernels.md lists each provider's
  kernels; 1.20, the oldest that the runtime takes, reads opset 21 at most. Of an attention it recognises the forms of
  some exporters; the runtime fuses that of radiodino-export itself when a file is opened
  (`radiodino.runtime.backends.onnxruntime_graph`). CUDA's kernel of the opset-23 operator ``Attention`` began as a
  chain of separate products, so that the plain pattern in opset 20 serves both engines better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from radiodino.runtime.errors import InputError

_NO_DYNAMIC_INT8 = "it finds ranges in each batch anew, which this engine does not: export with --int8 or --fp16"


@dataclass(frozen=True)
class Target:
    """An engine, as far as a file's fitness for it can be read off the file."""

    name: str
    engine: str
    """In words."""
    opsets: tuple[int, int]
    """The oldest and the newest that every supported version reads."""
    unsupported: Mapping[str, str]
    """Operators of the ONNX standard that it does not compute itself, and what becomes of them or the cure."""
    domains: frozenset[str]
    """Of operators beyond the standard."""
    fuses_plain_attention: bool
    """Whether any MatMul → Softmax → MatMul is fused; else what the runtime recognises is."""
    computes_int8: bool
    symmetric_int8: bool = False
    """Whether 8-bit values must be signed with a zero point of 0."""


TARGETS: dict[str, Target] = {
    "tensorrt": Target(
        name="tensorrt",
        engine="TensorRT",
        opsets=(9, 20),
        unsupported={
            **dict.fromkeys(("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger"), _NO_DYNAMIC_INT8),
            **dict.fromkeys(("QLinearConv", "QLinearMatMul"), "write QuantizeLinear and DequantizeLinear instead"),
            **dict.fromkeys(
                (
                    "Compress", "ConcatFromSequence", "Det", "MaxRoiPool", "MaxUnpool", "Multinomial", "SequenceAt",
                    "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength",
                    "SplitToSequence", "StringNormalizer", "TfIdfVectorizer", "Unique",
                ),
                "the parser refuses the file",
            ),
        },
        domains=frozenset(),
        fuses_plain_attention=True,
        computes_int8=True,
        symmetric_int8=True,
    ),
    "cuda": Target(
        name="cuda",
        engine="ONNX Runtime, CUDA provider",
        opsets=(7, 21),
        unsupported=dict.fromkeys(
            ("ConvInteger", "Det", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "Unique"),
            "it has no kernel for CUDA: values go to the CPU and back",
        ),
        domains=frozenset({"com.microsoft"}),
        fuses_plain_attention=False,
        computes_int8=False,
    ),
    "cpu": Target(
        name="cpu",
        engine="ONNX Runtime on the CPU",
        opsets=(7, 21),
        unsupported={},
        domains=frozenset({"com.microsoft"}),
        fuses_plain_attention=False,
        computes_int8=True,
    ),
}  # fmt: skip


def get_target(name: str) -> Target:
    """The target called `name`.

    Raises:
        InputError: there is none.
    """
    if name not in TARGETS:
        raise InputError(f"there is no target '{name}' to check a file for: choose {', '.join(TARGETS)}")
    return TARGETS[name]
