"""The comparison of an export with its PyTorch original, run by the runtime itself before the file is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.compute import INT8
from radiodino.runtime.errors import VerificationError, WeightsError
from radiodino.runtime.model import Model

from .engine import Batch, cpu_backends

if TYPE_CHECKING:  # an engine for a card is compared where PyTorch is not installed
    from torch import Tensor

    from .original import Original


@dataclass(frozen=True)
class Tolerance:
    """How far an output in some arithmetic may be from the fp32 original; None where that does not judge it."""

    relative_error: float | None = None
    """Largest |Δ| as a share of the output's largest activation."""
    cosine: float | None = None
    """Smallest cosine of one image's output to the original's."""
    mean_cosine: float | None = None
    """Over the images."""
    absolute_error: float | None = None
    """Largest |Δ| of a probability."""
    margin: float | None = None
    """What the original leaves open: the class with the largest probability must be the same wherever the original's
    two largest are further apart than this, and pixels of a mask count whose probability is further from its
    threshold."""
    dice: float | None = None
    """Smallest Dice of all images' masks together, both cut at the file's threshold, with the original's; `margin` says
    which pixels count. Without one, a flat image on which the original itself hovers at the threshold would decide."""


def _of_int8(static: Tolerance, dynamic: Tolerance) -> dict[tuple[str, str], Tolerance]:
    """The same for fp32 and bf16, of which rounding to 8 bits leaves no difference to see."""
    return {
        (precision, compute): tolerance
        for precision, tolerance in (("int8", static), ("int8-dynamic", dynamic))
        for compute in ("fp32", "bf16")
    }


TOLERANCES: dict[tuple[str, str], Tolerance] = {
    # (precision of the file, arithmetic)
    ("fp32", "fp32"): Tolerance(relative_error=1e-4),
    ("fp16", "fp32"): Tolerance(cosine=0.9999),
    ("fp16", "fp16"): Tolerance(cosine=0.9999),
    ("fp16", "bf16"): Tolerance(cosine=0.9995),
    **_of_int8(Tolerance(cosine=0.9), Tolerance(cosine=0.995, mean_cosine=0.999)),
}
"""Of every output that is not named below. An int8 file's own limits are those of its gate, on images of its kind
(`radiodino.export.int8.gate`): to the probe images, half of which are no radiology, its ranges were not fitted, and
here only a file that is wrong fails."""

# Largest |Δ| with a trained, calibrated head of three classes: 0.001 in fp32 arithmetic, 0.005 in fp16, 0.017 in bf16.
_PROBABILITIES: dict[tuple[str, str], Tolerance] = {
    ("fp32", "fp32"): Tolerance(absolute_error=1e-4, margin=1e-3),
    ("fp16", "fp32"): Tolerance(absolute_error=5e-3, margin=1e-3),
    ("fp16", "fp16"): Tolerance(absolute_error=5e-3, margin=1e-3),
    ("fp16", "bf16"): Tolerance(absolute_error=2e-2, margin=2e-2),
    **_of_int8(Tolerance(absolute_error=0.2, margin=0.1), Tolerance(absolute_error=0.1, margin=0.05)),
}
# Largest |Δ| with a trained lite head and with a random paper head of steep edges: 0.006 and 0.010 in fp32 arithmetic,
# 0.011 and 0.019 in fp16, 0.14 and 0.22 in bf16. The cosine is what an empty mask has to prove: it compares how its
# probabilities, however small, relate to each other.
_MASK: dict[tuple[str, str], Tolerance] = {
    ("fp32", "fp32"): Tolerance(absolute_error=1e-4, margin=1e-3, dice=0.999, cosine=0.9999),
    ("fp16", "fp32"): Tolerance(absolute_error=3e-2, margin=1e-3, dice=0.995, cosine=0.999),
    ("fp16", "fp16"): Tolerance(absolute_error=3e-2, margin=1e-3, dice=0.995, cosine=0.999),
    ("fp16", "bf16"): Tolerance(absolute_error=0.25, margin=2e-2, dice=0.99, cosine=0.99),
    **_of_int8(
        Tolerance(absolute_error=0.9, margin=0.1, dice=0.9, cosine=0.9),
        Tolerance(absolute_error=0.5, margin=0.05, dice=0.97, cosine=0.97),
    ),
}

