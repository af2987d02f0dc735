"""Attention maps, patch colours and the map of a data set, from images to a file."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from ..data.open_images import open_images
from ..features.backbone import open_backbone
from ..features.extract import extract_features
from ..features.open import SourceOptions
from ..segment.tokens import patch_tokens
from ..weights.load import WeightsSource
from .attention_maps import cls_attention, keep_mass
from .pca import patch_colours
from .pictures import attention_picture, pca_picture, umap_picture
from .umap_map import check_count, umap_coordinates, write_coordinates
from .work import OUTLINES, Work


def draw_attention(work: Work) -> dict[str, Any]:
    """The attention maps (paper, section 6.3); what is recorded of them."""
    settings, inputs = work.settings, work.data or work.masks
    shown, backbone = work.shown(settings.fine_size, inputs), work.backbone(settings.fine_size)
    maps = torch.cat([cls_attention(backbone, batch).cpu() for batch in work.batches("attention", shown)])
    mass = settings.attention_mass
    kept = None if mass is None else keep_mass(maps, mass).numpy()
    note = (
        "Share of the CLS query's attention that each patch gets, by head; what is missing to 100 % goes to the CLS "
        "token itself. One square-root colour scale per row, cut at its 99th percentile. The mean of the heads is laid "
        "over the image."
    )
    if mass is not None:
        note += f" Of each head the strongest patches that together hold {100 * mass:g} % of its map are shown."
    note += OUTLINES if shown.masks is not None else ""
    heading = work.heading("Attention of the CLS token in the last block", settings.fine_size, inputs, note)
    file = work.save("attention", attention_picture(heading, shown, maps.numpy(), kept))
    return {
        "file": file,
        "image_size": settings.fine_size,
        "heads": maps.shape[1],
        "mass": mass,
        "images": [
            {"name": name, "label": label, "attention_to_patches": [round(float(one), 6) for one in sums]}
            for name, label, sums in zip(shown.names, shown.labels, maps.sum((2, 3)), strict=True)
        ],
    }


def draw_pca(work: Work) -> dict[str, Any]:
    """Patch tokens as colours (paper, section 6.1); what is recorded of them."""
    settings, inputs = work.settings, work.data or work.masks
    shown, backbone = work.shown(settings.fine_size, inputs), work.backbone(settings.fine_size)
    with torch.inference_mode():
        tokens = torch.cat([patch_tokens(backbone, batch).cpu() for batch in work.batches("patch tokens", shown)])
    found = patch_colours(tokens.numpy(), foreground=settings.pca_foreground, threshold=settings.pca_threshold)
    shares = ", ".join(f"{100 * share:.0f} %" for share in found.explained)
    note = (
        "The first three principal components of the patch tokens of all images shown, as red, green and blue; they "
        f"explain {shares} of the variance. Like colours are like features, in these images together."
    )
    if settings.pca_foreground != "all":
        side = "above" if settings.pca_foreground == "high" else "below"
        note += f" Black: background, its first component not {side} {settings.pca_threshold:g} of its range."
    note += OUTLINES if shown.masks is not None else ""
    heading = work.heading("Patch tokens as colours", settings.fine_size, inputs, note)
    return {
        "file": work.save("pca", pca_picture(heading, shown, found.rgb)),
        "image_size": settings.fine_size,
        "foreground": settings.pca_foreground,
        "explained": list(found.explained),
        "share_foreground": float(found.foreground.mean()),
        "images": [{"name": name, "label": label} for name, label in zip(shown.names, shown.labels, strict=True)],
    }


def draw_umap(work: Work) -> dict[str, Any]:
    """The map of a data set and its coordinates (paper, section 6.2); what is recorded of them."""
    settings, inputs = work.settings, work.data or work.masks
    size = settings.embedding_size
    with work.bar("decoding") as progress:
        images = open_images(inputs, size, split=settings.split, cache=work.cache, progress=progress)
    work.unreadable |= images.unreadable
    work.remarks |= dict.fromkeys(images.remarks)
    check_count(len(images), settings.umap_neighbours)
    options = SourceOptions(
        variant=settings.variant,
        image_size=size,
        accelerator=settings.accelerator,
        seed=settings.seed,
        checkpoint_key=settings.checkpoint_key,
    )
    source = open_backbone(settings.weights, options)
    about = source.describe()
    stated = ("kind", "source", "sha256", "licence", "detail", "notice")
    work.sources.append(WeightsSource(*(about[name] for name in stated)))
    with work.bar("embeddings") as progress:
        vectors = extract_features(source, images, batch_size=settings.batch_size, progress=progress)
    found = umap_coordinates(
        vectors,
        neighbours=settings.umap_neighbours,
        min_dist=settings.umap_min_dist,
        metric=settings.umap_metric,
        seed=settings.seed,
    )
    note = (
        f"UMAP, {settings.umap_neighbours} neighbours, min_dist {settings.umap_min_dist:g}, {settings.umap_metric}, "
        f"seed {settings.seed}, {len(images)} images. Near points are like images; axes, distances and sizes of gaps "
        "mean nothing."
    )
    table = work.out / "umap.csv"
    write_coordinates(table, found, images.names, images.labels)
    work.files.append(table)
    heading = work.heading("UMAP of the CLS embeddings", size, inputs, note)
    return {
        "file": work.save("umap", umap_picture(heading, found, images.labels)),
        "coordinates": table.name,
        "image_size": size,
        "images": len(images),
        "classes": dict(sorted(Counter(images.labels).items())),
    }
