"""The comparison of an export with its PyTorch original, run by the runtime itself before the file is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from radiodino.runtime.errors import VerificationError, WeightsError
from radiodino.runtime.model import Model

from .engine import Batch, cpu_backends
from .trace import EmbeddingNetwork


@dataclass(frozen=True)
class Tolerance:
    """How far an arithmetic may be from the fp32 original."""

    relative_error: float | None
    """Largest |Δ| as a share of the output's largest activation; None where `cosine` judges."""
    cosine: float | None
    """Smallest cosine of one image's output to the original's."""


TOLERANCES: dict[tuple[str, str], Tolerance] = {
    # (precision of the file, arithmetic)
    ("fp32", "fp32"): Tolerance(relative_error=1e-4, cosine=None),
    ("fp16", "fp32"): Tolerance(relative_error=None, cosine=0.9999),
    ("fp16", "fp16"): Tolerance(relative_error=None, cosine=0.9999),
    ("fp16", "bf16"): Tolerance(relative_error=None, cosine=0.9995),
}


_ATTENTION_ERROR = {"fp32": 0.02, "fp16": 0.02, "bf16": 0.1}
"""Of an fp16 file, by arithmetic: rows of attention are positive and often near uniform, so that a cosine alone would
hardly notice a wrong one."""


def tolerance_of(precision: str, compute: str, output: str) -> Tolerance:
    """How far `output` may be from the original in a file of `precision`."""
    tolerance = TOLERANCES[precision, compute]
    if output == "attention" and precision == "fp16":
        return replace(tolerance, relative_error=_ATTENTION_ERROR[compute])
    return tolerance


@dataclass(frozen=True)
class Comparison:
    """One output in one engine and arithmetic against the original, over all probe images."""

    backend: str
    compute: str
    output: str
    relative_error: float
    cosine: float
    passed: bool


def reference_outputs(backbone: nn.Module, outputs: tuple[str, ...], batches: list[Batch]) -> list[dict[str, Batch]]:
    """The outputs of the PyTorch original in fp32, for each batch.

    ``embedding`` is what calling the timm model itself gives, not what the traced wrapper gives.

    Raises:
        WeightsError: where an output is zero for every image, as with weights of zeros.
    """
    found = []
    with torch.inference_mode():
        for batch in batches:
            images = torch.from_numpy(batch)
            values = dict(zip(outputs, EmbeddingNetwork(backbone, outputs)(images), strict=True))
            values["embedding"] = backbone(images)
            found.append({name: value.numpy() for name, value in values.items()})
    for name in outputs:
        if not any(batch[name].any() for batch in found):
            raise WeightsError(f"with these weights '{name}' is zero for every image: give a trained checkpoint")
    return found


def verify(path: Path, precision: str, references: list[dict[str, Batch]], batches: list[Batch]) -> list[Comparison]:
    """Compare the file at `path` with the original in every CPU engine installed and every arithmetic it promises.

    Args:
        path: a sealed file, opened by the runtime as any user would.
        precision: of its weights.
        references: see `reference_outputs`.
        batches: the same network inputs.

    Raises:
        BackendError: no CPU engine is installed.
        ModelFileError: the file cannot be opened.
    """
    comparisons: list[Comparison] = []
    for status in cpu_backends():
        for compute in status.arithmetic.supported if status.arithmetic else ():
            if (precision, compute) not in TOLERANCES:  # an fp32 file promises fp32 arithmetic only
                continue
            model = Model.load(path, backend=status.name, compute=compute, cache=False)
            # Not model.run, which refuses values that are not finite: here they are a finding.
            results = [model.backend.run(batch) for batch in batches]
            name = f"{status.name} {model.backend.version}"
            comparisons += [
                compare(name, compute, output, results, references, tolerance_of(precision, compute, output))
                for output in references[0]
            ]
    return comparisons


def compare(
    backend: str,
    compute: str,
    output: str,
    results: list[dict[str, Batch]],
    references: list[dict[str, Batch]],
    tolerance: Tolerance,
) -> Comparison:
    """Judge one output over all batches.

    Args:
        backend: name and version of the engine, for the report.
        compute: its arithmetic.
        output: the name of the output.
        results: the engine's outputs, for each batch.
        references: the original's, likewise.
        tolerance: how far they may differ.
    """
    found = np.concatenate([result[output].reshape(len(result[output]), -1) for result in results])
    wanted = np.concatenate([reference[output].reshape(len(reference[output]), -1) for reference in references])
    with np.errstate(invalid="ignore"):
        error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    cosine = float(cosines(found, wanted).min())
    passed = bool(np.isfinite(found).all())
    if tolerance.relative_error is not None:
        passed &= error <= tolerance.relative_error
    if tolerance.cosine is not None:
        passed &= cosine >= tolerance.cosine
    return Comparison(backend, compute, output, error, cosine, passed)


def cosines(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """The cosine of each row of `a` with the same row of `b`, both (n, D), in float64; 0 where a row is not finite."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        cosine: NDArray[np.float64] = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return np.nan_to_num(cosine, nan=0.0)


def report(comparisons: list[Comparison], batches: list[Batch]) -> dict[str, Any]:
    """The verification as it travels in the file's metadata."""
    return {
        "reference": f"PyTorch {torch.__version__.partition('+')[0]}, fp32",
        "images": sum(len(batch) for batch in batches),
        "batches": [len(batch) for batch in batches],
        "passed": all(comparison.passed for comparison in comparisons),
        "comparisons": [asdict(comparison) for comparison in comparisons],
    }


def refuse_failed(comparisons: list[Comparison], precision: str, outcome: str) -> None:
    """Raise where any comparison failed.

    Args:
        comparisons: what `verify` found.
        precision: of the file.
        outcome: what the error says beside the worst comparison and its tolerance.

    Raises:
        VerificationError: where a comparison failed.
    """
    failed = [comparison for comparison in comparisons if not comparison.passed]
    if not failed:
        return
    worst = min(failed, key=lambda comparison: comparison.cosine)
    tolerance = tolerance_of(precision, worst.compute, worst.output)
    allowed = [
        f"a relative error of {worst.relative_error:.2e} where {tolerance.relative_error:.0e} is allowed"
        if tolerance.relative_error is not None and not worst.relative_error <= tolerance.relative_error
        else "",
        f"a cosine of {worst.cosine:.6f} where {tolerance.cosine} is demanded"
        if tolerance.cosine is not None and not worst.cosine >= tolerance.cosine
        else "",
    ]
    raise VerificationError(
        f"the {precision} file differs from the PyTorch original: output '{worst.output}' in {worst.backend} "
        f"({worst.compute}) has {' and '.join(filter(None, allowed))}; {outcome}"
    )