_RELATIVE_ERRORS: dict[str, dict[str, float]] = {
    # of an fp16 file, by output and arithmetic, beside the cosine
    "attention": {"fp32": 0.02, "fp16": 0.02, "bf16": 0.1},
    "cam": {"fp32": 0.02, "fp16": 0.02, "bf16": 0.1},
    "logits": {"fp32": 5e-3, "fp16": 5e-3, "bf16": 2e-2},
}
_INT8_RELATIVE_ERRORS = {"attention": 0.2, "cam": 0.2, "logits": 0.2}
"""Rows of attention are positive and often near uniform, so that a cosine alone would hardly notice a wrong one."""


def tolerance_of(precision: str, compute: str, output: str) -> Tolerance:
    """How far `output` may be from the original in a file of `precision`.

    Of an int8 file no arithmetic of its float parts makes a difference to see beside the rounding to 8 bits.
    """
    compute = "fp32" if precision in INT8 else compute
    if output == "probabilities":
        return _PROBABILITIES[precision, compute]
    if output == "mask":
        return _MASK[precision, compute]
    tolerance = TOLERANCES[precision, compute]
    if precision == "fp16" and output in _RELATIVE_ERRORS:
        tolerance = replace(tolerance, relative_error=_RELATIVE_ERRORS[output][compute])
    if precision in INT8 and output in _INT8_RELATIVE_ERRORS:
        tolerance = replace(tolerance, relative_error=_INT8_RELATIVE_ERRORS[output])
    if output == "logits":  # two of them may both be near 0, and then point anywhere
        tolerance = replace(tolerance, cosine=None, mean_cosine=None)
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
    absolute_error: float | None = None
    """Of probabilities and masks; None for other outputs, as for the two that follow."""
    classes_changed: int | None = None
    """Of probabilities: images whose class is another though the original's margin is beyond the tolerance's."""
    dice: float | None = None
    """Of a mask, all images together, where the original is clear (`Tolerance.margin`); 1 where both are empty."""


def reference_outputs(original: Original, outputs: tuple[str, ...], batches: list[Batch]) -> list[dict[str, Batch]]:
    """The outputs of the PyTorch original in fp32, for each batch.

    They are what calling the backbone, the `Classifier` and the `Segmenter` themselves gives, batch norm and all, not
    what the traced wrapper gives.

    Raises:
        WeightsError: where an output is zero for every image, as with weights of zeros.
    """
    import torch

    with torch.inference_mode():
        found = [_reference(original, outputs, torch.from_numpy(batch)) for batch in batches]
    for name in outputs:
        if name != "mask" and not any(batch[name].any() for batch in found):  # a mask may be as near to 0 as it likes
            raise WeightsError(f"with these weights '{name}' is zero for every image: give a trained checkpoint")
    return found


def _reference(original: Original, outputs: tuple[str, ...], images: Tensor) -> dict[str, Batch]:
    import torch

    from radiodino.train.segment.tokens import patch_tokens

    from .task_network import TaskNetwork

    inner = tuple(name for name in outputs if name in ("patch_tokens", "attention"))
    values = dict(zip(inner, TaskNetwork(original.backbone, inner)(images), strict=True)) if inner else {}
    if "embedding" in outputs:
        values["embedding"] = original.backbone(images)
    if original.classifier is not None:
        logits = values["logits"] = original.classifier(images)
        values["probabilities"] = torch.softmax(logits / original.heads.temperature, dim=1)
        if "cam" in outputs:
            weight = original.classifier.head.weight
            values["cam"] = torch.einsum("cd,bnd->bcn", weight, patch_tokens(original.backbone, images))
    if original.segmenter is not None:
        values["mask"] = torch.sigmoid(original.segmenter(images))
    return {name: values[name].numpy() for name in outputs}


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
            threshold = model.info.segmenter.threshold if model.info.segmenter else None
            comparisons += [
                compare(name, compute, output, results, references, tolerance_of(precision, compute, output), threshold)
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
    threshold: float | None = None,
) -> Comparison:
    """Judge one output over all batches.

    Args:
        backend: name and version of the engine, for the report.
        compute: its arithmetic.
        output: the name of the output.
        results: the engine's outputs, for each batch.
        references: the original's, likewise.
        tolerance: how far they may differ.
        threshold: from which probability on a pixel belongs to a mask; where `tolerance` has a Dice.
    """
    found = np.concatenate([result[output].reshape(len(result[output]), -1) for result in results])
    wanted = np.concatenate([reference[output].reshape(len(reference[output]), -1) for reference in references])
    with np.errstate(invalid="ignore"):
        difference = float(np.abs(found - wanted).max())
    error = difference / float(np.abs(wanted).max())
    of_images = cosines(found, wanted)
    cosine = float(of_images.min())
    absolute = changed = dice = None
    passed = bool(np.isfinite(found).all())
    if tolerance.relative_error is not None:
        passed &= error <= tolerance.relative_error
    if tolerance.cosine is not None:
        passed &= cosine >= tolerance.cosine
    if tolerance.mean_cosine is not None:
        passed &= float(of_images.mean()) >= tolerance.mean_cosine
    if tolerance.absolute_error is not None:
        absolute = difference
        passed &= absolute <= tolerance.absolute_error
    if tolerance.dice is not None and threshold is not None:
        clear = np.abs(wanted - threshold) > (tolerance.margin or 0.0)
        dice = pooled_dice(clear & (found >= threshold), clear & (wanted >= threshold))
        passed &= dice >= tolerance.dice
    elif tolerance.margin is not None:
        changed = classes_changed(found, wanted, tolerance.margin)
        passed &= changed == 0
    return Comparison(backend, compute, output, error, cosine, passed, absolute, changed, dice)


