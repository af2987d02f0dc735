"""``radiodino-train explain``: what a model looks at, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.extras import require
from radiodino.runtime.variants import get_variant

from .options import Accelerator, Cache, CheckpointKey, Variant


def explain(
    out: Annotated[Path, typer.Option(help="Folder for the pictures, explain.json and explain.md.")],
    weights: Annotated[
        str,
        typer.Option(
            help="A run's folder, a checkpoint, published, demo or random; for gradcam the classifier.pth of finetune "
            "or demo."
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Images: folders, files, globs, zip archives, .npz sets, manifests, medmnist:NAME[:SIZE]; repeatable."
        ),
    ] = None,
    masks: Annotated[
        list[str] | None,
        typer.Option(
            help="Images with masks, for the Dice of Grad-CAM (paper, section 7.4); without --data they are drawn "
            "throughout, outlined."
        ),
    ] = None,
    variant: Variant = "tiny",
    pictures: Annotated[
        str,
        typer.Option(
            help="Comma-separated: attention (paper, section 6.3), gradcam (7.4), pca (6.1), umap (6.2; the first use "
            "compiles for half a minute)."
        ),
    ] = "attention,pca",
    count: Annotated[int, typer.Option(help="Images in a picture, taken from all classes in turn.")] = 8,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Side of the network's input in pixels, a multiple of the patch; by default 448 for attention and "
            "pca, the fine-tuning's for gradcam, 224 for umap."
        ),
    ] = None,
    attention_mass: Annotated[
        float | None,
        typer.Option(help="Show only the strongest patches that hold this share (0..1) of a map, as DINO at 0.6."),
    ] = None,
    target: Annotated[str, typer.Option(help="The class that gradcam explains: predicted, or a name.")] = "predicted",
    threshold: Annotated[
        float, typer.Option(help="Of gradcam, a share (0..1) of each map's maximum (paper, section 7.4: 20 %).")
    ] = 0.2,
    pca_foreground: Annotated[
        str, typer.Option(help="all, or the patches whose first component is high or low, as DINOv2 parts them.")
    ] = "all",
    pca_threshold: Annotated[float, typer.Option(help="For that, a share (0..1) of the component's range.")] = 0.5,
    umap_neighbours: Annotated[int, typer.Option(help="Images in a neighbourhood; umap-learn's default.")] = 15,
    umap_min_dist: Annotated[float, typer.Option(help="Least distance of points, 0..1; umap-learn's default.")] = 0.1,
    umap_metric: Annotated[str, typer.Option(help="cosine or euclidean.")] = "cosine",
    seed: Annotated[int, typer.Option(help="Of umap and of random weights.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images at a time through the network.")] = 16,
    checkpoint_key: CheckpointKey = None,
    split: Annotated[
        str | None, typer.Option(help="Take of --data these images alone: train, val or test, as it says itself.")
    ] = None,
    accelerator: Accelerator = "auto",
    cache: Cache = None,
) -> None:
    """Draw attention maps, Grad-CAM, patch tokens as colours and a UMAP (paper, sections 6 and 7.4), as PNG.

    Grad-CAM is thresholded and compared with --masks by Dice. An exported .onnx file cannot be explained.
    """
    require("train", "torch", "timm", "matplotlib", "sklearn")
    from radiodino.runtime.progress import progress_bar

    from ..explain.run import explain as run
    from ..explain.settings import Settings
    from ..features.texts import words

    settings = Settings(
        variant=get_variant(variant),
        weights=weights,
        pictures=words(pictures),
        count=count,
        image_size=image_size,
        attention_mass=attention_mass,
        target=target,
        threshold=threshold,
        pca_foreground=pca_foreground,
        pca_threshold=pca_threshold,
        umap_neighbours=umap_neighbours,
        umap_min_dist=umap_min_dist,
        umap_metric=umap_metric,
        seed=seed,
        batch_size=batch_size,
        accelerator=accelerator,
        checkpoint_key=checkpoint_key,
        split=split,
    )
    try:
        done = run(settings, data or [], masks or [], out, cache=cache, bar=progress_bar, say=typer.echo)
    except KeyboardInterrupt:
        ending.fail("interrupted; the pictures that were done are whole", ending.INTERRUPTED)
    for note in done.notes:
        typer.echo(f"note     {note}", err=True)
    if done.warning:
        typer.secho(f"WARNING  {done.warning}", fg="red", bold=True, err=True)
    for file in done.files:
        typer.echo(f"wrote    {file}")
    typer.echo(f"wrote    {done.outcome}")
    typer.echo(done.outcome.with_suffix(".md").read_text(encoding="utf-8").rstrip())
