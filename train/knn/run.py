"""Several sources of features, compared by nearest neighbours on the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radiodino.runtime.errors import InputError

from ..features.bar import Bar, no_bar
from ..features.device import choose_device
from ..features.extract import extract_features
from ..features.open import open_source
from ..features.request import SourceRequest
from ..features.save import save_features
from ..features.source import FeatureSource
from .classify import TEMPERATURE, knn_classify
from .scores import score
from .task import Task, TaskSettings, load_task


@dataclass(frozen=True)
class KnnSettings:
    """What is asked for."""

    sources: SourceRequest
    task: TaskSettings
    ks: tuple[int, ...] = (1, 5, 20)
    temperature: float = TEMPERATURE

    def describe(self) -> dict[str, Any]:
        """Every setting, JSON-able."""
        temperature = self.temperature if np.isfinite(self.temperature) else str(self.temperature)
        return {"k": list(self.ks), "temperature": temperature, **self.sources.describe(), **asdict(self.task)}


@dataclass(frozen=True)
class KnnRun:
    """What was found."""

    rows: list[dict[str, Any]]
    """For each source and k: ``model``, ``source`` (see `FeatureSource.describe`), ``embedding_size``,
    ``image_size``, ``k``, ``gallery`` and ``queries`` (counts), and what `score` gives."""
    data: dict[str, Any]
    """See `Task.describe`."""


def run_knn(
    settings: KnnSettings,
    *,
    features_out: Path | None = None,
    cache: Path | None = None,
    opened: Callable[[FeatureSource], None] = lambda _source: None,
    bar: Bar = no_bar,
) -> KnnRun:
    """Classify the queries with each source of features.

    Args:
        settings: what is asked for.
        features_out: keep the embeddings of gallery and queries (of the one source) in this ``.npz`` file.
        cache: see `radiodino.train.data.open_images`.
        opened: is told of each source before it computes.
        bar: shows progress.

    Raises:
        InputError: a wrong setting, see `load_task`, `SourceRequest`, `knn_classify`; or `features_out` with several
            sources.
        RadioDinoError: of other kinds, see `open_source`.
    """
    settings.sources.check()
    if features_out is not None and len(settings.sources.weights) > 1:
        raise InputError("--features-out keeps the features of one --weights: name one alone, or leave it out")
    if settings.sources.options.image_size is not None:
        settings.sources.refuse_sizes([settings.sources.options.image_size])
    device = choose_device(settings.sources.options.accelerator)
    tasks: dict[int, Task] = {}
    rows: list[dict[str, Any]] = []
    for name, options in settings.sources.each():
        source = open_source(name, options)
        opened(source)
        if source.image_size not in tasks:
            with bar("decoding") as progress:
                tasks[source.image_size] = load_task(settings.task, source.image_size, cache=cache, progress=progress)
            _refuse_small_gallery(tasks[source.image_size], settings.ks)
        task = tasks[source.image_size]
        parts: list[NDArray[np.float32]] = []
        for what, part in (("gallery", task.gallery), ("queries", task.queries)):
            with bar(what) as progress:
                parts.append(
                    extract_features(
                        source,
                        part.images,
                        indices=part.indices,
                        batch_size=settings.sources.batch_size,
                        progress=progress,
                    )
                )
        with bar("neighbours") as progress:
            found = knn_classify(
                torch.from_numpy(parts[0]),
                torch.from_numpy(task.gallery.targets),
                torch.from_numpy(parts[1]),
                settings.ks,
                classes=len(task.classes),
                temperature=settings.temperature,
                device=device,
                progress=progress,
            )
        common = {
            "model": source.name,
            "source": source.describe(),
            "embedding_size": source.size,
            "image_size": source.image_size,
            "gallery": len(task.gallery.indices),
            "queries": len(task.queries.indices),
        }
        for k in sorted(settings.ks):
            scores = score(task.queries.targets, found.predictions[k].numpy(), task.classes)
            rows.append({**common, "k": k, **scores})
        if features_out is not None:
            _keep(features_out, np.concatenate(parts), task, source)
    return KnnRun(rows, next(iter(tasks.values())).describe())


def _refuse_small_gallery(task: Task, ks: tuple[int, ...]) -> None:
    """Before hours of embedding, not after."""
    if ks and max(ks) > len(task.gallery.indices):
        raise InputError(
            f"k = {max(ks)} asks for more neighbours than the {len(task.gallery.indices)} images of the gallery: "
            "choose a smaller k or a larger gallery"
        )


def _keep(path: Path, embeddings: NDArray[np.float32], task: Task, source: FeatureSource) -> None:
    parts = (task.gallery, task.queries)
    save_features(
        path,
        {"embeddings": embeddings},
        filenames=[name for part in parts for name in part.names()],
        labels=[task.classes[target] for part in parts for target in part.targets],
        splits=[split for part in parts for split in part.splits],
        provenance=source.describe(),
    )