def classes_changed(found: Batch, wanted: Batch, margin: float) -> int:
    """How many rows of `found` have their largest value elsewhere than those of `wanted`, (n, C) both.

    Rows of `wanted` whose two largest values are not further apart than `margin` do not count.
    """
    two = np.sort(wanted, axis=1)[:, -2:]
    clear = two[:, 1] - two[:, 0] > margin
    return int((clear & (found.argmax(axis=1) != wanted.argmax(axis=1))).sum())


def pooled_dice(found: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> float:
    """2 |A ∩ B| / (|A| + |B|) over all pixels of all images; 1 where both are empty.

    Of all together, because of a mask of a few pixels a single one that rounding moves would be a large share.
    """
    total = int(found.sum()) + int(wanted.sum())
    return 2 * int((found & wanted).sum()) / total if total else 1.0


def cosines(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """The cosine of each row of `a` with the same row of `b`, both (n, D), in float64; 0 where a row is not finite."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        cosine: NDArray[np.float64] = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return np.nan_to_num(cosine, nan=0.0)


def pytorch_reference() -> str:
    """What `reference_outputs` are, for the report."""
    import torch

    return f"PyTorch {torch.__version__.partition('+')[0]}, fp32"


def report(comparisons: list[Comparison], batches: list[Batch], reference: str) -> dict[str, Any]:
    """The verification as it travels in the file's metadata; `reference` says what was compared with."""
    return {
        "reference": reference,
        "images": sum(len(batch) for batch in batches),
        "batches": [len(batch) for batch in batches],
        "passed": all(comparison.passed for comparison in comparisons),
        "comparisons": [asdict(comparison) for comparison in comparisons],
    }


def refuse_failed(comparisons: list[Comparison], precision: str, outcome: str, finding: str | None = None) -> None:
    """Raise where any comparison failed.

    Args:
        comparisons: what `verify` found.
        precision: of the file.
        outcome: what the error says beside the worst comparison and its tolerance.
        finding: what it begins with; None speaks of a file and the PyTorch original.

    Raises:
        VerificationError: where a comparison failed.
    """
    failed = [comparison for comparison in comparisons if not comparison.passed]
    if not failed:
        return
    worst = min(failed, key=lambda comparison: comparison.cosine)
    finding = finding or f"the {precision} file differs from the PyTorch original"
    raise VerificationError(
        f"{finding}: output '{worst.output}' in {worst.backend} "
        f"({worst.compute}) has {_beyond(worst, tolerance_of(precision, worst.compute, worst.output))}; {outcome}"
    )


def _beyond(found: Comparison, allowed: Tolerance) -> str:
    """What of a comparison that failed is beyond its tolerance, in words; a value that is no number always is."""
    checks = (
        (found.relative_error, allowed.relative_error, "a relative error of {:.2e} where {:.0e} is allowed"),
        (found.absolute_error, allowed.absolute_error, "a probability off by {:.2e} where {:.0e} is allowed"),
    )
    said = [text.format(value, limit) for value, limit, text in checks if _exceeds(value, limit)]
    if allowed.cosine is not None and not found.cosine >= allowed.cosine:
        said.append(f"a cosine of {found.cosine:.6f} where {allowed.cosine} is demanded")
    elif allowed.mean_cosine is not None and found.cosine < allowed.mean_cosine:
        said.append(f"a mean cosine of the images below the {allowed.mean_cosine} that is demanded")
    if found.classes_changed:
        said.append(f"another class for {found.classes_changed} images where none is allowed")
    if found.dice is not None and allowed.dice is not None and not found.dice >= allowed.dice:
        said.append(f"masks with a Dice of {found.dice:.5f} where {allowed.dice} is demanded")
    return " and ".join(said) or "values that are not finite"


def _exceeds(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and not value <= limit
