"""``radiodino-export``: from a checkpoint to one verified file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from radiodino.runtime import console as ending
from radiodino.runtime.engine_file import SUFFIX
from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require
from radiodino.runtime.model_info import ModelInfo
from radiodino.runtime.variants import VARIANTS, get_variant
from radiodino.train.published.fetch import published_copy

from .banner import kind_of, weights_banner
from .choose_weights import choose_weights
from .int8.limits import GateLimits
from .int8.summary import gate_table, quantisation_lines
from .lint.command import lint
from .settings import DEFAULT_CALIBRATION_COUNT, ExportSettings
from .tensorrt.batches import DEFAULT as DEFAULT_BATCHES
from .tensorrt.batches import parse_batches

if TYPE_CHECKING:  # the first imports torch
    from .pipeline import Exported
    from .tensorrt.export_engine import EngineSettings, ExportedEngine
    from .tensorrt.reference import Reference
    from .verify import Comparison

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Export a Radio DINO checkpoint to one verified ONNX file that runs without PyTorch.",
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_VARIANT_HELP = f"Which member of the family: {', '.join(VARIANTS)}."
_TASK_HELP = (
    "embed, classify, segment, or classify+segment: one file with both heads over one backbone, which runs once. Every "
    "file gives embeddings too."
)
_WEIGHTS_HELP = (
    "published (the authors' weights, fetched beforehand or now, and never others), demo (a demonstration, not Radio "
    "DINO's weights, not for clinical use; tiny only), random (for trying out), or the path of a checkpoint: "
    ".safetensors, .pth of the authors, of DINO or of DINOv2, or a folder with one. By default published; where those "
    "of tiny are neither local nor reachable, demo, with a banner and under a name of its own. For a task with heads: "
    "demo, or the classifier.pth of radiodino-train finetune and the segmenter-*.pth of radiodino-train segment; for "
    "classify+segment name both (in any order), which must have been trained on one backbone at one image size."
)
_SIZE_HELP = (
    "Side of the input in pixels, a multiple of the patch; by default 224 to embed, that of its training for a head."
)
_OUTPUTS_HELP = (
    "Beside those of the task, comma-separated: patch_tokens, attention (of the CLS token in the last block), cam (a "
    "class-activation map of the classifier's head over the patch tokens; no Grad-CAM)."
)
_INT8_HELP = (
    "Compute linear layers and the segmentation head's convolutions in 8 bits, for CPUs: a quarter of the size. Needs "
    "--calibration; the file is judged on other images of it before it is written, and layers that cost too much stay "
    "float."
)
_DYNAMIC_HELP = (
    "8 bits without calibration images, for ONNX Runtime alone: ranges are found in each batch anew, so that an "
    "image's answer depends a little on those beside it."
)
_CALIBRATION_HELP = (
    "Real images of the kind that an int8 file is for (repeatable): a folder, file, glob, .zip archive or .npz set, "
    "DICOM among them. Folders as labels let the file be judged by them."
)
_FORMAT_HELP = (
    "onnx, or tensorrt: the ONNX file as ever, and beside it an engine for this machine's NVIDIA card, built from it "
    "and compared with PyTorch; anywhere else it is refused with the command that builds it anew."
)
_BEST_HELP = (
    "For --format tensorrt: 8 bits as with --int8, and half precision for all else, as the graph says. --int8 alone "
    "leaves all else in fp32."
)
_BATCH_HELP = "Images of one inference that an engine takes: MIN,OPT,MAX, fastest at OPT; or one number for all three."
_LIMITS = GateLimits()
_OUTPUT_HELP = (
    "File to write; by default radiodino-VARIANT-PRECISION.onnx, with demonstration weights "
    "radiodino-VARIANT-demo-PRECISION.onnx, for another task than embed with the task before the precision. For "
    "--format tensorrt NAME.engine; the ONNX file is NAME.onnx beside it."
)


@app.callback(invoke_without_command=True)
def export(
    context: typer.Context,
    variant: Annotated[str | None, typer.Option(help=_VARIANT_HELP)] = None,
    task: Annotated[str, typer.Option(help=_TASK_HELP)] = "embed",
    weights: Annotated[list[str] | None, typer.Option(help=_WEIGHTS_HELP, show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Seed of random weights.")] = 0,
    checkpoint_key: Annotated[
        str | None, typer.Option(help="teacher or student of a training checkpoint; by default the teacher.")
    ] = None,
    fp32: Annotated[bool, typer.Option("--fp32", help="Store and compute in fp32 (the default).")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Store in fp16: half the size.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help=_INT8_HELP)] = False,
    int8_dynamic: Annotated[bool, typer.Option("--int8-dynamic", help=_DYNAMIC_HELP)] = False,
    best: Annotated[bool, typer.Option("--best", help=_BEST_HELP)] = False,
    file_format: Annotated[str, typer.Option("--format", help=_FORMAT_HELP)] = "onnx",
    batch: Annotated[
        str | None, typer.Option(help=f"{_BATCH_HELP} By default {DEFAULT_BATCHES}.", show_default=False)
    ] = None,
    calibration: Annotated[list[str] | None, typer.Option(help=_CALIBRATION_HELP, show_default=False)] = None,
    calibration_count: Annotated[
        int, typer.Option(help="Images to calibrate on; up to as many others judge the file.")
    ] = DEFAULT_CALIBRATION_COUNT,
    calibration_seed: Annotated[int, typer.Option(help="Seed of the choice of images.")] = 0,
    mean_cosine: Annotated[
        float, typer.Option(help="Least mean cosine of an int8 file's embeddings to the original's; may be raised.")
    ] = _LIMITS.mean_cosine,
    min_cosine: Annotated[float, typer.Option(help="Least cosine of the worst image, likewise.")] = _LIMITS.min_cosine,
    min_agreement: Annotated[
        float, typer.Option(help="Least share of clear images that keep their label, likewise.")
    ] = _LIMITS.agreement,
    image_size: Annotated[int | None, typer.Option(help=_SIZE_HELP, show_default=False)] = None,
    outputs: Annotated[str, typer.Option(help=_OUTPUTS_HELP)] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help=_OUTPUT_HELP)] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    list_variants: Annotated[bool, typer.Option("--list", help="Show the variants and end.")] = False,
) -> None:
    """Export a Radio DINO checkpoint to one verified ONNX file that runs without PyTorch."""
    if context.invoked_subcommand:
        return
    if list_variants:
        out.print(_variant_table())
        return
    if variant is None:
        raise InputError(f"name the model to export with --variant: {', '.join(VARIANTS)} (see --list)")
    asked = {"fp32": fp32, "fp16": fp16, "int8": int8, "int8-dynamic": int8_dynamic, "best": best}
    precisions = [name for name, wanted in asked.items() if wanted]
    if len(precisions) > 1:
        raise InputError(f"{' and '.join(f'--{name}' for name in precisions)} exclude each other: choose one")
    engine = _wants_engine(file_format, int8_dynamic=int8_dynamic, best=best, batch=batch)
    require("export", "torch", "timm", "onnx", "onnxscript")
    settings = ExportSettings(
        variant=get_variant(variant),
        weights=_named(task, weights),
        task=task,
        seed=seed,
        checkpoint_key=checkpoint_key,
        precision="int8" if best else precisions[0] if precisions else "fp32",
        image_size=image_size,
        outputs=tuple(name.strip() for name in outputs.split(",") if name.strip()),
        output=_onnx_beside(output) if engine else output,
        force=force,
        calibration=tuple(calibration or ()),
        calibration_count=calibration_count,
        calibration_seed=calibration_seed,
        gate_limits=GateLimits(mean_cosine=mean_cosine, min_cosine=min_cosine, agreement=min_agreement),
        symmetric=engine and (int8 or best),
    )
    settings.check()
    if engine:
        _engine_settings(settings.target, batch, best=best, force=force, machine=True)
    reason = None
    if task == "embed":
        chosen = choose_weights(settings.variant, weights[0] if weights else None)
        reason = chosen.fallback_reason
        if reason is not None:
            settings = replace(settings, weights=chosen.weights)
            settings.check()
    banner = weights_banner(settings, settings.named_weights[0], reason)
    if banner:
        err.print(banner)
    from .pipeline import export_model

    with err.status("starting") as status:
        exported = export_model(settings, lambda step: status.update(f"{step} …"))
    _print_summary(exported)
    if engine:
        from .tensorrt.reference import from_pytorch

        named = settings.weights if settings.named_weights[0] not in ("published", "demo", "random") else None
        of_engine = _engine_settings(exported.path, batch, best=best, force=force)
        _build_engine(of_engine, lambda: from_pytorch(exported.path, named))
    # Again, below what the export printed; of a head's backbone the head's file tells, which is read by now.
    banner = banner or weights_banner(settings, kind_of(exported.info.notice))
    if banner:
        err.print(banner)


def _wants_engine(file_format: str, *, int8_dynamic: bool, best: bool, batch: str | None) -> bool:
    if file_format not in ("onnx", "tensorrt"):
        raise InputError(f"there is no format '{file_format}': choose onnx or tensorrt")
    engine = file_format == "tensorrt"
    if not engine and (best or batch is not None):
        raise InputError(f"--{'best' if best else 'batch'} is of --format tensorrt: add it, or leave out the other")
    if engine and int8_dynamic:
        raise InputError("TensorRT has no dynamic int8: take --int8 with --calibration, or --fp16")
    return engine


def _onnx_beside(engine: Path | None) -> Path | None:
    if engine is not None and engine.suffix != SUFFIX:
        raise InputError(
            f"--format tensorrt writes NAME{SUFFIX}, and NAME.onnx beside it: name such a file, not {engine}"
        )
    return engine and engine.with_suffix(".onnx")


def _engine_settings(
    onnx: Path, batch: str | None, *, best: bool, force: bool, output: Path | None = None, machine: bool = False
) -> EngineSettings:
    """Checked, so that a mistake is said before any work is done; with `machine`, whether it can be built here too."""
    from .tensorrt.export_engine import EngineSettings, check_machine

    settings = EngineSettings(onnx, parse_batches(batch or DEFAULT_BATCHES), output, best, force)
    settings.check()
    if machine:
        check_machine()
    return settings


def _build_engine(settings: EngineSettings, reference: Callable[[], Reference]) -> None:
    from .tensorrt.export_engine import export_engine

    with err.status("starting") as status:
        exported = export_engine(settings, reference, lambda step: status.update(f"{step} …"))
    _print_engine(exported)


@app.command()
def engine(
    file: Annotated[Path, typer.Argument(help="An ONNX file that radiodino-export wrote.")],
    batch: Annotated[str, typer.Option(help=_BATCH_HELP)] = DEFAULT_BATCHES,
    best: Annotated[bool, typer.Option("--best", help="Make the float parts of an int8 file fp16.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="By default NAME.engine beside NAME.onnx.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Build a TensorRT engine for this machine's card from an exported ONNX file, without PyTorch or weights.

    It is compared with the ONNX file on the CPU before it is written.
    """
    from .tensorrt.reference import from_onnx

    _build_engine(_engine_settings(file, batch, best=best, force=force, output=output), lambda: from_onnx(file))


