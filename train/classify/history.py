"""How far the training of one fold is, with what is needed to go on exactly; kept on disk after every epoch.

Everything random is a function of the seed, the fold and the epoch, so no random state belongs to it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from radiodino.runtime.atomic import atomic_path

_STATE, _LOG = "training.state", "log.csv"  # no suffix of a checkpoint: the fold's folder shall hold one of these only
_COLUMNS = ("epoch", "learning_rate", "train_loss", "val_loss", "val_accuracy", "images_per_second", "waiting_share")


@dataclass
class History:
    """The epochs so far, and the best of them."""

    rows: list[dict[str, float]] = field(default_factory=list)
    """One per epoch, see `_COLUMNS`; epochs count from 1."""
    best_epoch: int = 0
    best_loss: float = math.inf
    """The lowest validation loss, that of `best_epoch`."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The network's state after `best_epoch`, on the CPU."""

    def add(self, row: dict[str, float], network: nn.Module) -> None:
        """Note an epoch; its weights are kept where the validation loss is lower than ever before."""
        self.rows.append(row)
        if row["val_loss"] < self.best_loss:
            self.best_epoch, self.best_loss = len(self.rows), row["val_loss"]
            self.best = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}

    def goes_on(self, epochs: int, patience: int) -> bool:
        """Whether another epoch follows."""
        return len(self.rows) < epochs and len(self.rows) - self.best_epoch < patience

    def save(self, folder: Path, network: nn.Module, optimiser: Any) -> None:
        """Write log and state; the state's appearance is what makes an epoch count.

        Raises:
            OutputError: where the disk is full or read-only.
        """
        with (
            atomic_path(folder / _LOG, overwrite=True) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.writer(stream)
            writer.writerow(_COLUMNS)
            writer.writerows([f"{row[name]:.8g}" for name in _COLUMNS] for row in self.rows)
        state = {
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "rows": self.rows,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "best": self.best,
        }
        with atomic_path(folder / _STATE, overwrite=True) as temporary:
            torch.save(state, temporary)

    @classmethod
    def restored(cls, folder: Path, network: nn.Module, optimiser: Any) -> History:
        """What `save` left in `folder`, network and optimiser included; an empty history where it left nothing."""
        if not (folder / _STATE).exists():
            return cls()
        state: Mapping[str, Any] = torch.load(folder / _STATE, map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"], strict=True)
        optimiser.load_state_dict(state["optimiser"])
        return cls(state["rows"], state["best_epoch"], state["best_loss"], state["best"])


def forget(folder: Path) -> None:
    """Remove the state, which a finished fold needs no more."""
    (folder / _STATE).unlink(missing_ok=True)
