"""A map of a data set: embeddings laid out in the plane by UMAP (paper, section 6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.embed.table_csv import write_texts
from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

METRICS = ("cosine", "euclidean")
_FEWEST = 10  # below, UMAP's start from the eigenvectors of the neighbour graph is not defined


def umap_coordinates(
    vectors: NDArray[np.floating[Any]],
    *,
    neighbours: int = 15,
    min_dist: float = 0.1,
    metric: str = "cosine",
    seed: int = 0,
) -> NDArray[np.float32]:
    """Where UMAP puts each embedding in the plane; the same for the same seed, versions and machine.

    The paper states no settings: neighbours and min_dist are umap-learn's own defaults, the metric is that of the
    paper's nearest neighbours. Only who is near whom means something: axes, distances and the sizes of gaps do not.

    Args:
        vectors: (N, D), finite, N of at least 10.
        neighbours: the size of the neighbourhood that is kept, 2 to N − 1; more shows the whole, fewer the detail.
        min_dist: how near to each other points may lie in the plane, 0 to 1.
        metric: ``cosine`` or ``euclidean``.
        seed: of the layout.

    Returns:
        float32 (N, 2).

    Raises:
        InputError: where one of these is not so.
        MissingExtraError: where umap-learn is not installed.
    """
    check_layout(neighbours, min_dist, metric)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise InputError(f"UMAP needs finite embeddings of shape (N, D), found shape {vectors.shape}")
    check_count(len(vectors), neighbours)
    require("train", "umap")
    from umap import UMAP

    layout = UMAP(n_neighbors=neighbours, min_dist=min_dist, metric=metric, random_state=seed, n_jobs=1)
    found: NDArray[np.float32] = layout.fit_transform(vectors.astype(np.float32)).astype(np.float32)
    return found


def check_layout(neighbours: int, min_dist: float, metric: str) -> None:
    """See that the options of `umap_coordinates` are such, as far as can be known before there are images.

    Raises:
        InputError: where they are not.
    """
    if neighbours < 2:
        raise InputError(f"UMAP's neighbours must be at least 2, found {neighbours}: 15 is usual")
    if not 0 <= min_dist <= 1:
        raise InputError(f"UMAP's min_dist must lie in 0 to 1, found {min_dist:g}: 0.1 is usual")
    if metric not in METRICS:
        raise InputError(f"there is no metric '{metric}': choose one of {', '.join(METRICS)}")


def check_count(count: int, neighbours: int) -> None:
    """See that there are images enough.

    Raises:
        InputError: where there are not.
    """
    if count < _FEWEST:
        raise InputError(f"UMAP needs at least {_FEWEST} images, found {count}: name more images")
    if neighbours >= count:
        raise InputError(
            f"UMAP's neighbours must be fewer than the {count} images, found {neighbours}: lower them "
            "(--umap-neighbours), or name more images"
        )


def write_coordinates(
    path: Path, coordinates: NDArray[np.float32], names: Sequence[str], labels: Sequence[str]
) -> None:
    """A CSV file ``filename,label,x,y``, one row per image in their order.

    Raises:
        OutputError: where it cannot be written.
    """
    header: Any = ("filename", "label", "x", "y")
    rows: Any = (
        (name, label, f"{x:.6g}", f"{y:.6g}")
        for name, label, (x, y) in zip(names, labels, coordinates.tolist(), strict=True)
    )
    with atomic_path(path, overwrite=True) as temporary:
        write_texts(temporary, header, rows)