def _named(task: str, weights: list[str] | None) -> str | tuple[str, ...]:
    if weights is None:
        return "published" if task == "embed" else ()
    return weights[0] if len(weights) == 1 else tuple(weights)


@app.command()
def fetch(variant: Annotated[str, typer.Option(help=_VARIANT_HELP)]) -> None:
    """Download the published weights of a variant beforehand, for exports without internet."""
    require("export", "torch", "timm")
    chosen = get_variant(variant)
    copy = published_copy(chosen)
    _print_lines(
        file=copy.path,
        size=f"{copy.size / 1e6:.1f} MB ({copy.size:,} bytes)",
        sha256=copy.sha256,
        source=f"{copy.source}, {f'commit {copy.revision}, ' if copy.revision else ''}fetched {copy.date}",
        licence=copy.licence or "not stated at the source",
        next=f"radiodino-export --variant {variant} --fp16",
    )


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A file that radiodino-export wrote.")],
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="The checkpoint the file was made from, where it is not the published one; one for each head."
        ),
    ] = None,
) -> None:
    """Compare an exported file with its PyTorch original again."""
    require("export", "torch", "timm", "onnx")
    from .verify_file import verify_file

    with err.status("verifying …"):
        comparisons = verify_file(file, tuple(weights) if weights else None)
    out.print(_parity_table(comparisons))
    out.print(f"{file} agrees with its original", markup=False)


