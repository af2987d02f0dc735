"""Sources of features at several image sizes, each judged by logistic regression on the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError

from ..data.labelled import LabelledImages, labelled_images
from ..data.splits import SPLITS
from ..features.bar import Bar, no_bar
from ..features.extract import extract_features
from ..features.open import open_source
from ..features.request import SourceRequest
from ..features.save import save_features
from ..features.source import FeatureSource
from .logistic import GRID, Fold, check_probe, fit_probe

SIZES = (448, 224, 112, 56)
"""Of the paper's section 7.3, in pixels."""

METRICS = ("accuracy", "precision", "recall", "f1")
"""Of each row and mean; the last three are plain means over the classes."""


@dataclass(frozen=True)
class ProbeSettings:
    """What is asked for."""

    sources: SourceRequest
    data: tuple[str, ...]
    sizes: tuple[int, ...] = SIZES
    grid: tuple[float, ...] = GRID
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    seed: int = 0
    group: str | None = None

    def images(self, size: int, cache: Path | None, progress: Callable[[int, int], None]) -> LabelledImages:
        """The images decoded at `size`; see `labelled_images`."""
        return labelled_images(
            self.data,
            size,
            fractions=self.fractions,
            seed=self.seed,
            group=self.group,
            cache=cache,
            progress=progress,
        )

    def describe(self) -> dict[str, Any]:
        """Every setting, JSON-able."""
        sources = self.sources.describe()
        del sources["image_size"]  # the sizes are what counts
        return {
            **sources,
            "data": list(self.data),
            "sizes": list(self.sizes),
            "c": list(self.grid),
            "fractions": list(self.fractions),
            "seed": self.seed,
            "group": self.group,
        }


@dataclass(frozen=True)
class ProbeRun:
    """What was found."""

    rows: list[dict[str, Any]]
    """For each source and size: ``model``, ``source`` (see `FeatureSource.describe`), ``embedding_size``,
    ``image_size``, ``c``, ``validation_f1``, ``converged``, ``accuracy``, ``precision``, ``recall``, ``f1``."""
    means: list[dict[str, Any]]
    """For each source: ``model``, ``sizes``, and the means over them of ``accuracy``, ``precision``, ``recall``,
    ``f1``."""
    data: dict[str, Any]
    """Counts, the origin of the split, unreadable images, and what a user must be told."""


def run_probe(
    settings: ProbeSettings,
    *,
    features_out: Path | None = None,
    cache: Path | None = None,
    opened: Callable[[FeatureSource], None] = lambda _source: None,
    bar: Bar = no_bar,
) -> ProbeRun:
    """Fit a probe on the features of each source at each size.

    A size that is no multiple of a backbone's patch (56 px at patch 16) is taken as the official DINO code takes it,
    see `radiodino.train.features.backbone`.

    Args:
        settings: what is asked for.
        features_out: keep the embeddings of all images (of the one source) in this ``.npz`` file, as
            ``embeddings_SIZE``.
        cache: see `radiodino.train.data.open_images`.
        opened: is told of each source before it computes.
        bar: shows progress.

    Raises:
        InputError: a wrong setting, see `labelled_images`, `SourceRequest`, `fit_probe`; a source that cannot take a
            size; or `features_out` with several sources.
        RadioDinoError: of other kinds, see `open_source`.
    """
    settings.sources.check()
    if not settings.data:
        raise InputError("name the labelled images with --data")
    if min(settings.sizes, default=0) < 1:
        raise InputError("--sizes must be at least 1 px each: use 448,224,112,56")
    if features_out is not None and len(settings.sources.weights) > 1:
        raise InputError("--features-out keeps the features of one --weights: name one alone, or leave it out")
    request = replace(settings.sources, options=replace(settings.sources.options, cut=True))
    request.refuse_sizes(settings.sizes)
    sets: dict[int, LabelledImages] = {}
    rows: list[dict[str, Any]] = []
    means: list[dict[str, Any]] = []
    kept: dict[str, NDArray[np.float32]] = {}
    for name, options in request.each():
        own: list[dict[str, Any]] = []
        for size in settings.sizes:
            source = open_source(name, replace(options, image_size=size))
            opened(source)
            if size not in sets:
                with bar("decoding") as progress:
                    sets[size] = settings.images(size, cache, progress)
                train, validation, test = (sets[size].targets[sets[size].where(split)] for split in SPLITS)
                check_probe(train, validation, test, settings.grid)
            with bar(f"{size} px") as progress:
                features = extract_features(source, sets[size].images, batch_size=request.batch_size, progress=progress)
            own.append(_row(source, features, sets[size], settings))
            if features_out is not None:
                kept[f"embeddings_{size}"] = features
        means.append(_mean(own))
        rows += own
    images = sets[settings.sizes[0]]
    if features_out is not None:
        save_features(
            features_out,
            kept,
            filenames=images.images.names,
            labels=images.images.labels,
            splits=images.splits,
            provenance={str(row["image_size"]): row["source"] for row in rows},
        )
    return ProbeRun(rows, means, _data(images))


def _row(
    source: FeatureSource, features: NDArray[np.float32], found: LabelledImages, settings: ProbeSettings
) -> dict[str, Any]:
    train, validation, test = (
        Fold(features[places], found.targets[places]) for places in (found.where(split) for split in SPLITS)
    )
    result = fit_probe(train, validation, test, grid=settings.grid, seed=settings.seed)
    return {
        "model": source.name,
        "source": source.describe(),
        "embedding_size": source.size,
        "image_size": source.image_size,
        "c": result.c,
        "validation_f1": result.validation_f1,
        "converged": result.converged,
        **result.metrics,
    }


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "model": rows[0]["model"],
        "sizes": [row["image_size"] for row in rows],
        **{metric: float(np.mean([row[metric] for row in rows])) for metric in METRICS},
    }


def _data(found: LabelledImages) -> dict[str, Any]:
    return {
        "classes": list(found.classes),
        "images": len(found.images),
        "per_split_and_class": {split: found.class_counts(found.where(split)) for split in SPLITS},
        "origin": found.origin,
        "unreadable": found.images.unreadable,
        "notes": found.images.notes(),
    }
