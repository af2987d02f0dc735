"""The settings of the paper's trainings, by the names that this package's recipes have for them."""

from __future__ import annotations

from typing import Any

FINETUNE: dict[str, Any] = {
    "image_size": 224,
    "folds": 5,
    "epochs": 30,
    "patience": 10,
    "batch_size": 256,
    "learning_rate": 1e-4,
    "warmup_epochs": 5,
    "warmup_learning_rate": 5e-6,
    "weight_decay": 0.01,
    "clip": 1.0,
    "augment": "autoaugment",
    "freeze_backbone": False,
}
"""Section 4.1."""

SEGMENT: dict[str, Any] = {
    "batch_size": 16,
    "epochs": 30,
    "patience": 10,
    "learning_rate": 1e-4,
    "warmup_epochs": 5,
    "warmup_learning_rate": 5e-6,
    "weight_decay": 0.01,
    "clip": 1.0,
}
"""Section 7.2, and section 4.1 for what it does not say."""

SEGMENT_SIZE = 448
"""Pixels; section 7.2."""

PROBE_SIZES = (448, 224, 112, 56)
"""Pixels; section 7.3."""

GRAD_CAM_THRESHOLD = 0.2
"""A share of the map's maximum, as this package reads section 7.4."""
