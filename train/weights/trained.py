"""The file of a trained network: its weights, and a document that says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from radiodino.runtime.atomic import atomic_path

from .read_checkpoint import find_checkpoint, read_checkpoint


def save_trained(path: Path, network: nn.Module, document: dict[str, Any]) -> None:
    """Write a network; `torch.load(…, weights_only=True)` reads it.

    Args:
        path: in an existing folder; a file there is replaced.
        network: its weights are written as ``model``.
        document: plain dictionaries, lists, strings, numbers and None.

    Raises:
        OutputError: where it cannot be written.
    """
    model = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic_path(path, overwrite=True) as temporary:
        torch.save({"model": model, "document": document}, temporary)


def read_trained(path: Path) -> tuple[object, object, str]:
    """What `save_trained` wrote: the weights, the document, and the name of the file; None of what is not there.

    Args:
        path: the file, or a folder that holds no other checkpoint.

    Raises:
        WeightsError: where there is no such file, or it is damaged.
        MemoryError: where it is larger than the memory that is free.
    """
    file = find_checkpoint(path)
    raw = read_checkpoint(file)
    return raw.get("model"), raw.get("document"), file.name
