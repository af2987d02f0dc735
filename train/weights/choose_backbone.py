"""Which dictionary of a checkpoint holds the backbone, and behind which prefix, whatever saved it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from radiodino.runtime.errors import WeightsError

from .wording import some_of

if TYPE_CHECKING:
    from torch import Tensor

_ROLES = ("teacher", "student")
_WRAPPERS = frozenset(
    {*_ROLES, "model", "model_ema", "state_dict", "state_dict_ema", "backbone", "module", "_orig_mod"}
)
_DEEPEST = 4  # wrappers one inside the other; a pickle may even contain itself

_ANCHORS = ("patch_embed.proj.weight", "cls_token", "pos_embed")  # what tells a DINO or timm vision transformer


@dataclass(frozen=True)
class FoundBackbone:
    """A backbone found in a checkpoint: the entries of one dictionary that share a prefix."""

    path: tuple[str, ...]
    """The dictionaries it lies in, the outermost first."""
    prefix: str
    """What its names begin with, either empty or with a dot at the end."""
    entries: dict[str, Tensor]
    """All tensors of the innermost dictionary, the backbone's among them."""

    @property
    def words(self) -> tuple[str, ...]:
        """The wrappers around it: those of the path, then those of the prefix."""
        return self.path + tuple(self.prefix.split(".")[:-1])

    @property
    def role(self) -> str | None:
        """``teacher``, ``student`` or, where neither is named, None."""
        return role_of(self.words)

    @property
    def place(self) -> str:
        """Where it is, for messages: ``teacher, prefix backbone.``."""
        return f"{'.'.join(self.path) or 'top level'}, {f'prefix {self.prefix}' if self.prefix else 'no prefix'}"


def choose_backbone(raw: dict[str, Any], checkpoint_key: str | None, source: str) -> FoundBackbone:
    """The one backbone in a checkpoint that is asked for.

    Args:
        raw: the checkpoint's dictionary.
        checkpoint_key: the wrapper it must lie in; None takes the teacher where there is one, else the only backbone.
        source: what to call the checkpoint in messages.

    Raises:
        WeightsError: where there is no backbone, none under that key, or several.
    """
    dictionaries = list(_dictionaries(raw))
    backbones = [backbone for path, entries in dictionaries for backbone in _backbones_in(path, entries)]
    wrappers = {word for path, _ in dictionaries for word in path}  # of empty dictionaries too
    wrappers |= {word for _, entries in dictionaries for name in entries for word in wrappers_of(name)}

    wanted = checkpoint_key or ("teacher" if "teacher" in wrappers else None)
    if wanted is None:
        matching = backbones
    elif wanted in _ROLES:
        matching = [backbone for backbone in backbones if backbone.role == wanted]
    else:
        matching = [backbone for backbone in backbones if wanted in backbone.words]
    if len(matching) == 1:
        return matching[0]

    places = "; ".join(backbone.place for backbone in matching or backbones)
    if matching:
        raise WeightsError(
            f"{source} holds {len(matching)} backbones ({places}), expected one: choose with --checkpoint-key"
        )
    if backbones:
        raise WeightsError(f"{source} holds no backbone under '{wanted}', found {places}: choose with --checkpoint-key")
    names = [name for _, entries in dictionaries for name in entries]
    raise WeightsError(
        f"{source} holds no vision transformer with the names of DINO or timm, expected entries such as "
        f"{', '.join(_ANCHORS)}, found {some_of(names) if names else 'no tensors'}: give a checkpoint of Radio DINO"
    )


def wrappers_of(name: str) -> tuple[str, ...]:
    """The wrappers that an entry's name begins with: teacher and backbone of ``teacher.backbone.cls_token``."""
    return tuple(takewhile(_WRAPPERS.__contains__, name.split(".")))


def role_of(words: tuple[str, ...]) -> str | None:
    """Whose entry it is: the innermost of teacher and student, since authors' checkpoints nest both in a teacher."""
    return next((word for word in reversed(words) if word in _ROLES), None)


def _dictionaries(
    raw: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """The dictionaries in a checkpoint that may hold a backbone: where they are, and their tensors."""
    import torch

    yield path, {name: value for name, value in raw.items() if isinstance(name, str) and torch.is_tensor(value)}
    if len(path) < _DEEPEST:
        for name, value in raw.items():
            if name in _WRAPPERS and isinstance(value, dict):
                yield from _dictionaries(value, (*path, name))


def _backbones_in(path: tuple[str, ...], entries: dict[str, Tensor]) -> list[FoundBackbone]:
    """The backbones among the tensors of one dictionary, which known wrappers alone may precede."""
    prefixes = {
        name.removesuffix(anchor) for name in entries for anchor in _ANCHORS if f".{name}".endswith(f".{anchor}")
    }
    return [
        FoundBackbone(path, prefix, entries) for prefix in sorted(prefixes) if set(prefix.split(".")[:-1]) <= _WRAPPERS
    ]
