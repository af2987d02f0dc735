"""Pack the demonstration weights: from a pretraining run to the files that travel with this package.

For a maintainer; it is no part of an export:  python -m radiodino.export.demo_weights RUN --out export/demo

The folder holds the backbone and the heads in fp16 (safetensors), ``demo.json`` (their digests and how they came to
be), and ``MODEL_CARD.md``, which says the same to people. The same run gives the same bytes.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radiodino.runtime import console as ending
from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError, OutputError, WeightsError
from radiodino.runtime.extras import require
from radiodino.runtime.folder import make_folder
from radiodino.runtime.notice import notice_of
from radiodino.runtime.typed_document import DocumentError, from_document
from radiodino.runtime.variants import Variant, get_variant
from radiodino.train.weights.backbone_state import backbone_state
from radiodino.train.weights.demonstration import RECORD, About, BundledFile, Demonstration
from radiodino.train.weights.read_checkpoint import find_checkpoint, read_checkpoint

from .demo_card import demo_card

if TYPE_CHECKING:
    from torch import Tensor

LIMIT = 15_000_000
"""Bytes of all files together: they are in every installation."""
CARD = "MODEL_CARD.md"
_IMAGE_SIZE = 224
_LOSS_ENTRIES = 40


def pack_demo(run: Path, out: Path, about: About, heads: Mapping[str, Path] | None = None) -> Demonstration:
    """Write the demonstration weights of a pretraining run, ready to be shipped.

    Args:
        run: the folder of a run of `radiodino-train pretrain`, finished or not; its teacher is taken, with the position
            table resized to 224 px as the variant does it.
        out: the folder to write; made where it is not there yet. What is there of the same names is replaced.
        about: what the run cannot know.
        heads: trained on that backbone: name of a file in `out`, ending in ``.safetensors`` → a safetensors file. Its
            floating-point tensors become fp16; all others, and its metadata, stay as they are.

    Returns:
        The record that was written.

    Raises:
        WeightsError: the run holds no usable backbone, or a value is beyond the range of fp16.
        InputError: the run was not made by this package, or a head has an impossible name.
        OutputError: the files are larger than `LIMIT` together, `out` holds weights of another packing, or cannot be
            written.
    """
    heads = dict(heads or {})
    raw = read_checkpoint(run)
    recipe = raw.get("recipe")
    if not isinstance(recipe, dict) or not isinstance(raw.get("step"), int):
        raise InputError(f"{run} is no run of radiodino-train pretrain: its checkpoint states no recipe and no step")
    variant, steps = get_variant(recipe["variant"]), int(raw["step"])
    backbone = f"{variant.name}.safetensors"
    _check_names([backbone, *heads])

    contents = {backbone: _packed_backbone(raw, variant, find_checkpoint(run).name)}
    contents |= {name: _packed_head(file) for name, file in heads.items()}
    record = Demonstration(
        **{name: getattr(about, name) for name in About.__dataclass_fields__},
        variant=variant.name,
        backbone=backbone,
        files={
            name: BundledFile(
                holds="backbone" if name == backbone else "head", sha256=sha256(data).hexdigest(), size=len(data)
            )
            for name, data in contents.items()
        },
        seed=recipe["seed"],
        steps=steps,
        samples=steps * recipe["batch_size"],
        recipe=recipe,
        versions=_versions(run),
        loss=_loss(run, steps, recipe["batch_size"]),
    )
    _write(out, record, contents)
    return record


def read_about(path: Path) -> About:
    """What a maintainer says of the weights, from a JSON file.

    Raises:
        InputError: where it cannot be read, or an entry is missing, unknown or of the wrong type.
    """
    try:
        return from_document(About, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, DocumentError) as error:
        fields = ", ".join(About.__dataclass_fields__)
        raise InputError(f"cannot read {path} ({error}): it must be a JSON object of {fields}") from error


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors") or names.count(name) > 1:
            raise InputError(f"'{name}' can be no head's name: give one that ends in .safetensors and is not taken")


def _packed_backbone(raw: dict[str, Any], variant: Variant, source: str) -> bytes:
    from safetensors.torch import save

    state, _ = backbone_state(raw, variant, image_size=_IMAGE_SIZE, source=source)
    # One entry only: where there are several, their order in the file is not defined.
    told = json.dumps({"notice": notice_of("demo"), "variant": variant.name}, sort_keys=True)
    return save(_half(state, source), metadata={"radiodino": told})


def _packed_head(file: Path) -> bytes:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save

    try:
        with safe_open(file, framework="pt") as opened:
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # it is no dictionary
            metadata: dict[str, str] | None = opened.metadata()
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read the head {file} ({error}): give a safetensors file") from error
    if metadata is not None and len(metadata) > 1:
        raise WeightsError(
            f"the head {file} has {len(metadata)} entries of metadata ({', '.join(sorted(metadata))}), whose order in "
            "the file would not be defined: put them into one, as JSON"
        )
    return save(_half(state, file.name), metadata=metadata)


def _half(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    import torch

    half = {}
    for name in sorted(state):
        value = state[name].contiguous()
        half[name] = value.to(torch.float16) if value.is_floating_point() else value
        if not torch.isfinite(half[name]).all():
            raise WeightsError(f"{source}: '{name}' holds values beyond ±65504 or not finite, which fp16 cannot hold")
    return half


def _versions(run: Path) -> dict[str, str]:
    path = run / "recipe.json"
    try:
        return {
            name: str(version) for name, version in json.loads(path.read_text(encoding="utf-8"))["versions"].items()
        }
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"cannot read the versions in {path} ({error}): name the folder of a pretraining run"
        ) from error


def _loss(run: Path, steps: int, batch_size: int) -> tuple[tuple[int, float], ...]:
    """The loss over the run, in at most `_LOSS_ENTRIES` means."""
    path = run / "log.csv"
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            losses = [float(row["loss"]) for row in csv.DictReader(stream) if int(row["step"]) < steps]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read the log {path} ({error}): name the folder of a pretraining run") from error
    if len(losses) != steps:
        raise InputError(f"{path} has {len(losses)} of the {steps} steps of the checkpoint: name the folder of one run")
    ends = [round(steps * number / _LOSS_ENTRIES) for number in range(_LOSS_ENTRIES + 1)]
    return tuple(
        (last * batch_size, round(sum(losses[first:last]) / (last - first), 4))
        for first, last in itertools.pairwise(ends)
        if last > first
    )


def _write(out: Path, record: Demonstration, contents: Mapping[str, bytes]) -> None:
    text = json.dumps(asdict(record), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    files = {**contents, CARD: demo_card(record).encode(), RECORD: text.encode()}  # the record last
    total = sum(map(len, files.values()))
    if total > LIMIT:
        raise OutputError(
            f"the demonstration weights take {total:,} bytes, at most {LIMIT:,} may be shipped: leave out heads"
        )
    make_folder(out)
    foreign = sorted({path.name for path in out.iterdir()} - set(files))
    if foreign:
        raise OutputError(f"{out} holds what is no part of this packing ({', '.join(foreign)}): delete it first")
    for name, data in files.items():
        with atomic_path(out / name, overwrite=True) as temporary:
            temporary.write_bytes(data)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def demo_weights(
    run: Annotated[Path, typer.Argument(help="The folder of a run of radiodino-train pretrain.")],
    out: Annotated[Path, typer.Option(help="The folder to write: export/demo of a clone.")],
    about: Annotated[
        Path | None,
        typer.Option(help="JSON: licence, data, machine, commands, measured, remarks; by default about.json in RUN."),
    ] = None,
    head: Annotated[
        list[str] | None, typer.Option(help="NAME.safetensors=FILE: a head trained on this backbone; repeatable.")
    ] = None,
) -> None:
    """Pack the demonstration weights that travel with this package; for maintainers."""
    require("export", "torch", "safetensors")
    heads: dict[str, Path] = {}
    for given in head or []:
        name, equals, file = given.partition("=")
        if not equals or name in heads:
            raise InputError(f"'{given}' is no head, or a second of its name: give NAME.safetensors=FILE")
        heads[name] = Path(file)
    record = pack_demo(run, out, read_about(about or run / "about.json"), heads)
    for name, file_record in record.files.items():
        typer.echo(f"{file_record.sha256}  {file_record.size:>10,}  {out / name}")
    typer.echo(f"{record.samples:,} samples in {record.steps:,} steps; read {out / CARD} before you ship it")


def main() -> None:
    """Entry point of ``python -m radiodino.export.demo_weights``."""
    ending.run(app)


if __name__ == "__main__":
    main()
