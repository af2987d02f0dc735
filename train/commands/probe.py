"""``radiodino-train probe``: logistic regression on frozen features at several image sizes (paper, section 7.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.extras import require

from .options import Accelerator, Cache, CheckpointKey, Fractions, Group, PassSize, Precision, Pretrained, Variants


def probe(
    data: Annotated[
        list[str],
        typer.Option(help="Folders, files, globs, zip archives, .npz sets, with a label each; repeatable."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for probe.json and probe.md.")],
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="published (default), demo, random, a run folder or checkpoint, FILE.onnx (its own size alone), "
            "timm:NAME, preset:NAME (preset:dino-b16 is the paper's DINO base); repeatable."
        ),
    ] = None,
    variant: Variants = None,
    sizes: Annotated[
        str,
        typer.Option(
            help="Sides in px (paper, section 7.3). What fills no patch is left out, as in DINO's code: 56 px at "
            "patch 16 are 3 × 3 patches of the first 48 px."
        ),
    ] = "448,224,112,56",
    c: Annotated[
        str,
        typer.Option(
            "--c",
            help="Inverse strengths of the L2 penalty; the best macro F1 on val decides. One value is taken as it is.",
        ),
    ] = "0.0001,0.001,0.01,0.1,1,10",
    fractions: Fractions = "0.7,0.1,0.2",
    group: Group = None,
    seed: Annotated[int, typer.Option(help="Of the split, of random weights and of the solver.")] = 0,
    checkpoint_key: CheckpointKey = None,
    pretrained: Pretrained = False,
    batch_size: PassSize = None,
    accelerator: Accelerator = "auto",
    precision: Precision = None,
    features_out: Annotated[
        Path | None, typer.Option(help="Keep the embeddings of all images in this .npz file, as embeddings_SIZE.")
    ] = None,
    cache: Cache = None,
) -> None:
    """Judge frozen features at several image sizes by logistic regression (paper, section 7.3).

    Features are standardised, C is chosen on the validation images, and the test images give accuracy and macro
    precision, recall and F1 at each size, and their means.
    """
    require("train", "torch", "timm", "sklearn")
    from radiodino.runtime.progress import progress_bar

    from ..evaluate.outcome import write_outcome
    from ..features.announce import announce
    from ..features.open import SourceOptions
    from ..features.request import SourceRequest
    from ..features.save import prepare_out
    from ..features.texts import numbers, shares, whole_numbers
    from ..probe.run import ProbeSettings, run_probe
    from ..probe.table import probe_table

    options = SourceOptions(
        accelerator=accelerator, precision=precision, pretrained=pretrained, seed=seed, checkpoint_key=checkpoint_key
    )
    settings = ProbeSettings(
        SourceRequest(tuple(weights or ["published"]), tuple(variant or ["tiny"]), options, batch_size),
        tuple(data),
        sizes=whole_numbers(sizes, "--sizes"),
        grid=numbers(c, "--c"),
        fractions=shares(fractions),
        seed=seed,
        group=group,
    )
    prepare_out(out, features_out)
    try:
        found = run_probe(settings, features_out=features_out, cache=cache, opened=announce, bar=progress_bar)
    except KeyboardInterrupt:
        ending.fail("interrupted: no results were written", ending.INTERRUPTED)
    table = probe_table(found.rows, found.means)
    results = {"rows": found.rows, "means": found.means}
    path = write_outcome(out, "probe", settings=settings.describe(), data=found.data, results=results, table=table)
    for note in found.data["notes"]:
        typer.echo(f"note     {note}", err=True)
    typer.echo(table)
    typer.echo(f"wrote    {path} and {path.with_suffix('.md')}{f' and {features_out}' if features_out else ''}")
