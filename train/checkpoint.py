"""The backbone in a local checkpoint, whatever saved it: timm, the authors' code, or official DINO and DINOv2."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radiodino.runtime.errors import WeightsError
from radiodino.runtime.variants import VARIANTS, Variant

from .backbone import entry_shapes, require
from .position_table import resize_position_table

if TYPE_CHECKING:
    from torch import Tensor

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")

_ROLES = ("teacher", "student")
_WRAPPERS = frozenset(
    {*_ROLES, "model", "model_ema", "state_dict", "state_dict_ema", "backbone", "module", "_orig_mod"}
)
_DEEPEST = 4  # wrappers one inside the other; a pickle may even contain itself

_ANCHORS = ("patch_embed.proj.weight", "cls_token", "pos_embed")  # what tells a DINO or timm vision transformer
_HEAD = re.compile(r"(head|fc|dino_head|ibot_head|projection_head\w*|mask_token)(\.|$)")
_LOSS = re.compile(r"\w*loss\.")  # DINO and DINOv2 keep the centre of their teacher there
_CHUNKED = re.compile(r"blocks\.\d+\.(\d+\..+)")
_REGISTERS = ("register_tokens", "reg_token")


def find_checkpoint(path: Path) -> Path:
    """The checkpoint file that `path` names: itself, or the only one in the folder.

    Raises:
        WeightsError: where nothing is there, or the folder holds no checkpoint or several.
    """
    try:
        if not path.exists():
            raise WeightsError(f"there is no file or folder {path}: give the path of a checkpoint")
        if not path.is_dir():
            return path
        found = sorted(
            file
            for file in path.iterdir()
            if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
    except (OSError, ValueError) as error:  # a name that is too long, or no name at all, among others
        raise WeightsError(
            f"cannot look up {str(path)!r}: {_line(str(error))}; give the path of a checkpoint"
        ) from error
    if len(found) == 1:
        return found[0]
    if not found:
        raise WeightsError(f"the folder {path} holds no checkpoint ({', '.join('*' + s for s in _SUFFIXES)}): name one")
    raise WeightsError(
        f"the folder {path} holds {len(found)} checkpoints ({_some(file.name for file in found)}), expected one: "
        "name the file"
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint file holds, read without running any code in it; tensors arrive on the CPU.

    The content decides how it is read, not the suffix. Of the classes that a pickle may name beside PyTorch's own,
    `argparse.Namespace` alone is built (DINO saves its arguments as one) and numpy's scalars (its learning rates) are
    skipped; any other is refused.

    Args:
        path: a safetensors file, a file of `torch.save`, or a folder with exactly one such file.

    Raises:
        WeightsError: where there is no such file, or it is empty, truncated, damaged, no checkpoint, or refused.
        MissingExtraError: where torch or safetensors is not installed.
    """
    file = find_checkpoint(path)
    try:
        with file.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise WeightsError(f"cannot read {file}: {error.strerror or error}") from error
    if not head:
        raise WeightsError(f"{file.name} is empty (0 bytes): copy or download it again")
    if head[8:9] == b"{":  # the length of a JSON header in 8 bytes, then the header
        raw: object = _read_safetensors(file)
    elif head.startswith((b"PK\x03\x04", b"\x80")):  # torch.save: a zip archive since 1.6, bare pickles before
        raw = _read_pickle(file)
    else:
        raise WeightsError(f"{file.name} {_what_instead(head)}: expected a safetensors file or one of torch.save")
    if not isinstance(raw, dict):
        raise WeightsError(
            f"{file.name} holds an object of type {type(raw).__name__}, expected a dictionary of tensors: save the "
            "state dict of the model"
        )
    return raw


def _what_instead(head: bytes) -> str:
    if head.lstrip().startswith(b"<"):
        return "is a web page, not weights (a download that was answered with a page)"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the weights themselves (run  git lfs pull)"
    return "is damaged or no checkpoint"


def _read_safetensors(file: Path) -> object:
    require("safetensors", "torch")
    from safetensors.torch import load_file

    try:
        return load_file(file, device="cpu")
    except Exception as error:  # a damaged file can end in any exception of its reader
        raise WeightsError(
            f"{file.name} is a damaged or truncated safetensors file ({_line(str(error))}): copy or download it again"
        ) from error