app.command()(lint)


def main() -> None:
    """Entry point of ``radiodino-export``."""
    ending.run(app)


def _print_engine(exported: ExportedEngine) -> None:
    info = exported.info
    out.print(_parity_table(exported.comparisons, f"against {info.verification['reference']}"))
    _print_lines(
        engine=exported.path,
        size=f"{exported.size / 1e6:.1f} MB ({exported.size:,} bytes)",
        sha256=exported.sha256,
        runs=f"{info.profile.least} to {info.profile.most} images at once, fastest with {info.profile.usual}",
        on=f"{info.key.device}, driver {info.key.driver}, TensorRT {info.key.tensorrt}, and nothing else",
        of=f"{info.onnx_name}, which belongs beside it",
        next=f"radiodino-run {_NEXT[exported.task].format(exported.path)}",
    )


def _print_summary(exported: Exported) -> None:
    info = exported.info
    out.print(_parity_table(exported.comparisons))
    if info.quantisation is not None:
        if info.quantisation.gate:
            out.print(gate_table(info.quantisation))
        _print_lines(**quantisation_lines(info.quantisation))
    for note in (*(info.quantisation.notes if info.quantisation else ()), *exported.remarks):
        err.print(f"note     {note}", soft_wrap=True, markup=False)
    if exported.kept_float:
        out.print(f"kept fp32  {len(exported.kept_float)} operators whose values leave the half range")
    _print_lines(
        file=exported.path,
        size=f"{exported.size / 1e6:.1f} MB ({exported.size:,} bytes)",
        sha256=exported.sha256,
        weights=f"{info.weights.name}, SHA-256 {info.weights.sha256}",
        licence=info.weights.licence or "not stated at the source",
        **_heads(info),
        **({"notice": info.notice} if info.notice else {}),
        next=f"radiodino-run {_NEXT[info.task].format(exported.path)}",
    )


