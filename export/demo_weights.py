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
from radiodino.train.weights.demonstration_head import HEAD_FILES
from radiodino.train.weights.descent import METADATA
from radiodino.train.weights.read_checkpoint import find_checkpoint, read_checkpoint

from .demo_card import demo_card
from .open_head import open_head

if TYPE_CHECKING:
    from torch import Tensor

LIMIT = 15_000_000
"""Bytes of all files together: they are in every installation."""
CARD = "MODEL_CARD.md"
_IMAGE_SIZE = 224
_LOSS_ENTRIES = 40


def pack_demo(run: Path, out: Path, about: About, heads: Sequence[Path] = ()) -> Demonstration:
    """Write the demonstration weights of a pretraining run, ready to be shipped.

    Args:
        run: the folder of a run of `radiodino-train pretrain`, finished or not; its teacher is taken, with the position
            table resized to 224 px as the variant does it.
        out: the folder to write; made where it is not there yet. What is there of the same names is replaced.
        about: what the run cannot know.
        heads: a ``classifier.pth`` or ``segmenter-*.pth``, or both, trained with ``--weights demo`` on the backbone
            that is packed here (so pack it without heads first). Their heads alone are stored, floating point as fp16,
            with their documents, under the names of `HEAD_FILES`.

    Returns:
        The record that was written.

    Raises:
        WeightsError: the run holds no usable backbone, a head is none or on another backbone, or a value is beyond the
            range of fp16.
        InputError: the run was not made by this package, or two heads are for one task.
        OutputError: the files are larger than `LIMIT` together, `out` holds weights of another packing, or cannot be
            written.
    """
    raw = read_checkpoint(run)
    recipe = raw.get("recipe")
    if not isinstance(recipe, dict) or not isinstance(raw.get("step"), int):
        raise InputError(f"{run} is no run of radiodino-train pretrain: its checkpoint states no recipe and no step")
    variant, steps = get_variant(recipe["variant"]), int(raw["step"])
    backbone = f"{variant.name}.safetensors"
    packed = _packed_backbone(raw, variant, find_checkpoint(run).name)
    contents = {backbone: packed}
    for file in heads:
        task, data = _packed_head(file, variant, packed)
        if HEAD_FILES[task] in contents:
            raise InputError(f"{file} is a second head for the task '{task}': give one")
        contents[HEAD_FILES[task]] = data
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


def _packed_backbone(raw: dict[str, Any], variant: Variant, source: str) -> bytes:
    from safetensors.torch import save

    state, _ = backbone_state(raw, variant, image_size=_IMAGE_SIZE, source=source)
    # One entry only: where there are several, their order in the file is not defined.
    told = json.dumps({"notice": notice_of("demo"), "variant": variant.name}, sort_keys=True)
    return save(_half(state, source), metadata={METADATA: told})


def _packed_head(file: Path, variant: Variant, packed_backbone: bytes) -> tuple[str, bytes]:
    """The task of a head, and its file's bytes."""
    import torch
    from safetensors.torch import load, save

    head = open_head(file)
    if head.document["variant"] != variant.name:
        raise WeightsError(
            f"the head {file} is of the variant '{head.document['variant']}', the run's is '{variant.name}': train it "
            "on this backbone, with --weights demo"
        )
    size = head.document["image_size"]
    wanted, _ = backbone_state(load(packed_backbone), variant, image_size=size, source="the packed backbone")
    own = head.module.backbone.state_dict()
    differing = [name for name in own if not torch.equal(own[name], wanted[name])]
    if differing:
        raise WeightsError(
            f"the backbone of the head {file} is not the one that is packed ({len(differing)} of {len(own)} entries "
            "differ): pack without heads first, then train the head with --weights demo and the backbone frozen"
        )
    told = json.dumps(head.document, sort_keys=True, ensure_ascii=False)
    return head.task, save(_half(head.module.head.state_dict(), file.name), metadata={METADATA: told})


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
        list[Path] | None,
        typer.Option(
            help="A classifier.pth or segmenter-*.pth trained with --weights demo on this backbone; repeatable."
        ),
    ] = None,
) -> None:
    """Pack the demonstration weights that travel with this package; for maintainers."""
    require("export", "torch", "timm", "safetensors")
    record = pack_demo(run, out, read_about(about or run / "about.json"), head or ())
    for name, file_record in record.files.items():
        typer.echo(f"{file_record.sha256}  {file_record.size:>10,}  {out / name}")
    typer.echo(f"{record.samples:,} samples in {record.steps:,} steps; read {out / CARD} before you ship it")


def main() -> None:
    """Entry point of ``python -m radiodino.export.demo_weights``."""
    ending.run(app)


if __name__ == "__main__":
    main()