class _Skipped:
    """Stands in for a numpy scalar, so that no code of numpy is reached from a pickle; keeps nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_SKIPPED = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")


def _read_pickle(file: Path) -> object:
    require("torch")
    import torch

    try:
        # An open file, because the reader would choose by the suffix of a path.
        with (
            file.open("rb") as stream,
            torch.serialization.safe_globals([Namespace, *((_Skipped, name) for name in _SKIPPED)]),
        ):
            loaded: object = torch.load(stream, map_location="cpu", weights_only=True)
            return loaded
    except Exception as error:  # as above
        refused = re.search(r"(?:GLOBAL|Unsupported class) ([\w.]+)", str(error))
        if refused is not None:
            raise WeightsError(
                f"{file.name} is refused, because it asks for {refused[1]} to be run while it is read, expected "
                "tensors and plain values only: where you trust it, save its state dict alone"
            ) from error
        reason = re.split(r"In PyTorch 2\.6|Check the documentation", str(error).rpartition("Unpickler error:")[2])[0]
        raise WeightsError(
            f"{file.name} is damaged, truncated or no checkpoint of tensors and plain values "
            f"({_line(reason) or type(error).__name__}): copy or save it again"
        ) from error


def backbone_state(
    raw: dict[str, Any],
    variant: Variant,
    *,
    image_size: int = 224,
    checkpoint_key: str | None = None,
    source: str = "the checkpoint",
) -> tuple[dict[str, Tensor], str]:
    """The backbone of `variant` in what `read_checkpoint` returned, named and shaped for `build_backbone`.

    The backbone is looked for at the top level and under ``teacher``, ``student``, ``model``, ``state_dict``, with the
    prefixes that wrappers leave (``module.``, ``backbone.``, ``_orig_mod.``, ``teacher.``, ...). A teacher is
    preferred, as DINO evaluates the teacher; any other choice among several is an error. Heads and the mask token are
    left out, DINOv2's chunked blocks renumbered, and the position table is resized with
    `variant.position_interpolation` where its grid is not that of `image_size`, otherwise kept bit for bit.

    Args:
        raw: the checkpoint's dictionary.
        variant: which variant it must be.
        image_size: side of the input in pixels, a multiple of the variant's patch.
        checkpoint_key: take the backbone under this key (``student``, for example) and no other.
        source: what to call the checkpoint in messages.

    Returns:
        The state dict, float32 on the CPU, to be loaded strictly; and a phrase that says what was chosen and changed,
        for the record, such as ``teacher, prefix backbone.; without head``.

    Raises:
        WeightsError: where there is no backbone or no single one, or it is another variant's, lacks entries, has
            unknown ones, wrong shapes or types, or values that are not finite.
        InputError: where the size is not a multiple of the patch.
    """
    import torch

    shapes = entry_shapes(variant, image_size)
    found = _choose(raw, checkpoint_key, source)
    state, dropped = _backbone_entries(found, variant, source)
    _check_variant(state, variant, source)
    _check_entries(state, shapes, variant, source)

    notes = [found.place]
    if dropped:
        notes.append(f"without {', '.join(dropped)}")
    stored = sorted({str(value.dtype).removeprefix("torch.") for value in state.values()} - {"float32"})
    if stored:
        notes.append(f"{' and '.join(stored)} converted to float32")
    state = {name: state[name].detach().to(torch.float32).contiguous() for name in shapes}
    for name, value in state.items():
        wrong = int((~torch.isfinite(value)).sum())
        if wrong:
            raise WeightsError(
                f"{source}: {wrong} of the {value.numel()} values of '{name}' are not finite in float32, expected "
                "finite weights: its training diverged or the file is damaged, use another checkpoint"
            )
    before = state["pos_embed"].shape[1]
    state["pos_embed"] = resize_position_table(
        state["pos_embed"], variant.grid(image_size), variant.position_interpolation
    )
    if state["pos_embed"].shape[1] != before:
        grids = [int((entries - 1) ** 0.5 + 0.5) for entries in (before, state["pos_embed"].shape[1])]
        notes.append(
            f"position table resized from {grids[0]}x{grids[0]} to {grids[1]}x{grids[1]} "
            f"({variant.position_interpolation})"
        )
    return state, "; ".join(notes)


@dataclass(frozen=True)
class _Backbone:
    """A backbone found in a checkpoint: the entries of one dictionary that share a prefix."""

    path: tuple[str, ...]
    """The dictionaries it lies in, the outermost first."""
    prefix: str
    """What its names begin with, either empty or with a dot at the end."""
    entries: dict[str, Tensor]
    """All tensors of the innermost dictionary, the backbone's among them."""

    @property
    def words(self) -> tuple[str, ...]:
        return self.path + tuple(self.prefix.split(".")[:-1])

    @property
    def role(self) -> str | None:
        return _role(self.words)

    @property
    def place(self) -> str:
        return f"{'.'.join(self.path) or 'top level'}, {f'prefix {self.prefix}' if self.prefix else 'no prefix'}"


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


