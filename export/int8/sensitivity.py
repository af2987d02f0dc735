"""Which layers suffer most from 8 bits: each alone in 8 bits beside the fp32 graph, on calibration images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from ..engine import Batch, cpu_backends, open_graph
from ..verify import cosines
from .calibration_set import CalibrationImages
from .limits import CLASS_MARGIN, MASK_MARGIN, GateLimits
from .plan import Plan
from .quantise import write

IMAGES = 24
"""That each layer is measured on."""


def by_sensitivity(
    plan: Plan,
    images: CalibrationImages,
    outputs: Collection[str],
    progress: Callable[[str], None] = lambda _step: None,
) -> list[tuple[str, float]]:
    """The layers of `plan` and what each costs alone, the most sensitive first.

    The cost is the mean error of an output as a share of what the gate allows: 1 - cosine of embeddings, and |Δ| of
    probabilities and masks; of several outputs the largest.

    Args:
        plan: see `radiodino.export.int8.plan.plan_quantisation`.
        images: of those to calibrate on, the first `IMAGES` count.
        outputs: whose error counts, of `radiodino.export.int8.gate.JUDGED`.
        progress: told which layer is measured.
    """
    batches = list(images.first(IMAGES).batches())
    backend = cpu_backends()[-1].name
    stages = [planned.layer.stage for planned in plan.layers]

    def run(kept: Collection[str]) -> list[dict[str, Batch]]:
        opened = open_graph(write(plan, frozenset(kept)).model, backend, precision="int8")
        return [opened.run(batch) for batch in batches]

    wanted = run(stages)
    costs = []
    for number, stage in enumerate(stages, 1):
        progress(f"measure each layer alone, {number} of {len(stages)}")
        found = run([other for other in stages if other != stage])
        costs.append((stage, max(_cost(name, found, wanted) for name in outputs)))
    return sorted(costs, key=lambda cost: -cost[1])


_ALLOWED = {"embedding": 1 - GateLimits().mean_cosine, "probabilities": CLASS_MARGIN, "mask": MASK_MARGIN}


def _cost(name: str, found: Sequence[dict[str, Batch]], wanted: Sequence[dict[str, Batch]]) -> float:
    after, before = (np.concatenate([batch[name] for batch in batches]) for batches in (found, wanted))
    errors = 1 - cosines(after, before) if name == "embedding" else np.abs(after - before)
    return float(errors.mean()) / _ALLOWED[name]