_NEXT = {
    "embed": "embed IMAGES --model {} -o embeddings.csv",
    "classify": "classify IMAGES --model {} -o classes.csv",
    "segment": "segment IMAGES --model {} -o masks",
    "classify+segment": "classify IMAGES --model {} -o classes.csv",
}


def _heads(info: ModelInfo) -> dict[str, str]:
    lines = {}
    if info.classifier is not None:
        lines["classes"] = f"{', '.join(info.classifier.classes)} (from {info.classifier.name})"
    if info.segmenter is not None:
        head = info.segmenter
        lines["mask"] = f"{head.label}, from a probability of {head.threshold:g} ({head.head} head, from {head.name})"
    return lines


def _print_lines(**lines: object) -> None:
    for name, value in lines.items():
        out.print(f"{name:<9}{value}", soft_wrap=True, markup=False)


def _parity_table(comparisons: list[Comparison], title: str = "against PyTorch fp32") -> Table:
    names = ("engine", "arithmetic", "output", "smallest cosine", "largest error", "probabilities")
    table = Table(*names, title=title)
    for found in comparisons:
        row = (found.backend, found.compute, found.output, f"{found.cosine:.7f}", f"{found.relative_error:.1e}")
        table.add_row(*row, _of_probabilities(found))
    return table


def _of_probabilities(found: Comparison) -> str:
    if found.absolute_error is None:
        return ""
    words = [f"±{found.absolute_error:.1e}"]
    if found.classes_changed is not None:
        words.append("other classes" if found.classes_changed else "same classes")
    if found.dice is not None:
        words.append(f"Dice {found.dice:.5f}")
    return ", ".join(words)


def _variant_table() -> Table:
    names = ("variant", "paper's name", "embedding", "depth", "heads", "patch", "parameters", "published weights")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for variant in VARIANTS.values():
        table.add_row(
            variant.name, variant.paper_name, str(variant.embedding_size), str(variant.depth), str(variant.heads),
            f"{variant.patch} px", f"{variant.parameters:g} M", variant.published or "none known: --weights FILE",
        )  # fmt: skip
    return table
