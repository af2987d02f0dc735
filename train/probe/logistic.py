"""Logistic regression on frozen features (paper, section 7.3)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

from ..evaluate.metrics import classification_metrics

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths of the L2 penalty that are tried."""

_ITERATIONS = 5000


@dataclass(frozen=True)
class ProbeResult:
    """A fitted probe on the test images."""

    c: float
    """Inverse strength of the L2 penalty that was chosen."""
    validation_f1: float | None
    """Macro F1 on the validation images; None where there are none."""
    converged: bool
    """Whether the solver reached its tolerance at that strength."""
    predictions: NDArray[np.int64]
    """(N,): of the test images."""
    metrics: dict[str, float | None]
    """Of the test images, see `classification_metrics`."""


@dataclass(frozen=True)
class Fold:
    """The images of one split."""

    features: NDArray[np.float32]
    """(N, D)."""
    targets: NDArray[np.int64]
    """(N,): the class of each."""


def fit_probe(train: Fold, validation: Fold, test: Fold, *, grid: Sequence[float] = GRID, seed: int = 0) -> ProbeResult:
    """Fit multinomial logistic regression to `train` and apply it to `test`.

    Features are standardised with mean and standard deviation of the training images. Of `grid`, the strength with
    the best macro F1 on the validation images is taken, of equal ones the strongest penalty (the smallest C); the
    validation images serve for nothing else, the probe is not fitted again with them. Computed in float64.

    Args:
        train: what is fitted.
        validation: what C is chosen on; may be empty where `grid` has one entry.
        test: what is reported.
        grid: values of C as scikit-learn defines it (the penalty's weight is 1 / C against the sum of the losses).
        seed: of the solver; the one in use (lbfgs) draws nothing.

    Raises:
        InputError: where a split is empty, the training images are of one class, or C is not above 0.
        MissingExtraError: where scikit-learn is not installed.
    """
    require("train", "sklearn")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    check_probe(train.targets, validation.targets, test.targets, grid)
    scaler = StandardScaler().fit(train.features.astype(np.float64))

    def scaled(fold: Fold) -> NDArray[np.float64]:
        found: NDArray[np.float64] = scaler.transform(fold.features.astype(np.float64))
        return found

    known, judged, unseen = scaled(train), scaled(validation) if len(validation.targets) else None, scaled(test)
    tried: list[tuple[float | None, float, Any]] = []
    for c in sorted(set(grid)):
        model = LogisticRegression(C=c, max_iter=_ITERATIONS, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the result says it
            model.fit(known, train.targets)
        found = None if judged is None else classification_metrics(validation.targets, model.predict(judged))["f1"]
        tried.append((found, c, model))
    validation_f1, c, model = max(tried, key=lambda one: one[0] or 0.0)  # the first of equal ones: the smallest C
    predictions = model.predict(unseen).astype(np.int64)
    return ProbeResult(
        c=c,
        validation_f1=validation_f1,
        converged=bool(np.max(model.n_iter_) < _ITERATIONS),
        predictions=predictions,
        metrics=classification_metrics(test.targets, predictions),
    )


def check_probe(
    train: NDArray[np.int64], validation: NDArray[np.int64], test: NDArray[np.int64], grid: Sequence[float]
) -> None:
    """See, before features are computed, that a probe can be fitted.

    Args:
        train: targets of the training images.
        validation: likewise.
        test: likewise.
        grid: see `fit_probe`.

    Raises:
        InputError: see `fit_probe`.
    """
    if not grid or min(grid) <= 0 or not np.isfinite(grid).all():
        raise InputError(f"C must be a number above 0, found {', '.join(f'{c:g}' for c in grid) or 'none'}: use 1")
    named = {"train": train, "test": test, **({"val": validation} if len(set(grid)) > 1 else {})}
    for name, targets in named.items():
        if not len(targets):
            cure = ", or give one value with --c, which leaves nothing to choose" if name == "val" else ""
            raise InputError(f"there are no images in the split '{name}': change the fractions{cure}")
    if len(np.unique(train)) < 2:
        raise InputError("all training images are of one class: at least two are needed; change the fractions")