def _choose(raw: dict[str, Any], checkpoint_key: str | None, source: str) -> _Backbone:
    backbones: list[_Backbone] = []
    names: list[str] = []
    seen: set[str] = set()
    for path, entries in _dictionaries(raw):
        prefixes = {
            name.removesuffix(anchor) for name in entries for anchor in _ANCHORS if f".{name}".endswith(f".{anchor}")
        }
        backbones += [
            _Backbone(path, prefix, entries) for prefix in sorted(prefixes) if set(prefix.split(".")[:-1]) <= _WRAPPERS
        ]
        names += entries
        seen.update(path, *map(_wrappers_of, entries))

    wanted = checkpoint_key or ("teacher" if "teacher" in seen else None)
    if wanted in _ROLES:
        matching = [backbone for backbone in backbones if backbone.role == wanted]
    else:
        matching = [backbone for backbone in backbones if wanted is None or wanted in backbone.words]
    if len(matching) == 1:
        return matching[0]
    places = "; ".join(backbone.place for backbone in matching or backbones)
    if matching:
        raise WeightsError(
            f"{source} holds {len(matching)} backbones ({places}), expected one: choose with --checkpoint-key"
        )
    if backbones:
        raise WeightsError(f"{source} holds no backbone under '{wanted}', found {places}: choose with --checkpoint-key")
    raise WeightsError(
        f"{source} holds no vision transformer with the names of DINO or timm, expected entries such as "
        f"{', '.join(_ANCHORS)}, found {_some(names) if names else 'no tensors'}: give a checkpoint of Radio DINO"
    )


def _wrappers_of(name: str) -> tuple[str, ...]:
    """The wrappers that an entry's name begins with: teacher and backbone of 'teacher.backbone.cls_token'."""
    return tuple(takewhile(_WRAPPERS.__contains__, name.split(".")))


def _role(words: tuple[str, ...]) -> str | None:
    """Whose entry it is: the innermost of teacher and student, since authors' checkpoints nest both in a teacher."""
    return next((word for word in reversed(words) if word in _ROLES), None)


def _backbone_entries(found: _Backbone, variant: Variant, source: str) -> tuple[dict[str, Tensor], list[str]]:
    """The entries of the backbone as timm names them, and which parts beside it were left out."""
    state: dict[str, Tensor] = {}
    dropped: set[str] = set()
    unknown: list[str] = []
    for name, value in found.entries.items():
        inside = name.startswith(found.prefix)
        wrappers = _wrappers_of(name)
        if not inside and _role(found.path + wrappers) != found.role:
            continue  # of the student where the teacher was chosen, or of the training around both
        bare = name.removeprefix(found.prefix if inside else "".join(f"{word}." for word in wrappers))
        if head := _HEAD.match(bare):
            dropped.add(head[1])
        elif inside:
            chunked = _CHUNKED.fullmatch(bare)
            renamed = f"blocks.{chunked[1]}" if chunked else bare
            if renamed in state:
                raise WeightsError(
                    f"{source} holds '{renamed}' a second time as '{name}', expected each block once: its blocks are "
                    "not numbered as DINOv2 does, save it without chunks"
                )
            state[renamed] = value
        elif not _LOSS.match(bare):
            unknown.append(name)
    if unknown:
        raise WeightsError(_unexpected(source, variant, unknown))
    return state, sorted(dropped)


