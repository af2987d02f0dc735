"""Parity: the model card's own snippet against `Model.embed` on real images, for every variant and precision.

    python -m radiodino.benchmarks.parity --data FOLDER --images 100

The weights are random, and random with query and key weights multiplied so that attention is far from uniform, which
is where an error in it would show. The images are taken evenly from the archives of `FOLDER` (zip files of JPEG or
PNG). Exit status 1 where a cosine is below its bound: 0.999999 for fp32, 0.9995 for fp16.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.table import Table

from radiodino.runtime import console as ending
from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require
from radiodino.runtime.variants import VARIANTS, get_variant

from .model_card import card_transform
from .print_table import print_table

BOUNDS = {"fp32": 0.999999, "fp16": 0.9995}
SHARPNESS = {"random": None, "random, sharp attention": 6.0}
"""What queries and keys of `tiny` are multiplied by; the other variants' so that their logits (sd 3) are as large."""


def main(
    data: Annotated[Path, typer.Option(help="Folder with zip archives of JPEG or PNG images.")],
    images: Annotated[int, typer.Option(help="How many images.")] = 100,
    variants: Annotated[str, typer.Option(help="Comma-separated; by default all.")] = ",".join(VARIANTS),
) -> None:
    """Compare embeddings of exported files with the model card's snippet."""
    require("dev", "torch", "timm", "torchvision", "onnx", "safetensors")
    import safetensors.torch
    import torch

    from radiodino.export.pipeline import export_model
    from radiodino.export.settings import ExportSettings
    from radiodino.export.verify import cosines
    from radiodino.runtime import Model
    from radiodino.train.weights.load import load_weights, sharpen_attention

    chosen = list(real_images(data, images))
    card = card_transform()
    tensors = [card(image.convert("RGB")).unsqueeze(0) for image in chosen]
    table = Table("variant", "weights", "file", "computes in", "smallest cosine", "mean cosine")
    failed = False
    for name in variants.split(","):
        variant = get_variant(name.strip())
        for weights, factor in SHARPNESS.items():
            with tempfile.TemporaryDirectory() as folder:
                backbone, _ = load_weights(variant, "random")
                if factor:
                    sharpen_attention(backbone, factor * (192 / variant.embedding_size) ** 0.5, layer_scale=0.5)
                safetensors.torch.save_file(backbone.state_dict(), f"{folder}/weights.safetensors")
                with torch.inference_mode():
                    wanted = np.concatenate([backbone(tensor).numpy() for tensor in tensors])
                for precision, bound in BOUNDS.items():
                    path = Path(folder) / f"{precision}.onnx"
                    export_model(
                        ExportSettings(
                            variant, weights=f"{folder}/weights.safetensors", precision=precision, output=path
                        )
                    )
                    model = Model.load(path, cache=False)
                    found = cosines(model.embed(chosen), wanted)
                    failed |= bool(found.min() < bound)
                    arithmetic = f"{model.info.compute} ({model.info.backend})"
                    row = (f"{found.min():.7f}", f"{found.mean():.7f}")
                    table.add_row(variant.name, weights, precision, arithmetic, *row)
    print_table(table)
    if failed:
        ending.fail("a cosine is below its bound", 1)


def real_images(data: Path, count: int) -> Iterator[Image.Image]:
    """`count` images taken evenly from the zip archives in `data`.

    Raises:
        InputError: where there are none.
    """
    archives = sorted(data.glob("*.zip"))
    if not archives:
        raise InputError(f"there is no zip archive of images in {data}: name another folder with --data")
    for index, path in enumerate(archives):
        share = count // len(archives) + (index < count % len(archives))
        with zipfile.ZipFile(path) as archive:
            members = sorted(
                m for m in archive.namelist() if m.endswith((".jpg", ".jpeg", ".png")) and "masks" not in m
            )
            for member in members[:: max(1, len(members) // max(1, share))][:share]:
                with archive.open(member) as stream:
                    yield Image.open(stream).copy()


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    ending.run(app)
