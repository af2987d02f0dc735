"""``radiodino-train knn``: nearest neighbours on frozen features (paper, section 5.1 and table 3)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.extras import require

from .options import Accelerator, Cache, CheckpointKey, Fractions, Group, PassSize, Precision, Pretrained, Variants

_DATA = "Folders, files, globs, zip archives, .npz sets"


def knn(
    out: Annotated[Path, typer.Option(help="Folder for knn.json and knn.md.")],
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="published (default), demo, random, a run folder or checkpoint, FILE.onnx, timm:NAME, preset:NAME "
            "(the rivals of table 3), pixels:32 (raw pixels); repeatable, each gets rows in one table."
        ),
    ] = None,
    data: Annotated[list[str] | None, typer.Option(help=f"{_DATA}, with a label each; repeatable.")] = None,
    gallery_data: Annotated[list[str] | None, typer.Option(help="Instead of --data: all these are gallery.")] = None,
    query_data: Annotated[list[str] | None, typer.Option(help="Instead of --data: all these are queries.")] = None,
    variant: Variants = None,
    k: Annotated[str, typer.Option("--k", help="Numbers of neighbours (paper: 1, 5, 20).")] = "1,5,20",
    temperature: Annotated[
        float,
        typer.Option(
            help="Votes weigh exp(cosine similarity / temperature), as in DINO's eval_knn.py; inf: all equal. For "
            "k = 1 it makes no difference."
        ),
    ] = 0.07,
    gallery: Annotated[str, typer.Option(help="Splits of --data that are gallery, e.g. train,val.")] = "train",
    queries: Annotated[str, typer.Option(help="Splits of --data that are classified.")] = "test",
    fractions: Fractions = "0.7,0.1,0.2",
    group: Group = None,
    seed: Annotated[int, typer.Option(help="Of the split and of random weights.")] = 0,
    image_size: Annotated[
        int | None,
        typer.Option(help="Side in px; by default 224, and a timm model's, exported file's or pixels' own."),
    ] = None,
    checkpoint_key: CheckpointKey = None,
    pretrained: Pretrained = False,
    batch_size: PassSize = None,
    accelerator: Accelerator = "auto",
    precision: Precision = None,
    features_out: Annotated[
        Path | None, typer.Option(help="Keep the embeddings of gallery and queries in this .npz file.")
    ] = None,
    cache: Cache = None,
) -> None:
    """Classify images by their nearest neighbours in feature space (paper, section 5.1, table 3).

    Writes accuracy and macro precision, recall and F1 for each k, and the recall of each class.
    """
    require("train", "torch", "timm", "sklearn")
    from radiodino.runtime.progress import progress_bar

    from ..evaluate.outcome import write_outcome
    from ..features.announce import announce
    from ..features.open import SourceOptions
    from ..features.request import SourceRequest
    from ..features.save import prepare_out
    from ..features.texts import shares, whole_numbers, words
    from ..knn.run import KnnSettings, run_knn
    from ..knn.table import knn_table
    from ..knn.task import TaskSettings

    options = SourceOptions(
        image_size=image_size,
        accelerator=accelerator,
        precision=precision,
        pretrained=pretrained,
        seed=seed,
        checkpoint_key=checkpoint_key,
    )
    task = TaskSettings(
        data=tuple(data or ()),
        gallery_data=tuple(gallery_data or ()),
        query_data=tuple(query_data or ()),
        gallery=words(gallery),
        queries=words(queries),
        fractions=shares(fractions),
        seed=seed,
        group=group,
    )
    sources = SourceRequest(tuple(weights or ["published"]), tuple(variant or ["tiny"]), options, batch_size)
    settings = KnnSettings(sources, task, whole_numbers(k, "--k"), temperature)
    prepare_out(out, features_out)
    try:
        found = run_knn(settings, features_out=features_out, cache=cache, opened=announce, bar=progress_bar)
    except KeyboardInterrupt:
        ending.fail("interrupted: no results were written", ending.INTERRUPTED)
    table = knn_table(found.rows)
    path = write_outcome(
        out, "knn", settings=settings.describe(), data=found.data, results={"rows": found.rows}, table=table
    )
    for note in found.data["notes"]:
        typer.echo(f"note     {note}", err=True)
    typer.echo(table)
    typer.echo(f"wrote    {path} and {path.with_suffix('.md')}{f' and {features_out}' if features_out else ''}")
