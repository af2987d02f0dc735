"""Which image of a folder looks most like a given one?

    python examples/nearest_image.py radiodino-tiny-fp16.onnx scan.dcm folder/

Needs no PyTorch: `pip install 'radiodino[cpu]'`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from radiodino.runtime import Model


def main(model_file: str, image: str, folder: str) -> None:
    """Print the five images of `folder` nearest to `image` by cosine similarity."""
    model = Model.load(model_file)
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    # An iterator gives a generator: a folder of any size in little memory.
    gallery = np.stack(list(model.embed(iter(paths))))
    query = model.embed(image)[0]
    similarity = gallery @ query / np.linalg.norm(gallery, axis=1) / np.linalg.norm(query)
    for index in np.argsort(-similarity)[:5]:
        print(f"{similarity[index]:.4f}  {paths[index]}")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
