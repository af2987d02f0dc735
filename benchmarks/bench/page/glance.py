"""What to take: the fastest of each measurement, and the fastest of what one would take otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from radiodino.train.report.blocks import Row, Table

from ..tables import QUALITY, SPEED
from .networks import Measurement, Network

_COLUMNS = ("measured", "fastest", "ms per run", "× faster than PyTorch (95 %)", "smallest cosine",
            "fastest of the others", "its × faster")  # fmt: skip


def glance(own: Sequence[Network]) -> Table:
    """A line for each measurement and device."""
    rows = []
    for network in own:
        weights = "; ".join(dict.fromkeys(one.work.weights for one in network.found))
        rows.append(Row((f"{network.title}; weights: {weights}",), "group"))
        rows += [_line(one, device) for one in network.found for device in one.devices]
    return Table("The fastest of each measurement", _COLUMNS, tuple(rows), texts=2)


def _line(one: Measurement, device: str) -> Row:
    rows, work = one.on(device), one.work
    ours = [row for row in rows if not (row.is_peer or row.is_original)]
    best = max(ours or rows, key=lambda row: row.ratio.value)
    peer = max((row for row in rows if row.is_peer), key=lambda row: row.ratio.value, default=None)
    ratio = SPEED["× faster (95 %)"]
    where = "" if device == "cpu" else f", {device}"
    return Row(
        (
            f"{work.image_size} px, batch {work.batch_size}{where}".replace(" ", "\N{NO-BREAK SPACE}"),
            best.name,
            SPEED["p50 (ms)"](best),
            ratio(best),
            QUALITY["smallest"](best),
            "–" if peer is None else peer.name,
            "–" if peer is None else ratio(peer),
        )
    )
