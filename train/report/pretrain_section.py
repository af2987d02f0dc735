"""Pretraining runs: what they were, and how their loss fell."""

from __future__ import annotations

import math

from .blocks import Block, Facts, Missing, Picture, Section
from .charts import POINTS, loss_curve
from .datasets import last_part
from .material import Material
from .outcomes import Outcome, PretrainRun

_AVERAGED = 100  # steps


def pretraining(material: Material) -> Section:
    """Each run's recipe in short, and its loss."""
    blocks: list[Block] = []
    for place, run in enumerate(material.outcomes.pretrain, 1):
        blocks += _run(run, place)
    if not blocks:
        blocks.append(
            Missing(
                "None of the folders is a pretraining run. It is made by:",
                "radiodino-train pretrain --data DATA --out FOLDER",
            )
        )
    return Section("pretraining", "Pretraining (section 4)", tuple(blocks))


def _run(run: Outcome[PretrainRun], place: int) -> list[Block]:
    recipe, log = run.document.recipe, run.document.log
    last = log.losses[-_AVERAGED:]
    cut = "; its last line was not whole and was left out" if log.is_cut else ""
    facts = Facts(
        (
            ("Run", run.name),
            ("Method and variant", f"{recipe.method}, {recipe.variant}"),
            ("Images", ", ".join(dict.fromkeys(map(last_part, run.document.inputs)))),
            ("Log", f"{len(log.steps):,} steps, up to epoch {log.epochs[-1] + 1:,} of {recipe.epochs:,}{cut}"),
            ("Images per step", f"{recipe.batch_size:,}"),
            ("Outputs of the head", f"{recipe.head.out_dim:,}"),
            ("Loss at the end", f"{sum(last) / len(last):.4f}, the mean of the last {len(last)} steps"),
            ("Speed", f"{log.images_per_second:.1f} images/s since the run's last start"),
        )
    )
    collapse = math.log(recipe.head.out_dim) if recipe.method == "dino" else None
    parts = f", as means of at most {POINTS:,} equal parts" if len(log.steps) > POINTS else ""
    line = f" Dashed: ln({recipe.head.out_dim:,}), where a network that tells nothing apart stays." if collapse else ""
    picture = Picture(
        f"pretraining-{place}",
        loss_curve(log.steps, log.losses, collapse),
        f"Curve of the loss of {run.name} over {len(log.steps)} steps.",
        f"Loss of {run.name} by step{parts}.{line} The paper shows no such curve.",
    )
    return [facts, picture]