def _check_variant(state: dict[str, Tensor], variant: Variant, source: str) -> None:
    """See that the weights are of `variant` as far as its table tells, and say of which they are if not."""
    registers = next((name for name in _REGISTERS if name in state), None)
    if registers:
        raise WeightsError(
            f"{source} has register tokens ('{registers}', shape {tuple(state[registers].shape)}), which no variant "
            "has: use weights that were trained without registers"
        )
    projection = state.get("patch_embed.proj.weight")
    if projection is None or projection.ndim != 4:
        return  # named among the missing or misshapen entries
    blocks = [int(match[1]) for name in state if (match := re.match(r"blocks\.(\d+)\.", name))]
    found = _Architecture(
        projection.shape[0], projection.shape[3], 1 + max(blocks, default=-1), any(".ls1." in name for name in state)
    )
    wanted = _Architecture.of(variant)
    if found == wanted:
        return
    fits = next((other.name for other in VARIANTS.values() if _Architecture.of(other) == found), None)
    raise WeightsError(
        f"{source}: these weights are of '{fits}' ({found.beside(wanted)}), not '{variant.name}' "
        f"({wanted.beside(found)}): use --variant {fits} or other weights"
        if fits
        else f"{source}: these weights ({found.beside(wanted)}) are of no variant of the family, expected "
        f"'{variant.name}' ({wanted.beside(found)}): use other weights"
    )


@dataclass(frozen=True)
class _Architecture:
    """What the shapes of a state dict tell of the architecture (the number of heads leaves no trace in them)."""

    embedding_size: int
    patch: int
    depth: int
    layer_scale: bool

    @classmethod
    def of(cls, variant: Variant) -> _Architecture:
        return cls(variant.embedding_size, variant.patch, variant.depth, variant.layer_scale)

    def beside(self, other: _Architecture) -> str:
        """Its numbers in words, depth and LayerScale where they differ from the other's."""
        words = [f"embedding {self.embedding_size}", f"patch {self.patch}"]
        if self.depth != other.depth:
            words.append(f"depth {self.depth}")
        if self.layer_scale != other.layer_scale:
            words.append("with LayerScale" if self.layer_scale else "without LayerScale")
        return ", ".join(words)


def _check_entries(state: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], variant: Variant, source: str) -> None:
    """See that every entry of the architecture is there, no other is, and each has its shape and is floating point."""
    import torch

    missing = [name for name in shapes if name not in state]
    if missing:
        raise WeightsError(
            f"{source} lacks {len(missing)} of the {len(shapes)} entries of '{variant.name}' ({_some(missing)}): the "
            "checkpoint is incomplete or of another architecture, use another one"
        )
    unknown = [name for name in state if name not in shapes]
    if unknown:
        raise WeightsError(_unexpected(source, variant, unknown))
    for name, shape in shapes.items():
        value = state[name]
        found = tuple(value.shape)
        if name == "pos_embed" and len(found) == 3:
            shape = (shape[0], found[1], shape[2])  # its grid may be another one, to be resized
        if found != shape:
            raise WeightsError(
                f"{source}: '{name}' has the shape {found}, '{variant.name}' needs {shape}: use weights of "
                f"'{variant.name}'"
            )
        if value.layout != torch.strided or value.dtype not in (
            torch.float32,
            torch.float16,
            torch.bfloat16,
            torch.float64,
        ):
            raise WeightsError(
                f"{source}: '{name}' is stored as {str(value.dtype).removeprefix('torch.')} "
                f"({str(value.layout).removeprefix('torch.')}), expected dense float32, float16, bfloat16 or float64: "
                "use weights that are not quantised or sparse"
            )


def _unexpected(source: str, variant: Variant, names: list[str]) -> str:
    return (
        f"{source} has {len(names)} entries that '{variant.name}' does not have ({_some(names)}): the checkpoint is of "
        "another architecture, use another one"
    )


def _some(names: Iterable[str], most: int = 3) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def _line(text: str) -> str:
    """The beginning of a foreign message, on one line."""
    return " ".join(text.split())[:160]
