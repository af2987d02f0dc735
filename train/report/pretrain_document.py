"""What the report needs of a pretraining run's ``recipe.json``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PretrainHead:
    """The projection head."""

    out_dim: int


@dataclass(frozen=True)
class PretrainRecipe:
    """See `radiodino.train.pretrain.recipe.Recipe`."""

    method: str
    variant: str
    epochs: int
    batch_size: int
    head: PretrainHead


@dataclass(frozen=True)
class PretrainDocument:
    """``recipe.json`` of a pretraining run."""

    recipe: PretrainRecipe
    inputs: tuple[str, ...]
    versions: dict[str, str]
