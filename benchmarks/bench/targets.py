"""What this package promises of speed: the promise, what was measured, and the best peer of the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .compare import round_ratios
from .report import Report
from .row import Row
from .settings import BenchSettings

MARGIN = 1.12
"""Times faster than the best peer of the same run."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One promise, on two threads and one image at a time."""

    name: str
    variant: str
    task: str = "embed"
    image_size: int | None = None
    engines: tuple[str, ...] = ("openvino", "onnxruntime")
    """Of which the fastest counts."""
    precisions: tuple[str, ...] = ("int8",)
    ratio: float
    """Times faster than the PyTorch original in fp32."""
    over_peers: bool = False
    """Whether `MARGIN` over the best peer is promised too."""
    from_file: bool = False
    """Whether it is promised from an image on disk on."""


TARGETS: tuple[Target, ...] = (
    Target(name="tiny, network", variant="tiny", precisions=("fp16", "int8"), ratio=4.3, over_peers=True),
    Target(name="tiny, ONNX Runtime alone, int8", variant="tiny", engines=("onnxruntime",), ratio=2.2),
    Target(
        name="tiny, 1024² grey JPEG to embedding", variant="tiny", precisions=("fp16", "int8"), ratio=4.0,
        from_file=True,
    ),
    Target(name="small, int8", variant="small", ratio=6.0, over_peers=True),
    Target(name="base, int8", variant="base", ratio=7.8, over_peers=True),
    Target(name="tiny + paper's head, 448², int8", variant="tiny", task="segment", image_size=448, ratio=35.0),
)  # fmt: skip

_DEAR: dict[str, Any] = {"calibration_count": 32, "images": 8}
"""Images where one of them costs seconds: to calibrate, ours and peers alike, and to compare answers on."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A promise beside what was measured."""

    target: Target
    row: Row
    """The fastest that may count."""
    ratio: float
    over_peer: float | None
    """Times faster than the best peer; None where there was none, or nothing is promised of it."""
    peer: str | None
    met: bool


def settings_of(targets: Sequence[Target], base: BenchSettings) -> list[BenchSettings]:
    """The runs that measure all `targets`, each network once."""
    networks = dict.fromkeys((one.variant, one.task, one.image_size) for one in targets)
    found = []
    for network in networks:
        own = [one for one in targets if (one.variant, one.task, one.image_size) == network]
        variant, task, size = network
        precisions = tuple(dict.fromkeys(precision for one in own for precision in one.precisions))
        found.append(
            _with(base, variant, task, size, ("fp32", *precisions), end_to_end=any(one.from_file for one in own))
        )
    return found


def judge_targets(targets: Sequence[Target], report: Report) -> list[Judged]:
    """Those of `targets` whose network is in `report`."""
    return [found for one in targets if (found := _judge(one, report)) is not None]


def _with(
    base: BenchSettings, variant: str, task: str, size: int | None, precisions: tuple[str, ...], *, end_to_end: bool
) -> BenchSettings:
    return replace(
        base,
        variants=(variant,),
        tasks=(task,),
        image_sizes=() if size is None else (size,),
        precisions=precisions,
        head="paper",
        end_to_end=end_to_end,
        **(_DEAR if "segment" in task else {}),
    )


def _judge(target: Target, report: Report) -> Judged | None:
    size = target.image_size
    rows = [
        row
        for row in report.rows
        if (row.work.variant, row.work.task) == (target.variant, target.task)
        and size in (None, row.work.image_size)
        and row.device == "cpu"
    ]
    own = [
        row
        for row in rows
        if not row.is_peer
        and row.engine in target.engines
        and row.precision in target.precisions
        and (row.from_file or not target.from_file)
    ]
    if not own:
        return None
    best = max(own, key=lambda row: _ratio(target, row))
    peers = [row for row in rows if row.is_peer and row.work == best.work]
    peer = max(peers, key=lambda row: row.ratio.value, default=None)
    over = float(np.median(round_ratios(peer, best))) if peer is not None and not target.from_file else None
    met = _ratio(target, best) >= target.ratio and not (target.over_peers and (over is None or over < MARGIN))
    return Judged(
        target=target,
        row=best,
        ratio=_ratio(target, best),
        over_peer=over,
        peer=None if peer is None or over is None else peer.name,
        met=met,
    )


def _ratio(target: Target, row: Row) -> float:
    return row.from_file.ratio.value if target.from_file and row.from_file is not None else row.ratio.value
